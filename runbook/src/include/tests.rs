use super::*;
use crate::source::Source;

struct Some(&'static [(&'static str, &'static str)]);

impl Files for Some {
    fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
        if path.starts_with("../..") {
            return Err(FileError::Outside);
        }
        self.0
            .iter()
            .find(|(known, _)| *known == path)
            .map(|(_, text)| text.as_bytes().to_vec())
            .ok_or(FileError::Missing)
    }

    fn below(&self, directory: &str) -> Result<Vec<String>, FileError> {
        let start = format!("{directory}/");
        let paths = self.0.iter().map(|(path, _)| *path);
        let found: Vec<String> = paths
            .filter(|path| path.starts_with(&start))
            .map(str::to_owned)
            .collect();
        if found.is_empty() {
            Err(FileError::Missing)
        } else {
            Ok(found)
        }
    }
}

const FILES: Some = Some(&[
    (
        "src/a/x.sh",
        "one\ntwo\nthree\n# ANCHOR: part\nfour\n# ANCHOR_END: part\n",
    ),
    ("src/a/nested.sh", "before\n{{#include ../b/y.sh}}\nafter"),
    ("src/b/y.sh", "why"),
    ("src/a/loop.sh", "{{#include loop.sh}}"),
]);

fn expand(text: &str) -> (String, Vec<String>, Vec<Include>) {
    let mut findings = Findings::new(Source::new("src/a/guide.md", text));
    let mut includer = Includer::new(&FILES, "src/a/guide.md");
    let expanded = includer
        .text(text, Span::new(0, text.len()), &mut findings)
        .unwrap_or_else(|| text.to_owned());
    let messages = findings
        .list
        .into_iter()
        .map(|d| format!("{}:{} {}: {}", d.line, d.column, d.rule, d.message))
        .collect();
    (expanded, messages, includer.take())
}

#[test]
fn files_lines_and_anchors_are_taken_as_mdbook_takes_them() {
    for (directive, expected) in [
        (
            "x.sh",
            "one\ntwo\nthree\n# ANCHOR: part\nfour\n# ANCHOR_END: part",
        ),
        ("x.sh:2", "two"),
        ("x.sh:2:3", "two\nthree"),
        ("x.sh:5:", "four\n# ANCHOR_END: part"),
        ("x.sh::2", "one\ntwo"),
        ("x.sh:part", "four"),
        ("nested.sh", "before\nwhy\nafter"),
        ("../b/y.sh", "why"),
    ] {
        let (expanded, messages, includes) = expand(&format!("a {{{{#include {directive}}}}} b"));
        assert_eq!(expanded, format!("a {expected} b"), "{directive}");
        assert_eq!(messages, [""; 0]);
        assert!(!includes.is_empty());
    }
}

#[test]
fn what_cannot_be_included_is_an_error_at_its_place() {
    for (directive, message) in [
        (
            "no.sh",
            "1:3 missing-include: cannot include `no.sh`: there is no such file (`src/a/no.sh`)",
        ),
        (
            "x.sh:prt",
            "1:3 missing-include: `x.sh` has no anchor `prt`",
        ),
        (
            "loop.sh",
            "1:3 include-cycle: files include each other: `src/a/loop.sh` → `src/a/loop.sh`",
        ),
        (
            "../../../../etc/passwd",
            "1:3 missing-include: cannot include `../../../../etc/passwd`: it lies outside the repository (`../../etc/passwd`)",
        ),
    ] {
        assert_eq!(
            expand(&format!("a {{{{#include {directive}}}}}")).1,
            [message]
        );
    }
}

#[test]
fn other_directives_and_escaped_ones_are_text() {
    for text in ["{{#title x}}", "{{ #if x }}", "${#list[@]}", "{{#include}}"] {
        assert_eq!(expand(text).0, text);
    }
    assert_eq!(expand("a \\{{#include x.sh}} b").0, "a {{#include x.sh}} b");
}

#[test]
fn a_file_is_kept_once_with_its_checksum() {
    let (_, _, includes) = expand("{{#include x.sh:1}}{{#include x.sh:2}}");
    assert_eq!(includes.len(), 1);
    assert_eq!(includes[0].path, "src/a/x.sh");
    assert_eq!(includes[0].sha256.len(), 64);
}

fn kustomized(files: &[(&'static str, &'static str)]) -> (Vec<String>, Vec<Include>) {
    let files = Some(files.to_vec().leak());
    let mut findings = Findings::new(Source::new("src/a/guide.md", ""));
    let mut includer = Includer::new(&files, "src/a/guide.md");
    includer.directory("app/home", Span::default(), &mut findings);
    let messages = findings
        .list
        .into_iter()
        .map(|d| format!("{}: {}", d.rule, d.message));
    (messages.collect(), includer.take())
}

const DIRECTORIES: &[(&str, &str)] = &[
    (
        "src/a/app/home/kustomization.yaml",
        "resources: [../base, page.yaml]\nconfigMapGenerator: [{name: x, files: [motd=../../motd]}]\npatches: [{path: deep/p.yaml}]\n",
    ),
    ("src/a/app/home/page.yaml", "page"),
    ("src/a/app/home/deep/p.yaml", "patch"),
    (
        "src/a/app/base/kustomization.yml",
        "resources: [../../common, ../home]\n",
    ),
    ("src/a/common/Kustomization", "resources: [map.yaml]\n"),
    ("src/a/common/map.yaml", "map"),
    ("src/a/motd", "hello"),
    ("src/a/app/other/not.yaml", "other"),
    ("src/a/aside", "aside"),
];

#[test]
fn each_file_that_a_directory_is_built_from_is_kept() {
    let (messages, first) = kustomized(DIRECTORIES);
    assert_eq!(messages, [""; 0]);
    let mut paths: Vec<&str> = first.iter().map(|one| one.path.as_str()).collect();
    paths.sort_unstable();
    assert_eq!(
        paths,
        [
            "src/a/app/base/kustomization.yml",
            "src/a/app/home/deep/p.yaml",
            "src/a/app/home/kustomization.yaml",
            "src/a/app/home/page.yaml",
            "src/a/common/Kustomization",
            "src/a/common/map.yaml",
            "src/a/motd",
        ]
    );
    for (index, (path, _)) in DIRECTORIES.iter().enumerate() {
        let mut changed = DIRECTORIES.to_vec();
        changed[index].1 = "x: changed\n";
        let is_used = paths.contains(path);
        assert_eq!(kustomized(&changed).1 != first, is_used, "{path}");
    }
}

#[test]
fn a_directory_that_is_not_there_is_told() {
    let (messages, kept) = kustomized(&[]);
    assert_eq!(
        messages,
        [
            "missing-file: cannot read the directory `app/home`: there is no such directory (`src/a/app/home`)"
        ]
    );
    assert_eq!(kept, []);
}
