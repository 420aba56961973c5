//! Prints a [`Node`] as YAML that is read back as the same node: same texts, same order, plain scalars plain.
//!
//! In one line ([`flow`]) where that is possible, else as a block ([`block`]). Places, comments and the author's own way of
//! quoting are not kept: who formats a chapter takes care of those.

use serde_json::Value;

use crate::node::{Entry, Kind, Node, Scalar};

/// The node in one line; `None` where a plain scalar is one that needs its own line (`a, b`), or a text has several lines.
pub fn flow(node: &Node) -> Option<String> {
    match &node.kind {
        Kind::Scalar(scalar) if scalar.text.contains('\n') => None,
        Kind::Scalar(scalar) if scalar.plain => {
            is_plain(&scalar.text, true).then(|| scalar.text.clone())
        }
        Kind::Scalar(scalar) => Some(quoted(&scalar.text)),
        Kind::Value(value) => Some(json(value)),
        Kind::List(items) => {
            let items: Vec<String> = items.iter().map(flow).collect::<Option<_>>()?;
            Some(format!("[{}]", items.join(", ")))
        }
        Kind::Map(entries) => {
            let entries: Vec<String> = entries
                .iter()
                .map(|entry| Some(format!("{}: {}", key(&entry.key), flow(&entry.value)?)))
                .collect::<Option<_>>()?;
            Some(format!("{{{}}}", entries.join(", ")))
        }
    }
}

/// The node as a block, without indentation of its own, each line ended. Values that fit into `width` columns are printed in
/// one line.
pub fn block(node: &Node, width: usize) -> String {
    let mut text = String::new();
    match &node.kind {
        Kind::Map(entries) if !entries.is_empty() => map(entries, 0, width, &mut text),
        Kind::List(items) if !items.is_empty() => list(items, 0, width, &mut text),
        _ => scalar_value(node, 0, &mut text),
    }
    text
}

const INDENT: usize = 2;

fn map(entries: &[Entry], indent: usize, width: usize, text: &mut String) {
    for (index, entry) in entries.iter().enumerate() {
        if index > 0 {
            pad(indent, text);
        }
        text.push_str(&key(&entry.key));
        text.push(':');
        value(&entry.value, indent, column(text), width, text);
    }
}

fn list(items: &[Node], indent: usize, width: usize, text: &mut String) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            pad(indent, text);
        }
        text.push('-');
        match &item.kind {
            // A map or list in a list begins on the dash's line.
            Kind::Map(entries) if !entries.is_empty() && !fits(item, indent + INDENT, width) => {
                text.push(' ');
                map(entries, indent + INDENT, width, text);
            }
            Kind::List(inner) if !inner.is_empty() && !fits(item, indent + INDENT, width) => {
                text.push(' ');
                list(inner, indent + INDENT, width, text);
            }
            _ => value(item, indent, column(text), width, text),
        }
    }
}

/// What follows `key:` or `-`.
fn value(node: &Node, indent: usize, column: usize, width: usize, text: &mut String) {
    match &node.kind {
        Kind::Map(entries) if !entries.is_empty() && !fits(node, column + 1, width) => {
            text.push('\n');
            pad(indent + INDENT, text);
            map(entries, indent + INDENT, width, text);
        }
        Kind::List(items) if !items.is_empty() && !fits(node, column + 1, width) => {
            text.push('\n');
            pad(indent + INDENT, text);
            list(items, indent + INDENT, width, text);
        }
        _ => {
            text.push(' ');
            scalar_value(node, indent, text);
        }
    }
}

fn fits(node: &Node, column: usize, width: usize) -> bool {
    flow(node).is_some_and(|flow| column + flow.chars().count() <= width)
}

fn column(text: &str) -> usize {
    text.rsplit('\n').next().unwrap_or("").chars().count()
}

fn pad(indent: usize, text: &mut String) {
    text.extend(std::iter::repeat_n(' ', indent));
}

