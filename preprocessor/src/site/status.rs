//! The status page: every guide in a line, what does not hold first.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use runbook::outcome::State;
use runbook::status::GuideView;
use runbook::values::LAB;
use serde::Serialize;

use super::Site;
use super::chapter::href;
use super::guides::Class;
use super::html::{bounded, count, moment, profile, state, told};
use super::page::Page;
use super::strip;
use super::templates::{TemplateError, part};
use crate::assets::SPRITE;

/// How long what a guide's first finding says is, in characters.
const FINDING_CHARACTERS_MAX: usize = 300;

#[derive(Serialize)]
struct Values {
    sprite: &'static str,
    totals: String,
    empty: bool,
    filters: Vec<Filter>,
    rows: Vec<Row>,
    runs: Vec<Run>,
}

#[derive(Serialize)]
struct Filter {
    key: &'static str,
    told: String,
}

#[derive(Serialize)]
struct Row {
    id: String,
    class: &'static str,
    sign: String,
    title: String,
    page: String,
    facts: String,
    strip: String,
    finding: Option<Finding>,
    failing: Option<String>,
}

#[derive(Serialize)]
struct Finding {
    page: String,
    step: String,
    text: String,
}

#[derive(Serialize)]
struct Run {
    page: String,
    id: String,
    sign: String,
    facts: String,
    told: String,
}

/// The page's content.
///
/// # Errors
/// When its template is wrong.
pub(super) fn render(site: &Site, assets: &str) -> Result<String, TemplateError> {
    let page = site.page("");
    let mut views: Vec<&GuideView> = site
        .view
        .guides
        .iter()
        .filter(|view| !view.steps.is_empty())
        .collect();
    views.sort_by_key(|view| Class::of(view));
    let mut classes: BTreeMap<Class, usize> = BTreeMap::new();
    for view in &views {
        *classes.entry(Class::of(view)).or_insert(0) += 1;
    }
    let values = Values {
        sprite: SPRITE.trim_end(),
        totals: totals(views.len(), &classes),
        empty: views.iter().all(|view| view.state.is_none()),
        filters: filters(&classes),
        rows: views.iter().map(|view| row(view, &page)).collect(),
        runs: site
            .runs
            .iter()
            .filter_map(|run| run_row(site, run, &page))
            .collect(),
    };
    let part = part("status.html", &values)?;
    Ok(site.own_page("status.html", "# Status\n\n", assets, &part))
}

/// `41 guides: 38 hold, 1 failed, 2 old`.
fn totals(all: usize, classes: &BTreeMap<Class, usize>) -> String {
    let mut told: Vec<String> = classes
        .iter()
        .map(|(class, number)| class.told(*number))
        .collect();
    // What holds is said first, as in speech.
    if classes.contains_key(&Class::Holds) {
        told.rotate_right(1);
    }
    format!("{}: {}", count(all, "guide"), told.join(", "))
}

fn filters(classes: &BTreeMap<Class, usize>) -> Vec<Filter> {
    if classes.len() < 2 {
        return Vec::new();
    }
    let filter = |(class, number): (&Class, &usize)| Filter {
        key: class.key(),
        told: class.told(*number),
    };
    classes.iter().map(filter).collect()
}

fn row(view: &GuideView, page: &Page<'_>) -> Row {
    let lab = view.profile.as_deref() == Some(LAB);
    let mut sign = String::new();
    let word = match view.state {
        None => told(None).to_owned(),
        Some(_) => view.word(),
    };
    state(&mut sign, view.state, view.freshness, lab, &word);
    let mut facts = String::new();
    if let Some(name) = &view.profile {
        profile(&mut facts, name);
    }
    if let Some(at) = &view.finished_at {
        facts.push_str(" · ");
        moment(&mut facts, at);
    }
    let class = Class::of(view);
    if matches!(class, Class::Stale | Class::Old) {
        let _ = write!(facts, " · <b>{}</b>", class.key());
    }
    let mut cells = String::new();
    strip::cells(&mut cells, &view.strip, strip::GUIDE_MAX, page);
    Row {
        id: view.id.to_string(),
        class: class.key(),
        sign,
        title: view.title.clone(),
        page: page.guide(&view.id.guide),
        facts,
        strip: cells,
        finding: view.finding.as_ref().map(|(step, text)| Finding {
            page: href(page, step),
            step: step.anchor(),
            text: bounded(text, FINDING_CHARACTERS_MAX).into_owned(),
        }),
        failing: strip::failing(view.failing.as_ref(), &view.strip),
    }
}

fn run_row(site: &Site, run: &str, page: &Page<'_>) -> Option<Run> {
    let line = site.line(run)?;
    let worst = line.steps.iter().map(|step| step.state).min();
    let mut sign = String::new();
    let fresh = runbook::outcome::Freshness::Fresh;
    state(&mut sign, worst, fresh, line.profile == LAB, told(worst));
    let mut facts = String::new();
    profile(&mut facts, &line.profile);
    let _ = write!(facts, " · {} · ", line.mode);
    moment(&mut facts, &line.finished_at);
    Some(Run {
        page: page.run(run)?,
        id: run.to_owned(),
        sign,
        facts,
        told: by_state(line.steps.iter().map(|step| step.state)),
    })
}

/// `12 passed, 1 failed, 2 skipped`: what passed, then the worst first.
pub(crate) fn by_state(states: impl Iterator<Item = State>) -> String {
    let mut counts: BTreeMap<State, usize> = BTreeMap::new();
    for state in states {
        *counts.entry(state).or_insert(0) += 1;
    }
    let passed = counts.remove_entry(&State::Passed);
    let ordered = passed.into_iter().chain(counts);
    let told: Vec<String> = ordered
        .map(|(state, number)| format!("{number} {}", told(Some(state))))
        .collect();
    if told.is_empty() {
        "no steps".to_owned()
    } else {
        told.join(", ")
    }
}
