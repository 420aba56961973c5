//! What a run has beside what was asked for, in which order, and what earlier results are worth.

use std::collections::BTreeMap;
use std::sync::Arc;

use runbook::event::StepFinished;
use runbook::id::Id;
use runbook::outcome::{Mode, State};
use runbook_runner::execute::{Earlier, Purpose};

use crate::book_test::{BookTest, Ran, bash};

fn id(text: &str) -> Id {
    Id::parse(text).unwrap()
}

/// Results of an earlier run.
struct Old(BTreeMap<String, StepFinished>);

impl Earlier for Old {
    fn newest(&self, id: &Id) -> Option<StepFinished> {
        self.0.get(&id.to_string()).cloned()
    }
}

fn old(ran: &Ran) -> Arc<Old> {
    Arc::new(Old(ran
        .steps
        .values()
        .map(|step| (step.id.to_string(), step.clone()))
        .collect()))
}

#[test]
fn needs_across_guides_run_once_and_first() {
    let needy = |name: &str| {
        format!(
            "---\nneeds: z#\n---\n\n# {name}\n\n{}",
            bash("id: y", "true")
        )
    };
    for jobs in [1, 4] {
        let book = BookTest::empty()
            .chapter("a", &needy("S"))
            .chapter("b", &needy("B"))
            .chapter("z", &bash("id: first", "sleep 0.3"))
            .ask(|request| request.jobs = jobs);
        let ran = book.run();
        let states = ran.states();
        assert_eq!(states[0], "z#s/first passed", "{states:?}");
        assert_eq!(states.len(), 3, "{states:?}");
    }
}

#[test]
fn what_a_step_needs_runs_before_it_wherever_it_stands() {
    let steps = bash(
        "id: user\nneeds: giver\nexpect: {stdout: 7}",
        "echo {{ steps.giver.n }}",
    ) + &bash("id: next", "true")
        + &bash("id: giver\nneeds: deep\ncapture: {n: stdout}", "echo 7")
        + &bash("id: deep\nneeds: []", "true");
    let ran = BookTest::new(&steps).run();
    assert_eq!(
        ran.states(),
        ["deep passed", "giver passed", "user passed", "next passed"],
        "{}",
        ran.why("user")
    );
    let failed = BookTest::new(&steps.replace("needs: []\ntrue", "needs: []\nfalse")).run();
    assert_eq!(
        failed.states(),
        [
            "deep failed",
            "giver blocked",
            "user blocked",
            "next blocked"
        ]
    );
}

#[test]
fn a_failed_need_of_another_guide_blocks() {
    for mode in [Mode::Converge, Mode::Observe] {
        let book = BookTest::empty()
            .chapter(
                "a",
                &format!(
                    "---\nneeds: z#s\n---\n\n# S\n\n{}",
                    bash("id: y\neffect: read", "true")
                ),
            )
            .chapter("z", &bash("id: first\neffect: read", "false"))
            .mode(mode);
        let ran = book.run();
        assert_eq!(ran.state("y"), State::Blocked, "{mode}");
        assert_eq!(ran.why("y"), "needs `z#s/first`");
    }
}

#[test]
fn a_step_skipped_by_when_passes_on_what_it_needs() {
    let steps = bash("id: a", "false")
        + &bash("id: b\nneeds: a\nwhen: false", "true")
        + &bash("id: x\nneeds: b", "true")
        + &bash("id: free\nneeds: []\nwhen: false", "true")
        + &bash("id: y\nneeds: free", "true");
    let ran = BookTest::new(&steps).run();
    assert_eq!(
        (ran.state("x"), ran.state("y")),
        (State::Blocked, State::Passed)
    );
    assert_eq!(ran.why("x"), "needs `a#s/a`");
}

