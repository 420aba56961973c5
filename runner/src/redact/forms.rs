//! The forms in which a secret value is written.
//!
//! Pure: a value in, texts to look for out. A form that would be too short to mean anything is left out.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

/// The shortest part of a base64 text that is looked for.
const BASE64_BYTES_MIN: usize = 4;
/// The shortest line of a value of several lines that is looked for by itself.
const LINE_BYTES_MIN: usize = 8;
/// Where programs break lines of base64: `base64` and MIME; `openssl` and PEM.
const BASE64_LINES: [usize; 2] = [76, 64];

/// All forms of a value.
pub(super) fn of(value: &[u8]) -> Vec<Vec<u8>> {
    let mut values = vec![value.to_vec(), value.trim_ascii().to_vec()];
    if value.trim_ascii().contains(&b'\n') {
        // Indented, quoted or wrapped, such a value appears line by line. What frames a key is no secret.
        let lines = value.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        let lines =
            lines.filter(|line| line.len() >= LINE_BYTES_MIN && !line.starts_with(b"-----"));
        values.extend(lines.map(<[u8]>::to_vec));
    }
    let mut forms = values.clone();
    for value in values {
        base64(&value, &mut forms);
        percent(&value, &mut forms);
        if let Ok(text) = std::str::from_utf8(&value) {
            escaped(text, &mut forms);
        }
    }
    forms
}

fn base64(value: &[u8], forms: &mut Vec<Vec<u8>>) {
    let with_line_end = [value, b"\n"].concat();
    for bytes in [value, &with_line_end] {
        for engine in [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD] {
            let text = engine.encode(bytes);
            for width in BASE64_LINES.into_iter().filter(|width| text.len() > *width) {
                let lines = text
                    .as_bytes()
                    .chunks(width)
                    .filter(|line| line.len() >= BASE64_BYTES_MIN);
                forms.extend(lines.map(<[u8]>::to_vec));
            }
            forms.push(text.into_bytes());
        }
    }
    // Inside a longer text a value begins at one of three places in a group; characters that it shares with its
    // neighbours are not known.
    for before in 0..3 {
        let padded = [&[0; 2][..before], value].concat();
        let first = [0, 2, 3][before];
        let last = padded.len() * 8 / 6;
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            let text = engine.encode(&padded);
            if last >= first + BASE64_BYTES_MIN {
                forms.push(text.as_bytes()[first..last].to_vec());
            }
        }
    }
}

/// As in a URL: every byte but the unreserved ones; with `/` as it is; in a form, with `+` for a blank.
fn percent(value: &[u8], forms: &mut Vec<Vec<u8>>) {
    for as_they_are in ["-_.~", "-_.~/", "-_.*", "-_.!~*'()", "-_.~!$&'()*+,;=:@/?"] {
        for is_form in [false, true] {
            let mut upper = String::new();
            let mut lower = String::new();
            for byte in value {
                match byte {
                    b' ' if is_form => {
                        upper.push('+');
                        lower.push('+');
                    }
                    byte if byte.is_ascii_alphanumeric()
                        || as_they_are.as_bytes().contains(byte) =>
                    {
                        upper.push(char::from(*byte));
                        lower.push(char::from(*byte));
                    }
                    byte => {
                        // Writing to a text cannot fail.
                        let _ = write!(upper, "%{byte:02X}");
                        let _ = write!(lower, "%{byte:02x}");
                    }
                }
            }
            forms.extend([upper.into_bytes(), lower.into_bytes()]);
        }
    }
}

/// As in JSON (also as Go, Python and PHP write it, and inside a JSON text of another), HTML and a shell's quotes.
fn escaped(value: &str, forms: &mut Vec<Vec<u8>>) {
    let plain = json(value, |_| false);
    let go = json(value, |char| {
        matches!(char, '<' | '>' | '&' | '\u{2028}' | '\u{2029}')
    });
    let ascii = json(value, |char| !char.is_ascii());
    let both = json(value, |char| {
        !char.is_ascii() || matches!(char, '<' | '>' | '&')
    });
    for text in [plain, go, ascii, both] {
        forms.push(text.replace('/', "\\/").into_bytes());
        forms.push(json(&text, |_| false).into_bytes());
        forms.push(text.into_bytes());
    }
    let html = value
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    for (double, single) in [
        ("&quot;", "&#39;"),
        ("&quot;", "&#x27;"),
        ("&#34;", "&#39;"),
        ("&quot;", "&apos;"),
        ("\"", "'"),
    ] {
        forms.push(html.replace('"', double).replace('\'', single).into_bytes());
    }
    forms.push(value.replace('\'', "'\\''").into_bytes());
    forms.push(value.replace('\'', "'\"'\"'").into_bytes());
}

/// The text as it stands in a JSON string, further characters as `\uXXXX`.
fn json(value: &str, as_number: impl Fn(char) -> bool) -> String {
    let mut text = String::new();
    for char in value.chars() {
        if as_number(char) {
            for unit in char.encode_utf16(&mut [0; 2]) {
                let _ = write!(text, "\\u{unit:04x}");
            }
            continue;
        }
        match char {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            char if u32::from(char) < 0x20 => {
                let _ = write!(text, "\\u{:04x}", u32::from(char));
            }
            char => text.push(char),
        }
    }
    text
}
