//! `ssh`, `scp` and `sftp` of the lab's local scripts: they are asked which lab is theirs when they are first used, so that
//! no lab is started for a script that reaches nobody.
//!
//! The program on the script's PATH is this executable in another role. It asks the run over a socket and becomes OpenSSH
//! with the lab's configuration; there is no way to another one.

use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tokio::task::{JoinHandle, JoinSet};

/// How the first argument of such a start begins; the socket follows.
const MARK: &str = "--runbook-lab-ssh=";
/// What OpenSSH ends with when it could not do what it was told.
const FAILED: i32 = 255;
/// How long the start of a lab may take.
const START: Duration = Duration::from_secs(120);
/// The longest question.
const QUESTION_BYTES_MAX: u64 = 64;
/// Questions at a time.
const QUESTIONS_MAX: usize = 256;
/// Options that take an argument, by program.
const TAKES: [(&str, &str); 3] = [
    ("ssh", "BbcDEeFIiJLlmOoPpQRSWw"),
    ("scp", "cDFiJloPSX"),
    ("sftp", "BbcDFiJloPRSsX"),
];

/// Says which configuration reaches the machines of a world; the error is for people.
pub type Find = Arc<
    dyn Fn(u32) -> std::pin::Pin<Box<dyn Future<Output = Result<PathBuf, String>> + Send>>
        + Send
        + Sync,
>;

/// Answers those programs while it is there.
#[derive(Debug)]
pub(super) struct Answers(JoinHandle<()>);

impl Drop for Answers {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Answers at a socket.
pub(super) fn answer(socket: &Path, find: Find) -> io::Result<Answers> {
    let listener = UnixListener::bind(socket)?;
    Ok(Answers(tokio::spawn(async move {
        let mut open = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            while open.try_join_next().is_some() {}
            if open.len() < QUESTIONS_MAX {
                let find = Arc::clone(&find);
                // Who went away needs no answer.
                open.spawn(async move { one(stream, find).await.ok() });
            }
        }
    })))
}

async fn one(stream: tokio::net::UnixStream, find: Find) -> io::Result<()> {
    let (from, mut to) = stream.into_split();
    let mut question = String::new();
    let mut from = tokio::io::BufReader::new(from.take(QUESTION_BYTES_MAX));
    from.read_line(&mut question).await?;
    let world = question.trim().parse().map_err(io::Error::other)?;
    let answer = match find(world).await {
        Ok(config) => format!("ok {}\n", config.display()),
        Err(why) => format!("no {}\n", why.replace('\n', " ")),
    };
    to.write_all(answer.as_bytes()).await
}

/// The text of a program for a script's PATH.
pub(super) fn program(own: &Path, socket: &Path, world: u32, real: &Path) -> String {
    let quoted = super::shims::quoted;
    format!(
        "#!/bin/sh\nexec {} {MARK}{} {world} {} \"$@\"\n",
        quoted(own),
        quoted(socket),
        quoted(real)
    )
}

/// Call this first thing in `main`: when a script of the lab started this process as OpenSSH, it becomes that and never
/// returns.
pub fn main_if_asked() {
    let mut arguments = std::env::args_os().skip(1);
    let first = arguments.next();
    let Some(socket) = first
        .as_deref()
        .and_then(|first| first.to_str()?.strip_prefix(MARK))
    else {
        return;
    };
    let error = become_openssh(Path::new(socket), arguments);
    // Nobody may be listening.
    let _ = writeln!(io::stderr(), "{error}");
    std::process::exit(FAILED);
}

fn become_openssh(socket: &Path, mut arguments: impl Iterator<Item = OsString>) -> String {
    let (Some(world), Some(program)) = (arguments.next(), arguments.next()) else {
        return "the lab's `ssh` was started without its lab".to_owned();
    };
    let arguments: Vec<OsString> = arguments.collect();
    let name = Path::new(&program)
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let asked = look(&name, &arguments);
    if asked.only_shows && name == "ssh" {
        // It says what it would do, and connects to nobody.
        let error = Command::new(&program).args(arguments).exec();
        return format!("`{}`: {error}", program.display());
    }
    if asked.chooses {
        return format!("the lab's `{name}` uses the lab's configuration only: leave `-F` out");
    }
    match ask(socket, &world.to_string_lossy()) {
        Ok(Ok(config)) => {
            let error = Command::new(&program)
                .arg("-F")
                .arg(config)
                .args(["-o", "BatchMode=yes"])
                .args(arguments)
                .exec();
            format!("`{}`: {error}", program.display())
        }
        Ok(Err(why)) => format!("the lab serves no such host: {why}"),
        Err(error) => format!("the lab does not answer: {error}"),
    }
}

