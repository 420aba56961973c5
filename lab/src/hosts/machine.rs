//! One machine: its files, whether it is up, and the commands on it.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::net::unix::pipe;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::answer::{Said, fail, unserved};
use super::boot::Boot;
use super::calls::calls;
use super::drive::{drive, number};
use super::files::make_root;
use super::program::{self, Call};
use super::records::Packages;
use super::units::Units;
use super::{Inner, Role, Spec};
use crate::command::{Control, End, Later, Process};
use crate::isolate::{self, Bind, Exec, HostConfig, Root, User};
use crate::ssh::{self, Start};

/// Where programs are looked for.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How long a machine is down when it restarts.
const DOWN: Duration = Duration::from_millis(300);
/// What an answer to `systemctl reboot` needs to get out.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// A machine.
pub(super) struct Machine {
    pub(super) spec: Spec,
    pub(super) root: Root,
    facts: PathBuf,
    /// Lines of `/etc/hosts`.
    known: String,
    pub(super) lab: Weak<Inner>,
    up: watch::Sender<bool>,
    running: tokio::sync::Mutex<Option<Up>>,
    records: Mutex<Records>,
}

/// What a machine says of itself.
pub(super) struct Records {
    pub(super) packages: Packages,
    pub(super) units: Units,
    pub(super) boot: Boot,
}

struct Up {
    host: Arc<isolate::Host>,
    calls: JoinHandle<()>,
}

impl Drop for Up {
    fn drop(&mut self) {
        self.calls.abort();
    }
}

/// An account.
pub(super) struct Account {
    pub(super) user: User,
    home: PathBuf,
}

impl Machine {
    pub(super) fn new(spec: Spec, lab: &Arc<Inner>, known: &str) -> io::Result<Arc<Self>> {
        let root = make_root(&spec, &lab.directory.join(&spec.name), known)?;
        let facts = lab.directory.join(format!("{}.facts", spec.name));
        fs::create_dir(&facts)?;
        let records = Records {
            packages: Packages::new(&spec.packages),
            units: Units::new(&spec),
            boot: Boot::of(root.path()),
        };
        Ok(Arc::new(Self {
            root,
            facts,
            known: known.to_owned(),
            lab: Arc::downgrade(lab),
            up: watch::Sender::new(false),
            running: tokio::sync::Mutex::default(),
            records: Mutex::new(records),
            spec,
        }))
    }

