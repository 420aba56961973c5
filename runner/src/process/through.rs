//! What a program is started through: what it must not see is hidden before it begins.
//!
//! A mount namespace belongs to a thread, and a child has that of the thread that started it. So where the machine allows it
//! one thread hides things once and starts every child: that costs a start nothing. Where not, another program hides them
//! and becomes the child, each time.

use std::ffi::OsString;
use std::io;
use std::sync::{Arc, mpsc};
use std::thread;

use tokio::process::{Child, Command};
use tokio::runtime::Handle;

use super::tree::Tree;

/// What is said when the thread panicked.
const GONE: &str = "the thread that starts programs is gone";

/// What a program is started through.
#[derive(Debug, Clone, Default)]
pub enum Through {
    /// Nothing: it is started itself.
    #[default]
    Nothing,
    /// A program and arguments that become it in the same process.
    Program(Arc<[OsString]>),
    /// A thread that starts it.
    Thread(Arc<Starter>),
}

impl Through {
    /// Starts a child as the leader of a new tree.
    pub(super) fn start(&self, mut command: Command) -> io::Result<(Tree, Child)> {
        match self {
            Self::Thread(starter) => starter.start(command),
            Self::Nothing | Self::Program(_) => Tree::start(&mut command),
        }
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// A thread that starts children; it ends when this is dropped. Its children do not.
#[derive(Debug)]
pub struct Starter {
    jobs: mpsc::Sender<Job>,
}

impl Starter {
    /// Starts the thread and lets it prepare itself: what it does to itself its children inherit.
    ///
    /// # Errors
    ///
    /// When there can be no thread, or it cannot prepare itself: why.
    pub fn new(
        prepare: impl FnOnce() -> Result<(), String> + Send + 'static,
    ) -> Result<Self, String> {
        let (jobs, given) = mpsc::channel::<Job>();
        let (tell, told) = mpsc::sync_channel(1);
        thread::Builder::new()
            .name("starter".into())
            .spawn(move || {
                let prepared = prepare();
                let is_ready = prepared.is_ok();
                // Who asked waits for it.
                let _ = tell.send(prepared);
                if is_ready {
                    given.into_iter().for_each(|job| job());
                }
            })
            .map_err(|error| error.to_string())?;
        told.recv().unwrap_or_else(|_| Err(GONE.into()))?;
        Ok(Self { jobs })
    }

    fn start(&self, mut command: Command) -> io::Result<(Tree, Child)> {
        let gone = || io::Error::other(GONE);
        let runtime = Handle::current();
        let (tell, told) = mpsc::sync_channel(1);
        let job = move || {
            let _inside = runtime.enter();
            // Who asked waits for it.
            let _ = tell.send(Tree::start(&mut command));
        };
        self.jobs.send(Box::new(job)).map_err(|_| gone())?;
        told.recv().map_err(|_| gone())?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_cannot_prepare_itself_starts_nothing() {
        let refused = Starter::new(|| Err("not here".into())).map(|_| ());
        assert_eq!(refused, Err("not here".to_owned()));
        let panicked = Starter::new(|| panic!("on purpose")).map(|_| ());
        assert_eq!(panicked, Err(GONE.to_owned()));
    }

    #[tokio::test]
    async fn a_child_is_started_by_the_thread_and_waited_for_here() {
        let (tell, told) = mpsc::channel();
        let through = Through::Thread(Arc::new(
            Starter::new(move || {
                let _ = tell.send(thread::current().id());
                Ok(())
            })
            .unwrap(),
        ));
        assert_ne!(told.recv().unwrap(), thread::current().id());
        let mut command = Command::new("sh");
        command.args(["-c", "exit 7"]);
        let (mut tree, mut child) = through.start(command).unwrap();
        let status = child.wait().await.unwrap();
        tree.leader_is_reaped();
        assert_eq!(status.code(), Some(7));
        let missing = through.start(Command::new("/no/such/program")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
