//! Which rights a call of the API needs that is written out: `proxmox`.
//!
//! What the official schema declares for its path and method, and what making, configuring, copying and saving guests checks
//! beside it. Pure. What is not known (a choice between objects, a caller's own account, a path that does not exist) is not
//! claimed: the server says it when it is called.

use runbook::inventory::GuestKind;
use runbook_lab::pve::schema;
use runbook_proxmox::access::Need;
use serde_json::Value;

use super::call::Call;
use super::guest::keys::{Wanted, is_disk, is_numbered};
use super::needs::{Needs, one};
use super::pairs::Pairs;

/// Parameters of calls about guests that are no key of a configuration.
const NO_KEYS: [&str; 25] = [
    "archive",
    "background_delay",
    "bwlimit",
    "delete",
    "digest",
    "force",
    "ha-managed",
    "hookscript",
    "ignore-unpack-errors",
    "import-working-storage",
    "live-restore",
    "node",
    "ostemplate",
    "password",
    "pool",
    "restore",
    "revert",
    "skiplock",
    "ssh-public-keys",
    "start",
    "storage",
    "unique",
    "unprivileged",
    "vmid",
    "lock",
];

/// What a call needs, as far as it is known before it is made.
pub fn call(call: &Call) -> Vec<Need> {
    let path = call.below();
    // A part that is escaped is compared with nothing.
    let Some(declared) = schema::declared(&call.method, path).filter(|_| !path.contains('%'))
    else {
        return Vec::new();
    };
    let asked = Asked {
        call,
        bound: &declared.bound,
    };
    let mut needs = Needs::new(String::new());
    match (call.method.as_str(), declared.template) {
        ("POST", "/nodes/{node}/lxc") => asked.created(GuestKind::Lxc, &mut needs),
        ("POST", "/nodes/{node}/qemu") => asked.created(GuestKind::Vm, &mut needs),
        ("PUT", "/nodes/{node}/lxc/{vmid}/config") => asked.set(GuestKind::Lxc, &mut needs),
        ("PUT" | "POST", "/nodes/{node}/qemu/{vmid}/config") => {
            asked.set(GuestKind::Vm, &mut needs);
        }
        ("POST", "/nodes/{node}/vzdump") => asked.saved(&mut needs),
        ("POST", "/nodes/{node}/lxc/{vmid}/clone" | "/nodes/{node}/qemu/{vmid}/clone") => {
            if let Some(storage) = asked.value("storage") {
                needs.space(&storage);
            }
        }
        _ => {}
    }
    let is_set = call.method != "GET" && declared.template.ends_with("/config");
    // Setting is declared as "one of all"; what the keys need says more.
    if let Some(check) = declared.check
        && (!is_set || needs.list.is_empty())
    {
        asked.declared(check, &mut needs);
    }
    needs.list
}

struct Asked<'a> {
    call: &'a Call,
    bound: &'a [(&'static str, String)],
}

