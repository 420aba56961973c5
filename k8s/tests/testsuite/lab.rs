//! The lab as a cluster: one for all tests that want any cluster, and one for each that wants it broken.
//!
//! Commands of pods are those that these tests write; a shell of this machine runs them.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use runbook_k8s::{Access, Client, Times};
use runbook_lab::command::{Control, End, Later, Process};
use runbook_lab::kube::{FluxSettings, Missing, Order, Programs, Server, Settings};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

/// Where the lab's Flux finds the repositories of `GIT_ROOT`; nothing listens there.
const GIT_URL: &str = "http://git.example";
/// What echoes in every pod, as with KWOK.
const ECHO_PORT: u16 = 7;

/// The kubeconfig of a lab that lives as long as the tests, with `env` beside it as `tests/control-plane/up` writes it.
pub(crate) fn kubeconfig() -> PathBuf {
    static LAB: OnceLock<PathBuf> = OnceLock::new();
    LAB.get_or_init(|| {
        let (told, started) = std::sync::mpsc::channel();
        // A runtime of its own: that of a test ends with the test.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            runtime.block_on(async {
                let directory = tempfile::tempdir().expect("a directory");
                let [root, charts] = ["git", "charts"].map(|name| directory.path().join(name));
                for path in [&root, &charts] {
                    std::fs::create_dir(path).expect("a directory");
                }
                let env = format!(
                    "GIT_ROOT={}\nGIT_URL={GIT_URL}\nCHARTS={}\n",
                    root.display(),
                    charts.display()
                );
                let flux = FluxSettings {
                    repositories: [(format!("{GIT_URL}/"), root)].into(),
                    charts,
                    ..FluxSettings::default()
                };
                let settings = Settings {
                    flux: Some(flux),
                    ..Settings::default()
                };
                let server = Server::with_programs(settings, Arc::new(Shell)).await;
                let server = server.expect("the lab starts");
                let path = directory.path().join("kubeconfig");
                std::fs::write(&path, server.kubeconfig_with_certificate()).expect("written");
                std::fs::write(path.with_file_name("env"), env).expect("written");
                told.send(path).expect("awaited");
                std::future::pending::<()>().await;
            });
        });
        started.recv().expect("the lab starts")
    })
    .clone()
}

/// A lab of a test's own.
pub(crate) struct Lab {
    pub(crate) server: Server,
    /// May do everything; its times are short.
    pub(crate) client: Client,
}

impl Lab {
    pub(crate) async fn start(settings: Settings) -> Self {
        let server = Server::with_programs(settings, Arc::new(Shell)).await;
        let server = server.expect("the lab starts");
        let client = client(&server.kubeconfig()).await;
        Self { server, client }
    }
}

/// A client that loses patience soon.
pub(crate) async fn client(kubeconfig: &str) -> Client {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("kubeconfig");
    std::fs::write(&path, kubeconfig).expect("written");
    let access = Access::Kubeconfig {
        path,
        context: None,
    };
    let times = Times {
        request: Duration::from_secs(10),
        pause: Duration::from_millis(20),
        silence: Duration::from_secs(1),
        settle: Duration::from_millis(300),
    };
    Client::connect_with(&access, times)
        .await
        .expect("a client")
}

/// Runs `sh`, `true` and `false`, and nothing else.
struct Shell;

/// The leader of a process group.
struct Group(i32);

impl Control for Group {
    fn signal(&self, _name: &str) {}

    fn end(&self) {
        let _ = std::process::Command::new("kill")
            .args(["-KILL", "--", &format!("-{}", self.0)])
            .stderr(Stdio::null())
            .status();
    }
}

impl Programs for Shell {
    fn start(&self, order: Order) -> Later<Result<Process, Missing>> {
        Box::pin(async move {
            let program = order.command[0].clone();
            if !matches!(program.as_str(), "sh" | "true" | "false") {
                return Err(Missing::Program(program));
            }
            let mut child = Command::new(program)
                .args(&order.command[1..])
                .envs(order.env.iter().cloned())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .process_group(0)
                .kill_on_drop(true)
                .spawn()
                .map_err(|error| Missing::Isolation(error.to_string()))?;
            let id = child.id().and_then(|id| i32::try_from(id).ok());
            Ok(Process {
                stdin: Box::new(child.stdin.take().expect("piped")),
                stdout: Box::new(child.stdout.take().expect("piped")),
                stderr: Box::new(child.stderr.take().expect("piped")),
                control: Arc::new(Group(id.expect("a child has an id"))),
                ended: Box::pin(async move {
                    let status = child.wait().await.ok();
                    let code = status.and_then(|status| status.code()).unwrap_or(137);
                    End::Code(u32::try_from(code).unwrap_or(255))
                }),
            })
        })
    }

    fn connect(
        &self,
        _namespace: String,
        _pod: String,
        port: u16,
    ) -> Later<Result<TcpStream, Missing>> {
        Box::pin(async move {
            if port != ECHO_PORT {
                return Err(Missing::Listener(port));
            }
            let refused = |_| Missing::Listener(port);
            let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let listener = TcpListener::bind(any).await.map_err(refused)?;
            let at = listener.local_addr().map_err(refused)?;
            tokio::spawn(async move {
                if let Ok((mut stream, _)) = listener.accept().await {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                }
            });
            TcpStream::connect(at).await.map_err(refused)
        })
    }
}
