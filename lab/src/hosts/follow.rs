//! The machines follow the guests of the cluster: started with them, stopped with them, put back with their snapshots.

use std::io;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use super::commands::environment;
use super::machine::Machine;
use super::mounts;
use super::names::learn;
use super::{Hosts, Inner, Role, Spec};
use crate::command::{End, Process};
use crate::fixture::GuestKind;
use crate::pve::{AgentResult, HookFuture, Hooks};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What the agent keeps of a program's output, each.
const AGENT_BYTES_MAX: u64 = 16 << 20;

/// How long a connection of a node to a host of the lab may take.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// The number that no guest has: backups are kept beside snapshots.
const BACKUPS: u32 = 0;

/// What the cluster tells.
pub(super) struct Follow(pub(super) Weak<Inner>);

impl Follow {
    fn guest(&self, vmid: u32) -> Option<Arc<Machine>> {
        self.0.upgrade()?.guest(vmid)
    }

    /// Something about a guest's files; what fails is said in the log.
    fn files(
        &self,
        vmid: u32,
        what: &'static str,
        change: impl FnOnce(&Inner, &Machine) -> std::io::Result<()> + Send + 'static,
    ) -> HookFuture<'_, ()> {
        let (lab, machine) = (self.0.upgrade(), self.guest(vmid));
        Box::pin(async move {
            let (Some(lab), Some(machine)) = (lab, machine) else {
                return;
            };
            let done = tokio::task::spawn_blocking(move || change(&lab, &machine)).await;
            if let Ok(Err(error)) = done {
                tracing::warn!(%error, vmid, what, "the files of a lab's guest do not follow");
            }
        })
    }
}

