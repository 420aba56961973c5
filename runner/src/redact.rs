//! Hides secret values, in all the forms in which they are written, in text, JSON and streams of bytes.
//!
//! All forms of all secrets (`forms`) are looked for in one pass. Every byte that belongs to any occurrence is hidden,
//! also where occurrences overlap, so that no end of a secret shows beside a shorter one. A stream holds back only what
//! may be the beginning of a form. Without secrets nothing is looked at and nothing is copied.

mod forms;

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use aho_corasick::{AhoCorasick, MatchKind};
use serde_json::Value;

use crate::process;

/// What stands in the place of a secret.
pub const HIDDEN: &str = "[hidden]";
/// The shortest value that can be hidden: shorter ones occur everywhere, and hiding them would tell where.
pub const SECRET_BYTES_MIN: usize = 3;

/// A value that is too short to be hidden; whoever wanted to use it must not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret of fewer than {SECRET_BYTES_MIN} bytes cannot be hidden")]
pub struct TooShort;

/// All secrets that are known. Clones share them.
#[derive(Clone, Default)]
pub struct Redactor {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Whether there is any secret; asked for each chunk of output.
    any: AtomicBool,
    patterns: RwLock<Arc<Patterns>>,
}

/// Says how many forms are known, never which.
impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redactor")
            .field("forms", &self.patterns().sorted.len())
            .finish_non_exhaustive()
    }
}

impl Redactor {
    /// Knows no secret yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Hides this value from now on, in streams that run already too.
    ///
    /// # Errors
    ///
    /// When it has fewer than `SECRET_BYTES_MIN` bytes beside blanks.
    pub fn learn(&self, value: impl AsRef<[u8]>) -> Result<(), TooShort> {
        let value = value.as_ref();
        if value.trim_ascii().len() < SECRET_BYTES_MIN {
            return Err(TooShort);
        }
        let mut patterns = self
            .shared
            .patterns
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let mut all = patterns.sorted.clone();
        all.extend(forms::of(value));
        all.sort_unstable();
        all.dedup();
        if all.len() > patterns.sorted.len() {
            *patterns = Arc::new(Patterns::new(all));
            self.shared.any.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Whether no secret is known.
    pub fn is_empty(&self) -> bool {
        !self.shared.any.load(Ordering::Acquire)
    }

    /// The text with every secret hidden.
    pub fn redact_str<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.redact_bytes(text.as_bytes()) {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            // A secret that is no UTF-8 may have cut a character.
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        }
    }

    /// The bytes with every secret hidden.
    pub fn redact_bytes<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        if self.is_empty() {
            return Cow::Borrowed(bytes);
        }
        let patterns = self.patterns();
        if !patterns.occur_in(bytes) {
            return Cow::Borrowed(bytes);
        }
        let mut stream = Held {
            bytes: bytes.to_vec(),
            hidden: 0,
        };
        let mut shown = Vec::with_capacity(bytes.len());
        stream.release(&patterns, bytes.len(), &mut shown);
        Cow::Owned(shown)
    }

    /// Hides what shows of a secret where a stream was cut before it was redacted: its beginning at the end of what stands
    /// before the cut, its end at the start of what stands behind it. Whole secrets are left as they are.
    pub fn hide_at_cut(&self, before: &mut Vec<u8>, behind: &mut Vec<u8>) {
        if self.is_empty() {
            return;
        }
        let patterns = self.patterns();
        let until = patterns.beginning_at_end(before);
        if until < before.len() {
            before.truncate(until);
            before.extend_from_slice(HIDDEN.as_bytes());
        }
        let from = patterns.end_at_start(behind);
        if from > 0 {
            behind.splice(..from, HIDDEN.bytes());
        }
    }

