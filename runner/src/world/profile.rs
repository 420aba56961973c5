//! A real profile: its URL, credentials and certificate, and how OpenSSH is started.
//!
//! Reads files and secrets; connects to nothing.

use std::fs;
use std::sync::OnceLock;

use runbook::node::Node;
use runbook_proxmox::{Auth, Client, Endpoint, Trust};
use tokio::sync::OnceCell;

use super::fixture::text;
use super::{Clusters, Proxmox, World, Worlds};
use crate::action::Failure;
use crate::remote::SshSettings;
use crate::secrets::expand;

/// The longest file of certificates.
const CA_BYTES_MAX: u64 = 1 << 20;

pub(super) async fn open(worlds: &Worlds) -> Result<World, Failure> {
    let profile = worlds.book.inventory.profile(&worlds.profile);
    let profile = profile.and_then(|profile| profile.node.as_ref());
    let ssh = profile.and_then(|profile| profile.get("ssh"));
    let settings = SshSettings {
        config: ssh
            .and_then(|ssh| text(ssh, "config"))
            .map(|config| expand(&worlds.folder, config)),
        user: ssh.and_then(|ssh| text(ssh, "user")).map(str::to_owned),
        ..SshSettings::default()
    };
    let proxmox = match profile.and_then(|profile| profile.get("proxmox")) {
        Some(written) => proxmox(worlds, written).await,
        None => Err(
            Failure::new(format!("profile `{}` has no `proxmox`", worlds.profile)).hint(Some(
                "add `proxmox: {url: https://ADDRESS:8006, token: SECRET, fingerprint: …}` to it",
            )),
        ),
    };
    Ok(World {
        proxmox,
        ssh: Ok(settings),
        network: Err("a real profile has its own network".to_owned()),
        identity: OnceCell::new(),
        refused: OnceLock::new(),
        clusters: Clusters::of_profile(&worlds.book.inventory, &worlds.profile, &worlds.folder),
        _machines: None,
        _lab: None,
    })
}

async fn proxmox(worlds: &Worlds, written: &Node) -> Result<Proxmox, Failure> {
    let url = text(written, "url").unwrap_or_default();
    let trust = trust(worlds, written)?;
    let client = |auth| {
        Client::new(Endpoint {
            url: url.to_owned(),
            auth,
            trust: trust.clone(),
        })
        .map_err(super::failure)
    };
    let login = match written.get("login") {
        Some(login) => {
            let password = secret(worlds, text(login, "password").unwrap_or_default()).await?;
            let user = text(login, "user").unwrap_or("root@pam");
            Some(client(Auth::login(user, password))?)
        }
        None => None,
    };
    let token = match text(written, "token") {
        Some(name) => {
            let value = secret(worlds, name).await?;
            let auth = Auth::token_text(&value).ok_or_else(|| {
                Failure::new(format!("secret `{name}` is no API token"))
                    .hint(Some("it is written `USER@REALM!NAME=SECRET`"))
            })?;
            Some(client(auth)?)
        }
        None => None,
    };
    let Some(client) = token.or_else(|| login.clone()) else {
        return Err(Failure::new(format!(
            "profile `{}` has neither `token` nor `login` for its Proxmox VE",
            worlds.profile
        )));
    };
    Ok(Proxmox { client, login })
}

async fn secret(worlds: &Worlds, name: &str) -> Result<String, Failure> {
    let value = worlds.secrets.get(name, &worlds.cancel).await;
    value
        .map(|value| value.to_string())
        .map_err(|error| Failure::new(error.to_string()))
}

fn trust(worlds: &Worlds, written: &Node) -> Result<Trust, Failure> {
    if let Some(fingerprint) = text(written, "fingerprint") {
        return Ok(Trust::Fingerprint(fingerprint.to_owned()));
    }
    let Some(file) = text(written, "ca") else {
        return Ok(Trust::System);
    };
    let path = expand(&worlds.folder, file);
    let failed = |why: String| Failure::new(format!("`ca`: `{}`: {why}", path.display()));
    let metadata = fs::metadata(&path).map_err(|error| failed(error.to_string()))?;
    if metadata.len() > CA_BYTES_MAX {
        return Err(failed(format!("longer than {CA_BYTES_MAX} bytes")));
    }
    let pem = fs::read_to_string(&path).map_err(|error| failed(error.to_string()))?;
    Ok(Trust::Ca(pem))
}
