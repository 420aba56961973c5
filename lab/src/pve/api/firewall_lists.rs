//! What firewall rules refer to: aliases, sets of addresses and security groups.

use serde_json::{Value, json};

use super::firewall::{digest, of, scope};
use super::{Act, Route, object};
use crate::pve::answer::{Fail, Outcome, Reply};
use crate::pve::cluster::Call;
use crate::pve::state::{Config, Firewall, IpSet, State, sha1_hex};

pub(super) const ROUTES: &[Route] = &[
    ("GET", "/cluster/firewall/aliases", Act::Now(aliases)),
    (
        "GET",
        "/nodes/{node}/lxc/{vmid}/firewall/aliases",
        Act::Now(aliases),
    ),
    (
        "GET",
        "/nodes/{node}/qemu/{vmid}/firewall/aliases",
        Act::Now(aliases),
    ),
    ("POST", "/cluster/firewall/aliases", Act::Now(create_alias)),
    (
        "POST",
        "/nodes/{node}/lxc/{vmid}/firewall/aliases",
        Act::Now(create_alias),
    ),
    (
        "POST",
        "/nodes/{node}/qemu/{vmid}/firewall/aliases",
        Act::Now(create_alias),
    ),
    ("GET", "/cluster/firewall/aliases/{name}", Act::Now(alias)),
    (
        "PUT",
        "/cluster/firewall/aliases/{name}",
        Act::Now(update_alias),
    ),
    (
        "DELETE",
        "/cluster/firewall/aliases/{name}",
        Act::Now(delete_alias),
    ),
    ("GET", "/cluster/firewall/ipset", Act::Now(ipsets)),
    (
        "GET",
        "/nodes/{node}/lxc/{vmid}/firewall/ipset",
        Act::Now(ipsets),
    ),
    (
        "GET",
        "/nodes/{node}/qemu/{vmid}/firewall/ipset",
        Act::Now(ipsets),
    ),
    ("POST", "/cluster/firewall/ipset", Act::Now(create_ipset)),
    (
        "POST",
        "/nodes/{node}/lxc/{vmid}/firewall/ipset",
        Act::Now(create_ipset),
    ),
    (
        "POST",
        "/nodes/{node}/qemu/{vmid}/firewall/ipset",
        Act::Now(create_ipset),
    ),
    ("GET", "/cluster/firewall/ipset/{name}", Act::Now(ipset)),
    (
        "POST",
        "/cluster/firewall/ipset/{name}",
        Act::Now(add_entry),
    ),
    (
        "DELETE",
        "/cluster/firewall/ipset/{name}",
        Act::Now(delete_ipset),
    ),
    (
        "DELETE",
        "/cluster/firewall/ipset/{name}/{cidr}",
        Act::Now(remove_entry),
    ),
    ("GET", "/cluster/firewall/groups", Act::Now(groups)),
    ("POST", "/cluster/firewall/groups", Act::Now(create_group)),
    (
        "DELETE",
        "/cluster/firewall/groups/{group}",
        Act::Now(delete_group),
    ),
    ("GET", "/cluster/firewall/refs", Act::Now(refs)),
    (
        "GET",
        "/nodes/{node}/lxc/{vmid}/firewall/refs",
        Act::Now(refs),
    ),
    (
        "GET",
        "/nodes/{node}/qemu/{vmid}/firewall/refs",
        Act::Now(refs),
    ),
];

fn put(call: &Call, state: &mut State, firewall: Firewall) -> Outcome {
    state.firewalls.insert(scope(call), firewall);
    Ok(Reply::null())
}

fn alias_row(name: &str, alias: &Config, digest: &str) -> Value {
    let mut row = alias.clone();
    row.insert("name".into(), name.into());
    row.insert("digest".into(), digest.into());
    Value::Object(row)
}

fn aliases(call: &Call, state: &mut State) -> Outcome {
    let firewall = of(call, state)?;
    let digest = digest(&firewall);
    Ok(firewall
        .aliases
        .iter()
        .map(|(name, alias)| alias_row(name, alias, &digest))
        .collect::<Vec<_>>()
        .into())
}

