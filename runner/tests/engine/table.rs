//! The rows of the table of LANGUAGE section 5, as far as local actions reach them.

use runbook::outcome::{Mode, State};

use crate::book_test::{BookTest, Ran, bash, step};

#[test]
fn a_script_runs_end_to_end() {
    let ran = BookTest::new(&bash("id: hello", "echo hello")).run();
    ran.assert_complete();
    let hello = ran.step("hello");
    assert_eq!(
        (hello.state, hello.changed),
        (State::Passed, true),
        "{hello:?}"
    );
    assert_eq!(hello.output.as_ref().unwrap().stdout.head, "hello\n");
    assert_eq!(hello.checks.len(), 1);
    assert_eq!(ran.result.exit_code, 0);
    assert!(ran.output.contains("hello"));
    assert!(hello.fingerprint.is_some() && hello.identity.contains_key("os"));
}

const READ_OK: &str = "id: x\neffect: read";

/// One step on the real profile, so that `observe` and `converge` are as they are there.
fn one(steps: &str, mode: Mode) -> Ran {
    let ran = BookTest::new(steps).home().mode(mode).run();
    ran.assert_complete();
    ran
}

/// Step, mode, state of `x`, a part of its reason or message, exit code.
type Row = (&'static str, String, Mode, State, &'static str, u8);

#[test]
fn each_row_ends_as_the_table_has_it() {
    use Mode::{Converge, Observe};
    use State::{Blocked, Drifted, Failed, Passed, Pending, Skipped, TimedOut};
    let rows: Vec<Row> = vec![
        ("read holds", bash(READ_OK, "true"), Observe, Passed, "", 0),
        (
            "read fails",
            bash(READ_OK, "exit 3"),
            Observe,
            Failed,
            "exit: expected 0, got 3",
            1,
        ),
        (
            "read times out",
            bash("id: x\neffect: read\ntimeout: 200ms", "sleep 9"),
            Observe,
            TimedOut,
            "200ms",
            1,
        ),
        (
            "read in converge",
            bash(READ_OK, "true"),
            Converge,
            Passed,
            "",
            0,
        ),
        (
            "script observed",
            bash("id: x", "true"),
            Observe,
            Skipped,
            "would change",
            0,
        ),
        (
            "script converged",
            bash("id: x", "true"),
            Converge,
            Passed,
            "",
            0,
        ),
        (
            "unless holds",
            bash("id: x\nunless: 'true'", "exit 1"),
            Observe,
            Passed,
            "",
            0,
        ),
        (
            "unless differs",
            bash("id: x\nunless: 'false'", "true"),
            Observe,
            Drifted,
            "exit 1",
            1,
        ),
        (
            "unless holds",
            bash("id: x\nunless: 'true'", "exit 1"),
            Converge,
            Passed,
            "",
            0,
        ),
        (
            "unless never holds",
            bash("id: x\nunless: 'false'", "true"),
            Converge,
            Failed,
            "does not hold after",
            1,
        ),
        (
            "manual waits",
            step("id: x\nmanual: {prompt: plug it in}"),
            Observe,
            Pending,
            "plug it in",
            5,
        ),
        (
            "manual is done",
            step("id: x\nmanual: {prompt: plug it in}\nunless: 'true'"),
            Observe,
            Passed,
            "",
            0,
        ),
        (
            "nobody is there",
            step("id: x\nmanual: {prompt: plug}"),
            Converge,
            Pending,
            "plug",
            5,
        ),
        (
            "gate in observe",
            bash("id: x\ngate: why", "true"),
            Observe,
            Skipped,
            "would change",
            0,
        ),
        (
            "gate in converge",
            bash("id: x\ngate: why not", "true"),
            Converge,
            Pending,
            "why not",
            5,
        ),
        (
            "gate with nothing to do",
            bash("id: x\ngate: why\nunless: 'true'", "true"),
            Converge,
            Passed,
            "",
            0,
        ),
        (
            "destroy needs approval",
            bash("id: x\neffect: destroy", "true"),
            Converge,
            Pending,
            "destroy",
            5,
        ),
        (
            "disrupt in observe with unless",
            bash("id: x\neffect: disrupt\nunless: 'false'", "true"),
            Observe,
            Drifted,
            "exit 1",
            1,
        ),
        (
            "when is false",
            bash("id: x\nwhen: false", "exit 1"),
            Converge,
            Skipped,
            "when: ",
            0,
        ),
        (
            "when is a script",
            bash("id: x\nwhen: exit 4", "exit 1"),
            Observe,
            Skipped,
            "when: exit 4",
            0,
        ),
        (
            "when is a template",
            bash("id: x\nwhen: '{{ profile.lab }}'", "exit 1"),
            Converge,
            Skipped,
            "when: {{ profile.lab }} is false",
            0,
        ),
        (
            "asked",
            bash("id: x\nwhen: asked", "exit 1"),
            Converge,
            Skipped,
            "only when asked",
            0,
        ),
        (
            "needs a failure",
            bash("id: a", "false") + &bash("id: x", "true"),
            Converge,
            Blocked,
            "needs `a#s/a`",
            1,
        ),
        (
            "needs nothing",
            bash("id: a", "false") + &bash("id: x\nneeds: []", "true"),
            Converge,
            Passed,
            "",
            1,
        ),
        (
            "the page's order blocks nothing in observe",
            bash("id: a\neffect: read", "false") + &bash(READ_OK, "true"),
            Observe,
            Passed,
            "",
            1,
        ),
        (
            "a written need blocks in observe",
            bash("id: a\neffect: read", "false") + &bash("id: x\neffect: read\nneeds: a", "true"),
            Observe,
            Blocked,
            "needs `a#s/a`",
            1,
        ),
        (
            "reads below what would change",
            bash("id: a", "true") + &bash(READ_OK, "true"),
            Observe,
            Skipped,
            "`a#s/a` above it would change",
            0,
        ),
        (
            "uses a value of a skipped step",
            bash("id: a\nwhen: false\ncapture: {v: stdout}", "echo 1")
                + &bash("id: x\nenv: {V: '{{ steps.a.v }}'}", "true"),
            Converge,
            Skipped,
            "uses `v` of `a#s/a`, which was skipped",
            0,
        ),
    ];
    for (name, steps, mode, state, why, exit) in rows {
        let ran = one(&steps, mode);
        let said = ran.why("x");
        assert_eq!(ran.state("x"), state, "{name}: {said}");
        assert!(said.contains(why), "{name}: {said}");
        assert_eq!(ran.result.exit_code, exit, "{name}");
    }
}

