//! The values that templates see, under their roots: `vars`, `inventory`, `steps`, `secret`, `profile` and those of `each`.
//!
//! A scope is cheap to clone (its values are shared), so each step and each item of `each` has its own. Names with `-` are
//! found with `_`; two keys that would be the same name are an error.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;
use tera::Context;

use super::evaluate::{evaluate, is_foreign, known_hint};
use super::names::{Path, SegmentKind, path_text};
use super::rewrite::Alias;
use super::{TEMPLATE_OFF_HINT, TemplateError, expressions, has_template, unclosed};
use crate::node::{Entry, Kind, Node, Scalar};
use crate::source::Span;

/// The values that templates see.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    context: Context,
    roots: Arc<BTreeSet<String>>,
    captured: Arc<BTreeSet<String>>,
}

impl Scope {
    /// A scope without names.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a root's value. A name of `each` may have `-`, which is written with `_`.
    pub fn set(&mut self, root: &str, value: Value) {
        // A JSON value is always a value of Tera's.
        let value =
            tera::Value::try_from_serializable(&value).unwrap_or_else(|_| tera::Value::none());
        let root = root.replace('-', "_");
        if !self.roots.contains(&root) {
            Arc::make_mut(&mut self.roots).insert(root.clone());
        }
        self.context.insert_value(root, value);
    }

    /// The same scope with one more root.
    #[must_use]
    pub fn with(&self, root: &str, value: Value) -> Self {
        let mut scope = self.clone();
        scope.set(root, value);
        scope
    }

    /// The same scope with a root whose value comes from a capture (an item of `each` over one): in a script it is treated
    /// as one.
    #[must_use]
    pub fn with_captured(&self, root: &str, value: Value) -> Self {
        let mut scope = self.with(root, value);
        Arc::make_mut(&mut scope.captured).insert(root.replace('-', "_"));
        scope
    }

    /// Whether a root is known.
    pub fn has(&self, root: &str) -> bool {
        self.context.contains_key(root)
    }

    /// The names of the roots.
    pub fn roots(&self) -> Vec<String> {
        self.roots.iter().cloned().collect()
    }

    /// Whether an expression's path leads to what a step captured.
    pub fn is_capture(&self, path: &Path) -> bool {
        path.is_capture() || self.captured.contains(path.root())
    }

    /// The value a path leads to; `None` where it is not defined or known only when it is evaluated.
    pub fn value(&self, path: &Path) -> Option<Value> {
        self.find(path)
            .ok()
            .flatten()
            .and_then(|value| serde_json::to_value(value).ok())
    }

    /// Whether a path is defined, as far as it is written out.
    ///
    /// # Errors
    ///
    /// That it is not, with the name that was probably meant or those that are known; or that it means two keys.
    pub fn check(&self, path: &Path) -> Result<(), TemplateError> {
        if path.optional && self.has(path.root()) {
            return Ok(());
        }
        match self.find(path)? {
            Some(_) => Ok(()),
            None => Err(self.undefined(path)),
        }
    }

    /// Renders a text; a text that is exactly one template keeps its type.
    ///
    /// # Errors
    ///
    /// What is wrong with a template, at its place in the text.
    pub fn render_text(&self, text: &str) -> Result<Value, TemplateError> {
        let found = expressions(text);
        if let [only] = &found[..]
            && only.range == (0..text.len())
            && only.closed
        {
            return self
                .evaluate(only.source)
                .map_err(|error| error.moved(only.offset));
        }
        let mut rendered = String::with_capacity(text.len());
        let mut at = 0;
        for expression in &found {
            if !expression.closed {
                return Err(unclosed(expression));
            }
            rendered.push_str(&text[at..expression.range.start]);
            let value = self
                .evaluate(expression.source)
                .map_err(|error| error.moved(expression.offset))?;
            let error = |(message, hint): (String, String)| {
                TemplateError::new(expression.range.clone(), message).hint(hint)
            };
            rendered.push_str(&inside_text(&value, expression.source.trim()).map_err(error)?);
            at = expression.range.end;
        }
        rendered.push_str(&text[at..]);
        Ok(Value::String(rendered))
    }

