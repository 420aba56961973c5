//! Each key of a step that says how it is executed.

use std::time::Instant;

use runbook::outcome::{Mode, State};

use crate::book_test::{BookTest, bash, step};

#[test]
fn retry_repeats_until_it_holds() {
    let ran = BookTest::new(&bash(
        "id: x\nretry: {for: 20s, every: 20ms}",
        "echo . >> tries; test $(wc -l < tries) -ge 3",
    ))
    .run();
    assert_eq!((ran.state("x"), ran.step("x").attempts), (State::Passed, 3));
}

#[test]
fn a_retry_whose_time_is_over_is_timed_out_with_the_rows_of_the_last_look() {
    // Each attempt ends with its own number: how many there are is the machine's business.
    let ran = BookTest::new(&bash(
        "id: x\nretry: {for: 2s, every: 50ms}",
        "echo . >> n; exit $(wc -l < n)",
    ))
    .run();
    let x = ran.step("x");
    assert_eq!(x.state, State::TimedOut);
    assert_eq!(x.reason.as_deref(), Some("did not hold within 2s"));
    assert!(x.attempts > 1, "{x:?}");
    assert_eq!(x.checks[0].actual, x.attempts.to_string(), "{x:?}");
}

#[test]
fn an_attempt_over_its_time_is_retried() {
    let ran = BookTest::new(&bash(
        "id: x\ntimeout: 300ms\nretry: {for: 30s, every: 10ms}",
        "if test -e second; then exit 0; fi; touch second; sleep 60",
    ))
    .run();
    assert_eq!((ran.state("x"), ran.step("x").attempts), (State::Passed, 2));
}

#[test]
fn hold_looks_again_and_a_break_goes_back_into_retry() {
    let held = BookTest::new(&bash(
        "id: x\neffect: read\nhold: 200ms\nretry: {for: 10s, every: 50ms}",
        "true",
    ));
    let begun = Instant::now();
    let ran = held.run();
    assert!(begun.elapsed().as_millis() >= 200);
    assert!(ran.step("x").attempts >= 3, "{:?}", ran.step("x"));
    // The second look breaks, then it goes on holding.
    let broken = BookTest::new(&bash(
        "id: x\nhold: 100ms\nretry: {for: 10s, every: 20ms}",
        "echo . >> n; test $(wc -l < n) -ne 2",
    ))
    .run();
    assert_eq!(broken.state("x"), State::Passed, "{}", broken.why("x"));
    assert!(broken.step("x").attempts >= 4);
}

#[test]
fn a_hold_that_breaks_without_retry_fails() {
    let ran = BookTest::new(&bash(
        "id: x\nhold: 300ms\nretry: {for: 1ms, every: 50ms}",
        "echo . >> n; test $(wc -l < n) -ne 2",
    ))
    .run();
    assert_eq!(ran.state("x"), State::TimedOut, "{}", ran.why("x"));
}

#[test]
fn a_script_over_its_time_is_ended_with_its_children() {
    let begun = Instant::now();
    let ran = BookTest::new(&bash(
        "id: x\ntimeout: 300ms",
        "trap '' TERM; sleep 300 & sleep 300",
    ))
    .run();
    assert_eq!(ran.state("x"), State::TimedOut);
    assert!(begun.elapsed().as_secs() < 5);
}

#[test]
fn unless_is_the_postcondition_and_is_looked_at_again_with_retry() {
    let ran = BookTest::new(&bash(
        "id: x\nunless: test -e ready\nretry: {for: 10s, every: 20ms}",
        "echo . >> runs; (sleep 0.2; touch ready) >/dev/null 2>&1 & sleep 0.01; wait",
    ))
    .run();
    assert_eq!(
        (ran.state("x"), ran.step("x").changed),
        (State::Passed, true),
        "{}",
        ran.why("x")
    );
    let slow = BookTest::new(
        &(bash(
            "id: server\nbackground: true",
            "sleep 0.4; touch ready; sleep 60",
        ) + &bash(
            "id: x\nunless: test -e ready\nretry: {for: 10s, every: 20ms}",
            "echo . >> runs",
        ) + &bash(
            "id: runs\neffect: read\nexpect: {stdout: '1'}",
            "wc -l < runs",
        )),
    )
    .run();
    assert_eq!(slow.state("x"), State::Passed, "{}", slow.why("x"));
    assert_eq!(
        slow.state("runs"),
        State::Passed,
        "the action was repeated: {}",
        slow.why("runs")
    );
}

