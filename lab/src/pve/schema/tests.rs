use serde_json::{Value, json};

use super::*;
use crate::pve::params::Params;

const LXC: &str = "/nodes/{node}/lxc";
const QEMU: &str = "/nodes/{node}/qemu";

/// The errors of a call with these parameters, besides the node.
fn errors(template: &str, verb: &str, params: Value) -> Value {
    let method = method(template, verb).expect("the endpoint is in the table");
    let mut params = Params::from_map(params.as_object().expect("an object").clone());
    if template.contains("{node}") {
        params.set("node", "pve1");
    }
    coerce(method, &mut params);
    Value::Object(verify(method, &params))
}

/// The error of one option of a new container.
fn option(name: &str, value: &str) -> Option<String> {
    let found = errors(
        LXC,
        "POST",
        json!({"vmid": "100", "ostemplate": "local:vztmpl/a.tar.zst", name: value}),
    );
    found.get(name).and_then(Value::as_str).map(str::to_owned)
}

#[test]
fn the_table_is_whole() {
    assert_eq!(endpoints().count(), 676);
    for (path, verb) in endpoints() {
        let method = method(path, verb).expect("it was listed");
        for (name, property) in method.parameters() {
            assert!(
                property.pattern.is_none() || property.regex().is_some(),
                "{verb} {path} {name}: the pattern does not compile"
            );
        }
    }
}

#[test]
fn all_bad_parameters_are_reported_at_once() {
    let found = errors(
        LXC,
        "POST",
        json!({"vmid": "50", "ostemplate": "x", "memory": "8", "bogus": "1", "hostname": "a_b", "unprivileged": "maybe"}),
    );
    let expected = json!({
        "vmid": "invalid format - value does not look like a valid VM ID\n",
        "memory": "value must have a minimum value of 16",
        "bogus": "property is not defined in schema and the schema does not allow additional properties",
        "hostname": "invalid format - value does not look like a valid DNS name\n",
        "unprivileged": "type check ('boolean') failed - got 'maybe'",
    });
    assert_eq!(found, expected);
}

#[test]
fn what_is_missing_is_named_but_not_what_has_the_wrong_type() {
    assert_eq!(
        errors(LXC, "POST", json!({"vmid": "abc", "ostemplate": "x"})),
        json!({"vmid": "type check ('integer') failed - got 'abc'"})
    );
    let missing = "property is missing and it is not optional";
    assert_eq!(
        errors(LXC, "POST", json!({})),
        json!({"vmid": missing, "ostemplate": missing})
    );
}

#[test]
fn booleans_are_one_and_zero_in_forms_and_true_and_false_in_json() {
    assert_eq!(option("onboot", "1"), None);
    for text in ["true", "yes", "on", "2", ""] {
        assert_eq!(
            option("onboot", text),
            Some(format!("type check ('boolean') failed - got '{text}'"))
        );
    }
    let with = |value: Value| {
        errors(
            LXC,
            "POST",
            json!({"vmid": 100, "ostemplate": "x", "onboot": value}),
        )
    };
    assert_eq!(with(json!(true)), json!({}));
    assert_eq!(with(json!(0)), json!({}));
}

#[test]
fn a_scalar_that_comes_twice_is_no_number() {
    let found = errors(
        LXC,
        "POST",
        json!({"vmid": "100", "ostemplate": "x", "memory": ["512", "600"]}),
    );
    assert_eq!(
        found,
        json!({"memory": "type check ('integer') failed - got ARRAY"})
    );
}

#[test]
fn indexed_options_end_at_their_bound() {
    let net = "name=eth0,bridge=vmbr0";
    assert_eq!(option("net0", net), None);
    assert_eq!(option("net31", net), None);
    for name in ["net32", "net", "net01", "net[n]", "mp256"] {
        assert!(
            option(name, net).is_some_and(|text| text.starts_with("property is not defined")),
            "{name}"
        );
    }
    assert_eq!(
        errors(QEMU, "POST", json!({"vmid": "100", "scsi30": "local:1"})),
        json!({})
    );
    assert!(
        errors(QEMU, "POST", json!({"vmid": "100", "scsi31": "local:1"}))
            .get("scsi31")
            .is_some()
    );
}

#[test]
fn a_property_string_says_which_key_is_wrong() {
    let prefix = "invalid format - format error\n";
    let missing = option("net0", "bridge=vmbr0");
    assert_eq!(
        missing,
        Some(format!(
            "{prefix}net0.name: property is missing and it is not optional\n"
        ))
    );
    let unknown = option("net0", "name=eth0,foo=1").expect("an unknown key is refused");
    assert!(
        unknown.starts_with(&format!(
            "{prefix}net0.foo: property is not defined in schema"
        )),
        "{unknown}"
    );
    let tag = option("net0", "name=eth0,tag=5000").expect("a tag has a maximum");
    assert_eq!(
        tag,
        format!("{prefix}net0.tag: value must have a maximum value of 4094\n")
    );
    let twice = option("net0", "name=eth0,name=eth1");
    assert_eq!(
        twice.as_deref(),
        Some("invalid format - duplicate key in comma-separated list property: name\n")
    );
    assert_eq!(option("net0", "name=eth0,firewall=yes,ip=dhcp"), None);
    assert_eq!(option("features", "nesting=on,keyctl=false"), None);
}

