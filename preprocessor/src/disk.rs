//! A book on disk: where it is, what its `book.toml` says, its chapters, inventory and included files.
//!
//! Reads only. What is wrong with a chapter is a diagnostic of the book; what keeps the book from being read at all is a
//! [`DiskError`]. Files outside of the repository are never read for a book, whatever its links say.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use mdbook_preprocessor::config::Config;
use mdbook_summary::{Link, Summary, SummaryItem};
use runbook::book::{ChapterInput, FileError, Files, Input, Loaded};
use runbook::diagnostic::Diagnostic;
use runbook::markdown::MarkdownOptions;
use runbook::model::{Options, Vars};
use runbook::source::{Source, Span};
use thiserror::Error;

/// How large a chapter, an inventory or an included file may be.
pub const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The options of `[preprocessor.runbook]` that are ours.
const OPTIONS: &[&str] = &["profile", "inventory", "old-after", "keep"];
/// Those that are mdBook's.
const MDBOOK_OPTIONS: &[&str] = &[
    "command",
    "before",
    "after",
    "renderer",
    "renderers",
    "optional",
];

/// Why a book cannot be read at all.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DiskError {
    /// There is no `book.toml`.
    #[error("no `book.toml` in `{}`{}", from.display(), if *.upward { " or above" } else { "" })]
    NotFound {
        /// Where the search began.
        from: PathBuf,
        /// Whether the folders above were searched too.
        upward: bool,
    },
    /// A file that every book has cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// `book.toml` or the summary is wrong.
    #[error("{}", .0.message)]
    Invalid(Box<Diagnostic>),
}

impl DiskError {
    /// The finding, when the book is wrong rather than missing.
    pub fn diagnostic(&self) -> Option<&Diagnostic> {
        match self {
            Self::Invalid(diagnostic) => Some(diagnostic),
            _ => None,
        }
    }

    /// What to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound { upward: true, .. } => {
                Some("make a book with `runbook init`, or name one with `--book DIR`".into())
            }
            Self::NotFound { upward: false, .. } => {
                Some("`--book` names the folder that holds `book.toml`".into())
            }
            Self::Read { .. } | Self::Invalid(_) => None,
        }
    }
}

/// A book's folder and what its `book.toml` says.
#[derive(Debug, Clone)]
pub struct BookDir {
    root: PathBuf,
    src: String,
    title: Option<String>,
    repository: PathBuf,
    options: Options,
    markdown: MarkdownOptions,
}

impl BookDir {
    /// Finds a book: in `start` when it is given; else in the nearest folder upward from the current one, or in its `book/`, that
    /// holds a `book.toml`.
    ///
    /// # Errors
    /// When there is none, or its `book.toml` cannot be used.
    pub fn find(start: Option<&Path>) -> Result<Self, DiskError> {
        if let Some(start) = start {
            return match start.join("book.toml").is_file() {
                true => Self::open(start),
                false => Err(DiskError::NotFound {
                    from: start.to_owned(),
                    upward: false,
                }),
            };
        }
        let current = std::env::current_dir().map_err(|source| DiskError::Read {
            path: PathBuf::from("."),
            source,
        })?;
        for folder in current.ancestors() {
            for candidate in [folder.to_owned(), folder.join("book")] {
                if candidate.join("book.toml").is_file() {
                    return Self::open(&candidate);
                }
            }
        }
        Err(DiskError::NotFound {
            from: current,
            upward: true,
        })
    }

