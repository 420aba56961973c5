//! The rules of firewalls, in their order.

use serde_json::Value;

use super::firewall::{digest, of, scope};
use super::{Act, Route};
use crate::pve::answer::{Fail, Outcome, Reply};
use crate::pve::cluster::Call;
use crate::pve::params::plain;
use crate::pve::state::{Config, Firewall, State};

pub(super) const ROUTES: &[Route] = &[
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
];

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