fn alias_config(call: &Call) -> Config {
    let cidr = call.text("cidr");
    let version = if cidr.contains(':') { 6 } else { 4 };
    object([
        ("cidr", cidr.into()),
        ("comment", call.params.text("comment").into()),
        ("ipversion", version.into()),
    ])
}

fn create_alias(call: &Call, state: &mut State) -> Outcome {
    let mut firewall = of(call, state)?;
    let name = call.text("name");
    if firewall
        .aliases
        .keys()
        .any(|own| own.eq_ignore_ascii_case(&name))
    {
        return Err(Fail::param(
            "name",
            format!("alias '{}' already exists", name.to_lowercase()),
        ));
    }
    firewall.aliases.insert(name, alias_config(call));
    put(call, state, firewall)
}

fn no_alias(name: &str) -> Fail {
    Fail::param("name", format!("no such alias '{name}'"))
}

fn alias(call: &Call, state: &mut State) -> Outcome {
    let (firewall, name) = (of(call, state)?, call.text("name"));
    let alias = firewall.aliases.get(&name).ok_or_else(|| no_alias(&name))?;
    Ok(alias_row(&name, alias, &digest(&firewall)).into())
}

fn update_alias(call: &Call, state: &mut State) -> Outcome {
    let (mut firewall, name) = (of(call, state)?, call.text("name"));
    super::same_digest(call, &digest(&firewall))?;
    firewall
        .aliases
        .remove(&name)
        .ok_or_else(|| no_alias(&name))?;
    firewall.aliases.insert(
        call.params.text("rename").unwrap_or(name),
        alias_config(call),
    );
    put(call, state, firewall)
}

fn delete_alias(call: &Call, state: &mut State) -> Outcome {
    let (mut firewall, name) = (of(call, state)?, call.text("name"));
    super::same_digest(call, &digest(&firewall))?;
    firewall.aliases.remove(&name);
    put(call, state, firewall)
}

fn set_digest(set: &IpSet) -> String {
    sha1_hex(&format!("{set:?}"))
}

fn ipsets(call: &Call, state: &mut State) -> Outcome {
    let firewall = of(call, state)?;
    let row = |(name, set): (&String, &IpSet)| {
        Value::Object(object([
            ("name", name.clone().into()),
            ("comment", set.comment.clone().into()),
            ("digest", set_digest(set).into()),
        ]))
    };
    Ok(firewall.ipsets.iter().map(row).collect::<Vec<_>>().into())
}

fn create_ipset(call: &Call, state: &mut State) -> Outcome {
    let (mut firewall, name) = (of(call, state)?, call.text("name"));
    let set = match call.params.text("rename") {
        Some(old) => {
            let set = firewall
                .ipsets
                .remove(&old)
                .ok_or_else(|| Fail::param("name", format!("IPSet '{old}' does not exist")))?;
            IpSet {
                comment: call.params.text("comment").or(set.comment),
                ..set
            }
        }
        None if firewall.ipsets.contains_key(&name) => {
            return Err(Fail::param(
                "name",
                format!("IPSet '{name}' already exists"),
            ));
        }
        None => IpSet {
            comment: call.params.text("comment"),
            ..IpSet::default()
        },
    };
    firewall.ipsets.insert(name, set);
    put(call, state, firewall)
}

fn no_set(name: &str) -> Fail {
    Fail::die(format!("no such IPSet '{name}'"))
}

fn ipset(call: &Call, state: &mut State) -> Outcome {
    let (firewall, name) = (of(call, state)?, call.text("name"));
    let set = firewall.ipsets.get(&name).ok_or_else(|| no_set(&name))?;
    let row = |(cidr, entry): (&String, &Config)| {
        let mut row = entry.clone();
        row.insert("cidr".into(), cidr.clone().into());
        row.insert("digest".into(), set_digest(set).into());
        Value::Object(row)
    };
    Ok(set.entries.iter().map(row).collect::<Vec<_>>().into())
}

