//! The files of a source, in memory: what a commit or a directory held at the moment it was fetched.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::ignore::Ignore;

/// Files of a source.
const FILES_MAX: usize = 20_000;
/// Bytes of all files of a source.
pub(super) const BYTES_MAX: usize = 128 * 1024 * 1024;
/// Folders within folders.
const DEPTH_MAX: usize = 64;

/// Files by their path, with `/` between names and none before the first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    files: BTreeMap<String, Vec<u8>>,
    bytes: usize,
}

impl Tree {
    /// One more file.
    ///
    /// # Errors
    ///
    /// When there are too many, or they are too large.
    pub(super) fn add(&mut self, path: &str, content: Vec<u8>) -> Result<(), String> {
        self.bytes += content.len();
        if self.files.len() >= FILES_MAX || self.bytes > BYTES_MAX {
            return Err(format!(
                "the lab's sources have at most {FILES_MAX} files and {BYTES_MAX} bytes"
            ));
        }
        self.files.insert(path.to_owned(), content);
        Ok(())
    }

    /// The files below a directory. Links are left out, as source-controller leaves them out.
    pub(super) fn of_directory(root: &Path) -> Result<Self, String> {
        let mut tree = Self::default();
        tree.walk(root, "", 0)?;
        Ok(tree)
    }

    /// Adds the file at a path below a directory, or the files below the folder there; what is not there adds nothing.
    pub(super) fn load(&mut self, root: &Path, path: &str) -> Result<(), String> {
        let place = root.join(path);
        match place.symlink_metadata() {
            Ok(found) if found.is_dir() => self.walk(&place, path, 0),
            Ok(found) if found.is_file() => {
                let content = std::fs::read(&place);
                let content = content.map_err(|error| format!("{}: {error}", place.display()))?;
                self.add(path, content)
            }
            _ => Ok(()),
        }
    }

    fn walk(&mut self, folder: &Path, path: &str, depth: usize) -> Result<(), String> {
        if depth > DEPTH_MAX {
            return Err(format!("{}: too deep", folder.display()));
        }
        let told = |error: std::io::Error| format!("{}: {error}", folder.display());
        for entry in std::fs::read_dir(folder).map_err(told)? {
            let entry = entry.map_err(told)?;
            let kind = entry.file_type().map_err(told)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}/{name}")
            };
            if kind.is_dir() && name != ".git" {
                self.walk(&entry.path(), &path, depth + 1)?;
            } else if kind.is_file() {
                let content = std::fs::read(entry.path()).map_err(told)?;
                self.add(&path, content)?;
            }
        }
        Ok(())
    }

    /// Without what is ignored: by the given lines, or else by the tree's own `.sourceignore` files, and always by source-controller's own rules.
    pub(super) fn without_ignored(mut self, lines: Option<&str>) -> Self {
        let mut ignore = Ignore::default();
        match lines {
            Some(lines) => {
                ignore.source_control();
                ignore.add(lines, "");
            }
            None => {
                ignore.source_control();
                ignore.usual();
                for (path, content) in &self.files {
                    if let Some(folder) = path.strip_suffix(".sourceignore")
                        && (folder.is_empty() || folder.ends_with('/'))
                    {
                        ignore.add(&String::from_utf8_lossy(content), folder);
                    }
                }
            }
        }
        self.files.retain(|path, _| !ignore.matches(path));
        self.bytes = self.files.values().map(Vec::len).sum();
        self
    }

    /// The content of a file.
    pub(super) fn read(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(Vec::as_slice)
    }

    pub(super) fn is_file(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// Whether something lies below this path; the top is always there.
    pub(super) fn is_folder(&self, path: &str) -> bool {
        path.is_empty() || self.below(path).next().is_some()
    }

    /// The files below a folder, in the order of their paths.
    pub(super) fn below(&self, folder: &str) -> impl Iterator<Item = (&str, &[u8])> {
        let start = if folder.is_empty() {
            String::new()
        } else {
            format!("{folder}/")
        };
        let prefix = start.clone();
        self.files
            .range(start..)
            .take_while(move |(path, _)| path.starts_with(&prefix))
            .map(|(path, content)| (path.as_str(), content.as_slice()))
    }

    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    /// A SHA-256 over names and contents, in hexadecimal digits. The same files have the same one.
    pub(super) fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for (path, content) in &self.files {
            hash.update(path.len().to_be_bytes());
            hash.update(path.as_bytes());
            hash.update(content.len().to_be_bytes());
            hash.update(content);
        }
        hexadecimal(&hash.finalize())
    }
}

/// `sha256:…` of some bytes.
pub(super) fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hexadecimal(&Sha256::digest(bytes)))
}

/// Bytes as hexadecimal digits.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(out, "{byte:02x}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> Tree {
        let mut tree = Tree::default();
        for (path, text) in files {
            tree.add(path, text.as_bytes().to_vec()).expect("small");
        }
        tree
    }

    #[test]
    fn folders_are_what_files_lie_below() {
        let tree = tree(&[("app/a.yaml", "a"), ("app-two/b.yaml", "b"), ("top", "")]);
        assert!(tree.is_folder("app") && tree.is_folder("") && !tree.is_folder("ap"));
        assert!(!tree.is_folder("top") && tree.is_file("top"));
        let below: Vec<_> = tree.below("app").map(|(path, _)| path).collect();
        assert_eq!(below, ["app/a.yaml"]);
    }

    #[test]
    fn the_digest_tells_names_from_contents() {
        let one = tree(&[("a", "bc")]).digest();
        assert_eq!(one, tree(&[("a", "bc")]).digest());
        assert_ne!(one, tree(&[("ab", "c")]).digest());
        assert_eq!(one.len(), 64);
    }

    #[test]
    fn what_source_controller_leaves_out_is_left_out() {
        let files = [
            (".github/workflow.yaml", ""),
            ("a.yaml", ""),
            ("docs/picture.png", ""),
            (".sops.yaml", ""),
            ("docs/.sourceignore", "/draft\n"),
            ("docs/draft/b.yaml", ""),
            ("draft/c.yaml", ""),
        ];
        let kept = tree(&files).without_ignored(None);
        let paths: Vec<_> = kept.below("").map(|(path, _)| path).collect();
        assert_eq!(paths, ["a.yaml", "docs/.sourceignore", "draft/c.yaml"]);
        let kept = tree(&files).without_ignored(Some("/*\n!/docs\n"));
        let paths: Vec<_> = kept.below("").map(|(path, _)| path).collect();
        assert_eq!(
            paths,
            [
                "docs/.sourceignore",
                "docs/draft/b.yaml",
                "docs/picture.png"
            ]
        );
    }
}
