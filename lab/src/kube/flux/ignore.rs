//! What a source leaves out: lines as in `.gitignore`, the last that matches decides.

use regex::Regex;

const SOURCE_CONTROL: &str = ".git/\n.gitignore\n.gitmodules\n.gitattributes\n";
/// What source-controller leaves out unless `spec.ignore` says otherwise.
const USUAL: &str = "*.jpg\n*.jpeg\n*.gif\n*.png\n*.wmv\n*.flv\n*.tar.gz\n*.zip\n.github/\n.circleci/\n.travis.yml\n.gitlab-ci.yml\nappveyor.yml\n\
    .drone.yml\ncloudbuild.yaml\ncodeship-services.yml\ncodeship-steps.yml\n**/.goreleaser.yml\n**/.sops.yaml\n**/.flux.yaml\n";

/// Patterns in the order in which they were written.
#[derive(Debug, Default)]
pub(super) struct Ignore {
    patterns: Vec<Pattern>,
}

#[derive(Debug)]
struct Pattern {
    regex: Regex,
    /// What it matches is not ignored after all.
    keeps: bool,
    only_folders: bool,
}

impl Ignore {
    pub(super) fn source_control(&mut self) {
        self.add(SOURCE_CONTROL, "");
    }

    pub(super) fn usual(&mut self) {
        self.add(USUAL, "");
    }

    /// Lines that hold below a folder: empty, or ending in `/`. A line that is no pattern matches nothing.
    pub(super) fn add(&mut self, lines: &str, folder: &str) {
        for line in lines.lines() {
            let line = line.trim_end();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (keeps, line) = match line.strip_prefix('!') {
                Some(rest) => (true, rest),
                None => (false, line),
            };
            let (only_folders, line) = match line.strip_suffix('/') {
                Some(rest) => (true, rest),
                None => (false, line),
            };
            let anchored = line.contains('/');
            let line = line.trim_start_matches('/');
            let anywhere = if anchored { "" } else { "(?:.*/)?" };
            let text = format!("^{}{anywhere}{}$", regex::escape(folder), pattern(line));
            if let Ok(regex) = Regex::new(&text) {
                self.patterns.push(Pattern {
                    regex,
                    keeps,
                    only_folders,
                });
            }
        }
    }

    /// Whether a file is ignored, itself or with a folder above it.
    pub(super) fn matches(&self, path: &str) -> bool {
        let above = path
            .char_indices()
            .filter(|(_, c)| *c == '/')
            .map(|(at, _)| (&path[..at], true));
        for (part, is_folder) in above.chain([(path, false)]) {
            let decides = self.patterns.iter().rev().find(|pattern| {
                (is_folder || !pattern.only_folders) && pattern.regex.is_match(part)
            });
            if decides.is_some_and(|pattern| !pattern.keeps) {
                return true;
            }
        }
        false
    }
}

fn pattern(glob: &str) -> String {
    let mut out = String::new();
    let mut rest = glob;
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("**/") {
            out.push_str("(?:.*/)?");
            rest = after;
        } else if let Some(after) = rest.strip_prefix("**") {
            out.push_str(".*");
            rest = after;
        } else {
            match c {
                '*' => out.push_str("[^/]*"),
                '?' => out.push_str("[^/]"),
                c => out.push_str(&regex::escape(&c.to_string())),
            }
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_that_matches_decides() {
        let mut ignore = Ignore::default();
        ignore.add("/*\n!/deploy\n/deploy/*.md\n**/secret\n", "");
        for (path, ignored) in [
            ("README.md", true),
            ("deploy/app/web.yaml", false),
            ("deploy/notes.md", true),
            ("deploy/app/notes.md", false),
            ("deploy/app/secret/key", true),
        ] {
            assert_eq!(ignore.matches(path), ignored, "{path}");
        }
    }
}
