//! What is known of the book's steps, put into a drawing: border, sign, title and link of the nodes that name them.
//!
//! The drawing's layout is not touched: a sign sits on a node's corner. Every state has a shape and a word; the colour comes on top.

use std::collections::BTreeMap;
use std::ops::Range;

use super::link::{self, Link};
use super::paint::Paint;
use super::place;
use super::source::Click;
use super::xml::{self, Element, Node};
use super::{NodeState, StatusLookup, Unresolved};

/// The site's signs, as symbols `rb-STATE` on a square of 16.
const SPRITE: &str = include_str!("../../../theme/sprite.svg");

/// The states in the order of a legend: the page's variable for the colour, the same on a page without it, light and dark.
const COLOURS: &[(&str, &str, &str, &str)] = &[
    ("failed", "--rb-bad", "#c1121f", "#ff8f8a"),
    ("timed-out", "--rb-bad", "#c1121f", "#ff8f8a"),
    ("aborted", "--rb-bad", "#c1121f", "#ff8f8a"),
    ("drifted", "--rb-drift", "#8250df", "#c7a4ff"),
    ("blocked", "--rb-wait", "#8a5a00", "#f0c060"),
    ("pending", "--rb-wait", "#8a5a00", "#f0c060"),
    ("passed", "--rb-ok", "#1a7f37", "#5fd38a"),
    ("skipped", "--rb-calm", "#57606a", "#b6bec8"),
    ("never-run", "--rb-calm", "#57606a", "#b6bec8"),
];

/// The pictures of the signs.
#[derive(Debug, Default)]
pub(super) struct Signs(BTreeMap<String, Vec<Node>>);

impl Signs {
    pub(super) fn of_the_site() -> Self {
        let mut signs = BTreeMap::new();
        // A sprite that cannot be read leaves words without pictures; a test sees to it that each state has one.
        if let Ok(sprite) = xml::parse(SPRITE) {
            for symbol in sprite.elements() {
                if let Some(state) = symbol.get("id").and_then(|id| id.strip_prefix("rb-")) {
                    signs.insert(state.to_owned(), symbol.children.clone());
                }
            }
        }
        Self(signs)
    }

    fn picture(&self, state: &str) -> Element {
        let mut picture = Element::new("g");
        picture.children = self.0.get(state).cloned().unwrap_or_default();
        picture
    }
}

/// A state's word for people: `timed out`.
pub(super) fn word(state: &str) -> String {
    state.replace('-', " ")
}

/// Goes through a drawing's links.
pub(super) struct Marker<'a> {
    /// The drawing's id.
    pub(super) id: &'a str,
    /// The chapter, for relative links.
    pub(super) chapter: &'a str,
    pub(super) clicks: Vec<Click<'a>>,
    pub(super) lookup: &'a StatusLookup<'a>,
    pub(super) signs: &'a Signs,
    /// The colour of the page.
    pub(super) canvas: String,
    /// The states that were shown.
    pub(super) shown: Vec<&'static str>,
    /// Whether a link is left.
    pub(super) linked: bool,
    pub(super) unresolved: Vec<Unresolved>,
}

enum Target {
    State(NodeState),
    Page(String),
    Nowhere,
}

