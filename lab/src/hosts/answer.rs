//! What a program says: output, errors and a status; and which program says what.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::machine::Machine;
use super::program::Call;
use super::{Role, devices, guests, storage, zfs};

/// What a program of the lab says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) out: String,
    pub(super) err: String,
    pub(super) code: u8,
}

impl Said {
    pub(super) fn out(text: impl Into<String>) -> Self {
        Self {
            out: text.into(),
            ..Self::default()
        }
    }
}

/// An error on one line.
pub(super) fn fail(code: u8, text: impl Into<String>) -> Said {
    Said {
        err: text.into() + "\n",
        code,
        ..Said::default()
    }
}

/// What the lab does not serve: never a success.
pub(super) fn unserved(machine: &Machine, what: &str) -> Said {
    fail(
        127,
        format!("the lab's {} has no `{what}`", machine.spec.name),
    )
}

/// Answers a call. The program's own streams are given where another command takes them over.
pub(super) async fn answer(machine: &Arc<Machine>, call: Call, streams: Vec<OwnedFd>) -> Said {
    let Some(args) = call.texts() else {
        return fail(2, "an argument is no UTF-8 text");
    };
    let is_node = machine.spec.role == Role::Node;
    match call.program.as_str() {
        "hostname" => hostname(machine, &args),
        "systemctl" => machine.systemctl(&args, call.uid).await,
        "dpkg-query" => machine.records().packages.query(&args),
        "apt-get" => machine.records().packages.apt(&args),
        "lspci" => devices::lspci(machine, &args).await,
        "sudo" => machine.sudo(&args, &call, streams).await,
        "pct" | "qm" if is_node && call.uid == 0 => {
            guests::answer(machine, &call, args, streams).await
        }
        "pvesh" if is_node => storage::pvesh(machine, &args).await,
        "pvesm" if is_node => storage::pvesm(machine, &args).await,
        "pveversion" if is_node => storage::pveversion(machine, &args).await,
        "zfs" if is_node => zfs::zfs(machine, &args),
        "zpool" if is_node => zfs::zpool(machine, &args),
        "pct" | "qm" if is_node => fail(255, "please run as root"),
        other => unserved(machine, other),
    }
}

fn hostname(machine: &Machine, args: &[String]) -> Said {
    let name = machine.called();
    match args {
        [] => Said::out(format!("{name}\n")),
        [flag] => match flag.as_str() {
            "-I" | "--all-ip-addresses" => {
                let list: String = machine
                    .addresses()
                    .iter()
                    .map(|address| format!("{address} "))
                    .collect();
                Said::out(list + "\n")
            }
            "-s" | "--short" => {
                Said::out(format!("{}\n", name.split('.').next().unwrap_or_default()))
            }
            "-f" | "--fqdn" => Said::out(format!("{name}\n")),
            "-i" => Said::out(format!(
                "{}\n",
                machine
                    .addresses()
                    .first()
                    .map(ToString::to_string)
                    .unwrap_or_default()
            )),
            other => unserved(machine, &format!("hostname {other}")),
        },
        _ => unserved(machine, "hostname NAME"),
    }
}
