//! Numbers with their units as matchers compare them, and as people read them.

use std::fmt;

use super::{DURATION_UNITS, SIZE_UNITS, number, percent};

/// The unit of a [`Quantity`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A bare number.
    Number,
    /// Bytes.
    Size,
    /// Seconds.
    Duration,
    /// Points.
    Percent,
}

/// A number with its unit, as matchers compare it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quantity {
    /// The number: bytes, seconds, points, or as it is.
    pub value: f64,
    /// The unit.
    pub unit: Unit,
}

/// Reads a number, a size, a duration or a percentage; decimals, a sign and blanks before the unit are allowed.
///
/// # Errors
///
/// A fragment that names the text, when it is none of them.
pub fn quantity(text: &str) -> Result<Quantity, String> {
    let text = text.trim();
    if let Ok(value) = number(text) {
        return Ok(Quantity {
            value,
            unit: Unit::Number,
        });
    }
    if let Ok(value) = percent(text) {
        return Ok(Quantity {
            value,
            unit: Unit::Percent,
        });
    }
    let (sign, plain) = match text.strip_prefix('-') {
        Some(plain) => (-1.0, plain),
        None => (1.0, text),
    };
    let digits = plain
        .bytes()
        .take_while(|b| b.is_ascii_digit() || *b == b'.')
        .count();
    let (amount, unit) = plain.split_at(digits);
    if let Ok(amount) = number(amount)
        && let Some((_, factor)) = SIZE_UNITS
            .iter()
            .find(|(name, _)| *name == unit.trim_start())
    {
        return Ok(Quantity {
            value: sign * amount * *factor as f64,
            unit: Unit::Size,
        });
    }
    if let Some(seconds) = decimal_duration(plain) {
        return Ok(Quantity {
            value: sign * seconds,
            unit: Unit::Duration,
        });
    }
    Err(format!(
        "`{text}` is not a number, a size, a duration or a percentage"
    ))
}

/// `4.2s`, `1h 30m`, `250 ms`: seconds.
fn decimal_duration(text: &str) -> Option<f64> {
    let mut rest = text;
    let mut next_unit = 0;
    let mut seconds = 0.0;
    if text.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest
            .bytes()
            .take_while(|b| b.is_ascii_digit() || *b == b'.')
            .count();
        let (amount, after) = rest.split_at(digits);
        let after = after.trim_start();
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at(letters);
        let index = DURATION_UNITS.iter().position(|(name, _)| *name == unit)?;
        if index < next_unit {
            return None;
        }
        next_unit = index + 1;
        seconds += number(amount).ok()? * DURATION_UNITS[index].1 as f64 / 1000.0;
        rest = after.trim_start();
    }
    Some(seconds)
}

/// How many digits after the point a number for people may need before two different ones look different.
const DECIMALS_MAX: usize = 6;

impl Quantity {
    /// Prints a number of this quantity's unit for people: rounded to a digit, but to more where it would look like `self`.
    pub fn print_like(&self, value: f64) -> String {
        let own = self.to_string();
        let mut text = String::new();
        for decimals in 1..=DECIMALS_MAX {
            text = print(value, self.unit, decimals);
            if value == self.value || text != own {
                break;
            }
        }
        text
    }
}

impl fmt::Display for Quantity {
    /// Prints it as it would be written: exact where that is short.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&print(self.value, self.unit, DECIMALS_MAX))
    }
}

fn print(value: f64, unit: Unit, decimals: usize) -> String {
    let sign = if value < 0.0 { "-" } else { "" };
    let amount = value.abs();
    match unit {
        Unit::Number => print_number(value, DECIMALS_MAX),
        Unit::Percent => format!("{}%", print_number(value, decimals)),
        Unit::Size => {
            let (name, factor) = SIZE_UNITS
                .iter()
                .filter(|(name, factor)| name.ends_with("iB") && amount >= *factor as f64)
                .max_by_key(|(_, factor)| *factor)
                .unwrap_or(&("B", 1));
            format!(
                "{sign}{}{name}",
                print_number(amount / *factor as f64, decimals)
            )
        }
        Unit::Duration => format!("{sign}{}", print_seconds(amount, decimals)),
    }
}

/// A number for people: at most so many decimals, without zeros at the end.
pub fn print_number(value: f64, decimals: usize) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        return format!("{value:.0}");
    }
    if value.abs() >= 1e15 || (value != 0.0 && value.abs() < 1e-4) {
        return format!("{value:e}");
    }
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// Seconds for people: `12ms`, `4.2s`, `1m 30s`, `31h 4m`, `9d 3h`.
pub fn print_seconds(seconds: f64, decimals: usize) -> String {
    let seconds = seconds.abs();
    if seconds == 0.0 {
        return "0s".into();
    }
    if seconds < 1.0 {
        return format!(
            "{}ms",
            print_number(seconds * 1000.0, decimals.saturating_sub(1))
        );
    }
    if seconds < 60.0 {
        return format!("{}s", print_number(seconds, decimals));
    }
    // Two units, the smaller one left out when it is zero; hours up to two days, because nights are counted in hours.
    let whole = seconds.round().min(u64::MAX as f64) as u64;
    let (large, small) = match whole {
        0..3_600 => (("m", 60), ("s", 1)),
        3_600..172_800 => (("h", 3_600), ("m", 60)),
        _ => (("d", 86_400), ("h", 3_600)),
    };
    let (count, rest) = (whole / large.1, whole % large.1 / small.1);
    if rest == 0 {
        format!("{count}{}", large.0)
    } else {
        format!("{count}{} {rest}{}", large.0, small.0)
    }
}
