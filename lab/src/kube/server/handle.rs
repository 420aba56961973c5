//! One request: faults, authentication, authorization, and who answers it.

use http::Request;
use http::request::Parts;
use hyper::body::Incoming;
use serde_json::json;

use super::access::{self, User};
use super::request::{self, Params, Place};
use super::respond::{self, Answer, Cut};
use super::{Shared, identify, read, sub, watch, write};
use crate::kube::faults::Fault;
use crate::kube::status::{Refusal, Result};
use crate::kube::{discovery, openapi};

const ENDPOINTS: &str =
    "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice";

const OPENAPI_V2: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// Everything of a request but its body.
pub(crate) struct Call {
    pub(crate) shared: Shared,
    pub(crate) user: User,
    pub(crate) parts: Parts,
    pub(crate) params: Params,
    pub(crate) fault: Option<Fault>,
}

impl Call {
    pub(crate) fn accepts(&self) -> &str {
        let value = self.parts.headers.get(http::header::ACCEPT);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The field manager: as asked, else the program's name.
    pub(crate) fn manager(&self) -> String {
        let asked = self.params.get("fieldManager");
        if !asked.is_empty() {
            return asked.to_owned();
        }
        let agent = self.parts.headers.get(http::header::USER_AGENT);
        let name = agent
            .and_then(|agent| agent.to_str().ok())
            .unwrap_or_default();
        let name = name.split('/').next().unwrap_or_default();
        if name.is_empty() {
            "unknown".to_owned()
        } else {
            name.chars().take(128).collect()
        }
    }
}

pub(crate) async fn answer(
    shared: Shared,
    request: Request<Incoming>,
) -> std::result::Result<Answer, Cut> {
    let (parts, incoming) = request.into_parts();
    let params = Params::parse(parts.uri.query().unwrap_or_default());
    let watches = params.flag("watch") && parts.method == http::Method::GET;
    let target = parts.uri.path_and_query().map_or("", |path| path.as_str());
    let fault = shared
        .cluster
        .faults
        .request(parts.method.as_str(), target, watches);
    let head = parts.method == http::Method::HEAD;
    match &fault {
        Some(Fault::Reset { done: false }) => return Err(Cut),
        Some(Fault::Slow(wait)) => tokio::time::sleep(*wait).await,
        Some(Fault::Status {
            status,
            retry_after,
        }) => {
            return Ok(respond::refusal(&injected(*status, *retry_after)));
        }
        _ => {}
    }
    let cuts = matches!(fault, Some(Fault::Reset { .. }));
    let outcome = match identify::authenticate(&shared, &parts) {
        Ok(user) => {
            route(
                Call {
                    shared,
                    user,
                    parts,
                    params,
                    fault,
                },
                incoming,
            )
            .await
        }
        Err(refusal) => Err(refusal),
    };
    if cuts {
        return Err(Cut);
    }
    let mut answer = outcome.unwrap_or_else(|refusal| respond::refusal(&refusal));
    if head {
        *answer.body_mut() = respond::Payload::Whole(None);
    }
    Ok(answer)
}

fn injected(status: u16, retry_after: Option<u64>) -> Refusal {
    let (reason, text) = match status {
        401 => ("Unauthorized", "Unauthorized"),
        403 => ("Forbidden", "forbidden"),
        410 => (
            "Expired",
            "The resourceVersion for the provided list is too old.",
        ),
        429 => (
            "TooManyRequests",
            "Too many requests, please try again later.",
        ),
        503 => (
            "ServiceUnavailable",
            "the server is currently unable to handle the request",
        ),
        504 => ("Timeout", "request timed out"),
        _ => (
            "InternalError",
            "Internal error occurred: injected by the lab",
        ),
    };
    let refusal = Refusal::new(status, reason, text);
    match retry_after {
        Some(seconds) => refusal.retry_after(seconds),
        None => refusal,
    }
}

async fn route(call: Call, incoming: Incoming) -> Result<Answer> {
    let path = call.parts.uri.path().trim_end_matches('/').to_owned();
    if let Some(answer) = document(&call, &path)? {
        return Ok(answer);
    }
    let place = {
        let state = call.shared.cluster.lock();
        request::place(&state.registry, &path)
    };
    let Some(place) = place else {
        let verb = call.parts.method.as_str().to_lowercase();
        access::authorize_path(&call.user, &verb, &path)?;
        if !is_served(&call, &path) {
            return Ok(respond::text(404, "404 page not found\n"));
        }
        return Err(Refusal::no_resource());
    };
    let verb = verb(&call, &place)?;
    access::authorize(&call.shared.cluster.lock(), &call.user, verb, &place)?;
    if !place.sub.is_empty() {
        return sub::answer(call, place, verb, incoming).await;
    }
    if !place.resource.verbs.iter().any(|own| own == verb) {
        return Err(Refusal::method_not_allowed());
    }
    let mut answer = match verb {
        "get" => read::get(&call, &place),
        "list" => read::list(&call, &place),
        "watch" => watch::start(&call, &place),
        _ => {
            let body = request::body(incoming).await?;
            write::answer(&call, &place, verb, &body)
        }
    }?;
    if place.resource.qualified() == "endpoints" {
        respond::warn(&mut answer, &[ENDPOINTS.to_owned()]);
    }
    Ok(answer)
}

/// Whether a path is below a group that is served.
fn is_served(call: &Call, path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let group = match parts.as_slice() {
        ["api", ..] => "",
        ["apis", group, ..] => *group,
        _ => return false,
    };
    call.shared.cluster.lock().registry.has_group(group)
}

fn verb(call: &Call, place: &Place) -> Result<&'static str> {
    let named = !place.name.is_empty();
    Ok(match (call.parts.method.as_str(), named) {
        ("GET" | "HEAD", true) => "get",
        ("GET" | "HEAD", false) if call.params.flag("watch") => "watch",
        ("GET" | "HEAD", false) => "list",
        ("POST", false) => "create",
        ("POST", true) if !place.sub.is_empty() => "create",
        ("PUT", true) => "update",
        ("PATCH", true) => "patch",
        ("DELETE", true) => "delete",
        ("DELETE", false) => "deletecollection",
        _ => return Err(Refusal::method_not_allowed()),
    })
}

