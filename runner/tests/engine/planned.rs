//! What a plan says.

use runbook::outcome::Effect;

use crate::book_test::{BookTest, bash, step};

#[test]
fn a_plan_says_what_would_happen_and_executes_nothing_it_does_not_have_to() {
    let steps = bash("id: seen\neffect: read\nneeds: []", "touch looked")
        + &bash("id: value\neffect: read\ncapture: {v: stdout}", "echo 7")
        + &step("id: change\nfile: {path: conf, content: '{{ steps.value.v }}'}")
        + &step("id: same\nfile: {path: there, content: x}")
        + &bash("id: done\nunless: 'true'", "true")
        + &bash("id: todo\nunless: 'false'", "true")
        + &bash("id: gate\ngate: sure?\neffect: destroy", "true")
        + &bash("id: asked\nwhen: asked", "true")
        + &bash("id: off\nwhen: false", "true")
        + &bash("id: run", "touch made")
        + &bash("id: after\neffect: read", "true");
    let book = BookTest::new(&steps)
        .home()
        .file("conf", "6")
        .file("there", "x");
    let plan = book.plan();
    let would: Vec<(&str, &str)> = plan
        .iter()
        .map(|(id, step)| (id.as_str(), step.would.as_str()))
        .collect();
    assert_eq!(
        would,
        [
            ("after", "read: `a#s/gate` above it would change"),
            ("asked", "skip: only when asked"),
            ("change", "change"),
            ("done", "nothing"),
            ("gate", "wait: sure?"),
            ("off", "skip: when: false"),
            ("run", "run"),
            ("same", "nothing"),
            ("seen", "read"),
            ("todo", "run"),
            ("value", "read"),
        ]
    );
    assert!(
        plan["change"].diff.as_ref().unwrap().contains("-6\n"),
        "{:?}",
        plan["change"]
    );
    assert_eq!(plan["gate"].approval.as_deref(), Some("sure?"));
    assert_eq!(plan["gate"].effect, Effect::Destroy);
    assert!(!book.root().join("made").exists() && !book.root().join("looked").exists());
}
