//! The files of the theme, embedded, so that the program needs nothing beside itself.

/// The style sheet.
pub const CSS: &str = include_str!("../../theme/runbook.css");
/// The script: comforts only.
pub const JS: &str = include_str!("../../theme/runbook.js");
/// The signs of the states, as symbols to refer to.
pub const SPRITE: &str = include_str!("../../theme/sprite.svg");
