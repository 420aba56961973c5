//! The format of executable guides: a chapter becomes a guide, its sections and steps; a result becomes an outcome.
//!
//! This crate is the ground floor: it is pure (no I/O, no async, no clock), and imports no other room. Everything that more
//! than one room must agree on stands here: the language as tables ([`spec`]), the model ([`model`]), expectations
//! ([`matcher`]), templates ([`template`]), events ([`event`]) and reports ([`report`]).

pub mod book;
pub mod capture;
pub mod diagnostic;
pub mod event;
mod findings;
pub mod fingerprint;
mod front;
pub mod id;
pub mod include;
pub mod inventory;
pub mod mapped;
pub mod markdown;
pub mod matcher;
pub mod model;
pub mod node;
pub mod outcome;
pub mod place;
pub mod print;
pub mod read;
pub mod records;
pub mod report;
pub mod result;
pub mod schema;
pub mod source;
pub mod spec;
pub mod status;
mod step;
pub mod suggest;
pub mod table;
pub mod tables;
pub mod template;
pub mod value;
pub mod values;
pub mod yaml;
