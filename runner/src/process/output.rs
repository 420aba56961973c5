//! What is kept of a child's output, however much there is.
//!
//! Three places, each with a maximum: the text in memory (its beginning and its end), a file with all of it, and a live
//! sink. Every byte passes the redaction before it reaches one of them. Bytes are bytes here: invalid UTF-8 and lines
//! without an end are harmless.

use std::borrow::Cow;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

/// How much of one stream is kept in memory: half of it from its beginning, half from its end.
pub const TEXT_BYTES_MAX: usize = 4 << 20;
/// How much of the head and of the tail of a stream its excerpt has.
pub const EXCERPT_BYTES: usize = 16 << 10;
/// How much of the output is kept on disk.
pub const ARTIFACT_BYTES_MAX: u64 = 64 << 20;

/// Which of a child's two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Makes a transformer for each stream; it sees every byte before anything else does.
pub trait Redact: Send + Sync {
    /// A transformer for one stream.
    fn stream(&self) -> Box<dyn Transform>;
    /// The same for those who tell the streams apart.
    fn stream_of(&self, stream: Stream) -> Box<dyn Transform> {
        let _ = stream;
        self.stream()
    }
}

/// Changes a stream as it flows by.
pub trait Transform: Send {
    /// Takes the next bytes and appends what may be shown; may hold bytes back.
    fn push(&mut self, bytes: &[u8], shown: &mut Vec<u8>);
    /// The stream has ended: appends what was held back.
    fn finish(&mut self, shown: &mut Vec<u8>);
    /// Whether it would pass the next bytes on unchanged, so that they need not be copied.
    fn is_idle(&self) -> bool {
        false
    }
}

/// Sees output as it comes. Chunks end anywhere, also inside a character.
pub trait Live: Send {
    /// The next bytes of a stream.
    fn output(&mut self, stream: Stream, bytes: &[u8]);
}

impl<F: FnMut(Stream, &[u8]) + Send> Live for F {
    fn output(&mut self, stream: Stream, bytes: &[u8]) {
        self(stream, bytes);
    }
}

/// Where the whole output goes on disk.
#[derive(Debug, Clone)]
pub struct Keep {
    /// The file; it and its directory are made when they are needed.
    pub path: PathBuf,
    /// Whether it is also written when head and tail of the excerpt have everything.
    pub always: bool,
}

/// What is to be done with the output.
#[derive(Default)]
pub struct Record {
    /// Where the whole output goes.
    pub keep: Option<Keep>,
    /// What every byte passes first.
    pub redact: Option<Arc<dyn Redact>>,
    /// Who sees it as it comes.
    pub live: Option<Box<dyn Live>>,
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("keep", &self.keep)
            .finish_non_exhaustive()
    }
}

/// What is kept of one stream: everything up to `TEXT_BYTES_MAX`, else its beginning and its end.
#[derive(Debug, Clone, Default)]
pub struct Capture {
    head: Vec<u8>,
    /// A ring once it is full; `next` is where its oldest byte lies.
    tail: Vec<u8>,
    next: usize,
    total: u64,
}

const HALF: usize = TEXT_BYTES_MAX / 2;
/// How long one half grows by doubling.
const GROWN_BYTES: usize = 64 << 10;

