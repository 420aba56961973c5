//! Applies what a plan has found, stage by stage.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use serde_json::Value;
use tokio::time::Instant;

use super::inventory::Entry;
use super::outcome::{Applied, Outcome, await_ready};
use super::stage::rank;
use super::trial::{apply_request, try_classes};
use super::{AT_ONCE, Action, Plan, Planned, Stage};
use crate::change;
use crate::client::Client;
use crate::error::{Error, seconds};
use crate::get::without_managed_fields;
use crate::object::{Key, text};
use crate::wait::Wish;

/// How long a kind whose CRD is established may still be unknown, and a new namespace be without its account.
const SERVED_TIMEOUT: Duration = Duration::from_secs(15);
/// How often is tried meanwhile.
const SERVED_PAUSE: Duration = Duration::from_millis(100);

impl Plan {
    /// Carries it out. `done` is told each object as soon as it was changed: what is not told when this fails or is given up may be
    /// changed all the same only if its request was just under way.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] before anything is changed, where the comparison has told one; what the server refuses after all;
    /// [`Error::Failed`] or [`Error::Deadline`] for what must be ready before a next stage;
    /// [`Error::Stuck`] for what cannot be pruned.
    pub async fn run(
        self,
        client: &Client,
        limit: Duration,
        mut done: impl FnMut(&Applied),
    ) -> Result<Outcome, Error> {
        if let Some(conflict) = self.conflict() {
            return Err(conflict.clone());
        }
        let deadline = Instant::now() + limit;
        if let Some(inventory) = &self.options.inventory
            && (!self.is_same() || self.recorded.is_empty())
        {
            inventory.write(client, &self.entries(None)).await?;
        }
        let mut after: BTreeMap<Key, Value> = BTreeMap::new();
        let mut tell = |planned: &Planned, object: Value| {
            let mut shown = object.clone();
            without_managed_fields(&mut shown);
            let applied = Applied {
                key: planned.key.clone(),
                resource: planned.resource.clone(),
                wished: planned.wished.clone(),
                action: planned.action,
                before: planned.before.clone(),
                after: Some(shown),
            };
            done(&applied);
            after.insert(planned.key.clone(), object);
        };
        for stage in Stage::ALL {
            let due: Vec<&Planned> = self.due(stage);
            if due.is_empty() {
                continue;
            }
            self.try_unserved(client, &due).await?;
            let mut changed = Vec::new();
            // Kinds of the same rank together, in the order of the ranks.
            for of_rank in due.chunk_by(|one, other| rank(&one.wished) == rank(&other.wished)) {
                self.together(client, of_rank, deadline, limit, |planned, object| {
                    changed.push((planned.key.clone(), object.clone()));
                    tell(planned, object);
                })
                .await?;
            }
            if stage != Stage::Rest {
                self.stage_ready(client, changed, deadline, limit).await?;
            }
        }
        let pruned = self.prune(client, deadline, limit).await?;
        pruned.iter().for_each(&mut done);
        if let Some(inventory) = &self.options.inventory
            && (!self.is_same() || self.recorded.is_empty())
        {
            inventory.write(client, &self.entries(Some(&after))).await?;
        }
        Ok(Outcome::of(self, after, pruned))
    }

    /// What is to be applied in a stage, in order.
    fn due(&self, stage: Stage) -> Vec<&Planned> {
        let due = self
            .objects
            .iter()
            .filter(|planned| matches!(planned.action, Action::Create | Action::Change));
        let mut due: Vec<&Planned> = due
            .filter(|planned| Stage::of(&planned.resource, &self.options.early) == stage)
            .collect();
        due.sort_by_key(|planned| rank(&planned.wished));
        due
    }

    /// Objects of kinds that were not there when the plan was made are tried now, before any of their stage is applied.
    async fn try_unserved(&self, client: &Client, due: &[&Planned]) -> Result<(), Error> {
        let is_new = |planned: &&Planned| self.unserved.contains(&planned.resource);
        let new: Vec<&Planned> = due.iter().copied().filter(is_new).collect();
        if new.is_empty() {
            return Ok(());
        }
        let deadline = Instant::now() + SERVED_TIMEOUT;
        loop {
            match try_classes(client, new.clone(), &self.options, &HashSet::new()).await {
                Err(Error::NoSuchKind { .. }) if Instant::now() < deadline => {
                    tokio::time::sleep(SERVED_PAUSE).await;
                }
                result => return result,
            }
        }
    }

