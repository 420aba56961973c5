//! Who asks: a client certificate, a bearer token, and whom they speak for.

use http::HeaderMap;
use http::request::Parts;

use super::Shared;
use super::access::User;
use crate::kube::object;
use crate::kube::status::{Refusal, Result};

const ACCOUNT: &str = "system:serviceaccount:";
const IMPERSONATE_USER: &str = "impersonate-user";
const IMPERSONATE_GROUP: &str = "impersonate-group";

/// The caller, or whom the caller impersonates.
pub(super) fn authenticate(shared: &Shared, parts: &Parts) -> Result<User> {
    let user = caller(shared, parts)?;
    impersonated(shared, user, &parts.headers)
}

fn caller(shared: &Shared, parts: &Parts) -> Result<User> {
    if let Some(user) = by_certificate(shared) {
        return Ok(user);
    }
    let unauthorized = || Refusal::new(401, "Unauthorized", "Unauthorized");
    let Some(header) = parts.headers.get(http::header::AUTHORIZATION) else {
        // A certificate of somebody else's authority is no way to be nobody.
        return match &shared.certificate {
            Some(_) => Err(unauthorized()),
            None => Ok(User::Anonymous),
        };
    };
    let token = header.to_str().ok().and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    token
        .and_then(|token| bearer(shared, token))
        .ok_or_else(unauthorized)
}

/// Whose token it is.
pub(super) fn bearer(shared: &Shared, token: &str) -> Option<User> {
    if token == &*shared.token {
        return Some(User::Admin);
    }
    shared
        .cluster
        .settings
        .tokens
        .iter()
        .find(|one| one.token == token && !one.expired && !token.is_empty())
        .map(|one| User::Known(one.clone()))
        .or_else(|| account(shared, token))
}

/// Somebody by name and groups.
pub(super) fn named(name: &str, groups: Vec<String>) -> User {
    let account = name
        .strip_prefix(ACCOUNT)
        .and_then(|rest| rest.split_once(':'));
    match account {
        Some((namespace, name)) if groups.is_empty() => {
            User::Account(namespace.to_owned(), name.to_owned())
        }
        _ if name == "system:anonymous" => User::Anonymous,
        _ => User::Named {
            name: name.to_owned(),
            groups,
        },
    }
}

/// Whoever has a certificate that this server gave; it gives one, to its administrator.
fn by_certificate(shared: &Shared) -> Option<User> {
    let own = shared.certificate.as_ref()?;
    (**own == *shared.admin.der).then(|| User::Named {
        name: shared.admin.name.clone(),
        groups: shared.admin.groups.clone(),
    })
}

/// The service account of a token, while both are valid.
fn account(shared: &Shared, token: &str) -> Option<User> {
    let state = shared.cluster.lock();
    let (uid, end) = state.tokens.get(token)?;
    let account = state
        .store
        .by_uid(uid)
        .filter(|_| *end > jiff::Timestamp::now())?;
    let (namespace, name) = (
        object::namespace(&account.value),
        object::name(&account.value),
    );
    Some(User::Account(namespace.to_owned(), name.to_owned()))
}

/// Whom the headers name, when the caller may speak for them.
fn impersonated(shared: &Shared, caller: User, headers: &HeaderMap) -> Result<User> {
    let texts = |name: &str| -> Vec<String> {
        let all = headers.get_all(name).iter();
        all.filter_map(|value| value.to_str().ok().map(str::to_owned))
            .collect()
    };
    let groups = texts(IMPERSONATE_GROUP);
    let Some(name) = texts(IMPERSONATE_USER).pop() else {
        if groups.is_empty() {
            return Ok(caller);
        }
        return Err(Refusal::new(
            500,
            "InternalError",
            "Internal error occurred: requested groups without impersonating a user",
        ));
    };
    let account = name
        .strip_prefix(ACCOUNT)
        .and_then(|rest| rest.split_once(':'));
    let mut asked = match account {
        Some((namespace, name)) => vec![("serviceaccounts", namespace, name)],
        None => vec![("users", "", name.as_str())],
    };
    asked.extend(groups.iter().map(|group| ("groups", "", group.as_str())));
    let state = shared.cluster.lock();
    for (resource, namespace, name) in asked {
        if !caller.may(&state, "impersonate", resource, namespace, name) {
            let scope = match namespace {
                "" => "at the cluster scope".to_owned(),
                namespace => format!("in the namespace \"{namespace}\""),
            };
            let detail = format!(
                "User \"{}\" cannot impersonate resource \"{resource}\" in API group \"\" {scope}",
                caller.name()
            );
            return Err(Refusal::forbidden(resource, name, &detail));
        }
    }
    Ok(named(&name, groups))
}
