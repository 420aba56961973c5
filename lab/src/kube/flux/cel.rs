//! Expressions in CEL, as Flux has them: what an object's health is, whether a dependency is ready. Parsed once for each use, and refused
//! where they are none; an expression that cannot be evaluated is neither true nor false.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use cel::common::ast::{Expr, LiteralValue, operators};
use cel::{Context, Env, Program, Value as CelValue, extensions};
use serde_json::Value;

/// An expression. It is parsed by recursion.
const CHARS_MAX: usize = 10_000;
/// Brackets within brackets.
const DEPTH_MAX: usize = 50;

/// An expression that could be parsed.
pub(super) struct Expression {
    text: String,
    program: Program,
}

fn environment() -> Arc<Env> {
    static ENVIRONMENT: OnceLock<Arc<Env>> = OnceLock::new();
    let made = ENVIRONMENT.get_or_init(|| {
        let mut env = Env::stdlib();
        // They are added to an environment that has none of them.
        let _ = env.add_extension(extensions::strings);
        Arc::new(env)
    });
    made.clone()
}

impl Expression {
    /// Parses an expression.
    ///
    /// # Errors
    ///
    /// The controllers' words, and the parser's own for what is wrong.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let failed = |why: &str| format!("failed to parse the CEL expression '{text}': {why}");
        let mut depth = 0_usize;
        for c in text.chars() {
            match c {
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth > DEPTH_MAX {
                return Err(failed("it is nested too deeply for the lab"));
            }
        }
        if text.chars().count() > CHARS_MAX {
            return Err(failed("it is too long for the lab"));
        }
        let program = environment()
            .compile(text)
            .map_err(|errors| failed(&errors.to_string()))?;
        Ok(Self {
            text: text.to_owned(),
            program,
        })
    }

    /// The same, of known variables and with a truth for its value, as far as its form says.
    ///
    /// # Errors
    ///
    /// As `parse`; a variable that is not known; another type than a truth.
    pub(super) fn truth_of(text: &str, variables: &[&str]) -> Result<Self, String> {
        let parsed = Self::parse(text)?;
        let mut bound = Vec::new();
        let expression = &parsed.program.expression().expr;
        if let Some(name) = undeclared(expression, variables, &mut bound) {
            return Err(format!(
                "failed to parse the CEL expression '{text}': undeclared reference to '{name}' (in container '')"
            ));
        }
        match kind(expression) {
            "bool" => Ok(parsed),
            other => Err(format!(
                "CEL expression output type mismatch: expected bool, got {other}"
            )),
        }
    }

    /// Its value.
    ///
    /// # Errors
    ///
    /// When it cannot be evaluated, or its value is no truth.
    pub(super) fn evaluate<'a>(
        &self,
        variables: impl Iterator<Item = (&'a str, &'a Value)>,
    ) -> Result<bool, String> {
        let mut context = Context::with_env(environment());
        for (name, value) in variables {
            context.add_variable_from_value(name.to_owned(), converted(value));
        }
        match self.program.execute(&context) {
            Ok(CelValue::Bool(truth)) => Ok(truth),
            Ok(_) => Err(format!(
                "failed to evaluate CEL expression as boolean: '{}'",
                self.text
            )),
            Err(error) => Err(format!(
                "failed to evaluate the CEL expression '{}': {error}",
                self.text
            )),
        }
    }
}

/// The first variable that is neither known nor bound by a macro around it.
fn undeclared<'a>(
    expression: &'a Expr,
    known: &[&str],
    bound: &mut Vec<&'a str>,
) -> Option<&'a str> {
    match expression {
        Expr::Ident(name) => {
            let is_known = name.starts_with('@')
                || known.contains(&name.as_str())
                || bound.contains(&name.as_str());
            (!is_known && !is_type(name)).then_some(name)
        }
        Expr::Call(call) => call
            .target
            .iter()
            .map(|target| &target.expr)
            .chain(call.args.iter().map(|own| &own.expr))
            .find_map(|one| undeclared(one, known, bound)),
        Expr::Select(select) => undeclared(&select.operand.expr, known, bound),
        Expr::List(list) => list
            .elements
            .iter()
            .find_map(|one| undeclared(&one.expr, known, bound)),
        Expr::Comprehension(own) => {
            let outer = bound.len();
            let range = undeclared(&own.iter_range.expr, known, bound);
            bound.extend([own.iter_var.as_str(), own.accu_var.as_str()]);
            bound.extend(own.iter_var2.as_deref());
            let inner = [&own.accu_init, &own.loop_cond, &own.loop_step, &own.result]
                .into_iter()
                .find_map(|one| undeclared(&one.expr, known, bound));
            bound.truncate(outer);
            range.or(inner)
        }
        _ => None,
    }
}

fn is_type(name: &str) -> bool {
    matches!(
        name,
        "bool"
            | "bytes"
            | "double"
            | "dyn"
            | "int"
            | "list"
            | "map"
            | "null_type"
            | "string"
            | "type"
            | "uint"
    )
}

