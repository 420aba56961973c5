//! `lxc`, `vm`, `snapshot`, `ha`, `image`, and `rollback` and `proxmox`: from a step's keys and target to wishes and calls.
//!
//! The bridge between the engine and [`crate::action::pve`]; the order of things is the engine's.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use runbook::event::{EventKind, UndoRegistered};
use runbook::inventory::GuestKind;
use runbook::model::Target;
use runbook::node::Node;
use runbook::outcome::Mode;
use runbook::read::{self, Args};
use runbook::result::Fields;
use runbook_proxmox::{Client, Upid};
use serde_json::{Value, json};

use super::context::Cx;
use super::job::Job;
use super::judge::ended;
use super::outcome::Outcome;
use crate::action::pve::call::{self, Call};
use crate::action::pve::guest::{self, Known, Subject, Wrong};
use crate::action::pve::life::{self, Asked};
use crate::action::pve::world::{Stop, World, book_tag};
use crate::action::pve::{ha, image, snapshot};
use crate::action::{Ended, Failure, Report};
use crate::process;

type Read<T> = Result<T, Box<Outcome>>;

/// A wish for something of a cluster.
pub(super) struct Wish {
    world: World,
    what: What,
    asked: Asked,
    lock: String,
    /// Whether the guest was started by this step: it may not have its address yet.
    started: AtomicBool,
    note: Mutex<Option<String>>,
}

enum What {
    Guest(Box<guest::Wish>),
    Snapshot(snapshot::Wish),
    Ha(ha::Wish),
    Image(image::Wish),
}

/// What is there.
pub(super) enum Found {
    Guest(Box<life::Found>),
    Snapshot(snapshot::Found),
    Ha(ha::Found),
    Image(image::Found),
}

/// What a change is taken back from.
#[derive(Debug, Clone)]
pub(super) enum Former {
    Guest(life::Former),
    Snapshot(snapshot::Former),
    Ha(ha::Former),
    /// The node, and the volume as soon as it is there.
    Image(String, Option<String>),
}

impl Wish {
    /// Whether an action is one of these.
    pub(super) fn is_of(action: &str) -> bool {
        matches!(action, "lxc" | "vm" | "snapshot" | "ha" | "image")
    }

    /// Reads the wish of a job.
    ///
    /// # Errors
    ///
    /// A value that is not what its key wants; no cluster to ask.
    pub(super) async fn read(
        cx: &Cx,
        job: &Job<'_>,
        args: &Args<'_>,
        deadline: Instant,
    ) -> Read<Self> {
        let world = world(cx, job, deadline).await?;
        let known = known(cx, &job.target);
        let text = |field: &str| args.opt_text(field).map_err(|error| cx.read(&error));
        let what = match job.action.name {
            "lxc" => What::Guest(Box::new(guest_wish(cx, GuestKind::Lxc, args, known)?)),
            "vm" => What::Guest(Box::new(guest_wish(cx, GuestKind::Vm, args, known)?)),
            "snapshot" => What::Snapshot(snapshot::Wish {
                subject: subject(&job.target, known)?,
                name: args.text("name").map_err(|error| cx.read(&error))?,
                description: text("description")?,
                memory: args
                    .bool("memory", false)
                    .map_err(|error| cx.read(&error))?,
                present: text("state")?.as_deref() != Some("absent"),
            }),
            "ha" => {
                let int = |field: &str| args.opt_int(field).map_err(|error| cx.read(&error));
                What::Ha(ha::Wish {
                    subject: subject(&job.target, known)?,
                    state: text("state")?,
                    group: text("group")?,
                    max_restart: int("max-restart")?,
                    max_relocate: int("max-relocate")?,
                })
            }
            _ => What::Image(image_wish(cx, job, args, known)?),
        };
        let asks = |field: &str| {
            job.expect.iter().any(|expect| expect.field == field)
                || job.capture.iter().any(|capture| capture.field == field)
        };
        Ok(Self {
            lock: what.lock(),
            world,
            what,
            asked: Asked {
                address: asks("address") || asks("addresses"),
                agent: asks("agent"),
            },
            started: AtomicBool::new(false),
            note: Mutex::default(),
        })
    }

