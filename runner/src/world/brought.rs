//! Programs that a book brings for the lab's machines: files laid over a machine's own, at places where programs are looked
//! for. A script that names one uses a stand-in.

use std::fs;
use std::path::Path;

/// Where a machine looks for programs.
const PLACES: [&str; 6] = [
    "usr/local/sbin",
    "usr/local/bin",
    "usr/sbin",
    "usr/bin",
    "sbin",
    "bin",
];

/// The names of the programs below a machine's overlay; none where it has no overlay.
fn programs(overlay: &Path) -> Vec<String> {
    let entries = PLACES
        .iter()
        .filter_map(|place| fs::read_dir(overlay.join(place)).ok())
        .flat_map(Iterator::flatten);
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

/// Whether a script names a program that the overlay brings, as a word.
pub(super) fn is_used(overlay: &Path, script: &str) -> bool {
    let programs = programs(overlay);
    let part = |c: char| !(c.is_alphanumeric() || "_-.+".contains(c));
    !programs.is_empty()
        && script
            .split(part)
            .any(|word| programs.iter().any(|program| program == word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_used_where_it_is_a_word() {
        let overlay = tempfile::tempdir().expect("a folder");
        let bin = overlay.path().join("usr/local/bin");
        fs::create_dir_all(&bin).expect("a folder");
        fs::write(bin.join("own-tool"), "").expect("a file");
        for (script, is) in [
            ("own-tool -x", true),
            ("x=$(/usr/local/bin/own-tool)", true),
            ("my-own-tool; own-tool2; own-tool.sh", false),
            ("", false),
        ] {
            assert_eq!(is_used(overlay.path(), script), is, "{script}");
        }
        assert!(!is_used(&overlay.path().join("none"), "own-tool"));
    }
}
