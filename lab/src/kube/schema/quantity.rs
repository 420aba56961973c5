//! Quantities: numbers with a unit, read, and written as Kubernetes writes them (`resource.Quantity`).

use serde_json::Value;

use super::Schema;

/// A quantity in thousandths.
pub(crate) fn parse_quantity(text: &str) -> Option<i128> {
    const UNITS: [(&str, i128); 12] = [
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("Ti", 1 << 40),
        ("Pi", 1 << 50),
        ("Ei", 1 << 60),
        ("k", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("T", 1_000_000_000_000),
        ("P", 1_000_000_000_000_000),
        ("E", 1_000_000_000_000_000_000),
    ];
    let (number, factor) = match UNITS.iter().find(|(unit, _)| text.ends_with(unit)) {
        Some((unit, factor)) => (&text[..text.len() - unit.len()], factor * 1000),
        None => match text.strip_suffix('m') {
            Some(number) => (number, 1),
            None => (text, 1000),
        },
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let negative = whole.starts_with('-');
    let mut out = whole.parse::<i128>().ok()?.checked_mul(factor)?;
    if !part.is_empty() {
        let digits = part.get(..part.len().min(9))?;
        let fraction =
            digits.parse::<i128>().ok()? * factor / 10i128.pow(u32::try_from(digits.len()).ok()?);
        out += if negative { -fraction } else { fraction };
    }
    Some(out)
}

/// Writes every quantity of a built-in kind in its one form.
pub(crate) fn normalize(schema: &Schema, value: &mut Value) {
    if schema.is_quantity() {
        let text = match &*value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return,
        };
        // What cannot be read is refused elsewhere.
        *value = canonical(&text).unwrap_or(text).into();
        return;
    }
    match value {
        Value::Object(map) => {
            for (name, value) in map.iter_mut() {
                if let Some(field) = schema.field(name) {
                    normalize(field, value);
                }
            }
        }
        Value::Array(list) => {
            if let Some(items) = schema.resolve().items.as_deref() {
                list.iter_mut().for_each(|item| normalize(items, item));
            }
        }
        _ => {}
    }
}

/// The form that Kubernetes keeps: units of 1024 stay such where they are whole, everything else gets the largest unit of 1000
/// that leaves a whole number. Exponents stay as they are written.
fn canonical(text: &str) -> Option<String> {
    const DECIMAL: [&str; 8] = ["m", "", "k", "M", "G", "T", "P", "E"];
    const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    if digits.contains(['e', 'E']) {
        return Some(text.to_owned());
    }
    let thousandths = parse_quantity(text)?;
    if thousandths == 0 {
        return Some("0".into());
    }
    let whole = thousandths % 1000 == 0;
    if text.ends_with('i') && whole && (thousandths / 1000).abs() >= 1024 {
        return Some(reduced(thousandths / 1000, 1024, &BINARY));
    }
    Some(reduced(thousandths, 1000, &DECIMAL))
}

fn reduced(mut number: i128, factor: i128, units: &[&str]) -> String {
    let mut at = 0;
    while number % factor == 0 && at + 1 < units.len() {
        number /= factor;
        at += 1;
    }
    format!("{number}{}", units[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a real 1.36.4 gives them back.
    #[test]
    fn quantities_are_written_as_the_real_server_writes_them() {
        for (sent, kept) in [
            ("1e3", "1e3"),
            ("1E3", "1E3"),
            ("12e6", "12e6"),
            ("1.5", "1500m"),
            ("1500m", "1500m"),
            ("100000k", "100M"),
            ("1048576", "1048576"),
            ("1024Mi", "1Gi"),
            ("1024Ki", "1Mi"),
            ("0.001", "1m"),
            ("1.5Ki", "1536"),
            ("1000", "1k"),
            ("1000m", "1"),
            ("1500M", "1500M"),
            ("0", "0"),
            ("0.1Gi", "107374182400m"),
            ("3Gi", "3Gi"),
            ("2048Gi", "2Ti"),
        ] {
            assert_eq!(canonical(sent).as_deref(), Some(kept), "{sent}");
        }
    }
}
