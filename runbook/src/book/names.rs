//! The names that templates use: each must be defined before anything runs (LANGUAGE section 1, templates, rules 6 and 7).

use std::cell::OnceCell;
use std::collections::{BTreeSet, HashMap};

use serde_json::{Value, json};

use super::expressions::Expressions;
use super::secrets::listed_secret;
use super::texts::{Place, texts};
use super::{Checked, World, parallel, vars};
use crate::findings::Findings;
use crate::inventory::Inventory;
use crate::model::{Guide, Uses, Vars};
use crate::node::Node;
use crate::place::locate;
use crate::source::Span;
use crate::suggest;
use crate::template::{self, Path, Scope};
use crate::values::Values;

/// Checks every template of every step; gives what each step uses.
pub(super) fn check(
    checked: &[Checked],
    world: &World,
    inventory: &Inventory,
    profile: &str,
    given: &Vars,
) -> Vec<(Vec<Uses>, Findings)> {
    let values = Values::new(inventory, profile, given);
    let shared = shared_of(&values);
    let each = |one: &Checked| {
        let mut findings = Findings::new(one.guide.source.clone());
        let context = Context {
            checked,
            world,
            inventory,
            guide: &one.guide,
            vars: vars::names(
                &one.guide,
                inventory,
                profile,
                given,
                &shared,
                &mut findings,
            ),
            by_name: by_name(&one.guide),
            scope: &shared,
            values: &values,
            of_guide: OnceCell::new(),
            expressions: Expressions::default(),
        };
        let uses = (0..one.guide.steps.len())
            .map(|step| context.step(step, &mut findings))
            .collect();
        (uses, findings)
    };
    parallel::map(checked.iter().collect(), each)
}

/// The roots whose values are known when the book is checked.
pub(super) fn shared_scope(inventory: &Inventory, profile: &str, given: &Vars) -> Scope {
    shared_of(&Values::new(inventory, profile, given))
}

fn shared_of(values: &Values<'_>) -> Scope {
    let mut scope = values.shared().clone();
    for root in ["vars", "steps", "secret"] {
        scope.set(root, json!({}));
    }
    scope
}

/// Steps of a guide by their own name with `_`.
fn by_name(guide: &Guide) -> HashMap<String, Vec<usize>> {
    let mut all: HashMap<String, Vec<usize>> = HashMap::new();
    for (index, step) in guide.steps.iter().enumerate() {
        all.entry(underscored(step.id.step.as_deref().unwrap_or_default()))
            .or_default()
            .push(index);
    }
    all
}

pub(super) fn underscored(name: &str) -> String {
    name.replace('-', "_")
}

pub(super) struct Context<'a> {
    pub(super) checked: &'a [Checked],
    pub(super) world: &'a World,
    pub(super) inventory: &'a Inventory,
    pub(super) guide: &'a Guide,
    pub(super) vars: BTreeSet<String>,
    pub(super) by_name: HashMap<String, Vec<usize>>,
    pub(super) scope: &'a Scope,
    values: &'a Values<'a>,
    /// The values of the guide's `vars` too, made when a name first leads into one of them.
    of_guide: OnceCell<Scope>,
    pub(super) expressions: Expressions,
}

/// One name in one template of one step.
pub(super) struct Use<'a> {
    pub(super) step: usize,
    pub(super) place: Place<'a>,
    pub(super) path: &'a Path,
    /// The paths of the same expression after this one: a name with `-` goes on in the next.
    pub(super) rest: &'a [Path],
    pub(super) span: Span,
}

