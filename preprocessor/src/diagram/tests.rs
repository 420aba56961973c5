//! The module as the site uses it.

use super::*;

const KINDS_DRAWN: &[(&str, &str)] = &[
    (
        "flowchart",
        "flowchart LR\n A[Start] -- go --> B{Ok?}\n B --> C[(Data)]\n subgraph S [Group]\n D((x)) --> E{{y}}\n end\n",
    ),
    (
        "sequence",
        "sequenceDiagram\n actor A as Alice\n A->>+B: Hello\n Note over A,B: n\n alt yes\n B-->>-A: Hi\n else no\n B-xA: x\n end\n",
    ),
    (
        "state",
        "stateDiagram-v2\n [*] --> Still\n Still --> Moving: push\n note right of Still: n\n state Moving {\n a --> b\n }\n",
    ),
    (
        "class",
        "classDiagram\n class A {\n +int x\n +run() bool\n }\n A <|-- B : is\n note for A \"n\"\n",
    ),
    (
        "er",
        "erDiagram\n C ||--o{ O : places\n C {\n string name PK\n }\n",
    ),
    (
        "gantt",
        "gantt\n title T\n dateFormat YYYY-MM-DD\n section S\n One :done, t1, 2026-01-01, 10d\n Two :crit, after t1, 5d\n",
    ),
];

fn nothing(_: &str) -> Option<NodeState> {
    None
}

fn states(id: &str) -> Option<NodeState> {
    let (state, href) = match id {
        "guides/ollama#install/container" => ("failed", "../guides/ollama.html#install/container"),
        "guides/ollama#install" => ("passed", "../guides/ollama.html#install"),
        "guides/ollama" => ("never-run", "../guides/ollama.html"),
        _ => return None,
    };
    Some(NodeState {
        state,
        title: format!("The \"{id}\""),
        href: href.to_owned(),
    })
}

fn draw(source: &str) -> Diagram {
    draw_with(source, &states)
}

fn draw_with(source: &str, lookup: &StatusLookup<'_>) -> Diagram {
    let id = DiagramId::new("guides/web-page", 2);
    Renderer::new().render(source, &id, lookup).unwrap()
}

fn fail(source: &str) -> (DiagramError, &str) {
    let id = DiagramId::new("guides/web", 1);
    let error = Renderer::new().render(source, &id, &nothing).unwrap_err();
    let place = &source[error.span.clone()];
    (error, place)
}

/// Every element and attribute of a drawing.
fn parsed(diagram: &Diagram) -> Element {
    xml::parse(diagram.svg()).unwrap()
}

fn ids(root: &Element) -> Vec<String> {
    let mut ids = Vec::new();
    root.walk(&mut |element| ids.extend(element.get("id").map(str::to_owned)));
    ids
}

fn links(root: &Element) -> Vec<(String, String)> {
    let mut links = Vec::new();
    root.walk(&mut |element| {
        if let Some(href) = element.get("href") {
            links.push((element.text(), href.to_owned()));
        }
    });
    links
}

#[test]
fn every_kind_is_drawn_and_can_stand_in_a_chapter() {
    for (kind, source) in KINDS_DRAWN {
        let diagram = draw(source);
        let html = diagram.html(Some("web-page-2.svg"));
        assert!(html.starts_with("<figure class=\"rb-diagram\">"), "{kind}");
        assert!(html.ends_with("</figure>"), "{kind}");
        for part in [
            "\n",
            "<script",
            "@import",
            "http",
            "foreignObject",
            "onload",
            "{{",
            "javascript",
            "NaN",
        ] {
            assert!(!html.contains(part), "{kind}: {part}");
        }
        let alone = diagram
            .svg()
            .replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
        assert!(!alone.contains("http"), "{kind}");
        assert!(parsed(&diagram).text().len() > 3, "{kind}: it has texts");
        assert!(html.len() < 14_000, "{kind}: {} bytes", html.len());
        assert!(diagram.states.is_empty() && diagram.unresolved.is_empty());
        assert!(!html.contains("rb-i"), "{kind}: no legend without a state");
    }
}

