//! The `runbook` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    runbook_runner::cli::main()
}
