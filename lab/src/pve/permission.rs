//! Evaluates an endpoint's declared permissions: `["perm", "/vms/{vmid}", ["VM.Audit"]]` and its combinations.
//!
//! It decides on declarations only; what a call checks inside is the call's own.

use serde_json::Value;

use super::access::{Access, ROOT, normalize};
use super::answer::Fail;
use super::params::{Params, split_list};
use super::schema::Permissions;

/// Refuses unless the caller may call it with these parameters. `user` is none without login.
pub(crate) fn check(
    access: &Access,
    declared: Option<&Permissions>,
    user: Option<&str>,
    params: &Params,
) -> Result<(), Fail> {
    let open = declared.and_then(|declared| declared.user.as_deref());
    let Some(user) = user else {
        return if open == Some("world") {
            Ok(())
        } else {
            Err(Fail::forbidden("user != null"))
        };
    };
    if user == ROOT {
        return Ok(());
    }
    let Some(declared) = declared else {
        return Err(Fail::forbidden("user != root@pam"));
    };
    if matches!(open, Some("all" | "world")) {
        return Ok(());
    }
    match &declared.check {
        Some(check) => Check {
            access,
            user,
            params,
        }
        .test(check),
        None => Err(Fail::forbidden("")),
    }
}

/// Whether the caller may change grants at a path.
pub(crate) fn check_perm_modify(access: &Access, user: &str, path: &str) -> Result<(), Fail> {
    let mut privs = vec!["Permissions.Modify"];
    for (stem, more) in [
        ("/storage/", "Datastore.Allocate"),
        ("/vms/", "VM.Allocate"),
        ("/pool/", "Pool.Allocate"),
    ] {
        if path.starts_with(stem) {
            privs.push(more);
        }
    }
    check_any(access, user, path, &privs)
}

/// Refuses unless all privileges are held; the first missing one is named.
pub(crate) fn check_all(
    access: &Access,
    user: &str,
    path: &str,
    privs: &[&str],
) -> Result<(), Fail> {
    let held = access.privileges(user, path);
    match privs.iter().find(|name| !held.contains_key(**name)) {
        Some(missing) => Err(Fail::forbidden(&format!("{path}, {missing}"))),
        None => Ok(()),
    }
}

/// Refuses unless one of the privileges is held.
pub(crate) fn check_any(
    access: &Access,
    user: &str,
    path: &str,
    privs: &[&str],
) -> Result<(), Fail> {
    if access.has(user, path, privs, true) {
        Ok(())
    } else {
        Err(Fail::forbidden(&format!("{path}, {}", privs.join("|"))))
    }
}

struct Check<'a> {
    access: &'a Access,
    user: &'a str,
    params: &'a Params,
}

impl Check<'_> {
    fn test(&self, check: &Value) -> Result<(), Fail> {
        let Some(list) = check.as_array() else {
            return Err(Fail::forbidden(""));
        };
        let rest = &list[list.len().min(1)..];
        match list.first().and_then(Value::as_str) {
            Some("and") => rest.iter().try_for_each(|inner| self.test(inner)),
            Some("or") if rest.iter().any(|inner| self.test(inner).is_ok()) => Ok(()),
            Some("perm") => self.perm(rest),
            Some("perm-modify") => {
                let path = self.fill(rest.first().and_then(Value::as_str).unwrap_or_default());
                match normalize(&path) {
                    Some(path) => check_perm_modify(self.access, self.user, &path),
                    None => Err(Fail::forbidden("")),
                }
            }
            Some("userid-param") => self.userid_param(rest),
            Some("userid-group") => self.userid_group(rest),
            // An unknown test is no permission.
            _ => Err(Fail::forbidden("")),
        }
    }

    fn perm(&self, rest: &[Value]) -> Result<(), Fail> {
        let path = self.fill(rest.first().and_then(Value::as_str).unwrap_or_default());
        let privs: Vec<&str> = rest
            .get(1)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        if let Some(needed) = option(rest, "require_param").and_then(Value::as_str)
            && !self.params.has(needed)
        {
            return Err(Fail::forbidden(""));
        }
        let path = normalize(&path).unwrap_or_default();
        match option(rest, "any") {
            Some(_) => check_any(self.access, self.user, &path, &privs),
            None => check_all(self.access, self.user, &path, &privs),
        }
    }

    fn userid_param(&self, rest: &[Value]) -> Result<(), Fail> {
        let userid = self.params.text("userid").unwrap_or_default();
        match rest.first().and_then(Value::as_str) {
            Some("self") if userid == self.user => Ok(()),
            Some("Realm.AllocateUser") => {
                let realm = userid.rsplit_once('@').map_or("", |(_, realm)| realm);
                check_all(
                    self.access,
                    self.user,
                    &format!("/access/realm/{realm}"),
                    &["Realm.AllocateUser"],
                )
            }
            _ => Err(Fail::forbidden("")),
        }
    }

    fn userid_group(&self, rest: &[Value]) -> Result<(), Fail> {
        let userid = self.params.text("userid").unwrap_or_default();
        let privs: Vec<&str> = rest
            .first()
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let groups_param = option(rest, "groups_param").and_then(Value::as_str);
        let existing = groups_param != Some("create");
        if existing && !self.access.users.contains_key(&userid) {
            return Err(Fail::die(format!("no such user ('{userid}')")));
        }
        if self.access.has(self.user, "/access/groups", &privs, true) {
            return Ok(());
        }
        let allowed = |group: &str| {
            self.access
                .has(self.user, &format!("/access/groups/{group}"), &privs, true)
        };
        if groups_param.is_some() {
            let asked = split_list(&self.params.text("groups").unwrap_or_default());
            if !existing && asked.is_empty() {
                return Err(Fail::forbidden(&format!(
                    "/access/groups, {}",
                    privs.join("|")
                )));
            }
            if let Some(group) = asked.iter().find(|group| !allowed(group)) {
                return Err(Fail::forbidden(&format!(
                    "/access/groups/{group}, {}",
                    privs.join("|")
                )));
            }
        }
        let mine = |(name, group): (&String, &super::access::Group)| {
            allowed(name) && group.users.contains(&userid)
        };
        if existing && !self.access.groups.iter().any(mine) {
            return Err(Fail::forbidden(""));
        }
        Ok(())
    }

    /// `{name}` by the parameter.
    fn fill(&self, template: &str) -> String {
        let mut path = template.to_owned();
        while let Some((before, rest)) = path.split_once('{') {
            let Some((name, after)) = rest.split_once('}') else {
                break;
            };
            path = format!(
                "{before}{}{after}",
                self.params.text(name).unwrap_or_default()
            );
        }
        path
    }
}

