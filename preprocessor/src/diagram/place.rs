//! Where the corner of a node's outline is, so that a sign can sit on it.
//!
//! Knows outlines by their end points; the bulge of a curve is not worth its mathematics here.

use super::xml::Element;

/// How far inside of the corner the sign's middle is: the sign must not leave the drawing at its edge.
const INSET: f64 = 3.0;

/// Whether an element draws an outline.
pub(super) fn is_shape(element: &Element) -> bool {
    matches!(
        element.name.as_str(),
        "rect" | "circle" | "ellipse" | "polygon" | "path"
    )
}

/// The upper right of the first outline in a node, in the node's own coordinates.
pub(super) fn corner(node: &Element) -> Option<(f64, f64)> {
    let (shape, dx, dy) = outline(node, 0.0, 0.0)?;
    let points = points(shape);
    let best = points
        .iter()
        .map(|(x, y)| x - y)
        .fold(f64::NEG_INFINITY, f64::max);
    // Of a diamond two corners are as good: the middle of its edge.
    let far: Vec<_> = points.iter().filter(|(x, y)| x - y > best - 1.0).collect();
    if far.is_empty() || !best.is_finite() {
        return None;
    }
    let count = far.len() as f64;
    let x = far.iter().map(|(x, _)| x).sum::<f64>() / count;
    let y = far.iter().map(|(_, y)| y).sum::<f64>() / count;
    Some((x + dx - INSET, y + dy + INSET))
}

fn outline(element: &Element, dx: f64, dy: f64) -> Option<(&Element, f64, f64)> {
    if is_shape(element) {
        return Some((element, dx, dy));
    }
    element.elements().find_map(|child| {
        if child.has_class("label") || child.has_class("cluster-label") {
            return None;
        }
        let (x, y) = translation(child.get("transform").unwrap_or_default());
        outline(child, dx + x, dy + y)
    })
}

fn translation(transform: &str) -> (f64, f64) {
    let numbers = transform
        .trim()
        .strip_prefix("translate(")
        .and_then(|rest| rest.strip_suffix(')'))
        .map(numbers)
        .unwrap_or_default();
    (
        numbers.first().copied().unwrap_or_default(),
        numbers.get(1).copied().unwrap_or_default(),
    )
}

fn numbers(text: &str) -> Vec<f64> {
    text.split(|c: char| c == ',' || c.is_whitespace())
        .filter_map(|part| part.parse().ok())
        .collect()
}

fn points(shape: &Element) -> Vec<(f64, f64)> {
    let number = |name: &str| {
        shape
            .get(name)
            .and_then(|value| value.parse::<f64>().ok())
            .unwrap_or_default()
    };
    match shape.name.as_str() {
        "rect" => vec![(number("x") + number("width"), number("y"))],
        "circle" | "ellipse" => {
            let (rx, ry) = match shape.name.as_str() {
                "circle" => (number("r"), number("r")),
                _ => (number("rx"), number("ry")),
            };
            let part = std::f64::consts::FRAC_1_SQRT_2;
            vec![(number("cx") + rx * part, number("cy") - ry * part)]
        }
        "polygon" => {
            let numbers = numbers(shape.get("points").unwrap_or_default());
            numbers
                .chunks_exact(2)
                .map(|pair| (pair[0], pair[1]))
                .collect()
        }
        _ => path(shape.get("d").unwrap_or_default()),
    }
}

/// The end points of a path's pieces.
fn path(d: &str) -> Vec<(f64, f64)> {
    let mut points = Vec::new();
    let (mut x, mut y) = (0.0_f64, 0.0_f64);
    let mut start = (0.0, 0.0);
    for (command, arguments) in pieces(d) {
        let relative = command.is_ascii_lowercase();
        let size = match command.to_ascii_uppercase() {
            'M' | 'L' | 'T' => 2,
            'H' | 'V' => 1,
            'S' | 'Q' => 4,
            'C' => 6,
            'A' => 7,
            _ => {
                (x, y) = start;
                continue;
            }
        };
        for piece in arguments.chunks_exact(size) {
            let (from_x, from_y) = if relative { (x, y) } else { (0.0, 0.0) };
            match command.to_ascii_uppercase() {
                'H' => x = from_x + piece[0],
                'V' => y = from_y + piece[0],
                _ => (x, y) = (from_x + piece[size - 2], from_y + piece[size - 1]),
            }
            points.push((x, y));
        }
        if command.eq_ignore_ascii_case(&'M') {
            start = (x, y);
        }
    }
    points
}

fn pieces(d: &str) -> Vec<(char, Vec<f64>)> {
    let mut pieces: Vec<(char, Vec<f64>)> = Vec::new();
    let mut number = String::new();
    let flush = |number: &mut String, pieces: &mut Vec<(char, Vec<f64>)>| {
        if let (Ok(value), Some((_, arguments))) = (number.parse(), pieces.last_mut()) {
            arguments.push(value);
        }
        number.clear();
    };
    for c in d.chars() {
        match c {
            'e' | 'E' => number.push(c),
            c if c.is_ascii_alphabetic() => {
                flush(&mut number, &mut pieces);
                pieces.push((c, Vec::new()));
            }
            '-' | '+' if !number.is_empty() && !number.ends_with(['e', 'E']) => {
                flush(&mut number, &mut pieces);
                number.push(c);
            }
            c if c.is_ascii_digit() || matches!(c, '.' | '-' | '+') => number.push(c),
            _ => flush(&mut number, &mut pieces),
        }
    }
    flush(&mut number, &mut pieces);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(node: Element, expect: (f64, f64)) {
        let (x, y) = corner(&node).unwrap();
        let (x, y) = (x + INSET, y - INSET);
        assert!(
            (x - expect.0).abs() < 0.01 && (y - expect.1).abs() < 0.01,
            "{x} {y}"
        );
    }

    #[test]
    fn the_corner_of_every_outline_is_found() {
        check(
            Element::new("rect")
                .with("x", "-90")
                .with("y", "-24.5")
                .with("width", "180")
                .with("height", "49"),
            (90.0, -24.5),
        );
        check(
            Element::new("circle").with("r", "10").with("cx", "1"),
            (8.07, -7.07),
        );
        let mut node = Element::new("g");
        node.push(
            Element::new("polygon")
                .with("points", "84.5,0 169,-84.5 84.5,-169 0,-84.5")
                .with("transform", "translate(-84,84.5)"),
        );
        check(node, (42.75, -42.25));
        check(
            Element::new("path").with("d", "M0,13 a67.5,13 0,0,0 135,0 a67.5,13 0,0,0 -135,0 l0,47 a67.5,13 0,0,0 135,0 l0,-47"),
            (135.0, 13.0),
        );
        check(
            Element::new("path").with("d", "M-28-39.5L28 -39.5H30V39.5Z"),
            (30.0, -39.5),
        );
        assert!(corner(&Element::new("g")).is_none());
    }
}