#[test]
fn each_runs_once_per_item_and_takes_the_worst_state() {
    let ran = BookTest::new(&bash(
        "id: x\neach: {n: [a, b, c], m: [1, 2]}\nexpect: {stdout: {not: {contains: b1}}}",
        "echo {{ n }}{{ m }}",
    ))
    .run();
    ran.assert_complete();
    let items: Vec<String> = ran.states();
    assert_eq!(
        items,
        [
            "x@a,1 passed",
            "x@a,2 passed",
            "x@b,1 failed",
            "x@b,2 passed",
            "x@c,1 passed",
            "x@c,2 passed",
            "x failed",
        ]
    );
    assert!(
        ran.why("x").contains("1 of 6 items: b,1: "),
        "{}",
        ran.why("x")
    );
    assert_eq!(
        ran.result.counts[&State::Failed],
        1,
        "steps are counted, not items"
    );
}

#[test]
fn values_of_a_loop_are_the_items_in_a_loop_over_the_same_and_a_map_elsewhere() {
    let steps = bash(
        "id: a\neach: {n: [p, q]}\ncapture: {v: stdout}",
        "echo {{ n }}1",
    ) + &bash(
        "id: b\neach: {n: [p, q]}\nexpect: {stdout: '{{ n }}1'}",
        "echo {{ steps.a.v }}",
    ) + &bash(
        "id: c\nexpect: {stdout: q1 true}",
        "echo {{ steps.a.v.q }} {{ steps.a.changed }}",
    );
    let ran = BookTest::new(&steps).run();
    assert_eq!(ran.state("b"), State::Passed, "{}", ran.why("b"));
    assert_eq!(ran.state("c"), State::Passed, "{}", ran.why("c"));
}

#[test]
fn reads_of_a_loop_run_together_and_tell_in_order() {
    let begun = Instant::now();
    let ran = BookTest::new(&bash(
        "id: x\neffect: read\neach: {n: [1, 2, 3, 4]}",
        "sleep 0.4",
    ))
    .run();
    assert!(begun.elapsed().as_millis() < 1500, "one after the other");
    assert_eq!(ran.state("x"), State::Passed);
    assert_eq!(ran.steps.len(), 5);
}

#[test]
fn an_empty_loop_is_skipped_and_two_items_of_one_name_fail() {
    let empty = BookTest::new(&bash("id: x\neach: {n: '{{ vars.none }}'}", "true"))
        .inventory("vars: {none: []}\n")
        .run();
    assert_eq!(
        (empty.state("x"), empty.why("x").as_str()),
        (State::Skipped, "`each` has no items")
    );
    let twice = BookTest::new(&bash("id: x\neach: {n: [a/b, a-b]}", "true")).run();
    assert_eq!(twice.state("x"), State::Failed);
    assert!(
        twice.why("x").contains("two items called `a-b`"),
        "{}",
        twice.why("x")
    );
}

#[test]
fn background_stays_up_until_the_end_of_the_guide() {
    let steps = bash(
        "id: server\nbackground: test -e up",
        "echo $$ > pid; sleep 0.3; touch up; exec sleep 300",
    ) + &bash(
        "id: x\neffect: read\ncapture: {pid: stdout}",
        "kill -0 $(cat pid); cat pid",
    );
    let ran = BookTest::new(&steps).run();
    assert_eq!(ran.state("server"), State::Passed, "{}", ran.why("server"));
    assert_eq!(ran.state("x"), State::Passed, "{}", ran.why("x"));
    let pid = ran.step("x").captures["pid"].as_str().unwrap().to_owned();
    assert!(
        !std::path::Path::new(&format!("/proc/{pid}")).exists(),
        "it was not ended"
    );
}

