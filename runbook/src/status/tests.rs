use std::collections::BTreeMap;

use super::*;
use crate::event::{Event, EventKind, RunStarted, StepFinished};
use crate::inventory::Inventory;
use crate::mapped::Mapped;
use crate::model::{Book, Form, Front, Guide, Keys, Language, Options, Step};
use crate::node::Node;
use crate::outcome::{Check, Effect, Verdict};
use crate::records::Records;
use crate::report::{HISTORY_VERSION, HistoryLine, HistoryStep};
use crate::source::{Source, Span};
use crate::spec::{ActionKind, ActionSpec, Args};
use crate::values::Values;

static BASH: ActionSpec = ActionSpec {
    name: "bash",
    args: Args::Script,
    groups: &[],
    results: &[],
    targets: &[],
    effect: |_| Effect::Read,
    effect_what: "",
    kind: |_| ActionKind::Imperative,
    timeout: None,
    what: "",
};

fn yaml(text: &str) -> Node {
    let mut mapped = Mapped::default();
    mapped.push_line(text, 0);
    crate::yaml::parse(&mapped).unwrap()
}

fn step(id: &str) -> Step {
    let node = yaml("{bash: 'echo {{ vars.a }} {{ profile.name }}'}");
    Step {
        id: Id::step("g", "s", id),
        title: id.to_owned(),
        section: 0,
        form: Form::Native(Language::Bash),
        span: Span::default(),
        line: 1,
        body: Mapped::default(),
        includes: Vec::new(),
        action: &BASH,
        args: node.get("bash").cloned().unwrap(),
        on: None,
        target: Node::text(Span::default(), "local"),
        effect: Effect::Read,
        keys: Keys {
            template: true,
            strict: true,
            ..Keys::default()
        },
        uses: Default::default(),
        node,
    }
}

fn book(steps: &[&str]) -> Book {
    let guide = Guide {
        id: "g".into(),
        title: "G".into(),
        source: Source::new("src/g.md", ""),
        front: Front {
            vars: vec![("a".into(), yaml("1"))],
            ..Front::default()
        },
        sections: Vec::new(),
        steps: steps.iter().map(|id| step(id)).collect(),
    };
    let prose = Guide {
        id: "prose".into(),
        title: "Prose".into(),
        source: Source::new("src/prose.md", ""),
        front: Front::default(),
        sections: Vec::new(),
        steps: Vec::new(),
    };
    Book {
        guides: vec![guide, prose],
        inventory: Inventory::default(),
        options: Options::default(),
        profile: "lab".into(),
        given: Vars::new(),
    }
}

fn fingerprint(book: &Book, profile: &str, step: usize) -> String {
    let vars = Vars::new();
    let scope = Values::new(&book.inventory, profile, &vars)
        .of(&book.guides[0])
        .scope;
    crate::fingerprint::of(&book.guides[0].steps[step], &book.guides[0], &scope)
}

fn result(book: &Book, profile: &str, id: &str, state: State, at: &str) -> HistoryStep {
    let index = book.guides[0]
        .steps
        .iter()
        .position(|step| step.id.step.as_deref() == Some(id));
    HistoryStep {
        id: Id::step("g", "s", id),
        state,
        finished_at: at.to_owned(),
        duration_ms: 5,
        target: "lxc/web".into(),
        fingerprint: index.map(|index| fingerprint(book, profile, index)),
        identity: BTreeMap::from([("os".into(), "12".into())]),
        message: (state != State::Passed).then(|| format!("{state} it is")),
        standing: Standing::Own,
        items: Vec::new(),
    }
}

fn line(profile: &str, day: u32, steps: Vec<HistoryStep>) -> HistoryLine {
    let at = format!("2026-11-{day:02}T00:00:00Z");
    HistoryLine {
        version: HISTORY_VERSION,
        run: format!("{profile}-{day:02}"),
        profile: profile.to_owned(),
        mode: Mode::Converge,
        revision: Some(format!("rev{day}")),
        started_at: at.clone(),
        finished_at: at,
        exit_code: 0,
        steps,
    }
}

/// A run of `(step, state)` on a day.
fn run(book: &Book, profile: &str, day: u32, steps: &[(&str, State)]) -> HistoryLine {
    let at = format!("2026-11-{day:02}T00:00:00Z");
    line(
        profile,
        day,
        steps
            .iter()
            .map(|(id, state)| result(book, profile, id, *state, &at))
            .collect(),
    )
}

