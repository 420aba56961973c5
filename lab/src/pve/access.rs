//! Who may do what: users, groups, tokens, roles and grants, and the API's rule for the privileges at a path.
//!
//! Only the rule and its data; the declared permissions of an endpoint are evaluated in `permission`.

mod roles;

use std::collections::{BTreeMap, BTreeSet};

pub(crate) use roles::{builtin_roles, is_privilege};

/// The user who may do everything.
pub(crate) const ROOT: &str = "root@pam";

/// A user.
#[derive(Clone, Debug, Default)]
pub(crate) struct User {
    pub(crate) enable: bool,
    pub(crate) expire: i64,
    pub(crate) password: Option<String>,
    pub(crate) comment: Option<String>,
    pub(crate) email: Option<String>,
    pub(crate) firstname: Option<String>,
    pub(crate) lastname: Option<String>,
    pub(crate) keys: Option<String>,
    pub(crate) tokens: BTreeMap<String, Token>,
}

/// An API token of a user.
#[derive(Clone, Debug, Default)]
pub(crate) struct Token {
    pub(crate) privsep: bool,
    pub(crate) expire: i64,
    pub(crate) comment: Option<String>,
    pub(crate) secret: String,
}

/// A group.
#[derive(Clone, Debug, Default)]
pub(crate) struct Group {
    pub(crate) comment: Option<String>,
    pub(crate) users: BTreeSet<String>,
}

/// A role.
#[derive(Clone, Debug, Default)]
pub(crate) struct Role {
    pub(crate) privs: BTreeSet<String>,
    /// Built in: cannot be changed.
    pub(crate) special: bool,
}

/// A resource pool.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pool {
    pub(crate) comment: Option<String>,
    pub(crate) vms: BTreeSet<u32>,
    pub(crate) storages: BTreeSet<String>,
}

/// To whom a grant was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Grantee {
    User,
    Group,
    Token,
}

/// A grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) path: String,
    pub(crate) kind: Grantee,
    pub(crate) ugid: String,
    pub(crate) role: String,
    pub(crate) propagate: bool,
}

/// Where users come from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Realm {
    pub(crate) kind: String,
    pub(crate) comment: Option<String>,
    pub(crate) options: serde_json::Map<String, serde_json::Value>,
}

/// Users, roles, grants.
#[derive(Clone, Debug, Default)]
pub(crate) struct Access {
    pub(crate) users: BTreeMap<String, User>,
    pub(crate) groups: BTreeMap<String, Group>,
    pub(crate) roles: BTreeMap<String, Role>,
    pub(crate) pools: BTreeMap<String, Pool>,
    pub(crate) realms: BTreeMap<String, Realm>,
    pub(crate) grants: Vec<Grant>,
}

/// Privileges at a path: whether they propagate.
pub(crate) type Privs = BTreeMap<String, bool>;

impl Grantee {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
            Self::Token => "token",
        }
    }
}

/// `user@realm!token` in two.
pub(crate) fn split_token(authid: &str) -> Option<(&str, &str)> {
    authid.split_once('!')
}

/// A path as the grants have it: `/` in front, none at the end, none doubled. `None` if it has odd characters.
pub(crate) fn normalize(path: &str) -> Option<String> {
    let joined: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let good = joined.iter().all(|part| {
        part.chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-@: ".contains(c))
    });
    good.then(|| format!("/{}", joined.join("/")))
}

impl Access {
    /// The token, if its user has it.
    pub(crate) fn token(&self, authid: &str) -> Option<&Token> {
        let (user, name) = split_token(authid)?;
        self.users.get(user)?.tokens.get(name)
    }

    /// The privileges of a user or token at a path.
    pub(crate) fn privileges(&self, authid: &str, path: &str) -> Privs {
        if authid == ROOT {
            return self.all();
        }
        let Some((user, _)) = split_token(authid) else {
            return self.of_one(authid, path);
        };
        match self.token(authid) {
            None => Privs::new(),
            Some(token) if !token.privsep => self.privileges(user, path),
            Some(_) if user == ROOT => self.of_one(authid, path),
            Some(_) => {
                let whole = self.privileges(user, path);
                let own = self.of_one(authid, path);
                own.into_iter()
                    .filter_map(|(name, on)| whole.get(&name).map(|more| (name, on && *more)))
                    .collect()
            }
        }
    }

