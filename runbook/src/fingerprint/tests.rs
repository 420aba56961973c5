use serde_json::json;

use super::*;
use crate::id::Id;
use crate::mapped::Mapped;
use crate::model::{Front, Keys, Language};
use crate::outcome::Effect;
use crate::source::{Source, Span};
use crate::spec::{ActionKind, ActionSpec, Args};

static BASH: ActionSpec = spec("bash");
static HTTP: ActionSpec = spec("http");

const fn spec(name: &'static str) -> ActionSpec {
    ActionSpec {
        name,
        args: Args::Script,
        groups: &[],
        results: &[],
        targets: &[],
        effect: |_| Effect::Change,
        effect_what: "",
        kind: |_| ActionKind::Imperative,
        timeout: None,
        what: "",
    }
}

fn yaml(text: &str) -> Node {
    let mut mapped = Mapped::default();
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        mapped.push_line(line, offset);
        offset += line.len();
    }
    crate::yaml::parse(&mapped).unwrap()
}

/// A step as the book reads it, as far as the fingerprint looks.
fn step(text: &str) -> Step {
    let node = yaml(text);
    let action = if node.get("http").is_some() {
        &HTTP
    } else {
        &BASH
    };
    let effect = node
        .get("effect")
        .and_then(Node::as_text)
        .and_then(Effect::parse)
        .unwrap_or(Effect::Change);
    Step {
        id: Id::step("a", "b", "c"),
        title: String::new(),
        section: 0,
        form: Form::Native(Language::Bash),
        span: Span::default(),
        line: 1,
        body: Mapped::default(),
        includes: Vec::new(),
        action,
        args: node.get(action.name).cloned().unwrap(),
        on: node.get("on").cloned(),
        target: node
            .get("on")
            .cloned()
            .unwrap_or_else(|| Node::text(Span::default(), "local")),
        effect,
        keys: Keys {
            gate: node.get("gate").cloned(),
            timeout: node.get("timeout").cloned(),
            template: node.get("template").and_then(Node::as_text) != Some("off"),
            ..Keys::default()
        },
        uses: Default::default(),
        node,
    }
}

fn guide(front: Front) -> Guide {
    Guide {
        id: "a".into(),
        title: String::new(),
        source: Source::new("src/a.md", ""),
        front,
        sections: vec![],
        steps: vec![],
    }
}

fn scope(profile: &str) -> Scope {
    let mut scope = Scope::new();
    scope.set("vars", json!({"pool": "tank", "other": 1}));
    scope.set("inventory", json!({"guests": {"web": {"vmid": 100}, "db": {"vmid": 101}}, "nodes": {"pve1": {"address": "a"}}}));
    scope.set("profile", json!({"name": profile, "lab": profile == "lab"}));
    scope
}

const STEP: &str = "id: c\ntitle: A title\nbash: |\n  zpool status {{ vars.pool }}\non: lxc/web\nexpect: {exit: 0, stdout: {contains: ok}}\nhints: {x: y}\n";

fn of_text(text: &str) -> String {
    of(&step(text), &guide(Front::default()), &scope("home"))
}

#[test]
fn it_has_a_version_and_is_a_hash() {
    let fingerprint = of_text(STEP);
    assert!(
        fingerprint.starts_with("1:") && fingerprint.len() == 66,
        "{fingerprint}"
    );
}

#[test]
fn what_only_reads_differently_does_not_change_it() {
    let first = of_text(STEP);
    for (what, text) in [
        ("title", STEP.replace("A title", "Another title")),
        ("no title", STEP.replace("title: A title\n", "")),
        ("hints", STEP.replace("x: y", "x: z")),
        ("hidden", format!("{STEP}hidden: true\n")),
        ("needs", format!("{STEP}needs: []\n")),
        ("id", STEP.replace("id: c", "id: d")),
        ("order of keys", "on: lxc/web\nexpect: {stdout: {contains: ok}, exit: 0}\nbash: |\n  zpool status {{ vars.pool }}\n".to_owned()),
        ("style", STEP.replace("{contains: ok}", "{contains: 'ok'}").replace("lxc/web", "\"lxc/web\"")),
        ("block style", STEP.replace("expect: {exit: 0, stdout: {contains: ok}}", "expect:\n  exit: 0\n  stdout:\n    contains: ok")),
        ("comment", format!("# why\n{STEP}")),
    ] {
        assert_eq!(of_text(&text), first, "{what}");
    }
    let step = step(STEP);
    let front = Front {
        tags: vec!["a".into()],
        owner: Some("b".into()),
        title: Some("c".into()),
        ..Front::default()
    };
    assert_eq!(
        of(&step, &guide(front), &scope("home")),
        first,
        "tags, owner, title of the guide"
    );
    let other = scope("home").with("vars", json!({"pool": "tank", "other": 2}));
    assert_eq!(
        of(&step, &guide(Front::default()), &other),
        first,
        "a variable that is not used"
    );
    let gated = format!("{STEP}gate: 'why'\n");
    assert_eq!(
        of_text(&gated),
        of_text(&gated.replace("why", "because")),
        "the gate's text"
    );
}

