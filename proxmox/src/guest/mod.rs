//! Containers and virtual machines: requests for what can be done with them, and readers for their state.
//!
//! All of it takes a [`Guest`]: kind, node and number. Where a guest is says [`crate::cluster::find_guest`], at each step anew:
//! it may have been moved.

mod create;
mod state;

use std::fmt;
use std::time::Duration;

use crate::client::Client;
use crate::error::Error;
use crate::loose::{flag_of, integer_of, text_of};
use crate::request::{Request, Retry, segment};

pub use create::{Created, create};
pub use state::{Config, Pending, Snapshot, Status};

/// What a guest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A container.
    Lxc,
    /// A virtual machine.
    Qemu,
}

impl Kind {
    /// The word in paths.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lxc => "lxc",
            Self::Qemu => "qemu",
        }
    }

    /// The prefix of its tasks' types: `vzstart`, `qmstart`.
    pub fn task_prefix(self) -> &'static str {
        match self {
            Self::Lxc => "vz",
            Self::Qemu => "qm",
        }
    }
}

/// A guest at a node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Guest {
    /// What it is.
    pub kind: Kind,
    /// Where it is.
    pub node: String,
    /// Its number.
    pub vmid: u32,
}

impl fmt::Display for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.as_str(), self.vmid)
    }
}

impl Guest {
    /// A guest.
    pub fn new(kind: Kind, node: impl Into<String>, vmid: u32) -> Self {
        Self {
            kind,
            node: node.into(),
            vmid,
        }
    }

    fn path(&self, rest: &str) -> String {
        format!(
            "/nodes/{}/{}/{}{rest}",
            segment(&self.node),
            self.kind.as_str(),
            self.vmid
        )
    }

    /// Creates it; `params` are the options. A container needs `ostemplate`. Gives a task.
    pub fn create<N: Into<String>, V: ToString>(
        &self,
        params: impl IntoIterator<Item = (N, V)>,
    ) -> Request {
        let path = format!("/nodes/{}/{}", segment(&self.node), self.kind.as_str());
        Request::post(path)
            .retry(Retry::Once)
            .with("vmid", self.vmid)
            .with_all(params)
    }

    /// How it stands now.
    pub fn status(&self) -> Request {
        Request::get(self.path("/status/current"))
    }

    /// Its configuration as it will be after a restart.
    pub fn config(&self) -> Request {
        Request::get(self.path("/config"))
    }

    /// Its configuration as it is in force.
    pub fn config_in_force(&self) -> Request {
        self.config().flag("current", true)
    }

    /// What is not in force yet.
    pub fn pending(&self) -> Request {
        Request::get(self.path("/pending"))
    }

    /// Sets and deletes options; with a digest only if nobody else did meanwhile.
    pub fn set<N: Into<String>, V: ToString>(
        &self,
        params: impl IntoIterator<Item = (N, V)>,
        delete: &[String],
        digest: Option<&str>,
    ) -> Request {
        let delete = (!delete.is_empty()).then(|| delete.join(","));
        let request = Request::put(self.path("/config"))
            .with_all(params)
            .maybe("delete", delete)
            .maybe("digest", digest);
        // The second time it would make another volume, or find its own change under another digest.
        match digest.is_some()
            || request
                .params()
                .iter()
                .any(|(_, value)| makes_volume(value))
        {
            true => request.retry(Retry::Once),
            false => request,
        }
    }

    /// Takes back what is pending of these options; deleting one that is only pending would leave it pending.
    pub fn revert(&self, options: &[&str]) -> Request {
        Request::put(self.path("/config")).with("revert", options.join(","))
    }

    /// Starts it. Gives a task.
    pub fn start(&self) -> Request {
        self.power("start")
    }

    /// Ends it hard. Gives a task.
    pub fn stop(&self) -> Request {
        self.power("stop")
    }

    /// Asks it to end; hard after the time, if `force`. Gives a task.
    pub fn shutdown(&self, timeout: Duration, force: bool) -> Request {
        self.power("shutdown")
            .with("timeout", timeout.as_secs())
            .flag("forceStop", force)
    }

    /// Restarts it; what was pending is in force then. Gives a task.
    pub fn reboot(&self, timeout: Duration) -> Request {
        self.power("reboot").with("timeout", timeout.as_secs())
    }

    fn power(&self, what: &str) -> Request {
        // Twice is refused or changes nothing: "already running", "not running".
        Request::post(self.path(&format!("/status/{what}"))).retry(Retry::Once)
    }

    /// Copies it to another number; `full` copies the disks too. Gives a task.
    pub fn clone_to(&self, newid: u32, full: Option<bool>) -> Request {
        Request::post(self.path("/clone"))
            .retry(Retry::Once)
            .with("newid", newid)
            .maybe("full", full.map(u8::from))
    }

    /// Makes it a template.
    pub fn template(&self) -> Request {
        Request::post(self.path("/template")).retry(Retry::Once)
    }

    /// Makes a snapshot. Gives a task.
    pub fn snapshot(&self, name: &str, description: Option<&str>, memory: bool) -> Request {
        let memory = (self.kind == Kind::Qemu).then_some(u8::from(memory));
        Request::post(self.path("/snapshot"))
            .with("snapname", name)
            .maybe("description", description)
            .maybe("vmstate", memory)
    }

    /// Its snapshots.
    pub fn snapshots(&self) -> Request {
        Request::get(self.path("/snapshot"))
    }

    /// Goes back to a snapshot. Gives a task.
    pub fn rollback(&self, name: &str, start: bool) -> Request {
        let path = self.path(&format!("/snapshot/{}/rollback", segment(name)));
        Request::post(path)
            .retry(Retry::Once)
            .maybe("start", start.then_some(1))
    }

