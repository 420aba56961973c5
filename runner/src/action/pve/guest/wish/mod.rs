//! From the rendered fields of `lxc` and `vm` to a wish.

mod reader;

use runbook::inventory::GuestKind;
use runbook::node::Node;
use runbook::read::{self, Args, ReadError};

use super::super::pairs::Pairs;
use super::keys::Volume;
use super::{State, Subject, Wish};
use crate::action::Failure;
use reader::Reader;

/// Disks smaller than this are sizes without their unit.
const DISK_BYTES_MIN: u64 = 1 << 20;

/// What the target and the inventory say about a guest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Its number.
    pub vmid: Option<u32>,
    /// Its node.
    pub node: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// Its address.
    pub address: Option<String>,
    /// Whether the inventory has it.
    pub claimed: bool,
}

/// Why fields are no wish.
#[derive(Debug)]
pub enum Wrong {
    /// A value that is not what its field wants.
    Read(ReadError),
    /// Values that do not go together.
    Failure(Failure),
}

impl From<ReadError> for Wrong {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

fn wrong(message: impl Into<String>, hint: impl Into<String>) -> Wrong {
    let mut failure = Failure::new(message).hint(Some(hint.into()));
    failure.refused = true;
    Wrong::Failure(failure)
}

impl Subject {
    /// Which guest the fields and the target mean together.
    ///
    /// # Errors
    ///
    /// Where they say different things.
    pub fn read(kind: GuestKind, args: &Args<'_>, known: Known) -> Result<Self, Wrong> {
        let vmid = match args.opt_int("vmid")? {
            Some(vmid) => Some(number(vmid)?),
            None => None,
        };
        if let (Some(written), Some(known)) = (vmid, known.vmid)
            && written != known
        {
            return Err(wrong(
                format!("`vmid` is `{known}` for this target, not `{written}`"),
                "take `vmid` out",
            ));
        }
        let hostname = args.opt_text("hostname")?;
        let node = args.opt_text("node")?;
        for (field, written, known) in [
            ("hostname", &hostname, &known.name),
            ("node", &node, &known.node),
        ] {
            if let (Some(written), Some(known)) = (written, known)
                && written != known
            {
                return Err(wrong(
                    format!("`{field}` is `{known}` in the inventory, not `{written}`"),
                    format!("take `{field}` out"),
                ));
            }
        }
        Ok(Self {
            kind,
            vmid: vmid.or(known.vmid),
            node: node.or(known.node),
            hostname: hostname.or(known.name),
            claimed: known.claimed,
            address: known.address,
        })
    }
}

impl Wish {
    /// Reads the fields of `lxc` or `vm`.
    ///
    /// # Errors
    ///
    /// A value that is not what its field wants, values that do not go together.
    pub fn read(kind: GuestKind, args: &Args<'_>, known: Known) -> Result<Self, Wrong> {
        let is_vm = kind == GuestKind::Vm;
        let subject = Subject::read(kind, args, known)?;
        let mut reader = Reader {
            args,
            is_vm,
            keys: Vec::new(),
            user_data: None,
        };
        let source = reader.source()?;
        let disk = args
            .opt_text("disk")?
            .map(|disk| volume(&disk, Pairs::default()));
        let disk = disk.transpose()?;
        let nets = reader.all(&subject)?;
        let login_keys = if is_vm {
            Vec::new()
        } else {
            args.list("ssh-keys")?
        };
        let state = match args.opt_text("state")?.as_deref() {
            Some("running") => Some(State::Running),
            Some("stopped") => Some(State::Stopped),
            Some("absent") => Some(State::Absent),
            Some("template") => Some(State::Template),
            _ => None,
        };
        Ok(Self {
            subject,
            source,
            keys: reader.keys,
            disk,
            nets,
            login_keys,
            unprivileged: args.bool("unprivileged", true)?,
            cloud_init: args.has("cloud-init"),
            user_data: reader.user_data,
            state,
            restart: args.opt_text("restart")?.as_deref() == Some("when-pending"),
        })
    }
}

fn number(vmid: i64) -> Result<u32, Wrong> {
    match u32::try_from(vmid) {
        Ok(vmid) if (100..=999_999_999).contains(&vmid) => Ok(vmid),
        _ => Err(wrong(
            format!("`{vmid}` is not a guest's number"),
            "write 100 to 999999999",
        )),
    }
}

fn required(node: &Node, field: &str) -> Result<String, Wrong> {
    match node.get(field) {
        Some(value) => Ok(read::text(value)?),
        None => Err(wrong(
            format!("`{field}` is missing"),
            format!("add `{field}`"),
        )),
    }
}

/// A volume written as `STORE:SIZE`.
fn volume(text: &str, pairs: Pairs) -> Result<Volume, Wrong> {
    let Some((storage, size)) = text.split_once(':') else {
        return Err(wrong(
            format!("`{text}` is no disk"),
            "write its storage and its size, `local-lvm:32GiB`",
        ));
    };
    let bytes = runbook::value::size(size).map_err(|why| match why.split_once(": ") {
        Some((message, hint)) => wrong(message, hint),
        None => wrong(why, "write it as `32GiB`"),
    })?;
    if bytes < DISK_BYTES_MIN {
        return Err(wrong(
            format!("`{text}` has {bytes} bytes"),
            format!("write the unit: `{storage}:{size}GiB`"),
        ));
    }
    Ok(Volume {
        storage: storage.to_owned(),
        bytes: Some(bytes),
        pairs,
    })
}
