//! The name of a task: `UPID:NODE:PID:PSTART:START:TYPE:ID:USER:`.

use std::fmt;
use std::str::FromStr;

/// A task's name. The node in it is where it is to be asked about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Upid {
    text: String,
    /// The node on which it runs.
    pub node: String,
    /// When it started, in seconds since 1970.
    pub start: i64,
    /// What it does: `vzcreate`, `qmstart`, …
    pub kind: String,
    /// The guest or storage it is about; may be empty.
    pub id: String,
    /// Who started it: `root@pam` or `root@pam!token`.
    pub user: String,
}

/// A text that is no task's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no task ID (`UPID:NODE:PID:PSTART:START:TYPE:ID:USER:`)")]
pub struct NoUpid(pub String);

impl Upid {
    /// As the server writes it.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Upid {
    type Err = NoUpid;

    fn from_str(text: &str) -> Result<Self, NoUpid> {
        let parse = || {
            let fields: Vec<&str> = text.strip_suffix(':')?.split(':').collect();
            let ["UPID", node, pid, pstart, start, kind, id, user] = fields[..] else {
                return None;
            };
            let hexadecimal = |field: &str, lengths: std::ops::RangeInclusive<usize>| {
                lengths.contains(&field.len()) && field.bytes().all(|byte| byte.is_ascii_hexdigit())
            };
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            let plain = |field: &str| !field.contains(|c: char| c.is_whitespace() || c == '/');
            let valid = !node.is_empty()
                && node.bytes().all(is_name)
                && !node.starts_with('-')
                && !node.ends_with('-')
                && hexadecimal(pid, 8..=8)
                && hexadecimal(pstart, 8..=9)
                && hexadecimal(start, 8..=8)
                && !kind.is_empty()
                && !user.is_empty()
                && plain(kind)
                && plain(id)
                && plain(user);
            valid.then(|| Self {
                text: text.to_owned(),
                node: node.to_owned(),
                start: i64::from_str_radix(start, 16).unwrap_or_default(),
                kind: kind.to_owned(),
                id: id.to_owned(),
                user: user.to_owned(),
            })
        };
        parse().ok_or_else(|| NoUpid(text.to_owned()))
    }
}

impl fmt::Display for Upid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_is_taken_apart() {
        let text = "UPID:pve1:0000ABCD:0012345678:6543210F:vzstart:130:root@pam!lab:";
        assert!(text.parse::<Upid>().is_err(), "ten digits are too many");
        let text = "UPID:pve1:0000ABCD:012345678:6543210F:vzstart:130:root@pam!lab:";
        let upid: Upid = text.parse().expect("a task's name");
        assert_eq!(
            (upid.node.as_str(), upid.kind.as_str(), upid.id.as_str()),
            ("pve1", "vzstart", "130")
        );
        assert_eq!(
            (upid.user.as_str(), upid.start),
            ("root@pam!lab", 0x6543_210F)
        );
        assert_eq!(upid.to_string(), text);
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in [
            "",
            "UPID:",
            "UPID:pve1:0:0:0:x:y:z:",
            "UPID:p/1:0000ABCD:01234567:6543210F:a:b:c:",
            "UPID:pve1:0000ABCD:01234567:6543210F:a:b:c",
            "UPID:pve1:0000ABCD:01234567:6543210F::b:c:",
        ] {
            assert!(text.parse::<Upid>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,80}") {
            let _ = text.parse::<Upid>();
        }

        #[test]
        fn names_come_back_as_they_were(node in "[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", pid in any::<u32>(), id in "[a-z0-9.-]{0,12}", user in "[a-z]{1,8}@pam(![a-z]{1,5})?") {
            let text = format!("UPID:{node}:{pid:08X}:{pid:08X}:{pid:08X}:vzdump:{id}:{user}:");
            let upid: Upid = text.parse().unwrap();
            prop_assert_eq!(upid.to_string(), text);
            prop_assert_eq!((upid.node, upid.id, upid.user), (node, id, user));
        }
    }
}