    pub(super) fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn vmid(&self) -> Option<u32> {
        match self.spec.role {
            Role::Guest { vmid, .. } => Some(vmid),
            _ => None,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        *self.up.borrow()
    }

    /// Starts the machine; harmless when it is up.
    pub(super) async fn start(self: &Arc<Self>) -> io::Result<()> {
        let mut running = self.running.lock().await;
        if running.is_some() {
            return Ok(());
        }
        let lab = self.lab.upgrade().ok_or(io::ErrorKind::NotConnected)?;
        self.root.empty_at_boot()?;
        let boot = Boot::of(self.root.path());
        let mut binds = Vec::new();
        for (name, text, inside) in [
            (
                "boot_id",
                format!("{}\n", boot.id),
                "/proc/sys/kernel/random/boot_id",
            ),
            ("cmdline", boot.cmdline.clone(), "/proc/cmdline"),
            ("uptime", "0.10 0.10\n".to_owned(), "/proc/uptime"),
        ] {
            let outside = self.facts.join(name);
            fs::write(&outside, text)?;
            binds.push(Bind {
                outside,
                inside: inside.into(),
            });
        }
        self.write_groups(&boot)?;
        {
            let mut records = self.records();
            records.boot = boot;
            records.units.boot();
        }
        let config = HostConfig {
            hostname: self.spec.name.clone(),
            root: self.root.path().to_owned(),
            binds,
        };
        let host = lab.sandbox.boot(config).await.map_err(io::Error::other)?;
        let socket = self.root.path().join(program::SOCKET);
        let listener = UnixListener::bind(&socket)?;
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o666))?;
        let calls = tokio::spawn(calls(listener, Arc::downgrade(self)));
        *running = Some(Up {
            host: Arc::new(host),
            calls,
        });
        self.up.send_replace(true);
        Ok(())
    }

    /// Ends everything on the machine; harmless when it is down.
    pub(super) async fn stop(&self) {
        self.up.send_replace(false);
        let Some(up) = self.running.lock().await.take() else {
            return;
        };
        let host = up.host.clone();
        drop(up);
        // Commands that are being started hold the host a moment longer; its end is asked for and awaited all the same.
        match Arc::try_unwrap(host) {
            Ok(host) => {
                if let Err(error) = host.stop().await {
                    tracing::warn!(%error, host = self.spec.name, "a lab's machine is slow to go down");
                }
            }
            Err(shared) => drop(shared),
        }
    }

    pub(super) async fn restart(self: &Arc<Self>) {
        self.stop().await;
        tokio::time::sleep(DOWN).await;
        if let Err(error) = self.start().await {
            tracing::warn!(%error, host = self.spec.name, "a lab's machine does not come up");
        }
    }

    /// Fresh files, and fresh records. The machine must be down.
    pub(super) fn renew(&self) -> io::Result<()> {
        let path = self.root.path();
        self.root.clone().remove()?;
        make_root(&self.spec, path, &self.known)?;
        let mut records = self.records();
        records.packages = Packages::new(&self.spec.packages);
        records.units = Units::new(&self.spec);
        Ok(())
    }

    /// The files of another machine, under its own name. The machine must be down.
    pub(super) fn take_over(&self, other: &Root) -> io::Result<()> {
        let path = self.root.path();
        self.root.clone().remove()?;
        other.copy_to(path)?;
        fs::write(path.join("etc/hostname"), format!("{}\n", self.spec.name))
    }

    /// IOMMU groups as the kernel shows them, from the node's devices.
    fn write_groups(&self, boot: &Boot) -> io::Result<()> {
        let groups = self.root.path().join("sys/kernel/iommu_groups");
        match fs::remove_dir_all(&groups) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::create_dir_all(&groups)?;
        let devices = self.root.path().join("sys/bus/pci/devices");
        fs::create_dir_all(&devices)?;
        for device in &self.spec.devices {
            let (Some(pci), Some(group)) = (&device.pci, device.iommu_group) else {
                continue;
            };
            if !boot.iommu() || pci.contains('/') {
                continue;
            }
            fs::create_dir_all(groups.join(group.to_string()).join("devices").join(pci))?;
            fs::create_dir_all(devices.join(pci))?;
        }
        Ok(())
    }

    /// An account of `/etc/passwd`.
    pub(super) fn account(&self, name: &str) -> Option<Account> {
        let passwd = super::boot::read(self.root.path(), "etc/passwd");
        let line = passwd
            .lines()
            .find(|line| line.split(':').next() == Some(name))?;
        let fields: Vec<&str> = line.split(':').collect();
        let user = User {
            uid: fields.get(2)?.parse().ok()?,
            gid: fields.get(3)?.parse().ok()?,
        };
        Some(Account {
            user,
            home: fields.get(5)?.into(),
        })
    }

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

    /// Goes down and comes up again a moment later, so that who asked for it gets an answer.
    pub(super) fn restart_soon(self: &Arc<Self>) {
        let machine = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(LAST_WORDS).await;
            super::node::restart(&machine).await;
        });
    }
}

/// Ends a command when nobody waits for it any more.
struct Ending(Arc<dyn Control>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl ssh::Machine for Machine {
    fn up(&self) -> watch::Receiver<bool> {
        self.up.subscribe()
    }

    fn has_user(&self, user: &str) -> bool {
        self.account(user).is_some()
    }

    fn start(self: Arc<Self>, start: Start) -> Later<Result<Process, String>> {
        Box::pin(async move {
            let account = self
                .account(&start.user)
                .ok_or("this account is not there any more")?;
            let mut argv: Vec<OsString> = vec!["/bin/bash".into()];
            if let Some(command) = start.command {
                argv.extend(["-c".into(), OsString::from_vec(command)]);
            } else {
                argv.push("-l".into());
            }
            let env = environment(&account.home, &start.user, &start.env);
            self.process(argv, env, account.home, Some(account.user))
                .await
        })
    }
}

impl Machine {
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
