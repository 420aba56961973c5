//! `service` and `package`: from a step's keys to a wish, from what is there to its fields.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use runbook::model::Target;
use runbook::read::Args;
use runbook::result::Fields;
use serde_json::{Value, json};

use super::context::Cx;
use super::desired::{failed, unavailable};
use super::job::Job;
use super::judge::ended;
use super::outcome::Outcome;
use crate::action::shell::{Place, Shell};
use crate::action::{Ended, Report, package, service};

/// A wish for a unit or for packages.
pub(super) struct Wish {
    shell: Shell,
    pub(super) lock: String,
    what: What,
}

enum What {
    Service(service::Wish),
    Package {
        wish: package::Wish,
        /// What the package manager said.
        said: Mutex<String>,
    },
}

/// What is there.
pub(super) enum Found {
    Service(service::Found),
    Package(package::Found),
}

/// What a change is taken back from.
#[derive(Debug, Clone)]
pub(super) enum Former {
    Service(String, service::Found),
    Package(package::Former),
}

type Read<T> = Result<T, Box<Outcome>>;

fn how(end: Ended) -> Box<Outcome> {
    ended(Report::of(end))
}

impl Wish {
    /// Whether an action is one of these.
    pub(super) fn is_of(action: &str) -> bool {
        matches!(action, "service" | "package")
    }

    /// Reads the wish of a job.
    ///
    /// # Errors
    ///
    /// A value that is not what its key wants; `local` in the lab.
    pub(super) async fn read(
        cx: &Cx,
        job: &Job<'_>,
        args: &Args<'_>,
        deadline: Instant,
    ) -> Read<Self> {
        let what = match job.action.name {
            "service" => service_wish(cx, args)?,
            _ => package_wish(cx, args)?,
        };
        let (place, lock) = if job.target == Target::Local {
            if cx.is_lab() {
                let reason = "the lab changes nothing of this machine";
                return Err(how(Ended::Kept(reason.into())));
            }
            let place = cx
                .place()
                .map_err(|error| unavailable(format!("no place to run in: {error}")))?;
            let here = Place::Here {
                directory: place.directory.clone(),
                environment: place.environment.clone(),
            };
            (here, "local system".to_owned())
        } else {
            let machine = job.machine(cx).await?;
            (Place::There(machine.remote), machine.lock)
        };
        let shell = Shell {
            place,
            deadline,
            limit: cx.timing.timeout,
            cancel: cx.cancel.clone(),
            lab: cx.is_lab(),
        };
        Ok(Self { shell, lock, what })
    }

    /// Whether there is something to do though nothing differs.
    pub(super) fn acts(&self) -> Option<String> {
        match &self.what {
            What::Service(wish) if wish.restart && wish.running != Some(false) => {
                Some(format!("restart of {}", wish.name))
            }
            _ => None,
        }
    }

    /// What is there, its fields, and what differs.
    pub(super) async fn compare(&self) -> Read<(Found, Fields, Option<String>)> {
        let mut fields = Fields::new();
        match &self.what {
            What::Service(wish) => {
                let found = service::look(&self.shell, &wish.name).await.map_err(how)?;
                fields.set("state", found.state());
                fields.set("enabled", found.is_enabled());
                let diff = service::diff(wish, &found);
                Ok((Found::Service(found), fields, diff))
            }
            What::Package { wish, said } => {
                let found = package::look(&self.shell, wish).await.map_err(how)?;
                let said = said.lock().unwrap_or_else(PoisonError::into_inner);
                fields.set("output", said.trim_end().to_owned());
                let diff = package::diff(wish, &found);
                Ok((Found::Package(found), fields, diff))
            }
        }
    }

    /// How a change is taken back, as far as it is known before it begins.
    pub(super) fn former(&self, found: &Found) -> Former {
        match (&self.what, found) {
            (What::Service(wish), Found::Service(found)) => {
                Former::Service(wish.name.clone(), found.clone())
            }
            _ => Former::Package(package::Former::default()),
        }
    }

