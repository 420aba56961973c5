use std::str::FromStr;

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::node::{Entry, Kind, Node, Scalar};
use crate::outcome::Effect;
use crate::source::Span;
use crate::spec::{ActionKind, Args, ResultSpec};

const RESULTS: &[ResultSpec] = &[
    ResultSpec {
        name: "exit",
        kind: FieldKind::Value,
        what: "",
    },
    ResultSpec {
        name: "stdout",
        kind: FieldKind::Text,
        what: "",
    },
    ResultSpec {
        name: "json",
        kind: FieldKind::Json,
        what: "",
    },
    ResultSpec {
        name: "table",
        kind: FieldKind::Table,
        what: "",
    },
    ResultSpec {
        name: "condition",
        kind: FieldKind::Map,
        what: "",
    },
    ResultSpec {
        name: "header",
        kind: FieldKind::Map,
        what: "",
    },
    ResultSpec {
        name: "config",
        kind: FieldKind::Map,
        what: "",
    },
];

/// An action of that name with the fields of a script and `condition`.
pub(crate) fn spec(name: &'static str) -> ActionSpec {
    ActionSpec {
        name,
        args: Args::Script,
        groups: &[],
        results: RESULTS,
        targets: &[],
        effect: |_| Effect::Read,
        effect_what: "",
        kind: |_| ActionKind::Read,
        timeout: None,
        what: "",
    }
}

/// A node as YAML's flow style writes it; bare words are plain, JSON texts are not.
pub(crate) fn node(value: &Value) -> Node {
    let kind = match value {
        Value::String(text) => Kind::Scalar(Scalar {
            text: text.clone(),
            plain: false,
        }),
        Value::Array(items) => Kind::List(items.iter().map(node).collect()),
        Value::Object(map) => Kind::Map(
            map.iter()
                .map(|(key, value)| Entry {
                    key: key.clone(),
                    key_span: Span::at(7),
                    value: node(value),
                })
                .collect(),
        ),
        scalar => Kind::Scalar(Scalar {
            text: scalar.to_string(),
            plain: true,
        }),
    };
    Node {
        span: Span::new(3, 5),
        kind,
    }
}

fn plain(text: &str) -> Node {
    Node {
        span: Span::default(),
        kind: Kind::Scalar(Scalar {
            text: text.into(),
            plain: true,
        }),
    }
}

fn expectation(field: &str, key: Option<&str>, matcher: Node) -> Expectation {
    Expectation {
        field: field.into(),
        key: key.map(plain),
        column: None,
        matcher,
        span: Span::new(0, 9),
    }
}

fn now() -> Timestamp {
    Timestamp::from_str("2026-11-24T00:00:00Z").unwrap()
}

fn evaluate_in(action: &'static str, expectation: &Expectation, fields: &Fields) -> Vec<Check> {
    let spec = spec(action);
    evaluate(
        expectation,
        fields,
        &Context {
            spec: &spec,
            now: now(),
            secrets: &["token".into()],
        },
    )
}

fn one(field: &str, key: Option<&str>, matcher: Value, value: Value) -> (bool, String, String) {
    let mut fields = Fields::new();
    fields.set(field, value);
    let mut checks = evaluate_in("bash", &expectation(field, key, node(&matcher)), &fields);
    assert_eq!(checks.len(), 1, "{checks:?}");
    let check = checks.remove(0);
    (
        check.verdict == Verdict::Holds,
        check.expected,
        check.actual,
    )
}

fn fails(field: &str, matcher: Value, value: Value, expected: &str, actual: &str) {
    let shown = format!("{matcher} on {value}");
    assert_eq!(
        one(field, None, matcher, value),
        (false, expected.to_owned(), actual.to_owned()),
        "{shown}"
    );
}

fn holds_with(field: &str, matcher: Value, value: Value, actual: &str) {
    let shown = format!("{matcher} on {value}");
    let (holds, _, found) = one(field, None, matcher, value);
    assert_eq!((holds, found.as_str()), (true, actual), "{shown}");
}

