//! The rules of a drawing: only those that something in it meets, only declarations that cannot reach outside.
//!
//! merman writes every rule that a diagram of its kind may need, three quarters of a small drawing's size.

use std::collections::BTreeSet;

use super::paint::{Owner, Paint};
use super::xml::Element;

/// What is in a drawing, for rules to meet.
#[derive(Debug, Default)]
pub(super) struct Present<'a> {
    names: BTreeSet<&'a str>,
    classes: BTreeSet<&'a str>,
    ids: BTreeSet<&'a str>,
}

impl<'a> Present<'a> {
    pub(super) fn of(root: &'a Element) -> Self {
        let mut present = Self::default();
        root.walk(&mut |element| {
            // Every selector begins with the root's id: its name is not met again.
            if !std::ptr::eq(element, root) {
                present.names.insert(&element.name);
            }
            present.classes.extend(element.classes());
            present.ids.extend(element.get("id"));
        });
        present
    }

    /// Whether the drawing has something for every part of a selector. Sure to keep what is met; may keep a little more.
    fn meets(&self, selector: &str) -> bool {
        selector
            .split(|c: char| c.is_whitespace() || matches!(c, '>' | '+' | '~'))
            .filter(|part| !part.is_empty())
            .all(|part| self.meets_compound(part))
    }

    fn meets_compound(&self, compound: &str) -> bool {
        let mut rest = compound;
        while !rest.is_empty() {
            let (kind, body) = match rest.as_bytes()[0] {
                kind @ (b'.' | b'#' | b':' | b'[') => (kind, &rest[1..]),
                _ => (b' ', rest),
            };
            let end = match kind {
                b'[' => body.find(']').map_or(body.len(), |end| end + 1),
                b':' => part_end(body, true),
                _ => part_end(body, false),
            };
            let (part, after) = body.split_at(end);
            let met = match kind {
                b'.' => self.classes.contains(part),
                b'#' => self.ids.contains(part),
                b'[' => part
                    .strip_prefix("id$=\"")
                    .and_then(|suffix| suffix.strip_suffix("\"]"))
                    .is_some_and(|suffix| self.ids.iter().any(|id| id.ends_with(suffix))),
                b':' => part != "root",
                _ => part == "*" || self.names.contains(part),
            };
            if !met {
                return false;
            }
            rest = after;
        }
        true
    }
}

fn part_end(text: &str, with_arguments: bool) -> usize {
    let mut depth = 0usize;
    for (at, c) in text.char_indices() {
        match c {
            '(' if with_arguments => depth += 1,
            ')' if with_arguments => depth = depth.saturating_sub(1),
            '.' | '#' | ':' | '[' if depth == 0 => return at,
            _ => {}
        }
    }
    text.len()
}

/// The classes that a list of rules names.
pub(super) fn classes_in(rules: &str) -> BTreeSet<&str> {
    let mut classes = BTreeSet::new();
    for (selectors, _) in flat_rules(rules) {
        for part in selectors.split('.').skip(1) {
            let end = part
                .find(|c: char| !(c.is_alphanumeric() || matches!(c, '-' | '_')))
                .unwrap_or(part.len());
            classes.insert(&part[..end]);
        }
    }
    classes
}

/// The rules that are met, cleaned and painted.
pub(super) fn pruned(rules: &str, present: &Present<'_>, paint: &mut Paint) -> String {
    let mut out = String::with_capacity(rules.len() / 4);
    for (selectors, body) in flat_rules(rules) {
        let met: Vec<&str> = selectors
            .split(',')
            .map(str::trim)
            .filter(|selector| is_plain(selector) && present.meets(selector))
            .collect();
        if met.is_empty() {
            continue;
        }
        let body = declarations(body, paint, Owner::Theme);
        if body.is_empty() {
            continue;
        }
        out.push_str(&met.join(","));
        out.push('{');
        out.push_str(&body);
        out.push('}');
    }
    out
}

/// A selector of merman's own making: bound to the drawing's root, of names that no sanitizer need look at.
fn is_plain(selector: &str) -> bool {
    selector.starts_with('#')
        && selector
            .chars()
            .all(|c| c.is_alphanumeric() || " .#:-_[]$=\"()*>+~".contains(c))
}

