//! Answers in the words of a real server (1.36, and 1.20 where they are the same).

use serde_json::{Value, json};

use super::*;
use crate::kind::Resource;

fn request() -> Request {
    let resource = Resource::known("apps", "v1", "Deployment").expect("a built-in kind");
    Request::get(&resource, Some("shop"), Some("web"))
}

fn check(http: u16, body: Value) -> Error {
    error_of(&request(), http, None, body.to_string().as_bytes())
}

#[test]
fn a_401_is_about_credentials() {
    let error = check(
        401,
        json!({"kind": "Status", "message": "Unauthorized", "reason": "Unauthorized", "code": 401}),
    );
    assert!(
        matches!(&error, Error::Unauthorized(message) if message == "Unauthorized"),
        "{error:?}"
    );
    assert!(error.hint().is_some_and(|hint| hint.contains("expired")));
}

#[test]
fn a_403_of_rbac_says_verb_resource_namespace_and_user() {
    let message = "deployments.apps \"web\" is forbidden: User \"system:serviceaccount:shop:ci\" cannot patch resource \"deployments\" in API group \"apps\" in the namespace \"shop\"";
    let error = check(
        403,
        json!({"message": message, "reason": "Forbidden", "details": {"name": "web", "group": "apps", "kind": "deployments"}}),
    );
    let Error::Forbidden(denied) = &error else {
        panic!("{error:?}")
    };
    assert_eq!(
        (
            denied.verb.as_str(),
            denied.resource.as_str(),
            denied.namespace.as_deref(),
            denied.user.as_deref()
        ),
        (
            "patch",
            "deployments.apps",
            Some("shop"),
            Some("system:serviceaccount:shop:ci")
        )
    );
    assert_eq!(denied.message, message);
    let hint =
        "give `system:serviceaccount:shop:ci` the verb `patch` on `deployments.apps` in `shop`";
    assert_eq!(error.hint().as_deref(), Some(hint));
}

#[test]
fn a_403_at_cluster_scope_has_no_namespace_and_the_core_group_no_suffix() {
    let error = check(
        403,
        json!({"message": "nodes is forbidden: User \"x\" cannot list resource \"nodes\" in API group \"\" at the cluster scope"}),
    );
    let Error::Forbidden(denied) = error else {
        panic!("{error:?}")
    };
    assert_eq!(
        (
            denied.verb.as_str(),
            denied.resource.as_str(),
            denied.namespace
        ),
        ("list", "nodes", None)
    );
}

#[test]
fn a_used_up_quota_is_no_missing_right() {
    let message = "pods \"web\" is forbidden: exceeded quota: small, requested: pods=1, used: pods=2, limited: pods=2";
    let error = check(403, json!({"message": message, "reason": "Forbidden"}));
    assert!(
        matches!(&error, Error::Quota { message: said, .. } if said == message),
        "{error:?}"
    );
}

#[test]
fn a_namespace_that_goes_takes_nothing_in() {
    let error = check(
        403,
        json!({"message": "configmaps \"a\" is forbidden: unable to create new content in namespace shop because it is being terminated",
        "details": {"causes": [{"reason": "NamespaceTerminating", "message": "namespace shop is being terminated", "field": "metadata.namespace"}]}}),
    );
    assert!(
        matches!(&error, Error::Terminating { namespace, .. } if namespace == "shop"),
        "{error:?}"
    );
}

#[test]
fn an_admission_plugin_that_denies_names_no_user() {
    let error = check(
        403,
        json!({"message": "pods \"web\" is forbidden: violates PodSecurity \"restricted:latest\": runAsNonRoot != true"}),
    );
    let Error::Forbidden(denied) = &error else {
        panic!("{error:?}")
    };
    assert_eq!((denied.verb.as_str(), denied.user.as_deref()), ("", None));
    assert_eq!(error.hint(), None);
}

#[test]
fn a_missing_object_and_a_missing_kind_are_told_apart() {
    let error = check(
        404,
        json!({"message": "deployments.apps \"web\" not found", "reason": "NotFound",
        "details": {"name": "web", "group": "apps", "kind": "deployments"}}),
    );
    assert!(
        matches!(&error, Error::NotFound { what, .. } if what == "deployments/web"),
        "{error:?}"
    );
    let error = check(
        404,
        json!({"message": "the server could not find the requested resource", "reason": "NotFound", "details": {}}),
    );
    assert!(
        matches!(&error, Error::NoSuchKind { kind, .. } if kind == "apps/v1 Deployment"),
        "{error:?}"
    );
    let error = error_of(&request(), 404, None, b"404 page not found\n");
    assert!(
        matches!(&error, Error::NoSuchKind { message, .. } if message == "404 page not found"),
        "{error:?}"
    );
    let error = check(
        404,
        json!({"message": "namespaces \"shop\" not found", "details": {"name": "shop", "kind": "namespaces"}}),
    );
    assert!(
        matches!(&error, Error::NotFound { what, .. } if what == "namespaces/shop"),
        "{error:?}"
    );
}

