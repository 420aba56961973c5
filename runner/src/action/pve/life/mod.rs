//! A guest's whole life: looked at, compared, made, changed in place, started and stopped, removed, and taken back.
//!
//! A guest that is there is never made again, whatever its state; one that is not the book's is never removed. A number that was
//! taken meanwhile is somebody else's: another one is used, or the step fails.
//!
//! Read on in `differs` (what is told), `make` (what is sent to make one), `power`, `former` (what is taken back).

mod differs;
mod fields;
mod former;
mod make;
mod power;
mod volume;

use runbook_proxmox::guest::Guest;

use super::guest::compare;
use super::guest::{State, Wish};
use super::world::{Done, Seen, Stop, World};

pub use differs::{number_shown, waiting};
pub use fields::{Asked, fields};
pub use former::{Former, Was, former, restore};
pub use make::{number, place};
pub use volume::{is_named, version};

/// How often a configuration is read again because somebody else changed it.
const CONFLICTS_MAX: u32 = 3;

/// A guest as it is, compared with a wish.
#[derive(Debug, Clone)]
pub struct Found {
    /// The guest, where there is one.
    pub seen: Option<Seen>,
    /// What differs, for people.
    pub diff: Option<String>,
}

/// Compares a guest with a wish; changes nothing.
///
/// # Errors
///
/// When it cannot be seen, or cannot become what is wished.
pub async fn compare(world: &World, wish: &Wish) -> Done<Found> {
    let seen = world.see(&wish.subject).await?;
    let lines = match (&seen, wish.state) {
        (None, Some(State::Absent)) => Vec::new(),
        (None, _) if wish.only_looks() => Vec::new(),
        (None, _) => differs::created(world, wish)?,
        (Some(seen), Some(State::Absent)) => {
            differs::refuse_foreign(world, wish, seen, "remove")?;
            differs::removed(seen)
        }
        (Some(seen), _) => {
            differs::refuse_other(world, wish, seen)?;
            differs::changed(wish, seen)?
        }
    };
    let diff = (!lines.is_empty()).then(|| lines.join("\n"));
    Ok(Found { seen, diff })
}

/// Changes what differs.
///
/// # Errors
///
/// What failed; `former` has what was begun.
pub async fn change(world: &World, wish: &Wish, found: &Found, former: &mut Former) -> Done<()> {
    if wish.state == Some(State::Absent) {
        return match &found.seen {
            Some(seen) => {
                differs::refuse_foreign(world, wish, seen, "remove")?;
                power::remove(world, seen).await
            }
            None => Ok(()),
        };
    }
    let guest = match &found.seen {
        Some(seen) => seen.guest.clone(),
        None => make::create(world, wish, former).await?,
    };
    configure(world, wish, &guest).await?;
    power::switch(world, wish, &guest).await
}

/// A guest that must be there.
///
/// # Errors
///
/// That it is not.
pub async fn look(world: &World, guest: &Guest) -> Done<Seen> {
    match world.look(guest.clone()).await? {
        Some(seen) => Ok(seen),
        None => Err(Stop::absent(format!("{guest} is not there any more"))),
    }
}

/// Sets what differs, reading again where somebody else changed it meanwhile.
async fn configure(world: &World, wish: &Wish, guest: &Guest) -> Done<()> {
    let mut conflicts = 0;
    loop {
        let seen = look(world, guest).await?;
        let changes = compare::changes(wish, &seen.config)?;
        if !changes.set.is_empty() || !changes.remove.is_empty() {
            let request = guest.set(changes.set.clone(), &changes.remove, seen.digest.as_deref());
            match world.send(&request).await {
                Ok(answer) => world.finish(&answer).await?,
                Err(error) if error.is_digest_conflict() && conflicts < CONFLICTS_MAX => {
                    conflicts += 1;
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
        }
        for (key, bytes) in &changes.grow {
            let request = guest.resize(key, &size(*bytes));
            world.run_for(guest, "resize", &request).await?;
        }
        return Ok(());
    }
}

/// A size as a disk is resized to, in the largest unit that is exact.
fn size(bytes: u64) -> String {
    let units = [("T", 1_u64 << 40), ("G", 1 << 30), ("M", 1 << 20)];
    match units
        .into_iter()
        .find(|(_, unit)| bytes.is_multiple_of(*unit))
    {
        Some((letter, unit)) => format!("{}{letter}", bytes / unit),
        None => format!("{}K", bytes.div_ceil(1 << 10)),
    }
}
