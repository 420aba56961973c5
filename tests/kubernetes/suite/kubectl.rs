//! The real kubectl as a child: a private home, the case's namespace, a deadline.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// One call. Those that wait for something say less themselves.
const CALL_TIME: Duration = Duration::from_secs(100);

pub(crate) struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    namespace: String,
    home: TempDir,
}

/// What a call printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Printed {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    call: String,
}

impl Kubectl {
    pub(crate) fn new(program: &Path, kubeconfig: &Path, namespace: &str) -> Result<Self> {
        Ok(Self {
            program: program.to_owned(),
            kubeconfig: kubeconfig.to_owned(),
            namespace: namespace.to_owned(),
            home: tempfile::tempdir()?,
        })
    }

    /// A command with its environment set, for cases that keep it running.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("--namespace")
            .arg(&self.namespace)
            .args(arguments)
            .env_clear()
            .env("HOME", self.home.path())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("KUBECONFIG", &self.kubeconfig)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Calls it with nothing on standard input.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Result<Printed> {
        self.run_with(arguments, "").await
    }

    /// Calls it with a text on standard input.
    pub(crate) async fn run_with(&self, arguments: &[&str], input: &str) -> Result<Printed> {
        let call = format!("kubectl {}", arguments.join(" "));
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start `{}`", self.program.display()))?;
        let mut stdin = child
            .stdin
            .take()
            .context("the child has no standard input")?;
        let whole = async {
            // A program that ends without reading is no error here.
            let _ = stdin.write_all(input.as_bytes()).await;
            drop(stdin);
            child.wait_with_output().await
        };
        let Ok(output) = tokio::time::timeout(CALL_TIME, whole).await else {
            bail!("`{call}` has not ended after {} s", CALL_TIME.as_secs());
        };
        let output = output?;
        Ok(Printed {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            call,
        })
    }

    /// Applies manifests on the server's side, as one list on standard input.
    pub(crate) async fn apply(&self, objects: &[&Value]) -> Result<Printed> {
        self.run_with(&["apply", "--server-side", "-f", "-"], &documents(objects))
            .await
    }
}

/// JSON documents as a stream that kubectl reads as YAML.
pub(crate) fn documents(objects: &[&Value]) -> String {
    objects
        .iter()
        .map(|object| format!("---\n{object}\n"))
        .collect()
}

impl Printed {
    /// Its standard output, when it ended with 0.
    pub(crate) fn ok(self) -> Result<String> {
        ensure!(self.code == 0, "{}", self.all());
        Ok(self.stdout)
    }

    /// Its standard error, when it ended with this code.
    pub(crate) fn fails(self, code: i32) -> Result<String> {
        ensure!(
            self.code == code,
            "expected the code {code}\n{}",
            self.all()
        );
        Ok(self.stderr)
    }

    pub(crate) fn all(&self) -> String {
        format!(
            "`{}` ended with {}\nstdout: {}\nstderr: {}",
            self.call, self.code, self.stdout, self.stderr
        )
    }
}