fn ask(socket: &Path, world: &str) -> io::Result<Result<PathBuf, String>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(START))?;
    stream.write_all(format!("{world}\n").as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    match answer.trim_end().split_once(' ') {
        Some(("ok", config)) => Ok(Ok(config.into())),
        Some(("no", why)) => Ok(Err(why.to_owned())),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// What options ask for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    /// Another configuration (`-F`).
    chooses: bool,
    /// Only to show what the configuration says (`ssh -G`).
    only_shows: bool,
}

/// Looks at the options. What follows the destination of `ssh` is the command of another machine.
fn look(name: &str, arguments: &[OsString]) -> Asked {
    let mut asked = Asked::default();
    let known = TAKES.iter().find(|(program, _)| *program == name);
    let takes = known.map_or("", |(_, takes)| takes);
    let mut destinations = 0;
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let Some(letters) = option(argument) else {
            destinations += 1;
            if argument == "--" || name == "ssh" && destinations > 1 {
                break;
            }
            continue;
        };
        for (at, letter) in letters.char_indices() {
            asked.chooses |= letter == 'F';
            asked.only_shows |= letter == 'G';
            // The rest of the word, or the next word, is its argument.
            if takes.contains(letter) {
                if at + letter.len_utf8() == letters.len() {
                    arguments.next();
                }
                break;
            }
        }
    }
    asked
}

/// The letters of an option.
fn option(argument: &OsStr) -> Option<&str> {
    let letters = argument.to_str()?.strip_prefix('-')?;
    (!letters.is_empty() && letters != "-").then_some(letters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_configuration_is_seen_where_it_is_one() {
        for (name, line, is) in [
            ("ssh", "-F /etc/x pve1", true),
            ("ssh", "-vF/etc/x pve1", true),
            ("ssh", "pve1 -F /etc/x true", true),
            ("ssh", "-o User=F pve1 true", false),
            ("ssh", "-p 22 pve1 ssh-keygen -F host", false),
            ("ssh", "-- pve1 -F", false),
            ("ssh", "-l -F pve1", false),
            ("scp", "-r a pve1:b", false),
            ("scp", "-p -F /etc/x a pve1:b", true),
            ("scp", "a pve1:b -F /etc/x", true),
        ] {
            let arguments: Vec<OsString> = line.split(' ').map(Into::into).collect();
            let asked = look(name, &arguments);
            assert_eq!(asked.chooses, is, "{name} {line}");
            assert!(!asked.only_shows, "{name} {line}");
        }
        let shows = ["-G", "-F", "/etc/x", "pve1"].map(OsString::from);
        let asked = Asked {
            chooses: true,
            only_shows: true,
        };
        assert_eq!(look("ssh", &shows), asked);
    }

    #[tokio::test]
    async fn who_asks_gets_the_configuration_of_its_world() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("socket");
        let find: Find = Arc::new(|world| {
            Box::pin(async move {
                match world {
                    7 => Ok("/a b/config".into()),
                    _ => Err("two\nlines".to_owned()),
                }
            })
        });
        let answers = answer(&socket, find).unwrap();
        let asked = |world: &'static str| {
            let socket = socket.clone();
            tokio::task::spawn_blocking(move || ask(&socket, world))
        };
        assert_eq!(asked("7").await.unwrap().unwrap(), Ok("/a b/config".into()));
        assert_eq!(
            asked("8").await.unwrap().unwrap(),
            Err("two lines".to_owned())
        );
        assert!(asked("x").await.unwrap().is_err());
        drop(answers);
    }
}
