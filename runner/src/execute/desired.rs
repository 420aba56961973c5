//! Actions that describe a state: compare, change where it differs, read back, take back.
//!
//! The bridge from a step's keys to the typed wishes of [`crate::action`]; the order of things is the engine's.

use std::path::{Path, PathBuf};
use std::time::Instant;

use runbook::model::Target;
use runbook::node::Node;
use runbook::outcome::State;
use runbook::read::Args;
use runbook::result::Fields;
use runbook::spec::ActionSpec;
use serde_json::json;

use super::context::Cx;
use super::job::Job;
use super::judge::{Clock, ended, judge};
use super::outcome::Outcome;
use super::wish::{file_wish, git_wish, line_wish};
use super::{kube, pve, system};
use crate::action::file::Files as _;
use crate::action::{Ended, Failure, Report, elsewhere, file, git, line};

/// Whether an action describes a state, or looks at one by the same means.
pub(super) fn is_state(action: &ActionSpec, args: &Node) -> bool {
    matches!(action.name, "file" | "line" | "git")
        || kube::is_state(action, args)
        || system::Wish::is_of(action.name)
        || pve::Wish::is_of(action.name)
}

/// A wish, by its action.
pub(super) enum Wish {
    File(file::Wish, Where),
    Line(LineWish, Where),
    Git(Box<git::Wish>, Box<git::Repository>),
    System(Box<system::Wish>),
    Pve(Box<pve::Wish>),
    Kube(Box<kube::Wish>),
}

/// Where the files of a wish are, and what nobody else may touch meanwhile.
#[derive(Clone)]
pub(super) struct Where {
    pub(super) place: file::Place,
    /// Of this machine each path is locked by itself.
    pub(super) lock: Option<String>,
}

/// A wish for a line of a file.
pub(super) struct LineWish {
    pub(super) path: PathBuf,
    pub(super) line: line::Wish,
    pub(super) create: bool,
    pub(super) backup: bool,
}

/// A wish compared with what is there.
pub(super) struct Compared {
    /// What differs, for people; `None` when all is as wished.
    pub(super) diff: Option<String>,
    /// The fields of the result.
    pub(super) fields: Fields,
    found: Found,
}

/// What a result shows beside its fields.
#[derive(Default)]
pub(super) struct Shown {
    pub(super) output: Option<crate::process::Output>,
    pub(super) note: Option<String>,
    /// A file of the book did something in the place of what it stands for.
    pub(super) stand_in: bool,
}

enum Found {
    File(file::Wish, file::Found),
    Git(git::Comparison),
    System(system::Found),
    Pve(pve::Found),
    Kube(Box<kube::Found>),
}

/// What a change is taken back from.
#[derive(Debug, Clone)]
pub(super) enum Former {
    File(file::Former),
    Git(git::Former),
    System(system::Former),
    Pve(pve::Former),
    Kube(kube::Former),
}

impl Wish {
    /// Reads the wish of a job.
    ///
    /// # Errors
    ///
    /// A value that is not what its key wants, or a place that the lab does not let be changed.
    pub(super) async fn read(
        cx: &Cx,
        job: &Job<'_>,
        deadline: Instant,
    ) -> Result<Self, Box<Outcome>> {
        if kube::is_state(job.action, job.args) {
            let wish = kube::Wish::read(cx, job, deadline).await?;
            return Ok(Self::Kube(Box::new(wish)));
        }
        let rendered = job.rendered(cx)?;
        let args = Args::new(job.action, &rendered).map_err(|error| cx.read(&error))?;
        let action = job.action.name;
        if system::Wish::is_of(action) {
            let wish = system::Wish::read(cx, job, &args, deadline).await?;
            return Ok(Self::System(Box::new(wish)));
        }
        if pve::Wish::is_of(action) {
            let wish = pve::Wish::read(cx, job, &args, deadline).await?;
            return Ok(Self::Pve(Box::new(wish)));
        }
        if job.target != Target::Local {
            let machine = job.machine(cx).await?;
            let there = file::There {
                remote: machine.remote,
                deadline,
                cancel: cx.cancel.clone(),
            };
            let at = Where {
                place: file::Place::There(there),
                lock: Some(machine.lock),
            };
            // Where scripts start there, a relative path begins.
            return match action {
                "file" => file_wish(cx, &args, Path::new(""), at),
                "line" => line_wish(cx, &args, Path::new(""), at),
                other => Err(failed(format!("`{other}` is not available there"))),
            };
        }
        let place = cx
            .place()
            .map_err(|error| unavailable(format!("no place to run in: {error}")))?;
        let here = Where {
            place: file::Place::Here,
            lock: None,
        };
        let wish = match action {
            "file" => file_wish(cx, &args, &place.directory, here)?,
            "line" => line_wish(cx, &args, &place.directory, here)?,
            "git" => return git_wish(cx, &args, &place, deadline),
            other => return Err(failed(format!("`{other}` is not available"))),
        };
        let path = wish.path();
        if place.may_change(path) {
            return Ok(wish);
        }
        let reason = format!(
            "the lab changes nothing outside its scratch directory: `{}`",
            path.display()
        );
        Err(ended(Report::of(Ended::Kept(reason))))
    }

