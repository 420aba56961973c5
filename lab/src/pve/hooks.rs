//! What else follows the guests: the lab's hosts make, start and remove a root when the API does so with a guest.
//!
//! Every hook is called after the state changed and without the state's lock. The default does nothing.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

use crate::fixture::GuestKind;

/// A network interface of a running guest, as its agent or the container's node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// `eth0`.
    pub name: String,
    /// The MAC address, lower case.
    pub hwaddr: String,
    /// Addresses with their prefix lengths.
    pub addresses: Vec<(IpAddr, u8)>,
}

/// What a program in a guest ended with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentResult {
    /// The exit code; none when a signal ended it.
    pub exitcode: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Standard output.
    pub out: Vec<u8>,
    /// Standard error.
    pub err: Vec<u8>,
}

/// A future of a hook.
pub type HookFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Follows the guests.
pub trait Hooks: Send + Sync {
    /// A guest was made.
    fn created(&self, _vmid: u32, _kind: GuestKind) -> HookFuture<'_, ()> {
        Box::pin(async {})
    }
    /// It was started.
    fn started(&self, _vmid: u32) -> HookFuture<'_, ()> {
        Box::pin(async {})
    }
    /// It was stopped, hard or soft.
    fn stopped(&self, _vmid: u32) -> HookFuture<'_, ()> {
        Box::pin(async {})
    }
    /// It was stopped and started.
    fn rebooted(&self, _vmid: u32) -> HookFuture<'_, ()> {
        Box::pin(async {})
    }
    /// It and its volumes are gone.
    fn destroyed(&self, _vmid: u32) -> HookFuture<'_, ()> {
        Box::pin(async {})
    }
    /// A copy was made.
    fn cloned(&self, _from: u32, _to: u32) -> HookFuture<'_, ()> {
        Box::pin(async {})
    }
    /// A snapshot was taken.
    fn snapshot(&self, _vmid: u32, _name: &str) -> HookFuture<'_, ()> {
        Box::pin(async {})
    }
    /// It is again what it was.
    fn rolled_back(&self, _vmid: u32, _name: &str) -> HookFuture<'_, ()> {
        Box::pin(async {})
    }
    /// A snapshot was removed.
    fn snapshot_removed(&self, _vmid: u32, _name: &str) -> HookFuture<'_, ()> {
        Box::pin(async {})
    }
    /// It is a template now.
    fn templated(&self, _vmid: u32) -> HookFuture<'_, ()> {
        Box::pin(async {})
    }
    /// A backup was written to a volume.
    fn backed_up(&self, _vmid: u32, _volid: &str) -> HookFuture<'_, ()> {
        Box::pin(async {})
    }
    /// A guest was made of a backup.
    fn restored(&self, _vmid: u32, _volid: &str) -> HookFuture<'_, ()> {
        Box::pin(async {})
    }
    /// A node was restarted by a call; its guests' hooks were called before.
    fn node_rebooted(&self, _node: &str) -> HookFuture<'_, ()> {
        Box::pin(async {})
    }
    /// A volume of a storage was removed.
    fn volume_removed(&self, _volid: &str) -> HookFuture<'_, ()> {
        Box::pin(async {})
    }
    /// A connection from a node to a host of the lab's own network; `None` where the lab has no such host. A name that the
    /// lab answers for and does not have is an error of the kind `NotFound`.
    fn connect(
        &self,
        _host: &str,
        _port: u16,
    ) -> HookFuture<'_, Option<std::io::Result<tokio::net::TcpStream>>> {
        Box::pin(async { None })
    }
    /// Runs a program in a guest; `None` where there is nothing that could run it.
    fn agent_exec(
        &self,
        _vmid: u32,
        _argv: Vec<String>,
        _input: Vec<u8>,
    ) -> HookFuture<'_, Option<AgentResult>> {
        Box::pin(async { None })
    }
    /// Reads a file of a guest; `None` where nothing could.
    fn file_read(
        &self,
        _vmid: u32,
        _path: &str,
    ) -> HookFuture<'_, Option<std::io::Result<Vec<u8>>>> {
        Box::pin(async { None })
    }
    /// Writes a file of a guest; `None` where nothing could.
    fn file_write(
        &self,
        _vmid: u32,
        _path: &str,
        _content: Vec<u8>,
    ) -> HookFuture<'_, Option<std::io::Result<()>>> {
        Box::pin(async { None })
    }
    /// The address that DHCP gives to a guest, with its prefix length. Called with the state's lock: it must not call back.
    fn lease(&self, _vmid: u32) -> Option<(IpAddr, u8)> {
        None
    }
    /// Reads a file of a node; `None` where a node has no files.
    fn node_read(
        &self,
        _node: &str,
        _path: &str,
    ) -> HookFuture<'_, Option<std::io::Result<Vec<u8>>>> {
        Box::pin(async { None })
    }
    /// The files in a folder of a node with their sizes; none where a node has no files.
    fn node_files(&self, _node: &str, _folder: &str) -> HookFuture<'_, Vec<(String, u64)>> {
        Box::pin(async { Vec::new() })
    }
}

/// Nobody follows.
#[derive(Debug, Default, Clone, Copy)]
pub struct NoHooks;

impl Hooks for NoHooks {}
