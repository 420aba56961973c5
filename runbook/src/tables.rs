//! The tables of the manual, in Markdown, from the language's tables: what the manual says is what is checked.
//!
//! A chapter has them between `<!-- generated:NAME -->` and `<!-- /generated -->`; [`update`] puts them there.

use crate::node::{Entry, Kind, Node};
use crate::outcome::State;
use crate::source::Span;
use crate::spec::{
    ACTIONS, ActionKind, ActionSpec, Args, CLUSTER_KEYS, COMMON_RESULTS, FRONT_KEYS, FieldKind,
    FieldSpec, GUEST_KEYS, HOST_KEYS, MATCHERS, NODE_KEYS, PROFILE_KEYS, RULES, ResultSpec,
    SECRET_KEYS, STEP_KEYS, TargetKind, Type,
};

/// Every table by its name, as the markers in a chapter name it.
pub const NAMES: &[&str] = &[
    "front-matter",
    "keys",
    "inventory",
    "matchers",
    "fields",
    "actions",
    "outcomes",
    "rules",
];

/// The table of that name.
pub fn named(name: &str) -> Option<String> {
    Some(match name {
        "front-matter" => front_matter(),
        "keys" => keys(),
        "inventory" => inventory(),
        "matchers" => matchers(),
        "fields" => fields(),
        "actions" => actions(),
        "outcomes" => outcomes(),
        "rules" => rules(),
        _ => return None,
    })
}

/// A chapter with its generated tables brought up to date. A marker that names no table stays as it is.
pub fn update(chapter: &str) -> String {
    let mut updated = String::with_capacity(chapter.len());
    let mut rest = chapter;
    while let Some(start) = rest.find(OPEN) {
        let (before, from) = rest.split_at(start);
        updated.push_str(before);
        let name = from[OPEN.len()..].split(" -->").next().unwrap_or_default();
        let head = OPEN.len() + name.len() + " -->".len();
        match (named(name), from.find(CLOSE)) {
            (Some(table), Some(end)) if end >= head => {
                updated.push_str(&format!("{OPEN}{name} -->\n{table}{CLOSE}"));
                rest = &from[end + CLOSE.len()..];
            }
            _ => {
                updated.push_str(&from[..OPEN.len()]);
                rest = &from[OPEN.len()..];
            }
        }
    }
    updated.push_str(rest);
    updated
}

const OPEN: &str = "<!-- generated:";
const CLOSE: &str = "<!-- /generated -->";

/// Where the manual explains a key at length.
const SEE: &[(&str, &str)] = &[
    ("on", "[Targets](targets.md)"),
    ("when", "[Conditions](conditions.md)"),
    ("unless", "[Conditions](conditions.md)"),
    ("expect", "[Expectations](expectations.md)"),
    ("capture", "[Fields and captures](fields.md)"),
    ("retry", "[Waiting](waiting.md)"),
    ("hold", "[Waiting](waiting.md)"),
    ("timeout", "[Waiting](waiting.md)"),
    ("needs", "[Order](order.md)"),
    ("undo", "[Undo, repair, diagnose](recovery.md)"),
    ("repair", "[Undo, repair, diagnose](recovery.md)"),
    ("diagnose", "[Undo, repair, diagnose](recovery.md)"),
    ("background", "[Waiting](waiting.md#background)"),
    ("gate", "[People and gates](people.md)"),
    ("each", "[Loops](loops.md)"),
    ("secrets", "[Secrets](secrets.md)"),
    ("hints", "[Undo, repair, diagnose](recovery.md#hints)"),
    (
        "hidden",
        "[Fences](fences.md#steps-that-readers-need-not-see)",
    ),
    ("strict", "[Fences](fences.md#strict-scripts)"),
    ("template", "[Values](values.md#braces-of-your-own)"),
];

fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut text = format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()));
    for row in rows {
        // A `|` would end the cell.
        let cells: Vec<String> = row
            .into_iter()
            .map(|cell| cell.replace('|', "\\|"))
            .collect();
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    text
}

