//! Containers whose programs are started over a connection that carries their streams: a pod's, by the Kubernetes API.
//!
//! Where its calls go is somebody else's; here is what they must answer. Standard input stays open and its end is the order to
//! end, as over OpenSSH; the connection's end is the end of standard input, so nothing there outlives us.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::cause::{Cause, RemoteError};
use super::frame::Told;
use super::program;
use super::transport::{FAREWELL, Finished, Remote, STANDING_DURATION_MAX};
use crate::process::{
    self, Background, Cancel, Collector, End, Exit, Limits, Record, Status, Stream,
};

/// How much longer than a program's own time the connection may last: its end is told there first.
const MARGIN: Duration = Duration::from_secs(30);
/// How long a second program may take to end the first one.
const ENDING_MAX: Duration = Duration::from_secs(5);
/// How often is looked whether a program that is to stay up has begun.
const BEGUN_EVERY: Duration = Duration::from_millis(10);
/// The exit code of a program whose connection was lost, as OpenSSH has it.
const LOST: i32 = 255;

/// What a call becomes: the exit code.
pub type ExecFuture<'a> = Pin<Box<dyn Future<Output = Result<i32, ExecError>> + Send + 'a>>;
/// When standard input ends.
pub type InputEnd<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
/// Who gets what is printed, as it comes.
pub type Printed<'a> = &'a mut (dyn FnMut(Stream, &[u8]) + Send);

/// A container.
pub trait Container: Send + Sync {
    /// Runs a program to its end. Its standard input is `input` and stays open until `end` is done; dropping the future ends it
    /// too.
    fn exec<'a>(
        &'a self,
        argv: &'a [String],
        input: Vec<u8>,
        end: InputEnd<'a>,
        limit: Duration,
        printed: Printed<'a>,
    ) -> ExecFuture<'a>;
}

/// Why a call has no exit code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExecError {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// What is wrong with what.
    pub kind: ExecErrorKind,
}

/// What a call lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecErrorKind {
    /// The image has no such program.
    NoProgram,
    /// Whoever starts programs there cannot be reached, or refuses.
    Unreachable,
    /// The connection ended, and nobody knows what became of the program.
    Lost,
}

impl Remote {
    /// Runs a program in a container.
    pub(super) async fn by_container(
        &self,
        container: &dyn Container,
        (nonce, input): (&str, Vec<u8>),
        limits: Limits,
        collector: &Mutex<Collector>,
        told: &Mutex<Told>,
    ) -> Result<Finished, RemoteError> {
        let started = Instant::now();
        let deadline = started + limits.timeout;
        let mut printed = |stream, bytes: &[u8]| lock(collector).push(stream, bytes);
        let (order, ordered) = tokio::sync::oneshot::channel::<()>();
        // Nothing is ever sent: it is done when its other end is dropped.
        let end = Box::pin(async move { drop(ordered.await) });
        let argv = ["sh".to_owned(), "-c".into(), program::BOOT.into()];
        let limit = limits.timeout + MARGIN;
        let mut running = container.exec(&argv, input, end, limit, &mut printed);
        // The time comes first: what prints without end is always ready.
        let (end, exit) = tokio::select! {
            biased;
            () = limits.cancel.stopped() => (End::Cancelled, None),
            () = tokio::time::sleep_until(deadline.into()) => (End::TimedOut, None),
            exit = &mut running => (End::Itself, Some(exit)),
        };
        let mut is_left = false;
        if exit.is_none() {
            drop(order);
            is_left = tokio::select! {
                biased;
                // Whoever does not end then is ended with the connection.
                () = limits.cancel.stopped_now() => false,
                ended = tokio::time::timeout(FAREWELL, &mut running) => !matches!(ended, Ok(Ok(_))),
            };
        }
        drop(running);
        if is_left {
            end_it(container, nonce).await;
        }
        let output = lock(collector).take();
        let told = std::mem::take(&mut *lock(told));
        let (code, leftovers) = self.ended_in_container(end, exit, &told)?;
        Ok(Finished {
            end,
            code,
            output,
            duration: started.elapsed(),
            leftovers,
            cut: false,
        })
    }

