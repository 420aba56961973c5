//! Before a run on a profile begins: whether who asks its Proxmox VE has the rights that the due steps need.
//!
//! What cannot be known before (a value that another step gives, what a call checks inside) is left to its step.
//! A server that does not answer is told by the steps too, which say more about it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use runbook::model::StepRef;
use runbook::outcome::{Effect, Mode};
use runbook_proxmox::access::{self, Need, Rights};
use runbook_proxmox::cluster;

use super::context::{Cx, GuideCx, Item, Run};
use super::job::Job;
use super::{each, pve};
use crate::action::Failure;
use crate::action::pve::needs::role_of;
use crate::plan::InBook as _;
use crate::request::RunError;

/// How long the server may take to say it.
const ASK_DURATION_MAX: Duration = Duration::from_secs(20);
/// How many missing rights are named.
const NAMED_MAX: usize = 20;
/// How many steps are named beside one of them.
const STEPS_MAX: usize = 4;

/// What is needed, with the steps that need it.
type All = BTreeMap<Need, BTreeSet<String>>;

/// Refuses a run whose steps need rights that are missing.
///
/// # Errors
///
/// What is missing, where, and for which steps.
pub(super) async fn check(run: &Arc<Run>) -> Result<(), RunError> {
    let Ok(Some(missing)) = missing(run, false).await else {
        return Ok(());
    };
    if missing.lines.is_empty() {
        return Ok(());
    }
    Err(RunError::Rights {
        profile: run.request.profile.clone(),
        lines: missing.lines,
        hint: missing.hint,
    })
}

/// What a run that changes something would lack, though it only looks now.
pub(super) async fn would_lack(run: &Arc<Run>) -> Vec<String> {
    let Ok(Some(missing)) = missing(run, true).await else {
        return Vec::new();
    };
    let mut lines = missing.lines;
    lines.extend((!missing.hint.is_empty()).then(|| format!("hint: {}", missing.hint)));
    lines
}

/// What who asks a Proxmox VE may not do, of what is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The user or the token.
    pub user: String,
    /// How many rights are needed.
    pub needed: usize,
    /// What is missing, where, and for which steps.
    pub lines: Vec<String>,
    /// What grants the first of them.
    pub hint: String,
}

/// Looks which rights are missing; none where no step asks a Proxmox VE.
pub(super) async fn missing(
    run: &Arc<Run>,
    as_if_changing: bool,
) -> Result<Option<Missing>, Failure> {
    let concerns = |at: StepRef| pve::needs_rights(at.of(&run.book));
    if run.request.is_lab() || !run.plan.steps.iter().any(|due| concerns(due.at)) {
        return Ok(None);
    }
    let world = run.worlds.get(0).await?;
    let proxmox = world.proxmox()?;
    let client = &proxmox.client;
    let asking = tokio::time::timeout(ASK_DURATION_MAX, async {
        let rights = access::rights(client).await?;
        let guests = cluster::guests(client).await?;
        Ok::<_, runbook_proxmox::Error>((rights, guests))
    });
    let asked = tokio::select! {
        biased;
        () = run.cancel.stopped() => return Ok(None),
        asked = asking => asked,
    };
    let (rights, guests) = match asked {
        Ok(Ok(answers)) => answers,
        Ok(Err(error)) => return Err(world.at_first(error)),
        Err(_) => {
            let seconds = ASK_DURATION_MAX.as_secs();
            return Err(Failure::new(format!("no answer within {seconds} s")));
        }
    };
    let listed: BTreeSet<u32> = guests.into_iter().map(|listed| listed.guest.vmid).collect();
    // One that may not be seen is no reason to ask for the rights to make it.
    let is_there =
        |vmid: u32| listed.contains(&vmid) || !rights.allow(&format!("/vms/{vmid}"), "VM.Audit");
    let all = collect(run, as_if_changing, &is_there);
    let (lines, hint) = told(client.user(), &rights, &all);
    Ok(Some(Missing {
        user: client.user().to_owned(),
        needed: all.len(),
        lines,
        hint,
    }))
}

fn collect(run: &Arc<Run>, as_if_changing: bool, is_there: &dyn Fn(u32) -> bool) -> All {
    let mut all = All::new();
    for (index, due_guide) in run.plan.guides.iter().enumerate() {
        let guide = Arc::new(GuideCx::new(index, false));
        for place in due_guide.steps.clone() {
            let due = &run.plan.steps[place as usize];
            let step = due.at.of(&run.book);
            if !pve::needs_rights(step) || step.keys.asked && !due.asked {
                continue;
            }
            for item in items(run, &guide, due.at) {
                let mut cx = Cx::new(run, &guide, due.at, item);
                if cx.set_target().is_err() {
                    continue;
                }
                let looks = cx.mode.effective == Mode::Observe && !as_if_changing;
                let changes = !looks && step.effect != Effect::Read;
                let job = Job::of_step(&cx);
                for need in pve::needs(&cx, &job, changes, is_there) {
                    all.entry(need).or_default().insert(cx.id.to_string());
                }
            }
        }
    }
    all
}

/// The items of a step, where they are known by now.
fn items(run: &Arc<Run>, guide: &Arc<GuideCx>, at: StepRef) -> Vec<Option<Item>> {
    let step = at.of(&run.book);
    if step.keys.each.is_empty() {
        return vec![None];
    }
    let cx = Cx::new(run, guide, at, None);
    let items = each::items(&run.book, step, &cx.scope).unwrap_or_default();
    items.into_iter().map(Some).collect()
}

fn told(user: &str, rights: &Rights, all: &All) -> (Vec<String>, String) {
    let needs: Vec<Need> = all.keys().cloned().collect();
    let missing = rights.missing(&needs);
    let Some(first) = missing.first() else {
        return Default::default();
    };
    let mut lines: Vec<String> = missing
        .iter()
        .take(NAMED_MAX)
        .map(|need| {
            let steps = &all[*need];
            let mut named: Vec<&str> = steps.iter().take(STEPS_MAX).map(String::as_str).collect();
            let more = format!("{} more", steps.len().saturating_sub(STEPS_MAX));
            if steps.len() > STEPS_MAX {
                named.push(&more);
            }
            format!(
                "{} on {}, for {}",
                need.any_of.join(" or "),
                need.path,
                named.join(", ")
            )
        })
        .collect();
    if missing.len() > NAMED_MAX {
        lines.push(format!("{} more", missing.len() - NAMED_MAX));
    }
    let (kind, beside) = match user.contains('!') {
        true => ("--tokens", "; a token has no more rights than its user"),
        false => ("--users", ""),
    };
    let privilege = first.any_of.first().map_or("", String::as_str);
    let hint = format!(
        "as root on a node: pveum acl modify {} {kind} '{user}' --roles {}{beside}",
        first.path,
        role_of(privilege)
    );
    (lines, hint)
}
