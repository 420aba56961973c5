//! Reads `inventory.yaml` by its tables and checks what the tables cannot say.

use super::{Guest, GuestKind, Inventory, Profile, Secret};
use crate::findings::Findings;
use crate::front::vars;
use crate::mapped::Mapped;
use crate::node::{Entry, Kind, Node};
use crate::read;
use crate::source::Source;
use crate::spec::{INVENTORY_KEYS, PROFILE_KEYS};
use crate::values::LAB;
use crate::{suggest, yaml};

/// Reads the inventory; what is wrong with it goes to `findings`.
pub(crate) fn load(source: &Source, findings: &mut Findings) -> Inventory {
    let mut inventory = Inventory {
        source: Some(source.clone()),
        ..Inventory::default()
    };
    let text = mapped(source);
    if text.text().trim().is_empty() {
        return inventory;
    }
    let node = match yaml::parse(&text) {
        Ok(node) => node,
        Err(error) => {
            findings.maybe_hinted("invalid-yaml", error.span, error.message, error.hint);
            return inventory;
        }
    };
    if read::is_null(&node) {
        return inventory;
    }
    let Some(entries) = node.as_map() else {
        findings.hinted(
            "invalid-yaml",
            node.span,
            "the inventory is a map of keys",
            "write `nodes: …`, `vars: …`",
        );
        return inventory;
    };
    let mut errors = Vec::new();
    read::check_fields(
        INVENTORY_KEYS,
        &[],
        entries,
        node.span,
        "the inventory",
        &mut errors,
    );
    errors.into_iter().for_each(|error| findings.read(error));
    for entry in entries.iter().filter(|entry| entry.key != "vars") {
        without_templates(&entry.value, findings);
    }
    fill(&node, &mut inventory, findings);
    check(&inventory, &node, findings);
    inventory.node = Some(node);
    inventory
}

/// The whole file, line by line.
fn mapped(source: &Source) -> Mapped {
    let mut mapped = Mapped::default();
    let mut offset = 0;
    for line in source.text().split_inclusive('\n') {
        mapped.push_line(line, offset);
        offset += line.len();
    }
    mapped
}

fn map<'a>(node: &'a Node, key: &str) -> &'a [Entry] {
    node.get(key).and_then(Node::as_map).unwrap_or_default()
}

fn fill(node: &Node, inventory: &mut Inventory, findings: &mut Findings) {
    let named = |key: &str| {
        map(node, key)
            .iter()
            .map(|entry| (entry.key.clone(), entry.value.clone()))
            .collect()
    };
    inventory.nodes = named("nodes");
    inventory.hosts = named("hosts");
    inventory.clusters = named("clusters");
    for entry in map(node, "guests") {
        let kind = match entry.value.get("kind").and_then(Node::as_text) {
            Some("lxc") => GuestKind::Lxc,
            Some("vm") => GuestKind::Vm,
            _ => continue,
        };
        let vmid = entry
            .value
            .get("vmid")
            .and_then(|vmid| read::int(vmid).ok());
        let guest = Guest {
            name: entry.key.clone(),
            span: entry.key_span,
            kind,
            vmid,
            node: entry.value.clone(),
        };
        inventory.guests.push(guest);
    }
    if let Some(node) = node.get("vars") {
        inventory.vars = vars(node, findings);
    }
    for entry in map(node, "secrets") {
        let source = |key: &str| {
            entry
                .value
                .get(key)
                .and_then(Node::as_text)
                .map(str::to_owned)
        };
        let secret = source("env")
            .map(Secret::Env)
            .or_else(|| source("file").map(Secret::File))
            .or_else(|| source("command").map(Secret::Command));
        // A broken one is told already; uses of it are not told again.
        inventory.secrets.push((
            entry.key.clone(),
            secret.unwrap_or(Secret::Env(String::new())),
        ));
    }
    for entry in map(node, "profiles") {
        let vars = entry
            .value
            .get("vars")
            .map(|node| vars(node, findings))
            .unwrap_or_default();
        inventory.profiles.push((
            entry.key.clone(),
            Profile {
                vars,
                node: Some(entry.value.clone()),
            },
        ));
    }
}

