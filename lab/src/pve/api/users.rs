//! `/access/users` and their API tokens.

use serde_json::{Map, Value, json};

use super::{Act, Route, object};
use crate::pve::access::{ROOT, Token, User, split_token};
use crate::pve::answer::{Fail, Outcome, Reply};
use crate::pve::auth;
use crate::pve::cluster::Call;
use crate::pve::params::plain;
use crate::pve::state::State;

pub(super) const ROUTES: &[Route] = &[
    ("GET", "/access/users", Act::Now(list)),
    ("POST", "/access/users", Act::Now(create)),
    ("GET", "/access/users/{userid}", Act::Now(read)),
    ("PUT", "/access/users/{userid}", Act::Now(update)),
    ("DELETE", "/access/users/{userid}", Act::Now(delete)),
    ("GET", "/access/users/{userid}/token", Act::Now(tokens)),
    (
        "GET",
        "/access/users/{userid}/token/{tokenid}",
        Act::Now(token),
    ),
    (
        "POST",
        "/access/users/{userid}/token/{tokenid}",
        Act::Now(create_token),
    ),
    (
        "PUT",
        "/access/users/{userid}/token/{tokenid}",
        Act::Now(update_token),
    ),
    (
        "DELETE",
        "/access/users/{userid}/token/{tokenid}",
        Act::Now(delete_token),
    ),
];

fn row(name: &str, user: &User) -> Map<String, Value> {
    let text = |value: &Option<String>| Value::from(value.clone());
    object([
        ("userid", name.into()),
        ("enable", u8::from(user.enable).into()),
        ("expire", user.expire.into()),
        ("comment", text(&user.comment)),
        ("email", text(&user.email)),
        ("firstname", text(&user.firstname)),
        ("lastname", text(&user.lastname)),
    ])
}

fn groups_of(state: &State, name: &str) -> Vec<String> {
    state
        .access
        .groups
        .iter()
        .filter(|(_, group)| group.users.contains(name))
        .map(|(name, _)| name.clone())
        .collect()
}

fn list(call: &Call, state: &mut State) -> Outcome {
    let privs = ["User.Modify", "Sys.Audit"];
    let all = call.may(state, "/access/groups", &privs);
    let mut rows = Vec::new();
    for (name, user) in &state.access.users {
        let groups = groups_of(state, name);
        let allowed = all
            || call.caller.authid() == name
            || groups
                .iter()
                .any(|group| call.may(state, &format!("/access/groups/{group}"), &privs));
        let wanted = !call.params.has("enabled") || call.params.flag("enabled") == user.enable;
        if !(allowed && wanted) {
            continue;
        }
        let mut row = row(name, user);
        let realm = name.rsplit_once('@').map_or("", |(_, realm)| realm);
        if let Some(realm) = state.access.realms.get(realm) {
            row.insert("realm-type".into(), realm.kind.clone().into());
        }
        if call.params.flag("full") {
            row.insert("groups".into(), groups.join(",").into());
            let tokens: Vec<Value> = user
                .tokens
                .iter()
                .map(|(name, token)| Value::Object(token_row(Some(name), token)))
                .collect();
            if !tokens.is_empty() {
                row.insert("tokens".into(), tokens.into());
            }
        }
        rows.push(Value::Object(row));
    }
    Ok(rows.into())
}

fn set(call: &Call, user: &mut User) {
    let params = &call.params;
    if params.has("enable") {
        user.enable = params.flag("enable");
    }
    if let Some(expire) = params.int("expire") {
        user.expire = expire;
    }
    let fields = [
        ("comment", &mut user.comment),
        ("email", &mut user.email),
        ("firstname", &mut user.firstname),
        ("lastname", &mut user.lastname),
        ("keys", &mut user.keys),
    ];
    for (name, field) in fields {
        if let Some(value) = params.text(name) {
            *field = Some(value).filter(|value| !value.is_empty());
        }
    }
}

fn join_groups(call: &Call, state: &mut State, name: &str) {
    if !call.params.has("groups") {
        return;
    }
    if !call.params.flag("append") {
        state.access.groups.values_mut().for_each(|group| {
            group.users.remove(name);
        });
    }
    for group in call.params.list("groups") {
        if let Some(group) = state.access.groups.get_mut(&group) {
            group.users.insert(name.to_owned());
        }
    }
}

fn create(call: &Call, state: &mut State) -> Outcome {
    let name = call.text("userid");
    if state.access.users.contains_key(&name) {
        return Err(Fail::die(format!(
            "create user failed: user '{name}' already exists"
        )));
    }
    let mut user = User {
        enable: true,
        password: call.params.text("password"),
        ..User::default()
    };
    set(call, &mut user);
    state.access.users.insert(name.clone(), user);
    join_groups(call, state, &name);
    Ok(Reply::null())
}

fn missing(name: &str) -> Fail {
    Fail::die(format!("no such user ('{name}')"))
}

