//! The one loop that executes: guides in parallel, the steps of a guide in order, each result an event.
//!
//! It decides what the table of LANGUAGE section 5 decides; what an action does is in [`crate::action`], what a run shows is
//! in its sinks. Nothing it started is left when it returns: no child, and no step without its result.
//!
//! Read on in `guide` (the order), `step` (the rows of the table), `trial` (attempts), `undo` (taking back).

mod background;
mod bars;
mod condition;
mod context;
mod desired;
mod doing;
mod each;
mod elsewhere;
mod emit;
mod equip;
mod finish;
mod guide;
mod job;
mod judge;
mod kube;
mod locks;
mod outcome;
mod output;
mod person;
mod planned;
mod probe;
mod pve;
mod results;
mod rights;
mod step;
mod system;
mod tally;
mod trial;
mod undo;
mod vantage;
mod wish;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use runbook::event::{EVENTS_VERSION, EventKind, RunFinished, RunStarted};
use runbook::model::Book;
use runbook::outcome::Mode;
use runbook::report;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

pub use crate::process::{Cancel, Level};
pub use crate::request::{
    Answer, Earlier, JOBS_DEFAULT, LAB, NothingEarlier, Person, Purpose, Question, RunError,
    RunRequest, RunResult,
};
pub use rights::Missing;
pub use undo::CLEANUP_DURATION_MAX;

use crate::action::Failure;
use crate::exit;
use crate::local::{Locals, ask};
use crate::origins::Origins;
use crate::plan::{InBook as _, Plan};
use crate::probe::http::Http;
use crate::process::Redact;
use crate::reach::{Machines, Reach};
use crate::redact::Redactor;
use crate::scope::{self, Values};
use crate::secrets::Secrets;
use crate::sink::Sinks;
use crate::world::Worlds;
use context::{GuideCx, Run};
use emit::Emitter;

/// Executes what was asked for and tells the sinks; returns when everything was cleaned up.
///
/// `cancel` stops it: the first request lets it clean up, the second does not.
///
/// # Errors
///
/// When the run cannot begin; no event was emitted then.
pub async fn run(
    book: Arc<Book>,
    request: RunRequest,
    sinks: Sinks,
    cancel: Cancel,
) -> Result<RunResult, RunError> {
    let run = Arc::new(prepare(book, request, sinks.clone(), cancel, false)?);
    if let Err(error) = rights::check(&run).await {
        run.worlds.close();
        return Err(error);
    }
    let started = Instant::now();
    run.emitter.emit(EventKind::RunStarted(head(&run)));
    let panicked = guides(&run).await;
    undo::clean_up(&run).await;
    run.machines.close().await;
    run.worlds.close();
    let mut finished = tail(&run, started);
    if panicked.is_some() {
        finished.exit_code = exit::BUG;
    }
    let result = RunResult {
        counts: finished.counts.clone(),
        exit_code: finished.exit_code,
        left_behind: finished.left_behind.clone(),
        error: None,
    };
    run.emitter.emit(EventKind::RunFinished(finished));
    if let Some(panic) = panicked {
        // A bug of ours: everything was cleaned up, and it is told as what it is.
        std::panic::resume_unwind(panic);
    }
    let error = sinks.take_error();
    let exit_code = if error.is_some() {
        exit::first([result.exit_code, exit::UNAVAILABLE])
    } else {
        result.exit_code
    };
    Ok(RunResult {
        exit_code,
        error,
        ..result
    })
}

/// Observes what was asked for and says what a run would do.
///
/// # Errors
///
/// As [`run`].
pub async fn plan(
    book: Arc<Book>,
    mut request: RunRequest,
    cancel: Cancel,
) -> Result<report::Plan, RunError> {
    request.directory = None;
    request.person = None;
    let run = Arc::new(prepare(
        book,
        request,
        Sinks::new(Vec::new()),
        cancel,
        true,
    )?);
    if let Err(error) = rights::check(&run).await {
        run.worlds.close();
        return Err(error);
    }
    let lacks = rights::would_lack(&run).await;
    let panicked = guides(&run).await;
    run.machines.close().await;
    run.worlds.close();
    if let Some(panic) = panicked {
        std::panic::resume_unwind(panic);
    }
    Ok(planned::report(&run, lacks))
}