impl Asked<'_> {
    /// What stands for a name: a part of the path, or a parameter.
    fn value(&self, name: &str) -> Option<String> {
        let bound = self.bound.iter().find(|(known, _)| *known == name);
        let bound = bound.map(|(_, value)| value.clone());
        let given = self.call.params.iter().find(|(known, _)| known == name);
        bound
            .or_else(|| plain(&given?.1))
            .filter(|value| !value.is_empty())
    }

    /// The words of a parameter that is a list.
    fn words(&self, name: &str) -> Vec<String> {
        let text = self.value(name).unwrap_or_default();
        let words = text.split([',', ';', ' ', '\0']);
        words
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// A path with its placeholders filled in; none where a value is not given.
    fn fill(&self, template: &str) -> Option<String> {
        let mut path = template.to_owned();
        while let Some((before, rest)) = path.split_once('{') {
            let (name, after) = rest.split_once('}')?;
            path = format!("{before}{}{after}", self.value(name)?);
        }
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        Some(format!("/{}", parts.join("/")))
    }

    fn declared(&self, check: &Value, needs: &mut Needs) {
        let Some((word, rest)) = parts(check) else {
            return;
        };
        match word {
            "and" => rest.iter().for_each(|inner| self.declared(inner, needs)),
            "or" => self.either(rest, needs),
            "perm" => {
                let Some((path, privileges, is_any)) = self.perm(rest) else {
                    return;
                };
                match is_any {
                    true => needs.on(path, &privileges),
                    false => privileges
                        .iter()
                        .for_each(|one| needs.on(path.clone(), &[*one])),
                }
            }
            "perm-modify" => {
                let path = rest.first().and_then(Value::as_str);
                let Some(path) = path.and_then(|path| self.fill(path)) else {
                    return;
                };
                let mut privileges = vec!["Permissions.Modify"];
                for (stem, more) in [
                    ("/storage/", "Datastore.Allocate"),
                    ("/vms/", "VM.Allocate"),
                    ("/pool/", "Pool.Allocate"),
                ] {
                    privileges.extend(path.starts_with(stem).then_some(more));
                }
                needs.on(path, &privileges);
            }
            _ => {}
        }
    }

    /// One of several: claimed where they are of one object.
    fn either(&self, all: &[Value], needs: &mut Needs) {
        let mut object = None;
        let mut privileges = Vec::new();
        for one in all {
            let Some(("perm", rest)) = parts(one) else {
                return;
            };
            if let Some(needed) = option(rest, "require_param").and_then(Value::as_str)
                && self.value(needed).is_none()
            {
                // This way is not open to this call.
                continue;
            }
            let Some((path, named, is_any)) = self.perm(rest) else {
                return;
            };
            let path = match (path.as_str(), named.as_slice()) {
                // As for `image`: who may do it on all is told as one of its node.
                ("/", ["Sys.Audit", "Sys.Modify"]) => {
                    privileges.push("Sys.Modify");
                    continue;
                }
                _ => path,
            };
            if object.as_ref().is_some_and(|known| *known != path) || named.len() > 1 && !is_any {
                return;
            }
            object = Some(path);
            privileges.extend(named);
        }
        privileges.sort_unstable();
        privileges.dedup();
        if let Some(path) = object.filter(|_| !privileges.is_empty()) {
            needs.on(path, &privileges);
        }
    }

    fn perm<'v>(&self, rest: &'v [Value]) -> Option<(String, Vec<&'v str>, bool)> {
        let path = self.fill(rest.first()?.as_str()?)?;
        let privileges = rest.get(1)?.as_array()?.iter().filter_map(Value::as_str);
        Some((path, privileges.collect(), option(rest, "any").is_some()))
    }

    /// Making a guest. In a pool the rights on the pool count too: then nothing is claimed of the guest itself.
    fn created(&self, kind: GuestKind, needs: &mut Needs) {
        if let Some(storage) = self.value("storage") {
            needs.space(&storage);
        }
        let template = self.value("ostemplate");
        if let Some((storage, _)) = template.as_deref().and_then(|it| it.split_once(':')) {
            needs.on(
                format!("/storage/{storage}"),
                &["Datastore.AllocateSpace", "Datastore.Audit"],
            );
        }
        let restores = self.value("restore").is_some() || self.value("archive").is_some();
        if self.value("pool").is_some() || restores {
            return;
        }
        let Some(vmid) = self.value("vmid") else {
            return;
        };
        needs.on(format!("/vms/{vmid}"), &["VM.Allocate"]);
        self.keys(kind, &vmid, needs);
    }

    /// Setting keys of a guest.
    fn set(&self, kind: GuestKind, needs: &mut Needs) {
        let Some(vmid) = self.value("vmid") else {
            return;
        };
        self.keys(kind, &vmid, needs);
        for key in self.words("delete") {
            // What a drive of a virtual machine holds decides.
            if kind == GuestKind::Lxc || !is_disk(&key) {
                own(needs, &vmid, |needs| {
                    one(kind, &key, &Wanted::Absent, needs);
                });
            }
        }
    }

    fn keys(&self, kind: GuestKind, vmid: &str, needs: &mut Needs) {
        for (key, value) in &self.call.params {
            let Some(text) = plain(value).filter(|_| !NO_KEYS.contains(&key.as_str())) else {
                continue;
            };
            let is_device = ["dev", "parallel"]
                .iter()
                .any(|word| is_numbered(key, word));
            // These are root's own.
            if is_device || ["args", "lxc"].contains(&key.as_str()) {
                continue;
            }
            let media = Pairs::parse(&text).get("media") == Some("cdrom");
            if kind == GuestKind::Vm && media && !text.contains(":cloudinit") {
                needs.on(format!("/vms/{vmid}"), &["VM.Config.CDROM"]);
                continue;
            }
            let wanted = Wanted::raw(key, &text, kind == GuestKind::Vm);
            own(needs, vmid, |needs| one(kind, key, &wanted, needs));
        }
    }

    /// Saving guests.
    fn saved(&self, needs: &mut Needs) {
        for vmid in self.words("vmid") {
            needs.on(format!("/vms/{vmid}"), &["VM.Backup"]);
        }
        if let Some(storage) = self.value("storage") {
            needs.space(&storage);
        }
    }
}