    /// Removes a snapshot. Gives a task.
    pub fn delete_snapshot(&self, name: &str) -> Request {
        Request::delete(self.path(&format!("/snapshot/{}", segment(name))))
    }

    /// Makes a disk larger: `+1G` or `10G`. Gives a task.
    pub fn resize(&self, disk: &str, size: &str) -> Request {
        let retry = if size.starts_with('+') {
            Retry::Never
        } else {
            Retry::Once
        };
        Request::put(self.path("/resize"))
            .retry(retry)
            .with("disk", disk)
            .with("size", size)
    }

    /// Removes it with its disks, and from backup jobs and the like. It must be stopped. Gives a task.
    pub fn destroy(&self) -> Request {
        Request::delete(self.path(""))
            .flag("purge", true)
            .flag("destroy-unreferenced-disks", true)
    }

    /// The addresses of a running container.
    pub fn interfaces(&self) -> Request {
        Request::get(self.path("/interfaces"))
    }

    /// What cloud-init will see: `user`, `network` or `meta`. Holds the password in clear.
    pub fn cloud_init(&self, what: &str) -> Request {
        Request::get(self.path("/cloudinit/dump")).with("type", what)
    }

    pub(crate) fn agent(&self, what: &str) -> String {
        self.path(&format!("/agent/{what}"))
    }

    /// How it stands now; `None` when there is no such guest at that node.
    ///
    /// # Errors
    ///
    /// As [`Client::call`].
    pub async fn look(&self, client: &Client) -> Result<Option<Status>, Error> {
        match client.call(&self.status()).await {
            Ok(raw) => Ok(Some(Status::read(raw))),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Its configuration; `None` when there is no such guest at that node.
    ///
    /// # Errors
    ///
    /// As [`Client::call`].
    pub async fn read_config(&self, client: &Client) -> Result<Option<Config>, Error> {
        match client.call(&self.config()).await {
            Ok(raw) => Ok(Some(Config::read(&raw))),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What is not in force yet.
    ///
    /// # Errors
    ///
    /// As [`Client::call`].
    pub async fn read_pending(&self, client: &Client) -> Result<Vec<Pending>, Error> {
        let rows = client.call(&self.pending()).await?;
        let rows = rows.as_array().map(Vec::as_slice).unwrap_or_default();
        let rows = rows.iter().filter_map(|row| {
            let pending = text_of(row, "pending");
            let delete = integer_of(row, "delete").unwrap_or_default() > 0;
            (pending.is_some() || delete).then(|| Pending {
                key: text_of(row, "key").unwrap_or_default(),
                value: text_of(row, "value"),
                pending,
                delete,
            })
        });
        Ok(rows.filter(|row| row.key != "digest").collect())
    }

    /// Its snapshots without `current`, oldest first.
    ///
    /// # Errors
    ///
    /// As [`Client::call`].
    pub async fn read_snapshots(&self, client: &Client) -> Result<Vec<Snapshot>, Error> {
        let rows = client.call(&self.snapshots()).await?;
        let rows = rows.as_array().map(Vec::as_slice).unwrap_or_default();
        let mut snapshots: Vec<Snapshot> = rows
            .iter()
            .map(|row| Snapshot {
                name: text_of(row, "name").unwrap_or_default(),
                description: text_of(row, "description")
                    .unwrap_or_default()
                    .trim_end()
                    .to_owned(),
                time: integer_of(row, "snaptime").unwrap_or_default(),
                parent: text_of(row, "parent"),
                memory: flag_of(row, "vmstate").unwrap_or(false),
            })
            .filter(|snapshot| snapshot.name != "current")
            .collect();
        snapshots.sort_by_key(|snapshot| snapshot.time);
        Ok(snapshots)
    }
}

/// Whether a value makes a new volume: `STORE:SIZE`, or an import.
fn makes_volume(value: &str) -> bool {
    let volume = value.split(',').next().unwrap_or_default();
    let volume = volume.split_once('=').map_or(volume, |(_, volume)| volume);
    let size = volume.split_once(':').map(|(_, size)| size);
    let is_size = size.is_some_and(|size| size == "cloudinit" || size.parse::<f64>().is_ok());
    is_size || value.contains("import-from=")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_settings_and_absolute_sizes_may_be_repeated() {
        let guest = Guest::new(Kind::Lxc, "pve1", 130);
        assert_eq!(guest.resize("rootfs", "+1G").repeat(), Retry::Never);
        // Once: repeated only where the server says that nothing was done.
        assert_eq!(guest.create([("ostemplate", "x")]).repeat(), Retry::Once);
        assert_eq!(guest.clone_to(131, None).repeat(), Retry::Once);
        let set =
            |name: &str, value: &str, digest| guest.set([(name, value)], &[], digest).repeat();
        assert_eq!(set("memory", "512", None), Retry::Idempotent);
        assert_eq!(
            set("net0", "virtio=BC:24:11:00:00:01,bridge=vmbr0", None),
            Retry::Idempotent
        );
        assert_eq!(set("mp0", "local:1,mp=/data", None), Retry::Once);
        assert_eq!(
            set("scsi0", "local:0,import-from=local:import/a.qcow2", None),
            Retry::Once
        );
        assert_eq!(set("memory", "512", Some("ab")), Retry::Once);
        assert_eq!(guest.start().repeat(), Retry::Once);
        assert_eq!(guest.destroy().path(), "/nodes/pve1/lxc/130");
    }
}
