//! Packets of SFTP, version 3 (draft-ietf-secsh-filexfer-02): what is read from a request, what an answer is made of.

use std::fs::Metadata;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;

/// The longest packet: OpenSSH's own limit.
const PACKET_BYTES_MAX: usize = 256 * 1024;

/// Which attributes a packet has.
const HAS_SIZE: u32 = 1;
const HAS_OWNER: u32 = 2;
const HAS_MODE: u32 = 4;
const HAS_TIMES: u32 = 8;

/// One request.
pub(super) struct Request {
    pub(super) kind: u8,
    body: Vec<u8>,
    at: usize,
}

/// A request that ends before it should.
fn short() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}

impl Request {
    /// Reads the next one; `None` at the end.
    pub(super) fn read(from: &mut impl Read) -> io::Result<Option<Self>> {
        let mut length = [0; 4];
        match from.read_exact(&mut length) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        let length = u32::from_be_bytes(length) as usize;
        if length == 0 || length > PACKET_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut body = vec![0; length];
        from.read_exact(&mut body)?;
        let kind = body.remove(0);
        Ok(Some(Self { kind, body, at: 0 }))
    }

    fn take(&mut self, length: usize) -> io::Result<&[u8]> {
        let end = self.at.checked_add(length).ok_or_else(short)?;
        let taken = self.body.get(self.at..end).ok_or_else(short)?;
        self.at = end;
        Ok(taken)
    }

    pub(super) fn number(&mut self) -> io::Result<u32> {
        let bytes = self.take(4)?.try_into().map_err(|_| short())?;
        Ok(u32::from_be_bytes(bytes))
    }

    pub(super) fn long(&mut self) -> io::Result<u64> {
        let bytes = self.take(8)?.try_into().map_err(|_| short())?;
        Ok(u64::from_be_bytes(bytes))
    }

    pub(super) fn bytes(&mut self) -> io::Result<Vec<u8>> {
        let length = self.number()? as usize;
        Ok(self.take(length)?.to_vec())
    }

    pub(super) fn attributes(&mut self) -> io::Result<Attributes> {
        let flags = self.number()?;
        let mut found = Attributes::default();
        if flags & HAS_SIZE != 0 {
            found.size = Some(self.long()?);
        }
        if flags & HAS_OWNER != 0 {
            found.owner = Some((self.number()?, self.number()?));
        }
        if flags & HAS_MODE != 0 {
            found.mode = Some(self.number()?);
        }
        if flags & HAS_TIMES != 0 {
            found.times = Some((self.number()?, self.number()?));
        }
        // Extended attributes, which nobody sends, are left unread.
        Ok(found)
    }
}

/// What a file is wished to be.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Attributes {
    pub(super) size: Option<u64>,
    pub(super) owner: Option<(u32, u32)>,
    pub(super) mode: Option<u32>,
    /// Access and modification, in seconds.
    pub(super) times: Option<(u32, u32)>,
}

/// An answer that is being made.
pub(super) struct Answer(Vec<u8>);

impl Answer {
    pub(super) fn new(kind: u8) -> Self {
        Self(vec![0, 0, 0, 0, kind])
    }

    pub(super) fn number(mut self, number: u32) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.0.extend(length.to_be_bytes());
        self.0.extend(bytes);
        self
    }

    pub(super) fn attributes(self, found: Option<&Metadata>) -> Self {
        let Some(found) = found else {
            return self.number(0);
        };
        // The protocol's seconds end in 2106.
        let seconds = |time: i64| u32::try_from(time).unwrap_or(0);
        let size = found.size().to_be_bytes();
        let mut answer = self.number(HAS_SIZE | HAS_OWNER | HAS_MODE | HAS_TIMES);
        answer.0.extend(size);
        answer
            .number(found.uid())
            .number(found.gid())
            .number(found.mode())
            .number(seconds(found.atime()))
            .number(seconds(found.mtime()))
    }

    /// The packet with its length.
    pub(super) fn packet(mut self) -> Vec<u8> {
        let length = u32::try_from(self.0.len() - 4).unwrap_or(u32::MAX);
        self.0[..4].copy_from_slice(&length.to_be_bytes());
        self.0
    }
}
