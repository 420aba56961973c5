use proptest::prelude::*;

use super::{COLUMNS_MAX, Diagnostic, Node, Source, yaml};
use crate::markdown::scan;

fn format(source: &Source) -> Result<String, Vec<Diagnostic>> {
    super::format(source, crate::markdown::MarkdownOptions::default())
}

fn formatted(text: &str) -> String {
    let source = Source::new("src/a.md", text);
    let once = format(&source).unwrap_or_else(|errors| panic!("{text}\n{errors:?}"));
    let twice = format(&Source::new("src/a.md", once.as_str())).unwrap();
    assert_eq!(once, twice, "formatting again changes it:\n{text}");
    once
}

/// The options of one native fence, formatted.
fn options(lines: &str) -> String {
    let text: String = lines.lines().map(|line| format!("#| {line}\n")).collect();
    let whole = formatted(&format!("# A\n\n```bash runbook\n{text}echo\n```\n"));
    let inner = whole
        .strip_prefix("# A\n\n```bash runbook\n")
        .unwrap()
        .strip_suffix("echo\n```\n")
        .unwrap();
    inner
        .lines()
        .map(|line| {
            let rest = line.strip_prefix("#|").unwrap();
            format!("{}\n", rest.strip_prefix(' ').unwrap_or(rest))
        })
        .collect()
}

#[test]
fn id_title_and_on_come_first_and_the_rest_keeps_its_order() {
    assert_eq!(
        options(
            "effect: read\non: local\nexpect: {exit: 0}\nid: a\ncapture: {x: stdout}\ntitle: T\n"
        ),
        "id: a\ntitle: T\non: local\neffect: read\nexpect: {exit: 0}\ncapture: {x: stdout}\n"
    );
}

#[test]
fn blanks_quotes_and_indentation_are_written_in_one_way() {
    assert_eq!(
        options(
            "id:   a\nexpect:\n    stdout:   { contains : \"x\",exit: 0 }\n    json:\n    - 'y'\n    - [ a,b ]\nhints: {\"exit 1\": \"it's\"}\n"
        ),
        "id: a\nexpect:\n  stdout: {contains: 'x', exit: 0}\n  json:\n    - 'y'\n    - [a, b]\nhints: {exit 1: \"it's\"}\n"
    );
}

#[test]
fn flow_style_that_fits_stays() {
    for text in [
        "id: a\nfile: {path: x, content: \"a\\n\"}\n",
        "id: a\njson:\n  $.a[0].b: {count: 3}\n  $.b[?@.c == 'd']: {empty: true}\n",
    ] {
        assert_eq!(options(text), text);
    }
}

#[test]
fn what_does_not_fit_is_written_as_a_block() {
    let long = "x".repeat(60);
    assert_eq!(
        options(&format!(
            "id: a\nexpect: {{stdout: {{contains: {long}}}, stderr: {{empty: true}}, list: [a, b]}}\n"
        )),
        format!(
            "id: a\nexpect:\n  stdout: {{contains: {long}}}\n  stderr: {{empty: true}}\n  list: [a, b]\n"
        )
    );
    let list = format!("{0}, {0}", "y".repeat(50));
    assert_eq!(
        options(&format!("id: a\nlist: [{list}, {{a: b}}]\n")),
        format!(
            "id: a\nlist:\n  - {0}\n  - {0}\n  - {{a: b}}\n",
            "y".repeat(50)
        )
    );
}

#[test]
fn a_line_of_a_hundred_columns_fits() {
    let value = "v".repeat(COLUMNS_MAX - "#| key: {a: }".len());
    let fits = format!("id: a\nkey: {{a: {value}}}\n");
    assert_eq!(options(&fits), fits);
    assert_eq!(
        options(&format!("id: a\nkey: {{a: {value}w}}\n")),
        format!("id: a\nkey:\n  a: {value}w\n")
    );
}

