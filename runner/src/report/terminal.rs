//! The run as people follow it: a line per step, bars of what is running when standing on a terminal, the failures at the end.
//!
//! Human output: may change at any time. Writes to the given writer only; colours only when asked to.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use runbook::event::{
    Event, EventKind, RunFinished, RunStarted, StepFinished, StepStarted, UndoFinished,
};
use runbook::id::Id;
use runbook::outcome::{Mode, State};

use super::text;

/// How often a running step's bar moves.
const TICK: Duration = Duration::from_millis(120);

/// How many failures are told whole at the end.
const FAILURES_MAX: usize = 100;

/// The look of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// ANSI colours.
    pub color: bool,
    /// Bars of running steps: only on a terminal, not in CI.
    pub bars: bool,
    /// A line for each step that passed too; without it only what needs attention.
    pub every_step: bool,
}

/// Tells a run to people.
pub struct Terminal<W> {
    out: W,
    look: Look,
    bars: Option<MultiProgress>,
    running: HashMap<String, ProgressBar>,
    failures: Vec<String>,
    more: usize,
    with_items: HashSet<Id>,
}

impl<W: Write> Terminal<W> {
    /// Tells to `out`.
    pub fn new(out: W, look: Look) -> Self {
        let bars = look
            .bars
            .then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()));
        Self {
            out,
            look,
            bars,
            running: HashMap::new(),
            failures: Vec::new(),
            more: 0,
            with_items: HashSet::new(),
        }
    }

    /// Tells one event.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn event(&mut self, event: &Event) -> io::Result<()> {
        match &event.kind {
            EventKind::RunStarted(run) => self.run_started(run),
            EventKind::StepStarted(step) => {
                self.step_started(step);
                Ok(())
            }
            EventKind::UndoRegistered(_) => Ok(()),
            EventKind::StepFinished(step) => self.step_finished(step),
            EventKind::UndoFinished(undo) => self.undo_finished(undo),
            EventKind::RunFinished(end) => self.run_finished(end),
        }
    }

    fn run_started(&mut self, run: &RunStarted) -> io::Result<()> {
        let steps = if run.steps == 1 { "step" } else { "steps" };
        let line = format!(
            "run {} on profile `{}`, {}: {} {steps}",
            run.run,
            run.profile,
            mode(run.mode),
            run.steps
        );
        self.line(&line)
    }

    fn step_started(&mut self, step: &StepStarted) {
        let Some(bars) = &self.bars else { return };
        let bar = bars.add(ProgressBar::new_spinner());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.set_message(format!("{} ({} on {})", step.id, step.action, step.target));
        bar.enable_steady_tick(TICK);
        self.running.insert(step.id.to_string(), bar);
    }

    fn step_finished(&mut self, step: &StepFinished) -> io::Result<()> {
        if let Some(bar) = self.running.remove(&step.id.to_string()) {
            bar.finish_and_clear();
        }
        if step.state.is_failure() {
            self.fail(step);
        }
        if step.state == State::Passed && !self.look.every_step {
            return Ok(());
        }
        let mut what = step.state.to_string();
        if step.repaired {
            what.push_str(", repaired");
        }
        if step.changed {
            what.push_str(", changed");
        }
        let why = match (&step.reason, step.state) {
            (Some(reason), state) if state != State::Passed => {
                format!(": {}", text::harmless(first_line(reason)))
            }
            _ => String::new(),
        };
        let (on, off) = if self.look.color {
            (text::style(step.state), text::RESET)
        } else {
            ("", "")
        };
        let line = format!(
            "{on}{} {}{off} {what}{why} ({})",
            text::sign(step.state),
            step.id,
            text::duration(step.duration_ms)
        );
        self.line(&line)?;
        match &step.hint {
            // A failure's stands with the failure.
            Some(hint) if step.state == State::Blocked => {
                self.line(&format!("  hint: {}", text::harmless(first_line(hint))))
            }
            _ => Ok(()),
        }
    }

    /// Keeps a failure for the end. Of a step with items, the items tell.
    fn fail(&mut self, step: &StepFinished) {
        if step.id.item.is_some() {
            self.with_items.insert(step.id.without_item());
        } else if self.with_items.contains(&step.id) {
            return;
        }
        if self.failures.len() < FAILURES_MAX {
            self.failures.push(text::failure(step));
        } else {
            self.more += 1;
        }
    }

    fn undo_finished(&mut self, undo: &UndoFinished) -> io::Result<()> {
        let sign = text::sign(undo.state);
        let line = match &undo.message {
            Some(message) => format!(
                "{sign} undo {}: {}: {}: {}",
                undo.id,
                undo.summary,
                undo.state,
                text::harmless(first_line(message))
            ),
            None => format!(
                "{sign} undo {}: {} ({})",
                undo.id,
                undo.summary,
                text::duration(undo.duration_ms)
            ),
        };
        self.line(&line)
    }

    fn run_finished(&mut self, end: &RunFinished) -> io::Result<()> {
        for (_, bar) in self.running.drain() {
            bar.finish_and_clear();
        }
        for block in std::mem::take(&mut self.failures) {
            write!(self.out, "\n{block}")?;
        }
        if self.more > 0 {
            writeln!(
                self.out,
                "\n… and {} more failures; `runbook status` tells them all",
                self.more
            )?;
        }
        for left in &end.left_behind {
            writeln!(self.out, "warning: left behind: {}", text::harmless(left))?;
        }
        writeln!(self.out)?;
        writeln!(
            self.out,
            "{} in {}",
            text::counts(&end.counts, end.stand_in),
            text::duration(end.duration_ms)
        )?;
        self.out.flush()
    }

    fn line(&mut self, line: &str) -> io::Result<()> {
        let Self { bars, out, .. } = self;
        match bars {
            Some(bars) => bars.suspend(|| writeln!(out, "{line}")),
            None => writeln!(out, "{line}"),
        }
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or("")
}

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Observe => "observe (reads only)",
        Mode::Converge => "converge",
        Mode::Rehearse => "rehearse",
    }
}
