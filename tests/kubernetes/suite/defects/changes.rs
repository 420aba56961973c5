//! Changes that are left out, or made where none should be: the answer is as it should be, the state is not.

use reqwest::{Method, Request};
use serde_json::json;

use super::{body, content_type, defects, forget, is, say, without};
use crate::client::{APPLY, MERGE};

defects![
    ask "what is made is not stored" => "create/what_is_made_has_an_identity": |request| dry(request, &Method::POST),
    ask "a put is not stored" => "update/a_put_raises_the_resource_version": |request| dry(request, &Method::PUT),
    ask "a merge patch is not stored" => "patch/merge_sets_and_null_removes": |request| dry_of(request, MERGE),
    ask "an apply is not stored" => "apply/apply_makes_with_201_and_changes_with_200": |request| dry_of(request, APPLY),
    ask "a deletion deletes nothing" => "deletion/a_deletion_answers_with_a_status": |request| dry(request, &Method::DELETE),
    ask "a dry run stores" => "create/a_dry_run_stores_nothing": wet,
    ask "a dry run deletes" => "deletion/a_dry_run_deletes_nothing": wet,
    ask "finalizers are not kept" => "deletion/a_finalizer_keeps_the_object": no_finalizers,
    ask "orphans go with their owner" => "deletion/orphans_stay_without_an_owner": in_the_background,
    ask "owners are not kept" => "deletion/dependents_go_in_the_background": no_owners,
    ask "an apply takes what it may not" => "apply/a_conflict_changes_nothing": |request| {
        if content_type(request) == APPLY {
            say(request.url_mut(), "force", "true");
        }
    },
    ask "a put of the status changes the spec" => "subresources/a_put_of_the_status_leaves_the_spec": not_the_status,
    ask "labels are not stored" => "selecting/equality_selectors": no_labels,
    ask "a definition serves nothing" => "definitions/it_is_discovered_and_served": |request| {
        if is(request, &Method::POST, "/customresourcedefinitions") {
            body(request, |value| value["spec"]["versions"][0]["served"] = json!(false));
        }
    },
    ask "a suspended Job runs" => "jobs/a_suspended_job_waits": |request| {
        body(request, |value| {
            without(&mut value["spec"], "suspend");
        });
    },
    ask "an Indexed Job is none" => "jobs/an_indexed_job_numbers_its_pods": |request| {
        body(request, |value| {
            without(&mut value["spec"], "completionMode");
        });
    },
    ask "scaling does nothing" => "subresources/scale_changes_the_replicas_only": |request| {
        if request.url().path().ends_with("/scale") && *request.method() != Method::GET {
            say(request.url_mut(), "dryRun", "All");
        }
    },
];

fn dry(request: &mut Request, method: &Method) {
    // The case's own namespace is no part of what it is about.
    if request.method() == method && !request.url().path().ends_with("/namespaces") {
        say(request.url_mut(), "dryRun", "All");
    }
}

fn dry_of(request: &mut Request, kind: &str) {
    if content_type(request) == kind {
        say(request.url_mut(), "dryRun", "All");
    }
}

fn wet(request: &mut Request) {
    forget(request.url_mut(), "dryRun");
    body(request, |value| without(value, "dryRun"));
}

fn no_finalizers(request: &mut Request) {
    body(request, |value| {
        without(&mut value["metadata"], "finalizers");
    });
}

fn no_owners(request: &mut Request) {
    body(request, |value| {
        without(&mut value["metadata"], "ownerReferences");
    });
}

fn no_labels(request: &mut Request) {
    body(request, |value| {
        without(&mut value["metadata"], "labels");
    });
}

fn in_the_background(request: &mut Request) {
    if *request.method() == Method::DELETE {
        forget(request.url_mut(), "propagationPolicy");
        body(request, |value| {
            if value.get("propagationPolicy").is_some() {
                value["propagationPolicy"] = json!("Background");
            }
        });
    }
}

fn not_the_status(request: &mut Request) {
    if *request.method() == Method::PUT {
        let path = request.url().path().trim_end_matches("/status").to_owned();
        request.url_mut().set_path(&path);
    }
}
