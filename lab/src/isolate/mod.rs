//! The isolated place where commands of lab hosts run, and where the inventory's addresses are real.
//!
//! Linux namespaces, without privileges: `Sandbox` is a process tree with a network of its own, a `Host` in it is one with
//! files, processes and a name of its own. Knows nothing of what hosts are for. `local` hides directories of this machine
//! from scripts that run on it. Where the kernel refuses, `available` says why and what allows it.

mod channel;
mod error;
mod forbidden;
#[cfg(target_os = "linux")]
mod hide;
mod host;
mod identities;
#[cfg(target_os = "linux")]
mod inside;
#[cfg(target_os = "linux")]
mod keeper;
pub mod local;
pub(crate) mod machine;
mod message;
#[cfg(target_os = "linux")]
mod mounts;
#[cfg(target_os = "linux")]
mod netlink;
#[cfg(target_os = "linux")]
mod place;
#[cfg(target_os = "linux")]
mod reaper;
mod root;
mod sandbox;
#[cfg(target_os = "linux")]
mod session;
mod stage;
mod tree;
#[cfg(target_os = "linux")]
mod view;
pub(crate) mod wire;

pub use error::{Error, Forbidden};
pub use forbidden::{available, available_with};
pub use host::{Bind, Exec, Host, HostConfig, Running, Status, User};
pub use root::{Fresh, Root};
pub use sandbox::{Sandbox, SandboxConfig};
pub use stage::main_if_asked;
pub use tree::{TREE_BYTES_MAX, TREE_ENTRIES_MAX};

/// Where on a host what all hosts share is shown: the machine's programs, and this executable.
const SHARED: &str = "usr/libexec/lab";
