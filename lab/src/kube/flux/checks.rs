//! Health by an object's own rules: `healthCheckExprs` of a Kustomization or HelmRelease, and where it has none, those of kstatus.

use serde_json::Value;

use super::cel::Expression;
use super::health::{self, Health};
use crate::kube::object;

/// The rules of one group and kind.
struct Check {
    group: String,
    /// Empty is any kind of the group.
    kind: String,
    in_progress: Option<Expression>,
    failed: Option<Expression>,
    current: Expression,
}

/// All rules of an object of Flux.
#[derive(Default)]
pub(super) struct Checks(Vec<Check>);

impl Checks {
    /// Reads a spec.
    ///
    /// # Errors
    ///
    /// The controllers' words for an expression that is none.
    pub(super) fn read(spec: &Value) -> Result<Self, String> {
        let mut all: Vec<Check> = Vec::new();
        for (number, one) in object::items(spec, &["healthCheckExprs"])
            .iter()
            .enumerate()
        {
            let text = |key: &str| one[key].as_str().unwrap_or_default();
            let (group, kind) = (
                group(text("apiVersion")).to_owned(),
                text("kind").to_owned(),
            );
            if all.iter().any(|own| own.group == group && own.kind == kind) {
                return Err(format!(
                    "duplicate custom health check for GroupKind {kind}.{group} at healthchecks[{number}]"
                ));
            }
            let failed = |why: &str| {
                format!(
                    "failed to create custom status evaluator for healthchecks[{number}]: {why}"
                )
            };
            let parsed = |key: &str, name: &str| match text(key) {
                "" => Ok(None),
                own => Expression::parse(own).map(Some).map_err(|text| {
                    failed(&format!("failed to parse the expression {name}: {text}"))
                }),
            };
            all.push(Check {
                current: parsed("current", "Current")?
                    .ok_or_else(|| failed("expression Current not specified"))?,
                failed: parsed("failed", "Failed")?,
                in_progress: parsed("inProgress", "InProgress")?,
                group,
                kind,
            });
        }
        Ok(Self(all))
    }

    /// The health of a live object.
    pub(super) fn health(&self, value: &Value) -> Health {
        let group = group(value["apiVersion"].as_str().unwrap_or_default());
        let of = |kind: &str| {
            self.0
                .iter()
                .find(|own| own.group == group && own.kind == kind)
        };
        match of(value["kind"].as_str().unwrap_or_default()).or_else(|| of("")) {
            Some(check) => check.health(value),
            None => health::of(value),
        }
    }
}

impl Check {
    fn health(&self, value: &Value) -> Health {
        let observed = value["status"]["observedGeneration"].as_i64();
        let generation = value["metadata"]["generation"].as_i64();
        if observed.is_some() && generation.is_some() && observed != generation {
            return Health::InProgress;
        }
        let rules = [
            (self.in_progress.as_ref(), Health::InProgress),
            (
                self.failed.as_ref(),
                Health::Failed("as its check says".into()),
            ),
            (Some(&self.current), Health::Current),
        ];
        for (expression, health) in rules {
            let Some(expression) = expression else {
                continue;
            };
            let fields = value.as_object().into_iter().flatten();
            match expression.evaluate(fields.map(|(key, value)| (key.as_str(), value))) {
                Ok(true) => return health,
                Ok(false) => {}
                Err(_) => return Health::Unknown,
            }
        }
        Health::InProgress
    }
}

fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_kind_with_rules_of_its_own_is_judged_by_them() {
        let spec = json!({"healthCheckExprs": [{
            "apiVersion": "lab.example.org/v1", "kind": "Gadget", "current": "status.phase == 'Up'",
            "failed": "status.phase == 'Down'", "inProgress": "status.phase == 'Starting'",
        }]});
        let checks = Checks::read(&spec).expect("three expressions");
        let health = |status: Value| {
            let value = json!({"apiVersion": "lab.example.org/v2", "kind": "Gadget", "metadata": {"generation": 2}, "status": status});
            checks.health(&value)
        };
        assert_eq!(health(json!({"phase": "Up"})), Health::Current);
        assert_eq!(
            health(json!({"phase": "Up", "observedGeneration": 1})),
            Health::InProgress
        );
        assert!(matches!(
            health(json!({"phase": "Down"})),
            Health::Failed(_)
        ));
        assert_eq!(health(json!({"phase": "Elsewhere"})), Health::InProgress);
        // Nothing is known of what says nothing.
        assert_eq!(health(json!({})), Health::Unknown);
        let other = json!({"apiVersion": "v1", "kind": "ConfigMap"});
        assert_eq!(checks.health(&other), Health::Current);
    }

    #[test]
    fn rules_that_are_none_are_refused() {
        for (rule, word) in [
            (
                json!({"current": "status ="}),
                "failed to parse the expression Current",
            ),
            (
                json!({"current": "true", "failed": "("}),
                "failed to parse the expression Failed",
            ),
            (json!({}), "expression Current not specified"),
        ] {
            let mut rule = rule;
            rule["apiVersion"] = "v1".into();
            rule["kind"] = "Pod".into();
            let error = Checks::read(&json!({"healthCheckExprs": [rule]})).err();
            assert!(
                error.as_ref().is_some_and(|text| text.contains(word)),
                "{error:?}"
            );
        }
    }
}