    fn path(&self) -> &Path {
        match self {
            Self::File(wish, _) => &wish.path,
            Self::Line(wish, _) => &wish.path,
            Self::Git(_, repository) => &repository.root,
            Self::System(_) | Self::Pve(_) | Self::Kube(_) => Path::new(""),
        }
    }

    /// What nobody else may touch meanwhile.
    pub(super) fn locks(&self) -> Vec<String> {
        let lock = match self {
            Self::File(_, at) | Self::Line(_, at) => match &at.lock {
                Some(lock) => lock.clone(),
                None => format!("file {}", self.path().display()),
            },
            Self::Git(..) => format!("git {}", self.path().display()),
            Self::System(wish) => wish.lock.clone(),
            Self::Pve(wish) => wish.lock(),
            Self::Kube(wish) => return wish.locks(),
        };
        vec![lock]
    }

    /// What is to be done though nothing differs, for people.
    pub(super) fn acts(&self) -> Option<String> {
        match self {
            Self::System(wish) => wish.acts(),
            _ => None,
        }
    }

    /// Compares; changes nothing.
    pub(super) async fn compare(&self, cx: &Cx) -> Result<Compared, Box<Outcome>> {
        match self {
            Self::File(wish, at) => compare_file(&at.place, wish.clone()).await,
            Self::Line(wish, at) => compare_line(&at.place, wish).await,
            Self::System(wish) => {
                let (found, fields, diff) = wish.compare().await?;
                Ok(Compared {
                    diff,
                    fields,
                    found: Found::System(found),
                })
            }
            Self::Pve(wish) => {
                let (found, fields, diff) = wish.compare().await?;
                Ok(Compared {
                    diff,
                    fields,
                    found: Found::Pve(found),
                })
            }
            Self::Kube(wish) => {
                let (found, diff) = wish.compare(cx).await?;
                Ok(Compared {
                    diff,
                    fields: Fields::new(),
                    found: Found::Kube(Box::new(found)),
                })
            }
            Self::Git(wish, repository) => {
                let found = repository.compare(wish).await.map_err(git_failed)?;
                let mut fields = Fields::new();
                if let Some(revision) = &found.revision {
                    fields.set("revision", revision.clone());
                }
                fields.set("state", if found.clean { "clean" } else { "differs" });
                fields.set("diff", found.work.clone());
                Ok(Compared {
                    diff: found.diff.clone(),
                    fields,
                    found: Found::Git(found),
                })
            }
        }
    }

    /// Why a change would be refused, as far as the comparison tells that.
    pub(super) async fn refused(&self, cx: &Cx, compared: &Compared) -> Option<Box<Outcome>> {
        match (&compared.found, self) {
            (Found::Kube(found), Self::Kube(wish)) => wish.refused(cx, found).await,
            _ => None,
        }
    }

    /// How a change is taken back, as far as it is known before it begins.
    pub(super) fn former(&self, compared: &Compared) -> Former {
        match (&compared.found, self) {
            (Found::File(wish, found), _) => Former::File(file::Former {
                path: wish.path.clone(),
                found: found.clone(),
                made: None,
                backup: None,
            }),
            (Found::Git(_), Self::Git(wish, _)) => Former::Git(git_former(&wish.path)),
            (Found::System(found), Self::System(wish)) => Former::System(wish.former(found)),
            (Found::Pve(found), Self::Pve(wish)) => Former::Pve(wish.former(found)),
            (Found::Kube(found), Self::Kube(wish)) => Former::Kube(wish.former(found)),
            (Found::Git(_) | Found::System(_) | Found::Pve(_) | Found::Kube(_), _) => {
                Former::Git(git_former(""))
            }
        }
    }