/// Options follow the fixed parts as key, value, key, value.
fn option<'a>(rest: &'a [Value], name: &str) -> Option<&'a Value> {
    let at = rest.iter().position(|value| value.as_str() == Some(name))?;
    rest.get(at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Fixture;
    use crate::pve::schema::method;
    use crate::pve::state::seed;

    fn try_call(
        fixture: &str,
        user: &str,
        verb: &str,
        template: &str,
        params: &[(&str, &str)],
    ) -> Result<(), String> {
        let state = seed(&Fixture::parse(fixture).expect("the fixture is good"), 0);
        let declared = method(template, verb)
            .expect("the endpoint is in the table")
            .permissions
            .as_ref();
        let params = Params::from_pairs(params.iter().copied());
        check(&state.access, declared, Some(user), &params).map_err(|fail| fail.line().to_owned())
    }

    const BOB: &str = r#"{"users":[{"userid":"bob@pve"}],"acl":[{"path":"/vms/200","ugid":"bob@pve","roleid":"PVEVMUser"}]}"#;

    #[test]
    fn a_missing_privilege_is_named_with_its_path() {
        let vmid = [("node", "pve1"), ("vmid", "201")];
        let refused = try_call(
            BOB,
            "bob@pve",
            "GET",
            "/nodes/{node}/lxc/{vmid}/config",
            &vmid,
        );
        assert_eq!(
            refused,
            Err("Permission check failed (/vms/201, VM.Audit)".into())
        );
        assert_eq!(
            try_call(
                BOB,
                "bob@pve",
                "GET",
                "/nodes/{node}/lxc/{vmid}/config",
                &[("vmid", "200")]
            ),
            Ok(())
        );
    }

    #[test]
    fn alternatives_are_joined_by_a_bar() {
        let refused = try_call(
            BOB,
            "bob@pve",
            "GET",
            "/nodes/{node}/storage/{storage}/content",
            &[("storage", "local")],
        );
        assert_eq!(
            refused,
            Err(
                "Permission check failed (/storage/local, Datastore.Audit|Datastore.AllocateSpace)"
                    .into()
            )
        );
    }

    #[test]
    fn what_declares_nothing_is_for_root_alone() {
        let refused = try_call(BOB, "bob@pve", "POST", "/nodes/{node}/execute", &[]);
        assert_eq!(
            refused,
            Err("Permission check failed (user != root@pam)".into())
        );
        assert_eq!(
            try_call(BOB, "root@pam", "POST", "/nodes/{node}/execute", &[]),
            Ok(())
        );
        assert!(try_call(BOB, "root@pam!lab", "POST", "/nodes/{node}/execute", &[]).is_err());
    }

    #[test]
    fn a_user_may_read_himself() {
        let path = "/access/users/{userid}/token";
        assert_eq!(
            try_call(BOB, "bob@pve", "GET", path, &[("userid", "bob@pve")]),
            Ok(())
        );
        assert!(try_call(BOB, "bob@pve", "GET", path, &[("userid", "root@pam")]).is_err());
    }
}