    /// Starts a program that stays up in a container, and waits until it has begun. Its connection is its open input: it ends there
    /// with it, be it that ours is ended or lost.
    pub(super) async fn stays_in_container(
        &self,
        container: Arc<dyn Container>,
        (nonce, input): (String, Vec<u8>),
        record: Record,
        told: Arc<Mutex<Told>>,
        limits: Limits,
    ) -> Result<Background, RemoteError> {
        let deadline = Instant::now() + limits.timeout;
        let collector = Arc::new(Mutex::new(Collector::new(record)));
        let failure = Arc::new(Mutex::new(None));
        let child = {
            let (remote, collector) = (self.clone(), Arc::clone(&collector));
            let (told, failure) = (Arc::clone(&told), Arc::clone(&failure));
            process::stay_up(Arc::clone(&collector), |stop: Cancel| async move {
                let limits = Limits::new(STANDING_DURATION_MAX, stop);
                let input = (nonce.as_str(), input);
                let ended = remote.by_container(&*container, input, limits, &collector, &told);
                match ended.await {
                    Ok(finished) => finished.into_exit(),
                    Err(error) => {
                        let exit = lost(&error);
                        *lock(&failure) = Some(error);
                        exit
                    }
                }
            })
        };
        loop {
            if !child.is_running() {
                let failure = lock(&failure).take();
                return failure.map_or(Ok(child), Err);
            }
            if lock(&told).began {
                return Ok(child);
            }
            if Instant::now() >= deadline {
                child.stop_now().await;
                return Err(RemoteError::TimedOut {
                    name: self.name().to_owned(),
                });
            }
            tokio::select! {
                biased;
                () = limits.cancel.stopped() => {
                    child.stop_now().await;
                    return Err(RemoteError::Stopped);
                }
                () = tokio::time::sleep(BEGUN_EVERY) => {}
            }
        }
    }

    /// The exit code and how many processes were left behind.
    fn ended_in_container(
        &self,
        end: End,
        exit: Option<Result<i32, ExecError>>,
        told: &Told,
    ) -> Result<(Option<i32>, usize), RemoteError> {
        let name = || self.name().to_owned();
        let unavailable = |cause| RemoteError::Unavailable {
            name: name(),
            cause,
        };
        match (end, told.end, exit) {
            (End::Itself, Some((code, left)), _) => Ok((Some(code), left)),
            (End::TimedOut, ..) if !told.began => Err(RemoteError::TimedOut { name: name() }),
            (End::Cancelled, ..) if !told.began => Err(RemoteError::Stopped),
            (End::TimedOut | End::Cancelled, ..) => Ok((None, 0)),
            (End::Itself, None, Some(Err(error))) if told.began => Err(RemoteError::Lost {
                name: name(),
                said: error.message,
            }),
            (End::Itself, None, Some(Err(error))) => Err(unavailable(match error.kind {
                ExecErrorKind::NoProgram => Cause::NoShell {
                    said: error.message,
                },
                ExecErrorKind::Unreachable | ExecErrorKind::Lost => Cause::Api {
                    said: error.message,
                    hint: error.hint,
                },
            })),
            (End::Itself, None, code) => {
                let code = code.and_then(Result::ok).unwrap_or(255);
                let said = format!("its shell there ended with exit code {code}");
                if told.began {
                    return Err(RemoteError::Lost { name: name(), said });
                }
                let preamble = String::from_utf8_lossy(&told.preamble);
                let last = preamble
                    .lines()
                    .map(str::trim)
                    .rfind(|line| !line.is_empty());
                Err(unavailable(Cause::Other {
                    said: last.map_or(said, str::to_owned),
                }))
            }
        }
    }
}

/// Ends what a program has started by a second one: not every server passes the end of standard input on.
async fn end_it(container: &dyn Container, nonce: &str) {
    let argv = ["sh".to_owned(), "-c".into(), program::ending(nonce)];
    let mut nothing = |_: Stream, _: &[u8]| {};
    let end = Box::pin(std::future::pending());
    let ending = container.exec(&argv, Vec::new(), end, ENDING_MAX, &mut nothing);
    // What cannot be asked any more is ended by the end of its input or of its time.
    let _ = tokio::time::timeout(ENDING_MAX, ending).await;
}

impl Finished {
    fn into_exit(self) -> Exit {
        Exit {
            end: self.end,
            status: self.code.map(Status::Code),
            duration: self.duration,
            output: self.output,
            leftovers: self.leftovers,
            survivors: Vec::new(),
        }
    }
}

/// The end of a program of which nobody knows how it ended.
fn lost(error: &RemoteError) -> Exit {
    let mut said = Collector::new(Record::default());
    said.push(Stream::Stderr, error.to_string().as_bytes());
    Exit {
        end: End::Itself,
        status: Some(Status::Code(LOST)),
        duration: Duration::ZERO,
        output: said.take(),
        leftovers: 0,
        survivors: Vec::new(),
    }
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