fn read(call: &Call, state: &mut State) -> Outcome {
    let name = call.text("userid");
    let user = state
        .access
        .users
        .get(&name)
        .ok_or_else(|| missing(&name))?;
    let mut row = row(&name, user);
    row.shift_remove("userid");
    let groups = groups_of(state, &name);
    if !groups.is_empty() {
        row.insert("groups".into(), groups.into());
    }
    if !user.tokens.is_empty() {
        let tokens: Map<String, Value> = user
            .tokens
            .iter()
            .map(|(name, token)| (name.clone(), Value::Object(token_row(None, token))))
            .collect();
        row.insert("tokens".into(), Value::Object(tokens));
    }
    Ok(Value::Object(row).into())
}

fn update(call: &Call, state: &mut State) -> Outcome {
    let name = call.text("userid");
    set(
        call,
        state
            .access
            .users
            .get_mut(&name)
            .ok_or_else(|| missing(&name))?,
    );
    join_groups(call, state, &name);
    Ok(Reply::null())
}

fn delete(call: &Call, state: &mut State) -> Outcome {
    let name = call.text("userid");
    if name == ROOT {
        return Err(Fail::die("unable to delete user 'root@pam'"));
    }
    state
        .access
        .users
        .remove(&name)
        .ok_or_else(|| missing(&name))?;
    state.access.groups.values_mut().for_each(|group| {
        group.users.remove(&name);
    });
    state.access.grants.retain(|grant| {
        grant.ugid != name && split_token(&grant.ugid).is_none_or(|(user, _)| user != name)
    });
    Ok(Reply::null())
}

fn token_row(name: Option<&String>, token: &Token) -> Map<String, Value> {
    object([
        (
            "tokenid",
            name.map(|name| name.as_str().into()).unwrap_or_default(),
        ),
        ("privsep", u8::from(token.privsep).into()),
        ("expire", token.expire.into()),
        ("comment", token.comment.clone().into()),
    ])
}

fn tokens(call: &Call, state: &mut State) -> Outcome {
    let name = call.text("userid");
    let user = state
        .access
        .users
        .get(&name)
        .ok_or_else(|| missing(&name))?;
    Ok(user
        .tokens
        .iter()
        .map(|(name, token)| Value::Object(token_row(Some(name), token)))
        .collect::<Vec<_>>()
        .into())
}

fn known<'a>(call: &Call, state: &'a mut State) -> Result<&'a mut Token, Fail> {
    let (user, name) = (call.text("userid"), call.text("tokenid"));
    let owner = state
        .access
        .users
        .get_mut(&user)
        .ok_or_else(|| missing(&user))?;
    owner
        .tokens
        .get_mut(&name)
        .ok_or_else(|| Fail::die(format!("no such token '{name}' for user '{user}'")))
}

fn token(call: &Call, state: &mut State) -> Outcome {
    Ok(Value::Object(token_row(None, known(call, state)?)).into())
}

fn create_token(call: &Call, state: &mut State) -> Outcome {
    let (user, name) = (call.text("userid"), call.text("tokenid"));
    let owner = state
        .access
        .users
        .get_mut(&user)
        .ok_or_else(|| missing(&user))?;
    if owner.tokens.contains_key(&name) {
        return Err(Fail::param("tokenid", "Token already exists."));
    }
    let secret = auth::uuid();
    let token = Token {
        privsep: call.params.flag_or("privsep", true),
        expire: call.params.int("expire").unwrap_or(0),
        comment: call.params.text("comment"),
        secret: secret.clone(),
    };
    owner.tokens.insert(name.clone(), token);
    // What was sent is what is shown, as text.
    let mut info = Map::new();
    info.insert(
        "privsep".into(),
        call.params
            .text("privsep")
            .map_or_else(|| Value::from(1), Value::from),
    );
    for key in ["expire", "comment"] {
        if let Some(value) = call.params.text(key) {
            info.insert(key.into(), value.into());
        }
    }
    Ok(json!({"full-tokenid": format!("{user}!{name}"), "value": secret, "info": info}).into())
}

fn update_token(call: &Call, state: &mut State) -> Outcome {
    let token = known(call, state)?;
    if call.params.has("privsep") {
        token.privsep = call.params.flag("privsep");
    }
    if let Some(expire) = call.params.int("expire") {
        token.expire = expire;
    }
    if let Some(comment) = call.params.text("comment") {
        token.comment = Some(comment);
    }
    for key in call
        .params
        .get("delete")
        .and_then(plain)
        .map(|text| crate::pve::params::split_list(&text))
        .unwrap_or_default()
    {
        if key == "comment" {
            token.comment = None;
        }
    }
    Ok(Value::Object(token_row(None, token)).into())
}

fn delete_token(call: &Call, state: &mut State) -> Outcome {
    known(call, state)?;
    let (user, name) = (call.text("userid"), call.text("tokenid"));
    if let Some(owner) = state.access.users.get_mut(&user) {
        owner.tokens.remove(&name);
    }
    let full = format!("{user}!{name}");
    state.access.grants.retain(|grant| grant.ugid != full);
    Ok(Reply::null())
}