fn view(book: &Book, profile: &str, lines: Vec<HistoryLine>) -> GuideView {
    let records = Records {
        lines,
        ..Records::default()
    };
    let query = Query {
        profile,
        now: "2026-11-24T00:00:00Z".parse().unwrap(),
        vars: &Vars::new(),
    };
    assess(book, &records, &query).guides.remove(0)
}

use State::{Blocked, Failed, Passed, Pending, Skipped};

#[test]
fn what_never_ran_is_never_run_and_no_guide_of_prose_is_told() {
    let book = book(&["a", "b"]);
    let guide = view(&book, "lab", Vec::new());
    assert_eq!(
        (guide.state, guide.freshness, guide.word().as_str()),
        (None, Freshness::NeverRun, "never-run")
    );
    assert_eq!(guide.counts, BTreeMap::from([("never-run".to_owned(), 2)]));
    assert!(!guide.holds());
    let query = Query {
        profile: "lab",
        now: Timestamp::UNIX_EPOCH,
        vars: &Vars::new(),
    };
    let report = assess(&book, &Records::default(), &query).report("now");
    assert_eq!(
        (
            report.guides.len(),
            report.guides[0].steps.len(),
            report.guides[0].steps[0].state
        ),
        (1, 2, None)
    );
}

#[test]
fn a_guide_holds_when_every_due_step_passed_on_its_own() {
    let book = book(&["a", "b"]);
    let guide = view(
        &book,
        "lab",
        vec![run(&book, "lab", 23, &[("a", Passed), ("b", Passed)])],
    );
    assert!(guide.holds());
    assert_eq!(
        (
            guide.word().as_str(),
            guide.freshness,
            guide.verified,
            guide.due
        ),
        ("holds", Freshness::Fresh, 2, 2)
    );
    let standing = |standing, state| {
        let mut line = run(&book, "lab", 23, &[("a", Passed), ("b", state)]);
        line.steps[1].standing = standing;
        view(&book, "lab", vec![line]).word()
    };
    assert_eq!(standing(Standing::Own, Skipped), "passed, 1 of 2 verified");
    assert_eq!(standing(Standing::NotDue, Skipped), "holds");
    assert_eq!(
        standing(Standing::StandIn, Passed),
        "passed, 1 of 2 verified"
    );
    assert_eq!(
        standing(Standing::Repaired, Passed),
        "passed, 1 of 2 verified"
    );
    let half = view(&book, "lab", vec![run(&book, "lab", 23, &[("a", Passed)])]);
    assert_eq!(
        (half.word().as_str(), half.state),
        ("passed, 1 of 2 verified", Some(Passed))
    );
}

#[test]
fn a_guide_is_as_its_worst_step() {
    let book = book(&["a", "b", "c"]);
    let state = |states: [State; 3]| {
        let guide = view(
            &book,
            "lab",
            vec![run(
                &book,
                "lab",
                23,
                &[("a", states[0]), ("b", states[1]), ("c", states[2])],
            )],
        );
        (guide.state.unwrap(), guide.word())
    };
    assert_eq!(state([Passed, Failed, Blocked]), (Failed, "failed".into()));
    assert_eq!(
        state([Passed, Failed, Skipped]),
        (Failed, "failed, 1 of 3 verified".into())
    );
    assert_eq!(
        state([Passed, Pending, Passed]),
        (Pending, "pending".into())
    );
    assert_eq!(
        state([Skipped, Skipped, Skipped]),
        (Skipped, "skipped".into())
    );
}

#[test]
fn what_runs_only_when_asked_is_not_due() {
    let mut book = book(&["a", "b"]);
    book.guides[0].steps[1].keys.asked = true;
    let guide = view(&book, "lab", vec![run(&book, "lab", 23, &[("a", Passed)])]);
    assert_eq!((guide.verified, guide.due, guide.holds()), (1, 1, true));
    let guide = view(
        &book,
        "lab",
        vec![run(&book, "lab", 23, &[("a", Passed), ("b", Failed)])],
    );
    assert_eq!((guide.state, guide.due), (Some(Failed), 2));
}

