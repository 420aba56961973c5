//! The fields of a guest's result.

use std::time::Duration;

use runbook::result::Fields;
use runbook_proxmox::agent;
use serde_json::Value;

use super::super::guest::Wish;
use super::super::pairs::Pairs;
use super::super::world::{Done, Seen, World};

/// How long a guest that was just started is waited for to have an address, where one is asked for.
const ADDRESS_DURATION_MAX: Duration = Duration::from_secs(30);
const ADDRESS_PAUSE: Duration = Duration::from_millis(250);

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
