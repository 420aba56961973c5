//! Awaits the expectations of a step about objects: looked at whenever one of them changes, to the end of the step's time.
//!
//! Nothing is changed here. What cannot become true any more ends the wait; at its end there are the rows of the last look, how the
//! objects stand, and what was found about them.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use runbook::model::Expectation;
use runbook::outcome::State;
use runbook::value::print_duration;
use runbook_k8s::kstatus::State as Stands;
use runbook_k8s::wait::Wish as Readiness;
use runbook_k8s::watched::{Seen, Watched};
use runbook_k8s::{Error, Key, Query, Standing, without_managed_fields};
use serde_json::Value;

use super::super::context::Cx;
use super::super::job::{Job, left};
use super::super::judge::{Clock, judge};
use super::super::outcome::Outcome;
use super::wish::{Found, What, Wish, objects};
use super::{attach, failed};
use crate::action::kube::{apply, flux, job as kube_job, look};
use crate::action::{Ended, Report};
use crate::world::Cluster;

/// How often is looked again without a change.
const LOOK: Duration = Duration::from_millis(500);
/// Of how many objects that are not ready a message tells how they stand.
const STANDINGS_SHOWN_MAX: usize = 5;

/// What is awaited, and how it is told.
pub(super) struct Awaited<'a> {
    pub(super) cx: &'a Cx,
    pub(super) job: &'a Job<'a>,
    pub(super) cluster: &'a Cluster,
    pub(super) clock: Clock,
    pub(super) deadline: Instant,
    /// What "ready" means.
    pub(super) wish: Readiness,
    /// Whether these are objects of Flux, as `flux` tells of them.
    pub(super) flux: bool,
    /// Which objects, in order; of a selector whatever it finds.
    pub(super) keys: Option<Vec<Key>>,
}

/// Judges a state that is as wished: its expectations are awaited.
pub(in crate::execute) async fn judged(
    cx: &Cx,
    job: &Job<'_>,
    wish: &Wish,
    clock: Clock,
    deadline: Instant,
) -> Result<Outcome, Box<Outcome>> {
    let found = wish.seen();
    if let (What::Absent(_), Some(Found::Absent(found))) = (&wish.what, &found) {
        let mut report = Report::of(Ended::Done);
        report.fields.set("count", found.keys.len());
        return judge(cx, job, report, clock);
    }
    let there = found.as_ref().map(objects).unwrap_or_default();
    let keys: Vec<Key> = there.iter().map(Key::of).collect();
    let awaited = Awaited {
        cx,
        job,
        cluster: &wish.cluster,
        clock,
        deadline,
        wish: Readiness::default(),
        flux: matches!(wish.what, What::Flux(_)),
        keys: Some(keys.clone()),
    };
    let work = async {
        let outcome = awaited.judge(there)?;
        if outcome.is_passed() || outcome.final_ || cx.run.planning {
            return Ok(outcome);
        }
        match found {
            Some(Found::Apply(apply::Found::Plan(plan))) => match plan.as_is() {
                Some(as_is) => awaited.applied(as_is, outcome).await,
                None => Ok(outcome),
            },
            Some(Found::Apply(apply::Found::Patches(patches))) => {
                let queries: Vec<Query> = patches.into_iter().map(|one| one.query).collect();
                awaited.again(&queries, outcome).await
            }
            _ => match &wish.what {
                What::Flux(wish) => awaited.again(&wish.queries, outcome).await,
                _ => Ok(outcome),
            },
        }
    };
    super::unless_stopped(&cx.cancel, work).await?
}

