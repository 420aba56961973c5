//! mdBook preprocessor: chapter to chapter, from recorded results. Reads; never executes, never writes.

pub mod assets;
pub mod records;
pub mod site;
