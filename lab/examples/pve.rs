//! Serves the simulated Proxmox VE API alone: `cargo run -p runbook-lab --example pve -- STATE-FILE [PORT]`.
//! Prints its URL and runs until it is ended. 401 answers are not delayed.

#![allow(clippy::print_stdout)]

use std::time::Duration;

use runbook_lab::fixture::Fixture;
use runbook_lab::pve::{Cluster, Options, Server};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let text = match args.next() {
        Some(file) => std::fs::read_to_string(file)?,
        None => "{}".to_owned(),
    };
    let mut options = Options::local()?;
    options.unauthorized_delay = Duration::ZERO;
    options.bind.set_port(
        args.next()
            .map(|port| port.parse())
            .transpose()?
            .unwrap_or(0),
    );
    let server = Server::start(Cluster::new(&Fixture::parse(&text)?), options).await?;
    println!("{}", server.url());
    std::future::pending::<()>().await;
    Ok(())
}