#[test]
fn formats_have_the_official_texts() {
    let lxc = "/nodes/{node}/lxc/{vmid}/snapshot";
    let name = |text: &str| {
        errors(lxc, "POST", json!({"vmid": "100", "snapname": text}))
            .get("snapname")
            .cloned()
    };
    assert_eq!(name("ab"), None);
    assert_eq!(
        name("1bad"),
        Some("invalid format - invalid configuration ID '1bad'\n".into())
    );
    assert_eq!(
        name(&"a".repeat(41)),
        Some("value may only be 40 characters long".into())
    );
    assert_eq!(
        option("password", "abc").as_deref(),
        Some("value must be at least 5 characters long")
    );
    assert_eq!(
        option("net0", "name=eth0,hwaddr=01:00:00:00:00:00").as_deref(),
        Some(
            "invalid format - format error\nnet0.hwaddr: invalid format - value is not a unicast MAC address\n\n"
        )
    );
    let keys = errors(
        QEMU,
        "POST",
        json!({"vmid": "100", "sshkeys": "ssh-ed25519 AAAA"}),
    );
    assert_eq!(
        keys["sshkeys"],
        "invalid format - invalid urlencoded string: ssh-ed25519 AAAA\n"
    );
    let resize = errors(
        "/nodes/{node}/lxc/{vmid}/resize",
        "PUT",
        json!({"vmid": "100", "disk": "rootfs", "size": "big"}),
    );
    assert_eq!(
        resize,
        json!({"size": "value does not match the regex pattern"})
    );
    let kind = errors("/cluster/resources", "GET", json!({"type": "zzz"}));
    assert_eq!(
        kind,
        json!({"type": "value 'zzz' does not have a value in the enumeration 'vm, storage, node, sdn'"})
    );
}

#[test]
fn a_parameter_may_require_another() {
    let url = "/nodes/{node}/storage/{storage}/download-url";
    let params = json!({"storage": "local", "url": "http://x/y", "content": "iso", "filename": "y.iso", "checksum": "00"});
    assert_eq!(
        errors(url, "POST", params),
        json!({"checksum-algorithm": "missing property required by 'checksum'"})
    );
}

#[test]
fn lists_are_made_of_arrays_and_arrays_of_single_values() {
    let exec = "/nodes/{node}/qemu/{vmid}/agent/exec";
    assert_eq!(
        errors(exec, "POST", json!({"vmid": "100", "command": "ls"})),
        json!({})
    );
    assert_eq!(
        errors(
            "/nodes/{node}/lxc/{vmid}/config",
            "PUT",
            json!({"vmid": "100", "delete": ["tags", "description"]})
        ),
        json!({})
    );
}

#[test]
fn a_property_string_prints_its_leading_keys_first() {
    let net = keys_of(
        method(LXC, "POST")
            .and_then(|method| method.parameter("net0"))
            .expect("it is there"),
    )
    .expect("it has keys");
    let values = parse_property_string(net, "ip=dhcp,bridge=vmbr0,name=eth0,type=veth", "net0")
        .expect("it is good");
    assert_eq!(
        print_property_string(net, &values),
        "name=eth0,bridge=vmbr0,ip=dhcp,type=veth"
    );
    let nic = keys_of(
        method(QEMU, "POST")
            .and_then(|method| method.parameter("net0"))
            .expect("it is there"),
    )
    .expect("it has keys");
    let values = parse_property_string(nic, "bridge=vmbr0,virtio=BC:24:11:00:00:01", "net0")
        .expect("an alias is a key");
    assert_eq!(
        print_property_string(nic, &values),
        "virtio=BC:24:11:00:00:01,bridge=vmbr0"
    );
}

#[test]
fn a_volume_in_a_path_takes_the_rest_of_it() {
    let parts = [
        "nodes",
        "pve1",
        "storage",
        "local",
        "content",
        "local:vztmpl",
        "a.tar.zst",
    ];
    let found = find(&parts).expect("it is a path of the API");
    assert_eq!(
        found.template,
        "/nodes/{node}/storage/{storage}/content/{volume}"
    );
    assert_eq!(
        found.bound.last().map(|(_, value)| value.as_str()),
        Some("local:vztmpl/a.tar.zst")
    );
    assert!(find(&["nosuch"]).is_none() && find(&["nodes", "pve1", "nosuch"]).is_none());
}
