//! Any bytes as a chapter: it is scanned, read, checked and formatted, and nothing of that panics.
//!
//! `cargo fuzz run chapter` from the repository's root.

#![no_main]

use libfuzzer_sys::fuzz_target;
use runbook::book::{ChapterInput, Input, NoFiles, load};
use runbook::source::Source;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let chapter = ChapterInput {
        path: "src/a.md".into(),
        id: "a".into(),
        name: "A".into(),
        text: text.to_owned(),
    };
    let loaded = load(Input { chapters: vec![chapter], ..Input::default() }, &NoFiles);
    for diagnostic in &loaded.diagnostics {
        assert!(!diagnostic.render(false).is_empty());
    }
    let _ = runbook::fmt::format(&Source::new("src/a.md", text), Default::default());
});