#[test]
fn one_step_is_what_it_means_and_no_more_but_in_the_lab_with_what_it_needs() {
    let steps = bash("id: a", "true") + &bash("id: b", "true") + &bash("id: c", "true");
    let asked = |book: BookTest| book.ask(|request| request.ids = vec![id("a#s/b")]);
    let before = BookTest::new(&steps).home().run();
    let one = asked(BookTest::new(&steps).home()).ask(|request| request.earlier = old(&before));
    assert_eq!(one.run().states(), ["b passed"]);
    assert_eq!(
        asked(BookTest::new(&steps)).run().states(),
        ["a passed", "b passed"]
    );
    let from = BookTest::new(&steps)
        .home()
        .ask(|request| request.from = Some(id("a#s/b")));
    assert_eq!(from.run().states(), ["b passed", "c passed"]);
    // With the guide's own ID it is the same: nothing above it.
    let both = BookTest::new(&steps).home().ask(|request| {
        request.ids = vec![id("a")];
        request.from = Some(id("a#s/b"));
    });
    assert_eq!(both.run().states(), ["b passed", "c passed"]);
}

#[test]
fn a_need_outside_holds_by_its_newest_result_or_blocks() {
    let steps = bash("id: a", "true") + &bash("id: b\nneeds: a", "true");
    let one = || {
        BookTest::new(&steps)
            .home()
            .ask(|request| request.ids = vec![id("a#s/b")])
    };
    let never = one().run();
    assert_eq!(never.state("b"), State::Blocked);
    assert_eq!(never.result.exit_code, 0, "blocked adds no code");
    let hint = never.step("b").hint.clone().unwrap();
    assert_eq!(
        hint,
        "it never ran on profile `home`; `--with-needs` runs it too, `--from a#s/a` runs the guide from there"
    );
    let before = BookTest::new(&steps).home().run();
    let held = one().ask(|request| request.earlier = old(&before)).run();
    assert_eq!(held.states(), ["b passed"]);
    let failed = BookTest::new(&steps.replace("id: a\ntrue", "id: a\nfalse"))
        .home()
        .run();
    assert_eq!(failed.state("a"), State::Failed);
    let blocked = one().ask(|request| request.earlier = old(&failed)).run();
    assert_eq!(blocked.state("b"), State::Blocked);
    let with = one().ask(|request| request.with_needs = true).run();
    assert_eq!(with.states(), ["a passed", "b passed"]);
}

#[test]
fn what_stands_above_on_the_page_is_a_need_outside_too() {
    let steps = bash("id: a", "true")
        + &bash("id: asked\nwhen: asked", "true")
        + &bash("id: b", "true")
        + &bash("id: c", "true")
        + &bash("id: free\nneeds: []", "true");
    let book = || BookTest::new(&steps).home();
    let some = |ids: &'static [&'static str]| {
        book().ask(|request| request.ids = ids.iter().map(|text| id(text)).collect())
    };
    let never = some(&["a#s/b", "a#s/c", "a#s/free"]).run();
    assert_eq!(never.states(), ["b blocked", "c blocked", "free passed"]);
    assert_eq!(
        [never.why("b"), never.why("c")],
        ["needs `a#s/a`", "needs `a#s/b`"]
    );
    let hint = never.step("b").hint.clone().unwrap();
    assert!(
        hint.contains("`--with-needs`") && hint.contains("`--from a#s/a`"),
        "{hint}"
    );
    let with = some(&["a#s/c"])
        .ask(|request| request.with_needs = true)
        .run();
    assert_eq!(with.states(), ["a passed", "b passed", "c passed"]);
    let before = book().run();
    let held = some(&["a#s/c"])
        .ask(|request| request.earlier = old(&before))
        .run();
    assert_eq!(held.states(), ["c passed"]);
    let failed = BookTest::new(&steps.replace("id: a\ntrue", "id: a\nfalse"))
        .home()
        .run();
    let blocked = some(&["a#s/c"])
        .ask(|request| request.earlier = old(&failed))
        .run();
    assert_eq!(blocked.states(), ["c blocked"]);
    // A look changes nothing, so nothing has to be made first.
    let look = BookTest::new(&steps.replace("id: c\n", "id: c\n#| effect: read\n"))
        .home()
        .mode(Mode::Observe)
        .ask(|request| request.ids = vec![id("a#s/c")])
        .run();
    assert_eq!(look.states(), ["c passed"]);
}