impl Marker<'_> {
    /// Judges every link below `parent` and marks what has a state.
    pub(super) fn mark(&mut self, parent: &mut Element) {
        for child in parent.elements_mut() {
            if child.name == "a" {
                self.mark_link(child);
            } else if let Some(link) = self.link_of_part(child) {
                self.wrap(child, &link);
            } else {
                self.mark(child);
            }
            if child.has_class("clickable") {
                let classes: Vec<&str> = child
                    .classes()
                    .filter(|class| *class != "clickable")
                    .collect();
                let classes = classes.join(" ");
                child.set("class", classes);
            }
        }
    }

    /// Of a part that merman draws without its link (a group of nodes, a bar of a Gantt chart), the link.
    fn link_of_part(&self, part: &Element) -> Option<String> {
        let of_kind =
            part.has_class("cluster") || part.has_class("task") || part.has_class("taskText");
        let id = part.get("id").filter(|_| of_kind)?;
        let id = id.strip_prefix(self.id)?.strip_prefix('-')?;
        let node = if part.name == "text" {
            id.strip_suffix("-text")?
        } else {
            id
        };
        let click = self
            .clicks
            .iter()
            .rev()
            .find(|click| click.nodes.contains(&node))?;
        Some(click.link.to_owned())
    }

    fn wrap(&mut self, part: &mut Element, link: &str) {
        let mut wrapper = Element::new("a").with("href", link);
        let inner = std::mem::take(part);
        let again = inner.name == "text";
        wrapper.push(inner);
        self.mark_link(&mut wrapper);
        if again && wrapper.name == "a" {
            // The bar is the link already.
            wrapper.set("tabindex", "-1");
            wrapper.set("aria-hidden", "true");
            wrapper.remove("aria-label");
        }
        *part = wrapper;
    }

    fn mark_link(&mut self, element: &mut Element) {
        let link = element.remove("href").unwrap_or_default();
        element.remove("class");
        match self.target(&link) {
            Target::Nowhere => element.name = "g".to_owned(),
            Target::Page(href) => {
                self.linked = true;
                element.set("href", href);
            }
            Target::State(state) => {
                self.linked = true;
                element.set("href", state.href.as_str());
                self.show(element, &state);
            }
        }
    }

    fn target(&mut self, link: &str) -> Target {
        match link::read(self.chapter, link) {
            Link::Refused => Target::Nowhere,
            Link::Outside(href) => Target::Page(href),
            Link::Inside { ids, href, like_id } => {
                if let Some(state) = ids.iter().find_map(|id| (self.lookup)(id)) {
                    let safe = !matches!(link::read(self.chapter, &state.href), Link::Refused);
                    return match (safe, state.state.is_empty()) {
                        (false, _) => Target::Nowhere,
                        (true, true) => Target::Page(state.href),
                        (true, false) => Target::State(state),
                    };
                }
                let known = self
                    .unresolved
                    .iter()
                    .any(|unresolved| unresolved.link == link);
                if like_id && !known {
                    let span = self.span_of(link);
                    self.unresolved.push(Unresolved {
                        link: link.to_owned(),
                        span,
                    });
                }
                Target::Page(href)
            }
        }
    }

    fn span_of(&self, link: &str) -> Range<usize> {
        self.clicks
            .iter()
            .find(|click| click.link == link)
            .map_or(0..0, |click| click.span.clone())
    }

    fn show(&mut self, element: &mut Element, state: &NodeState) {
        let label = element.text();
        let word = word(state.state);
        let said = if state.title.is_empty() || state.title == label {
            word
        } else {
            format!("{word}: {}", state.title)
        };
        if !self.shown.contains(&state.state) {
            self.shown.push(state.state);
        }
        if label.is_empty() {
            element.set("aria-label", said.as_str());
        } else {
            element.set("aria-label", format!("{label} ({said})"));
        }
        element.set("class", format!("rb-{}", state.state));
        for part in element.elements_mut() {
            part.walk_mut(&mut |part| {
                part.children.retain(
                    |child| !matches!(child, Node::Element(child) if child.name == "title"),
                );
            });
        }
        let title = Element::new("title").with_text(said);
        element.children.insert(0, Node::Element(title));
        let Some(node) = element.elements_mut().nth(1) else {
            return;
        };
        let text = node.name == "text";
        if !text {
            let corner = place::corner(node);
            border(node);
            if let Some((x, y)) = corner {
                let badge = self.badge(state.state, node.get("transform"), x, y);
                element.push(badge);
            }
        }
    }

    fn badge(&self, state: &str, transform: Option<&str>, x: f64, y: f64) -> Element {
        let (x, y) = (super::clean::round(x), super::clean::round(y));
        let place = match transform {
            Some(transform) => format!("{transform} translate({x},{y})"),
            None => format!("translate({x},{y})"),
        };
        let mut badge = Element::new("g").with("transform", place);
        badge.push(
            Element::new("circle")
                .with("r", "9")
                .with("fill", self.canvas.as_str())
                .with("stroke", "currentColor")
                .with("stroke-width", "1.5"),
        );
        let picture = self
            .signs
            .picture(state)
            .with("transform", "translate(-6,-6) scale(.75)")
            .with("fill", "none")
            .with("stroke", "currentColor")
            .with("stroke-width", "2")
            .with("stroke-linecap", "round")
            .with("stroke-linejoin", "round");
        badge.push(picture);
        badge
    }

    /// The legend of what was shown, as HTML; empty without a state.
    pub(super) fn legend(&self) -> String {
        let mut out = String::new();
        for (state, ..) in COLOURS
            .iter()
            .filter(|(state, ..)| self.shown.contains(state))
        {
            let mut sign = Element::new("svg")
                .with("class", "rb-i")
                .with("viewBox", "0 0 16 16")
                .with("width", "16")
                .with("height", "16")
                .with("fill", "none")
                .with("stroke", "currentColor")
                .with("stroke-width", "2")
                .with("aria-hidden", "true")
                .with("focusable", "false");
            sign.children = self.signs.picture(state).children;
            out.push_str("<span class=\"rb-");
            out.push_str(state);
            out.push_str("\">");
            xml::write(&mut out, &sign);
            out.push(' ');
            out.push_str(&word(state));
            out.push_str("</span> ");
        }
        out.truncate(out.trim_end().len());
        out
    }

    /// The rules of the states that were shown.
    pub(super) fn rules(&self, paint: &mut Paint) -> String {
        let id = self.id;
        let mut out = String::new();
        for (state, variable, light, dark) in COLOURS {
            if self.shown.contains(state) {
                let own = paint.pair(light, dark);
                out.push_str(&format!("#{id} .rb-{state}{{color:var({variable},{own})}}"));
            }
        }
        if !out.is_empty() {
            out.push_str(&format!(
                "#{id} a .rb-border.rb-border{{stroke:currentColor;stroke-width:2.5px}}"
            ));
        }
        if self.shown.contains(&"never-run") {
            out.push_str(&format!(
                "#{id} .rb-never-run .rb-border.rb-border{{stroke-dasharray:5 3}}"
            ));
        }
        if self.linked {
            out.push_str(&format!(
                "#{id} a:hover,#{id} a:focus-visible{{text-decoration:underline;outline:2px solid currentColor;outline-offset:2px}}"
            ));
        }
        out
    }
}

