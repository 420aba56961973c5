//! `lspci`: the devices of a node, and those that a virtual machine has passed through.

use std::sync::Arc;

use serde_json::Value;

use super::Role;
use super::answer::{Said, fail, unserved};
use super::boot::{class, hex};
use super::machine::Machine;
use super::node::{call, where_is};
use crate::fixture::{Device, GuestKind};
use crate::pve::Params;

/// The devices a machine sees: a node's own, for a virtual machine those that its configuration passes through.
async fn devices(machine: &Machine) -> (Vec<Device>, Option<Arc<Machine>>) {
    let Some(lab) = machine.lab.upgrade() else {
        return (Vec::new(), None);
    };
    let Role::Guest { vmid, kind, node } = &machine.spec.role else {
        return (machine.spec.devices.clone(), None);
    };
    let host = where_is(machine, *vmid, &lab)
        .await
        .or_else(|| lab.find(node));
    let Some(host) = host else {
        return (Vec::new(), None);
    };
    if *kind == GuestKind::Lxc {
        return (host.spec.devices.clone(), Some(host));
    }
    let config = call(
        machine,
        "GET",
        &format!("/nodes/{}/qemu/{vmid}/config", host.spec.name),
        Params::new(),
    )
    .await;
    let mut found = Vec::new();
    for (key, value) in config.data.as_object().into_iter().flatten() {
        if !key.starts_with("hostpci") {
            continue;
        }
        let mut address = value
            .as_str()
            .unwrap_or_default()
            .split(',')
            .next()
            .unwrap_or_default()
            .to_owned();
        if let Some(mapping) = address.strip_prefix("mapping=") {
            let answer = call(
                machine,
                "GET",
                &format!("/cluster/mapping/pci/{mapping}"),
                Params::new(),
            )
            .await;
            let maps = answer
                .data
                .get("map")
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default();
            let here = maps.iter().filter_map(Value::as_str).find(|map| {
                map.split(',')
                    .any(|part| part == format!("node={}", host.spec.name))
            });
            let path =
                here.and_then(|map| map.split(',').find_map(|part| part.strip_prefix("path=")));
            address = path.unwrap_or_default().to_owned();
        }
        let address = address
            .trim_start_matches("host=")
            .trim_start_matches("0000:")
            .to_owned();
        // Without a function all functions of the device are meant.
        found.extend(
            host.spec
                .devices
                .iter()
                .filter(|device| {
                    let pci = device
                        .pci
                        .as_deref()
                        .unwrap_or_default()
                        .trim_start_matches("0000:");
                    !address.is_empty()
                        && (pci == address
                            || (!address.contains('.') && pci.split('.').next() == Some(&address)))
                })
                .cloned(),
        );
    }
    (found, None)
}

/// `lspci [-n|-nn] [-k] [-D] [-s SLOT] [-d VENDOR:DEVICE]`.
pub(super) async fn lspci(machine: &Machine, args: &[String]) -> Said {
    let (mut numbers, mut drivers, mut domain) = (0, false, false);
    let (mut slot, mut id) = (None, None);
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        let Some(flags) = arg.strip_prefix('-').filter(|flags| !flags.is_empty()) else {
            return fail(1, "Usage: lspci [<switches>]");
        };
        for (at, letter) in flags.char_indices() {
            let value = |rest: &mut std::slice::Iter<'_, String>| {
                let glued = &flags[at + 1..];
                if glued.is_empty() {
                    rest.next().cloned()
                } else {
                    Some(glued.to_owned())
                }
            };
            match letter {
                'n' => numbers += 1,
                'k' => drivers = true,
                'D' => domain = true,
                's' => {
                    slot = value(&mut rest);
                    break;
                }
                'd' => {
                    id = value(&mut rest);
                    break;
                }
                other => return unserved(machine, &format!("lspci -{other}")),
            }
        }
    }
    let (devices, host) = devices(machine).await;
    let boot = host.as_ref().map_or_else(
        || machine.records().boot.clone(),
        |host| host.records().boot.clone(),
    );
    let mut out = String::new();
    for device in &devices {
        let Some(pci) = &device.pci else { continue };
        let short = pci.trim_start_matches("0000:");
        let (vendor, number) = (hex(device.vendor.as_deref()), hex(device.device.as_deref()));
        let fits = |wanted: &Option<String>, has: &[String]| {
            wanted
                .as_ref()
                .is_none_or(|wanted| has.contains(&wanted.to_ascii_lowercase()))
        };
        let slots = [
            pci.clone(),
            short.to_owned(),
            short.split('.').next().unwrap_or_default().to_owned(),
            pci.rsplit_once('.').map_or("", |(slot, _)| slot).to_owned(),
        ];
        if !fits(&slot, &slots) || !fits(&id, &[format!("{vendor}:{number}"), format!("{vendor}:")])
        {
            continue;
        }
        out.push_str(&line(device, if domain { pci } else { short }, numbers));
        if drivers {
            let (driver, module) = boot.driver(device);
            if let Some(driver) = driver {
                out.push_str(&format!("\tKernel driver in use: {driver}\n"));
            }
            if let Some(module) = module {
                out.push_str(&format!("\tKernel modules: {module}\n"));
            }
        }
    }
    Said::out(out)
}

fn line(device: &Device, slot: &str, numbers: u8) -> String {
    let (class, vendor, number) = (
        class(device),
        hex(device.vendor.as_deref()),
        hex(device.device.as_deref()),
    );
    if numbers == 1 {
        return format!("{slot} {class}: {vendor}:{number}\n");
    }
    let kind = match class.as_str() {
        "0300" => "VGA compatible controller",
        "0403" => "Audio device",
        "0108" => "Non-Volatile memory controller",
        "0200" => "Ethernet controller",
        "0c03" => "USB controller",
        _ => "Unassigned class",
    };
    let maker = match vendor.as_str() {
        "10de" => "NVIDIA Corporation",
        "1002" => "Advanced Micro Devices, Inc. [AMD/ATI]",
        "1022" => "Advanced Micro Devices, Inc. [AMD]",
        "8086" => "Intel Corporation",
        "10ec" => "Realtek Semiconductor Co., Ltd.",
        _ => "Device",
    };
    let name = device.name.as_deref().unwrap_or("Device");
    if numbers >= 2 {
        format!("{slot} {kind} [{class}]: {maker} {name} [{vendor}:{number}]\n")
    } else {
        format!("{slot} {kind}: {maker} {name}\n")
    }
}
