//! A step's card: its attributes, its code, what it says when.

use serde_json::json;

use super::support::{BookTest, RUN, between};

pub(crate) const CHAPTER: &str = "# A guide\n\n## Run\n\n```bash runbook read\n#| id: one\n#| title: The first\necho one\n```\n\n\
```bash runbook read\n#| id: two\n#| expect: {stdout: {contains: two}}\necho 2\n```\n\n```bash runbook read\n#| id: three\n#| hidden: true\ntrue\n```\n\n\
```runbook\nid: hand\ntitle: Look at the lamp\nmanual:\n  prompt: |\n    Is it green?\n    Really?\nunless: test -e /tmp/green\n```\n\n\
```bash runbook disrupt\n#| id: gated\n#| gate: Is nobody in a call?\necho off\n```\n";

fn passed(id: &str) -> serde_json::Value {
    json!({"id": id, "state": "passed", "checks": [{"check": "exit", "expected": "0", "actual": "0", "verdict": "holds"}]})
}

fn card<'t>(main: &'t str, id: &str) -> &'t str {
    let at = main
        .find(&format!("data-runbook-id=\"{id}\""))
        .unwrap_or_else(|| panic!("no card {id}"));
    let from = main[..at].rfind("<!---->").unwrap();
    let to = main[at..]
        .find("data-runbook-id=\"")
        .map_or(main.len(), |_| {
            main[at + 10..]
                .find("data-runbook-id=\"")
                .map_or(main.len(), |next| at + 10 + next)
        });
    &main[from..to]
}

#[test]
fn a_step_that_never_ran_has_no_state() {
    let main = BookTest::new()
        .chapter("guides/a.md", CHAPTER)
        .built()
        .main("guides/a.html");
    let card = card(&main, "guides/a#run/one");
    assert!(card.contains("<section class=\"rb-step\" id=\"run/one\" data-runbook-id=\"guides/a#run/one\" data-freshness=\"never-run\">"), "{card}");
    assert!(!main.contains("data-state"));
    assert!(card.contains("never run</span><b>The first</b>"), "{card}");
    assert!(
        card.contains("<pre><code class=\"language-bash\">echo one\n</code></pre>"),
        "{card}"
    );
    assert!(!card.contains("#|"), "options are not shown");
}

#[test]
fn a_step_that_passed_is_quiet_and_its_checks_are_a_click_away() {
    let book = BookTest::new()
        .chapter("a.md", CHAPTER)
        .ran(&[passed("a#run/one")]);
    let main = book.built().main("a.html");
    let card = card(&main, "a#run/one");
    for part in [
        "data-state=\"passed\"",
        "data-freshness=\"stale\"",
        "data-profile=\"lab\"",
        ">passed</span>",
        "<span class=\"rb-lab\">lab</span>",
        "<details><summary>1 check holds · 12 ms</summary>",
        "<li>exit: 0</li>",
        &format!("<a href=\"runs/{RUN}.html\">"),
    ] {
        assert!(card.contains(part), "`{part}` in {card}");
    }
    assert!(!card.contains("rb-why"));
}

#[test]
fn a_step_that_failed_says_what_differs_where_and_what_to_do() {
    let failed = json!({"id": "a#run/two", "state": "failed", "message": "stdout lacks two", "hint": "write two",
        "checks": [{"check": "exit", "expected": "0", "actual": "0", "verdict": "holds"},
            {"check": "stdout", "expected": "contains \"two\"", "actual": "lacks \"two\" in 1 line: 2", "verdict": "fails"}],
        "output": {"both": {"head": "2\n", "bytes": 2, "lines": 1}}});
    let main = BookTest::new()
        .chapter("a.md", CHAPTER)
        .ran(&[failed])
        .built()
        .main("a.html");
    let card = card(&main, "a#run/two");
    let why = between(card, "<div class=\"rb-why\">", "<details>");
    for part in [
        "<b>stdout</b> expected",
        "contains &quot;two&quot;",
        "lacks &quot;two&quot; in 1 line: 2",
        "src/a.md:11",
        "<b>hint:</b> write two",
        "failing since 4f2c1d0",
    ] {
        assert!(why.contains(part), "`{part}` in {why}");
    }
    assert!(card.contains("<summary>Output (1 line)</summary>"));
    let head = between(&main, "<div class=\"rb-head\">", "</nav>");
    assert!(
        head.contains("failed, 0 of 5 verified"),
        "the head says it too: {head}"
    );
    assert!(
        head.contains("<b>5 steps · 1 failed · 4 never run</b>"),
        "one fraction is enough: {head}"
    );
}

