//! Jobs on other machines: finds the machine, keeps others off it, and hands the job to its action.

use std::sync::atomic::Ordering;
use std::time::Instant;

use runbook::model::Target;
use runbook::outcome::Effect;
use runbook::read::{self, Args};
use sha2::{Digest as _, Sha256};

use super::background::Started;
use super::context::Cx;
use super::job::{Job, left};
use super::outcome::Outcome;
use super::{kube, probe, vantage};
use crate::action::shell::{Place, Shell};
use crate::action::{Ended, Failure, Report, elsewhere, reboot};
use crate::process::Record;
use crate::reach::Machine;
use crate::remote::{Program, Script};

/// How much of a hash tells detached scripts apart.
const KEY_BYTES: usize = 16;

impl Job<'_> {
    /// The machine of the job's target.
    ///
    /// # Errors
    ///
    /// How the step ends when it is not known where that is.
    pub(super) async fn machine(&self, cx: &Cx) -> Result<Machine, Box<Outcome>> {
        cx.machine(&self.target).await
    }

    /// Executes an action that does or reads on another machine.
    pub(super) async fn elsewhere(
        &self,
        cx: &Cx,
        deadline: Instant,
    ) -> Result<Report, Box<Outcome>> {
        let machine = self.machine(cx).await.map_err(|mut lost| {
            lost.untouched = true;
            lost
        })?;
        // Waiting for others is not the step's own time.
        let time = left(deadline);
        let changes = cx.step().effect != Effect::Read;
        let _lock = match changes {
            true => Some(cx.run.locks.hold(machine.lock.clone()).await),
            false => None,
        };
        if self.action.is_script() {
            let call = self.call(cx)?;
            self.notice(cx, &call);
            let raw = self.must_see_raw(cx);
            let record = if raw {
                Record::default()
            } else {
                self.record(cx)
            };
            let remote = &machine.remote;
            let mut report = if self.detach {
                let detached = (self.key(cx, &call), cx.run.request.run.clone());
                elsewhere::run_detached(remote, call, detached, time, &cx.cancel, record).await
            } else {
                elsewhere::run(remote, call, time, &cx.cancel, record).await
            };
            report.raw = raw;
            return Ok(report);
        }
        if self.action.name == "reboot" {
            let (remote, is_container) = (&machine.remote, machine.is_container);
            let limit = cx.timing.timeout;
            return Ok(reboot::run(remote, is_container, time, limit, &cx.cancel).await);
        }
        let args = self.rendered(cx)?;
        let args = Args::new(self.action, &args).map_err(|error| cx.read(&error))?;
        if !probe::is_probe(self.action.name) {
            let (action, name) = (self.action.name, machine.remote.name());
            return Ok(Report::failed(format!(
                "`{action}` is not available on {name}"
            )));
        }
        let shell = Shell {
            place: Place::There(machine.remote),
            deadline: Instant::now() + time,
            limit: cx.timing.timeout,
            cancel: cx.cancel.clone(),
            lab: cx.is_lab(),
        };
        probe::perform_there(cx, self, &args, &shell).await
    }

    /// A script of the lab may use programs that the book brings.
    fn notice(&self, cx: &Cx, call: &elsewhere::Call) {
        if cx.is_lab() {
            let machine = vantage::machine(cx, &self.target);
            let brings = cx.run.worlds.brings(&machine, &call.script.text);
            cx.stood_in.fetch_or(brings, Ordering::Relaxed);
        }
    }

    /// What tells a detached script from others: the step and what it executes, the same in every run.
    fn key(&self, cx: &Cx, call: &elsewhere::Call) -> String {
        let mut hash = Sha256::new();
        let id = cx.id.to_string();
        for part in [&cx.run.request.profile, &id, &call.script.language] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        hash.update(call.script.text.as_bytes());
        let bytes = hash.finalize();
        let hex = bytes
            .iter()
            .take(KEY_BYTES)
            .map(|byte| format!("{byte:02x}"));
        hex.collect()
    }

    /// Starts a script that stays up on another machine.
    pub(super) async fn start(
        &self,
        cx: &Cx,
        record: Record,
        deadline: Instant,
    ) -> Result<Started, Box<Outcome>> {
        let machine = self.machine(cx).await?;
        let call = self.call(cx)?;
        self.notice(cx, &call);
        let program = Program::Script(call.script);
        let remote = machine.remote;
        Ok(
            match remote.start(&program, record, deadline, &cx.cancel).await {
                Ok(standing) => Ok((standing.child, Some(standing.held))),
                Err(error) => Err(Box::new(Report::of(elsewhere::ended(&error)))),
            },
        )
    }

    /// The script with the environment that scripts have everywhere.
    pub(super) fn call(&self, cx: &Cx) -> Result<elsewhere::Call, Box<Outcome>> {
        let mut env = vec![
            ("LANG".to_owned(), "C.UTF-8".to_owned()),
            ("TERM".to_owned(), "dumb".to_owned()),
            (
                "RUNBOOK_BOOK".to_owned(),
                cx.run.request.root.display().to_string(),
            ),
            ("RUNBOOK_RUN".to_owned(), cx.run.request.run.clone()),
        ];
        env.extend_from_slice(&self.env);
        Ok(elsewhere::Call {
            script: Script {
                language: self.action.name.to_owned(),
                text: self.script_text(cx)?,
                strict: self.strict,
                env,
            },
            limit: cx.timing.timeout,
            lab: cx.is_lab(),
        })
    }
}