    /// Whether a user or token has at least one of the privileges, or all.
    pub(crate) fn has(&self, authid: &str, path: &str, privs: &[&str], any: bool) -> bool {
        let found = self.privileges(authid, path);
        if any {
            privs.iter().any(|name| found.contains_key(*name))
        } else {
            privs.iter().all(|name| found.contains_key(*name))
        }
    }

    /// Every path where grants or pools may say something.
    pub(crate) fn paths(&self) -> BTreeSet<String> {
        let fixed = [
            "/",
            "/access",
            "/access/groups",
            "/nodes",
            "/pool",
            "/sdn",
            "/storage",
            "/vms",
        ];
        let mut paths: BTreeSet<String> = fixed.iter().map(|path| (*path).to_owned()).collect();
        paths.extend(self.grants.iter().map(|grant| grant.path.clone()));
        for (name, pool) in &self.pools {
            paths.insert(format!("/pool/{name}"));
            paths.extend(pool.vms.iter().map(|vmid| format!("/vms/{vmid}")));
            paths.extend(
                pool.storages
                    .iter()
                    .map(|storage| format!("/storage/{storage}")),
            );
        }
        paths
    }

    fn all(&self) -> Privs {
        self.role_privs("Administrator")
            .map(|name| (name.clone(), true))
            .collect()
    }

    /// Of exactly this user or token, pools included.
    fn of_one(&self, authid: &str, path: &str) -> Privs {
        let mut roles = self.roles_at(authid, path);
        for (name, pool) in &self.pools {
            let member = path
                .strip_prefix("/vms/")
                .and_then(|id| id.parse().ok())
                .is_some_and(|id: u32| pool.vms.contains(&id))
                || path
                    .strip_prefix("/storage/")
                    .is_some_and(|id| pool.storages.contains(id));
            if member {
                for (role, _) in self.roles_at(authid, &format!("/pool/{name}")) {
                    roles.entry(role).or_insert(true);
                }
            }
        }
        if roles.contains_key("NoAccess") {
            return Privs::new();
        }
        let mut privs = Privs::new();
        for (role, propagate) in roles {
            for name in self.role_privs(&role) {
                *privs.entry(name.clone()).or_insert(false) |= propagate;
            }
        }
        privs
    }

    fn role_privs(&self, role: &str) -> impl Iterator<Item = &String> {
        self.roles
            .get(role)
            .into_iter()
            .flat_map(|role| role.privs.iter())
    }

    /// The roles at a path: nearer grants replace farther ones, a token's or user's own replace their groups'.
    fn roles_at(&self, authid: &str, path: &str) -> BTreeMap<String, bool> {
        let mut roles = BTreeMap::new();
        for place in ancestors(path) {
            let last = place == path;
            let own = if authid.contains('!') {
                Grantee::Token
            } else {
                Grantee::User
            };
            let mut here = self.granted(&place, last, |grant| {
                grant.kind == own && grant.ugid == authid
            });
            if here.is_empty() && own == Grantee::User {
                here = self.granted(&place, last, |grant| {
                    grant.kind == Grantee::Group
                        && self
                            .groups
                            .get(&grant.ugid)
                            .is_some_and(|group| group.users.contains(authid))
                });
            }
            if !here.is_empty() {
                roles = here;
            }
        }
        if let Some(none) = roles.get("NoAccess").copied() {
            return BTreeMap::from([("NoAccess".to_owned(), none)]);
        }
        roles
    }

    fn granted(
        &self,
        place: &str,
        last: bool,
        whose: impl Fn(&Grant) -> bool,
    ) -> BTreeMap<String, bool> {
        self.grants
            .iter()
            .filter(|grant| grant.path == place && (last || grant.propagate) && whose(grant))
            .map(|grant| (grant.role.clone(), grant.propagate))
            .collect()
    }
}

/// `/`, `/vms`, `/vms/100`.
fn ancestors(path: &str) -> Vec<String> {
    let mut all = vec!["/".to_owned()];
    let mut at = String::new();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        at.push('/');
        at.push_str(part);
        all.push(at.clone());
    }
    all
}

#[cfg(test)]
mod tests;
