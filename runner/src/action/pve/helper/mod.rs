//! `helper-script`: a guest that an installer makes on its node, unattended, and that is looked at through the API.
//!
//! Desired state by number and name: a guest that is there is not made again. What an installer says of itself proves nothing;
//! the guest with the number and the name that were wished does. As long as it is not finished it has a tag that says so, and
//! it counts neither as there nor as absent.

mod installer;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use runbook_proxmox::guest::Guest;
use runbook_proxmox::{Error, cluster};

use super::guest::keys::tags;
use super::guest::{self, Subject};
use super::life::{self, Former, Was};
use super::world::{Done, Seen, Stop, TAG, World, kind_of};
use crate::action::{Ended, Failure, elsewhere};
use crate::probe::http::Http;
use crate::process::{End, Limits, Output, Record};
use crate::remote::{Program, Remote, Script};

pub use installer::{INSTALLER_BYTES_MAX, Installer, Origin};

/// The tag of a guest whose installer has not come to its end.
pub const UNFINISHED: &str = "runbook-unfinished";
/// How long what an installer left is looked for when the step's time is over or the run was stopped.
const AFTERWARDS: Duration = Duration::from_secs(3);
/// How many of the last lines of an installer a message has.
const MESSAGE_LINES_MAX: usize = 12;

/// A wish for a guest that an installer makes.
pub struct Wish {
    /// Which guest, and nothing else about it.
    pub guest: guest::Wish,
    /// What makes it.
    pub installer: Installer,
    /// Where that is had from.
    pub from: Origin,
    /// What it is told: `var_cpu` …
    pub vars: Vec<(String, String)>,
    /// Further variables, secrets among them, which are shown nowhere.
    pub env: Vec<(String, String)>,
    /// The node, as programs get there.
    pub node: Remote,
    /// Whether a command that is not there means that the lab does not have it.
    pub lab: bool,
    /// The step's time, for people.
    pub limit: Duration,
    /// What becomes of what it prints.
    pub record: Mutex<Option<Record>>,
    /// What it printed.
    pub said: Mutex<Option<Output>>,
    /// Whether it was begun.
    pub began: AtomicBool,
}

impl Wish {
    /// A wish of which the guest is all that is compared.
    pub fn subject(subject: Subject) -> guest::Wish {
        guest::Wish {
            subject,
            source: None,
            keys: Vec::new(),
            disk: None,
            nets: None,
            login_keys: Vec::new(),
            unprivileged: true,
            cloud_init: false,
            user_data: None,
            state: None,
            restart: false,
        }
    }

    /// What the installer printed, once it was run.
    pub fn log(&self) -> String {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.as_ref()
            .map(|output| output.both().text().into_owned())
            .unwrap_or_default()
    }

