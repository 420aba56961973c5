//! Programs of a node that are answered from the cluster: `pvesh`, `pvesm`, `pveversion`, `lspci`, `zfs list`, `zpool status`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::answer::{Said, fail, unserved};
use super::boot::{class, hex};
use super::machine::Machine;
use super::{Inner, Role, boot};
use crate::fixture::{Device, GuestKind};
use crate::pve::{Answer, Caller, Params};

/// How long a program waits for a task.
const TASK: Duration = Duration::from_secs(1800);
/// The first pause between two looks at a task, and the longest.
const LOOK: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(200));

/// A call of the API as root, from a machine.
pub(super) async fn call(machine: &Machine, verb: &str, path: &str, params: Params) -> Answer {
    match machine.lab.upgrade().and_then(|lab| lab.cluster()) {
        Some(cluster) => cluster.call(verb, path, params, &Caller::root()).await,
        None => Fail500::answer("the lab has no cluster"),
    }
}

struct Fail500;

impl Fail500 {
    fn answer(text: &str) -> Answer {
        Answer {
            status: 500,
            message: Some(format!("{text}\n")),
            data: Value::Null,
            beside: serde_json::Map::new(),
            errors: serde_json::Map::new(),
        }
    }
}

/// The error of a refused call, as the command line tools print it.
pub(super) fn refused(answer: &Answer) -> Said {
    let mut text = match answer.status {
        500 => answer.text().to_owned(),
        status => format!("{status} {}", answer.text()),
    };
    for (name, why) in &answer.errors {
        text.push_str(&format!(
            "\n{name}: {}",
            why.as_str().unwrap_or_default().trim_end()
        ));
    }
    // What Perl ends with when a file was missing.
    fail(
        if text.contains("does not exist") {
            2
        } else {
            255
        },
        text,
    )
}

