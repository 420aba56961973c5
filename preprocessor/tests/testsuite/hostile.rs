//! What a program prints is shown as text, whatever it is.

use serde_json::json;

use super::support::BookTest;

const STATES: &[&str] = &["passed", "failed", "drifted", "skipped"];

/// A step for each state, and text after them.
fn chapter() -> String {
    let step = |state: &&str| {
        format!("```bash runbook read\n#| id: {state}\n#| needs: []\necho one\n```\n\n")
    };
    let steps: String = STATES.iter().map(step).collect();
    format!("# A guide\n\n## Run\n\n{steps}After it.\n")
}

/// The inside of every tag.
fn tags(html: &str) -> String {
    let mut tags = String::new();
    for part in html.split('<').skip(1) {
        tags.push_str(part.split('>').next().unwrap());
        tags.push('\n');
    }
    tags
}

fn printed(text: &str, state: &str) -> serde_json::Value {
    json!({"id": format!("a#run/{state}"), "state": state, "message": text, "reason": text, "hint": text, "diff": text, "command": text, "target": text,
        "title": text, "note": text, "identity": {text: text}, "captures": {"x": text}, "artifacts": [text],
        "checks": [{"check": text, "expected": text, "actual": text, "verdict": if state == "passed" { "holds" } else { "fails" }}],
        "output": {"both": {"head": text, "bytes": text.len(), "lines": text.lines().count()}}})
}

#[test]
fn nothing_that_a_step_prints_leaves_its_place() {
    let all: String = (0..=0x2ffu32).filter_map(char::from_u32).collect();
    let texts = [
        "<script>alert(1)</script></pre></details></section><h1>mine</h1>",
        "\n\n\n```\n\n# A heading\n\n- a list\n\n<!-- -->\n\n</main>",
        "{{#include /etc/passwd}} {{#title Mine}} {{ hostile }} \\{{#include x}}",
        "\u{1b}]0;title\u{7}\u{1b}[2J\u{1b}[31mred\u{1b}[0m\u{9b}31m\u{202e}desrever",
        "\" onmouseover=\"alert(1)\" x=\"",
        "--> <!-- ]]> &amp; &#60;",
        &all,
    ];
    for text in texts {
        let results: Vec<_> = STATES.iter().map(|state| printed(text, state)).collect();
        let book = BookTest::new()
            .file("etc/passwd", "root:x")
            .chapter("a.md", &chapter())
            .ran(&results);
        for site in [book.built(), book.external()] {
            for page in ["a.html", "status.html", "runs/20261124T020000Z-0001.html"] {
                assert_eq!(
                    site.text(page).matches("</main>").count(),
                    1,
                    "{page}: {text:?}"
                );
                let main = site.main(page);
                for bad in [
                    "<script>alert",
                    "<h1>mine",
                    "root:x",
                    "\u{1b}",
                    "\u{9b}",
                    "\u{202e}",
                ] {
                    assert!(!main.contains(bad), "`{bad}` in {page}: {main}");
                }
                assert!(!tags(&main).contains("onmouseover=\""), "{page}: {main}");
                assert_eq!(main.matches("<h1").count(), 1, "{page}: {text:?}");
            }
            let main = site.main("a.html");
            assert!(main.contains("<p>After it.</p>"), "{main}");
            assert_eq!(main.matches("<section").count(), STATES.len());
            assert_eq!(
                main.matches("<section").count(),
                main.matches("</section>").count()
            );
            assert_eq!(
                main.matches("<details").count(),
                main.matches("</details>").count()
            );
            assert!(
                !site.text("a.html").contains("<title>Mine"),
                "another preprocessor read it"
            );
        }
    }
}

#[test]
fn a_line_of_ten_megabytes_does_not_make_a_large_page() {
    let line = "x".repeat(10 * 1024 * 1024);
    for state in ["passed", "failed"] {
        let result = json!({"id": format!("a#run/{state}"), "state": state, "message": line,
            "checks": [{"check": "stdout", "expected": "short", "actual": line, "verdict": "fails"}],
            "output": {"both": {"head": line, "bytes": line.len(), "lines": 1}}});
        let site = BookTest::new()
            .chapter("a.md", &chapter())
            .ran(&[result])
            .built();
        assert!(
            site.text("a.html").len() < 60_000,
            "{}",
            site.text("a.html").len()
        );
        assert!(site.main("a.html").contains("bytes left out"));
    }
}

#[test]
fn a_page_of_fifty_loud_steps_stays_below_its_budget() {
    let mut chapter = "# A guide\n\n## Run\n\n".to_owned();
    let mut results = Vec::new();
    for number in 0..50 {
        chapter.push_str(&format!("```bash runbook read\n#| id: s{number}\n#| needs: []\nfor i in 1 2 3; do echo $i; done\n```\n\n"));
        let state = if number % 10 == 0 { "failed" } else { "passed" };
        let mut result = printed(&"0123456789 loud line\n".repeat(4_000), state);
        result["id"] = json!(format!("a#run/s{number}"));
        results.push(result);
    }
    let book = BookTest::new().chapter("a.md", &chapter).ran(&results);
    let page = book.built().text("a.html");
    assert!(page.len() < 300_000, "{}", page.len());
}