/// What is found of a guest, into the needs of the call.
fn own(needs: &mut Needs, vmid: &str, find: impl FnOnce(&mut Needs)) {
    let mut found = Needs::new(format!("/vms/{vmid}"));
    find(&mut found);
    for need in found.list {
        if !needs.list.contains(&need) {
            needs.list.push(need);
        }
    }
}

fn parts(check: &Value) -> Option<(&str, &[Value])> {
    let (first, rest) = check.as_array()?.split_first()?;
    Some((first.as_str()?, rest))
}

/// Options follow the fixed parts as key, value, key, value.
fn option<'a>(rest: &'a [Value], name: &str) -> Option<&'a Value> {
    let at = rest.iter().position(|value| value.as_str() == Some(name))?;
    rest.get(at + 1)
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(on) => Some(u8::from(*on).to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().filter_map(plain).collect();
            Some(items.join(","))
        }
        Value::Null | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn needs(method: &str, path: &str, params: Value) -> Vec<String> {
        let params = params.as_object().cloned().unwrap_or_default();
        let asked = Call {
            path: path.into(),
            method: method.into(),
            params: params.into_iter().collect(),
        };
        let mut all: Vec<String> = call(&asked)
            .iter()
            .map(|need| format!("{} {}", need.path, need.any_of.join("|")))
            .collect();
        all.sort();
        all
    }

    #[test]
    fn what_the_schema_declares_is_needed_where_the_call_says_it() {
        let start = "/api2/json/nodes/pve1/lxc/130/status/start";
        assert_eq!(needs("POST", start, json!({})), ["/vms/130 VM.PowerMgmt"]);
        assert_eq!(
            needs("GET", "/nodes/pve1/status", json!({})),
            ["/nodes/pve1 Sys.Audit"]
        );
        assert_eq!(
            needs("GET", "/nodes/pve1/storage/local/content", json!({})),
            ["/storage/local Datastore.Audit|Datastore.AllocateSpace"]
        );
        assert_eq!(
            needs(
                "PUT",
                "/access/acl",
                json!({"path": "/vms/130", "roles": "PVEAuditor"})
            ),
            ["/vms/130 Permissions.Modify|VM.Allocate"]
        );
        assert_eq!(
            needs("GET", "/cluster/mapping/pci/gpu0", json!({})),
            ["/mapping/pci/gpu0 Mapping.Audit|Mapping.Modify|Mapping.Use"]
        );
    }

    #[test]
    fn a_way_that_the_call_does_not_take_is_none() {
        let clone = "/nodes/pve1/qemu/200/clone";
        assert_eq!(
            needs("POST", clone, json!({"newid": 201, "storage": "fast"})),
            [
                "/storage/fast Datastore.AllocateSpace",
                "/vms/200 VM.Clone",
                "/vms/201 VM.Allocate"
            ]
        );
        // Rights on the pool would do as well.
        assert_eq!(
            needs("POST", clone, json!({"newid": 201, "pool": "lab"})),
            ["/vms/200 VM.Clone"]
        );
        assert_eq!(
            needs(
                "POST",
                "/nodes/pve1/storage/local/download-url",
                json!({"url": "https://x"})
            ),
            [
                "/nodes/pve1 Sys.AccessNetwork|Sys.Modify",
                "/storage/local Datastore.AllocateTemplate"
            ]
        );
    }

    #[test]
    fn the_keys_of_a_guest_need_what_they_need_in_its_own_action() {
        let config = "/nodes/pve1/lxc/130/config";
        assert_eq!(
            needs(
                "PUT",
                config,
                json!({"cores": 2, "mp0": "fast:8,mp=/srv", "delete": "nameserver,onboot", "digest": "x"})
            ),
            [
                "/storage/fast Datastore.AllocateSpace",
                "/vms/130 VM.Config.CPU",
                "/vms/130 VM.Config.Disk",
                "/vms/130 VM.Config.Network",
                "/vms/130 VM.Config.Options"
            ]
        );
        assert_eq!(
            needs(
                "PUT",
                "/nodes/pve1/qemu/200/config",
                json!({"ide2": "local:iso/x.iso,media=cdrom", "hostpci0": "mapping=gpu0,pcie=1"})
            ),
            [
                "/mapping/pci/gpu0 Mapping.Use",
                "/vms/200 VM.Config.CDROM",
                "/vms/200 VM.Config.HWType"
            ]
        );
        // Nothing is known of what is set: one of all is declared.
        let any = needs(
            "PUT",
            "/nodes/pve1/qemu/200/config",
            json!({"revert": "memory"}),
        );
        assert!(
            any.len() == 1 && any[0].contains("VM.Config.Disk|VM.Config.CDROM|"),
            "{any:?}"
        );
    }

    #[test]
    fn what_is_made_or_saved_needs_its_number_and_its_storage() {
        assert_eq!(
            needs(
                "POST",
                "/nodes/pve1/lxc",
                json!({"vmid": 131, "ostemplate": "local:vztmpl/x.tar.zst", "rootfs": "fast:8", "net0": "name=eth0,bridge=vmbr0"})
            ),
            [
                "/sdn/zones/localnetwork/vmbr0 SDN.Use",
                "/storage/fast Datastore.AllocateSpace",
                "/storage/local Datastore.AllocateSpace|Datastore.Audit",
                "/vms/131 VM.Allocate",
                "/vms/131 VM.Config.Disk",
                "/vms/131 VM.Config.Network"
            ]
        );
        assert_eq!(
            needs(
                "POST",
                "/nodes/pve1/vzdump",
                json!({"vmid": "130,200", "storage": "nas"})
            ),
            [
                "/storage/nas Datastore.AllocateSpace",
                "/vms/130 VM.Backup",
                "/vms/200 VM.Backup"
            ]
        );
    }

    #[test]
    fn what_is_not_known_is_not_claimed() {
        for (method, path) in [
            ("GET", "/version"),
            ("GET", "/nodes"),
            ("GET", "/no/such/path"),
            ("PATCH", "/nodes/pve1/status"),
            ("GET", "/access/users/book@pve/token"),
            ("GET", "/nodes/pve%31/status"),
            ("POST", "/nodes/pve1/execute"),
        ] {
            assert!(needs(method, path, json!({})).is_empty(), "{method} {path}");
        }
    }
}
