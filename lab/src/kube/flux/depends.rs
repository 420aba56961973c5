//! `dependsOn`: what is asked of another object of the same kind before one is worked at.

use serde_json::Value;

use super::cel::Expression;
use super::is_ready;
use crate::kube::object;
use crate::kube::state::State;

/// Why a dependency is not met.
pub(super) enum Unmet {
    /// It may be later.
    Waits(String),
    /// Only another spec can help: its expression is none.
    Never(String),
}

/// The first dependency that is not met. One with an expression is met when that is true; others when they are ready, and when `fits`
/// says nothing against them.
pub(super) fn first_unmet(
    state: &State,
    table: &str,
    value: &Value,
    missing: impl Fn(&str, &str) -> String,
    fits: impl Fn(&Value) -> Option<&'static str>,
) -> Option<Unmet> {
    object::items(value, &["spec", "dependsOn"])
        .iter()
        .find_map(|one| {
            let own = object::namespace(value);
            let namespace = match one["namespace"].as_str() {
                None | Some("") => own,
                Some(other) => other,
            };
            let name = one["name"].as_str().unwrap_or_default();
            let key = format!("{namespace}/{name}");
            let Some(other) = state.get(table, namespace, name) else {
                return Some(Unmet::Waits(missing(&key, name)));
            };
            let waits = |text: &str| Some(Unmet::Waits(format!("dependency '{key}' {text}")));
            match one["readyExpr"].as_str() {
                None | Some("") => {}
                Some(text) => {
                    let expression = match Expression::truth_of(text, &["self", "dep"]) {
                        Ok(expression) => expression,
                        Err(why) => {
                            let text = format!(
                                "terminal error: failed to evaluate dependency {name}: {why}"
                            );
                            return Some(Unmet::Never(text));
                        }
                    };
                    let known = [("self", value), ("dep", &other.value)];
                    return match expression.evaluate(known.into_iter()) {
                        Ok(true) => None,
                        Ok(false) => waits("is not ready according to readyExpr eval"),
                        Err(text) => Some(Unmet::Waits(text)),
                    };
                }
            }
            if !is_ready(&other.value) {
                return waits("is not ready");
            }
            fits(&other.value).and_then(waits)
        })
}
