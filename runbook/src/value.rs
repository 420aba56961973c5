//! The values of the language that have a unit: durations, sizes, percentages, numbers.
//!
//! What an author writes for a key is strict ([`duration`], [`size`]); what a matcher compares may have decimals and a blank
//! before its unit ([`quantity`]), because programs print `312.4 GiB`. Every error says what to write instead. Prints back too.

mod quantity;

use std::time::Duration;

pub use self::quantity::{Quantity, Unit, print_number, print_seconds, quantity};

/// The units of a duration with their milliseconds, the largest first.
const DURATION_UNITS: &[(&str, u64)] = &[
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// The units of a size with their bytes. The first of each factor is the one that is printed.
const SIZE_UNITS: &[(&str, u64)] = &[
    ("EiB", 1 << 60),
    ("Ei", 1 << 60),
    ("EB", 1_000_000_000_000_000_000),
    ("PiB", 1 << 50),
    ("Pi", 1 << 50),
    ("PB", 1_000_000_000_000_000),
    ("TiB", 1 << 40),
    ("Ti", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("Gi", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("Mi", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("Ki", 1 << 10),
    ("kB", 1_000),
    ("KB", 1_000),
    ("B", 1),
];

/// Reads a duration: `250ms`, `30s`, `1h30m`, `2d`; whole numbers with their units, the larger first.
///
/// # Errors
///
/// A fragment that names the text and says what to write, when it is not a duration.
pub fn duration(text: &str) -> Result<Duration, String> {
    if text.is_empty() {
        return Err("a duration is empty: write `30s` or `1h30m`".into());
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!(
            "`{text}` has no unit: write `{text}s`, `{text}m` or `{text}ms`"
        ));
    }
    let mut rest = text;
    let mut next_unit = 0;
    let mut milliseconds: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at(letters);
        if digits == 0 || unit.is_empty() {
            return Err(not_a_duration(text));
        }
        let Some(index) = DURATION_UNITS.iter().position(|(name, _)| *name == unit) else {
            return Err(unknown_duration_unit(text, unit));
        };
        if index < next_unit {
            return Err(format!(
                "the units of `{text}` are not in order: the larger first, each once, as in `1h30m`"
            ));
        }
        next_unit = index + 1;
        let factor = DURATION_UNITS[index].1;
        milliseconds = number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(factor))
            .and_then(|part| milliseconds.checked_add(part))
            .ok_or_else(|| format!("`{text}` is too long"))?;
        rest = after;
    }
    Ok(Duration::from_millis(milliseconds))
}

fn not_a_duration(text: &str) -> String {
    if let Ok(quantity) = quantity(text)
        && quantity.unit == Unit::Duration
        && quantity.value >= 0.0
        && (quantity.value * 1000.0).fract() == 0.0
    {
        let whole = print_duration(Duration::from_millis((quantity.value * 1000.0) as u64));
        return format!("`{text}` is not in whole numbers: write `{whole}`");
    }
    format!("`{text}` is not a duration: write `250ms`, `30s`, `1h30m` or `2d`")
}

fn unknown_duration_unit(text: &str, unit: &str) -> String {
    let meant = match unit.to_ascii_lowercase().as_str() {
        "sec" | "secs" | "second" | "seconds" | "s" => Some("s"),
        "min" | "mins" | "minute" | "minutes" | "m" => Some("m"),
        "hr" | "hrs" | "hour" | "hours" | "h" => Some("h"),
        "day" | "days" | "d" => Some("d"),
        "ms" | "msec" | "millisecond" | "milliseconds" => Some("ms"),
        _ => None,
    };
    match meant {
        Some(meant) => format!("unknown unit `{unit}` in `{text}`, did you mean `{meant}`?"),
        None => {
            format!("unknown unit `{unit}` in `{text}`: the units are `d`, `h`, `m`, `s` and `ms`")
        }
    }
}

/// Prints a duration as it is written: the parts that are not zero, the larger first. Less than a millisecond is dropped.
pub fn print_duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if rest == 0 {
        return "0s".into();
    }
    let mut text = String::new();
    for (unit, factor) in DURATION_UNITS {
        let part = rest / factor;
        rest %= factor;
        if part > 0 {
            text.push_str(&format!("{part}{unit}"));
        }
    }
    text
}

