//! The feed: one entry per change of a guide's state, newest first; not one per night.

use std::collections::BTreeMap;

use runbook::id::Id;
use runbook::outcome::State;
use runbook::report::HistoryLine;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::Site;
use super::html::{address, day_and_time, told};
use super::templates::{TemplateError, render};

/// How many changes the feed tells.
const ENTRIES_MAX: usize = 60;
/// How many steps an entry names.
const STEPS_MAX: usize = 12;

#[derive(Serialize)]
struct Values {
    title: String,
    urn: String,
    updated: String,
    entries: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    title: String,
    urn: String,
    at: String,
    page: String,
    summary: String,
}

/// The Atom document.
///
/// # Errors
/// When its template is wrong.
pub(super) fn render_feed(site: &Site) -> Result<String, TemplateError> {
    let mut lines: Vec<&HistoryLine> = site.recorded.records.lines.iter().collect();
    lines.sort_by(|a, b| (&a.finished_at, &a.run).cmp(&(&b.finished_at, &b.run)));
    let urn = format!("urn:runbook:{}", short_hash(&site.title));
    let mut entries = changes(site, &lines, &urn);
    entries.reverse();
    entries.truncate(ENTRIES_MAX);
    let values = Values {
        title: format!("{}: changes of state", site.title),
        updated: entries.first().map_or_else(
            || "1970-01-01T00:00:00Z".to_owned(),
            |entry| entry.at.clone(),
        ),
        urn,
        entries,
    };
    render("feed.xml", &values)
}

/// Every change, oldest first.
fn changes(site: &Site, lines: &[&HistoryLine], urn: &str) -> Vec<Entry> {
    let mut known: BTreeMap<(&str, &Id), State> = BTreeMap::new();
    let mut guides: BTreeMap<(&str, &str), State> = BTreeMap::new();
    let mut entries = Vec::new();
    for line in lines {
        let mut worst: BTreeMap<&str, State> = BTreeMap::new();
        let mut changed: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for step in &line.steps {
            let guide = step.id.guide.as_str();
            let state = worst.entry(guide).or_insert(step.state);
            *state = (*state).min(step.state);
            let before = known.insert((&line.profile, &step.id), step.state);
            if before != Some(step.state) && (before.is_some() || step.state != State::Passed) {
                let before = before
                    .map(|before| format!(" (was {})", told(Some(before))))
                    .unwrap_or_default();
                let message = step
                    .message
                    .as_deref()
                    .map(|message| format!(": {message}"))
                    .unwrap_or_default();
                let text = format!(
                    "{} {}{before}{message}",
                    step.id.anchor(),
                    told(Some(step.state))
                );
                changed.entry(guide).or_default().push(text);
            }
        }
        for (guide, state) in worst {
            let before = guides.insert((&line.profile, guide), state);
            if before == Some(state) {
                continue;
            }
            let title = site.guide(guide).map_or(guide, |(guide, _)| &guide.title);
            let was = before
                .map(|before| format!(" (was {})", told(Some(before))))
                .unwrap_or_default();
            let mut steps = changed.remove(guide).unwrap_or_default();
            steps.truncate(STEPS_MAX);
            entries.push(Entry {
                title: format!("{title}: {}{was}", told(Some(state))),
                urn: format!("{urn}:{}:{}", address(guide), address(&line.run)),
                at: line.finished_at.clone(),
                page: address(&format!("{guide}.html")),
                summary: format!(
                    "On {} at {}. {}",
                    line.profile,
                    day_and_time(&line.finished_at),
                    steps.join("; ")
                ),
            });
        }
    }
    entries
}

fn short_hash(text: &str) -> String {
    Sha256::digest(text.as_bytes())
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
