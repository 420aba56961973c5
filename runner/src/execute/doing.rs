//! What a step says is to be done beside it: `undo`, `repair`, `diagnose` (LANGUAGE section 1, type `do`).

use std::time::Instant;

use runbook::id::Ref;
use runbook::model::{Do, Target};
use runbook::outcome::{Effect, State};

use super::context::Cx;
use super::desired::{self, Former, Wish};
use super::job::Job;
use super::judge::Clock;
use super::kube;
use super::outcome::Outcome;
use super::step;
use crate::action::file;
use crate::plan::{InBook as _, steps_of};

/// Why it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To take the step back.
    Undo,
    /// To make it hold.
    Repair,
    /// To find out why it does not.
    Diagnose,
    /// The same where nothing may be changed: only its parts that read.
    DiagnoseReading,
}

impl Purpose {
    fn word(self) -> &'static str {
        match self {
            Self::Undo => "undo",
            Self::Repair => "repair",
            Self::Diagnose | Self::DiagnoseReading => "diagnose",
        }
    }
}

/// What came of it.
pub(super) struct Done {
    /// Why it failed.
    pub(super) result: Result<(), String>,
    /// Files that it left in the run's directory.
    pub(super) artifacts: Vec<String>,
}

/// Does it, in order; the first failure ends it, but for a diagnosis.
pub(super) async fn run(cx: &Cx, what: &Do, purpose: Purpose, own: Option<&Former>) -> Done {
    let mut work = Work {
        cx,
        purpose,
        own,
        artifacts: Vec::new(),
        count: 0,
    };
    let result = work.each(what).await;
    Done {
        result,
        artifacts: work.artifacts,
    }
}

/// One line for people.
pub(super) fn summary(what: &Do) -> String {
    match what {
        Do::Script(_) => "script".into(),
        Do::Steps(reference, _) => match reference {
            Ref::Step(step) => format!("step `{step}`"),
            Ref::Section(section) => format!("the steps of `#{section}`"),
            Ref::SectionStep(section, step) => format!("step `#{section}/{step}`"),
            Ref::Other(id) => format!("`{id}`"),
        },
        Do::Action(inline) => format!("`{}`", inline.action.0.name),
        Do::List(list) => list.iter().map(summary).collect::<Vec<_>>().join(", then "),
        Do::Own(_) => "the action's own".into(),
        Do::None(_) => "nothing".into(),
    }
}

struct Work<'a> {
    cx: &'a Cx,
    purpose: Purpose,
    own: Option<&'a Former>,
    artifacts: Vec<String>,
    count: u32,
}

impl Work<'_> {
    async fn each(&mut self, what: &Do) -> Result<(), String> {
        let reads_only = self.purpose == Purpose::DiagnoseReading;
        match what {
            Do::None(_) => Ok(()),
            Do::Own(_) => self.own().await,
            Do::Script(_) if reads_only => Ok(()),
            Do::Script(node) => {
                let name = self.name();
                let job = Job::of_script(self.cx, node, Some(&name));
                self.job(&job).await
            }
            Do::Action(inline)
                if reads_only && (inline.action.0.effect)(&inline.args) != Effect::Read =>
            {
                Ok(())
            }
            Do::Action(inline) => {
                let name = self.name();
                let job = Job::of_inline(self.cx, inline, Some(&name))
                    .await
                    .map_err(|outcome| text(&outcome))?;
                self.job(&job).await
            }
            Do::Steps(reference, _) => {
                let section = self.cx.id.section.clone().unwrap_or_default();
                let id = reference.resolve(&self.cx.id.guide, &section);
                for at in steps_of(&self.cx.run.book, &id) {
                    if reads_only && at.of(&self.cx.run.book).effect != Effect::Read {
                        continue;
                    }
                    // Boxed: a step may do other steps.
                    let outcome = Box::pin(step::inner(self.cx, at, self.purpose.word())).await;
                    self.artifacts.extend(outcome.artifacts.iter().cloned());
                    if !matches!(outcome.state, State::Passed | State::Skipped) {
                        let id = &at.of(&self.cx.run.book).id;
                        self.failed(format!("{id} {}: {}", outcome.state, text(&outcome)))?;
                    }
                }
                Ok(())
            }
            Do::List(list) => {
                for what in list {
                    // Boxed: a list may hold lists.
                    Box::pin(self.each(what)).await?;
                }
                Ok(())
            }
        }
    }

    /// A diagnosis goes on: every part tells something of its own.
    fn failed(&self, message: String) -> Result<(), String> {
        match self.purpose {
            Purpose::Undo | Purpose::Repair => Err(message),
            Purpose::Diagnose | Purpose::DiagnoseReading => Ok(()),
        }
    }

    fn name(&mut self) -> String {
        self.count += 1;
        format!("{}-{}", self.purpose.word(), self.count)
    }

    async fn own(&mut self) -> Result<(), String> {
        let Some(former) = self.own else {
            return Ok(());
        };
        if let Former::File(former) = former
            && self.cx.target == Target::Local
        {
            let _lock = self
                .cx
                .run
                .locks
                .hold(format!("file {}", former.path.display()))
                .await;
            return file::restore(&file::Here, former)
                .await
                .map_err(|error| error.to_string());
        }
        if let Former::Kube(former) = former {
            return kube::restore(self.cx, former).await;
        }
        let deadline = Instant::now() + self.cx.timing.timeout;
        let job = Job::of_step(self.cx);
        let wish = Wish::read(self.cx, &job, deadline)
            .await
            .map_err(|outcome| text(&outcome))?;
        let _locks = self.cx.run.locks.hold_all(wish.locks()).await;
        wish.restore(former).await
    }

    async fn job(&mut self, job: &Job<'_>) -> Result<(), String> {
        let now = Instant::now();
        let deadline = now + self.cx.timing.timeout;
        let clock = Clock {
            first: now,
            attempt: now,
        };
        let outcome = if desired::is_state(job.action, job.args) {
            self.wish(job, clock, deadline).await
        } else {
            job.judged(self.cx, clock, deadline).await
        };
        let mut outcome = outcome.unwrap_or_else(|outcome| *outcome);
        let always = matches!(self.purpose, Purpose::Diagnose | Purpose::DiagnoseReading);
        super::output::keep_output(self.cx, &mut outcome, job.artifact.as_deref(), always);
        self.artifacts.append(&mut outcome.artifacts);
        if outcome.is_passed() {
            Ok(())
        } else {
            self.failed(text(&outcome))
        }
    }

    /// Makes a state that is described inside `undo` or `repair`.
    async fn wish(
        &self,
        job: &Job<'_>,
        clock: Clock,
        deadline: Instant,
    ) -> Result<Outcome, Box<Outcome>> {
        let wish = Wish::read(self.cx, job, deadline).await?;
        let locks = self.cx.run.locks.hold_all(wish.locks()).await;
        let compared = wish.compare(self.cx).await?;
        if compared.diff.is_some() || wish.acts().is_some() {
            if let Some(refused) = wish.refused(self.cx, &compared).await {
                return Err(refused);
            }
            let mut former = wish.former(&compared);
            wish.change(self.cx, &compared, &mut former).await?;
        }
        drop(locks);
        desired::observe(self.cx, job, clock, deadline).await
    }
}

fn text(outcome: &Outcome) -> String {
    outcome
        .message
        .clone()
        .or_else(|| outcome.reason.clone())
        .or_else(|| outcome.diff.clone())
        .unwrap_or_default()
}
