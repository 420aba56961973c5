//! Which names an expression uses, where, and how: what is checked before anything runs.
//!
//! A path is followed as far as it is written out (`steps.gpu.pci`, `inventory.nodes["pve1"][0]`); names of list
//! comprehensions, keywords, filters, tests and the names of their arguments are no paths. Evaluates nothing.

use std::ops::Range;

use super::token::{self, Kind, Token};

/// A name that an expression uses, with what follows it: `steps.gpu_address.pci`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// The first is the root's name.
    pub segments: Vec<Segment>,
    /// Where it stands in the expression.
    pub range: Range<usize>,
    /// Whether the expression says itself what to do without it: `| default(…)`, `is defined`, `?.`.
    pub optional: bool,
    /// Whether it follows a `-` without a blank, so that the whole may be a name with `-` (`steps.gpu-address`).
    pub after_hyphen: bool,
}

/// A part of a [`Path`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// What it is.
    pub kind: SegmentKind,
    /// Where it stands in the expression: the name, or the index with its brackets.
    pub range: Range<usize>,
}

/// What a part of a path is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SegmentKind {
    /// `.name`: `_` may stand for `-`.
    Name(String),
    /// `["name"]`: exactly this key.
    Key(String),
    /// `[0]`.
    Index(i64),
    /// `[other]`, a slice: known only when it is evaluated.
    Dynamic,
}

impl Path {
    /// The root's name.
    pub fn root(&self) -> &str {
        self.segments
            .first()
            .and_then(Segment::name)
            .unwrap_or_default()
    }

    /// The path as people write it, without what is known only when it is evaluated.
    pub fn text(&self) -> String {
        path_text(&self.segments)
    }

    /// Whether every part is written out.
    pub fn is_static(&self) -> bool {
        self.segments
            .iter()
            .all(|segment| segment.kind != SegmentKind::Dynamic)
    }

    /// Whether it leads to a value that a step captured, or may: everything under `steps` but `state`, `changed`, `duration`.
    pub fn is_capture(&self) -> bool {
        self.root() == "steps"
            && !matches!(&self.segments[..], [_, step, field] if step.name().is_some()
                && matches!(field.name(), Some("state" | "changed" | "duration")))
    }
}

impl Segment {
    /// The key it names, `_` as written; `None` for an index and for what is known only later.
    pub fn name(&self) -> Option<&str> {
        match &self.kind {
            SegmentKind::Name(name) | SegmentKind::Key(name) => Some(name),
            SegmentKind::Index(_) | SegmentKind::Dynamic => None,
        }
    }
}

pub(super) fn path_text(segments: &[Segment]) -> String {
    let mut text = String::new();
    for segment in segments {
        match &segment.kind {
            SegmentKind::Name(name) if text.is_empty() => text.push_str(name),
            SegmentKind::Name(name) => text.push_str(&format!(".{name}")),
            SegmentKind::Key(key) => text.push_str(&format!("[{key:?}]")),
            SegmentKind::Index(index) => text.push_str(&format!("[{index}]")),
            SegmentKind::Dynamic => text.push_str("[…]"),
        }
    }
    text
}

/// Every path that an expression (the text between the braces) uses, in order.
pub fn names(expression: &str) -> Vec<Path> {
    scan(&token::tokens(expression)).paths
}

/// What [`scan`] finds.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// The names from outside.
    pub(super) paths: Vec<Path>,
    /// The names of list comprehensions, where they are used.
    pub(super) locals: Vec<Path>,
    /// Filters.
    pub(super) filters: Vec<(String, Range<usize>)>,
    /// Tests after `is`.
    pub(super) tests: Vec<(String, Range<usize>)>,
    /// Functions.
    pub(super) functions: Vec<(String, Range<usize>)>,
}

impl Scan {
    /// The names from outside, then those of list comprehensions.
    pub(super) fn all(&self) -> impl Iterator<Item = &Path> {
        self.paths.iter().chain(&self.locals)
    }
}

/// Words that are values, or stand before one.
const CONSTANTS: &[&str] = &[
    "not", "true", "True", "false", "False", "none", "None", "null",
];

/// Words that stand after a value.
const OPERATORS: &[&str] = &["and", "or", "is", "in", "if", "else", "for"];

/// A list comprehension: where its names are known, and which they are.
struct Comprehension {
    inside: Range<usize>,
    target: Range<usize>,
    names: Vec<String>,
}

/// Finds everything that an expression names; nothing where brackets nest too deep, which its check refuses.
pub(super) fn scan(tokens: &[Token]) -> Scan {
    if token::too_deep(tokens).is_some() {
        return Scan::default();
    }
    let comprehensions = comprehensions(tokens);
    let mut found = Scan::default();
    scan_range(tokens, 0..tokens.len(), &comprehensions, &mut found);
    found
}

