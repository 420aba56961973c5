//! Whether a caller may: static rights, roles and their bindings; the API's words for a refusal.

use serde_json::Value;

use super::request::Place;
use crate::kube::object;
use crate::kube::resource::{Resource, qualified};
use crate::kube::settings::TokenRule;
use crate::kube::state::State;
use crate::kube::status::{Refusal, Result};

const AUTHENTICATED: &str = "system:authenticated";
/// Whose members may do everything.
const MASTERS: &str = "system:masters";

/// The caller.
#[derive(Clone, Debug)]
pub(crate) enum User {
    Admin,
    Known(TokenRule),
    /// A service account, by a token that this server gave it or impersonated: namespace and name.
    Account(String, String),
    /// Somebody with a name and groups, by certificate or impersonated.
    Named {
        name: String,
        groups: Vec<String>,
    },
    Anonymous,
}

impl User {
    pub(crate) fn name(&self) -> String {
        match self {
            User::Admin => "admin".into(),
            User::Known(rule) => rule.user.clone(),
            User::Account(namespace, name) => format!("system:serviceaccount:{namespace}:{name}"),
            User::Named { name, .. } => name.clone(),
            User::Anonymous => "system:anonymous".into(),
        }
    }

    pub(crate) fn groups(&self) -> Vec<String> {
        let list: &[&str] = match self {
            User::Admin => &[MASTERS, AUTHENTICATED],
            User::Known(_) => &[AUTHENTICATED],
            User::Account(namespace, _) => {
                let own = format!("system:serviceaccounts:{namespace}");
                return vec!["system:serviceaccounts".into(), own, AUTHENTICATED.into()];
            }
            User::Named { groups, .. } => {
                let mut all = groups.clone();
                if !all.iter().any(|own| own == AUTHENTICATED) {
                    all.push(AUTHENTICATED.into());
                }
                return all;
            }
            User::Anonymous => &["system:unauthenticated"],
        };
        list.iter().map(|one| (*one).to_owned()).collect()
    }

    /// `resource` is `pods`, `deployments.apps`, `pods/log` or `deployments.apps/scale`.
    pub(crate) fn may(
        &self,
        state: &State,
        verb: &str,
        resource: &str,
        namespace: &str,
        name: &str,
    ) -> bool {
        match self {
            _ if self.is_master() => true,
            User::Admin | User::Anonymous => false,
            User::Known(rule) => {
                let matches = |rules: &[crate::kube::settings::Rule]| {
                    rules
                        .iter()
                        .any(|one| one.matches(verb, resource, namespace))
                };
                matches(&rule.allow) && !matches(&rule.deny)
            }
            User::Account(..) | User::Named { .. } => self
                .rules(state, namespace)
                .iter()
                .any(|rule| allows(rule, verb, resource, name)),
        }
    }

    /// Whether this user may do everything.
    pub(super) fn is_master(&self) -> bool {
        match self {
            User::Admin => true,
            User::Named { groups, .. } => groups.iter().any(|own| own == MASTERS),
            _ => false,
        }
    }

    /// The rules that bindings give this user in a namespace; those of a static token are said as roles say theirs.
    pub(super) fn rules(&self, state: &State, namespace: &str) -> Vec<Value> {
        const GROUP: &str = "rbac.authorization.k8s.io";
        if let User::Known(known) = self {
            return known.allow.iter().map(as_role).collect();
        }
        let mut out = Vec::new();
        for (table, place) in [("rolebindings", namespace), ("clusterrolebindings", "")] {
            if table == "rolebindings" && namespace.is_empty() {
                continue;
            }
            for (_, binding) in state.store.list(&qualified(GROUP, table), place) {
                if !object::items(&binding.value, &["subjects"])
                    .iter()
                    .any(|subject| self.is(subject))
                {
                    continue;
                }
                let role = &binding.value["roleRef"];
                let (table, place) = match role["kind"].as_str() {
                    Some("Role") => ("roles", namespace),
                    _ => ("clusterroles", ""),
                };
                let name = role["name"].as_str().unwrap_or_default();
                if let Some(role) = state.store.get(&qualified(GROUP, table), place, name) {
                    out.extend(object::items(&role.value, &["rules"]).iter().cloned());
                }
            }
        }
        out
    }

    fn is(&self, subject: &Value) -> bool {
        let name = subject["name"].as_str().unwrap_or_default();
        match (subject["kind"].as_str(), self) {
            (Some("ServiceAccount"), User::Account(namespace, own)) => {
                own == name && subject["namespace"] == namespace.as_str()
            }
            (Some("User"), _) => self.name() == name,
            (Some("Group"), _) => self.groups().iter().any(|group| group == name),
            _ => false,
        }
    }

