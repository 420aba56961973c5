//! Our side of `bench/kubernetes`: applies the objects of a file as one step and waits until all of them are ready.
//!
//! `apply KUBECONFIG MANIFEST`, with the kubeconfig's current context. Prints how many objects are ready and how many requests it took.

use std::io::Write as _;
use std::time::Duration;

use runbook_k8s::apply::{Options, Plan};
use runbook_k8s::{Access, Client, manifest, wait};

/// For the applying, and again for the waiting: 1,000 deployments on a busy machine.
const LIMIT: Duration = Duration::from_secs(600);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(kubeconfig), Some(file)) = (arguments.next(), arguments.next()) else {
        return Err("usage: apply KUBECONFIG MANIFEST".into());
    };
    let access = Access::Kubeconfig {
        path: kubeconfig.into(),
        context: None,
    };
    let client = Client::connect(&access).await?;
    let objects = manifest::parse(&std::fs::read_to_string(file)?)?;
    let plan = Plan::make(&client, &objects, &Options::default()).await?;
    let outcome = plan.run(&client, LIMIT, |_| {}).await?;
    let ready = outcome.ready(&client, wait::Wish::default(), LIMIT).await?;
    let mut out = std::io::stdout();
    writeln!(out, "{} ready, {} requests", ready.len(), client.requests())?;
    Ok(())
}
