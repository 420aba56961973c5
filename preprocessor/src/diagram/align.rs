//! Puts labels where they belong: merman 0.9 places some of its plain texts as if they were HTML boxes.
//!
//! Labels of edges, names of states, classes and entities are centred on their own place, so that they stay centred whatever font the
//! reader has; an edge's label covers the line behind it.

use super::clean::round;
use super::xml::Element;

/// Centres labels all over a drawing.
pub(super) fn labels(root: &mut Element) {
    let state = root.has_class("statediagram");
    root.walk_mut(&mut |element| {
        if element.has_class("edgeLabel") {
            for label in element
                .elements_mut()
                .filter(|child| child.has_class("label"))
            {
                // The background is placed for a text that does not stand deeper.
                for inner in label.elements_mut() {
                    inner.walk_mut(&mut |part| {
                        if part.name == "g" {
                            part.remove("transform");
                        }
                    });
                }
                centre(label);
            }
        } else if element.has_class("label-group")
            || element.has_class("annotation-group")
            || is_name(element)
        {
            centre(element);
        } else if state && element.has_class("node") {
            let texts = texts(element);
            for label in element
                .elements_mut()
                .filter(|child| child.has_class("label"))
            {
                if texts == 1 {
                    centre(label);
                }
            }
        }
    });
}

/// The name of an entity.
fn is_name(element: &Element) -> bool {
    element.has_class("label") && element.has_class("name")
}

fn texts(element: &Element) -> usize {
    let mut texts = 0;
    element.walk(&mut |part| texts += usize::from(part.name == "text"));
    texts
}

/// Moves a label onto the middle of its place, with its background.
fn centre(label: &mut Element) {
    label.walk_mut(&mut |part| match part.name.as_str() {
        "g" => {
            if let Some(y) = part.get("transform").and_then(height) {
                part.set("transform", format!("translate(0,{})", round(y)));
            }
        }
        "text" => part.set("text-anchor", "middle"),
        "tspan" => {
            part.remove("text-anchor");
        }
        "rect" => {
            if let Some(width) = part
                .get("width")
                .and_then(|width| width.parse::<f64>().ok())
            {
                part.set("x", round(-width / 2.0));
            }
        }
        _ => {}
    });
}

/// The `y` of `translate(x, y)`.
fn height(transform: &str) -> Option<f64> {
    let inner = transform.strip_prefix("translate(")?.strip_suffix(')')?;
    inner
        .split([',', ' '])
        .rfind(|part| !part.is_empty())?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::super::xml;
    use super::*;

    #[test]
    fn a_label_and_its_background_are_centred() {
        let mut root = xml::parse(
            "<svg xmlns=\"http://www.w3.org/2000/svg\"><g class=\"edgeLabel\" transform=\"translate(74, 192)\"><g class=\"label\" transform=\"translate(-7.68, -11.5)\"><rect x=\"-2\" width=\"16\"/><text><tspan text-anchor=\"start\">is</tspan></text></g></g></svg>",
        )
        .unwrap();
        labels(&mut root);
        let mut out = String::new();
        xml::write(&mut out, &root);
        assert_eq!(
            out,
            "<svg><g class=\"edgeLabel\" transform=\"translate(74, 192)\"><g class=\"label\" transform=\"translate(0,-11.5)\"><rect x=\"-8\" width=\"16\"/><text text-anchor=\"middle\"><tspan>is</tspan></text></g></g></svg>"
        );
    }
}
