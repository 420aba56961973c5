//! A guest's whole life: looked at, compared, made, changed in place, started and stopped, removed, and taken back.
//!
//! A guest that is there is never made again, whatever its state; one that is not the book's is never removed. A number that was
//! taken meanwhile is somebody else's: another one is used, or the step fails.

use std::time::Duration;

use runbook::result::Fields;
use runbook_proxmox::guest::{Created, Guest};
use runbook_proxmox::{agent, cluster, guest, storage};
use serde_json::{Value, json};

use super::guest::compare::{self, Changes, Config, Power, fresh, power};
use super::guest::keys::{self, tags};
use super::guest::{Source, State, Wish};
use super::pairs::{FIRST, Pairs};
use super::world::{Done, Seen, Stop, TAG, World, kind_of};

/// How long a guest gets to shut down before it is ended hard.
const SHUTDOWN_DURATION: Duration = Duration::from_secs(60);
/// How long a guest that was just started is waited for to have an address, where one is asked for.
const ADDRESS_DURATION_MAX: Duration = Duration::from_secs(30);
const ADDRESS_PAUSE: Duration = Duration::from_millis(250);
/// How often a configuration is read again because somebody else changed it.
const CONFLICTS_MAX: u32 = 3;
/// How many numbers are tried for a new guest.
const NUMBERS_MAX: u32 = 8;

/// A guest as it is, compared with a wish.
#[derive(Debug, Clone)]
pub struct Found {
    /// The guest, where there is one.
    pub seen: Option<Seen>,
    /// What differs, for people.
    pub diff: Option<String>,
}

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
        (None, _) => created(world, wish)?,
        (Some(seen), Some(State::Absent)) => {
            refuse_foreign(world, wish, seen, "remove")?;
            removed(seen)
        }
        (Some(seen), _) => changed(wish, seen)?,
    };
    let diff = (!lines.is_empty()).then(|| lines.join("\n"));
    Ok(Found { seen, diff })
}

fn created(world: &World, wish: &Wish) -> Done<Vec<String>> {
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
    if subject.vmid.is_none() && world.scratch.is_none() {
        return Err(Stop::refused(
            format!("no number for a new `{}`", subject.kind.as_str()),
            "write `vmid`, or numbers that may be used in the profile: `scratch: {vmids: 9000-9099}`",
        ));
    }
    let number = subject.vmid.map_or_else(
        || "the next free number".to_owned(),
        |vmid| vmid.to_string(),
    );
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

fn removed(seen: &Seen) -> Vec<String> {
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

fn changed(wish: &Wish, seen: &Seen) -> Done<Vec<String>> {
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

fn refuse_foreign(world: &World, wish: &Wish, seen: &Seen, what: &str) -> Done<()> {
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
    }
}

fn changed_keys(changes: &Changes, config: &Config) -> Vec<(String, Option<String>)> {
    let set = changes.set.iter().map(|(key, _)| key);
    set.chain(&changes.remove)
        .map(|key| (key.clone(), config.get(key).cloned()))
        .collect()
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
                refuse_foreign(world, wish, seen, "remove")?;
                remove(world, seen).await
            }
            None => Ok(()),
        };
    }
    let guest = match &found.seen {
        Some(seen) => seen.guest.clone(),
        None => create(world, wish, former).await?,
    };
    configure(world, wish, &guest).await?;
    switch(world, wish, &guest).await
}