fn add_entry(call: &Call, state: &mut State) -> Outcome {
    let (mut firewall, name, cidr) = (of(call, state)?, call.text("name"), call.text("cidr"));
    let set = firewall
        .ipsets
        .get_mut(&name)
        .ok_or_else(|| no_set(&name))?;
    if set.entries.contains_key(&cidr) {
        return Err(Fail::param(
            "cidr",
            format!("address '{cidr}' already exists"),
        ));
    }
    let nomatch = call.params.flag("nomatch").then_some(1);
    set.entries.insert(
        cidr,
        object([
            ("comment", call.params.text("comment").into()),
            ("nomatch", nomatch.into()),
        ]),
    );
    put(call, state, firewall)
}

fn remove_entry(call: &Call, state: &mut State) -> Outcome {
    let (mut firewall, name, cidr) = (of(call, state)?, call.text("name"), call.text("cidr"));
    firewall
        .ipsets
        .get_mut(&name)
        .ok_or_else(|| no_set(&name))?
        .entries
        .remove(&cidr);
    put(call, state, firewall)
}

fn delete_ipset(call: &Call, state: &mut State) -> Outcome {
    let (mut firewall, name) = (of(call, state)?, call.text("name"));
    let set = firewall.ipsets.get(&name).ok_or_else(|| no_set(&name))?;
    if !set.entries.is_empty() && !call.params.flag("force") {
        return Err(Fail::die(format!("IPSet '{name}' is not empty")));
    }
    firewall.ipsets.remove(&name);
    put(call, state, firewall)
}

fn groups(_: &Call, state: &mut State) -> Outcome {
    let row = |(scope, group): (&String, &Firewall)| {
        let name = scope.strip_prefix("group/")?;
        let mut row = object([
            ("group", name.into()),
            ("comment", group.comment.clone().into()),
        ]);
        row.insert("digest".into(), digest(group).into());
        Some(Value::Object(row))
    };
    Ok(state
        .firewalls
        .iter()
        .filter_map(row)
        .collect::<Vec<_>>()
        .into())
}

fn create_group(call: &Call, state: &mut State) -> Outcome {
    let name = call.text("group");
    let key = format!("group/{name}");
    if let Some(old) = call.params.text("rename") {
        let mut group = state
            .firewalls
            .remove(&format!("group/{old}"))
            .ok_or_else(|| {
                Fail::param("group", format!("Security group '{old}' does not exist"))
            })?;
        group.comment = call.params.text("comment").or(group.comment);
        state.firewalls.insert(key, group);
        return Ok(Reply::null());
    }
    if state.firewalls.contains_key(&key) {
        return Err(Fail::param(
            "group",
            format!("Security group '{name}' already exists"),
        ));
    }
    state.firewalls.insert(
        key,
        Firewall {
            comment: call.params.text("comment"),
            ..Firewall::default()
        },
    );
    Ok(Reply::null())
}

fn delete_group(call: &Call, state: &mut State) -> Outcome {
    let name = call.text("group");
    let group = of(call, state)?;
    if !group.rules.is_empty() {
        return Err(Fail::die(format!("Security group '{name}' is not empty")));
    }
    state.firewalls.remove(&format!("group/{name}"));
    Ok(Reply::null())
}

fn refs(call: &Call, state: &mut State) -> Outcome {
    let only = call.params.text("type");
    let wanted = |kind: &str| only.as_deref().is_none_or(|only| only == kind);
    let mut rows = Vec::new();
    let mut scopes = vec![("dc", state.firewalls.get("cluster"))];
    if call.params.has("vmid") {
        scopes.push(("guest", state.firewalls.get(&scope(call))));
    }
    for (place, firewall) in scopes
        .into_iter()
        .filter_map(|(place, firewall)| Some((place, firewall?)))
    {
        if wanted("alias") {
            rows.extend(firewall.aliases.keys().map(|name| json!({"type": "alias", "name": name, "ref": format!("{place}/{name}"), "scope": place})));
        }
        if wanted("ipset") {
            rows.extend(firewall.ipsets.keys().map(|name| json!({"type": "ipset", "name": name, "ref": format!("+{place}/{name}"), "scope": place})));
        }
    }
    Ok(rows.into())
}
