//! The preprocessor in a whole mdBook: chapters in, pages out.

mod cards;
mod diagrams;
mod files;
mod hostile;
mod ids;
mod prose;
mod refused;
mod support;
