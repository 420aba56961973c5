//! What is wrong with an expectation before anything runs: its key by the kind of its field, and its matcher.

use super::field::{parse_path, scalar};
use super::parse::{MatcherError, validate};
use crate::model::Expectation;
use crate::spec::FieldKind;
use crate::template::has_template;

/// Everything that is wrong with an expectation as written: its key by the field's kind, and its matcher.
pub fn validate_expectation(expectation: &Expectation, kind: FieldKind) -> Vec<MatcherError> {
    let mut errors = Vec::new();
    let absent = expectation.matcher.as_text() == Some("absent");
    match (kind, &expectation.key) {
        (FieldKind::Json, Some(key)) => {
            if let Some(path) = scalar(key).filter(|path| !has_template(path))
                && let Err(error) = parse_path(&path)
            {
                errors.push(MatcherError::new(key.span, error));
            }
        }
        (FieldKind::Table, Some(key)) if expectation.column.is_none() => {
            if absent {
                return errors;
            }
            errors.push(
                MatcherError::new(key.span, "a row of `table` needs its columns")
                    .hint("write `table: {ROW: {COLUMN: matcher}}`, or `ROW: absent`"),
            );
        }
        (FieldKind::Json | FieldKind::Table | FieldKind::Map, None) => {
            let what = match kind {
                FieldKind::Json => "PATH",
                FieldKind::Table => "ROW: {COLUMN",
                _ => "KEY",
            };
            let close = if kind == FieldKind::Table { "}" } else { "" };
            let field = &expectation.field;
            errors.push(
                MatcherError::new(expectation.span, format!("`{field}` is looked at by key"))
                    .hint(format!("write `{field}: {{{what}: matcher}}{close}`")),
            );
        }
        _ => {}
    }
    errors.extend(validate(&expectation.matcher));
    errors
}
