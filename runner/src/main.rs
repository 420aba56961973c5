//! The `runbook` program.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// What a book becomes while it is read and rendered is very many small pieces.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    // The lab's isolated place, and what hides directories from local scripts of the lab, are processes of this program.
    runbook_lab::isolate::main_if_asked();
    // So are the programs of its machines: `pct`, `systemctl` and the like.
    runbook_lab::hosts::program::main_if_asked();
    // And what connects OpenSSH with them.
    runbook_lab::ssh::main_if_asked();
    // And the `ssh` of the lab's local scripts.
    runbook_runner::local::ssh::main_if_asked();
    // And their `kubectl`, `flux` and `helm`.
    runbook_runner::local::kubectl::main_if_asked();
    // A killed runner's children are ended by a process of this program.
    if let Some(code) = runbook_runner::process::watch_if_asked() {
        return code;
    }
    runbook_runner::cli::main()
}