#[test]
fn a_figure_goes_through_mdbook_unharmed() {
    let book = tempfile::tempdir().unwrap();
    let src = book.path().join("src");
    std::fs::create_dir_all(&src).unwrap();
    std::fs::write(book.path().join("book.toml"), "[book]\ntitle = \"x\"\n").unwrap();
    std::fs::write(src.join("SUMMARY.md"), "# Summary\n- [A](a.md)\n").unwrap();
    let mut text = String::from("# A\n\nBefore.\n\n");
    let figures: Vec<String> = KINDS_DRAWN
        .iter()
        .map(|(_, source)| draw(source).html(Some("x.svg")))
        .collect();
    for figure in &figures {
        text.push_str(figure);
        text.push_str("\n\nText *between*.\n\n- in a list\n\n  ");
        text.push_str(figure);
        text.push_str("\n\n");
    }
    std::fs::write(src.join("a.md"), text).unwrap();
    mdbook_driver::MDBook::load(book.path())
        .unwrap()
        .build()
        .unwrap();
    let page = std::fs::read_to_string(book.path().join("book/a.html")).unwrap();
    // mdBook writes its own HTML of what it read: the same elements, with names in small letters (a browser knows `viewbox`).
    let plain = |html: &str| {
        let html = html
            .replace("&quot;", "\"")
            .replace("&gt;", ">")
            .replace(" />", "/>");
        html.replace('\n', "").to_lowercase()
    };
    let page = plain(&page);
    for (figure, (kind, _)) in figures.iter().zip(KINDS_DRAWN) {
        assert_eq!(
            page.matches(&plain(figure)).count(),
            2,
            "{kind}\n{figure}\n{page}"
        );
    }
    assert_eq!(page.matches("<em>between</em>").count(), figures.len());
}

#[test]
fn ids_are_unique_in_the_whole_book() {
    let renderer = Renderer::new();
    let mut all = Vec::new();
    for chapter in [
        "guides/web",
        "guides-web",
        "guides_web",
        "Guides/web",
        "a/ü",
        "a/u",
    ] {
        for (ordinal, (_, source)) in KINDS_DRAWN.iter().enumerate() {
            let id = DiagramId::new(chapter, ordinal);
            let drawn = renderer.render(source, &id, &nothing).unwrap();
            let root = parsed(&drawn);
            for known in ids(&root) {
                assert!(known.starts_with(id.as_str()), "{known}");
                all.push(known);
            }
            // What is referred to is there.
            let own = ids(&root);
            root.walk(&mut |element| {
                for (_, value) in &element.attributes {
                    if let Some(name) = value.strip_prefix("url(#") {
                        assert!(
                            own.iter().any(|id| id == name.trim_end_matches(')')),
                            "{value}"
                        );
                    }
                }
            });
        }
    }
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(count, all.len());
}

#[test]
fn the_same_text_gives_the_same_bytes() {
    for (kind, source) in KINDS_DRAWN {
        assert_eq!(draw(source), draw(source), "{kind}");
    }
}

#[test]
fn hostile_links_lead_nowhere() {
    for link in [
        "javascript:alert(1)",
        "JAVASCRIPT:alert(1)",
        " javascript:alert(1)",
        "java\tscript:alert(1)",
        "&#106;avascript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "vbscript:msgbox",
        "//evil.example/x",
    ] {
        for source in [
            format!("flowchart TD\n A-->B\n click A \"{link}\"\n"),
            format!("flowchart TD\n A-->B\n click A href \"{link}\" \"tip\" _blank\n"),
            format!("flowchart TD\n subgraph G\n A-->B\n end\n click G \"{link}\"\n"),
            format!("stateDiagram-v2\n a --> b\n click a \"{link}\" \"tip\"\n"),
            format!("classDiagram\n class A\n click A href \"{link}\"\n"),
            format!(
                "gantt\n dateFormat YYYY-MM-DD\n One :t1, 2026-01-01, 10d\n click t1 href \"{link}\"\n"
            ),
        ] {
            let id = DiagramId::new("a", 1);
            let Ok(diagram) = Renderer::new().render(&source, &id, &nothing) else {
                continue;
            };
            for (_, href) in links(&parsed(&diagram)) {
                let lower = href.to_ascii_lowercase();
                // What is left is a path below the page.
                assert!(
                    !lower.contains("script:") || lower.starts_with("&#"),
                    "{href} of {source}"
                );
                assert!(
                    !lower.starts_with("data:") && !href.starts_with("//"),
                    "{href} of {source}"
                );
            }
            let html = diagram.html(None);
            assert!(
                !html.contains("<script") && !html.contains("evil.example"),
                "{html}"
            );
        }
    }
}

