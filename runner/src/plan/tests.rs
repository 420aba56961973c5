//! Which steps are due, and in which order.

use std::fmt::Write as _;
use std::time::Instant;

use runbook::book::{self, ChapterInput, NoFiles};

use super::*;

fn book(chapters: &[(&str, &str)]) -> Book {
    let chapters = chapters.iter().map(|(id, text)| ChapterInput {
        path: format!("src/{id}.md"),
        id: (*id).to_owned(),
        name: (*id).to_owned(),
        text: (*text).to_owned(),
    });
    let input = book::Input {
        chapters: chapters.collect(),
        ..book::Input::default()
    };
    book::load(input, &NoFiles).book
}

fn steps(names: &[&str]) -> String {
    let mut text = String::new();
    for name in names {
        let (id, more) = name.split_once('|').unwrap_or((name, ""));
        let more: String = more.lines().map(|line| format!("#| {line}\n")).collect();
        let _ = write!(text, "```bash runbook\n#| id: {id}\n{more}true\n```\n\n");
    }
    text
}

fn planned(book: &Book, request: &RunRequest) -> Vec<String> {
    let plan = Plan::make(book, request).unwrap();
    plan.steps
        .iter()
        .map(|due| due.at.of(book).id.to_string())
        .collect()
}

fn request(ids: &[&str], home: bool) -> RunRequest {
    let mut request = RunRequest::new("run", Purpose::Run, "/nowhere");
    request.ids = ids.iter().map(|id| Id::parse(id).unwrap()).collect();
    if home {
        request.profile = "home".into();
    }
    request
}

#[test]
fn guides_that_others_need_come_first_and_share_a_world() {
    let book = book(&[
        (
            "a",
            &format!("---\nneeds: c#\n---\n\n# A\n\n{}", steps(&["x"])),
        ),
        ("b", &format!("# B\n\n{}", steps(&["x"]))),
        ("c", &format!("# C\n\n{}", steps(&["x|needs: d#d/x"]))),
        ("d", &format!("# D\n\n{}", steps(&["x"]))),
    ]);
    let request = request(&[], true);
    assert_eq!(
        planned(&book, &request),
        ["d#d/x", "c#c/x", "a#a/x", "b#b/x"]
    );
    let plan = Plan::make(&book, &request).unwrap();
    let worlds: Vec<u32> = plan.guides.iter().map(|guide| guide.world).collect();
    assert_eq!(worlds, [0, 0, 0, 1]);
    assert_eq!(plan.guides[2].needs, [1]);
    assert_eq!(plan.steps[1].needs, [0]);
}

#[test]
fn a_section_means_its_steps_and_those_under_deeper_headings() {
    let text = format!(
        "# A\n\n{}## B\n\n{}### C\n\n{}## D\n\n{}",
        steps(&["w"]),
        steps(&["x"]),
        steps(&["y"]),
        steps(&["z"])
    );
    let book = book(&[("g", &text)]);
    for (ids, due) in [
        (&["g#b"][..], &["g#b/x", "g#c/y"][..]),
        (&["g#c"], &["g#c/y"]),
        (&["g#a"], &["g#a/w", "g#b/x", "g#c/y", "g#d/z"]),
        (&["g#d/z", "g#b/x"], &["g#b/x", "g#d/z"]),
        (&["g"], &["g#a/w", "g#b/x", "g#c/y", "g#d/z"]),
    ] {
        assert_eq!(planned(&book, &request(ids, true)), due, "{ids:?}");
    }
    assert_eq!(
        planned(&book, &request(&["g#c"], false)),
        ["g#a/w", "g#b/x", "g#c/y"]
    );
}

#[test]
fn needs_that_are_not_due_stand_outside() {
    let text = format!(
        "# A\n\n{}",
        steps(&["x", "y|when: asked", "z|needs: [x, y]"])
    );
    let book = book(&[("g", &text)]);
    let plan = Plan::make(&book, &request(&["g#a/z"], true)).unwrap();
    let outside: Vec<String> = plan.steps[0]
        .outside
        .iter()
        .map(|at| at.of(&book).id.to_string())
        .collect();
    assert_eq!(outside, ["g#a/x", "g#a/y"]);
    // A section does not promise what runs only when asked.
    let text = format!(
        "# A\n\n{}# B\n\n{}",
        steps(&["x", "y|when: asked"]),
        steps(&["z|needs: '#a'"])
    );
    let book = self::book(&[("g", &text)]);
    let plan = Plan::make(&book, &request(&["g#b/z"], true)).unwrap();
    assert_eq!(plan.steps[0].outside.len(), 1);
}

#[test]
fn a_section_is_below_itself_and_what_stands_above_it() {
    let text = format!(
        "# A\n\n{}## B\n\n{}# C\n\n{}",
        steps(&["x"]),
        steps(&["y"]),
        steps(&["z"])
    );
    let book = book(&[("g", &text)]);
    let at = |step| StepRef { guide: 0, step };
    assert!(is_in_section_of(&book, at(1), at(0)));
    assert!(!is_in_section_of(&book, at(0), at(1)));
    assert!(!is_in_section_of(&book, at(2), at(0)));
}

#[test]
fn steps_that_wait_for_each_other_are_refused_even_where_only_the_order_makes_a_circle() {
    let book = book(&[
        ("a", &format!("# A\n\n{}", steps(&["x|needs: b#b/y", "y"]))),
        ("b", &format!("# B\n\n{}", steps(&["y|needs: a#a/y"]))),
    ]);
    let error = Plan::make(&book, &request(&[], true)).unwrap_err();
    let RunError::Cycle { ids } = error else {
        panic!("{error}")
    };
    assert_eq!(ids.first(), ids.last());
    assert_eq!(ids.len(), 4, "{ids:?}");
}

#[test]
fn ten_thousand_steps_are_planned_quickly_in_one_guide_too() {
    let names: Vec<String> = (0..10_000).map(|step| format!("s-{step}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let book = book(&[("g", &format!("# A\n\n{}", steps(&names)))]);
    for home in [true, false] {
        let begun = Instant::now();
        assert_eq!(planned(&book, &request(&["g"], home)).len(), 10_000);
        // A tenth of that in release; a square would take minutes.
        assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
    }
}
