//! The benchmark's peer: mdBook alone on the same text, in process, as `mdbook build` does it.
//!
//! `plain-mdbook BOOK DEST`. The book's `[preprocessor.runbook]` is taken out, so that nothing of ours runs.

use anyhow::Context;
use mdbook_driver::MDBook;
use mdbook_driver::config::Config;

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let book = args.next().context("usage: plain-mdbook BOOK DEST")?;
    let dest = args.next().context("usage: plain-mdbook BOOK DEST")?;
    let text = std::fs::read_to_string(std::path::Path::new(&book).join("book.toml"))?;
    let plain = text.split("[preprocessor.runbook]").next().unwrap_or_default();
    let mut config: Config = plain.parse()?;
    config.set("build.build-dir", dest)?;
    MDBook::load_with_config(book, config)?.build()?;
    Ok(())
}
