//! Fields of bytes, which JSON has as base64: read and written again as Go does it.

use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;

use super::Schema;

/// Go reads bits after the last byte and does not look at them.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// Writes every field of bytes as the server would give it back: without line ends, a null as nothing.
///
/// # Errors
///
/// The first place, in the order of the text, where one is no base64: as Go counts it, from the start of the field.
pub(crate) fn normalize_bytes(schema: &Schema, value: &mut Value) -> Result<(), usize> {
    let own = schema.resolve();
    if own.format.as_deref() == Some("byte") {
        return match value {
            Value::String(text) => {
                *text = again(text)?;
                Ok(())
            }
            _ => Ok(()),
        };
    }
    match value {
        Value::Object(map) => {
            for (name, value) in map.iter_mut() {
                if let Some(field) = schema.field(name) {
                    normalize_bytes(field, value)?;
                }
            }
        }
        Value::Array(list) => {
            if let Some(items) = own.items.as_deref() {
                for value in list {
                    normalize_bytes(items, value)?;
                }
            }
        }
        _ => {}
    }
    Ok(())
}

fn again(text: &str) -> Result<String, usize> {
    if let Some(place) = corrupt(text.as_bytes()) {
        return Err(place);
    }
    let bare: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    let bytes = LENIENT.decode(&bare).map_err(|_| text.len())?;
    Ok(STANDARD.encode(bytes))
}

/// Where a text stops being base64, as Go's decoder says it; none where it is base64. Line ends count, and are allowed anywhere.
fn corrupt(text: &[u8]) -> Option<usize> {
    let is_line_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let mut at = 0;
    let mut digits = 0;
    while let Some(&byte) = text.get(at) {
        if is_digit(byte) {
            digits = (digits + 1) % 4;
        } else if byte == b'=' {
            return padding(text, at, digits);
        } else if !is_line_end(&byte) {
            return Some(at);
        }
        at += 1;
    }
    (digits > 0).then(|| at - digits)
}

/// The same for what begins with a padding, after so many digits of a group of four.
fn padding(text: &[u8], at: usize, digits: usize) -> Option<usize> {
    let skip = |from: usize| {
        let rest = text.get(from..).unwrap_or_default();
        from + rest
            .iter()
            .take_while(|byte| matches!(byte, b'\r' | b'\n'))
            .count()
    };
    let mut next = at + 1;
    match digits {
        3 => {}
        2 => {
            next = skip(next);
            match text.get(next) {
                Some(b'=') => next += 1,
                Some(_) => return Some(next - 1),
                None => return Some(text.len()),
            }
        }
        _ => return Some(at),
    }
    let end = skip(next);
    (end < text.len()).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_base64_is_told_where_go_tells_it() {
        for (text, place) in [
            ("", None),
            ("YQ==", None),
            ("YW\nJj", None),
            ("YQ=\n=\n", None),
            ("not base64", Some(3)),
            ("YQ", Some(0)),
            ("YWJjYQ", Some(4)),
            ("YQ=", Some(3)),
            ("YQ=a", Some(2)),
            ("Y===", Some(1)),
            ("=", Some(0)),
            ("YQ==YQ==", Some(4)),
            ("YWI=x", Some(4)),
            ("Yé==", Some(1)),
        ] {
            assert_eq!(corrupt(text.as_bytes()), place, "{text:?}");
        }
    }

    #[test]
    fn it_is_written_without_line_ends_and_spare_bits() {
        assert_eq!(again("YW\r\nJj\n").as_deref(), Ok("YWJj"));
        assert_eq!(again("YR==").as_deref(), Ok("YQ=="));
        assert_eq!(again("Y"), Err(0));
    }
}
