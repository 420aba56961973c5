//! Reads a book's files: bounded, regular files only, UTF-8 where a text is wanted; says which byte is not.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use runbook::diagnostic::Diagnostic;
use runbook::source::{Source, Span};

/// How large a chapter, an inventory or an included file may be.
pub const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Why a file is no text of the book.
#[derive(Debug)]
pub(super) enum TextError {
    /// It cannot be read.
    Io(io::Error),
    /// It is not UTF-8 from some byte on.
    NotUtf8 {
        /// What stands before that byte.
        valid: String,
    },
}

/// A file's text. A byte order mark is dropped, as mdBook drops it.
pub(super) fn read(path: &Path) -> Result<String, TextError> {
    match String::from_utf8(bytes(path).map_err(TextError::Io)?) {
        Ok(mut text) => {
            if text.starts_with('\u{feff}') {
                text.drain(..'\u{feff}'.len_utf8());
            }
            Ok(text)
        }
        Err(error) => {
            let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            Err(TextError::NotUtf8 {
                valid: String::from_utf8_lossy(valid).into_owned(),
            })
        }
    }
}

/// A file's bytes. A pipe or device is refused: reading it might never end.
pub(super) fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let data = std::fs::metadata(path)?;
    if data.is_dir() {
        return Err(io::Error::other("it is a folder"));
    }
    if !data.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes =
        Vec::with_capacity(usize::try_from(data.len().min(FILE_BYTES_MAX)).unwrap_or(0));
    File::open(path)?
        .take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other(format!(
            "it is larger than {} MiB",
            FILE_BYTES_MAX >> 20
        )));
    }
    Ok(bytes)
}

impl TextError {
    /// The finding; `what` is what the file is to the book.
    pub(super) fn into_diagnostic(self, rule: &'static str, what: &str, path: &str) -> Diagnostic {
        match self {
            Self::Io(error) if error.kind() == io::ErrorKind::NotFound => {
                let hint = match what {
                    "chapter" => "write it, or take its link out of `SUMMARY.md`",
                    "inventory" => "write it, or take `inventory` out of `book.toml`",
                    _ => "write it",
                };
                Diagnostic::file(
                    "missing-file",
                    path,
                    format!("the {what} `{path}` does not exist"),
                )
                .hint(hint)
            }
            Self::Io(error) => Diagnostic::file(
                rule,
                path,
                format!("the {what} `{path}` cannot be read: {error}"),
            )
            .hint("make it a file that can be read"),
            Self::NotUtf8 { valid } => {
                let source = Source::new(path, valid);
                let end = source.text().len();
                Diagnostic::error(
                    "not-utf8",
                    &source,
                    Span::at(end),
                    format!("the {what} `{path}` is not UTF-8"),
                )
                .hint("save it as UTF-8: the byte at this place is the first that is not")
            }
        }
    }
}
