//! Files of another machine, by the few programs that every one has: each operation is one program there.
//!
//! What is there is told in numbers and bytes, never by listings that a locale or a version changes.

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::error::FileError;
use super::files::Files;
use super::{FILE_BYTES_MAX, Found};
use crate::action::accounts::Account;
use crate::process::{Cancel, Limits};
use crate::remote::quote::assignment;
use crate::remote::{Answer, Program, Remote, RemoteError};
use crate::whole_file::{NEW_FILE_MODE, Owned};

/// The longest answer but a file's content.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// The bits of a mode that say what it is, and their values for a directory and a file.
const KIND_BITS: u32 = 0o170_000;
const KIND_DIRECTORY: u32 = 0o040_000;
const KIND_FILE: u32 = 0o100_000;
/// The bits of a mode that count.
const MODE_BITS: u32 = 0o7777;
/// What `stat` says of what is not there, in the locale that we set.
const NOT_THERE: &str = "No such file or directory";

/// Another machine's files, for as long as a step may take.
#[derive(Clone)]
pub struct There {
    /// The machine.
    pub remote: Remote,
    /// Until when.
    pub deadline: Instant,
    /// Who may stop it.
    pub cancel: Cancel,
}

impl There {
    /// Runs lines with `$p` as the path.
    async fn run(
        &self,
        path: &Path,
        lines: &str,
        input: &[u8],
        bytes_max: usize,
    ) -> Result<Answer, FileError> {
        let relative = match path.is_absolute() {
            true => path.to_owned(),
            false => Path::new(".").join(path),
        };
        // Without a slash at its end.
        let relative: PathBuf = relative.components().collect();
        let text = format!(
            "{}; {lines}",
            assignment("p", relative.as_os_str().as_bytes())
        );
        let program = Program::Lines {
            text,
            input: input.to_vec(),
        };
        let left = self.deadline.saturating_duration_since(Instant::now());
        let limits = Limits::new(left, self.cancel.clone());
        Ok(self.remote.lines(&program, bytes_max, limits).await?)
    }

    /// Runs lines that must succeed; what they print.
    async fn done(
        &self,
        what: &'static str,
        path: &Path,
        lines: &str,
        input: &[u8],
    ) -> Result<Vec<u8>, FileError> {
        let answer = self.run(path, lines, input, ANSWER_BYTES_MAX).await?;
        if answer.code == 0 {
            return Ok(answer.stdout);
        }
        Err(FileError::System {
            what,
            path: path.to_owned(),
            source: source(&answer),
        })
    }

    /// The line of a user or a group: its name and its number.
    async fn account(&self, kind: Account, name: &str) -> Result<Option<(String, u32)>, FileError> {
        let (database, file) = match kind {
            Account::User => ("passwd", "/etc/passwd"),
            Account::Group => ("group", "/etc/group"),
        };
        let lines = format!(
            "p=${{p#./}}; {{ getent {database} \"$p\" || awk -F: '$1 == ENVIRON[\"p\"] || $3 == ENVIRON[\"p\"]' {file}; }} 2>/dev/null | head -n 1"
        );
        let lines = format!("export p; {lines}");
        let answer = self
            .run(Path::new(name), &lines, b"", ANSWER_BYTES_MAX)
            .await?;
        let line = String::from_utf8_lossy(&answer.stdout).into_owned();
        let mut fields = line.trim_end().split(':');
        let found = fields.next().map(str::to_owned);
        let number = fields.nth(1).and_then(|number| number.parse().ok());
        Ok(found.zip(number))
    }
}

/// What a program there said, as what the system says here.
fn source(answer: &Answer) -> io::Error {
    let line = answer.stderr.lines().next_back().unwrap_or_default();
    let said = line.rsplit_once(": ").map_or(line, |(_, said)| said);
    let kind = match said {
        NOT_THERE => io::ErrorKind::NotFound,
        "Permission denied" => io::ErrorKind::PermissionDenied,
        _ => io::ErrorKind::Other,
    };
    if said.is_empty() {
        return io::Error::new(kind, format!("exit code {}", answer.code));
    }
    io::Error::new(kind, said.to_owned())
}

impl Files for There {
    async fn look(&self, path: &Path) -> Result<Found, FileError> {
        let lines = format!(
            "stat -L -c '%f %u %g %s' -- \"$p\" || exit 1; if [ -d \"$p\" ]; then n=$(ls -Aq -- \"$p\") || exit 2; \
             [ -z \"$n\" ] || printf '%s\\n' \"$n\" | wc -l; \
             elif [ -f \"$p\" ] && [ \"$(stat -L -c %s -- \"$p\")\" -le {FILE_BYTES_MAX} ]; then exec cat -- \"$p\"; fi"
        );
        let bytes_max = usize::try_from(FILE_BYTES_MAX).unwrap_or(usize::MAX) + ANSWER_BYTES_MAX;
        let answer = self.run(path, &lines, b"", bytes_max).await?;
        if answer.code == 1 && answer.stdout.is_empty() && answer.stderr.ends_with(NOT_THERE) {
            return Ok(Found::Absent);
        }
        let failed = |what| FileError::System {
            what,
            path: path.to_owned(),
            source: source(&answer),
        };
        if answer.code != 0 {
            let what = if answer.stdout.is_empty() {
                "look at"
            } else {
                "read"
            };
            return Err(failed(what));
        }
        let end = answer.stdout.iter().position(|byte| *byte == b'\n');
        let (line, content) = answer.stdout.split_at(end.map_or(0, |end| end + 1));
        let line = String::from_utf8_lossy(line).into_owned();
        let mut numbers = line.split_whitespace();
        let mut next = |radix| {
            let number = numbers.next()?;
            u64::from_str_radix(number, radix).ok()
        };
        let (Some(mode), Some(uid), Some(gid), Some(bytes)) =
            (next(16), next(10), next(10), next(10))
        else {
            return Err(failed("look at"));
        };
        let number = |number: u64| u32::try_from(number).map_err(|_| failed("look at"));
        let mode = number(mode)?;
        let owned = Owned {
            mode: mode & MODE_BITS,
            uid: number(uid)?,
            gid: number(gid)?,
        };
        match mode & KIND_BITS {
            KIND_DIRECTORY => {
                let entries = String::from_utf8_lossy(content).trim().parse().unwrap_or(0);
                Ok(Found::Directory(entries, owned))
            }
            KIND_FILE if bytes > FILE_BYTES_MAX => Err(FileError::TooLarge {
                path: path.to_owned(),
                bytes,
            }),
            KIND_FILE => Ok(Found::File(content.to_vec(), owned)),
            _ => Err(FileError::Kind {
                path: path.to_owned(),
                is: "a device, pipe or socket",
                wished: "a file",
            }),
        }
    }

