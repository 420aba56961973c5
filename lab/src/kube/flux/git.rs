//! Git repositories on this machine, read with the `git` program: references, and the files of one commit. Nothing is written,
//! nothing is fetched, and neither the user's configuration nor a work tree has a say.
//!
//! The program instead of a crate: where there is a repository there is `git`, three short calls answer everything, and a crate that
//! reads packs would be the largest dependency of the lab.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use semver::Version;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::range;
use super::tree::{self, Tree};

/// One call.
const TIME: Duration = Duration::from_secs(30);
/// What one call may print: the files of a source, and their headers.
const OUTPUT_MAX: u64 = 2 * tree::BYTES_MAX as u64;
/// The branch of a reference that names nothing, as source-controller has it.
const DEFAULT_BRANCH: &str = "master";

/// What a reference leads to.
#[derive(Debug)]
pub(super) struct Checkout {
    /// `main@sha1:…`, as source-controller writes it.
    pub(super) revision: String,
    /// The commit.
    pub(super) commit: String,
    /// The first line of its message.
    pub(super) title: String,
    /// Its files.
    pub(super) tree: Tree,
}

/// A failure: the reason, and the text after `failed to checkout and determine revision: `.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    Operation(String),
    /// There is no commit in it.
    Empty,
}

/// Whether a directory is a git repository: a bare one, or one with a work tree.
pub(super) fn is_repository(path: &Path) -> bool {
    path.join(".git").exists() || path.join("HEAD").is_file() && path.join("objects").is_dir()
}

/// The commit a GitRepository's `spec.ref` names, and its files.
pub(super) async fn checkout(
    url: &str,
    path: &Path,
    reference: &Value,
) -> Result<Checkout, Failure> {
    let listed = call(
        path,
        &[
            "for-each-ref",
            "--format=%(refname) %(objectname) %(*objectname)",
        ],
    )
    .await
    .map_err(|text| Failure::Operation(format!("unable to clone '{url}': {text}")))?;
    let listed = String::from_utf8_lossy(&listed).into_owned();
    let references = read_references(&listed);
    if references.is_empty() {
        return Err(Failure::Empty);
    }
    let (shown, commit) = resolve(url, path, reference, &references).await?;
    let broken = |text: String| {
        Failure::Operation(format!(
            "unable to resolve commit object for '{commit}': {text}"
        ))
    };
    let (title, tree) = files(path, &commit).await.map_err(broken)?;
    let revision = if shown.is_empty() {
        format!("sha1:{commit}")
    } else {
        format!("{shown}@sha1:{commit}")
    };
    Ok(Checkout {
        revision,
        commit,
        title,
        tree,
    })
}

/// Names of references with the commit each leads to; an annotated tag is followed.
fn read_references(listed: &str) -> BTreeMap<&str, &str> {
    listed
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            let (name, own) = (words.next()?, words.next()?);
            let followed = words.next().filter(|word| !word.is_empty());
            Some((name, followed.unwrap_or(own)))
        })
        .collect()
}

/// What is shown before the `@`, and the commit. Of several ways to name one, the order is source-controller's.
async fn resolve(
    url: &str,
    path: &Path,
    reference: &Value,
    references: &BTreeMap<&str, &str>,
) -> Result<(String, String), Failure> {
    let text = |key: &str| reference[key].as_str().unwrap_or_default();
    let find = |name: &str| {
        references
            .get(name)
            .copied()
            .map(str::to_owned)
            .ok_or_else(|| {
                Failure::Operation(format!(
                    "unable to clone '{url}': couldn't find remote ref \"{name}\""
                ))
            })
    };
    if !text("commit").is_empty() {
        let wanted = text("commit");
        let branch = text("branch");
        if !branch.is_empty() {
            find(&format!("refs/heads/{branch}"))?;
        }
        let missing = || {
            Failure::Operation(format!(
                "unable to resolve commit object for '{wanted}': object not found"
            ))
        };
        let whole = wanted.len() == 40 && wanted.bytes().all(|c| c.is_ascii_hexdigit());
        let name = format!("{wanted}^{{commit}}");
        if !whole || call(path, &["cat-file", "-e", &name]).await.is_err() {
            return Err(missing());
        }
        let tip = format!("refs/heads/{branch}");
        if !branch.is_empty()
            && call(path, &["merge-base", "--is-ancestor", wanted, &tip])
                .await
                .is_err()
        {
            return Err(missing());
        }
        return Ok((branch.to_owned(), wanted.to_ascii_lowercase()));
    }
    if !text("name").is_empty() {
        let name = text("name");
        let commit = references
            .get(name.trim_end_matches("^{}"))
            .ok_or_else(|| {
                Failure::Operation(format!(
                    "unable to resolve ref '{name}' to a specific commit"
                ))
            })?;
        return Ok((name.to_owned(), (*commit).to_owned()));
    }
    if !text("semver").is_empty() {
        let (tag, commit) = newest(text("semver"), references)?;
        return Ok((tag, commit));
    }
    if !text("tag").is_empty() {
        let tag = text("tag");
        return Ok((tag.to_owned(), find(&format!("refs/tags/{tag}"))?));
    }
    let branch = match text("branch") {
        "" => DEFAULT_BRANCH,
        branch => branch,
    };
    Ok((branch.to_owned(), find(&format!("refs/heads/{branch}"))?))
}

