//! Consumers of a run's events: what people and machines read while it runs and after it ended.
//!
//! Each takes events and writes text; none of them can influence the run. The order of events is the run's own.

pub mod github;
pub mod json;
pub mod junit;
pub mod terminal;
pub mod text;