#[test]
fn the_newest_result_counts_whatever_the_order_of_the_records() {
    let book = book(&["a"]);
    let lines = vec![
        run(&book, "lab", 23, &[("a", Passed)]),
        run(&book, "lab", 20, &[("a", Failed)]),
    ];
    let guide = view(&book, "lab", lines);
    assert_eq!(
        (guide.state, guide.run.as_deref()),
        (Some(Passed), Some("lab-23"))
    );
    assert_eq!(
        guide
            .strip
            .iter()
            .map(|cell| cell.state)
            .collect::<Vec<_>>(),
        [Failed, Passed]
    );
}

#[test]
fn a_lab_result_is_never_taken_for_a_real_one() {
    let book = book(&["a", "b"]);
    let lab = run(&book, "lab", 23, &[("a", Passed), ("b", Passed)]);
    let guide = view(&book, "home", vec![lab.clone()]);
    assert_eq!(
        (guide.profile.as_deref(), guide.holds()),
        (Some("lab"), true)
    );
    assert!(
        guide.steps.iter().all(
            |step| step.profile.as_deref() == Some("lab") && step.freshness == Freshness::Fresh
        )
    );
    let guide = view(
        &book,
        "home",
        vec![lab, run(&book, "home", 22, &[("a", Passed)])],
    );
    assert_eq!(guide.profile.as_deref(), Some("home"));
    assert_eq!(guide.steps[1].profile.as_deref(), Some("lab"));
    assert_eq!(
        (guide.holds(), guide.word().as_str()),
        (false, "passed, 1 of 2 verified")
    );
    assert_eq!(guide.strip.len(), 1);
}

#[test]
fn a_result_is_stale_when_what_it_is_of_changed() {
    let mut book = book(&["a"]);
    let lines = vec![run(&book, "lab", 23, &[("a", Passed)])];
    assert_eq!(
        view(&book, "lab", lines.clone()).freshness,
        Freshness::Fresh
    );
    book.guides[0].steps[0].title = "Another".into();
    book.guides[0].front.tags = vec!["x".into()];
    assert_eq!(
        view(&book, "lab", lines.clone()).freshness,
        Freshness::Fresh
    );
    book.guides[0].front.vars[0].1 = yaml("2");
    let guide = view(&book, "lab", lines);
    assert_eq!(guide.freshness, Freshness::Stale);
    assert!(
        guide.steps[0]
            .stale
            .as_deref()
            .unwrap()
            .contains("changed since")
    );
}

#[test]
fn a_result_is_stale_when_its_target_is_another_since() {
    let book = book(&["a", "b"]);
    let old = run(&book, "lab", 22, &[("a", Passed)]);
    let mut new = run(&book, "lab", 23, &[("b", Passed)]);
    new.steps[0].identity = BTreeMap::from([("os".into(), "13".into())]);
    let guide = view(&book, "lab", vec![old.clone(), new.clone()]);
    assert_eq!(
        guide.steps[0].stale.as_deref(),
        Some("`os` of lxc/web was 12, and is 13 since")
    );
    assert_eq!(guide.steps[1].freshness, Freshness::Fresh);
    new.steps[0].target = "lxc/db".into();
    assert_eq!(
        view(&book, "lab", vec![old.clone(), new.clone()]).freshness,
        Freshness::Fresh
    );
    new.steps[0].target = "lxc/web".into();
    new.profile = "home".into();
    assert_eq!(
        view(&book, "lab", vec![old, new]).steps[0].freshness,
        Freshness::Fresh
    );
}

#[test]
fn a_result_is_old_after_a_while_and_one_without_fingerprint_is_not_trusted() {
    let book = book(&["a"]);
    assert_eq!(
        view(&book, "lab", vec![run(&book, "lab", 17, &[("a", Passed)])]).freshness,
        Freshness::Fresh
    );
    assert_eq!(
        view(&book, "lab", vec![run(&book, "lab", 16, &[("a", Passed)])]).freshness,
        Freshness::Old
    );
    let mut line = run(&book, "lab", 23, &[("a", Passed)]);
    line.steps[0].fingerprint = None;
    assert_eq!(
        view(&book, "lab", vec![line.clone()]).freshness,
        Freshness::Stale
    );
    line.steps[0].state = Blocked;
    assert_eq!(
        view(&book, "lab", vec![line.clone()]).freshness,
        Freshness::Fresh
    );
    line.steps[0].finished_at = "once".into();
    assert_eq!(view(&book, "lab", vec![line]).freshness, Freshness::Old);
}