    /// What nobody else may touch meanwhile.
    pub(super) fn lock(&self) -> String {
        self.lock.clone()
    }

    /// Compares; changes nothing.
    pub(super) async fn compare(&self) -> Read<(Found, Fields, Option<String>)> {
        self.compared().await.map_err(|stop| self.stopped(stop))
    }

    async fn compared(&self) -> Result<(Found, Fields, Option<String>), Stop> {
        let world = &self.world;
        Ok(match &self.what {
            What::Guest(wish) => {
                let found = life::compare(world, wish).await?;
                let seen = found.seen.as_ref();
                let diff = found.diff.clone();
                let fields = if diff.is_none() {
                    let started = self.started.load(Ordering::Relaxed);
                    life::fields(world, wish, seen, self.asked, started).await?
                } else {
                    Fields::new()
                };
                let waiting = seen.and_then(life::waiting);
                *self.note.lock().unwrap_or_else(PoisonError::into_inner) = waiting;
                (Found::Guest(Box::new(found)), fields, diff)
            }
            What::Snapshot(wish) => {
                let found = snapshot::compare(world, wish).await?;
                let (fields, diff) = (snapshot::fields(&found), found.diff.clone());
                (Found::Snapshot(found), fields, diff)
            }
            What::Ha(wish) => {
                let found = ha::compare(world, wish).await?;
                let (fields, diff) = (ha::fields(&found), found.diff.clone());
                (Found::Ha(found), fields, diff)
            }
            What::Image(wish) => {
                let found = image::compare(world, wish).await?;
                image::verify(world, wish, &found).await?;
                let (fields, diff) = (image::fields(&found), found.diff.clone());
                (Found::Image(found), fields, diff)
            }
        })
    }

    /// How a change is taken back, as far as it is known before it begins.
    pub(super) fn former(&self, found: &Found) -> Former {
        match (&self.what, found) {
            (What::Guest(wish), Found::Guest(found)) => Former::Guest(life::former(wish, found)),
            (What::Snapshot(wish), Found::Snapshot(found)) => {
                Former::Snapshot(snapshot::former(wish, found))
            }
            (_, Found::Ha(found)) => Former::Ha(ha::former(found)),
            (What::Image(wish), _) => Former::Image(wish.node.clone(), None),
            _ => Former::Image(String::new(), None),
        }
    }

    /// Changes what differs.
    pub(super) async fn change(&self, found: &Found, former: &mut Former) -> Read<()> {
        let world = &self.world;
        let changed = match (&self.what, found, former) {
            (What::Guest(wish), Found::Guest(found), Former::Guest(former)) => {
                let ran = found
                    .seen
                    .as_ref()
                    .is_some_and(|seen| seen.status.is_running());
                let changed = life::change(world, wish, found, former).await;
                self.started.store(!ran || wish.restart, Ordering::Relaxed);
                changed
            }
            (What::Snapshot(wish), Found::Snapshot(found), _) => {
                snapshot::change(world, wish, found).await
            }
            (What::Ha(wish), Found::Ha(found), _) => ha::change(world, wish, found).await,
            (What::Image(wish), Found::Image(found), Former::Image(_, volume)) => {
                let changed = image::change(world, wish, found).await;
                if changed.is_ok() {
                    let now = image::compare(world, wish).await;
                    *volume = now.ok().and_then(|now| now.volid().map(str::to_owned));
                }
                changed
            }
            _ => Err(Stop::from(Failure::new("a comparison of another action"))),
        };
        changed.map_err(|stop| self.stopped(stop))
    }

    /// Takes a change back.
    pub(super) async fn restore(&self, former: &Former) -> Result<(), String> {
        let world = &self.world;
        let restored = match former {
            Former::Guest(former) => return life::restore(world, former).await,
            Former::Snapshot(former) => snapshot::restore(world, former).await,
            Former::Ha(former) => ha::restore(world, former).await,
            Former::Image(node, Some(volume)) => image::restore(world, node, volume).await,
            Former::Image(_, None) => Ok(()),
        };
        restored.map_err(|stop| stop.message())
    }

