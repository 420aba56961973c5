//! `lab`: the embedded homelab on its own, for curl, another client or a person, until it is stopped.
//!
//! Its state comes from the book's inventory, or from a file. What it wrote (certificate authority, keys) is gone when it ends.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use runbook::report::{LAB_VERSION, Lab, LabKubernetes, LabProxmox, LabSsh};
use runbook_lab::fixture::{FIXTURE_BYTES_MAX, Fixture};

use super::args::Global;
use super::failure::Failure;
use super::open::Opened;
use super::serve::interrupted;
use super::shell::Shell;
use crate::exit;
use crate::origins::Origins;
use crate::process::Cancel;
use crate::scratch::Scratch;
use crate::world::clusters::{Around, kubeconfig};
use crate::world::domains::domains;
use crate::world::fixture::{Credentials, TOKEN};
use crate::world::{Clusters, LabState, Started, lab_clusters, start_lab};

/// Starts a lab, says where it is, and waits for INT or TERM.
pub(super) fn lab(shell: &Shell, global: &Global, state: Option<PathBuf>) -> Result<u8, Failure> {
    let credentials = Credentials::random().map_err(unavailable)?;
    let text = state.as_deref().map(read).transpose()?;
    let mut folder = PathBuf::from(".");
    let mut root = folder.clone();
    let mut repository = folder.clone();
    let book = match &text {
        Some(_) => None,
        None => {
            let opened = Opened::find(global)?;
            root = opened.root().to_owned();
            repository = opened.repository();
            let book = opened.load(&runbook::model::Vars::new())?.valid(shell)?;
            let inventory = root.join(&book.options.inventory);
            folder = inventory.parent().unwrap_or(&root).to_owned();
            Some(book)
        }
    };
    let domains = book.as_ref().map(|book| domains(book, None));
    let domains = domains.unwrap_or_default();
    super::wait_for(async {
        let state = match (&text, &book) {
            (Some(text), _) => LabState::File(text),
            (None, Some(book)) => LabState::Book(book, &folder, &domains),
            (None, None) => return Err(Failure::usage("a lab needs a book or a state", None)),
        };
        let is_file = text.is_some();
        let stop = interrupted();
        let started = start_lab(state, &credentials).await;
        let Started {
            lab,
            fixture,
            machines,
        } = started.map_err(|failure| match is_file {
            true => Failure::usage(failure.message, failure.hint),
            false => unavailable(failure),
        })?;
        let scratch = Scratch::new().map_err(|error| {
            Failure::unavailable(format!("no temporary directory can be made: {error}"), None)
        })?;
        let ca = scratch.path().join("ca.pem");
        fs::write(&ca, lab.ca()).map_err(|error| {
            Failure::unavailable(format!("cannot write `{}`: {error}", ca.display()), None)
        })?;
        let around = Around {
            origins: Arc::new(Origins::new(&repository, scratch.path(), Cancel::new())),
            folder,
            root,
            world: 0,
        };
        let clusters = match &book {
            Some(book) => lab_clusters(book, &around, machines.as_ref().ok()).await,
            None => Clusters::of_lab(Default::default()).await,
        };
        let kubernetes = match clusters.names().next() {
            Some(_) => Some(serve_clusters(&clusters, scratch.path()).await?),
            None => None,
        };
        let told = Lab {
            version: LAB_VERSION,
            proxmox: Some(LabProxmox {
                url: lab.url(),
                node: fixture
                    .nodes
                    .first()
                    .map_or_else(|| "pve1".to_owned(), |node| node.name.clone()),
                token: token(&fixture),
                fingerprint: lab.fingerprint().to_owned(),
                ca: ca.display().to_string(),
            }),
            kubernetes,
            ssh: machines.as_ref().ok().map(|machines| LabSsh {
                config: machines.ssh_config().display().to_string(),
            }),
        };
        if shell.json {
            shell.json(&told)?;
        } else {
            let why = machines.as_ref().err().map_or("", String::as_str);
            let names: Vec<&str> = clusters.names().collect();
            shell.out(&text_of(&told, &names, why))?;
        }
        stop.await;
        Ok(exit::OK)
    })?
}

