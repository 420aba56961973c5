//! What holds of every input: nothing makes the reader panic, and a step that is printed is read back as the same step.

use proptest::prelude::*;

use super::{guide, shown};
use crate::model::{Form, Language, Step};
use crate::print;

/// Pieces that chapters are made of, valid and not.
const PIECES: &[&str] = &[
    "---\n",
    "title: a\n",
    "vars: {a: 1, b: '{{ vars.a }}'}\n",
    "needs: '#t'\n",
    "# T\n\n",
    "## U {#u}\n\n",
    "```runbook\n",
    "```bash runbook\n",
    "```yaml runbook read\n",
    "```sh runbook\n#| id: x\n",
    "```\n",
    "```\n\n",
    "#| id: a\n",
    "#| when: asked\n",
    "id: b\n",
    "bash: echo {{ vars.a }}\n",
    "http: {url: 'http://x', json: {a: [1]}}\n",
    "expect: {json: {$.a: {every: {not: 1}}}, table: {'*': {A: up}}}\n",
    "capture: {a: {stdout: '(x)'}, b: exit}\n",
    "undo: [own, '#t/a', {sh: x, on: local}]\n",
    "repair: {exit 1: 'x'}\n",
    "each: {on: nodes.*, n: '{{ vars.a }}'}\n",
    "needs: [a, '#u', 'guides/a#t/b', b#]\n",
    "secrets: {A: steps.a.b}\n",
    "background: true\n",
    "{{ steps[\"t/a\"].x }} {{ steps.b-c.d }}",
    "{{#include hello.sh}}",
    "{{#include hello.sh:a:b}}\n",
    "{{",
    "}}",
    "'",
    "\"",
    ": ",
    "- ",
    "[",
    "{",
    "|\n",
    ">-\n",
    "\u{feff}",
    "ä€𝄞",
    "\t",
    "\r\n",
    "  ",
    "> ",
    "&a *a",
    "<!-- ",
    " -->",
    "-----BEGIN PRIVATE KEY-----\n",
    "template: off\n",
    "on: lxc/130\n",
    "lxc: {vmid: 130, net: none}\n",
    "timeout: 1h\n",
];

fn chapter() -> impl Strategy<Value = String> {
    let piece =
        prop_oneof![8 => prop::sample::select(PIECES).prop_map(str::to_owned), 1 => ".{0,6}"];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_chapter_makes_the_reader_panic(text in chapter()) {
        let loaded = guide(&text);
        for diagnostic in &loaded.diagnostics {
            prop_assert!(diagnostic.line >= 1 && diagnostic.column >= 1);
            prop_assert!(!diagnostic.message.is_empty());
            prop_assert!(crate::spec::rule(diagnostic.rule).is_some(), "{} is no rule", diagnostic.rule);
        }
    }
}

/// Steps that use every key and form.
const STEPS: &[&str] = &[
    "```bash runbook read\n#| id: a\n#| title: A step\n#| expect: {stdout: {contains: [a, 'b c']}, exit: {one-of: [0, 1]}}\n#| capture: {x: {stdout: '^(\\d+)', secret: true}, code: exit}\necho a |\n  cat # b\n```",
    "```python runbook\n#| id: a\n#| each: {n: [1, 'two', {a: b}]}\n#| env: {A: '{{ n }}'}\nprint('{{ n }}')\n```",
    "```runbook\nid: a\nhttp:\n  url: http://127.0.0.1:1/\n  method: POST\n  headers: {Accept: text/plain}\n  json: {a: [1, 2.50, true, null, 'x: y'], b: {}}\nretry: {for: 1m, every: 250ms}\nhold: 2s\nexpect:\n  status: 200\n  header: {content-type: {matches: '^text'}}\n  json: {$.a: [1, 2], '$[?@.a]': {count: {at-least: 2}}}\n```",
    "```runbook\nid: a\nfile: {path: x, content: \"one\\n two\\n\\nthree\\n\", mode: '0644'}\nunless: [test -e x, '{{ profile.lab }}', {http: {url: 'http://x'}, expect: {status: 200}}]\nundo: [own, 'rm -f y', '#t/a']\nrepair: {exit 1: {bash: x, env: {A: b}}, 'no such': '#t'}\ndiagnose: |\n  ls -l\n  id\ncleanup: always\n```",
    "```runbook\nid: a\nsh: sleep 9\nbackground: {tcp: {host: localhost, port: 80}}\nhints: {exit 39: 'no: device', 'a, b': c}\nneeds: []\nhidden: true\nstrict: false\n```",
    "```runbook\nid: a\nmanual: {prompt: 'Press it.', evidence: note}\nwhen: [asked, true]\ngate: why\nsecrets: {A: grafana-token}\n```",
    "```bash runbook\n#| id: a\n#| template: off\n#| detach: false\necho {{ x }} '{{#include no}}'\n```",
];

/// A step as one canonical fence.
fn printed(step: &Step, width: usize) -> String {
    let script = match step.form {
        Form::Native(Language::Bash) => Some("bash"),
        Form::Native(Language::Sh) => Some("sh"),
        Form::Native(Language::Python) => Some("python"),
        Form::Native(Language::Yaml) | Form::Typed => None,
    };
    let Some(script) = script else {
        return format!("```runbook\n{}```", print::block(&step.node, width));
    };
    let mut node = step.node.clone();
    if let crate::node::Kind::Map(entries) = &mut node.kind {
        entries.retain(|entry| entry.key != script);
    }
    let options: String = print::block(&node, width)
        .lines()
        .map(|line| format!("#| {line}\n"))
        .collect();
    format!(
        "```{script} runbook {}\n{options}{}```",
        step.effect,
        step.body.text()
    )
}

/// Everything but places.
fn said(step: &Step) -> String {
    let all = format!(
        "{:?} {:?} {:?} {} {:?} {:?}",
        step.id, step.title, step.form, step.effect, step.args, step.keys
    );
    let span = regex::Regex::new(r"Span \{ start: \d+, end: \d+ \}").unwrap();
    span.replace_all(&all, "_").into_owned()
}

#[test]
fn a_printed_step_is_read_back_as_the_same_step() {
    for fence in STEPS {
        let first = guide(&format!("# T\n\n{fence}\n"));
        assert_eq!(shown(&first), [""; 0], "{fence}");
        for width in [20, 60, 100] {
            let text = printed(&first.book.guides[0].steps[0], width);
            let second = guide(&format!("# T\n\n{text}\n"));
            assert_eq!(shown(&second), [""; 0], "{text}");
            assert_eq!(
                said(&first.book.guides[0].steps[0]),
                said(&second.book.guides[0].steps[0]),
                "{text}"
            );
        }
    }
}
