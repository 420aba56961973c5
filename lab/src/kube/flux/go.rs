//! Durations as Go reads and writes them.

use std::time::Duration;

/// A duration as Go reads it: `1h30m`, `10s`. None for what is none.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let mut total = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let unit = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let factor = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 0.001,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * factor;
        rest = after;
    }
    (!text.is_empty()).then(|| Duration::from_secs_f64(total))
}

/// A duration as Go writes it: `10m0s`, `30s`, `65.2ms`.
pub(super) fn show(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if duration.is_zero() {
        return "0s".into();
    }
    if seconds == 0 {
        let micros = duration.as_micros();
        return format!("{}ms", decimals(micros, 1_000));
    }
    let rest = decimals(duration.as_millis() % 60_000, 1_000);
    match (seconds / 3600, seconds / 60 % 60) {
        (0, 0) => format!("{rest}s"),
        (0, minutes) => format!("{minutes}m{rest}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{rest}s"),
    }
}

/// A number in parts of another, without zeros at the end.
fn decimals(number: u128, whole: u128) -> String {
    let text = format!("{}.{:03}", number / whole, number % whole);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written_as_go_does() {
        for (text, shown) in [
            ("1h30m", "1h30m0s"),
            ("10s", "10s"),
            ("10m", "10m0s"),
            ("90s", "1m30s"),
            ("1.5s", "1.5s"),
            ("65ms", "65ms"),
        ] {
            assert_eq!(show(parse(text).expect(text)), shown);
        }
        assert_eq!(show(Duration::from_micros(65_247)), "65.247ms");
        for text in ["", "x", "10", "5 minutes"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
