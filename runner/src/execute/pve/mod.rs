//! `lxc`, `vm`, `snapshot`, `ha`, `image`, `helper-script`, and `rollback` and `proxmox`: from a step's keys and target to wishes and calls.
//!
//! The bridge between the engine and [`crate::action::pve`]; the order of things is the engine's.

mod act;
mod former;
mod given;
mod helper_wish;
mod leftover;
mod rights;
mod wish;
mod world;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use runbook::inventory::GuestKind;
use runbook::read::Args;
use runbook::result::Fields;

use super::context::{Cx, Run};
use super::desired::Shown;
use super::job::Job;
use super::judge::ended;
use super::outcome::Outcome;
use super::vantage;
use crate::action::pve::guest::{self, Subject};
use crate::action::pve::life::{self, Asked};
use crate::action::pve::world::{Stop, World};
use crate::action::pve::{ha, helper, image, snapshot};
use crate::action::{Failure, Report};
use crate::process;

pub(super) use act::{is_act, perform};
pub(super) use former::Former;
use given::Given;
use helper_wish::helper_wish;
use leftover::Leftover;
pub(super) use rights::{needs, needs_rights};
use wish::{guest_wish, image_wish, known, snapshot_wish, subject};
pub(super) use world::tag_of;
use world::world;

type Read<T> = Result<T, Box<Outcome>>;

/// A wish for something of a cluster.
pub(super) struct Wish {
    run: Arc<Run>,
    world: World,
    what: What,
    /// The text that its cloud-init reads.
    given: Option<Given>,
    /// The texts that a machine which goes leaves behind.
    leftover: Option<Leftover>,
    asked: Asked,
    /// Why the lab does not do it.
    kept: Mutex<Option<Report>>,
    lock: String,
    /// Whether the guest was started by this step: it may not have its address yet.
    started: AtomicBool,
    note: Mutex<Option<String>>,
    /// What is left though nobody needs it.
    stays: Mutex<Option<String>>,
}

enum What {
    Guest(Box<guest::Wish>),
    Snapshot(snapshot::Wish),
    Ha(ha::Wish),
    Image(image::Wish),
    Helper(Box<helper::Wish>),
}

/// What is there.
pub(super) enum Found {
    Guest(Box<life::Found>),
    Snapshot(snapshot::Found),
    Ha(ha::Found),
    Image(image::Found),
}

impl Wish {
    /// Whether an action is one of these.
    pub(super) fn is_of(action: &str) -> bool {
        matches!(
            action,
            "lxc" | "vm" | "snapshot" | "ha" | "image" | "helper-script"
        )
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
        let (mut given, mut leftover, mut kept) = (None, None, None);
        let what = match job.action.name {
            "lxc" => What::Guest(Box::new(guest_wish(cx, GuestKind::Lxc, args, known)?)),
            "vm" => {
                let mut wish = guest_wish(cx, GuestKind::Vm, args, known)?;
                given = Given::take(cx, &world, &mut wish, deadline).await?;
                leftover = Leftover::take(cx, &world, &wish, deadline).await?;
                What::Guest(Box::new(wish))
            }
            "snapshot" => What::Snapshot(snapshot_wish(cx, job, args, known)?),
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
            "helper-script" => {
                What::Helper(Box::new(helper_wish(cx, job, args, known, &world).await?))
            }
            _ => {
                let wish = image_wish(cx, job, args, known)?;
                if let image::From::Url { url, .. } = &wish.from {
                    kept = vantage::no_download(cx, &wish.node, url).await?;
                }
                What::Image(wish)
            }
        };
        Ok(Self {
            run: Arc::clone(&cx.run),
            lock: what.lock(),
            world,
            what,
            given,
            leftover,
            asked: asked(job),
            kept: Mutex::new(kept),
            started: AtomicBool::new(false),
            note: Mutex::default(),
            stays: Mutex::default(),
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
                let mut found = life::compare(world, wish).await?;
                if let Some(given) = &self.given {
                    given.compare(world, &mut found).await?;
                }
                if let Some(leftover) = &self.leftover {
                    leftover.compare(world, &mut found).await?;
                }
                let seen = found.seen.as_ref();
                let diff = found.diff.clone();
                let fields = if diff.is_none() {
                    let started = self.started.load(Ordering::Relaxed);
                    life::fields(world, wish, seen, self.asked, started).await?
                } else {
                    Fields::new()
                };
                let waiting = seen.and_then(life::waiting);
                self.remark(waiting);
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
            What::Helper(wish) => {
                let found = helper::compare(world, wish).await?;
                let diff = found.diff.clone();
                let mut fields = Fields::new();
                if diff.is_none() {
                    let (seen, started) =
                        (found.seen.as_ref(), self.started.load(Ordering::Relaxed));
                    fields = life::fields(world, &wish.guest, seen, self.asked, started).await?;
                    fields.set("log", wish.log());
                }
                self.remark(wish.note());
                (Found::Guest(Box::new(found)), fields, diff)
            }
        })
    }

