//! `expect` and `capture`: fields of the action's result, looked at by key.

use super::keys::{fixed, is_name, name_hint};
use crate::findings::Findings;
use crate::model::{Capture, Expectation};
use crate::node::{Entry, Kind, Node};
use crate::source::Span;
use crate::spec::{ActionSpec, COMMON_RESULTS, FieldKind, MATCHERS, ResultSpec};
use crate::{read, suggest};

/// The fields that `steps.ID` has beside captures.
pub(crate) const STEP_FIELDS: &[&str] = &["state", "changed", "duration"];

/// Reads `expect` against the action's result and the step's captures.
pub(super) fn expectations(
    node: &Node,
    action: &'static ActionSpec,
    captures: &[Capture],
    findings: &mut Findings,
) -> Vec<Expectation> {
    let Some(entries) = findings.take(read::entries(node)) else {
        return Vec::new();
    };
    let mut all = Vec::new();
    for entry in entries.iter() {
        let captured = captures.iter().any(|capture| capture.name == entry.key);
        let Some(kind) = action
            .result(&entry.key)
            .map(|result| result.kind)
            .or(captured.then_some(FieldKind::Value))
        else {
            unknown_field(action, captures, entry, findings);
            continue;
        };
        field(entry, kind, &mut all, findings);
    }
    all
}

fn unknown_field(
    action: &ActionSpec,
    captures: &[Capture],
    entry: &Entry,
    findings: &mut Findings,
) {
    let names: Vec<&str> = field_names(action)
        .chain(captures.iter().map(|capture| capture.name.as_str()))
        .collect();
    let hint = suggest::did_you_mean_or_list(&entry.key, names.iter().copied(), "its fields are");
    findings.maybe_hinted(
        "unknown-field",
        entry.key_span,
        format!(
            "the result of `{}` has no field `{}`",
            action.name,
            read::cut(&entry.key)
        ),
        hint,
    );
}

fn field_names(action: &ActionSpec) -> impl Iterator<Item = &str> {
    action
        .results
        .iter()
        .chain(COMMON_RESULTS)
        .map(|result: &ResultSpec| result.name)
}

fn field(entry: &Entry, kind: FieldKind, all: &mut Vec<Expectation>, findings: &mut Findings) {
    let span = Span::new(
        entry.key_span.start,
        entry.value.span.end.max(entry.key_span.end),
    );
    let expectation =
        |key: Option<Node>, column: Option<Node>, matcher: &Node, span: Span| Expectation {
            field: entry.key.clone(),
            key,
            column,
            matcher: matcher.clone(),
            span,
        };
    if matches!(kind, FieldKind::Text | FieldKind::Value) {
        matcher(&entry.value, findings);
        all.push(expectation(None, None, &entry.value, span));
        return;
    }
    let (what, example) = match kind {
        FieldKind::Json => ("paths", "{$.name: matcher}"),
        FieldKind::Table => ("rows", "{ROW: {COLUMN: matcher}}"),
        _ => ("keys", "{KEY: matcher}"),
    };
    let Some(keyed) = entry.value.as_map().filter(|keyed| !keyed.is_empty()) else {
        findings.hinted(
            "invalid-selector",
            entry.value.span,
            format!("`{}` is looked at by its {what}", entry.key),
            format!("write `{}: {example}`", entry.key),
        );
        return;
    };
    for inner in keyed {
        let span = Span::new(
            inner.key_span.start,
            inner.value.span.end.max(inner.key_span.end),
        );
        let key = Node::text(inner.key_span, &inner.key);
        if kind != FieldKind::Table {
            if kind == FieldKind::Json {
                path(&key, findings);
            }
            matcher(&inner.value, findings);
            all.push(expectation(Some(key), None, &inner.value, span));
            continue;
        }
        match &inner.value.kind {
            Kind::Map(columns) if !columns.is_empty() => {
                for column in columns {
                    let span = Span::new(
                        column.key_span.start,
                        column.value.span.end.max(column.key_span.end),
                    );
                    matcher(&column.value, findings);
                    let name = Node::text(column.key_span, &column.key);
                    all.push(expectation(
                        Some(key.clone()),
                        Some(name),
                        &column.value,
                        span,
                    ));
                }
            }
            Kind::Scalar(scalar) if scalar.text == "absent" => {
                all.push(expectation(Some(key), None, &inner.value, span))
            }
            _ => findings.hinted(
                "invalid-selector",
                inner.value.span,
                "a row is looked at by its columns",
                format!("write `{}: {{COLUMN: matcher}}`, or `absent`", inner.key),
            ),
        }
    }
}

/// Checks a JSONPath that is written out.
fn path(node: &Node, findings: &mut Findings) {
    let Some(text) = node.as_text() else { return };
    if read::deferred(node) {
        return;
    }
    if MATCHERS.iter().any(|matcher| matcher.name == text) {
        findings.hinted(
            "invalid-selector",
            node.span,
            format!("`json` is looked at by paths, `{text}` is a matcher"),
            format!("write `json: {{$: {{{text}: …}}}}`"),
        );
        return;
    }
    if let Err(error) = serde_json_path::JsonPath::parse(text) {
        let hint = if text.starts_with('$') {
            error.message().to_owned()
        } else {
            let dot = if text.starts_with(['.', '[']) {
                ""
            } else {
                "."
            };
            format!("a path begins with `$`: write `${dot}{text}`")
        };
        findings.hinted(
            "invalid-selector",
            node.span,
            format!("`{}` is not a JSONPath", read::cut(text)),
            hint,
        );
    }
}

