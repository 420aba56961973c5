//! Ranges of versions as Flux reads them: `1.x`, `>=1.0.0 <2.0.0`, `~1.2 || ^3`. A version without an operator is that one alone.

use semver::{Comparator, Op, Version, VersionReq};

/// What a range allows: one of several, each of which must hold as a whole.
#[derive(Debug)]
pub(super) struct Range {
    any: Vec<VersionReq>,
}

impl Range {
    /// Reads a range.
    ///
    /// # Errors
    ///
    /// The controllers' words for a text that is none.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let improper = || format!("improper constraint: \"{text}\"");
        let mut any = Vec::new();
        for part in text.split("||") {
            // An operator may stand apart from its version; versions may be apart by blanks alone.
            let mut terms: Vec<String> = Vec::new();
            let mut operator = String::new();
            for word in part.split([' ', ',']).filter(|word| !word.is_empty()) {
                if word.chars().all(|c| "<>=~^!".contains(c)) {
                    operator.push_str(word);
                    continue;
                }
                let word = format!("{operator}{word}");
                operator.clear();
                let at = word
                    .find(|c: char| !"<>=~^!".contains(c))
                    .unwrap_or(word.len());
                let (operator, version) = word.split_at(at);
                let version = version.trim_start_matches('v');
                let wild = version
                    .split('.')
                    .any(|part| matches!(part, "x" | "X" | "*"));
                terms.push(match operator {
                    "" if wild => version.to_owned(),
                    "" => format!("={version}"),
                    operator => format!("{operator}{version}"),
                });
            }
            if terms.is_empty() || !operator.is_empty() {
                return Err(improper());
            }
            any.push(VersionReq::parse(&terms.join(", ")).map_err(|_| improper())?);
        }
        Ok(Self { any })
    }

    /// Whether a version is in it.
    pub(super) fn allows(&self, version: &Version) -> bool {
        self.any.iter().any(|one| {
            if version.pre.is_empty() {
                one.matches(version)
            } else {
                one.comparators.iter().all(|own| admits(own, version))
            }
        })
    }
}

/// Whether a candidate (a version with something after a dash) fits: only where the range names one too, and then by its order alone.
fn admits(range: &Comparator, candidate: &Version) -> bool {
    if range.pre.is_empty() {
        return false;
    }
    let named = Version {
        pre: range.pre.clone(),
        ..Version::new(
            range.major,
            range.minor.unwrap_or_default(),
            range.patch.unwrap_or_default(),
        )
    };
    let next = match range.op {
        Op::Tilde => Some(Version::new(named.major, named.minor + 1, 0)),
        Op::Caret if named.major > 0 => Some(Version::new(named.major + 1, 0, 0)),
        Op::Caret if named.minor > 0 => Some(Version::new(0, named.minor + 1, 0)),
        Op::Caret => Some(Version::new(0, 0, named.patch + 1)),
        _ => None,
    };
    match range.op {
        Op::Exact => *candidate == named,
        Op::Greater => *candidate > named,
        Op::GreaterEq => *candidate >= named,
        Op::Less => *candidate < named,
        Op::LessEq => *candidate <= named,
        _ => *candidate >= named && next.is_some_and(|next| *candidate < next),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_controllers_read_them() {
        for (range, version, allowed) in [
            ("1.x", "1.9.0", true),
            ("1.x", "2.0.0", false),
            ("*", "7.0.0", true),
            ("1.2.3", "1.2.3", true),
            ("1.2.3", "1.2.4", false),
            ("1.2", "1.2.9", true),
            (">=1.0.0 <2.0.0", "1.5.0", true),
            (">= 1.0.0, < 2.0.0", "2.0.0", false),
            ("~1.2", "1.3.0", false),
            ("^1.2", "1.3.0", true),
            ("1.x || >=3", "3.1.0", true),
            (">=1.0.0", "1.1.0-rc.1", false),
            (">=1.0.0-0", "2.0.0-rc.1", true),
            (">=1.0.0-0 <2.0.0", "1.1.0-rc.1", false),
            (">=1.0.0-0 <2.0.0-0", "1.1.0-rc.1", true),
            ("^1.2.0-0", "1.3.0-rc.1", true),
            ("^1.2.0-0", "2.1.0-rc.1", false),
        ] {
            let read = Range::read(range).expect(range);
            assert_eq!(
                read.allows(&Version::parse(version).expect("a version")),
                allowed,
                "{range} {version}"
            );
        }
        assert_eq!(
            Range::read("x y").expect_err("none"),
            "improper constraint: \"x y\""
        );
        assert!(Range::read("").is_err() && Range::read(">=").is_err());
    }
}
