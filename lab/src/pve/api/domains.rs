//! `/access/domains`: the realms users come from.

use serde_json::Value;

use super::{Act, Route, object};
use crate::pve::access::Realm;
use crate::pve::answer::{Fail, Outcome, Reply};
use crate::pve::cluster::Call;
use crate::pve::params::plain;
use crate::pve::state::State;

pub(super) const ROUTES: &[Route] = &[
    ("GET", "/access/domains", Act::Now(domains)),
    ("POST", "/access/domains", Act::Now(create_domain)),
    ("GET", "/access/domains/{realm}", Act::Now(domain)),
    ("PUT", "/access/domains/{realm}", Act::Now(update_domain)),
    ("DELETE", "/access/domains/{realm}", Act::Now(delete_domain)),
];

fn domains(_: &Call, state: &mut State) -> Outcome {
    let row = |(name, realm): (&String, &Realm)| {
        Value::Object(object([
            ("realm", name.clone().into()),
            ("type", realm.kind.clone().into()),
            ("comment", realm.comment.clone().into()),
            (
                "default",
                realm.options.get("default").cloned().unwrap_or_default(),
            ),
        ]))
    };
    Ok(state
        .access
        .realms
        .iter()
        .map(row)
        .collect::<Vec<_>>()
        .into())
}

fn known_realm<'a>(call: &Call, state: &'a mut State) -> Result<&'a mut Realm, Fail> {
    let name = call.text("realm");
    state
        .access
        .realms
        .get_mut(&name)
        .ok_or_else(|| Fail::die(format!("domain '{name}' does not exist")))
}

fn domain(call: &Call, state: &mut State) -> Outcome {
    let realm = known_realm(call, state)?;
    let mut data = realm.options.clone();
    data.insert("type".into(), realm.kind.clone().into());
    if let Some(comment) = &realm.comment {
        data.insert("comment".into(), comment.clone().into());
    }
    let text: String = data
        .iter()
        .map(|(key, value)| format!("{key} {value}\n"))
        .collect();
    data.insert("digest".into(), crate::pve::state::sha1_hex(&text).into());
    Ok(Value::Object(data).into())
}

fn set_options(call: &Call, realm: &mut Realm) {
    for (key, value) in call.params.iter() {
        match key {
            "realm" | "type" | "delete" | "digest" | "password" => {}
            "comment" => realm.comment = plain(value),
            _ => {
                realm.options.insert(key.to_owned(), value.clone());
            }
        }
    }
    for key in call.params.list("delete") {
        realm.options.shift_remove(&key);
        if key == "comment" {
            realm.comment = None;
        }
    }
}

fn create_domain(call: &Call, state: &mut State) -> Outcome {
    let name = call.text("realm");
    if state.access.realms.contains_key(&name) {
        return Err(Fail::die(format!(
            "add auth server failed: domain '{name}' already exists"
        )));
    }
    let mut realm = Realm {
        kind: call.text("type"),
        ..Realm::default()
    };
    set_options(call, &mut realm);
    state.access.realms.insert(name, realm);
    Ok(Reply::null())
}

fn update_domain(call: &Call, state: &mut State) -> Outcome {
    set_options(call, known_realm(call, state)?);
    Ok(Reply::null())
}

fn delete_domain(call: &Call, state: &mut State) -> Outcome {
    let name = call.text("realm");
    match known_realm(call, state) {
        Err(_) => Err(Fail::die(format!(
            "delete auth server failed: domain '{name}' does not exist"
        ))),
        Ok(realm) if matches!(realm.kind.as_str(), "pam" | "pve") => Err(Fail::die(format!(
            "delete auth server failed: cannot delete built-in realm '{name}'"
        ))),
        Ok(_) => {
            state.access.realms.remove(&name);
            Ok(Reply::null())
        }
    }
}
