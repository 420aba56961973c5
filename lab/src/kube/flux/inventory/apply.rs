//! Applying what a Kustomization built: in stages, each tried as a whole first; by hand is undone, and what cannot be changed is made anew
//! where that is asked for.

use std::sync::Arc;

use serde_json::Value;

use super::{Entry, MANAGER, says, shown, stage};
use crate::kube::admit::{Validation, Write};
use crate::kube::apply;
use crate::kube::flux::account;
use crate::kube::object::{self, Object};
use crate::kube::resource::Resource;
use crate::kube::state::State;
use crate::kube::status::Refusal;

/// Applies objects that are sorted, stage by stage; of each all are tried first, so that nothing of it is applied when one is refused.
pub(in crate::kube::flux) fn apply_all(
    state: &mut State,
    kustomization: &Value,
    objects: &[Value],
) -> Result<Vec<Entry>, String> {
    let mut out: Vec<Entry> = Vec::new();
    for number in 0..=2 {
        let of_stage = || {
            objects
                .iter()
                .filter(move |one| stage(one["kind"].as_str().unwrap_or_default()) == number)
        };
        let done = |out: &[Entry]| -> String {
            let changed = out
                .iter()
                .filter(|one| matches!(one.action, "created" | "configured"));
            changed
                .map(|one| format!("{} {}\n", one.shown, one.action))
                .collect()
        };
        for object in of_stage() {
            one(state, kustomization, object, true)
                .map_err(|text| format!("{text}\n{}", done(&out)))?;
        }
        for object in of_stage() {
            let entry = one(state, kustomization, object, false)
                .map_err(|text| format!("{text}\n{}", done(&out)))?;
            out.push(entry);
        }
    }
    Ok(out)
}

fn one(
    state: &mut State,
    kustomization: &Value,
    value: &Value,
    dry_run: bool,
) -> Result<Entry, String> {
    let name = object::name(value).to_owned();
    let namespace = object::namespace(value).to_owned();
    let resource = served(state, value)?;
    if resource.namespaced && namespace.is_empty() {
        return Err(format!(
            "{} namespace not specified: the server could not find the requested resource",
            shown(value)
        ));
    }
    let namespace = if resource.namespaced {
        namespace
    } else {
        String::new()
    };
    let table = resource.qualified();
    let live = state.get(&table, &namespace, &name);
    let entry = |action| Entry {
        id: format!(
            "{namespace}_{}_{}_{}",
            name.replace(':', "__"),
            resource.group,
            resource.kind
        ),
        version: resource.version.clone(),
        action,
        shown: shown(value),
    };
    let skipped = |own: &Value| says(own, "reconcile", "disabled") || says(own, "ssa", "ignore");
    if skipped(value)
        || live.as_ref().is_some_and(|live| skipped(&live.value))
        || live.is_some() && says(value, "ssa", "ifnotpresent")
    {
        return Ok(entry("skipped"));
    }
    account::check(
        state,
        kustomization,
        "patch",
        &resource,
        (&namespace, &name),
    )
    .map_err(|refusal| refused(value, &refusal))?;
    let mut write = Write::by(MANAGER);
    write.validation = Validation::Strict;
    write.dry_run = dry_run;
    if let Some(live) = &live
        && !dry_run
        && !says(value, "ssa", "merge")
        && !says(&live.value, "ssa", "merge")
    {
        undo_by_hand(state, &resource, live);
    }
    let mut apply = |state: &mut State| {
        state.apply(
            &resource,
            &namespace,
            &name,
            normal(value),
            true,
            &mut write,
        )
    };
    let tried = apply(state);
    let forced = kustomization["spec"]["force"] == true || says(value, "force", "enabled");
    let tried = match (tried, &live) {
        (Err(refusal), Some(live))
            if forced && matches!(refusal.reason, "Invalid" | "Conflict") =>
        {
            if dry_run {
                return Ok(entry("created"));
            }
            state.end(&live.value);
            apply(state)
        }
        (tried, _) => tried,
    };
    let (now, _) = tried.map_err(|refusal| refused(value, &refusal))?;
    let version = |object: &Arc<Object>| object.value["metadata"]["resourceVersion"].clone();
    Ok(entry(match live {
        None => "created",
        Some(live) if version(&live) == version(&now) => "unchanged",
        Some(_) => "configured",
    }))
}

/// Takes over what kubectl and older ways of applying own, and takes away their notes, so that it goes when it is not applied.
fn undo_by_hand(state: &mut State, resource: &Resource, live: &Arc<Object>) {
    const NOTES: [&str; 3] = [
        "kubectl.kubernetes.io/last-applied-configuration",
        "kustomize.toolkit.fluxcd.io/checksum",
        "fluxcd.io/sync-checksum",
    ];
    let mut undone = live.value.clone();
    for note in NOTES {
        object::remove(&mut undone, &["metadata", "annotations", note]);
    }
    object::remove(
        &mut undone,
        &["metadata", "labels", "fluxcd.io/sync-gc-mark"],
    );
    let theirs = |manager: &str, applies: bool| {
        manager.starts_with("kubectl")
            || !applies && (manager == "before-first-apply" || manager == MANAGER)
    };
    apply::take_over(resource, &mut undone, MANAGER, theirs);
    if undone != live.value {
        let _ = state.change(live, MANAGER, |value| *value = undone.clone());
    }
}

pub(in crate::kube::flux) fn served(
    state: &mut State,
    value: &Value,
) -> Result<Arc<Resource>, String> {
    let (api_version, kind) = (
        value["apiVersion"].as_str().unwrap_or_default(),
        value["kind"].as_str().unwrap_or_default(),
    );
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    if state.registry.of_kind(api_version, kind).is_none() {
        // Its definition may have been applied a moment ago.
        let found = state
            .store
            .list(crate::kube::crd::TABLE, "")
            .find(|(_, crd)| {
                crd.value["spec"]["group"] == group && crd.value["spec"]["names"]["kind"] == kind
            });
        if let Some(crd) = found.map(|(_, crd)| object::name(&crd.value).to_owned()) {
            state.establish(&crd);
        }
    }
    state.registry.of_kind(api_version, kind).ok_or_else(|| {
        format!(
            "{} dry-run failed: no matches for kind \"{kind}\" in version \"{api_version}\"",
            shown(value)
        )
    })
}

fn refused(value: &Value, refusal: &Refusal) -> String {
    let (shown, message) = (shown(value), &refusal.message);
    match refusal.reason {
        "NotFound" => format!("{shown} not found: {message}"),
        "" => format!("{shown} dry-run failed: {message}"),
        reason => format!("{shown} dry-run failed ({reason}): {message}"),
    }
}

/// A Secret as it is sent: what it has as text is data, and data has no line ends; what a Secret does not have is left out.
fn normal(value: &Value) -> Value {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    let mut value = value.clone();
    if value["kind"] != "Secret" || value["apiVersion"] != "v1" {
        return value;
    }
    for text in value["data"]
        .as_object_mut()
        .into_iter()
        .flat_map(|map| map.values_mut())
    {
        if let Some(own) = text.as_str().filter(|own| own.contains('\n')) {
            *text = own.replace('\n', "").into();
        }
    }
    if let Some(Value::Object(texts)) = object::remove(&mut value, &["stringData"]) {
        let data = object::map_mut(&mut value, "data");
        for (key, text) in texts {
            let text = text
                .as_str()
                .map_or_else(|| text.to_string(), str::to_owned);
            data.insert(key, STANDARD.encode(text).into());
        }
    }
    object::remove(&mut value, &["sops"]);
    value
}