/// Reads a size in bytes: `8GiB` or `8Gi` (IEC), `500MB` (SI), `4096` (bytes); a whole number.
///
/// # Errors
///
/// A fragment that names the text and says what to write, when it is not a size.
pub fn size(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let too_large = || format!("`{text}` is too large for a size");
    if digits == 0 {
        return Err(format!(
            "`{text}` is not a size: write `8GiB`, `500MB` or bytes"
        ));
    }
    let number: u64 = number.parse().map_err(|_| too_large())?;
    if unit.is_empty() {
        return Ok(number);
    }
    match SIZE_UNITS.iter().find(|(name, _)| *name == unit) {
        Some((_, factor)) => number.checked_mul(*factor).ok_or_else(too_large),
        None => Err(not_a_size(text, number, unit)),
    }
}

fn not_a_size(text: &str, number: u64, unit: &str) -> String {
    if unit.starts_with('.')
        && let Ok(quantity) = quantity(text)
        && quantity.unit == Unit::Size
        && quantity.value.fract() == 0.0
        && quantity.value < u64::MAX as f64
    {
        return format!(
            "`{text}` is not in whole numbers: write `{}`",
            print_size(quantity.value as u64)
        );
    }
    if matches!(unit, "K" | "k" | "M" | "G" | "T" | "P" | "E") {
        let letter = unit.to_ascii_uppercase();
        let si = if letter == "K" {
            "kB".to_owned()
        } else {
            format!("{letter}B")
        };
        return format!(
            "`{text}` may mean two sizes: write `{number}{letter}iB` (powers of 1024) or `{number}{si}` (of 1000)"
        );
    }
    let meant = SIZE_UNITS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit.trim()));
    match meant {
        Some((name, _)) => format!("unknown unit `{unit}` in `{text}`: write `{number}{name}`"),
        None => format!(
            "unknown unit `{unit}` in `{text}`: the units are `KiB`, `MiB`, `GiB`, `TiB` and `kB`, `MB`, `GB`, `TB`"
        ),
    }
}

/// Prints a size as it is written, in the shortest form that is exact; of two as short ones the larger unit's.
pub fn print_size(bytes: u64) -> String {
    let bare = bytes.to_string();
    if bytes == 0 {
        return bare;
    }
    SIZE_UNITS
        .iter()
        .filter(|(unit, factor)| {
            unit.len() > 1 && unit.ends_with('B') && *unit != "KB" && bytes.is_multiple_of(*factor)
        })
        .map(|(unit, factor)| format!("{}{unit}", bytes / factor))
        .chain(std::iter::once(bare))
        .min_by_key(String::len)
        .unwrap_or_default()
}

/// Reads a percentage: `80%`, `12.5%`.
///
/// # Errors
///
/// A fragment that names the text, when it is not a percentage.
pub fn percent(text: &str) -> Result<f64, String> {
    text.strip_suffix('%')
        .and_then(|points| number(points.trim_end()).ok())
        .ok_or_else(|| format!("`{text}` is not a percentage: write `80%`"))
}

