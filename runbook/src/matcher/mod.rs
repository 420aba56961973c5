//! Expectations: a field of the result against a matcher, each a row of Check, Expected, Actual and Verdict
//! (LANGUAGE section 3).
//!
//! Three steps: [`parse`](mod@parse) reads a matcher, [`field`](mod@field) finds what is looked at, [`judge`](mod@judge)
//! says whether it holds and what was found. Nothing is fetched or repeated here, and there is no clock: the caller says
//! what the time is. A matcher that cannot be read has failed; none is passed over.

pub(crate) mod field;
mod judge;
pub(crate) mod parse;
mod range;
mod version;
mod wording;

use jiff::Timestamp;

use self::field::{Found, Look};
use self::judge::{Judged, judge};
use self::parse::Matcher;
pub use self::parse::{MatcherError, NAMES, validate, validate_expectation};
pub use self::wording::cut;
use crate::model::Expectation;
use crate::outcome::{Check, Verdict};
use crate::result::{Fields, TEXT_FIELDS};
use crate::spec::{ActionSpec, FieldKind};

/// What stands in place of a secret.
pub const SECRET: &str = "(secret)";

/// The actions whose API says `1`, `"1"` and `true` for the same thing.
const LOOSE_ACTIONS: &[&str] = &["proxmox", "lxc", "vm", "helper-script"];

/// What an expectation is looked at with.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The action whose result it is.
    pub spec: &'a ActionSpec,
    /// The time, for `age`.
    pub now: Timestamp,
    /// The fields whose values are secrets: captured ones.
    pub secrets: &'a [String],
}

impl Context<'_> {
    fn loose(&self) -> bool {
        LOOSE_ACTIONS.contains(&self.spec.name)
    }
}

/// How a field of an action's result is looked at; what is not its own was captured: one value.
pub fn kind(spec: &ActionSpec, field: &str) -> FieldKind {
    match spec.results.iter().find(|result| result.name == field) {
        Some(result) => result.kind,
        None => match field {
            "json" => FieldKind::Json,
            "table" => FieldKind::Table,
            "header" | "config" | "condition" | "certificate" => FieldKind::Map,
            text if TEXT_FIELDS.contains(&text) => FieldKind::Text,
            _ => FieldKind::Value,
        },
    }
}

/// Looks at one expectation, whose templates were rendered. Several matchers in one map give a row each.
pub fn evaluate(expectation: &Expectation, fields: &Fields, context: &Context<'_>) -> Vec<Check> {
    let kind = kind(context.spec, &expectation.field);
    let label = label(expectation);
    match field::look(expectation, fields, kind) {
        Look::Value(found) => rows(expectation, &label, &found, kind, context, false),
        Look::EveryRow(found) => rows(expectation, &label, &found, kind, context, true),
        Look::Absent { rows } => vec![absent(label, &rows)],
    }
}

/// Whether every row holds; an expectation without rows does not.
pub fn holds(checks: &[Check]) -> bool {
    !checks.is_empty() && checks.iter().all(|check| check.verdict == Verdict::Holds)
}

/// A row for each matcher; `every` looks at what was found item by item.
fn rows(
    expectation: &Expectation,
    label: &str,
    found: &Found<'_>,
    kind: FieldKind,
    context: &Context<'_>,
    every: bool,
) -> Vec<Check> {
    let matcher = match parse::parse(&expectation.matcher) {
        Ok(matcher) => matcher,
        Err(errors) => {
            let message = errors
                .first()
                .map_or_else(|| "not a matcher".to_owned(), |error| error.message.clone());
            return vec![check(
                label,
                &wording::flow(&expectation.matcher),
                false,
                message,
            )];
        }
    };
    let matchers = match matcher {
        Matcher::All(matchers) => matchers,
        matcher => vec![matcher],
    };
    let matchers: Vec<Matcher> = if every {
        matchers
            .into_iter()
            .map(|matcher| Matcher::Every(Box::new(matcher)))
            .collect()
    } else {
        matchers
    };
    let env = judge::Env {
        now: context.now,
        loose: context.loose(),
        typed: kind == FieldKind::Json,
        text: kind == FieldKind::Text,
    };
    let secret = context.secrets.contains(&expectation.field);
    matchers
        .iter()
        .map(|matcher| {
            let Judged { holds, actual } = judge(matcher, found, &env);
            let shown_expected = wording::expected_beside(matcher, found);
            let actual = if secret && found.is_value() {
                SECRET.to_owned()
            } else {
                actual
            };
            check(label, &shown_expected, holds, actual)
        })
        .collect()
}

fn absent(label: String, rows: &[String]) -> Check {
    match rows {
        [] => check(&label, "absent", true, "absent".into()),
        [row] => check(&label, "absent", false, format!("there: {row}")),
        [row, ..] => check(
            &label,
            "absent",
            false,
            format!("{} rows: {row} …", rows.len()),
        ),
    }
}

fn check(label: &str, expected: &str, holds: bool, actual: String) -> Check {
    Check {
        check: label.to_owned(),
        expected: expected.to_owned(),
        actual,
        verdict: if holds {
            Verdict::Holds
        } else {
            Verdict::Fails
        },
        stand_in: false,
    }
}

/// What is looked at, for the column Check: the field, its key, its column; the matcher stands under Expected.
fn label(expectation: &Expectation) -> String {
    let mut label = expectation.field.clone();
    for part in [&expectation.key, &expectation.column]
        .into_iter()
        .flatten()
    {
        label.push(' ');
        label.push_str(&wording::flow(part));
    }
    label
}

#[cfg(test)]
pub(crate) mod tests;
