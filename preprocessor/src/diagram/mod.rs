//! Mermaid text to SVG, at build time: no browser, no network, no script; the same bytes for the same text.
//!
//! merman parses, lays out and draws; what it draws is then let through an allowlist, freed of what is not used, painted for light and
//! dark at once, and marked with the states of the steps that its nodes name. Reads no files: the caller knows the book.
//!
//! The look is the site's, not the diagram's: `theme`, `themeVariables` and `look` of a diagram are not heeded, `classDef` and `style` are.

mod align;
mod clean;
mod error;
mod link;
mod measure;
mod paint;
mod place;
mod source;
mod status;
mod style;
mod xml;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use merman::svg::SvgRenderOptions;
use merman::{
    Engine, MermaidConfig, OperationControl, RenderError, RenderOutput, RenderTarget,
    SvgEnvironment, SvgRequest,
};
use serde_json::{Map, Value, json};

pub use error::{DiagramError, KINDS};
pub use source::is_diagram;

use paint::Paint;
use status::{Marker, Signs};
use xml::{Element, Node, escaped};

/// How long one diagram may take to be laid out, in seconds.
const DRAWING_SECONDS_MAX: u64 = 10;
/// How far a drawing shrinks on a narrow page before it scrolls.
const SHRINK_MIN: f64 = 0.75;
/// The width that every screen has, in pixels: what stays below it never scrolls.
const SCREEN_PIXELS: f64 = 296.0;
/// How many labels the name of a diagram without a title mentions.
const NAME_LABELS_MAX: usize = 12;
/// What the site decides, whatever a diagram says of it.
const SITE_DECIDES: &[&str] = &[
    "secure",
    "securityLevel",
    "startOnLoad",
    "maxTextSize",
    "suppressErrorRendering",
    "maxEdges",
    "themeCSS",
    "theme",
    "themeVariables",
    "look",
    "darkMode",
    "htmlLabels",
    "fontFamily",
    "altFontFamily",
    "dompurifyConfig",
];

/// Which diagram of which chapter: makes every id in it unique in the book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiagramId {
    chapter: String,
    id: String,
}

impl DiagramId {
    /// The diagram number `ordinal` of a chapter (its path without `.md`, as in IDs).
    pub fn new(chapter: &str, ordinal: usize) -> Self {
        let mut id = String::from("dg-");
        for c in chapter.chars() {
            match c {
                c if c.is_ascii_alphanumeric() => id.push(c),
                '/' => id.push('-'),
                // Two chapters never share an id: what is not kept is spelt out.
                c => {
                    let _ = write!(id, "_{:x}_", u32::from(c));
                }
            }
        }
        let _ = write!(id, "-{ordinal}");
        Self {
            chapter: chapter.to_owned(),
            id,
        }
    }

    /// The id of the drawing's root.
    pub fn as_str(&self) -> &str {
        &self.id
    }
}

/// How a guide, section or step stands, for the node that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeState {
    /// `passed`, `failed`, …, or `never-run`; empty of a page or a section without steps, which has no state.
    pub state: &'static str,
    /// Its title.
    pub title: String,
    /// Where it is, from the page that the diagram is on.
    pub href: String,
}

/// Tells how the guide, section or step with a full ID stands; `None` when there is none.
pub type StatusLookup<'a> = dyn Fn(&str) -> Option<NodeState> + 'a;

/// A link that is written like an ID of the book and names nothing in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unresolved {
    /// The link.
    pub link: String,
    /// Where it stands, as bytes of the diagram's source.
    pub span: Range<usize>,
}

/// A drawn diagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagram {
    inline: String,
    alone: String,
    name: String,
    legend: String,
    caption: Option<String>,
    scrolls: bool,
    /// The states that it shows.
    pub states: Vec<&'static str>,
    /// Links that are written like an ID and name nothing.
    pub unresolved: Vec<Unresolved>,
}

impl Diagram {
    /// The figure for the page, without a line end. `alone` leads to where the caller wrote [`Diagram::svg`].
    pub fn html(&self, alone: Option<&str>) -> String {
        let mut out = String::with_capacity(self.inline.len() + 256);
        out.push_str("<figure class=\"rb-diagram\"><div class=\"rb-diagram-view\"");
        if self.scrolls {
            // What scrolls must be reached by the keyboard.
            let _ = write!(
                out,
                " tabindex=\"0\" role=\"group\" aria-label=\"{}\"",
                escaped(&self.name)
            );
        }
        out.push('>');
        out.push_str(&self.inline);
        out.push_str("</div>");
        if self.caption.is_some() || !self.legend.is_empty() || alone.is_some() {
            out.push_str("<figcaption class=\"rb-legend\">");
            if let Some(caption) = &self.caption {
                let _ = write!(out, "<span>{}</span> ", escaped(caption));
            }
            out.push_str(&self.legend);
            if let Some(alone) = alone {
                let _ = write!(
                    out,
                    " <a class=\"rb-alone\" href=\"{}\">Open the diagram alone</a>",
                    escaped(alone)
                );
            }
            out.push_str("</figcaption>");
        }
        out.push_str("</figure>");
        out
    }

