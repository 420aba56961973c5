//! `/nodes/{node}/storage/{storage}/prunebackups`: which backups of each guest stay, and the removal of the others.
//!
//! Facts: `PVE::Storage::prune_backups` and its marks, as read in pve-storage 9.1.7 (see the reference of this project).

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::storages::usable;
use super::{Act, Route};
use crate::pve::answer::{Fail, Outcome};
use crate::pve::cluster::{Call, Cluster};
use crate::pve::params::plain;
use crate::pve::state::{State, Volume};

pub(super) const ROUTES: &[Route] = &[
    (
        "GET",
        "/nodes/{node}/storage/{storage}/prunebackups",
        Act::Now(preview),
    ),
    (
        "DELETE",
        "/nodes/{node}/storage/{storage}/prunebackups",
        Act::Now(prune),
    ),
];

/// The periods of which the newest backups stay, in the order in which they have their say, and how a backup's period is
/// written.
const PERIODS: [(&str, &str); 6] = [
    ("keep-last", "%s"),
    ("keep-hourly", "%Y-%m-%d %H"),
    ("keep-daily", "%Y-%m-%d"),
    ("keep-weekly", "%G-%V"),
    ("keep-monthly", "%Y-%m"),
    ("keep-yearly", "%Y"),
];

/// How many of each period stay; everything where none is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Keep([usize; PERIODS.len()]);

impl Keep {
    /// From a property string: `keep-daily=7,keep-weekly=4`, or `keep-all=1`.
    pub(super) fn parse(text: &str) -> Self {
        let value = |name: &str| {
            let mut parts = text.split(',').filter_map(|part| part.split_once('='));
            parts.find(|(key, _)| *key == name).map(|(_, value)| value)
        };
        if value("keep-all").is_some_and(|all| matches!(all, "1" | "yes" | "on" | "true")) {
            return Self::default();
        }
        let count = |name| value(name).and_then(|n| n.parse().ok()).unwrap_or(0);
        Self(PERIODS.map(|(name, _)| count(name)))
    }

    fn is_all(&self) -> bool {
        self.0.iter().all(|count| *count == 0)
    }

    /// As a task's log has it.
    pub(super) fn shown(&self) -> String {
        if self.is_all() {
            return "keep-all=1".to_owned();
        }
        let asked = PERIODS.iter().zip(self.0).filter(|(_, count)| *count > 0);
        let mut parts: Vec<String> = asked
            .map(|((name, _), count)| format!("{name}={count}"))
            .collect();
        parts.sort();
        parts.join(", ")
    }

    /// The times of one guest's backups that stay.
    fn kept(&self, times: &BTreeSet<i64>, zone: &TimeZone) -> BTreeSet<i64> {
        if self.is_all() {
            return times.clone();
        }
        let mut kept = BTreeSet::new();
        // What lies in a period that has its backup is decided: it goes, whatever a longer period would say.
        let mut decided: BTreeSet<i64> = BTreeSet::new();
        for ((_, format), count) in PERIODS.iter().zip(self.0) {
            if count == 0 {
                continue;
            }
            let period = |time: i64| {
                let time = jiff::Timestamp::from_second(time).unwrap_or_default();
                time.to_zoned(zone.clone()).strftime(format).to_string()
            };
            let before: BTreeSet<String> = kept.iter().map(|time| period(*time)).collect();
            let mut new = BTreeSet::new();
            for time in times.iter().rev() {
                let own = period(*time);
                if decided.contains(time) || before.contains(&own) {
                    continue;
                }
                if !new.contains(&own) {
                    if new.len() >= count {
                        break;
                    }
                    new.insert(own);
                    kept.insert(*time);
                }
                decided.insert(*time);
            }
        }
        kept
    }
}

/// One backup, and what becomes of it.
pub(super) struct Marked {
    pub(super) volid: String,
    mark: &'static str,
    kind: &'static str,
    vmid: Option<u32>,
    ctime: i64,
}

impl Marked {
    pub(super) fn goes(&self) -> bool {
        self.mark == "remove"
    }
}

