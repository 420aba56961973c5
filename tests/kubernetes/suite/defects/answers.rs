//! Answers with something left out or wrong: what is stored is right, what is told is not.

use reqwest::header::ACCEPT;
use reqwest::{Method, Request};
use serde_json::{Value, json};

use super::{defects, forget, without};
use crate::client::JSON;
use crate::watch::Event;

defects![
    ask "a label selector is not looked at" => "selecting/equality_selectors": |request| forget(request.url_mut(), "labelSelector"),
    ask "a field selector is not looked at" => "selecting/fields_select_by_name": |request| forget(request.url_mut(), "fieldSelector"),
    ask "a page has everything" => "list/pages_give_everything_once": |request| forget(request.url_mut(), "limit"),
    ask "a list of the past is of now" => "list/exactly_a_version_in_the_past": |request| {
        forget(request.url_mut(), "resourceVersion");
        forget(request.url_mut(), "resourceVersionMatch");
    },
    ask "tables are never made" => "tables/a_table_of_configmaps": plain,
    ask "aggregated discovery is plain" => "discovery/aggregated_core_discovery": plain,
    ask "only metadata is the whole" => "list/metadata_only": plain,
    ask "a log has no tail" => "streams/logs_have_a_tail": |request| forget(request.url_mut(), "tailLines"),
    ask "a log has no limit" => "streams/logs_have_a_limit": |request| forget(request.url_mut(), "limitBytes"),
    ask "a log has no beginning" => "streams/logs_since_a_while": |request| forget(request.url_mut(), "sinceTime"),
    ask "a watch begins with everything" => "watching/from_a_version_only_what_came_after": |request| forget(request.url_mut(), "resourceVersion"),
    ask "a watch looks at no selector" => "watching/leaving_a_selector_is_a_deletion": |request| forget(request.url_mut(), "labelSelector"),
    event "a watch tells of no deletion" => "watching/a_deletion_shows_the_last_state": |event| event.kind != "DELETED",
    event "a watch tells of no change" => "watching/changes_come_in_order_with_growing_versions": |event| event.kind != "MODIFIED",
    event "a watch has no bookmarks" => "watching/a_bookmark_comes_when_asked": |event| event.kind != "BOOKMARK",
    event "the end of the first events is not marked" => "watching/initial_events_end_with_a_bookmark": unmarked,
    event "what is forgotten is no error of a watch" => "watching/a_version_long_gone_is_an_error_event": |event| event.kind != "ERROR",
    answer "nobody owns a field" => "owners/an_entry_says_who_owns_what": |_, reply| without(&mut reply.body["metadata"], "managedFields"),
    answer "a generation never grows" => "update/generation_counts_changes_of_the_spec_only": |_, reply| {
        if reply.body["metadata"]["generation"].is_number() {
            reply.body["metadata"]["generation"] = json!(1);
        }
    },
    answer "warnings are not told" => "create/unknown_fields_are_a_warning": |_, reply| {
        reply.headers.remove("warning");
    },
    answer "causes are not told" => "refusals/every_mistake_is_named": |_, reply| without(&mut reply.body["details"], "causes"),
    answer "no replica is ever ready" => "workloads/a_deployment_becomes_available": |_, reply| without(&mut reply.body["status"], "readyReplicas"),
    answer "a rollout never misses its deadline" => "workloads/a_missing_image_ends_in_progress_deadline_exceeded": |_, reply| drop_conditions(&mut reply.body, "Progressing"),
    answer "no Job is complete" => "jobs/a_job_completes": |_, reply| drop_conditions(&mut reply.body, "Complete"),
    answer "no Job has failed" => "jobs/a_job_fails_after_its_last_try": |_, reply| drop_conditions(&mut reply.body, "Failed"),
    answer "no claim is bound" => "cluster/a_claim_is_bound_to_a_volume": |_, reply| {
        if reply.body["kind"] == "PersistentVolumeClaim" {
            reply.body["status"]["phase"] = json!("Pending");
        }
    },
    answer "what keeps a namespace is not told" => "namespaces/a_finalizer_of_a_content_keeps_it_with_conditions": |method, reply| {
        if *method == Method::GET {
            without(&mut reply.body["status"], "conditions");
        }
    },
];

fn plain(request: &mut Request) {
    request
        .headers_mut()
        .insert(ACCEPT, reqwest::header::HeaderValue::from_static(JSON));
}

fn unmarked(event: &mut Event) -> bool {
    without(
        &mut event.object["metadata"]["annotations"],
        "k8s.io/initial-events-end",
    );
    true
}

fn drop_conditions(body: &mut Value, kind: &str) {
    if let Some(list) = body["status"]["conditions"].as_array_mut() {
        list.retain(|one| one["type"] != kind);
    }
}
