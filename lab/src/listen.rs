//! The accept loop of the lab's APIs: each connection is served on its own, all of them end with one word.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::command::Serve;

/// Without free file descriptors: a pause lets connections end.
const PAUSE: Duration = Duration::from_millis(20);

/// Serves what connects until `stopped` changes; then the listener and all connections are closed.
pub(crate) async fn accept(
    listener: TcpListener,
    serve: Serve,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        let stream = tokio::select! {
            _ = stopped.changed() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            },
        };
        let (served, mut stopped) = (Arc::clone(&serve), stopped.clone());
        tokio::spawn(async move {
            tokio::select! {
                _ = stopped.changed() => {}
                () = served(stream) => {}
            }
        });
    }
}