#[test]
fn a_failure_is_worded_as_the_specification_has_it() {
    fails(
        "state",
        json!("running"),
        json!("stopped"),
        "running",
        "stopped",
    );
    let text = (1..=14)
        .map(|line| format!("line {line}"))
        .collect::<Vec<_>>()
        .join("\n");
    fails(
        "stdout",
        json!({"contains": "a"}),
        json!(text),
        r#"contains "a""#,
        r#"lacks "a" in 14 lines"#,
    );
    fails(
        "stdout",
        json!({"matches": "re"}),
        json!("the text"),
        "matches /re/",
        "the text",
    );
    fails(
        "state",
        json!({"one-of": ["running", "stopped"]}),
        json!("paused"),
        "one of running, stopped",
        "paused",
    );
    fails(
        "free",
        json!({"at-least": "500GiB"}),
        json!(335_436_944_998u64),
        "at least 500GiB",
        "312.4GiB",
    );
    fails(
        "free",
        json!({"at-least": "500GiB"}),
        json!("n/a"),
        "at least 500GiB",
        r#"not a number: "n/a""#,
    );
    fails(
        "duration",
        json!({"between": ["1s", "3s"]}),
        json!(4.2),
        "between 1s and 3s",
        "4.2s",
    );
    fails(
        "v",
        json!({"version": ">=2.6"}),
        json!("tool 2.4.0 (x)"),
        "version >=2.6",
        "2.4.0",
    );
    fails(
        "v",
        json!({"version": ">=2.6"}),
        json!("none"),
        "version >=2.6",
        r#"no version in "none""#,
    );
    fails(
        "ip",
        json!({"in-range": "192.168.4.80-192.168.4.120"}),
        json!("192.168.4.17"),
        "in 192.168.4.80-192.168.4.120",
        "192.168.4.17",
    );
    fails(
        "at",
        json!({"age": {"at-most": "26h"}}),
        json!("2026-11-22T16:56:00Z"),
        "age at most 26h",
        "31h 4m (2026-11-22T16:56:00Z)",
    );
    fails(
        "answer",
        json!({"count": 3}),
        json!(["a", "b"]),
        "count 3",
        "2: a, b",
    );
    fails(
        "stdout",
        json!({"empty": true}),
        json!("first\nb\nc"),
        "empty",
        "3 lines: first …",
    );
    fails(
        "answer",
        json!({"not": {"contains": "a"}}),
        json!(["a"]),
        r#"not contains "a""#,
        "[a]",
    );
    fails(
        "stdout",
        json!({"not": {"contains": "it"}}),
        json!("a\nb\nit\n"),
        r#"not contains "it""#,
        "line 3 has it",
    );
    let states: serde_json::Map<String, Value> = (0..15)
        .map(|n| {
            (
                if n == 3 {
                    "dummy".into()
                } else {
                    format!("eth{n}")
                },
                json!(if n == 3 || n == 9 { "down" } else { "up" }),
            )
        })
        .collect();
    fails(
        "states",
        json!({"every": "up"}),
        json!(states),
        "every up",
        "2 of 15 not: dummy = down, eth9 = down",
    );
    fails(
        "states",
        json!({"any": "dead"}),
        json!({"a": "up"}),
        "any dead",
        "none of 1: a = up",
    );
}

#[test]
fn missing_fails_everything_but_its_absence() {
    let missing = |matcher: Value| {
        let checks = evaluate_in(
            "bash",
            &expectation("ip", None, node(&matcher)),
            &Fields::new(),
        );
        (
            checks[0].verdict == Verdict::Holds,
            checks[0].actual.clone(),
        )
    };
    for matcher in [
        json!("x"),
        json!({"contains": "a"}),
        json!({"matches": ""}),
        json!({"not": "x"}),
        json!({"count": 0}),
        json!({"every": "x"}),
        json!({"any": "x"}),
        json!({"exists": true}),
        json!({"empty": false}),
        json!({"at-most": 5}),
        json!({"one-of": ["a", {"not": "b"}]}),
        json!({"equals": null}),
        json!({"not": {"exists": false}}),
    ] {
        assert_eq!(
            missing(matcher.clone()),
            (false, "missing".into()),
            "{matcher}"
        );
    }
    for matcher in [
        json!({"exists": false}),
        json!({"empty": true}),
        json!({"one-of": ["a", {"exists": false}]}),
    ] {
        assert_eq!(
            missing(matcher.clone()),
            (true, "missing".into()),
            "{matcher}"
        );
    }
    holds_with("x", json!({"exists": true}), json!(null), "null");
    fails(
        "x",
        json!({"exists": false}),
        json!(null),
        "does not exist",
        "null",
    );
    holds_with("x", json!({"empty": true}), json!(" \n"), "empty");
    holds_with("x", json!({"empty": true}), json!([]), "no items");
    holds_with("x", json!({"empty": false}), json!(0), "0");
}