fn scan_range(tokens: &[Token], range: Range<usize>, scopes: &[Comprehension], found: &mut Scan) {
    let mut index = range.start;
    while index < range.end {
        let Some(name) = tokens[index].name() else {
            index += 1;
            continue;
        };
        let before = index.checked_sub(1).map(|before| &tokens[before]);
        let after = tokens.get(index + 1);
        let place = tokens[index].range.clone();
        let declared = scopes
            .iter()
            .any(|scope| is_declaration(tokens, scope, index));
        if before.is_some_and(|token| token.is("|")) {
            found.filters.push((name.to_owned(), place));
        } else if is_test(tokens, index) {
            found.tests.push((name.to_owned(), place));
        } else if is_keyword(tokens, index) || declared || is_argument(tokens, index) {
        } else if before.is_some_and(|token| token.is(".") || token.is("?.")) {
            // What follows a bracket, a call or another chain that is no path of names.
        } else if after.is_some_and(|token| token.is("(")) {
            found.functions.push((name.to_owned(), place));
        } else {
            let (path, next) = path(tokens, index, scopes, found);
            let knows = |scope: &Comprehension| {
                scope.inside.contains(&index)
                    && !scope.target.contains(&index)
                    && scope.names.iter().any(|name| name == path.root())
            };
            let local = scopes.iter().any(knows);
            if local {
                found.locals.push(path)
            } else {
                found.paths.push(path)
            }
            index = next;
            continue;
        }
        index += 1;
    }
}

/// Tera takes `if` where a value is expected for a name (`{{ if .X }}` of other programs), so it is one here too.
fn is_keyword(tokens: &[Token], index: usize) -> bool {
    let name = tokens[index].name().unwrap_or_default();
    if CONSTANTS.contains(&name) {
        return true;
    }
    let before = index.checked_sub(1).map(|before| &tokens[before]);
    let after_value = before.is_some_and(|token| match &token.kind {
        Kind::Name(before) => !OPERATORS.contains(&before.as_str()) && before != "not",
        Kind::Text(_) | Kind::Int(_) | Kind::Float => true,
        Kind::Sign(sign) => matches!(*sign, ")" | "]" | "}"),
        Kind::OpenText(_) | Kind::Unknown(_) => false,
    });
    OPERATORS.contains(&name)
        && (after_value || (name == "in" && before.is_some_and(|token| token.is_name("not"))))
}

fn is_test(tokens: &[Token], index: usize) -> bool {
    match index.checked_sub(1).map(|before| &tokens[before]) {
        Some(token) if token.is_name("is") => !tokens[index].is_name("not"),
        Some(token) if token.is_name("not") => index >= 2 && tokens[index - 2].is_name("is"),
        _ => false,
    }
}

/// `name=` inside a call's brackets.
fn is_argument(tokens: &[Token], index: usize) -> bool {
    tokens.get(index + 1).is_some_and(|token| token.is("="))
        && index > 0
        && (tokens[index - 1].is("(") || tokens[index - 1].is(","))
}

fn is_declaration(tokens: &[Token], scope: &Comprehension, index: usize) -> bool {
    // Between `for` and `in`.
    let Some(name) = tokens[index].name() else {
        return false;
    };
    scope.names.iter().any(|own| own == name)
        && scope.inside.contains(&index)
        && index < scope.target.start
        && index > 0
        && (tokens[index - 1].is_name("for")
            || (tokens[index - 1].is(",") && index >= 3 && tokens[index - 3].is_name("for")))
}

/// Follows a chain from its first name; returns the path and the index after it.
fn path(
    tokens: &[Token],
    start: usize,
    scopes: &[Comprehension],
    found: &mut Scan,
) -> (Path, usize) {
    let name = |index: usize| tokens[index].name().unwrap_or_default().to_owned();
    let mut segments = vec![Segment {
        kind: SegmentKind::Name(name(start)),
        range: tokens[start].range.clone(),
    }];
    let mut optional = false;
    let mut index = start + 1;
    while let Some(token) = tokens.get(index) {
        let following = tokens.get(index + 1);
        if (token.is(".") || token.is("?.")) && following.and_then(Token::name).is_some() {
            optional |= token.is("?.");
            segments.push(Segment {
                kind: SegmentKind::Name(name(index + 1)),
                range: tokens[index + 1].range.clone(),
            });
            index += 2;
        } else if token.is("[") || token.is("?[") {
            let Some(close) = token::closing(tokens, index) else {
                break;
            };
            optional |= token.is("?[");
            let kind = match &tokens[index + 1..close] {
                [
                    Token {
                        kind: Kind::Text(key),
                        ..
                    },
                ] => SegmentKind::Key(key.clone()),
                [
                    Token {
                        kind: Kind::Int(number),
                        ..
                    },
                ] => SegmentKind::Index(*number),
                [
                    minus,
                    Token {
                        kind: Kind::Int(number),
                        ..
                    },
                ] if minus.is("-") => SegmentKind::Index(-number),
                _ => {
                    scan_range(tokens, index + 1..close, scopes, found);
                    SegmentKind::Dynamic
                }
            };
            segments.push(Segment {
                kind,
                range: token.range.start..tokens[close].range.end,
            });
            index = close + 1;
        } else {
            break;
        }
    }
    let end = segments
        .last()
        .map_or(tokens[start].range.end, |segment| segment.range.end);
    let hyphen = start >= 2
        && tokens[start - 1].is("-")
        && tokens[start - 1].range.end == tokens[start].range.start
        && tokens[start - 2].range.end == tokens[start - 1].range.start
        && tokens[start - 2].name().is_some();
    let path = Path {
        range: tokens[start].range.start..end,
        segments,
        optional: optional || says_default(&tokens[index..]),
        after_hyphen: hyphen,
    };
    (path, index)
}

