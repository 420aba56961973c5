//! IDs are URLs: the ids that the scan gives to headings are those that mdBook writes, whatever a heading is made of.

use runbook::markdown::{MarkdownOptions, scan_with};
use runbook::source::Source;

use super::support::BookTest;

/// Headings as people write them, and as nobody should.
const CORPUS: &[&str] = &[
    "# Title\n\n## Title\n\n## Title\n\n### Title 1\n\n## title-1\n",
    "# Install `ollama` on *Proxmox*: what's new?\n\n## `--passes`: add more \"passes\"\n\n## a -- b --- c ... d\n",
    "# Über Größe\n\n## 中文 にほんご\n\n## 🐙\n\n## 🐙\n\n## İstanbul ẞ\n\n## e\u{301} vs é\n",
    "# A {#own}\n\n## own\n\n## own\n\n## B {#own-1 .cls key=value}\n\n## C {.cls}\n\n## D {id=other}\n\n## E {#x id=y}\n\n## {#only}\n\n## F {#}\n",
    "Setext *title*\nover two lines\n====\n\nSecond\n---\n\n#\n\n##    \n\n### Closed ###\n\n#### Not closed#\n",
    "# [A link](x.md) and ![an image](y.png)\n\n# ![only an image](y.png)\n\n# <b>html</b> <!-- comment --> &amp; &copy; \\* \\_\n\n# a<br>b\n",
    "# With note[^a] and two[^a][^b]\n\n# *[^b]*[^a]\n\n[^a]: first\n\n    ## In a note\n\n[^b]: second\n\n[^b]: again\n\n    ## Lost\n\n## After\n",
    "> ## Quoted\n\n- # In a list\n\n1. ## Two\n\n   ## Two\n\nTerm\n: Definition\n\n## Term\n\nTwo\n: x\n\n## two\n",
    "<h2>Raw</h2>\n\n## Raw\n\n<div>\n\n## Inside\n\n</div>\n\n<div>\n## No heading\n</div>\n",
    "    # indented code\n\n```\n# in a fence\n```\n\n<!--\n# in a comment\n-->\n\n    \n# Real\n\n#no heading\n\n####### seven\n",
    "# a  b\tc\u{a0}d\u{2003}e\n\n# ~~struck~~ H~2~O x^2^ 1st\n\n# http://example.org <http://example.org>\n\n# $math$ ~a~\n",
    "# CRLF\r\n\r\nSetext\r\n------\r\n\r\n## CRLF\r\n",
    "\u{feff}# After a mark\n\n## After a mark\n",
    "# x_y _z_ __w__ a*b*c\n\n# 1. Step\n\n# (parentheses) / slash & more\n\n# C++ / C#\n\n# C#\n",
];

/// The ids of the headings of a page, in its order: those that mdBook has made into links.
fn ids_of_page(main: &str) -> Vec<String> {
    let mut ids = Vec::new();
    let mut rest = main;
    while let Some(at) = rest.find("<h") {
        rest = &rest[at + 2..];
        let Some(end) = rest.find('>') else { break };
        let (tag, after) = (&rest[..end], &rest[end + 1..]);
        let level = tag.starts_with(|c: char| ('1'..='6').contains(&c));
        // What was written as HTML has no link.
        if level && after.starts_with("<a class=\"header\"") {
            let id = tag
                .split(" id=\"")
                .nth(1)
                .and_then(|id| id.split('"').next());
            let id = id.unwrap_or_else(|| panic!("no id in <h{tag}>"));
            ids.push(
                id.replace("&quot;", "\"")
                    .replace("&lt;", "<")
                    .replace("&gt;", ">")
                    .replace("&amp;", "&"),
            );
        }
        rest = after;
    }
    ids
}

fn same_ids(chapters: &[String], toml: &str, options: MarkdownOptions) {
    let book = chapters
        .iter()
        .enumerate()
        .fold(BookTest::new().toml(toml), |book, (number, text)| {
            book.chapter(&format!("c{number}.md"), text)
        });
    let site = book.plain();
    let mut seen = 0;
    for (number, text) in chapters.iter().enumerate() {
        let scanned = scan_with(&Source::new("src/a.md", text.as_str()), options);
        let mut ours: Vec<String> = scanned
            .headings
            .into_iter()
            .map(|heading| heading.id)
            .collect();
        let mut theirs = ids_of_page(&site.main(&format!("c{number}.html")));
        if text.contains("In a note") {
            // Footnotes are moved to the end of the page, and those that nothing refers to are dropped.
            ours.sort();
            theirs.sort();
            if theirs.len() < ours.len() {
                ours.retain(|id| theirs.contains(id));
            }
        }
        assert_eq!(ours, theirs, "{text}");
        seen += theirs.len();
    }
    assert!(seen >= chapters.len(), "only {seen} headings");
}

#[test]
fn headings_have_the_ids_of_mdbook() {
    let chapters: Vec<String> = CORPUS.iter().map(|&text| text.to_owned()).collect();
    same_ids(&chapters, "", MarkdownOptions::default());
}

#[test]
fn ids_follow_the_options_of_the_book() {
    let chapters: Vec<String> = CORPUS.iter().map(|&text| text.to_owned()).collect();
    let toml =
        "[output.html]\nsmart-punctuation = false\ndefinition-lists = false\nadmonitions = false\n";
    let options = MarkdownOptions {
        smart_punctuation: false,
        definition_lists: false,
        admonitions: false,
    };
    same_ids(&chapters, toml, options);
}

/// Pieces of headings that are put together at random.
const PIECES: &[&str] = &[
    "a", "B", "Step 1", " ", " ", "-", "--", "_", "`x y`", "*em*", "**st", "**", "[l](u)",
    "![i](u)", "<i>", "</i>", "&amp;", "\\#", "é", "日", "🐙", "'s", "\"q\"", "...", "[^1]",
    "~~d~~", "<!--c-->", "$", "|", ":", "(", ")", "{", "}", "#", "<", ">", "\u{a0}", "1.",
];

/// How many chapters of random headings are compared.
const RANDOM_CHAPTERS: usize = 60;

#[test]
fn random_headings_have_the_ids_of_mdbook() {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap_or(0)
    };
    let chapters: Vec<String> = (0..RANDOM_CHAPTERS)
        .map(|_| {
            let mut text = String::from("# T\n\n[^1]: note\n\n");
            for _ in 0..20 {
                let heading: String = (0..=random(6))
                    .map(|_| PIECES[random(PIECES.len())])
                    .collect();
                text.push_str(&match random(8) {
                    0 => format!("x {}\n---\n\n", heading.trim()),
                    1 => format!("> ## {heading}\n\n"),
                    2 => format!("## {heading} {{#own-{}}}\n\n", random(3)),
                    3 => format!("t{}\n: definition\n\n", heading.trim()),
                    _ => format!("{} {heading}\n\n", "#".repeat(1 + random(6))),
                });
            }
            text
        })
        .collect();
    same_ids(&chapters, "", MarkdownOptions::default());
}