    /// The drawing as a file of its own; its links are right beside the page.
    pub fn svg(&self) -> &str {
        &self.alone
    }
}

/// Draws diagrams. One serves a whole book, from several threads too.
#[derive(Debug)]
pub struct Renderer {
    inner: merman::Renderer,
    environment: SvgEnvironment,
    signs: Signs,
}

impl Default for Renderer {
    fn default() -> Self {
        Self::new()
    }
}

impl Renderer {
    /// A renderer with the site's look.
    pub fn new() -> Self {
        let engine = Engine::new().with_site_config(MermaidConfig::from_value(configuration()));
        Self {
            inner: merman::Renderer::new().with_engine(engine),
            environment: SvgEnvironment::deterministic()
                .with_text_measurement_policy(measure::policy()),
            signs: Signs::of_the_site(),
        }
    }

    /// Draws the text of a fence.
    ///
    /// # Errors
    /// When the text is no diagram of a kind in [`KINDS`], or too large to be drawn.
    pub fn render(
        &self,
        source: &str,
        id: &DiagramId,
        lookup: &StatusLookup<'_>,
    ) -> Result<Diagram, DiagramError> {
        let text = source::take_apart(source);
        let place = |error: DiagramError| DiagramError {
            span: error.span.start + text.offset..error.span.end + text.offset,
            ..error
        };
        let (drawn, title) = self.draw(text.diagram, id).map_err(place)?;
        let mut root = xml::parse(&drawn).map_err(|error| {
            place(internal(
                text.diagram,
                &format!("its drawing cannot be read: {error}"),
            ))
        })?;
        let mut paint = Paint::default();
        clean::admit(&mut root);
        align::labels(&mut root);
        let mut marker = Marker {
            id: id.as_str(),
            chapter: &id.chapter,
            clicks: source::clicks(text.diagram),
            lookup,
            signs: &self.signs,
            canvas: paint.canvas(),
            shown: Vec::new(),
            linked: false,
            unresolved: Vec::new(),
        };
        marker.mark(&mut root);
        let title = text.alt.or_else(|| take_title(&mut root)).or(title);
        let kind = root.get("class").unwrap_or_default().to_owned();
        let rules = finish(&mut root, id.as_str(), &marker, &mut paint);
        let name = title.unwrap_or_else(|| name_of(&root, &kind));
        let width = frame(&mut root, id.as_str(), &name, marker.linked);
        let (inline, alone) = written(&mut root, &rules, width, &paint.canvas());
        let mut unresolved = std::mem::take(&mut marker.unresolved);
        for unresolved in &mut unresolved {
            unresolved.span =
                unresolved.span.start + text.offset..unresolved.span.end + text.offset;
        }
        Ok(Diagram {
            inline,
            alone,
            legend: marker.legend(),
            caption: text.caption,
            scrolls: !marker.linked && width * SHRINK_MIN > SCREEN_PIXELS,
            states: marker.shown,
            name,
            unresolved,
        })
    }

    /// merman's drawing and the diagram's title.
    fn draw(
        &self,
        diagram: &str,
        id: &DiagramId,
    ) -> Result<(String, Option<String>), DiagramError> {
        let drawn = catch_unwind(AssertUnwindSafe(|| self.try_draw(diagram, id.as_str())))
            .map_err(|_| internal(diagram, "its layout failed"))?;
        drawn.map_err(|error| error::of(&error, diagram, &|text| self.wrong_with(text)))
    }

    fn try_draw(&self, diagram: &str, id: &str) -> Result<(String, Option<String>), RenderError> {
        let artifact = self
            .inner
            .prepare_semantic(diagram, control())?
            .ok_or(RenderError::NoDiagram)?;
        let title = artifact.metadata().title.clone();
        let request = SvgRequest {
            environment: self.environment.clone(),
            options: SvgRenderOptions {
                diagram_id: Some(id.to_owned()),
                ..SvgRenderOptions::default()
            },
            ..SvgRequest::default()
        };
        match artifact.render(RenderTarget::Svg(request))? {
            RenderOutput::Svg(Some(svg)) => Ok((svg.into_parts().0, title)),
            _ => Err(RenderError::NoDiagram),
        }
    }

