//! YAML documents to JSON values. Anchors and aliases are resolved, with a limit on what they may grow to.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag};
use serde_json::{Map, Number, Value};

use crate::error::Error;
use crate::object::Place;

/// How deep maps and lists may nest.
const DEPTH_MAX: usize = 128;
/// How many values a manifest may have after its aliases are resolved.
const VALUES_MAX: usize = 2_000_000;

/// Every document that says something, with the place of its first value.
pub(super) fn documents(text: &str) -> Result<Vec<(Place, Value)>, Error> {
    // A mark of the byte order is no part of the text.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let options = granit_parser::options! { emit_comments: false };
    let mut reader = Reader {
        events: Parser::new_from_str_with_options(text, options),
        document: 0,
        anchors: HashMap::new(),
        values: 0,
    };
    let mut documents = Vec::new();
    while let Some((event, span)) = reader.next()? {
        match event {
            Event::DocumentStart(..) => {
                reader.document += 1;
                reader.anchors.clear();
            }
            Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            event => {
                let place = reader.place(&span);
                let value = reader.node(event, &span, 0)?;
                if !value.is_null() {
                    documents.push((place, value));
                }
            }
        }
    }
    Ok(documents)
}

struct Reader<'a> {
    events: Parser<'a, StrInput<'a>>,
    document: usize,
    /// Values of anchors with the number of values each holds.
    anchors: HashMap<usize, (Value, usize)>,
    values: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, Error> {
        match self.events.next_event() {
            Some(Ok(next)) => Ok(Some(next)),
            Some(Err(error)) => Err(Error::Manifest {
                document: self.document.max(1),
                line: error.marker().line(),
                message: format!("this is no YAML: {error}"),
            }),
            None => Ok(None),
        }
    }

    /// The next event inside of a collection; its end is always there.
    fn inside(&mut self, span: &Span) -> Result<(Event<'a>, Span), Error> {
        match self.next()? {
            Some(next) => Ok(next),
            None => self.refuse(span, "the text ends inside of a map or list"),
        }
    }

    fn place(&self, span: &Span) -> Place {
        Place {
            document: self.document.max(1),
            line: span.start.line(),
        }
    }

    fn refuse<T>(&self, span: &Span, message: impl Into<String>) -> Result<T, Error> {
        Err(Error::Manifest {
            document: self.document.max(1),
            line: span.start.line(),
            message: message.into(),
        })
    }

    fn count(&mut self, more: usize, span: &Span) -> Result<(), Error> {
        self.values += more;
        if self.values > VALUES_MAX {
            return self.refuse(span, format!("more than {VALUES_MAX} values"));
        }
        Ok(())
    }

    fn node(&mut self, event: Event<'a>, span: &Span, depth: usize) -> Result<Value, Error> {
        if depth > DEPTH_MAX {
            return self.refuse(
                span,
                format!("maps and lists are nested deeper than {DEPTH_MAX}"),
            );
        }
        self.count(1, span)?;
        let before = self.values;
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                (self.scalar(&text, style, tag.as_deref(), span)?, anchor)
            }
            Event::SequenceStart(_, anchor, _) => (self.list(span, depth)?, anchor),
            Event::MappingStart(_, anchor, _) => (self.map(span, depth)?, anchor),
            Event::Alias(anchor) => match self.anchors.get(&anchor).cloned() {
                Some((value, size)) => {
                    self.count(size, span)?;
                    (value, 0)
                }
                None => return self.refuse(span, "an alias inside of its own anchor"),
            },
            _ => return self.refuse(span, "a value is expected here"),
        };
        if anchor != 0 {
            let size = self.values - before + 1;
            self.anchors.insert(anchor, (value.clone(), size));
        }
        Ok(value)
    }

    fn list(&mut self, span: &Span, depth: usize) -> Result<Value, Error> {
        let mut items = Vec::new();
        loop {
            match self.inside(span)? {
                (Event::SequenceEnd, _) => return Ok(Value::Array(items)),
                (event, span) => items.push(self.node(event, &span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, span: &Span, depth: usize) -> Result<Value, Error> {
        let mut map = Map::new();
        let mut merged = Vec::new();
        loop {
            let (key, key_span) = match self.inside(span)? {
                (Event::MappingEnd, _) => break,
                // Keys of JSON are texts: `80: a` is the key "80".
                (Event::Scalar(key, style, ..), span) => {
                    if style == ScalarStyle::Plain && key == "<<" {
                        let (event, span) = self.inside(&span)?;
                        merged.push((self.node(event, &span, depth + 1)?, span));
                        continue;
                    }
                    (key.into_owned(), span)
                }
                (_, span) => return self.refuse(&span, "a key is a text"),
            };
            let (event, span) = self.inside(&key_span)?;
            let value = self.node(event, &span, depth + 1)?;
            if map.contains_key(&key) {
                return self.refuse(&key_span, format!("`{key}` stands twice"));
            }
            map.insert(key, value);
        }
        // What stands in the map itself wins over what is merged (YAML 1.1, merge keys; kubectl knows them).
        for (value, span) in merged {
            let sources = match value {
                Value::Array(sources) => sources,
                source => vec![source],
            };
            for source in sources {
                let Value::Object(source) = source else {
                    return self.refuse(&span, "only maps can be merged by `<<`");
                };
                for (key, value) in source {
                    map.entry(key).or_insert(value);
                }
            }
        }
        Ok(Value::Object(map))
    }

    fn scalar(
        &self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        span: &Span,
    ) -> Result<Value, Error> {
        match tag.map(ToString::to_string).as_deref() {
            Some("!!str" | "tag:yaml.org,2002:str" | "!") => return Ok(Value::from(text)),
            Some("!!binary" | "tag:yaml.org,2002:binary") => {
                let text: String = text.split_whitespace().collect();
                return Ok(Value::from(text));
            }
            _ => {}
        }
        if style != ScalarStyle::Plain {
            return Ok(Value::from(text));
        }
        match plain(text) {
            Some(value) => Ok(value),
            None => self.refuse(span, format!("`{text}` is no number that JSON can hold")),
        }
    }
}

/// A scalar without quotes, by the core schema of YAML 1.2 and the octal numbers of YAML 1.1. None: a number JSON has not.
pub(super) fn plain(text: &str) -> Option<Value> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Some(Value::Null),
        "true" | "True" | "TRUE" => return Some(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Some(Value::Bool(false)),
        ".inf" | ".Inf" | ".INF" | "-.inf" | "+.inf" | ".nan" | ".NaN" | ".NAN" => return None,
        _ => {}
    }
    let first = text.as_bytes().first()?;
    if !(first.is_ascii_digit() || matches!(first, b'-' | b'+' | b'.')) {
        return Some(Value::from(text));
    }
    Some(number(text).map_or_else(|| Value::from(text), Value::Number))
}

fn number(text: &str) -> Option<Number> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let all = |digits: &str, of: fn(&u8) -> bool| {
        !digits.is_empty() && digits.bytes().all(|byte| of(&byte))
    };
    let octal: fn(&u8) -> bool = |byte| (b'0'..=b'7').contains(byte);
    let radix = if let Some(digits) = digits
        .strip_prefix("0x")
        .filter(|digits| all(digits, u8::is_ascii_hexdigit))
    {
        Some((digits, 16))
    } else if let Some(digits) = digits
        .strip_prefix("0o")
        .filter(|digits| all(digits, octal))
    {
        Some((digits, 8))
    } else if digits.len() > 1 && digits.starts_with('0') && all(digits, octal) {
        Some((digits, 8))
    } else {
        None
    };
    if let Some((digits, radix)) = radix {
        let number = i64::from_str_radix(digits, radix).ok()?;
        return Some(Number::from(if negative { -number } else { number }));
    }
    if all(digits, u8::is_ascii_digit) {
        if let Ok(number) = text.trim_start_matches('+').parse::<i64>() {
            return Some(Number::from(number));
        }
        return text
            .trim_start_matches('+')
            .parse::<u64>()
            .ok()
            .map(Number::from);
    }
    // `1.5`, `.5`, `1e3`: Rust reads more than that ("inf", "nan"), but no letters but `e` get here.
    let is_float = digits
        .bytes()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'-' | b'+'));
    if !is_float || !digits.bytes().any(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Number::from_f64(text.trim_start_matches('+').parse().ok()?)
}