impl Awaited<'_> {
    /// Judges objects as they are now.
    pub(super) fn judge(&self, objects: Vec<Value>) -> Result<Outcome, Box<Outcome>> {
        let value = match &self.keys {
            Some(_) => look::together(objects.clone()),
            None => look::listed(objects.clone()),
        };
        let hidden = look::held(&value);
        let fields = if self.flux {
            flux::fields(objects)
        } else {
            look::fields(value, self.wish)
        };
        let report = Report {
            fields,
            hidden,
            ..Report::of(Ended::Done)
        };
        judge(self.cx, self.job, report, self.clock)
    }

    /// Awaits what was applied.
    async fn applied(
        &self,
        as_is: runbook_k8s::apply::Outcome,
        mut outcome: Outcome,
    ) -> Result<Outcome, Box<Outcome>> {
        if wants_ready(self.job) {
            // It knows more of readiness than a look at one moment: what has failed for good, what is to settle.
            let ready = as_is.ready(&self.cluster.client, self.wish, left(self.deadline));
            let keys = self.keys.clone().unwrap_or_default();
            let ready = tokio::select! {
                ready = ready => ready,
                missing = self.lacking(&keys) => return Ok(missing),
            };
            match ready {
                Ok(objects) => outcome = self.judge(objects)?,
                Err(error) => return Ok(self.failed(&error, outcome).await),
            }
            if outcome.is_passed() {
                return Ok(outcome);
            }
        }
        self.watch(as_is.watch(&self.cluster.client), outcome).await
    }

    /// Looks again at what queries mean, until it holds.
    pub(super) async fn again(
        &self,
        queries: &[Query],
        outcome: Outcome,
    ) -> Result<Outcome, Box<Outcome>> {
        self.watch(Watched::start(&self.cluster.client, queries), outcome)
            .await
    }

    async fn watch(
        &self,
        mut watched: Watched,
        mut outcome: Outcome,
    ) -> Result<Outcome, Box<Outcome>> {
        let named: BTreeSet<Key> = self.keys.iter().flatten().cloned().collect();
        let keys: Vec<Key> = named.iter().cloned().collect();
        let lacking = self.lacking(&keys);
        tokio::pin!(lacking);
        loop {
            let soon = self.deadline.min(Instant::now() + LOOK);
            let seen = tokio::select! {
                seen = tokio::time::timeout_at(soon.into(), watched.next()) => seen,
                missing = &mut lacking => return Ok(missing),
            };
            match seen {
                Ok(Ok(Seen::Deleted(key))) if named.contains(&key) => {
                    let error = Error::Deleted {
                        what: key.to_string(),
                    };
                    return Ok(self.failed(&error, outcome).await);
                }
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Ok(self.failed(&error, outcome).await),
                Err(_) if Instant::now() >= self.deadline => {
                    return Ok(self.late(outcome, &self.objects(&watched)).await);
                }
                Err(_) => {}
            }
            if !watched.is_listed() {
                continue;
            }
            outcome = self.judge(self.objects(&watched))?;
            if outcome.is_passed() || outcome.final_ {
                return Ok(outcome);
            }
        }
    }

    fn objects(&self, watched: &Watched) -> Vec<Value> {
        let mut objects: Vec<Value> = match &self.keys {
            Some(keys) => keys
                .iter()
                .filter_map(|key| watched.get(key).cloned())
                .collect(),
            None => watched.objects().values().cloned().collect(),
        };
        objects.iter_mut().for_each(without_managed_fields);
        objects
    }

    /// The end of the time: the rows of the last look, and how those stand that are not ready.
    async fn late(&self, mut outcome: Outcome, objects: &[Value]) -> Outcome {
        let mut behind = Vec::new();
        let mut lines: Vec<String> = outcome.message.take().into_iter().collect();
        for object in objects {
            let status = self.wish.status(object);
            if status.state != Stands::Current {
                let key = Key::of(object);
                if behind.len() < STANDINGS_SHOWN_MAX {
                    lines.push(Standing::of_status(key.clone(), &status).to_string());
                }
                behind.push(key);
            }
        }
        outcome.message = Some(lines.join("\n"));
        outcome.state = State::TimedOut;
        outcome.reason = Some(format!(
            "did not hold within {}",
            print_duration(self.cx.timing.timeout)
        ));
        attach(self.cx, self.cluster, &behind, &mut outcome).await;
        outcome
    }

    /// A wait that came to nothing, with the rows of the last look.
    pub(super) async fn failed(&self, error: &Error, last: Outcome) -> Outcome {
        let mut outcome = *failed(self.cx, self.cluster, error).await;
        outcome.checks = last.checks;
        outcome
    }

    /// Ends when the lab says that it cannot run a command of one of the objects.
    async fn lacking(&self, keys: &[Key]) -> Outcome {
        if !self.cx.is_lab() || keys.is_empty() {
            return std::future::pending().await;
        }
        let reason = kube_job::lacking(&self.cluster.client, keys).await;
        Outcome {
            missing: true,
            final_: true,
            ..Outcome::skipped(reason)
        }
    }
}

/// Whether a step expects that its objects are ready.
fn wants_ready(job: &Job<'_>) -> bool {
    let is_true = |expectation: &Expectation| {
        let matcher = &expectation.matcher;
        let plain = matcher.get("equals").unwrap_or(matcher);
        expectation.field == "ready" && plain.as_text() == Some("true")
    };
    job.expect.iter().any(is_true)
}
