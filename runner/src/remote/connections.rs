//! One connection per login for as long as a run lasts: OpenSSH's own sharing, in a directory of ours.
//!
//! The shared connection is held by a child of ours with a session of its own that reads until its input ends: when this
//! program ends, however it ends, so do the session and with it the connection. Nothing of the user's own sharing is used.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::cause::{Cause, RemoteError};
use super::login::Login;
use crate::process::{Background, Cancel, Command, GRACE, Input, Record, spawn_background};

/// How long a connection may take to come up.
const CONNECT_SECONDS_MAX: u64 = 10;
/// The same with everything that follows: keys, a proxy, a slow login.
const LOGIN_DURATION_MAX: Duration = Duration::from_secs(30);
/// After how long without an answer a connection is asked whether it is there, and how often.
const ALIVE_SECONDS: u64 = 5;
const ALIVE_COUNT_MAX: u64 = 3;
/// How many sessions share a connection. A server allows ten (`MaxSessions`), of which one is ours; what does not fit gets
/// a connection of its own.
pub const SESSIONS_MAX: usize = 8;
/// How often is looked whether a connection is up.
const LOOK_FIRST: Duration = Duration::from_millis(5);
const LOOK_LAST: Duration = Duration::from_millis(50);
/// How long a shared connection may take to end by itself.
const FAREWELL: Duration = Duration::from_millis(500);
/// How much of what OpenSSH said is read.
const LOG_BYTES_MAX: usize = 16 << 10;
/// The longest path of a socket, with what OpenSSH appends while it makes it: 108 bytes.
const SOCKET_PATH_BYTES_MAX: usize = 84;

/// How OpenSSH is started.
#[derive(Debug, Clone)]
pub struct SshSettings {
    /// A configuration file in place of the user's (`ssh -F`).
    pub config: Option<PathBuf>,
    /// The user where neither guest nor host names one.
    pub user: Option<String>,
    /// Its environment: agents and proxies are found by it.
    pub environment: Vec<(OsString, OsString)>,
}

impl Default for SshSettings {
    fn default() -> Self {
        Self {
            config: None,
            user: None,
            environment: std::env::vars_os().collect(),
        }
    }
}

/// The connections of a run.
#[derive(Debug)]
pub struct Connections {
    settings: SshSettings,
    directory: TempDir,
    slots: Mutex<HashMap<Login, Arc<Slot>>>,
    next: AtomicU32,
}

type Slot = tokio::sync::Mutex<State>;

/// What is known of a login.
#[derive(Debug, Default)]
enum State {
    #[default]
    New,
    Up(Arc<Shared>),
    /// It lets itself not be shared: each session connects by itself.
    Apart,
}

/// A connection that sessions share.
#[derive(Debug)]
struct Shared {
    child: Background,
    socket: PathBuf,
    sessions: Arc<Semaphore>,
}

/// A place in a shared connection, or none: then the session connects by itself.
#[derive(Debug)]
pub(super) struct Session {
    socket: Option<PathBuf>,
    _permit: Option<OwnedSemaphorePermit>,
    /// What OpenSSH itself says goes there, so that standard error is the program's alone.
    pub(super) log: Log,
}

/// A file that OpenSSH writes to; removed afterwards.
#[derive(Debug)]
pub(super) struct Log(PathBuf);

impl Log {
    /// What it has.
    pub(super) fn read(&self) -> String {
        let bytes = fs::read(&self.0).unwrap_or_default();
        let from = bytes.len().saturating_sub(LOG_BYTES_MAX);
        String::from_utf8_lossy(&bytes[from..]).replace('\r', "")
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // A log that was never written is not there.
        let _ = fs::remove_file(&self.0);
    }
}