    /// Opens the book in a folder.
    ///
    /// # Errors
    /// When its `book.toml` cannot be read or is wrong.
    pub fn open(root: &Path) -> Result<Self, DiskError> {
        let root = root.canonicalize().map_err(|source| DiskError::Read {
            path: root.to_owned(),
            source,
        })?;
        let path = root.join("book.toml");
        let text = fs::read_to_string(&path).map_err(|source| DiskError::Read {
            path: path.clone(),
            source,
        })?;
        let source = Source::new("book.toml", text);
        let config: Config =
            source
                .text()
                .parse()
                .map_err(|error: mdbook_preprocessor::errors::Error| {
                    let message = format!(
                        "`book.toml` cannot be read: {}",
                        first_lines(&format!("{error:#}"))
                    );
                    DiskError::Invalid(Box::new(Diagnostic::file(
                        "book-toml",
                        "book.toml",
                        message,
                    )))
                })?;
        let options = options(&source, &config)?;
        let src = config
            .book
            .src
            .to_string_lossy()
            .replace('\\', "/")
            .trim_end_matches('/')
            .to_owned();
        let repository = root
            .ancestors()
            .find(|folder| folder.join(".git").exists())
            .unwrap_or(&root)
            .to_owned();
        Ok(Self {
            markdown: markdown_options(&config),
            title: config.book.title,
            repository,
            src,
            options,
            root,
        })
    }

    /// The folder with `book.toml`, absolute.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of the chapters, relative to the root.
    pub fn src(&self) -> &str {
        &self.src
    }

    /// The book's title.
    pub fn title(&self) -> Option<&str> {
        self.title.as_deref()
    }

    /// The nearest folder with `.git` upward, else the root.
    pub fn repository(&self) -> &Path {
        &self.repository
    }

    /// `[preprocessor.runbook]`, defaults filled in.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Reads every chapter of the summary, and checks the book for a profile.
    ///
    /// # Errors
    /// When the summary cannot be read; what is wrong with a chapter is a diagnostic of the result.
    pub fn load(&self, profile: &str, vars: &Vars) -> Result<Loaded, DiskError> {
        self.load_where(profile, vars, |_| true)
    }

    /// Reads one chapter only, of a book that may be large. A guide that the summary does not have is simply not there.
    ///
    /// # Errors
    /// As [`BookDir::load`].
    pub fn load_guide(&self, guide: &str, profile: &str) -> Result<Loaded, DiskError> {
        self.load_where(profile, &Vars::new(), |id| id == guide)
    }

    /// The chapters of the summary: their IDs and paths relative to the root, in order.
    ///
    /// # Errors
    /// When the summary cannot be read.
    pub fn chapters(&self) -> Result<Vec<(String, String)>, DiskError> {
        let links = self.links()?;
        Ok(links
            .into_iter()
            .map(|(_, location)| (guide_id(&location), self.in_src(&location)))
            .collect())
    }

    fn load_where(
        &self,
        profile: &str,
        vars: &Vars,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Loaded, DiskError> {
        let mut problems = Vec::new();
        let mut chapters = Vec::new();
        for (name, location) in self.links()? {
            let id = guide_id(&location);
            if !wanted(&id) {
                continue;
            }
            let path = self.in_src(&location);
            match self.text(&path) {
                Ok(text) => chapters.push(ChapterInput {
                    path,
                    id,
                    name,
                    text,
                }),
                Err(problem) => problems.push(problem.into_diagnostic("chapter", &path)),
            }
        }
        let inventory_path = self.options.inventory.clone();
        let inventory = match self.text(&inventory_path) {
            Ok(text) => Some(Source::new(inventory_path, text)),
            // A book needs no inventory; one that was named in book.toml must be there.
            Err(TextError::Io(error))
                if error.kind() == io::ErrorKind::NotFound
                    && inventory_path == Options::default().inventory =>
            {
                None
            }
            Err(problem) => {
                problems.push(problem.into_diagnostic("inventory", &inventory_path));
                None
            }
        };
        let input = Input {
            chapters,
            inventory,
            options: self.options.clone(),
            profile: profile.to_owned(),
            vars: vars.clone(),
            markdown: self.markdown,
        };
        let mut loaded = runbook::book::load(input, self);
        problems.append(&mut loaded.diagnostics);
        loaded.diagnostics = problems;
        Ok(loaded)
    }

    /// The links of the summary that have a chapter: name and location below `src`.
    fn links(&self) -> Result<Vec<(String, String)>, DiskError> {
        let path = self.in_src("SUMMARY.md");
        let text = self.text(&path).map_err(|problem| {
            DiskError::Invalid(Box::new(problem.into_diagnostic("summary", &path)))
        })?;
        let summary: Summary = mdbook_summary::parse_summary(&text).map_err(|error| {
            let message = format!(
                "the summary cannot be read: {}",
                first_lines(&format!("{error:#}"))
            );
            DiskError::Invalid(Box::new(Diagnostic::file("summary", path.clone(), message)))
        })?;
        let mut links = Vec::new();
        let items = [
            summary.prefix_chapters,
            summary.numbered_chapters,
            summary.suffix_chapters,
        ];
        collect(items.iter().flatten(), &mut links);
        Ok(links)
    }

    fn in_src(&self, location: &str) -> String {
        if self.src.is_empty() || self.src == "." {
            location.to_owned()
        } else {
            format!("{}/{location}", self.src)
        }
    }

    fn text(&self, path: &str) -> Result<String, TextError> {
        let bytes = bounded(&self.root.join(path)).map_err(TextError::Io)?;
        match String::from_utf8(bytes) {
            // mdBook drops a byte order mark too.
            Ok(text) => Ok(text
                .strip_prefix('\u{feff}')
                .map_or_else(|| text.clone(), str::to_owned)),
            Err(error) => {
                let valid =
                    String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()])
                        .into_owned();
                Err(TextError::NotUtf8 { valid })
            }
        }
    }
}