    /// Changes what differs. What has to be taken back is in `former`, also when it fails.
    pub(super) async fn change(
        &self,
        cx: &Cx,
        compared: &Compared,
        former: &mut Former,
    ) -> Result<(), Box<Outcome>> {
        match (&compared.found, self) {
            (Found::File(wish, found), Self::File(_, at) | Self::Line(_, at)) => {
                let changed = file::change(&at.place, wish, found).await;
                *former = Former::File(changed.map_err(file_failed)?);
                Ok(())
            }
            (Found::Git(found), Self::Git(wish, repository)) => {
                let mut git = git_former(&wish.path);
                let result = repository
                    .change(wish, found, &mut git)
                    .await
                    .map_err(git_failed);
                *former = Former::Git(git);
                result
            }
            (Found::System(found), Self::System(wish)) => {
                let mut system = wish.former(found);
                let result = wish.change(found, &mut system).await;
                *former = Former::System(system);
                result
            }
            (Found::Pve(found), Self::Pve(wish)) => {
                let mut pve = wish.former(found);
                let result = wish.change(found, &mut pve).await;
                *former = Former::Pve(pve);
                result
            }
            (Found::Kube(found), Self::Kube(wish)) => {
                let mut kube = wish.former(found);
                let result = wish.change(cx, found, &mut kube).await;
                *former = Former::Kube(kube);
                result
            }
            _ => Err(failed("a comparison of another action")),
        }
    }

    /// What was printed meanwhile and a remark, for the result.
    pub(super) fn shown(&self) -> Shown {
        match self {
            Self::Pve(wish) => wish.shown(),
            _ => Shown::default(),
        }
    }

    /// Takes a change back.
    pub(super) async fn restore(&self, former: &Former) -> Result<(), String> {
        match (former, self) {
            (Former::File(former), Self::File(_, at) | Self::Line(_, at)) => {
                file::restore(&at.place, former)
                    .await
                    .map_err(|error| error.to_string())
            }
            (Former::Git(former), Self::Git(_, repository)) => repository
                .restore(former)
                .await
                .map_err(|error| error.to_string()),
            (Former::System(former), Self::System(wish)) => wish.restore(former).await,
            (Former::Pve(former), Self::Pve(wish)) => wish.restore(former).await,
            _ => Err("a change of another action".into()),
        }
    }
}

impl Former {
    /// One line for people.
    pub(super) fn summary(&self) -> String {
        match self {
            Self::File(former) => {
                let path = former.path.display();
                match former.found {
                    file::Found::Absent => format!("remove `{path}`"),
                    file::Found::File(..) => format!("put the former content of `{path}` back"),
                    file::Found::Directory(..) => format!("put directory `{path}` back as it was"),
                }
            }
            Self::System(former) => former.summary(),
            Self::Pve(former) => former.summary(),
            Self::Kube(former) => former.summary(),
            Self::Git(former) => format!("commit the former content of `{}`", former.path),
        }
    }

    /// What another process needs to do it, without contents: those lie in `kept`, relative to the run's directory.
    pub(super) fn data(&self, kept: Option<&str>) -> serde_json::Value {
        match self {
            Self::File(former) => {
                let was = match &former.found {
                    file::Found::Absent => json!({"is": "absent"}),
                    file::Found::File(content, owned) => json!({
                        "is": "file", "bytes": content.len(), "content": kept,
                        "mode": format!("{:04o}", owned.mode), "uid": owned.uid, "gid": owned.gid,
                    }),
                    file::Found::Directory(_, owned) => json!({
                        "is": "directory", "mode": format!("{:04o}", owned.mode), "uid": owned.uid, "gid": owned.gid,
                    }),
                };
                json!({"action": "file", "path": former.path, "was": was})
            }
            Self::System(former) => former.data(),
            Self::Pve(former) => former.data(kept),
            Self::Kube(former) => former.data(),
            Self::Git(former) => json!({"action": "git", "path": former.path}),
        }
    }

    /// The content that another process needs.
    pub(super) fn content(&self) -> Option<&[u8]> {
        match self {
            Self::File(file::Former {
                found: file::Found::File(content, _),
                ..
            }) => Some(content),
            Self::Pve(former) => former.content(),
            _ => None,
        }
    }
}

/// Compares and judges; a difference is `drifted`.
pub(super) async fn observe(
    cx: &Cx,
    job: &Job<'_>,
    clock: Clock,
    deadline: Instant,
) -> Result<Outcome, Box<Outcome>> {
    let wish = Wish::read(cx, job, deadline).await?;
    let _locks = cx.run.locks.hold_all(wish.locks()).await;
    let compared = match wish.compare(cx).await {
        Err(outcome) if outcome.absent => return Err(absent(cx, &wish, outcome)),
        compared => compared?,
    };
    if let (Found::Pve(found), Wish::Pve(wish)) = (&compared.found, &wish)
        && let Some(made) = wish.makes(found)
    {
        cx.guide.state().would_make.push(made);
    }
    if let (Found::Kube(found), Wish::Kube(wish), Some(_)) =
        (&compared.found, &wish, &compared.diff)
    {
        wish.note(cx, found);
    }
    if let Some(diff) = compared.diff {
        return Ok(Outcome {
            diff: Some(diff),
            note: wish.shown().note,
            ..Outcome::new(State::Drifted)
        });
    }
    as_wished(cx, job, &wish, compared, clock, deadline).await
}