#[test]
fn a_background_script_without_a_condition_that_dies_at_once_fails() {
    let steps = bash(
        "id: dead\nbackground: true",
        "echo no such port >&2\nexit 3",
    ) + &bash("id: up\nneeds: []\nbackground: true", "exec sleep 60");
    let ran = BookTest::new(&steps).run();
    assert_eq!(ran.state("dead"), State::Failed);
    assert!(
        ran.why("dead")
            .contains("ended with exit code 3 before it was ready: no such port"),
        "{}",
        ran.why("dead")
    );
    assert_eq!(ran.state("up"), State::Passed, "{}", ran.why("up"));
}

#[test]
fn a_background_script_that_ends_before_it_is_ready_fails() {
    let ran = BookTest::new(&bash(
        "id: x\nbackground: test -e never",
        "echo no port >&2; exit 3",
    ))
    .run();
    assert_eq!(ran.state("x"), State::Failed);
    assert!(
        ran.why("x")
            .contains("exit code 3 before it was ready: no port"),
        "{}",
        ran.why("x")
    );
    let slow = BookTest::new(&bash(
        "id: x\nbackground: test -e never\ntimeout: 400ms",
        "sleep 60",
    ));
    let ran = slow.run();
    assert_eq!(ran.state("x"), State::TimedOut, "{}", ran.why("x"));
}

#[test]
fn repair_is_followed_by_one_more_attempt() {
    let ran = BookTest::new(&bash("id: x\nrepair: touch fixed", "test -e fixed")).run();
    assert_eq!(
        (ran.state("x"), ran.step("x").repaired),
        (State::Passed, true),
        "{}",
        ran.why("x")
    );
    let in_vain = BookTest::new(&bash("id: x\nrepair: 'true'", "false")).run();
    assert_eq!(
        (in_vain.state("x"), in_vain.step("x").repaired),
        (State::Failed, false)
    );
    let by_key = bash(
        "id: x\nrepair: {exit 2: touch wrong, 'no such port': touch right}",
        "test -e right || { echo no such port >&2; exit 1; }",
    );
    let ran = BookTest::new(&by_key).run();
    assert_eq!(
        (ran.state("x"), ran.step("x").repaired),
        (State::Passed, true),
        "{}",
        ran.why("x")
    );
    let by_step = bash("id: fix\nwhen: asked", "touch fixed")
        + &bash("id: x\nneeds: []\nrepair: '#s/fix'", "test -e fixed");
    let ran = BookTest::new(&by_step).run();
    assert_eq!(ran.state("fix"), State::Skipped);
    assert!(ran.step("x").repaired, "{}", ran.why("x"));
    let broken = BookTest::new(&bash("id: x\nrepair: exit 5", "false")).run();
    assert!(
        broken
            .step("x")
            .note
            .as_ref()
            .unwrap()
            .contains("repair failed"),
        "{:?}",
        broken.step("x")
    );
}

#[test]
fn diagnose_leaves_an_artifact_and_changes_nothing() {
    let book = BookTest::new(&bash("id: x\ndiagnose: [echo it was me, exit 9]", "false"));
    let ran = book.run();
    assert_eq!(ran.state("x"), State::Failed);
    let artifact = &ran.step("x").artifacts[0];
    let text = std::fs::read_to_string(book.directory().join(artifact)).unwrap();
    assert_eq!(text, "it was me\n");
}

#[test]
fn cleanup_takes_back_in_reverse_whatever_happened() {
    let steps = bash("id: a\ncleanup: always\nundo: echo a >> undone", "true")
        + &bash("id: b\ncleanup: always\nundo: echo b >> undone", "false")
        + &bash("id: c\nundo: echo c >> undone\nneeds: []", "true");
    let book = BookTest::new(&steps).home();
    let ran = book.run();
    assert_eq!(ran.undone(), ["b passed", "a passed"]);
    assert_eq!(
        std::fs::read_to_string(book.root().join("undone")).unwrap(),
        "b\na\n"
    );
    let registered = ran.journal().matches("\"undo-registered\"").count();
    assert_eq!(registered, 3, "the journal has what a later undo needs");
    assert_eq!(ran.result.exit_code, 1);
}

#[test]
fn a_failing_undo_is_told_and_never_green() {
    let ran = BookTest::new(&bash(
        "id: x\ncleanup: always\nundo: echo stuck >&2; exit 3",
        "true",
    ))
    .run();
    assert_eq!(ran.state("x"), State::Passed);
    assert_eq!(ran.undone(), ["x failed"]);
    assert_eq!(ran.result.exit_code, 1);
    assert!(
        ran.result.left_behind[0].starts_with("a#s/x: script: exit: expected 0, got 3"),
        "{:?}",
        ran.result
    );
}

