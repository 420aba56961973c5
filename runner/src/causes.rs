//! An error with its causes as one line, each said once. The one printer of chains.

use std::error::Error;

/// `what failed: why: why that`; a cause that the text before it says already is not said again.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let next = inner.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = inner.source();
    }
    text
}
