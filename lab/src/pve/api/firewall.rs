//! Firewalls of the cluster, of nodes and of guests: what they have in common, and their options. They are kept and shown;
//! the lab filters nothing.

use serde_json::{Value, json};

use super::{Act, Route, index};
use crate::pve::answer::{Fail, Outcome, Reply};
use crate::pve::cluster::Call;
use crate::pve::params::plain;
use crate::pve::schema::{Kind, method};
use crate::pve::state::{Config, Firewall, State, sha1_hex};

const LISTS: [&str; 6] = ["aliases", "ipset", "log", "options", "refs", "rules"];

pub(super) const ROUTES: &[Route] = &[
    (
        "GET",
        "/cluster/firewall",
        Act::Now(|_, _| {
            index(
                "name",
                &[
                    "aliases", "groups", "ipset", "macros", "options", "refs", "rules",
                ],
            )
        }),
    ),
    (
        "GET",
        "/nodes/{node}/firewall",
        Act::Now(|_, _| index("name", &["log", "options", "rules"])),
    ),
    (
        "GET",
        "/nodes/{node}/lxc/{vmid}/firewall",
        Act::Now(|_, _| index("name", &LISTS)),
    ),
    (
        "GET",
        "/nodes/{node}/qemu/{vmid}/firewall",
        Act::Now(|_, _| index("name", &LISTS)),
    ),
    ("GET", "/cluster/firewall/options", Act::Now(options)),
    ("GET", "/nodes/{node}/firewall/options", Act::Now(options)),
    (
        "GET",
        "/nodes/{node}/lxc/{vmid}/firewall/options",
        Act::Now(options),
    ),
    (
        "GET",
        "/nodes/{node}/qemu/{vmid}/firewall/options",
        Act::Now(options),
    ),
    (
        "PUT",
        "/cluster/firewall/options",
        Act::Now(|call, state| set_options(call, state, "/cluster/firewall/options")),
    ),
    (
        "PUT",
        "/nodes/{node}/firewall/options",
        Act::Now(|call, state| set_options(call, state, "/nodes/{node}/firewall/options")),
    ),
    (
        "PUT",
        "/nodes/{node}/lxc/{vmid}/firewall/options",
        Act::Now(|call, state| {
            set_options(call, state, "/nodes/{node}/lxc/{vmid}/firewall/options")
        }),
    ),
    (
        "PUT",
        "/nodes/{node}/qemu/{vmid}/firewall/options",
        Act::Now(|call, state| {
            set_options(call, state, "/nodes/{node}/qemu/{vmid}/firewall/options")
        }),
    ),
    ("GET", "/nodes/{node}/firewall/log", Act::Now(log)),
    (
        "GET",
        "/nodes/{node}/lxc/{vmid}/firewall/log",
        Act::Now(log),
    ),
    (
        "GET",
        "/nodes/{node}/qemu/{vmid}/firewall/log",
        Act::Now(log),
    ),
];

/// Whose firewall a call means.
pub(super) fn scope(call: &Call) -> String {
    if let Some(group) = call.params.text("group") {
        return format!("group/{group}");
    }
    match (call.params.text("vmid"), call.params.text("node")) {
        (Some(vmid), _) => format!("vm/{vmid}"),
        (None, Some(node)) => format!("node/{node}"),
        (None, None) => "cluster".into(),
    }
}

/// The firewall of a call; a group must exist.
pub(super) fn of(call: &Call, state: &State) -> Result<Firewall, Fail> {
    let scope = scope(call);
    match state.firewalls.get(&scope) {
        Some(firewall) => Ok(firewall.clone()),
        None => match scope.strip_prefix("group/") {
            Some(group) => Err(Fail::die(format!("no such security group '{group}'"))),
            None => Ok(Firewall::default()),
        },
    }
}

/// The digest of a firewall's file; of nothing where there is no file.
pub(super) fn digest(firewall: &Firewall) -> String {
    let section = |config: &Config| Value::Object(config.clone()).to_string();
    let mut text = String::new();
    if !firewall.options.is_empty() {
        text.push_str(&format!("[OPTIONS]\n{}\n", section(&firewall.options)));
    }
    for rule in &firewall.rules {
        text.push_str(&format!("{}\n", section(rule)));
    }
    for (name, alias) in &firewall.aliases {
        text.push_str(&format!("{name} {}\n", section(alias)));
    }
    for (name, set) in &firewall.ipsets {
        text.push_str(&format!("[IPSET {name}] {:?}\n", set));
    }
    sha1_hex(&text)
}

fn options(call: &Call, state: &mut State) -> Outcome {
    let firewall = of(call, state)?;
    let mut row = firewall.options.clone();
    row.insert("digest".into(), digest(&firewall).into());
    Ok(Value::Object(row).into())
}

fn set_options(call: &Call, state: &mut State, template: &str) -> Outcome {
    let mut firewall = of(call, state)?;
    super::same_digest(call, &digest(&firewall))?;
    let table = method(template, "PUT");
    for (key, value) in call
        .params
        .iter()
        .filter(|(key, _)| !matches!(*key, "node" | "vmid" | "delete" | "digest"))
    {
        let text = plain(value).unwrap_or_default();
        let kind = table
            .and_then(|table| table.parameter(key))
            .map(|property| property.kind);
        let number = matches!(kind, Some(Kind::Boolean | Kind::Integer))
            .then(|| text.parse::<i64>().ok())
            .flatten();
        firewall.options.insert(
            key.to_owned(),
            number.map_or_else(|| text.into(), Value::from),
        );
    }
    for key in call.params.list("delete") {
        firewall.options.shift_remove(&key);
    }
    state.firewalls.insert(scope(call), firewall);
    Ok(Reply::null())
}

/// Nothing is filtered, so nothing is logged.
fn log(_: &Call, _: &mut State) -> Outcome {
    Ok(Reply::page(vec![json!({"n": 1, "t": "no content"})], 1))
}
