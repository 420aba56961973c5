//! The program as its users meet it: commands, exit codes, machine surfaces, what is said about bad input, what a signal leaves.
//!
//! Each test writes a book as strings, runs the real program in a clean environment, and looks at what it printed and left.

#![expect(clippy::print_stderr, reason = "a test that is skipped says so")]

mod asked;
mod bad_input;
mod book;
mod cloud_init;
mod clusters;
mod helper;
mod hidden;
mod interrupt;
mod lab;
mod machines;
mod own_book;
mod rights;
mod serve;
mod stand_ins;
mod surfaces;
