//! A host that is up: one tree of processes over one tree of files, with a name.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tokio::sync::watch;

use super::channel::{self, ANSWER_MAX, Channel};
use super::error::Error;
use super::machine::Machine;
use super::message::{Answer, ExecWish, HostSetup, HostWish, Text, Wish};

/// What a host is made of.
#[derive(Debug, Clone)]
pub struct HostConfig {
    /// Its name.
    pub hostname: String,
    /// Its files; see [`Root`](super::Root).
    pub root: PathBuf,
    /// What is laid over them for reading.
    pub binds: Vec<Bind>,
}

/// A file or a directory that is laid over a path of a host, for reading.
#[derive(Debug, Clone)]
pub struct Bind {
    /// Outside.
    pub outside: PathBuf,
    /// On the host; must be there, as a file or directory as well.
    pub inside: PathBuf,
}

/// A command of a host.
#[derive(Debug)]
pub struct Exec {
    /// The program, a path or a name that is looked for in the `PATH` of `env`, and its arguments.
    pub argv: Vec<OsString>,
    /// The whole environment; only `XDG_SESSION_ID` is added, as on a machine with systemd.
    pub env: Vec<(OsString, OsString)>,
    /// Where it starts.
    pub cwd: PathBuf,
    /// As whom; root without it, and where no other identities exist.
    pub user: Option<User>,
    /// Standard input.
    pub stdin: OwnedFd,
    /// Standard output.
    pub stdout: OwnedFd,
    /// Standard error.
    pub stderr: OwnedFd,
}

/// An identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// The user's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Its exit code.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
}

/// A host that is up. Dropping it ends everything on it.
#[derive(Debug)]
pub struct Host {
    channel: Channel,
    has_users: bool,
    ended: watch::Receiver<bool>,
}

impl Host {
    pub(super) async fn boot(
        place: &Channel,
        config: HostConfig,
        shared: &Path,
        machine: Machine,
        has_users: bool,
    ) -> Result<Self, Error> {
        let (here, there) = UnixStream::pair().map_err(Error::Start)?;
        let reply = place
            .ask("booting a host", Wish::Boot, vec![there.into()], ANSWER_MAX)
            .await?;
        let setup = HostSetup {
            root: Text::from(config.root.as_path()),
            shared: Text::from(shared),
            machine,
            binds: config
                .binds
                .iter()
                .map(|bind| (Text::from(&*bind.outside), Text::from(&*bind.inside)))
                .collect(),
            hostname: config.hostname.clone(),
        };
        let channel = Channel::new(here, config.hostname).map_err(Error::Start)?;
        let wish = HostWish::Setup(setup);
        let booted = channel.ask("booting a host", wish, Vec::new(), ANSWER_MAX);
        // Without the drop of a host nobody would hang up.
        let hang_up = HangUp(channel.clone());
        booted.await?;
        std::mem::forget(hang_up);
        let mut further = channel::for_runtime(reply.further)?;
        let (tell, ended) = watch::channel(false);
        tokio::spawn(async move {
            // Whatever comes, or that nothing comes any more: it has ended.
            let _ = channel::end(&mut further).await;
            tell.send_replace(true);
        });
        Ok(Self {
            channel,
            has_users,
            ended,
        })
    }

    /// Starts a command.
    ///
    /// # Errors
    ///
    /// What the system says: `NotFound` where there is no such program. [`Error::Ended`] when the host is down.
    pub async fn exec(&self, exec: Exec) -> Result<Running, Error> {
        if has_zero(&exec) {
            return Err(Error::Wish {
                what: "a zero byte in a command, its environment or its directory".into(),
            });
        }
        let wish = ExecWish {
            argv: exec
                .argv
                .iter()
                .map(|text| Text::from(text.as_os_str()))
                .collect(),
            env: exec
                .env
                .iter()
                .map(|(name, value)| (Text::from(name.as_os_str()), Text::from(value.as_os_str())))
                .collect(),
            cwd: Text::from(exec.cwd.as_path()),
            user: exec
                .user
                .filter(|_| self.has_users)
                .map(|user| (user.uid, user.gid)),
        };
        let streams = vec![exec.stdin, exec.stdout, exec.stderr];
        let wish = HostWish::Exec(wish);
        let reply = self
            .channel
            .ask("starting a command", wish, streams, ANSWER_MAX)
            .await?;
        let Answer::Started(number) = reply.answer else {
            return Err(self.channel.ended());
        };
        Ok(Running {
            number,
            channel: self.channel.clone(),
            further: channel::for_runtime(reply.further)?,
            status: None,
        })
    }