/// What is considered: backups of a storage that a node sees, of one kind or guest where that is said.
pub(super) struct Scope {
    pub(super) node: String,
    pub(super) storage: String,
    pub(super) kind: Option<String>,
    pub(super) vmid: Option<u32>,
}

/// The kind and guest of a name as vzdump writes it, and nothing for any other.
fn standard(volid: &str) -> Option<(&'static str, u32)> {
    let rest = volid.split_once(":backup/vzdump-")?.1;
    let (kind, rest) = rest.split_once('-')?;
    let kind = ["lxc", "qemu"].into_iter().find(|known| *known == kind)?;
    let (vmid, _) = rest.split_once('-')?;
    Some((kind, vmid.parse().ok()?))
}

/// Marks every backup in scope.
pub(super) fn marked(state: &State, scope: &Scope, keep: &Keep) -> Vec<Marked> {
    let seen = |volume: &&Volume| {
        volume.content == "backup"
            && volume.storage() == scope.storage
            && volume.seen_from(&scope.node)
            && scope.vmid.is_none_or(|vmid| volume.vmid == Some(vmid))
    };
    let mut found: Vec<Marked> = Vec::new();
    let mut groups: BTreeMap<(&str, u32), BTreeSet<i64>> = BTreeMap::new();
    for volume in state.volumes.iter().filter(seen) {
        let named = standard(&volume.volid);
        let kind = named.map_or("unknown", |(kind, _)| kind);
        if scope.kind.as_ref().is_some_and(|wanted| wanted != kind) {
            continue;
        }
        let mark = match named {
            _ if volume.protected => "protected",
            None => "renamed",
            Some(group) => {
                groups.entry(group).or_default().insert(volume.ctime);
                "remove"
            }
        };
        found.push(Marked {
            volid: volume.volid.clone(),
            mark,
            kind,
            vmid: named.map(|(_, vmid)| vmid).or(volume.vmid),
            ctime: volume.ctime,
        });
    }
    let zone = state
        .node(&scope.node)
        .and_then(|node| TimeZone::get(&node.timezone).ok())
        .unwrap_or(TimeZone::UTC);
    let kept: BTreeMap<_, _> = groups
        .into_iter()
        .map(|(group, times)| (group, keep.kept(&times, &zone)))
        .collect();
    for backup in found.iter_mut().filter(|backup| backup.mark == "remove") {
        let group = backup.vmid.map(|vmid| (backup.kind, vmid));
        if group
            .and_then(|group| kept.get(&group))
            .is_some_and(|kept| kept.contains(&backup.ctime))
        {
            backup.mark = "keep";
        }
    }
    found.sort_by(|one, other| one.volid.cmp(&other.volid));
    found
}

fn scope(call: &Call) -> Scope {
    let vmid = call.params.int("vmid");
    Scope {
        node: call.node(),
        storage: call.text("storage"),
        kind: call.params.text("type"),
        vmid: vmid.and_then(|vmid| u32::try_from(vmid).ok()),
    }
}

/// What the call, or else the storage, says about keeping.
fn keep(call: &Call, state: &State) -> Result<Keep, Fail> {
    let storage = usable(call, state)?;
    if !storage.holds("backup") {
        return Err(Fail::die(format!(
            "storage '{}' does not support backups",
            storage.id
        )));
    }
    let own = storage.options.get("prune-backups").and_then(plain);
    let text = call.params.text("prune-backups").or(own).ok_or_else(|| {
        Fail::die(format!(
            "no prune-backups options configured for storage '{}'",
            storage.id
        ))
    })?;
    Ok(Keep::parse(&text))
}

fn preview(call: &Call, state: &mut State) -> Outcome {
    let keep = keep(call, state)?;
    let rows = marked(state, &scope(call), &keep).into_iter();
    let row = |backup: Marked| {
        let mut row = json!({
            "volid": backup.volid, "ctime": backup.ctime, "mark": backup.mark, "type": backup.kind,
        });
        if let Some(vmid) = backup.vmid {
            row["vmid"] = vmid.into();
        }
        row
    };
    Ok(rows.map(row).collect::<Vec<Value>>().into())
}

