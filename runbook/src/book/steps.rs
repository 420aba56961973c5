//! `steps.ID` in a template: which step it is, and whether its result can be used there.

use std::collections::BTreeSet;

use super::graph::steps_of;
use super::names::{Context, Use, hyphened, underscored};
use super::texts::Place;
use crate::findings::Findings;
use crate::id::{Id, Ref};
use crate::model::{SecretSource, SecretUse, Step, StepUse, Uses};
use crate::step::STEP_FIELDS;
use crate::suggest;
use crate::template;

/// What the name of a step leads to.
enum Found {
    Step(usize, usize),
    /// It is there but broken, which is told already.
    Broken,
}

impl Context<'_> {
    /// `steps.ID…`: the step must stand above, or be in `needs`; what follows is a capture or how it ended.
    pub(super) fn other(&self, used: &Use<'_>, uses: &mut Uses, findings: &mut Findings) {
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
            id.guide == other.id && steps_of(other, &id).contains(&index)
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
    pub(super) fn captured_secret(
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