#[test]
fn a_hidden_check_is_one_line_that_opens_by_itself_when_it_fails() {
    let book = BookTest::new().chapter("a.md", CHAPTER);
    let quiet = book.built().main("a.html");
    assert!(quiet.contains("<details class=\"rb-step\" id=\"run/three\""));
    let failed = json!({"id": "a#run/three", "state": "failed", "message": "exit 1"});
    let loud = book.ran(&[failed]).built().main("a.html");
    assert!(loud.contains("<details open class=\"rb-step\" id=\"run/three\""));
}

#[test]
fn a_gate_and_a_person_look_like_what_they_are() {
    let main = BookTest::new()
        .chapter("a.md", CHAPTER)
        .built()
        .main("a.html");
    let hand = card(&main, "a#run/hand");
    for part in [
        "#rb-pending",
        "<b>By hand:</b> Is it green?<br>Really?",
        "Looked at afterwards: <span class=\"rb-q\">test -e /tmp/green</span>",
    ] {
        assert!(hand.contains(part), "`{part}` in {hand}");
    }
    let gated = card(&main, "a#run/gated");
    assert!(
        gated.contains("<b>Waits for approval:</b> Is nobody in a call?"),
        "{gated}"
    );
    assert!(gated.contains("<b class=\"rb-warn\">disrupt</b>"));
}

#[test]
fn values_of_the_book_stand_in_the_shown_script_and_their_places_are_told() {
    let chapter = "---\nvars:\n  pool: tank-ä\n  the-port: 80\n---\n# V\n\n## Run\n\n```bash runbook read\n#| id: one\necho é {{ vars.pool }}:{{ vars.the_port }} {{ vars.pool | upper }}\n```\n";
    let main = BookTest::new()
        .chapter("a.md", chapter)
        .built()
        .main("a.html");
    assert!(
        main.contains("echo é tank-ä:80 {{ vars.pool | upper }}"),
        "{main}"
    );
    assert!(
        main.contains("data-vars=\"pool:7:6 the_port:14:2\""),
        "{main}"
    );
    assert!(main.contains("<input name=\"the_port\" value=\"80\" readonly>"));
    assert!(!main.contains("vars:\n"), "front matter is not shown");
}

#[test]
fn both_ways_give_the_same_cards() {
    let failed = json!({"id": "a#run/two", "state": "timed-out", "reason": "no end within 1 s"});
    let book = BookTest::new()
        .chapter("a.md", CHAPTER)
        .chapter("b.md", "# B\n")
        .ran(&[passed("a#run/one"), failed]);
    let (built, external) = (book.built(), book.external());
    // What mdBook has read it writes again with a line for each block, and without what is only one way to write it.
    let cards = |main: String| {
        main[main.find("<div class=\"rb-head\"").unwrap()..]
            .replace("=\"\"", "")
            .replace(" />", "/>")
            .replace("viewbox", "viewBox")
            .replace("&quot;", "\"")
            .replace('\n', "")
    };
    assert_eq!(cards(built.main("a.html")), cards(external.main("a.html")));
    assert_eq!(built.main("b.html"), external.main("b.html"));
    assert!(
        built
            .main("a.html")
            .contains("<link rel=\"stylesheet\" href=\"runbook-")
    );
    assert!(external.main("a.html").contains("<style>"));
    for page in ["status.html", &format!("runs/{RUN}.html")] {
        assert!(external.has(page), "{page}");
    }
    for site in [built, external] {
        let toc = site.text("toc.html");
        assert!(toc.contains("a.md\u{a0}◷ timed out</a>"), "{toc}");
        assert!(toc.contains("b.md</a>"), "{toc}");
    }
}