#[test]
fn comments_and_blank_lines_stay_with_their_keys() {
    let text = "# head\nid: a # the id\n\n# about expect\nexpect: # here\n  # inner\n  exit: 0   # zero\n\n  stdout: {empty: true}\n  # last inner\nlist:\n  # one\n  - a # first\n  - b\n# end\n";
    assert_eq!(options(text), text.replace("0   #", "0 #"));
    assert_eq!(
        options("effect: read # e\n# the id\nid: a\n"),
        "# the id\nid: a\neffect: read # e\n"
    );
}

#[test]
fn block_scalars_keep_their_lines() {
    let text = "id: a\nundo: |\n  one # no comment\n\n    two\nrepair: >-\n  folded\n  text\n\n  more\nlist:\n  - |-\n    x\n  - b\n";
    assert_eq!(options(text), text);
    assert_eq!(
        options("id: a\nundo: |\n     one\n       two\n"),
        "id: a\nundo: |\n  one\n    two\n"
    );
    // What cannot be kept exactly stays as it is.
    for text in [
        "id:   a\nundo: |2\n   x\n",
        "id:   a\nundo: |+\n  x\n\n",
        "id:   a\nx: [a, # c\n  b]\n",
    ] {
        assert_eq!(options(text), text);
    }
}

#[test]
fn typed_steps_are_formatted_without_signs() {
    assert_eq!(
        formatted(
            "```runbook\nlxc:\n    vmid: 130\n    net: {bridge: vmbr0,   ip: dhcp}\nid: c\n```\n"
        ),
        "```runbook\nid: c\nlxc:\n  vmid: 130\n  net: {bridge: vmbr0, ip: dhcp}\n```\n"
    );
}

#[test]
fn fences_in_lists_and_quotes_keep_their_prefix() {
    assert_eq!(
        formatted("1. x\n\n   ```bash runbook\n   #|on: local\n   #| id:  a\n   echo\n   ```\n"),
        "1. x\n\n   ```bash runbook\n   #| id: a\n   #| on: local\n   echo\n   ```\n"
    );
    assert_eq!(
        formatted("> - ```runbook\n>   id:  a\n>\n>   bash: |\n>       x\n>\n>       y\n>   ```\n"),
        "> - ```runbook\n>   id: a\n>\n>   bash: |\n>     x\n>\n>     y\n>   ```\n"
    );
}

#[test]
fn line_ends_prose_and_bodies_stay() {
    let text = "---\ntitle:   A\n---\n\n*  prose\t\r\n\r\n```bash runbook\r\n#|id:  a\r\necho   x  \r\n```\r\n\r\n```yaml runbook\r\n#| id: b\r\nkind:   Pod\r\n```\r\n\r\n```bash\r\n#|  id: no\r\n```";
    assert_eq!(formatted(text), text.replace("#|id:  a", "#| id: a"));
}

#[test]
fn chapters_with_errors_are_left_alone() {
    for (text, rule) in [
        ("```bash runbook\n#| id: a\n", "unclosed-fence"),
        ("```bash runbook\n#| id: [a\necho\n```\n", "invalid-yaml"),
        (
            "```bash runbook\n#| id: a\necho\n```\n\n```rust runbook\n```\n",
            "fence-info",
        ),
    ] {
        let errors = format(&Source::new("src/a.md", text)).unwrap_err();
        assert_eq!(
            errors.iter().map(|error| error.rule).collect::<Vec<_>>(),
            [rule]
        );
    }
}