#[test]
fn a_file_takes_itself_back_and_uses_its_own_captures_for_a_written_undo() {
    let own = step("id: x\ncleanup: always\nfile: {path: d/conf, state: directory}");
    let book = BookTest::new(&own).home();
    let ran = book.run();
    assert_eq!(ran.undone(), ["x passed"]);
    assert!(!book.root().join("d").exists());
    let captured = bash(
        "id: x\ncleanup: always\ncapture: {made: stdout}\nundo: rm {{ steps.x.made }}",
        "touch thing; echo thing",
    );
    let book = BookTest::new(&captured).home();
    let ran = book.run();
    assert_eq!(ran.undone(), ["x passed"], "{:?}", ran.result);
    assert!(!book.root().join("thing").exists());
}

#[test]
fn what_another_step_gave_is_known_when_a_step_is_taken_back() {
    let steps = bash("id: x\neffect: read\ncapture: {name: stdout}", "echo conf")
        + &step("id: y\ncleanup: always\nfile: {path: '{{ steps.x.name }}', content: new}");
    let book = BookTest::new(&steps).home();
    let ran = book.run();
    assert_eq!(ran.undone(), ["y passed"], "{:?}", ran.result);
    assert!(!book.root().join("conf").exists());
}

#[test]
fn a_lists_own_stands_for_the_actions_undo() {
    let steps =
        step("id: x\ncleanup: always\nundo: [own, touch after]\nfile: {path: conf, content: new}");
    let book = BookTest::new(&steps).home().file("conf", "old");
    let ran = book.run();
    assert_eq!(ran.undone(), ["x passed"]);
    assert_eq!(
        std::fs::read_to_string(book.root().join("conf")).unwrap(),
        "old"
    );
    assert!(book.root().join("after").exists());
    assert!(!book.root().join("conf.runbook~").exists());
}

#[test]
fn strict_ends_at_the_first_failing_line_and_off_does_not() {
    let ran = BookTest::new(
        &(bash("id: a", "false | true\necho reached")
            + &bash("id: b\nneeds: []\nstrict: false", "false\ntrue")),
    )
    .run();
    assert_eq!(
        (ran.state("a"), ran.state("b")),
        (State::Failed, State::Passed)
    );
    assert_eq!(ran.step("a").output.as_ref().unwrap().stdout.head, "");
}

#[test]
fn template_off_leaves_the_body_as_it_is() {
    let ran = BookTest::new(&bash(
        "id: x\ntemplate: off\nexpect: {stdout: '{% raw %}'}\n",
        "echo '{% raw %}'; : '{{ nobody.knows }}'",
    ))
    .run();
    assert_eq!(ran.state("x"), State::Passed, "{}", ran.why("x"));
    assert!(
        ran.step("x")
            .command
            .as_ref()
            .unwrap()
            .contains("{{ nobody.knows }}")
    );
}

#[test]
fn the_environment_is_clean_and_has_what_the_step_declares() {
    // The test's own environment has this; a script must not.
    let ran = BookTest::new(
        &(bash("id: x\nenv: {GREETING: 'he said \"hi\"'}\nexpect: {stdout: 'he said \"hi\"'}", "echo \"$GREETING\"")
            + &bash(
                "id: names\neffect: read\nneeds: []\nexpect: {stdout: {contains: [HOME, KUBECONFIG, LANG, PATH, RUNBOOK_BOOK, RUNBOOK_RUN, TERM]}}",
                "env | cut -d= -f1 | sort",
            )
            + &bash("id: none\nneeds: []", "test -z \"${CARGO_MANIFEST_DIR:-}\" && test -z \"${SSH_AUTH_SOCK:-}\"")
            + &bash("id: stdin\nneeds: []\ntimeout: 5s", "! read -r line")
            + &bash("id: values\nneeds: []\nexpect: {stdout: C.UTF-8 dumb 20261124T000000Z-0000}", "echo $LANG $TERM $RUNBOOK_RUN")),
    )
    .run();
    for id in ["x", "names", "none", "stdin", "values"] {
        assert_eq!(ran.state(id), State::Passed, "{id}: {}", ran.why(id));
    }
}