impl Hooks for Follow {
    fn created(&self, vmid: u32, kind: GuestKind) -> HookFuture<'_, ()> {
        let lab = self.0.upgrade();
        Box::pin(async move {
            let Some(lab) = lab else { return };
            if lab.guest(vmid).is_some() {
                return; // the inventory's; its files are fresh
            }
            let name = format!("guest-{vmid}");
            let role = Role::Guest {
                vmid,
                kind,
                node: String::new(),
            };
            let spec = Spec {
                up: false,
                ..Spec::new(name.clone(), role)
            };
            match Machine::new(spec, &lab, "") {
                Ok(machine) => drop(lab.lock().insert(name, machine)),
                Err(error) => tracing::warn!(%error, vmid, "a lab's guest has no files"),
            }
        })
    }

    fn started(&self, vmid: u32) -> HookFuture<'_, ()> {
        let machine = self.guest(vmid);
        Box::pin(async move {
            let Some(machine) = machine else { return };
            mounts::make(&machine).await;
            if !machine.is_up() {
                learn(&machine).await;
            }
            if let Err(error) = machine.start().await {
                tracing::warn!(%error, vmid, "a lab's guest does not come up");
            }
        })
    }

    fn lease(&self, vmid: u32) -> Option<(std::net::IpAddr, u8)> {
        self.0.upgrade()?.lease(vmid)
    }

    fn connect(&self, host: &str, port: u16) -> HookFuture<'_, Option<io::Result<TcpStream>>> {
        let (lab, host) = (self.0.upgrade(), host.to_owned());
        Box::pin(async move {
            let hosts = Hosts(lab?);
            let addresses = match host.parse() {
                Ok(address) if hosts.0.of_address(address).is_empty() => return None,
                Ok(address) => vec![address],
                Err(_) => hosts.resolve(&host)?,
            };
            let mut last = io::ErrorKind::NotFound.into();
            for address in addresses {
                let to = (address, port).into();
                match hosts.0.sandbox.connect(None, to, CONNECT_MAX).await {
                    Ok(stream) => return Some(Ok(stream)),
                    Err(error) => {
                        let kind = error.io_kind().unwrap_or(io::ErrorKind::Other);
                        last = io::Error::new(kind, error);
                    }
                }
            }
            Some(Err(last))
        })
    }

    fn stopped(&self, vmid: u32) -> HookFuture<'_, ()> {
        let machine = self.guest(vmid);
        Box::pin(async move {
            if let Some(machine) = machine {
                machine.stop().await;
            }
        })
    }

    fn rebooted(&self, vmid: u32) -> HookFuture<'_, ()> {
        let machine = self.guest(vmid);
        Box::pin(async move {
            if let Some(machine) = machine {
                machine.stop().await;
                mounts::make(&machine).await;
                learn(&machine).await;
                machine.restart().await;
            }
        })
    }

    fn node_rebooted(&self, node: &str) -> HookFuture<'_, ()> {
        let machine = self.0.upgrade().and_then(|lab| lab.find(node));
        Box::pin(async move {
            if let Some(machine) = machine {
                machine.restart().await;
            }
        })
    }

    fn destroyed(&self, vmid: u32) -> HookFuture<'_, ()> {
        let (lab, machine) = (self.0.upgrade(), self.guest(vmid));
        Box::pin(async move {
            let (Some(lab), Some(machine)) = (lab, machine) else {
                return;
            };
            machine.stop().await;
            lab.snapshots
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .retain(|(of, _), _| *of != vmid);
            // A guest of that number that is made again is a fresh one.
            if let Err(error) = machine.renew() {
                tracing::warn!(%error, vmid, "the files of a lab's guest stay");
            }
        })
    }

    fn cloned(&self, from: u32, to: u32) -> HookFuture<'_, ()> {
        let source = self.guest(from);
        let kind = match source.as_ref().map(|source| &source.spec.role) {
            Some(Role::Guest { kind, .. }) => *kind,
            _ => GuestKind::Qemu,
        };
        let made = self.created(to, kind);
        Box::pin(async move {
            made.await;
            let (Some(source), Some(target)) = (source, self.guest(to)) else {
                return;
            };
            if let Err(error) = target.take_over(&source.root) {
                tracing::warn!(%error, from, to, "the files of a lab's guest were not copied");
            }
        })
    }

    fn snapshot(&self, vmid: u32, name: &str) -> HookFuture<'_, ()> {
        let name = name.to_owned();
        self.files(vmid, "snapshot", move |lab, machine| {
            let path = lab
                .directory
                .join(format!("{}.snapshot.{name}", machine.spec.name));
            let copy = machine.root.copy_to(path)?;
            lab.snapshots
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert((vmid, name), copy);
            Ok(())
        })
    }

    fn rolled_back(&self, vmid: u32, name: &str) -> HookFuture<'_, ()> {
        let (machine, key) = (self.guest(vmid), (vmid, name.to_owned()));
        let back = self.files(vmid, "rollback", move |lab, machine| {
            let snapshot = lab
                .snapshots
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get(&key)
                .cloned();
            snapshot.map_or(Ok(()), |snapshot| machine.root.roll_back(&snapshot))
        });
        Box::pin(async move {
            let was_up = machine.as_ref().is_some_and(|machine| machine.is_up());
            if let Some(machine) = &machine {
                machine.stop().await;
            }
            back.await;
            if let (Some(machine), true) = (machine, was_up)
                && let Err(error) = machine.start().await
            {
                tracing::warn!(%error, vmid, "a lab's guest does not come up");
            }
        })
    }

    fn snapshot_removed(&self, vmid: u32, name: &str) -> HookFuture<'_, ()> {
        let key = (vmid, name.to_owned());
        self.files(vmid, "snapshot", move |lab, _| {
            let snapshot = lab
                .snapshots
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&key);
            snapshot.map_or(Ok(()), crate::isolate::Root::remove)
        })
    }

    fn backed_up(&self, vmid: u32, volid: &str) -> HookFuture<'_, ()> {
        let volid = volid.to_owned();
        self.files(vmid, "backup", move |lab, machine| {
            let name: String = volid
                .chars()
                .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
                .collect();
            let copy = machine
                .root
                .copy_to(lab.directory.join(format!("{name}.backup")))?;
            lab.snapshots
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert((BACKUPS, volid), copy);
            Ok(())
        })
    }

    fn restored(&self, vmid: u32, volid: &str) -> HookFuture<'_, ()> {
        let key = (BACKUPS, volid.to_owned());
        self.files(vmid, "restore", move |lab, machine| {
            let copy = lab
                .snapshots
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get(&key)
                .cloned();
            copy.map_or(Ok(()), |copy| machine.take_over(&copy))
        })
    }

    fn volume_removed(&self, volid: &str) -> HookFuture<'_, ()> {
        let (lab, key) = (self.0.upgrade(), (BACKUPS, volid.to_owned()));
        Box::pin(async move {
            let removed = lab.and_then(|lab| {
                lab.snapshots
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .remove(&key)
            });
            if let Some(Err(error)) = removed.map(crate::isolate::Root::remove) {
                tracing::warn!(%error, "a backup of the lab's stays");
            }
        })
    }

    fn file_read(&self, vmid: u32, path: &str) -> HookFuture<'_, Option<std::io::Result<Vec<u8>>>> {
        let (machine, path) = (self.guest(vmid), path.to_owned());
        Box::pin(async move {
            let argv = vec!["cat".into(), "--".into(), path.into()];
            Some(by_program(&*machine?, argv, Vec::new()).await)
        })
    }

    fn file_write(
        &self,
        vmid: u32,
        path: &str,
        content: Vec<u8>,
    ) -> HookFuture<'_, Option<std::io::Result<()>>> {
        let (machine, path) = (self.guest(vmid), path.to_owned());
        Box::pin(async move {
            let argv = ["sh", "-c", "cat > \"$1\"", "sh", &path]
                .map(Into::into)
                .to_vec();
            Some(by_program(&*machine?, argv, content).await.map(drop))
        })
    }

    fn node_read(
        &self,
        node: &str,
        path: &str,
    ) -> HookFuture<'_, Option<std::io::Result<Vec<u8>>>> {
        let machine = self.0.upgrade().and_then(|lab| lab.find(node));
        let path = path.to_owned();
        Box::pin(async move {
            let argv = vec!["cat".into(), "--".into(), path.into()];
            Some(by_program(&*machine?, argv, Vec::new()).await)
        })
    }

    fn node_files(&self, node: &str, folder: &str) -> HookFuture<'_, Vec<(String, u64)>> {
        let machine = self.0.upgrade().and_then(|lab| lab.find(node));
        let folder = folder.to_owned();
        Box::pin(async move {
            let Some(machine) = machine else {
                return Vec::new();
            };
            let list = "cd \"$1\" 2>/dev/null && find . -maxdepth 1 -type f -printf '%s %f\\n'";
            let argv = ["sh", "-c", list, "sh", &folder].map(Into::into).to_vec();
            let listed = by_program(&machine, argv, Vec::new()).await;
            let listed = listed.unwrap_or_default();
            let lines = String::from_utf8_lossy(&listed).into_owned();
            let pairs = lines.lines().filter_map(|line| line.split_once(' '));
            pairs
                .filter_map(|(size, name)| Some((name.to_owned(), size.parse().ok()?)))
                .collect()
        })
    }

    fn agent_exec(
        &self,
        vmid: u32,
        argv: Vec<String>,
        input: Vec<u8>,
    ) -> HookFuture<'_, Option<AgentResult>> {
        let machine = self.guest(vmid);
        Box::pin(async move {
            let machine = machine?;
            // The agent is a service: it has no home.
            let env = environment("/".as_ref(), "root", &[])
                .into_iter()
                .filter(|(name, _)| name == "PATH")
                .collect();
            let argv = argv.into_iter().map(Into::into).collect();
            match machine.process(argv, env, "/".into(), None).await {
                Ok(process) => Some(collect(process, input).await),
                Err(error) => Some(AgentResult {
                    exitcode: Some(127),
                    err: error.into_bytes(),
                    ..AgentResult::default()
                }),
            }
        })
    }
}