    /// What is not there, and would be made.
    pub(super) fn makes(&self, found: &Found) -> Option<String> {
        match found {
            Found::Guest(found) if found.seen.is_none() && found.diff.is_some() => {
                Some(self.lock.clone())
            }
            _ => None,
        }
    }

    /// What the tasks logged, and a remark, for the result.
    pub(super) fn shown(&self) -> (Option<process::Output>, Option<String>) {
        let note = self.note.lock().unwrap_or_else(PoisonError::into_inner);
        (self.world.output(), note.clone())
    }

    fn stopped(&self, stop: Stop) -> Box<Outcome> {
        let mut outcome = outcome(stop);
        outcome.output = self.world.output();
        outcome
    }
}

fn outcome(stop: Stop) -> Box<Outcome> {
    let mut report = Report::of(stop.ended);
    report.note = stop.note;
    let mut outcome = ended(report);
    outcome.absent = stop.absent;
    outcome
}

impl What {
    fn lock(&self) -> String {
        let subject = match self {
            Self::Guest(wish) => &wish.subject,
            Self::Snapshot(wish) => &wish.subject,
            Self::Ha(wish) => &wish.subject,
            Self::Image(wish) => return format!("storage {}/{}", wish.node, wish.storage),
        };
        guest_lock(subject)
    }
}

fn guest_lock(subject: &Subject) -> String {
    match subject.vmid {
        Some(vmid) => format!("guest {vmid}"),
        // Two that look for a free number must not find the same.
        None => "guest without a number".to_owned(),
    }
}

impl Former {
    /// One line for people.
    pub(super) fn summary(&self) -> String {
        match self {
            Self::Guest(former) => former.summary(),
            Self::Snapshot(former) if former.present => {
                format!("snapshot `{}` of {} as it was", former.name, former.guest)
            }
            Self::Snapshot(former) => {
                format!("remove snapshot `{}` of {}", former.name, former.guest)
            }
            Self::Ha(former) => format!("high availability of {} as it was", former.guest),
            Self::Image(_, Some(volume)) => format!("remove `{volume}`"),
            Self::Image(..) => "remove what is downloaded".to_owned(),
        }
    }

    /// What another process needs to do it.
    pub(super) fn data(&self) -> Value {
        match self {
            Self::Guest(former) => former.data(),
            Self::Snapshot(former) => json!({
                "action": "snapshot", "node": former.guest.node, "vmid": former.guest.vmid,
                "name": former.name, "present": former.present, "description": former.description,
            }),
            Self::Ha(former) => json!({
                "action": "ha", "node": former.guest.node, "vmid": former.guest.vmid,
                "was": former.was.as_ref().map(|was| json!({
                    "state": was.state, "group": was.group,
                    "max-restart": was.max_restart, "max-relocate": was.max_relocate,
                })),
            }),
            Self::Image(node, volume) => json!({"action": "image", "node": node, "volume": volume}),
        }
    }
}

fn refused(message: impl Into<String>, hint: impl Into<String>) -> Box<Outcome> {
    outcome(Stop::refused(message, hint))
}

/// What the inventory says about a target.
fn known(cx: &Cx, target: &Target) -> Known {
    let name = match target {
        Target::Lxc(name) | Target::Vm(name) => name,
        Target::Node(node) => {
            return Known {
                node: Some(node.clone()),
                ..Known::default()
            };
        }
        _ => return Known::default(),
    };
    let number = name.parse::<u32>().ok();
    let inventory = &cx.run.book.inventory;
    let guest = inventory.guests.iter().find(|guest| {
        guest.name == *name
            || (number.is_some() && guest.vmid.and_then(|vmid| u32::try_from(vmid).ok()) == number)
    });
    let Some(guest) = guest else {
        return Known {
            vmid: number,
            ..Known::default()
        };
    };
    let text = |key: &str| {
        guest
            .node
            .get(key)
            .and_then(Node::as_text)
            .map(str::to_owned)
    };
    let vmid = guest.vmid.and_then(|vmid| u32::try_from(vmid).ok());
    Known {
        vmid: vmid.or(number),
        node: text("node"),
        name: Some(guest.name.clone()),
        address: text("address"),
        claimed: vmid.is_some(),
    }
}

