//! What of merman's drawing goes onto a page: known elements and attributes, nothing that runs or fetches, nothing that is not used.
//!
//! An allowlist, not a search for what is bad: what this does not know is left out.

use std::collections::BTreeSet;

use super::paint::{Owner, Paint};
use super::style::{self, Present};
use super::xml::{Element, Node};

const ELEMENTS: &[&str] = &[
    "svg",
    "g",
    "a",
    "path",
    "rect",
    "circle",
    "ellipse",
    "line",
    "polyline",
    "polygon",
    "text",
    "tspan",
    "title",
    "desc",
    "defs",
    "marker",
    "symbol",
    "use",
    "clipPath",
    "linearGradient",
    "stop",
];

const ATTRIBUTES: &[&str] = &[
    "id",
    "class",
    "style",
    "transform",
    "d",
    "x",
    "y",
    "x1",
    "x2",
    "y1",
    "y2",
    "dx",
    "dy",
    "width",
    "height",
    "r",
    "rx",
    "ry",
    "cx",
    "cy",
    "points",
    "viewBox",
    "preserveAspectRatio",
    "fill",
    "fill-opacity",
    "fill-rule",
    "clip-rule",
    "clip-path",
    "stroke",
    "stroke-width",
    "stroke-dasharray",
    "stroke-linecap",
    "stroke-linejoin",
    "stroke-opacity",
    "opacity",
    "font-size",
    "font-family",
    "font-weight",
    "font-style",
    "text-anchor",
    "text-decoration",
    "dominant-baseline",
    "alignment-baseline",
    "marker-start",
    "marker-mid",
    "marker-end",
    "refX",
    "refY",
    "markerWidth",
    "markerHeight",
    "markerUnits",
    "orient",
    "offset",
    "stop-color",
    "stop-opacity",
    "gradientUnits",
    "gradientTransform",
    "visibility",
    "display",
];

/// Attributes whose values are lengths or coordinates.
const NUMBERS: &[&str] = &[
    "transform",
    "d",
    "x",
    "y",
    "x1",
    "x2",
    "y1",
    "y2",
    "dx",
    "dy",
    "width",
    "height",
    "r",
    "rx",
    "ry",
    "cx",
    "cy",
    "points",
    "viewBox",
    "stroke-width",
    "font-size",
];

/// Leaves out what is unknown and turns HTML labels into texts. Links keep their `href`, for `status` to judge.
pub(super) fn admit(root: &mut Element) {
    root.children.retain_mut(|child| match child {
        Node::Text(_) => true,
        Node::Element(element) => admit_element(element),
    });
    attributes(root);
}

fn admit_element(element: &mut Element) -> bool {
    if element.name == "foreignObject" {
        return html_label(element);
    }
    // Menus that a script would open, and the line of the day on which the book was built.
    if element.has_class("actorPopupMenu") || element.has_class("today") {
        return false;
    }
    if element.name == "style" {
        return true;
    }
    if !ELEMENTS.contains(&element.name.as_str()) {
        return false;
    }
    admit(element);
    let holds = matches!(element.name.as_str(), "g" | "defs" | "text" | "tspan");
    let shapeless = element.name == "rect" && element.get("width").is_none();
    !(holds && element.children.is_empty() || shapeless)
}

/// The text of an HTML label, in the middle of its box.
fn html_label(element: &mut Element) -> bool {
    let text = element.text();
    let number = |name: &str| {
        element
            .get(name)
            .and_then(|value| value.parse::<f64>().ok())
            .unwrap_or_default()
    };
    let (x, y) = (number("width") / 2.0, number("height") / 2.0);
    if text.is_empty() {
        return false;
    }
    *element = Element::new("text")
        .with("x", round(x))
        .with("y", round(y))
        .with("text-anchor", "middle")
        .with("dominant-baseline", "central")
        .with_text(text);
    true
}

fn attributes(element: &mut Element) {
    // A tooltip is a child in SVG. That of a link is the same as that of what it holds.
    if let Some(tip) = element.remove("title")
        && element.name == "g"
    {
        let title = Element::new("title").with_text(tip);
        element.children.insert(0, Node::Element(title));
    }
    let link = element.name == "a";
    let local = element.name == "use";
    element.attributes.retain_mut(|(name, value)| {
        if name == "href" {
            return link || (local && value.starts_with('#'));
        }
        if !ATTRIBUTES.contains(&name.as_str()) || value.is_empty() {
            return false;
        }
        if NUMBERS.contains(&name.as_str()) {
            *value = shorter(value);
        }
        let foreign = value
            .match_indices("url(")
            .any(|(at, _)| !style::is_local_url(&value[at..]));
        name == "style" || !foreign
    });
}

