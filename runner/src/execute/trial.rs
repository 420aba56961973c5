//! All attempts of a step's action: tried again while `retry` lasts, looked at again while `hold` lasts.
//!
//! A script or a read is repeated; a change that describes its state is made once and looked at again; a request that
//! changes something is made once. `unless` is looked at after the action and must hold.

use std::time::{Duration, Instant};

use runbook::outcome::{Effect, State};
use runbook::spec::ActionKind;

use super::background;
use super::condition::{self, Held};
use super::context::Cx;
use super::desired::{self, Wish};
use super::job::Job;
use super::judge::{Clock, judge};
use super::kube;
use super::outcome::Outcome;
use super::person;
use super::undo;

/// The attempts of a step.
pub(super) struct Trial<'a> {
    cx: &'a Cx,
    job: Job<'a>,
    kind: ActionKind,
    first: Instant,
    attempts: u32,
    /// The action was executed, and is not again where it describes a state.
    acted: bool,
    /// Whether it ever was: it must be taken back.
    changed: bool,
    /// Only `unless` is looked at from now on.
    settled: Option<Box<Outcome>>,
    /// What the one change of a desired state showed.
    diff: Option<String>,
}

impl<'a> Trial<'a> {
    pub(super) fn new(cx: &'a Cx, kind: ActionKind) -> Self {
        let job = Job::of_step(cx);
        Self {
            cx,
            job,
            kind,
            first: Instant::now(),
            attempts: 0,
            acted: false,
            changed: false,
            settled: None,
            diff: None,
        }
    }

    /// Tries until it holds, or the time for that is over.
    pub(super) async fn run(&mut self) -> Outcome {
        let timing = self.cx.timing;
        loop {
            let mut outcome = self.attempt().await;
            if outcome.is_passed()
                && let Some(hold) = timing.hold
            {
                outcome = self.hold(outcome, hold).await;
            }
            // What the lab does not serve yet may come, and is skipped when it does not.
            let awaited = outcome.state == State::Skipped && outcome.missing;
            let over = outcome.final_
                || !(awaited || matches!(outcome.state, State::Failed | State::TimedOut))
                || !self.may_repeat();
            let Some(retry) = timing.retry.filter(|_| !over) else {
                return self.end(outcome);
            };
            if self.first.elapsed() + timing.every > retry {
                if awaited {
                    return self.end(outcome);
                }
                outcome.state = State::TimedOut;
                outcome.reason = Some(format!(
                    "did not hold within {}",
                    runbook::value::print_duration(retry)
                ));
                return self.end(outcome);
            }
            if !self.pause(timing.every).await {
                return self.end(Outcome {
                    checks: outcome.checks,
                    output: outcome.output,
                    raw: outcome.raw,
                    ..Outcome::aborted()
                });
            }
        }
    }

    /// One more attempt, after a repair.
    pub(super) async fn once_more(&mut self) -> Outcome {
        self.settled = None;
        if self.kind == ActionKind::Desired {
            // What a repair mended may be what kept the change from being made.
            self.acted = false;
        }
        let outcome = self.attempt().await;
        self.end(outcome)
    }

    fn end(&self, mut outcome: Outcome) -> Outcome {
        outcome.attempts = self.attempts;
        // A person who was only asked has changed nothing yet.
        outcome.changed = self.changed
            && self.cx.step().effect != Effect::Read
            && outcome.state != State::Pending;
        if self.diff.is_some() {
            outcome.diff.clone_from(&self.diff);
        }
        if outcome.missing {
            undo::withdraw(self.cx);
            outcome.changed = false;
        } else if self.changed {
            undo::complete(self.cx, &outcome.captures);
        }
        outcome
    }

    fn may_repeat(&self) -> bool {
        self.settled.is_some()
            || match self.kind {
                ActionKind::Desired | ActionKind::Read => true,
                ActionKind::Imperative => self.job.action.is_script(),
                ActionKind::Person => false,
            }
    }