impl Files for BookDir {
    fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
        let asked = self.root.join(path);
        // Links and `..` are followed first: what counts is where the file is.
        let real = asked.canonicalize().map_err(|error| file_error(&error))?;
        let repository = self
            .repository
            .canonicalize()
            .map_err(|error| file_error(&error))?;
        if !real.starts_with(&repository) {
            return Err(FileError::Outside);
        }
        bounded(&real).map_err(|error| file_error(&error))
    }
}

enum TextError {
    Io(io::Error),
    NotUtf8 { valid: String },
}

impl TextError {
    fn into_diagnostic(self, what: &str, path: &str) -> Diagnostic {
        match self {
            Self::Io(error) if error.kind() == io::ErrorKind::NotFound => Diagnostic::file(
                "missing-file",
                path,
                format!("the {what} `{path}` does not exist"),
            )
            .hint("write it, or take it out of what names it"),
            Self::Io(error) => Diagnostic::file(
                "unreadable",
                path,
                format!("the {what} `{path}` cannot be read: {error}"),
            ),
            Self::NotUtf8 { valid } => {
                let source = Source::new(path, valid);
                let end = source.text().len();
                Diagnostic::error(
                    "not-utf8",
                    &source,
                    Span::at(end),
                    format!("the {what} `{path}` is not UTF-8"),
                )
                .hint("save it as UTF-8")
            }
        }
    }
}

fn file_error(error: &io::Error) -> FileError {
    match error.kind() {
        io::ErrorKind::NotFound => FileError::Missing,
        _ => FileError::Unreadable(error.to_string()),
    }
}

fn bounded(path: &Path) -> io::Result<Vec<u8>> {
    let size = fs::metadata(path)?.len();
    if size > FILE_BYTES_MAX {
        return Err(io::Error::other(format!(
            "it is larger than {FILE_BYTES_MAX} bytes"
        )));
    }
    fs::read(path)
}

fn collect<'a>(items: impl Iterator<Item = &'a SummaryItem>, links: &mut Vec<(String, String)>) {
    for item in items {
        if let SummaryItem::Link(Link {
            name,
            location,
            nested_items,
            ..
        }) = item
        {
            if let Some(location) = location {
                links.push((name.clone(), normal(location)));
            }
            collect(nested_items.iter(), links);
        }
    }
}

/// A path with `/`, without `.` parts.
fn normal(path: &Path) -> String {
    let parts = path
        .components()
        .filter(|part| !matches!(part, Component::CurDir));
    parts
        .map(|part| part.as_os_str().to_string_lossy())
        .collect::<Vec<_>>()
        .join("/")
}