impl Context<'_> {
    fn step(&self, index: usize, findings: &mut Findings) -> Uses {
        let step = &self.guide.steps[index];
        let mut uses = Uses::default();
        texts(step, &mut |node, place| {
            self.text(index, node, place, &mut uses, findings)
        });
        for used in &step.keys.secrets {
            self.captured_secret(index, used, &mut uses, findings);
        }
        for (_, node) in &step.keys.each {
            self.inventory_map(node, &mut uses, findings);
        }
        uses
    }

    fn text(
        &self,
        step: usize,
        node: &Node,
        place: Place<'_>,
        uses: &mut Uses,
        findings: &mut Findings,
    ) {
        let Some(text) = node.as_text().filter(|text| template::has_template(text)) else {
            return;
        };
        for expression in template::expressions(text) {
            if !expression.closed {
                for error in template::check(&text[expression.range.start..]) {
                    let error = error.moved(expression.range.start);
                    let span = locate(&findings.source, node.span, text, error.range);
                    findings.maybe_hinted("invalid-template", span, error.message, error.hint);
                }
                continue;
            }
            let understood = self.expressions.understand(expression.source);
            let paths = match &*understood {
                Ok(paths) => paths,
                Err(error) => {
                    let error = error.clone().moved(expression.offset);
                    let span = locate(&findings.source, node.span, text, error.range);
                    findings.maybe_hinted("invalid-template", span, error.message, error.hint);
                    continue;
                }
            };
            let told = findings.list.len();
            let mut skip = false;
            for (index, path) in paths.iter().enumerate() {
                // The rest of a name with `-` that was told already.
                if std::mem::take(&mut skip) && path.after_hyphen {
                    continue;
                }
                let range =
                    path.range.start + expression.offset..path.range.end + expression.offset;
                let span = locate(&findings.source, node.span, text, range);
                let before = findings.list.len();
                self.path(
                    &Use {
                        step,
                        place,
                        path,
                        rest: &paths[index + 1..],
                        span,
                    },
                    uses,
                    findings,
                );
                skip = findings.list.len() > before;
            }
            if let ([only], true) = (&paths[..], findings.list.len() == told)
                && expression.range != (0..text.len())
                && expression.source.trim().len() == only.range.len()
                && let Some((message, hint)) = self.no_text(only)
            {
                let range =
                    only.range.start + expression.offset..only.range.end + expression.offset;
                let span = locate(&findings.source, node.span, text, range);
                findings.hinted("invalid-template", span, message, hint);
            }
        }
    }

    /// Why the value of a name cannot stand inside a longer text, when it is known and cannot: the message and the hint.
    fn no_text(&self, path: &Path) -> Option<(String, String)> {
        let scope = match path.root() {
            "vars" => self.vars_scope(),
            "inventory" => self.scope,
            _ => return None,
        };
        let value = scope.value(path).filter(|value| !value.is_null())?;
        template::inside_text(&value, &path.text()).err()
    }

    fn vars_scope(&self) -> &Scope {
        self.of_guide
            .get_or_init(|| self.values.of(self.guide).scope)
    }

    pub(super) fn path(&self, used: &Use<'_>, uses: &mut Uses, findings: &mut Findings) {
        match used.path.root() {
            name if used.place.each
                && self.guide.steps[used.step]
                    .keys
                    .each
                    .iter()
                    .any(|(each, _)| underscored(each) == name) => {}
            "vars" => self.var(used, uses, findings),
            "inventory" | "profile" => self.known(used, uses, findings),
            "secret" => self.secret(used, uses, findings),
            "steps" => self.other(used, uses, findings),
            _ => {
                if let Err(error) = self.scope.check(used.path) {
                    findings.maybe_hinted("undefined-name", used.span, error.message, error.hint);
                }
            }
        }
    }

    /// `each: {n: nodes.*}`: a map of the inventory, by its path.
    fn inventory_map(&self, node: &Node, uses: &mut Uses, findings: &mut Findings) {
        let Some(path) = node.as_text().and_then(|text| text.strip_suffix(".*")) else {
            return;
        };
        let expression = format!("inventory.{path}");
        if !path.split('.').all(|name| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
        }) {
            findings.hinted(
                "wrong-type",
                node.span,
                format!("`{path}.*` is not a map of the inventory"),
                "write `nodes.*`, `guests.*`, `hosts.*` or `clusters.*`",
            );
            return;
        }
        let known = template::names(&underscored(&expression));
        let Some(found) = known.first() else { return };
        match self.scope.value(found) {
            Some(Value::Object(_)) => uses.inventory.push(expression),
            Some(_) => findings.hinted(
                "wrong-type",
                node.span,
                format!("`{path}` of the inventory is not a map"),
                "write the path of a map, or a template that gives a list",
            ),
            None => {
                let top = ["nodes", "guests", "hosts", "clusters"];
                let hint = suggest::did_you_mean_or_list(path, top, "its maps are");
                findings.maybe_hinted(
                    "undefined-name",
                    node.span,
                    format!("the inventory has no `{path}`"),
                    hint,
                );
            }
        }
    }

    pub(super) fn undefined(
        &self,
        used: &Use<'_>,
        message: String,
        known: &[String],
        hint: Option<String>,
        findings: &mut Findings,
    ) {
        if used.path.optional {
            return;
        }
        let written = used
            .path
            .segments
            .get(1)
            .and_then(|segment| segment.name())
            .unwrap_or_default();
        let hint = hint.or_else(|| hyphened(used, known)).or_else(|| {
            suggest::did_you_mean_or_list(
                &underscored(written),
                known.iter().map(String::as_str),
                "there are",
            )
        });
        findings.maybe_hinted("undefined-name", used.span, message, hint);
    }

    fn var(&self, used: &Use<'_>, uses: &mut Uses, findings: &mut Findings) {
        let Some(name) = used.path.segments.get(1).and_then(|segment| segment.name()) else {
            return;
        };
        match self
            .vars
            .iter()
            .find(|known| underscored(known) == underscored(name))
        {
            Some(known) => {
                if !uses.vars.iter().any(|(other, _)| other == known) {
                    uses.vars.push((known.clone(), used.span));
                }
                self.inside_var(used, findings);
            }
            None => {
                let elsewhere = self.inventory.profiles.iter().find(|(_, profile)| {
                    profile
                        .vars
                        .iter()
                        .any(|(var, _)| underscored(var) == underscored(name))
                });
                let hint = elsewhere.map(|(profile, _)| format!("only profile `{profile}` has it: add it to `vars` of the guide or the inventory"));
                let known: Vec<String> = self.vars.iter().map(|name| underscored(name)).collect();
                self.undefined(
                    used,
                    format!("`vars.{name}` is not defined"),
                    &known,
                    hint,
                    findings,
                );
            }
        }
    }

    /// A name that leads into a var: what it holds is known, unless it must still be given.
    fn inside_var(&self, used: &Use<'_>, findings: &mut Findings) {
        if used.path.segments.len() <= 2 {
            return;
        }
        let scope = self.vars_scope();
        let var = Path {
            segments: used.path.segments[..2].to_vec(),
            ..used.path.clone()
        };
        if scope.value(&var).is_none_or(|value| value.is_null()) {
            return;
        }
        if let Err(error) = scope.check(used.path) {
            findings.maybe_hinted("undefined-name", used.span, error.message, error.hint);
        }
    }

    fn known(&self, used: &Use<'_>, uses: &mut Uses, findings: &mut Findings) {
        if used.path.root() == "inventory" {
            let text = used.path.text();
            if !uses.inventory.contains(&text) {
                uses.inventory.push(text);
            }
        }
        let names: Vec<Option<&str>> = used
            .path
            .segments
            .iter()
            .map(|segment| segment.name())
            .collect();
        // An address that is not given is asked of the API when first used.
        if let [_, Some("guests"), Some(name), Some("address"), ..] = names.as_slice()
            && self
                .inventory
                .guests
                .iter()
                .any(|guest| underscored(&guest.name) == underscored(name))
        {
            return;
        }
        if let Err(error) = self.scope.check(used.path) {
            findings.maybe_hinted("undefined-name", used.span, error.message, error.hint);
        }
    }

    fn secret(&self, used: &Use<'_>, uses: &mut Uses, findings: &mut Findings) {
        let Some(name) = used.path.segments.get(1).and_then(|segment| segment.name()) else {
            findings.hinted(
                "undefined-name",
                used.span,
                "`secret` alone is no value",
                "write `secret.NAME`",
            );
            return;
        };
        let known = self
            .inventory
            .secrets
            .iter()
            .find(|(known, _)| underscored(known) == underscored(name));
        let Some((known, _)) = known else {
            let names: Vec<String> = self
                .inventory
                .secrets
                .iter()
                .map(|(name, _)| underscored(name))
                .collect();
            let hint = names
                .is_empty()
                .then(|| "add it to the inventory under `secrets`".to_owned());
            self.undefined(
                used,
                format!("the inventory has no secret `{name}`"),
                &names,
                hint,
                findings,
            );
            return;
        };
        let listed = listed_secret(&self.guide.steps[used.step], used.place, known);
        if used.place.script {
            let env = listed.unwrap_or_else(|| known.to_uppercase().replace('-', "_"));
            findings.hinted(
                "secret-in-script",
                used.span,
                format!(
                    "secret `{known}` would stand in the script, where every process list shows it"
                ),
                format!("list it under `secrets` and write `${env}`"),
            );
        } else if listed.is_none() {
            findings.hinted(
                "secret-not-listed",
                used.span,
                format!("secret `{known}` is not listed on the step"),
                format!("add `secrets: [{known}]`"),
            );
        } else if !uses.secrets.contains(known) {
            uses.secrets.push(known.clone());
        }
    }
}

/// `steps.gpu-address.pci` is a subtraction: the hint when the parts together are a known name.
pub(super) fn hyphened(used: &Use<'_>, known: &[String]) -> Option<String> {
    let mut segments: Vec<String> = used
        .path
        .segments
        .iter()
        .map(|segment| segment.name().unwrap_or_default().to_owned())
        .collect();
    let mut last = segments.pop()?;
    for path in used.rest.iter().take_while(|path| path.after_hyphen) {
        last = format!("{last}_{}", path.root());
        if known.contains(&last) {
            segments.push(last);
            let written = segments.join(".");
            let more: String = path.segments[1..]
                .iter()
                .filter_map(|segment| segment.name())
                .map(|name| format!(".{name}"))
                .collect();
            return Some(format!(
                "write `{written}{more}`: in a template a name's `-` is `_`"
            ));
        }
    }
    None
}
