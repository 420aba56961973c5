//! A chapter with its cards: the text as the author wrote it, with something before and after each step's own fence.
//!
//! What is put in are whole lines that begin with `<!---->`: to Markdown each is an HTML block of its own that ends with its line.
//! So no blank line is needed anywhere, a tight list stays tight, and everything that is not ours comes out as plain mdBook
//! renders it. A chapter with nothing of ours is not touched at all.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::ops::Range;

use runbook::diagnostic::Diagnostic;
use runbook::id::Id;
use runbook::markdown::MarkdownOptions;
use runbook::model::{Form, Guide, Language, Step};
use runbook::source::Source;
use runbook::status::{GuideView, StepView};
use runbook::yaml;

use super::Site;
use super::card::Card;
use super::diagrams;
use super::head;
use super::page::Page;
use super::values;

/// What makes a line an HTML block that ends with the line.
pub(super) const LINE: &str = "<!---->";

/// How much is kept for a usual card at once.
const KEPT_BYTES: usize = 768;

/// A fence of a step in the text.
struct Block<'a> {
    range: Range<usize>,
    body: Cow<'a, str>,
    step: &'a Step,
    view: &'a StepView,
}

/// Something that is put into the text instead of a part of it.
struct Edit {
    range: Range<usize>,
    text: String,
}

/// What became of a chapter.
#[derive(Debug, Default)]
pub struct Chapter {
    /// Its text for its page; `None` when it is as it was.
    pub text: Option<String>,
    /// What is wrong with its diagrams; an error means that the page cannot be shown.
    pub findings: Vec<Diagnostic>,
}

/// The chapter's text for its page. `assets` is what the page must carry to look as it should.
pub(super) fn render(
    site: &Site,
    text: &str,
    guide: &Guide,
    view: &GuideView,
    page: &Page<'_>,
    assets: &str,
    markdown: MarkdownOptions,
) -> Chapter {
    let is_loaded = text == guide.source.text();
    // The model does not have diagrams, so a chapter that may have one is read again; most have none.
    let has_diagrams = text.contains("mermaid");
    let scanned = (!is_loaded || has_diagrams).then(|| {
        let source = if is_loaded {
            guide.source.clone()
        } else {
            Source::new(guide.source.path(), text)
        };
        let chapter = runbook::markdown::scan_with(&source, markdown);
        (source, chapter)
    });
    let (front, blocks) = match &scanned {
        Some((_, chapter)) if !is_loaded => found_again(chapter, guide, view),
        _ => (
            guide.front.span.map(|span| span.start..span.end),
            as_loaded(guide, view),
        ),
    };
    let drawn = match &scanned {
        Some((source, chapter)) => diagrams::draw(site, source, chapter, guide, page),
        None => diagrams::Drawn::default(),
    };
    let mut edits = Vec::with_capacity(blocks.len() + 2);
    let start = front.as_ref().map_or(0, |front| front.end);
    if let Some(range) = front {
        edits.push(Edit {
            range,
            text: String::new(),
        });
    }
    if blocks.is_empty() && !drawn.figures.is_empty() {
        let at = below_title(text, start);
        edits.push(Edit {
            range: at..at,
            text: on_new_line(text, at, assets),
        });
    }
    if !blocks.is_empty() {
        let vars = site.vars(guide);
        let at = below_title(text, start);
        let mut put = String::with_capacity(2_048 + 96 * blocks.len());
        put.push_str(&on_new_line(text, at, assets));
        line(&mut put, page, |put| {
            head::head(put, guide, view, &vars, page);
        });
        put.push('\n');
        edits.push(Edit {
            range: at..at,
            text: put,
        });
        for block in blocks {
            let text = card(site, text, &block, guide, &vars, page);
            edits.push(Edit {
                range: block.range,
                text,
            });
        }
    }
    edits.extend(drawn.figures.into_iter().map(|(range, html)| {
        let mut text = String::new();
        line(&mut text, page, |text| text.push_str(&html));
        Edit { range, text }
    }));
    edits.sort_by_key(|edit| edit.range.start);
    Chapter {
        text: (!edits.is_empty()).then(|| apply(text, &edits)),
        findings: drawn.findings,
    }
}

/// Lines that begin on a line of their own.
fn on_new_line(text: &str, at: usize, lines: &str) -> String {
    let end = if at > 0 && !text[..at].ends_with('\n') {
        "\n"
    } else {
        ""
    };
    format!("{end}{lines}")
}

/// The steps where they stood when the book was loaded.
fn as_loaded<'a>(guide: &'a Guide, view: &'a GuideView) -> Vec<Block<'a>> {
    guide
        .steps
        .iter()
        .zip(&view.steps)
        .map(|(step, view)| Block {
            range: step.span.start..step.span.end,
            body: Cow::Borrowed(step.body.text()),
            step,
            view,
        })
        .collect()
}

/// The steps in a text that another preprocessor changed: found again by their IDs, in order.
fn found_again<'a>(
    chapter: &runbook::markdown::Chapter,
    guide: &'a Guide,
    view: &'a GuideView,
) -> (Option<Range<usize>>, Vec<Block<'a>>) {
    let mut left: Vec<(&Step, &StepView)> = guide.steps.iter().zip(&view.steps).collect();
    let mut blocks = Vec::new();
    for fence in &chapter.fences {
        let written = fence.options.as_ref().unwrap_or(&fence.body);
        let id = yaml::parse(written)
            .ok()
            .and_then(|node| Some(node.get("id")?.as_text()?.to_owned()));
        let found = left.iter().position(|(step, _)| step.id.step == id);
        if let Some((step, view)) = found.map(|index| left.remove(index)) {
            blocks.push(Block {
                range: fence.span.start..fence.span.end,
                body: Cow::Owned(fence.body.text().to_owned()),
                step,
                view,
            });
        }
    }
    let front = chapter
        .front
        .as_ref()
        .map(|front| front.span.start..front.span.end);
    (front, blocks)
}