/// The type that an expression's form gives away; `dyn` where only its value would.
fn kind(expression: &Expr) -> &'static str {
    const TRUTHS: [&str; 16] = [
        operators::LOGICAL_AND,
        operators::LOGICAL_OR,
        operators::LOGICAL_NOT,
        operators::EQUALS,
        operators::NOT_EQUALS,
        operators::GREATER,
        operators::GREATER_EQUALS,
        operators::LESS,
        operators::LESS_EQUALS,
        operators::IN,
        "bool",
        "contains",
        "endsWith",
        "hasValue",
        "matches",
        "startsWith",
    ];
    match expression {
        Expr::Literal(LiteralValue::Boolean(_)) => "bool",
        Expr::Literal(LiteralValue::Int(_)) => "int",
        Expr::Literal(LiteralValue::String(_)) => "string",
        Expr::Select(select) if select.test => "bool",
        Expr::List(_) => "list(dyn)",
        Expr::Map(_) => "map(dyn, dyn)",
        Expr::Call(call) if TRUTHS.contains(&call.func_name.as_str()) => "bool",
        Expr::Call(call) if call.func_name == "size" => "int",
        Expr::Call(call) if call.func_name == operators::CONDITIONAL => {
            match call.args.as_slice() {
                [_, yes, no] if kind(&yes.expr) == kind(&no.expr) => kind(&yes.expr),
                _ => "dyn",
            }
        }
        // `all` and `exists` begin with a truth, `exists_one` with a count of which a truth is made.
        Expr::Comprehension(own) => match kind(&own.accu_init.expr) {
            "int" => "bool",
            other => other,
        },
        _ => "dyn",
    }
}

fn converted(value: &Value) -> CelValue {
    match value {
        Value::Null => CelValue::Null,
        Value::Bool(truth) => CelValue::Bool(*truth),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => CelValue::Int(whole),
            None => CelValue::Float(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(list) => list.iter().map(converted).collect::<Vec<_>>().into(),
        Value::Object(map) => {
            let all = map
                .iter()
                .map(|(key, value)| (key.clone(), converted(value)));
            all.collect::<HashMap<String, CelValue>>().into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn truth(text: &str, object: &Value) -> Result<bool, String> {
        let map = object.as_object().expect("a map");
        Expression::parse(text)?.evaluate(map.iter().map(|(key, value)| (key.as_str(), value)))
    }

    #[test]
    fn expressions_of_the_controllers_manual_have_their_truth() {
        let object = json!({
            "metadata": {"generation": 2, "annotations": {"a": "b"}},
            "status": {"observedGeneration": 2, "conditions": [{"type": "Ready", "status": "True"}, {"type": "Synced", "status": "False"}]},
        });
        for (text, expected) in [
            (
                "status.conditions.filter(e, e.type == 'Ready').all(e, e.status == 'True')",
                true,
            ),
            (
                "status.conditions.exists(e, e.type == 'Synced' && e.status == 'True')",
                false,
            ),
            (
                "has(status.observedGeneration) && status.observedGeneration == metadata.generation",
                true,
            ),
            (
                "has(status.phase) ? status.phase == 'Failed' : false",
                false,
            ),
            (
                "metadata.annotations['a'].startsWith('b') || metadata.generation > 1",
                true,
            ),
            (
                "size(status.conditions) == 2 && !('c' in metadata.annotations)",
                true,
            ),
            ("metadata.annotations['a'].upperAscii() == 'B'", true),
        ] {
            assert_eq!(truth(text, &object), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_evaluated_is_neither_true_nor_false() {
        for text in [
            "status.phase == 'Ready'",
            "nothing",
            "metadata.name",
            "unknown(metadata)",
        ] {
            let outcome = truth(text, &json!({"metadata": {"name": "a"}}));
            assert!(outcome.is_err(), "{text}: {outcome:?}");
        }
        for text in [
            "",
            "status.",
            "a ==",
            &"(".repeat(DEPTH_MAX + 1),
            &"a".repeat(CHARS_MAX + 1),
        ] {
            assert!(Expression::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_truth_is_known_by_its_form() {
        let known = ["self", "dep"];
        for text in [
            "dep.metadata.name == self.metadata.name",
            "dep.status.conditions.all(e, e.status == 'True')",
            "has(dep.status) && true",
            "dep.spec.list.exists_one(e, e == 1)",
            "true ? has(dep.status) : false",
        ] {
            assert!(Expression::truth_of(text, &known).is_ok(), "{text}");
        }
        for (text, word) in [
            ("dep.status.ready", "got dyn"),
            ("'text'", "got string"),
            ("other.status == 1", "undeclared reference to 'other'"),
            ("dep.list.all(e, f == 1)", "undeclared reference to 'f'"),
        ] {
            let error = Expression::truth_of(text, &known).err().unwrap_or_default();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
