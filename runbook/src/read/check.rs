//! Whether a node is of a type, with every error in it at once.

use super::{
    ReadError, bool, duration, entries, found, int, is_null, items, number, range, regex, size,
    target, text, word,
};
use crate::id::Ref;
use crate::node::{Entry, Kind, Node};
use crate::source::Span;
use crate::spec::{FieldSpec, Group, Type};
use crate::suggest;

/// Digits of a commit's full name.
const COMMIT_DIGITS: usize = 40;

/// Whether the type of a node is known only when it is rendered: a scalar with a template.
pub fn deferred(node: &Node) -> bool {
    matches!(&node.kind, Kind::Scalar(scalar) if crate::template::has_template(&scalar.text))
}

/// Checks a node against a type and adds what is wrong. A scalar with a template satisfies every type.
pub fn check(ty: &Type, node: &Node, errors: &mut Vec<ReadError>) {
    fits(ty, node, "value", errors);
}

/// `name` is the key under which the node stands, for messages about what it lacks.
pub(super) fn fits(ty: &Type, node: &Node, name: &str, errors: &mut Vec<ReadError>) -> bool {
    if deferred(node) {
        return true;
    }
    let before = errors.len();
    let result = match ty {
        Type::Any | Type::Do | Type::Condition | Type::Matcher => Ok(()),
        Type::Text | Type::File | Type::SecretName => text(node).map(drop),
        Type::Int => int(node).map(drop),
        Type::Number => number(node).map(drop),
        Type::Bool => bool(node).map(drop),
        Type::Duration => duration(node).map(drop),
        Type::Size => size(node).map(drop),
        Type::Regex => regex(node).map(drop),
        Type::Range => range(node).map(drop),
        Type::Word(words) => word(node, words).map(drop),
        Type::Target => target(node).map(drop),
        Type::Checksum => checksum(node),
        Type::Commit => commit(node),
        Type::Disk => disk(node),
        Type::Ref => reference(node).map(drop),
        Type::Nullable(ty) => {
            if !is_null(node) {
                fits(ty, node, name, errors);
            }
            Ok(())
        }
        Type::List(ty) => {
            for item in items(node).iter() {
                fits(ty, item, name, errors);
            }
            Ok(())
        }
        Type::Map(ty) => entries(node).map(|entries| {
            for entry in entries.iter() {
                fits(ty, &entry.value, &entry.key, errors);
            }
        }),
        Type::Numbered(word, ty) => entries(node).map(|entries| {
            for entry in entries.iter() {
                if !is_numbered(&entry.key, word) {
                    errors.push(not_numbered(entry, word, name));
                }
                fits(ty, &entry.value, &entry.key, errors);
            }
        }),
        Type::Record(fields, groups) => entries(node).map(|entries| {
            check_fields(
                fields,
                groups,
                &entries,
                node.span,
                &format!("`{name}`"),
                errors,
            )
        }),
        Type::Open(fields) => entries(node).map(|entries| {
            for entry in entries.iter() {
                if let Some(field) = fields.iter().find(|field| field.name == entry.key) {
                    fits(&field.ty, &entry.value, field.name, errors);
                }
            }
        }),
        Type::Either(types) => either(types, node, name, errors),
    };
    if let Err(error) = result {
        errors.push(error);
    }
    errors.len() == before
}

/// Of several types the errors of the one whose shape fits, else those of the last scalar one.
fn either(
    types: &[Type],
    node: &Node,
    name: &str,
    errors: &mut Vec<ReadError>,
) -> Result<(), ReadError> {
    let mut best: Option<Vec<ReadError>> = None;
    for ty in types {
        let mut own = Vec::new();
        if fits(ty, node, name, &mut own) {
            return Ok(());
        }
        if best.is_none() || shape_fits(ty, node) {
            best = Some(own);
        }
    }
    errors.extend(best.unwrap_or_default());
    Ok(())
}

fn shape_fits(ty: &Type, node: &Node) -> bool {
    match &node.kind {
        Kind::Map(_) => {
            matches!(
                ty,
                Type::Map(_) | Type::Numbered(..) | Type::Record(..) | Type::Open(_)
            ) || matches!(ty, Type::List(Type::Map(_) | Type::Record(..)))
        }
        Kind::List(_) => matches!(ty, Type::List(_)),
        _ => !matches!(
            ty,
            Type::Map(_)
                | Type::Numbered(..)
                | Type::Record(..)
                | Type::Open(_)
                | Type::List(Type::Map(_))
        ),
    }
}

fn checksum(node: &Node) -> Result<(), ReadError> {
    let text = text(node)?;
    let digits = text.strip_prefix("sha256:");
    if digits
        .is_some_and(|digits| digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
    {
        return Ok(());
    }
    Err(ReadError::new(
        node.span,
        format!("{} is not a checksum", found(node)),
        "write `sha256:` and its 64 hexadecimal digits",
    ))
}

fn commit(node: &Node) -> Result<(), ReadError> {
    let text = text(node)?;
    if text.len() == COMMIT_DIGITS && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(());
    }
    Err(ReadError::new(
        node.span,
        format!("{} is no full name of a commit", found(node)),
        "write all 40 digits: a branch or a tag may mean something else tomorrow",
    ))
}

