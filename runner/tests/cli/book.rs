//! A book of a test, and what the program says about it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// A book in a folder of its own, removed when the test ends.
pub(crate) struct TestBook {
    dir: tempfile::TempDir,
}

/// The folder for temporary files of a book that has its own.
const OWN_TMP: &str = "tmp";

/// What the program said.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl TestBook {
    /// A book of one chapter, `guide.md`.
    pub(crate) fn new(chapter: &str) -> Self {
        Self::with(&[
            ("src/SUMMARY.md", "# Summary\n\n- [Guide](guide.md)\n"),
            ("src/guide.md", chapter),
        ])
    }

    /// A book of files; `book.toml` is there unless it is given.
    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        let book = Self {
            dir: tempfile::tempdir().expect("a temporary folder"),
        };
        book.write("book.toml", "[book]\ntitle = \"Test\"\n");
        for (path, text) in files {
            book.write(path, text);
        }
        book
    }

    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.dir.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, content).expect("a file");
    }

    pub(crate) fn root(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// The command, in an environment that nobody's shell leaks into.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runbook"));
        command.args(args).arg("--book").arg(self.root());
        clean(&mut command);
        let tmp = self.path(OWN_TMP);
        if tmp.is_dir() {
            command.env("TMPDIR", tmp);
        }
        command
    }

    /// With a folder for temporary files of its own, `tmp`.
    pub(crate) fn with_own_tmp(self) -> Self {
        std::fs::create_dir(self.path(OWN_TMP)).expect("a folder");
        self
    }

    pub(crate) fn run(&self, args: &[&str]) -> Said {
        said(self.command(args).output().expect("the program starts"))
    }

    /// The events of `verify --json` or `run --json`.
    pub(crate) fn events(&self, args: &[&str]) -> (i32, Vec<Value>) {
        let said = self.run(args);
        let lines = said
            .out
            .lines()
            .map(|line| serde_json::from_str(line).expect("each line is JSON"))
            .collect();
        (said.code, lines)
    }
}

pub(crate) fn clean(command: &mut Command) {
    for name in [
        "RUNBOOK_PROFILE",
        "GITHUB_ACTIONS",
        "GITHUB_STEP_SUMMARY",
        "CI",
        "NO_COLOR",
    ] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
}

pub(crate) fn said(output: Output) -> Said {
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).expect("UTF-8"),
        err: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

/// The `step-finished` events by the step's ID: its state.
pub(crate) fn states(events: &[Value]) -> Vec<(String, String)> {
    let finished = events
        .iter()
        .filter(|event| event["event"] == "step-finished");
    finished
        .map(|event| (text(&event["id"]), text(&event["state"])))
        .collect()
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A chapter with one script step in the section `s`.
pub(crate) fn step(options: &str, script: &str) -> String {
    let options: String = options.lines().map(|line| format!("#| {line}\n")).collect();
    format!("# Guide\n\n## S\n\n```bash runbook\n{options}{script}\n```\n")
}
