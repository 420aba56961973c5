//! Expectations: a field of the result against a matcher, each a row of Check, Expected, Actual and Verdict
//! (LANGUAGE section 3).
//!
//! Three steps: `parse` reads a matcher, `field` finds what is looked at, `judge`
//! says whether it holds and what was found. Nothing is fetched or repeated here, and there is no clock: the caller says
//! what the time is. A matcher that cannot be read has failed; none is passed over.

mod check;
mod difference;
mod equal;
pub(crate) mod field;
mod judge;
mod measure;
pub(crate) mod parse;
mod range;
mod redact;
mod version;
mod wording;

use jiff::Timestamp;

pub use self::check::validate_expectation;
use self::field::{Found, Look};
use self::judge::{Judged, judge};
use self::parse::Matcher;
pub use self::parse::{MatcherError, NAMES, validate};
pub use self::range::AddressRange;
pub use self::wording::cut;
use crate::model::Expectation;
use crate::node::Node;
use crate::outcome::{Check, Verdict};
use crate::result::Fields;
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
    spec.results
        .iter()
        .find(|result| result.name == field)
        .map_or(FieldKind::Value, |result| result.kind)
}

/// What takes secrets out of a text: `None` when there are none in it.
pub type Redact<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Looks at one expectation, whose templates were rendered. Several matchers in one map give a row each.
pub fn evaluate(expectation: &Expectation, fields: &Fields, context: &Context<'_>) -> Vec<Check> {
    evaluate_redacted(expectation, fields, context, &|_| None)
}

/// As [`evaluate`], and no row shows a secret: they are taken out before a text is cut, so that not even the beginning of one
/// is left. The verdict is that of the whole texts.
pub fn evaluate_redacted(
    expectation: &Expectation,
    fields: &Fields,
    context: &Context<'_>,
    redact: Redact<'_>,
) -> Vec<Check> {
    let kind = kind(context.spec, &expectation.field);
    let (found, every) = match field::look(expectation, fields, kind) {
        Look::Value(found) => (found, false),
        Look::EveryRow(found) => (found, true),
        Look::Absent { rows } => return vec![absent(label(expectation), &rows, redact)],
    };
    let row = Row {
        expectation,
        label: label(expectation),
        every,
        redact,
    };
    let env = judge::Env {
        now: context.now,
        loose: context.loose(),
        typed: kind == FieldKind::Json,
        text: kind == FieldKind::Text,
    };
    let mut checks = row.checks(&found, &env);
    if context.secrets.contains(&expectation.field) && found.is_value() {
        checks
            .iter_mut()
            .for_each(|check| SECRET.clone_into(&mut check.actual));
    }
    checks
}

/// Whether every row holds; an expectation without rows does not.
pub fn holds(checks: &[Check]) -> bool {
    !checks.is_empty() && checks.iter().all(|check| check.verdict == Verdict::Holds)
}

/// What the rows of an expectation have in common.
struct Row<'a> {
    expectation: &'a Expectation,
    label: String,
    /// What was found is looked at item by item.
    every: bool,
    redact: Redact<'a>,
}

impl Row<'_> {
    /// A row for each matcher.
    fn checks(&self, found: &Found<'_>, env: &judge::Env) -> Vec<Check> {
        let node = &self.expectation.matcher;
        let matchers = match self.matchers(node) {
            Ok(matchers) => matchers,
            Err(errors) => {
                let message = errors
                    .first()
                    .map_or_else(|| "not a matcher".to_owned(), |error| error.message.clone());
                let hidden = redact::node(node, self.redact);
                let expected = wording::flow(hidden.as_ref().unwrap_or(node));
                let message = (self.redact)(&message).unwrap_or(message);
                return vec![check(&self.label, &expected, false, message)];
            }
        };
        let hidden_found = redact::found(found, self.redact);
        let hidden_matchers =
            redact::node(node, self.redact).map(|node| self.matchers(&node).unwrap_or_default());
        let one = |(index, matcher): (usize, &Matcher)| {
            let Judged { holds, actual } = judge(matcher, found, env);
            if hidden_found.is_none() && hidden_matchers.is_none() {
                return check(
                    &self.label,
                    &wording::expected_beside(matcher, found),
                    holds,
                    actual,
                );
            }
            let shown = hidden_found.as_ref().unwrap_or(found);
            // A secret inside a regular expression may leave none.
            let matcher = match &hidden_matchers {
                Some(matchers) => match matchers.get(index) {
                    Some(matcher) => matcher,
                    None => return check(&self.label, SECRET, holds, wording::shown(shown)),
                },
                None => matcher,
            };
            let told = judge(matcher, shown, env);
            let actual = if told.holds == holds {
                told.actual
            } else {
                wording::shown(shown)
            };
            check(
                &self.label,
                &wording::expected_beside(matcher, shown),
                holds,
                actual,
            )
        };
        matchers.iter().enumerate().map(one).collect()
    }

    fn matchers(&self, node: &Node) -> Result<Vec<Matcher>, Vec<MatcherError>> {
        let matchers = match parse::parse(node)? {
            Matcher::All(matchers) => matchers,
            matcher => vec![matcher],
        };
        let each = |matcher: Matcher| {
            if self.every {
                Matcher::Every(Box::new(matcher))
            } else {
                matcher
            }
        };
        Ok(matchers.into_iter().map(each).collect())
    }
}

fn absent(label: String, rows: &[String], redact: Redact<'_>) -> Check {
    let text = |row: &String| {
        let row = redact(row).unwrap_or_else(|| row.clone());
        wording::cut(&row, wording::LINE_CHARACTERS_MAX)
    };
    match rows {
        [] => check(&label, "absent", true, "absent".into()),
        [row] => check(&label, "absent", false, format!("there: {}", text(row))),
        [row, ..] => check(
            &label,
            "absent",
            false,
            format!("{} rows: {} …", rows.len(), text(row)),
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
