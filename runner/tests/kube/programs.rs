//! Commands of containers of a test's cluster: `sh` on this machine, and nothing else.

use std::process::Stdio;
use std::sync::Arc;

use runbook_lab::command::{Control, End, Later, Process};
use runbook_lab::kube::{Missing, Order, Programs, Settings};
use tokio::process::Command;

use crate::cluster::Home;

pub(crate) fn home() -> Home {
    Home::with_programs(Settings::default(), Arc::new(Shell))
}

struct Shell;

/// Ends with the child, which is ended when it is dropped.
pub(crate) struct Ends;

impl Control for Ends {
    fn signal(&self, _name: &str) {}

    fn end(&self) {}
}

impl Programs for Shell {
    fn start(&self, order: Order) -> Later<Result<Process, Missing>> {
        Box::pin(async move {
            let program = &order.command[0];
            if program != "sh" {
                return Err(Missing::Program(program.clone()));
            }
            let mut child = Command::new("sh")
                .args(&order.command[1..])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .map_err(|error| Missing::Isolation(error.to_string()))?;
            Ok(Process {
                stdin: Box::new(child.stdin.take().unwrap()),
                stdout: Box::new(child.stdout.take().unwrap()),
                stderr: Box::new(child.stderr.take().unwrap()),
                ended: Box::pin(async move {
                    let status = child.wait().await.ok();
                    let code = status.and_then(|status| status.code()).unwrap_or(137);
                    End::Code(u32::try_from(code).unwrap_or(255))
                }),
                control: Arc::new(Ends),
            })
        })
    }
}
