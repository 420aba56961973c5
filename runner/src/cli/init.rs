//! `init`: a new book that verifies green at once, or an existing mdBook that learns to run its steps.
//!
//! Never touches a file that is there, but for one: an existing `book.toml` gets our table appended. Chapters stay as they are.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::shell::Shell;
use crate::whole_file;

/// The table that makes an mdBook a runbook; the same `book.toml` works with `mdbook build` and with `runbook build`.
const TABLE: &str = "\
[preprocessor.runbook]
command = \"mdbook-runbook\"
before = [\"links\"]
";

const BOOK_TOML: &str = "\
[book]
title = \"Runbooks\"
language = \"en\"
src = \"src\"
";

const SUMMARY: &str = "\
# Summary

- [A first guide](first-guide.md)
";

const INVENTORY: &str = "\
# Everything the guides name stands here once: nodes, guests, hosts, clusters, values and secrets.
# A secret is a reference, never a value: {env: NAME}, {file: PATH} or {command: TEXT}.
vars:
  greeting: hello
";

const GUIDE: &str = include_str!("init/first-guide.md");

/// Why a book cannot be made.
#[derive(Debug, Error)]
pub(super) enum InitError {
    /// A file cannot be read or written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The folder's book has our table already.
    #[error("`{}` has a `[preprocessor.runbook]` already", path.display())]
    Already {
        /// The `book.toml`.
        path: PathBuf,
    },
}

/// Makes a book in `dir`, or joins the mdBook that is there.
///
/// # Errors
/// When a file cannot be written, or the book is a runbook already.
pub(super) fn init(shell: &Shell, dir: &Path) -> Result<(), InitError> {
    let toml = dir.join("book.toml");
    let existing = fs::read_to_string(&toml).ok();
    let text = match &existing {
        Some(text)
            if text
                .lines()
                .any(|line| line.trim() == "[preprocessor.runbook]") =>
        {
            return Err(InitError::Already { path: toml });
        }
        Some(text) => join(text),
        None => format!("{BOOK_TOML}\n{TABLE}"),
    };
    let mut made = Vec::new();
    if existing.is_none() {
        for (name, content) in [
            ("src/SUMMARY.md", SUMMARY),
            ("src/first-guide.md", GUIDE),
            ("inventory.yaml", INVENTORY),
            (".gitignore", "book/\n.runbook/\n"),
        ] {
            if create(&dir.join(name), content)? {
                made.push(name);
            }
        }
    }
    whole_file::replace(&toml, text.as_bytes()).map_err(|error| InitError::Write {
        path: toml.clone(),
        source: error.into_io(),
    })?;
    made.push("book.toml");
    tell(shell, dir, existing.is_some(), &made);
    Ok(())
}

/// The text of an existing `book.toml` with our table behind it, in its own line ends.
fn join(text: &str) -> String {
    let crlf = text.contains("\r\n");
    let mut joined = text.trim_end().to_owned();
    joined.push_str("\n\n");
    joined.push_str(TABLE);
    if crlf {
        joined.replace("\r\n", "\n").replace('\n', "\r\n")
    } else {
        joined
    }
}

/// Creates a file that is not there; gives whether it was made.
fn create(path: &Path, content: &str) -> Result<bool, InitError> {
    let failed = |source| InitError::Write {
        path: path.to_owned(),
        source,
    };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    match fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
    {
        Ok(mut file) => file
            .write_all(content.as_bytes())
            .map(|()| true)
            .map_err(failed),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(failed(e)),
    }
}

fn tell(shell: &Shell, dir: &Path, joined: bool, made: &[&str]) {
    let place = if dir == Path::new(".") {
        String::new()
    } else {
        format!(" --book {}", dir.display())
    };
    if joined {
        shell.note(&format!(
            "`{}` can run its steps now; no chapter was touched",
            dir.join("book.toml").display()
        ));
        shell.err(&format!(
            "\nMark a fence as a step, for example:\n\n    ```bash runbook read\n    #| id: kernel\n    uname -sr\n    ```\n\nthen: runbook verify{place} --site\n"
        ));
    } else {
        shell.note(&format!("made {}", made.join(", ")));
        shell.err(&format!("\nNext: runbook verify{place} --site\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quiet() -> Shell {
        Shell {
            color_out: false,
            color_err: false,
            bars: false,
            json: false,
        }
    }

    #[test]
    fn an_existing_book_keeps_its_text_and_its_chapters() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("src")).unwrap();
        fs::write(
            dir.path().join("book.toml"),
            "[book]\r\ntitle = \"Mine\"\r\n",
        )
        .unwrap();
        fs::write(dir.path().join("src/SUMMARY.md"), "# Mine\n").unwrap();
        init(&quiet(), dir.path()).unwrap();
        let text = fs::read_to_string(dir.path().join("book.toml")).unwrap();
        assert!(
            text.starts_with("[book]\r\ntitle = \"Mine\"\r\n\r\n[preprocessor.runbook]\r\n"),
            "{text:?}"
        );
        assert_eq!(
            fs::read_to_string(dir.path().join("src/SUMMARY.md")).unwrap(),
            "# Mine\n"
        );
        assert!(!dir.path().join("src/first-guide.md").exists());
        assert!(matches!(
            init(&quiet(), dir.path()),
            Err(InitError::Already { .. })
        ));
    }

    #[test]
    fn a_new_book_overwrites_nothing() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("inventory.yaml"), "vars: {mine: 1}\n").unwrap();
        init(&quiet(), dir.path()).unwrap();
        assert_eq!(
            fs::read_to_string(dir.path().join("inventory.yaml")).unwrap(),
            "vars: {mine: 1}\n"
        );
        assert!(dir.path().join("src/first-guide.md").exists());
    }
}
