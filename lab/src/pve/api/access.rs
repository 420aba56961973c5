//! `/access`: tickets, passwords, realms, roles, groups and the caller's own permissions.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Act, Route, index, object};
use crate::pve::access::{Access, Group, ROOT, Role};
use crate::pve::answer::{Fail, Outcome, Reply};
use crate::pve::cluster::Call;
use crate::pve::hooks::HookFuture;
use crate::pve::state::State;

pub(super) const ROUTES: &[Route] = &[
    ("GET", "/access", Act::Now(access_index)),
    ("GET", "/access/ticket", Act::Now(|_, _| Ok(Reply::null()))),
    ("POST", "/access/ticket", Act::Later(ticket)),
    ("PUT", "/access/password", Act::Now(password)),
    ("GET", "/access/permissions", Act::Now(permissions)),
    ("GET", "/access/roles", Act::Now(roles)),
    ("POST", "/access/roles", Act::Now(create_role)),
    ("GET", "/access/roles/{roleid}", Act::Now(role)),
    ("PUT", "/access/roles/{roleid}", Act::Now(update_role)),
    ("DELETE", "/access/roles/{roleid}", Act::Now(delete_role)),
    ("GET", "/access/groups", Act::Now(groups)),
    ("POST", "/access/groups", Act::Now(create_group)),
    ("GET", "/access/groups/{groupid}", Act::Now(group)),
    ("PUT", "/access/groups/{groupid}", Act::Now(update_group)),
    ("DELETE", "/access/groups/{groupid}", Act::Now(delete_group)),
];

fn access_index(_: &Call, _: &mut State) -> Outcome {
    index(
        "subdir",
        &[
            "users",
            "groups",
            "roles",
            "acl",
            "domains",
            "openid",
            "tfa",
            "permissions",
            "ticket",
            "password",
        ],
    )
}

fn ticket(call: Call) -> HookFuture<'static, Outcome> {
    Box::pin(async move {
        let refused = || Fail::status(401, "authentication failure\n");
        let name = call.text("username");
        let user = match call.params.text("realm") {
            Some(realm) => format!("{name}@{realm}"),
            None => name,
        };
        let password = call.text("password");
        if !call.cluster.verify_password(&user, &password) {
            return Err(refused());
        }
        if let (Some(path), Some(privs)) = (call.params.text("path"), call.params.text("privs")) {
            let privs = crate::pve::params::split_list(&privs);
            let state = call.cluster.lock();
            let refs: Vec<&str> = privs.iter().map(String::as_str).collect();
            if !state.access.has(&user, &path, &refs, false) {
                return Err(refused());
            }
        }
        let (ticket, csrf) = call.cluster.make_ticket(&user);
        let state = call.cluster.lock();
        let mut data = object([
            ("username", user.clone().into()),
            ("ticket", ticket.into()),
            ("CSRFPreventionToken", csrf.into()),
            ("cap", capabilities(&state.access, &user)),
        ]);
        if let Some(name) = &state.cluster_name {
            data.insert("clustername".into(), name.clone().into());
        }
        Ok(Value::Object(data).into())
    })
}

/// What the web interface shows a user: privileges by area.
fn capabilities(access: &Access, user: &str) -> Value {
    let areas: [(&str, &str, &[&str]); 7] = [
        ("vms", "/vms", &["VM."]),
        ("storage", "/storage", &["Datastore."]),
        ("access", "/access", &["User.", "Group."]),
        ("nodes", "/nodes", &["Sys."]),
        ("dc", "/", &["Sys.", "SDN."]),
        ("sdn", "/sdn", &["SDN."]),
        ("mapping", "/mapping", &["Mapping."]),
    ];
    let mut cap = Map::new();
    let paths = access.paths();
    for (area, root, stems) in areas {
        let mut found = BTreeMap::new();
        for path in paths
            .iter()
            .filter(|path| *path == root || root != "/" && path.starts_with(&format!("{root}/")))
        {
            for name in access.privileges(user, path).into_keys() {
                if stems.iter().any(|stem| name.starts_with(stem)) || name == "Permissions.Modify" {
                    found.insert(name, 1);
                }
            }
        }
        cap.insert(area.into(), json!(found));
    }
    Value::Object(cap)
}

fn password(call: &Call, state: &mut State) -> Outcome {
    let userid = call.text("userid");
    let Some(user) = state.access.users.get_mut(&userid) else {
        return Err(Fail::die(format!("no such user ('{userid}')")));
    };
    if call.caller.user() != ROOT {
        let confirmed = call.params.text("confirmation-password");
        if confirmed.is_none() || confirmed != user.password {
            return Err(Fail::status(401, "authentication failure\n"));
        }
    }
    user.password = call.params.text("password");
    Ok(Reply::null())
}

fn permissions(call: &Call, state: &mut State) -> Outcome {
    let me = call.caller.authid().to_owned();
    let whose = call.params.text("userid").unwrap_or_else(|| me.clone());
    if whose != me && !whose.starts_with(&format!("{me}!")) {
        call.check(state, "/access", &["Sys.Audit"])?;
    }
    let paths: Vec<String> = match call.params.text("path") {
        Some(path) => vec![path],
        None => state.access.paths().into_iter().collect(),
    };
    let mut data = Map::new();
    for path in paths {
        let privs = state.access.privileges(&whose, &path);
        if !privs.is_empty() || call.params.has("path") {
            let flags: BTreeMap<String, u8> = privs
                .into_iter()
                .map(|(name, on)| (name, u8::from(on)))
                .collect();
            data.insert(path, json!(flags));
        }
    }
    Ok(Value::Object(data).into())
}

