//! How long it takes from the wish for a container until it runs, with this client's wait for tasks.
//!
//! `create-to-running URL TOKEN CA-FILE NODE TEMPLATE VMID`: creates it, starts it, looks that it runs, and prints the milliseconds.
//! The connection is made before the clock starts. Used by `tests/proxmox/run`, beside another client's wait on the same server.

#![allow(clippy::print_stdout)]

use std::time::{Duration, Instant};

use runbook_proxmox::guest::{Created, Guest, Kind, create};
use runbook_proxmox::{Auth, Client, Endpoint, Error, Request, Trust, task};

/// How long a task may take.
const TASK_LIMIT: Duration = Duration::from_secs(60);
const ROOTFS: &str = "thin:1";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [url, token, ca, node, template, vmid] = args.as_slice() else {
        return Err("give URL TOKEN CA-FILE NODE TEMPLATE VMID".into());
    };
    let client = Client::new(Endpoint {
        url: url.clone(),
        auth: Auth::token_text(token).ok_or("the token is no `USER@REALM!NAME=SECRET`")?,
        trust: Trust::Ca(std::fs::read_to_string(ca)?),
    })?;
    client.call(&Request::get("/version")).await?;
    let guest = Guest::new(Kind::Lxc, node, vmid.parse()?);
    let started = Instant::now();
    let request = guest.create([("ostemplate", template.as_str()), ("rootfs", ROOTFS)]);
    let upid = match create(&client, &guest, &request, "vzcreate", node).await? {
        Created::Task(upid) => upid,
        Created::Taken(why) => return Err(why.into()),
    };
    task::wait(&client, &upid, TASK_LIMIT, |_| {}).await?.ok()?;
    let upid = task::upid(&client.call(&guest.start()).await?)?;
    task::wait(&client, &upid, TASK_LIMIT, |_| {}).await?.ok()?;
    let status = guest.look(&client).await?;
    let took = started.elapsed();
    if !status.is_some_and(|status| status.is_running()) {
        return Err(Error::Task("the container does not run".to_owned()).into());
    }
    println!("{:.1}", took.as_secs_f64() * 1000.0);
    Ok(())
}