#[test]
fn plain_values_are_read_as_the_type_of_their_field() {
    holds_with("exit", json!(0), json!(0), "0");
    holds_with("exit", json!("0"), json!(0), "0");
    holds_with("exit", json!(1.0), json!(1), "1");
    holds_with("stdout", json!(1.10), json!("1.1"), "1.1");
    holds_with("open", json!(true), json!(true), "true");
    holds_with("open", json!("true"), json!(true), "true");
    holds_with(
        "answer",
        json!(["10.0.0.1"]),
        json!(["10.0.0.1"]),
        "[10.0.0.1]",
    );
    fails(
        "answer",
        json!(["a", "b"]),
        json!(["b", "a"]),
        "[a, b]",
        "[b, a]",
    );
    fails("open", json!(true), json!("yes"), "true", "yes");
    fails("stdout", json!("A"), json!("a"), "A", "a");
    // Text fields have no line end at their end, so neither has what they are compared with.
    holds_with("stdout", json!("a\nb\n"), json!("a\nb\n"), "2 lines: a …");
    // `contains: |` writes a line end, which the last line has had.
    holds_with(
        "stdout",
        json!({"contains": "b\n"}),
        json!("a\nb\n"),
        "2 lines: a …",
    );
    fails(
        "stdout",
        json!({"contains": "a\n"}),
        json!("b\ncab"),
        r#"contains "a\n""#,
        r#"lacks "a\n" in 2 lines"#,
    );
    let text = |text: &str| expectation("condition", Some("Ready"), plain(text));
    let mut fields = Fields::new();
    fields.set("condition", json!({"Ready": "True"}));
    assert!(holds(&evaluate_in("get", &text("True"), &fields)));
    assert!(!holds(&evaluate_in("get", &text("true"), &fields)));
}

#[test]
fn json_has_the_types_of_yaml() {
    let look = |matcher: Value, document: Value| one("json", Some("$"), matcher, document);
    assert!(look(json!(1), json!(1.0)).0);
    assert!(look(json!({"equals": {"a": [1, "x"]}}), json!({"a": [1, "x"]})).0);
    assert_eq!(
        look(json!("1"), json!(1)),
        (false, "\"1\"".into(), "1".into())
    );
    assert_eq!(
        look(json!(1), json!("1")),
        (false, "1".into(), "\"1\"".into())
    );
    assert!(!look(json!(true), json!("true")).0);
    assert!(look(json!(null), json!(null)).0);
}

#[test]
fn paths_find_one_value_or_a_list() {
    let document = json!({"items": [{"name": "a", "up": true}, {"name": "b", "up": false}]});
    let look = |path: &str, matcher: Value| one("json", Some(path), matcher, document.clone());
    assert!(look("$.items[0].name", json!("a")).0);
    assert_eq!(
        look("$.items[5].name", json!("a")),
        (false, "a".into(), "missing".into())
    );
    assert!(look("$.items[*].name", json!(["a", "b"])).0);
    assert!(look("$.items[?@.up == true]", json!({"count": 1})).0);
    assert!(look("$.nope[*]", json!({"count": 0})).0);
    assert_eq!(
        look("$.nope[*]", json!({"every": "x"})).2,
        "nothing to look at"
    );
    assert!(look("$.a-b", json!(1)).2.contains("is not a JSON path"));
    assert_eq!(
        look("$.items", json!({"count": {"at-least": 3}})),
        (false, "count at least 3".into(), "2: a, b".into())
    );
    assert!(look("$.items", json!({"any": {"contains": {"name": "b"}}})).0);
}