/// Rules outside of `@` rules: nothing moves here, and nothing is fetched.
fn flat_rules(rules: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut rest = rules;
    while let Some(open) = rest.find('{') {
        let selectors = rest[..open].trim();
        let mut depth = 0usize;
        let end = rest[open..].char_indices().find_map(|(at, c)| {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            (depth == 0).then_some(open + at)
        });
        let Some(end) = end else { break };
        // `@import …;` before a rule would be part of its selectors: such a rule is left out with it.
        if !selectors.starts_with('@') && !selectors.contains(';') {
            found.push((selectors, &rest[open + 1..end]));
        }
        rest = &rest[end + 1..];
    }
    found
}

/// Declarations that draw something here; also those of a `style` attribute.
pub(super) fn declarations(body: &str, paint: &mut Paint, owner: Owner) -> String {
    let mut kept: Vec<(String, String)> = Vec::new();
    for declaration in body.split(';') {
        let Some((name, value)) = declaration.split_once(':') else {
            continue;
        };
        let name = name.trim().to_ascii_lowercase();
        let value = value.trim();
        if !is_drawing(&name) || !is_harmless(value) {
            continue;
        }
        let owner = if value.contains("!important") {
            Owner::Author
        } else {
            owner
        };
        let value = paint.value(value, owner);
        // The last of several wins, so it takes the place of the others.
        kept.retain(|(known, _)| *known != name);
        kept.push((name, value));
    }
    let mut out = String::new();
    for (name, value) in &kept {
        if !out.is_empty() {
            out.push(';');
        }
        out.push_str(name);
        out.push(':');
        out.push_str(value);
    }
    out
}

fn is_drawing(name: &str) -> bool {
    matches!(
        name,
        "fill"
            | "fill-opacity"
            | "stroke"
            | "stroke-width"
            | "stroke-dasharray"
            | "stroke-dashoffset"
            | "stroke-linecap"
            | "stroke-linejoin"
            | "stroke-opacity"
            | "opacity"
            | "color"
            | "font"
            | "font-family"
            | "font-size"
            | "font-style"
            | "font-weight"
            | "text-anchor"
            | "text-decoration"
            | "dominant-baseline"
            | "rx"
            | "ry"
            | "visibility"
            | "display"
            | "white-space"
    )
}

/// Whether a value cannot fetch, run or close anything.
fn is_harmless(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    !value.is_empty()
        && !value.contains(['\\', '<', '>', '{', '}', '@', '&'])
        && !value.contains("/*")
        && !lower.contains("expression")
        && !lower.contains("image")
        && !lower.contains("javascript")
        && lower
            .match_indices("url(")
            .all(|(at, _)| is_local_url(&lower[at..]))
}

/// Whether a value that begins with `url(` stays in the drawing.
pub(super) fn is_local_url(value: &str) -> bool {
    value
        .strip_prefix("url(")
        .is_some_and(|inner| inner.trim_start_matches(['"', '\'']).starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::super::xml;
    use super::*;

    fn check(rules: &str, expect: &str) {
        let root = xml::parse(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" id=\"x\"><marker id=\"x-barbEnd\"/><g class=\"node a\"><rect/></g></svg>",
        )
        .unwrap();
        let mut paint = Paint::default();
        assert_eq!(pruned(rules, &Present::of(&root), &mut paint), expect);
    }

    #[test]
    fn only_rules_that_are_met_stay() {
        check("#x .node rect{rx:5px;}", "#x .node rect{rx:5px}");
        check("#x .node circle{rx:5px;}#x .b{opacity:1}", "");
        check("#x .b,#x .node.a{opacity:1}", "#x .node.a{opacity:1}");
        check(
            "#x [id$=\"-barbEnd\"]{opacity:1}#x [id$=\"-other\"]{opacity:1}",
            "#x [id$=\"-barbEnd\"]{opacity:1}",
        );
        check(
            "#x [data-look=\"neo\"].node rect{opacity:1}#x :root{opacity:1}",
            "",
        );
        check(
            "@keyframes k{from{opacity:0}}#x rect{opacity:1}",
            "#x rect{opacity:1}",
        );
    }

    #[test]
    fn nothing_reaches_outside() {
        check("@import url(http://e.example);#x rect{opacity:1}", "");
        check(
            "#x rect{fill:url(http://e.example/a);opacity:1}",
            "#x rect{opacity:1}",
        );
        check("#x rect{fill:u\\72l(http://e.example/a)}", "");
        check("#x rect{fill:url(#g)}", "#x rect{fill:url(#g)}");
        check("#x rect{background:red;position:fixed;behavior:url(x)}", "");
        check("rect{opacity:1}body{display:none}", "");
        check("#x rect{opacity:1", "");
    }
}
