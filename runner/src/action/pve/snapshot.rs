//! Restore points of a guest: `snapshot` and `rollback`.

use runbook::result::Fields;
use runbook_proxmox::Request;
use runbook_proxmox::guest::{Guest, Kind, Snapshot};

use super::guest::Subject;
use super::world::{Done, Seen, Stop, World};

/// A wish for a restore point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Whose.
    pub subject: Subject,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// With the guest's memory.
    pub memory: bool,
    /// Whether it shall be there.
    pub present: bool,
}

/// What is there.
#[derive(Debug, Clone)]
pub struct Found {
    /// The guest.
    pub guest: Guest,
    /// The restore point, where there is one.
    pub snapshot: Option<Snapshot>,
    /// What differs, for people.
    pub diff: Option<String>,
}

/// What a change is taken back from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Former {
    /// The guest.
    pub guest: Guest,
    /// The restore point.
    pub name: String,
    /// The former description of one that was there.
    pub description: Option<String>,
    /// Whether it was there.
    pub present: bool,
}

/// A guest that has to be there.
///
/// # Errors
///
/// When it is not.
pub async fn guest(world: &World, subject: &Subject) -> Done<Seen> {
    match world.see(subject).await? {
        Some(seen) => Ok(seen),
        None => Err(Stop::absent(format!("{} does not exist", subject.shown()))),
    }
}

/// Compares; changes nothing.
///
/// # Errors
///
/// When the guest is not there or cannot be asked.
pub async fn compare(world: &World, wish: &Wish) -> Done<Found> {
    let guest = guest(world, &wish.subject).await?.guest;
    if wish.memory && guest.kind == Kind::Lxc {
        return Err(Stop::refused(
            "a snapshot of a container has no memory",
            "take `memory` out",
        ));
    }
    let snapshots = world.read(guest.read_snapshots(&world.client)).await?;
    let snapshot = snapshots.into_iter().find(|known| known.name == wish.name);
    let shown = wish.subject.shown();
    let diff = match (&snapshot, wish.present) {
        (None, true) => {
            let memory = if wish.memory { ", with memory" } else { "" };
            Some(format!("+ snapshot {} of {shown}{memory}", wish.name))
        }
        (Some(_), false) => Some(format!("- snapshot {} of {shown}", wish.name)),
        (Some(is), true) => wish
            .description
            .as_deref()
            .filter(|wished| wished.trim_end() != is.description)
            .map(|wished| format!("- description: {}\n+ description: {wished}", is.description)),
        (None, false) => None,
    };
    Ok(Found {
        guest,
        snapshot,
        diff,
    })
}

/// The fields of a result.
pub fn fields(found: &Found) -> Fields {
    let mut fields = Fields::new();
    let state = if found.snapshot.is_some() {
        "present"
    } else {
        "absent"
    };
    fields.set("state", state);
    fields
}

/// How a change is taken back.
pub fn former(wish: &Wish, found: &Found) -> Former {
    Former {
        guest: found.guest.clone(),
        name: wish.name.clone(),
        description: found.snapshot.as_ref().map(|is| is.description.clone()),
        present: found.snapshot.is_some(),
    }
}

/// Changes what differs.
///
/// # Errors
///
/// What failed: a storage without snapshots only says so in its task.
pub async fn change(world: &World, wish: &Wish, found: &Found) -> Done<()> {
    let guest = &found.guest;
    match (&found.snapshot, wish.present) {
        (None, true) => {
            let description = wish.description.as_deref();
            let request = guest.snapshot(&wish.name, description, wish.memory);
            world.run_for(guest, "snapshot", &request).await
        }
        (Some(_), false) => {
            let request = guest.delete_snapshot(&wish.name);
            world.run_for(guest, "delsnapshot", &request).await
        }
        (Some(_), true) => {
            let wished = wish.description.as_deref().unwrap_or_default();
            world.run(&describe(guest, &wish.name, wished)).await?;
            Ok(())
        }
        (None, false) => Ok(()),
    }
}

fn describe(guest: &Guest, name: &str, description: &str) -> Request {
    let path = guest.snapshots().path().to_owned();
    Request::put(format!("{path}/{name}/config")).with("description", description)
}

/// Takes a change back.
///
/// # Errors
///
/// What is left behind.
pub async fn restore(world: &World, former: &Former) -> Done<()> {
    let guest = &former.guest;
    let snapshots = world.read(guest.read_snapshots(&world.client)).await?;
    let is = snapshots.iter().find(|known| known.name == former.name);
    match (former.present, is) {
        (false, Some(_)) => {
            let request = guest.delete_snapshot(&former.name);
            world.run_for(guest, "delsnapshot", &request).await
        }
        (true, None) => Err(Stop::refused(
            format!("snapshot `{}` of {guest} is gone", former.name),
            "nothing makes it again",
        )),
        (true, Some(is)) => match &former.description {
            Some(was) if *was != is.description => {
                world.run(&describe(guest, &former.name, was)).await?;
                Ok(())
            }
            _ => Ok(()),
        },
        (false, None) => Ok(()),
    }
}

/// Takes a guest back to a restore point; gives what it is then.
///
/// # Errors
///
/// A guest that is not the book's or not there, a restore point that is not there, a task that failed.
pub async fn rollback(
    world: &World,
    subject: &Subject,
    name: &str,
    start: Option<bool>,
) -> Done<Fields> {
    let seen = guest(world, subject).await?;
    if !world.is_ours(subject, &seen) {
        return Err(Stop::refused(
            format!(
                "{} is not of this book: a run does not roll it back",
                subject.shown()
            ),
            "add it to the inventory under `guests` with its `vmid`",
        ));
    }
    let guest = &seen.guest;
    let snapshots = world.read(guest.read_snapshots(&world.client)).await?;
    if !snapshots.iter().any(|known| known.name == name) {
        let names: Vec<String> = snapshots
            .iter()
            .map(|known| format!("`{}`", known.name))
            .collect();
        let hint = if names.is_empty() {
            "it has none".to_owned()
        } else {
            format!("it has {}", names.join(", "))
        };
        return Err(Stop::refused(
            format!("{} has no snapshot `{name}`", subject.shown()),
            hint,
        ));
    }
    let start = start.unwrap_or(seen.status.is_running());
    world
        .run_for(guest, "rollback", &guest.rollback(name, start))
        .await?;
    let now = self::guest(world, subject).await?;
    let mut fields = Fields::new();
    fields.set("state", now.state());
    Ok(fields)
}
