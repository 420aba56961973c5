//! Reads a matcher from what the author wrote; at check time with templates still in it, at run time without.
//!
//! All errors of one matcher are found in one pass. Judges nothing.

use regex::{Regex, RegexBuilder};
use semver::VersionReq;
use serde_json::Value;

use super::field::scalar;
use super::range::AddressRange;
use crate::node::{Entry, Kind, Node};
use crate::source::Span;
use crate::suggest::nearest;
use crate::template::has_template;
use crate::value::{Quantity, Unit, quantity};

/// What is wrong with a matcher, an expectation or a capture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct MatcherError {
    /// Where.
    pub span: Span,
    /// A lowercase fragment, the user's values in backticks.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl MatcherError {
    pub(crate) fn new(span: Span, message: impl Into<String>) -> Self {
        Self {
            span,
            message: message.into(),
            hint: None,
        }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// The names of the matchers.
pub const NAMES: &[&str] = &[
    "equals", "contains", "matches", "one-of", "at-least", "at-most", "between", "version",
    "in-range", "age", "count", "empty", "exists", "every", "any", "not",
];

/// How deep matchers may nest, so that no book can exhaust the stack.
const DEPTH_MAX: usize = 32;

/// How large a compiled regular expression may get, in bytes.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// A matcher.
#[derive(Debug, Clone)]
pub(crate) enum Matcher {
    /// Several in one map.
    All(Vec<Matcher>),
    /// A plain value, `equals`.
    Equals(Node),
    Contains(Vec<Node>),
    Matches(Vec<Pattern>),
    OneOf(Vec<Matcher>),
    AtLeast(Quantity),
    AtMost(Quantity),
    Between(Quantity, Quantity),
    Version(VersionReq, String),
    InRange(Vec<AddressRange>),
    Age(Box<Matcher>),
    Count(Box<Matcher>),
    Empty(bool),
    Exists(bool),
    Every(Box<Matcher>),
    Any(Box<Matcher>),
    Not(Vec<Matcher>),
    /// A template stands where a value will; only at check time.
    Later,
}

/// A regular expression with its source.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    pub(crate) text: String,
    pub(crate) regex: Regex,
}

/// Reads a matcher whose templates were rendered.
pub(crate) fn parse(node: &Node) -> Result<Matcher, Vec<MatcherError>> {
    read(node, false)
}

/// Everything that is wrong with a matcher as written; values that are templates are taken to be right.
pub fn validate(matcher: &Node) -> Vec<MatcherError> {
    read(matcher, true).err().unwrap_or_default()
}

fn read(node: &Node, templated: bool) -> Result<Matcher, Vec<MatcherError>> {
    let mut reader = Reader {
        errors: Vec::new(),
        templated,
    };
    let matcher = reader.matcher(node, 0);
    if reader.errors.is_empty() {
        Ok(matcher)
    } else {
        Err(reader.errors)
    }
}

struct Reader {
    errors: Vec<MatcherError>,
    templated: bool,
}

impl Reader {
    fn error(&mut self, error: MatcherError) -> Matcher {
        self.errors.push(error);
        Matcher::Later
    }

    /// Whether a value will only be known when the step runs.
    fn is_later(&self, node: &Node) -> bool {
        self.templated && node.as_text().is_some_and(has_template)
    }

    fn matcher(&mut self, node: &Node, depth: usize) -> Matcher {
        if depth > DEPTH_MAX {
            return self.error(MatcherError::new(
                node.span,
                format!("matchers nest deeper than {DEPTH_MAX}"),
            ));
        }
        let entries = match &node.kind {
            Kind::Map(entries) => entries.clone(),
            Kind::Value(Value::Object(map)) => map
                .iter()
                .map(|(key, value)| Entry {
                    key: key.clone(),
                    key_span: node.span,
                    value: typed(node.span, value),
                })
                .collect(),
            _ if self.is_later(node) => return Matcher::Later,
            _ => return Matcher::Equals(node.clone()),
        };
        if entries.is_empty() {
            return self.error(
                MatcherError::new(node.span, "a matcher is empty")
                    .hint("an empty map as a value is `equals: {}`"),
            );
        }
        let mut matchers: Vec<Matcher> = entries
            .iter()
            .map(|entry| self.named(entry, depth))
            .collect();
        if matchers.len() == 1 {
            matchers.remove(0)
        } else {
            Matcher::All(matchers)
        }
    }

