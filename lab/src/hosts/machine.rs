//! One machine: its files, whether it is up, and the commands on it.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::boot::Boot;
use super::calls::calls;
use super::commands::environment;
use super::files::make_root;
use super::ports::{Offer, write_programs};
use super::program;
use super::records::Packages;
use super::units::Units;
use super::{Inner, Role, Spec, sftp};
use crate::command::{Later, Process};
use crate::fixture::GuestKind;
use crate::isolate::{self, Bind, HostConfig, Root, User};
use crate::ssh::{self, Start};

/// How long a machine is down when it restarts.
const DOWN: Duration = Duration::from_millis(300);
/// What an answer to `systemctl reboot` needs to get out.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// A machine.
pub(super) struct Machine {
    pub(super) spec: Spec,
    pub(super) root: Root,
    pub(super) facts: PathBuf,
    /// Lines of `/etc/hosts`.
    known: String,
    pub(super) lab: Weak<Inner>,
    up: watch::Sender<bool>,
    pub(super) running: tokio::sync::Mutex<Option<Up>>,
    records: Mutex<Records>,
    network: Mutex<Network>,
    offers: Mutex<Vec<Arc<Offer>>>,
}

/// What a machine is called and has in the lab's network.
struct Network {
    name: String,
    addresses: Vec<IpAddr>,
}

/// What a machine says of itself.
pub(super) struct Records {
    pub(super) packages: Packages,
    pub(super) units: Units,
    pub(super) boot: Boot,
    /// What it answers for the house, where it does.
    pub(super) names: Vec<(String, IpAddr)>,
}

pub(super) struct Up {
    pub(super) host: Arc<isolate::Host>,
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
            names: Vec::new(),
        };
        let network = Network {
            name: spec.name.clone(),
            addresses: spec.addresses.clone(),
        };
        Ok(Arc::new_cyclic(|machine| Self {
            root,
            facts,
            known: known.to_owned(),
            lab: Arc::downgrade(lab),
            up: watch::Sender::new(false),
            running: tokio::sync::Mutex::default(),
            records: Mutex::new(records),
            network: Mutex::new(network),
            offers: Mutex::new(
                spec.stand_ins
                    .iter()
                    .map(|stand_in| Offer::stand_in(stand_in, machine))
                    .collect(),
            ),
            spec,
        }))
    }

    pub(super) fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a line of `/etc/hosts` is of the lab's making.
    pub(super) fn is_known(&self, line: &str) -> bool {
        self.known.lines().any(|known| known == line)
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

    fn network(&self) -> MutexGuard<'_, Network> {
        self.network.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it is called in the network.
    pub(super) fn called(&self) -> String {
        self.network().name.clone()
    }

    /// Its addresses; nobody answers at them while it is down.
    pub(super) fn addresses(&self) -> Vec<IpAddr> {
        self.network().addresses.clone()
    }

    /// Gives it another name and other addresses. It must be down.
    pub(super) fn call(&self, name: Option<String>, addresses: Vec<IpAddr>) {
        let mut network = self.network();
        if let Some(name) = name {
            network.name = name;
        }
        network.addresses = addresses;
    }

    /// What is offered at its ports.
    pub(super) fn offers(&self) -> Vec<Arc<Offer>> {
        let offers = self.offers.lock().unwrap_or_else(PoisonError::into_inner);
        offers.clone()
    }

    /// Offers one thing more.
    pub(super) fn offer(&self, offer: Arc<Offer>) {
        let mut offers = self.offers.lock().unwrap_or_else(PoisonError::into_inner);
        offers.push(offer);
    }

    /// Nothing is offered any more.
    pub(super) fn offer_nothing(&self) {
        let mut offers = self.offers.lock().unwrap_or_else(PoisonError::into_inner);
        offers.clear();
    }

    /// Starts the machine with what answers at its ports; harmless when it is up.
    pub(super) async fn start(self: &Arc<Self>) -> io::Result<()> {
        self.boot().await?;
        if let Some(lab) = self.lab.upgrade() {
            lab.refresh().await;
        }
        Ok(())
    }

    async fn boot(self: &Arc<Self>) -> io::Result<()> {
        let mut running = self.running.lock().await;
        if running.is_some() {
            return Ok(());
        }
        let lab = self.lab.upgrade().ok_or(io::ErrorKind::NotConnected)?;
        self.root.empty_at_boot()?;
        write_programs(self)?;
        for address in self.addresses() {
            let added = lab.sandbox.add_address(address).await;
            added.map_err(io::Error::other)?;
        }
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
        self.write_name()?;
        let names = self.read_names();
        {
            let mut records = self.records();
            records.names = names;
            records.boot = boot;
            records.units.boot();
        }
        let config = HostConfig {
            hostname: self.called(),
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
        self.leave_network().await;
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

    /// Nothing answers at its addresses any more.
    async fn leave_network(&self) {
        let Some(lab) = self.lab.upgrade() else {
            return;
        };
        lab.refresh().await;
        for address in self.addresses() {
            if lab.is_shared(address, self) {
                continue;
            }
            if let Err(error) = lab.sandbox.remove_address(address).await {
                tracing::debug!(%error, host = self.spec.name, "an address of a lab's machine stays");
            }
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

    /// What a guest is called in its configuration: a container gets it with each start, a virtual machine has it from its
    /// first one, as by cloud-init.
    fn write_name(&self) -> io::Result<()> {
        let Role::Guest { kind, .. } = self.spec.role else {
            return Ok(());
        };
        let name = self.called();
        let is = super::boot::read(self.root.path(), "etc/hostname");
        let is_given = kind == GuestKind::Lxc || is.trim() == self.spec.name;
        if !is_given || is.trim() == name {
            return Ok(());
        }
        // Not written over: a link of the machine's would lead elsewhere.
        let file = self.root.path().join("etc/hostname");
        match fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => fs::write(&file, format!("{name}\n")),
        }
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

    /// Goes down and comes up again a moment later, so that who asked for it gets an answer.
    pub(super) fn restart_soon(self: &Arc<Self>) {
        let machine = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(LAST_WORDS).await;
            super::node::restart(&machine).await;
        });
    }
}

impl ssh::Machine for Machine {
    fn up(&self) -> watch::Receiver<bool> {
        self.up.subscribe()
    }

    fn has_user(&self, user: &str) -> bool {
        self.account(user).is_some()
    }

    fn subsystem(&self, name: &str) -> Option<Vec<u8>> {
        (name == "sftp").then(|| format!("exec /{}", sftp::PATH).into_bytes())
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