    /// What is wrong with a text, in merman's words.
    fn wrong_with(&self, text: &str) -> Option<String> {
        match self.inner.prepare_semantic(text, control()) {
            Err(RenderError::Parse(parse)) => Some(parse.terminal_safe_message()),
            _ => None,
        }
    }
}

fn control() -> OperationControl {
    OperationControl::new().with_deadline(Duration::from_secs(DRAWING_SECONDS_MAX))
}

fn configuration() -> Value {
    let variables: Map<String, Value> = paint::VARIABLES
        .iter()
        .map(|(name, colour)| ((*name).to_owned(), json!(colour)))
        .collect();
    json!({
        "theme": "base",
        "themeVariables": variables,
        "look": "classic",
        "securityLevel": "strict",
        "secure": SITE_DECIDES,
        "fontFamily": measure::FAMILY,
        // Texts of SVG: they are the same alone, in print, and whatever the page's own rules for HTML are.
        "htmlLabels": false,
        "flowchart": {"htmlLabels": false},
        "class": {"htmlLabels": false},
    })
}

fn internal(diagram: &str, what: &str) -> DiagramError {
    DiagramError {
        message: format!("the diagram cannot be drawn: {what}"),
        span: 0..diagram.trim_end().len(),
        hint: "simplify the diagram, and report this text".to_owned(),
    }
}

/// Cleans and paints; returns all rules.
fn finish(root: &mut Element, id: &str, marker: &Marker<'_>, paint: &mut Paint) -> String {
    clean::unused(root, id);
    let own = marker.rules(paint);
    let kept = clean::paint(root, paint);
    let canvas = paint.canvas();
    // The line of an edge must not run through its label.
    let label = format!("#{id} .edgeLabel .label rect{{fill:{canvas};opacity:.9;stroke:none}}");
    let label = if kept.contains(".edgeLabel") {
        label
    } else {
        String::new()
    };
    format!("{}{kept}{label}{own}", paint.rules(id))
}

/// Takes the title that `accTitle` made: it is the drawing's name.
fn take_title(root: &mut Element) -> Option<String> {
    let at = root
        .children
        .iter()
        .position(|child| matches!(child, Node::Element(child) if child.name == "title"))?;
    let Node::Element(title) = root.children.remove(at) else {
        return None;
    };
    Some(title.text()).filter(|title| !title.is_empty())
}

/// A name for a diagram without a title: what is in it.
fn name_of(root: &Element, kind: &str) -> String {
    let mut labels = Vec::new();
    let mut seen = BTreeSet::new();
    root.walk(&mut |element| {
        if element.name == "text" {
            let text = element.text();
            if !text.is_empty() && seen.insert(text.clone()) {
                labels.push(text);
            }
        }
    });
    let kind = match kind {
        "flowchart" => "Flowchart",
        "statediagram" => "State diagram",
        "classDiagram" => "Class diagram",
        "erDiagram" => "Entity relationship diagram",
        _ => "Diagram",
    };
    let more = if labels.len() > NAME_LABELS_MAX {
        ", …"
    } else {
        ""
    };
    labels.truncate(NAME_LABELS_MAX);
    format!("{kind}: {}{more}", labels.join(", "))
}

/// Puts the root's own attributes; returns the drawing's width.
fn frame(root: &mut Element, id: &str, name: &str, linked: bool) -> f64 {
    let view = root.get("viewBox").unwrap_or("0 0 100 100").to_owned();
    let width = view
        .split_whitespace()
        .nth(2)
        .and_then(|width| width.parse().ok())
        .unwrap_or(100.0);
    root.attributes.clear();
    root.set("id", id);
    root.set("viewBox", view);
    // A picture has no parts; one with links has, and they must be reached.
    root.set("role", if linked { "group" } else { "img" });
    root.set("aria-label", name);
    width
}

/// The drawing in its page and alone.
fn written(root: &mut Element, rules: &str, width: f64, canvas: &str) -> (String, String) {
    let style = Element::new("style").with_text(rules);
    root.children.insert(0, Node::Element(style));
    let mut inline = String::new();
    let (most, least) = (width.ceil(), (width * SHRINK_MIN).floor());
    root.set(
        "style",
        format!("width:100%;max-width:{most}px;min-width:{least}px"),
    );
    xml::write(&mut inline, root);
    let mut alone = String::new();
    root.set("xmlns", "http://www.w3.org/2000/svg");
    root.set(
        "style",
        format!("color-scheme:light dark;background:{canvas}"),
    );
    xml::write(&mut alone, root);
    (inline, alone)
}

#[cfg(test)]
mod tests;