/// Starts the clusters; the file that reaches them.
async fn serve_clusters(clusters: &Clusters, folder: &Path) -> Result<LabKubernetes, Failure> {
    let text = clusters.kubeconfig().await.map_err(unavailable)?;
    let file = folder.join("kubeconfig");
    kubeconfig::write(&file, &text).map_err(|error| {
        Failure::unavailable(format!("cannot write `{}`: {error}", file.display()), None)
    })?;
    Ok(LabKubernetes {
        kubeconfig: file.display().to_string(),
    })
}

fn read(path: &Path) -> Result<String, Failure> {
    let failed = |why: String| {
        Failure::usage(
            format!("`{}` cannot be read: {why}", path.display()),
            Some("give a fixture, or a file of recorded exchanges: its first line counts".into()),
        )
    };
    let file = fs::File::open(path).map_err(|error| failed(error.to_string()))?;
    let mut text = Vec::new();
    file.take(FIXTURE_BYTES_MAX as u64 + 1)
        .read_to_end(&mut text)
        .map_err(|error| failed(error.to_string()))?;
    if text.len() > FIXTURE_BYTES_MAX {
        // Of recorded exchanges only the first line counts, however many there are.
        let end = text.iter().position(|byte| *byte == b'\n');
        let end = end.ok_or_else(|| failed(format!("longer than {FIXTURE_BYTES_MAX} bytes")))?;
        text.truncate(end);
    }
    String::from_utf8(text).map_err(|_| failed("it is not UTF-8".into()))
}

fn unavailable(failure: crate::action::Failure) -> Failure {
    Failure::unavailable(failure.message, failure.hint)
}

/// The token with the most rights; empty when the state has none.
fn token(fixture: &Fixture) -> String {
    let preferred = fixture.tokens.iter().find(|token| token.id == TOKEN);
    let root = fixture
        .tokens
        .iter()
        .find(|token| token.id.starts_with("root@pam!"));
    match preferred.or(root).or(fixture.tokens.first()) {
        Some(token) => format!("{}={}", token.id, token.value),
        None => String::new(),
    }
}

/// What a person reads; the names of the clusters, and `why` there is no SSH.
fn text_of(lab: &Lab, clusters: &[&str], why: &str) -> String {
    let mut lines = Vec::new();
    if let Some(proxmox) = &lab.proxmox {
        lines.push(format!(
            "Proxmox VE   {} (node {})",
            proxmox.url, proxmox.node
        ));
        lines.push(format!("token        {}", proxmox.token));
        lines.push(format!("fingerprint  {}", proxmox.fingerprint));
        lines.push(format!("authority    {}", proxmox.ca));
        lines.push(String::new());
        lines.push(format!(
            "curl --cacert {} -H 'Authorization: PVEAPIToken={}' {}/api2/json/version",
            proxmox.ca, proxmox.token, proxmox.url
        ));
    }
    let node = lab.proxmox.as_ref().map_or("pve1", |proxmox| &proxmox.node);
    match (&lab.ssh, why) {
        (Some(ssh), _) => lines.push(format!("ssh -F {} {node}", ssh.config)),
        (None, why) => lines.push(format!("no SSH: {why}")),
    }
    if let Some(kubernetes) = &lab.kubernetes {
        for name in clusters {
            let context = match clusters.len() {
                1 => String::new(),
                _ => format!(" --context {name}"),
            };
            lines.push(format!(
                "kubectl --kubeconfig {}{context} get nodes",
                kubernetes.kubeconfig
            ));
        }
    }
    lines.push(String::new());
    lines.push("stop it with Ctrl-C; it forgets everything then".to_owned());
    lines.join("\n") + "\n"
}
