//! Numbers with units and times: `at-least`, `at-most`, `between`, `age`.

use std::str::FromStr;

use jiff::Timestamp;
use serde_json::{Number, Value};

use super::judge::{Env, Judged, judge_value, judged};
use super::parse::Matcher;
use super::wording;
use crate::value::{Quantity, Unit, print_seconds, quantity};

/// The number that a value is, in a bound's unit: a bare one is bytes, seconds or points.
fn in_unit(value: &Value, bound: Quantity) -> Result<f64, String> {
    let not_a_number = || format!("not a number: {}", wording::quoted_if_text(value));
    match value {
        Value::Number(number) => number.as_f64().ok_or_else(not_a_number),
        Value::String(text) => match quantity(text) {
            Ok(found) if found.unit == bound.unit || found.unit == Unit::Number => Ok(found.value),
            Ok(_) => {
                let what = match bound.unit {
                    Unit::Number => "bare number",
                    Unit::Size => "size",
                    Unit::Duration => "duration",
                    Unit::Percent => "percentage",
                };
                Err(format!("not a {what}: {}", wording::quoted(text)))
            }
            Err(_) => Err(not_a_number()),
        },
        _ => Err(not_a_number()),
    }
}

pub(super) fn compare(value: &Value, bound: Quantity, holds: impl Fn(f64) -> bool) -> Judged {
    match in_unit(value, bound) {
        Ok(actual) => judged(holds(actual), bound.print_like(actual)),
        Err(error) => judged(false, error),
    }
}

pub(super) fn between(value: &Value, low: Quantity, high: Quantity) -> Judged {
    match in_unit(value, low) {
        Ok(actual) => {
            let nearest = if actual < low.value { low } else { high };
            judged(
                (low.value..=high.value).contains(&actual),
                nearest.print_like(actual),
            )
        }
        Err(error) => judged(false, error),
    }
}

pub(super) fn age(inner: &Matcher, value: &Value, env: &Env) -> Judged {
    let Some(seconds) = seconds_since(value, env.now) else {
        return judged(
            false,
            format!("not a time: {}", wording::quoted_if_text(value)),
        );
    };
    let Some(number) = Number::from_f64(seconds) else {
        return judged(
            false,
            format!("not a time: {}", wording::quoted_if_text(value)),
        );
    };
    let holds = judge_value(inner, &Value::Number(number), env).holds;
    let sign = if seconds < 0.0 { "-" } else { "" };
    judged(
        holds,
        format!(
            "{sign}{} ({})",
            print_seconds(seconds, 1),
            wording::describe(value)
        ),
    )
}

/// The seconds from a time, RFC 3339 or seconds since 1970, to now.
fn seconds_since(value: &Value, now: Timestamp) -> Option<f64> {
    let epoch = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => match Timestamp::from_str(text.trim()) {
            Ok(timestamp) => timestamp.as_duration().as_secs_f64(),
            Err(_) => crate::value::number(text.trim()).ok()?,
        },
        _ => return None,
    };
    Some(now.as_duration().as_secs_f64() - epoch)
}
