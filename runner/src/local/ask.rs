//! How a program of a local script asks the run for what reaches its lab: over a socket, when it is first used, so that no lab is
//! started for a script that reaches nobody.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tokio::task::{JoinHandle, JoinSet};

/// How long the start of a lab may take.
const START: Duration = Duration::from_secs(120);
/// The longest question.
const QUESTION_BYTES_MAX: u64 = 64;
/// Questions at a time.
const QUESTIONS_MAX: usize = 256;

/// What is asked for: the file that reaches it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// The lab's machines: a configuration of OpenSSH.
    Machines,
    /// The lab's clusters: a kubeconfig.
    Clusters,
}

impl What {
    fn word(self) -> &'static str {
        match self {
            Self::Machines => "machines",
            Self::Clusters => "clusters",
        }
    }
}

/// Says which file reaches what of a world; the error is for people.
pub type Find = Arc<
    dyn Fn(What, u32) -> std::pin::Pin<Box<dyn Future<Output = Result<PathBuf, String>> + Send>>
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
    let (word, world) = question.trim().split_once(' ').unwrap_or_default();
    let known = [What::Machines, What::Clusters];
    let what = known.into_iter().find(|what| what.word() == word);
    let what = what.ok_or(io::ErrorKind::InvalidInput)?;
    let world = world.parse().map_err(io::Error::other)?;
    let answer = match find(what, world).await {
        Ok(file) => format!("ok {}\n", file.display()),
        Err(why) => format!("no {}\n", why.replace('\n', " ")),
    };
    to.write_all(answer.as_bytes()).await
}

/// Asks; the inner error is why there is no such file, for people.
pub(super) fn ask(socket: &Path, what: What, world: &str) -> io::Result<Result<PathBuf, String>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(START))?;
    stream.write_all(format!("{} {world}\n", what.word()).as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    match answer.trim_end().split_once(' ') {
        Some(("ok", file)) => Ok(Ok(file.into())),
        Some(("no", why)) => Ok(Err(why.to_owned())),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_asks_gets_the_file_of_its_world() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("socket");
        let find: Find = Arc::new(|what, world| {
            Box::pin(async move {
                match (what, world) {
                    (What::Machines, 7) => Ok("/a b/config".into()),
                    (What::Clusters, 7) => Ok("/kubeconfig".into()),
                    _ => Err("two\nlines".to_owned()),
                }
            })
        });
        let answers = answer(&socket, find).unwrap();
        let asked = |what: What, world: &'static str| {
            let socket = socket.clone();
            tokio::task::spawn_blocking(move || ask(&socket, what, world))
        };
        let machines = asked(What::Machines, "7").await.unwrap().unwrap();
        assert_eq!(machines, Ok("/a b/config".into()));
        let clusters = asked(What::Clusters, "7").await.unwrap().unwrap();
        assert_eq!(clusters, Ok("/kubeconfig".into()));
        let none = asked(What::Machines, "8").await.unwrap().unwrap();
        assert_eq!(none, Err("two lines".to_owned()));
        assert!(asked(What::Machines, "x").await.unwrap().is_err());
        drop(answers);
    }
}
