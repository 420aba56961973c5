//! A command of a machine in a task of its own, which waits for it and can be told to end it.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::command::{Control, End, Later};
use crate::isolate;

struct Kill(Arc<Notify>);

impl Control for Kill {
    fn signal(&self, name: &str) {
        // The place knows one way to end a command; signals that mean an end are that.
        if matches!(name, "TERM" | "INT" | "HUP" | "KILL" | "QUIT") {
            self.end();
        }
    }

    fn end(&self) {
        self.0.notify_one();
    }
}

/// Waits for a command in a task of its own, which can be told to end it.
pub(super) fn drive(mut running: isolate::Running) -> (Later<End>, Arc<dyn Control>) {
    let kill = Arc::new(Notify::new());
    let (tell, ended) = tokio::sync::oneshot::channel();
    let asked = kill.clone();
    tokio::spawn(async move {
        let status = tokio::select! {
            status = running.wait() => status,
            () = asked.notified() => {
                if let Err(error) = running.kill().await {
                    tracing::warn!(%error, "a command of a lab's machine cannot be ended");
                }
                running.wait().await
            }
        };
        let end = match status {
            Ok(isolate::Status {
                code: Some(code), ..
            }) => End::Code(code.unsigned_abs()),
            Ok(isolate::Status {
                signal: Some(signal),
                ..
            }) => End::Signal(name(signal)),
            _ => End::Signal("KILL".to_owned()), // the machine went down
        };
        let _ = tell.send(end);
    });
    let ended = async move { ended.await.unwrap_or(End::Signal("KILL".to_owned())) };
    (Box::pin(ended), Arc::new(Kill(kill)))
}

const SIGNALS: &[(i32, &str)] = &[
    (1, "HUP"),
    (2, "INT"),
    (3, "QUIT"),
    (4, "ILL"),
    (6, "ABRT"),
    (8, "FPE"),
    (9, "KILL"),
    (10, "USR1"),
    (11, "SEGV"),
    (13, "PIPE"),
    (14, "ALRM"),
    (15, "TERM"),
];

fn name(signal: i32) -> String {
    SIGNALS
        .iter()
        .find(|(number, _)| *number == signal)
        .map_or_else(|| signal.to_string(), |(_, name)| (*name).to_owned())
}

/// The number of a signal.
pub(super) fn number(name: &str) -> u8 {
    SIGNALS
        .iter()
        .find(|(_, known)| *known == name)
        .and_then(|(number, _)| u8::try_from(*number).ok())
        .unwrap_or(127)
}