#[test]
fn what_is_not_json_matches_nothing() {
    let mut fields = Fields::new();
    fields.set("stdout", "oops");
    for matcher in [
        json!("x"),
        json!({"exists": false}),
        json!({"empty": true}),
        json!({"one-of": [{"exists": false}]}),
    ] {
        let checks = evaluate_in(
            "bash",
            &expectation("json", Some("$.a"), node(&matcher)),
            &fields,
        );
        assert_eq!(checks[0].verdict, Verdict::Fails, "{matcher}");
        assert!(
            checks[0]
                .actual
                .starts_with("not JSON: expected value at line 1"),
            "{}",
            checks[0].actual
        );
    }
    fields.set("stdout", "");
    assert!(holds(&evaluate_in(
        "bash",
        &expectation("json", Some("$.a"), node(&json!({"exists": false}))),
        &fields
    )));
}

#[test]
fn tables_are_looked_at_by_row_and_column() {
    let mut fields = Fields::new();
    fields.set(
        "stdout",
        "NAME   STATE     AGE\nweb    Running   5d\ndb     Failed    1h\nweb    Running   2h\n",
    );
    let look = |row: &str, column: Option<&str>, matcher: Value| {
        let mut expectation = expectation("table", Some(row), node(&matcher));
        expectation.column = column.map(plain);
        let mut checks = evaluate_in("bash", &expectation, &fields);
        assert_eq!(checks.len(), 1);
        let check = checks.remove(0);
        (
            check.verdict == Verdict::Holds,
            check.check,
            check.expected,
            check.actual,
        )
    };
    let row = |holds, check: &str, expected: &str, actual: &str| {
        (
            holds,
            check.to_owned(),
            expected.to_owned(),
            actual.to_owned(),
        )
    };
    assert_eq!(
        look("db", Some("STATE"), json!("Failed")),
        row(true, "table db STATE", "Failed", "Failed")
    );
    assert_eq!(
        look("*", Some("STATE"), json!("Running")),
        row(
            false,
            "table * STATE",
            "every Running",
            "1 of 3 not: db = Failed"
        )
    );
    // Two rows of one name: both are meant.
    assert_eq!(
        look("web", Some("AGE"), json!("5d")),
        row(
            false,
            "table web AGE",
            "every 5d",
            "1 of 2 not: web (2) = 2h"
        )
    );
    assert_eq!(
        look("x", Some("STATE"), json!("a")),
        row(
            false,
            "table x STATE",
            "a",
            "missing: no row `x` among web, db, web"
        )
    );
    assert_eq!(
        look("db", Some("X"), json!("a")).3,
        "missing: no column `X` among NAME, STATE, AGE"
    );
    assert_eq!(
        look("x", None, json!("absent")),
        row(true, "table x", "absent", "absent")
    );
    assert_eq!(
        look("db", None, json!("absent")),
        row(false, "table db", "absent", "there: db  Failed  1h")
    );
    assert_eq!(
        look("web", None, json!("absent")).3,
        "2 rows: web  Running  5d …"
    );
    assert!(!look("db", None, json!("Failed")).0);
    fields.set("stdout", "");
    let absent = expectation("table", Some("x"), plain("absent"));
    assert!(holds(&evaluate_in("bash", &absent, &fields)));
}

#[test]
fn names_of_headers_have_no_case() {
    let headers = json!({"Content-Type": "text/html", "X-A": ["1", "2"]});
    assert!(
        one(
            "header",
            Some("content-type"),
            json!({"contains": "html"}),
            headers.clone()
        )
        .0
    );
    assert!(one("header", Some("x-a"), json!({"count": 2}), headers.clone()).0);
    assert_eq!(
        one("header", Some("x-b"), json!("1"), headers).2,
        "missing: no `x-b` among Content-Type, X-A"
    );
    assert_eq!(
        one("config", Some("cores"), json!(4), json!({"Cores": 4})).2,
        "missing: no `cores` among Cores"
    );
}

