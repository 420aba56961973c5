//! A book in a folder of its own, built in three ways: by mdBook alone, in process, and by mdBook that starts our program.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mdbook_driver::MDBook;
use mdbook_driver::config::Config;
use mdbook_runbook::{Runbook, load, prepare};
use serde_json::{Value, json};

/// The run that [`BookTest::ran`] records.
pub(crate) const RUN: &str = "20261124T020000Z-0001";

/// A book on disk.
pub(crate) struct BookTest {
    dir: Arc<tempfile::TempDir>,
    toml: String,
    summary: String,
}

impl BookTest {
    pub(crate) fn new() -> Self {
        Self {
            dir: Arc::new(tempfile::tempdir().unwrap()),
            toml: "[book]\ntitle = \"T\"\n".into(),
            summary: "# Summary\n\n".into(),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn toml(mut self, text: &str) -> Self {
        self.toml.push_str(text);
        self
    }

    pub(crate) fn file(self, path: &str, text: impl AsRef<[u8]>) -> Self {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    pub(crate) fn chapter(mut self, path: &str, text: &str) -> Self {
        self.summary.push_str(&format!("- [{path}]({path})\n"));
        self.file(&format!("src/{path}"), text)
    }

    /// Records one run on the lab with these results.
    pub(crate) fn ran(self, results: &[Value]) -> Self {
        let at = "2026-11-24T02:00:05Z";
        let mut events = vec![
            json!({"event": "run-started", "version": 1, "run": RUN, "profile": "lab", "mode": "converge",
            "revision": "4f2c1d0", "at": "2026-11-24T02:00:00Z"}),
        ];
        let mut steps = Vec::new();
        for result in results {
            let mut event = json!({"event": "step-finished", "changed": false, "duration_ms": 12, "profile": "lab", "target": "local",
                "file": "src/a.md", "line": 1, "effect": "read", "mode": "converge", "at": at});
            let fields = event.as_object_mut().unwrap();
            fields.extend(result.as_object().unwrap().clone());
            steps.push(json!({"id": event["id"], "state": event["state"], "finished_at": at, "duration_ms": 12, "target": "local",
                "message": event.get("reason").or(event.get("message"))}));
            events.push(event);
        }
        events.push(json!({"event": "run-finished", "counts": {}, "exit_code": 0, "at": at}));
        let line = json!({"version": 1, "run": RUN, "profile": "lab", "mode": "converge", "revision": "4f2c1d0",
            "started_at": "2026-11-24T02:00:00Z", "finished_at": at, "exit_code": 0, "steps": steps});
        let lines = |values: &[Value]| {
            values
                .iter()
                .map(|value| format!("{value}\n"))
                .collect::<String>()
        };
        self.file(&format!(".runbook/runs/{RUN}/events.jsonl"), lines(&events))
            .file(".runbook/history.jsonl", lines(&[line]))
    }

    fn site(&self, folder: PathBuf) -> SiteDir {
        SiteDir {
            folder,
            _book: Arc::clone(&self.dir),
        }
    }

    fn config(&self, dest: &str) -> (Config, PathBuf) {
        fs::write(self.root().join("book.toml"), &self.toml).unwrap();
        fs::create_dir_all(self.root().join("src")).unwrap();
        fs::write(self.root().join("src/SUMMARY.md"), &self.summary).unwrap();
        let mut config = Config::from_disk(self.root().join("book.toml")).unwrap();
        let dest = self.root().join(dest);
        config.set("build.build-dir", &dest).unwrap();
        (config, dest)
    }

    /// The site as mdBook makes it alone.
    pub(crate) fn plain(&self) -> SiteDir {
        let (config, dest) = self.config("plain");
        MDBook::load_with_config(self.root(), config)
            .unwrap()
            .build()
            .unwrap();
        self.site(dest)
    }

    /// The site as `runbook build` makes it.
    pub(crate) fn built(&self) -> SiteDir {
        self.try_built().unwrap()
    }

    pub(crate) fn try_built(&self) -> anyhow::Result<SiteDir> {
        let (mut config, dest) = self.config("built");
        prepare(&mut config)?;
        let site = Arc::new(load(self.root(), None)?);
        let mut book = MDBook::load_with_config(self.root(), config)?;
        book.with_preprocessor(Runbook::new(Arc::clone(&site)));
        book.build()?;
        site.write_files(
            &dest,
            self.root(),
            Some(&|_| Some(b"<testsuites/>".to_vec())),
        )?;
        Ok(self.site(dest))
    }

    /// The site as stock mdBook makes it, which starts our program.
    pub(crate) fn external(&self) -> SiteDir {
        let (mut config, dest) = self.config("external");
        let program = env!("CARGO_BIN_EXE_mdbook-runbook");
        config.set("preprocessor.runbook.command", program).unwrap();
        prepare(&mut config).unwrap();
        MDBook::load_with_config(self.root(), config)
            .unwrap()
            .build()
            .unwrap();
        self.site(dest)
    }
}

/// A site on disk.
pub(crate) struct SiteDir {
    folder: PathBuf,
    /// Keeps the folder there as long as someone looks at it.
    _book: Arc<tempfile::TempDir>,
}

impl SiteDir {
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn text(&self, path: &str) -> String {
        let path = self.folder.join(path);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    pub(crate) fn has(&self, path: &str) -> bool {
        self.folder.join(path).exists()
    }

    /// What stands in a page's `<main>`.
    pub(crate) fn main(&self, path: &str) -> String {
        let text = self.text(path);
        let from = text.find("<main>").unwrap();
        let to = text.find("</main>").unwrap();
        text[from..to].to_owned()
    }
}

/// The text between two marks, the first of each.
pub(crate) fn between<'t>(text: &'t str, from: &str, to: &str) -> &'t str {
    let start = text
        .find(from)
        .unwrap_or_else(|| panic!("no `{from}` in {text}"))
        + from.len();
    let end = text[start..]
        .find(to)
        .unwrap_or_else(|| panic!("no `{to}` in {text}"));
    &text[start..start + end]
}

/// A text in which everything from `from` up to the matching end of that element is one `@`.
pub(crate) fn without(text: &str, from: &str, tag: &str) -> String {
    let (open, close) = (format!("<{tag}"), format!("</{tag}>"));
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(from) {
        out.push_str(&rest[..start]);
        out.push('@');
        let mut depth = 0;
        let mut at = start;
        loop {
            let next_open = rest[at..].find(&open).map(|found| at + found);
            let next_close = at + rest[at..].find(&close).expect("the element ends");
            match next_open {
                Some(next) if next < next_close => {
                    depth += 1;
                    at = next + open.len();
                }
                _ => {
                    depth -= 1;
                    at = next_close + close.len();
                }
            }
            if depth == 0 {
                break;
            }
        }
        rest = &rest[at..];
    }
    out.push_str(rest);
    out
}
