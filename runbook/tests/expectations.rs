//! Expectations and captures as a chapter writes them, from the fence to the rows of evidence.

use jiff::Timestamp;
use runbook::book::{ChapterInput, Input, load};
use runbook::include::NoFiles;
use runbook::matcher::{Context, evaluate};
use runbook::model::{Book, Step};
use runbook::outcome::Verdict;
use runbook::result::Fields;
use runbook::template::Scope;
use serde_json::json;

fn book(chapter: &str) -> Book {
    let chapter = ChapterInput {
        path: "src/a.md".into(),
        id: "a".into(),
        name: "A".into(),
        text: chapter.into(),
    };
    let loaded = load(
        Input {
            chapters: vec![chapter],
            ..Input::default()
        },
        &NoFiles,
    );
    assert!(loaded.is_valid(), "{:?}", loaded.diagnostics);
    loaded.book
}

/// The rows of a step's expectations, as text.
fn rows(step: &Step, fields: &Fields, scope: &Scope) -> Vec<String> {
    let context = Context {
        spec: step.action,
        now: "2026-11-24T00:00:00Z".parse::<Timestamp>().unwrap(),
        secrets: &[],
    };
    let mut rows = Vec::new();
    for expectation in &step.keys.expect {
        let mut rendered = expectation.clone();
        rendered.matcher = scope.render(&expectation.matcher).unwrap();
        rendered.key = expectation
            .key
            .as_ref()
            .map(|key| scope.render(key).unwrap());
        for check in evaluate(&rendered, fields, &context) {
            let sign = if check.verdict == Verdict::Holds {
                "✓"
            } else {
                "✕"
            };
            rows.push(format!(
                "{sign} {} | {} | {}",
                check.check, check.expected, check.actual
            ));
        }
    }
    rows
}

const CHAPTER: &str = r#"---
vars: {node: pve2, least: 2}
---
# A

```bash runbook read
#| id: nodes
#| capture: {first: {stdout: '^(\w+)\s+Ready'}}
#| expect:
#|   exit: 0
#|   stdout: {contains: [pve1, '{{ vars.node }}'], not: {contains: Unknown}}
#|   table:
#|     '{{ vars.node }}': {STATUS: Ready}
#|     '*': {VERSION: {version: '>=1.30'}}
#|     pve9: absent
#|   first: {one-of: [pve1, pve2]}
kubectl get nodes
```

```runbook
id: api
http: {url: 'http://127.0.0.1/'}
expect:
  status: 200
  header: {content-type: {contains: json}}
  json:
    $.items: {count: {at-least: '{{ vars.least }}'}}
    $.items[*].free: {every: {at-least: 1GiB}}
    $.version: '1.10'
```
"#;

#[test]
fn a_chapter_s_expectations_become_rows_of_evidence() {
    let book = book(CHAPTER);
    let guide = &book.guides[0];
    let mut scope = Scope::new();
    scope.set("vars", json!({"node": "pve2", "least": 2}));

    let step = &guide.steps[0];
    let mut fields = Fields::new();
    fields.set("exit", 0);
    fields.set(
        "stdout",
        "NAME   STATUS     VERSION\npve1   Ready      v1.36.0\npve2   NotReady   v1.29.4\n",
    );
    let captured = runbook::capture::take(&step.keys.capture[0], &fields, step.action).unwrap();
    assert_eq!(captured, json!("pve1"));
    fields.set("first", captured);
    assert_eq!(
        rows(step, &fields, &scope),
        [
            "✓ exit | 0 | 0",
            "✓ stdout | contains \"pve1\", \"pve2\" | 3 lines: NAME   STATUS     VERSION …",
            "✓ stdout | not contains \"Unknown\" | 3 lines: NAME   STATUS     VERSION …",
            "✕ table pve2 STATUS | Ready | NotReady",
            "✕ table * VERSION | every version >=1.30 | 1 of 2 not: pve2 = 1.29.4",
            "✓ table pve9 | absent | absent",
            "✓ first | one of pve1, pve2 | pve1",
        ]
    );

    let step = &guide.steps[1];
    let mut fields = Fields::new();
    fields.set("status", 200);
    fields.set("header", json!({"Content-Type": "application/json"}));
    fields.set(
        "body",
        r#"{"version": 1.10, "items": [{"free": 2147483648}, {"free": "512MiB"}]}"#,
    );
    assert_eq!(
        rows(step, &fields, &scope),
        [
            "✓ status | 200 | 200",
            "✓ header content-type | contains \"json\" | application/json",
            "✓ json $.items | count at least 2 | 2: {free: 2147483648}, {free: 512MiB}",
            "✕ json $.items[*].free | every at least 1GiB | 1 of 2 not: [1] = 512MiB",
            "✕ json $.version | 1.10 | 1.1",
        ]
    );
}

#[test]
fn a_wrong_matcher_is_found_before_anything_runs() {
    let chapter = "# A\n\n```bash runbook read\n#| id: a\n#| expect: {stdout: {contain: x, matches: '('}, exit: {at-most: '{{ vars.x }}'}}\ntrue\n```\n";
    let chapter = ChapterInput {
        path: "src/a.md".into(),
        id: "a".into(),
        name: "A".into(),
        text: chapter.into(),
    };
    let loaded = load(
        Input {
            chapters: vec![chapter],
            ..Input::default()
        },
        &NoFiles,
    );
    let found: Vec<(&str, u32, &str)> = loaded
        .diagnostics
        .iter()
        .map(|one| (one.rule, one.line, one.message.as_str()))
        .collect();
    assert!(
        found.contains(&("invalid-matcher", 5, "unknown matcher `contain`")),
        "{found:?}"
    );
    assert!(
        found.contains(&(
            "invalid-matcher",
            5,
            "`(` is not a regular expression: unclosed group"
        )),
        "{found:?}"
    );
    assert_eq!(
        found
            .iter()
            .filter(|(rule, ..)| *rule == "invalid-matcher")
            .count(),
        2,
        "{found:?}"
    );
}