impl Capture {
    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let (head, rest) = bytes.split_at(bytes.len().min(HALF - self.head.len()));
        extend(&mut self.head, head);
        let rest = &rest[rest.len().saturating_sub(HALF)..];
        let (grow, wrap) = rest.split_at(rest.len().min(HALF - self.tail.len()));
        extend(&mut self.tail, grow);
        let (to_end, to_start) = wrap.split_at(wrap.len().min(HALF - self.next));
        self.tail[self.next..self.next + to_end.len()].copy_from_slice(to_end);
        self.tail[..to_start.len()].copy_from_slice(to_start);
        if !wrap.is_empty() {
            self.next = (self.next + wrap.len()) % HALF;
        }
    }

    /// How many bytes there were, also those that were not kept.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Whether there was nothing.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// How many bytes between beginning and end were not kept.
    pub fn omitted(&self) -> u64 {
        self.total - (self.head.len() + self.tail.len()) as u64
    }

    /// Whether the text is all there was. Where it is not, nothing follows from what the text lacks.
    pub fn is_whole(&self) -> bool {
        self.omitted() == 0
    }

    /// The text, invalid UTF-8 replaced; where bytes were omitted a line in brackets says how many.
    pub fn text(&self) -> Cow<'_, str> {
        if self.tail.is_empty() {
            return String::from_utf8_lossy(&self.head);
        }
        let mut bytes = Vec::with_capacity(self.head.len() + self.tail.len() + 64);
        bytes.extend_from_slice(&self.head);
        self.tell_omitted(&mut bytes);
        bytes.extend_from_slice(&self.tail[self.next..]);
        bytes.extend_from_slice(&self.tail[..self.next]);
        Cow::Owned(lossy(bytes))
    }

    /// As [`text`](Self::text), with what shows of a secret at both sides of the cut hidden: `hide` gets what stands before
    /// it and what stands behind it.
    pub fn text_hidden_at_cut(
        &self,
        hide: impl FnOnce(&mut Vec<u8>, &mut Vec<u8>),
    ) -> Cow<'_, str> {
        if self.is_whole() {
            return self.text();
        }
        let mut head = self.head.clone();
        let mut tail = [&self.tail[self.next..], &self.tail[..self.next]].concat();
        hide(&mut head, &mut tail);
        self.tell_omitted(&mut head);
        head.extend_from_slice(&tail);
        Cow::Owned(lossy(head))
    }

    fn tell_omitted(&self, bytes: &mut Vec<u8>) {
        if !self.is_whole() {
            bytes.extend_from_slice(format!("\n[{} bytes omitted]\n", self.omitted()).as_bytes());
        }
    }

    /// Head and tail of `EXCERPT_BYTES` each.
    pub fn excerpt(&self) -> Excerpt {
        if self.total <= 2 * EXCERPT_BYTES as u64 {
            return Excerpt {
                head: self.text().into_owned(),
                tail: String::new(),
                omitted: 0,
            };
        }
        let mut tail = Vec::with_capacity(EXCERPT_BYTES);
        let kept = self.head.len() + self.tail.len();
        for at in kept - EXCERPT_BYTES..kept {
            tail.push(match at.checked_sub(self.head.len()) {
                None => self.head[at],
                Some(at) => self.tail[(self.next + at) % self.tail.len()],
            });
        }
        let head = cut_end(&self.head[..EXCERPT_BYTES]);
        let tail = cut_start(&tail);
        let omitted = self.total - (head.len() + tail.len()) as u64;
        Excerpt {
            head: String::from_utf8_lossy(head).into_owned(),
            tail: String::from_utf8_lossy(tail).into_owned(),
            omitted,
        }
    }
}

/// Appends to one half. What will be long gets its whole room at once: growing by doubling would leave as much again unused.
fn extend(half: &mut Vec<u8>, bytes: &[u8]) {
    if half.len() + bytes.len() > half.capacity().max(GROWN_BYTES) {
        half.reserve_exact(HALF - half.len());
    }
    half.extend_from_slice(bytes);
}

fn lossy(bytes: Vec<u8>) -> String {
    match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    }
}

/// Without a character that is cut at the end.
fn cut_end(bytes: &[u8]) -> &[u8] {
    match std::str::from_utf8(bytes) {
        // `error_len` is `None` only where the bytes end inside a character.
        Err(error) if error.error_len().is_none() => &bytes[..error.valid_up_to()],
        _ => bytes,
    }
}

/// Without a character that is cut at the start.
fn cut_start(bytes: &[u8]) -> &[u8] {
    let cut = bytes
        .iter()
        .take(3)
        .take_while(|byte| **byte & 0xC0 == 0x80)
        .count();
    &bytes[cut..]
}

/// Head and tail of a stream, for a report.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Excerpt {
    /// Its first bytes; all of them when none are omitted.
    pub head: String,
    /// Its last bytes; empty when none are omitted.
    pub tail: String,
    /// How many bytes lie between.
    pub omitted: u64,
}

