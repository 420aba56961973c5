//! Commands on a machine: with streams of somebody else, with pipes of ours, as root by `sudo`.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::unix::pipe;

use super::answer::{Said, fail, unserved};
use super::drive::{drive, number};
use super::machine::Machine;
use super::program::Call;
use crate::command::{Control, End, Later, Process};
use crate::isolate::{Exec, User};

/// Where programs are looked for.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl Machine {
    /// Runs a command with these streams.
    pub(super) async fn exec(
        &self,
        argv: Vec<OsString>,
        env: Vec<(OsString, OsString)>,
        cwd: PathBuf,
        user: Option<User>,
        [stdin, stdout, stderr]: [OwnedFd; 3],
    ) -> Result<(Later<End>, Arc<dyn Control>), String> {
        let host = self.running.lock().await.as_ref().map(|up| up.host.clone());
        let Some(host) = host else {
            return Err(format!("{} is not running", self.spec.name));
        };
        let seconds = self.records().boot.since.elapsed().as_secs_f64();
        // Not replaced but written over: what is shown is bound to this very file.
        if let Err(error) = fs::write(
            self.facts.join("uptime"),
            format!("{seconds:.2} {seconds:.2}\n"),
        ) {
            tracing::warn!(%error, "the uptime of a lab's machine stands still");
        }
        let exec = Exec {
            argv,
            env,
            cwd,
            user,
            stdin,
            stdout,
            stderr,
        };
        let running = host.exec(exec).await.map_err(|error| error.to_string())?;
        drop(host);
        Ok(drive(running))
    }

    /// `sudo`: another command, as root.
    pub(super) async fn sudo(&self, args: &[String], call: &Call, streams: Vec<OwnedFd>) -> Said {
        let mut at = 0;
        while let Some(arg) = args.get(at) {
            match arg.as_str() {
                "-n" | "-E" | "-H" | "--non-interactive" => at += 1,
                "-u" if args.get(at + 1).is_some_and(|user| user == "root") => at += 2,
                "--" => {
                    at += 1;
                    break;
                }
                other if other.starts_with('-') => return unserved(self, &format!("sudo {other}")),
                _ => break,
            }
        }
        if at >= args.len() {
            return fail(1, "usage: sudo [-nEH] [-u root] command");
        }
        let cwd = PathBuf::from(OsString::from_vec(call.cwd.clone()));
        self.hand_over(args[at..].to_vec(), cwd, streams).await
    }

    /// Gives a program's streams to a command of this machine, and its status to the program.
    pub(super) async fn hand_over(
        &self,
        argv: Vec<String>,
        cwd: PathBuf,
        streams: Vec<OwnedFd>,
    ) -> Said {
        let Ok(streams) = <[OwnedFd; 3]>::try_from(streams) else {
            return fail(255, "three streams are needed");
        };
        let first = argv.first().cloned().unwrap_or_default();
        let env = environment(Path::new("/root"), "root", &[]);
        match self
            .exec(
                argv.into_iter().map(Into::into).collect(),
                env,
                cwd,
                None,
                streams,
            )
            .await
        {
            Ok((ended, control)) => {
                let ending = Ending(control);
                let code = match ended.await {
                    End::Code(code) => u8::try_from(code).unwrap_or(255),
                    End::Signal(name) => 128_u8.saturating_add(number(&name)),
                };
                drop(ending);
                Said {
                    code,
                    ..Said::default()
                }
            }
            Err(error) if error.contains("No such file") => {
                fail(127, format!("{first}: command not found"))
            }
            Err(error) => fail(255, error),
        }
    }

    /// Runs a command with pipes.
    pub(super) async fn process(
        &self,
        argv: Vec<OsString>,
        env: Vec<(OsString, OsString)>,
        cwd: PathBuf,
        user: Option<User>,
    ) -> Result<Process, String> {
        let failed = |error: io::Error| error.to_string();
        let pipes = || -> io::Result<_> {
            let (stdin, (out, err)) = (pipe::pipe()?, (pipe::pipe()?, pipe::pipe()?));
            let theirs = [
                stdin.1.into_blocking_fd()?,
                out.0.into_blocking_fd()?,
                err.0.into_blocking_fd()?,
            ];
            Ok((stdin.0, out.1, err.1, theirs))
        };
        let (stdin, stdout, stderr, theirs) = pipes().map_err(failed)?;
        let user = user.filter(|user| user.uid != 0);
        let (ended, control) = self.exec(argv, env, cwd, user, theirs).await?;
        Ok(Process {
            stdin: Box::new(stdin),
            stdout: Box::new(stdout),
            stderr: Box::new(stderr),
            ended,
            control,
        })
    }
}

/// Ends a command when nobody waits for it any more.
struct Ending(Arc<dyn Control>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// The environment of a login.
pub(super) fn environment(
    home: &Path,
    user: &str,
    more: &[(String, String)],
) -> Vec<(OsString, OsString)> {
    let mut env: Vec<(OsString, OsString)> = vec![
        ("PATH".into(), PATH.into()),
        ("HOME".into(), home.into()),
        ("USER".into(), user.into()),
        ("LOGNAME".into(), user.into()),
        ("SHELL".into(), "/bin/bash".into()),
    ];
    env.extend(more.iter().map(|(name, value)| (name.into(), value.into())));
    env
}