fn disk(node: &Node) -> Result<(), ReadError> {
    let text = text(node)?;
    let size = match text.split_once(':') {
        Some((storage, size)) if !storage.is_empty() => size,
        _ => {
            return Err(ReadError::new(
                node.span,
                format!("{} is no disk", found(node)),
                "write its storage and its size: `local-lvm:32GiB`",
            ));
        }
    };
    match crate::value::size(size) {
        Ok(_) => Ok(()),
        Err(why) => {
            let (message, hint) = why.split_once(": ").unwrap_or((&why, "write `32GiB`"));
            Err(ReadError::new(node.span, message, hint))
        }
    }
}

/// Whether a key is a word and a number: `mp0`.
pub fn is_numbered(key: &str, word: &str) -> bool {
    let number = key.strip_prefix(word);
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

fn not_numbered(entry: &Entry, word: &str, name: &str) -> ReadError {
    ReadError {
        rule: "unknown-key",
        span: entry.key_span,
        message: format!("`{name}` has no key `{}`", super::cut(&entry.key)),
        hint: Some(format!("its keys are `{word}0`, `{word}1` …")),
    }
}

/// A reference as it is written.
pub(crate) fn reference(node: &Node) -> Result<Ref, ReadError> {
    let text = text(node)?;
    Ref::parse(&text).ok_or_else(|| {
        ReadError::new(
            node.span,
            format!("{} is not a reference", found(node)),
            "write `step`, `'#section'`, `'#section/step'` or `guide#section/step`; a guide at the book's root is `name#`",
        )
    })
}

/// Checks the entries of a map against the keys it may have and how they belong together. `what` is what the map is, as a
/// message names it: `` `http` ``, `a step`.
pub fn check_fields(
    fields: &[FieldSpec],
    groups: &[Group],
    entries: &[Entry],
    span: Span,
    what: &str,
    errors: &mut Vec<ReadError>,
) {
    for entry in entries {
        match fields.iter().find(|field| field.name == entry.key) {
            Some(field) => {
                fits(&field.ty, &entry.value, field.name, errors);
            }
            None => errors.push(unknown_key(
                fields.iter().map(|field| field.name),
                entry,
                what,
            )),
        }
    }
    let has = |name: &str| entries.iter().find(|entry| entry.key == name);
    for field in fields
        .iter()
        .filter(|field| field.required && has(field.name).is_none())
    {
        errors.push(ReadError {
            rule: "missing-key",
            span,
            message: format!("{what} has no `{}`", field.name),
            hint: Some(format!("add `{}`: {}", field.name, field.what)),
        });
    }
    for group in groups {
        check_group(group, &has, span, what, errors);
    }
}

/// The error for a key that a map does not have.
pub(crate) fn unknown_key<'a>(
    known: impl IntoIterator<Item = &'a str> + Clone,
    entry: &Entry,
    what: &str,
) -> ReadError {
    ReadError {
        rule: "unknown-key",
        span: entry.key_span,
        message: format!("{what} has no key `{}`", super::cut(&entry.key)),
        hint: suggest::did_you_mean_or_list(&entry.key, known, "its keys are"),
    }
}

fn check_group<'a>(
    group: &Group,
    has: &dyn Fn(&str) -> Option<&'a Entry>,
    span: Span,
    what: &str,
    errors: &mut Vec<ReadError>,
) {
    let listed = |names: &[&str]| {
        names
            .iter()
            .map(|name| format!("`{name}`"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let (names, needed) = match group {
        Group::OneOf(names) => (*names, true),
        Group::AtMostOne(names) => (*names, false),
        Group::With(name, others) => {
            if let Some(entry) = has(name)
                && !others.iter().any(|other| has(other).is_some())
            {
                errors.push(ReadError {
                    rule: "keys-together",
                    span: entry.key_span,
                    message: format!(
                        "`{name}` is given without {}",
                        others
                            .iter()
                            .map(|o| format!("`{o}`"))
                            .collect::<Vec<_>>()
                            .join(" or ")
                    ),
                    hint: Some(format!("add {}", listed(others))),
                });
            }
            return;
        }
    };
    let given: Vec<&Entry> = names.iter().filter_map(|name| has(name)).collect();
    if let [first, second, ..] = given.as_slice() {
        errors.push(ReadError {
            rule: "keys-together",
            span: second.key_span,
            message: format!("{what} has both `{}` and `{}`", first.key, second.key),
            hint: Some(format!("keep one of {}", listed(names))),
        });
    } else if given.is_empty() && needed {
        errors.push(ReadError {
            rule: "keys-together",
            span,
            message: format!("{what} has none of {}", listed(names)),
            hint: Some(format!("add one of {}", listed(names))),
        });
    }
}
