//! The files beside the pages, the status page and the run pages.

use serde_json::{Value, json};

use super::cards::CHAPTER;
use super::support::{BookTest, RUN};

fn book() -> BookTest {
    let chapter = |title: &str| {
        format!(
            "# {title}\n\n## Run\n\n```bash runbook read\n#| id: one\n#| title: Say <one>\necho one\n```\n"
        )
    };
    BookTest::new()
        .chapter("guides/good.md", &chapter("Good & well"))
        .chapter("guides/bad.md", &chapter("Bad"))
        .chapter("guides/new.md", &chapter("New"))
        .ran(&[
            json!({"id": "guides/good#run/one", "state": "passed", "title": "Say <one>"}),
            json!({"id": "guides/bad#run/one", "state": "failed", "title": "Say <one>", "message": "exit 3",
                "checks": [{"check": "exit", "expected": "0", "actual": "3", "verdict": "fails"}]}),
        ])
}

#[test]
fn status_json_has_every_step() {
    let site = book().built();
    let status: Value = serde_json::from_str(&site.text("status.json")).unwrap();
    assert_eq!(status["version"], 1);
    let states: Vec<(&str, &Value)> = status["guides"]
        .as_array()
        .unwrap()
        .iter()
        .map(|guide| (guide["id"].as_str().unwrap(), &guide["state"]))
        .collect();
    assert_eq!(
        states,
        [
            ("guides/good", &json!("passed")),
            ("guides/bad", &json!("failed")),
            ("guides/new", &Value::Null)
        ]
    );
    assert_eq!(status["guides"][1]["steps"][0]["run"], RUN);
    assert!(site.text("history.jsonl").ends_with("}\n"));
}

#[test]
fn the_status_page_tells_what_does_not_hold_first() {
    let main = book().built().main("status.html");
    let place = |text: &str| {
        main.find(text)
            .unwrap_or_else(|| panic!("no `{text}` in {main}"))
    };
    assert!(
        main.contains("3 guides: 1 failed, 1 stale, 1 never run"),
        "{main}"
    );
    assert!(place("guides/bad.html\">Bad</a>") < place("guides/good.html\">Good &amp; well</a>"));
    assert!(
        main.contains("<a href=\"guides/bad.html#run/one\">run/one</a>: exit: expected 0, found 3"),
        "{main}"
    );
    assert!(main.contains("href=\"#only-failed\"") && main.contains("id=\"only-failed\""));
    assert!(main.contains(&format!("<a href=\"runs/{RUN}.html\" data-s=\"failed\"")));
}

#[test]
fn a_book_that_never_ran_says_what_to_run() {
    let main = BookTest::new()
        .chapter(
            "a.md",
            "# A\n\n## R\n\n```bash runbook\n#| id: x\necho\n```\n",
        )
        .built()
        .main("status.html");
    assert!(main.contains("runbook verify"), "{main}");
    assert!(main.contains("1 guide: 1 never run"));
}

#[test]
fn a_run_page_is_the_log() {
    let site = book().built();
    let main = site.main(&format!("runs/{RUN}.html"));
    for part in [
        "<dt>revision</dt>",
        "<dd>4f2c1d0</dd>",
        "<dt>profile</dt>",
        "Say &lt;one&gt;",
        "guides/bad#run/one",
        "href=\"../guides/bad.html#run/one\"",
        "<td>exit</td>",
        "Left behind: nothing.",
        &format!("href=\"{RUN}.jsonl\""),
        &format!("href=\"{RUN}.xml\""),
    ] {
        assert!(main.contains(part), "`{part}` in {main}");
    }
    assert!(
        site.text(&format!("runs/{RUN}.jsonl"))
            .starts_with("{\"event\":\"run-started\"")
    );
    assert_eq!(site.text(&format!("runs/{RUN}.xml")), "<testsuites/>");
}

#[test]
fn a_run_whose_journal_is_gone_has_a_page_of_what_the_history_says() {
    let book = book();
    std::fs::remove_dir_all(book.root().join(".runbook/runs")).unwrap();
    let site = book.built();
    let main = site.main(&format!("runs/{RUN}.html"));
    assert!(
        main.contains("no longer kept") && main.contains("guides/bad#run/one"),
        "{main}"
    );
    assert!(!main.contains(".jsonl\""), "nothing to download");
    let card = site.main("guides/bad.html");
    assert!(
        card.contains("data-state=\"failed\"") && card.contains("exit 3"),
        "{card}"
    );
}

#[test]
fn badges_feed_and_llms_txt_are_well_formed() {
    let site = book().built();
    let svg = site.text("badges/guides/bad.svg");
    assert!(svg.contains("✕ failed (lab)"), "{svg}");
    assert!(
        site.text("badges/guides/good.svg")
            .contains("Good &amp; well")
    );
    assert!(site.text("badge.svg").contains("failed"));
    let feed = site.text("feed.xml");
    assert!(
        feed.contains("<title>Bad: failed</title>") && feed.contains("href=\"guides/bad.html\""),
        "{feed}"
    );
    assert_eq!(feed.matches("<entry>").count(), 2);
    let llms = site.text("llms.txt");
    assert!(
        llms.contains(
            "- [Bad](guides/bad.html): `guides/bad`, failed; 0 of 1 step hold · 1 failed"
        ),
        "{llms}"
    );
}

#[test]
fn the_page_of_the_whole_book_has_every_card_once_with_an_id_of_its_own() {
    let book = BookTest::new()
        .chapter("g/a.md", CHAPTER)
        .chapter("g/b.md", CHAPTER);
    let site = book.built();
    let print = site.text("print.html");
    assert!(!print.contains("<!--runbook-"), "a mark was left");
    let ids: Vec<&str> = print
        .split(" id=\"")
        .skip(1)
        .map(|rest| &rest[..rest.find('"').unwrap()])
        .collect();
    let mut once = ids.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(ids.len(), once.len(), "{ids:?}");
    for guide in ["g/a", "g/b"] {
        let card = format!("data-runbook-id=\"{guide}#");
        let cards = site.text(&format!("{guide}.html")).matches(&card).count();
        assert!(cards > 0);
        assert_eq!(print.matches(&card).count(), cards);
    }
    let style = "<link rel=\"stylesheet\" href=\"runbook-";
    assert_eq!(
        print.matches(style).count(),
        1,
        "linked from where it stands"
    );
    assert!(!print.contains("href=\"../"));
}

#[test]
fn the_search_finds_what_was_written_and_not_what_the_cards_say() {
    let site = BookTest::new().chapter("a.md", "# A\n\n## Zebra\n\nA quagga.\n\n```bash runbook read\n#| id: one\n#| title: Okapi\necho giraffe\n```\n").built();
    let index = std::fs::read_dir(site.folder())
        .unwrap()
        .flatten()
        .find(|file| {
            file.file_name()
                .to_string_lossy()
                .starts_with("searchindex")
        })
        .unwrap();
    let index = std::fs::read_to_string(index.path()).unwrap();
    for word in ["quagga", "giraff"] {
        assert!(index.contains(word), "{word}");
    }
    assert!(!index.contains("local ·") && !index.contains("okapi"));
}