const KEY_HEAD: &[&str] = &["name", "type", "default", "what"];

fn key_row(field: &FieldSpec, name: String, what: String) -> Vec<String> {
    let default = match (field.required, field.default) {
        (true, _) => "required",
        (false, "") => "none",
        (false, default) => default,
    };
    vec![name, type_text(&field.ty), default.to_owned(), what]
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

/// The keys of the front matter.
pub fn front_matter() -> String {
    table(
        KEY_HEAD,
        FRONT_KEYS
            .iter()
            .map(|field| key_row(field, code(field.name), field.what.to_owned())),
    )
}

/// The keys of a step.
pub fn keys() -> String {
    table(
        KEY_HEAD,
        STEP_KEYS.iter().map(|field| {
            let see = SEE
                .iter()
                .find(|(key, _)| *key == field.name)
                .map(|(_, link)| format!("; see {link}"));
            key_row(
                field,
                code(field.name),
                format!("{}{}", field.what, see.unwrap_or_default()),
            )
        }),
    )
}

/// The keys of the inventory.
pub fn inventory() -> String {
    let groups: [(&str, &[FieldSpec]); 6] = [
        ("profiles.NAME", PROFILE_KEYS),
        ("nodes.NAME", NODE_KEYS),
        ("guests.NAME", GUEST_KEYS),
        ("hosts.NAME", HOST_KEYS),
        ("clusters.NAME", CLUSTER_KEYS),
        ("secrets.NAME", SECRET_KEYS),
    ];
    let mut rows = Vec::new();
    for (group, fields) in groups {
        for field in fields {
            let inner = inner_keys(&field.ty);
            let what = if inner.is_empty() {
                field.what.to_owned()
            } else {
                format!("{}: {inner}", field.what)
            };
            rows.push(key_row(
                field,
                code(&format!("{group}.{}", field.name)),
                what,
            ));
        }
    }
    rows.push(vec![
        code("vars"),
        "map".into(),
        "none".into(),
        "values for all guides".into(),
    ]);
    table(KEY_HEAD, rows)
}

/// The keys inside a map, as a list for a row's text.
fn inner_keys(ty: &Type) -> String {
    match ty {
        Type::Record(fields, _) => fields
            .iter()
            .map(|field| code(field.name))
            .collect::<Vec<_>>()
            .join(", "),
        Type::Map(Type::Record(fields, _)) | Type::Numbered(_, Type::Record(fields, _)) => fields
            .iter()
            .map(|field| code(field.name))
            .collect::<Vec<_>>()
            .join(", "),
        Type::Open([lab]) => match &lab.ty {
            Type::Record(fields, _) => fields
                .iter()
                .map(|field| code(&format!("lab.{}", field.name)))
                .collect::<Vec<_>>()
                .join(", "),
            _ => String::new(),
        },
        _ => String::new(),
    }
}

/// The matchers.
pub fn matchers() -> String {
    table(
        &["name", "value", "of", "holds when"],
        MATCHERS.iter().map(|matcher| {
            let name = if matcher.name == "equals" {
                "plain, `equals`".into()
            } else {
                code(matcher.name)
            };
            vec![
                name,
                matcher.value.into(),
                matcher.actual.into(),
                matcher.what.into(),
            ]
        }),
    )
}

/// The fields of results.
pub fn fields() -> String {
    let mut seen: Vec<&ResultSpec> = Vec::new();
    let all = COMMON_RESULTS
        .iter()
        .chain(ACTIONS.iter().flat_map(|action| action.results));
    for result in all {
        if !seen.iter().any(|other| other.name == result.name) {
            seen.push(result);
        }
    }
    let order = |kind: FieldKind| match kind {
        FieldKind::Text => 0,
        FieldKind::Json => 1,
        FieldKind::Table => 2,
        FieldKind::Map => 3,
        FieldKind::Value => 4,
    };
    seen.sort_by_key(|result| order(result.kind));
    table(
        &["name", "kind", "chosen by", "of", "what"],
        seen.into_iter().map(|result| {
            let (kind, chosen) = match result.kind {
                FieldKind::Text => ("text", "regex"),
                FieldKind::Json => ("keyed", "JSONPath"),
                FieldKind::Table => ("keyed", "row, then column"),
                FieldKind::Map => ("keyed", "its key"),
                FieldKind::Value => ("plain", "–"),
            };
            let mut whats: Vec<&str> = Vec::new();
            let mut owners: Vec<String> = Vec::new();
            for action in ACTIONS {
                if let Some(own) = action.results.iter().find(|own| own.name == result.name) {
                    owners.push(code(action.name));
                    if !whats.contains(&own.what) {
                        whats.push(own.what);
                    }
                }
            }
            if owners.is_empty() {
                owners.push("every step".into());
                whats.push(result.what);
            }
            vec![
                code(result.name),
                kind.into(),
                chosen.into(),
                owners.join(" "),
                whats.join("; "),
            ]
        }),
    )
}

/// The actions.
pub fn actions() -> String {
    table(
        &[
            "name",
            "on",
            "fields (`*` required)",
            "result",
            "effect, kind",
            "what",
        ],
        ACTIONS.iter().map(|action| {
            let fields = match action.args {
                Args::Script => "the script".to_owned(),
                Args::Fields([]) => "`{}`".to_owned(),
                Args::Fields(fields) => fields
                    .iter()
                    .map(|field| {
                        format!("`{}`{}", field.name, if field.required { "*" } else { "" })
                    })
                    .collect::<Vec<_>>()
                    .join(" "),
            };
            let results: Vec<String> = action
                .results
                .iter()
                .map(|result| code(result.name))
                .collect();
            vec![
                code(action.name),
                where_text(action),
                fields,
                results.join(" "),
                format!(
                    "{}{}{}",
                    action.effect_what,
                    kind_text(action),
                    action.timeout.map(|t| format!(", {t}")).unwrap_or_default()
                ),
                action.what.to_owned(),
            ]
        }),
    )
}

fn where_text(action: &ActionSpec) -> String {
    use TargetKind::{Host, Lxc, Node, Pod, Vm};
    let has = |kind: TargetKind| action.targets.contains(&kind);
    if action.targets.len() == TargetKind::ALL.len() {
        return "any".into();
    }
    if has(TargetKind::Local) && [Node, Lxc, Vm, Host].into_iter().all(has) {
        return if has(Pod) {
            "shell targets".into()
        } else {
            "shell targets but pods".into()
        };
    }
    action
        .targets
        .iter()
        .map(|kind| kind.word())
        .collect::<Vec<_>>()
        .join(", ")
}

/// How an action works, from its arguments where they do not matter.
fn kind_text(action: &ActionSpec) -> &'static str {
    let wish = Node {
        span: Span::default(),
        kind: Kind::Map(vec![Entry {
            key: "state".into(),
            key_span: Span::default(),
            value: Node::text(Span::default(), "running"),
        }]),
    };
    match action.name {
        "http" | "proxmox" => ", imperative",
        "flux" => ", desired state; `reconcile` imperative",
        "git" => ", desired state",
        _ => match (action.kind)(&wish) {
            ActionKind::Desired => ", desired state",
            ActionKind::Imperative => ", imperative",
            ActionKind::Read => "",
            ActionKind::Person => ", by a person",
        },
    }
}

