//! Diagrams on pages: drawn, coloured by what their nodes name, refused when they are wrong.

use serde_json::json;

use super::support::BookTest;

const STEPS: &str =
    "# A\n\n## Run\n\n```bash runbook read\n#| id: one\n#| title: The first\necho one\n```\n\n";

#[test]
fn a_node_has_the_state_of_the_step_it_names_and_leads_there() {
    let chapter = format!(
        "{STEPS}```mermaid\nflowchart LR\n    A[One] --> B{{{{hex}}}}\n    B --> C[Prose]\n    click A \"#run/one\"\n    click C \"b\"\n```\n\n- in a list\n  ```{{mermaid}}\n  flowchart LR\n    X --> Y\n  ```\n- tight\n"
    );
    let book = BookTest::new()
        .chapter("guides/a.md", &chapter)
        .chapter(
            "guides/b.md",
            "# B\n\n```mermaid\nflowchart LR\n  P --> Q\n  click P \"guides/a#run/one\"\n```\n",
        )
        .ran(&[json!({"id": "guides/a#run/one", "state": "failed", "message": "exit 1"})]);
    let site = book.built();
    let main = site.main("guides/a.html");
    assert_eq!(
        main.matches("<figure class=\"rb-diagram\">").count(),
        2,
        "{main}"
    );
    assert!(
        main.contains("#run/one") && main.contains("One (failed: The first)"),
        "{main}"
    );
    assert!(main.contains("<li>tight</li>"), "{main}");
    assert!(!main.contains("language-mermaid"));
    let other = site.main("guides/b.html");
    assert!(other.contains("a.html#run/one"), "{other}");
    assert!(
        other.contains("<link rel=\"stylesheet\""),
        "a page with a diagram has the style"
    );
    assert!(
        site.text("guides/a.diagram-1.svg").starts_with("<svg"),
        "it can be opened alone"
    );
    assert!(main.contains("href=\"a.diagram-1.svg\""));
    let external = book.external();
    assert!(
        external
            .main("guides/a.html")
            .contains("<figure class=\"rb-diagram\">")
    );
    assert!(
        !external.main("guides/a.html").contains("diagram-1.svg"),
        "stock mdBook writes no such file"
    );
}

#[test]
fn a_diagram_that_cannot_be_drawn_is_an_error_with_its_line() {
    let chapter = format!("{STEPS}```mermaid\nflowchart LR\n    A[Start --> B\n```\n");
    let book = BookTest::new().chapter("a.md", &chapter);
    let Err(error) = book.try_built() else {
        panic!("the book was built");
    };
    let told = format!("{error:#}");
    assert!(told.contains(" --> src/a.md:13:"), "{told}");
    assert!(told.contains("hint: "), "{told}");
}
