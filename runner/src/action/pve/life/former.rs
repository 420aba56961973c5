//! What a change is taken back from, and how.

use runbook_proxmox::cluster;
use runbook_proxmox::guest::Guest;
use serde_json::{Value, json};

use super::super::guest::compare::{self, Changes, Config};
use super::super::guest::{State, Wish, keys};
use super::super::pairs::{FIRST, Pairs};
use super::super::snippet::Snippet;
use super::super::world::{Done, Seen, Stop, World, kind_of};
use super::power::{start, stop};
use super::{Found, look};

/// What a change is taken back from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Former {
    /// What it is: `lxc`, `vm`.
    pub kind: &'static str,
    /// Its number, as soon as it is known.
    pub vmid: Option<u32>,
    /// Its node.
    pub node: String,
    /// What was there.
    pub was: Was,
    /// A file for snippets that was made for it.
    pub snippet: Option<String>,
    /// The one that it had before, which goes.
    pub snippet_before: Option<Snippet>,
}

/// What was there before a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Was {
    /// Nothing: it is removed again.
    Absent,
    /// This, as far as it was changed.
    There {
        /// The keys that were changed, with their former values.
        keys: Vec<(String, Option<String>)>,
        /// Disks that were made larger.
        grown: Vec<String>,
        /// Whether it ran.
        running: bool,
        /// Whether it became a template.
        template: bool,
    },
    /// A guest that is gone.
    Removed,
}

/// How a change is taken back, as far as it is known before it begins.
///
/// # Errors
///
/// What cannot become as wished.
pub fn former(wish: &Wish, found: &Found) -> Former {
    let kind = wish.subject.kind.as_str();
    let Some(seen) = &found.seen else {
        return Former {
            kind,
            vmid: wish.subject.vmid,
            node: wish.subject.node.clone().unwrap_or_default(),
            was: Was::Absent,
            snippet: None,
            snippet_before: None,
        };
    };
    let changes = compare::changes(wish, &seen.config).unwrap_or_default();
    let was = match wish.state {
        Some(State::Absent) => Was::Removed,
        _ => Was::There {
            keys: changed_keys(&changes, &seen.config),
            grown: changes.grow.iter().map(|(key, _)| key.clone()).collect(),
            running: seen.status.is_running(),
            template: wish.state == Some(State::Template) && !seen.is_template(),
        },
    };
    Former {
        kind,
        vmid: Some(seen.guest.vmid),
        node: seen.guest.node.clone(),
        was,
        snippet: None,
        snippet_before: None,
    }
}

fn changed_keys(changes: &Changes, config: &Config) -> Vec<(String, Option<String>)> {
    let set = changes.set.iter().map(|(key, _)| key);
    set.chain(&changes.remove)
        .map(|key| (key.clone(), config.get(key).cloned()))
        .collect()
}

/// Takes a change back.
///
/// # Errors
///
/// What is left behind.
pub async fn restore(world: &World, former: &Former) -> Result<(), String> {
    undo(world, former).await.map_err(|stop| stop.message())
}

async fn undo(world: &World, former: &Former) -> Done<()> {
    let Some(vmid) = former.vmid else {
        return Ok(());
    };
    let kind = if former.kind == "lxc" {
        runbook::inventory::GuestKind::Lxc
    } else {
        runbook::inventory::GuestKind::Vm
    };
    // It may have moved to another node since.
    let found = world.read(cluster::find_guest(&world.client, vmid)).await?;
    let node = found.map_or_else(|| former.node.clone(), |listed| listed.guest.node);
    let guest = Guest::new(kind_of(kind), node, vmid);
    let seen = world.look(guest.clone()).await?;
    match (&former.was, seen) {
        (Was::Absent, None) => Ok(()),
        (Was::Absent, Some(seen)) if !seen.has_tag(&world.book_tag) => Err(Stop::refused(
            format!(
                "{guest} has not the tag `{}`: it is not removed",
                world.book_tag
            ),
            "remove it by hand, if it is to be removed",
        )),
        (Was::Absent, Some(seen)) => {
            if seen.status.is_running() {
                stop(world, &guest, true).await?;
            }
            world.run_for(&guest, "destroy", &guest.destroy()).await
        }
        (Was::Removed, _) => Err(Stop::refused(
            format!("{guest} was removed, which nothing takes back"),
            "restore it from a backup",
        )),
        (Was::There { .. }, None) => Err(Stop::absent(format!("{guest} is not there any more"))),
        (
            Was::There {
                keys,
                grown,
                running,
                template,
            },
            Some(seen),
        ) => {
            put_back(world, &seen, keys).await?;
            if *template {
                return Err(Stop::refused(
                    format!("{guest} became a template, which nothing takes back"),
                    "clone it",
                ));
            }
            match (*running, seen.status.is_running()) {
                (true, false) => start(world, &guest).await?,
                (false, true) => stop(world, &guest, false).await?,
                _ => {}
            }
            match grown.first() {
                Some(disk) => Err(Stop::refused(
                    format!("`{disk}` of {guest} stays as large as it became"),
                    "a disk does not shrink",
                )),
                None => Ok(()),
            }
        }
    }
}

