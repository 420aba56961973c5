//! Age, the part that opens what was encrypted for an X25519 recipient (`age-encryption.org/v1`): identities, headers, payloads.
//!
//! Written here, since the crate for it brings 75 others, among them a second generation of the ciphers that the lab's SSH has.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use curve25519_dalek::montgomery::MontgomeryPoint;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::{hkdf, hmac};

const INTRODUCTION: &str = "age-encryption.org/v1";
const ARMOR_BEGIN: &str = "-----BEGIN AGE ENCRYPTED FILE-----";
const ARMOR_END: &str = "-----END AGE ENCRYPTED FILE-----";
const IDENTITY_PREFIX: &str = "age-secret-key-";
/// A whole chunk of a payload, without its tag.
const CHUNK: usize = 64 * 1024;
const TAG: usize = 16;
const SALT: usize = 16;
const KEY: usize = 32;

/// A secret key. It is never shown.
pub(crate) struct Identity([u8; KEY]);

impl Identity {
    /// Reads the identities of a key file: one a line, `#` begins a comment.
    ///
    /// # Errors
    ///
    /// When a line is none. The line is not repeated.
    pub(crate) fn read_all(text: &str) -> Result<Vec<Self>, String> {
        text.lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| {
                let (prefix, bytes) = bech32(line).ok_or("malformed secret key")?;
                let bytes: [u8; KEY] = bytes.try_into().map_err(|_| "malformed secret key")?;
                if prefix == IDENTITY_PREFIX {
                    Ok(Self(bytes))
                } else {
                    Err("unknown identity type".to_owned())
                }
            })
            .collect()
    }
}

/// Opens a file that was encrypted for one of the identities. None when it was for others.
///
/// # Errors
///
/// When it is no such file, or was changed.
pub(super) fn open(file: &str, identities: &[Identity]) -> Result<Option<Vec<u8>>, String> {
    let file = file.trim();
    let bytes = match file.strip_prefix(ARMOR_BEGIN) {
        Some(rest) => {
            let body = rest
                .strip_suffix(ARMOR_END)
                .ok_or("an age file's armor has no end")?;
            let text: String = body.split_whitespace().collect();
            STANDARD
                .decode(text)
                .map_err(|_| "an age file's armor is not base64")?
        }
        None => file.as_bytes().to_vec(),
    };
    let header = Header::read(&bytes)?;
    let Some(key) = identities
        .iter()
        .find_map(|identity| header.file_key(identity))
    else {
        return Ok(None);
    };
    let mac = derive(&key, &[], "header").map(|key| hmac::Key::new(hmac::HMAC_SHA256, &key))?;
    hmac::verify(&mac, header.signed, &header.mac)
        .map_err(|_| "an age file's header was changed")?;
    payload(&key, header.payload).map(Some)
}

struct Header<'a> {
    /// Ephemeral shares and wrapped keys for X25519 recipients.
    stanzas: Vec<([u8; KEY], Vec<u8>)>,
    /// What the MAC is of.
    signed: &'a [u8],
    mac: Vec<u8>,
    payload: &'a [u8],
}

impl<'a> Header<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let malformed = || "an age file's header cannot be read".to_owned();
        let mut at = 0;
        let mut line = || -> Option<(usize, &'a str)> {
            let from = at;
            let end = from + bytes[from..].iter().position(|byte| *byte == b'\n')?;
            at = end + 1;
            Some((from, std::str::from_utf8(&bytes[from..end]).ok()?))
        };
        if line().map(|(_, text)| text) != Some(INTRODUCTION) {
            return Err("it is not of age's first version".to_owned());
        }
        let mut stanzas = Vec::new();
        let mut open: Option<(Option<[u8; KEY]>, String)> = None;
        loop {
            let (from, text) = line().ok_or_else(malformed)?;
            let opens = text.strip_prefix("-> ");
            let ends = text.strip_prefix("--- ");
            let over = (opens.is_some() || ends.is_some()).then(|| open.take());
            if let Some(Some((Some(share), body))) = over {
                let wrapped = STANDARD_NO_PAD.decode(body).map_err(|_| malformed())?;
                stanzas.push((share, wrapped));
            }
            if let Some(arguments) = opens {
                let share = match arguments.split(' ').collect::<Vec<_>>().as_slice() {
                    ["X25519", share] => STANDARD_NO_PAD
                        .decode(share)
                        .ok()
                        .and_then(|share| share.try_into().ok()),
                    _ => None,
                };
                open = Some((share, String::new()));
            } else if let Some(mac) = ends {
                return Ok(Self {
                    stanzas,
                    signed: &bytes[..from + "---".len()],
                    mac: STANDARD_NO_PAD.decode(mac).map_err(|_| malformed())?,
                    payload: &bytes[at..],
                });
            } else if let Some((_, body)) = &mut open {
                body.push_str(text);
            } else {
                return Err(malformed());
            }
        }
    }

    fn file_key(&self, identity: &Identity) -> Option<Vec<u8>> {
        let own = MontgomeryPoint::mul_base_clamped(identity.0).to_bytes();
        self.stanzas.iter().find_map(|(share, wrapped)| {
            let shared = MontgomeryPoint(*share).mul_clamped(identity.0).to_bytes();
            // A share that leads to zero would make the key known to everybody.
            if shared == [0; KEY] {
                return None;
            }
            let salt = [share.as_slice(), own.as_slice()].concat();
            let key = derive(&shared, &salt, "age-encryption.org/v1/X25519").ok()?;
            unseal(&key, [0; 12], wrapped).ok()
        })
    }
}