async fn look(world: &World, guest: &Guest) -> Done<Seen> {
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

/// Starts, stops, restarts or makes a template of it.
async fn switch(world: &World, wish: &Wish, guest: &Guest) -> Done<()> {
    let seen = look(world, guest).await?;
    match power(wish, seen.status.is_running(), seen.is_template())? {
        Some(Power::Start) => start(world, guest).await,
        Some(Power::Stop) => stop(world, guest, false).await,
        Some(Power::Template) => {
            if seen.status.is_running() {
                stop(world, guest, false).await?;
            }
            world.run_for(guest, "template", &guest.template()).await?;
            // The answer comes before it can be seen.
            world
                .follow("the template", async || {
                    let seen = look(world, guest).await?;
                    Ok(seen.is_template().then_some(()))
                })
                .await
        }
        None if wish.restart && !seen.pending.is_empty() => {
            stop(world, guest, false).await?;
            start(world, guest).await
        }
        None => Ok(()),
    }
}

async fn start(world: &World, guest: &Guest) -> Done<()> {
    match world.run_for(guest, "start", &guest.start()).await {
        // Somebody else was faster.
        Err(stop) if !stop.message().contains("already running") => return Err(stop),
        _ => {}
    }
    becomes(world, guest, true).await
}

async fn stop(world: &World, guest: &Guest, hard: bool) -> Done<()> {
    let half = world.left() / 2;
    let (request, kind) = if hard {
        (guest.stop(), "stop")
    } else {
        let time = SHUTDOWN_DURATION.min(half).max(Duration::from_secs(1));
        (guest.shutdown(time, true), "shutdown")
    };
    match world.run_for(guest, kind, &request).await {
        Err(stop) if !stop.message().contains("not running") => return Err(stop),
        _ => {}
    }
    becomes(world, guest, false).await
}

/// A task of a guest that high availability keeps ends before its state follows.
async fn becomes(world: &World, guest: &Guest, running: bool) -> Done<()> {
    let what = if running { "the start" } else { "the stop" };
    let what = format!("{what} of {guest}");
    world
        .follow(&what, async || {
            let status = world.read(guest.look(&world.client)).await?;
            let is = status.is_some_and(|status| status.is_running());
            Ok((is == running).then_some(()))
        })
        .await
}

async fn remove(world: &World, seen: &Seen) -> Done<()> {
    if seen.status.is_running() {
        stop(world, &seen.guest, false).await?;
    }
    world
        .run_for(&seen.guest, "destroy", &seen.guest.destroy())
        .await?;
    let guest = &seen.guest;
    world
        .follow(&format!("the end of {guest}"), async || {
            let there = world.read(guest.look(&world.client)).await?;
            Ok(there.is_none().then_some(()))
        })
        .await
}

async fn create(world: &World, wish: &Wish, former: &mut Former) -> Done<Guest> {
    let node = place(world, wish).await?;
    former.node.clone_from(&node);
    let mut tried = Vec::new();
    loop {
        let vmid = match (wish.subject.vmid, world.scratch) {
            (Some(vmid), _) => vmid,
            (None, Some((low, high))) => {
                let free = cluster::next_free(&world.client, low..=high, &tried);
                world.read(free).await?
            }
            (None, None) => return Err(Stop::refused("no number for a new guest", "write `vmid`")),
        };
        let new = Guest::new(kind_of(wish.subject.kind), node.clone(), vmid);
        former.vmid = Some(vmid);
        let made = make(world, wish, &new).await?;
        let Created::Task(upid) = made else {
            // Whose number it is now is not ours to touch.
            former.vmid = None;
            tried.push(vmid);
            if wish.subject.vmid.is_none() && (tried.len() as u32) < NUMBERS_MAX {
                continue;
            }
            return Err(Stop::refused(
                format!("number {vmid} was taken by another guest meanwhile"),
                "look at that guest, or write another `vmid`",
            ));
        };
        world.wait(&upid).await?;
        if matches!(wish.source, Some(Source::Clone { .. })) {
            mark(world, wish, &new).await?;
        }
        return Ok(new);
    }
}

/// The node where a new guest is made.
async fn place(world: &World, wish: &Wish) -> Done<String> {
    if let Some(node) = &wish.subject.node {
        return world.node(node).await;
    }
    let nodes = world.read(cluster::nodes(&world.client)).await?;
    match nodes.as_slice() {
        [node] => Ok(node.name.clone()),
        _ => Err(Stop::refused(
            format!("no node for the new {}", wish.subject.shown()),
            "write `node`",
        )),
    }
}

/// Sends the one request that makes it.
async fn make(world: &World, wish: &Wish, new: &Guest) -> Done<Created> {
    let prefix = new.kind.task_prefix();
    if let Some(Source::Clone {
        from,
        full,
        snapshot,
    }) = &wish.source
    {
        let from = original(world, wish, from).await?;
        let name = if wish.subject.is_vm() {
            "name"
        } else {
            "hostname"
        };
        let target = (from.node != new.node).then(|| new.node.clone());
        let request = from
            .clone_to(new.vmid, *full)
            .maybe(name, wish.subject.hostname.clone())
            .maybe("snapname", snapshot.clone())
            .maybe("target", target);
        let kind = format!("{prefix}clone");
        return Ok(guest::create(&world.client, new, &request, &kind, &from.node).await?);
    }
    let mut params = sourced(world, wish, &new.node).await?;
    params.extend(common(world, wish));
    let restores = matches!(wish.source, Some(Source::Backup(_)));
    let kind = format!("{prefix}{}", if restores { "restore" } else { "create" });
    let request = new.create(params);
    let made = guest::create(&world.client, new, &request, &kind, &new.node).await;
    match (made, &world.login) {
        (Ok(made), _) => Ok(made),
        (Err(error), Some(login)) if super::world::only_root(&error) => {
            Ok(guest::create(login, new, &request, &kind, &new.node).await?)
        }
        (Err(error), _) => Err(error.into()),
    }
}

/// The guest that is copied, by its number or name.
async fn original(world: &World, wish: &Wish, from: &str) -> Done<Guest> {
    let guests = world.read(cluster::guests(&world.client)).await?;
    let number = from.rsplit('/').next().unwrap_or(from);
    let mut same = guests.into_iter().filter(|listed| {
        listed.guest.kind == kind_of(wish.subject.kind)
            && match number.parse::<u32>() {
                Ok(vmid) => listed.guest.vmid == vmid,
                Err(_) => listed.name.as_deref() == Some(number),
            }
    });
    match (same.next(), same.next()) {
        (Some(only), None) => Ok(only.guest),
        (Some(_), Some(_)) => Err(Stop::refused(
            format!("several guests are named `{from}`"),
            "write the number of the one to be copied",
        )),
        (None, _) => Err(Stop::absent(format!(
            "`{from}`, which is to be copied, does not exist"
        ))),
    }
}

/// What a source means for the request.
async fn sourced(world: &World, wish: &Wish, node: &str) -> Done<Vec<(String, String)>> {
    let mut params: Vec<(String, String)> = Vec::new();
    let mut add = |key: &str, value: String| params.push((key.to_owned(), value));
    let disk = wish.disk.as_ref();
    match &wish.source {
        Some(Source::Template(template)) => {
            add("ostemplate", self::template(world, node, template).await?);
            add("unprivileged", u8::from(wish.unprivileged).to_string());
            if !wish.login_keys.is_empty() {
                add("ssh-public-keys", wish.login_keys.join("\n"));
            }
            match disk {
                Some(disk) => add("rootfs", disk.fresh()),
                None => {
                    if let Some(storage) = storage_of_roots(world, node).await? {
                        add("storage", storage);
                    }
                }
            }
        }
        Some(Source::Backup(backup)) => {
            if wish.subject.is_vm() {
                add("archive", backup.clone());
            } else {
                add("ostemplate", backup.clone());
                add("restore", "1".into());
            }
            if let Some(disk) = disk {
                add("storage", disk.storage.clone());
            }
        }
        Some(Source::Image { from, storage }) => {
            let storage = storage.clone().or(disk.map(|disk| disk.storage.clone()));
            let Some(storage) = storage else {
                return Err(Stop::refused(
                    "no storage for the disk of the image",
                    "write `image: {from: …, storage: local-lvm}` or `disk: local-lvm:32GiB`",
                ));
            };
            let image = image(world, node, from).await?;
            add("scsi0", format!("{storage}:0,import-from={image}"));
            if wish.cloud_init {
                add("ide2", format!("{storage}:cloudinit"));
            }
            boots_from_scsi(wish, &mut params);
        }
        _ => {
            if let Some(disk) = disk {
                add("scsi0", disk.fresh());
                boots_from_scsi(wish, &mut params);
            }
        }
    }
    Ok(params)
}

/// Where a container's root lies when nobody says it: the server's default is `local`, which often takes none.
async fn storage_of_roots(world: &World, node: &str) -> Done<Option<String>> {
    let storages = world.read(storage::list(&world.client, node)).await?;
    let takes = |known: &&storage::Storage| {
        known.active && known.content.iter().any(|has| has == "rootdir")
    };
    let mut taking = storages.iter().filter(takes).map(|known| &known.id);
    if taking.clone().any(|id| id == "local") {
        return Ok(None);
    }
    Ok(taking.next().cloned())
}

fn boots_from_scsi(wish: &Wish, params: &mut Vec<(String, String)>) {
    for (key, value) in [("scsihw", "virtio-scsi-single"), ("boot", "order=scsi0")] {
        if !wish.keys.iter().any(|(known, _)| known == key) {
            params.push((key.to_owned(), value.to_owned()));
        }
    }
}

/// Its configuration, its name and whose it is.
fn common(world: &World, wish: &Wish) -> Vec<(String, String)> {
    let mut params = fresh(wish);
    let is_named =
        |params: &[(String, String)], key: &str| params.iter().any(|(known, _)| known == key);
    let name = if wish.subject.is_vm() {
        "name"
    } else {
        "hostname"
    };
    if let Some(hostname) = &wish.subject.hostname
        && !is_named(&params, name)
    {
        params.push((name.to_owned(), hostname.clone()));
    }
    if !is_named(&params, "description") {
        params.push(("description".to_owned(), description(world)));
    }
    let own = own_tags(
        world,
        params
            .iter()
            .find(|(key, _)| key == "tags")
            .map(|(_, tags)| tags.as_str()),
    );
    params.retain(|(key, _)| key != "tags");
    params.push(("tags".to_owned(), own));
    params
}

fn description(world: &World) -> String {
    format!("Created by step `{}` of a runbook.", world.step)
}

fn own_tags(world: &World, others: Option<&str>) -> String {
    let mut all = tags(others.unwrap_or_default());
    all.extend([TAG.to_owned(), world.book_tag.clone()]);
    all.sort();
    all.dedup();
    all.join(";")
}

/// Marks a copy as the book's: it has the tags and the description of its original.
async fn mark(world: &World, wish: &Wish, new: &Guest) -> Done<()> {
    let seen = look(world, new).await?;
    let own = own_tags(world, seen.config.get("tags").map(String::as_str));
    let mut params = vec![("tags".to_owned(), own)];
    if !wish.keys.iter().any(|(key, _)| key == "description") {
        params.push(("description".to_owned(), description(world)));
    }
    world.run(&new.set(params, &[], None)).await?;
    Ok(())
}

/// The volume of a container template: a volume is taken as it is written, a name is looked for on the node's storages.
async fn template(world: &World, node: &str, name: &str) -> Done<String> {
    if name.contains(':') {
        return Ok(name.to_owned());
    }
    match newest(world, node, "vztmpl", name).await? {
        Some(volume) => Ok(volume),
        None => Err(Stop::refused(
            format!("no storage of `{node}` has a template `{name}`"),
            format!("download it first: `image: {{storage: local, name: {name}}}`"),
        )),
    }
}

async fn image(world: &World, node: &str, name: &str) -> Done<String> {
    if name.contains(':') || name.starts_with('/') {
        return Ok(name.to_owned());
    }
    for content in ["import", "iso"] {
        if let Some(volume) = newest(world, node, content, name).await? {
            return Ok(volume);
        }
    }
    Err(Stop::refused(
        format!("no storage of `{node}` has an image `{name}`"),
        "download it first with an `image` step, or write its volume",
    ))
}

/// The newest volume whose name is, or begins with, this one.
///
/// # Errors
///
/// When the storages cannot be asked.
pub async fn newest(world: &World, node: &str, content: &str, name: &str) -> Done<Option<String>> {
    let storages = world.read(storage::list(&world.client, node)).await?;
    let mut found: Vec<String> = Vec::new();
    for known in storages
        .iter()
        .filter(|known| known.active && known.content.iter().any(|has| has == content))
    {
        let volumes = storage::content(&world.client, node, &known.id, Some(content));
        let volumes = world.read(volumes).await?;
        let volumes = volumes.into_iter().map(|volume| volume.volid);
        found.extend(volumes.filter(|volid| is_named(volid, name)));
    }
    found.sort_by_cached_key(|volid| version(volid));
    Ok(found.pop())
}

/// Whether a volume's file is this one, or one of its versions.
pub fn is_named(volid: &str, name: &str) -> bool {
    let file = volid.rsplit(['/', ':']).next().unwrap_or(volid);
    match file.strip_prefix(name) {
        Some(rest) => rest.is_empty() || rest.starts_with(['_', '.']),
        None => false,
    }
}

/// The numbers of a name, so that `12.10` is newer than `12.7`.
pub fn version(name: &str) -> (Vec<u64>, String) {
    let numbers = name.split(|c: char| !c.is_ascii_digit());
    let numbers = numbers.filter_map(|number| number.parse().ok()).collect();
    (numbers, name.to_owned())
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

    /// What another process needs to do it.
    pub fn data(&self) -> Value {
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
        json!({"action": self.kind, "vmid": self.vmid, "node": self.node, "was": was})
    }
}

/// Which fields a step asks for beyond what is there anyway.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked {
    /// `address`, `addresses`.
    pub address: bool,
    /// `agent`.
    pub agent: bool,
}