/// Waits for a call's task, if it started one: its log, and its failure.
pub(super) async fn finish(machine: &Machine, answer: Answer) -> Said {
    if !answer.is_ok() {
        return refused(&answer);
    }
    let Some(upid) = answer
        .data
        .as_str()
        .filter(|text| text.starts_with("UPID:"))
    else {
        return Said::default();
    };
    let node = upid.split(':').nth(1).unwrap_or_default();
    let path = format!("/nodes/{node}/tasks/{upid}");
    let (begin, mut pause) = (Instant::now(), LOOK.0);
    let end = loop {
        let status = call(machine, "GET", &format!("{path}/status"), Params::new()).await;
        if !status.is_ok() {
            return refused(&status);
        }
        if let Some(end) = status.data.get("exitstatus").and_then(Value::as_str) {
            break end.to_owned();
        }
        if begin.elapsed() > TASK {
            return fail(255, "the task takes too long");
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LOOK.1);
    };
    let log = call(
        machine,
        "GET",
        &format!("{path}/log"),
        Params::from_pairs([("limit", "0")]),
    )
    .await;
    let lines = log.data.as_array().cloned().unwrap_or_default();
    let lines = lines.iter().filter_map(|line| line.get("t")?.as_str());
    let out: String = lines
        .filter(|line| !line.starts_with("TASK ") && *line != "no content")
        .map(|line| format!("{line}\n"))
        .collect();
    if end == "OK" || end.starts_with("WARNINGS: ") {
        Said::out(out)
    } else {
        Said {
            out,
            ..fail(255, end)
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// `pvesh get|create|set|delete PATH [--name value…]`.
pub(super) async fn pvesh(machine: &Machine, args: &[String]) -> Said {
    let (Some(verb), Some(path)) = (args.first(), args.get(1)) else {
        return fail(255, "ERROR: no command specified");
    };
    let method = match verb.as_str() {
        "get" | "ls" => "GET",
        "create" => "POST",
        "set" => "PUT",
        "delete" => "DELETE",
        other => return unserved(machine, &format!("pvesh {other}")),
    };
    let Ok(mut pairs) = options(&args[2..]) else {
        return fail(255, "400 too many arguments");
    };
    let mut format = "text".to_owned();
    pairs.retain(|(name, value)| match name.as_str() {
        "output-format" => {
            format.clone_from(value);
            false
        }
        "noborder" | "noheader" | "human-readable" | "quiet" => false,
        _ => true,
    });
    let answer = call(machine, method, path, Params::from_pairs(pairs)).await;
    if answer.status == 501 {
        return fail(255, format!("No '{verb}' handler defined for '{path}'"));
    }
    let data = answer.data.clone();
    let mut said = finish(machine, answer).await;
    if said.code != 0 {
        return said;
    }
    if verb == "ls" {
        let names = data
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|item| item.as_object()?.values().next());
        said.out = names
            .map(|name| format!("Dr--- {}\n", plain(name)))
            .collect();
        return said;
    }
    match format.as_str() {
        "json" => said.out.push_str(&format!("{data}\n")),
        "json-pretty" => said.out.push_str(&format!(
            "{}\n",
            serde_json::to_string_pretty(&data).unwrap_or_default()
        )),
        "text" => said.out.push_str(&table(&data)),
        other => return unserved(machine, &format!("pvesh --output-format {other}")),
    }
    said
}

/// `--name value`, `-name value`, `--name=value`; a name alone is true.
pub(super) fn options(args: &[String]) -> Result<Vec<(String, String)>, String> {
    let (mut pairs, mut at) = (Vec::new(), 0);
    while let Some(arg) = args.get(at) {
        let name = arg.trim_start_matches('-');
        if name.len() == arg.len() || name.is_empty() {
            return Err(arg.clone());
        }
        at += 1;
        if let Some((name, value)) = name.split_once('=') {
            pairs.push((name.to_owned(), value.to_owned()));
            continue;
        }
        let value = args.get(at).filter(|value| {
            // `-5` is a number, `-` is standard input.
            let option = value.strip_prefix('-').filter(|rest| !rest.is_empty());
            option.is_none_or(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        });
        at += usize::from(value.is_some());
        pairs.push((
            name.to_owned(),
            value.cloned().unwrap_or_else(|| "1".to_owned()),
        ));
    }
    Ok(pairs)
}

/// A table with a frame, as `pvesh` prints by default.
fn table(data: &Value) -> String {
    let rows: Vec<Vec<String>> = match data {
        Value::Null => return String::new(),
        Value::Object(map) => {
            let mut rows: Vec<_> = map
                .iter()
                .map(|(key, value)| vec![key.clone(), plain(value)])
                .collect();
            rows.sort();
            rows.insert(0, vec!["key".to_owned(), "value".to_owned()]);
            rows
        }
        Value::Array(items) if items.iter().all(Value::is_object) && !items.is_empty() => {
            let mut names: Vec<String> = items
                .iter()
                .filter_map(Value::as_object)
                .flat_map(|map| map.keys().cloned())
                .collect();
            names.sort();
            names.dedup();
            let row = |item: &Value| {
                names
                    .iter()
                    .map(|name| item.get(name).map(plain).unwrap_or_default())
                    .collect()
            };
            std::iter::once(names.clone())
                .chain(items.iter().map(row))
                .collect()
        }
        Value::Array(items) => return items.iter().map(|item| plain(item) + "\n").collect(),
        one => return plain(one) + "\n",
    };
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let rule = |left: &str, line: &str, cross: &str, right: &str| {
        let parts: Vec<String> = widths.iter().map(|width| line.repeat(width + 2)).collect();
        format!("{left}{}{right}\n", parts.join(cross))
    };
    let mut text = rule("┌", "─", "┬", "┐");
    for (n, row) in rows.iter().enumerate() {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!(" {cell}{} ", " ".repeat(width - cell.chars().count())))
            .collect();
        text.push_str(&format!("│{}│\n", cells.join("│")));
        text.push_str(&match n {
            _ if n + 1 == rows.len() => rule("└", "─", "┴", "┘"),
            0 => rule("╞", "═", "╪", "╡"),
            _ => rule("├", "─", "┼", "┤"),
        });
    }
    text
}

/// `pvesm status|list|path|alloc|free`.
pub(super) async fn pvesm(machine: &Machine, args: &[String]) -> Said {
    let base = format!("/nodes/{}/storage", machine.spec.name);
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["status", rest @ ..] => {
            let Ok(pairs) = options(
                &rest
                    .iter()
                    .map(|word| (*word).to_owned())
                    .collect::<Vec<_>>(),
            ) else {
                return fail(255, "400 too many arguments");
            };
            let answer = call(machine, "GET", &base, Params::from_pairs(pairs)).await;
            if answer.is_ok() {
                Said::out(storages(&answer.data))
            } else {
                refused(&answer)
            }
        }
        ["list", storage] => {
            let answer = call(
                machine,
                "GET",
                &format!("{base}/{storage}/content"),
                Params::new(),
            )
            .await;
            if !answer.is_ok() {
                return refused(&answer);
            }
            let items = answer.data.as_array().cloned().unwrap_or_default();
            let text = |item: &Value, key: &str| item.get(key).map(plain).unwrap_or_default();
            let width = items
                .iter()
                .map(|item| text(item, "volid").len())
                .max()
                .unwrap_or(5)
                .max(5);
            let mut out = format!(
                "{:<width$} {:<7} {:<9} {:>15} VMID\n",
                "Volid", "Format", "Type", "Size"
            );
            for item in &items {
                let kind = text(item, "content");
                out.push_str(&format!(
                    "{:<width$} {:<7} {kind:<9} {:>15} {}\n",
                    text(item, "volid"),
                    text(item, "format"),
                    text(item, "size"),
                    text(item, "vmid")
                ));
            }
            Said::out(out)
        }
        ["alloc", storage, vmid, name, size] => {
            let params = Params::from_pairs([("vmid", *vmid), ("filename", name), ("size", size)]);
            let answer = call(
                machine,
                "POST",
                &format!("{base}/{storage}/content"),
                params,
            )
            .await;
            if answer.is_ok() {
                Said::out(format!("successfully created '{}'\n", plain(&answer.data)))
            } else {
                refused(&answer)
            }
        }
        ["free", volid] => {
            let storage = volid.split(':').next().unwrap_or_default();
            let answer = call(
                machine,
                "DELETE",
                &format!("{base}/{storage}/content/{volid}"),
                Params::new(),
            )
            .await;
            finish(machine, answer).await
        }
        other => unserved(machine, &format!("pvesm {}", other.first().unwrap_or(&""))),
    }
}

fn storages(data: &Value) -> String {
    let mut items = data.as_array().cloned().unwrap_or_default();
    let text = |item: &Value, key: &str| item.get(key).map(plain).unwrap_or_default();
    items.sort_by_key(|item| text(item, "storage"));
    let width = items
        .iter()
        .map(|item| text(item, "storage").len())
        .max()
        .unwrap_or(4)
        .max(4)
        + 1;
    let mut out = format!(
        "{:<width$} {:>10} {:>10} {:>15} {:>15} {:>15} {:>8}\n",
        "Name", "Type", "Status", "Total", "Used", "Available", "%"
    );
    for item in &items {
        let number = |key: &str| item.get(key).and_then(Value::as_f64).unwrap_or(0.0);
        let active = text(item, "active") == "1";
        let kib = |key: &str| {
            if active {
                (number(key) / 1024.0).floor()
            } else {
                0.0
            }
        };
        let share = if active && number("total") > 0.0 {
            format!("{:.2}%", number("used") * 100.0 / number("total"))
        } else {
            "N/A".to_owned()
        };
        let state = if active {
            "active"
        } else if text(item, "enabled") == "0" {
            "disabled"
        } else {
            "inactive"
        };
        out.push_str(&format!(
            "{:<width$} {:>10} {state:>10} {:>15} {:>15} {:>15} {share:>8}\n",
            text(item, "storage"),
            text(item, "type"),
            kib("total"),
            kib("used"),
            kib("avail")
        ));
    }
    out
}

/// `pveversion [-v]`.
pub(super) async fn pveversion(machine: &Machine, args: &[String]) -> Said {
    let answer = call(machine, "GET", "/version", Params::new()).await;
    if !answer.is_ok() {
        return refused(&answer);
    }
    let text = |key: &str| answer.data.get(key).map(plain).unwrap_or_default();
    let (version, repo) = (text("version"), text("repoid"));
    match args {
        [] => Said::out(format!(
            "pve-manager/{version}/{repo} (running kernel: {})\n",
            boot::KERNEL
        )),
        [flag] if flag == "-v" || flag == "--verbose" => Said::out(format!(
            "proxmox-ve: {}.0 (running kernel: {kernel})\npve-manager: {version} (running version: {version}/{repo})\n",
            text("release"),
            kernel = boot::KERNEL
        )),
        other => unserved(machine, &format!("pveversion {}", other[0])),
    }
}

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

async fn where_is(machine: &Machine, vmid: u32, lab: &Inner) -> Option<Arc<Machine>> {
    let answer = call(
        machine,
        "GET",
        "/cluster/resources",
        Params::from_pairs([("type", "vm")]),
    )
    .await;
    let item = answer
        .data
        .as_array()?
        .iter()
        .find(|item| item.get("vmid").and_then(Value::as_u64) == Some(vmid.into()))?
        .clone();
    lab.find(item.get("node")?.as_str()?)
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

/// `zfs list [-H] [-p] [-o name,used,avail,refer,mountpoint] [NAME]`.
pub(super) fn zfs(machine: &Machine, args: &[String]) -> Said {
    let Some(("list", args)) = args.split_first().map(|(verb, rest)| (verb.as_str(), rest)) else {
        return unserved(
            machine,
            &format!(
                "zfs {}",
                args.first().map(String::as_str).unwrap_or_default()
            ),
        );
    };
    let (mut plainly, mut exact, mut columns, mut names) = (
        false,
        false,
        "name,used,avail,refer,mountpoint".to_owned(),
        Vec::new(),
    );
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        match arg.as_str() {
            "-H" => plainly = true,
            "-p" => exact = true,
            "-Hp" | "-pH" => (plainly, exact) = (true, true),
            "-r" => {}
            "-o" => columns = rest.next().cloned().unwrap_or_default(),
            "-Ho" => (plainly, columns) = (true, rest.next().cloned().unwrap_or_default()),
            other if other.starts_with('-') => {
                return unserved(machine, &format!("zfs list {other}"));
            }
            name => names.push(name),
        }
    }
    let columns: Vec<&str> = columns.split(',').collect();
    let mut rows = vec![
        columns
            .iter()
            .map(|name| name.to_ascii_uppercase())
            .collect::<Vec<_>>(),
    ];
    let mut said = Said::default();
    for name in &names {
        if !machine.spec.pools.iter().any(|(pool, _)| pool == name) {
            said.err
                .push_str(&format!("cannot open '{name}': dataset does not exist\n"));
            said.code = 1;
        }
    }
    for (pool, size) in machine
        .spec
        .pools
        .iter()
        .filter(|(pool, _)| names.is_empty() || names.contains(&pool.as_str()))
    {
        let bytes = |n: u64| if exact { n.to_string() } else { human(n) };
        let cell = |column: &&str| match *column {
            "name" => Some(pool.clone()),
            "used" => Some(bytes(98_304)),
            "avail" | "available" => Some(bytes(size.saturating_sub(98_304))),
            "refer" | "referenced" => Some(bytes(98_304)),
            "mountpoint" => Some(format!("/{pool}")),
            "type" => Some("filesystem".to_owned()),
            _ => None,
        };
        match columns.iter().map(cell).collect::<Option<Vec<_>>>() {
            Some(row) => rows.push(row),
            None => return unserved(machine, &format!("zfs list -o {}", columns.join(","))),
        }
    }
    if plainly {
        said.out = rows[1..].iter().map(|row| row.join("\t") + "\n").collect();
    } else if rows.len() > 1 {
        let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns.len()).map(width).collect();
        said.out = rows
            .iter()
            .map(|row| {
                let cells: Vec<String> = row
                    .iter()
                    .zip(&widths)
                    .map(|(cell, width)| format!("{cell:<width$}"))
                    .collect();
                cells.join("  ").trim_end().to_owned() + "\n"
            })
            .collect();
    } else if said.code == 0 {
        said.out = "no datasets available\n".to_owned();
    }
    said
}