/// The file with the whole output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Where it is.
    pub path: PathBuf,
    /// How long it is.
    pub bytes: u64,
    /// Whether it has everything: false beyond `ARTIFACT_BYTES_MAX` and after an error.
    pub whole: bool,
    /// Why it could not be written (wholly).
    pub error: Option<String>,
}

/// What a child printed.
#[derive(Debug, Clone, Default)]
pub struct Output {
    /// Standard output.
    pub stdout: Capture,
    /// Standard error.
    pub stderr: Capture,
    /// Both, once both have something.
    mixed: Option<Capture>,
    /// The file with all of it, when there is one.
    pub artifact: Option<Artifact>,
}

impl Output {
    /// Both streams in the order in which they were read. (Writes to different pipes carry no common order: what two
    /// streams wrote within microseconds may be exchanged.)
    pub fn both(&self) -> &Capture {
        self.mixed.as_ref().unwrap_or(if self.stdout.is_empty() {
            &self.stderr
        } else {
            &self.stdout
        })
    }

    fn push(&mut self, stream: Stream, bytes: &[u8]) {
        let (this, other) = match stream {
            Stream::Stdout => (&mut self.stdout, &self.stderr),
            Stream::Stderr => (&mut self.stderr, &self.stdout),
        };
        if self.mixed.is_none() && this.is_empty() && !other.is_empty() {
            self.mixed = Some(other.clone());
        }
        this.push(bytes);
        if let Some(mixed) = &mut self.mixed {
            mixed.push(bytes);
        }
    }
}

/// Takes a child's output as it comes, or what came of a child elsewhere.
pub struct Collector {
    output: Output,
    keep: Option<Keep>,
    file: Option<File>,
    transforms: [Option<Box<dyn Transform>>; 2],
    live: Option<Box<dyn Live>>,
    /// What a transformer lets through.
    shown: Vec<u8>,
    /// What came, before any transformer.
    seen: [u64; 2],
}

impl Collector {
    /// Nothing yet.
    pub fn new(record: Record) -> Self {
        let stream = |stream| {
            let redact = record.redact.as_ref()?;
            Some(redact.stream_of(stream))
        };
        Self {
            output: Output::default(),
            transforms: [stream(Stream::Stdout), stream(Stream::Stderr)],
            keep: record.keep,
            file: None,
            live: record.live,
            shown: Vec::new(),
            seen: [0; 2],
        }
    }

    /// The next bytes of a stream.
    pub fn push(&mut self, stream: Stream, bytes: &[u8]) {
        self.seen[stream as usize] += bytes.len() as u64;
        match &mut self.transforms[stream as usize] {
            Some(transform) if !transform.is_idle() => {
                let mut shown = std::mem::take(&mut self.shown);
                transform.push(bytes, &mut shown);
                self.show(stream, &shown);
                shown.clear();
                self.shown = shown;
            }
            _ => self.show(stream, bytes),
        }
    }

    /// How much of a stream came so far.
    pub fn seen(&self, stream: Stream) -> u64 {
        self.seen[stream as usize]
    }

    /// A stream has ended.
    pub(super) fn finish(&mut self, stream: Stream) {
        if let Some(mut transform) = self.transforms[stream as usize].take() {
            let mut shown = std::mem::take(&mut self.shown);
            transform.finish(&mut shown);
            self.show(stream, &shown);
        }
    }

    /// What there is so far.
    pub(super) fn output(&self) -> &Output {
        &self.output
    }

    /// Ends both streams and takes everything.
    pub fn take(&mut self) -> Output {
        self.finish(Stream::Stdout);
        self.finish(Stream::Stderr);
        self.file = None;
        self.live = None;
        std::mem::take(&mut self.output)
    }

    fn show(&mut self, stream: Stream, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.output.push(stream, bytes);
        self.store(bytes);
        if let Some(live) = &mut self.live {
            live.output(stream, bytes);
        }
    }

