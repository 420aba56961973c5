//! Captures: names for values of a result, for later steps.
//!
//! Selectors mirror the keys of expectations. An attempt that finds nothing has failed (missing, no match); an empty list is
//! found.

use serde_json::Value;

use crate::matcher::field::{self, Found, scalar};
use crate::matcher::parse::{MatcherError, list, regex};
use crate::model::Capture;
use crate::node::{Kind, Node};
use crate::result::Fields;
use crate::spec::{ActionSpec, FieldKind};
use crate::template::has_template;

/// Takes a capture, whose templates were rendered, from a result.
///
/// # Errors
///
/// That nothing was found, and where it was looked for.
pub fn take(capture: &Capture, fields: &Fields, spec: &ActionSpec) -> Result<Value, String> {
    let kind = crate::matcher::kind(spec, &capture.field);
    find(capture, fields, kind)
        .map_err(|reason| format!("`{}` captured nothing: {reason}", capture.name))
}

fn find(capture: &Capture, fields: &Fields, kind: FieldKind) -> Result<Value, String> {
    let field = capture.field.as_str();
    let Some(selector) = &capture.selector else {
        return found(
            field::whole(field, fields, kind),
            &format!("`{field}` is missing"),
        );
    };
    match kind {
        FieldKind::Text => first_match(
            &text_of(selector)?,
            field::whole(field, fields, kind),
            field,
        ),
        FieldKind::Json => {
            let path = text_of(selector)?;
            found(
                field::by_path(fields, &path),
                &format!("`{path}` is missing"),
            )
        }
        FieldKind::Table => match &list(selector)[..] {
            [row, column] => field::cell(fields, &text_of(row)?, &text_of(column)?),
            _ => Err("a cell is selected by `[ROW, COLUMN]`".into()),
        },
        FieldKind::Map => {
            let key = text_of(selector)?;
            found(
                field::by_key(field, fields, &key),
                &format!("`{field}` has no `{key}`"),
            )
        }
        FieldKind::Value => match field::whole(field, fields, kind) {
            value @ Found::Value(_) if value_is_text(&value) => {
                first_match(&text_of(selector)?, value, field)
            }
            value => found(value, &format!("`{field}` is missing")).and(Err(format!(
                "`{field}` is one value, which is captured without a selector"
            ))),
        },
    }
}

fn value_is_text(found: &Found<'_>) -> bool {
    matches!(found, Found::Value(value) if value.is_string())
}

fn text_of(selector: &Node) -> Result<String, String> {
    scalar(selector).ok_or_else(|| "a selector is a text".into())
}

fn found(found: Found<'_>, missing: &str) -> Result<Value, String> {
    match found {
        Found::Value(value) => Ok(value.into_owned()),
        Found::Missing(reason) if reason.is_empty() => Err(missing.to_owned()),
        Found::Missing(reason) | Found::Broken(reason) => Err(reason),
    }
}

/// Group 1 of the first match, else the whole of it.
fn first_match(pattern: &str, text: Found<'_>, field: &str) -> Result<Value, String> {
    let regex = regex(pattern)?;
    let value = found(text, &format!("`{field}` is missing"))?;
    let text = value.as_str().unwrap_or_default();
    let captures = regex
        .captures(text)
        .ok_or_else(|| format!("no /{pattern}/ in `{field}`"))?;
    let whole = captures.get(0);
    // A group that took no part in the match has found nothing, unless there is none.
    let group = if captures.len() > 1 {
        captures.get(1)
    } else {
        whole
    };
    group
        .map(|found| Value::String(found.as_str().to_owned()))
        .ok_or_else(|| format!("group 1 of /{pattern}/ is not in `{field}`"))
}

