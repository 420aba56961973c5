//! What the Proxmox VE API knows of guests, for who reaches them: number, node, address, agent.

use std::sync::Arc;

use runbook_proxmox::guest::{Guest, Kind};
use runbook_proxmox::{Client, Error, ErrorKind, agent, cluster};
use tokio::sync::Mutex;

use crate::action::script::with_source;
use crate::remote::{Agent, AgentError, AgentFuture, AgentStatus, GuestFuture, Guests};

/// The guests of a cluster.
pub(super) struct Known {
    client: Client,
}

impl Known {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }
}

async fn find(client: &Client, vmid: u32) -> Result<Guest, Error> {
    match cluster::find_guest(client, vmid).await? {
        Some(listed) => Ok(listed.guest),
        None => Err(Error::Setting(format!(
            "there is no guest {vmid}, or it may not be seen"
        ))),
    }
}

impl Guests for Known {
    fn number(&self, name: String) -> GuestFuture<'_, u32> {
        Box::pin(async move {
            let guests = cluster::guests(&self.client).await;
            let guests = guests.map_err(|error| with_source(&error))?;
            let mut named = guests
                .into_iter()
                .filter(|listed| listed.name.as_deref() == Some(name.as_str()));
            match (named.next(), named.next()) {
                (Some(listed), None) => Ok(listed.guest.vmid),
                (Some(one), Some(other)) => Err(format!(
                    "{} and {} are named `{name}`",
                    one.guest.vmid, other.guest.vmid
                )),
                (None, _) => Err(format!("no guest is named `{name}`")),
            }
        })
    }

    fn node(&self, vmid: u32) -> GuestFuture<'_, String> {
        Box::pin(async move {
            let guest = find(&self.client, vmid).await;
            guest
                .map(|guest| guest.node)
                .map_err(|error| with_source(&error))
        })
    }

    fn address(&self, vmid: u32) -> GuestFuture<'_, String> {
        Box::pin(async move {
            let ask = async {
                let guest = find(&self.client, vmid).await?;
                let config = guest.read_config(&self.client).await?.unwrap_or_default();
                let hardware = config.hardware_address("net0");
                agent::addresses(&self.client, &guest, hardware.as_deref()).await
            };
            let addresses = ask.await.map_err(|error: Error| with_source(&error))?;
            match addresses.first() {
                Some(address) => Ok(address.address.to_string()),
                None => Err("it has no address yet".to_owned()),
            }
        })
    }

    fn agent(&self, vmid: u32) -> Arc<dyn Agent> {
        Arc::new(AgentOf {
            client: self.client.clone(),
            vmid,
            guest: Mutex::new(None),
        })
    }
}

/// The agent of one guest; where it is, is asked when it is first used.
struct AgentOf {
    client: Client,
    vmid: u32,
    guest: Mutex<Option<Guest>>,
}

impl AgentOf {
    async fn guest(&self) -> Result<Guest, AgentError> {
        let mut known = self.guest.lock().await;
        if let Some(guest) = &*known {
            return Ok(guest.clone());
        }
        let guest = find(&self.client, self.vmid).await.map_err(explain)?;
        if guest.kind == Kind::Lxc {
            return Err(AgentError {
                message: format!("guest {} is a container: it has no agent", self.vmid),
                passing: false,
            });
        }
        *known = Some(guest.clone());
        Ok(guest)
    }
}

fn explain(error: Error) -> AgentError {
    AgentError {
        passing: error.is_no_agent()
            || matches!(error.kind(), ErrorKind::Unknown | ErrorKind::Unavailable)
                && !matches!(
                    error,
                    Error::Unauthorized(_) | Error::Untrusted { .. } | Error::Setting(_)
                ),
        message: with_source(&error),
    }
}

impl Agent for AgentOf {
    fn exec<'a>(&'a self, argv: &'a [String], input: &'a [u8]) -> AgentFuture<'a, u64> {
        Box::pin(async move {
            let guest = self.guest().await?;
            let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
            // What the server makes of other letters differs by version.
            let text = std::str::from_utf8(input)
                .ok()
                .filter(|text| text.is_ascii());
            let text = text.ok_or_else(|| AgentError {
                message: "the agent takes plain ASCII only".to_owned(),
                passing: false,
            })?;
            let input = (!text.is_empty()).then_some(text);
            let pid = agent::start(&self.client, &guest, &argv, input).await;
            let pid = pid.map_err(explain)?;
            u64::try_from(pid).map_err(|_| AgentError {
                message: format!("`{pid}` is no process ID"),
                passing: false,
            })
        })
    }

    fn status(&self, pid: u64) -> AgentFuture<'_, AgentStatus> {
        Box::pin(async move {
            let guest = self.guest().await?;
            let pid = i64::try_from(pid).unwrap_or(i64::MAX);
            let looked = agent::look(&self.client, &guest, pid).await;
            let Some(ended) = looked.map_err(explain)? else {
                return Ok(AgentStatus::default());
            };
            let number = |value: Option<i64>| value.and_then(|value| i32::try_from(value).ok());
            Ok(AgentStatus {
                exited: true,
                code: number(ended.code),
                signal: number(ended.signal),
                stdout: ended.stdout.into_bytes(),
                stderr: ended.stderr.into_bytes(),
                truncated: ended.truncated,
            })
        })
    }
}