    /// The value of one expression, the text between the braces.
    ///
    /// # Errors
    ///
    /// What is wrong with it, at its place in the expression.
    pub fn evaluate(&self, expression: &str) -> Result<Value, TemplateError> {
        evaluate(expression, self)
    }

    /// Renders every text value of a node; keys stay as they are.
    ///
    /// # Errors
    ///
    /// What is wrong with a template, with the span of its scalar.
    pub fn render(&self, node: &Node) -> Result<Node, (Span, TemplateError)> {
        let kind = match &node.kind {
            Kind::Scalar(scalar) if has_template(&scalar.text) => {
                let value = self
                    .render_text(&scalar.text)
                    .map_err(|error| (node.span, error))?;
                let exact = expressions(&scalar.text)
                    .first()
                    .is_some_and(|only| only.range == (0..scalar.text.len()));
                match value {
                    // Text around a template makes a text, whatever it looks like now.
                    Value::String(text) if !exact => Kind::Scalar(Scalar { text, plain: false }),
                    value => Kind::Value(value),
                }
            }
            Kind::List(items) => Kind::List(
                items
                    .iter()
                    .map(|item| self.render(item))
                    .collect::<Result<_, _>>()?,
            ),
            Kind::Map(entries) => Kind::Map(
                entries
                    .iter()
                    .map(|entry| {
                        let value = self.render(&entry.value)?;
                        Ok(Entry {
                            key: entry.key.clone(),
                            key_span: entry.key_span,
                            value,
                        })
                    })
                    .collect::<Result<_, (Span, TemplateError)>>()?,
            ),
            kind => kind.clone(),
        };
        Ok(Node {
            span: node.span,
            kind,
        })
    }

    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    /// Follows a path as far as it is written out; `Ok(None)` where a name is not defined.
    pub(super) fn find<'a>(
        &'a self,
        path: &'a Path,
    ) -> Result<Option<&'a tera::Value>, TemplateError> {
        let Some(mut value) = self.context.get(path.root()) else {
            return Ok(None);
        };
        for segment in &path.segments[1..] {
            let next = match &segment.kind {
                SegmentKind::Name(name) => attribute(value, name).map_err(|keys| {
                    TemplateError::new(segment.range.clone(), ambiguous(name, keys))
                })?,
                SegmentKind::Key(key) => key_of(value, key),
                SegmentKind::Index(index) => at(value, *index),
                SegmentKind::Dynamic => return Ok(Some(value)),
            };
            let Some(next) = next else { return Ok(None) };
            value = next;
        }
        Ok(Some(value))
    }

    /// How each name of a path is looked up.
    pub(super) fn aliases(&self, path: &Path) -> Result<Vec<Alias>, TemplateError> {
        let mut value = self.context.get(path.root());
        let mut aliases = vec![Alias::Same];
        let mut dynamic = false;
        for segment in &path.segments[1..] {
            let (alias, next) = match &segment.kind {
                SegmentKind::Name(_) if dynamic => (Alias::Unknown, None),
                SegmentKind::Name(name) => match value {
                    Some(map) => {
                        let key = real_key(map, name).map_err(|keys| {
                            TemplateError::new(segment.range.clone(), ambiguous(name, keys))
                        })?;
                        let alias = match key {
                            Some(key) if key != name => Alias::Key(key.to_owned()),
                            _ => Alias::Same,
                        };
                        (alias, key.and_then(|key| key_of(map, key)))
                    }
                    None => (Alias::Same, None),
                },
                SegmentKind::Key(key) => (Alias::Same, value.and_then(|value| key_of(value, key))),
                SegmentKind::Index(index) => {
                    (Alias::Same, value.and_then(|value| at(value, *index)))
                }
                SegmentKind::Dynamic => {
                    dynamic = true;
                    (Alias::Same, None)
                }
            };
            aliases.push(alias);
            value = next;
        }
        Ok(aliases)
    }

    /// The error of a path that is not defined: which part of it, and what is known instead.
    pub(super) fn undefined(&self, path: &Path) -> TemplateError {
        let Some(mut value) = self.context.get(path.root()) else {
            return self.unknown_root(path);
        };
        for (index, segment) in path.segments.iter().enumerate().skip(1) {
            let next = match &segment.kind {
                SegmentKind::Name(name) => attribute(value, name).ok().flatten(),
                SegmentKind::Key(key) => key_of(value, key),
                SegmentKind::Index(index) => at(value, *index),
                SegmentKind::Dynamic => break,
            };
            let Some(next) = next else {
                let range = path.range.start..segment.range.end;
                let text = path_text(&path.segments[..=index]);
                let error = TemplateError::new(range, format!("`{text}` is not defined"));
                let known: Vec<String> = keys(value).map(|key| key.replace('-', "_")).collect();
                return match segment.name().and_then(|name| known_hint(name, &known)) {
                    Some(hint) => error.hint(hint),
                    None => error,
                };
            };
            value = next;
        }
        TemplateError::new(path.range.clone(), format!("`{path}` is not defined"))
    }

    fn unknown_root(&self, path: &Path) -> TemplateError {
        let root = path.root();
        let error = TemplateError::new(
            path.segments[0].range.clone(),
            format!("`{root}` is not defined"),
        );
        if path.after_hyphen {
            return error.hint("write names with `-` with `_`: `steps.gpu_address`");
        }
        match known_hint(root, &self.roots()) {
            _ if is_foreign(root) => error.hint(TEMPLATE_OFF_HINT),
            Some(hint) if hint.starts_with("did") => error.hint(hint),
            Some(hint) => error.hint(format!("{hint}; {TEMPLATE_OFF_HINT}")),
            None => error.hint(TEMPLATE_OFF_HINT),
        }
    }
}

