//! One suite of cases for any Kubernetes API server.
//!
//! The cases speak HTTP, watch streams and web sockets as they are, and the real `kubectl`; no client of ours stands between a case and the
//! server. The real control plane (`tests/control-plane`) defines what is right; the lab's API is held to the same code: it is what the cases
//! run on where no server is given.
//!
//! `cargo test -p kubernetes-conformance -- [WORD...] [--kubeconfig FILE] [--kubectl FILE] [--jobs N] [--skips N] [--keep] [--list] [--defects]`
//!
//! * `WORD`: only cases whose name contains one of the words.
//! * `--kubeconfig FILE`: the server (or `RUNBOOK_TEST_KUBECONFIG`). A file `env` beside it may say more, as `tests/control-plane/up` writes it.
//!   Without one a lab is started in this process.
//! * `--kubectl FILE`: the kubectl to use (or `RUNBOOK_TEST_KUBECTL`). Without it the one that `env` names; on the lab the one on `PATH`, then the
//!   one that was built for the real control plane. Where there is none its cases are skipped.
//! * `--skips N`: more than N skipped cases are a failure. Any number is not one when it is not given.
//! * `--keep`: namespaces are left behind, for a server that is thrown away afterwards: to empty them costs more than all cases.
//!
//! * `--defects`: only the trial of the cases themselves (`defects`): something is wrong with the server, and a case must turn red. Without words
//!   and without a kubeconfig it follows the cases.
//!
//! Ends with 0 when nothing failed, 1 when something did, 2 when it could not start. What is skipped is named with its reason.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test program without a harness reports on its own"
)]

mod case;
mod client;
mod context;
mod defects;
mod echo;
mod kubectl;
mod lab;
mod manifest;
mod options;
mod registry;
mod report;
mod repository;
mod server;
mod socket;
mod watch;

mod cases;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use futures_util::StreamExt as _;

use crate::case::Case;
use crate::lab::Lab;
use crate::options::Options;
use crate::report::{Outcome, Report};
use crate::server::Server;

fn main() -> ExitCode {
    // As a part of the lab's isolated place this process is something else altogether.
    runbook_lab::isolate::main_if_asked();
    runbook_lab::hosts::program::main_if_asked();
    echo::main_if_asked();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let options = match Options::read() {
        Ok(options) => options,
        Err(text) => {
            eprintln!("{text}");
            return ExitCode::from(2);
        }
    };
    match tokio::runtime::Runtime::new().map(|runtime| runtime.block_on(begin(&options))) {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// Runs the chosen cases on the server that is given, or on a lab that lives as long as they run.
async fn begin(options: &Options) -> Result<ExitCode> {
    let chosen: Vec<&'static Case> = cases::all()
        .filter(|case| options.chooses(&case.name()))
        .collect();
    if options.list {
        chosen.iter().for_each(|case| println!("{}", case.name()));
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(kubeconfig) = &options.kubeconfig {
        let server = Server::open(kubeconfig, options.kubectl.as_deref(), options.keep).await?;
        if options.defects {
            return Ok(defects::run(&server, options).await);
        }
        return Ok(run(Arc::new(server), chosen, options).await);
    }
    let lab = Lab::start(options.kubectl.as_deref()).await?;
    let server = lab.open(options.keep).await?;
    let mut code = ExitCode::SUCCESS;
    if !options.defects {
        code = run(Arc::new(server.clone()), chosen, options).await;
    }
    if options.defects || options.words.is_empty() {
        let seen = defects::run(&server, options).await;
        if code == ExitCode::SUCCESS {
            code = seen;
        }
    }
    lab.end().await;
    Ok(code)
}

async fn run(server: Arc<Server>, chosen: Vec<&'static Case>, options: &Options) -> ExitCode {
    println!(
        "kubernetes conformance: {} cases, {} at once, on {}",
        chosen.len(),
        options.jobs,
        server.describe()
    );
    let started = Instant::now();
    let mut report = Report::default();
    let mut running = futures_util::stream::iter(chosen)
        .map(|case| {
            let server = server.clone();
            async move {
                let begun = Instant::now();
                // A task of its own: a case that panics fails, and no other with it.
                let outcome = match tokio::spawn(case::run(case, server)).await {
                    Ok(outcome) => outcome,
                    Err(error) => Outcome::Failed(format!("the case panicked: {error}")),
                };
                (case, outcome, begun.elapsed())
            }
        })
        .buffer_unordered(options.jobs);
    while let Some((case, outcome, time)) = running.next().await {
        report.add(case.name(), outcome, time);
    }
    report.finish(started.elapsed(), options.skips)
}