/// Reads a decimal number: `3`, `-0.5`, `1e3`.
///
/// # Errors
///
/// A fragment that names the text, when it is not a finite decimal number.
pub fn number(text: &str) -> Result<f64, String> {
    let plain = text.strip_prefix(['+', '-']).unwrap_or(text);
    let decimal = plain.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && plain
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    match text.parse::<f64>() {
        Ok(number) if decimal && number.is_finite() => Ok(number),
        _ => Err(format!("`{text}` is not a number")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read_in_whole_numbers_with_units() {
        for (text, milliseconds) in [
            ("250ms", 250),
            ("30s", 30_000),
            ("1h30m", 5_400_000),
            ("2d", 172_800_000),
            ("1m5s10ms", 65_010),
            ("0s", 0),
        ] {
            assert_eq!(
                duration(text),
                Ok(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
    }

    #[test]
    fn wrong_durations_say_what_to_write() {
        for (text, part) in [
            ("30", "has no unit: write `30s`"),
            ("", "empty"),
            ("1.5s", "write `1s500ms`"),
            ("30sec", "did you mean `s`"),
            ("3 s", "not in whole numbers: write `3s`"),
            ("30m1h", "not in order"),
            ("1s1s", "not in order"),
            ("5w", "the units are"),
            ("s", "is not a duration"),
            ("99999999999999999999d", "too long"),
            ("1sé", "is not a duration"),
        ] {
            let error = duration(text).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn sizes_are_iec_si_or_bytes() {
        for (text, bytes) in [
            ("8GiB", 8 << 30),
            ("8Gi", 8 << 30),
            ("500MB", 500_000_000),
            ("4096", 4096),
            ("1kB", 1000),
            ("3B", 3),
            ("2TiB", 2 << 40),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn wrong_sizes_say_what_to_write() {
        for (text, part) in [
            ("8G", "write `8GiB` (powers of 1024) or `8GB`"),
            ("8k", "`8KiB` (powers of 1024) or `8kB`"),
            ("8gib", "write `8GiB`"),
            ("1.5GiB", "write `1536MiB`"),
            ("x", "is not a size"),
            ("8 parsecs", "unknown unit"),
            ("99999999999EiB", "too large"),
        ] {
            let error = size(text).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn sizes_print_in_the_shortest_exact_form() {
        for (bytes, text) in [
            (8 << 30, "8GiB"),
            (500_000_000, "500MB"),
            (4096, "4KiB"),
            (1001, "1001"),
            (0, "0"),
        ] {
            assert_eq!(print_size(bytes), text);
        }
    }

    #[test]
    fn quantities_may_have_decimals_and_a_blank() {
        for (text, value, unit) in [
            ("312.4GiB", 312.4 * 1_073_741_824.0, Unit::Size),
            ("312 GB", 312e9, Unit::Size),
            ("4.2s", 4.2, Unit::Duration),
            ("31h 4m", 111_840.0, Unit::Duration),
            ("-14d", -1_209_600.0, Unit::Duration),
            ("80%", 80.0, Unit::Percent),
            (" 3 ", 3.0, Unit::Number),
            ("-1e3", -1000.0, Unit::Number),
        ] {
            assert_eq!(quantity(text), Ok(Quantity { value, unit }), "{text}");
        }
        for text in ["n/a", "", "inf", "NaN", "0x10", "8G", "1..2", "m", "%", "."] {
            assert!(quantity(text).is_err(), "{text}");
        }
    }

    #[test]
    fn quantities_print_for_people_and_never_look_like_their_bound() {
        let bound = quantity("500GiB").unwrap();
        assert_eq!(bound.to_string(), "500GiB");
        assert_eq!(bound.print_like(312.4 * 1_073_741_824.0), "312.4GiB");
        assert_eq!(bound.print_like(499.99 * 1_073_741_824.0), "499.99GiB");
        let bound = quantity("26h").unwrap();
        assert_eq!(
            (bound.to_string(), bound.print_like(111_840.0)),
            ("26h".into(), "31h 4m".into())
        );
        let bound = quantity("3s").unwrap();
        assert_eq!(
            (bound.to_string(), bound.print_like(4.2)),
            ("3s".into(), "4.2s".into())
        );
        assert_eq!(bound.print_like(0.0125), "12ms");
        assert_eq!(quantity("80%").unwrap().print_like(79.96), "79.96%");
        assert_eq!(quantity("1h30m").unwrap().to_string(), "1h 30m");
    }

    proptest! {
        #[test]
        fn durations_print_as_they_are_read(milliseconds in any::<u64>()) {
            let value = Duration::from_millis(milliseconds);
            prop_assert_eq!(duration(&print_duration(value)), Ok(value));
        }

        #[test]
        fn sizes_print_as_they_are_read(bytes in any::<u64>(), shift in 0..64u32) {
            let bytes = bytes >> shift << (shift / 2);
            prop_assert_eq!(size(&print_size(bytes)), Ok(bytes));
        }

        #[test]
        fn no_text_makes_a_reader_panic(text in "\\PC{0,12}", number in "[0-9.a-zA-Z% -]{0,12}") {
            for text in [text, number] {
                let _ = (duration(&text), size(&text), percent(&text));
                if let Ok(quantity) = quantity(&text) {
                    prop_assert!(!quantity.print_like(1.0).is_empty());
                }
            }
        }
    }
}
