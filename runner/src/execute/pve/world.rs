//! The cluster of a step, with what the book and the profile say about it.

use std::time::Instant;

use runbook::event::{EventKind, UndoRegistered};
use runbook::read;
use runbook_proxmox::{Client, Upid};
use serde_json::json;

use super::super::context::Cx;
use super::super::job::Job;
use super::Read;
use crate::action::pve::world::{World, book_tag};

/// Who answers for the cluster: the one place where a step gets its client.
async fn proxmox(cx: &Cx) -> Read<(Client, Option<Client>)> {
    let proxmox = cx.proxmox().await?;
    Ok((proxmox.client, proxmox.login))
}

pub(super) async fn world(cx: &Cx, job: &Job<'_>, deadline: Instant) -> Read<World> {
    let (client, login) = proxmox(cx).await?;
    let mut world = World::new(client, login, job.record(cx));
    world.book_tag = tag_of(cx);
    world.step = cx.id.to_string();
    world.scratch = scratch(cx);
    world.deadline = deadline;
    world.cancel = cx.cancel.clone();
    world.on_task = on_task(cx);
    Ok(world)
}

/// The book's tag, from its title; a book without one is named by its folder.
pub(in crate::execute) fn tag_of(cx: &Cx) -> String {
    let root = &cx.run.request.root;
    let title = mdbook_driver::config::Config::from_disk(root.join("book.toml"))
        .ok()
        .and_then(|config| config.book.title);
    let folder = || {
        let name = root.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    };
    book_tag(&title.unwrap_or_else(folder))
}

/// The numbers of `scratch.vmids` of the profile; of the lab those that LANGUAGE gives as the example, where it says nothing.
pub(super) fn scratch(cx: &Cx) -> Option<(u32, u32)> {
    let profile = cx.run.book.inventory.profile(&cx.run.request.profile);
    let vmids = profile
        .and_then(|profile| profile.node.as_ref())
        .and_then(|node| node.get("scratch")?.get("vmids"))
        .and_then(|vmids| read::range(vmids).ok());
    let narrow =
        |(low, high): (u64, u64)| Some((u32::try_from(low).ok()?, u32::try_from(high).ok()?));
    match vmids {
        Some(vmids) => narrow(vmids),
        None => cx.is_lab().then_some((9000, 9099)),
    }
}

/// Writes a task into the journal before it is waited for, so that a killed run can find it again.
fn on_task(cx: &Cx) -> Box<dyn Fn(&Upid) + Send + Sync> {
    let (run, id, target) = (cx.run.clone(), cx.id.clone(), cx.target_text.clone());
    Box::new(move |upid| {
        run.emitter.emit(EventKind::UndoRegistered(UndoRegistered {
            id: id.clone(),
            summary: format!("wait for task {}", upid.as_str()),
            data: json!({"task": upid.as_str(), "target": target}),
        }));
    })
}
