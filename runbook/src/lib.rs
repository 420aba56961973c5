//! The format of executable guides: a chapter becomes a guide, its sections and steps; a result becomes an outcome.
//!
//! This crate is the ground floor: it is pure (no I/O, no async, no clock), and imports no other room. Everything that more
//! than one room must agree on stands here: the language as tables ([`spec`]), the model ([`model`]), expectations
//! ([`matcher`]), templates ([`template`]), events ([`event`]) and reports ([`report`]).

pub mod diagnostic;
pub mod event;
pub mod id;
pub mod inventory;
pub mod mapped;
pub mod model;
pub mod node;
pub mod outcome;
pub mod report;
pub mod source;
pub mod spec;
pub mod value;
