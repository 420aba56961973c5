//! A script that goes on without us: started on the other machine, asked for how it fares, found again after a crash.
//!
//! It has a directory of its own in the login's home, private to it: what it is, which boot and which process it belongs to, what
//! it printed (bounded), and at last its exit code. Connections may come and go meanwhile. Its time ends it there, too.

use std::time::{Duration, Instant};

use super::cause::RemoteError;
use super::program::{self, Program, Script};
use super::transport::{Finished, Remote};
use crate::process::{Cancel, Collector, End, Level, Limits, Record, Stream};

/// How much of each stream is kept there.
const OUTPUT_BYTES_MAX: u64 = 64 << 20;
/// How much of it is fetched at once.
const CHUNK_BYTES_MAX: usize = 1 << 20;
/// How often it is asked, at first and at last.
const ASK_FIRST: Duration = Duration::from_millis(200);
const ASK_LAST: Duration = Duration::from_secs(5);
/// How long one question may take.
const QUESTION_DURATION_MAX: Duration = Duration::from_secs(30);
/// How long ending it may take.
const END_DURATION_MAX: Duration = Duration::from_secs(10);
/// How old the end of a forgotten one may be to be taken for this one's.
const FORGOTTEN_MINUTES_MAX: u32 = 24 * 60;

/// A script that goes on without us.
#[derive(Debug, Clone)]
pub struct Detached {
    /// The script.
    pub script: Script,
    /// What tells it from others, on that machine and in every run: letters and digits.
    pub key: String,
    /// The run that asks.
    pub run: String,
}

/// How it fares.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fares {
    /// There is none.
    None,
    /// It runs, begun by this run.
    Runs(String),
    /// It has ended so, begun by this run.
    Ended(i32, String),
    /// It neither runs nor has it said its end: the machine restarted, or somebody killed it.
    Gone(String),
}

