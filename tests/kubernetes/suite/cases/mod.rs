//! The cases, a room for each part of the API.

mod acceptance;
mod access;
mod accounts;
mod apply;
mod applying;
mod artifacts;
mod building;
mod cluster;
mod columns;
mod create;
mod custom;
mod daily;
mod decrypting;
mod definitions;
mod deletion;
mod discovery;
mod drift;
mod expressions;
mod flux;
mod helm;
mod jobs;
mod list;
mod namespaces;
mod nulls;
mod owners;
mod patch;
mod pods;
mod reconciling;
mod refusals;
mod rollouts;
mod secrets;
mod selecting;
mod sets;
mod sources;
mod streams;
mod subresources;
mod tables;
mod trials;
mod update;
mod watching;
mod workloads;

use crate::case::Case;

/// What waits longest begins first.
const GROUPS: &[&[Case]] = &[
    flux::CASES,
    drift::CASES,
    artifacts::CASES,
    expressions::CASES,
    trials::CASES,
    accounts::CASES,
    reconciling::CASES,
    helm::CASES,
    sources::CASES,
    building::CASES,
    decrypting::CASES,
    jobs::CASES,
    rollouts::CASES,
    workloads::CASES,
    sets::CASES,
    list::CASES,
    selecting::CASES,
    watching::CASES,
    acceptance::CASES,
    applying::CASES,
    definitions::CASES,
    custom::CASES,
    nulls::CASES,
    cluster::CASES,
    pods::CASES,
    namespaces::CASES,
    deletion::CASES,
    streams::CASES,
    subresources::CASES,
    discovery::CASES,
    access::CASES,
    create::CASES,
    refusals::CASES,
    secrets::CASES,
    update::CASES,
    patch::CASES,
    apply::CASES,
    owners::CASES,
    tables::CASES,
    columns::CASES,
    daily::CASES,
];

pub(crate) fn all() -> impl Iterator<Item = &'static Case> {
    GROUPS.iter().copied().flatten()
}
