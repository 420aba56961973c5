//! The endpoints the lab serves, one file per family; what is not here answers 501 like an unknown path.

mod access;
mod acl;
mod backup;
mod cluster;
mod content;
mod domains;
mod download;
mod firewall;
mod firewall_lists;
mod firewall_rules;
mod guest_begin;
mod guest_config;
mod guest_config_read;
mod guest_copy;
mod guest_end;
mod guest_figures;
mod guest_move;
mod guest_options;
mod guest_power;
mod guest_read;
mod guest_snapshot;
mod guest_snapshot_work;
mod guest_stop;
mod guest_template;
mod ha;
mod landing;
mod lxc_create;
mod mapping;
mod network;
mod nodes;
mod pools;
mod prune;
mod qemu_agent;
mod qemu_cloudinit;
mod qemu_create;
mod replication;
mod rrd;
mod storages;
mod tasks;
mod tfa;
mod upload;
mod users;
mod vzdump;

use std::collections::HashMap;
use std::sync::OnceLock;

use serde_json::{Map, Value};

use super::answer::{Fail, Outcome};
use super::cluster::Call;
use super::hooks::HookFuture;
use super::state::State;

/// What an endpoint does.
#[derive(Clone, Copy)]
pub(crate) enum Act {
    /// Reads or changes the state under its lock.
    Now(fn(&Call, &mut State) -> Outcome),
    /// Waits for something, without the lock. Not every family needs one.
    #[allow(dead_code)]
    Later(fn(Call) -> HookFuture<'static, Outcome>),
}

/// An endpoint: verb, path template of the schema, what it does.
pub(crate) type Route = (&'static str, &'static str, Act);

const FAMILIES: &[&[Route]] = &[
    access::ROUTES,
    acl::ROUTES,
    backup::ROUTES,
    cluster::ROUTES,
    content::ROUTES,
    domains::ROUTES,
    download::ROUTES,
    firewall::ROUTES,
    firewall_lists::ROUTES,
    firewall_rules::ROUTES,
    guest_config::ROUTES,
    guest_config_read::ROUTES,
    guest_copy::ROUTES,
    guest_end::ROUTES,
    guest_move::ROUTES,
    guest_power::ROUTES,
    guest_read::ROUTES,
    guest_snapshot::ROUTES,
    guest_snapshot_work::ROUTES,
    guest_stop::ROUTES,
    guest_template::ROUTES,
    ha::ROUTES,
    lxc_create::ROUTES,
    mapping::ROUTES,
    network::ROUTES,
    nodes::ROUTES,
    pools::ROUTES,
    prune::ROUTES,
    qemu_agent::ROUTES,
    qemu_cloudinit::ROUTES,
    qemu_create::ROUTES,
    replication::ROUTES,
    rrd::ROUTES,
    storages::ROUTES,
    tasks::ROUTES,
    tfa::ROUTES,
    upload::ROUTES,
    users::ROUTES,
    vzdump::ROUTES,
];

/// What a verb of a path template does, if the lab serves it.
pub(crate) fn route(verb: &str, template: &str) -> Option<Act> {
    static ROUTES: OnceLock<HashMap<(&'static str, &'static str), Act>> = OnceLock::new();
    let all = ROUTES.get_or_init(|| {
        FAMILIES
            .iter()
            .flat_map(|family| family.iter())
            .map(|(verb, path, act)| ((*verb, *path), *act))
            .collect()
    });
    // Borrowed for longer than the map's keys need: look up by value.
    all.get(&(verb, template) as &(&str, &str)).copied()
}

/// Every served endpoint, for the conformance tests.
#[cfg(test)]
pub(crate) fn served() -> impl Iterator<Item = (&'static str, &'static str)> {
    FAMILIES
        .iter()
        .flat_map(|family| family.iter())
        .map(|(verb, path, _)| (*verb, *path))
}

/// A JSON object of pairs; `null` values are left out.
pub(crate) fn object<const N: usize>(pairs: [(&str, Value); N]) -> Map<String, Value> {
    pairs
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

/// An index: `[{"subdir":"a"},…]`.
pub(crate) fn index(key: &str, names: &[&str]) -> Outcome {
    let rows: Vec<Value> = names
        .iter()
        .map(|name| Value::Object(object([(key, (*name).into())])))
        .collect();
    Ok(rows.into())
}

/// Refuses when a digest was given and is not the current one.
pub(crate) fn same_digest(call: &Call, current: &str) -> Result<(), Fail> {
    match call.params.text("digest") {
        Some(given) if given != current => Err(Fail::die(
            "detected modified configuration - file changed by other user? Try again.",
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pve::schema::method;

    #[test]
    fn every_served_endpoint_is_in_the_official_schema() {
        let unknown: Vec<_> = served()
            .filter(|(verb, path)| method(path, verb).is_none())
            .collect();
        assert!(unknown.is_empty(), "{unknown:?}");
        let mut all: Vec<_> = served().collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count, "an endpoint is served twice");
    }
}