#[test]
fn sh_and_python_run_too() {
    let steps = "```sh runbook\n#| id: sh\nset -- a; echo $1\n```\n\n```python runbook\n#| id: py\n#| expect: {json: {$.a: 1}}\nimport json\nprint(json.dumps({'a': 1}))\n```\n";
    let ran = BookTest::new(steps).run();
    assert_eq!(ran.state("sh"), State::Passed, "{}", ran.why("sh"));
    assert_eq!(ran.state("py"), State::Passed, "{}", ran.why("py"));
}

#[test]
fn captures_go_on_and_what_finds_nothing_fails() {
    let steps = bash(
        "id: a\ncapture: {ip: {stdout: 'address (\\S+)'}}",
        "echo address 10.0.0.9",
    ) + &bash("id: b\nexpect: {stdout: 10.0.0.9}", "echo {{ steps.a.ip }}")
        + &bash(
            "id: c\nneeds: []\ncapture: {v: {stdout: 'no (such)'}}",
            "echo x",
        );
    let ran = BookTest::new(&steps).run();
    assert_eq!(ran.state("b"), State::Passed, "{}", ran.why("b"));
    assert_eq!(ran.step("a").captures["ip"], "10.0.0.9");
    assert_eq!(ran.state("c"), State::Failed);
    assert!(
        ran.why("c").contains("`v` captured nothing"),
        "{}",
        ran.why("c")
    );
}

#[test]
fn what_a_guest_printed_is_not_code() {
    let steps = bash("id: a\ncapture: {v: stdout}", "echo 'x; touch owned'")
        + &bash("id: x", "echo {{ steps.a.v }}")
        + &bash(
            "id: quoted\nneeds: []\nexpect: {stdout: 'x; touch owned'}",
            "echo {{ steps.a.v | sh }}",
        )
        + &bash(
            "id: passed\nneeds: []\nenv: {V: '{{ steps.a.v }}'}\nexpect: {stdout: 'x; touch owned'}",
            "echo \"$V\"",
        );
    let ran = BookTest::new(&steps).run();
    assert_eq!(ran.state("x"), State::Failed);
    assert!(
        ran.why("x").contains("are not put into a script"),
        "{}",
        ran.why("x")
    );
    assert_eq!(ran.step("x").attempts, 1);
    assert_eq!(ran.state("quoted"), State::Passed, "{}", ran.why("quoted"));
    assert_eq!(ran.state("passed"), State::Passed, "{}", ran.why("passed"));
}

#[test]
fn hints_say_what_a_known_failure_means() {
    let ran = BookTest::new(&bash(
        "id: x\nhints: {exit 39: the node has no /dev/dri, other: no}",
        "exit 39",
    ))
    .run();
    assert_eq!(
        ran.step("x").hint.as_deref(),
        Some("the node has no /dev/dri")
    );
}

#[test]
fn a_person_does_it_and_the_condition_is_looked_at_again() {
    use runbook_runner::execute::{Answer, Person, Question};
    use std::future::Future;
    use std::pin::Pin;
    struct Somebody(std::path::PathBuf);
    impl Person for Somebody {
        fn ask<'a>(
            &'a self,
            question: Question<'a>,
        ) -> Pin<Box<dyn Future<Output = Answer> + Send + 'a>> {
            assert_eq!(question.prompt, "plug it in");
            std::fs::write(self.0.join("plugged"), "").unwrap();
            Box::pin(async { Answer::Done(Some("port 3".into())) })
        }
    }
    let steps = step(
        "id: x\nmanual: {prompt: plug it in, evidence: note}\nunless: test -e plugged\ncapture: {port: note}",
    );
    let book = BookTest::new(&steps).home();
    let root = book.root();
    let ran = book
        .ask(|request| request.person = Some(std::sync::Arc::new(Somebody(root))))
        .run();
    assert_eq!(ran.state("x"), State::Passed, "{}", ran.why("x"));
    assert_eq!(ran.step("x").captures["port"], "port 3");
}

