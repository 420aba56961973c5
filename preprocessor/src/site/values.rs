//! A guide's values on its page: put into the shown commands, and a folded form to put a reader's own there.
//!
//! `{{ vars.NAME }}` in a script is shown with the book's value, so that what is copied runs; where it stood is told beside the
//! card, so that a script on the page can put another there. Nothing is sent anywhere. Typed steps stay as they were written.

use std::fmt::Write as _;

use runbook::model::{Form, Guide, Language, Step};
use serde_json::{Map, Value};

use super::html::{escape, escaped};

/// The class of a variable's expression: `{{ vars.NAME }}` and nothing else.
struct Place {
    /// The bytes of the whole expression in the body.
    from: usize,
    to: usize,
    /// The name.
    name: String,
}

/// A script as it is shown, and where values of the reader go: `name:offset:length` in UTF-16 units, separated by blanks.
pub(super) struct Shown {
    /// The text.
    pub text: String,
    /// The places; empty when there are none.
    pub places: String,
}

/// Puts the book's values into a script; `None` when there is nothing to put.
pub(super) fn shown(step: &Step, body: &str, vars: &Map<String, Value>) -> Option<Shown> {
    let is_script = matches!(
        step.form,
        Form::Native(Language::Bash | Language::Sh | Language::Python)
    );
    // An include before a place would move it.
    if !is_script || !step.keys.template || !body.contains("{{") || body.contains("{{#") {
        return None;
    }
    let mut shown = Shown {
        text: String::with_capacity(body.len()),
        places: String::new(),
    };
    let mut offset = 0;
    let mut from = 0;
    for place in places(body) {
        let Some(value) = named(vars, &place.name).and_then(text) else {
            continue;
        };
        let before = &body[from..place.from];
        offset += units(before);
        shown.text.push_str(before);
        shown.text.push_str(&value);
        if !shown.places.is_empty() {
            shown.places.push(' ');
        }
        let length = units(&value);
        let _ = write!(shown.places, "{}:{offset}:{length}", place.name);
        offset += length;
        from = place.to;
    }
    shown.text.push_str(&body[from..]);
    (!shown.places.is_empty()).then_some(shown)
}

/// The value of a variable by the name that templates use, in which `-` is written `_`.
fn named<'v>(vars: &'v Map<String, Value>, name: &str) -> Option<&'v Value> {
    vars.get(name).or_else(|| {
        let mut others = vars.iter().filter(|(key, _)| key.contains('-'));
        others
            .find(|(key, _)| key.replace('-', "_") == name)
            .map(|(_, value)| value)
    })
}

fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

/// The expressions that are a variable and nothing else.
fn places(body: &str) -> Vec<Place> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(open) = body[at..].find("{{") {
        let from = at + open;
        let Some(length) = body[from..].find("}}") else {
            break;
        };
        let to = from + length + 2;
        let inside = body[from + 2..to - 2].trim();
        let name = inside.strip_prefix("vars.").filter(|name| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        });
        if let Some(name) = name {
            found.push(Place {
                from,
                to,
                name: name.to_owned(),
            });
        }
        at = if name.is_some() { to } else { from + 2 };
    }
    found
}

/// A value as it stands in a script; `None` of one that could leave its place in the fence.
fn text(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(bool) => bool.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    let stays = !text.contains(['\n', '\r', '`', '~', '\0']) && !text.contains("{{");
    stays.then_some(text)
}

/// Appends the form with a guide's values; nothing when it has none.
pub(super) fn form(out: &mut String, guide: &Guide, vars: &Map<String, Value>) {
    let names: Vec<&str> = guide
        .front
        .vars
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    if names.is_empty() {
        return;
    }
    let _ = write!(
        out,
        "<details class=\"rb-values\"><summary>Values ({})</summary><form data-guide=\"{}\">",
        names.len(),
        escaped(&guide.id)
    );
    for name in names {
        let key = name.replace('-', "_");
        let (value, place) = match named(vars, &key) {
            None | Some(Value::Null) => (String::new(), " placeholder=\"must be given\""),
            Some(Value::String(text)) => (text.clone(), ""),
            Some(other) => (other.to_string(), ""),
        };
        let _ = write!(
            out,
            "<label>{} <input name=\"{}\" value=\"{}\"{place} readonly></label>",
            escaped(name),
            escaped(&key),
            escaped(&value)
        );
    }
    out.push_str("<p class=\"rb-m\">");
    escape(
        out,
        "With a script, what you type here is put into the commands of this page, kept in this browser and sent nowhere.",
    );
    out.push_str(
        "</p><button type=\"reset\" hidden>Reset to the book's values</button></form></details>",
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn names(body: &str) -> Vec<String> {
        places(body).into_iter().map(|place| place.name).collect()
    }

    #[test]
    fn only_a_variable_by_itself_is_a_place() {
        assert_eq!(names("a {{ vars.pool }} {{vars.x_1}}"), ["pool", "x_1"]);
        assert!(
            names("{{ vars.pool | sh }} {{ steps.a.b }} {{.Names}} {{ vars. }} {{ open").is_empty()
        );
        assert_eq!(names("{{ {{ vars.pool }}"), ["pool"]);
    }

    #[test]
    fn a_value_that_could_leave_the_fence_stays_a_template() {
        assert_eq!(text(&json!("local-lvm")).as_deref(), Some("local-lvm"));
        assert_eq!(text(&json!(3)).as_deref(), Some("3"));
        for value in [
            json!("a\nb"),
            json!("```"),
            json!(null),
            json!([1]),
            json!("{{ x }}"),
        ] {
            assert_eq!(text(&value), None, "{value}");
        }
    }
}
