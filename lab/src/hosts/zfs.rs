//! `zfs list` and `zpool status` from the pools of a node.

use super::answer::{Said, fail, unserved};
use super::machine::Machine;

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