/// Everything that is wrong with a capture as written: its selector by the field's kind. Templates are taken to be right.
pub fn validate(capture: &Capture, kind: FieldKind) -> Vec<MatcherError> {
    let Some(selector) = &capture.selector else {
        return match kind {
            FieldKind::Table => vec![
                MatcherError::new(
                    capture.span,
                    "a cell of `table` is captured by row and column",
                )
                .hint("write `{table: [ROW, COLUMN]}`"),
            ],
            _ => Vec::new(),
        };
    };
    let error = |message: String, hint: &str| {
        let error = MatcherError::new(selector.span, message);
        vec![if hint.is_empty() {
            error
        } else {
            error.hint(hint)
        }]
    };
    if kind == FieldKind::Table {
        return match &list(selector)[..] {
            [_, _] if matches!(selector.kind, Kind::List(_)) => Vec::new(),
            _ if selector.as_text().is_some_and(has_template) => Vec::new(),
            _ => error(
                "a cell of `table` is captured by row and column".into(),
                "write `{table: [ROW, COLUMN]}`",
            ),
        };
    }
    let Some(text) = scalar(selector) else {
        return error("a selector is a text".into(), "");
    };
    if has_template(&text) {
        return Vec::new();
    }
    match kind {
        FieldKind::Json => field::parse_path(&text)
            .err()
            .map_or_else(Vec::new, |message| error(message, "")),
        FieldKind::Text => regex(&text)
            .err()
            .map_or_else(Vec::new, |message| error(message, "")),
        FieldKind::Value => error(
            format!(
                "`{}` is one value, which is captured without a selector",
                capture.field
            ),
            "write `NAME: FIELD`",
        ),
        FieldKind::Map | FieldKind::Table => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::matcher::tests::spec;
    use crate::node::Scalar;
    use crate::source::Span;

    fn text(text: &str) -> Node {
        Node {
            span: Span::new(1, 2),
            kind: Kind::Scalar(Scalar {
                text: text.into(),
                plain: false,
            }),
        }
    }

    fn capture(field: &str, selector: Option<Node>) -> Capture {
        Capture {
            name: "x".into(),
            field: field.into(),
            selector,
            secret: false,
            span: Span::new(0, 3),
        }
    }

    fn fields() -> Fields {
        let mut fields = Fields::new();
        fields.set("stdout", "NAME   STATE\nweb    up\ndb     down\n");
        fields.set("exit", 0);
        fields.set("header", json!({"Content-Type": "text/html"}));
        fields.set("json", json!({"items": [{"n": 1}, {"n": 2}], "none": null}));
        fields
    }

    fn check(field: &str, selector: Option<Node>, expected: Result<Value, &str>) {
        let taken = take(&capture(field, selector), &fields(), &spec("bash"));
        assert_eq!(
            taken,
            expected.map_err(|reason| format!("`x` captured nothing: {reason}"))
        );
    }

    #[test]
    fn a_text_is_captured_by_a_regular_expression() {
        check("stdout", Some(text(r"^(\w+)\s+down$")), Ok(json!("db")));
        check("stdout", Some(text("w.b")), Ok(json!("web")));
        check("stdout", Some(text("nope")), Err("no /nope/ in `stdout`"));
        check(
            "stdout",
            Some(text("(nope)?web")),
            Err("group 1 of /(nope)?web/ is not in `stdout`"),
        );
        check(
            "stdout",
            None,
            Ok(json!("NAME   STATE\nweb    up\ndb     down")),
        );
        check("stderr", Some(text("x")), Err("`stderr` is missing"));
    }

    #[test]
    fn json_is_captured_by_a_path_and_an_empty_list_is_found() {
        check("json", Some(text("$.items[1].n")), Ok(json!(2)));
        check("json", Some(text("$.items[*].n")), Ok(json!([1, 2])));
        check("json", Some(text("$.items[?@.n > 5]")), Ok(json!([])));
        check("json", Some(text("$.none")), Ok(json!(null)));
        check("json", Some(text("$.other")), Err("`$.other` is missing"));
    }

    #[test]
    fn cells_keys_and_plain_fields_are_captured() {
        let cell = |row: &str, column: &str| Node {
            span: Span::default(),
            kind: Kind::List(vec![text(row), text(column)]),
        };
        check("table", Some(cell("db", "STATE")), Ok(json!("down")));
        check(
            "table",
            Some(cell("dbx", "STATE")),
            Err("no row `dbx` among web, db"),
        );
        check(
            "table",
            Some(cell("db", "STATUS")),
            Err("no column `STATUS` among NAME, STATE"),
        );
        check("header", Some(text("content-type")), Ok(json!("text/html")));
        check(
            "header",
            Some(text("age")),
            Err("no `age` among Content-Type"),
        );
        check("exit", None, Ok(json!(0)));
        check("status", None, Err("`status` is missing"));
        check(
            "exit",
            Some(text("x")),
            Err("`exit` is one value, which is captured without a selector"),
        );
    }

    #[test]
    fn wrong_selectors_are_found_before_anything_runs() {
        let wrong = |field: &str, selector: Option<Node>, kind| {
            validate(&capture(field, selector), kind).len()
        };
        assert_eq!(wrong("stdout", Some(text("(")), FieldKind::Text), 1);
        assert_eq!(wrong("json", Some(text("a.b")), FieldKind::Json), 1);
        assert_eq!(wrong("table", None, FieldKind::Table), 1);
        assert_eq!(wrong("table", Some(text("db")), FieldKind::Table), 1);
        assert_eq!(wrong("exit", Some(text("db")), FieldKind::Value), 1);
        assert_eq!(
            wrong("stdout", Some(text("{{ vars.x }}(")), FieldKind::Text),
            0
        );
        assert_eq!(wrong("stdout", Some(text("a(b)")), FieldKind::Text), 0);
        assert_eq!(wrong("json", None, FieldKind::Json), 0);
    }
}
