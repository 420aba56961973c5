//! The guest agent of a virtual machine: commands, files, addresses.
//!
//! The agent knows no shell, no home and no end of input; what a command printed can be asked for once. A machine whose agent
//! does not answer yet is [`Error::is_no_agent`].

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::Client;
use crate::error::Error;
use crate::guest::{Guest, Kind};
use crate::loose::{flag_of, integer_of, text_of};
use crate::request::{Request, Retry};

/// How many bytes a command may be given.
pub const INPUT_BYTES_MAX: usize = 60 * 1024;
/// How many bytes a file may be written with.
pub const FILE_BYTES_MAX: usize = 45 * 1024;
/// When is looked first whether a command has ended.
const LOOK_FIRST: Duration = Duration::from_millis(20);
/// How often is looked at last.
const LOOK_LAST: Duration = Duration::from_secs(1);

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i64>,
    /// The signal.
    pub signal: Option<i64>,
    /// What it printed.
    pub stdout: String,
    /// What it printed beside that.
    pub stderr: String,
    /// Whether the agent kept only a part.
    pub truncated: bool,
}

/// An address of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The network card.
    pub interface: String,
    /// Its hardware address, in upper case.
    pub hardware: String,
    /// The address.
    pub address: std::net::IpAddr,
}

impl Guest {
    /// Whether the agent answers.
    pub fn ping(&self) -> Request {
        Request::post(self.agent("ping")).retry(Retry::Idempotent)
    }

    /// Starts a command: a program and its arguments, no shell.
    pub fn exec(&self, command: &[&str], input: Option<&str>) -> Request {
        let words = command.iter().map(|word| ("command", *word));
        Request::post(self.agent("exec"))
            .with_all(words)
            .maybe("input-data", input)
    }

    /// How a command stands. After its end this can be asked once.
    pub fn exec_status(&self, pid: i64) -> Request {
        // The answer is gone when it was given: not to be asked twice.
        Request::get(self.agent("exec-status"))
            .retry(Retry::Once)
            .with("pid", pid)
    }

    /// Writes a whole file.
    pub fn file_write(&self, file: &str, content: &str) -> Request {
        Request::post(self.agent("file-write"))
            .retry(Retry::Idempotent)
            .with("file", file)
            .with("content", content)
    }

    /// Reads a file, up to 16 MiB.
    pub fn file_read(&self, file: &str) -> Request {
        Request::get(self.agent("file-read")).with("file", file)
    }
}

/// Starts a command and gives its process ID.
///
/// # Errors
///
/// As [`Client::call`].
pub async fn start(
    client: &Client,
    guest: &Guest,
    command: &[&str],
    input: Option<&str>,
) -> Result<i64, Error> {
    let bytes = input.map_or(0, str::len);
    if bytes > INPUT_BYTES_MAX {
        return Err(Error::Setting(format!(
            "{bytes} bytes are too many for a command's input; the agent takes {INPUT_BYTES_MAX}"
        )));
    }
    let answer = client.call(&guest.exec(command, input)).await?;
    integer_of(&answer, "pid").ok_or_else(|| Error::Answer("a command without its `pid`".into()))
}

/// How a command stands; `None` while it runs.
///
/// # Errors
///
/// As [`Client::call`].
pub async fn look(client: &Client, guest: &Guest, pid: i64) -> Result<Option<Ended>, Error> {
    let status = client.call(&guest.exec_status(pid)).await?;
    if !flag_of(&status, "exited").unwrap_or(false) {
        return Ok(None);
    }
    Ok(Some(Ended {
        code: integer_of(&status, "exitcode"),
        signal: integer_of(&status, "signal"),
        stdout: text_of(&status, "out-data").unwrap_or_default(),
        stderr: text_of(&status, "err-data").unwrap_or_default(),
        truncated: ["out-truncated", "err-truncated"]
            .iter()
            .any(|key| flag_of(&status, key).unwrap_or(false)),
    }))
}

/// Runs a command to its end.
///
/// # Errors
///
/// [`Error::Deadline`] when it takes longer: it goes on then.
pub async fn run(
    client: &Client,
    guest: &Guest,
    command: &[&str],
    input: Option<&str>,
    limit: Duration,
) -> Result<Ended, Error> {
    let started = Instant::now();
    let pid = start(client, guest, command, input).await?;
    let mut pause = LOOK_FIRST;
    let mut last = String::new();
    loop {
        match look(client, guest, pid).await {
            Ok(Some(ended)) => return Ok(ended),
            Ok(None) => last.clear(),
            // Nothing was asked of the agent: the answer is still there. An answer that was lost is gone for good.
            Err(error) if error.is_undone() || error.is_no_agent() => {
                last = format!(" (last: {error})")
            }
            Err(error) => return Err(error),
        }
        if started.elapsed() >= limit {
            return Err(Error::Deadline {
                what: format!("the command with process ID {pid} in {guest}{last}"),
                seconds: limit.as_secs(),
            });
        }
        tokio::time::sleep(pause.min(limit.saturating_sub(started.elapsed()))).await;
        pause = (pause * 2).min(LOOK_LAST);
    }
}