fn prune(call: &Call, state: &mut State) -> Outcome {
    let scope = scope(call);
    let path = format!("/storage/{}", scope.storage);
    let id = match scope.vmid {
        Some(vmid) => {
            call.check(state, &path, &["Datastore.AllocateSpace"])?;
            call.check(state, &format!("/vms/{vmid}"), &["VM.Backup"])?;
            format!("{vmid}@{}", scope.storage)
        }
        None => {
            call.check(state, &path, &["Datastore.Allocate"])?;
            scope.storage.clone()
        }
    };
    // A storage that cannot is told by the task, as the real one does.
    let keep = keep(call, state);
    call.task(state, "prunebackups", &id, move |worker| async move {
        let keep = keep?;
        for volid in remove(&worker.cluster, &scope, &keep).await {
            worker.log(format!("removing backup '{volid}'"));
        }
        Ok(())
    })
}

/// Removes what is not kept, with its files, and says what that was.
pub(super) async fn remove(cluster: &Cluster, scope: &Scope, keep: &Keep) -> Vec<String> {
    let gone: Vec<String> = {
        let mut state = cluster.lock();
        let marked = marked(&state, scope, keep).into_iter();
        let gone: Vec<String> = marked
            .filter(Marked::goes)
            .map(|backup| backup.volid)
            .collect();
        state
            .volumes
            .retain(|volume| !(gone.contains(&volume.volid) && volume.seen_from(&scope.node)));
        gone
    };
    for volid in &gone {
        cluster.hooks.volume_removed(volid).await;
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(keep: &str, times: &[&str], stay: &[&str]) {
        let seconds = |time: &&str| {
            let time: jiff::Timestamp = time.parse().unwrap();
            time.as_second()
        };
        let times: BTreeSet<i64> = times.iter().map(seconds).collect();
        let stay: BTreeSet<i64> = stay.iter().map(seconds).collect();
        assert_eq!(
            Keep::parse(keep).kept(&times, &TimeZone::UTC),
            stay,
            "{keep}"
        );
    }

    #[test]
    fn the_newest_of_each_period_stay() {
        let days = [
            "2026-11-20T02:00:00Z",
            "2026-11-28T02:00:00Z",
            "2026-11-29T02:00:00Z",
            "2026-11-29T14:00:00Z",
            "2026-11-30T02:00:00Z",
        ];
        check("keep-last=2", &days, &days[3..]);
        check("keep-all=1", &days, &days);
        check("keep-last=0", &days, &days);
        check("keep-daily=2", &days, &[days[3], days[4]]);
        // The daily one of the 29th decides that day; the last ones take no part of its count.
        check(
            "keep-last=1,keep-daily=2",
            &days,
            &[days[1], days[3], days[4]],
        );
        // Week 48 ends on Sunday the 29th, the 30th is in week 49, the 20th in week 47.
        check("keep-weekly=3", &days, &[days[0], days[3], days[4]]);
        check("keep-daily=1,keep-weekly=1", &days, &[days[3], days[4]]);
        check("keep-yearly=5", &days, &[days[4]]);
        check("keep-monthly=1", &[], &[]);
    }

    #[test]
    fn what_is_kept_is_said_in_the_order_of_names() {
        assert_eq!(
            Keep::parse("keep-weekly=4,keep-last=1,keep-daily=7").shown(),
            "keep-daily=7, keep-last=1, keep-weekly=4"
        );
        assert_eq!(Keep::parse("keep-all=1,keep-last=3").shown(), "keep-all=1");
    }

    #[test]
    fn only_names_of_vzdump_are_pruned() {
        assert_eq!(
            standard("local:backup/vzdump-lxc-140-2026_11_30-02_00_00.tar.zst"),
            Some(("lxc", 140))
        );
        assert_eq!(standard("local:backup/vzdump-qemu-x-2026.vma"), None);
        assert_eq!(standard("local:backup/before-upgrade.tar.zst"), None);
    }
}
