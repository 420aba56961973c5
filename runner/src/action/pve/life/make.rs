//! A guest that is not there is made: with a number that is free, from its source, as the book's.

use runbook_proxmox::guest::{Created, Guest};
use runbook_proxmox::{cluster, guest, storage};

use super::super::guest::compare::fresh;
use super::super::guest::keys::tags;
use super::super::guest::{Source, Subject, Wish};
use super::super::world::{Done, Stop, TAG, World, kind_of, only_root};
use super::differs::no_number;
use super::{Former, look, volume};

/// How many numbers are tried for a new guest.
const NUMBERS_MAX: u32 = 8;

pub(super) async fn create(world: &World, wish: &Wish, former: &mut Former) -> Done<Guest> {
    let node = place(world, wish).await?;
    former.node.clone_from(&node);
    let mut tried = Vec::new();
    loop {
        let vmid = number(world, &wish.subject, &tried).await?;
        let new = Guest::new(kind_of(wish.subject.kind), node.clone(), vmid);
        former.vmid = Some(vmid);
        let is_taken = match make(world, wish, &new).await? {
            Created::Taken(_) => true,
            Created::Task(upid) => match world.wait(&upid).await {
                Ok(()) => false,
                // The number was free when the task began; it made nothing.
                Err(stop) if stop.race_lost => true,
                Err(stop) => return Err(stop),
            },
        };
        if is_taken {
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
        }
        if matches!(wish.source, Some(Source::Clone { .. })) {
            mark(world, wish, &new).await?;
        }
        return Ok(new);
    }
}

/// The number of a new guest: the one that is written, else one that is free.
///
/// # Errors
///
/// That there is none.
pub async fn number(world: &World, subject: &Subject, tried: &[u32]) -> Done<u32> {
    match (subject.vmid, world.scratch) {
        (Some(vmid), _) => Ok(vmid),
        (None, Some((low, high))) => {
            let free = cluster::next_free(&world.client, low..=high, tried);
            world.read(free).await
        }
        (None, None) => Err(no_number(subject)),
    }
}

/// The node where a new guest is made.
///
/// # Errors
///
/// That it is not said, or no node has this name.
pub async fn place(world: &World, wish: &Wish) -> Done<String> {
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
        (Err(error), Some(login)) if only_root(&error) => {
            Ok(guest::create(login, new, &request, &kind, &new.node).await?)
        }
        (Err(error), _) => Err(error.into()),
    }
}

/// The guest that is copied, by its number or name.
async fn original(world: &World, wish: &Wish, from: &str) -> Done<Guest> {
    let guests = world.read(cluster::guests(&world.client)).await?;
    let number = from.rsplit('/').next().unwrap_or(from);
    let vmid = number.parse::<u32>().ok();
    let mut same = Vec::new();
    for listed in guests {
        let is = listed.guest.kind == kind_of(wish.subject.kind)
            && match (vmid, &listed.name) {
                (Some(vmid), _) => listed.guest.vmid == vmid,
                (None, Some(name)) => name == number,
                // The list has no name yet of what was just made.
                (None, None) => {
                    let seen = world.look(listed.guest.clone()).await?;
                    seen.is_some_and(|seen| seen.name().is_some_and(|name| name == number))
                }
            };
        if is {
            same.push(listed.guest);
        }
    }
    let mut same = same.into_iter();
    match (same.next(), same.next()) {
        (Some(only), None) => Ok(only),
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
            add("ostemplate", volume::template(world, node, template).await?);
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
            let image = volume::image(world, node, from).await?;
            add("scsi0", format!("{storage}:0,import-from={image}"));
            if wish.cloud_init {
                add("ide2", format!("{storage}:cloudinit"));
            }
            boots_from_scsi(wish, &mut params);
        }
        _ => {
            if let Some(disk) = disk {
                add("scsi0", disk.fresh());
                if wish.cloud_init {
                    add("ide2", format!("{}:cloudinit", disk.storage));
                }
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
