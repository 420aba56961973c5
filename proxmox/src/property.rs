//! Property strings: `virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1`, parsed, printed, and compared by meaning.
//!
//! The server normalises what it is sent: it orders keys, writes booleans as 0 and 1, completes what was left out and changes
//! sizes into volumes. So what was sent is never compared with what is read as text.

use std::fmt;

/// A property string, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PropertyString {
    /// Pairs in order; the value without a key stands under the default key.
    pairs: Vec<(String, String)>,
}

/// Why a text is no property string.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoProperty {
    /// The same key twice.
    #[error("`{0}` stands twice")]
    Twice(String),
    /// A part without a key where no default key is.
    #[error("`{0}` has no key")]
    NoKey(String),
}

impl PropertyString {
    /// Parses; a part without `=` is the value of `default`, the key that may be left out.
    ///
    /// # Errors
    ///
    /// A key that stands twice, a part without a key where none may be left out.
    pub fn parse(text: &str, default: Option<&str>) -> Result<Self, NoProperty> {
        let mut parsed = Self::default();
        for part in text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            let (key, value) = match part.split_once('=') {
                Some((key, value)) => (key.trim(), value.trim()),
                None => (
                    default.ok_or_else(|| NoProperty::NoKey(part.to_owned()))?,
                    part,
                ),
            };
            if parsed.get(key).is_some() {
                return Err(NoProperty::Twice(key.to_owned()));
            }
            parsed.pairs.push((key.to_owned(), value.to_owned()));
        }
        Ok(parsed)
    }

    /// From pairs.
    pub fn of<K: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        let pairs = pairs.into_iter();
        Self {
            pairs: pairs
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
        }
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(known, _)| known == key)
            .map(|(_, value)| value.as_str())
    }

    /// Sets the value of a key, in its place or at the end.
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        let value = value.into();
        match self.pairs.iter_mut().find(|(known, _)| known == key) {
            Some((_, old)) => *old = value,
            None => self.pairs.push((key.to_owned(), value)),
        }
    }

    /// Takes a key away.
    pub fn remove(&mut self, key: &str) -> Option<String> {
        let at = self.pairs.iter().position(|(known, _)| known == key)?;
        Some(self.pairs.remove(at).1)
    }

    /// The pairs in order.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Keys of this wish that something that is there has not, or has with another meaning. What the server completed by
    /// itself does not count.
    pub fn missing_in<'a>(&'a self, there: &Self) -> Vec<(&'a str, &'a str)> {
        self.pairs()
            .filter(|(key, value)| match there.get(key) {
                Some(is) => !same_value(value, is),
                // What is off is often not written at all.
                None => !is_false(value),
            })
            .collect()
    }
}

impl fmt::Display for PropertyString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (key, value)) in self.pairs().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{key}={value}")?;
        }
        Ok(())
    }
}

fn is_false(value: &str) -> bool {
    matches!(value, "0" | "no" | "off" | "false")
}

fn is_true(value: &str) -> bool {
    matches!(value, "1" | "yes" | "on" | "true")
}

/// Whether two values mean the same: booleans, sizes, hardware addresses and lists are written in several ways.
pub fn same_value(one: &str, other: &str) -> bool {
    if one == other || (is_true(one) && is_true(other)) || (is_false(one) && is_false(other)) {
        return true;
    }
    if is_hardware_address(one) && is_hardware_address(other) {
        return one.eq_ignore_ascii_case(other);
    }
    match (disk_size(one), disk_size(other)) {
        (Some(one), Some(other)) => one == other,
        _ => false,
    }
}

fn is_hardware_address(text: &str) -> bool {
    text.len() == 17
        && text
            .split(':')
            .all(|part| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Bytes of `8G`, `512M`, `1.5T`, `4096K`; a bare number is none (it may be anything).
pub(crate) fn disk_size(text: &str) -> Option<u64> {
    let at = text.len().checked_sub(1)?;
    let unit: u64 = match text.as_bytes()[at] {
        b'K' => 1 << 10,
        b'M' => 1 << 20,
        b'G' => 1 << 30,
        b'T' => 1 << 40,
        _ => return None,
    };
    let number: f64 = text[..at].parse().ok()?;
    (number.is_finite() && number >= 0.0).then_some((number * unit as f64) as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_key_that_may_be_left_out_is_the_default_one() {
        let parsed =
            PropertyString::parse("local:130/vm-130-disk-0.raw,size=8G", Some("volume")).unwrap();
        assert_eq!(parsed.get("volume"), Some("local:130/vm-130-disk-0.raw"));
        assert_eq!(parsed.get("size"), Some("8G"));
        assert!(PropertyString::parse("a,b=1", None).is_err());
        assert!(PropertyString::parse("b=1,b=2", None).is_err());
    }

    #[test]
    fn what_the_server_completed_is_no_difference() {
        let wish =
            PropertyString::parse("name=eth0,bridge=vmbr0,firewall=no,ip=dhcp", None).unwrap();
        let text = "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:01,ip=dhcp,type=veth";
        let there = PropertyString::parse(text, None).unwrap();
        assert_eq!(wish.missing_in(&there), []);
        let wish = PropertyString::parse("name=eth0,bridge=vmbr1,ip=dhcp", None).unwrap();
        assert_eq!(wish.missing_in(&there), [("bridge", "vmbr1")]);
    }

    #[test]
    fn meanings_are_compared_and_not_texts() {
        for (one, other) in [
            ("1", "on"),
            ("bc:24:11:aa:00:01", "BC:24:11:AA:00:01"),
            ("8G", "8192M"),
            ("no", "0"),
        ] {
            assert!(same_value(one, other), "{one} {other}");
        }
        for (one, other) in [("1", "2"), ("8", "8G"), ("vmbr0", "vmbr1"), ("", "0")] {
            assert!(!same_value(one, other), "{one} {other}");
        }
    }

    proptest! {
        #[test]
        fn printing_and_parsing_gives_the_same(pairs in prop::collection::btree_map("[a-z]{1,6}", "[a-zA-Z0-9:/._;-]{0,10}", 0..6)) {
            let one = PropertyString::of(pairs);
            let again = PropertyString::parse(&one.to_string(), None).unwrap();
            prop_assert_eq!(one, again);
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,60}") {
            let _ = PropertyString::parse(&text, Some("volume"));
            let _ = same_value(&text, "1G");
        }
    }
}
