//! Builds a book's site in process, to look at and to measure: `build-site BOOK DEST`; with `plain` behind it, by mdBook alone.

use std::path::Path;
use std::sync::Arc;

use mdbook_driver::MDBook;
use mdbook_driver::config::Config;
use mdbook_runbook::{Runbook, load, prepare};

fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .init();
    let arguments: Vec<String> = std::env::args().collect();
    let (book, dest, plain) = match arguments.as_slice() {
        [_, book, dest] => (Path::new(book), dest, false),
        [_, book, dest, word] if word == "plain" => (Path::new(book), dest, true),
        _ => anyhow::bail!("usage: build-site BOOK DEST [plain]"),
    };
    let dest = std::path::absolute(dest)?;
    let mut config = Config::from_disk(book.join("book.toml"))?;
    config.set("build.build-dir", &dest)?;
    if plain {
        config.set("preprocessor", serde_json::Map::new())?;
        return MDBook::load_with_config(book, config)?.build();
    }
    let site = Arc::new(load(book, None)?);
    prepare(&mut config)?;
    let mut md = MDBook::load_with_config(book, config)?;
    md.with_preprocessor(Runbook::new(Arc::clone(&site)));
    md.build()?;
    site.write_files(&dest, book, None)?;
    Ok(())
}