#[test]
fn a_line_is_added_once_and_taken_back() {
    let steps = step("id: x\nline: {path: conf, line: 'x = 1', match: '^x *='}");
    let book = BookTest::new(&steps).home().file("conf", "# c\nx = 0\n");
    let ran = book.run();
    assert_eq!(
        (ran.state("x"), ran.step("x").changed),
        (State::Passed, true),
        "{}",
        ran.why("x")
    );
    assert_eq!(
        std::fs::read_to_string(book.root().join("conf")).unwrap(),
        "# c\nx = 1\n"
    );
    assert!(!book.run().step("x").changed);
    let missing = BookTest::new(&step("id: x\nline: {path: none, line: a}"))
        .home()
        .mode(Mode::Converge)
        .run();
    assert_eq!(missing.state("x"), State::Failed);
    assert!(
        missing
            .step("x")
            .hint
            .as_ref()
            .unwrap()
            .contains("create: true")
    );
}

#[test]
fn events_are_bounded_whatever_a_step_prints_or_captures() {
    let steps = bash("id: a\ncapture: {all: stdout}", "seq 100000")
        + &bash(
            "id: b\nexpect: {stdout: '100000'}",
            "echo {{ steps.a.all | split(pat=\"\\n\") | length }}",
        );
    let ran = BookTest::new(&steps).run();
    assert_eq!(ran.state("b"), State::Passed, "{}", ran.why("b"));
    let a = ran.step("a");
    assert!(a.captures.is_empty() && a.note.as_ref().unwrap().contains("`all` is too long"));
    assert!(ran.journal().lines().map(str::len).max().unwrap() < 200_000);
    let output = a.output.as_ref().unwrap();
    assert_eq!(
        (output.stdout.lines, output.stdout.bytes),
        (100_000, 588_895)
    );
    assert_eq!(a.artifacts, ["artifacts/00000-a.txt"]);
}

#[test]
fn what_is_needed_for_taking_back_stays_up_until_then() {
    let steps = bash(
        "id: server\nbackground: test -e up",
        "trap 'touch down; exit 0' TERM; touch up; while true; do sleep 0.05; done",
    ) + &bash(
        "id: x\ncleanup: always\nundo: test ! -e down && touch undone",
        "true",
    );
    let book = BookTest::new(&steps).home();
    let ran = book.run();
    assert_eq!(ran.undone(), ["x passed"], "{:?}", ran.result);
    assert!(book.root().join("undone").exists() && book.root().join("down").exists());
}

#[test]
fn a_change_that_failed_is_made_again_after_a_repair() {
    let steps =
        step("id: x\nfile: {path: folder/conf, content: x}\nrepair: mkdir folder\ncleanup: always");
    let book = BookTest::new(&steps).home();
    let ran = book.run();
    assert_eq!(
        (ran.state("x"), ran.step("x").repaired),
        (State::Passed, true),
        "{}",
        ran.why("x")
    );
    assert_eq!(ran.undone()[0], "x passed");
    assert!(book.root().join("folder").exists() && !book.root().join("folder/conf").exists());
}

#[test]
fn steps_that_touch_the_same_file_do_not_overlap() {
    let line = |n: usize| {
        (0..10).fold(String::new(), |steps, step| {
            steps + &crate::book_test::step(&format!(
                "id: s-{step}\nline: {{path: shared, line: 'line {n} {step}', create: true, backup: false}}"
            ))
        })
    };
    let mut book = BookTest::empty().home();
    for n in 0..4 {
        book = book.chapter(&format!("g{n}"), &line(n));
    }
    let ran = book.run();
    assert_eq!(ran.result.exit_code, 0, "{:?}", ran.result);
    let text = std::fs::read_to_string(book.root().join("shared")).unwrap();
    assert_eq!(text.lines().count(), 40);
}

#[test]
fn a_diagnosis_in_observe_only_reads() {
    let steps = bash(
        "id: x\neffect: read\ndiagnose: [touch changed, {tcp: {host: 127.0.0.1, port: 9}, expect: {open: false}}]",
        "false",
    );
    let book = BookTest::new(&steps).home().mode(Mode::Observe);
    assert_eq!(book.run().state("x"), State::Failed);
    assert!(!book.root().join("changed").exists());
}