fn roles(_: &Call, state: &mut State) -> Outcome {
    let row = |(name, role): (&String, &Role)| {
        let privs: Vec<&str> = role.privs.iter().map(String::as_str).collect();
        json!({"roleid": name, "privs": privs.join(","), "special": u8::from(role.special)})
    };
    Ok(state
        .access
        .roles
        .iter()
        .map(row)
        .collect::<Vec<_>>()
        .into())
}

fn role(call: &Call, state: &mut State) -> Outcome {
    let name = call.text("roleid");
    let role = state
        .access
        .roles
        .get(&name)
        .ok_or_else(|| Fail::die(format!("role '{name}' does not exist")))?;
    let privs: Map<String, Value> = role
        .privs
        .iter()
        .map(|name| (name.clone(), 1.into()))
        .collect();
    Ok(Value::Object(privs).into())
}

fn create_role(call: &Call, state: &mut State) -> Outcome {
    let name = call.text("roleid");
    if state.access.roles.contains_key(&name) {
        return Err(Fail::die(format!(
            "create role failed: role '{name}' already exists"
        )));
    }
    if name.to_ascii_uppercase().starts_with("PVE") {
        return Err(Fail::param(
            "roleid",
            "cannot use role ID starting with the (case-insensitive) 'PVE' namespace",
        ));
    }
    state.access.roles.insert(
        name,
        Role {
            privs: call.params.list("privs").into_iter().collect(),
            special: false,
        },
    );
    Ok(Reply::null())
}

fn update_role(call: &Call, state: &mut State) -> Outcome {
    let name = call.text("roleid");
    let role = match state.access.roles.get_mut(&name) {
        Some(role) if role.special => {
            return Err(Fail::die(format!(
                "auto-generated role '{name}' cannot be modified"
            )));
        }
        Some(role) => role,
        None => {
            return Err(Fail::die(format!(
                "update role failed: role '{name}' does not exist"
            )));
        }
    };
    if !call.params.flag("append") {
        role.privs.clear();
    }
    role.privs.extend(call.params.list("privs"));
    Ok(Reply::null())
}

fn delete_role(call: &Call, state: &mut State) -> Outcome {
    let name = call.text("roleid");
    match state.access.roles.get(&name) {
        None => Err(Fail::die(format!(
            "delete role failed: role '{name}' does not exist"
        ))),
        Some(role) if role.special => Err(Fail::die(format!(
            "auto-generated role '{name}' cannot be deleted"
        ))),
        Some(_) => {
            state.access.roles.remove(&name);
            state.access.grants.retain(|grant| grant.role != name);
            Ok(Reply::null())
        }
    }
}

fn groups(call: &Call, state: &mut State) -> Outcome {
    let privs = ["User.Modify", "Sys.Audit", "Group.Allocate"];
    let row = |(name, group): (&String, &Group)| {
        let users: Vec<&str> = group.users.iter().map(String::as_str).collect();
        Value::Object(object([
            ("groupid", name.clone().into()),
            ("comment", group.comment.clone().into()),
            ("users", users.join(",").into()),
        ]))
    };
    let seen = state
        .access
        .groups
        .iter()
        .filter(|(name, _)| call.may(state, &format!("/access/groups/{name}"), &privs));
    Ok(seen.map(row).collect::<Vec<_>>().into())
}

fn create_group(call: &Call, state: &mut State) -> Outcome {
    let name = call.text("groupid");
    if state.access.groups.contains_key(&name) {
        return Err(Fail::die(format!(
            "create group failed: group '{name}' already exists"
        )));
    }
    state.access.groups.insert(
        name,
        Group {
            comment: call.params.text("comment"),
            ..Group::default()
        },
    );
    Ok(Reply::null())
}

fn group(call: &Call, state: &mut State) -> Outcome {
    let name = call.text("groupid");
    let group = state
        .access
        .groups
        .get(&name)
        .ok_or_else(|| Fail::die(format!("group '{name}' does not exist")))?;
    let members: Vec<&String> = group.users.iter().collect();
    let mut data = object([("comment", group.comment.clone().into())]);
    data.insert("members".into(), json!(members));
    Ok(Value::Object(data).into())
}

fn update_group(call: &Call, state: &mut State) -> Outcome {
    let name = call.text("groupid");
    let Some(group) = state.access.groups.get_mut(&name) else {
        return Err(Fail::die(format!(
            "update group failed: group '{name}' does not exist"
        )));
    };
    if let Some(comment) = call.params.text("comment") {
        group.comment = Some(comment);
    }
    Ok(Reply::null())
}

fn delete_group(call: &Call, state: &mut State) -> Outcome {
    let name = call.text("groupid");
    if state.access.groups.remove(&name).is_none() {
        return Err(Fail::die(format!(
            "delete group failed: group '{name}' does not exist"
        )));
    }
    state
        .access
        .grants
        .retain(|grant| grant.kind != crate::pve::access::Grantee::Group || grant.ugid != name);
    Ok(Reply::null())
}