fn human(bytes: u64) -> String {
    let units = ["B", "K", "M", "G", "T", "P"];
    let (mut value, mut unit) = (
        u32::try_from(bytes >> 20).map_or(f64::from(u32::MAX), f64::from) * 1_048_576.0,
        0,
    );
    if bytes < 1 << 20 {
        value = f64::from(u32::try_from(bytes).unwrap_or(u32::MAX));
    }
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if value >= 100.0 || value.fract() == 0.0 {
        format!("{value:.0}{}", units[unit])
    } else if value >= 10.0 {
        format!("{value:.1}{}", units[unit])
    } else {
        format!("{value:.2}{}", units[unit])
    }
}

/// `zpool status [-x] [POOL]`.
pub(super) fn zpool(machine: &Machine, args: &[String]) -> Said {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let named = match words.as_slice() {
        ["status"] => None,
        ["status", "-x"] => {
            return Said::out(if machine.spec.pools.is_empty() {
                "no pools available\n"
            } else {
                "all pools are healthy\n"
            });
        }
        ["status", pool] if !pool.starts_with('-') => Some(*pool),
        other => return unserved(machine, &format!("zpool {}", other.join(" "))),
    };
    let pools: Vec<&str> = machine
        .spec
        .pools
        .iter()
        .map(|(pool, _)| pool.as_str())
        .filter(|pool| named.is_none_or(|name| name == *pool))
        .collect();
    match (named, pools.is_empty()) {
        (Some(name), true) => fail(1, format!("cannot open '{name}': no such pool")),
        (None, true) => Said::out("no pools available\n"),
        _ => {
            let texts: Vec<String> = pools.iter().map(|pool| format!(
                "  pool: {pool}\n state: ONLINE\nconfig:\n\n\tNAME        STATE     READ WRITE CKSUM\n\t{pool:<11} ONLINE       0     0     0\n\nerrors: No known data errors\n"
            )).collect();
            Said::out(texts.join("\n"))
        }
    }
}