    /// Applies some objects together. After a failure no more are begun, but what is under way is seen to its end.
    async fn together(
        &self,
        client: &Client,
        objects: &[&Planned],
        deadline: Instant,
        limit: Duration,
        mut done: impl FnMut(&Planned, Value),
    ) -> Result<(), Error> {
        let mut waiting = objects.iter();
        let mut under_way = FuturesUnordered::new();
        let mut failed = None;
        for planned in waiting.by_ref().take(AT_ONCE) {
            under_way.push(self.one(client, planned));
        }
        while let Some((result, planned)) = under_way.next().await {
            match result {
                Ok(object) => done(planned, object),
                Err(error) => failed = failed.or(Some(error)),
            }
            if failed.is_none() && Instant::now() >= deadline && waiting.len() > 0 {
                failed = Some(Error::Timeout {
                    what: format!("applying {} more objects", waiting.len()),
                    seconds: seconds(limit),
                });
            }
            if failed.is_none()
                && let Some(planned) = waiting.next()
            {
                under_way.push(self.one(client, planned));
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn one<'a>(
        &self,
        client: &Client,
        planned: &'a Planned,
    ) -> (Result<Value, Error>, &'a Planned) {
        let request = apply_request(planned, &self.options);
        let deadline = Instant::now() + SERVED_TIMEOUT;
        loop {
            let error = match client.send(&request).await {
                Ok(object) => return (Ok(object), planned),
                Err(error) => error,
            };
            if !self.is_coming(planned, &error) || Instant::now() >= deadline {
                return (Err(error), planned);
            }
            tokio::time::sleep(SERVED_PAUSE).await;
        }
    }

    /// Whether what is missing was just made by ourselves, and is about to be there.
    fn is_coming(&self, planned: &Planned, error: &Error) -> bool {
        let namespaces = self.new_namespaces();
        let is_new = planned
            .key
            .namespace
            .as_ref()
            .is_some_and(|namespace| namespaces.contains(namespace));
        match error {
            Error::NoSuchKind { .. } => self.unserved.contains(&planned.resource),
            // A pod needs its namespace's `default` account, which a controller makes.
            Error::Forbidden(denied) => {
                is_new && denied.message.contains("error looking up service account")
            }
            _ => false,
        }
    }

    /// Waits for what was changed in a stage.
    async fn stage_ready(
        &self,
        client: &Client,
        changed: Vec<(Key, Value)>,
        deadline: Instant,
        limit: Duration,
    ) -> Result<(), Error> {
        let keys: BTreeSet<Key> = changed.iter().map(|(key, _)| key.clone()).collect();
        let wish = Wish {
            strict: false,
            fail_fast: true,
        };
        let pending: BTreeMap<Key, Value> = changed.into_iter().collect();
        let ready =
            await_ready(client, &self.starts, &keys, pending, wish, deadline, limit).await?;
        ready
            .values()
            .filter(|object| text(object, "/kind") == "CustomResourceDefinition")
            .for_each(|crd| client.kinds().learn_crd(crd));
        Ok(())
    }

    async fn prune(
        &self,
        client: &Client,
        deadline: Instant,
        limit: Duration,
    ) -> Result<Vec<Applied>, Error> {
        let mut pruned = Vec::new();
        // In reverse: what was applied last goes first.
        let mut due: Vec<&Planned> = self
            .objects
            .iter()
            .filter(|planned| planned.action == Action::Prune)
            .collect();
        due.sort_by_key(|planned| {
            (
                Stage::of(&planned.resource, &self.options.early),
                rank(planned.before.as_ref().unwrap_or(&Value::Null)),
            )
        });
        for planned in due.into_iter().rev() {
            let left = deadline
                .saturating_duration_since(Instant::now())
                .min(limit);
            let before = planned.before.as_ref().unwrap_or(&Value::Null);
            change::remove(
                client,
                &planned.resource,
                &planned.key,
                text(before, "/metadata/uid"),
                left,
            )
            .await?;
            pruned.push(Applied {
                key: planned.key.clone(),
                resource: planned.resource.clone(),
                wished: Value::Null,
                action: Action::Prune,
                before: planned.before.clone(),
                after: None,
            });
        }
        Ok(pruned)
    }

    /// What the inventory should have: before the first change all that was and will be, after the last what is.
    fn entries(&self, after: Option<&BTreeMap<Key, Value>>) -> Vec<Entry> {
        let mut entries = Vec::new();
        for planned in self
            .objects
            .iter()
            .filter(|planned| planned.action != Action::Prune)
        {
            let uid = after
                .and_then(|after| after.get(&planned.key))
                .or(planned.before.as_ref());
            entries.push(Entry::of(
                planned,
                uid.map(|object| text(object, "/metadata/uid")),
            ));
        }
        let is_pruned = |entry: &Entry| {
            let is_wished = self
                .objects
                .iter()
                .any(|planned| planned.key == entry.key && planned.action != Action::Prune);
            // What was not pruned stays recorded, for the day when it may be.
            is_wished || after.is_some() && self.options.prune
        };
        entries.extend(
            self.recorded
                .iter()
                .filter(|entry| !is_pruned(entry))
                .cloned(),
        );
        entries
    }
}