#[test]
fn a_value_comes_from_a_read_again_or_from_the_last_run_while_that_is_fresh() {
    let steps = |a: &str| {
        bash("id: look\neffect: read\ncapture: {n: stdout}", "echo 1")
            + &bash("id: make\ncapture: {id: stdout}", a)
            + &bash(
                "id: x\nexpect: {stdout: 1 made}",
                "echo {{ steps.look.n }} {{ steps.make.id }}",
            )
    };
    let one = |a: &str| {
        BookTest::new(&steps(a))
            .home()
            .ask(|request| request.ids = vec![id("a#s/x")])
    };
    let never = one("echo made").run();
    assert_eq!(
        (never.state("look"), never.state("x")),
        (State::Passed, State::Blocked)
    );
    assert_eq!(never.why("x"), "needs `a#s/make`");
    let before = BookTest::new(&steps("echo made")).home().run();
    let fresh = one("echo made")
        .ask(|request| request.earlier = old(&before))
        .run();
    assert_eq!(
        fresh.states(),
        ["look passed", "x passed"],
        "{}",
        fresh.why("x")
    );
    let stale = one("echo other")
        .ask(|request| request.earlier = old(&before))
        .run();
    assert_eq!(stale.state("x"), State::Blocked);
    assert!(stale.why("x").contains("stale"), "{}", stale.why("x"));
}

#[test]
fn procedures_are_left_out_on_real_profiles_unless_addressed() {
    let book = |home: bool| {
        let book = BookTest::new(&bash("id: x", "true")).chapter(
            "drill",
            &format!(
                "---\nverify: asked\n---\n\n# D\n\n{}",
                bash("id: y\neffect: read", "true")
            ),
        );
        let book = if home { book.home() } else { book };
        book.ask(|request| request.purpose = Purpose::Verify)
    };
    assert!(!book(true).run().steps.contains_key("drill#d/y"));
    assert!(book(false).run().steps.contains_key("drill#d/y"));
    let addressed = book(true)
        .ask(|request| request.ids = vec![id("drill")])
        .run();
    assert_eq!(addressed.state("drill#d/y"), State::Passed);
    assert_eq!(addressed.step("drill#d/y").mode, Mode::Observe);
}

#[test]
fn what_cannot_be_run_is_refused_before_anything_begins() {
    let unknown = BookTest::new(&bash("id: alpha", "true"))
        .ask(|request| request.ids = vec![id("a#s/alphq")]);
    let error = unknown.refused();
    assert_eq!(error.exit_code(), 2);
    assert!(error.hint().unwrap().contains("a#s/alpha"), "{error:?}");
    let none =
        BookTest::new(&bash("id: x", "true")).ask(|request| request.tags = vec!["gpu".into()]);
    assert_eq!(none.refused().exit_code(), 3);
    let open = BookTest::empty().chapter(
        "a",
        &format!(
            "---\nvars: {{disk: null}}\n---\n\n# S\n\n{}",
            bash("id: x", "echo {{ vars.disk }}")
        ),
    );
    assert_eq!(open.refused().exit_code(), 2);
    let given = open.ask(|request| {
        request.vars.insert("disk".into(), "sda".into());
    });
    let ran = given.run();
    assert_eq!(ran.step("x").output.as_ref().unwrap().stdout.head, "sda\n");
}

#[test]
fn tags_choose_guides() {
    let tagged = format!("---\ntags: [gpu]\n---\n\n# B\n\n{}", bash("id: y", "true"));
    let book = BookTest::new(&bash("id: x", "true")).chapter("b", &tagged);
    let ran = book.ask(|request| request.tags = vec!["gpu".into()]).run();
    assert_eq!(ran.states(), ["b#b/y passed"]);
}
