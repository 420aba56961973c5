//! Guests as they are, found by their number, or by their name and the book's tag.

use runbook_proxmox::guest::{Guest, Kind, Pending, Status};
use runbook_proxmox::{Error, cluster};
use serde_json::Value;

use super::super::guest::Subject;
use super::super::guest::compare::{Config, config};
use super::super::guest::keys::tags;
use super::{Done, Stop, World, kind_of};

/// A guest as it is.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Which.
    pub guest: Guest,
    /// How it stands.
    pub status: Status,
    /// Its configuration as it will be after a restart, as texts.
    pub config: Config,
    /// The same as it came.
    pub raw: Value,
    /// The state of the configuration when it was read.
    pub digest: Option<String>,
    /// What is not in force yet.
    pub pending: Vec<Pending>,
}

impl World {
    /// A node by its name.
    ///
    /// # Errors
    ///
    /// A name that no node has, with the one that is meant.
    pub async fn node(&self, name: &str) -> Done<String> {
        match self
            .read(async { Ok(cluster::node(&self.client, name).await) })
            .await?
        {
            Ok(node) => Ok(node.name),
            Err(Error::Setting(why)) => match why.split_once("; ") {
                Some((message, hint)) => Err(Stop::refused(message, hint)),
                None => Err(Stop::refused(why, "look at the names of the nodes")),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// Finds a guest and looks at it; `None` where there is none.
    ///
    /// # Errors
    ///
    /// When it cannot be seen, or the number is one of another kind.
    pub async fn see(&self, subject: &Subject) -> Done<Option<Seen>> {
        match subject.vmid {
            Some(vmid) => self.see_number(subject, vmid).await,
            None => self.see_named(subject).await,
        }
    }

    async fn see_number(&self, subject: &Subject, vmid: u32) -> Done<Option<Seen>> {
        let found = self.read(cluster::find_guest(&self.client, vmid)).await?;
        let Some(listed) = found else {
            if self.read(cluster::free(&self.client, vmid)).await? {
                return Ok(None);
            }
            // It may have been made since the list was.
            let again = self.read(cluster::find_guest(&self.client, vmid)).await?;
            return match again {
                Some(listed) => self.look(listed.guest).await,
                None => Err(Stop::refused(
                    format!("guest {vmid} is there, but may not be seen"),
                    format!("grant VM.Audit on /vms/{vmid}"),
                )),
            };
        };
        let wished = kind_of(subject.kind);
        if listed.guest.kind != wished {
            return Err(Stop::refused(
                format!(
                    "{vmid} is a `{}`, not a `{}`",
                    word(listed.guest.kind),
                    subject.kind.as_str()
                ),
                "another guest has this number; write another one",
            ));
        }
        self.look(listed.guest).await
    }

    /// By host name and the book's tag, among the numbers of the scratch scope. The list of all guests lags behind, so each
    /// configuration is read.
    async fn see_named(&self, subject: &Subject) -> Done<Option<Seen>> {
        let Some(hostname) = &subject.hostname else {
            return Err(Stop::refused(
                format!(
                    "a `{}` without `vmid` needs a `hostname`",
                    subject.kind.as_str()
                ),
                "write one of them",
            ));
        };
        let guests = self.read(cluster::guests(&self.client)).await?;
        let inside = |vmid: u32| {
            self.scratch
                .is_none_or(|(low, high)| (low..=high).contains(&vmid))
        };
        let own = guests.into_iter().map(|listed| listed.guest);
        for guest in own.filter(|guest| guest.kind == kind_of(subject.kind) && inside(guest.vmid)) {
            if let Some(seen) = self.look(guest).await?
                && seen.name() == Some(hostname)
                && seen.has_tag(&self.book_tag)
            {
                return Ok(Some(seen));
            }
        }
        Ok(None)
    }

    /// Looks at a guest where it is, as long as there is time and nobody stops it.
    ///
    /// # Errors
    ///
    /// When it cannot be asked.
    pub async fn look(&self, guest: Guest) -> Done<Option<Seen>> {
        self.read(self.look_now(guest)).await
    }

    /// The same, whatever the time.
    ///
    /// # Errors
    ///
    /// When it cannot be asked.
    pub async fn look_now(&self, guest: Guest) -> Result<Option<Seen>, Error> {
        let Some(status) = guest.look(&self.client).await? else {
            return Ok(None);
        };
        let raw = match self.client.call(&guest.config()).await {
            Ok(raw) => raw,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        let pending = if status.is_running() {
            guest.read_pending(&self.client).await?
        } else {
            Vec::new()
        };
        let digest = raw.get("digest").and_then(Value::as_str).map(str::to_owned);
        Ok(Some(Seen {
            config: config(&raw),
            raw,
            guest,
            status,
            digest,
            pending,
        }))
    }

    /// Whether the book has a guest: by its inventory, or because it made it.
    pub fn is_ours(&self, subject: &Subject, seen: &Seen) -> bool {
        subject.claimed || seen.has_tag(&self.book_tag)
    }
}

impl Seen {
    /// Its name.
    pub fn name(&self) -> Option<&String> {
        self.config
            .get("hostname")
            .or_else(|| self.config.get("name"))
    }

    /// Whether it has a tag.
    pub fn has_tag(&self, tag: &str) -> bool {
        self.config
            .get("tags")
            .is_some_and(|is| tags(is).iter().any(|is| is == tag))
    }

    /// Whether it is a template.
    pub fn is_template(&self) -> bool {
        self.status.template || self.config.get("template").is_some_and(|is| is == "1")
    }

    /// The word for what it is.
    pub fn state(&self) -> &str {
        if self.is_template() {
            "template"
        } else {
            &self.status.status
        }
    }
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Lxc => "lxc",
        Kind::Qemu => "vm",
    }
}
