//! The site: cards around steps, heads of guides, the status page and the pages of runs. Makes HTML; reads and writes nothing.

pub mod card;
pub mod html;
pub mod output;
