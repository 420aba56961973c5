//! Firewalls of the cluster, of nodes and of guests: options and rules. They are kept and shown; the lab filters nothing.

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
    ("GET", "/cluster/firewall/rules", Act::Now(rules)),
    ("GET", "/nodes/{node}/firewall/rules", Act::Now(rules)),
    (
        "GET",
        "/nodes/{node}/lxc/{vmid}/firewall/rules",
        Act::Now(rules),
    ),
    (
        "GET",
        "/nodes/{node}/qemu/{vmid}/firewall/rules",
        Act::Now(rules),
    ),
    ("GET", "/cluster/firewall/groups/{group}", Act::Now(rules)),
    ("POST", "/cluster/firewall/rules", Act::Now(create)),
    ("POST", "/nodes/{node}/firewall/rules", Act::Now(create)),
    (
        "POST",
        "/nodes/{node}/lxc/{vmid}/firewall/rules",
        Act::Now(create),
    ),
    (
        "POST",
        "/nodes/{node}/qemu/{vmid}/firewall/rules",
        Act::Now(create),
    ),
    ("POST", "/cluster/firewall/groups/{group}", Act::Now(create)),
    ("GET", "/cluster/firewall/rules/{pos}", Act::Now(rule)),
    ("GET", "/nodes/{node}/firewall/rules/{pos}", Act::Now(rule)),
    (
        "GET",
        "/nodes/{node}/lxc/{vmid}/firewall/rules/{pos}",
        Act::Now(rule),
    ),
    (
        "GET",
        "/nodes/{node}/qemu/{vmid}/firewall/rules/{pos}",
        Act::Now(rule),
    ),
    (
        "GET",
        "/cluster/firewall/groups/{group}/{pos}",
        Act::Now(rule),
    ),
    ("PUT", "/cluster/firewall/rules/{pos}", Act::Now(update)),
    (
        "PUT",
        "/nodes/{node}/firewall/rules/{pos}",
        Act::Now(update),
    ),
    (
        "PUT",
        "/nodes/{node}/lxc/{vmid}/firewall/rules/{pos}",
        Act::Now(update),
    ),
    (
        "PUT",
        "/nodes/{node}/qemu/{vmid}/firewall/rules/{pos}",
        Act::Now(update),
    ),
    (
        "PUT",
        "/cluster/firewall/groups/{group}/{pos}",
        Act::Now(update),
    ),
    ("DELETE", "/cluster/firewall/rules/{pos}", Act::Now(delete)),
    (
        "DELETE",
        "/nodes/{node}/firewall/rules/{pos}",
        Act::Now(delete),
    ),
    (
        "DELETE",
        "/nodes/{node}/lxc/{vmid}/firewall/rules/{pos}",
        Act::Now(delete),
    ),
    (
        "DELETE",
        "/nodes/{node}/qemu/{vmid}/firewall/rules/{pos}",
        Act::Now(delete),
    ),
    (
        "DELETE",
        "/cluster/firewall/groups/{group}/{pos}",
        Act::Now(delete),
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

fn rule_row(at: usize, rule: &Config, digest: &str) -> Value {
    let mut row = rule.clone();
    // The family of the addresses, where there are any.
    let address = ["source", "dest"]
        .iter()
        .find_map(|key| rule.get(*key).and_then(plain));
    if let Some(first) =
        address.filter(|text| text.starts_with(|c: char| c.is_ascii_hexdigit() || c == ':'))
    {
        row.insert(
            "ipversion".into(),
            if first.contains(':') { 6 } else { 4 }.into(),
        );
    }
    row.insert("pos".into(), at.into());
    row.insert("digest".into(), digest.into());
    Value::Object(row)
}

fn rules(call: &Call, state: &mut State) -> Outcome {
    let firewall = of(call, state)?;
    let digest = digest(&firewall);
    Ok(firewall
        .rules
        .iter()
        .enumerate()
        .map(|(at, rule)| rule_row(at, rule, &digest))
        .collect::<Vec<_>>()
        .into())
}

/// What a rule is made of, as it is shown: numbers as numbers.
fn set(call: &Call, rule: &mut Config) {
    let skip = ["node", "vmid", "pos", "digest", "delete", "moveto"];
    for (key, value) in call
        .params
        .iter()
        .filter(|(key, _)| !skip.contains(key) && *key != "group")
    {
        let text = plain(value).unwrap_or_default();
        let value = if key == "enable" {
            text.parse::<i64>()
                .map_or_else(|_| text.into(), Value::from)
        } else {
            text.into()
        };
        rule.insert(key.to_owned(), value);
    }
    for key in call.params.list("delete") {
        rule.shift_remove(&key);
    }
}

/// What a rule must not lack or say.
fn verify(rule: &Config, state: &State) -> Result<(), Fail> {
    let text = |key: &str| rule.get(key).and_then(plain);
    let (kind, action) = (
        text("type").unwrap_or_default(),
        text("action").unwrap_or_default(),
    );
    if kind == "group" {
        return match state.firewalls.contains_key(&format!("group/{action}")) {
            true => Ok(()),
            false => Err(Fail::param(
                "action",
                format!("security group '{action}' does not exist"),
            )),
        };
    }
    if !matches!(action.as_str(), "ACCEPT" | "DROP" | "REJECT") {
        return Err(Fail::param("action", format!("unknown action '{action}'")));
    }
    for key in ["dport", "sport"] {
        if text(key).is_some() && text("proto").is_none() && text("macro").is_none() {
            return Err(Fail::param(
                "proto",
                format!("missing property - '{key}' require this property"),
            ));
        }
    }
    Ok(())
}

fn create(call: &Call, state: &mut State) -> Outcome {
    let mut firewall = of(call, state)?;
    super::same_digest(call, &digest(&firewall))?;
    let mut rule = Config::new();
    set(call, &mut rule);
    rule.entry("enable").or_insert(0.into());
    verify(&rule, state)?;
    // A new rule comes first unless a place is given.
    let at = call
        .params
        .int("pos")
        .and_then(|at| usize::try_from(at).ok())
        .unwrap_or(0)
        .min(firewall.rules.len());
    firewall.rules.insert(at, rule);
    state.firewalls.insert(scope(call), firewall);
    Ok(Reply::null())
}

fn place(call: &Call, firewall: &Firewall) -> Result<usize, Fail> {
    let at = call
        .params
        .int("pos")
        .and_then(|at| usize::try_from(at).ok())
        .filter(|at| *at < firewall.rules.len());
    at.ok_or_else(|| Fail::param("pos", format!("no rule at position {}", call.text("pos"))))
}

fn rule(call: &Call, state: &mut State) -> Outcome {
    let firewall = of(call, state)?;
    let at = place(call, &firewall)
        .map_err(|_| Fail::die(format!("no rule at position {}", call.text("pos"))))?;
    Ok(rule_row(at, &firewall.rules[at], &digest(&firewall)).into())
}

fn update(call: &Call, state: &mut State) -> Outcome {
    let mut firewall = of(call, state)?;
    super::same_digest(call, &digest(&firewall))?;
    let at = place(call, &firewall)?;
    match call
        .params
        .int("moveto")
        .and_then(|to| usize::try_from(to).ok())
    {
        Some(to) => {
            let moved = firewall.rules.remove(at);
            let to = if to > at { to - 1 } else { to };
            let to = to.min(firewall.rules.len());
            firewall.rules.insert(to, moved);
        }
        None => {
            let mut rule = firewall.rules[at].clone();
            set(call, &mut rule);
            verify(&rule, state)?;
            firewall.rules[at] = rule;
        }
    }
    state.firewalls.insert(scope(call), firewall);
    Ok(Reply::null())
}

fn delete(call: &Call, state: &mut State) -> Outcome {
    let mut firewall = of(call, state)?;
    super::same_digest(call, &digest(&firewall))?;
    let at = place(call, &firewall)?;
    firewall.rules.remove(at);
    state.firewalls.insert(scope(call), firewall);
    Ok(Reply::null())
}

/// Nothing is filtered, so nothing is logged.
fn log(_: &Call, _: &mut State) -> Outcome {
    Ok(Reply::page(vec![json!({"n": 1, "t": "no content"})], 1))
}