/// A chapter's ID: its path below `src` without `.md`; `README.md` is `index`, as mdBook names its page.
pub fn guide_id(location: &str) -> String {
    let stem = location.strip_suffix(".md").unwrap_or(location);
    match stem.rsplit_once('/') {
        Some((folder, name)) if name.eq_ignore_ascii_case("readme") => format!("{folder}/index"),
        None if stem.eq_ignore_ascii_case("readme") => "index".to_owned(),
        _ => stem.to_owned(),
    }
}

/// mdBook's own options, on which blocks and ids depend.
pub fn markdown_options(config: &Config) -> MarkdownOptions {
    let html = config.html_config().unwrap_or_default();
    MarkdownOptions {
        smart_punctuation: html.smart_punctuation,
        definition_lists: html.definition_lists,
        admonitions: html.admonitions,
    }
}

fn options(source: &Source, config: &Config) -> Result<Options, DiskError> {
    let mut options = Options::default();
    let table = config
        .get::<serde_json::Map<String, serde_json::Value>>("preprocessor.runbook")
        .map_err(|error| {
            wrong(
                source,
                "runbook",
                format!("`[preprocessor.runbook]` cannot be read: {error:#}"),
                None,
            )
        })?;
    for (name, value) in table.unwrap_or_default() {
        if MDBOOK_OPTIONS.contains(&name.as_str()) {
            continue;
        }
        match (name.as_str(), &value) {
            ("profile", serde_json::Value::String(text)) => options.profile.clone_from(text),
            ("inventory", serde_json::Value::String(text)) => options.inventory.clone_from(text),
            ("old-after", serde_json::Value::String(text)) => {
                options.old_after = runbook::value::duration(text).map_err(|error| {
                    wrong(
                        source,
                        &name,
                        format!("`old-after`: {error}"),
                        Some("write a duration, as `\"7d\"`".into()),
                    )
                })?;
            }
            ("keep", serde_json::Value::Number(number))
                if number.as_u64().is_some_and(|keep| keep > 0) =>
            {
                options.keep = number
                    .as_u64()
                    .and_then(|keep| usize::try_from(keep).ok())
                    .unwrap_or(options.keep);
            }
            (known, _) if OPTIONS.contains(&known) => {
                let wanted = if known == "keep" {
                    "a number of runs, 1 or more"
                } else {
                    "a text"
                };
                return Err(wrong(
                    source,
                    known,
                    format!("`{known}` must be {wanted}"),
                    None,
                ));
            }
            (unknown, _) => {
                let hint = similar(unknown).map_or_else(
                    || format!("the options are {}", OPTIONS.join(", ")),
                    |known| format!("did you mean `{known}`?"),
                );
                return Err(wrong(
                    source,
                    unknown,
                    format!("unknown option `{unknown}`"),
                    Some(hint),
                ));
            }
        }
    }
    Ok(options)
}

fn similar(unknown: &str) -> Option<&'static str> {
    let score = |known: &str| strsim::jaro_winkler(unknown, known);
    OPTIONS
        .iter()
        .copied()
        .filter(|known| score(known) > 0.75)
        .max_by(|a, b| score(a).total_cmp(&score(b)))
}

/// A finding about `book.toml`, at the option's own line.
fn wrong(source: &Source, option: &str, message: String, hint: Option<String>) -> DiskError {
    let text = source.text();
    let table = text.find("[preprocessor.runbook]").unwrap_or(0);
    let at = text[table..].find(option).map_or(table, |at| table + at);
    let mut diagnostic = Diagnostic::error(
        "book-toml",
        source,
        Span::new(at, at + option.len()),
        message,
    );
    diagnostic.hint = hint;
    DiskError::Invalid(Box::new(diagnostic))
}

/// The first lines of a long message, as one.
fn first_lines(text: &str) -> String {
    text.lines()
        .take(4)
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join("; ")
}

#[cfg(test)]
mod tests;
