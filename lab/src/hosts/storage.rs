//! What storages, versions and calls say on a node's command line: `pvesm`, `pveversion`, `pvesh`.

use serde_json::Value;

use super::answer::{Said, fail, unserved};
use super::boot;
use super::machine::Machine;
use super::node::{call, finish, options, plain, refused};
use crate::pve::Params;

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
        ["path", volid] => path(machine, volid).await,
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

/// Where a volume is, whether it is there or not.
async fn path(machine: &Machine, volid: &str) -> Said {
    let Some((storage, name)) = volid.split_once(':') else {
        return fail(255, format!("unable to parse volume ID '{volid}'\n"));
    };
    let lab = machine.lab.upgrade();
    let Some(cluster) = lab.and_then(|lab| lab.cluster()) else {
        return fail(255, "the lab has no cluster");
    };
    match cluster.path_of(storage, name) {
        Some(path) => Said::out(format!("{path}\n")),
        None => fail(255, format!("storage '{storage}' does not exist")),
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
