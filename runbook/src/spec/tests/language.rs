//! The tables against the specification they are made from, where it lies beside the repository (`../shared/LANGUAGE.md`).

use std::collections::BTreeSet;
use std::path::Path;

use super::super::*;
use super::{each_type, fields_of};
use crate::outcome::State;

/// The specification; none (and a visible word) where it is not there.
fn language() -> Option<String> {
    let start = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = start
        .ancestors()
        .map(|folder| folder.join("shared/LANGUAGE.md"))
        .find(|path| path.is_file());
    match found {
        Some(path) => std::fs::read_to_string(path).ok(),
        None => {
            eprintln!("skipped: no ../shared/LANGUAGE.md to compare with");
            None
        }
    }
}

/// The cells of the rows of every table whose head begins so.
fn rows(text: &str, head: &str) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        if line.starts_with(head) {
            inside = true;
        } else if !line.starts_with('|') {
            inside = false;
        } else if inside && !line.starts_with("|---") {
            all.push(
                line.trim_matches('|')
                    .split(" | ")
                    .map(|cell| cell.trim().to_owned())
                    .collect(),
            );
        }
    }
    assert!(!all.is_empty(), "no table {head}");
    all
}

/// What stands in backticks.
fn codes(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

fn names(cell: &str) -> BTreeSet<&str> {
    codes(cell).into_iter().collect()
}

fn table(fields: &[FieldSpec]) -> BTreeSet<&'static str> {
    fields.iter().map(|field| field.name).collect()
}

#[test]
fn keys_and_matchers_are_those_of_the_specification() {
    let Some(text) = language() else { return };
    let front: Vec<Vec<String>> = rows(&text, "| front matter |");
    assert_eq!(
        front
            .iter()
            .flat_map(|row| codes(&row[0]))
            .collect::<BTreeSet<_>>(),
        table(FRONT_KEYS)
    );
    let step = rows(&text, "| step | type |");
    let written: BTreeSet<&str> = step.iter().flat_map(|row| codes(&row[0])).collect();
    assert_eq!(written, table(STEP_KEYS));
    let matchers = rows(&text, "| matcher |");
    let written: BTreeSet<&str> = matchers.iter().flat_map(|row| codes(&row[0])).collect();
    assert_eq!(
        written,
        MATCHERS.iter().map(|matcher| matcher.name).collect()
    );
}

#[test]
fn states_are_those_of_the_specification() {
    let Some(text) = language() else { return };
    let line = text
        .lines()
        .find(|line| line.contains("Worst first:"))
        .unwrap();
    let listed = line
        .split("Worst first:")
        .nth(1)
        .unwrap()
        .split('.')
        .next()
        .unwrap();
    assert_eq!(
        codes(listed),
        State::ALL
            .iter()
            .map(|state| state.as_str())
            .collect::<Vec<_>>()
    );
}

/// The names of an action's fields and of what lies in them.
fn inner(action: &ActionSpec) -> (BTreeSet<String>, BTreeSet<String>) {
    let top = fields_of(action)
        .iter()
        .map(|field| field.name.to_owned())
        .collect();
    let mut below = BTreeSet::new();
    for field in fields_of(action) {
        each_type(&field.ty, &mut |ty| match ty {
            Type::Record(fields, _) | Type::Open(fields) => {
                below.extend(fields.iter().map(|field| field.name.to_owned()))
            }
            Type::Word(words) => below.extend(words.iter().map(|word| (*word).to_owned())),
            _ => {}
        });
    }
    (top, below)
}

#[test]
fn actions_fields_and_results_are_those_of_the_specification() {
    let Some(text) = language() else { return };
    let rows = rows(&text, "| action | fields");
    let written: Vec<&str> = rows.iter().flat_map(|row| codes(&row[0])).collect();
    assert_eq!(
        written,
        ACTIONS.iter().map(|action| action.name).collect::<Vec<_>>()
    );
    for row in &rows {
        for name in codes(&row[0]) {
            let action = action(name).unwrap();
            if !action.is_script() {
                fields_are(action, &row[1]);
            }
            results_are(action, &row[2]);
            if let Some(timeout) = action.timeout {
                assert!(row[3].contains(timeout), "{name}: {timeout}");
            } else {
                assert!(!row[3].contains("0m"), "{name}");
            }
        }
    }
}

fn fields_are(action: &ActionSpec, cell: &str) {
    let (top, below) = inner(action);
    let as_other = cell
        .split("as `")
        .nth(1)
        .and_then(|rest| rest.split('`').next());
    let other: BTreeSet<String> = as_other
        .and_then(super::super::action)
        .map(|other| inner(other).0)
        .unwrap_or_default();
    // `FIELD:TYPE` and plain names; defaults, examples and words stand in brackets or are known below.
    let mentioned: BTreeSet<String> = codes(cell)
        .iter()
        .map(|code| code.split(':').next().unwrap_or(code).to_owned())
        .collect();
    for field in &top {
        assert!(
            mentioned.contains(field) || other.contains(field),
            "`{}` of `{}` is not in the specification",
            field,
            action.name
        );
    }
    const EXAMPLES: &[&str] = &[
        "inventory",
        "scratch.vmids",
        "STORE",
        "{}",
        "mp0",
        "hostpci0",
        "0644",
        "\"0644\"",
        "KIND/NAME",
        "all",
        "none",
        "Job",
        "name=version",
        "sha256",
        "lxc",
        "get",
        "ready",
    ];
    for name in &mentioned {
        let known = top.contains(name)
            || below.contains(name)
            || other.contains(name)
            || EXAMPLES.contains(&name.as_str());
        let default = fields_of(action)
            .iter()
            .any(|field| field.default.contains(name.as_str()));
        let example =
            default || name.starts_with('{') || (action.name == "package" && name == "name");
        assert!(
            known || example,
            "`{name}` of `{}` is not in the table",
            action.name
        );
    }
    for field in fields_of(action).iter().filter(|field| field.required) {
        assert!(
            cell.contains(&format!("`{}`*", field.name))
                || cell.contains(&format!("`{}:", field.name))
                || as_other.is_some(),
            "`{}` of `{}` is not required",
            field.name,
            action.name
        );
    }
}

fn results_are(action: &ActionSpec, cell: &str) {
    let mut expected: BTreeSet<&str> = BTreeSet::new();
    let (before, rest) = cell
        .split_once("as `")
        .map_or((cell, ""), |(before, rest)| (before, rest));
    let bracketed: String = before.split('(').next().unwrap_or(before).to_owned();
    let mut texts = vec![bracketed];
    // After a bracket the list goes on: `json` (`data`) `log`.
    texts.extend(
        before
            .split(')')
            .skip(1)
            .map(|part| part.split('(').next().unwrap_or(part).to_owned()),
    );
    for text in &texts {
        expected.extend(names(text).into_iter().map(|name| {
            ACTIONS
                .iter()
                .flat_map(|a| a.results)
                .find(|r| r.name == name)
                .map_or("?", |r| r.name)
        }));
    }
    if let Some((other, more)) = rest.split_once('`') {
        expected.extend(
            super::super::action(other)
                .unwrap()
                .results
                .iter()
                .map(|result| result.name),
        );
        let more = more.split('(').next().unwrap_or(more);
        expected.extend(names(more).into_iter().map(|name| {
            ACTIONS
                .iter()
                .flat_map(|a| a.results)
                .find(|r| r.name == name)
                .map_or("?", |r| r.name)
        }));
    }
    let ours: BTreeSet<&str> = action.results.iter().map(|result| result.name).collect();
    assert_eq!(ours, expected, "results of `{}`: {cell}", action.name);
}