    /// The first rule of a new role that gives what this user does not have.
    pub(crate) fn lacks(&self, state: &State, namespace: &str, rules: &[Value]) -> bool {
        if !matches!(self, User::Account(..) | User::Named { .. }) {
            return false;
        }
        let list = |rule: &Value, key: &str| -> Vec<String> {
            object::items(rule, &[key])
                .iter()
                .filter_map(|one| one.as_str().map(str::to_owned))
                .collect()
        };
        rules.iter().any(|rule| {
            list(rule, "apiGroups").iter().any(|group| {
                list(rule, "resources").iter().any(|resource| {
                    let (plural, sub) = resource.split_once('/').unwrap_or((resource, ""));
                    let mut name = qualified(group, plural);
                    if !sub.is_empty() {
                        name = format!("{name}/{sub}");
                    }
                    list(rule, "verbs")
                        .iter()
                        .any(|verb| !self.may(state, verb, &name, namespace, ""))
                })
            })
        })
    }
}

/// A static rule in the form of a role's.
fn as_role(rule: &crate::kube::settings::Rule) -> Value {
    let all = |list: &[String]| {
        if list.is_empty() {
            vec!["*".to_owned()]
        } else {
            list.to_vec()
        }
    };
    let (mut groups, mut plurals) = (Vec::new(), Vec::new());
    for one in all(&rule.resources) {
        let (whole, sub) = one.split_once('/').unwrap_or((&one, ""));
        let (plural, group) = match whole {
            "*" => ("*", "*"),
            whole => whole.split_once('.').unwrap_or((whole, "")),
        };
        groups.push(group.to_owned());
        plurals.push(match sub {
            "" => plural.to_owned(),
            sub => format!("{plural}/{sub}"),
        });
    }
    serde_json::json!({"verbs": all(&rule.verbs), "apiGroups": groups, "resources": plurals})
}

/// Whether a rule of a role allows a verb on a resource.
fn allows(rule: &Value, verb: &str, resource: &str, name: &str) -> bool {
    let (whole, sub) = resource.split_once('/').unwrap_or((resource, ""));
    let (plural, group) = whole.split_once('.').unwrap_or((whole, ""));
    let wanted = if sub.is_empty() {
        plural.to_owned()
    } else {
        format!("{plural}/{sub}")
    };
    let has = |key: &str, wanted: &str| {
        object::items(rule, &[key])
            .iter()
            .any(|one| *one == "*" || *one == wanted)
    };
    let names = object::items(rule, &["resourceNames"]);
    has("verbs", verb)
        && has("apiGroups", group)
        && has("resources", &wanted)
        && (names.is_empty() || names.iter().any(|one| *one == name))
}

pub(crate) fn authorize(state: &State, user: &User, verb: &str, place: &Place) -> Result<()> {
    // Whoever is known may ask about themselves.
    if place.resource.plural.starts_with("selfsubject") && !matches!(user, User::Anonymous) {
        return Ok(());
    }
    let whose = (place.namespace.as_str(), place.name.as_str());
    permit(state, user, verb, (&place.resource, &place.sub), whose)
}

/// Whether a user may do this to a resource or a subresource of it: in a namespace, to what has that name.
pub(crate) fn permit(
    state: &State,
    user: &User,
    verb: &str,
    (resource, sub): (&Resource, &str),
    (namespace, name): (&str, &str),
) -> Result<()> {
    let with_sub = |plural: &str| match sub {
        "" => plural.to_owned(),
        sub => format!("{plural}/{sub}"),
    };
    if user.may(
        state,
        verb,
        &with_sub(&resource.qualified()),
        namespace,
        name,
    ) {
        return Ok(());
    }
    let scope = if namespace.is_empty() {
        "at the cluster scope".to_owned()
    } else {
        format!("in the namespace \"{namespace}\"")
    };
    let detail = format!(
        "User \"{}\" cannot {verb} resource \"{}\" in API group \"{}\" {scope}",
        user.name(),
        with_sub(&resource.plural),
        resource.group
    );
    Err(Refusal::forbidden(
        &qualified(&resource.group, &resource.plural),
        name,
        &detail,
    ))
}

/// A path that is no resource.
pub(crate) fn authorize_path(user: &User, verb: &str, path: &str) -> Result<()> {
    let open = path == "/version"
        || path.starts_with("/healthz")
        || path.starts_with("/livez")
        || path.starts_with("/readyz");
    match user {
        User::Anonymous if !open => Err(Refusal::new(
            403,
            "Forbidden",
            format!(
                "forbidden: User \"{}\" cannot {verb} path \"{path}\"",
                user.name()
            ),
        )),
        _ => Ok(()),
    }
}