fn payload(key: &[u8], bytes: &[u8]) -> Result<Vec<u8>, String> {
    let short = || "an age file is cut off".to_owned();
    let (salt, mut rest) = bytes.split_at_checked(SALT).ok_or_else(short)?;
    let key = derive(key, salt, "payload")?;
    let mut out = Vec::new();
    for counter in 0_u64.. {
        let last = rest.len() <= CHUNK + TAG;
        let (chunk, after) = rest.split_at(rest.len().min(CHUNK + TAG));
        let mut nonce = [0; 12];
        nonce[3..11].copy_from_slice(&counter.to_be_bytes());
        nonce[11] = u8::from(last);
        out.extend(unseal(&key, nonce, chunk).map_err(|()| "an age file was changed")?);
        if last {
            break;
        }
        rest = after;
    }
    Ok(out)
}

fn unseal(key: &[u8], nonce: [u8; 12], sealed: &[u8]) -> Result<Vec<u8>, ()> {
    let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).map_err(|_| ())?);
    let mut buffer = sealed.to_vec();
    let plain = key
        .open_in_place(
            Nonce::assume_unique_for_key(nonce),
            Aad::empty(),
            &mut buffer,
        )
        .map_err(|_| ())?;
    Ok(plain.to_vec())
}

fn derive(secret: &[u8], salt: &[u8], info: &str) -> Result<[u8; KEY], String> {
    let mut out = [0; KEY];
    hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
        .extract(secret)
        .expand(&[info.as_bytes()], hkdf::HKDF_SHA256)
        .and_then(|key| key.fill(&mut out))
        .map_err(|_| "a key cannot be derived".to_owned())?;
    Ok(out)
}

/// The prefix and the bytes of a Bech32 text whose checksum holds.
fn bech32(text: &str) -> Option<(String, Vec<u8>)> {
    const LETTERS: &str = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    const GENERATOR: [u32; 5] = [
        0x3b6a_57b2,
        0x2650_8e6d,
        0x1ea1_19fa,
        0x3d42_33dd,
        0x2a14_62b3,
    ];
    const CHECKSUM: usize = 6;
    let lower = text.to_ascii_lowercase();
    if text != lower && text != text.to_ascii_uppercase() {
        return None;
    }
    let (prefix, data) = lower.rsplit_once('1')?;
    let values: Vec<u32> = data
        .chars()
        .map(|c| LETTERS.find(c).and_then(|at| u32::try_from(at).ok()))
        .collect::<Option<_>>()?;
    let high = prefix.bytes().map(|c| u32::from(c >> 5));
    let low = prefix.bytes().map(|c| u32::from(c & 31));
    let mut check: u32 = 1;
    for value in high.chain([0]).chain(low).chain(values.iter().copied()) {
        let top = check >> 25;
        check = (check & 0x01ff_ffff) << 5 ^ value;
        for (bit, part) in GENERATOR.iter().enumerate() {
            if top >> bit & 1 == 1 {
                check ^= part;
            }
        }
    }
    if check != 1 || values.len() < CHECKSUM {
        return None;
    }
    let (mut bits, mut held, mut out) = (0_u32, 0, Vec::new());
    for value in &values[..values.len() - CHECKSUM] {
        bits = (bits << 5 | value) & 0xfff;
        held += 5;
        if held >= 8 {
            held -= 8;
            out.push(u8::try_from(bits >> held & 0xff).ok()?);
        }
    }
    (bits & ((1 << held) - 1) == 0 && held < 5).then(|| (prefix.to_owned(), out))
}