impl Cx {
    /// The machine that a target is.
    ///
    /// # Errors
    ///
    /// How the step ends when it is not known where that is.
    pub(super) async fn machine(&self, target: &Target) -> Result<Machine, Box<Outcome>> {
        let world = if self.is_lab() {
            self.run.due_guide(&self.guide).world
        } else {
            0
        };
        let is_pod = matches!(target, Target::Pod { .. });
        if !is_pod && let Ok(world) = self.run.worlds.get(world).await {
            // For the records; a machine can be reached without the API that knows it.
            let _ = world.identity().await;
        }
        if let Some(reason) = self.run.machines.kept(world).await {
            return Err(super::judge::ended(Report::of(Ended::Kept(reason))));
        }
        let inventory = &self.run.book.inventory;
        let cluster = self.cluster_of_guide();
        let find = self
            .run
            .machines
            .find(inventory, target, cluster.as_deref(), world);
        let found = match tokio::time::timeout(self.timing.timeout, find).await {
            Ok(found) => found,
            Err(_) => {
                let message = format!("where `{}` is was not known in time", self.target_text);
                return Err(super::judge::ended(Report::of(Ended::TimedOut(message))));
            }
        };
        let noting = |machine: Machine| Machine {
            remote: machine.remote.noting(self.marks.clone()),
            ..machine
        };
        found.map(noting).map_err(|lost| {
            if lost.is_absent
                && let Target::Pod { namespace, pod } = target
                && let Some(skipped) =
                    kube::would_make_pod(self, namespace, pod, &lost.failure.message)
            {
                return skipped;
            }
            super::judge::ended(Report::of(match lost.is_absent {
                true => Ended::Failed(lost.failure),
                false => Ended::Unavailable(lost.failure),
            }))
        })
    }

    /// The cluster that the guide runs on, which is its pods' too.
    fn cluster_of_guide(&self) -> Option<String> {
        let on = self.render(self.book_guide().front.on.as_ref()?).ok()?;
        match read::target(&on) {
            Ok(Target::Cluster(name)) => Some(name),
            _ => None,
        }
    }

    /// Makes the kubeconfig of the lab's local scripts reach its clusters before a script runs that reads it by itself; `kubectl`
    /// and the like ask for it when they are used.
    pub(super) async fn reach_clusters(&self, script: &str) -> Option<Report> {
        let reads = script.contains("KUBECONFIG") || script.contains("import kubernetes");
        if !self.is_lab() || !reads || self.run.book.inventory.clusters.is_empty() {
            return None;
        }
        let world = self.run.due_guide(&self.guide).world;
        let path = self.run.locals.lab_kubeconfig(world);
        let written = self.run.worlds.write_kubeconfig(world, path).await;
        let failure = Failure::new(written.err()?);
        Some(Report::of(Ended::Unavailable(failure)))
    }

    /// The APIs and machines of the step's world.
    ///
    /// # Errors
    ///
    /// How the step ends when they cannot be used.
    pub(super) async fn world(&self) -> Result<std::sync::Arc<crate::world::World>, Box<Outcome>> {
        let world = self.run.due_guide(&self.guide).world;
        let found = self.run.worlds.get(world).await;
        found.map_err(|failure| super::judge::ended(Report::of(Ended::Unavailable(failure))))
    }

    /// The Proxmox VE of the step's world.
    ///
    /// # Errors
    ///
    /// How the step ends when it cannot be used.
    pub(super) async fn proxmox(&self) -> Result<crate::world::Proxmox, Box<Outcome>> {
        let world = self.world().await?;
        // For the records; who cannot tell it cannot be used either, and says so better.
        let _ = world.identity().await;
        if let Some(refused) = world.refused() {
            let refused = Ended::Unavailable(refused.clone());
            return Err(super::judge::ended(Report::of(refused)));
        }
        let proxmox = world.proxmox().cloned();
        proxmox.map_err(|failure| super::judge::ended(Report::of(Ended::Unavailable(failure))))
    }
}