/// The fields of a result.
///
/// # Errors
///
/// When the guest cannot be asked.
pub async fn fields(
    world: &World,
    wish: &Wish,
    seen: Option<&Seen>,
    asked: Asked,
    started: bool,
) -> Done<Fields> {
    let mut fields = Fields::new();
    let Some(seen) = seen else {
        fields.set("state", "absent");
        if let Some(vmid) = wish.subject.vmid {
            fields.set("vmid", vmid);
        }
        return Ok(fields);
    };
    fields.set("state", seen.state());
    let mut config = seen.raw.clone();
    if let Value::Object(map) = &mut config {
        map.remove("digest");
    }
    fields.set("config", config);
    fields.set("vmid", seen.guest.vmid);
    fields.set("node", seen.guest.node.clone());
    fields.set("uptime", seen.status.uptime);
    let running = seen.status.is_running();
    if asked.agent {
        let answers = match running {
            true => match world
                .read(async { Ok(world.client.call(&seen.guest.ping()).await) })
                .await?
            {
                Ok(_) => true,
                Err(error) if error.is_no_agent() || error.is_not_running() => false,
                Err(error) => return Err(error.into()),
            },
            false => false,
        };
        fields.set("agent", answers);
    }
    if asked.address {
        let addresses = addresses(world, wish, seen, started).await?;
        if let Some(first) = addresses.first() {
            fields.set("address", first.clone());
        }
        fields.set("addresses", addresses);
    }
    Ok(fields)
}

