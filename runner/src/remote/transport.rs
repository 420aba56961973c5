//! The ways to another machine, and what became of a program there.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;

use super::agent::{Agent, AgentError, AgentStatus, INPUT_BYTES_MAX};
use super::cause::{Cause, RemoteError};
use super::connections::Connections;
use super::container::Container;
use super::frame::{Frame, Told};
use super::login::Login;
use super::marks::Marks;
use super::program::{self, Program};
use crate::process::{
    self, Background, Cancel, Collector, End, Exit, Input, Limits, Output, Record, Stream,
};

/// How long a program may take to end there once the end of its input told it to; TERM and KILL are given there.
pub(super) const FAREWELL: Duration = Duration::from_secs(3);
/// How long a program may stay up when nobody ends it.
pub(super) const STANDING_DURATION_MAX: Duration = Duration::from_secs(24 * 3600);
/// How often an agent is asked, at first and at last.
const ASK_FIRST: Duration = Duration::from_millis(50);
const ASK_LAST: Duration = Duration::from_secs(1);
/// How long an agent's answer to one call is waited for at the end, when the time is over already.
const AGENT_END_MAX: Duration = Duration::from_secs(3);
/// The longest standard error of lines of ours.
const STDERR_BYTES_MAX: usize = 16 << 10;

/// How programs get onto a machine.
#[derive(Clone)]
pub enum Way {
    /// By OpenSSH.
    Ssh(Login),
    /// By `pct exec` on the node of a container.
    Pct {
        /// The node.
        node: Login,
        /// The container.
        vmid: u32,
    },
    /// By the guest agent of a virtual machine.
    Agent(Arc<dyn Agent>),
    /// Into a container of a pod.
    Container(Arc<dyn Container>),
}

/// Another machine.
#[derive(Clone)]
pub struct Remote {
    name: String,
    way: Way,
    connections: Arc<Connections>,
    /// Whose programs these are.
    marks: Option<Marks>,
}

/// What became of a program on another machine.
#[derive(Debug)]
pub struct Finished {
    /// Why it is no more.
    pub end: End,
    /// Its exit code, when it ended by itself.
    pub code: Option<i32>,
    /// What it printed.
    pub output: Output,
    /// From its start until its end was known.
    pub duration: Duration,
    /// How many processes it had left behind; they were ended.
    pub leftovers: usize,
    /// Whether the way kept only a part of the output.
    pub cut: bool,
}

/// A program that stays up on another machine.
#[derive(Debug)]
pub struct Standing {
    /// What holds it: ended, it ends there too.
    pub child: Background,
    /// Its place in a connection, which must live as long.
    pub held: Box<dyn std::any::Any + Send + Sync>,
}

/// What lines of ours printed.
#[derive(Debug)]
pub struct Answer {
    /// Their exit code.
    pub code: i32,
    /// All of standard output.
    pub stdout: Vec<u8>,
    /// The beginning of standard error, without line ends at its end.
    pub stderr: String,
}

impl Remote {
    /// A machine, and how programs get onto it.
    pub fn new(name: impl Into<String>, way: Way, connections: Arc<Connections>) -> Self {
        Self {
            name: name.into(),
            way,
            connections,
            marks: None,
        }
    }

    /// The same, which notes the number of each program that it runs before it begins. What stays up or is detached is not
    /// noted: it may do something for others.
    pub fn noting(mut self, marks: Marks) -> Self {
        self.marks = Some(marks);
        self
    }

    /// What people call it: `lxc/web`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs a program to its end.
    ///
    /// Returns at the latest some seconds after the limits' time, with everything ended there that it had started; when the
    /// future is dropped the other machine ends it.
    ///
    /// # Errors
    ///
    /// When it could not be begun, or its end is not known.
    pub async fn run(
        &self,
        program: &Program,
        limits: Limits,
        record: Record,
    ) -> Result<Finished, RemoteError> {
        let started = Instant::now();
        let nonce = nonce();
        if let Some(marks) = &self.marks {
            marks.add(&nonce);
        }
        let input = program.input(&self.way, &nonce, limits.timeout)?;
        let (frame, told) = Frame::new(&nonce, record.redact);
        let record = Record {
            redact: Some(frame),
            ..record
        };
        let login = match &self.way {
            Way::Ssh(login) => login,
            Way::Pct { node, .. } => node,
            Way::Agent(agent) => {
                return self
                    .by_agent(&**agent, &nonce, &input, limits, record, &told)
                    .await;
            }
            Way::Container(container) => {
                let collector = Mutex::new(Collector::new(record));
                return self
                    .by_container(&**container, (&nonce, input), limits, &collector, &told)
                    .await;
            }
        };
        let deadline = started + limits.timeout;
        let session = self
            .connections
            .session(login, &self.name, deadline, &limits.cancel)
            .await?;
        let mut command = self
            .connections
            .command(login, &session, program::command(&self.way));
        command.input = Input::Held {
            bytes: input.into(),
            farewell: FAREWELL,
        };
        let limits = Limits {
            timeout: deadline.saturating_duration_since(Instant::now()),
            ..limits
        };
        let exit = process::run(&command, limits, record).await?;
        let told = std::mem::take(&mut *told.lock().unwrap_or_else(PoisonError::into_inner));
        self.finished(exit, told, &session.log.read(), started)
    }

