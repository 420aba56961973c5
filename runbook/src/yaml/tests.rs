use proptest::prelude::*;
use serde_json::json;

use super::{documents, parse};
use crate::mapped::Mapped;
use crate::node::{Kind, Node};
use crate::source::Span;

/// A text whose lines stand in a source behind a prefix of three bytes each.
fn mapped(text: &str) -> Mapped {
    let mut mapped = Mapped::default();
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        offset += 3;
        mapped.push_line(line, offset);
        offset += line.len();
    }
    mapped
}

fn source(text: &str) -> String {
    text.split_inclusive('\n')
        .map(|line| format!("#| {line}"))
        .collect()
}

/// What stands at the span of the error, its message and its hint.
fn error(text: &str) -> (String, String, String) {
    let error = parse(&mapped(text)).expect_err(text);
    let at = &source(text)[error.span.start..error.span.end];
    (at.to_owned(), error.message, error.hint.unwrap_or_default())
}

fn at<'t>(text: &'t str, node: &Node) -> &'t str {
    &text[node.span.start..node.span.end]
}

#[test]
fn maps_lists_and_scalars_keep_their_order_and_their_places() {
    let text = "id: a\nexpect: {exit: 0, stdout: [x, 'y z']}\nlist:\n- b\n- c: d\n  e: f\nblock: |\n  one\n\n  two\n\nlast: \"q\\u00e9\"\n";
    let node = parse(&mapped(text)).unwrap();
    assert_eq!(
        node.to_json(),
        json!({"id": "a", "expect": {"exit": 0, "stdout": ["x", "y z"]}, "list": ["b", {"c": "d", "e": "f"}], "block": "one\n\ntwo\n", "last": "qé"})
    );
    let source = source(text);
    let expect = node.get("expect").unwrap();
    assert_eq!(at(&source, expect), "{exit: 0, stdout: [x, 'y z']}");
    assert_eq!(at(&source, expect.get("stdout").unwrap()), "[x, 'y z']");
    assert_eq!(
        at(&source, node.get("list").unwrap()),
        "- b\n#| - c: d\n#|   e: f"
    );
    assert_eq!(
        at(&source, node.get("block").unwrap()),
        "one\n#| \n#|   two"
    );
    assert_eq!(at(&source, node.get("last").unwrap()), "\"q\\u00e9\"");
    assert_eq!(
        at(&source, &node),
        source.trim_start_matches("#| ").trim_end()
    );
    let keys: Vec<_> = node
        .as_map()
        .unwrap()
        .iter()
        .map(|entry| &source[entry.key_span.start..entry.key_span.end])
        .collect();
    assert_eq!(keys, ["id", "expect", "list", "block", "last"]);
}

