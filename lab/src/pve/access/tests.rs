use super::*;

fn world() -> Access {
    let mut access = Access {
        roles: builtin_roles(),
        ..Access::default()
    };
    let token = Token {
        privsep: true,
        ..Token::default()
    };
    let full = Token {
        privsep: false,
        ..Token::default()
    };
    let tokens = BTreeMap::from([("sep".to_owned(), token), ("full".to_owned(), full)]);
    access.users.insert(
        "bob@pve".into(),
        User {
            enable: true,
            tokens,
            ..User::default()
        },
    );
    access.groups.insert(
        "ops".into(),
        Group {
            users: BTreeSet::from(["bob@pve".to_owned()]),
            ..Group::default()
        },
    );
    access
}

fn grant(access: &mut Access, path: &str, ugid: &str, role: &str, propagate: bool) {
    let kind = if ugid.contains('!') {
        Grantee::Token
    } else if ugid.contains('@') {
        Grantee::User
    } else {
        Grantee::Group
    };
    access.grants.push(Grant {
        path: path.into(),
        kind,
        ugid: ugid.into(),
        role: role.into(),
        propagate,
    });
}

#[test]
fn a_grant_holds_below_its_path_only_if_it_propagates() {
    let mut access = world();
    grant(&mut access, "/vms", "bob@pve", "PVEVMUser", false);
    assert!(access.has("bob@pve", "/vms", &["VM.Audit"], false));
    assert!(!access.has("bob@pve", "/vms/100", &["VM.Audit"], false));
    access.grants[0].propagate = true;
    assert!(access.has("bob@pve", "/vms/100", &["VM.Audit"], false));
}

#[test]
fn a_nearer_grant_replaces_a_farther_one() {
    let mut access = world();
    grant(&mut access, "/", "bob@pve", "PVEVMAdmin", true);
    grant(&mut access, "/vms/100", "bob@pve", "PVEAuditor", true);
    assert!(access.has("bob@pve", "/vms/101", &["VM.PowerMgmt"], false));
    assert!(!access.has("bob@pve", "/vms/100", &["VM.PowerMgmt"], false));
    grant(&mut access, "/vms/101", "bob@pve", "NoAccess", true);
    assert!(access.privileges("bob@pve", "/vms/101").is_empty());
}

#[test]
fn a_users_own_grant_replaces_the_groups() {
    let mut access = world();
    grant(&mut access, "/vms/100", "ops", "PVEVMAdmin", true);
    assert!(access.has("bob@pve", "/vms/100", &["VM.Allocate"], false));
    grant(&mut access, "/vms/100", "bob@pve", "PVEVMUser", true);
    assert!(!access.has("bob@pve", "/vms/100", &["VM.Allocate"], false));
}

#[test]
fn a_separated_token_needs_the_right_as_well_as_its_user() {
    let mut access = world();
    grant(&mut access, "/vms/100", "bob@pve!sep", "PVEVMUser", true);
    assert!(!access.has("bob@pve!sep", "/vms/100", &["VM.Audit"], false));
    grant(&mut access, "/vms/100", "bob@pve", "PVEVMUser", true);
    assert!(access.has("bob@pve!sep", "/vms/100", &["VM.Audit"], false));
    assert!(access.has("bob@pve!full", "/vms/100", &["VM.Audit"], false));
    assert!(access.privileges("bob@pve!gone", "/vms/100").is_empty());
}

#[test]
fn a_pools_roles_hold_for_its_members() {
    let mut access = world();
    grant(&mut access, "/pool/labs", "bob@pve", "PVEVMUser", true);
    access.pools.insert(
        "labs".into(),
        Pool {
            vms: BTreeSet::from([130]),
            ..Pool::default()
        },
    );
    assert!(access.has("bob@pve", "/vms/130", &["VM.PowerMgmt"], false));
    assert!(!access.has("bob@pve", "/vms/131", &["VM.PowerMgmt"], false));
}