#[test]
fn proxmox_does_not_tell_one_from_true() {
    let mut fields = Fields::new();
    fields.set(
        "config",
        json!({"onboot": 1, "agent": "1", "start": true, "tags": "a", "off": 0}),
    );
    let look = |action, key, text: &str| {
        holds(&evaluate_in(
            action,
            &expectation("config", Some(key), plain(text)),
            &fields,
        ))
    };
    for key in ["onboot", "agent", "start"] {
        assert!(look("lxc", key, "1") && look("lxc", key, "true"), "{key}");
        assert!(!look("lxc", key, "0"), "{key}");
    }
    assert!(look("lxc", "off", "false"));
    assert!(!look("lxc", "tags", "true"));
    assert!(!look("get", "onboot", "true"));
    fields.set("json", json!({"a": "1"}));
    assert!(holds(&evaluate_in(
        "proxmox",
        &expectation("json", Some("$.a"), plain("true")),
        &fields
    )));
    assert!(!holds(&evaluate_in(
        "get",
        &expectation("json", Some("$.a"), plain("true")),
        &fields
    )));
}

#[test]
fn several_matchers_in_a_map_have_a_row_each() {
    let mut fields = Fields::new();
    fields.set("stdout", "a b");
    let matcher = node(&json!({"contains": "a", "matches": "^b", "not": {"contains": ["x", "y"]}}));
    let checks = evaluate_in("bash", &expectation("stdout", None, matcher), &fields);
    let rows: Vec<(&str, &str, &str)> = checks
        .iter()
        .map(|check| {
            (
                check.expected.as_str(),
                check.actual.as_str(),
                check.verdict.as_str(),
            )
        })
        .collect();
    assert_eq!(
        rows,
        [
            (r#"contains "a""#, "a b", "holds"),
            ("matches /^b/", "a b", "fails"),
            (r#"not contains "x", "y""#, "a b", "holds"),
        ]
    );
    assert!(!holds(&checks));
    assert!(!holds(&[]));
}

#[test]
fn units_are_compared_in_the_bound_s() {
    holds_with(
        "free",
        json!({"at-least": "500GiB"}),
        json!("600 GiB"),
        "600GiB",
    );
    holds_with("free", json!({"at-most": "80%"}), json!("79%"), "79%");
    holds_with("free", json!({"at-most": "80%"}), json!(79.5), "79.5%");
    holds_with("free", json!({"between": [0, "8GiB"]}), json!(4096), "4KiB");
    holds_with("n", json!({"at-least": 3}), json!("3"), "3");
    holds_with("n", json!({"at-least": 3, }), json!(3.5), "3.5");
    fails(
        "n",
        json!({"at-least": 3}),
        json!("3 GB"),
        "at least 3",
        r#"not a bare number: "3 GB""#,
    );
    fails(
        "n",
        json!({"at-least": "3s"}),
        json!("3 GB"),
        "at least 3s",
        r#"not a duration: "3 GB""#,
    );
    fails(
        "n",
        json!({"at-least": 3}),
        json!([3]),
        "at least 3",
        "not a number: [3]",
    );
    fails(
        "n",
        json!({"at-least": 3}),
        json!(true),
        "at least 3",
        "not a number: true",
    );
    fails(
        "d",
        json!({"at-most": "5s"}),
        json!("1m 2s"),
        "at most 5s",
        "1m 2s",
    );
}

#[test]
fn ranges_ages_and_versions_say_what_they_cannot_read() {
    holds_with(
        "ip",
        json!({"in-range": ["10.0.0.0/8", "fd00::/8"]}),
        json!(["10.1.1.1", "fd00::1"]),
        "[10.1.1.1, fd00::1]",
    );
    fails(
        "ip",
        json!({"in-range": "10.0.0.0/8"}),
        json!(["10.1.1.1", "11.0.0.1", "12.0.0.1"]),
        "in 10.0.0.0/8",
        "2 of 3 not: 11.0.0.1, 12.0.0.1",
    );
    fails(
        "ip",
        json!({"in-range": "10.0.0.0/8"}),
        json!("x"),
        "in 10.0.0.0/8",
        r#"not an address: "x""#,
    );
    fails(
        "ip",
        json!({"in-range": "10.0.0.0/8"}),
        json!([]),
        "in 10.0.0.0/8",
        "no addresses",
    );
    holds_with(
        "at",
        json!({"age": {"at-most": "26h"}}),
        json!(1_795_474_800),
        "1h (1795474800)",
    );
    holds_with(
        "at",
        json!({"age": {"at-most": "-14d"}}),
        json!("2026-12-24T00:00:00Z"),
        "-30d (2026-12-24T00:00:00Z)",
    );
    fails(
        "at",
        json!({"age": {"at-most": "26h"}}),
        json!("yesterday"),
        "age at most 26h",
        r#"not a time: "yesterday""#,
    );
    holds_with(
        "v",
        json!({"version": ">=6.8"}),
        json!("6.8.12-4-pve"),
        "6.8.12",
    );
    fails(
        "v",
        json!({"version": ">=6.8"}),
        json!(7),
        "version >=6.8",
        "not a text: 7",
    );
}

#[test]
fn texts_of_several_lines_are_told_by_what_differs() {
    let actual: Vec<String> = (1..=40).map(|line| format!("line {line}")).collect();
    let mut wanted = actual.clone();
    wanted[19] = "line twenty".into();
    let (holds, expected, shown) = one(
        "stdout",
        None,
        json!(wanted.join("\n")),
        json!(actual.join("\n")),
    );
    assert!(!holds);
    assert_eq!(expected, "40 lines: line 1 …");
    assert_eq!(shown, " line 19\n-line twenty\n+line 20\n line 21");
    let (_, _, shown) = one("stdout", None, json!("a\nb"), json!("a\r\nb"));
    assert_eq!(shown, "-a\n+a\\r\n b");
    let (_, _, shown) = one(
        "stdout",
        None,
        json!("x\ny"),
        json!(
            (1..=99)
                .map(|n| n.to_string())
                .collect::<Vec<_>>()
                .join("\n")
        ),
    );
    assert_eq!(shown.lines().count(), 21);
    assert!(shown.ends_with("more lines"), "{shown}");
}

#[test]
fn what_is_shown_is_bounded_and_harmless() {
    let (_, _, shown) = one("stdout", None, json!("x"), json!("y".repeat(1_000_000)));
    assert_eq!(shown.chars().count(), 200);
    let (_, _, shown) = one(
        "stdout",
        None,
        json!({"matches": "x"}),
        json!(format!("\u{1b}[31m{}", "y".repeat(999))),
    );
    assert!(
        shown.starts_with("\\u{1b}[31m") && shown.chars().count() == 200,
        "{shown}"
    );
    let (_, _, shown) = one("l", None, json!("x"), json!(vec!["item"; 100_000]));
    assert_eq!(shown.chars().count(), 200);
    fails("stdout", json!("x"), json!(""), "x", "\"\"");
    fails("stdout", json!("x "), json!("x"), "\"x \"", "x");
}

#[test]
fn a_secret_is_never_shown() {
    for matcher in [
        json!("x"),
        json!({"matches": "^a"}),
        json!({"not": {"contains": "b"}}),
        json!({"at-least": 3}),
    ] {
        let (_, _, actual) = one("token", None, matcher, json!("abc"));
        assert_eq!(actual, SECRET);
    }
    let checks = evaluate_in(
        "bash",
        &expectation("token", None, node(&json!("x"))),
        &Fields::new(),
    );
    assert_eq!(checks[0].actual, "missing");
}

#[test]
fn secrets_are_taken_out_before_a_text_is_cut() {
    let secret = "hunter2-hunter2";
    let redact = |text: &str| text.contains(secret).then(|| text.replace(secret, SECRET));
    let look = |matcher: Value, value: Value| {
        let mut fields = Fields::new();
        fields.set("x", value);
        let spec = spec("bash");
        let context = Context {
            spec: &spec,
            now: now(),
            secrets: &[],
        };
        let mut checks = evaluate_redacted(
            &expectation("x", None, node(&matcher)),
            &fields,
            &context,
            &redact,
        );
        let check = checks.remove(0);
        (
            check.verdict == Verdict::Holds,
            check.expected,
            check.actual,
        )
    };
    let long = format!("{}{secret}", "y".repeat(190));
    let (holds, _, actual) = look(json!({"matches": "^z"}), json!(long));
    assert!(!holds && !actual.contains("hunt"), "{actual}");
    let (holds, expected, actual) = look(json!(secret), json!(secret));
    assert_eq!(
        (holds, expected.as_str(), actual.as_str()),
        (true, SECRET, SECRET)
    );
    let (holds, expected, actual) = look(json!({"contains": secret}), json!(format!("a {secret}")));
    assert_eq!(
        (holds, expected, actual),
        (
            true,
            format!("contains \"{SECRET}\""),
            format!("a {SECRET}")
        )
    );
    let (holds, expected, actual) = look(json!({"contains": secret}), json!({"a": [secret]}));
    assert!(
        !holds && !expected.contains("hunt") && !actual.contains("hunt"),
        "{actual}"
    );
    let (holds, expected, actual) = look(
        json!({"not": {"matches": format!("{secret}(")}}),
        json!("a"),
    );
    assert!(
        !holds && !expected.contains("hunt") && !actual.contains("hunt"),
        "{expected} {actual}"
    );
    assert_eq!(
        look(json!("a"), json!("b")),
        (false, "a".into(), "b".into())
    );
}

#[test]
fn wrong_matchers_are_found_in_one_pass_with_their_place() {
    let messages = |matcher: Value| -> Vec<String> {
        validate(&node(&matcher))
            .into_iter()
            .map(|error| error.message)
            .collect()
    };
    assert_eq!(
        messages(
            json!({"contain": "a", "matches": ["(", "b"], "at-least": "8G", "empty": "maybe"})
        ),
        [
            "unknown matcher `contain`",
            "`(` is not a regular expression: unclosed group",
            "`8G` may mean two sizes: write `8GiB` (powers of 1024) or `8GB` (of 1000)",
            "expected `true` or `false`",
        ]
    );
    assert_eq!(
        validate(&node(&json!({"contain": "a"})))[0].hint.as_deref(),
        Some("did you mean `contains`?")
    );
    assert_eq!(
        validate(&node(&json!({"contain": "a"})))[0].span,
        Span::at(7)
    );
    for (matcher, part) in [
        (json!({}), "empty"),
        (json!({"between": [1]}), "two bounds"),
        (json!({"between": [5, 1]}), "`5` is more than `1`"),
        (json!({"between": ["1s", "2GiB"]}), "different units"),
        (json!({"version": ">=1 <2"}), "range of versions"),
        (json!({"in-range": "x"}), "range of addresses"),
        (json!({"contains": []}), "match everything"),
        (json!({"not": []}), "match everything"),
        (json!({"every": {"up": true}}), "unknown matcher `up`"),
        (
            json!({"one-of": ["a", {"matches": "["}]}),
            "regular expression",
        ),
        (json!({"age": {"at-most": "tomorrow"}}), "is not a number"),
    ] {
        let found = messages(matcher.clone());
        assert!(
            found.len() == 1 && found[0].contains(part),
            "{matcher}: {found:?}"
        );
    }
}

#[test]
fn the_matchers_are_those_of_the_language() {
    let listed: Vec<&str> = crate::spec::MATCHERS
        .iter()
        .map(|matcher| matcher.name)
        .collect();
    assert_eq!(NAMES, listed);
}

#[test]
fn templates_are_taken_to_be_right_until_they_are_rendered() {
    for matcher in [
        json!("{{ vars.x }}"),
        json!({"at-least": "{{ vars.x }}", "matches": "{{ vars.x }}(", "empty": "{{ vars.x }}", "version": "{{ vars.x }}"}),
        json!({"between": ["{{ vars.x }}", 3], "in-range": "{{ vars.x }}", "one-of": "{{ vars.x }}", "contains": "{{ vars.x }}"}),
    ] {
        assert_eq!(validate(&node(&matcher)), [], "{matcher}");
    }
    let mut fields = Fields::new();
    fields.set("stdout", "a");
    let checks = evaluate_in(
        "bash",
        &expectation("stdout", None, node(&json!({"at-least": "{{ vars.x }}"}))),
        &fields,
    );
    assert_eq!(
        (
            checks[0].verdict,
            checks[0].actual.contains("is not a number")
        ),
        (Verdict::Fails, true)
    );
}

#[test]
fn rendered_values_are_read_like_written_ones() {
    let value = |value: Value| Node {
        span: Span::default(),
        kind: Kind::Value(value),
    };
    let look = |field: &str, matcher: Node, actual: Value| {
        let mut fields = Fields::new();
        fields.set(field, actual);
        holds(&evaluate_in(
            "bash",
            &expectation(field, None, matcher),
            &fields,
        ))
    };
    assert!(look("stdout", value(json!(3)), json!("3")));
    assert!(look("answer", value(json!(["a", "b"])), json!(["a", "b"])));
    assert!(look("exit", value(json!("0")), json!(0)));
    assert!(look("n", value(json!({"at-least": 2})), json!(3)));
    assert!(!look("n", value(json!({"other": 2})), json!({"other": 2})));
    let contains = Node {
        span: Span::default(),
        kind: Kind::Map(vec![Entry {
            key: "contains".into(),
            key_span: Span::default(),
            value: value(json!(["a", "b"])),
        }]),
    };
    assert!(look("stdout", contains.clone(), json!("b a")));
    assert!(!look("stdout", contains, json!("b")));
}

#[test]
fn keyed_fields_need_their_keys() {
    let errors = |field: &str, key: Option<&str>, column: Option<&str>, matcher: Value, kind| {
        let mut expectation = expectation(field, key, node(&matcher));
        expectation.column = column.map(plain);
        validate_expectation(&expectation, kind)
            .into_iter()
            .map(|error| (error.message, error.hint.unwrap_or_default()))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        errors("json", Some("$.a"), None, json!(1), FieldKind::Json),
        []
    );
    assert_eq!(
        errors("json", Some("a"), None, json!(1), FieldKind::Json).len(),
        1
    );
    assert_eq!(
        errors("json", None, None, json!(1), FieldKind::Json)[0].1,
        "write `json: {PATH: matcher}`"
    );
    assert_eq!(
        errors("header", None, None, json!(1), FieldKind::Map)[0].1,
        "write `header: {KEY: matcher}`"
    );
    assert_eq!(
        errors("table", None, None, json!(1), FieldKind::Table)[0].1,
        "write `table: {ROW: {COLUMN: matcher}}`"
    );
    assert_eq!(
        errors("table", Some("a"), None, json!("absent"), FieldKind::Table),
        []
    );
    assert_eq!(
        errors("table", Some("a"), None, json!("x"), FieldKind::Table).len(),
        1
    );
    assert_eq!(
        errors("table", Some("a"), Some("B"), json!("x"), FieldKind::Table),
        []
    );
    assert_eq!(errors("exit", None, None, json!(1), FieldKind::Value), []);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        "[a-c0-9. -]{0,6}|\\PC{0,6}|10\\.0\\.0\\.[0-9]|[0-9]{1,4}(GiB|s|%)|a\nb"
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-c]{1,2}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn any_matcher() -> impl Strategy<Value = Value> {
    any_json().prop_recursive(4, 24, 3, |inner| {
        (
            prop::sample::select(NAMES),
            inner.clone(),
            prop::sample::select(NAMES),
            inner,
            any::<bool>(),
        )
            .prop_map(|(first, one, second, two, both)| {
                if both {
                    json!({first: one, second: [two]})
                } else {
                    json!({first: one})
                }
            })
    })
}

proptest! {
    #[test]
    fn no_matcher_panics_on_any_value(matcher in any_matcher(), value in any_json(), field in "stdout|json|table|header|x", key in prop::option::of("[a-c$.*\\[\\]]{1,4}")) {
        let mut fields = Fields::new();
        fields.set(&field, value);
        let expectation = Expectation { column: key.as_deref().map(plain), ..expectation(&field, key.as_deref(), node(&matcher)) };
        let _ = validate_expectation(&expectation, kind(&spec("bash"), &field));
        for check in evaluate_in("lxc", &expectation, &fields) {
            prop_assert!(check.actual.len() <= 30_000);
        }
    }

    #[test]
    fn a_matcher_and_its_negation_never_both_hold(matcher in any_matcher(), value in any_json()) {
        let mut fields = Fields::new();
        fields.set("x", value);
        let direct = holds(&evaluate_in("bash", &expectation("x", None, node(&matcher)), &fields));
        let negated = holds(&evaluate_in("bash", &expectation("x", None, node(&json!({"not": [matcher]}))), &fields));
        prop_assert!(!(direct && negated));
    }

    #[test]
    fn a_value_equals_itself(value in any_json()) {
        let mut fields = Fields::new();
        fields.set("json", value.clone());
        let expected = expectation("json", Some("$"), node(&json!({"equals": value})));
        prop_assert!(holds(&evaluate_in("bash", &expected, &fields)));
    }
}