#[test]
fn a_file_that_differs_drifts_in_observe_and_is_changed_in_converge() {
    let wish = |content: &str| step(&format!("id: x\nfile: {{path: conf, content: {content}}}"));
    let book = BookTest::new(&wish("new")).home().file("conf", "old");
    let observed = book.ask(|request| request.mode = Some(Mode::Observe));
    let ran = observed.run();
    assert_eq!(ran.state("x"), State::Drifted);
    assert!(ran.step("x").diff.as_ref().unwrap().contains("-old"));
    let converged = observed.mode(Mode::Converge);
    let ran = converged.run();
    assert_eq!(
        (ran.state("x"), ran.step("x").changed),
        (State::Passed, true)
    );
    assert!(ran.step("x").diff.as_ref().unwrap().contains("+new"));
    assert_eq!(
        std::fs::read_to_string(converged.root().join("conf")).unwrap(),
        "new"
    );
    let again = converged.run();
    assert_eq!(
        (again.state("x"), again.step("x").changed),
        (State::Passed, false)
    );
    assert!(again.step("x").diff.is_none());
}

#[test]
fn behind_a_gate_a_state_is_compared_and_not_changed() {
    let gated = step("id: x\ngate: sure?\nfile: {path: conf, content: new}");
    let book = BookTest::new(&gated).home().file("conf", "old");
    let ran = book.run();
    assert_eq!(ran.state("x"), State::Pending);
    assert!(ran.step("x").diff.as_ref().unwrap().contains("+new"));
    assert_eq!(
        std::fs::read_to_string(book.root().join("conf")).unwrap(),
        "old"
    );
    let same = BookTest::new(&gated).home().file("conf", "new").run();
    assert_eq!(same.state("x"), State::Passed);
}

#[test]
fn observe_changes_nothing() {
    let steps = bash("id: a", "touch made") + &step("id: b\nfile: {path: made, content: x}");
    let book = BookTest::new(&steps).home().mode(Mode::Observe);
    book.run();
    assert!(!book.root().join("made").exists());
}

#[test]
fn asked_steps_run_by_their_own_or_their_sections_id() {
    let steps = "# S\n\n".to_owned()
        + &bash("id: x\nwhen: asked", "true")
        + "## Deep\n\n"
        + &bash("id: y\nwhen: asked", "true");
    for (id, x, y) in [
        ("a#s/x", Some(State::Passed), None),
        ("a#s", Some(State::Passed), Some(State::Skipped)),
        ("a#deep", None, Some(State::Passed)),
        ("a", Some(State::Skipped), Some(State::Skipped)),
    ] {
        let book = BookTest::empty().chapter("a", &steps).home();
        let ran = book
            .ask(|request| request.ids = vec![runbook::id::Id::parse(id).unwrap()])
            .run();
        assert_eq!(ran.steps.get("x").map(|step| step.state), x, "{id}");
        assert_eq!(ran.steps.get("a#deep/y").map(|step| step.state), y, "{id}");
    }
}

#[test]
fn a_rehearsal_runs_as_converge_in_the_lab_says_so_and_opens_no_gate_on_local() {
    let steps = bash("id: a", "true") + &bash("id: x\ngate: why\nneeds: []", "true");
    let ran = BookTest::new(&steps).mode(Mode::Rehearse).run();
    let a = ran.step("a");
    assert_eq!((a.state, a.mode), (State::Passed, Mode::Converge));
    assert_eq!(
        a.note.as_deref(),
        Some("ran as converge: rehearsal is not available yet")
    );
    assert_eq!(ran.state("x"), State::Pending);
    let refused = BookTest::new(&bash("id: a", "true"))
        .home()
        .mode(Mode::Rehearse)
        .refused();
    assert_eq!(refused.exit_code(), 2);
    assert!(refused.to_string().contains("`home`"), "{refused}");
}

#[test]
fn each_failing_state_and_strict_have_their_exit_codes() {
    let skipped = BookTest::new(&bash("id: x\nwhen: false", "true"));
    assert_eq!(skipped.run().result.exit_code, 0);
    assert_eq!(
        skipped
            .ask(|request| request.strict = true)
            .run()
            .result
            .exit_code,
        1
    );
    let verify = BookTest::new(&step("id: x\nmanual: {prompt: p}"))
        .ask(|request| request.purpose = runbook_runner::execute::Purpose::Verify);
    assert_eq!(verify.run().result.exit_code, 0);
    assert_eq!(
        verify
            .ask(|request| request.strict = true)
            .run()
            .result
            .exit_code,
        5
    );
}

#[test]
fn a_program_that_is_not_there_makes_the_place_unusable() {
    let none = BookTest::new(&bash("id: x", "true")).home().ask(|request| {
        request.repository = "/nowhere/at/all".into();
    });
    let ran = none.run();
    assert_eq!(ran.state("x"), State::Failed, "{}", ran.why("x"));
    assert_eq!(ran.result.exit_code, 4, "{}", ran.why("x"));
}
