//! Hooks of a chart. Those of tests are run where the spec asks for tests (`trial`); the lab runs no others, and refuses an action that
//! would have to run one.

use serde_json::Value;

use super::Action;
use crate::kube::flux::inventory;
use crate::kube::object;

const EVENTS: &str = "helm.sh/hook";
const WEIGHT: &str = "helm.sh/hook-weight";
const POLICY: &str = "helm.sh/hook-delete-policy";

/// An object that is not of the release itself but is run when something happens to it.
#[derive(Clone, Debug)]
pub(crate) struct Hook {
    pub(super) object: Value,
}

impl Hook {
    pub(super) fn new(object: Value) -> Self {
        Self { object }
    }

    /// Whether an object is one.
    pub(super) fn is(object: &Value) -> bool {
        !object::annotation(object, EVENTS).is_empty()
    }

    fn list(&self, key: &str) -> impl Iterator<Item = &str> {
        object::annotation(&self.object, key)
            .split(',')
            .map(str::trim)
            .filter(|one| !one.is_empty())
    }

    pub(super) fn is_test(&self) -> bool {
        self.list(EVENTS)
            .any(|event| matches!(event, "test" | "test-success"))
    }

    /// Whether it is deleted then: `before-hook-creation`, which is usual, `hook-succeeded`, `hook-failed`.
    pub(super) fn goes(&self, when: &str) -> bool {
        let mut policies = self.list(POLICY).peekable();
        match policies.peek() {
            None => when == "before-hook-creation",
            Some(_) => policies.any(|own| own == when),
        }
    }

    /// Its place among others.
    pub(super) fn order(&self) -> (i64, &str) {
        let weight = object::annotation(&self.object, WEIGHT);
        (weight.parse().unwrap_or_default(), self.name())
    }

    pub(super) fn name(&self) -> &str {
        object::name(&self.object)
    }
}

/// Refuses an action that has to run a hook.
pub(super) fn refuse(hooks: &[Hook], value: &Value, action: Action) -> Result<(), String> {
    let word = action.word();
    if value["spec"][word]["disableHooks"] == true {
        return Ok(());
    }
    let events = [format!("pre-{word}"), format!("post-{word}")];
    let found = hooks.iter().find_map(|hook| {
        let event = hook
            .list(EVENTS)
            .find(|own| events.iter().any(|event| event == own))?;
        Some((hook, event.to_owned()))
    });
    match found {
        Some((hook, event)) => Err(format!(
            "the lab runs no hook `{event}`, which {} is",
            inventory::shown(&hook.object)
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn hook(notes: Value) -> Hook {
        Hook::new(json!({"kind": "Job", "metadata": {"name": "a", "annotations": notes}}))
    }

    #[test]
    fn an_action_that_has_to_run_a_hook_is_refused() {
        let migrate = [hook(json!({EVENTS: "pre-install, post-upgrade"}))];
        let spec = |own: Value| json!({"spec": {"install": own}});
        for (value, action, refused) in [
            (spec(json!({})), Action::Install, true),
            (spec(json!({"disableHooks": true})), Action::Install, false),
            (spec(json!({})), Action::Upgrade, true),
        ] {
            assert_eq!(
                refuse(&migrate, &value, action).is_err(),
                refused,
                "{value}"
            );
        }
        let test = [hook(json!({EVENTS: "test"}))];
        assert!(refuse(&test, &spec(json!({})), Action::Install).is_ok());
        assert!(test[0].is_test() && !migrate[0].is_test());
    }

    #[test]
    fn a_hook_goes_when_its_policy_says_so() {
        assert!(hook(json!({EVENTS: "test"})).goes("before-hook-creation"));
        let own = hook(json!({EVENTS: "test", POLICY: "hook-succeeded,hook-failed"}));
        assert!(own.goes("hook-failed") && !own.goes("before-hook-creation"));
    }
}