/// Checks a matcher; what is a template is only known when the step runs.
fn matcher(node: &Node, findings: &mut Findings) {
    for error in crate::matcher::validate(node) {
        findings.maybe_hinted("invalid-matcher", error.span, error.message, error.hint);
    }
}

/// Reads `capture`.
pub(super) fn captures(
    node: &Node,
    action: &'static ActionSpec,
    findings: &mut Findings,
) -> Vec<Capture> {
    let Some(entries) = findings.take(read::entries(node)) else {
        return Vec::new();
    };
    let mut all: Vec<Capture> = Vec::new();
    for entry in entries.iter() {
        if !is_name(&entry.key) {
            findings.hinted(
                "invalid-name",
                entry.key_span,
                format!("`{}` is not a name", read::cut(&entry.key)),
                name_hint(&entry.key),
            );
        }
        let underscored = entry.key.replace('-', "_");
        if STEP_FIELDS.contains(&underscored.as_str()) {
            findings.hinted(
                "name-collision",
                entry.key_span,
                format!("`{}` of a step is how it ended, not a capture", entry.key),
                "choose another name",
            );
        } else if let Some(other) = all
            .iter()
            .find(|capture| capture.name.replace('-', "_") == underscored)
        {
            findings.hinted(
                "name-collision",
                entry.key_span,
                format!(
                    "`{}` and `{}` are one name in a template",
                    other.name, entry.key
                ),
                "choose another name",
            );
        }
        if let Some(capture) = capture(entry, action, findings) {
            if action.result(&entry.key).is_some()
                && (capture.field != entry.key || capture.selector.is_some())
            {
                findings.hinted(
                    "name-collision",
                    entry.key_span,
                    format!("`{}` is a field of the result already", entry.key),
                    "choose another name",
                );
            }
            all.push(capture);
        }
    }
    all
}

fn capture(entry: &Entry, action: &'static ActionSpec, findings: &mut Findings) -> Option<Capture> {
    let span = Span::new(
        entry.key_span.start,
        entry.value.span.end.max(entry.key_span.end),
    );
    let new = |field: &str, selector, secret| Capture {
        name: entry.key.clone(),
        field: field.to_owned(),
        selector,
        secret,
        span,
    };
    let Kind::Map(keys) = &entry.value.kind else {
        let field = fixed(&entry.value, "capture", findings, read::text)?;
        let Some(result) = action.result(&field) else {
            let as_entry = Entry {
                key: field,
                key_span: entry.value.span,
                value: entry.value.clone(),
            };
            unknown_field(action, &[], &as_entry, findings);
            return None;
        };
        if matches!(result.kind, FieldKind::Table | FieldKind::Map) {
            let selector = if result.kind == FieldKind::Table {
                "[ROW, COLUMN]"
            } else {
                "KEY"
            };
            findings.hinted(
                "invalid-selector",
                entry.value.span,
                format!("`{field}` is not one value"),
                format!("write `{}: {{{field}: {selector}}}`", entry.key),
            );
            return None;
        }
        return Some(new(&field, None, false));
    };
    let mut secret = false;
    let mut found: Option<(&Entry, FieldKind)> = None;
    for key in keys {
        if key.key == "secret" {
            secret = fixed(&key.value, "secret", findings, read::bool).unwrap_or(true);
        } else if let Some((first, _)) = found {
            findings.hinted(
                "keys-together",
                key.key_span,
                format!(
                    "a capture has two fields: `{}` and `{}`",
                    first.key, key.key
                ),
                "make two captures of it",
            );
        } else if let Some(result) = action.result(&key.key) {
            found = Some((key, result.kind));
        } else {
            unknown_field(action, &[], key, findings);
            return None;
        }
    }
    let Some((key, kind)) = found else {
        findings.hinted(
            "missing-key",
            entry.value.span,
            "a capture names no field",
            "write `{FIELD: SELECTOR}`",
        );
        return None;
    };
    let selector = selector(key, kind, findings)?;
    Some(new(&key.key, selector, secret))
}

fn selector(key: &Entry, kind: FieldKind, findings: &mut Findings) -> Option<Option<Node>> {
    let value = &key.value;
    match kind {
        FieldKind::Value => {
            // `{FIELD: true, secret: true}` would be the only use; the plain form says the same.
            findings.hinted(
                "invalid-selector",
                value.span,
                format!("`{}` is one value, it has no selector", key.key),
                format!("write `NAME: {}`", key.key),
            );
            return None;
        }
        FieldKind::Table => {
            let items = read::items(value);
            if items.len() != 2 || items.iter().any(|item| item.as_text().is_none()) {
                findings.hinted(
                    "invalid-selector",
                    value.span,
                    format!("`{}` has cells", key.key),
                    format!("write `{}: [ROW, COLUMN]`", key.key),
                );
                return None;
            }
        }
        FieldKind::Text if !read::deferred(value) => {
            findings.take(read::regex(value))?;
        }
        FieldKind::Json => path(value, findings),
        _ => {
            findings.take(read::text(value))?;
        }
    }
    if kind == FieldKind::Json && value.as_text().is_none() {
        findings.take(read::text(value))?;
    }
    Some(Some(value.clone()))
}