/// Says which rights a run that changes something would lack, and runs nothing; none where no step asks a Proxmox VE.
///
/// # Errors
///
/// As [`run`]; what says why the server cannot be asked is in the result.
pub async fn lacks(
    book: Arc<Book>,
    request: RunRequest,
    cancel: Cancel,
) -> Result<Result<Option<Missing>, Failure>, RunError> {
    let sinks = Sinks::new(Vec::new());
    let run = Arc::new(prepare(book, request, sinks, cancel, true)?);
    let missing = rights::missing(&run, true).await;
    run.machines.close().await;
    run.worlds.close();
    Ok(missing)
}

/// Says whether a run can begin, without beginning it.
///
/// # Errors
///
/// As [`run`], but for what only the disk can say.
pub fn validate(book: &Book, request: &RunRequest) -> Result<(), RunError> {
    let plan = Plan::make(book, request)?;
    scope::refuse_ungiven(book, &plan)
}

fn prepare(
    book: Arc<Book>,
    request: RunRequest,
    sinks: Sinks,
    cancel: Cancel,
    planning: bool,
) -> Result<Run, RunError> {
    let mut plan = Plan::make(&book, &request)?;
    if planning {
        plan.guides
            .iter_mut()
            .for_each(|guide| guide.mode.effective = Mode::Observe);
    }
    let values = Values::new(&book, &request);
    scope::refuse_ungiven(&book, &plan)?;
    let redactor = Redactor::new();
    let locals = Locals::new(&book, &request)?;
    let inventory = request.root.join(&book.options.inventory);
    let folder = inventory.parent().unwrap_or(&request.root).to_owned();
    let repository = request.repository.clone();
    let secrets = Arc::new(Secrets::new(
        &book.inventory,
        folder,
        repository,
        request.is_lab(),
        redactor.clone(),
    ));
    let origins = Arc::new(Origins::new(
        &request.repository,
        locals.scratch(),
        cancel.clone(),
    ));
    let worlds = Worlds::new(
        Arc::clone(&book),
        &request,
        Arc::clone(&secrets),
        Arc::clone(&origins),
        cancel.clone(),
    );
    let worlds = Arc::new(worlds);
    if request.is_lab() {
        let labs = Arc::clone(&worlds);
        let directory = locals.scratch().to_owned();
        let find: ask::Find = Arc::new(move |what, world| {
            let labs = Arc::clone(&labs);
            let kubeconfig = Locals::kubeconfig_in(&directory, world);
            Box::pin(async move {
                match what {
                    ask::What::Machines => labs.ssh_config(world).await,
                    ask::What::Clusters => labs.write_kubeconfig(world, kubeconfig).await,
                }
            })
        });
        if let Err(error) = locals.answer(find) {
            // Who uses it is told that nobody answers.
            tracing::warn!(%error, "the lab is not reached by `ssh` and `kubectl` of local scripts");
        }
    }
    let reach = request.reach.clone();
    let machines = Machines::new(reach.unwrap_or_else(|| Arc::clone(&worlds) as Arc<dyn Reach>));
    Ok(Run {
        origins,
        machines,
        worlds,
        results: results::Results::new(plan.steps.len()),
        emitter: Emitter::new(sinks, redactor.clone(), cancel.clone()),
        redact: Arc::new(redactor.clone()) as Arc<dyn Redact>,
        locks: locks::Locks::default(),
        undos: undo::Undos::default(),
        identity: finish::local_identity(),
        planned: planned::Planned::new(if planning { plan.steps.len() } else { 0 }),
        tally: Mutex::default(),
        http: Http::new(),
        book,
        request,
        plan,
        values,
        redactor,
        secrets,
        locals,
        cancel,
        planning,
    })
}

