//! `serve`: the site on this machine, rebuilt when the book or its records change, and the page reloaded.
//!
//! Files by tower-http, one websocket that says `reload` (mdBook's own client listens), file events by notify. A failed build keeps
//! the last good site and says why. A site is built beside the one that is served, which it then replaces as a whole: no page is
//! missing meanwhile. Listens on loopback unless told otherwise.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::body::Body;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use notify::{RecursiveMode, Watcher};
use tokio::sync::{broadcast, mpsc};
use tower_http::services::ServeDir;

use super::shell::Shell;

/// Where mdBook's reload client connects; the build must name the same endpoint.
pub(super) const RELOAD_ENDPOINT: &str = "__runbook/reload";
/// How long changes are gathered before a rebuild, so that one save is one build.
const SETTLE: Duration = Duration::from_millis(60);
/// How many reloads a slow page may miss.
const RELOADS_MAX: usize = 16;

/// What is served and how it is rebuilt.
pub(super) struct Served {
    /// The book's root.
    pub root: PathBuf,
    /// The folders of the site: the first is built, the other one takes the next build, and so on in turn.
    pub sites: [PathBuf; 2],
    /// What is watched beside the book's root (the theme, an inventory elsewhere).
    pub watched: Vec<PathBuf>,
    /// Builds the site anew into a folder; the error is for people.
    pub build: Build,
}

/// Builds a site into a folder.
pub(super) type Build = Box<dyn Fn(&Path) -> Result<(), String> + Send + Sync>;

/// The folder that is served now.
type Current = Arc<RwLock<PathBuf>>;

/// Serves until INT or TERM.
///
/// # Errors
/// When the address cannot be listened on, or the book's folder cannot be watched.
pub(super) async fn serve(
    shell: Shell,
    served: Served,
    address: &str,
    ready: impl FnOnce(&str),
) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on `{address}`"))?;
    let url = format!("http://{}/", listener.local_addr()?);
    let (reload, _) = broadcast::channel::<()>(RELOADS_MAX);
    let (changed, changes) = mpsc::unbounded_channel();
    let _watcher = watch(&served, changed)?;
    let app = Router::new()
        .route(&format!("/{RELOAD_ENDPOINT}"), get(upgrade))
        .with_state(reload.clone());
    let current: Current = Arc::new(RwLock::new(served.sites[0].clone()));
    let app = app.fallback_service(get(file).with_state(Arc::clone(&current)));
    ready(&url);
    let rebuild = tokio::spawn(rebuild(shell, served, current, changes, reload));
    let ended = axum::serve(listener, app).with_graceful_shutdown(interrupted());
    // Open websockets would hold a graceful end for ever.
    tokio::select! {
        result = ended => result.context("the server failed")?,
        () = async { interrupted().await; tokio::time::sleep(Duration::from_millis(200)).await } => {}
    }
    rebuild.abort();
    Ok(())
}

/// A file of the site.
async fn file(State(current): State<Current>, request: Request) -> Response {
    let folder = current
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    match ServeDir::new(folder).try_call(request).await {
        Ok(response) => response.map(Body::new),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Ends at the first INT or TERM.
pub(super) async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut term) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = term.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}

/// Watches the book; a change of what we write ourselves is none.
fn watch(
    served: &Served,
    changed: mpsc::UnboundedSender<()>,
) -> anyhow::Result<notify::RecommendedWatcher> {
    // The second is not there yet.
    let sites = served
        .sites
        .clone()
        .map(|site| match site.parent().map(Path::canonicalize) {
            Some(Ok(folder)) => folder.join(site.file_name().unwrap_or_default()),
            _ => site,
        });
    let root = served
        .root
        .canonicalize()
        .unwrap_or_else(|_| served.root.clone());
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let Ok(event) = event else { return };
        if event.kind.is_access() || event.paths.iter().all(|path| is_ours(path, &root, &sites)) {
            return;
        }
        // The receiver is gone when the server ends.
        let _ = changed.send(());
    })
    .context("cannot watch for changes")?;
    for path in std::iter::once(&served.root)
        .chain(&served.watched)
        .filter(|path| path.exists())
    {
        watcher
            .watch(path, RecursiveMode::Recursive)
            .with_context(|| format!("cannot watch `{}`", path.display()))?;
    }
    Ok(watcher)
}

/// Whether a changed path is the site itself, a repository's own, or a record of a run that is not finished.
fn is_ours(path: &Path, root: &Path, sites: &[PathBuf]) -> bool {
    if sites.iter().any(|site| path.starts_with(site)) {
        return true;
    }
    let Ok(inside) = path.strip_prefix(root) else {
        return false;
    };
    let mut parts = inside.components().map(|part| part.as_os_str());
    match parts.next().and_then(|part| part.to_str()) {
        Some(".git") => true,
        // A run's journal grows with each step; its line in the history is written once, at its end.
        Some(".runbook") => inside
            .file_name()
            .is_none_or(|name| name != "history.jsonl"),
        _ => false,
    }
}

async fn rebuild(
    shell: Shell,
    served: Served,
    current: Current,
    mut changes: mpsc::UnboundedReceiver<()>,
    reload: broadcast::Sender<()>,
) {
    let served = Arc::new(served);
    let mut next = 1;
    while changes.recv().await.is_some() {
        tokio::time::sleep(SETTLE).await;
        while changes.try_recv().is_ok() {}
        let job = Arc::clone(&served);
        let started = std::time::Instant::now();
        match tokio::task::spawn_blocking(move || (job.build)(&job.sites[next])).await {
            Ok(Ok(())) => {
                *current.write().unwrap_or_else(PoisonError::into_inner) =
                    served.sites[next].clone();
                next = 1 - next;
                shell.note(&format!("rebuilt in {} ms", started.elapsed().as_millis()));
                // Nobody may be looking.
                let _ = reload.send(());
            }
            Ok(Err(message)) => shell.err(&format!(
                "{message}\nnote: the last good site is still served\n"
            )),
            Err(_) => shell.error(
                "the build ended unexpectedly",
                Some("the last good site is still served"),
            ),
        }
    }
}

async fn upgrade(
    upgrade: WebSocketUpgrade,
    State(reload): State<broadcast::Sender<()>>,
) -> Response {
    upgrade.on_upgrade(move |socket| follow(socket, reload.subscribe()))
}

async fn follow(mut socket: WebSocket, mut reload: broadcast::Receiver<()>) {
    loop {
        tokio::select! {
            changed = reload.recv() => {
                if matches!(changed, Err(broadcast::error::RecvError::Closed)) || socket.send(Message::Text("reload".into())).await.is_err() {
                    return;
                }
            }
            // A page that went away ends its connection.
            message = socket.recv() => if message.is_none_or(|m| m.is_err()) { return },
        }
    }
}
