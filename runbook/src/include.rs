//! `{{#include FILE}}` in a step, expanded as mdBook's `links` does, and the files that a step names.
//!
//! Lines (`FILE:2:5`) and anchors (`FILE:anchor`) mean what they mean in mdBook 0.5; unlike there, a file or anchor that is
//! not there is an error. Reads nothing itself: files come from [`Files`].

mod kustomize;

use sha2::{Digest, Sha256};

use crate::findings::Findings;
use crate::markdown::{self, MarkdownOptions};
use crate::model::Include;
use crate::node::{Kind, Node};
use crate::place::locate;
use crate::source::{Source, Span};
use crate::suggest;

/// Where the files of a book come from. Chapters are read on several threads.
pub trait Files: Sync {
    /// The bytes of a file, by its path relative to the book's root (it may begin with `../` inside the repository).
    ///
    /// # Errors
    ///
    /// Why it cannot be had.
    fn read(&self, path: &str) -> Result<Vec<u8>, FileError>;

    /// The paths of all files below a directory, in order, each as [`Files::read`] takes it; links and what git keeps are left out.
    ///
    /// # Errors
    ///
    /// Why they cannot be had.
    fn below(&self, _directory: &str) -> Result<Vec<String>, FileError> {
        Err(FileError::Missing)
    }
}

/// Why a file cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// There is no such file.
    #[error("there is no such file")]
    Missing,
    /// It lies outside the repository.
    #[error("it lies outside the repository")]
    Outside,
    /// It is there and cannot be read.
    #[error("{0}")]
    Unreadable(String),
}

/// No files at all.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _: &str) -> Result<Vec<u8>, FileError> {
        Err(FileError::Missing)
    }
}

/// How deep files may include files.
const DEPTH_MAX: usize = 10;

/// Expands the includes of a chapter's steps and keeps what they read.
pub(crate) struct Includer<'a> {
    files: &'a dyn Files,
    /// The chapter's directory relative to the book's root; empty or ending in `/`.
    directory: String,
    read: Vec<Include>,
}

impl<'a> Includer<'a> {
    pub(crate) fn new(files: &'a dyn Files, chapter: &str) -> Self {
        Self {
            files,
            directory: directory_of(chapter).to_owned(),
            read: Vec::new(),
        }
    }

    /// What was read since the last call, each file once.
    pub(crate) fn take(&mut self) -> Vec<Include> {
        std::mem::take(&mut self.read)
    }

    /// Expands all values of a step; with `template: off` not those of its action.
    pub(crate) fn expand_step(
        &mut self,
        node: &mut Node,
        action: Option<&str>,
        template_off: bool,
        findings: &mut Findings,
    ) {
        let Kind::Map(entries) = &mut node.kind else {
            return;
        };
        for entry in entries {
            if !(template_off && Some(entry.key.as_str()) == action) {
                self.expand(&mut entry.value, findings);
            }
        }
    }

    /// Refuses steps that a chapter's prose includes: mdBook would show them, and nothing would execute them.
    pub(crate) fn in_prose(&mut self, options: MarkdownOptions, findings: &mut Findings) {
        let source = findings.source.clone();
        if !source.text().contains("#include") {
            return;
        }
        let code = markdown::code(&source, options);
        let directory = self.directory.clone();
        for directive in directives(source.text()) {
            let Some(argument) = directive.argument else {
                continue;
            };
            if code.iter().any(|code| code.contains(&directive.start)) {
                continue;
            }
            // A file that is not there is mdBook's to tell.
            let Ok(text) = self.included(argument, &directory, &mut Vec::new()) else {
                continue;
            };
            let included = Source::new(argument, text);
            if !markdown::scan_with(&included, options).fences.is_empty() {
                findings.hinted(
                    "step-in-include",
                    Span::new(directive.start, directive.end),
                    format!(
                        "`{argument}` holds a step, which nobody executes where it is included"
                    ),
                    "write the step into the chapter, or make the file a chapter of its own",
                );
            }
        }
    }