fn guest_wish(cx: &Cx, kind: GuestKind, args: &Args<'_>, mut known: Known) -> Read<guest::Wish> {
    let wrong = |wrong: Wrong| match wrong {
        Wrong::Read(error) => cx.read(&error),
        Wrong::Failure(failure) => outcome(failure.into()),
    };
    // A number that a step writes may be one of the inventory.
    if known.vmid.is_none()
        && let Ok(Some(vmid)) = args.opt_int("vmid")
    {
        let guests = &cx.run.book.inventory.guests;
        if let Some(guest) = guests.iter().find(|guest| guest.vmid == Some(vmid)) {
            let text = |key: &str| {
                guest
                    .node
                    .get(key)
                    .and_then(Node::as_text)
                    .map(str::to_owned)
            };
            known.claimed = true;
            known.address = text("address");
            known.name.get_or_insert_with(|| guest.name.clone());
        }
    }
    guest::Wish::read(kind, args, known).map_err(wrong)
}

fn subject(target: &Target, known: Known) -> Read<Subject> {
    let kind = match target {
        Target::Lxc(_) => GuestKind::Lxc,
        Target::Vm(_) => GuestKind::Vm,
        _ => {
            return Err(refused(
                "it is not said which guest is meant",
                "write `on: lxc/NAME` or `on: vm/NAME`",
            ));
        }
    };
    Ok(Subject {
        kind,
        vmid: known.vmid,
        node: known.node,
        hostname: known.name,
        claimed: known.claimed,
        address: known.address,
    })
}

fn image_wish(cx: &Cx, job: &Job<'_>, args: &Args<'_>, known: Known) -> Read<image::Wish> {
    let text = |field: &str| args.opt_text(field).map_err(|error| cx.read(&error));
    let node = match (text("node")?, known.node) {
        (Some(node), _) | (None, Some(node)) => node,
        (None, None) => {
            return Err(refused(
                "it is not said on which node the storage is",
                "write `on: node/NAME` or `node`",
            ));
        }
    };
    let from = match (text("name")?, text("url")?) {
        (Some(name), _) => image::From::Name(name),
        (None, url) => {
            let checksum = text("checksum")?.unwrap_or_default();
            let sha256 = checksum.strip_prefix("sha256:").unwrap_or(&checksum);
            image::From::Url {
                url: url.unwrap_or_default(),
                sha256: sha256.to_owned(),
            }
        }
    };
    let kind = match (text("kind")?.as_deref(), &from) {
        (Some("template"), _) => image::Kind::Template,
        (Some("iso"), _) => image::Kind::Iso,
        (Some("cloud"), _) => image::Kind::Cloud,
        (_, image::From::Name(name)) => image::Kind::of(name),
        (_, image::From::Url { url, .. }) => image::Kind::of(url),
    };
    Ok(image::Wish {
        node,
        storage: args.text("storage").map_err(|error| cx.read(&error))?,
        kind,
        from,
        verify: cx.mode.effective != Mode::Observe && job.artifact.is_some(),
    })
}

/// Who answers for the cluster: the one place where a step gets its client.
async fn proxmox(cx: &Cx) -> Read<(Client, Option<Client>)> {
    let proxmox = cx.proxmox().await?;
    Ok((proxmox.client, proxmox.login))
}

async fn world(cx: &Cx, job: &Job<'_>, deadline: Instant) -> Read<World> {
    let (client, login) = proxmox(cx).await?;
    let mut world = World::new(client, login, job.record(cx));
    world.book_tag = tag_of(cx);
    world.step = cx.id.to_string();
    world.scratch = scratch(cx);
    world.deadline = deadline;
    world.cancel = cx.cancel.clone();
    world.on_task = on_task(cx);
    Ok(world)
}

