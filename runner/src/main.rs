//! The `runbook` program.

fn main() {}