/// The states of a step.
pub fn outcomes() -> String {
    const ORDER: [State; 8] = [
        State::Passed,
        State::Failed,
        State::Drifted,
        State::TimedOut,
        State::Skipped,
        State::Blocked,
        State::Pending,
        State::Aborted,
    ];
    table(
        &["name", "what"],
        ORDER
            .into_iter()
            .map(|state| vec![code(state.as_str()), outcome_text(state).to_owned()]),
    )
}

fn outcome_text(state: State) -> &'static str {
    match state {
        State::Passed => "what was expected holds; changed or unchanged, perhaps repaired",
        State::Failed => {
            "an expectation, a condition after the action, a capture, a script or a request did not hold"
        }
        State::Drifted => "a desired state differs, and this run was not to change it",
        State::TimedOut => "the time of an attempt, or of the retry, ran out",
        State::Skipped => "not executed, and the reason is given",
        State::Blocked => "something it needs has failed, or has not happened",
        State::Pending => "a person is needed: a gate, or something only a person can do",
        State::Aborted => "the run was ended while the step ran",
    }
}

/// The rules of the check.
pub fn rules() -> String {
    table(
        &["rule", "what it asks for"],
        RULES
            .iter()
            .map(|rule| vec![code(rule.name), rule.what.to_owned()]),
    )
}