    async fn write(
        &self,
        path: &Path,
        content: &[u8],
        owned: Option<Owned>,
    ) -> Result<(), FileError> {
        let length = content.len();
        let mode = owned.map_or(NEW_FILE_MODE, |owned| owned.mode);
        let own = match owned {
            Some(Owned { uid, gid, .. }) => format!(
                "{{ [ \"$(stat -c %u:%g -- \"$x\")\" = {uid}:{gid} ] || chown {uid}:{gid} -- \"$x\"; }} && "
            ),
            None => String::new(),
        };
        // A link stays a link: what it points to is replaced.
        let lines = format!(
            "t=$p; [ ! -e \"$p\" ] || t=$(readlink -f -- \"$p\") || exit 1; d=${{t%/*}}; \
             x=$(mktemp \"$d/.runbook-XXXXXXXX\") || exit 1; head -c {length} >\"$x\" && \
             {{ [ \"$(wc -c <\"$x\")\" -eq {length} ] || {{ echo 'the connection: cut' >&2; false; }}; }} && \
             {own}chmod {mode:05o} -- \"$x\" && {{ sync -- \"$x\" 2>/dev/null || :; }} && mv -f -- \"$x\" \"$t\" || \
             {{ rm -f -- \"$x\"; exit 1; }}"
        );
        self.done("write", path, &lines, content).await.map(drop)
    }

    async fn remove(&self, path: &Path) -> Result<(), FileError> {
        let lines =
            "if [ -d \"$p\" ] && [ ! -L \"$p\" ]; then rmdir -- \"$p\"; else rm -f -- \"$p\"; fi";
        self.done("remove", path, lines, b"").await.map(drop)
    }

    async fn make(&self, path: &Path) -> Result<Option<PathBuf>, FileError> {
        // The first one is told by how many parts of the path are there.
        let lines = "q=$p; n=0; while [ ! -e \"$q\" ]; do n=$((n+1)); case $q in */*) q=${q%/*};; *) q=;; esac; \
             [ -n \"$q\" ] || break; done; mkdir -p -- \"$p\" && echo $n";
        let told = self.done("make", path, lines, b"").await?;
        let missing: usize = String::from_utf8_lossy(&told).trim().parse().unwrap_or(0);
        let first = missing
            .checked_sub(1)
            .and_then(|above| path.ancestors().nth(above));
        Ok(first.map(Path::to_owned))
    }

    async fn own(
        &self,
        path: &Path,
        user: Option<u32>,
        group: Option<u32>,
    ) -> Result<(), FileError> {
        let text = |number: Option<u32>| number.map(|number| number.to_string());
        let owner = match (text(user), text(group)) {
            (None, None) => return Ok(()),
            (Some(user), None) => user,
            (user, Some(group)) => format!("{}:{group}", user.unwrap_or_default()),
        };
        let lines = format!("chown {owner} -- \"$p\"");
        let what = "change the owner of";
        self.done(what, path, &lines, b"").await.map(drop)
    }

    async fn mode(&self, path: &Path, mode: u32) -> Result<(), FileError> {
        // Five digits: with fewer some keep the set-group-ID bit of a directory.
        let lines = format!("chmod {mode:05o} -- \"$p\"");
        let what = "change the mode of";
        self.done(what, path, &lines, b"").await.map(drop)
    }

    async fn number(&self, kind: Account, name: &str) -> Result<u32, FileError> {
        if let Ok(number) = name.parse() {
            return Ok(number);
        }
        let found = self.account(kind, name).await?;
        let found = found.filter(|(known, _)| known == name);
        found
            .map(|(_, number)| number)
            .ok_or_else(|| FileError::NoAccount {
                place: self.remote.name().to_owned(),
                kind: kind.user_word(),
                name: name.to_owned(),
            })
    }

    async fn name(&self, kind: Account, number: u32) -> Result<String, FileError> {
        let text = number.to_string();
        let found = self.account(kind, &text).await?;
        let found = found.filter(|(_, known)| *known == number);
        Ok(found.map_or(text, |(name, _)| name))
    }
}

impl From<RemoteError> for FileError {
    fn from(error: RemoteError) -> Self {
        Self::Elsewhere(Box::new(error))
    }
}