/// The book's tag, from its title; a book without one is named by its folder.
fn tag_of(cx: &Cx) -> String {
    let root = &cx.run.request.root;
    let title = mdbook_driver::config::Config::from_disk(root.join("book.toml"))
        .ok()
        .and_then(|config| config.book.title);
    let folder = || {
        let name = root.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    };
    book_tag(&title.unwrap_or_else(folder))
}

/// The numbers of `scratch.vmids` of the profile; of the lab those that LANGUAGE gives as the example, where it says nothing.
fn scratch(cx: &Cx) -> Option<(u32, u32)> {
    let profile = cx.run.book.inventory.profile(&cx.run.request.profile);
    let vmids = profile
        .and_then(|profile| profile.node.as_ref())
        .and_then(|node| node.get("scratch")?.get("vmids"))
        .and_then(|vmids| read::range(vmids).ok());
    let narrow =
        |(low, high): (u64, u64)| Some((u32::try_from(low).ok()?, u32::try_from(high).ok()?));
    match vmids {
        Some(vmids) => narrow(vmids),
        None => cx.is_lab().then_some((9000, 9099)),
    }
}

/// Writes a task into the journal before it is waited for, so that a killed run can find it again.
fn on_task(cx: &Cx) -> Box<dyn Fn(&Upid) + Send + Sync> {
    let (run, id, target) = (cx.run.clone(), cx.id.clone(), cx.target_text.clone());
    Box::new(move |upid| {
        run.emitter.emit(EventKind::UndoRegistered(UndoRegistered {
            id: id.clone(),
            summary: format!("wait for task {}", upid.as_str()),
            data: json!({"task": upid.as_str(), "target": target}),
        }));
    })
}

/// Whether an action does something with a cluster.
pub(super) fn is_act(action: &str) -> bool {
    matches!(action, "rollback" | "proxmox")
}

/// Executes `rollback` or `proxmox`.
///
/// # Errors
///
/// A value that is not what its key wants; no cluster to ask.
pub(super) async fn perform(cx: &Cx, job: &Job<'_>, deadline: Instant) -> Read<Report> {
    let rendered = job.rendered(cx)?;
    let args = Args::new(job.action, &rendered).map_err(|error| cx.read(&error))?;
    let world = world(cx, job, deadline).await?;
    let reading = |error| cx.read(&error);
    let (done, command) = if job.action.name == "rollback" {
        let subject = subject(&job.target, known(cx, &job.target))?;
        let _lock = cx.run.locks.hold(guest_lock(&subject)).await;
        let name = args.text("name").map_err(reading)?;
        let start = match args.has("start") {
            true => Some(args.bool("start", false).map_err(reading)?),
            false => None,
        };
        let done = snapshot::rollback(&world, &subject, &name, start).await;
        (done.map(|fields| (fields, None)), None)
    } else {
        let params = match args.get("params") {
            Some(params) => read::entries(params).map_err(reading)?.into_owned(),
            None => Vec::new(),
        };
        let call = Call {
            path: args.text("path").map_err(reading)?,
            method: args
                .opt_text("method")
                .map_err(reading)?
                .unwrap_or_else(|| "GET".into()),
            params: params
                .into_iter()
                .map(|entry| (entry.key, entry.value.to_json()))
                .collect(),
        };
        let shown = call.shown();
        let done = call::run(&world, &call).await;
        (
            done.map(|(data, task)| (Fields::new(), Some((data, task)))),
            Some(shown),
        )
    };
    let output = world.output();
    let mut report = match done {
        Ok((fields, answer)) => {
            let log = output
                .as_ref()
                .map(|output| output.stdout.text().into_owned())
                .unwrap_or_default();
            Report {
                fields: match answer {
                    Some((data, task)) => call::fields(data, task, log),
                    None => fields,
                },
                ..Report::of(Ended::Done)
            }
        }
        Err(stop) => {
            let mut report = Report::of(stop.ended);
            report.note = stop.note;
            report
        }
    };
    report.output = output;
    report.command = command;
    Ok(report)
}
