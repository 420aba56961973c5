//! Our side of Flux in `bench/kubernetes`: has an object of Flux reconciled, its source first, and waits until it is ready.
//!
//! `reconcile KUBECONFIG NAMESPACE KIND/NAME`, with the kubeconfig's current context. Prints the revision that is ready.

use std::io::Write as _;
use std::time::Duration;

use runbook_k8s::{Access, Client, flux};

const LIMIT: Duration = Duration::from_secs(120);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kubeconfig, namespace, named] = &arguments[..] else {
        return Err("usage: reconcile KUBECONFIG NAMESPACE KIND/NAME".into());
    };
    let access = Access::Kubeconfig {
        path: kubeconfig.into(),
        context: None,
    };
    let client = Client::connect(&access).await?;
    let object = flux::object(&client, named, namespace).await?;
    let request = flux::Request {
        with_source: true,
        ..flux::Request::default()
    };
    let object = flux::reconcile(&client, &object, request, LIMIT).await?;
    let revision = flux::read(&object).revision.unwrap_or_default();
    writeln!(std::io::stdout(), "{revision}")?;
    Ok(())
}