    /// Changes what differs.
    pub(super) async fn change(&self, found: &Found, former: &mut Former) -> Read<()> {
        match (&self.what, found) {
            (What::Service(wish), Found::Service(found)) => {
                service::change(&self.shell, wish, found).await.map_err(how)
            }
            (What::Package { wish, said }, Found::Package(found)) => {
                let mut done = package::Former::default();
                let result = package::change(&self.shell, wish, found, &mut done).await;
                *former = Former::Package(done);
                *said.lock().unwrap_or_else(PoisonError::into_inner) = result.map_err(how)?;
                Ok(())
            }
            _ => Err(failed("a comparison of another action")),
        }
    }

    /// Takes a change back.
    pub(super) async fn restore(&self, former: &Former) -> Result<(), String> {
        let result = match former {
            Former::Service(name, found) => service::restore(&self.shell, name, found).await,
            Former::Package(former) => package::restore(&self.shell, former).await,
        };
        result.map_err(|end| {
            let outcome = how(end);
            outcome.message.or(outcome.reason).unwrap_or_default()
        })
    }
}

impl Former {
    /// One line for people.
    pub(super) fn summary(&self) -> String {
        match self {
            Self::Service(name, found) => {
                let boot = if found.is_enabled() {
                    "enabled"
                } else {
                    "not enabled"
                };
                format!("`{name}` {} and {boot} again", found.state())
            }
            Self::Package(former) if former.had.is_empty() && former.added.is_empty() => {
                "remove what gets installed, put back what goes".to_owned()
            }
            Self::Package(former) => {
                let had: Vec<String> = former
                    .had
                    .iter()
                    .map(|(name, version)| format!("{name}={version}"))
                    .collect();
                let mut parts = Vec::new();
                if !former.added.is_empty() {
                    parts.push(format!("remove {}", former.added.join(", ")));
                }
                if !had.is_empty() {
                    parts.push(format!("install {}", had.join(", ")));
                }
                parts.join("; ")
            }
        }
    }

    /// What another process needs to do it.
    pub(super) fn data(&self) -> Value {
        match self {
            Self::Service(name, found) => json!({
                "action": "service", "name": name, "was": {"active": found.active, "enabled": found.enabled},
            }),
            Self::Package(former) => json!({
                "action": "package", "added": former.added,
                "had": former.had.iter().map(|(name, version)| format!("{name}={version}")).collect::<Vec<_>>(),
            }),
        }
    }
}

fn service_wish(cx: &Cx, args: &Args<'_>) -> Read<What> {
    let read = |error| cx.read(&error);
    let name = args.text("name").map_err(read)?;
    if name.is_empty() || name.starts_with('-') || name.contains(['\n', '\0']) {
        return Err(failed(format!("`{name}` is no name of a unit")));
    }
    let running = args.opt_text("state").map_err(read)?;
    let enabled = match args.has("enabled") {
        true => Some(args.bool("enabled", false).map_err(read)?),
        false => None,
    };
    Ok(What::Service(service::Wish {
        name,
        running: running.map(|state| state == "running"),
        enabled,
        restart: args.bool("restart", false).map_err(read)?,
    }))
}

fn package_wish(cx: &Cx, args: &Args<'_>) -> Read<What> {
    let read = |error| cx.read(&error);
    let names = args.list("names").map_err(read)?;
    let names: Result<Vec<_>, String> = names.iter().map(|text| package::name(text)).collect();
    let names = names.map_err(failed)?;
    if names.is_empty() {
        return Err(failed("`names` has no package"));
    }
    let state = match args.opt_text("state").map_err(read)?.as_deref() {
        Some("latest") => package::State::Latest,
        Some("absent") => package::State::Absent,
        _ => package::State::Present,
    };
    let update = args.bool("update", false).map_err(read)?;
    Ok(What::Package {
        wish: package::Wish {
            names,
            state,
            update,
        },
        said: Mutex::default(),
    })
}