async fn addresses(world: &World, wish: &Wish, seen: &Seen, started: bool) -> Done<Vec<String>> {
    let fixed: Vec<String> = wish.subject.address.iter().cloned().collect();
    let fixed: Vec<String> = fixed
        .iter()
        .map(|address| address.split('/').next().unwrap_or(address).to_owned())
        .collect();
    if !seen.status.is_running() {
        return Ok(fixed);
    }
    let mac = seen.config.get("net0").and_then(|net| {
        let net = Pairs::parse_card(net);
        net.get("hwaddr").or(net.get("macaddr")).map(str::to_owned)
    });
    let until = world
        .deadline
        .min(std::time::Instant::now() + ADDRESS_DURATION_MAX);
    loop {
        let asking =
            async { Ok(agent::addresses(&world.client, &seen.guest, mac.as_deref()).await) };
        let found = match world.read(asking).await? {
            Ok(found) => found,
            Err(error) if error.is_no_agent() || error.is_not_running() => Vec::new(),
            // What the inventory says needs no right to look.
            Err(runbook_proxmox::Error::Forbidden { .. }) if !fixed.is_empty() => return Ok(fixed),
            Err(error) => return Err(error.into()),
        };
        let (four, six): (Vec<_>, Vec<_>) = found
            .into_iter()
            .map(|address| address.address)
            .partition(std::net::IpAddr::is_ipv4);
        let mut all = fixed.clone();
        for address in four.iter().chain(&six).map(ToString::to_string) {
            if !all.contains(&address) {
                all.push(address);
            }
        }
        // A guest that was just started has no address at once; one that runs for long is looked at once.
        if !all.is_empty() || !started || std::time::Instant::now() + ADDRESS_PAUSE >= until {
            return Ok(all);
        }
        tokio::select! {
            biased;
            () = world.cancel.stopped() => return Err(crate::action::Ended::Aborted.into()),
            () = tokio::time::sleep(ADDRESS_PAUSE) => {}
        }
    }
}