/// What was asked for at once.
struct Told {
    fares: Fares,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Detached {
    /// Starts it, or finds it again, and waits for its end; also what people should know of that.
    ///
    /// # Errors
    ///
    /// When it could not be started, or when it was ended from outside.
    pub async fn run(
        &self,
        remote: &Remote,
        limits: Limits,
        record: Record,
    ) -> Result<(Finished, Option<String>), RemoteError> {
        let started = Instant::now();
        let deadline = started + limits.timeout;
        let mut note = None;
        let found = self.ask(remote, &limits.cancel, [0, 0]).await?.fares;
        match &found {
            Fares::Runs(run) | Fares::Ended(_, run) if *run != self.run => {
                note = Some(format!(
                    "found again: run {run} began it and did not see its end"
                ));
            }
            Fares::Runs(_) | Fares::Ended(..) => {}
            Fares::None | Fares::Gone(_) => self.begin(remote, &limits).await?,
        }
        let mut collector = Collector::new(record);
        let end = self
            .follow(remote, &limits.cancel, deadline, &mut collector)
            .await?;
        let code = match &end {
            Followed::Ended(code) => Some(*code),
            Followed::TimedOut | Followed::Stopped => {
                let at = [
                    collector.seen(Stream::Stdout),
                    collector.seen(Stream::Stderr),
                ];
                if limits.cancel.level() < Level::StopNow {
                    self.end(remote, at, &mut collector).await;
                }
                None
            }
            Followed::Gone => {
                self.remove(remote).await;
                return Err(RemoteError::Lost {
                    name: remote.name().to_owned(),
                    said: "it was ended from outside, or the machine restarted".into(),
                });
            }
        };
        if code.is_some() {
            self.remove(remote).await;
        }
        let finished = Finished {
            end: match end {
                Followed::TimedOut => End::TimedOut,
                Followed::Stopped => End::Cancelled,
                Followed::Ended(_) | Followed::Gone => End::Itself,
            },
            code,
            output: collector.take(),
            duration: started.elapsed(),
            leftovers: 0,
            cut: false,
        };
        Ok((finished, note))
    }

    /// Asks again and again until it has ended or the time is over. A machine that does not answer is asked again, too.
    async fn follow(
        &self,
        remote: &Remote,
        cancel: &Cancel,
        deadline: Instant,
        collector: &mut Collector,
    ) -> Result<Followed, RemoteError> {
        let mut pause = ASK_FIRST;
        loop {
            let at = [
                collector.seen(Stream::Stdout),
                collector.seen(Stream::Stderr),
            ];
            match self.ask(remote, cancel, at).await {
                Ok(told) => {
                    let full = told.stdout.len().max(told.stderr.len()) >= CHUNK_BYTES_MAX;
                    collector.push(Stream::Stdout, &told.stdout);
                    collector.push(Stream::Stderr, &told.stderr);
                    match told.fares {
                        _ if full => continue,
                        Fares::Ended(code, _) => return Ok(Followed::Ended(code)),
                        Fares::None | Fares::Gone(_) => return Ok(Followed::Gone),
                        Fares::Runs(_) => {}
                    }
                }
                Err(RemoteError::Stopped) => return Ok(Followed::Stopped),
                Err(error) if error.is_unreachable() => remote.forget().await,
                Err(error) => return Err(error),
            }
            tokio::select! {
                biased;
                () = cancel.stopped() => return Ok(Followed::Stopped),
                () = tokio::time::sleep_until(deadline.into()) => return Ok(Followed::TimedOut),
                () = tokio::time::sleep(pause) => pause = (pause * 3 / 2).min(ASK_LAST),
            }
        }
    }

    async fn begin(&self, remote: &Remote, limits: &Limits) -> Result<(), RemoteError> {
        let data = self.script.data(&self.key)?;
        let text = format!(
            "{}\nrm -rf -- \"$d\"; mkdir -p -- \"$d\" && cd \"$d\" || exit 1\n\
             printf '%s\\n' \"$r\" >run; cat /proc/sys/kernel/random/boot_id >boot\n\
             head -c {} >job && [ \"$(wc -c <job)\" -eq {} ] && mkfifo o e || exit 1\n\
             s=; command -v setsid >/dev/null 2>&1 && s=setsid\n\
             ( trap '' HUP; exec $s sh -c \"$w\" </dev/null >/dev/null 2>&1 3>&- 4>&- ) &\n\
             n=0; while [ ! -s pid ] && [ $n -lt 100 ]; do sleep 0.05 2>/dev/null || sleep 1; n=$((n+1)); done; [ -s pid ]",
            self.place(),
            data.len(),
            data.len(),
        );
        let seconds = (limits.timeout + END_DURATION_MAX).as_secs() + 1;
        let watch = program::watch(&self.key, seconds, OUTPUT_BYTES_MAX);
        let watch = super::quote::assignment("w", watch.as_bytes());
        let program = Program::Lines {
            text: format!("{watch}\n{text}"),
            input: data,
        };
        let limits = Limits::new(
            limits.timeout.min(QUESTION_DURATION_MAX),
            limits.cancel.clone(),
        );
        let answer = remote.lines(&program, CHUNK_BYTES_MAX, limits).await?;
        if answer.code == 0 {
            return Ok(());
        }
        Err(RemoteError::Unavailable {
            name: remote.name().to_owned(),
            cause: super::Cause::Other {
                said: format!("nothing can be detached there: {}", answer.stderr),
            },
        })
    }

    /// How it fares, and what it printed beyond what was fetched.
    async fn ask(
        &self,
        remote: &Remote,
        cancel: &Cancel,
        at: [u64; 2],
    ) -> Result<Told, RemoteError> {
        let text = format!(
            "{}\ncd \"$d\" 2>/dev/null || {{ echo 'none 0 0 0'; exit; }}\n\
             c=0; if [ -s exit ]; then f=ended; c=$(cat exit); [ -n \"$(find exit -mmin -{FORGOTTEN_MINUTES_MAX})\" ] || f=gone\n\
             elif [ \"$(cat boot)\" = \"$(cat /proc/sys/kernel/random/boot_id)\" ] && read -r p t <pid && read -r l 2>/dev/null </proc/$p/stat && \
             {{ set -- ${{l##*) }}; shift 19; [ \"$1\" = \"$t\" ]; }} then f=runs; else f=gone; [ ! -s exit ] || {{ f=ended; c=$(cat exit); }}; fi\n\
             part() {{ [ -e $1 ] && n=$(($(wc -c <$1)-$2)) || n=0; [ $n -gt 0 ] || n=0; [ $n -le {CHUNK_BYTES_MAX} ] || n={CHUNK_BYTES_MAX}; echo $n; }}\n\
             o=$(part out {}); e=$(part err {}); echo $f $c $o $e; cat run\n\
             [ $o -eq 0 ] || tail -c +{} out | head -c $o; [ $e -eq 0 ] || tail -c +{} err | head -c $e",
            self.place(),
            at[0],
            at[1],
            at[0] + 1,
            at[1] + 1,
        );
        let limits = Limits::new(QUESTION_DURATION_MAX, cancel.clone());
        let answer = remote
            .lines(&Program::lines(text), 3 * CHUNK_BYTES_MAX, limits)
            .await?;
        read(&answer.stdout).ok_or_else(|| RemoteError::Unavailable {
            name: remote.name().to_owned(),
            cause: super::Cause::Other {
                said: format!("it does not say how the script fares: {}", answer.stderr),
            },
        })
    }

    /// Ends it there, and takes what it printed last.
    async fn end(&self, remote: &Remote, at: [u64; 2], collector: &mut Collector) {
        // Whoever asked to stop has stopped everything that holds the same request.
        let cancel = Cancel::new();
        let limits = Limits::new(END_DURATION_MAX, cancel.clone());
        let program = Program::lines(program::ending(&self.key));
        // What cannot be reached is ended by its own time.
        if remote
            .lines(&program, CHUNK_BYTES_MAX, limits)
            .await
            .is_ok()
            && let Ok(told) = self.ask(remote, &cancel, at).await
        {
            collector.push(Stream::Stdout, &told.stdout);
            collector.push(Stream::Stderr, &told.stderr);
            self.remove(remote).await;
        }
    }

    /// Removes its directory; one that stays is found and removed by the next run.
    async fn remove(&self, remote: &Remote) {
        let limits = Limits::new(END_DURATION_MAX, Cancel::new());
        let program = Program::lines(format!("{}\nrm -rf -- \"$d\"", self.place()));
        let _ = remote.lines(&program, CHUNK_BYTES_MAX, limits).await;
    }

    fn place(&self) -> String {
        let run = super::quote::assignment("r", self.run.as_bytes());
        format!("umask 077; d=$HOME/.runbook/{}; {run}", self.key)
    }
}

enum Followed {
    Ended(i32),
    TimedOut,
    Stopped,
    Gone,
}

fn read(answer: &[u8]) -> Option<Told> {
    let mut parts = answer.splitn(3, |byte| *byte == b'\n');
    let head = String::from_utf8_lossy(parts.next()?).into_owned();
    let run = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let output = parts.next().unwrap_or_default();
    let mut words = head.split(' ');
    let (word, code) = (words.next()?, words.next()?.parse().ok()?);
    let stdout: usize = words.next()?.parse().ok()?;
    let stderr: usize = words.next()?.parse().ok()?;
    let fares = match word {
        "none" => Fares::None,
        "runs" => Fares::Runs(run),
        "ended" => Fares::Ended(code, run),
        "gone" => Fares::Gone(run),
        _ => return None,
    };
    let rest = output.get(stdout..)?;
    Some(Told {
        fares,
        stdout: output[..stdout].to_vec(),
        stderr: rest.get(..stderr)?.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_and_one_that_was_cut_is_none() {
        let told = read(b"ended 255 3 2\nrun-1\na\nbxy").unwrap();
        assert_eq!(told.fares, Fares::Ended(255, "run-1".into()));
        assert_eq!(
            (&told.stdout[..], &told.stderr[..]),
            (&b"a\nb"[..], &b"xy"[..])
        );
        assert_eq!(read(b"none 0 0 0\n").unwrap().fares, Fares::None);
        assert!(read(b"ended 0 3 2\nrun-1\na").is_none());
        assert!(read(b"").is_none());
    }
}