    fn expand(&mut self, node: &mut Node, findings: &mut Findings) {
        match &mut node.kind {
            Kind::Scalar(scalar) if scalar.text.contains("#") && scalar.text.contains("{{") => {
                if let Some(text) = self.text(&scalar.text, node.span, findings) {
                    scalar.text = text;
                    scalar.plain = false;
                }
            }
            Kind::List(items) => items
                .iter_mut()
                .for_each(|item| self.expand(item, findings)),
            Kind::Map(entries) => entries
                .iter_mut()
                .for_each(|entry| self.expand(&mut entry.value, findings)),
            _ => {}
        }
    }

    /// The expanded text; `None` where there is nothing to expand.
    fn text(&mut self, text: &str, span: Span, findings: &mut Findings) -> Option<String> {
        let directives = directives(text);
        if directives.is_empty() {
            return None;
        }
        let mut expanded = String::new();
        let mut at = 0;
        for directive in directives {
            expanded.push_str(&text[at..directive.start]);
            at = directive.end;
            let Some(argument) = directive.argument else {
                // An escaped one is shown without its backslash.
                expanded.push_str(&text[directive.start + 1..directive.end]);
                continue;
            };
            let directory = self.directory.clone();
            match self.included(argument, &directory, &mut Vec::new()) {
                Ok(included) => expanded.push_str(&included),
                Err((rule, message, hint)) => {
                    let place =
                        locate(&findings.source, span, text, directive.start..directive.end);
                    findings.maybe_hinted(rule, place, message, hint);
                    // It stays, so that nothing else is told of a text that would be empty without it.
                    expanded.push_str(&text[directive.start..directive.end]);
                }
            }
        }
        expanded.push_str(&text[at..]);
        Some(expanded)
    }

    fn included(
        &mut self,
        argument: &str,
        directory: &str,
        stack: &mut Vec<String>,
    ) -> Result<String, Problem> {
        let (file, part) = argument
            .split_once(':')
            .map_or((argument, None), |(file, part)| (file, Some(part)));
        let path = join(directory, file);
        if stack.contains(&path) || stack.len() >= DEPTH_MAX {
            let mut chain = stack.clone();
            chain.push(path.clone());
            return Err((
                "include-cycle",
                format!("files include each other: `{}`", chain.join("` → `")),
                Some("take one of them out".into()),
            ));
        }
        let text = self.load(&path, file)?;
        let text = take(&text, part).map_err(|(name, known)| {
            let hint = suggest::did_you_mean_or_list(
                &name,
                known.iter().map(String::as_str),
                "its anchors are",
            );
            (
                "missing-include",
                format!("`{file}` has no anchor `{name}`"),
                hint.or_else(|| {
                    Some(format!(
                        "write `ANCHOR: {name}` and `ANCHOR_END: {name}` into it"
                    ))
                }),
            )
        })?;
        stack.push(path.clone());
        let mut expanded = String::new();
        let mut at = 0;
        for directive in directives(&text) {
            expanded.push_str(&text[at..directive.start]);
            at = directive.end;
            match directive.argument {
                Some(argument) => {
                    expanded.push_str(&self.included(argument, directory_of(&path), stack)?)
                }
                None => expanded.push_str(&text[directive.start + 1..directive.end]),
            }
        }
        expanded.push_str(&text[at..]);
        stack.pop();
        Ok(expanded)
    }

    fn load(&mut self, path: &str, written: &str) -> Result<String, Problem> {
        let bytes = self.files.read(path).map_err(|error| {
            let hint = match error {
                FileError::Missing => "the path is relative to the chapter",
                FileError::Outside => "put it into the repository",
                FileError::Unreadable(_) => "make it readable",
            };
            (
                "missing-include",
                format!("cannot include `{written}`: {error} (`{path}`)"),
                Some(hint.to_owned()),
            )
        })?;
        self.keep(path, &bytes);
        String::from_utf8(bytes).map_err(|_| {
            (
                "missing-include",
                format!("cannot include `{written}`: it is not UTF-8"),
                Some("include text only".into()),
            )
        })
    }

    fn keep(&mut self, path: &str, bytes: &[u8]) {
        if !self.read.iter().any(|include| include.path == path) {
            let sha256 = Sha256::digest(bytes)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            self.read.push(Include {
                path: path.to_owned(),
                sha256,
            });
        }
    }

    /// Reads a file that an action names and keeps its checksum.
    pub(crate) fn file(&mut self, written: &str, span: Span, findings: &mut Findings) {
        let path = join(&self.directory, written);
        match self.files.read(&path) {
            Ok(bytes) => self.keep(&path, &bytes),
            Err(error) => findings.hinted(
                "missing-file",
                span,
                format!("cannot read `{written}`: {error} (`{path}`)"),
                "the path is relative to the chapter and stays in the repository",
            ),
        }
    }
}

