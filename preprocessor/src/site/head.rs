//! The head of a guide's page: how it stands, a segment per step, its values.

use std::fmt::Write as _;

use runbook::model::Guide;
use runbook::outcome::{Standing, State};
use runbook::status::{GuideView, StepView};
use serde_json::{Map, Value};

use super::html::{address, count, escaped, moment, profile, state, told, word};
use super::page::Page;
use super::values;
use crate::assets::SPRITE;

/// Appends the head: one line, without its end.
pub(super) fn head(
    out: &mut String,
    guide: &Guide,
    view: &GuideView,
    vars: &Map<String, Value>,
    page: &Page<'_>,
) {
    out.push_str("<div class=\"rb-head\">");
    out.push_str(SPRITE.trim_end());
    out.push_str("<p>");
    let lab = view.profile.as_deref() == Some(runbook::values::LAB);
    let word = match view.state {
        None => told(None).to_owned(),
        Some(_) => view.word(),
    };
    state(out, view.state, view.freshness, lab, &word);
    let _ = write!(
        out,
        "<b>{}</b><span class=\"rb-m\">",
        escaped(&totals(view))
    );
    if let Some(name) = &view.profile {
        profile(out, name);
        out.push_str(" · ");
    }
    if let Some(at) = &view.finished_at {
        moment(out, at);
        out.push_str(" · ");
    }
    let _ = write!(
        out,
        "<a href=\"{}status.html\">all guides</a></span></p>",
        page.root
    );
    segments(out, view);
    values::form(out, guide, vars);
    out.push_str("</div>");
}

/// `12 of 14 steps hold · 1 failed · 1 skipped`; without the fraction where the guide's word has one, which counts otherwise.
pub(super) fn totals(view: &GuideView) -> String {
    let all = view.steps.len();
    if view.state.is_none() {
        return count(all, "step");
    }
    let passed = view
        .counts
        .get(State::Passed.as_str())
        .copied()
        .unwrap_or(0);
    let has_fraction = view.word().ends_with(&view.fraction());
    let mut text = match (has_fraction, passed) {
        (true, _) => count(all, "step"),
        (false, 1) => format!("1 of {} holds", count(all, "step")),
        (false, _) => format!("{passed} of {} hold", count(all, "step")),
    };
    let others = State::ALL.iter().map(|state| Some(*state)).chain([None]);
    for other in others.filter(|state| *state != Some(State::Passed)) {
        if let Some(number) = view.counts.get(word(other)).filter(|number| **number > 0) {
            let _ = write!(text, " · {number} {}", told(other));
        }
    }
    let by_stand_in = |step: &&StepView| step.standing == Standing::StandIn;
    let stand_ins = view.steps.iter().filter(by_stand_in).count();
    if stand_ins > 0 {
        let _ = write!(text, " · {stand_ins} by a stand-in");
    }
    text
}

/// A segment per step, each a link.
fn segments(out: &mut String, view: &GuideView) {
    out.push_str("<nav class=\"rb-seg\" aria-label=\"Steps\">");
    for step in &view.steps {
        let _ = write!(
            out,
            "<a href=\"#{}\" data-s=\"{}\" title=\"{}: {}\"></a>",
            address(&step.id.anchor()),
            word(step.state),
            told(step.state),
            escaped(&step.title)
        );
    }
    out.push_str("</nav>");
}
