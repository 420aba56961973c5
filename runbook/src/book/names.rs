//! The names that templates use: each must be defined before anything runs (LANGUAGE section 1, templates, rules 6 and 7).

use std::collections::{BTreeSet, HashMap};

use serde_json::json;

use super::expressions::Expressions;
use super::secrets::listed_secret;
use super::texts::{Place, texts};
use super::{Checked, World, needs, parallel, vars};
use crate::findings::Findings;
use crate::id::{Id, Ref};
use crate::inventory::Inventory;
use crate::model::{Guide, SecretSource, SecretUse, Step, StepUse, Uses, Vars};
use crate::node::Node;
use crate::place::locate;
use crate::source::Span;
use crate::step::STEP_FIELDS;
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
    let shared = shared_scope(inventory, profile, given);
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
    let mut scope = Values::new(inventory, profile, given).shared().clone();
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

struct Context<'a> {
    checked: &'a [Checked],
    world: &'a World,
    inventory: &'a Inventory,
    guide: &'a Guide,
    vars: BTreeSet<String>,
    by_name: HashMap<String, Vec<usize>>,
    scope: &'a Scope,
    expressions: Expressions,
}

/// One name in one template of one step.
struct Use<'a> {
    step: usize,
    place: Place<'a>,
    path: &'a Path,
    /// The paths of the same expression after this one: a name with `-` goes on in the next.
    rest: &'a [Path],
    span: Span,
}