/// A rule, a message and a hint.
type Problem = (&'static str, String, Option<String>);

/// The directory of a path: empty, or ending in `/`.
fn directory_of(path: &str) -> &str {
    path.rfind('/').map_or("", |slash| &path[..=slash])
}

/// A path relative to a directory, without `.` and with `..` only at its beginning.
pub fn join(directory: &str, path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let whole = if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("{directory}{path}")
    };
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    if whole.starts_with('/') {
        format!("/{joined}")
    } else {
        joined
    }
}

/// An `{{#include …}}`, or an escaped one without argument.
struct Directive<'a> {
    start: usize,
    end: usize,
    argument: Option<&'a str>,
}

/// The directives of a text, by the rules of mdBook's `links`; its other directives are ordinary text.
fn directives(text: &str) -> Vec<Directive<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = text[at..].find("{{").map(|offset| at + offset) {
        at = start + 2;
        if start > 0 && text.as_bytes()[start - 1] == b'\\' && text[at..].starts_with('#') {
            let line_end = text[at..]
                .find('\n')
                .map_or(text.len(), |offset| at + offset);
            if let Some(close) = text[at..line_end].rfind("}}") {
                found.push(Directive {
                    start: start - 1,
                    end: at + close + 2,
                    argument: None,
                });
                at += close + 2;
            }
            continue;
        }
        let Some(rest) = text[at..].trim_start().strip_prefix("#include") else {
            continue;
        };
        if !rest.starts_with(char::is_whitespace) {
            continue;
        }
        let Some(close) = rest.find('}') else {
            continue;
        };
        let end = text.len() - rest.len() + close;
        if !text[end..].starts_with("}}") {
            continue;
        }
        if let Some(argument) = rest[..close].split_whitespace().next() {
            found.push(Directive {
                start,
                end: end + 2,
                argument: Some(argument),
            });
            at = end + 2;
        }
    }
    found
}

/// The lines or the anchor of a file; an anchor that is not there gives its name and those that are.
fn take(text: &str, part: Option<&str>) -> Result<String, (String, Vec<String>)> {
    let join = |lines: Vec<&str>| lines.join("\n");
    let Some(part) = part else {
        return Ok(join(text.lines().collect()));
    };
    let mut parts = part.splitn(3, ':');
    let first = parts.next().unwrap_or("");
    let start = match first.parse::<usize>() {
        Ok(line) => Some(line.saturating_sub(1)),
        Err(_) if first.is_empty() => None,
        Err(_) => return anchored(text, first),
    };
    let end = parts.next().map(str::parse::<usize>);
    let (skip, until) = match (start, end) {
        (Some(start), None) => (start, Some(start + 1)),
        (start, Some(Ok(end))) => (start.unwrap_or(0), Some(end)),
        (start, _) => (start.unwrap_or(0), None),
    };
    let lines = text.lines().skip(skip);
    Ok(match until {
        Some(until) => join(lines.take(until.saturating_sub(skip)).collect()),
        None => join(lines.collect()),
    })
}

fn anchored(text: &str, anchor: &str) -> Result<String, (String, Vec<String>)> {
    let mut lines = Vec::new();
    let mut known = Vec::new();
    let mut inside = false;
    let mut seen = false;
    for line in text.lines() {
        if let Some(name) = anchor_of(line, "ANCHOR_END:") {
            if inside && name == anchor {
                break;
            }
        } else if let Some(name) = anchor_of(line, "ANCHOR:") {
            known.push(name.to_owned());
            inside = inside || name == anchor;
            seen = seen || name == anchor;
        } else if inside {
            lines.push(line);
        }
    }
    if seen {
        Ok(lines.join("\n"))
    } else {
        Err((anchor.to_owned(), known))
    }
}

fn anchor_of<'a>(line: &'a str, marker: &str) -> Option<&'a str> {
    let rest = line[line.find(marker)? + marker.len()..].trim_start();
    let end = rest
        .find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-')))
        .unwrap_or(rest.len());
    (end > 0).then(|| &rest[..end])
}

#[cfg(test)]
mod tests;