/// A value that is not broken into several entries.
fn scalar_value(node: &Node, indent: usize, text: &mut String) {
    match &node.kind {
        Kind::Scalar(Scalar {
            text: written,
            plain: false,
        }) if is_literal(written) => literal(written, indent, text),
        Kind::Scalar(Scalar {
            text: written,
            plain: true,
        }) if is_plain(written, false) => {
            text.push_str(written);
            text.push('\n');
        }
        Kind::Scalar(Scalar { text: written, .. }) => {
            text.push_str(&quoted(written));
            text.push('\n');
        }
        _ => {
            // Of empty lists and maps, and of those that fit, the one line is always possible.
            text.push_str(&flow(node).unwrap_or_default());
            text.push('\n');
        }
    }
}

/// Whether a text is printed as a literal block: several lines, all of them printable, the first not blank.
fn is_literal(text: &str) -> bool {
    let content = text.trim_end_matches('\n');
    content.contains('\n')
        && !content.starts_with([' ', '\n', '\t'])
        && !text
            .chars()
            .any(|c| is_unprintable(c) && c != '\n' && c != '\t')
        && content
            .lines()
            .all(|line| line.is_empty() || !line.trim().is_empty())
}

fn literal(written: &str, indent: usize, text: &mut String) {
    let content = written.trim_end_matches('\n');
    let ends = written.len() - content.len();
    text.push_str(match ends {
        0 => "|-\n",
        1 => "|\n",
        _ => "|+\n",
    });
    for line in content.split('\n') {
        if !line.is_empty() {
            pad(indent + INDENT, text);
            text.push_str(line);
        }
        text.push('\n');
    }
    for _ in 1..ends {
        text.push('\n');
    }
}

/// A key: plain where that reads back, else quoted.
pub fn key(text: &str) -> String {
    if is_plain(text, true) && text != "<<" {
        text.to_owned()
    } else {
        quoted(text)
    }
}

/// A quoted text: single quotes where they do, else double ones with escapes.
pub fn quoted(text: &str) -> String {
    if text.chars().any(is_unprintable) || (text.contains('\'') && !text.contains(['"', '\\'])) {
        return double_quoted(text);
    }
    format!("'{}'", text.replace('\'', "''"))
}

fn double_quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            c if is_unprintable(c) && u32::from(c) > 0xffff => {
                quoted.push_str(&format!("\\U{:08x}", u32::from(c)))
            }
            c if is_unprintable(c) => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// What YAML does not print as it stands, and what a reader may take for a line's end.
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
        )
}

/// Whether a text is read back as this plain scalar; in one line with others (`flow`) less is.
pub fn is_plain(text: &str, flow: bool) -> bool {
    let Some(first) = text.chars().next() else {
        return false;
    };
    let second = text.chars().nth(1);
    let begins = match first {
        '-' | '?' | ':' => second.is_some_and(|c| !c.is_whitespace() && !",[]{}".contains(c)),
        first => !",[]{}#&*!|>'\"%@`".contains(first) && !first.is_whitespace(),
    };
    begins
        && !text.ends_with([' ', '\t', ':'])
        && !text.starts_with("---")
        && !text.starts_with("...")
        && !text.contains(": ")
        && !text.contains(":\t")
        && !text.contains(" #")
        && !text.contains("\t#")
        && !text.chars().any(is_unprintable)
        && !(flow && text.contains([',', '[', ']', '{', '}']))
        // `a:b` in one line is read as a key by some readers.
        && !(flow && text.contains(":\""))
}

fn json(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(items) => format!(
            "[{}]",
            items.iter().map(json).collect::<Vec<_>>().join(", ")
        ),
        Value::Object(map) => {
            let entries: Vec<String> = map
                .iter()
                .map(|(name, value)| format!("{}: {}", key(name), json(value)))
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
        value => value.to_string(),
    }
}

