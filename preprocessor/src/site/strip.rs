//! The strip of past results, and how long something does not hold.
//!
//! A cell is a result; what it says is told by its shape and its title too, and it leads to its run.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use runbook::outcome::State;
use runbook::status::{Cell, Failing};

use super::html::{address, day_and_time, escaped, told};
use super::page::Page;

/// How many results the strip of a card shows.
pub(super) const CARD_MAX: usize = 12;
/// How many results the strip of a guide shows.
pub(super) const GUIDE_MAX: usize = 30;

/// Whether a strip says more than that all is well.
pub(super) fn has_failures(cells: &[Cell]) -> bool {
    cells
        .iter()
        .any(|cell| !matches!(cell.state, State::Passed | State::Skipped))
}

/// Appends the last results of a strip, oldest first.
pub(super) fn cells(out: &mut String, cells: &[Cell], at_most: usize, page: &Page<'_>) {
    out.push_str("<span class=\"rb-strip\">");
    for cell in &cells[cells.len().saturating_sub(at_most)..] {
        let state = cell.state;
        let title = format!(
            "{} {}",
            told(Some(state)),
            day_and_time(&cell.run.finished_at)
        );
        match page.run(&cell.run.id) {
            Some(href) => {
                let href = address(&href);
                let _ = write!(
                    out,
                    "<a href=\"{href}\" data-s=\"{state}\" title=\"{}\"></a>",
                    escaped(&title)
                );
            }
            None => {
                let _ = write!(
                    out,
                    "<span data-s=\"{state}\" title=\"{}\"></span>",
                    escaped(&title)
                );
            }
        }
    }
    out.push_str("</span>");
}

/// `failing for 3 nights, since 4f2c1d0`; in runs where they are not nightly.
pub(super) fn failing(failing: Option<&Failing>, cells: &[Cell]) -> Option<String> {
    let failing = failing?;
    let first = &failing.since;
    let since = match &first.revision {
        Some(revision) => revision.chars().take(12).collect(),
        None => day_and_time(&first.finished_at),
    };
    if failing.runs <= 1 {
        return Some(format!("failing since {since}"));
    }
    let days: BTreeSet<&str> = cells
        .iter()
        .filter(|cell| cell.run.finished_at >= first.finished_at && cell.state != State::Passed)
        .filter_map(|cell| cell.run.finished_at.get(..10))
        .collect();
    let runs = usize::try_from(failing.runs).unwrap_or(usize::MAX);
    // Nights only where the strip still shows the whole row, and each run of it was one.
    Some(if days.len() == runs {
        format!("failing for {runs} nights, since {since}")
    } else {
        format!("failing for {runs} runs, since {since}")
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use runbook::status::Run;

    use super::*;

    fn cell(day: u32, state: State) -> Cell {
        Cell {
            run: run(day),
            state,
        }
    }

    fn run(day: u32) -> Arc<Run> {
        Arc::new(Run {
            id: format!("r{day}"),
            finished_at: format!("2026-11-{day:02}T02:00:00Z"),
            profile: "lab".into(),
            revision: Some("4f2c1d0".into()),
        })
    }

    fn row(runs: u32, day: u32) -> Failing {
        Failing {
            since: run(day),
            runs,
        }
    }

    #[test]
    fn a_row_of_failures_is_told_in_nights_where_it_is_one_each() {
        let nights: Vec<Cell> = (20..24).map(|day| cell(day, State::Failed)).collect();
        let told = failing(Some(&row(3, 21)), &nights);
        assert_eq!(told.as_deref(), Some("failing for 3 nights, since 4f2c1d0"));
        let told = failing(Some(&row(5, 21)), &nights);
        assert_eq!(told.as_deref(), Some("failing for 5 runs, since 4f2c1d0"));
        let told = failing(Some(&row(1, 23)), &nights);
        assert_eq!(told.as_deref(), Some("failing since 4f2c1d0"));
        assert_eq!(failing(None, &nights), None);
    }
}