    /// Writes to the file. A full disk ends the file, never the child.
    fn store(&mut self, bytes: &[u8]) {
        let Some(keep) = &self.keep else { return };
        if let (Some(artifact), Some(file)) = (&mut self.output.artifact, &mut self.file) {
            let room = usize::try_from(ARTIFACT_BYTES_MAX - artifact.bytes).unwrap_or(usize::MAX);
            append(file, artifact, &bytes[..bytes.len().min(room)]);
            if bytes.len() > room || artifact.error.is_some() {
                artifact.whole = false;
                self.file = None;
            }
        } else if self.output.artifact.is_none() {
            let both = self.output.both();
            if !keep.always && both.total() <= 2 * EXCERPT_BYTES as u64 {
                return;
            }
            let mut artifact = Artifact {
                path: keep.path.clone(),
                bytes: 0,
                whole: true,
                error: None,
            };
            match create(&keep.path) {
                Ok(mut file) => {
                    // Nothing was omitted yet: a chunk is far smaller than what is kept.
                    debug_assert!(both.is_whole());
                    append(&mut file, &mut artifact, &both.head);
                    append(&mut file, &mut artifact, &both.tail);
                    self.file = artifact.error.is_none().then_some(file);
                }
                Err(error) => artifact.error = Some(error.to_string()),
            }
            artifact.whole = artifact.error.is_none();
            self.output.artifact = Some(artifact);
        }
    }
}

fn create(path: &std::path::Path) -> io::Result<File> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    File::create(path)
}

fn append(file: &mut File, artifact: &mut Artifact, bytes: &[u8]) {
    match file.write_all(bytes) {
        Ok(()) => artifact.bytes += bytes.len() as u64,
        Err(error) => artifact.error = Some(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capture(total: usize, chunk: usize) -> (Vec<u8>, Capture) {
        let all: Vec<u8> = (0..total)
            .map(|at| b'a' + u8::try_from(at % 23).expect("below 23"))
            .collect();
        let mut capture = Capture::default();
        for bytes in all.chunks(chunk) {
            capture.push(bytes);
        }
        (all, capture)
    }

    #[test]
    fn a_short_text_is_kept_whole() {
        let (all, capture) = capture(HALF + 12_345, 4096);
        assert!(capture.is_whole());
        assert_eq!(capture.text().as_bytes(), all);
    }

    #[test]
    fn of_a_long_text_beginning_and_end_are_kept_whatever_the_chunks() {
        for chunk in [1_000, 65_536, 3 * HALF] {
            let (all, capture) = capture(3 * HALF + 777, chunk);
            assert!(!capture.is_whole());
            assert_eq!(capture.omitted(), (HALF + 777) as u64);
            let text = capture.text();
            assert!(
                text.as_bytes().starts_with(&all[..HALF]),
                "chunks of {chunk}"
            );
            assert!(
                text.as_bytes().ends_with(&all[all.len() - HALF..]),
                "chunks of {chunk}"
            );
            assert!(text.contains(&format!("\n[{} bytes omitted]\n", HALF + 777)));
            let excerpt = capture.excerpt();
            assert_eq!(excerpt.head.as_bytes(), &all[..EXCERPT_BYTES]);
            assert_eq!(excerpt.tail.as_bytes(), &all[all.len() - EXCERPT_BYTES..]);
            assert_eq!(excerpt.omitted as usize, all.len() - 2 * EXCERPT_BYTES);
        }
    }

    #[test]
    fn an_excerpt_cuts_between_characters() {
        let mut capture = Capture::default();
        capture.push(format!("x{}", "é".repeat(40_000)).as_bytes());
        let excerpt = capture.excerpt();
        assert!(!excerpt.head.contains('\u{FFFD}') && !excerpt.tail.contains('\u{FFFD}'));
        assert_eq!(
            excerpt.head.len() + excerpt.tail.len() + excerpt.omitted as usize,
            80_001
        );
    }

    #[test]
    fn a_directory_that_cannot_be_written_ends_the_file_and_not_the_output() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("file");
        fs::write(&file, "").expect("a file");
        let keep = Some(Keep {
            path: file.join("below-a-file"),
            always: true,
        });
        let mut collector = Collector::new(Record {
            keep,
            ..Record::default()
        });
        collector.push(Stream::Stdout, b"hello");
        collector.push(Stream::Stdout, b" there");
        let output = collector.take();
        assert_eq!(output.stdout.text(), "hello there");
        let artifact = output
            .artifact
            .expect("an artifact that says what is wrong");
        assert!(!artifact.whole && artifact.error.is_some());
    }
}
