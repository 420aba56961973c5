//! Errors that are left out: what should be refused is taken.

use reqwest::{Method, Request};
use serde_json::json;

use super::{body, content_type, defects, forget, is, say, without};
use crate::client::{APPLY, Reply};

defects![
    ask "a put with a stale version is taken" => "update/a_stale_resource_version_is_409": no_version,
    ask "a merge patch with a stale version is taken" => "patch/merge_with_a_stale_version_is_409": no_version,
    ask "a scale with a stale version is taken" => "subresources/scale_with_a_stale_version_is_409": no_version,
    ask "a conflict of owners is overruled" => "apply/a_conflict_names_manager_and_field": force,
    ask "unknown fields are taken though strict" => "create/unknown_fields_strictly_are_400": lenient,
    ask "a deletion ignores the uid it wants" => "deletion/another_uid_is_409": no_preconditions,
    ask "a deletion ignores the version it wants" => "deletion/another_version_is_409": no_preconditions,
    ask "managed fields in an apply are dropped" => "apply/apply_refuses_managed_fields_in_the_body": no_managed_fields,
    ask "a selector that cannot be read is none" => "selecting/a_broken_selector_is_400": |request| forget(request.url_mut(), "labelSelector"),
    ask "a continuation that cannot be read is none" => "list/a_broken_continue_is_400": |request| forget(request.url_mut(), "continue"),
    ask "a budget does not stop an eviction" => "subresources/a_budget_refuses_an_eviction_with_429": delete_instead,
    answer "what is over a quota is taken" => "cluster/a_quota_refuses_what_is_over_it": |method, reply| taken(method, reply, 403),
    answer "what cannot be changed is changed" => "update/the_selector_of_a_deployment_is_immutable": |method, reply| taken(method, reply, 422),
    answer "what is made twice is there" => "create/a_second_of_the_same_name_is_409": |method, reply| taken(method, reply, 409),
    answer "nobody is refused a namespace that ends" => "namespaces/nothing_is_made_in_one_that_ends": |method, reply| taken(method, reply, 403),
    ask "nobody may read everything" => "access/nobody_may_read_the_version_only": |request| {
        // What everybody may read stands for all that is asked for.
        request.url_mut().set_path("/version");
    },
];

fn no_version(request: &mut Request) {
    if *request.method() != Method::POST {
        body(request, |value| {
            without(&mut value["metadata"], "resourceVersion");
        });
    }
}

fn force(request: &mut Request) {
    if content_type(request) == APPLY {
        say(request.url_mut(), "force", "true");
    }
}

fn lenient(request: &mut Request) {
    forget(request.url_mut(), "fieldValidation");
}

fn no_preconditions(request: &mut Request) {
    if *request.method() == Method::DELETE {
        body(request, |value| without(value, "preconditions"));
    }
}

fn no_managed_fields(request: &mut Request) {
    if content_type(request) == APPLY {
        body(request, |value| {
            without(&mut value["metadata"], "managedFields");
        });
    }
}

/// As if no budget were asked.
fn delete_instead(request: &mut Request) {
    if is(request, &Method::POST, "/eviction") {
        let path = request
            .url()
            .path()
            .trim_end_matches("/eviction")
            .to_owned();
        request.url_mut().set_path(&path);
        *request.method_mut() = Method::DELETE;
        *request.body_mut() = None;
    }
}

/// A refusal of a write becomes a success.
fn taken(method: &Method, reply: &mut Reply, code: u16) {
    if *method != Method::GET && reply.status == code {
        reply.status = if *method == Method::POST { 201 } else { 200 };
        reply.body =
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"});
    }
}