/// What a program of a machine makes of its input.
async fn by_program(
    machine: &Machine,
    argv: Vec<std::ffi::OsString>,
    input: Vec<u8>,
) -> std::io::Result<Vec<u8>> {
    let env = environment("/root".as_ref(), "root", &[]);
    let process = machine.process(argv, env, "/".into(), None).await;
    let result = collect(process.map_err(std::io::Error::other)?, input).await;
    if result.exitcode == Some(0) {
        return Ok(result.out);
    }
    let text = String::from_utf8_lossy(&result.err).trim_end().to_owned();
    let kind = if text.contains("No such file") {
        std::io::ErrorKind::NotFound
    } else {
        std::io::ErrorKind::Other
    };
    Err(std::io::Error::new(kind, text))
}

async fn collect(process: Process, input: Vec<u8>) -> AgentResult {
    let Process {
        mut stdin,
        stdout,
        stderr,
        ended,
        control: _control,
    } = process;
    let feed = async move {
        // A program may end without having read its input.
        let _ = stdin.write_all(&input).await;
        let _ = stdin.shutdown().await;
    };
    let keep = |from: Box<dyn tokio::io::AsyncRead + Send + Unpin>| async move {
        let (mut bytes, mut from) = (Vec::new(), from);
        let _ = (&mut from)
            .take(AGENT_BYTES_MAX)
            .read_to_end(&mut bytes)
            .await;
        let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
        bytes
    };
    let ((), out, err, end) = tokio::join!(feed, keep(stdout), keep(stderr), ended);
    let (exitcode, signal) = match end {
        End::Code(code) => (i32::try_from(code).ok(), None),
        End::Signal(name) => (None, Some(if name == "TERM" { 15 } else { 9 })),
    };
    AgentResult {
        exitcode,
        signal,
        out,
        err,
    }
}
