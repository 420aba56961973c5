//! The `runbook` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    // A killed runner's children are ended by a process of this program.
    if let Some(code) = runbook_runner::process::watch_if_asked() {
        return code;
    }
    runbook_runner::cli::main()
}
