//! What every transport over SSH must do, proved on a real OpenSSH server.
//!
//! Each test starts Debian's `sshd` on a port of its own, as the current user, with keys of its own. Where there is none the
//! tests are skipped with a line that says so; `tests/sshd/install` installs it. What needs nothing of the server's own
//! files and processes is proved on a machine of the lab as well, where isolation is possible, and most of it in a pod of the lab, by the Kubernetes API's `exec`. With `RUNBOOK_TEST_SSH_CONFIG` (a file for
//! `ssh -F`) and `RUNBOOK_TEST_SSH_HOST` the same tests run against that host; those that need the server's own files or
//! processes are skipped there.

/// A test of any way: on `sshd`, or the one that is given, on a machine of the lab, and in a pod of the lab.
macro_rules! everywhere {
    ($name:ident) => {
        mod $name {
            #[tokio::test]
            async fn on_sshd() {
                if let Some(endpoint) = crate::endpoint::endpoint() {
                    super::$name(endpoint).await;
                }
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn in_the_lab() {
                if let Some(endpoint) = crate::endpoint::in_the_lab().await {
                    super::$name(endpoint).await;
                }
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn in_a_pod() {
                if let Some(endpoint) = crate::pod::in_a_pod().await {
                    super::$name(endpoint).await;
                }
            }
        }
    };
}
pub(crate) use everywhere;

/// The same of OpenSSH alone.
macro_rules! by_ssh {
    ($name:ident) => {
        mod $name {
            #[tokio::test]
            async fn on_sshd() {
                if let Some(endpoint) = crate::endpoint::endpoint() {
                    super::$name(endpoint).await;
                }
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn in_the_lab() {
                if let Some(endpoint) = crate::endpoint::in_the_lab().await {
                    super::$name(endpoint).await;
                }
            }
        }
    };
}
pub(crate) use by_ssh;

mod agent;
#[path = "../engine/book_test.rs"]
#[allow(dead_code, reason = "the engine's own tests use more of it")]
mod book_test;
mod bulk;
mod detach;
mod ending;
mod endpoint;
mod engine;
mod failures;
mod faults;
mod files;
mod pod;
mod scripts;
mod sharing;
mod system;