    fn finished(
        &self,
        exit: Exit,
        told: Told,
        log: &str,
        started: Instant,
    ) -> Result<Finished, RemoteError> {
        let name = self.name.clone();
        let preamble = String::from_utf8_lossy(&told.preamble).replace('\r', "");
        let (code, leftovers) = match (told.end, exit.end) {
            (Some((code, left)), End::Itself) => (Some(code), left),
            (_, End::TimedOut) if !told.began => return Err(RemoteError::TimedOut { name }),
            (_, End::Cancelled) if !told.began => return Err(RemoteError::Stopped),
            (_, End::TimedOut | End::Cancelled) => (None, 0),
            (None, End::Itself) if !told.began => {
                let silent = log.trim().is_empty() && preamble.trim().is_empty();
                let cause = match exit.code() {
                    // A shared connection that ends meanwhile ends its sessions without a word.
                    Some(255) if silent => Cause::Closed {
                        said: "without a word".into(),
                    },
                    _ => Cause::of(log, &preamble),
                };
                return Err(RemoteError::Unavailable { name, cause });
            }
            (None, End::Itself) => {
                let last = log.lines().map(str::trim).rfind(|line| !line.is_empty());
                let said = match (last, exit.code()) {
                    (Some(last), _) => last.to_owned(),
                    (None, Some(code)) if code != 255 => {
                        format!("its shell there ended with exit code {code}")
                    }
                    _ => String::new(),
                };
                return Err(RemoteError::Lost { name, said });
            }
        };
        Ok(Finished {
            end: exit.end,
            code,
            output: exit.output,
            duration: started.elapsed(),
            leftovers,
            cut: false,
        })
    }

    /// Starts a program that stays up until it is stopped, or for a day. It ends there, too, when the connection is lost.
    ///
    /// # Errors
    ///
    /// When it could not be begun; by a guest agent nothing stays up with us.
    pub async fn start(
        &self,
        program: &Program,
        record: Record,
        deadline: Instant,
        cancel: &Cancel,
    ) -> Result<Standing, RemoteError> {
        let nonce = nonce();
        let input = program.input(&self.way, &nonce, STANDING_DURATION_MAX)?;
        let (frame, told) = Frame::new(&nonce, record.redact);
        let record = Record {
            redact: Some(frame),
            ..record
        };
        let login = match &self.way {
            Way::Ssh(login) => login,
            Way::Pct { node, .. } => node,
            Way::Agent(_) => {
                return Err(RemoteError::Unavailable {
                    name: self.name.clone(),
                    cause: Cause::Other {
                        said: "nothing can stay up by its guest agent: give the guest `exec: ssh`"
                            .into(),
                    },
                });
            }
            Way::Container(container) => {
                let left = deadline.saturating_duration_since(Instant::now());
                let limits = Limits::new(left, cancel.clone());
                let container = Arc::clone(container);
                let input = (nonce, input);
                let child = self.stays_in_container(container, input, record, told, limits);
                return Ok(Standing {
                    child: child.await?,
                    held: Box::new(()),
                });
            }
        };
        let session = self
            .connections
            .session(login, &self.name, deadline, cancel)
            .await?;
        let mut command = self
            .connections
            .command(login, &session, program::command(&self.way));
        command.input = Input::Held {
            bytes: input.into(),
            farewell: FAREWELL,
        };
        let child = process::spawn_background(&command, process::GRACE, record)?;
        Ok(Standing {
            child,
            held: Box::new(session),
        })
    }