/// Judges a state that is as wished; where its action waits, its expectations are awaited.
pub(super) async fn as_wished(
    cx: &Cx,
    job: &Job<'_>,
    wish: &Wish,
    compared: Compared,
    clock: Clock,
    deadline: Instant,
) -> Result<Outcome, Box<Outcome>> {
    if let Wish::Kube(wish) = wish {
        return kube::judged_state(cx, job, wish, clock, deadline).await;
    }
    let shown = wish.shown();
    let report = Report {
        fields: compared.fields,
        output: shown.output,
        note: shown.note,
        stand_in: shown.stand_in,
        ..Report::of(Ended::Done)
    };
    judge(cx, job, report, clock)
}

/// What is about something that is not there has failed, unless a step above would make it.
fn absent(cx: &Cx, wish: &Wish, outcome: Box<Outcome>) -> Box<Outcome> {
    let locks = wish.locks();
    let is_made = |lock: &String| cx.guide.state().would_make.contains(lock);
    if !locks.iter().any(is_made) {
        return outcome;
    }
    let why = outcome.message.unwrap_or_default();
    Box::new(Outcome::skipped(format!(
        "{why}; a step above would make it"
    )))
}

async fn compare_file(place: &file::Place, wish: file::Wish) -> Result<Compared, Box<Outcome>> {
    let comparison = file::compare(place, &wish).await.map_err(file_failed)?;
    let mut fields = Fields::new();
    fields.set(
        "state",
        match comparison.found {
            file::Found::Absent => "absent",
            file::Found::File(..) => "present",
            file::Found::Directory(..) => "directory",
        },
    );
    Ok(Compared {
        diff: comparison.diff,
        fields,
        found: Found::File(wish, comparison.found),
    })
}

async fn compare_line(place: &file::Place, wish: &LineWish) -> Result<Compared, Box<Outcome>> {
    let found = place.look(&wish.path).await.map_err(file_failed)?;
    let content = match &found {
        file::Found::File(content, _) => match std::str::from_utf8(content) {
            Ok(text) => text,
            Err(_) => return Err(failed(format!("`{}` is not UTF-8", wish.path.display()))),
        },
        file::Found::Absent if wish.create || !wish.line.present => "",
        file::Found::Absent => {
            let failure = Failure::new(format!("`{}` is not there", wish.path.display()));
            let failure = failure.hint(Some("say `create: true` to make it"));
            return Err(Box::new(Outcome::failure(failure)));
        }
        file::Found::Directory(..) => {
            return Err(failed(format!("`{}` is a directory", wish.path.display())));
        }
    };
    let wished = line::apply(content, &wish.line);
    let same = wished == content;
    let absent = found == file::Found::Absent && same;
    let state = if absent {
        file::State::Absent
    } else {
        file::State::Present(Some(wished.into_bytes()))
    };
    let file = file::Wish {
        path: wish.path.clone(),
        state,
        mode: None,
        owner: None,
        group: None,
        backup: wish.backup,
    };
    let mut compared = compare_file(place, file).await?;
    compared.fields.set(
        "state",
        if same == wish.line.present {
            "present"
        } else {
            "absent"
        },
    );
    Ok(compared)
}

fn git_former(path: &str) -> git::Former {
    git::Former {
        path: path.to_owned(),
        file: None,
        committed: None,
        pushed: false,
    }
}

pub(super) fn file_failed(error: file::FileError) -> Box<Outcome> {
    if let file::FileError::Elsewhere(error) = &error {
        return ended(Report::of(elsewhere::ended(error)));
    }
    let failure = Failure::new(error.to_string()).hint(error.hint());
    Box::new(Outcome::failure(failure))
}

fn git_failed(error: git::GitError) -> Box<Outcome> {
    use crate::process::ProcessError;
    match error {
        git::GitError::File(error) => file_failed(error),
        git::GitError::Stopped => Box::new(Outcome::aborted()),
        git::GitError::TimedOut { .. } => ended(Report::of(Ended::TimedOut(error.to_string()))),
        git::GitError::Process(ProcessError::NotFound { .. }) => unavailable(error.to_string()),
        _ => failed(error.to_string()),
    }
}

pub(super) fn failed(message: impl Into<String>) -> Box<Outcome> {
    Box::new(Outcome::failed(message))
}

pub(super) fn unavailable(message: String) -> Box<Outcome> {
    ended(Report::of(Ended::Unavailable(Failure::new(message))))
}