/// The newest tag that a range of versions allows.
fn newest(wanted: &str, references: &BTreeMap<&str, &str>) -> Result<(String, String), Failure> {
    let range = range::Range::read(wanted)
        .map_err(|text| Failure::Operation(format!("semver parse error: {text}")))?;
    references
        .iter()
        .filter_map(|(name, commit)| {
            let tag = name.strip_prefix("refs/tags/")?;
            let version = Version::parse(tag.trim_start_matches('v')).ok()?;
            range.allows(&version).then_some((version, tag, commit))
        })
        .max_by(|(one, ..), (other, ..)| one.cmp(other))
        .map(|(_, tag, commit)| (tag.to_owned(), (*commit).to_owned()))
        .ok_or_else(|| Failure::Operation(format!("no match found for semver: {wanted}")))
}

/// The title and the files of a commit. Links and submodules are left out.
async fn files(path: &Path, commit: &str) -> Result<(String, Tree), String> {
    let listed = call(path, &["ls-tree", "-r", "-z", "--full-tree", commit]).await?;
    let mut names = Vec::new();
    let mut wanted = format!("{commit}\n");
    for entry in listed
        .split(|byte| *byte == 0)
        .filter(|entry| !entry.is_empty())
    {
        let entry = String::from_utf8_lossy(entry);
        let (head, name) = entry.split_once('\t').ok_or("a tree cannot be read")?;
        let mut words = head.split(' ');
        let (mode, _, id) = (words.next(), words.next(), words.next());
        if let (Some("100644" | "100755"), Some(id)) = (mode, id) {
            names.push(name.to_owned());
            wanted.push_str(id);
            wanted.push('\n');
        }
    }
    let printed = call_with(path, &["cat-file", "--batch"], wanted.into_bytes()).await?;
    let mut rest = printed.as_slice();
    let message = object(&mut rest)?;
    let message = String::from_utf8_lossy(message);
    let title = message
        .split_once("\n\n")
        .and_then(|(_, text)| text.lines().next())
        .unwrap_or_default()
        .to_owned();
    let mut tree = Tree::default();
    for name in names {
        tree.add(&name, object(&mut rest)?.to_vec())?;
    }
    Ok((title, tree))
}

/// The next object of what `cat-file --batch` printed: a line `ID KIND SIZE`, the content, a line's end.
fn object<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], String> {
    let short = || "git printed less than was asked for".to_owned();
    let end = rest
        .iter()
        .position(|byte| *byte == b'\n')
        .ok_or_else(short)?;
    let head = String::from_utf8_lossy(&rest[..end]).into_owned();
    let size: usize = head
        .rsplit(' ')
        .next()
        .and_then(|word| word.parse().ok())
        .ok_or_else(|| format!("object not found: {head}"))?;
    let from = end + 1;
    let content = rest.get(from..from + size).ok_or_else(short)?;
    *rest = rest.get(from + size + 1..).ok_or_else(short)?;
    Ok(content)
}

async fn call(path: &Path, arguments: &[&str]) -> Result<Vec<u8>, String> {
    call_with(path, arguments, Vec::new()).await
}