#[test]
fn a_row_of_failures_has_a_beginning() {
    let book = book(&["a", "b"]);
    let states = [
        (18, Failed),
        (19, Passed),
        (20, Failed),
        (21, Skipped),
        (22, Failed),
        (23, Failed),
    ];
    let lines = states
        .iter()
        .map(|(day, state)| run(&book, "lab", *day, &[("a", *state), ("b", Passed)]))
        .collect();
    let guide = view(&book, "lab", lines);
    let row = |failing: &Option<Failing>| {
        failing.as_ref().map(|failing| {
            let since = &failing.since;
            (
                since.id.clone(),
                since.finished_at.clone(),
                since.revision.clone().unwrap(),
                failing.runs,
            )
        })
    };
    let expected = (
        "lab-20".to_owned(),
        "2026-11-20T00:00:00Z".to_owned(),
        "rev20".to_owned(),
        3,
    );
    assert_eq!(row(&guide.steps[0].failing), Some(expected));
    assert_eq!(guide.steps[1].failing, None);
    // Of the guide the run of the 21st says that its other step passed.
    assert_eq!(
        row(&guide.failing).map(|(run, .., runs)| (run, runs)),
        Some(("lab-22".to_owned(), 2))
    );
    assert_eq!(
        guide.finding,
        Some((Id::step("g", "s", "a"), "failed it is".to_owned()))
    );
}

#[test]
fn the_finding_is_the_first_check_that_does_not_hold() {
    let book = book(&["a"]);
    let lines = vec![run(&book, "lab", 23, &[("a", Failed)])];
    let mut records = Records {
        lines,
        ..Records::default()
    };
    let check = |expected: &str, verdict| Check {
        check: "stdout".into(),
        expected: expected.into(),
        actual: "lacks it\nmore".into(),
        verdict,
        stand_in: false,
    };
    let started = RunStarted {
        version: 1,
        run: "lab-23".into(),
        profile: "lab".into(),
        mode: Mode::Converge,
        revision: None,
        asked: Vec::new(),
        by: None,
        program: String::new(),
        steps: 1,
        vars: BTreeMap::new(),
    };
    let text = r#"{"id":"g#s/a","state":"failed","changed":false,"duration_ms":1,"profile":"lab","target":"local","file":"a","line":1,"effect":"read","mode":"converge"}"#;
    let mut finished: StepFinished = serde_json::from_str(text).unwrap();
    finished.checks = vec![
        check("x", Verdict::Holds),
        check("contains \"a\"", Verdict::Fails),
    ];
    let event = |kind| Event {
        kind,
        at: String::new(),
    };
    records.add_events(vec![
        event(EventKind::RunStarted(started)),
        event(EventKind::StepFinished(Box::new(finished))),
    ]);
    let query = Query {
        profile: "lab",
        now: Timestamp::UNIX_EPOCH,
        vars: &Vars::new(),
    };
    let guide = assess(&book, &records, &query).guides.remove(0);
    assert_eq!(
        guide.finding.unwrap().1,
        "stdout: expected contains \"a\", found lacks it"
    );
}

#[test]
fn strips_are_bounded() {
    let book = book(&["a"]);
    let lines = (0..40)
        .map(|night| {
            let mut line = run(&book, "lab", 1 + night % 23, &[("a", Passed)]);
            line.run = format!("{night}");
            line
        })
        .collect();
    let guide = view(&book, "lab", lines);
    assert_eq!(
        (guide.strip.len(), guide.steps[0].strip.len()),
        (STRIP_RUNS_MAX, STRIP_RUNS_MAX)
    );
}

#[test]
fn how_a_step_stands_is_told_by_its_event() {
    let text = r#"{"id":"g#s/a","state":"skipped","reason":"when: {{ vars.x }}","changed":false,"duration_ms":1,"profile":"lab","target":"local","file":"a","line":1,"effect":"read","mode":"converge"}"#;
    let mut finished: StepFinished = serde_json::from_str(text).unwrap();
    assert_eq!(finished.standing(), Standing::NotDue);
    finished.reason = Some("would change".into());
    assert_eq!(finished.standing(), Standing::Own);
    finished.reason = Some(crate::outcome::REASON_ASKED.into());
    assert_eq!(finished.standing(), Standing::NotDue);
    finished.state = Passed;
    finished.repaired = true;
    assert_eq!(finished.standing(), Standing::Repaired);
}
