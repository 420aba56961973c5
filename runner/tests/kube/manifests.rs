//! What stands in a step: YAML first, then values.

use runbook::outcome::State;
use serde_json::json;

use crate::cluster::{Home, config_map, on, yaml};

#[test]
fn values_are_rendered_after_the_yaml_was_read_and_keys_are_not() {
    let home = Home::new();
    let body = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: motd}\ndata:\n  text: '{{ vars.image }}: yes'\n  lines: |\n    count={{ vars.count }}\n  go: '{{ .Values.x }}'\n";
    let ran = home.book(&yaml("motd", "", body)).run();
    assert_eq!(ran.state("motd"), State::Passed, "{}", ran.why("motd"));
    let map = home.object("ConfigMap", "default", "motd").unwrap();
    assert_eq!(
        map["data"],
        json!({"text": "nginx:1.27: yes", "lines": "count=2\n", "go": "{{ .Values.x }}"})
    );
}

#[test]
fn a_value_that_is_one_template_keeps_its_type() {
    let home = Home::new();
    let body =
        crate::cluster::deployment("web").replace("replicas: 1", "replicas: '{{ vars.count }}'");
    let ran = home.book(&yaml("web", "", &body)).run();
    assert_eq!(ran.state("web"), State::Passed, "{}", ran.why("web"));
    assert_eq!(
        home.object("Deployment", "default", "web").unwrap()["spec"]["replicas"],
        2
    );
}

#[test]
fn template_off_leaves_the_body_alone() {
    let home = Home::new();
    let ran = home
        .book(&yaml(
            "motd",
            "template: 'off'",
            &config_map("motd", "'{{ vars.count }}'"),
        ))
        .run();
    assert_eq!(ran.state("motd"), State::Passed, "{}", ran.why("motd"));
    let map = home.object("ConfigMap", "default", "motd").unwrap();
    assert_eq!(map["data"]["text"], "{{ vars.count }}");
}

#[test]
fn a_typed_step_takes_its_manifest_as_text() {
    let home = Home::new();
    let steps = on(
        "motd",
        "apply:\n  manifest: |\n    apiVersion: v1\n    kind: ConfigMap\n    metadata: {name: motd}\n    data: {text: '{{ vars.image }}'}",
    );
    let ran = home.book(&steps).run();
    assert_eq!(ran.state("motd"), State::Passed, "{}", ran.why("motd"));
    assert_eq!(
        home.object("ConfigMap", "default", "motd").unwrap()["data"]["text"],
        "nginx:1.27"
    );
}

#[test]
fn what_is_no_object_is_told_with_its_line() {
    let home = Home::new();
    let body = format!(
        "{}---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{labels: {{a: b}}}}\n",
        config_map("motd", "x")
    );
    let ran = home.book(&yaml("motd", "", &body)).run();
    assert_eq!(ran.state("motd"), State::Failed);
    assert_eq!(
        ran.why("motd"),
        "src/a.md:11: a ConfigMap without `metadata.name`"
    );
    assert_eq!(home.object("ConfigMap", "default", "motd"), None);
}

#[test]
fn file_modes_are_octal() {
    let home = Home::new();
    let body = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers: [{name: a, image: a, volumeMounts: [{name: v, mountPath: /v}]}]\n  volumes: [{name: v, configMap: {name: motd, defaultMode: 0440, optional: true}}]";
    let ran = home.book(&yaml("pod", "", body)).run();
    assert_eq!(ran.state("pod"), State::Passed, "{}", ran.why("pod"));
    let pod = home.object("Pod", "default", "a").unwrap();
    let volumes = pod["spec"]["volumes"].as_array().unwrap();
    assert!(
        volumes
            .iter()
            .any(|one| one["configMap"]["defaultMode"] == 0o440),
        "{volumes:?}"
    );
}

#[test]
fn a_directory_is_built_with_kustomize_and_its_base_may_lie_beside_it() {
    let home = Home::new();
    let steps = on("app", "apply: {kustomize: app/home}\nexpect: {count: 2}");
    let book = home
        .book(&steps)
        .file("src/app/base/kustomization.yaml", "resources: [deployment.yaml]\n")
        .file("src/app/base/deployment.yaml", &crate::cluster::deployment("web"))
        // Nothing else of the repository is read.
        .file("src/app/other/kustomization.yaml", "{{ no YAML")
        .file(
            "src/app/home/kustomization.yaml",
            "resources: [../base]\nnamePrefix: my-\nconfigMapGenerator: [{name: settings, literals: [a=b]}]\nimages: [{name: nginx, newTag: '1.28'}]\n",
        );
    let ran = book.run();
    assert_eq!(ran.state("app"), State::Passed, "{}", ran.why("app"));
    let fingerprint = ran.step("app").fingerprint.clone();
    let web = home.object("Deployment", "default", "my-web").unwrap();
    assert_eq!(
        web["spec"]["template"]["spec"]["containers"][0]["image"],
        "nginx:1.28"
    );
    // As `kubectl kustomize` names it.
    assert!(
        home.object("ConfigMap", "default", "my-settings-4h2mbtbbt6")
            .is_some()
    );

    // Its result is of all the files that it was built from.
    assert_eq!(book.run().step("app").fingerprint, fingerprint);
    let book = book.file(
        "src/app/base/deployment.yaml",
        &crate::cluster::deployment("app"),
    );
    assert_ne!(book.run().step("app").fingerprint, fingerprint);

    let book = home
        .book(&steps)
        .file("src/app/home/kustomization.yaml", "helmCharts: []\n");
    let ran = book.run();
    assert_eq!(ran.state("app"), State::Failed);
    assert!(
        ran.why("app")
            .contains("`helmCharts` of a kustomization is not known here"),
        "{}",
        ran.why("app")
    );
}