/// Waits until the agent answers: after a start it takes a while.
///
/// # Errors
///
/// [`Error::Deadline`] when it does not in time; at once where no agent is configured or the guest does not run.
pub async fn wait(client: &Client, guest: &Guest, limit: Duration) -> Result<(), Error> {
    let what = || format!("the agent of {guest}");
    poll(limit, what, async || {
        match client.call(&guest.ping()).await {
            Ok(_) => Ok(Some(())),
            Err(error) if error.is_agent_silent() || error.is_passing() => Ok(None),
            Err(error) => Err(error),
        }
    })
    .await
}

/// Waits until a running guest has an address on the card with this hardware address (any card without one).
///
/// # Errors
///
/// [`Error::Deadline`] when it has none in time; as [`addresses`], where waiting is of no use.
pub async fn wait_address(
    client: &Client,
    guest: &Guest,
    hardware: Option<&str>,
    limit: Duration,
) -> Result<std::net::IpAddr, Error> {
    let what = || format!("an address of {guest}");
    poll(limit, what, async || {
        let found = match addresses(client, guest, hardware).await {
            Ok(found) => found,
            Err(error) if error.is_agent_silent() || error.is_passing() => return Ok(None),
            Err(error) => return Err(error),
        };
        let own = |address: &&Address| {
            hardware.is_none_or(|hardware| address.hardware.eq_ignore_ascii_case(hardware))
        };
        Ok(found.iter().find(own).map(|address| address.address))
    })
    .await
}

/// Looks until there is something, ever less often.
async fn poll<T>(
    limit: Duration,
    what: impl Fn() -> String,
    look: impl AsyncFn() -> Result<Option<T>, Error>,
) -> Result<T, Error> {
    let started = Instant::now();
    let mut pause = LOOK_FIRST;
    loop {
        let left = limit.saturating_sub(started.elapsed());
        // Without time left there is one look all the same.
        let looked = tokio::time::timeout(left.max(LOOK_FIRST), look()).await;
        if let Ok(found) = looked
            && let Some(found) = found?
        {
            return Ok(found);
        }
        let left = limit.saturating_sub(started.elapsed());
        if left.is_zero() {
            return Err(Error::Deadline {
                what: what(),
                seconds: limit.as_secs(),
            });
        }
        tokio::time::sleep(pause.min(left)).await;
        pause = (pause * 2).min(LOOK_LAST);
    }
}

/// The addresses of a running guest, those of `net0`'s hardware address first; loopback and link-local ones are left out.
///
/// # Errors
///
/// As [`Client::call`]; of a virtual machine also that its agent does not answer.
pub async fn addresses(
    client: &Client,
    guest: &Guest,
    hardware: Option<&str>,
) -> Result<Vec<Address>, Error> {
    let answer = match guest.kind {
        Kind::Lxc => client.call(&guest.interfaces()).await?,
        Kind::Qemu => {
            let request = Request::get(guest.agent("network-get-interfaces"));
            client.call(&request).await?["result"].take()
        }
    };
    let mut found = read_addresses(&answer);
    if let Some(hardware) = hardware {
        // The sort keeps the order of equals.
        found.sort_by_key(|address| !address.hardware.eq_ignore_ascii_case(hardware));
    }
    Ok(found)
}

fn read_addresses(answer: &Value) -> Vec<Address> {
    // A stopped container has `null` here.
    let interfaces = answer.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut found = Vec::new();
    for interface in interfaces {
        let name = text_of(interface, "name").unwrap_or_default();
        let hardware = text_of(interface, "hardware-address")
            .or_else(|| text_of(interface, "hwaddr"))
            .unwrap_or_default()
            .to_ascii_uppercase();
        let listed = interface.get("ip-addresses").and_then(Value::as_array);
        let listed = listed
            .into_iter()
            .flatten()
            .filter_map(|address| text_of(address, "ip-address"));
        // Older servers have one of each family, with its prefix.
        let single = ["inet", "inet6"]
            .iter()
            .filter_map(|key| text_of(interface, key));
        for text in listed.chain(single) {
            let plain = text.split(['/', '%']).next().unwrap_or_default();
            let Ok(address) = plain.parse::<std::net::IpAddr>() else {
                continue;
            };
            let is_new = !found.iter().any(|known: &Address| known.address == address);
            if is_new && name != "lo" && !is_local(address) {
                found.push(Address {
                    interface: name.clone(),
                    hardware: hardware.clone(),
                    address,
                });
            }
        }
    }
    found
}

fn is_local(address: std::net::IpAddr) -> bool {
    match address {
        std::net::IpAddr::V4(address) => {
            address.is_loopback() || address.is_link_local() || address.is_unspecified()
        }
        std::net::IpAddr::V6(address) => {
            address.is_loopback() || address.is_unspecified() || address.is_unicast_link_local()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn loopback_and_link_local_addresses_are_left_out() {
        let answer = json!([
            {"name": "lo", "hwaddr": "00:00:00:00:00:00", "inet": "127.0.0.1/8"},
            {"name": "eth0", "hwaddr": "bc:24:11:00:00:01", "inet": "192.168.1.5/24", "inet6": "fe80::1/64",
             "ip-addresses": [{"ip-address": "192.168.1.5", "ip-address-type": "inet", "prefix": "24"}]},
        ]);
        let found = read_addresses(&answer);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].address.to_string(), "192.168.1.5");
        assert_eq!(found[0].hardware, "BC:24:11:00:00:01");
        assert!(read_addresses(&Value::Null).is_empty());
    }
}