    /// Hides every secret in all texts, keys and numbers of a value.
    pub fn redact_json(&self, value: &mut Value) {
        if self.is_empty() {
            return;
        }
        match value {
            Value::Null | Value::Bool(_) => {}
            Value::Number(number) => {
                if let Cow::Owned(text) = self.redact_str(&number.to_string()) {
                    *value = Value::String(text);
                }
            }
            Value::String(text) => {
                if let Cow::Owned(redacted) = self.redact_str(text) {
                    *text = redacted;
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.redact_json(item)),
            Value::Object(map) => {
                map.values_mut().for_each(|value| self.redact_json(value));
                if map
                    .keys()
                    .any(|key| matches!(self.redact_str(key), Cow::Owned(_)))
                {
                    let entries = std::mem::take(map).into_iter();
                    *map = entries
                        .map(|(key, value)| (self.redact_str(&key).into_owned(), value))
                        .collect();
                }
            }
        }
    }

    /// Hides secrets in a stream.
    pub fn stream(&self) -> RedactStream {
        RedactStream {
            redactor: self.clone(),
            held: Held::default(),
        }
    }

    fn patterns(&self) -> Arc<Patterns> {
        Arc::clone(
            &self
                .shared
                .patterns
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}

impl process::Redact for Redactor {
    fn stream(&self) -> Box<dyn process::Transform> {
        Box::new(self.stream())
    }
}

/// Hides secrets in a stream, also those that lie across the borders of its chunks.
pub struct RedactStream {
    redactor: Redactor,
    held: Held,
}

impl RedactStream {
    /// Takes the next bytes and appends what may be shown.
    pub fn push(&mut self, bytes: &[u8], shown: &mut Vec<u8>) {
        if self.redactor.is_empty() {
            shown.extend_from_slice(bytes);
            return;
        }
        let patterns = self.redactor.patterns();
        self.held.bytes.extend_from_slice(bytes);
        let until = patterns.first_beginning(&self.held.bytes);
        self.held.release(&patterns, until, shown);
    }

    /// The stream has ended: appends what was held back.
    pub fn finish(&mut self, shown: &mut Vec<u8>) {
        let patterns = self.redactor.patterns();
        let until = self.held.bytes.len();
        self.held.release(&patterns, until, shown);
    }
}

impl process::Transform for RedactStream {
    fn push(&mut self, bytes: &[u8], shown: &mut Vec<u8>) {
        self.push(bytes, shown);
    }

    fn finish(&mut self, shown: &mut Vec<u8>) {
        self.finish(shown);
    }

    fn is_idle(&self) -> bool {
        self.redactor.is_empty()
    }
}

/// Bytes of a stream that were not shown yet.
#[derive(Default)]
struct Held {
    bytes: Vec<u8>,
    /// How many of them belong to an occurrence in whose place `HIDDEN` was shown already.
    hidden: usize,
}

impl Held {
    /// Shows the bytes before `until` and keeps the others.
    fn release(&mut self, patterns: &Patterns, until: usize, shown: &mut Vec<u8>) {
        let mut at = self.hidden;
        for (start, end) in patterns.occurrences(&self.bytes) {
            if start < at {
                // It goes on with what is hidden already.
                at = at.max(end);
            } else if start < until {
                shown.extend_from_slice(&self.bytes[at..start]);
                shown.extend_from_slice(HIDDEN.as_bytes());
                at = end;
            } else {
                break;
            }
        }
        if at < until {
            shown.extend_from_slice(&self.bytes[at..until]);
        }
        self.bytes.drain(..until);
        self.hidden = at.saturating_sub(until);
    }
}

/// All forms of all secrets, ready to be looked for.
#[derive(Default)]
struct Patterns {
    finder: Option<AhoCorasick>,
    sorted: Vec<Vec<u8>>,
    longest: usize,
}

impl Patterns {
    fn new(sorted: Vec<Vec<u8>>) -> Self {
        let finder = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .build(&sorted);
        // Fails beyond 2^31 bytes of secrets only; then nothing may be shown at all.
        let finder = finder.expect("secrets have fewer than two billion bytes");
        let longest = sorted.iter().map(Vec::len).max().unwrap_or(0);
        Self {
            finder: Some(finder),
            sorted,
            longest,
        }
    }

    fn occur_in(&self, bytes: &[u8]) -> bool {
        self.finder
            .as_ref()
            .is_some_and(|finder| finder.is_match(bytes))
    }

    /// Where forms occur, by their start; they may overlap.
    fn occurrences(&self, bytes: &[u8]) -> Vec<(usize, usize)> {
        let Some(finder) = self.finder.as_ref() else {
            return Vec::new();
        };
        let found = finder
            .find_overlapping_iter(bytes)
            .map(|found| (found.start(), found.end()));
        let mut found: Vec<_> = found.collect();
        found.sort_unstable();
        found
    }

    /// Where the bytes must end, so that they do not end inside a form; whole forms that reach into it go with it.
    fn beginning_at_end(&self, bytes: &[u8]) -> usize {
        let mut until = self.first_beginning(bytes);
        for (start, end) in self.occurrences(bytes).into_iter().rev() {
            if start < until && until < end {
                until = start;
            }
        }
        until
    }

    /// Where the bytes must begin, so that they do not begin inside a form; whole forms that reach into it go with it.
    fn end_at_start(&self, bytes: &[u8]) -> usize {
        let mut from = 0;
        for form in &self.sorted {
            let longest = form.len().saturating_sub(1).min(bytes.len());
            let end = (from + 1..=longest)
                .rev()
                .find(|length| bytes.starts_with(&form[form.len() - length..]));
            from = end.unwrap_or(from);
        }
        for (start, end) in self.occurrences(bytes) {
            if start < from {
                from = from.max(end);
            }
        }
        from
    }

    /// Where the first form may begin that ends beyond these bytes.
    fn first_beginning(&self, bytes: &[u8]) -> usize {
        let earliest = bytes.len().saturating_sub(self.longest.saturating_sub(1));
        (earliest..bytes.len())
            .find(|start| self.is_beginning(&bytes[*start..]))
            .unwrap_or(bytes.len())
    }

    /// Whether a form begins so and goes on.
    fn is_beginning(&self, bytes: &[u8]) -> bool {
        let at = self.sorted.partition_point(|form| form.as_slice() <= bytes);
        self.sorted
            .get(at)
            .is_some_and(|form| form.starts_with(bytes))
    }
}

#[cfg(test)]
mod tests;
