//! What the keys of a `helper-script` step, its target and the inventory say together.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use runbook::inventory::GuestKind;
use runbook::model::Target;
use runbook::node::Node;
use runbook::read::{self, Args};

use super::super::context::Cx;
use super::super::job::Job;
use super::{Read, Stop, World, outcome, refused};
use crate::action::Ended;
use crate::action::pve::guest::{Known, Subject};
use crate::action::pve::helper::{Installer, Origin, Wish};
use crate::action::pve::life;

/// Where a book keeps what stands in for installers, beside the inventory.
const SCRIPTS: &str = "lab/scripts";

pub(super) async fn helper_wish(
    cx: &Cx,
    job: &Job<'_>,
    args: &Args<'_>,
    known: Known,
    world: &World,
) -> Read<Wish> {
    let reading = |error| cx.read(&error);
    let kind = match job.target {
        Target::Vm(_) => GuestKind::Vm,
        _ => GuestKind::Lxc,
    };
    let installer = installer(cx, args, kind)?;
    let from = from(cx, &installer)?;
    let vars = match args.get("vars") {
        Some(vars) => read::map_of_text(vars).map_err(reading)?,
        None => Vec::new(),
    };
    let mut subject = told_subject(cx, kind, known, &vars)?;
    if subject.hostname.is_none() {
        subject.hostname = Some(installer.name().to_owned());
    }
    let mut guest = Wish::subject(subject);
    let node = match &guest.subject.node {
        Some(node) => node.clone(),
        None => {
            let node = life::place(world, &guest).await.map_err(outcome)?;
            guest.subject.node = Some(node.clone());
            node
        }
    };
    let machine = cx.machine(&Target::Node(node)).await?;
    let own = ["var_ctid", "var_hostname"];
    Ok(Wish {
        guest,
        installer,
        from,
        vars: vars
            .into_iter()
            .filter(|(name, _)| !own.contains(&name.as_str()))
            .collect(),
        env: job.env.clone(),
        node: machine.remote,
        lab: cx.is_lab(),
        limit: cx.timing.timeout,
        record: Mutex::new(Some(job.record(cx))),
        said: Mutex::default(),
        began: AtomicBool::new(false),
    })
}

fn installer(cx: &Cx, args: &Args<'_>, kind: GuestKind) -> Read<Installer> {
    let text = |field: &str| args.opt_text(field).map_err(|error| cx.read(&error));
    if let Some(app) = text("app")? {
        let commit = text("commit")?.unwrap_or_default();
        let found = Installer::community(&app, &commit, kind == GuestKind::Vm);
        return found.map_err(|failure| outcome(failure.into()));
    }
    let checksum = text("checksum")?.unwrap_or_default();
    Ok(Installer::Url {
        url: text("url")?.unwrap_or_default(),
        sha256: checksum
            .strip_prefix("sha256:")
            .unwrap_or(&checksum)
            .to_owned(),
    })
}

/// In the lab a file of the book stands in for the installer.
fn from(cx: &Cx, installer: &Installer) -> Read<Origin> {
    if !cx.is_lab() {
        return Ok(Origin::Network);
    }
    let inventory = cx.run.request.root.join(&cx.run.book.options.inventory);
    let folder = inventory.parent().unwrap_or(&cx.run.request.root);
    let name = installer.name();
    let path: PathBuf = folder.join(SCRIPTS).join(name);
    if name.is_empty() || !path.is_file() {
        let why = format!("the lab has no `{SCRIPTS}/{name}`");
        return Err(outcome(Stop::from(Ended::Missing(why))));
    }
    Ok(Origin::Lab(path))
}

/// Which guest: by the target, the inventory, and what the installer is told.
pub(super) fn told_subject(
    cx: &Cx,
    kind: GuestKind,
    mut known: Known,
    vars: &[(String, String)],
) -> Read<Subject> {
    let var = |name: &str| {
        let found = vars.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone())
    };
    let told = match var("var_ctid") {
        Some(text) => match text.parse::<u32>() {
            Ok(vmid) if (100..=999_999_999).contains(&vmid) => Some(vmid),
            _ => {
                return Err(refused(
                    format!("`var_ctid: {text}` is not a guest's number"),
                    "write 100 to 999999999",
                ));
            }
        },
        None => None,
    };
    let inventory = &cx.run.book.inventory;
    if known.vmid.is_none()
        && let Some(vmid) = told
        && let Some(guest) = inventory
            .guests
            .iter()
            .find(|guest| guest.vmid == Some(i64::from(vmid)))
    {
        let text = |key: &str| guest.node.get(key).and_then(Node::as_text);
        known.claimed = true;
        known.address = text("address").map(str::to_owned);
        known.name.get_or_insert_with(|| guest.name.clone());
    }
    if let (Some(told), Some(vmid)) = (told, known.vmid)
        && told != vmid
    {
        return Err(refused(
            format!("`var_ctid` is `{vmid}` for this target, not `{told}`"),
            "take `var_ctid` out",
        ));
    }
    let hostname = var("var_hostname");
    if let (Some(told), Some(name)) = (&hostname, &known.name)
        && told != name
    {
        return Err(refused(
            format!("`var_hostname` is `{name}` in the inventory, not `{told}`"),
            "take `var_hostname` out",
        ));
    }
    Ok(Subject {
        kind,
        vmid: told.or(known.vmid),
        node: known.node,
        hostname: hostname.or(known.name),
        claimed: known.claimed,
        address: known.address,
    })
}
