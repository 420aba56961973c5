//! `mdbook-runbook`: the preprocessor as a program of its own, for stock mdBook.
//!
//! `mdbook-runbook supports RENDERER` exits 0 or 1; without arguments a book is read from standard input and written to standard
//! output. All of the input is read before anything is written, so that neither side waits for the other.

use std::io::{self, Read, Write};
use std::process::ExitCode;

use mdbook_preprocessor::Preprocessor;
use mdbook_runbook::Runbook;

/// Exit code when the book or its records cannot be used.
const EXIT_INVALID: u8 = 3;
/// Exit code of a wrong call.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .without_time()
        .init();
    let profile = std::env::var("RUNBOOK_PROFILE")
        .ok()
        .filter(|name| !name.is_empty());
    let runbook = Runbook::external(profile);
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        [] => match preprocess(&runbook) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                tell(&error);
                ExitCode::from(EXIT_INVALID)
            }
        },
        ["supports", renderer] => match runbook.supports_renderer(renderer) {
            Ok(true) => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        },
        ["--version" | "-V"] => {
            say(
                &mut io::stdout(),
                &format!("mdbook-runbook {}\n", env!("CARGO_PKG_VERSION")),
            );
            ExitCode::SUCCESS
        }
        _ => {
            let usage = "mdbook-runbook is started by mdbook, which gives it a book on standard input\n\nusage: mdbook-runbook [supports RENDERER]\n";
            say(&mut io::stderr(), usage);
            ExitCode::from(EXIT_USAGE)
        }
    }
}

fn preprocess(runbook: &Runbook) -> anyhow::Result<()> {
    let mut input = Vec::new();
    io::stdin().lock().read_to_end(&mut input)?;
    let (context, book) = mdbook_preprocessor::parse_input(input.as_slice())?;
    if !context.mdbook_version.starts_with("0.5.") {
        tracing::warn!(
            "made for mdBook {}, called by {}",
            mdbook_preprocessor::MDBOOK_VERSION,
            context.mdbook_version
        );
    }
    let book = runbook.run(&context, book)?;
    let mut output = serde_json::to_vec(&book)?;
    output.push(b'\n');
    let mut stdout = io::stdout().lock();
    stdout.write_all(&output)?;
    stdout.flush()?;
    Ok(())
}

/// Findings come with their own words; other errors are told with their causes.
fn tell(error: &anyhow::Error) {
    let text = match error.downcast_ref::<mdbook_runbook::Invalid>() {
        Some(invalid) => invalid.to_string(),
        None => format!("error: {error:#}\n"),
    };
    say(&mut io::stderr(), &text);
}

fn say(to: &mut impl Write, text: &str) {
    // Nobody may be reading.
    let _ = to.write_all(text.as_bytes());
}