    /// Runs lines of ours and takes all that they print, up to a maximum.
    ///
    /// # Errors
    ///
    /// As [`Self::run`]; also when they print more than `bytes_max`.
    pub async fn lines(
        &self,
        program: &Program,
        bytes_max: usize,
        limits: Limits,
    ) -> Result<Answer, RemoteError> {
        let taken = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&taken);
        let live = move |stream: Stream, bytes: &[u8]| {
            if stream == Stream::Stdout {
                let mut taken = into.lock().unwrap_or_else(PoisonError::into_inner);
                let room = (bytes_max + 1).saturating_sub(taken.len());
                taken.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
        };
        let record = Record {
            live: Some(Box::new(live)),
            ..Record::default()
        };
        let finished = self.run(program, limits, record).await?;
        let stdout = std::mem::take(&mut *taken.lock().unwrap_or_else(PoisonError::into_inner));
        let other = |said: String| RemoteError::Unavailable {
            name: self.name.clone(),
            cause: Cause::Other { said },
        };
        let code = match finished.end {
            End::Itself => finished.code.unwrap_or(255),
            End::TimedOut => {
                return Err(RemoteError::TimedOut {
                    name: self.name.clone(),
                });
            }
            End::Cancelled => return Err(RemoteError::Stopped),
        };
        if stdout.len() > bytes_max || finished.cut {
            return Err(other(format!(
                "it answered with more than {bytes_max} bytes"
            )));
        }
        let said = finished.output.stderr.text();
        let end = said
            .char_indices()
            .map(|(at, _)| at)
            .take_while(|at| *at <= STDERR_BYTES_MAX)
            .last()
            .unwrap_or(0);
        let said = if said.len() <= STDERR_BYTES_MAX {
            &said
        } else {
            &said[..end]
        };
        Ok(Answer {
            code,
            stdout,
            stderr: said.trim_end().to_owned(),
        })
    }

    /// Forgets the connection, because the machine goes away.
    pub async fn forget(&self) {
        match &self.way {
            Way::Ssh(login) => self.connections.forget(login).await,
            Way::Pct { .. } | Way::Agent(_) | Way::Container(_) => {}
        }
    }

    /// Runs a program by the guest agent: in the guest's background, asked until it has ended.
    async fn by_agent(
        &self,
        agent: &dyn Agent,
        nonce: &str,
        input: &[u8],
        limits: Limits,
        record: Record,
        told: &Mutex<Told>,
    ) -> Result<Finished, RemoteError> {
        let started = Instant::now();
        let deadline = started + limits.timeout;
        let letters = base64::engine::general_purpose::STANDARD.encode(input);
        let begin = async {
            let input = letters.as_bytes();
            let (argv, input) = self.hand_over(agent, input, deadline).await?;
            agent.exec(&argv, &input).await
        };
        let pid = tokio::select! {
            biased;
            () = limits.cancel.stopped() => return Err(RemoteError::Stopped),
            () = tokio::time::sleep_until(deadline.into()) => {
                return Err(RemoteError::TimedOut { name: self.name.clone() });
            }
            pid = begin => pid.map_err(|error| self.refused(error))?,
        };
        let ended = self.ask(agent, pid, deadline, &limits.cancel).await?;
        let (end, status) = match ended {
            Asked::Ended(status) => (End::Itself, status),
            Asked::TimedOut => (End::TimedOut, end_by_agent(agent, pid, nonce).await),
            Asked::Stopped => (End::Cancelled, end_by_agent(agent, pid, nonce).await),
        };
        let mut collector = Collector::new(record);
        collector.push(Stream::Stdout, &decoded(&status.stdout));
        collector.push(Stream::Stderr, &decoded(&status.stderr));
        let output = collector.take();
        let told = std::mem::take(&mut *told.lock().unwrap_or_else(PoisonError::into_inner));
        let lost = |said: String| RemoteError::Lost {
            name: self.name.clone(),
            said,
        };
        let (code, leftovers) = match (end, told.end) {
            (End::Itself, Some((code, left))) => (Some(code), left),
            // Standard error was longer than the agent keeps: its end has the mark.
            (End::Itself, None) if told.began && status.truncated => (status.code, 0),
            (End::Itself, None) if !told.began => {
                let said = String::from_utf8_lossy(&told.preamble).into_owned();
                return Err(RemoteError::Unavailable {
                    name: self.name.clone(),
                    cause: Cause::of("", &said),
                });
            }
            (End::Itself, None) => {
                return Err(lost(match (status.signal, status.code) {
                    (Some(signal), _) => format!("its shell there ended by signal {signal}"),
                    (None, Some(code)) => format!("its shell there ended with exit code {code}"),
                    (None, None) => String::new(),
                }));
            }
            (End::TimedOut | End::Cancelled, _) => (None, 0),
        };
        Ok(Finished {
            end,
            code,
            output,
            duration: started.elapsed(),
            leftovers,
            cut: status.truncated,
        })
    }