/// A type as the manual writes it.
fn type_text(ty: &Type) -> String {
    match ty {
        Type::Text | Type::Commit | Type::Disk => "text".into(),
        Type::Int => "int".into(),
        Type::Number => "number".into(),
        Type::Bool => "bool".into(),
        Type::Duration => "duration".into(),
        Type::Size => "size".into(),
        Type::Regex => "regex".into(),
        Type::Any => "any".into(),
        Type::Word(words) => words
            .iter()
            .map(|word| code(word))
            .collect::<Vec<_>>()
            .join(", "),
        Type::Range => "range".into(),
        Type::Checksum => "`sha256:…`".into(),
        Type::List(inner) => format!("list of {}", type_text(inner)),
        Type::Map(Type::Record(..)) => "map of map".into(),
        Type::Map(inner) | Type::Numbered(_, inner) => format!("map of {}", type_text(inner)),
        Type::Record(fields, _) => match fields {
            fields if fields.len() <= 3 => {
                format!(
                    "`{{{}}}`",
                    fields
                        .iter()
                        .map(|field| field.name)
                        .collect::<Vec<_>>()
                        .join(", ")
                )
            }
            _ => "map".into(),
        },
        Type::Open(_) => "map".into(),
        Type::Nullable(inner) => format!("{} or null", type_text(inner)),
        Type::Either(types) => types
            .iter()
            .map(type_text)
            .collect::<Vec<_>>()
            .join(", or "),
        Type::Ref => "ref".into(),
        Type::Target => "target".into(),
        Type::File => "file".into(),
        Type::Do => "do".into(),
        Type::Condition => "condition".into(),
        Type::Matcher => "matcher".into(),
        Type::SecretName => "secret".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_has_a_row_for_each_name_and_cells_in_each_row() {
        for name in NAMES {
            let text = named(name).unwrap();
            let columns = text.lines().next().unwrap().matches('|').count();
            for line in text.lines() {
                assert_eq!(
                    line.replace("\\|", "").matches('|').count(),
                    columns,
                    "{name}: {line}"
                );
                assert!(!line.contains("|  |"), "{name}: {line}");
            }
        }
        assert_eq!(keys().lines().count(), STEP_KEYS.len() + 2);
        assert_eq!(actions().lines().count(), ACTIONS.len() + 2);
        assert_eq!(matchers().lines().count(), MATCHERS.len() + 2);
        assert_eq!(outcomes().lines().count(), State::ALL.len() + 2);
    }

    #[test]
    fn a_chapter_s_tables_are_brought_up_to_date_and_the_rest_is_kept() {
        let chapter = "a\n<!-- generated:outcomes -->\nold\n<!-- /generated -->\nb\n<!-- generated:nothing -->\nc\n";
        let updated = update(chapter);
        assert_eq!(
            updated,
            format!(
                "a\n<!-- generated:outcomes -->\n{}<!-- /generated -->\nb\n<!-- generated:nothing -->\nc\n",
                outcomes()
            )
        );
        assert_eq!(update(&updated), updated);
    }
}