/// What a value amounts to inside a longer text: its text, or the message and the hint why it has none.
pub(crate) fn inside_text(value: &Value, expression: &str) -> Result<String, (String, String)> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(bool) => Ok(bool.to_string()),
        Value::Null => Err((
            format!("`{expression}` is null, which is no text"),
            format!("say what stands there instead: `{expression} or \"…\"`"),
        )),
        Value::Array(_) => Err((
            format!("`{expression}` is a list, which is no text"),
            "write `| join(sep=\" \")` or `| json`".into(),
        )),
        Value::Object(_) => Err((
            format!("`{expression}` is a map, which is no text"),
            "write `| json`".into(),
        )),
    }
}

fn keys(value: &tera::Value) -> impl Iterator<Item = &str> {
    value
        .as_map()
        .into_iter()
        .flat_map(|map| map.keys())
        .filter_map(|key| key.as_str())
}

fn key_of<'a>(value: &'a tera::Value, key: &'a str) -> Option<&'a tera::Value> {
    value.as_map()?.get(&tera::value::Key::Str(key))
}

fn at(value: &tera::Value, index: i64) -> Option<&tera::Value> {
    let items = value.as_array()?;
    let index = if index < 0 {
        index + i64::try_from(items.len()).ok()?
    } else {
        index
    };
    items.get(usize::try_from(index).ok()?)
}

/// The key that a name means: itself, or the one with `-` where the name has `_`. Two of them are an error.
fn real_key<'a>(value: &'a tera::Value, name: &str) -> Result<Option<&'a str>, [String; 2]> {
    if !name.contains('_') {
        return Ok(keys(value).find(|key| *key == name));
    }
    let mut found =
        keys(value).filter(|key| key.len() == name.len() && key.replace('-', "_") == name);
    match (found.next(), found.next()) {
        (Some(first), Some(second)) => Err([first.to_owned(), second.to_owned()]),
        (first, _) => Ok(first),
    }
}

/// The value under a name, `_` standing for `-` too.
pub(super) fn attribute<'a>(
    value: &'a tera::Value,
    name: &str,
) -> Result<Option<&'a tera::Value>, [String; 2]> {
    Ok(real_key(value, name)?.and_then(|key| key_of(value, key)))
}

pub(super) fn ambiguous(name: &str, [first, second]: [String; 2]) -> String {
    format!("`{name}` means both `{first}` and `{second}`")
}