async fn put_back(world: &World, seen: &Seen, keys: &[(String, Option<String>)]) -> Done<()> {
    let mut set = Vec::new();
    let mut remove = Vec::new();
    for (key, was) in keys {
        let is = seen.config.get(key);
        match was {
            Some(was) if is != Some(was) => set.push((key.clone(), was.trim_end().to_owned())),
            None if is.is_some() => remove.push(key.clone()),
            _ => {}
        }
    }
    if set.is_empty() && remove.is_empty() {
        return Ok(());
    }
    // Volumes that were made for it go with their keys.
    let volume = |text: &str| Pairs::parse(text).get(FIRST).map(str::to_owned);
    let made: Vec<String> = remove
        .iter()
        .filter(|key| keys::is_disk(key))
        .filter_map(|key| volume(seen.config.get(key)?))
        .collect();
    world.run(&seen.guest.set(set, &remove, None)).await?;
    if made.is_empty() {
        return Ok(());
    }
    let now = look(world, &seen.guest).await?;
    let unused: Vec<String> = now
        .config
        .iter()
        .filter(|(key, value)| keys::is_numbered(key, "unused") && made.contains(value))
        .map(|(key, _)| key.clone())
        .collect();
    if unused.is_empty() {
        return Ok(());
    }
    let none: [(String, String); 0] = [];
    world.run(&seen.guest.set(none, &unused, None)).await?;
    Ok(())
}

impl Former {
    /// One line for people.
    pub fn summary(&self) -> String {
        let vmid = self
            .vmid
            .map_or_else(String::new, |vmid| format!(" {vmid}"));
        match &self.was {
            Was::Absent => format!("remove {}{vmid}", self.kind),
            Was::Removed => format!("nothing takes back that {}{vmid} is gone", self.kind),
            Was::There { keys, .. } if keys.is_empty() => {
                format!("{}{vmid} as it ran before", self.kind)
            }
            Was::There { keys, .. } => {
                let keys: Vec<&str> = keys.iter().map(|(key, _)| key.as_str()).collect();
                format!(
                    "put the former {} of {}{vmid} back",
                    keys.join(", "),
                    self.kind
                )
            }
        }
    }

    /// What another process needs to do it; the text that it had before lies in `kept`.
    pub fn data(&self, kept: Option<&str>) -> Value {
        let was = match &self.was {
            Was::Absent => json!({"is": "absent"}),
            Was::Removed => json!({"is": "removed"}),
            Was::There {
                keys,
                grown,
                running,
                template,
            } => {
                let keys: serde_json::Map<String, Value> = keys
                    .iter()
                    .map(|(key, was)| (key.clone(), json!(was)))
                    .collect();
                json!({"is": "there", "config": keys, "grown": grown, "running": running, "template": template})
            }
        };
        json!({
            "action": self.kind, "vmid": self.vmid, "node": self.node, "was": was, "snippet": self.snippet,
            "snippet-before": self.snippet_before.as_ref().map(|before| json!({"volume": before.volume, "content": kept})),
        })
    }
}
