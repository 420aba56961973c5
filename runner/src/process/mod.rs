//! Runs one child process and reports what happened to it.
//!
//! Knows nothing of runbooks: it gets a command and limits, and returns an `Exit`. The child never outlives `run`,
//! whatever happens.