    /// How a change is taken back, as far as it is known before it begins.
    pub(super) fn former(&self, found: &Found) -> Former {
        match (&self.what, found) {
            (What::Guest(wish), Found::Guest(found)) => {
                let mut former = life::former(wish, found);
                former.snippet = self.given.as_ref().and_then(Given::made);
                former.snippet_before = self.given.as_ref().and_then(Given::replaced);
                Former::Guest(former)
            }
            (What::Snapshot(wish), Found::Snapshot(found)) => {
                Former::Snapshot(snapshot::former(wish, found))
            }
            (_, Found::Ha(found)) => Former::Ha(ha::former(found)),
            (What::Image(wish), _) => Former::Image(wish.node.clone(), None),
            (What::Helper(wish), _) => Former::Guest(helper::former(wish)),
            _ => Former::Image(String::new(), None),
        }
    }

    /// Changes what differs.
    pub(super) async fn change(&self, found: &Found, former: &mut Former) -> Read<()> {
        let world = &self.world;
        let kept = self
            .kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(kept) = kept {
            return Err(ended(kept));
        }
        let changed = match (&self.what, found, former) {
            (What::Guest(wish), Found::Guest(found), Former::Guest(former)) => {
                let ran = found
                    .seen
                    .as_ref()
                    .is_some_and(|seen| seen.status.is_running());
                let written = match &self.given {
                    Some(given) => given.write().await,
                    None => Ok(()),
                };
                let changed = match written {
                    Ok(()) => life::change(world, wish, found, former).await,
                    Err(stop) => Err(stop),
                };
                self.started.store(!ran || wish.restart, Ordering::Relaxed);
                if changed.is_ok() {
                    let stays = match (&self.given, &self.leftover, &found.seen) {
                        (Some(given), _, Some(_)) => given.tidy(world).await,
                        (None, Some(leftover), Some(seen)) => {
                            leftover.remove(world, &seen.guest).await
                        }
                        _ => None,
                    };
                    *self.stays.lock().unwrap_or_else(PoisonError::into_inner) = stays;
                }
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
            (What::Helper(wish), _, Former::Guest(former)) => {
                self.started.store(true, Ordering::Relaxed);
                helper::change(world, wish, &self.run.http, former).await
            }
            _ => Err(Stop::from(Failure::new("a comparison of another action"))),
        };
        changed.map_err(|stop| self.stopped(stop))
    }

    /// Takes a change back.
    pub(super) async fn restore(&self, former: &Former) -> Result<(), String> {
        let world = &self.world;
        let restored = match former {
            Former::Guest(former) => match &self.given {
                Some(given) => given.restore(world, former).await,
                None => return life::restore(world, former).await,
            },
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
    pub(super) fn shown(&self) -> Shown {
        let notes = [&self.note, &self.stays]
            .map(|note| note.lock().unwrap_or_else(PoisonError::into_inner).clone());
        let notes: Vec<String> = notes.into_iter().flatten().collect();
        Shown {
            output: self.output(),
            note: (!notes.is_empty()).then(|| notes.join("; ")),
            stand_in: self.stood_in(),
        }
    }

    fn stopped(&self, stop: Stop) -> Box<Outcome> {
        let mut outcome = outcome(stop);
        outcome.output = self.output();
        outcome.stand_in = self.stood_in();
        outcome
    }

    fn remark(&self, note: Option<String>) {
        *self.note.lock().unwrap_or_else(PoisonError::into_inner) = note;
    }

    /// Whether a file of the book ran in the place of an installer.
    fn stood_in(&self) -> bool {
        matches!(&self.what, What::Helper(wish) if wish.note().is_some())
    }

    /// What tasks logged, or the installer printed.
    fn output(&self) -> Option<process::Output> {
        match &self.what {
            What::Helper(wish) => wish.take_output(),
            _ => self.world.output(),
        }
    }
}

fn outcome(stop: Stop) -> Box<Outcome> {
    let mut report = Report::of(stop.ended);
    report.note = stop.note;
    let mut outcome = ended(report);
    outcome.absent = stop.absent;
    outcome.untouched = stop.untouched;
    outcome
}

impl What {
    fn lock(&self) -> String {
        let subject = match self {
            Self::Guest(wish) => &wish.subject,
            Self::Snapshot(wish) => &wish.subject,
            Self::Ha(wish) => &wish.subject,
            Self::Image(wish) => return format!("storage {}/{}", wish.node, wish.storage),
            Self::Helper(wish) => &wish.guest.subject,
        };
        guest_lock(subject)
    }
}

/// Which fields a step asks for.
fn asked(job: &Job<'_>) -> Asked {
    let asks = |field: &str| {
        job.expect.iter().any(|expect| expect.field == field)
            || job.capture.iter().any(|capture| capture.field == field)
    };
    Asked {
        address: asks("address") || asks("addresses"),
        agent: asks("agent"),
    }
}

fn guest_lock(subject: &Subject) -> String {
    match subject.vmid {
        Some(vmid) => format!("guest {vmid}"),
        // Two that look for a free number must not find the same.
        None => "guest without a number".to_owned(),
    }
}

fn refused(message: impl Into<String>, hint: impl Into<String>) -> Box<Outcome> {
    outcome(Stop::refused(message, hint))
}
