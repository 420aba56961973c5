//! Judges a report: captures, expectations, and what is expected of each action unless it is said otherwise.

use std::sync::LazyLock;
use std::time::Instant;

use jiff::Timestamp;
use runbook::capture;
use runbook::matcher;
use runbook::model::Expectation;
use runbook::node::{Entry, Kind, Node, Scalar};
use runbook::outcome::{Check, State, Verdict};
use runbook::result::Fields;
use runbook::source::Span;

use super::context::Cx;
use super::job::Job;
use super::outcome::Outcome;
use crate::action::{Ended, Report};

/// How many lines of what it printed a failed script's message shows.
const MESSAGE_LINES_MAX: usize = 12;

/// When an attempt began, and the first one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    pub(super) first: Instant,
    pub(super) attempt: Instant,
}

/// Judges what an action gave.
///
/// # Errors
///
/// A template of an expectation that has no value.
pub(super) fn judge(
    cx: &Cx,
    job: &Job<'_>,
    mut report: Report,
    clock: Clock,
) -> Result<Outcome, Box<Outcome>> {
    let mut outcome = end(&mut report);
    if outcome.is_passed() {
        look(cx, job, &mut report, clock, &mut outcome)?;
    }
    Ok(outcome)
}

/// The outcome of a report that has no result to be judged.
pub(super) fn ended(mut report: Report) -> Box<Outcome> {
    Box::new(end(&mut report))
}

fn end(report: &mut Report) -> Outcome {
    let mut outcome = match std::mem::replace(&mut report.end, Ended::Done) {
        Ended::Done => Outcome::passed(),
        Ended::Failed(failure) => Outcome::failure(failure),
        Ended::TimedOut(message) => Outcome {
            message: Some(message),
            ..Outcome::new(State::TimedOut)
        },
        Ended::Aborted => Outcome::aborted(),
        Ended::Unavailable(failure) => Outcome {
            unavailable: true,
            ..Outcome::failure(failure)
        },
        Ended::Missing(reason) | Ended::Kept(reason) => Outcome {
            missing: true,
            final_: !report.may_come,
            ..Outcome::skipped(reason)
        },
    };
    outcome.take(report);
    outcome
}

fn look(
    cx: &Cx,
    job: &Job<'_>,
    report: &mut Report,
    clock: Clock,
    outcome: &mut Outcome,
) -> Result<(), Box<Outcome>> {
    let (fields, hidden) = (&mut report.fields, &report.hidden);
    if !job.expect.is_empty() || !job.capture.is_empty() {
        fields.set("duration", clock.attempt.elapsed().as_secs_f64());
        fields.set("waited", clock.first.elapsed().as_secs_f64());
    }
    let unseen = unseen(job, outcome, report.cut);
    captures(cx, job, fields, hidden, outcome)?;
    hide_at_cut(cx, fields, outcome);
    let context = matcher::Context {
        spec: job.action,
        now: Timestamp::now(),
        secrets: &[],
    };
    let secrets = outcome.secrets.clone();
    let context = matcher::Context {
        secrets: &secrets,
        ..context
    };
    let redact: matcher::Redact<'_> = &|text: &str| {
        if holds_hidden(text, hidden) {
            return Some(matcher::SECRET.to_owned());
        }
        match cx.run.redactor.redact_str(text) {
            std::borrow::Cow::Owned(text) => Some(text),
            std::borrow::Cow::Borrowed(_) => None,
        }
    };
    for default in defaults(job) {
        outcome.checks.extend(matcher::evaluate_redacted(
            default, fields, &context, redact,
        ));
    }
    for expectation in job.expect {
        let rendered = rendered(cx, job, expectation)?;
        outcome.checks.extend(matcher::evaluate_redacted(
            &rendered, fields, &context, redact,
        ));
    }
    // Asking again would be refused again.
    outcome.final_ |=
        job.action.name == "http" && matches!(outcome.codes.status, Some(400 | 401 | 403 | 422));
    let failed: Vec<&Check> = outcome
        .checks
        .iter()
        .filter(|check| check.verdict == Verdict::Fails)
        .collect();
    if !failed.is_empty() {
        let message = message(&failed, fields);
        outcome.fail(message);
    }
    if let Some(unseen) = unseen
        && outcome.state == State::Passed
    {
        outcome.fail(unseen);
    }
    Ok(())
}

/// Whether a text shows one of these. What is shorter than any secret is found only where it stands alone.
fn holds_hidden(text: &str, hidden: &[String]) -> bool {
    let holds = |own: &String| {
        text == own || own.len() >= crate::redact::SECRET_BYTES_MIN && text.contains(own.as_str())
    };
    hidden.iter().any(holds)
}

/// The same anywhere in a value.
fn has_hidden(value: &serde_json::Value, hidden: &[String]) -> bool {
    match value {
        serde_json::Value::String(text) => holds_hidden(text, hidden),
        serde_json::Value::Array(items) => items.iter().any(|item| has_hidden(item, hidden)),
        serde_json::Value::Object(map) => map.values().any(|item| has_hidden(item, hidden)),
        _ => false,
    }
}

/// What was captured may have been a secret: nothing of it shows at the cut of a long output, whatever looks at it next.
fn hide_at_cut(cx: &Cx, fields: &mut Fields, outcome: &Outcome) {
    let Some(output) = outcome.output.as_ref().filter(|_| outcome.raw) else {
        return;
    };
    for (name, capture) in [
        ("stdout", &output.stdout),
        ("stderr", &output.stderr),
        ("output", output.both()),
    ] {
        if !capture.is_whole() {
            fields.set(
                name,
                super::output::hidden_at_cut(&cx.run, capture).into_owned(),
            );
        }
    }
}

