//! Where a program's own output begins and ends in what came over a connection, and how it ended there.
//!
//! Both streams begin with a mark, standard error ends with one that has the exit code: so nothing that a login shell, a
//! proxy or `sudo` prints before is taken for the program's, and its exit code is never confused with the connection's.
//! A mark is a number that nobody else knows.

use std::sync::{Arc, Mutex, PoisonError};

use crate::process::{Redact, Stream, Transform};

/// How much of what came before the program is kept.
const PREAMBLE_BYTES_MAX: usize = 16 << 10;
/// The longest text of an end's mark: an exit code and a number.
const END_BYTES_MAX: usize = 40;

/// What a frame tells.
#[derive(Debug, Default, Clone)]
pub(super) struct Told {
    /// The program began.
    pub(super) began: bool,
    /// Its exit code, and how many processes it left behind.
    pub(super) end: Option<(i32, usize)>,
    /// What was printed before it began.
    pub(super) preamble: Vec<u8>,
}

/// Takes the frame off both streams; what is inside passes the next transformer.
pub(super) struct Frame {
    nonce: String,
    inner: Option<Arc<dyn Redact>>,
    told: Arc<Mutex<Told>>,
}

impl Frame {
    pub(super) fn new(
        nonce: &str,
        inner: Option<Arc<dyn Redact>>,
    ) -> (Arc<Self>, Arc<Mutex<Told>>) {
        let told = Arc::new(Mutex::new(Told::default()));
        let frame = Self {
            nonce: nonce.to_owned(),
            inner,
            told: Arc::clone(&told),
        };
        (Arc::new(frame), told)
    }
}

impl Redact for Frame {
    fn stream(&self) -> Box<dyn Transform> {
        self.stream_of(Stream::Stdout)
    }

    fn stream_of(&self, stream: Stream) -> Box<dyn Transform> {
        Box::new(Unframe {
            begin: format!("\x1e{}\n", self.nonce).into_bytes(),
            end: format!("\x1e{} ", self.nonce).into_bytes(),
            ends: stream == Stream::Stderr,
            place: Place::Before,
            held: Vec::new(),
            inner: self.inner.as_ref().map(|inner| inner.stream_of(stream)),
            told: Arc::clone(&self.told),
        })
    }
}

#[derive(PartialEq, Eq)]
enum Place {
    Before,
    Inside,
    After,
}

struct Unframe {
    begin: Vec<u8>,
    end: Vec<u8>,
    /// Whether this stream has the mark of the end.
    ends: bool,
    place: Place,
    /// What may be a part of a mark, or before the beginning everything.
    held: Vec<u8>,
    inner: Option<Box<dyn Transform>>,
    told: Arc<Mutex<Told>>,
}

impl Unframe {
    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&mut self, bytes: &[u8], shown: &mut Vec<u8>) {
        match &mut self.inner {
            Some(inner) => inner.push(bytes, shown),
            None => shown.extend_from_slice(bytes),
        }
    }

    /// Looks for the beginning; what is before it stays, bounded from its end.
    fn before(&mut self, bytes: &[u8], shown: &mut Vec<u8>) {
        self.held.extend_from_slice(bytes);
        let held = std::mem::take(&mut self.held);
        if let Some(at) = find(&held, &self.begin) {
            self.place = Place::Inside;
            let mut told = self.told();
            told.began = true;
            keep(&mut told.preamble, &held[..at]);
            drop(told);
            self.inside(&held[at + self.begin.len()..], shown);
        } else {
            let cut = held.len().saturating_sub(PREAMBLE_BYTES_MAX);
            self.held = held[cut..].to_vec();
        }
    }

    /// Passes on what is certainly the program's.
    fn inside(&mut self, bytes: &[u8], shown: &mut Vec<u8>) {
        if !self.ends {
            self.show(bytes, shown);
            return;
        }
        let joined;
        let bytes = if self.held.is_empty() {
            bytes
        } else {
            self.held.extend_from_slice(bytes);
            joined = std::mem::take(&mut self.held);
            &joined[..]
        };
        match find(bytes, &self.end) {
            Some(at) => {
                self.show(&bytes[..at], shown);
                self.place = Place::After;
                self.after(&bytes[at + self.end.len()..]);
            }
            None => {
                let safe = bytes.len() - partial(bytes, &self.end);
                self.show(&bytes[..safe], shown);
                self.held = bytes[safe..].to_vec();
            }
        }
    }

    /// Reads the end; what follows is nobody's.
    fn after(&mut self, bytes: &[u8]) {
        let room = END_BYTES_MAX.saturating_sub(self.held.len());
        self.held.extend_from_slice(&bytes[..bytes.len().min(room)]);
        let Some(end) = self.held.iter().position(|byte| *byte == b'\n') else {
            return;
        };
        let text = String::from_utf8_lossy(&self.held[..end]).into_owned();
        let mut numbers = text.split(' ');
        let code = numbers.next().and_then(|code| code.parse().ok());
        let left = numbers.next().and_then(|left| left.parse().ok());
        if let Some(code) = code {
            self.told().end = Some((code, left.unwrap_or(0)));
        }
    }
}