/// What the name of a step leads to.
enum Found {
    Step(usize, usize),
    /// It is there but broken, which is told already.
    Broken,
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
        }
    }

    fn path(&self, used: &Use<'_>, uses: &mut Uses, findings: &mut Findings) {
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

    fn undefined(
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

    /// `steps.ID…`: the step must stand above, or be in `needs`; what follows is a capture or how it ended.
    fn other(&self, used: &Use<'_>, uses: &mut Uses, findings: &mut Findings) {
        let Some(key) = used.path.segments.get(1).and_then(|segment| segment.name()) else {
            return;
        };
        let step = &self.guide.steps[used.step];
        let Some(found) = self.resolve(key, step, used, findings) else {
            return;
        };
        let Found::Step(guide, index) = found else {
            return;
        };
        let other = &self.checked[guide].guide.steps[index];
        if !self.may_use(used, guide, index) {
            let own = other.id == step.id;
            let message = if own {
                format!("`{key}` is this step, which has no result yet")
            } else {
                format!("step `{}` does not stand above", other.id)
            };
            let hint = if own {
                "use it in a step below".to_owned()
            } else {
                format!("add it to `needs`: `{}`", written_ref(step, other))
            };
            findings.hinted("undefined-name", used.span, message, hint);
            return;
        }
        let field = used.path.segments.get(2).and_then(|segment| segment.name());
        let mut own_name = None;
        if let Some(field) = field {
            let captures = other
                .keys
                .capture
                .iter()
                .map(|capture| capture.name.as_str());
            let known = captures.chain(STEP_FIELDS.iter().copied());
            own_name = known
                .clone()
                .find(|known| underscored(known) == underscored(field))
                .map(str::to_owned);
            if own_name.is_none() {
                let names: Vec<String> = known.map(underscored).collect();
                if !used.path.optional {
                    let hint = hyphened(used, &names).or_else(|| {
                        suggest::did_you_mean_or_list(
                            &underscored(field),
                            names.iter().map(String::as_str),
                            "it has",
                        )
                    });
                    findings.maybe_hinted(
                        "undefined-name",
                        used.span,
                        format!("step `{key}` captures no `{field}`"),
                        hint,
                    );
                }
                return;
            }
        }
        uses.steps.push(StepUse {
            key: key.to_owned(),
            id: other.id.clone(),
            field: own_name,
            span: used.span,
        });
    }

    /// The step that a name after `steps.` means, seen from a step.
    fn resolve(
        &self,
        key: &str,
        step: &Step,
        used: &Use<'_>,
        findings: &mut Findings,
    ) -> Option<Found> {
        let id = if key.contains('#') {
            Id::parse(key)
        } else if let Some((section, name)) = key.split_once('/') {
            Some(Id::step(&self.guide.id, section, name))
        } else {
            return self.by_own_name(key, step, used, findings);
        };
        let found = id
            .as_ref()
            .filter(|id| id.step.is_some())
            .and_then(|id| self.world.steps.get(id));
        match found {
            Some(Some((guide, step))) => Some(Found::Step(*guide, *step)),
            Some(None) => Some(Found::Broken),
            None => {
                let ids: Vec<String> = if key.contains('#') {
                    self.world.steps.keys().map(Id::to_string).collect()
                } else {
                    self.guide
                        .steps
                        .iter()
                        .map(|step| step.id.anchor())
                        .collect()
                };
                let hint = suggest::nearest(key, ids.iter().map(String::as_str))
                    .map(|id| format!("did you mean `steps[\"{id}\"]`?"));
                findings.maybe_hinted("undefined-name", used.span, format!("there is no step `{key}`"), hint.or_else(|| Some("write `steps[\"section/id\"]`, of another guide `steps[\"guide#section/id\"]`".into())));
                None
            }
        }
    }

    fn by_own_name(
        &self,
        key: &str,
        step: &Step,
        used: &Use<'_>,
        findings: &mut Findings,
    ) -> Option<Found> {
        let empty = Vec::new();
        let named = self.by_name.get(&underscored(key)).unwrap_or(&empty);
        let guide = self.world.guides[&self.guide.id];
        let same = named
            .iter()
            .find(|index| self.guide.steps[**index].section == step.section);
        match (same, named.as_slice()) {
            (Some(index), _) | (None, [index]) => return Some(Found::Step(guide, *index)),
            (None, [_, _, ..]) => {
                let all: Vec<String> = named
                    .iter()
                    .map(|index| format!("`steps[\"{}\"]`", self.guide.steps[*index].id.anchor()))
                    .collect();
                findings.hinted(
                    "ambiguous-step",
                    used.span,
                    format!("`steps.{key}` may be several steps"),
                    format!("write {}", all.join(" or ")),
                );
                return None;
            }
            (None, []) => {}
        }
        let broken = &self.checked[guide].broken;
        if broken
            .iter()
            .any(|id| id.step.as_deref().map(underscored).as_deref() == Some(&underscored(key)))
        {
            return Some(Found::Broken);
        }
        let known: Vec<String> = self
            .by_name
            .keys()
            .cloned()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        self.undefined(
            used,
            format!("there is no step `{key}` in this guide"),
            &known,
            None,
            findings,
        );
        None
    }

    fn may_use(&self, used: &Use<'_>, guide: usize, index: usize) -> bool {
        let own_guide = self.world.guides[&self.guide.id];
        let step = &self.guide.steps[used.step];
        if guide == own_guide && (index < used.step || (index == used.step && used.place.own)) {
            return true;
        }
        if guide == own_guide && index == used.step {
            return false;
        }
        let other = &self.checked[guide].guide;
        let section = &self.guide.sections[step.section].id;
        let holds = |reference: &Ref, section: &str| {
            let id = reference.resolve(&self.guide.id, section);
            id.guide == other.id && needs::steps_of(other, &id).contains(&index)
        };
        step.keys
            .needs
            .iter()
            .flatten()
            .any(|(reference, _)| holds(reference, section))
            || self
                .guide
                .front
                .needs
                .iter()
                .any(|(reference, _)| holds(reference, ""))
    }

    /// `secrets: {ENV: steps.ID.NAME}`: a captured secret.
    fn captured_secret(
        &self,
        index: usize,
        used: &SecretUse,
        uses: &mut Uses,
        findings: &mut Findings,
    ) {
        let SecretSource::Captured(text) = &used.source else {
            return;
        };
        if let Err(error) = template::check_expression(text) {
            findings.maybe_hinted("invalid-template", used.span, error.message, error.hint);
            return;
        }
        let paths = template::names(text);
        let Some(path) = paths.first() else { return };
        let before = uses.steps.len();
        let place = Place {
            script: false,
            own: false,
            each: true,
            secrets: None,
        };
        self.path(
            &Use {
                step: index,
                place,
                path,
                rest: &paths[1..],
                span: used.span,
            },
            uses,
            findings,
        );
        let Some(other) = uses.steps.get(before) else {
            return;
        };
        let Some((guide, step)) = self.world.steps.get(&other.id).copied().flatten() else {
            return;
        };
        let captures = &self.checked[guide].guide.steps[step].keys.capture;
        let secret = captures
            .iter()
            .any(|capture| Some(&capture.name) == other.field.as_ref() && capture.secret);
        if !secret {
            findings.hinted(
                "unknown-secret",
                used.span,
                format!("`{text}` is not a captured secret"),
                "add `secret: true` to that capture, or pass it with `env`",
            );
        }
    }
}

/// How a step would write the other in its `needs`.
fn written_ref(step: &Step, other: &Step) -> String {
    if step.id.guide != other.id.guide {
        return other.id.to_string();
    }
    if step.id.section == other.id.section {
        return other.id.step.clone().unwrap_or_default();
    }
    format!("'#{}'", other.id.anchor())
}

/// `steps.gpu-address.pci` is a subtraction: the hint when the parts together are a known name.
fn hyphened(used: &Use<'_>, known: &[String]) -> Option<String> {
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
