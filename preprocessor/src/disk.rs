//! A book on disk: where it is, its chapters, its inventory and the files that its steps name.
//!
//! Reads only. What is wrong with a chapter is a diagnostic of the book; what keeps the book from being read at all is a
//! [`DiskError`]. Files outside of the repository are never read for a step, whatever its links say.

mod config;
mod text;

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use mdbook_summary::{Link, SummaryItem};
use runbook::book::{ChapterInput, FileError, Files, Input, Loaded, UNKNOWN_PROFILE};
use runbook::diagnostic::Diagnostic;
use runbook::markdown::MarkdownOptions;
use runbook::model::{Options, Vars};
use runbook::source::{Source, Span};
use thiserror::Error;

use self::text::TextError;

pub use self::config::markdown_options;
pub use self::text::FILE_BYTES_MAX;

/// How deep a directory may be whose files are listed.
const DEPTH_MAX: usize = 32;
/// How many files it may have.
const FILES_MAX: usize = 10_000;

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
            Self::NotFound { from, .. } if from.join("book/book.toml").is_file() => {
                Some(format!("write `--book {}`", from.join("book").display()))
            }
            Self::NotFound { .. } => {
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
            return if start.join("book.toml").is_file() {
                Self::open(start)
            } else {
                Err(DiskError::NotFound {
                    from: start.to_owned(),
                    upward: false,
                })
            };
        }
        let current = std::env::current_dir().map_err(|source| DiskError::Read {
            path: PathBuf::from("."),
            source,
        })?;
        Self::find_upward(&current)
    }

    fn find_upward(current: &Path) -> Result<Self, DiskError> {
        for folder in current.ancestors() {
            for candidate in [folder.to_owned(), folder.join("book")] {
                if candidate.join("book.toml").is_file() {
                    return Self::open(&candidate);
                }
            }
        }
        Err(DiskError::NotFound {
            from: current.to_owned(),
            upward: true,
        })
    }

    /// Opens the book in a folder.
    ///
    /// # Errors
    /// When its `book.toml` cannot be read or is wrong.
    pub fn open(root: &Path) -> Result<Self, DiskError> {
        let canonical = root.canonicalize();
        let root = canonical.map_err(|source| DiskError::Read {
            path: root.to_owned(),
            source,
        })?;
        let path = root.join("book.toml");
        let text = match text::read(&path) {
            Ok(text) => text,
            Err(TextError::Io(source)) => return Err(DiskError::Read { path, source }),
            Err(problem) => {
                let diagnostic = problem.into_diagnostic("book-toml", "file", "book.toml");
                return Err(DiskError::Invalid(Box::new(diagnostic)));
            }
        };
        let read = config::read(&Source::new("book.toml", text)).map_err(DiskError::Invalid)?;
        let above = root.ancestors().find(|folder| folder.join(".git").exists());
        let repository = above.unwrap_or(&root).to_owned();
        Ok(Self {
            root,
            src: read.src,
            title: read.title,
            repository,
            options: read.options,
            markdown: read.markdown,
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

    /// How mdBook reads this book's Markdown.
    pub fn markdown(&self) -> MarkdownOptions {
        self.markdown
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

    /// Reads one chapter only, of a book that may be large. A guide that the summary does not have is simply not there. What the
    /// guide says about others cannot be checked: the diagnostics are not those of the book.
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
        let links = self.links()?.into_iter();
        Ok(links.map(|link| (link.id, link.path)).collect())
    }

    fn load_where(
        &self,
        profile: &str,
        vars: &Vars,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Loaded, DiskError> {
        let mut problems = Vec::new();
        let mut chapters = Vec::new();
        let mut pages: HashMap<String, String> = HashMap::new();
        for ChapterLink { name, id, path } in self.links()? {
            if !wanted(&id) {
                continue;
            }
            // `README.md` and `index.md` of one folder would be one page.
            if let Some(other) = pages.insert(id.clone(), path.clone()) {
                let message = format!("the chapters `{other}` and `{path}` are one page, `{id}`");
                problems.push(
                    Diagnostic::file("duplicate-guide", path, message).hint("rename one of them"),
                );
                continue;
            }
            match text::read(&self.root.join(&path)) {
                Ok(text) => chapters.push(ChapterInput {
                    path,
                    id,
                    name,
                    text,
                }),
                Err(problem) => {
                    problems.push(problem.into_diagnostic("unreadable", "chapter", &path))
                }
            }
        }
        let input = Input {
            chapters,
            inventory: self.inventory(&mut problems),
            options: self.options.clone(),
            markdown: self.markdown,
            profile: profile.to_owned(),
            vars: vars.clone(),
        };
        let mut loaded = runbook::book::load(input, self);
        if profile.is_empty() || profile == self.options.profile {
            self.name_profile_place(&mut loaded.diagnostics);
        }
        // Without steps there is no status page.
        if let Some(path) = pages.get(STATUS_ID)
            && loaded
                .book
                .guides
                .iter()
                .any(|guide| !guide.steps.is_empty())
        {
            problems.push(status_page_taken(path));
        }
        problems.append(&mut loaded.diagnostics);
        loaded.diagnostics = problems;
        Ok(loaded)
    }

    /// The profile that `book.toml` names and that does not exist is told where it is named.
    fn name_profile_place(&self, diagnostics: &mut [Diagnostic]) {
        let unknown = diagnostics
            .iter_mut()
            .find(|finding| finding.rule == UNKNOWN_PROFILE);
        if let Some(unknown) = unknown
            && let Ok(text) = text::read(&self.root.join("book.toml"))
        {
            let source = Source::new("book.toml", text);
            let hint = unknown.hint.clone().unwrap_or_default();
            let placed = config::wrong(&source, "profile", unknown.message.clone(), &hint);
            *unknown = Diagnostic {
                rule: UNKNOWN_PROFILE,
                ..*placed
            };
        }
    }

    /// The inventory. A book needs none; one that is named in `book.toml` must be there.
    fn inventory(&self, problems: &mut Vec<Diagnostic>) -> Option<Source> {
        let path = &self.options.inventory;
        match text::read(&self.root.join(path)) {
            Ok(text) => Some(Source::new(path.clone(), text)),
            Err(TextError::Io(error))
                if error.kind() == io::ErrorKind::NotFound
                    && *path == Options::default().inventory =>
            {
                None
            }
            Err(problem) => {
                problems.push(problem.into_diagnostic("unreadable", "inventory", path));
                None
            }
        }
    }

    /// The chapters that the summary names, in order.
    fn links(&self) -> Result<Vec<ChapterLink>, DiskError> {
        let path = self.in_src("SUMMARY.md");
        let invalid = |diagnostic| DiskError::Invalid(Box::new(diagnostic));
        let text = text::read(&self.root.join(&path))
            .map_err(|problem| invalid(problem.into_diagnostic("unreadable", "summary", &path)))?;
        let summary = mdbook_summary::parse_summary(&text).map_err(|error| {
            let source = Source::new(&*path, text.as_str());
            let message = format!("the summary cannot be read: {}", config::one_line(&error));
            let found = twice(&source, &message)
                .unwrap_or_else(|| config::placed("summary", &source, message));
            invalid(
                found.hint("write one link a line, `- [Title](chapter.md)`, and each chapter once"),
            )
        })?;
        let mut links = Vec::new();
        let parts = [
            summary.prefix_chapters,
            summary.numbered_chapters,
            summary.suffix_chapters,
        ];
        self.collect(parts.iter().flatten(), &mut links);
        Ok(links)
    }

    fn collect<'a>(
        &self,
        items: impl Iterator<Item = &'a SummaryItem>,
        links: &mut Vec<ChapterLink>,
    ) {
        for item in items {
            let SummaryItem::Link(Link {
                name,
                location,
                nested_items,
                ..
            }) = item
            else {
                continue;
            };
            if let Some(location) = location {
                let location = normal(location);
                links.push(ChapterLink {
                    name: name.clone(),
                    id: guide_id(&location),
                    path: self.in_src(&location),
                });
            }
            self.collect(nested_items.iter(), links);
        }
    }

    fn in_src(&self, location: &str) -> String {
        if self.src.is_empty() || self.src == "." {
            location.to_owned()
        } else {
            format!("{}/{location}", self.src)
        }
    }
}

/// The ID of the chapter that would be the status page.
const STATUS_ID: &str = "status";

/// A chapter stands where the status page goes.
pub(crate) fn status_page_taken(path: &str) -> Diagnostic {
    let message =
        format!("the chapter `{path}` would be the page `status.html`, which is the status page");
    Diagnostic::file("status-page", path, message)
        .hint("give the chapter's file another name, in the summary too")
}

/// The finding at the second link to a chapter that the summary has twice.
fn twice(source: &Source, message: &str) -> Option<Diagnostic> {
    let (_, file) = message.split_once("Duplicate file")?;
    let name = file.split('"').nth(1)?;
    let link = format!("({name}");
    let mut places = source.text().match_indices(&link);
    let (at, _) = places.nth(1)?;
    let span = Span::new(at + 1, at + link.len());
    Some(Diagnostic::error("summary", source, span, message))
}

/// A link of the summary.
struct ChapterLink {
    name: String,
    id: String,
    /// Relative to the root.
    path: String,
}

impl Files for BookDir {
    fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
        // Links and `..` are followed first: what counts is where the file is.
        let real = fs::canonicalize(self.root.join(path)).map_err(|error| file_error(&error))?;
        if !real.starts_with(&self.repository) {
            return Err(FileError::Outside);
        }
        text::bytes(&real).map_err(|error| file_error(&error))
    }

    fn below(&self, directory: &str) -> Result<Vec<String>, FileError> {
        let real =
            fs::canonicalize(self.root.join(directory)).map_err(|error| file_error(&error))?;
        if !real.starts_with(&self.repository) {
            return Err(FileError::Outside);
        }
        let mut files = Vec::new();
        walk(&real, directory.trim_end_matches('/'), 0, &mut files)
            .map_err(|error| file_error(&error))?;
        files.sort();
        Ok(files)
    }
}

/// The files below a directory by their paths, as far as they are no links and nothing of git's own.
fn walk(directory: &Path, path: &str, depth: usize, files: &mut Vec<String>) -> io::Result<()> {
    if depth > DEPTH_MAX || files.len() > FILES_MAX {
        return Err(io::Error::other(format!(
            "it is deeper than {DEPTH_MAX} directories or has more than {FILES_MAX} files"
        )));
    }
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}/{name}")
        };
        if kind.is_dir() && name != ".git" {
            walk(&entry.path(), &path, depth + 1, files)?;
        } else if kind.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

fn file_error(error: &io::Error) -> FileError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => FileError::Missing,
        _ => FileError::Unreadable(error.to_string()),
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

#[cfg(test)]
mod tests;
