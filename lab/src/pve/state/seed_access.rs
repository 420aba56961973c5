//! The users, roles, grants and pools a fixture describes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::fixture::Fixture;
use crate::pve::access::{
    Access, Grant, Grantee, Group, Pool, ROOT, Realm, Role, Token, User, builtin_roles, split_token,
};
use crate::pve::params::{plain, split_list};

/// Who there is and who may do what.
pub(super) fn access(fixture: &Fixture) -> Access {
    let mut access = Access {
        roles: builtin_roles(),
        ..Access::default()
    };
    let realm = |kind: &str, comment: &str| Realm {
        kind: kind.into(),
        comment: Some(comment.into()),
        ..Realm::default()
    };
    access.realms.insert(
        "pam".into(),
        realm("pam", "Linux PAM standard authentication"),
    );
    access.realms.insert(
        "pve".into(),
        realm("pve", "Proxmox VE authentication server"),
    );
    access.users.insert(
        ROOT.into(),
        User {
            enable: true,
            ..User::default()
        },
    );
    if let Value::Object(roles) = &fixture.roles {
        for (name, privs) in roles {
            let privs: BTreeSet<String> = split_list(&plain(privs).unwrap_or_default())
                .into_iter()
                .collect();
            access.roles.insert(
                name.clone(),
                Role {
                    privs,
                    special: false,
                },
            );
        }
    }
    for group in &fixture.groups {
        let name = plain(group)
            .or_else(|| group.get("groupid").and_then(plain))
            .unwrap_or_default();
        let users = group.get("users").map(list).unwrap_or_default();
        let comment = group.get("comment").and_then(plain);
        access.groups.insert(
            name,
            Group {
                comment,
                users: users.into_iter().collect(),
            },
        );
    }
    for seed in &fixture.users {
        let user = access.users.entry(seed.userid.clone()).or_default();
        (user.enable, user.expire, user.comment) = (seed.enable, seed.expire, seed.comment.clone());
        // A recording remarks on the password in brackets; that is not part of it.
        user.password = seed
            .password
            .as_deref()
            .map(|text| text.split(" (").next().unwrap_or(text).to_owned());
        for group in &seed.groups {
            access
                .groups
                .entry(group.clone())
                .or_default()
                .users
                .insert(seed.userid.clone());
        }
    }
    for seed in &fixture.tokens {
        let Some((user, name)) = split_token(&seed.id) else {
            continue;
        };
        let (privsep, expire, comment) = (seed.privsep, seed.expire, seed.comment.clone());
        let token = Token {
            privsep,
            expire,
            comment,
            secret: seed.value.clone(),
        };
        let owner = access.users.entry(user.to_owned()).or_insert_with(|| User {
            enable: true,
            ..User::default()
        });
        owner.tokens.insert(name.to_owned(), token);
    }
    for seed in &fixture.acl {
        let kind = match seed.kind.as_deref() {
            Some("group") => Grantee::Group,
            Some("token") => Grantee::Token,
            Some(_) => Grantee::User,
            None if seed.ugid.contains('!') => Grantee::Token,
            None if seed.ugid.contains('@') => Grantee::User,
            None => Grantee::Group,
        };
        let (path, ugid, role) = (
            seed.path.clone(),
            seed.ugid.trim_start_matches('@').to_owned(),
            seed.roleid.clone(),
        );
        access.grants.push(Grant {
            path,
            kind,
            ugid,
            role,
            propagate: seed.propagate,
        });
    }
    access.pools = pools(fixture);
    access
}

fn pools(fixture: &Fixture) -> BTreeMap<String, Pool> {
    let pool = |seed: &crate::fixture::PoolSeed| Pool {
        comment: seed.comment.clone(),
        vms: seed.vms.iter().copied().collect(),
        storages: seed.storages.iter().cloned().collect(),
    };
    fixture
        .pools
        .iter()
        .map(|seed| (seed.poolid.clone(), pool(seed)))
        .collect()
}

fn list(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().filter_map(plain).collect(),
        other => split_list(&plain(other).unwrap_or_default()),
    }
}
