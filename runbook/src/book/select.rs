//! From IDs to steps: what a command line names.

use super::graph::{sections_under, steps_of};
use crate::id::Id;
use crate::model::{Book, Guide, Section, Step, StepRef};
use crate::suggest;

/// An ID that is not in the book.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no {what} `{id}`")]
pub struct UnknownId {
    /// As it was asked for.
    pub id: String,
    /// `guide`, `section` or `step`.
    pub what: &'static str,
    /// The nearest, or what there is.
    pub hint: Option<String>,
}

impl Book {
    /// A guide by its ID.
    pub fn guide(&self, id: &str) -> Option<&Guide> {
        self.guides.iter().find(|guide| guide.id == id)
    }

    /// A step by its full ID (the item of `each` does not matter).
    pub fn step(&self, id: &Id) -> Option<(&Guide, &Step)> {
        self.step_ref(id).map(|at| self.get(at))
    }

    /// The place of a step by its full ID.
    pub fn step_ref(&self, id: &Id) -> Option<StepRef> {
        let guide = self.guides.iter().position(|guide| guide.id == id.guide)?;
        let same = |step: &Step| step.id.section == id.section && step.id.step == id.step;
        let step = self.guides[guide].steps.iter().position(same)?;
        Some(StepRef { guide, step })
    }

    /// The guide and the step at a place that came from this book.
    pub fn get(&self, at: StepRef) -> (&Guide, &Step) {
        let guide = &self.guides[at.guide];
        (guide, &guide.steps[at.step])
    }

    /// Every step, in the book's order.
    pub fn steps(&self) -> impl Iterator<Item = (StepRef, &Guide, &Step)> {
        self.guides.iter().enumerate().flat_map(|(guide, model)| {
            model
                .steps
                .iter()
                .enumerate()
                .map(move |(step, written)| (StepRef { guide, step }, model, written))
        })
    }

    /// The steps that IDs mean, in the book's order, each once; no ID means every step. A guide or a section means all its
    /// steps, those under deeper headings too; `asked` ones only where their own ID or their own section's is named.
    ///
    /// # Errors
    ///
    /// The first ID that is not in the book, with the nearest that is.
    pub fn select(&self, ids: &[Id]) -> Result<Vec<StepRef>, UnknownId> {
        if ids.is_empty() {
            return Ok(self
                .steps()
                .filter(|(_, _, step)| !step.keys.asked)
                .map(|(at, ..)| at)
                .collect());
        }
        let mut found = Vec::new();
        for id in ids {
            let Some(guide) = self.guides.iter().position(|guide| guide.id == id.guide) else {
                return Err(self.unknown_guide(id));
            };
            let model = &self.guides[guide];
            if let Some(section) = &id.section
                && !model.sections.iter().any(|known| known.id == *section)
            {
                return Err(unknown(
                    id,
                    "section",
                    section,
                    model
                        .sections
                        .iter()
                        .map(|known| (known.id.as_str(), Id::section(&model.id, &known.id))),
                ));
            }
            let steps = steps_of(model, id);
            if let (Some(step), true) = (&id.step, steps.is_empty()) {
                return Err(unknown(
                    id,
                    "step",
                    step,
                    model
                        .steps
                        .iter()
                        .map(|known| (known.id.step.as_deref().unwrap_or(""), known.id.clone())),
                ));
            }
            let addressed = |step: &Step| id.section.is_some() && step.id.section == id.section;
            found.extend(
                steps
                    .into_iter()
                    .filter(|step| !model.steps[*step].keys.asked || addressed(&model.steps[*step]))
                    .map(|step| StepRef { guide, step }),
            );
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    fn unknown_guide(&self, id: &Id) -> UnknownId {
        let known = self.guides.iter().map(|guide| guide.id.as_str());
        let hint = suggest::did_you_mean(&id.guide, known.clone()).or_else(|| {
            // The last part of a guide's path is what people remember.
            let end = format!("/{}", id.guide);
            known
                .clone()
                .find(|guide| guide.ends_with(&end))
                .map(|guide| format!("did you mean `{guide}`?"))
        });
        let hint = hint.or_else(|| suggest::did_you_mean_or_list(&id.guide, known, "guides"));
        UnknownId {
            id: id.to_string(),
            what: "guide",
            hint,
        }
    }
}

fn unknown<'a>(
    id: &Id,
    what: &'static str,
    written: &str,
    known: impl Iterator<Item = (&'a str, Id)>,
) -> UnknownId {
    let known: Vec<(&str, Id)> = known.collect();
    let nearest = suggest::nearest(written, known.iter().map(|(name, _)| *name));
    let hint = nearest
        .and_then(|nearest| known.iter().find(|(name, _)| *name == nearest))
        .map(|(_, id)| format!("did you mean `{id}`?"));
    let hint = hint.or_else(|| {
        let all: Vec<String> = known.iter().map(|(_, id)| id.to_string()).collect();
        suggest::did_you_mean_or_list(written, all.iter().map(String::as_str), "there are")
    });
    UnknownId {
        id: id.to_string(),
        what,
        hint,
    }
}

impl Guide {
    /// The sections under a section, itself first, in the page's order.
    pub fn sections_under(&self, section: &str) -> Vec<&Section> {
        let under = sections_under(self, section);
        self.sections
            .iter()
            .enumerate()
            .filter(|(index, _)| under.contains(index))
            .map(|(_, section)| section)
            .collect()
    }

    /// The steps of a section itself, without those of deeper headings.
    pub fn steps_in(&self, section: usize) -> impl Iterator<Item = &Step> {
        self.steps
            .iter()
            .filter(move |step| step.section == section)
    }
}
