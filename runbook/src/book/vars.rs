//! `vars`: which there are for a guide, what their own templates may name, and which must still be given.

use std::collections::BTreeSet;

use super::names::underscored;
use crate::findings::Findings;
use crate::inventory::Inventory;
use crate::model::{Book, Guide, StepRef, Vars};
use crate::node::{Kind, Node};
use crate::place::locate;
use crate::read;
use crate::source::Span;
use crate::template::{self, Scope};

/// The vars of a guide; one that is in the inventory too is an error.
pub(super) fn names(
    guide: &Guide,
    inventory: &Inventory,
    profile: &str,
    given: &Vars,
    scope: &Scope,
    findings: &mut Findings,
) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = inventory
        .vars
        .iter()
        .map(|(name, _)| name.clone())
        .collect();
    for (name, node) in &guide.front.vars {
        if names
            .iter()
            .any(|known| underscored(known) == underscored(name))
        {
            findings.hinted(
                "var-twice",
                node.span,
                format!("`{name}` is a var of the inventory already"),
                "choose another name, or take one of them out",
            );
        }
    }
    names.extend(given.keys().cloned());
    templates(&guide.front.vars, names.clone(), scope, findings);
    names.extend(guide.front.vars.iter().map(|(name, _)| name.clone()));
    let of_profile = inventory
        .profile(profile)
        .into_iter()
        .flat_map(|profile| &profile.vars);
    names.extend(of_profile.map(|(name, _)| name.clone()));
    names
}

/// Checks the vars of the inventory and of its profiles.
pub(super) fn check_inventory(inventory: &Inventory, scope: &Scope, findings: &mut Findings) {
    templates(&inventory.vars, BTreeSet::new(), scope, findings);
    let names: BTreeSet<String> = inventory
        .vars
        .iter()
        .map(|(name, _)| name.clone())
        .collect();
    for (_, profile) in &inventory.profiles {
        templates(&profile.vars, names.clone(), scope, findings);
    }
}

/// A var may use the inventory, the profile and the vars before it.
fn templates(
    vars: &[(String, Node)],
    mut known: BTreeSet<String>,
    scope: &Scope,
    findings: &mut Findings,
) {
    for (name, node) in vars {
        of_node(node, &known, scope, findings);
        known.insert(name.clone());
    }
}

fn of_node(node: &Node, known: &BTreeSet<String>, scope: &Scope, findings: &mut Findings) {
    match &node.kind {
        Kind::Scalar(scalar) if template::has_template(&scalar.text) => {
            of_text(&scalar.text, node.span, known, scope, findings)
        }
        Kind::List(items) => items
            .iter()
            .for_each(|item| of_node(item, known, scope, findings)),
        Kind::Map(entries) => entries
            .iter()
            .for_each(|entry| of_node(&entry.value, known, scope, findings)),
        Kind::Scalar(_) | Kind::Value(_) => {}
    }
}

fn of_text(
    text: &str,
    span: Span,
    known: &BTreeSet<String>,
    scope: &Scope,
    findings: &mut Findings,
) {
    let errors = template::check(text);
    if let Some(error) = errors.into_iter().next() {
        let place = locate(&findings.source, span, text, error.range);
        findings.maybe_hinted("invalid-template", place, error.message, error.hint);
        return;
    }
    for expression in template::expressions(text) {
        for path in template::names(expression.source) {
            let range = path.range.start + expression.offset..path.range.end + expression.offset;
            let place = locate(&findings.source, span, text, range);
            match path.root() {
                "vars" => {
                    let name = path
                        .segments
                        .get(1)
                        .and_then(|segment| segment.name())
                        .unwrap_or_default();
                    if !path.optional
                        && !known
                            .iter()
                            .any(|known| underscored(known) == underscored(name))
                    {
                        findings.hinted(
                            "undefined-name",
                            place,
                            format!("`{}` is not defined here", path.text()),
                            "a var may use the vars before it, `inventory` and `profile`",
                        );
                    }
                }
                root @ ("steps" | "secret") => findings.hinted(
                    "undefined-name",
                    place,
                    format!("a var cannot use `{root}`"),
                    "use it where the var is used",
                ),
                _ => {
                    if let Err(error) = scope.check(&path) {
                        findings.maybe_hinted("undefined-name", place, error.message, error.hint);
                    }
                }
            }
        }
    }
}

impl Book {
    /// Whether any guide, the inventory or a profile has a var of that name: what `--var` may give.
    pub fn has_var(&self, name: &str) -> bool {
        self.var_names().contains(name)
    }

    /// The names of all vars of the book.
    pub fn var_names(&self) -> BTreeSet<&str> {
        let guides = self.guides.iter().flat_map(|guide| &guide.front.vars);
        let profiles = self
            .inventory
            .profiles
            .iter()
            .flat_map(|(_, profile)| &profile.vars);
        guides
            .chain(&self.inventory.vars)
            .chain(profiles)
            .map(|(name, _)| name.as_str())
            .collect()
    }

    /// The vars that a step uses and that have no value: `name: null`, and neither the profile nor `--var` gives one. A due
    /// step must have none.
    pub fn ungiven(&self, at: StepRef) -> Vec<&str> {
        let (guide, step) = self.get(at);
        let written = |name: &str| {
            guide
                .front
                .vars
                .iter()
                .chain(&self.inventory.vars)
                .find(|(known, _)| known == name)
        };
        let of_profile = |name: &str| {
            self.inventory
                .profile(&self.profile)
                .and_then(|profile| profile.vars.iter().find(|(known, _)| known == name))
        };
        let is_open = |name: &str| {
            !self.given.contains_key(name)
                && of_profile(name)
                    .or_else(|| written(name))
                    .is_some_and(|(_, node)| read::is_null(node))
        };
        step.uses
            .vars
            .iter()
            .map(|(name, _)| name.as_str())
            .filter(|name| is_open(name))
            .collect()
    }
}