#[test]
fn scalars_keep_their_text_and_whether_they_were_quoted() {
    let node = parse(&mapped(
        "a: 1.10\nb: no\nc: 0644\nd: '0644'\ne: ~\nf: \"\"\ng: >-\n  x\n  y\n",
    ))
    .unwrap();
    let scalars: Vec<_> = node
        .as_map()
        .unwrap()
        .iter()
        .map(|entry| match &entry.value.kind {
            Kind::Scalar(scalar) => (scalar.text.as_str(), scalar.plain),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = [
        ("1.10", true),
        ("no", true),
        ("0644", true),
        ("0644", false),
        ("~", true),
        ("", false),
        ("x y", false),
    ];
    assert_eq!(scalars, expected);
}

#[test]
fn what_the_language_does_not_have_is_an_error_at_its_place() {
    for (text, place, message, hint) in [
        ("a: 1\nb: 2\na: 3\n", "a", "duplicate key `a`", "keep one"),
        ("b: {a: 1, a: 2}\n", "a", "duplicate key `a`", "keep one"),
        ("a: 1\n'a': 2\n", "'a'", "duplicate key `a`", "keep one"),
        (
            "x: 1\n<<: {a: 1}\n",
            "<<",
            "`<<` is not",
            "write the keys out",
        ),
        (
            "a: &x 1\n",
            "&x",
            "an anchor is not",
            "quote a text that begins with `&`",
        ),
        (
            "a: &x\n  b: c\n",
            "&x",
            "an anchor is not",
            "write the value out",
        ),
        ("a: 1\nb: *a\n", "*", "unquoted `*a`", "quote it"),
        ("san: *.lab\n", "*", "unquoted `*.lab`", "quote it"),
        (
            "a: !t 1\n",
            "!t",
            "a tag is not",
            "quote a text that begins with `!`",
        ),
        ("a: !t [1]\n", "!t", "a tag is not", "remove it"),
        (
            "%YAML 1.2\n---\na: b\n",
            "%",
            "a directive",
            "remove the line",
        ),
        (
            "a: 1\n---\nb: 2\n",
            "---",
            "a second YAML document",
            "remove this line",
        ),
        ("? [a]\n: b\n", "[", "a key must be a text", "key: value"),
        (": x\n", "", "a key is missing", "key: value"),
    ] {
        let (found, what, how) = error(text);
        assert_eq!(found, place, "{text}: {what}");
        assert!(
            what.contains(message) && how.contains(hint),
            "{text}: {what} / {how}"
        );
    }
}

#[test]
fn keys_and_items_without_a_value_are_errors() {
    for (text, place, message, hint) in [
        (
            "a: 1\nb:\nc: 2\n",
            "b",
            "key `b` has no value",
            "an empty text is `\"\"`",
        ),
        (
            "needs: #install\n",
            "needs",
            "key `needs` has no value",
            "quote it: `'#install'`",
        ),
        (
            "a: {b, c: 1}\n",
            "b",
            "key `b` has no value",
            "[item, item]",
        ),
        ("a: {b: }\n", "b", "key `b` has no value", ""),
        ("a:\n-\n- b\n", "-", "an item has no value", ""),
        (
            "a:\n- #b\n",
            "-",
            "an item has no value",
            "quote it: `'#b'`",
        ),
        ("a: [x, #y]\n", "[", "`[` is not closed", "quote it: `'#y'`"),
        ("a: [#y]\n", "#", "an unquoted `#` is a comment", "quote"),
    ] {
        let (found, what, how) = error(text);
        assert_eq!(found, place, "{text}: {what}");
        assert!(
            what.contains(message) && how.contains(hint),
            "{text}: {what} / {how}"
        );
    }
}

#[test]
fn unquoted_templates_are_named() {
    for (text, place, hint) in [
        (
            "a: {{ vars.x }}\n",
            "{{ vars.x }}",
            "quote it: `'{{ vars.x }}'`",
        ),
        (
            "a: {{ vars.x }}-suffix\n",
            "{{ vars.x }}",
            "quote the whole value",
        ),
        (
            "a: {{ x['y'] }}\n",
            "{{ x['y'] }}",
            "quote it: `\"{{ x['y'] }}\"`",
        ),
        ("a: {b: {{ x }}}\n", "{{ x }}", "quote it: `'{{ x }}'`"),
        ("a: [{{ x }}]\n", "{{ x }}", "quote it: `'{{ x }}'`"),
        ("a: [x {{ y }}]\n", "{{ y }}", "quote"),
        ("a: {{ x[0] }}\n", "{{ x[0] }}", "quote it: `'{{ x[0] }}'`"),
        ("- {{ x }} y\n", "{{ x }}", "quote the whole value"),
    ] {
        let (found, what, how) = error(text);
        assert!(what.contains("`{{`"), "{text}: {what}");
        assert!(how.contains(hint), "{text}: {how}");
        assert_eq!(found, place, "{text}");
    }
    let node = parse(&mapped("a: x {{ y }}\nb: '{{ z }}'\nc: |\n  {{ z }}\n")).unwrap();
    assert_eq!(node.get("a").unwrap().as_text(), Some("x {{ y }}"));
}

#[test]
fn broken_yaml_is_explained_where_it_broke() {
    for (text, place, message, hint) in [
        (
            "a: [x, y\nb: c\n",
            "[",
            "`[` is not closed",
            "close it with `]`",
        ),
        ("a: [x, y\n", "[", "`[` is not closed", "close it with `]`"),
        (
            "a: {x: y\nb: c\n",
            "{",
            "`{` is not closed",
            "close it with `}`",
        ),
        ("a: {b: c]\n", "{", "`{` is closed by `]`", "`}`"),
        ("a: [b]]\n", "]", "closes nothing", "remove"),
        ("a: [b c: [d\n e]\n", "[", "is not closed", ""),
        ("a:\n\tb: c\n", "\t", "a tab", "blanks"),
        ("a: b\n\tc: d\n", "\t", "a tab", "blanks"),
        ("a: 'x\n", "'", "quote is not closed", "close it"),
        ("a: 'it's'\n", "s", "text follows a closed quote", "''"),
        ("a: \"x \\d\"\n", "\\", "unknown escape", "single quotes"),
        ("a: @b\n", "@", "cannot begin with `@`", "quote it"),
        ("a: `b`\n", "`", "cannot begin with ```", "quote it"),
        ("a: b: c\n", ":", "a value holds `: `", "quote the value"),
        (
            "a: b\n  c: d\n",
            ":",
            "the value above goes on",
            "indent it",
        ),
        (
            "a:\n  b: c\n d: e\n",
            "d",
            "the indentation fits no map",
            "alike",
        ),
        (
            "a: b\nc\nd: e\n",
            "c",
            "no `key: value`",
            "write `key: value`",
        ),
        ("- a\nb: c\n", "b", "the indentation fits no list", ""),
        (
            "a: - b\n",
            "-",
            "a list cannot begin here",
            "line of its own",
        ),
        ("a: |x\n  y\n", "|", "text follows the sign", "next line"),
        ("a: \u{7}\n", "\u{7}", "a control character", "escape"),
    ] {
        let (found, what, how) = error(text);
        assert!(
            what.contains(message) && how.contains(hint),
            "{text}: {what} / {how}"
        );
        assert_eq!(found, place, "{text}: {what}");
    }
}

#[test]
fn deep_nesting_is_bounded() {
    let deep = |count: usize| format!("a: {}{}", "[".repeat(count), "]".repeat(count));
    assert!(parse(&mapped(&deep(60))).is_ok());
    for text in [
        deep(100),
        "[".repeat(10_000),
        "- ".repeat(10_000),
        "{a: ".repeat(10_000),
    ] {
        assert!(error(&text).1.contains("nested"), "{}", error(&text).1);
    }
}

#[test]
fn empty_texts_and_documents_say_nothing() {
    for text in ["", "# nothing\n", "---\n", "\n\n"] {
        assert_eq!(
            parse(&mapped(text)).unwrap().kind,
            Kind::Map(Vec::new()),
            "{text}"
        );
    }
    let several = documents(&mapped("---\n---\na: 1\n---\n# x\n---\nb: 2\n...\n")).unwrap();
    assert_eq!(
        several.iter().map(Node::to_json).collect::<Vec<_>>(),
        [json!({"a": 1}), json!({"b": 2})]
    );
    assert_eq!(
        parse(&mapped("---\na: 1\n")).unwrap().to_json(),
        json!({"a": 1})
    );
}

fn spans_fit(node: &Node, length: usize) {
    let Span { start, end } = node.span;
    assert!(start <= end && end <= length, "{node:?}");
    match &node.kind {
        Kind::List(items) => items.iter().for_each(|item| spans_fit(item, length)),
        Kind::Map(entries) => entries
            .iter()
            .for_each(|entry| spans_fit(&entry.value, length)),
        _ => {}
    }
}

fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "a: ", "b", "- ", "{", "}", "[", "]", ", ", "{{ ", " }}", "'", "\"", "\n", "\n  ",
            "\t", "#", " #", "|\n", ">-\n", "&x ", "*x", "!t ", "---\n", "...\n", "%a\n", "? ",
            ": ", "<<: ", "\\", "é", "\u{feff}", "\0", "\r", "\r\n", "日本", "\u{85}", "\u{2028}"
        ])
        .prop_map(str::to_owned),
        "\\PC{0,4}",
    ]
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(pieces in prop::collection::vec(piece(), 0..24)) {
        let text = pieces.concat();
        let length = source(&text).len();
        match documents(&mapped(&text)) {
            Ok(nodes) => nodes.iter().for_each(|node| spans_fit(node, length)),
            Err(error) => prop_assert!(error.span.start <= error.span.end && error.span.end <= length + 3 && error.hint.is_some()),
        }
    }
}