fn says_default(after: &[Token]) -> bool {
    match after {
        [pipe, filter, ..] if pipe.is("|") => filter.is_name("default"),
        [is, not, test, ..] if is.is_name("is") && not.is_name("not") => is_defined(test),
        [is, test, ..] if is.is_name("is") => is_defined(test),
        _ => false,
    }
}

fn is_defined(test: &Token) -> bool {
    test.is_name("defined") || test.is_name("undefined")
}

/// Finds `[ELEMENT for NAME[, NAME] in TARGET if CONDITION]`.
fn comprehensions(tokens: &[Token]) -> Vec<Comprehension> {
    let mut found = Vec::new();
    for (open, token) in tokens.iter().enumerate() {
        if !token.is("[") {
            continue;
        }
        let Some(close) = token::closing(tokens, open) else {
            continue;
        };
        let Some(keyword) = at_depth(tokens, open + 1..close, "for") else {
            continue;
        };
        let Some(within) = at_depth(tokens, keyword + 1..close, "in") else {
            continue;
        };
        let names = tokens[keyword + 1..within]
            .iter()
            .filter_map(Token::name)
            .map(str::to_owned)
            .collect();
        let end = at_depth(tokens, within + 1..close, "if").unwrap_or(close);
        found.push(Comprehension {
            inside: open + 1..close,
            target: within + 1..end,
            names,
        });
    }
    found
}

/// The index of a keyword in a range, outside any brackets in it.
fn at_depth(tokens: &[Token], range: Range<usize>, keyword: &str) -> Option<usize> {
    let mut index = range.start;
    while index < range.end {
        let token = &tokens[index];
        if token.is_name(keyword) {
            return Some(index);
        }
        if matches!(token.kind, Kind::Sign("(" | "[" | "{" | "?[")) {
            index = token::closing(tokens, index)?;
        }
        index += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(expression: &str) -> Vec<String> {
        names(expression).iter().map(Path::text).collect()
    }

    #[test]
    fn paths_are_found_and_everything_else_is_not() {
        for (expression, paths) in [
            (" vars.pool ", vec!["vars.pool"]),
            ("a if b.c else d", vec!["a", "b.c", "d"]),
            (
                "x.y | default(value=z.w) | join(sep=', ')",
                vec!["x.y", "z.w"],
            ),
            (
                "steps[\"a#b/c\"].ip ~ 'vars.x'",
                vec!["steps[\"a#b/c\"].ip"],
            ),
            ("l[0].n[-1]", vec!["l[0].n[-1]"]),
            ("m[vars.key].n", vec!["vars.key", "m[…].n"]),
            (
                "[n.address for n in inventory.nodes | values]",
                vec!["inventory.nodes"],
            ),
            (
                "[k ~ v.x ~ vars.y for k, v in vars.m if v.on and vars.z]",
                vec!["vars.y", "vars.m", "vars.z"],
            ),
            (
                "n + 1 if n is not odd else [n for n in n][0]",
                vec!["n", "n", "n"],
            ),
            ("not a and b in c or true", vec!["a", "b", "c"]),
            ("{'k': vars.a}", vec!["vars.a"]),
            ("range(end=vars.n)", vec!["vars.n"]),
            ("if .X", vec!["if.X"]),
            ("else", vec!["else"]),
            ("a not in b and c is not none", vec!["a", "b", "c"]),
        ] {
            assert_eq!(texts(expression), paths, "{expression}");
        }
    }

    #[test]
    fn a_path_knows_its_place_and_whether_it_may_be_missing() {
        let found = names(" a.b | default(value=1) + c.d");
        assert_eq!((found[0].range.clone(), found[0].optional), (1..4, true));
        assert_eq!((found[1].range.clone(), found[1].optional), (26..29, false));
        assert!(names("a.b is defined")[0].optional);
        assert!(names("a.b is not defined")[0].optional);
        assert!(names("a?.b")[0].optional);
    }

    #[test]
    fn names_with_a_hyphen_are_noticed() {
        let found = names("steps.gpu-address.pci");
        assert!(found[1].after_hyphen, "{found:?}");
        assert!(!names("a - b")[1].after_hyphen);
    }

    #[test]
    fn captures_are_what_steps_give_beside_their_outcome() {
        for (expression, capture) in [
            ("steps.a.ip", true),
            ("steps.a.state", false),
            ("steps[\"s/a\"].changed", false),
            ("steps.a.state.x", true),
            ("steps[vars.x].state", true),
            ("steps", true),
            ("steps.a", true),
            ("vars.a", false),
        ] {
            assert_eq!(
                names(expression).last().unwrap().is_capture(),
                capture,
                "{expression}"
            );
        }
    }
}