#[test]
fn a_call_of_a_script_is_no_link() {
    let diagram =
        draw("flowchart TD\n A-->B\n click A call alert(\"x\") \"tip\"\n click B callback\n");
    assert!(links(&parsed(&diagram)).is_empty());
    assert!(!diagram.html(None).contains("alert"));
    assert!(diagram.html(None).contains("role=\"img\""));
}

#[test]
fn hostile_labels_are_texts() {
    for label in [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "<iframe src='http://evil.example'></iframe>",
        "</style></svg><b onclick='x()'>b</b>",
        "<a href='javascript:alert(1)'>x</a>",
        "{{#include /etc/passwd}}",
    ] {
        let Ok(diagram) = Renderer::new().render(
            &format!("flowchart TD\n A[\"{label}\"] -->|\"{label}\"| B\n"),
            &DiagramId::new("a", 1),
            &nothing,
        ) else {
            continue;
        };
        let html = diagram.html(None);
        for part in ["<script", "<img", "<iframe", "<b ", "{{#", "<a "] {
            assert!(!html.contains(part), "{label}: {html}");
        }
        let root = parsed(&diagram);
        root.walk(&mut |element| {
            for (name, _) in &element.attributes {
                assert!(!name.starts_with("on"), "{label}: {name}");
            }
        });
    }
    let title = draw(
        "---\ntitle: \"<script>x</script>\"\n---\nflowchart TD\n accDescr: \"<b onclick=x>\"\n A-->B\n",
    );
    assert!(!title.html(None).contains("<script") && !title.html(None).contains("<b "));
}

#[test]
fn a_diagram_cannot_change_the_rules() {
    for source in [
        "%%{init: {\"securityLevel\": \"loose\", \"htmlLabels\": true, \"themeCSS\": \"@import url(http://evil.example)\", \"theme\": \"dark\"}}%%\nflowchart TD\n A[\"<b>x</b>\"]-->B\n",
        "---\nconfig:\n  securityLevel: loose\n  htmlLabels: true\n  flowchart:\n    htmlLabels: true\n  fontFamily: \"x;} body{display:none\"\n  themeVariables:\n    lineColor: \"red;} body {display:none\"\n---\nflowchart TD\n A-->B\n",
        "flowchart TD\n A-->B\n class A x\n classDef x fill:url(http://evil.example/a),stroke:red\n style B fill:url(http://evil.example/b)\n",
    ] {
        let diagram = draw(source);
        let html = diagram.html(None);
        for part in ["evil", "@import", "foreignObject", "body"] {
            assert!(!html.contains(part), "{part}: {html}");
        }
    }
}