/// Restarts a machine. A node does so by the API, which knows what becomes of its guests and tells the machine's hook.
pub(super) async fn restart(machine: &Arc<Machine>) {
    if machine.spec.role != Role::Node {
        return machine.restart().await;
    }
    let path = format!("/nodes/{}/status", machine.spec.name);
    let said = call(
        machine,
        "POST",
        &path,
        Params::from_pairs([("command", "reboot")]),
    )
    .await;
    if !said.is_ok() {
        tracing::warn!(
            text = said.text(),
            node = machine.spec.name,
            "the node of a lab does not restart"
        );
    }
}

/// `systemctl poweroff`: a guest stops, as the API sees it too; anything else goes down and stays so.
pub(super) fn power_off(machine: &Arc<Machine>) -> Said {
    let machine = machine.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if let Role::Guest { vmid, kind, node } = &machine.spec.role {
            let Some(lab) = machine.lab.upgrade() else {
                return;
            };
            let node = where_is(&machine, *vmid, &lab)
                .await
                .map_or_else(|| node.clone(), |node| node.spec.name.clone());
            let kind = if *kind == GuestKind::Lxc {
                "lxc"
            } else {
                "qemu"
            };
            let stopped = call(
                &machine,
                "POST",
                &format!("/nodes/{node}/{kind}/{vmid}/status/stop"),
                Params::new(),
            )
            .await;
            finish(&machine, stopped).await;
        } else {
            machine.stop().await;
        }
    });
    Said::default()
}
