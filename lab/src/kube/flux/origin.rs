//! Where a source's files come from: what on this machine stands for its URL, or the registry that is asked for real. What nobody in
//! the lab serves is refused by name, so that no source is ready that was not read as its spec has it.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::chart::newest;
use super::fetch::{From, Refused, named, place};
use super::oci::Pull;
use super::registry::Repository;
use crate::kube::object::{self, Object};
use crate::kube::settings::FluxSettings;
use crate::kube::state::State;

const AUTHENTICATION: &str = "AuthenticationFailed";
/// The reason of a signature that is not verified.
pub(super) const UNVERIFIED: &str = "VerificationError";
/// The reason of a URL that no further try can help.
pub(super) const URL_INVALID: &str = "URLInvalid";

/// Where a source's files come from.
///
/// # Errors
///
/// What its spec asks for and the lab does not do, or does not have.
pub(super) fn of(state: &State, value: &Value) -> Result<From, Refused> {
    let spec = &value["spec"];
    unserved(spec)?;
    for key in ["secretRef", "certSecretRef"] {
        if let Some(name) = spec[key]["name"].as_str() {
            secret(state, value, name)?;
        }
    }
    let flux = state.settings.flux.clone().unwrap_or_default();
    let url = object::text(spec, &["url"]).to_owned();
    match value["kind"].as_str().unwrap_or_default() {
        "HelmRepository" => Ok(From::Charts(flux.charts)),
        "OCIRepository" => artifact(state, &flux, value, url),
        _ => Ok(From::Git {
            path: place(&flux, &url).unwrap_or_default(),
            url,
            reference: spec["ref"].clone(),
            ignore: spec["ignore"].as_str().map(str::to_owned),
        }),
    }
}

/// What the lab does not do for any source.
fn unserved(spec: &Value) -> Result<(), Refused> {
    let provider = spec["provider"].as_str().unwrap_or("generic");
    if provider != "generic" {
        let text = format!("failed to get credential from {provider}: the lab has no `{provider}`");
        return Err((AUTHENTICATION, text));
    }
    if spec["proxySecretRef"].is_object() {
        let text = "failed to get proxy address: the lab asks through no proxy";
        return Err((AUTHENTICATION, text.to_owned()));
    }
    if spec["verify"].is_object() {
        let provider = spec["verify"]["provider"].as_str().unwrap_or("PGP or SSH");
        let text = format!(
            "failed to verify the signature using provider '{provider}': the lab verifies no signatures"
        );
        return Err((UNVERIFIED, text));
    }
    let lists = ["include", "sparseCheckout"]
        .into_iter()
        .find(|key| !object::items(spec, &[key]).is_empty());
    let named = lists.or((spec["recurseSubmodules"] == true).then_some("recurseSubmodules"));
    match named {
        Some(key) => {
            let text =
                format!("failed to checkout and determine revision: the lab knows no `spec.{key}`");
            Err(("GitOperationFailed", text))
        }
        None => Ok(()),
    }
}

fn secret(state: &State, value: &Value, name: &str) -> Result<Arc<Object>, Refused> {
    let namespace = object::namespace(value);
    state.get("secrets", namespace, name).ok_or_else(|| {
        let text =
            format!("failed to get secret '{namespace}/{name}': secrets \"{name}\" not found");
        let text = match value["kind"].as_str() {
            Some("OCIRepository") => format!("failed to get credential: {text}"),
            _ => text,
        };
        (AUTHENTICATION, text)
    })
}

fn artifact(
    state: &State,
    flux: &FluxSettings,
    value: &Value,
    url: String,
) -> Result<From, Refused> {
    let spec = &value["spec"];
    let mut repository = Repository::read(&url).map_err(|text| {
        (
            URL_INVALID,
            format!("URL validation failed for '{url}': {text}"),
        )
    })?;
    let text = |key: &str| object::text(spec, &["ref", key]).to_owned();
    let tag = match text("tag") {
        tag if tag.is_empty() => "latest".to_owned(),
        tag => tag,
    };
    let host = repository
        .registry
        .rsplit_once(':')
        .map_or(repository.registry.as_str(), |(host, _)| host);
    let is_asked = |own: &String| *own == repository.registry || own == host;
    if flux.registries.iter().any(is_asked) {
        if let Some(name) = spec["secretRef"]["name"].as_str() {
            let secret = secret(state, value, name)?;
            repository.login = login(&secret.value, &repository.registry);
        }
        return Ok(From::Registry(Box::new(Pull {
            url,
            repository,
            reference: spec["ref"].clone(),
            layer: spec["layerSelector"].clone(),
            ignore: spec["ignore"].as_str().map(str::to_owned),
        })));
    }
    let failed = |text: String| {
        (
            "OCIArtifactPullFailed",
            format!("failed to pull artifact from '{url}': {text}"),
        )
    };
    let without = |keys: &[&str], what: &str| match keys.iter().find(|key| !text(key).is_empty()) {
        Some(key) => Err(failed(format!(
            "{what} stands for it, which has no {key} `{}`",
            text(key)
        ))),
        None => Ok(()),
    };
    if let Some(path) = named(flux, &url) {
        without(&["digest", "semver", "semverFilter"], "a plain directory")?;
        let ignore = spec["ignore"].as_str().map(str::to_owned);
        return Ok(From::Directory { path, tag, ignore });
    }
    if newest(&flux.charts, &url, "*").is_ok() {
        without(&["digest", "semverFilter"], "a chart's file")?;
        let wanted = [text("semver"), text("tag"), "*".to_owned()];
        let wanted = wanted
            .into_iter()
            .find(|own| !own.is_empty())
            .unwrap_or_default();
        return newest(&flux.charts, &url, &wanted)
            .map(From::Chart)
            .map_err(failed);
    }
    Err(failed(format!(
        "the lab reaches no registry `{}`",
        repository.registry
    )))
}

/// What a registry is told of who asks, from a secret with the configuration of docker.
fn login(secret: &Value, registry: &str) -> Option<String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let bytes = STANDARD
        .decode(secret["data"][".dockerconfigjson"].as_str()?)
        .ok()?;
    let config: Value = serde_json::from_slice(&bytes).ok()?;
    let own = &config["auths"][registry];
    let pair = match text(&own["auth"]) {
        Some(auth) => auth,
        None => STANDARD.encode(format!(
            "{}:{}",
            text(&own["username"])?,
            text(&own["password"])?
        )),
    };
    Some(format!("Basic {pair}"))
}