fn check(inventory: &Inventory, node: &Node, findings: &mut Findings) {
    for key in [
        "nodes", "guests", "hosts", "clusters", "secrets", "profiles",
    ] {
        names(map(node, key), findings);
    }
    for entry in map(node, "guests") {
        guest(inventory, entry, findings);
    }
    for key in ["guests", "hosts", "clusters"] {
        for entry in map(node, key) {
            ports(map(&entry.value, "stand-ins"), findings);
        }
    }
    for profile in map(node, "profiles") {
        if profile.key == LAB {
            for key in profile.value.as_map().unwrap_or_default() {
                if !matches!(key.key.as_str(), "scratch" | "vars")
                    && PROFILE_KEYS.iter().any(|known| known.name == key.key)
                {
                    findings.hinted(
                        "unknown-key",
                        key.key_span,
                        format!("profile `lab` has no `{}`", key.key),
                        "the lab brings its own: give `scratch` or `vars`",
                    );
                }
            }
        }
        if let Some(proxmox) = profile.value.get("proxmox") {
            let login = proxmox.get("login").and_then(|login| login.get("password"));
            for secret in [proxmox.get("token"), login].into_iter().flatten() {
                secret_exists(inventory, secret, findings);
            }
        }
        for cluster in map(&profile.value, "clusters") {
            let known = inventory.clusters.iter().map(|(name, _)| name.as_str());
            if !known.clone().any(|name| name == cluster.key) {
                let hint = suggest::did_you_mean(&cluster.key, known)
                    .unwrap_or_else(|| "add it under `clusters`".into());
                findings.hinted(
                    "unknown-target",
                    cluster.key_span,
                    format!("the inventory has no cluster `{}`", cluster.key),
                    hint,
                );
            }
        }
    }
}

/// Names can be part of a target and differ in templates.
fn names(entries: &[Entry], findings: &mut Findings) {
    for (index, entry) in entries.iter().enumerate() {
        if entry.key.is_empty()
            || entry
                .key
                .contains(|c: char| c == '/' || c == '=' || c.is_whitespace())
        {
            findings.hinted(
                "invalid-name",
                entry.key_span,
                format!("`{}` is not a name", read::cut(&entry.key)),
                "write letters, digits, `-`, `_` and `.`",
            );
        }
        let underscored = entry.key.replace('-', "_");
        if let Some(other) = entries[..index]
            .iter()
            .find(|other| other.key.replace('-', "_") == underscored)
        {
            findings.hinted(
                "name-collision",
                entry.key_span,
                format!(
                    "`{}` and `{}` are one name in a template",
                    other.key, entry.key
                ),
                "choose another name",
            );
        }
    }
}

fn guest(inventory: &Inventory, entry: &Entry, findings: &mut Findings) {
    let value = &entry.value;
    let kind = value.get("kind").and_then(Node::as_text);
    if let Some(node) = value.get("node")
        && let Some(name) = node.as_text()
    {
        let known = inventory.nodes.iter().map(|(name, _)| name.as_str());
        if !known.clone().any(|known| known == name) {
            let hint =
                suggest::did_you_mean(name, known).unwrap_or_else(|| "add it under `nodes`".into());
            findings.hinted(
                "unknown-target",
                node.span,
                format!("the inventory has no node `{name}`"),
                hint,
            );
        }
    }
    if let Some(exec) = value.get("exec")
        && matches!(
            (kind, exec.as_text()),
            (Some("vm"), Some("pct")) | (Some("lxc"), Some("agent"))
        )
    {
        let (kind, word) = (kind.unwrap_or_default(), exec.as_text().unwrap_or_default());
        let other = if kind == "vm" { "agent" } else { "pct" };
        findings.hinted(
            "wrong-type",
            exec.span,
            format!("`{word}` does not reach a `{kind}`"),
            format!("write `{other}` or `ssh`"),
        );
    }
    if let Some(vmid) = value.get("vmid")
        && let Ok(number) = read::int(vmid)
        && let Some(other) = inventory
            .guests
            .iter()
            .take_while(|other| other.name != entry.key)
            .find(|other| other.vmid == Some(number))
    {
        findings.hinted(
            "name-collision",
            vmid.span,
            format!("`vmid: {number}` is that of `{}` already", other.name),
            "give each guest its own",
        );
    }
}

fn ports(entries: &[Entry], findings: &mut Findings) {
    for entry in entries {
        if !entry.key.parse::<u16>().is_ok_and(|port| port > 0) {
            findings.hinted(
                "wrong-type",
                entry.key_span,
                format!("`{}` is not a port", read::cut(&entry.key)),
                "write 1 to 65535",
            );
        }
    }
}

fn secret_exists(inventory: &Inventory, node: &Node, findings: &mut Findings) {
    let Some(name) = node.as_text() else { return };
    if inventory.secret(name).is_none() {
        findings.maybe_hinted(
            "unknown-secret",
            node.span,
            format!("the inventory has no secret `{}`", read::cut(name)),
            suggest::did_you_mean_or_list(
                name,
                inventory.secrets.iter().map(|(name, _)| name.as_str()),
                "its secrets are",
            )
            .or_else(|| Some("add it under `secrets`".into())),
        );
    }
}

/// Refuses templates in what nothing renders: everything but `vars`.
fn without_templates(node: &Node, findings: &mut Findings) {
    match &node.kind {
        Kind::Scalar(_) if read::deferred(node) => findings.hinted(
            "fixed-key",
            node.span,
            "the inventory holds no templates but in `vars`",
            "write the value",
        ),
        Kind::List(items) => items
            .iter()
            .for_each(|item| without_templates(item, findings)),
        Kind::Map(entries) => entries
            .iter()
            .filter(|entry| entry.key != "vars")
            .for_each(|entry| without_templates(&entry.value, findings)),
        Kind::Scalar(_) | Kind::Value(_) => {}
    }
}