/// Numbers with at most two digits after the point.
fn shorter(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit() || c == '.') {
        out.push_str(&rest[..start]);
        let from = &rest[start..];
        let end = from
            .find(|c: char| !(c.is_ascii_digit() || c == '.'))
            .unwrap_or(from.len());
        // `1e-7`: as good as nothing, but rarely written; kept whole.
        let exponent = from[end..].starts_with(['e', 'E']);
        match from[..end].parse::<f64>() {
            Ok(number) if !exponent => out.push_str(&round(number)),
            _ => out.push_str(&from[..end]),
        }
        rest = &from[end..];
    }
    out.push_str(rest);
    out
}

pub(super) fn round(number: f64) -> String {
    format!("{}", (number * 100.0).round() / 100.0 + 0.0)
}

/// Leaves out definitions that nothing uses, then ids that nothing names; puts the others under the drawing's id.
pub(super) fn unused(root: &mut Element, id: &str) {
    // What an unused definition used goes in the next round.
    for _ in 0..3 {
        let named = named_ids(root);
        let before = count(root);
        retain_definitions(root, &named);
        if count(root) == before {
            break;
        }
    }
    let named = named_ids(root);
    let under = |known: &str| {
        if known == id
            || known
                .strip_prefix(id)
                .is_some_and(|rest| rest.starts_with(['-', '_']))
        {
            known.to_owned()
        } else {
            format!("{id}-{known}")
        }
    };
    root.walk_mut(&mut |element| {
        if let Some(own) = element.remove("id")
            && (own == id || named.contains(&own))
        {
            element.set("id", under(&own));
        }
        for (name, value) in &mut element.attributes {
            if name == "href" && element.name == "use" {
                *value = format!("#{}", under(&value[1..]));
            } else if let Some(known) = local_reference(value) {
                *value = format!("url(#{})", under(known));
            }
        }
    });
}

fn count(root: &Element) -> usize {
    let mut count = 0;
    root.walk(&mut |_| count += 1);
    count
}

fn named_ids(root: &Element) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    root.walk(&mut |element| {
        for (name, value) in &element.attributes {
            if name == "href" && element.name == "use" {
                named.insert(value[1..].to_owned());
            } else if let Some(id) = local_reference(value) {
                named.insert(id.to_owned());
            } else if name == "style" {
                named.extend(
                    value
                        .split("url(#")
                        .skip(1)
                        .filter_map(|rest| rest.split(')').next())
                        .map(str::to_owned),
                );
            }
        }
    });
    named
}

/// The id of `url(#id)`.
fn local_reference(value: &str) -> Option<&str> {
    value.strip_prefix("url(#")?.strip_suffix(')')
}

fn retain_definitions(element: &mut Element, named: &BTreeSet<String>) {
    element.children.retain_mut(|child| {
        let Node::Element(child) = child else {
            return true;
        };
        let definition = matches!(
            child.name.as_str(),
            "marker" | "symbol" | "linearGradient" | "clipPath"
        );
        if definition && !child.get("id").is_some_and(|id| named.contains(id)) {
            return false;
        }
        retain_definitions(child, named);
        !(matches!(child.name.as_str(), "defs" | "g") && child.children.is_empty())
    });
}

/// Takes the rules out, keeps those that are met, paints everything, and drops the classes that no rule names. Returns the rules.
pub(super) fn paint(root: &mut Element, paint: &mut Paint) -> String {
    let mut rules = String::new();
    take_styles(root, &mut rules);
    let kept = style::pruned(&rules, &Present::of(root), paint);
    let classes: BTreeSet<&str> = style::classes_in(&kept);
    root.walk_mut(&mut |element| {
        ink(element);
        for (name, value) in &mut element.attributes {
            match name.as_str() {
                "style" => *value = style::declarations(value, paint, Owner::Author),
                "fill" | "stroke" | "stop-color" => *value = paint.value(value, Owner::Theme),
                "class" => {
                    let mut kept: Vec<&str> = Vec::new();
                    for class in value.split_ascii_whitespace() {
                        let named = class.starts_with("rb-") || classes.contains(class);
                        if named && !kept.contains(&class) {
                            kept.push(class);
                        }
                    }
                    *value = kept.join(" ");
                }
                _ => {}
            }
        }
        element.attributes.retain(|(name, value)| {
            !(value.is_empty() && matches!(name.as_str(), "style" | "class"))
        });
    });
    kept
}

