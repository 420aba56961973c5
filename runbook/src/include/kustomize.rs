//! The files of a directory that a step builds with Kustomize: all below it, and what its kustomizations refer to outside of it.

use std::collections::BTreeSet;

use super::{FileError, Includer, directory_of, join};
use crate::findings::Findings;
use crate::mapped::Mapped;
use crate::node::{Kind, Node};
use crate::source::Span;
use crate::yaml;

/// How many directories one step's may lead to.
const DIRECTORIES_MAX: usize = 100;
/// How many files one step's directories may have.
const FILES_MAX: usize = 5000;
/// How a kustomization is called.
const NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

impl Includer<'_> {
    /// Reads the files of a directory that an action names, and keeps their checksums.
    pub(crate) fn directory(&mut self, written: &str, span: Span, findings: &mut Findings) {
        let path = join(&self.directory, written);
        if let Err(why) = self.kustomized(&path) {
            findings.hinted(
                "missing-file",
                span,
                format!("cannot read the directory `{written}`: {why}"),
                "the path is relative to the chapter and stays in the repository",
            );
        }
    }

    fn kustomized(&mut self, first: &str) -> Result<(), String> {
        let files = self.files.below(first).map_err(|error| match error {
            FileError::Missing => format!("there is no such directory (`{first}`)"),
            error => format!("{error} (`{first}`)"),
        })?;
        let mut pending = vec![files];
        let mut seen = BTreeSet::from([first.to_owned()]);
        let mut count = 0;
        while let Some(files) = pending.pop() {
            count += files.len();
            if count > FILES_MAX || seen.len() > DIRECTORIES_MAX {
                return Err(format!(
                    "it leads to more than {FILES_MAX} files or {DIRECTORIES_MAX} directories"
                ));
            }
            for file in files {
                let bytes = self
                    .files
                    .read(&file)
                    .map_err(|error| format!("{error} (`{file}`)"))?;
                self.keep(&file, &bytes);
                let directory = directory_of(&file);
                if !NAMES.contains(&&file[directory.len()..]) {
                    continue;
                }
                for other in references(&bytes, directory) {
                    if !seen.insert(other.clone()) {
                        continue;
                    }
                    // What is neither there as a directory nor as a file is told when it is built.
                    if let Ok(files) = self.files.below(&other) {
                        pending.push(files);
                    } else if let Ok(bytes) = self.files.read(&other) {
                        self.keep(&other, &bytes);
                    }
                }
            }
        }
        Ok(())
    }
}

/// What a kustomization names outside of its directory: everything that leads upwards, `KEY=PATH` of generators too.
fn references(bytes: &[u8], directory: &str) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let mut mapped = Mapped::default();
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        mapped.push_line(line, offset);
        offset += line.len();
    }
    let mut found = Vec::new();
    // One that cannot be read is told when it is built.
    for document in yaml::documents(&mapped).unwrap_or_default() {
        upward(&document, directory, &mut found);
    }
    found
}

fn upward(node: &Node, directory: &str, found: &mut Vec<String>) {
    match &node.kind {
        Kind::Scalar(scalar) => {
            let path = scalar.text.rsplit('=').next().unwrap_or_default().trim();
            if path.split('/').any(|part| part == "..") && !path.contains(char::is_whitespace) {
                found.push(join(directory, path));
            }
        }
        Kind::List(items) => items.iter().for_each(|item| upward(item, directory, found)),
        Kind::Map(entries) => {
            let values = entries.iter().map(|entry| &entry.value);
            values.for_each(|value| upward(value, directory, found));
        }
        Kind::Value(_) => {}
    }
}