#[test]
fn a_book_that_has_the_theme_carries_nothing_in_its_pages() {
    let book = BookTest::new()
        .toml("[output.html]\nadditional-css = [\"theme/runbook.css\"]\nadditional-js = [\"theme/runbook.js\"]\n")
        .file("theme/runbook.css", mdbook_runbook::assets::CSS)
        .file("theme/runbook.js", mdbook_runbook::assets::JS)
        .chapter("a.md", CHAPTER);
    for site in [book.built(), book.external()] {
        let main = site.main("a.html");
        assert!(!main.contains("<style>") && !main.contains("<link") && !main.contains("<script"));
        assert!(site.text("a.html").contains("theme/runbook-"));
    }
}

#[test]
fn a_chapter_whose_includes_were_expanded_before_us_has_its_cards_too() {
    let chapter = "# A\n\n{{#include part.txt}}\n\n## Run\n\n```bash runbook read\n#| id: one\necho one\n```\n";
    let book = BookTest::new()
        .toml("[preprocessor.runbook]\nafter = [\"links\"]\n")
        .file("src/part.txt", "first line\n\nsecond line\n")
        .chapter("a.md", chapter)
        .ran(&[passed("a#run/one")]);
    let main = book.built().main("a.html");
    assert!(main.contains("<p>second line</p>"));
    assert!(
        main.contains("id=\"run/one\" data-runbook-id=\"a#run/one\" data-state=\"passed\""),
        "{main}"
    );
}

#[test]
fn a_native_step_shows_what_its_text_does_not() {
    let chapter = "# A guide\n\n## Run\n\n```bash runbook\n#| id: native\n#| unless: test -e /srv/\"a\"\n#| undo: |\n#|   rm /srv/a\n#|   sync\n\
#| hints: {\"exit 3\": \"the disk is <full>\"}\ntouch /srv/a\n```\n\n```bash runbook\n#| id: steps\n#| undo: '#run/native'\n#| unless: {http: {url: \"http://x.invalid/{{ vars.a }}\"}}\ntrue\n```\n\n\
```bash runbook read\n#| id: plain\ntrue\n```\n\n```runbook\nid: typed\nfile: {path: /srv/a, content: x}\nundo: none\nunless: test -e /srv/a\n```\n";
    let chapter = format!("---\nvars: {{a: b}}\n---\n{chapter}");
    let main = BookTest::new()
        .chapter("a.md", &chapter)
        .built()
        .main("a.html");
    let native = card(&main, "a#run/native");
    let options = between(
        native,
        "<summary>unless, undo, hints</summary>",
        "</details>",
    );
    assert_eq!(
        options,
        "<dl class=\"rb-f\"><dt>unless</dt><dd><span class=\"rb-q\">test -e /srv/&quot;a&quot;</span></dd>\
         <dt>undo</dt><dd><span class=\"rb-q\">rm /srv/a\nsync</span></dd>\
         <dt>on exit 3</dt><dd>the disk is &lt;full&gt;</dd></dl>"
    );
    assert!(
        native.find("<pre>") < native.find("unless, undo"),
        "{native}"
    );
    let steps = card(&main, "a#run/steps");
    let options = between(steps, "<summary>unless, undo</summary>", "</details>");
    assert!(
        options.contains("<span class=\"rb-q\">#run/native</span>"),
        "{options}"
    );
    assert!(options.contains("&#123;{ vars.a }}"), "{options}");
    for id in ["a#run/plain", "a#run/typed"] {
        let card = card(&main, id);
        assert!(!card.contains("<dl"), "{card}");
    }
}