    /// The same, once.
    pub fn take_output(&self) -> Option<Output> {
        self.said
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// What stood in for the installer, once it was begun.
    pub fn note(&self) -> Option<String> {
        let Origin::Lab(path) = &self.from else {
            return None;
        };
        if !self.began.load(Ordering::Relaxed) {
            return None;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Some(format!("`lab/scripts/{name}` stands in for the installer"))
    }

    fn hostname(&self) -> &str {
        self.guest.subject.hostname.as_deref().unwrap_or_default()
    }
}

/// Compares: whether the guest is there. Changes nothing.
///
/// # Errors
///
/// When it cannot be seen, has another name, or is not finished.
pub async fn compare(world: &World, wish: &Wish) -> Done<life::Found> {
    let subject = &wish.guest.subject;
    let Some(seen) = world.see(subject).await? else {
        return Ok(life::Found {
            diff: Some(made(world, wish)?),
            seen: None,
        });
    };
    if seen.name().map(String::as_str) != Some(wish.hostname()) {
        return Err(Stop::refused(
            format!(
                "{} is named `{}`, not `{}`: it is another guest",
                seen.guest,
                seen.name().map(String::as_str).unwrap_or_default(),
                wish.hostname()
            ),
            "write another number, or the name that it has",
        ));
    }
    if seen.has_tag(UNFINISHED) {
        return Err(Stop::refused(
            format!(
                "{} is not finished: its installer did not come to its end",
                seen.guest
            ),
            format!(
                "look at it, then remove it and run the step again; or take the tag `{UNFINISHED}` off, if it is as it should be"
            ),
        ));
    }
    Ok(life::Found {
        seen: Some(seen),
        diff: None,
    })
}

/// What would be made, for people.
fn made(world: &World, wish: &Wish) -> Done<String> {
    let subject = &wish.guest.subject;
    let number = life::number_shown(world, subject)?;
    let node = subject.node.as_deref().unwrap_or_default();
    let mut lines = vec![format!(
        "+ {} {number} {} on {node}, by {}",
        subject.kind.as_str(),
        wish.hostname(),
        wish.installer.shown()
    )];
    let vars = wish.vars.iter();
    lines.extend(vars.map(|(name, value)| format!("+ {name}: {value}")));
    Ok(lines.join("\n"))
}

/// How it is taken back: what was made is removed.
pub fn former(wish: &Wish) -> Former {
    let subject = &wish.guest.subject;
    Former {
        kind: subject.kind.as_str(),
        vmid: subject.vmid,
        node: subject.node.clone().unwrap_or_default(),
        was: Was::Absent,
        snippet: None,
        snippet_before: None,
    }
}

/// Lets the installer make the guest, and looks whether it did.
///
/// # Errors
///
/// What failed; `former` has what is to be removed.
pub async fn change(world: &World, wish: &Wish, http: &Http, former: &mut Former) -> Done<()> {
    let prepared = prepare(world, wish, http, former).await;
    let (text, new, before) = prepared.map_err(Stop::before_it_began)?;
    let vmid = new.vmid;
    let ended = run(world, wish, vmid, &text).await;
    let problem = ended.err();
    match (
        look(world, wish, &new, &before, problem.is_some()).await,
        problem,
    ) {
        // It did not even begin to make one.
        (Made::Nothing, Some(stop)) => Err(stop),
        (Made::Nothing, None) => Err(Stop::from(
            Failure::new(format!("the installer ended well, but {new} is not there")).hint(Some(
                "look at what it printed: it may have changed a guest that was there",
            )),
        )),
        (Made::Unknown(why), None) => Err(why),
        (Made::Other(other, name), problem) => {
            former.vmid = Some(other.vmid);
            former.node.clone_from(&other.node);
            let told = format!(
                "the installer made {other} `{name}`, not {new} `{}`",
                wish.hostname()
            );
            Err(match problem {
                None => Stop::from(Failure::new(told).hint(Some(
                    "`var_ctid` and `var_hostname` are set from the step; look whether the script heeds them",
                ))),
                Some(stop) => noted(stop, told),
            })
        }
        (Made::This(name), None) if name != wish.hostname() => {
            Err(Stop::from(Failure::new(format!(
                "the installer named {new} `{name}`, not `{}`",
                wish.hostname()
            ))))
        }
        (Made::This(_), None) => finish(world, &new).await,
        (Made::This(_), Some(stop)) => Err(noted(
            missing_no_more(stop),
            format!("{new} is left as it is, with the tag `{UNFINISHED}`"),
        )),
        (Made::Unknown(_), Some(stop)) => Err(noted(stop, format!("{new} may be left unfinished"))),
    }
}

/// What is needed before the installer begins: its text, the guest that it is to make, the numbers that are taken.
async fn prepare(
    world: &World,
    wish: &Wish,
    http: &Http,
    former: &mut Former,
) -> Done<(String, Guest, BTreeSet<u32>)> {
    let subject = &wish.guest.subject;
    former.node = life::place(world, &wish.guest).await?;
    let text = wish.installer.text(&wish.from, http, world.left()).await?;
    let vmid = life::number(world, subject, &[]).await?;
    let before = numbers(world).await?;
    if before.contains(&vmid) {
        former.vmid = None;
        return Err(Stop::refused(
            format!("number {vmid} was taken by another guest meanwhile"),
            "look at that guest, or write another number",
        ));
    }
    former.vmid = Some(vmid);
    let new = Guest::new(kind_of(subject.kind), former.node.clone(), vmid);
    Ok((text, new, before))
}

/// What was made is not skipped.
fn missing_no_more(mut stop: Stop) -> Stop {
    if let Ended::Missing(why) = stop.ended {
        stop.ended = Ended::Failed(Failure::new(why));
    }
    stop
}

fn noted(mut stop: Stop, note: String) -> Stop {
    stop.note = Some(match stop.note {
        Some(before) => format!("{before}; {note}"),
        None => note,
    });
    stop
}

async fn numbers(world: &World) -> Done<BTreeSet<u32>> {
    let guests = world.read(cluster::guests(&world.client)).await?;
    Ok(guests.into_iter().map(|listed| listed.guest.vmid).collect())
}

/// Runs the installer on its node, to its end.
async fn run(world: &World, wish: &Wish, vmid: u32, text: &str) -> Done<()> {
    let mut env = wish.installer.environment();
    let told = wish.vars.iter().chain(&wish.env).cloned();
    env.extend(told);
    let given = env.iter().rev().find(|(name, _)| name == "var_tags");
    let usual = given.map(|(_, tags)| tags.clone());
    let usual = usual
        .or_else(|| installer::usual_tags(text))
        .unwrap_or_default();
    let mut own = tags(&usual);
    own.extend([
        TAG.to_owned(),
        world.book_tag.clone(),
        UNFINISHED.to_owned(),
    ]);
    for (name, value) in [
        ("var_ctid", vmid.to_string()),
        ("var_hostname", wish.hostname().to_owned()),
        ("var_tags", own.join(";")),
    ] {
        env.push((name.to_owned(), value));
    }
    let program = Program::Script(Script {
        language: "bash".into(),
        text: wish.installer.program(text),
        strict: false,
        env,
    });
    let limits = Limits::new(world.left(), world.cancel.clone());
    let record = wish
        .record
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    let record = record.unwrap_or_default();
    wish.began.store(true, Ordering::Relaxed);
    let finished = wish.node.run(&program, limits, record).await;
    let finished = finished.map_err(|error| Stop::from(elsewhere::ended(&error)))?;
    let ended = match (finished.end, finished.code) {
        (End::TimedOut, _) => Ended::TimedOut(format!(
            "the installer was ended: its time of {} is over",
            runbook::value::print_duration(wish.limit)
        )),
        (End::Cancelled, _) => Ended::Aborted,
        (End::Itself, Some(0)) => Ended::Done,
        (End::Itself, code) => failed(wish, code, &finished.output),
    };
    *wish.said.lock().unwrap_or_else(PoisonError::into_inner) = Some(finished.output);
    match ended {
        Ended::Done => Ok(()),
        ended => Err(ended.into()),
    }
}

fn failed(wish: &Wish, code: Option<i32>, output: &Output) -> Ended {
    let printed = output.both().text();
    if wish.lab
        && let Some(program) = crate::action::script::missing_program(code, &output.stderr.text())
    {
        return Ended::Missing(format!(
            "{} has no `{program}`",
            elsewhere::lab_name(&wish.node)
        ));
    }
    let lines: Vec<&str> = printed.trim_end().lines().collect();
    let last = lines[lines.len().saturating_sub(MESSAGE_LINES_MAX)..].join("\n");
    let code = code.map_or_else(|| "a signal".to_owned(), |code| format!("exit code {code}"));
    let mut failure = Failure::new(format!("the installer ended with {code}:\n{last}"));
    let says = |name: &str| wish.vars.iter().any(|(known, _)| known == name);
    if !says("var_container_storage") || !says("var_template_storage") {
        failure = failure.hint(Some(
            "an installer that has the choice between storages asks for one: write `var_container_storage` and `var_template_storage`",
        ));
    }
    Ended::Failed(failure)
}

/// What an installer made.
enum Made {
    /// The guest with the number, and its name.
    This(String),
    /// Another guest, and its name.
    Other(Guest, String),
    Nothing,
    Unknown(Stop),
}

/// Looks for what was made, and marks it as the book's: also when the time is over or the run was stopped.
async fn look(
    world: &World,
    wish: &Wish,
    new: &Guest,
    before: &BTreeSet<u32>,
    is_over: bool,
) -> Made {
    let looking = find(world, wish, new, before, is_over);
    let time = world.left().max(AFTERWARDS);
    match tokio::time::timeout(time, looking).await {
        Ok(Ok(made)) => made,
        Ok(Err(error)) => Made::Unknown(error.into()),
        Err(_) => Made::Unknown(
            Ended::TimedOut("no time was left to look at what was made".into()).into(),
        ),
    }
}

async fn find(
    world: &World,
    wish: &Wish,
    new: &Guest,
    before: &BTreeSet<u32>,
    is_over: bool,
) -> Result<Made, Error> {
    if let Some(seen) = world.look_now(new.clone()).await? {
        let name = seen.name().cloned().unwrap_or_default();
        mark(world, &seen, is_over || name != wish.hostname()).await?;
        return Ok(Made::This(name));
    }
    let guests = cluster::guests(&world.client).await?;
    for listed in guests {
        let guest = listed.guest;
        if before.contains(&guest.vmid) {
            continue;
        }
        let Some(seen) = world.look_now(guest.clone()).await? else {
            continue;
        };
        let name = seen.name().cloned().unwrap_or_default();
        if seen.has_tag(UNFINISHED) || name == wish.hostname() {
            mark(world, &seen, true).await?;
            return Ok(Made::Other(guest, name));
        }
    }
    Ok(Made::Nothing)
}

/// Gives a guest the book's tags; one that is not finished says so.
async fn mark(world: &World, seen: &Seen, is_unfinished: bool) -> Result<(), Error> {
    let is = tags(
        seen.config
            .get("tags")
            .map(String::as_str)
            .unwrap_or_default(),
    );
    let mut wished = is.clone();
    wished.extend([TAG.to_owned(), world.book_tag.clone()]);
    if is_unfinished {
        wished.push(UNFINISHED.to_owned());
    }
    wished.sort();
    wished.dedup();
    if wished == is {
        return Ok(());
    }
    let request = seen.guest.set([("tags", wished.join(";"))], &[], None);
    world.client.call(&request).await?;
    Ok(())
}

/// The guest is the one that was wished: it is finished.
async fn finish(world: &World, new: &Guest) -> Done<()> {
    let seen = life::look(world, new).await?;
    let is = tags(
        seen.config
            .get("tags")
            .map(String::as_str)
            .unwrap_or_default(),
    );
    let wished: Vec<String> = is.into_iter().filter(|tag| tag != UNFINISHED).collect();
    let request = new.set([("tags", wished.join(";"))], &[], seen.digest.as_deref());
    world.run(&request).await?;
    Ok(())
}
