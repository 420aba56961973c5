//! What every transport over SSH must do, proved on a real OpenSSH server.
//!
//! Each test starts Debian's `sshd` on a port of its own, as the current user, with keys of its own. Where there is none the
//! tests are skipped with a line that says so; `tests/sshd/install` installs it. With `RUNBOOK_TEST_SSH_CONFIG` (a file for
//! `ssh -F`) and `RUNBOOK_TEST_SSH_HOST` the same tests run against that host; those that need the server's own files or
//! processes are skipped there.

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
mod files;
mod scripts;
mod sharing;
mod system;