/// What is no resource: versions, health, discovery, schemas.
fn document(call: &Call, path: &str) -> Result<Option<Answer>> {
    let shared = &call.shared;
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let known = matches!(
        parts.as_slice(),
        [] | [
            "version" | "healthz" | "livez" | "readyz" | "api" | "apis" | "openapi",
            ..
        ]
    );
    let resource = matches!(parts.as_slice(), ["api", _, _, ..] | ["apis", _, _, _, ..]);
    if !known || resource {
        return Ok(None);
    }
    access::authorize_path(&call.user, "get", path)?;
    let state = shared.cluster.lock();
    let registry = &state.registry;
    let wants_aggregated = call.accepts().split(',').any(|one| {
        one.contains("as=APIGroupDiscoveryList")
            && one.contains("g=apidiscovery.k8s.io")
            && one.contains("v=v2")
            && !one.contains("v=v2beta1")
    });
    let aggregated = |core: bool| {
        let text = discovery::aggregated(registry, core).to_string();
        respond::bytes(200, AGGREGATED, text.into())
    };
    let value = match parts.as_slice() {
        [] => {
            json!({"paths": ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/readyz", "/version"]})
        }
        ["version"] => version(&shared.cluster.settings.version),
        [probe @ ("healthz" | "livez" | "readyz"), ..] => {
            let text = if call.params.has("verbose") {
                format!("[+]ping ok\n[+]log ok\n{probe} check passed\n")
            } else {
                "ok".to_owned()
            };
            return Ok(Some(respond::text(200, &text)));
        }
        ["api"] if wants_aggregated => return Ok(Some(aggregated(true))),
        ["apis"] if wants_aggregated => return Ok(Some(aggregated(false))),
        ["api"] => discovery::core_versions(&shared.address),
        ["apis"] => discovery::group_list(registry),
        ["api", version] => match discovery::resource_list(registry, "", version) {
            Some(value) => value,
            None => return Ok(Some(respond::text(404, "404 page not found\n"))),
        },
        ["apis", group] => match discovery::group(registry, group) {
            Some(value) => value,
            None => return Ok(Some(respond::text(404, "404 page not found\n"))),
        },
        ["apis", group, version] => match discovery::resource_list(registry, group, version) {
            Some(value) => value,
            None if registry.has_group(group) => return Err(Refusal::no_resource()),
            None => return Ok(Some(respond::text(404, "404 page not found\n"))),
        },
        ["openapi", "v2"] if call.accepts().contains("com.github.proto-openapi.spec.v2") => {
            return Ok(Some(respond::bytes(
                200,
                OPENAPI_V2,
                openapi::protobuf().into(),
            )));
        }
        ["openapi", "v2"] => openapi::swagger(registry),
        ["openapi", "v3"] => openapi::index(registry),
        ["openapi", "v3", "api", version] => match openapi::document(registry, "", version) {
            Some(value) => value,
            None => return Ok(Some(respond::text(404, "404 page not found\n"))),
        },
        ["openapi", "v3", "apis", group, version] => {
            match openapi::document(registry, group, version) {
                Some(value) => value,
                None => return Ok(Some(respond::text(404, "404 page not found\n"))),
            }
        }
        _ => return Ok(None),
    };
    Ok(Some(respond::json(200, &value)))
}

fn version(text: &str) -> serde_json::Value {
    let mut numbers = text.trim_start_matches('v').split('.');
    let (major, minor) = (
        numbers.next().unwrap_or("1"),
        numbers.next().unwrap_or("36"),
    );
    json!({
        "major": major, "minor": minor, "emulationMajor": major, "emulationMinor": minor,
        "minCompatibilityMajor": major, "minCompatibilityMinor": (minor.parse::<u32>().unwrap_or(36) - 1).to_string(),
        "gitVersion": text, "gitCommit": "lab", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "go1.26", "compiler": "gc", "platform": "linux/amd64",
    })
}
