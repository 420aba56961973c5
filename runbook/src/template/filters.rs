//! The filters of our own (`json`, `sh`, `base64`), the names of Tera's, and the ones that only this module uses.
//!
//! Tera renders to text; the private filter [`KEEP`] sits at the end of each expression and keeps the value with its type.

use std::cell::RefCell;
use std::sync::LazyLock;

use base64::Engine;
use tera::{Delimiters, Error, Kwargs, State, Tera, TeraResult, Value};

/// Opens and closes an expression for Tera: no text that an author writes, so that `}}` may close maps in it.
pub(super) const OPEN: &str = "\u{1}\u{2}";
pub(super) const CLOSE: &str = "\u{3}\u{4}";

/// Keeps the value for [`take_kept`].
pub(super) const KEEP: &str = "__keep";
/// Looks a name up, `_` standing for `-`: of names that are known only when they are evaluated.
pub(super) const ATTRIBUTE: &str = "__attribute";
/// An error where its value is undefined: [`UNDEFINED`] with the name's index.
pub(super) const DEFINED: &str = "__defined";

/// How a value that is not defined is told to [`super::evaluate`].
pub(super) const UNDEFINED: &str = "undefined";

/// Tera's own filters, in version 2.4 (a test asks Tera for each).
pub(super) const BUILT_IN: &[&str] = &[
    "abs",
    "capitalize",
    "default",
    "escape",
    "escape_html",
    "escape_xml",
    "first",
    "float",
    "get",
    "group_by",
    "indent",
    "int",
    "join",
    "keys",
    "last",
    "length",
    "lower",
    "newlines_to_br",
    "nth",
    "pairs",
    "pluralize",
    "replace",
    "reverse",
    "round",
    "safe",
    "sort",
    "split",
    "str",
    "title",
    "trim",
    "trim_end",
    "trim_start",
    "truncate",
    "unique",
    "upper",
    "values",
    "wordcount",
];

/// Our own filters.
pub(super) const OWN: &[&str] = &["base64", "json", "sh"];

/// Tera's own tests, in version 2.4.
pub(super) const TESTS: &[&str] = &[
    "array",
    "bool",
    "containing",
    "defined",
    "divisible_by",
    "ending_with",
    "even",
    "float",
    "integer",
    "iterable",
    "map",
    "none",
    "number",
    "odd",
    "starting_with",
    "string",
    "undefined",
];

/// Tera's own functions.
pub(super) const FUNCTIONS: &[&str] = &["range", "throw"];

/// The engine with its filters; templates are never added to it.
pub(super) static ENGINE: LazyLock<Tera> = LazyLock::new(engine);

pub(super) fn engine() -> Tera {
    let mut tera = Tera::default();
    tera.autoescape_on(Vec::<&'static str>::new());
    let delimiters = Delimiters {
        variable_start: OPEN.into(),
        variable_end: CLOSE.into(),
        ..Delimiters::default()
    };
    // The delimiters are constants of two bytes each, and no template was added before.
    tera.set_delimiters(delimiters)
        .expect("two bytes each, all different");
    tera.register_filter(KEEP, keep);
    tera.register_filter(ATTRIBUTE, attribute);
    tera.register_filter(DEFINED, defined_name);
    tera.register_filter("json", json);
    tera.register_filter("sh", sh);
    tera.register_filter("base64", base64_of);
    tera
}

thread_local! {
    static KEPT: RefCell<Option<Value>> = const { RefCell::new(None) };
}

/// The value of the expression that was evaluated last on this thread.
pub(super) fn take_kept() -> Option<Value> {
    KEPT.with_borrow_mut(Option::take)
}

fn keep(value: Value, _: Kwargs, _: &State<'_>) -> TeraResult<String> {
    KEPT.set(Some(defined(value)?));
    Ok(String::new())
}

fn defined_name(value: Value, kwargs: Kwargs, _: &State<'_>) -> TeraResult<Value> {
    if value.is_undefined() {
        return Err(Error::message(format!(
            "{UNDEFINED} {}",
            kwargs.must_get::<usize>("at")?
        )));
    }
    Ok(value)
}

fn defined(value: Value) -> TeraResult<Value> {
    if has_undefined(&value) {
        Err(Error::message(UNDEFINED))
    } else {
        Ok(value)
    }
}

fn has_undefined(value: &Value) -> bool {
    value.is_undefined()
        || value
            .as_array()
            .is_some_and(|items| items.iter().any(has_undefined))
        || value
            .as_map()
            .is_some_and(|map| map.values().any(has_undefined))
}

fn attribute(value: Value, kwargs: Kwargs, _: &State<'_>) -> TeraResult<Value> {
    let name = kwargs.must_get::<&str>("name")?;
    let optional = kwargs.get::<bool>("optional")?.unwrap_or(false);
    if value.is_undefined() && !optional {
        return Err(Error::message(UNDEFINED));
    }
    match super::scope::attribute(&value, name) {
        Ok(found) => Ok(found.cloned().unwrap_or_else(Value::undefined)),
        Err(keys) => Err(Error::message(super::scope::ambiguous(name, keys))),
    }
}

fn json(value: Value, _: Kwargs, _: &State<'_>) -> TeraResult<String> {
    serde_json::to_string(&defined(value)?).map_err(Error::message)
}

fn base64_of(value: Value, _: Kwargs, _: &State<'_>) -> TeraResult<String> {
    Ok(base64::engine::general_purpose::STANDARD.encode(word(&value, "base64")?))
}

/// Quotes for a shell: a list becomes words.
fn sh(value: Value, _: Kwargs, _: &State<'_>) -> TeraResult<String> {
    match value.as_array() {
        Some(items) => {
            let words: TeraResult<Vec<String>> = items
                .iter()
                .map(|item| word(item, "sh").and_then(quote))
                .collect();
            Ok(words?.join(" "))
        }
        None => quote(word(&value, "sh")?),
    }
}

fn word(value: &Value, filter: &str) -> TeraResult<String> {
    if value.is_undefined() {
        return Err(Error::message(UNDEFINED));
    }
    if value.is_none() || value.is_map() || value.is_array() || value.is_bytes() {
        return Err(Error::message(format!(
            "`{filter}` takes a text, got `{}`",
            kind(value)
        )));
    }
    Ok(value.to_string())
}

fn quote(text: String) -> TeraResult<String> {
    if text.contains('\0') {
        return Err(Error::message("a shell word cannot hold a NUL byte"));
    }
    if !text.is_empty() && text.chars().all(super::script::is_safe) {
        return Ok(text);
    }
    Ok(format!("'{}'", text.replace('\'', r"'\''")))
}

/// What people call a value's type.
pub(super) fn kind(value: &Value) -> &'static str {
    match () {
        () if value.is_undefined() => "undefined",
        () if value.is_none() => "null",
        () if value.is_map() => "map",
        () if value.is_array() => "list",
        () if value.is_bool() => "bool",
        () if value.is_number() => "number",
        () => "text",
    }
}
