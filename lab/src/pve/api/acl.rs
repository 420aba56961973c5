//! `/access/acl`: the grants.

use serde_json::{Value, json};

use super::{Act, Route};
use crate::pve::access::{Grant, Grantee, normalize, split_token};
use crate::pve::answer::{Fail, Outcome, Reply};
use crate::pve::cluster::Call;
use crate::pve::permission::check_perm_modify;
use crate::pve::state::State;

pub(super) const ROUTES: &[Route] = &[
    ("GET", "/access/acl", Act::Now(list)),
    ("PUT", "/access/acl", Act::Now(update)),
];

/// What a path of a grant may begin with, and how many parts may follow.
const PATHS: [(&str, usize); 8] = [
    ("access", 2),
    ("nodes", 1),
    ("pool", 3),
    ("sdn", 4),
    ("storage", 1),
    ("vms", 1),
    ("mapping", 2),
    ("", 0),
];

/// Whether a grant may be made at a path.
fn is_acl_path(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let Some((first, rest)) = parts.split_first() else {
        return true;
    };
    let known = PATHS
        .iter()
        .any(|(name, more)| name == first && rest.len() <= *more);
    let second = rest.first().copied();
    known
        && match *first {
            "vms" => second.is_none_or(|vmid| vmid.parse::<u32>().is_ok_and(|vmid| vmid >= 100)),
            "access" => second.is_none_or(|name| matches!(name, "groups" | "realm")),
            "mapping" => second
                .is_none_or(|name| matches!(name, "cpu" | "dir" | "notifications" | "pci" | "usb")),
            "sdn" => second.is_none_or(|name| {
                matches!(
                    name,
                    "zones"
                        | "controllers"
                        | "dns"
                        | "ipams"
                        | "fabrics"
                        | "prefix-lists"
                        | "route-maps"
                )
            }),
            _ => true,
        }
}

fn list(call: &Call, state: &mut State) -> Outcome {
    let audit = call.may(state, "/access", &["Sys.Audit"]);
    let seen = |grant: &&Grant| {
        audit || check_perm_modify(&state.access, call.caller.authid(), &grant.path).is_ok()
    };
    let mut grants: Vec<&Grant> = state.access.grants.iter().filter(seen).collect();
    grants.sort_by(|a, b| {
        (&a.path, a.kind != Grantee::User, a.kind, &a.ugid).cmp(&(
            &b.path,
            b.kind != Grantee::User,
            b.kind,
            &b.ugid,
        ))
    });
    let row = |grant: &&Grant| {
        json!({
            "path": grant.path, "type": grant.kind.name(), "ugid": grant.ugid, "roleid": grant.role,
            "propagate": u8::from(grant.propagate),
        })
    };
    Ok(grants.iter().map(row).collect::<Vec<Value>>().into())
}

fn update(call: &Call, state: &mut State) -> Outcome {
    let params = &call.params;
    if !(params.has("users") || params.has("groups") || params.has("tokens")) {
        let texts = ["users", "groups", "tokens"];
        let errors = texts.map(|name| {
            (
                name.to_owned(),
                Value::from("either 'users', 'groups' or 'tokens' is required."),
            )
        });
        return Err(Fail::params(errors.into_iter().collect()));
    }
    let path = call.text("path");
    let path = normalize(&path)
        .filter(|path| is_acl_path(path))
        .ok_or_else(|| Fail::param("path", format!("invalid ACL path '{path}'")))?;
    // Without the right to change grants everywhere only what one holds oneself may be given on.
    let modify = state
        .access
        .has(call.caller.authid(), &path, &["Permissions.Modify"], true);
    let (delete, propagate) = (params.flag("delete"), params.flag_or("propagate", true));
    let fail = |text: String| Fail::die(format!("ACL update failed: {text}"));
    let lists = [
        (Grantee::Group, "groups"),
        (Grantee::User, "users"),
        (Grantee::Token, "tokens"),
    ];
    let before = state.access.grants.clone();
    for role in params.list("roles") {
        let result = (|| {
            let known = state
                .access
                .roles
                .get(&role)
                .ok_or_else(|| fail(format!("role '{role}' does not exist")))?;
            if !modify && !call.caller.is_root() {
                let privs: Vec<&str> = known.privs.iter().map(String::as_str).collect();
                call.check(state, &path, &privs)?;
            }
            for (kind, name) in lists {
                for ugid in params.list(name) {
                    exists(state, kind, &ugid).map_err(fail)?;
                    state.access.grants.retain(|grant| {
                        !(grant.path == path
                            && grant.kind == kind
                            && grant.ugid == ugid
                            && grant.role == role)
                    });
                    if !delete {
                        let (path, role) = (path.clone(), role.clone());
                        state.access.grants.push(Grant {
                            path,
                            kind,
                            ugid,
                            role,
                            propagate,
                        });
                    }
                }
            }
            Ok(())
        })();
        if let Err(fail) = result {
            state.access.grants = before;
            return Err(fail);
        }
    }
    Ok(Reply::null())
}

fn exists(state: &State, kind: Grantee, ugid: &str) -> Result<(), String> {
    let access = &state.access;
    match kind {
        Grantee::Group if !access.groups.contains_key(ugid) => {
            Err(format!("group '{ugid}' does not exist"))
        }
        Grantee::User if !access.users.contains_key(ugid) => {
            Err(format!("user '{ugid}' does not exist"))
        }
        Grantee::Token => match split_token(ugid) {
            Some((user, _)) if !access.users.contains_key(user) => {
                Err(format!("user '{user}' does not exist"))
            }
            Some((user, name)) if access.token(ugid).is_none() => {
                Err(format!("no such token '{name}' for user '{user}'"))
            }
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}