/// Where the page's head goes: below a title that the chapter begins with, else at its beginning.
fn below_title(text: &str, start: usize) -> usize {
    let rest = &text[start..];
    let blank = rest.len() - rest.trim_start_matches(['\n', '\r']).len();
    let mut lines = rest[blank..].split_inclusive('\n');
    let first = lines.next().unwrap_or("");
    let indent = first.len() - first.trim_start_matches(' ').len();
    let title = &first[indent.min(first.len())..];
    let is_atx = indent < 4 && (title.starts_with("# ") || title.trim_end() == "#");
    if is_atx {
        return start + blank + first.len();
    }
    let second = lines.next().unwrap_or("");
    let line = second.trim();
    let is_setext = !first.trim().is_empty()
        && indent < 4
        && first.starts_with(|c: char| c.is_alphanumeric() || c == '`' || c == '*')
        && !line.is_empty()
        && line.bytes().all(|b| b == b'=');
    if is_setext {
        return start + blank + first.len() + second.len();
    }
    start
}

/// A step's card around its fence. The first line goes where the fence began, the others get the prefix of the lists and quotes
/// around it.
fn card(
    site: &Site,
    text: &str,
    block: &Block<'_>,
    guide: &Guide,
    vars: &serde_json::Map<String, serde_json::Value>,
    page: &Page<'_>,
) -> String {
    let prefix = prefix(text, block.range.start);
    let fence = &text[block.range.clone()];
    let marker = fence.chars().next().unwrap_or('`');
    let markers = &fence[..fence.len() - fence.trim_start_matches(marker).len()];
    let shown = values::shown(block.step, &block.body, vars);
    let (body, places) = match &shown {
        Some(shown) => (shown.text.as_str(), shown.places.clone()),
        None => (block.body.as_ref(), String::new()),
    };
    let run = block.view.run.as_deref();
    let card = Card {
        guide,
        step: block.step,
        view: block.view,
        evidence: run.and_then(|run| site.recorded.records.evidence(run, &block.view.id)),
        shown: body,
        places,
    };
    let mut out = String::with_capacity(1_024 + body.len());
    line(&mut out, page, |out| card.open(out, page));
    let language = language(block.step.form);
    let _ = write!(out, "\n{prefix}{markers}{language}\n");
    for line in body.lines() {
        let before = if line.is_empty() {
            prefix.trim_end()
        } else {
            &prefix
        };
        let _ = writeln!(out, "{before}{line}");
    }
    let _ = write!(out, "{prefix}{markers}\n{prefix}");
    line(&mut out, page, |out| card.close(out, page));
    out
}

/// Appends HTML as a line that is an HTML block of its own: itself, or the mark that stands for it.
fn line(out: &mut String, page: &Page<'_>, html: impl FnOnce(&mut String)) {
    let put = |out: &mut String| {
        out.push_str(LINE);
        html(out);
    };
    let Some(kept) = page.kept else {
        return put(out);
    };
    // With the line's beginning too: both ways make the same page.
    let mut own = String::with_capacity(KEPT_BYTES);
    put(&mut own);
    kept.keep(out, own);
}

/// What each line after the first must begin with: the blanks and `>` of the lists and quotes around the fence.
fn prefix(text: &str, start: usize) -> String {
    let line = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
    text[line..start]
        .trim_start_matches('\u{feff}')
        .chars()
        .map(|c| {
            if matches!(c, '>' | ' ' | '\t') {
                c
            } else {
                ' '
            }
        })
        .collect()
}

fn language(form: Form) -> &'static str {
    match form {
        Form::Typed | Form::Native(Language::Yaml) => "yaml",
        Form::Native(Language::Bash) => "bash",
        Form::Native(Language::Sh) => "sh",
        Form::Native(Language::Python) => "python",
    }
}

fn apply(text: &str, edits: &[Edit]) -> String {
    let more: usize = edits.iter().map(|edit| edit.text.len()).sum();
    let mut out = String::with_capacity(text.len() + more);
    let mut at = 0;
    for edit in edits {
        out.push_str(&text[at..edit.range.start]);
        out.push_str(&edit.text);
        at = edit.range.end;
    }
    out.push_str(&text[at..]);
    out
}

/// The name of a chapter in the sidebar, in titles and in search results: with its guide's sign, and a word unless all is well. A
/// sign never stands on a line of its own.
pub(super) fn name(name: &str, view: &GuideView) -> String {
    let glyph = super::html::glyph(view.state);
    match view.state {
        Some(runbook::outcome::State::Passed) => format!("{name}\u{a0}{glyph}"),
        state => format!("{name}\u{a0}{glyph} {}", super::html::told(state)),
    }
}

/// The step's own anchor, for what wants to lead there.
pub(super) fn href(page: &Page<'_>, id: &Id) -> String {
    let anchor = id.anchor();
    let page = page.guide(&id.guide);
    if anchor.is_empty() {
        page
    } else {
        format!("{page}#{anchor}")
    }
}