#[test]
fn conflicts_name_owner_and_field_once() {
    let cause = json!({"reason": "FieldManagerConflict", "message": "conflict with \"kubectl\" using apps/v1", "field": ".spec.replicas"});
    let error = check(
        409,
        json!({"message": "Apply failed with 1 conflict: conflict with \"kubectl\" using apps/v1: .spec.replicas",
        "reason": "Conflict", "details": {"causes": [cause, cause]}}),
    );
    let Error::Conflict {
        what, conflicts, ..
    } = &error
    else {
        panic!("{error:?}")
    };
    assert_eq!(what, "Deployment shop/web");
    assert_eq!(
        conflicts,
        &[FieldConflict {
            owner: "kubectl".into(),
            field: ".spec.replicas".into()
        }]
    );
    assert_eq!(
        error.to_string(),
        "Deployment shop/web: `.spec.replicas` belongs to `kubectl`"
    );
}

#[test]
fn the_other_409s_are_told_apart() {
    let error = check(
        409,
        json!({"message": "deployments.apps \"web\" already exists", "reason": "AlreadyExists"}),
    );
    assert!(matches!(error, Error::Exists { .. }));
    let error = check(
        409,
        json!({"message": "Operation cannot be fulfilled on deployments.apps \"web\": the object has been modified", "reason": "Conflict"}),
    );
    assert!(matches!(error, Error::Stale { .. }));
}

#[test]
fn an_immutable_field_is_named() {
    let error = check(
        422,
        json!({"message": "Deployment.apps \"web\" is invalid: spec.selector: Invalid value: …: field is immutable", "reason": "Invalid",
        "details": {"causes": [{"reason": "FieldValueInvalid", "message": "Invalid value: {…}: field is immutable", "field": "spec.selector"}]}}),
    );
    let Error::Immutable { fields, .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(fields, &["spec.selector"]);
}

#[test]
fn an_invalid_object_is_not_immutable_even_where_one_field_is() {
    let error = check(
        422,
        json!({"message": "invalid", "details": {"causes": [
        {"message": "Invalid value: field is immutable", "field": "spec.selector"},
        {"message": "Invalid value: -1: must be greater than or equal to 0", "field": "spec.replicas"}]}}),
    );
    let Error::Invalid { causes, .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(
        causes[1].to_string(),
        "`spec.replicas`: Invalid value: -1: must be greater than or equal to 0"
    );
}

#[test]
fn an_unknown_field_is_invalid() {
    let error = check(
        400,
        json!({"message": "failed to create typed patch object: .spec.replica: field not declared in schema", "reason": "BadRequest"}),
    );
    assert!(matches!(&error, Error::Invalid { message, .. } if message.contains(".spec.replica")));
}

#[test]
fn what_does_not_fit_its_schema_is_invalid_though_the_server_calls_it_its_own_failure() {
    let message = "failed to create typed patch object (shop/bad; /v1, Kind=ConfigMap): .dta: field not declared in schema";
    let error = check(
        500,
        json!({"kind": "Status", "status": "Failure", "message": message, "code": 500}),
    );
    assert!(
        matches!(&error, Error::Invalid { message: said, .. } if said == message),
        "{error:?}"
    );
    assert!(!error.is_passing());
}

#[test]
fn throttling_says_when() {
    let body =
        json!({"message": "Too many requests", "details": {"retryAfterSeconds": 7}}).to_string();
    let error = error_of(&request(), 429, Some("3"), body.as_bytes());
    assert!(
        matches!(error, Error::Throttled { after: Some(after), .. } if after == Duration::from_secs(3))
    );
    let error = error_of(&request(), 429, None, body.as_bytes());
    assert!(
        matches!(&error, Error::Throttled { after: Some(after), .. } if *after == Duration::from_secs(7))
    );
    assert!(error.is_passing());
}

#[test]
fn the_rest_is_the_servers_failure() {
    let error = error_of(&request(), 503, None, b"");
    assert!(
        matches!(&error, Error::Server { status: 503, message } if message == "HTTP status 503")
    );
    assert!(error.is_passing());
    assert!(!check(501, json!({"message": "no"})).is_passing());
}
