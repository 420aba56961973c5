//! Builds a book's site in process, to look at: `build-site BOOK DEST [NOW]`.

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
    let [_, book, dest] = arguments.as_slice() else {
        anyhow::bail!("usage: build-site BOOK DEST");
    };
    let (book, dest) = (Path::new(book), std::path::absolute(dest)?);
    let site = Arc::new(load(book, None)?.with_files());
    let mut config = Config::from_disk(book.join("book.toml"))?;
    prepare(&mut config)?;
    config.set("build.build-dir", &dest)?;
    let mut md = MDBook::load_with_config(book, config)?;
    md.with_preprocessor(Runbook::new(Arc::clone(&site)));
    md.build()?;
    site.write_files(&dest, book, None)?;
    Ok(())
}
