//! Versions as programs print them: the first `N.N[.N][-pre]` in a text.
//!
//! Programs are less strict than semver: `24.04` has a leading zero and no patch, `6.8.12-4-pve` a packaging revision. Only
//! what begins with a letter is a pre-release; a revision is left out of the comparison.

use std::sync::LazyLock;

use regex::Regex;
use semver::{BuildMetadata, Prerelease, Version};

static VERSION: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"([0-9]+)\.([0-9]+)(?:\.([0-9]+))?(?:-([A-Za-z][0-9A-Za-z.-]*))?").ok()
});

/// The first version in a text, with the text that it is.
pub(super) fn first(text: &str) -> Option<(Version, &str)> {
    let captures = VERSION.as_ref()?.captures(text)?;
    let number = |index: usize| {
        captures
            .get(index)
            .map_or(Some(0), |digits| digits.as_str().parse().ok())
    };
    let pre = captures
        .get(4)
        .map_or("", |pre| pre.as_str().trim_end_matches(['.', '-']));
    let version = Version {
        major: number(1)?,
        minor: number(2)?,
        patch: number(3)?,
        pre: Prerelease::new(pre).unwrap_or(Prerelease::EMPTY),
        build: BuildMetadata::EMPTY,
    };
    Some((version, captures.get(0)?.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_version_in_a_text_is_found() {
        for (text, version, shown) in [
            ("git version 2.39.5", "2.39.5", "2.39.5"),
            ("v1.36.0+k3s1", "1.36.0", "1.36.0"),
            ("Ubuntu 24.04 LTS", "24.4.0", "24.04"),
            ("6.8.12-4-pve", "6.8.12", "6.8.12"),
            ("2.0.0-rc.1 of 3.0", "2.0.0-rc.1", "2.0.0-rc.1"),
            ("pve-manager/9.2-1/abc", "9.2.0", "9.2"),
            ("1.2.3.4", "1.2.3", "1.2.3"),
        ] {
            let found = first(text).map(|(version, shown)| (version.to_string(), shown));
            assert_eq!(found, Some((version.to_owned(), shown)), "{text}");
        }
        for text in ["", "version 7", "99999999999999999999.1"] {
            assert_eq!(first(text), None, "{text}");
        }
    }
}