#[test]
fn what_is_executed_or_judged_changes_it() {
    let first = of_text(STEP);
    for (what, text) in [
        ("script", STEP.replace("status", "list")),
        ("target", STEP.replace("lxc/web", "lxc/db")),
        ("expectation", STEP.replace("exit: 0", "exit: 1")),
        (
            "type of an expectation",
            STEP.replace("exit: 0", "exit: '0'"),
        ),
        ("effect", format!("{STEP}effect: read\n")),
        ("timeout", format!("{STEP}timeout: 5s\n")),
        ("env", format!("{STEP}env: {{A: b}}\n")),
        ("secrets", format!("{STEP}secrets: [a]\n")),
        ("gate", format!("{STEP}gate: why\n")),
        (
            "another action",
            STEP.replace("bash: |\n  zpool status {{ vars.pool }}", "http: {url: x}"),
        ),
    ] {
        assert_ne!(of_text(&text), first, "{what}");
    }
    let step = step(STEP);
    let plain = guide(Front::default());
    let timeout = guide(Front {
        timeout: Some(yaml("5s")),
        ..Front::default()
    });
    assert_ne!(
        of(&step, &timeout, &scope("home")),
        first,
        "the guide's timeout"
    );
    assert_ne!(of(&step, &plain, &scope("lab")), first, "the profile");
    let changed = scope("home").with("vars", json!({"pool": "dozer", "other": 1}));
    assert_ne!(of(&step, &plain, &changed), first, "a variable");
    let gone = scope("home").with("vars", json!({"other": 1}));
    assert_ne!(of(&step, &plain, &gone), first, "a variable that is gone");
    let moved = scope("home").with("inventory", json!({"guests": {"web": {"vmid": 200}}}));
    assert_ne!(
        of(&step, &plain, &moved),
        first,
        "what the inventory says of the target"
    );
    let elsewhere = scope("home").with(
        "inventory",
        json!({"guests": {"web": {"vmid": 100}, "db": {"vmid": 300}}}),
    );
    assert_eq!(
        of(&step, &plain, &elsewhere),
        first,
        "what it says of another"
    );
}

#[test]
fn an_included_file_counts_by_its_content() {
    let with = |sha: &str| {
        let mut step = step(STEP);
        step.includes.push(Include {
            path: "lib.sh".into(),
            sha256: sha.into(),
        });
        of(&step, &guide(Front::default()), &scope("home"))
    };
    assert_eq!(with("aa"), with("aa"));
    assert_ne!(with("aa"), with("bb"));
    assert_ne!(with("aa"), of_text(STEP));
}

#[test]
fn of_values_that_only_a_run_has_the_names_count() {
    let text = "bash: echo {{ steps.a.ip }}\n";
    let ran = scope("home").with("steps", json!({"a": {"ip": "10.0.0.1"}}));
    assert_eq!(
        of(&step(text), &guide(Front::default()), &ran),
        of_text(text)
    );
    assert_ne!(of_text("bash: echo {{ steps.a.port }}\n"), of_text(text));
}

#[test]
fn each_covers_its_lists_and_their_order() {
    let both = "bash: x\neach: {node: nodes.*, size: [a, b]}\n";
    assert_ne!(
        of_text(both),
        of_text("bash: x\neach: {size: [a, b], node: nodes.*}\n")
    );
    let more = scope("home").with("inventory", json!({"nodes": {"pve1": {"address": "b"}}}));
    assert_ne!(
        of(&step(both), &guide(Front::default()), &more),
        of_text(both)
    );
}

#[test]
fn a_body_without_templates_uses_no_values() {
    let off = "bash: echo {{ vars.pool }}\ntemplate: off\n";
    let changed = scope("home").with("vars", json!({"pool": "dozer"}));
    assert_eq!(
        of(&step(off), &guide(Front::default()), &changed),
        of_text(off)
    );
}
