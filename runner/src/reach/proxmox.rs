//! What the Proxmox VE API knows of guests: where they live, their addresses, and their agents as a way into them.

use std::sync::Arc;

use runbook_proxmox::agent;
use runbook_proxmox::cluster::{self, Listed};
use runbook_proxmox::guest::{Guest, Kind};
use runbook_proxmox::{Client, Error, ErrorKind};

use crate::action::script::with_source;
use crate::remote::{Agent, AgentError, AgentFuture, AgentStatus, GuestFuture, Guests};

/// Who knows the guests of an API.
pub fn guests(client: Client) -> Arc<dyn Guests> {
    Arc::new(OfApi { client })
}

struct OfApi {
    client: Client,
}

impl OfApi {
    async fn listed(&self, vmid: u32) -> Result<Listed, String> {
        cluster::find_guest(&self.client, vmid)
            .await
            .map_err(|error| with_source(&error))?
            .ok_or_else(|| format!("there is no guest {vmid}, or the API's user may not see it"))
    }
}

impl Guests for OfApi {
    fn number(&self, name: String) -> GuestFuture<'_, u32> {
        Box::pin(async move {
            let all = cluster::guests(&self.client)
                .await
                .map_err(|error| with_source(&error))?;
            let mut named = all
                .iter()
                .filter(|listed| listed.name.as_deref() == Some(&name));
            match (named.next(), named.next()) {
                (Some(one), None) => Ok(one.guest.vmid),
                (Some(one), Some(other)) => Err(format!(
                    "{} and {} have this name",
                    one.guest.vmid, other.guest.vmid
                )),
                (None, _) => Err("no guest has this name".into()),
            }
        })
    }

    fn node(&self, vmid: u32) -> GuestFuture<'_, String> {
        Box::pin(async move { Ok(self.listed(vmid).await?.guest.node) })
    }

    fn address(&self, vmid: u32) -> GuestFuture<'_, String> {
        Box::pin(async move {
            let guest = self.listed(vmid).await?.guest;
            let card = self.card(&guest).await?;
            let found = agent::addresses(&self.client, &guest, card.as_deref())
                .await
                .map_err(|error| with_source(&error))?;
            let first = found.first().map(|found| found.address.to_string());
            first.ok_or_else(|| "it has none yet".into())
        })
    }

    fn agent(&self, vmid: u32) -> Arc<dyn Agent> {
        Arc::new(OfGuest {
            client: self.client.clone(),
            vmid,
            guest: tokio::sync::OnceCell::new(),
        })
    }
}

impl OfApi {
    /// The hardware address of `net0`.
    async fn card(&self, guest: &Guest) -> Result<Option<String>, String> {
        let config = self
            .client
            .call(&guest.config())
            .await
            .map_err(|error| with_source(&error))?;
        let net = config.get("net0").and_then(|net| net.as_str());
        Ok(net.and_then(hardware).map(str::to_owned))
    }
}

/// The hardware address in `virtio=AA:…,bridge=vmbr0` or `name=eth0,hwaddr=AA:…`.
fn hardware(net: &str) -> Option<&str> {
    let is_one = |value: &&str| {
        let parts: Vec<&str> = value.split(':').collect();
        parts.len() == 6 && parts.iter().all(|part| part.len() == 2)
    };
    net.split(',')
        .filter_map(|part| part.split_once('='))
        .map(|(_, value)| value)
        .find(is_one)
}

/// The agent of one guest.
struct OfGuest {
    client: Client,
    vmid: u32,
    /// Where it lives, once that is known.
    guest: tokio::sync::OnceCell<Guest>,
}

impl OfGuest {
    async fn guest(&self) -> Result<&Guest, AgentError> {
        let find = || async {
            match cluster::find_guest(&self.client, self.vmid).await {
                Ok(Some(listed)) if listed.guest.kind == Kind::Qemu => Ok(listed.guest),
                Ok(Some(_)) => Err(plain(format!("guest {} is a container", self.vmid))),
                Ok(None) => Err(plain(format!("there is no guest {}", self.vmid))),
                Err(error) => Err(refused(&error)),
            }
        };
        self.guest.get_or_try_init(find).await
    }
}

impl Agent for OfGuest {
    fn exec<'a>(&'a self, argv: &'a [String], input: &'a [u8]) -> AgentFuture<'a, u64> {
        Box::pin(async move {
            let guest = self.guest().await?;
            let words: Vec<&str> = argv.iter().map(String::as_str).collect();
            let text = match std::str::from_utf8(input) {
                Ok(text) if text.is_ascii() => text.to_owned(),
                // What the server makes of other letters differs by version.
                _ => return Err(plain("the agent takes plain ASCII only".into())),
            };
            let pid = agent::start(&self.client, guest, &words, Some(&text))
                .await
                .map_err(|error| refused(&error))?;
            u64::try_from(pid).map_err(|_| plain(format!("`{pid}` is no process")))
        })
    }

    fn status(&self, pid: u64) -> AgentFuture<'_, AgentStatus> {
        Box::pin(async move {
            let guest = self.guest().await?;
            let pid = i64::try_from(pid).map_err(|_| plain(format!("`{pid}` is no process")))?;
            let looked = agent::look(&self.client, guest, pid)
                .await
                .map_err(|error| refused(&error))?;
            let Some(ended) = looked else {
                return Ok(AgentStatus::default());
            };
            let small = |number: Option<i64>| number.and_then(|number| i32::try_from(number).ok());
            Ok(AgentStatus {
                exited: true,
                code: small(ended.code),
                signal: small(ended.signal),
                stdout: ended.stdout.into_bytes(),
                stderr: ended.stderr.into_bytes(),
                truncated: ended.truncated,
            })
        })
    }
}

fn plain(message: String) -> AgentError {
    AgentError {
        message,
        passing: false,
    }
}

fn refused(error: &Error) -> AgentError {
    AgentError {
        message: with_source(error),
        passing: error.kind() == ErrorKind::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hardware_address_is_found_in_either_form() {
        let vm = "virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1";
        let container = "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:02,ip=dhcp,type=veth";
        assert_eq!(hardware(vm), Some("BC:24:11:00:00:01"));
        assert_eq!(hardware(container), Some("BC:24:11:00:00:02"));
        assert_eq!(hardware("name=eth0,bridge=vmbr0,ip6=fd00::1/64"), None);
    }
}
