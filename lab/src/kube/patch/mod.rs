//! Patches: JSON merge patch, JSON patch and strategic merge patch, each from a document and a patch to a document.
//!
//! They know nothing of ownership, checks or the store.

mod json;
mod merge;
mod strategic;

pub(crate) use json::apply as json_patch;
pub(crate) use merge::apply as merge_patch;
pub(crate) use strategic::apply as strategic_patch;