#[test]
fn nodes_that_name_a_step_show_its_state() {
    let diagram = draw(
        "flowchart LR\n A[Install] --> B[Section] --> C[Guide] --> D[Other] --> E[Plain]\n\
         click A \"guides/ollama#install/container\"\n click B href \"ollama.md#install\"\n click C \"../guides/ollama.html\"\n\
         click D \"https://example.com/\" \"tip\"\n",
    );
    assert_eq!(diagram.states, ["failed", "passed", "never-run"]);
    let root = parsed(&diagram);
    let mut found = Vec::new();
    root.walk(&mut |element| {
        if element.name == "a" {
            found.push((
                element.get("class").unwrap_or_default().to_owned(),
                element.get("href").unwrap_or_default().to_owned(),
                element.get("aria-label").unwrap_or_default().to_owned(),
            ));
            if element.get("class").is_some() {
                let mut bordered = 0;
                element.walk(&mut |part| bordered += usize::from(part.has_class("rb-border")));
                assert_eq!(bordered, 1, "the outline has the state's border");
                assert!(element.elements().any(|part| part.name == "title"));
                let sign = element.elements().last().unwrap();
                assert!(
                    sign.elements().any(|part| part.name == "circle"),
                    "there is a sign"
                );
            }
        }
    });
    let expect = [
        (
            "rb-failed",
            "../guides/ollama.html#install/container",
            "Install (failed: The \"guides/ollama#install/container\")",
        ),
        (
            "rb-passed",
            "../guides/ollama.html#install",
            "Section (passed: The \"guides/ollama#install\")",
        ),
        (
            "rb-never-run",
            "../guides/ollama.html",
            "Guide (never run: The \"guides/ollama\")",
        ),
        ("", "https://example.com/", ""),
    ];
    assert_eq!(found.len(), expect.len());
    for (found, expect) in found.iter().zip(expect) {
        assert_eq!(
            (found.0.as_str(), found.1.as_str(), found.2.as_str()),
            expect
        );
    }
    let html = diagram.html(None);
    assert!(
        html.contains("role=\"group\""),
        "a picture would hide its links"
    );
    let legend = &html[html.find("<figcaption").unwrap()..];
    for (state, word) in [
        ("failed", "failed"),
        ("passed", "passed"),
        ("never-run", "never run"),
    ] {
        assert!(
            legend.contains(&format!("<span class=\"rb-{state}\">"))
                && legend.contains(&format!(" {word}</span>"))
        );
    }
    assert!(!legend.contains("drifted"));
}

#[test]
fn other_kinds_show_states_too() {
    for source in [
        "stateDiagram-v2\n a --> b\n click a \"guides/ollama#install\" \"tip\"\n",
        "classDiagram\n class A\n click A href \"guides/ollama#install\"\n",
        "flowchart TD\n subgraph G\n A-->B\n end\n click G \"guides/ollama#install\"\n",
        "gantt\n dateFormat YYYY-MM-DD\n One :t1, 2026-01-01, 10d\n click t1 href \"guides/ollama#install\"\n",
    ] {
        let diagram = draw(source);
        assert_eq!(diagram.states, ["passed"], "{source}");
        assert!(diagram.svg().contains("rb-border"), "{source}");
    }
}

#[test]
fn a_status_link_that_could_run_something_is_refused() {
    let hostile = |_: &str| {
        Some(NodeState {
            state: "passed",
            title: "<script>".to_owned(),
            href: "javascript:alert(1)".to_owned(),
        })
    };
    let diagram = draw_with("flowchart TD\n A-->B\n click A \"x#y\"\n", &hostile);
    assert!(links(&parsed(&diagram)).is_empty());
}

#[test]
fn a_link_that_names_nothing_is_told_with_its_place() {
    let source = ":name: x\n\nflowchart TD\n A-->B-->C\n click A \"guides/olama#install\"\n click B \"other.md\"\n click C \"https://example.com\"\n";
    let diagram = draw(source);
    assert_eq!(diagram.unresolved.len(), 1);
    assert_eq!(
        &source[diagram.unresolved[0].span.clone()],
        "guides/olama#install"
    );
    let links = links(&parsed(&diagram));
    assert_eq!(links[1], ("B".to_owned(), "other.html".to_owned()));
}

#[test]
fn a_diagram_has_a_name() {
    let named = draw("flowchart TD\n accTitle: The layers\n accDescr: From below\n A-->B\n");
    assert!(named.html(None).contains("aria-label=\"The layers\""));
    assert!(named.html(None).contains("From below</desc>"));
    assert!(!named.html(None).contains("aria-labelledby"));
    let alt = draw(":alt: My \"picture\"\nflowchart TD\n A-->B\n");
    assert!(
        alt.html(None)
            .contains("aria-label=\"My &quot;picture&quot;\"")
    );
    let titled = draw("---\ntitle: A title\n---\nflowchart TD\n A-->B\n");
    assert!(titled.html(None).contains("aria-label=\"A title\""));
    let plain = draw("flowchart TD\n A[One]-->|then| B[Two]\n");
    assert!(
        plain
            .html(None)
            .contains("aria-label=\"Flowchart: then, One, Two\"")
    );
    let caption = draw("---\ncaption: See <this>\n---\nflowchart TD\n A-->B\n");
    assert!(
        caption
            .html(None)
            .contains("<figcaption class=\"rb-legend\"><span>See &lt;this&gt;</span>")
    );
}

