//! How a guest differs from what is wished, in lines for people.

use super::super::guest::compare::{self, Power, fresh, power};
use super::super::guest::{Source, Subject, Wish, keys};
use super::super::world::{Done, Seen, Stop, World};

pub(super) fn created(world: &World, wish: &Wish) -> Done<Vec<String>> {
    let subject = &wish.subject;
    let source = match &wish.source {
        Some(Source::Template(template)) => format!("from template {template}"),
        Some(Source::Clone { from, .. }) => format!("a copy of {from}"),
        Some(Source::Backup(backup)) => format!("from backup {backup}"),
        Some(Source::Image { from, .. }) => format!("from image {from}"),
        None if subject.is_vm() && wish.disk.is_some() => "with an empty disk".into(),
        None => {
            let from = if subject.is_vm() { "image" } else { "template" };
            let mut stop = Stop::absent(format!("{} does not exist", subject.shown()));
            if let crate::action::Ended::Failed(failure) = &mut stop.ended {
                failure.refused = true;
                failure.hint = Some(format!(
                    "write what it is made from: `{from}`, `clone` or `backup`"
                ));
            }
            return Err(stop);
        }
    };
    let number = number_shown(world, subject)?;
    let name = subject.hostname.clone().unwrap_or_default();
    let node = subject.node.clone().unwrap_or_default();
    let mut lines = vec![format!(
        "+ {} {number} {name} on {node}, {source}",
        subject.kind.as_str()
    )];
    if let Some(disk) = &wish.disk {
        let size = disk
            .bytes
            .map(runbook::value::print_size)
            .unwrap_or_default();
        lines.push(format!("+ disk: {}:{size}", disk.storage));
    }
    let shown = fresh(wish)
        .into_iter()
        .map(|(key, value)| format!("+ {key}: {}", compare::shown(&key, &value)));
    lines.extend(shown);
    if let Some(state) = wish.state {
        lines.push(format!("+ state: {}", state.as_str()));
    }
    Ok(lines)
}

/// The number of a guest that is not there, for people.
///
/// # Errors
///
/// That there will be none.
pub fn number_shown(world: &World, subject: &Subject) -> Done<String> {
    match (subject.vmid, world.scratch) {
        (Some(vmid), _) => Ok(vmid.to_string()),
        (None, Some(_)) => Ok("the next free number".to_owned()),
        (None, None) => Err(no_number(subject)),
    }
}

pub(super) fn no_number(subject: &Subject) -> Stop {
    Stop::refused(
        format!("no number for a new `{}`", subject.kind.as_str()),
        "write its number, or numbers that may be used in the profile: `scratch: {vmids: 9000-9099}`",
    )
}

pub(super) fn removed(seen: &Seen) -> Vec<String> {
    let name = seen.name().cloned().unwrap_or_default();
    let mut lines = vec![format!(
        "- {} {} {name} on {}, {}",
        if seen.guest.kind.as_str() == "lxc" {
            "lxc"
        } else {
            "vm"
        },
        seen.guest.vmid,
        seen.guest.node,
        seen.state()
    )];
    let disks = seen.config.iter().filter(|(key, value)| {
        keys::is_disk(key) && value.contains(':') && !value.contains("media=cdrom")
    });
    lines.extend(disks.map(|(key, value)| format!("- {key}: {value}")));
    lines
}

pub(super) fn changed(wish: &Wish, seen: &Seen) -> Done<Vec<String>> {
    let changes = compare::changes(wish, &seen.config)?;
    let mut lines = changes.lines(&seen.config);
    let to = match power(wish, seen.status.is_running(), seen.is_template())? {
        Some(Power::Start) => Some("running"),
        Some(Power::Stop) => Some("stopped"),
        Some(Power::Template) => Some("template"),
        None => None,
    };
    if let Some(to) = to {
        lines.push(format!("- state: {}", seen.state()));
        lines.push(format!("+ state: {to}"));
    }
    if wish.restart && to.is_none() {
        lines.extend(waiting(seen).map(|waiting| format!("restart: {waiting}")));
    }
    Ok(lines)
}

/// What waits for a restart, for people.
pub fn waiting(seen: &Seen) -> Option<String> {
    let keys: Vec<&str> = seen.pending.iter().map(|row| row.key.as_str()).collect();
    (!keys.is_empty()).then(|| format!("{} not in force before a restart", keys.join(", ")))
}

/// A guest that was to be made, and whose number another one has.
pub(super) fn refuse_other(world: &World, wish: &Wish, seen: &Seen) -> Done<()> {
    let name = seen.name();
    if wish.source.is_none()
        || wish.subject.hostname.is_none()
        || name == wish.subject.hostname.as_ref()
        || world.is_ours(&wish.subject, seen)
    {
        return Ok(());
    }
    Err(Stop::refused(
        format!(
            "number {} is taken by `{}`, which is not of this book",
            seen.guest.vmid,
            name.map(String::as_str).unwrap_or_default()
        ),
        "write another number",
    ))
}

pub(super) fn refuse_foreign(world: &World, wish: &Wish, seen: &Seen, what: &str) -> Done<()> {
    if world.is_ours(&wish.subject, seen) {
        return Ok(());
    }
    Err(Stop::refused(
        format!(
            "{} is not of this book: a run does not {what} it",
            wish.subject.shown()
        ),
        format!(
            "add it to the inventory under `guests` with its `vmid`, or give it the tag `{}`",
            world.book_tag
        ),
    ))
}