    fn named(&mut self, entry: &Entry, depth: usize) -> Matcher {
        let value = &entry.value;
        match entry.key.as_str() {
            "equals" if self.is_later(value) => Matcher::Later,
            "equals" => Matcher::Equals(value.clone()),
            "contains" => Matcher::Contains(self.items(value)),
            "matches" => Matcher::Matches(self.patterns(value)),
            "one-of" => Matcher::OneOf(self.matchers(value, depth)),
            "not" => Matcher::Not(self.matchers(value, depth)),
            "at-least" => self
                .quantity(value)
                .map_or(Matcher::Later, Matcher::AtLeast),
            "at-most" => self.quantity(value).map_or(Matcher::Later, Matcher::AtMost),
            "between" => self.between(value),
            "version" => self.version(value),
            "in-range" => Matcher::InRange(self.ranges(value)),
            "age" => Matcher::Age(Box::new(self.matcher(value, depth + 1))),
            "count" => Matcher::Count(Box::new(self.matcher(value, depth + 1))),
            "every" => Matcher::Every(Box::new(self.matcher(value, depth + 1))),
            "any" => Matcher::Any(Box::new(self.matcher(value, depth + 1))),
            "empty" => self.bool(value).map_or(Matcher::Later, Matcher::Empty),
            "exists" => self.bool(value).map_or(Matcher::Later, Matcher::Exists),
            unknown => {
                let error =
                    MatcherError::new(entry.key_span, format!("unknown matcher `{unknown}`"));
                let hint = match nearest(unknown, NAMES.iter().copied()) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!(
                        "the matchers are {}; a map as a value is `equals: {{…}}`",
                        NAMES.join(", ")
                    ),
                };
                self.error(error.hint(hint))
            }
        }
    }

    /// A list of any; one value stands for a list of one, nothing for none.
    fn items(&mut self, node: &Node) -> Vec<Node> {
        let items = list(node);
        if items.is_empty() {
            self.error(MatcherError::new(
                node.span,
                "a list is empty, which would match everything",
            ));
        }
        items
    }

    fn matchers(&mut self, node: &Node, depth: usize) -> Vec<Matcher> {
        if self.is_later(node) {
            return vec![Matcher::Later];
        }
        self.items(node)
            .iter()
            .map(|item| self.matcher(item, depth + 1))
            .collect()
    }

    fn patterns(&mut self, node: &Node) -> Vec<Pattern> {
        let items = self.items(node);
        items.iter().filter_map(|item| self.pattern(item)).collect()
    }

    fn pattern(&mut self, node: &Node) -> Option<Pattern> {
        if self.is_later(node) {
            return None;
        }
        let Some(text) = scalar(node) else {
            self.error(MatcherError::new(
                node.span,
                "a regular expression is a text",
            ));
            return None;
        };
        match regex(&text) {
            Ok(regex) => Some(Pattern { text, regex }),
            Err(error) => {
                self.error(
                    MatcherError::new(node.span, error).hint(
                        "write it in single quotes, a `\\` before signs that mean themselves",
                    ),
                );
                None
            }
        }
    }

    fn quantity(&mut self, node: &Node) -> Option<Quantity> {
        if self.is_later(node) {
            return None;
        }
        let found = scalar(node)
            .ok_or_else(|| "a bound is one value".to_owned())
            .and_then(|text| {
                quantity(&text).map_err(|error| match crate::value::size(&text) {
                    // Tells what `8G` may mean.
                    Err(size) if size.contains("two sizes") => size,
                    _ => error,
                })
            });
        match found {
            Ok(quantity) => Some(quantity),
            Err(error) => {
                self.error(
                    MatcherError::new(node.span, error).hint("write `3`, `8GiB`, `90s` or `80%`"),
                );
                None
            }
        }
    }

    fn between(&mut self, node: &Node) -> Matcher {
        if self.is_later(node) {
            return Matcher::Later;
        }
        let items = list(node);
        let [low, high] = &items[..] else {
            return self.error(
                MatcherError::new(node.span, "`between` takes two bounds")
                    .hint("write `between: [low, high]`"),
            );
        };
        let (Some(mut low), Some(mut high)) = (self.quantity(low), self.quantity(high)) else {
            return Matcher::Later;
        };
        // A bare bound is in the other's unit: `[0, 8GiB]`.
        match (low.unit, high.unit) {
            (Unit::Number, unit) => low.unit = unit,
            (unit, Unit::Number) => high.unit = unit,
            _ => {}
        }
        if low.unit != high.unit {
            return self.error(MatcherError::new(
                node.span,
                format!("`{low}` and `{high}` have different units"),
            ));
        }
        if low.value > high.value {
            return self.error(
                MatcherError::new(node.span, format!("`{low}` is more than `{high}`"))
                    .hint("the lower bound comes first"),
            );
        }
        Matcher::Between(low, high)
    }

    fn version(&mut self, node: &Node) -> Matcher {
        if self.is_later(node) {
            return Matcher::Later;
        }
        let Some(text) = scalar(node) else {
            return self.error(MatcherError::new(
                node.span,
                "a range of versions is a text",
            ));
        };
        match VersionReq::parse(&text) {
            Ok(range) => Matcher::Version(range, text),
            Err(error) => self.error(
                MatcherError::new(
                    node.span,
                    format!("`{text}` is not a range of versions: {error}"),
                )
                .hint("write `>=2.6`, `~1.2.3` or `>=1.2, <2`"),
            ),
        }
    }

    fn ranges(&mut self, node: &Node) -> Vec<AddressRange> {
        let mut ranges = Vec::new();
        for item in self.items(node) {
            if self.is_later(&item) {
                continue;
            }
            match AddressRange::parse(&scalar(&item).unwrap_or_default()) {
                Ok(range) => ranges.push(range),
                Err(error) => {
                    self.error(MatcherError::new(item.span, error));
                }
            }
        }
        ranges
    }

    fn bool(&mut self, node: &Node) -> Option<bool> {
        if self.is_later(node) {
            return None;
        }
        match scalar(node).as_deref() {
            Some("true") => Some(true),
            Some("false") => Some(false),
            _ => {
                self.error(MatcherError::new(node.span, "expected `true` or `false`"));
                None
            }
        }
    }
}

/// A regular expression of ours: `^` and `$` at line ends.
pub(crate) fn regex(text: &str) -> Result<Regex, String> {
    RegexBuilder::new(text)
        .multi_line(true)
        .crlf(true)
        .size_limit(REGEX_BYTES_MAX)
        .build()
        .map_err(|error| match error {
            regex::Error::Syntax(report) => {
                let reason = report
                    .lines()
                    .last()
                    .unwrap_or_default()
                    .trim_start_matches("error: ")
                    .to_owned();
                format!("`{text}` is not a regular expression: {reason}")
            }
            other => format!("`{text}` is not a regular expression: {other}"),
        })
}

/// The items of a list; one value stands for a list of one.
pub(crate) fn list(node: &Node) -> Vec<Node> {
    match &node.kind {
        Kind::List(items) => items.clone(),
        Kind::Value(Value::Array(items)) => {
            items.iter().map(|item| typed(node.span, item)).collect()
        }
        _ => vec![node.clone()],
    }
}

pub(crate) fn typed(span: Span, value: &Value) -> Node {
    Node {
        span,
        kind: Kind::Value(value.clone()),
    }
}