    /// Looks again until the time is over; a break is how the attempt ended.
    async fn hold(&mut self, held: Outcome, hold: Duration) -> Outcome {
        let until = Instant::now() + hold;
        let mut held = held;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return held;
            }
            if !self.pause(left.min(self.cx.timing.every)).await {
                return Outcome::aborted();
            }
            if !self.may_repeat() {
                continue;
            }
            let looked = self.attempt().await;
            if !looked.is_passed() {
                let reason = format!("did not hold for {}", runbook::value::print_duration(hold));
                return Outcome {
                    reason: Some(reason),
                    ..looked
                };
            }
            held = looked;
        }
    }

    /// False when the run was stopped meanwhile.
    async fn pause(&self, time: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.cx.cancel.stopped() => false,
            () = tokio::time::sleep(time) => true,
        }
    }

    async fn attempt(&mut self) -> Outcome {
        self.attempts += 1;
        let deadline = Instant::now() + self.cx.timing.timeout;
        let clock = Clock {
            first: self.first,
            attempt: Instant::now(),
        };
        let result = match self.settled.take() {
            Some(outcome) => Ok(*outcome),
            None if desired::is_state(self.job.action, self.job.args) => {
                self.desired(clock, deadline).await
            }
            None => self.act(clock, deadline).await,
        };
        match result {
            Ok(outcome) if outcome.is_passed() => self.afterwards(outcome, deadline).await,
            Ok(outcome) => outcome,
            Err(outcome) => *outcome,
        }
    }

    /// `unless` must hold after the action.
    async fn afterwards(&mut self, outcome: Outcome, deadline: Instant) -> Outcome {
        let Some(unless) = &self.cx.step().keys.unless else {
            return outcome;
        };
        match condition::look(self.cx, "unless", unless, deadline).await {
            Held::Yes if self.cx.timing.hold.is_none() => outcome,
            Held::Yes => {
                // Holding means that the condition goes on holding, not that the action is repeated.
                let passed = Outcome {
                    command: outcome.command.clone(),
                    ..Outcome::passed()
                };
                self.settled = Some(Box::new(passed));
                outcome
            }
            Held::No(why) => {
                let message = format!("the condition does not hold after the action: {why}");
                let failed = Outcome {
                    command: outcome.command.clone(),
                    output: outcome.output.clone(),
                    raw: outcome.raw,
                    checks: outcome.checks.clone(),
                    codes: outcome.codes,
                    ..Outcome::failed(message)
                };
                self.settled = Some(Box::new(outcome));
                failed
            }
            Held::Ended(ended) => {
                self.settled = Some(Box::new(outcome));
                *ended
            }
        }
    }

    /// Does, or reads.
    async fn act(&mut self, clock: Clock, deadline: Instant) -> Result<Outcome, Box<Outcome>> {
        let before = (self.acted, self.changed);
        if self.cx.step().effect != Effect::Read && !self.acted {
            // What cannot be rendered or is kept back is not begun, so there is nothing to take back.
            if self.job.action.is_script() {
                self.job.script_text(self.cx)?;
                if let Some(kept) = self.job.kept(self.cx) {
                    return judge(self.cx, &self.job, kept, clock);
                }
            }
            if !kube::registers(self.job.action) {
                undo::register(self.cx, None);
            }
            self.acted = true;
            self.changed = true;
        }
        let report = if self.kind == ActionKind::Person {
            person::ask(self.cx, &self.job).await?
        } else if let Some(ready) = &self.cx.step().keys.background {
            return background::start(self.cx, &self.job, ready, clock, deadline).await;
        } else {
            let judged = self.job.judged(self.cx, clock, deadline).await;
            if judged.as_ref().is_err_and(|outcome| outcome.untouched) {
                (self.acted, self.changed) = before;
                if !self.changed {
                    undo::withdraw(self.cx);
                }
            }
            return judged;
        };
        judge(self.cx, &self.job, report, clock)
    }

    /// Compares, changes once where it differs, reads back.
    async fn desired(&mut self, clock: Clock, deadline: Instant) -> Result<Outcome, Box<Outcome>> {
        let wish = Wish::read(self.cx, &self.job, deadline).await?;
        let _locks = self.cx.run.locks.hold_all(wish.locks()).await;
        let mut compared = wish.compare(self.cx).await?;
        let todo = compared.diff.clone().or_else(|| wish.acts());
        if todo.is_some() && !self.acted && self.kind == ActionKind::Desired {
            if let Some(refused) = wish.refused(self.cx, &compared).await {
                return Err(refused);
            }
            let mut former = wish.former(&compared);
            let before = (self.changed, self.diff.take());
            undo::register(self.cx, Some(&former));
            self.acted = true;
            self.changed = true;
            self.diff = todo;
            let changed = wish.change(self.cx, &compared, &mut former).await;
            match changed {
                // It did not begin: there is nothing to take back, and it may be tried again.
                Err(outcome) if outcome.untouched => {
                    (self.changed, self.diff) = before;
                    self.acted = false;
                    if !self.changed {
                        undo::withdraw(self.cx);
                    }
                    return Err(outcome);
                }
                changed => {
                    undo::made(self.cx, former);
                    changed?;
                }
            }
            compared = wish.compare(self.cx).await?;
        }
        if let Some(diff) = compared.diff {
            let shown = wish.shown();
            let failed = if self.acted {
                Outcome::failed(format!("differs from the wish after the change:\n{diff}"))
            } else {
                Outcome::failed(format!("differs from the wish:\n{diff}"))
            };
            return Ok(Outcome {
                output: shown.output,
                note: shown.note,
                stand_in: shown.stand_in,
                ..failed
            });
        }
        desired::as_wished(self.cx, &self.job, &wish, compared, clock, deadline).await
    }
}