/// One call of `git` in a repository; its output, or what it complained about.
async fn call_with(path: &Path, arguments: &[&str], input: Vec<u8>) -> Result<Vec<u8>, String> {
    let mut command = Command::new("git");
    command
        .arg("-C")
        .arg(path)
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        // Repositories may have been made by another user of this machine.
        .envs([
            ("GIT_CONFIG_COUNT", "1"),
            ("GIT_CONFIG_KEY_0", "safe.directory"),
            ("GIT_CONFIG_VALUE_0", "*"),
        ])
        .envs([
            ("GIT_OPTIONAL_LOCKS", "0"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_NO_LAZY_FETCH", "1"),
            ("LC_ALL", "C"),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    for name in [
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_OBJECT_DIRECTORY",
        "GIT_NAMESPACE",
    ] {
        command.env_remove(name);
    }
    let mut child = command
        .spawn()
        .map_err(|error| format!("the lab reads repositories with `git`: {error}"))?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let work = async {
        let write = async {
            if let Some(mut stdin) = stdin {
                let _ = stdin.write_all(&input).await;
            }
        };
        let mut output = Vec::new();
        let read = async {
            if let Some(stdout) = stdout {
                stdout.take(OUTPUT_MAX + 1).read_to_end(&mut output).await
            } else {
                Ok(0)
            }
        };
        let mut complaint = Vec::new();
        let complain = async {
            if let Some(stderr) = stderr {
                let _ = stderr.take(OUTPUT_MAX).read_to_end(&mut complaint).await;
            }
        };
        let ((), read, ()) = tokio::join!(write, read, complain);
        read.map_err(|error| error.to_string())?;
        let status = child.wait().await.map_err(|error| error.to_string())?;
        if output.len() as u64 > OUTPUT_MAX {
            return Err(format!("git printed more than {OUTPUT_MAX} bytes"));
        }
        if status.success() {
            Ok(output)
        } else {
            Err(String::from_utf8_lossy(&complaint).trim().to_owned())
        }
    };
    match tokio::time::timeout(TIME, work).await {
        Ok(result) => result,
        Err(_) => Err(format!("git was not done after {} s", TIME.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn git(at: &Path, arguments: &[&str]) -> String {
        let output = std::process::Command::new("git")
            .arg("-C")
            .arg(at)
            .args([
                "-c",
                "user.name=t",
                "-c",
                "user.email=t@example.com",
                "-c",
                "commit.gpgsign=false",
            ])
            .args(arguments)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .expect("git runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    async fn failure(at: &Path, reference: Value) -> String {
        match checkout("u", at, &reference).await {
            Err(Failure::Operation(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn commits_are_read_not_work_trees() {
        let place = tempfile::tempdir().expect("a directory");
        let at = place.path();
        git(at, &["init", "-q", "-b", "main"]);
        assert_eq!(
            checkout("u", at, &json!({"branch": "main"}))
                .await
                .expect_err("nothing in it"),
            Failure::Empty
        );
        std::fs::create_dir(at.join("app")).expect("made");
        std::fs::write(at.join("app/a.yaml"), "one").expect("written");
        std::os::unix::fs::symlink("app/a.yaml", at.join("link")).expect("made");
        git(at, &["add", "-A"]);
        git(at, &["commit", "-q", "-m", "first change\n\nwith a body"]);
        git(at, &["tag", "v1.0.0"]);
        let first = git(at, &["rev-parse", "HEAD"]);
        std::fs::write(at.join("app/a.yaml"), "two").expect("written");
        git(at, &["commit", "-q", "-am", "second"]);
        git(at, &["tag", "-a", "v1.2.0", "-m", "annotated"]);
        let second = git(at, &["rev-parse", "HEAD"]);
        std::fs::write(at.join("app/a.yaml"), "not committed").expect("written");

        let found = checkout("u", at, &json!({"branch": "main"}))
            .await
            .expect("there");
        assert_eq!(found.revision, format!("main@sha1:{second}"));
        assert_eq!(
            (found.title.as_str(), found.tree.read("app/a.yaml")),
            ("second", Some(&b"two"[..]))
        );
        assert!(!found.tree.is_file("link"));
        for (reference, revision, text) in [
            (
                json!({"tag": "v1.0.0"}),
                format!("v1.0.0@sha1:{first}"),
                "one",
            ),
            (
                json!({"tag": "v1.2.0", "branch": "x"}),
                format!("v1.2.0@sha1:{second}"),
                "two",
            ),
            (
                json!({"semver": ">=1.0.0 <1.2.0"}),
                format!("v1.0.0@sha1:{first}"),
                "one",
            ),
            (
                json!({"semver": "1.x"}),
                format!("v1.2.0@sha1:{second}"),
                "two",
            ),
            (json!({"commit": first}), format!("sha1:{first}"), "one"),
            (
                json!({"branch": "main", "commit": first}),
                format!("main@sha1:{first}"),
                "one",
            ),
            (
                json!({"name": "refs/heads/main"}),
                format!("refs/heads/main@sha1:{second}"),
                "two",
            ),
        ] {
            let found = checkout("u", at, &reference).await.expect("there");
            assert_eq!(found.revision, revision, "{reference}");
            assert_eq!(
                found.tree.read("app/a.yaml"),
                Some(text.as_bytes()),
                "{reference}"
            );
        }
        let nowhere = "1".repeat(40);
        for (reference, text) in [
            (
                json!({}),
                "unable to clone 'u': couldn't find remote ref \"refs/heads/master\"".to_owned(),
            ),
            (
                json!({"tag": "v9"}),
                "unable to clone 'u': couldn't find remote ref \"refs/tags/v9\"".to_owned(),
            ),
            (
                json!({"semver": ">=3.0.0"}),
                "no match found for semver: >=3.0.0".to_owned(),
            ),
            (
                json!({"semver": "x y"}),
                "semver parse error: improper constraint: \"x y\"".to_owned(),
            ),
            (
                json!({"name": "refs/x"}),
                "unable to resolve ref 'refs/x' to a specific commit".to_owned(),
            ),
            (
                json!({"commit": nowhere}),
                format!("unable to resolve commit object for '{nowhere}': object not found"),
            ),
        ] {
            assert_eq!(failure(at, reference).await, text);
        }
    }
}