fn captures(
    cx: &Cx,
    job: &Job<'_>,
    fields: &mut Fields,
    hidden: &[String],
    outcome: &mut Outcome,
) -> Result<(), Box<Outcome>> {
    for wanted in job.capture {
        let mut wanted = wanted.clone();
        if let Some(selector) = &wanted.selector {
            wanted.selector = Some(
                job.scope
                    .render(selector)
                    .map_err(|(span, error)| cx.template(span, &error))?,
            );
        }
        match capture::take(&wanted, fields, job.action) {
            Ok(value) => {
                if !wanted.secret && has_hidden(&value, hidden) {
                    outcome.fail(format!("`{}` captures what a Secret holds", wanted.name));
                    outcome.hint = Some("add `secret: true` to the capture".to_owned());
                    outcome.final_ = true;
                    continue;
                }
                if wanted.secret {
                    outcome.secrets.push(wanted.name.clone());
                    // What cannot be hidden must not go on as a secret.
                    if let Err(short) = learn(cx, &value) {
                        outcome.fail(format!("`{}`: {short}", wanted.name));
                        continue;
                    }
                }
                fields.set(&wanted.name, value.clone());
                outcome.captures.insert(wanted.name, value);
            }
            Err(message) => outcome.fail(message),
        }
    }
    Ok(())
}

fn learn(cx: &Cx, value: &serde_json::Value) -> Result<(), crate::redact::TooShort> {
    match value {
        serde_json::Value::String(text) => cx.run.redactor.learn(text),
        serde_json::Value::Array(items) => items.iter().try_for_each(|item| learn(cx, item)),
        serde_json::Value::Object(map) => map.values().try_for_each(|item| learn(cx, item)),
        other => cx.run.redactor.learn(other.to_string()),
    }
}

fn rendered(
    cx: &Cx,
    job: &Job<'_>,
    expectation: &Expectation,
) -> Result<Expectation, Box<Outcome>> {
    let render = |node: &Node| {
        job.scope
            .render(node)
            .map_err(|(span, error)| cx.template(span, &error))
    };
    Ok(Expectation {
        field: expectation.field.clone(),
        key: expectation.key.as_ref().map(render).transpose()?,
        column: expectation.column.as_ref().map(render).transpose()?,
        matcher: render(&expectation.matcher)?,
        span: expectation.span,
    })
}

/// What is expected unless the field is named.
fn defaults(job: &Job<'_>) -> impl Iterator<Item = &'static Expectation> {
    static EXIT: LazyLock<Expectation> = LazyLock::new(|| plain("exit", scalar("0")));
    static OPEN: LazyLock<Expectation> = LazyLock::new(|| plain("open", scalar("true")));
    static STATUS: LazyLock<Expectation> = LazyLock::new(|| {
        let entry = Entry {
            key: "at-most".into(),
            key_span: Span::default(),
            value: scalar("399"),
        };
        plain(
            "status",
            Node {
                span: Span::default(),
                kind: Kind::Map(vec![entry]),
            },
        )
    });
    let default: Option<&'static Expectation> = match job.action.name {
        "bash" | "sh" | "python" if job.ends => Some(&EXIT),
        "tcp" => Some(&OPEN),
        "http" => Some(&STATUS),
        _ => None,
    };
    default
        .filter(|default| {
            !job.expect
                .iter()
                .any(|expectation| expectation.field == default.field)
        })
        .into_iter()
}

fn plain(field: &str, matcher: Node) -> Expectation {
    Expectation {
        field: field.into(),
        key: None,
        column: None,
        matcher,
        span: Span::default(),
    }
}

fn scalar(text: &str) -> Node {
    Node {
        span: Span::default(),
        kind: Kind::Scalar(Scalar {
            text: text.into(),
            plain: true,
        }),
    }
}

/// Why nothing follows from what there was: more than is kept, and an expectation or capture looks at it.
fn unseen(job: &Job<'_>, outcome: &Outcome, cut: &[&str]) -> Option<String> {
    let looked = job
        .expect
        .iter()
        .map(|expectation| expectation.field.as_str());
    let mut looked = looked.chain(job.capture.iter().map(|capture| capture.field.as_str()));
    let is_cut = |field: &str| {
        let printed = outcome.output.as_ref().and_then(|output| match field {
            "stdout" | "json" | "table" => Some(&output.stdout),
            "stderr" => Some(&output.stderr),
            "output" => Some(output.both()),
            _ => None,
        });
        cut.contains(&field) || printed.is_some_and(|printed| !printed.is_whole())
    };
    let field = looked.find(|field| is_cut(field))?;
    Some(format!(
        "`{field}` cannot be judged: it is longer than the {} MiB that are kept",
        crate::process::TEXT_BYTES_MAX >> 20
    ))
}

fn message(failed: &[&Check], fields: &Fields) -> String {
    let mut lines: Vec<String> = failed
        .iter()
        .map(|check| match check.actual.contains('\n') {
            true => format!(
                "{}: expected {}, got\n{}",
                check.check, check.expected, check.actual
            ),
            false => format!(
                "{}: expected {}, got {}",
                check.check, check.expected, check.actual
            ),
        })
        .collect();
    if failed.iter().any(|check| check.check == "exit") {
        let said = ["stderr", "stdout", "log"].iter().find_map(|name| {
            fields
                .get(name)?
                .as_str()
                .filter(|said| !said.trim().is_empty())
        });
        let said: Vec<&str> = said.unwrap_or_default().lines().collect();
        lines.extend(
            said[said.len().saturating_sub(MESSAGE_LINES_MAX)..]
                .iter()
                .map(|line| (*line).to_owned()),
        );
    }
    lines.join("\n")
}