impl Connections {
    /// No connection yet.
    ///
    /// # Errors
    ///
    /// When no directory can be made for their sockets.
    pub fn new(settings: SshSettings) -> io::Result<Self> {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let places = runtime
            .into_iter()
            .chain([std::env::temp_dir(), PathBuf::from("/tmp")]);
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for place in places {
            if place.as_os_str().len() > SOCKET_PATH_BYTES_MAX - 20 {
                continue;
            }
            // Only its owner may enter it.
            match tempfile::Builder::new().prefix("rb-").tempdir_in(place) {
                Ok(directory) => {
                    return Ok(Self {
                        settings,
                        directory,
                        slots: Mutex::default(),
                        next: AtomicU32::new(0),
                    });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// How OpenSSH is started.
    pub fn settings(&self) -> &SshSettings {
        &self.settings
    }

    /// The command that runs something on a login's machine.
    pub(super) fn command(&self, login: &Login, session: &Session, remote: String) -> Command {
        let mut command = self.ssh(&session.log.0);
        let share: OsString = match &session.socket {
            Some(socket) => socket.into(),
            None => "none".into(),
        };
        command.args.extend(["-S".into(), share]);
        self.aim(&mut command, login);
        command.args.push(remote.into());
        command
    }

    /// Where the command goes.
    fn aim(&self, command: &mut Command, login: &Login) {
        let user = login.user.clone().or_else(|| self.settings.user.clone());
        let login = Login {
            user,
            ..login.clone()
        };
        command.args.extend(login.args());
    }

    /// `ssh` with all that is the same for every use. What stands in a command line wins over the configuration.
    fn ssh(&self, log: &Path) -> Command {
        let mut command = Command::new("ssh", "/");
        command.env.clone_from(&self.settings.environment);
        if let Some(config) = &self.settings.config {
            command.args.extend(["-F".into(), config.into()]);
        }
        let options = [
            "BatchMode=yes".to_owned(),
            "StrictHostKeyChecking=yes".to_owned(),
            "UpdateHostKeys=no".to_owned(),
            format!("ConnectTimeout={CONNECT_SECONDS_MAX}"),
            format!("ServerAliveInterval={ALIVE_SECONDS}"),
            format!("ServerAliveCountMax={ALIVE_COUNT_MAX}"),
            "ControlMaster=no".to_owned(),
            "ControlPersist=no".to_owned(),
            "RequestTTY=no".to_owned(),
            "RemoteCommand=none".to_owned(),
            "ClearAllForwardings=yes".to_owned(),
            "ForwardX11=no".to_owned(),
            "PermitLocalCommand=no".to_owned(),
            "LogLevel=ERROR".to_owned(),
        ];
        for option in options {
            command.args.extend(["-o".into(), option.into()]);
        }
        command.args.extend(["-E".into(), log.into()]);
        command
    }

    fn log(&self) -> Log {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Log(self.directory.path().join(format!("l{number}")))
    }

    /// A place for a session, with the connection made when there is none.
    pub(super) async fn session(
        &self,
        login: &Login,
        name: &str,
        deadline: Instant,
        cancel: &Cancel,
    ) -> Result<Session, RemoteError> {
        let slot = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(slots.entry(login.key()).or_default())
        };
        let mut state = tokio::select! {
            biased;
            () = cancel.stopped() => return Err(RemoteError::Stopped),
            () = tokio::time::sleep_until(deadline.into()) => return Err(timed_out(name)),
            state = slot.lock() => state,
        };
        if matches!(&*state, State::Up(shared) if !shared.child.is_running()) {
            *state = State::New;
        }
        if matches!(&*state, State::New) {
            *state = self.share(login, name, deadline, cancel).await?;
        }
        let (socket, permit) = match &*state {
            State::Up(shared) => match Arc::clone(&shared.sessions).try_acquire_owned() {
                Ok(permit) => (Some(shared.socket.clone()), Some(permit)),
                Err(_) => (None, None),
            },
            State::New | State::Apart => (None, None),
        };
        Ok(Session {
            socket,
            _permit: permit,
            log: self.log(),
        })
    }

    /// Makes a connection that is shared.
    async fn share(
        &self,
        login: &Login,
        name: &str,
        deadline: Instant,
        cancel: &Cancel,
    ) -> Result<State, RemoteError> {
        let log = self.log();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let socket = self.directory.path().join(format!("s{number}"));
        let mut command = self.ssh(&log.0);
        command
            .args
            .extend(["-M".into(), "-S".into(), socket.clone().into()]);
        self.aim(&mut command, login);
        command.args.push("exec cat".into());
        command.input = Input::Held {
            bytes: Arc::default(),
            farewell: FAREWELL,
        };
        let child = spawn_background(&command, GRACE, Record::default())?;
        let until = deadline.min(Instant::now() + LOGIN_DURATION_MAX);
        let mut pause = LOOK_FIRST;
        loop {
            if socket.exists() {
                return Ok(State::Up(Arc::new(Shared {
                    child,
                    socket,
                    sessions: Arc::new(Semaphore::new(SESSIONS_MAX)),
                })));
            }
            if Instant::now() >= until {
                return Err(timed_out(name));
            }
            tokio::select! {
                biased;
                () = cancel.stopped() => return Err(RemoteError::Stopped),
                exit = child.wait_exit() => {
                    let said = exit.map(|exit| exit.output.both().text().into_owned()).unwrap_or_default();
                    return match Cause::of(&log.read(), &said) {
                        // It may allow what is asked for all the same: that says for itself.
                        Cause::Other { .. } => Ok(State::Apart),
                        cause => Err(RemoteError::Unavailable { name: name.to_owned(), cause }),
                    };
                }
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(LOOK_LAST),
            }
        }
    }

    /// Forgets a login's connection, whose machine goes away; the next session makes a new one.
    pub(super) async fn forget(&self, login: &Login) {
        let slot = {
            let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            slots.get(&login.key()).map(Arc::clone)
        };
        if let Some(slot) = slot
            && let State::Up(shared) = std::mem::take(&mut *slot.lock().await)
        {
            shared.child.stop_now().await;
        }
    }

    /// Ends all connections.
    pub async fn close(&self) {
        let slots: Vec<Arc<Slot>> = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            slots.drain().map(|(_, slot)| slot).collect()
        };
        let mut ending = tokio::task::JoinSet::new();
        for slot in slots {
            ending.spawn(async move {
                if let State::Up(shared) = std::mem::take(&mut *slot.lock().await) {
                    shared.child.stop().await;
                }
            });
        }
        ending.join_all().await;
    }
}

fn timed_out(name: &str) -> RemoteError {
    RemoteError::TimedOut {
        name: name.to_owned(),
    }
}