    /// The command line and the input of the first shell; an input that is too long goes over in parts, into a file that only
    /// its owner reads and that is gone as soon as it is open.
    async fn hand_over(
        &self,
        agent: &dyn Agent,
        input: &[u8],
        deadline: Instant,
    ) -> Result<(Vec<String>, Vec<u8>), AgentError> {
        let shell =
            |script: String| vec!["/bin/sh".to_owned(), "-c".to_owned(), script, "sh".into()];
        let boot = program::command(&self.way);
        if input.len() <= INPUT_BYTES_MAX {
            return Ok((shell(boot), input.to_vec()));
        }
        let make =
            "umask 077; t=$(mktemp -d /tmp/runbook-XXXXXXXX) && : >\"$t/input\" && echo \"$t\"";
        let made = finish(agent, &shell(make.into()), b"", deadline).await?;
        let directory = String::from_utf8_lossy(&made.stdout).trim().to_owned();
        for part in input.chunks(INPUT_BYTES_MAX) {
            let mut argv = shell("cat >>\"$1/input\"".into());
            argv.push(directory.clone());
            finish(agent, &argv, part, deadline).await?;
        }
        let mut argv = shell(format!("exec <\"$1/input\"; rm -rf \"$1\"; {boot}"));
        argv.push(directory);
        Ok((argv, Vec::new()))
    }

    async fn ask(
        &self,
        agent: &dyn Agent,
        pid: u64,
        deadline: Instant,
        cancel: &Cancel,
    ) -> Result<Asked, RemoteError> {
        let mut pause = ASK_FIRST;
        loop {
            tokio::select! {
                biased;
                () = cancel.stopped() => return Ok(Asked::Stopped),
                () = tokio::time::sleep_until(deadline.into()) => return Ok(Asked::TimedOut),
                status = agent.status(pid) => match status {
                    Ok(status) if status.exited => return Ok(Asked::Ended(status)),
                    Ok(_) => {}
                    Err(error) if error.passing => {}
                    Err(error) => return Err(RemoteError::Lost { name: self.name.clone(), said: error.message }),
                },
            }
            tokio::select! {
                biased;
                () = cancel.stopped() => return Ok(Asked::Stopped),
                () = tokio::time::sleep_until(deadline.into()) => return Ok(Asked::TimedOut),
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(ASK_LAST),
            }
        }
    }

    fn refused(&self, error: AgentError) -> RemoteError {
        RemoteError::Unavailable {
            name: self.name.clone(),
            cause: Cause::Guest {
                said: error.message,
            },
        }
    }
}

enum Asked {
    Ended(AgentStatus),
    TimedOut,
    Stopped,
}

/// The bytes that letters of base64 mean, as far as there are some; what is no base64 was printed before the program.
fn decoded(letters: &[u8]) -> Vec<u8> {
    let mut plain: Vec<u8> = letters
        .iter()
        .copied()
        .filter(|letter| !letter.is_ascii_whitespace())
        .collect();
    plain.truncate(plain.len() / 4 * 4);
    base64::engine::general_purpose::STANDARD
        .decode(&plain)
        .unwrap_or_else(|_| letters.to_vec())
}

/// Runs a program of ours by the agent, to its end.
async fn finish(
    agent: &dyn Agent,
    argv: &[String],
    input: &[u8],
    deadline: Instant,
) -> Result<AgentStatus, AgentError> {
    let failed = |message: String| AgentError {
        message,
        passing: false,
    };
    let pid = agent.exec(argv, input).await?;
    let mut pause = Duration::from_millis(10);
    loop {
        match agent.status(pid).await {
            Ok(status) if status.exited && status.code == Some(0) => return Ok(status),
            Ok(status) if status.exited => {
                let said = String::from_utf8_lossy(&status.stderr).trim().to_owned();
                return Err(failed(format!("the input cannot be written there: {said}")));
            }
            Err(error) if !error.passing => return Err(error),
            Ok(_) | Err(_) => {}
        }
        if Instant::now() >= deadline {
            return Err(failed(
                "the input could not be written there in time".into(),
            ));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(ASK_LAST);
    }
}

/// Ends a program by a second one, and takes what it printed; where that fails its own time ends it.
async fn end_by_agent(agent: &dyn Agent, pid: u64, nonce: &str) -> AgentStatus {
    let ending = async {
        let argv = ["/bin/sh".to_owned(), "-c".into(), program::ending(nonce)];
        agent.exec(&argv, b"").await.ok()?;
        loop {
            match agent.status(pid).await {
                Ok(status) if status.exited => return Some(status),
                Err(error) if !error.passing => return None,
                Ok(_) | Err(_) => tokio::time::sleep(ASK_FIRST).await,
            }
        }
    };
    let ended = tokio::time::timeout(AGENT_END_MAX, ending).await;
    ended.ok().flatten().unwrap_or_default()
}

/// A number that nobody else knows.
fn nonce() -> String {
    use std::hash::{BuildHasher as _, Hasher as _, RandomState};
    // Seeded from the system's random source, once for each thread, and different each time.
    let number = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", number(), number())
}
