//! `ready`: awaited, strict, and never about nothing.

use runbook::outcome::State;
use runbook_lab::kube::Settings;

use crate::cluster::{Home, deployment, on, yaml};

#[test]
fn ready_waits_by_name_by_selector_and_by_manifest() {
    let home = Home::new();
    let steps = [
        yaml("web", "", &deployment("web")),
        on("name", "ready: {kind: Deployment, name: web}\nexpect: {ready: true, condition: {Available: True}}"),
        on("selector", "ready: {kind: Pod, selector: app=web}\nexpect: {count: 1, json: {'$.items[*].kind': [Pod]}}"),
        yaml("manifest", "ready: {}", &deployment("web")),
    ]
    .concat();
    let ran = home.book(&steps).run();
    for step in ["web", "name", "selector", "manifest"] {
        assert_eq!(ran.state(step), State::Passed, "{step}: {}", ran.why(step));
    }
    let ran = home.observed(&steps).run();
    for step in ["web", "name", "selector", "manifest"] {
        assert_eq!(ran.state(step), State::Passed, "{step}: {}", ran.why(step));
    }
}

#[test]
fn a_field_selector_beside_a_name_counts_too() {
    let home = Home::new();
    let get = |id: &str, other: &str| {
        let fields = format!("metadata.name={other}");
        let get = format!("get: {{kind: Namespace, name: default, field-selector: {fields}}}");
        on(id, &format!("needs: []\n{get}"))
    };
    let ran = home
        .book(&(get("it", "default") + &get("other", "kube-system")))
        .run();
    assert_eq!(ran.state("it"), State::Passed, "{}", ran.why("it"));
    assert_eq!(ran.state("other"), State::Failed);
    assert_eq!(
        ran.why("other"),
        "namespaces \"default\" with metadata.name=kube-system not found"
    );
}

#[test]
fn nothing_found_is_not_ready() {
    let home = Home::new();
    let steps = on(
        "pods",
        "ready: {kind: Pod, selector: app=none}\ntimeout: 1s",
    ) + &on("one", "ready: {kind: Deployment, name: none}\ntimeout: 1s");
    let ran = home.book(&steps).run();
    assert_eq!(ran.state("pods"), State::TimedOut);
    assert!(
        ran.why("pods").contains("nothing is found"),
        "{}",
        ran.why("pods")
    );
    let ran = home
        .book(&on(
            "one",
            "ready: {kind: Deployment, name: none}\ntimeout: 1s",
        ))
        .run();
    assert_eq!(ran.state("one"), State::TimedOut);
    assert!(
        ran.why("one")
            .contains("Deployment default/none is NotFound"),
        "{}",
        ran.why("one")
    );
}

#[test]
fn a_load_balancer_without_an_address_is_ready_only_when_that_is_not_asked() {
    let home = Home::new();
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 80}]}";
    let steps = yaml("service", "", service)
        + &on("loose", "ready: {kind: Service, name: web, strict: false}")
        + &on("strict", "ready: {kind: Service, name: web}\ntimeout: 1s");
    let ran = home.book(&steps).run();
    assert_eq!(ran.state("loose"), State::Passed, "{}", ran.why("loose"));
    assert_eq!(ran.state("strict"), State::TimedOut);

    let home = Home::with(Settings {
        load_balancers: Some("192.168.4.80-192.168.4.81".into()),
        ..Settings::default()
    });
    let ran = home.book(&steps).run();
    assert_eq!(ran.state("strict"), State::Passed, "{}", ran.why("strict"));
}

#[test]
fn expectations_beside_ready_are_awaited() {
    let home = Home::new();
    let steps = yaml("web", "", &deployment("web"))
        + &on(
            "never",
            "ready: {kind: Deployment, name: web}\nexpect: {json: {$.spec.replicas: 5}}\ntimeout: 1s",
        );
    let ran = home.book(&steps).run();
    assert_eq!(ran.state("never"), State::TimedOut);
    assert_eq!(ran.step("never").checks[0].actual, "1");
}
