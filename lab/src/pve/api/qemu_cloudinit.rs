//! Cloud-init of a machine: what is set, and the texts its drive holds.

use serde_json::{Value, json};

use super::{Act, Route};
use crate::fixture::GuestKind::Qemu;
use crate::pve::answer::{Fail, Outcome, Reply};
use crate::pve::cluster::{Call, Cluster, percent_decode};
use crate::pve::guest::{change, check_lock, find, is_indexed, of, parse};
use crate::pve::hooks::HookFuture;
use crate::pve::params::{plain, split_list};
use crate::pve::state::{Config, Guest, Pending, State, sha1_hex};

pub(super) const ROUTES: &[Route] = &[
    (
        "GET",
        "/nodes/{node}/qemu/{vmid}/cloudinit",
        Act::Now(pending),
    ),
    (
        "PUT",
        "/nodes/{node}/qemu/{vmid}/cloudinit",
        Act::Now(regenerate),
    ),
    (
        "GET",
        "/nodes/{node}/qemu/{vmid}/cloudinit/dump",
        Act::Later(dump),
    ),
];

const OPTIONS: [&str; 8] = [
    "cicustom",
    "cipassword",
    "citype",
    "ciuser",
    "ciupgrade",
    "nameserver",
    "searchdomain",
    "sshkeys",
];
const HIDDEN: &str = "**********";

fn pending(call: &Call, state: &mut State) -> Outcome {
    let guest = of(call, state, Qemu)?;
    let mut rows = Vec::new();
    for option in OPTIONS {
        let shown = |value: &Value| {
            if option == "cipassword" {
                HIDDEN.into()
            } else {
                value.clone()
            }
        };
        let waiting = guest
            .pending
            .iter()
            .find(|(own, _)| own == option)
            .map(|(_, change)| change);
        let mut row = json!({"key": option});
        match (guest.config.get(option), waiting) {
            (None, None | Some(Pending::Delete { .. })) => continue,
            (value, waiting) => {
                if let Some(value) = value {
                    row["value"] = shown(value);
                }
                match waiting {
                    Some(Pending::Set(value)) => row["pending"] = shown(value),
                    Some(Pending::Delete { .. }) => row["delete"] = 1.into(),
                    None => {}
                }
            }
        }
        rows.push(row);
    }
    Ok(rows.into())
}

fn regenerate(call: &Call, state: &mut State) -> Outcome {
    check_lock(of(call, state, Qemu)?)?;
    Ok(Reply::null())
}

fn dump(call: Call) -> HookFuture<'static, Outcome> {
    Box::pin(async move {
        let kind = call.text("type");
        let (config, user, network) = {
            let state = call.cluster.lock();
            let guest = of(&call, &state, Qemu)?;
            let config = change::upcoming(guest);
            let (user, network) = (user(guest, &config), network(&state, guest, &config));
            (config, user, network)
        };
        let own = custom(&call.cluster, &call.node(), &config, &kind).await?;
        Ok(match (own, kind.as_str()) {
            (Some(own), _) => own,
            (None, "user") => user,
            (None, "network") => network,
            (None, _) => format!("instance-id: {}\n", sha1_hex(&format!("{user}{network}"))),
        }
        .into())
    })
}

/// The text that `cicustom` puts in the place of what would be made: a file of the node.
async fn custom(
    cluster: &Cluster,
    node: &str,
    config: &Config,
    kind: &str,
) -> Result<Option<String>, Fail> {
    let Some(volid) =
        get(config, "cicustom").and_then(|custom| parse(Qemu, "cicustom", &custom).text(kind))
    else {
        return Ok(None);
    };
    let (storage, name) = volid.split_once(':').unwrap_or((&volid, ""));
    let Some(path) = cluster.path_of(storage, name) else {
        return Err(Fail::die(format!("storage '{storage}' does not exist")));
    };
    if !name.starts_with("snippets/") {
        return Err(Fail::die(format!(
            "{volid} is not in the snippets directory"
        )));
    }
    let missing = || Fail::die(format!("can't open '{path}' - No such file or directory"));
    match cluster.hooks.node_read(node, &path).await {
        Some(Ok(bytes)) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Some(Err(_)) => Err(missing()),
        // A node without files: what its storage lists is there, and empty.
        None if cluster.lock().volume(node, &volid).is_some() => Ok(Some(String::new())),
        None => Err(missing()),
    }
}

/// Refuses a start whose texts cannot be read.
pub(super) async fn check(cluster: &Cluster, node: &str, vmid: u32) -> Result<(), Fail> {
    let config = {
        let state = cluster.lock();
        change::upcoming(find(&state, Qemu, node, vmid)?)
    };
    for kind in ["user", "network", "meta", "vendor"] {
        custom(cluster, node, &config, kind).await?;
    }
    Ok(())
}