/// Gives the outline of a node the state's colour, also where its author chose one.
fn border(node: &mut Element) {
    let outlined = std::cell::Cell::new(false);
    let colour = |shape: &mut Element| {
        if shape.get("stroke") == Some("none") {
            return;
        }
        outlined.set(true);
        let class = format!("{} rb-border", shape.get("class").unwrap_or_default());
        shape.set("class", class.trim());
        shape.remove("stroke");
        shape.remove("stroke-width");
        if let Some(style) = shape.remove("style") {
            let kept: Vec<&str> = style
                .split(';')
                .filter(|declaration| !declaration.trim_start().starts_with("stroke"))
                .collect();
            shape.set("style", kept.join(";"));
        }
    };
    if place::is_shape(node) {
        colour(node);
        return;
    }
    // A node's label is a group of its own; what stands before it is its outline.
    for part in node.elements_mut() {
        if part.has_class("label") || part.has_class("cluster-label") || outlined.get() {
            break;
        }
        if place::is_shape(part) {
            colour(part);
        } else {
            part.walk_mut(&mut |part| {
                if place::is_shape(part) {
                    colour(part);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use runbook::outcome::State;

    #[test]
    fn every_state_has_a_sign_a_colour_and_a_word() {
        let signs = Signs::of_the_site();
        for state in State::ALL
            .iter()
            .map(|state| state.as_str())
            .chain(["never-run"])
        {
            assert!(!signs.picture(state).children.is_empty(), "{state}");
            assert!(COLOURS.iter().any(|(known, ..)| *known == state), "{state}");
        }
        assert_eq!(word("timed-out"), "timed out");
    }
}
