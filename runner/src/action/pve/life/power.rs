//! A guest is started, stopped, restarted, becomes a template, goes.

use std::time::Duration;

use runbook_proxmox::guest::Guest;

use super::super::guest::Wish;
use super::super::guest::compare::{Power, power};
use super::super::world::{Done, Seen, World};
use super::look;

/// How long a guest gets to shut down before it is ended hard.
const SHUTDOWN_DURATION: Duration = Duration::from_secs(60);

/// Starts, stops, restarts or makes a template of it.
pub(super) async fn switch(world: &World, wish: &Wish, guest: &Guest) -> Done<()> {
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

pub(super) async fn start(world: &World, guest: &Guest) -> Done<()> {
    match world.run_for(guest, "start", &guest.start()).await {
        // Somebody else was faster.
        Err(stop) if !stop.message().contains("already running") => return Err(stop),
        _ => {}
    }
    becomes(world, guest, true).await
}

pub(super) async fn stop(world: &World, guest: &Guest, hard: bool) -> Done<()> {
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

pub(super) async fn remove(world: &World, seen: &Seen) -> Done<()> {
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