fn get(config: &Config, option: &str) -> Option<String> {
    config.get(option).and_then(plain)
}

fn user(guest: &Guest, config: &Config) -> String {
    let name = get(config, "name").unwrap_or_else(|| format!("VM{}", guest.vmid));
    let (host, full) = match name.split_once('.') {
        Some((host, _)) => (host.to_owned(), name.clone()),
        None => match get(config, "searchdomain") {
            Some(domain) => (name.clone(), format!("{name}.{domain}")),
            None => (name.clone(), name),
        },
    };
    let mut text =
        format!("#cloud-config\nhostname: {host}\nmanage_etc_hosts: true\nfqdn: {full}\n");
    let user = get(config, "ciuser");
    if let Some(user) = &user {
        text.push_str(&format!("user: {user}\n"));
        if user == "root" {
            text.push_str("disable_root: False\n");
        }
    }
    if let Some(password) = get(config, "cipassword") {
        text.push_str(&format!("password: {password}\n"));
    }
    if let Some(keys) = get(config, "sshkeys") {
        text.push_str("ssh_authorized_keys:\n");
        for key in percent_decode(&keys)
            .lines()
            .map(str::trim)
            .filter(|key| !key.is_empty())
        {
            text.push_str(&format!("  - {key}\n"));
        }
    }
    text.push_str("chpasswd:\n  expire: False\n");
    if user.as_deref() != Some("root") {
        text.push_str("users:\n  - default\n");
    }
    if get(config, "ciupgrade").as_deref() != Some("0") {
        text.push_str("package_upgrade: true\n");
    }
    text
}

fn mask(prefix: &str) -> String {
    let bits: u32 = prefix.parse().unwrap_or(32).min(32);
    let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
    std::net::Ipv4Addr::from(mask).to_string()
}

fn network(state: &State, guest: &Guest, config: &Config) -> String {
    let mut text = "version: 1\nconfig:\n".to_owned();
    let mut nets: Vec<&String> = config
        .keys()
        .filter(|option| is_indexed(option, "net"))
        .collect();
    nets.sort();
    for option in nets {
        let number = option.trim_start_matches("net");
        let Some(ip) = get(config, &format!("ipconfig{number}")) else {
            continue;
        };
        let (net, ip) = (
            parse(Qemu, option, &get(config, option).unwrap_or_default()),
            parse(Qemu, "ipconfig0", &ip),
        );
        let mac = net.text("macaddr").unwrap_or_default().to_lowercase();
        text.push_str(&format!("    - type: physical\n      name: eth{number}\n      mac_address: '{mac}'\n      subnets:\n"));
        for (key, gateway, kind, dynamic) in [
            ("ip", "gw", "static", "dhcp4"),
            ("ip6", "gw6", "static6", "dhcp6"),
        ] {
            match ip.text(key).as_deref() {
                None => {}
                Some("dhcp") => text.push_str(&format!("      - type: {dynamic}\n")),
                Some("auto") => text.push_str("      - type: ipv6_slaac\n"),
                Some(cidr) => {
                    let (address, prefix) = cidr.split_once('/').unwrap_or((cidr, "32"));
                    text.push_str(&format!("      - type: {kind}\n"));
                    match kind {
                        "static" => text.push_str(&format!(
                            "        address: '{address}'\n        netmask: '{}'\n",
                            mask(prefix)
                        )),
                        _ => text.push_str(&format!("        address: '{cidr}'\n")),
                    }
                    if let Some(gateway) = ip.text(gateway) {
                        text.push_str(&format!("        gateway: '{gateway}'\n"));
                    }
                }
            }
        }
    }
    // Without servers of its own a machine gets those of its node.
    let node = state.node(&guest.node);
    let servers = get(config, "nameserver")
        .map(|text| split_list(&text))
        .unwrap_or_else(|| {
            node.map(|node| node.dns.iter().flatten().cloned().collect())
                .unwrap_or_default()
        });
    let domain = get(config, "searchdomain").or_else(|| node.and_then(|node| node.search.clone()));
    if !servers.is_empty() || domain.is_some() {
        text.push_str("    - type: nameserver\n");
    }
    if !servers.is_empty() {
        text.push_str("      address:\n");
        servers
            .iter()
            .for_each(|server| text.push_str(&format!("      - '{server}'\n")));
    }
    if let Some(domain) = domain {
        text.push_str(&format!("      search:\n      - '{domain}'\n"));
    }
    text
}