impl Node {
    /// Whether two nodes say the same, wherever they stand.
    pub fn says_same(&self, other: &Node) -> bool {
        match (&self.kind, &other.kind) {
            (Kind::Scalar(one), Kind::Scalar(two)) => one == two,
            (Kind::Value(one), Kind::Value(two)) => one == two,
            (Kind::List(one), Kind::List(two)) => {
                one.len() == two.len() && one.iter().zip(two).all(|(one, two)| one.says_same(two))
            }
            (Kind::Map(one), Kind::Map(two)) => {
                one.len() == two.len()
                    && one
                        .iter()
                        .zip(two)
                        .all(|(one, two)| one.key == two.key && one.value.says_same(&two.value))
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mapped::Mapped;
    use crate::source::Span;

    fn parse(text: &str) -> Node {
        let mut mapped = Mapped::default();
        let mut offset = 0;
        for line in text.split_inclusive('\n') {
            mapped.push_line(line, offset);
            offset += line.len();
        }
        crate::yaml::parse(&mapped).unwrap_or_else(|error| panic!("{}: {text}", error.message))
    }

    fn scalar(text: &str, plain: bool) -> Node {
        Node {
            span: Span::default(),
            kind: Kind::Scalar(Scalar {
                text: text.into(),
                plain,
            }),
        }
    }

    #[test]
    fn what_fits_stands_in_one_line() {
        let node = parse(
            "id: a\nhttp: {url: 'http://x', headers: {Accept: text}}\nexpect:\n  status: 200\n",
        );
        assert_eq!(
            block(&node, 100),
            "id: a\nhttp: {url: 'http://x', headers: {Accept: text}}\nexpect: {status: 200}\n"
        );
        assert_eq!(
            block(&node, 30),
            "id: a\nhttp:\n  url: 'http://x'\n  headers: {Accept: text}\nexpect: {status: 200}\n"
        );
    }

    #[test]
    fn texts_of_several_lines_are_literal_blocks() {
        let node = parse("undo:\n- |\n  a\n\n   b\n- {bash: c}\n");
        assert_eq!(
            block(&node, 100),
            "undo:\n  - |\n    a\n\n     b\n  - {bash: c}\n"
        );
    }

    #[test]
    fn plain_stays_plain_where_it_can() {
        for text in [
            "a",
            "1.10",
            "-1",
            "no",
            "a-b",
            "$.a",
            "^x",
            "a:b",
            "http://x/y",
            "~",
            "é",
        ] {
            assert!(is_plain(text, true), "{text}");
        }
        for text in [
            "", "- a", "#a", "a: b", "a #b", "'a", "[a", "*", "{{ a }}", "a:", " a", "a\nb", "---",
        ] {
            assert!(!is_plain(text, true), "{text}");
        }
        assert_eq!(flow(&scalar("echo ${a}", true)), None);
        assert_eq!(block(&scalar("echo ${a}", true), 80), "echo ${a}\n");
    }

    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-z0-9 :#'\"{}\\[\\],|>&*!%@`$~\\\\-]{0,12}",
            "[a-z \n\t]{0,16}",
            ".{0,8}",
            Just("true".to_owned()),
            Just("\n".to_owned()),
            Just("a\n\n".to_owned()),
            Just("\u{feff}a".to_owned()),
        ]
    }

    fn node() -> impl Strategy<Value = Node> {
        let leaf = (text(), any::<bool>()).prop_map(|(text, plain)| {
            let plain = plain && is_plain(&text, false);
            scalar(&text, plain)
        });
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(|items| Node {
                    span: Span::default(),
                    kind: Kind::List(items)
                }),
                prop::collection::btree_map(text().prop_map(|key| format!("k{key}")), inner, 0..4)
                    .prop_map(|map| Node {
                        span: Span::default(),
                        kind: Kind::Map(
                            map.into_iter()
                                .map(|(key, value)| Entry {
                                    key,
                                    key_span: Span::default(),
                                    value
                                })
                                .collect()
                        ),
                    }),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(node in node(), width in 20usize..120) {
            let printed = block(&node, width);
            prop_assert!(parse(&printed).says_same(&node), "{printed}\n{node:?}");
            if let Some(line) = flow(&node) {
                prop_assert!(!line.contains('\n'));
                prop_assert!(parse(&line).says_same(&node), "{line}\n{node:?}");
            }
        }
    }
}