/// Lines of YAML from which steps are made, many of them odd.
fn line() -> impl Strategy<Value = String> {
    let value = prop::sample::select(vec![
        "a",
        "1.10",
        "'a: b'",
        "\"x\\ty\"",
        "{a: b, c: [d, 'e']}",
        "[a, {b: c}]",
        "[]",
        "{}",
        "|\n  text\n\n    more",
        ">-\n  folded\n  text",
        "|-\n    x",
        "\n  b: c\n  d:\n    - e\n    - f: g\n      h: i",
        "\n- x\n- y",
        "# comment",
        "a # comment",
        "'it''s'",
        "~",
        "\"\"",
        "{a: \"x\\ny\"}",
        "a b c",
        "http://x/y#z",
        "'#ref'",
        "{a: {b: {c: dddddddddddddddddddddddddddddddddddddddddddd, e: fffffffffffffffffffffffffffff}}, g: hhhhhhhhhhhhhh}",
        "\n    deep: 1\n    # own\n    x: 2",
        "{a: b, # c\n  d: e}",
        "|2\n   x",
        "|+\n  x\n\n",
        "a\n  b",
        "\n  - - a\n    - b\n  - c",
    ]);
    let key = prop::sample::select(vec![
        "id",
        "on",
        "title",
        "a",
        "b",
        "c",
        "d",
        "e f",
        "'quoted: key'",
        "\"é\"",
    ]);
    prop_oneof![
        8 => (key, value).prop_map(|(key, value)| format!("{key}: {value}\n")),
        1 => Just("# own comment\n".to_owned()),
        1 => Just("\n".to_owned()),
        1 => Just("  # indented comment\n".to_owned()),
    ]
}

fn nodes(source: &Source) -> Vec<(Option<Node>, String)> {
    let chapter = scan(source);
    let fences = chapter.fences.iter().map(|fence| {
        let options = fence.options.as_ref().unwrap_or(&fence.body);
        let body = if fence.options.is_some() {
            fence.body.text()
        } else {
            ""
        };
        (yaml::parse(options).ok(), body.to_owned())
    });
    fences.collect()
}

/// The entries of a step, sorted by key: the order of keys means nothing at the top.
fn by_key(node: &Node) -> Vec<(&str, &Node)> {
    let mut entries: Vec<_> = node
        .as_map()
        .unwrap_or(&[])
        .iter()
        .map(|entry| (entry.key.as_str(), &entry.value))
        .collect();
    entries.sort_by_key(|(key, _)| *key);
    entries
}

proptest! {
    #[test]
    fn formatting_changes_nothing_that_is_said(
        lines in prop::collection::vec(line(), 0..8),
        native in any::<bool>(),
        prefix in prop::sample::select(vec!["", "   ", "> "]),
        end in prop::sample::select(vec!["\n", "\r\n"]),
    ) {
        let yaml = lines.concat();
        let sign = if native { "#| " } else { "" };
        let info = if native { "bash runbook" } else { "runbook" };
        let body: String = yaml.lines().map(|line| format!("{prefix}{sign}{line}{end}")).collect();
        let lead = if prefix == "   " { "1. x\n\n" } else { "" };
        let text = format!("{lead}{prefix}```{info}{end}{body}{prefix}```{end}\n# after\n");
        let source = Source::new("src/a.md", text.as_str());
        if let Ok(once) = format(&source) {
            let again = Source::new("src/a.md", once.as_str());
            let (before, after) = (nodes(&source), nodes(&again));
            prop_assert_eq!(before.len(), after.len());
            for ((one, script), (two, other)) in before.iter().zip(&after) {
                prop_assert_eq!(script, other);
                match (one, two) {
                    (Some(one), Some(two)) => {
                        let (one, two) = (by_key(one), by_key(two));
                        prop_assert_eq!(one.len(), two.len());
                        for ((key, value), (other, second)) in one.into_iter().zip(two) {
                            prop_assert!(key == other && value.says_same(second), "{}\n{}", text, once);
                        }
                    }
                    (one, two) => prop_assert_eq!(one.is_some(), two.is_some()),
                }
            }
            let comments = |text: &str| text.replace("#|", "").matches('#').count();
            prop_assert_eq!(comments(&text), comments(&once), "{}\n{}", text, once);
            prop_assert_eq!(format(&again).unwrap(), once.clone(), "{}\n{}", text, once);
        }
    }

    #[test]
    fn no_text_makes_formatting_panic(text in "([ -~\n\r\tä`~>#|:-]|```runbook\n|#\\| |```bash runbook\n|id: |```\n){0,40}") {
        let _ = format(&Source::new("src/a.md", text.as_str()));
    }
}