fn take_styles(element: &mut Element, rules: &mut String) {
    element.children.retain(|child| match child {
        Node::Element(child) if child.name == "style" => {
            for part in &child.children {
                if let Node::Text(text) = part {
                    rules.push_str(text);
                }
            }
            false
        }
        _ => true,
    });
    for child in element.elements_mut() {
        take_styles(child, rules);
    }
}

/// A node that its author filled gets a text that can be read on it, in light and dark, unless the author chose that too.
fn ink(element: &mut Element) {
    if element.name != "g" || !(element.has_class("node") || element.has_class("cluster")) {
        return;
    }
    let mut fill = None;
    let mut chosen = None;
    element.walk(&mut |part| {
        let declared = |name: &str| declared(part.get("style").unwrap_or_default(), name);
        let text = matches!(part.name.as_str(), "text" | "tspan");
        // `color` is for labels of HTML; here it is for their texts.
        let colour = declared("color").or_else(|| declared("fill").filter(|_| text));
        if chosen.is_none() {
            chosen = colour;
        }
        if fill.is_none() && !text {
            fill = declared("fill")
                .and_then(super::paint::rgb)
                .filter(|colour| !colour.is_ours());
        }
    });
    let ink = match (chosen, fill) {
        (Some(chosen), _) => chosen.to_owned(),
        (None, Some(fill)) => fill.ink().to_owned(),
        (None, None) => return,
    };
    element.walk_mut(&mut |part| {
        if part.name == "text" {
            part.set("style", format!("fill:{ink}"));
        }
    });
}

/// The value of a declaration in a `style` attribute.
fn declared<'a>(style: &'a str, name: &str) -> Option<&'a str> {
    style.split(';').find_map(|declaration| {
        let (known, value) = declaration.split_once(':')?;
        (known.trim() == name).then(|| value.trim_end().trim_end_matches("!important").trim())
    })
}

#[cfg(test)]
mod tests {
    use super::super::xml;
    use super::*;

    fn admitted(text: &str) -> String {
        let mut root = xml::parse(&format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" xmlns:xlink=\"http://www.w3.org/1999/xlink\">{text}</svg>"
        ))
        .unwrap();
        admit(&mut root);
        let mut out = String::new();
        xml::write(&mut out, &root);
        out
    }

    #[test]
    fn what_runs_or_fetches_is_left_out() {
        for text in [
            "<script>alert(1)</script>",
            "<image xlink:href=\"http://e.example\"/>",
            "<use xlink:href=\"http://e.example#x\"/>",
            "<animate attributeName=\"href\"/>",
            "<rect width=\"1\" onclick=\"alert(1)\" fill=\"url(http://e.example)\"/>",
            "<iframe xmlns=\"http://www.w3.org/1999/xhtml\" src=\"x\"/>",
        ] {
            let out = admitted(text);
            assert!(
                !out.contains("example")
                    && !out.contains("alert")
                    && !out.contains("iframe")
                    && !out.contains("animate"),
                "{out}"
            );
        }
    }

    #[test]
    fn an_html_label_becomes_a_text() {
        let out = admitted(
            "<foreignObject width=\"20\" height=\"10\"><div xmlns=\"http://www.w3.org/1999/xhtml\"><p>a <img src=\"x\" onerror=\"y\"/>b</p></div></foreignObject>",
        );
        assert_eq!(
            out,
            "<svg><text x=\"10\" y=\"5\" text-anchor=\"middle\" dominant-baseline=\"central\">a b</text></svg>"
        );
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            shorter("translate(102,152.60671881671212)"),
            "translate(102,152.61)"
        );
        assert_eq!(shorter("M-8.000000001 -.5L1e-7 2"), "M-8 -0.5L1e-7 2");
        assert_eq!(shorter("M0,1.5.25"), "M0,1.5.25");
    }
}
