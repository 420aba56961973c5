//! What high availability keeps of a guest: `ha`.

use runbook::result::Fields;
use runbook_proxmox::Request;
use runbook_proxmox::guest::Guest;
use runbook_proxmox::ha::{self, Resource};

use super::guest::Subject;
use super::snapshot::guest;
use super::world::{Done, World};

/// A wish for what is kept of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Of which.
    pub subject: Subject,
    /// What it shall be: `started`, `stopped`, `disabled`, `absent`.
    pub state: Option<String>,
    /// The group.
    pub group: Option<String>,
    /// Restarts before it is moved.
    pub max_restart: Option<i64>,
    /// Moves before it has failed.
    pub max_relocate: Option<i64>,
}

/// What is there.
#[derive(Debug, Clone)]
pub struct Found {
    guest: Guest,
    is: Option<Resource>,
    status: Option<(String, String)>,
    /// What differs, for people.
    pub diff: Option<String>,
}

/// What a change is taken back from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Former {
    /// The guest.
    pub guest: Guest,
    /// What was kept of it.
    pub was: Option<Resource>,
}

impl Wish {
    fn is_absent(&self) -> bool {
        self.state.as_deref() == Some("absent")
    }

    fn keys(&self) -> Vec<(&'static str, String)> {
        let number = |value: Option<i64>| value.map(|value| value.to_string());
        [
            ("state", self.state.clone()),
            ("group", self.group.clone()),
            ("max_restart", number(self.max_restart)),
            ("max_relocate", number(self.max_relocate)),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .collect()
    }
}

/// What is there under a key; what the server does not say is its default.
fn value(is: &Resource, key: &str) -> String {
    match key {
        "state" => is.state.clone(),
        "group" => is.group.clone().unwrap_or_default(),
        "max_restart" => is.max_restart.unwrap_or(1).to_string(),
        _ => is.max_relocate.unwrap_or(1).to_string(),
    }
}

/// Compares; changes nothing.
///
/// # Errors
///
/// When the guest is not there or cannot be asked.
pub async fn compare(world: &World, wish: &Wish) -> Done<Found> {
    let guest = guest(world, &wish.subject).await?.guest;
    let is = world.read(ha::read(&world.client, &guest)).await?;
    let status = match &is {
        Some(_) => world.read(ha::status(&world.client, &guest)).await?,
        None => None,
    };
    let sid = ha::sid(&guest);
    let mut lines = Vec::new();
    match &is {
        Some(_) if wish.is_absent() => lines.push(format!("- {sid}")),
        // Nothing is wished: it is only looked at.
        None if wish.is_absent() || wish.keys().is_empty() => {}
        None => {
            lines.push(format!("+ {sid}"));
            let keys = wish.keys();
            lines.extend(keys.iter().map(|(key, to)| format!("+ {key}: {to}")));
        }
        Some(is) => {
            for (key, to) in wish.keys() {
                let was = value(is, key);
                if was != to {
                    lines.extend([format!("- {key}: {was}"), format!("+ {key}: {to}")]);
                }
            }
        }
    }
    Ok(Found {
        guest,
        is,
        status,
        diff: (!lines.is_empty()).then(|| lines.join("\n")),
    })
}

/// The fields of a result.
pub fn fields(found: &Found) -> Fields {
    let mut fields = Fields::new();
    let state = found.is.as_ref().map_or("absent", |is| &is.state);
    fields.set("state", state);
    if let Some((status, node)) = &found.status {
        fields.set("status", status.clone());
        fields.set("node", node.clone());
    }
    fields
}

/// How a change is taken back.
pub fn former(found: &Found) -> Former {
    Former {
        guest: found.guest.clone(),
        was: found.is.clone(),
    }
}

/// Changes what differs.
///
/// # Errors
///
/// What failed.
pub async fn change(world: &World, wish: &Wish, found: &Found) -> Done<()> {
    let request: Request = match &found.is {
        Some(_) if wish.is_absent() => ha::remove(&found.guest),
        None if wish.is_absent() => return Ok(()),
        None => ha::add(&found.guest).with_all(wish.keys()),
        Some(_) => ha::set(&found.guest).with_all(wish.keys()),
    };
    world.run(&request).await?;
    Ok(())
}

/// Takes a change back.
///
/// # Errors
///
/// What is left behind.
pub async fn restore(world: &World, former: &Former) -> Done<()> {
    let is = world.read(ha::read(&world.client, &former.guest)).await?;
    let keys = |was: &Resource| -> Vec<(&'static str, String)> {
        let keys = ["state", "group", "max_restart", "max_relocate"];
        keys.into_iter()
            .map(|key| (key, value(was, key)))
            .filter(|(_, value)| !value.is_empty())
            .collect()
    };
    let request = match (&former.was, is) {
        (None, None) => return Ok(()),
        (None, Some(_)) => ha::remove(&former.guest),
        (Some(was), None) => ha::add(&former.guest).with_all(keys(was)),
        (Some(was), Some(_)) => ha::set(&former.guest).with_all(keys(was)),
    };
    world.run(&request).await?;
    Ok(())
}
