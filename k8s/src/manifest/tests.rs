use super::*;
use serde_json::json;

fn values(manifest: &str) -> Vec<Value> {
    let objects = parse(manifest).unwrap_or_else(|error| panic!("{error}"));
    objects.into_iter().map(|object| object.value).collect()
}

fn error(manifest: &str) -> String {
    parse(manifest).expect_err("an error").to_string()
}

#[test]
fn documents_keep_their_number_and_line() {
    let manifest = "# a comment\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---\n# nothing\n---\n\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n";
    let objects = parse(manifest).expect("readable");
    let places: Vec<_> = objects
        .iter()
        .map(|object| (object.kind(), object.place.document, object.place.line))
        .collect();
    assert_eq!(places, [("Namespace", 1, 3), ("ConfigMap", 3, 10)]);
}

#[test]
fn lists_are_their_items() {
    let manifest = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n- apiVersion: v1\n  kind: SecretList\n  items: [{metadata: {name: b}}]\n";
    let found: Vec<_> = parse(manifest)
        .expect("readable")
        .iter()
        .map(|object| object.key().to_string())
        .collect();
    assert_eq!(found, ["ConfigMap a", "Secret b"]);
    assert_eq!(
        values("{apiVersion: v1, kind: List, items: []}"),
        Vec::<Value>::new()
    );
}

#[test]
fn json_is_read_too() {
    let manifest = r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"x": "1"}}"#;
    assert_eq!(values(manifest)[0]["data"], json!({"x": "1"}));
}

#[test]
fn what_is_no_object_is_refused_with_its_place() {
    assert_eq!(
        error("- a\n"),
        "document 1, line 1: an object is a map with `apiVersion`, `kind` and `metadata`"
    );
    assert_eq!(
        error(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\n\napiVersion: v1\nmetadata: {name: b}\n"
        ),
        "document 2, line 6: `kind` is missing"
    );
    assert_eq!(
        error("kind: ConfigMap\nmetadata: {name: a}\n"),
        "document 1, line 1: `apiVersion` is missing"
    );
    assert_eq!(
        error("apiVersion: 1\nkind: X\nmetadata: {name: a}\n"),
        "document 1, line 1: `apiVersion` is a text, not `1`"
    );
    assert_eq!(
        error("apiVersion: v1\nkind: Pod\nmetadata: {}\n"),
        "document 1, line 1: a Pod without `metadata.name`"
    );
    assert_eq!(
        error("apiVersion: v1\nkind: Pod\nmetadata: {name: 12}\n"),
        "document 1, line 1: `metadata.name` is a text, not `12`: quote it"
    );
    assert!(
        error("apiVersion: v1\nkind: Pod\nmetadata: {generateName: a-}\n")
            .contains("give it a `name`")
    );
}

#[test]
fn the_same_object_twice_is_refused_whatever_its_version() {
    let manifest = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a, namespace: n}\n---\napiVersion: apps/v1beta1\nkind: Deployment\nmetadata: {name: a, namespace: n}\n";
    assert_eq!(
        error(manifest),
        "document 2, line 5: Deployment n/a stands here again: document 1, line 1 has it"
    );
}

#[test]
fn no_yaml_is_refused_with_its_line() {
    let text = error("apiVersion: v1\nkind: [a\n---\n");
    assert!(
        text.starts_with("document 1, line ") && text.contains("this is no YAML"),
        "{text}"
    );
    assert!(error("a: 1\na: 2\n").contains("`a` stands twice"));
}

#[test]
fn scalars_are_yaml_1_2_but_octal_as_kubectl_reads_it() {
    let check =
        |text: &str, expected: Value| assert_eq!(yaml::plain(text), Some(expected), "{text}");
    check("0644", json!(420));
    check("0o644", json!(420));
    check("0x1F", json!(31));
    check("0899", json!(899));
    check("-7", json!(-7));
    check("+7", json!(7));
    check("1.10", json!(1.1));
    check("1e3", json!(1000.0));
    check("18446744073709551615", json!(u64::MAX));
    for word in [
        "yes",
        "no",
        "on",
        "off",
        "y",
        "1.2.3",
        "1Gi",
        "100m",
        "-",
        "2026-11-30",
        "12:30",
        "-a",
        "0x",
        ".",
    ] {
        check(word, json!(word));
    }
    check("true", json!(true));
    check("~", Value::Null);
    assert_eq!(yaml::plain(".nan"), None);
}

#[test]
fn quoted_and_block_texts_stay_texts() {
    let manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  a: '0644'\n  b: \"true\"\n  c: |\n    12\n  d: !!str 12\n";
    assert_eq!(
        values(manifest)[0]["data"],
        json!({"a": "0644", "b": "true", "c": "12\n", "d": "12"})
    );
}

#[test]
fn anchors_and_merge_keys_are_resolved() {
    let manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: &l {app: x, tier: y}, annotations: *l}\ndata: {<<: *l, app: z}\n";
    let value = &values(manifest)[0];
    assert_eq!(
        value["metadata"]["annotations"],
        json!({"app": "x", "tier": "y"})
    );
    assert_eq!(value["data"], json!({"app": "z", "tier": "y"}));
}

#[test]
fn aliases_cannot_grow_without_end() {
    let mut manifest = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let last = format!("*a{}, ", level - 1).repeat(10);
        manifest.push_str(&format!("a{level}: &a{level} [{last}]\n"));
    }
    assert!(error(&manifest).contains("more than 2000000 values"));
    assert!(error(&"[".repeat(500)).contains("line 1"));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[-a-z0-9:{}\\[\\], \n'\"&*!|>#%]{0,80}") {
        let _ = parse(&text);
    }
}
