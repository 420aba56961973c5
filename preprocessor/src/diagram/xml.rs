//! A drawing as a tree: read from merman's text, written so that it can stand inside a chapter and alone.

use std::fmt::Write as _;

const XLINK: &str = "http://www.w3.org/1999/xlink";
const SVG: &str = "http://www.w3.org/2000/svg";

/// An element or a text.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Element(Element),
    Text(String),
}

/// An element with its attributes in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Element {
    pub(super) name: String,
    pub(super) attributes: Vec<(String, String)>,
    pub(super) children: Vec<Node>,
}

impl Element {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    /// The same with an attribute.
    #[must_use]
    pub(super) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.set(name, value);
        self
    }

    /// The same with a text.
    #[must_use]
    pub(super) fn with_text(mut self, text: impl Into<String>) -> Self {
        self.children.push(Node::Text(text.into()));
        self
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    pub(super) fn set(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        match self.attributes.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.attributes.push((name.to_owned(), value)),
        }
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<String> {
        let at = self
            .attributes
            .iter()
            .position(|(known, _)| known == name)?;
        Some(self.attributes.remove(at).1)
    }

    pub(super) fn classes(&self) -> impl Iterator<Item = &str> {
        self.get("class")
            .unwrap_or_default()
            .split_ascii_whitespace()
    }

    pub(super) fn has_class(&self, class: &str) -> bool {
        self.classes().any(|known| known == class)
    }

    pub(super) fn elements(&self) -> impl Iterator<Item = &Element> {
        self.children.iter().filter_map(|child| match child {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    pub(super) fn elements_mut(&mut self) -> impl Iterator<Item = &mut Element> {
        self.children.iter_mut().filter_map(|child| match child {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    pub(super) fn push(&mut self, child: Element) {
        self.children.push(Node::Element(child));
    }

    /// Calls `visit` for this and every element below, parents first.
    pub(super) fn walk<'a>(&'a self, visit: &mut dyn FnMut(&'a Element)) {
        visit(self);
        for child in self.elements() {
            child.walk(visit);
        }
    }

    /// Calls `visit` for this and every element below, parents first.
    pub(super) fn walk_mut(&mut self, visit: &mut dyn FnMut(&mut Element)) {
        visit(self);
        for child in self.elements_mut() {
            child.walk_mut(visit);
        }
    }

    /// The text of this and everything below, each run of white space one space.
    pub(super) fn text(&self) -> String {
        fn collect(element: &Element, out: &mut String) {
            for child in &element.children {
                match child {
                    Node::Text(text) => out.push_str(text),
                    // A label's lines are one element each.
                    Node::Element(child) => {
                        collect(child, out);
                        if child.has_class("row") || child.name == "text" {
                            out.push(' ');
                        }
                    }
                }
            }
        }
        let mut out = String::new();
        collect(self, &mut out);
        out.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// Reads a drawing. Comments and processing instructions are left out, white space between elements too.
pub(super) fn parse(text: &str) -> Result<Element, roxmltree::Error> {
    let document = roxmltree::Document::parse(text)?;
    Ok(element(document.root_element()))
}

fn element(node: roxmltree::Node<'_, '_>) -> Element {
    let name = match node.tag_name().namespace() {
        None | Some(SVG) => node.tag_name().name().to_owned(),
        // HTML inside of a drawing; not one of the names that are let through.
        Some(_) => format!("html:{}", node.tag_name().name()),
    };
    let holds_text = matches!(name.as_str(), "text" | "tspan" | "title" | "desc" | "style");
    let attributes = node
        .attributes()
        .filter(|attribute| matches!(attribute.namespace(), None | Some(XLINK)))
        .map(|attribute| (attribute.name().to_owned(), attribute.value().to_owned()))
        .collect();
    let children = node
        .children()
        .filter_map(|child| {
            if child.is_element() {
                return Some(Node::Element(element(child)));
            }
            let text = child.text().filter(|_| child.is_text())?;
            let keep = !text.trim().is_empty() || (holds_text && !text.contains('\n'));
            keep.then(|| Node::Text(text.to_owned()))
        })
        .collect();
    Element {
        name,
        attributes,
        children,
    }
}

/// Writes an element: no line end, no `{{`, and only what XML and HTML read alike.
pub(super) fn write(out: &mut String, element: &Element) {
    let name = &element.name;
    let _ = write!(out, "<{name}");
    for (name, value) in &element.attributes {
        let _ = write!(out, " {name}=\"");
        escape(out, value);
        out.push('"');
    }
    if element.children.is_empty() {
        // In a chapter only elements that SVG knows stand here, which HTML closes like this too.
        out.push_str("/>");
        return;
    }
    out.push('>');
    for child in &element.children {
        match child {
            Node::Element(child) => write(out, child),
            // Rules hold nothing that would need to be escaped (see `style`), and some readers do not undo it there.
            Node::Text(text) if name == "style" => out.push_str(text),
            Node::Text(text) => escape(out, text),
        }
    }
    let _ = write!(out, "</{name}>");
}

/// Escapes a text for content and attributes. A line end becomes a space, a control character nothing.
pub(super) fn escape(out: &mut String, text: &str) {
    let mut brace = false;
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // mdBook's own preprocessors look for `{{#`.
            '{' if brace => out.push_str("&#123;"),
            '\n' | '\r' | '\t' => out.push(' '),
            c if c.is_control() => {}
            c => out.push(c),
        }
        brace = c == '{';
    }
}

/// A text, escaped.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    escape(&mut out, text);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawing_is_written_as_it_was_read() {
        let text = "<svg xmlns=\"http://www.w3.org/2000/svg\" xmlns:xlink=\"http://www.w3.org/1999/xlink\">\n<a xlink:href=\"x\">\n<text>a <tspan> b</tspan></text></a>\n</svg>";
        let mut out = String::new();
        write(&mut out, &parse(text).unwrap());
        assert_eq!(
            out,
            "<svg><a href=\"x\"><text>a <tspan> b</tspan></text></a></svg>"
        );
    }

    #[test]
    fn no_text_leaves_its_place() {
        assert_eq!(
            escaped("<\"&>\n{{#x}}\u{7}"),
            "&lt;&quot;&amp;&gt; {&#123;#x}}"
        );
    }
}