#[test]
fn a_wide_drawing_is_reached_by_the_keyboard() {
    let wide = draw("flowchart LR\n A-->B-->C-->D-->E-->F-->G\n");
    assert!(
        wide.html(None)
            .contains("class=\"rb-diagram-view\" tabindex=\"0\" role=\"group\"")
    );
    let narrow = draw("flowchart TD\n A-->B\n");
    assert!(!narrow.html(None).contains("tabindex"));
    assert!(
        narrow
            .html(Some("a \"b\".svg"))
            .contains("href=\"a &quot;b&quot;.svg\">Open the diagram alone")
    );
}

#[test]
fn an_authors_colour_stays_and_its_text_can_be_read() {
    let html = draw("flowchart TD\n A-->B\n classDef hot fill:#f96,stroke:#333\n class A hot\n style B fill:#003\n").html(None);
    assert!(
        html.contains("fill:#f96")
            && html.contains("fill:#111")
            && html.contains("fill:#003")
            && html.contains("fill:#fff")
    );
    let chosen = draw("flowchart TD\n A-->B\n style A fill:#f96,color:#00f\n").html(None);
    assert!(chosen.contains("fill:#00f"), "{chosen}");
}

#[test]
fn an_error_has_its_place_and_a_hint() {
    let (error, place) = fail("flowchart TD\n A --> B\n C{{open --> D\n");
    assert!(
        error.message.contains("nterminated node label"),
        "{error:?}"
    );
    assert!(place.contains("open") || place.contains("{{"), "{place:?}");

    // merman tells the end of the text; the line is what helps.
    let (error, place) = fail("flowchart TD\n A --> B\n  X[Start --> Y\n B --> C\n");
    assert_eq!(place, "[Start --> Y", "{error:?}");
    assert!(!error.hint.is_empty());

    let (error, place) = fail("flowchat TD\n A --> B\n");
    assert_eq!(error.message, "`flowchat` begins no diagram");
    assert_eq!(place, "flowchat TD");
    assert!(error.hint.contains("sequenceDiagram"));

    let (error, place) = fail(":name: x\n\npie title P\n \"a\": 3\n");
    assert_eq!(
        error.message,
        "a diagram of the kind `pie` is not drawn here"
    );
    assert_eq!(place, "pie title P");
    assert!(error.hint.contains("`gantt`"));

    let (error, place) = fail("sequenceDiagram\n A->>B: x\n database D\n B->>A: y\n");
    assert_eq!(place, "database D", "{error:?}");

    let (error, place) = fail("flowchart TD\n subgraph a\n A-->B\n end\n subgraph b\n C-->D\n");
    assert_eq!(
        (error.message.as_str(), place),
        ("`subgraph` has no `end`", "subgraph b")
    );

    for empty in ["", "\n\n", "%% only a comment\n", ":name: x\n"] {
        let (error, _) = fail(empty);
        assert!(
            !error.message.is_empty() && !error.message.contains("feature"),
            "{error:?}"
        );
    }
}

#[test]
fn no_text_makes_the_renderer_panic() {
    let renderer = Renderer::new();
    let id = DiagramId::new("a", 1);
    let pieces = [
        "flowchart TD\n",
        "A",
        "[",
        "]",
        "\"",
        "-->",
        "{{",
        "é",
        "\r\n",
        "click A \"",
        "#",
        ":::",
        "%%{init:",
        "---\n",
        ":x: y\n",
        "subgraph ",
        "end\n",
        "\u{0}",
    ];
    let mut seed = 7_usize;
    for _ in 0..150 {
        let mut text = String::from(if seed.is_multiple_of(3) {
            ""
        } else {
            "flowchart TD\n"
        });
        for _ in 0..8 {
            seed = seed.wrapping_mul(1_103_515_245).wrapping_add(12_345) & 0x7fff_ffff;
            text.push_str(pieces[(seed >> 8) % pieces.len()]);
        }
        match renderer.render(&text, &id, &nothing) {
            Ok(diagram) => assert!(!diagram.html(None).contains('\n')),
            Err(error) => assert!(
                text.get(error.span.clone()).is_some(),
                "{text:?}: {error:?}"
            ),
        }
    }
}