impl Transform for Unframe {
    fn push(&mut self, bytes: &[u8], shown: &mut Vec<u8>) {
        match self.place {
            Place::Before => self.before(bytes, shown),
            Place::Inside => self.inside(bytes, shown),
            Place::After => self.after(bytes),
        }
    }

    fn finish(&mut self, shown: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.held);
        match self.place {
            Place::Before => keep(&mut self.told().preamble, &held),
            Place::Inside => self.show(&held, shown),
            Place::After => {}
        }
        if let Some(inner) = &mut self.inner {
            inner.finish(shown);
        }
    }

    fn is_idle(&self) -> bool {
        self.place == Place::Inside
            && !self.ends
            && self.inner.as_ref().is_none_or(|inner| inner.is_idle())
    }
}

fn keep(preamble: &mut Vec<u8>, bytes: &[u8]) {
    let room = PREAMBLE_BYTES_MAX.saturating_sub(preamble.len());
    preamble.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

fn find(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|byte| *byte == mark[0]) {
        if bytes[from + at..].starts_with(mark) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

/// How many bytes at the end may be the beginning of a mark.
fn partial(bytes: &[u8], mark: &[u8]) -> usize {
    let from = bytes.len().saturating_sub(mark.len() - 1);
    (from..bytes.len())
        .find(|at| mark.starts_with(&bytes[*at..]))
        .map_or(0, |at| bytes.len() - at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn passed(stream: Stream, chunks: &[&[u8]]) -> (Vec<u8>, Told) {
        let (frame, told) = Frame::new("0123abcd", None);
        let mut transform = frame.stream_of(stream);
        let mut shown = Vec::new();
        for chunk in chunks {
            transform.push(chunk, &mut shown);
        }
        transform.finish(&mut shown);
        let told = told.lock().unwrap().clone();
        (shown, told)
    }

    #[test]
    fn what_is_before_and_after_the_program_is_not_its_output() {
        let text = b"motd\n\x1e0123abcd\nhello\n\x1e0123abcd 255 2\nlate";
        let (shown, told) = passed(Stream::Stderr, &[text]);
        assert_eq!(shown, b"hello\n");
        assert!(told.began);
        assert_eq!(told.end, Some((255, 2)));
        assert_eq!(told.preamble, b"motd\n");
    }

    #[test]
    fn what_never_began_is_no_output() {
        let (shown, told) = passed(Stream::Stdout, &[b"sudo: a password", b" is required\n"]);
        assert!(shown.is_empty() && !told.began && told.end.is_none());
        assert_eq!(told.preamble, b"sudo: a password is required\n");
    }

    #[test]
    fn a_lost_connection_has_no_end_and_loses_no_output() {
        let (shown, told) = passed(Stream::Stderr, &[b"\x1e0123abcd\nabc\x1e0123"]);
        assert_eq!(shown, b"abc\x1e0123");
        assert!(told.began && told.end.is_none());
    }

    proptest! {
        #[test]
        fn the_chunks_do_not_matter(
            body in prop::collection::vec(prop::sample::select(vec![0x1eu8, b'0', b'1', b'2', b'\n', b'x', 0xff]), 0..60),
            cuts in prop::collection::vec(1usize..9, 1..60),
        ) {
            let whole = [b"\x1e0123abcd\n", &body[..], b"\x1e0123abcd 7 0\n"].concat();
            let mut chunks = Vec::new();
            let mut rest = &whole[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (chunk, after) = rest.split_at((*cut).min(rest.len()));
                chunks.push(chunk);
                rest = after;
            }
            let (shown, told) = passed(Stream::Stderr, &chunks);
            prop_assert_eq!(shown, body);
            prop_assert_eq!(told.end, Some((7, 0)));
        }
    }
}