/// Executes every guide, and ends what they left running; returns the first panic.
async fn guides(run: &Arc<Run>) -> Option<Box<dyn std::any::Any + Send>> {
    let permits = Arc::new(Semaphore::new(run.request.jobs.max(1)));
    let mut tasks = JoinSet::new();
    let mut all: Vec<Arc<GuideCx>> = Vec::with_capacity(run.plan.guides.len());
    let mut panicked = None;
    for (index, due) in run.plan.guides.iter().enumerate() {
        // The semaphore is never closed. A guide that begins is one that others do not wait for in vain: those it needs
        // have begun before it, and a guide that waits gives its permit back.
        let permit = Arc::clone(&permits).acquire_owned().await.ok();
        if run.cancel.is_stopped() {
            break;
        }
        let clone = run.request.is_lab()
            && due.steps.clone().any(|place| {
                let step = run.plan.steps[place as usize].at.of(&run.book);
                guide::needs_clone(&run.request.repository, step)
            });
        let guide = Arc::new(GuideCx::new(index, clone));
        all.push(Arc::clone(&guide));
        tasks.spawn(guide::run(
            Arc::clone(run),
            guide,
            Arc::clone(&permits),
            permit,
        ));
        while let Some(done) = tasks.try_join_next() {
            note_panic(run, done, &mut panicked);
        }
    }
    while let Some(done) = tasks.join_next().await {
        note_panic(run, done, &mut panicked);
    }
    // What is needed for taking back stays up until then.
    for guide in all.iter().rev() {
        let ups = guide.take_backgrounds();
        if !ups.is_empty() {
            undo::keep_up(run, ups);
        }
    }
    panicked
}

type Panic = Box<dyn std::any::Any + Send>;

fn note_panic(run: &Run, done: Result<(), tokio::task::JoinError>, panicked: &mut Option<Panic>) {
    if let Err(error) = done
        && error.is_panic()
    {
        // Others may wait for what this guide will never do.
        run.cancel.stop();
        panicked.get_or_insert(error.into_panic());
    }
}

fn head(run: &Run) -> RunStarted {
    let request = &run.request;
    // Guides have ways of their own: the run is as the one that does most.
    let most = |mode: &Mode| match mode {
        Mode::Observe => 0,
        Mode::Converge => 1,
        Mode::Rehearse => 2,
    };
    let modes = run.plan.guides.iter().map(|guide| guide.mode.asked);
    let mode = modes.max_by_key(most).unwrap_or(Mode::Observe);
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    let vars: BTreeMap<String, String> = request
        .vars
        .iter()
        .map(|(name, value)| (name.clone(), text(value)))
        .collect();
    RunStarted {
        version: EVENTS_VERSION,
        run: request.run.clone(),
        profile: request.profile.clone(),
        mode,
        revision: request.revision.clone(),
        asked: request
            .ids
            .iter()
            .chain(&request.from)
            .map(ToString::to_string)
            .collect(),
        by: request.by.clone(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        steps: run.plan.steps.len() as u32,
        vars,
    }
}

fn tail(run: &Run, started: Instant) -> RunFinished {
    let tally = run.tally.lock().unwrap_or_else(PoisonError::into_inner);
    let broken = run.emitter.is_broken();
    // A broken sink stops the run by the same means.
    let interrupted = run.cancel.is_stopped() && !broken;
    let pending = run.request.purpose == Purpose::Run || run.request.strict;
    let exit = tally.exit(broken, interrupted, pending, run.request.strict);
    RunFinished {
        counts: tally.counts.clone(),
        stand_in: tally.stand_in,
        exit_code: exit.exit_code(),
        duration_ms: finish::millis(started.elapsed()),
        left_behind: tally.left_behind.clone(),
    }
}