    /// Whether it is still up.
    pub fn is_up(&self) -> bool {
        !*self.ended.borrow()
    }

    /// Waits until the host is down, for whatever reason.
    pub async fn ended(&self) {
        let mut ended = self.ended.clone();
        // Nobody can tell any more: it has ended.
        let _ = ended.wait_for(|ended| *ended).await;
    }

    /// Ends everything on the host and waits until it is gone.
    ///
    /// # Errors
    ///
    /// When it is not gone in time.
    pub async fn stop(self) -> Result<(), Error> {
        self.channel.hang_up();
        tokio::time::timeout(ANSWER_MAX, self.ended())
            .await
            .map_err(|_| Error::Timeout {
                what: "stopping a host",
                seconds: ANSWER_MAX.as_secs(),
            })
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.channel.hang_up();
    }
}

struct HangUp(Channel);

impl Drop for HangUp {
    fn drop(&mut self) {
        self.0.hang_up();
    }
}

fn has_zero(exec: &Exec) -> bool {
    let zero = |text: &std::ffi::OsStr| text.as_encoded_bytes().contains(&0);
    exec.argv.iter().any(|text| zero(text))
        || zero(exec.cwd.as_os_str())
        || exec
            .env
            .iter()
            .any(|(name, value)| zero(name) || zero(value))
}

/// A command that runs. Dropping it before its end was seen ends it with everything that came of it.
#[derive(Debug)]
pub struct Running {
    number: u64,
    channel: Channel,
    further: tokio::net::UnixStream,
    status: Option<Status>,
}

impl Running {
    /// Waits for its end. What it left behind (`nohup`, `setsid`) goes on. May be dropped and asked for again.
    ///
    /// # Errors
    ///
    /// [`Error::Ended`] when the host went down with it.
    pub async fn wait(&mut self) -> Result<Status, Error> {
        if let Some(status) = self.status {
            return Ok(status);
        }
        // An answer is written in one piece: nothing is half read when this is dropped between readiness and reading.
        self.further.readable().await.map_err(Error::Start)?;
        let (code, signal) = channel::end(&mut self.further)
            .await
            .ok_or_else(|| self.channel.ended())?;
        let status = Status { code, signal };
        self.status = Some(status);
        Ok(status)
    }

    /// Ends it with everything that came of it, also what left its session or ignores signals.
    ///
    /// # Errors
    ///
    /// When something of it cannot be ended. That the host is down is none.
    pub async fn kill(&self) -> Result<(), Error> {
        kill(&self.channel, self.number).await
    }

    /// Lets it go on when this value is dropped.
    pub fn detach(mut self) {
        self.status.get_or_insert(Status {
            code: None,
            signal: None,
        });
    }
}

async fn kill(channel: &Channel, number: u64) -> Result<(), Error> {
    let wish = HostWish::Kill(number);
    match channel
        .ask("ending a command", wish, Vec::new(), ANSWER_MAX)
        .await
    {
        Ok(_) | Err(Error::Ended { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.status.is_some() {
            return;
        }
        let (channel, number) = (self.channel.clone(), self.number);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { kill(&channel, number).await });
        } else {
            // The runtime is gone, and with it soon the lab.
            let _ = channel.ask_now("ending a command", &HostWish::Kill(number), &[], ANSWER_MAX);
        }
    }
}
