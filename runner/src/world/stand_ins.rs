//! Stand-ins that the inventory names: their tables are read and checked, their programs are found.
//!
//! A broken one is an error of the lab with its file: a service that silently never answers would only be seen as a skip.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use runbook::inventory::Inventory;
use runbook::mapped::Mapped;
use runbook::node::Node;
use runbook::read;
use runbook_lab::hosts::{Answers, StandIn};
use runbook_lab::stand_in::{Row, Table};

use super::fixture::text;
use crate::action::Failure;
use crate::secrets::expand;

/// The longest table.
const TABLE_BYTES_MAX: u64 = 1 << 20;
/// The status of a row that gives none.
const STATUS: u16 = 200;

/// The stand-ins of a guest or host.
///
/// # Errors
///
/// A table that cannot be read or that HTTP does not know, a program that is not there.
pub(super) fn of(
    inventory: &Inventory,
    name: &str,
    folder: &Path,
) -> Result<Vec<StandIn>, Failure> {
    let guest = inventory.guest(name).map(|guest| &guest.node);
    let host = inventory.hosts.iter().find(|(known, _)| known == name);
    let node = guest.or(host.map(|(_, node)| node));
    node.map_or_else(|| Ok(Vec::new()), |node| list(node, folder))
}

/// The stand-ins of what is written of a guest, host or cluster.
///
/// # Errors
///
/// As [`of`].
pub(super) fn list(node: &Node, folder: &Path) -> Result<Vec<StandIn>, Failure> {
    let written = node.get("stand-ins").and_then(Node::as_map);
    written
        .unwrap_or_default()
        .iter()
        .filter_map(|entry| Some((entry.key.parse().ok()?, &entry.value)))
        .map(|(port, value)| one(port, value, folder))
        .collect()
}

fn one(port: u16, value: &Node, folder: &Path) -> Result<StandIn, Failure> {
    let file = |key| text(value, key).map(|file| expand(folder, file));
    let answers = match (file("table"), file("program")) {
        (Some(table), _) => Answers::Table(Arc::new(read_table(&table)?)),
        (None, Some(program)) if program.is_file() => Answers::Program(program),
        (None, program) => {
            return Err(broken(
                "program",
                &program.unwrap_or_default(),
                "there is no such file",
            ));
        }
    };
    Ok(StandIn {
        port,
        needs: text(value, "needs").map(str::to_owned),
        answers,
    })
}

fn broken(what: &str, file: &Path, why: &str) -> Failure {
    let message = format!("the stand-in's {what} `{}`: {why}", file.display());
    Failure::new(message).hint(Some(
        "a table is a list of `{method, path, status, header, body}`, a program gets a connection on its standard input \
         and output; both are files beside the inventory",
    ))
}

fn read_table(file: &Path) -> Result<Table, Failure> {
    let failed = |why: &dyn std::fmt::Display| broken("table", file, &why.to_string());
    let metadata = std::fs::metadata(file).map_err(|error| failed(&error))?;
    if metadata.len() > TABLE_BYTES_MAX {
        return Err(failed(&format!("longer than {TABLE_BYTES_MAX} bytes")));
    }
    let text = std::fs::read_to_string(file).map_err(|error| failed(&error))?;
    let mut mapped = Mapped::default();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        mapped.push_line(line, at);
        at += line.len();
    }
    let node = runbook::yaml::parse(&mapped).map_err(|error| failed(&error.message))?;
    let list = node.as_list().ok_or_else(|| failed(&"it is no list"))?;
    let rows = list
        .iter()
        .enumerate()
        .map(|(index, node)| row(node).map_err(|why| failed(&format!("row {}: {why}", index + 1))));
    let rows = rows.collect::<Result<Vec<Row>, Failure>>()?;
    Table::new(rows).map_err(|error| failed(&error))
}

/// A row; texts are read as they are written, whatever YAML would make of them.
fn row(node: &Node) -> Result<Row, String> {
    let entries = node.as_map().ok_or("it is no map")?;
    let mut row = Row {
        method: None,
        path: String::new(),
        status: STATUS,
        header: BTreeMap::new(),
        body: String::new(),
    };
    for entry in entries {
        let word = || read::text(&entry.value).map_err(|error| error.to_string());
        match entry.key.as_str() {
            "method" => row.method = Some(word()?),
            "path" => row.path = word()?,
            "status" => {
                let status = word()?;
                row.status = status
                    .parse()
                    .map_err(|_| format!("`{status}` is no status"))?;
            }
            "body" => row.body = word()?,
            "header" => {
                for header in entry.value.as_map().ok_or("`header` is no map")? {
                    let value = read::text(&header.value).map_err(|error| error.to_string())?;
                    row.header.insert(header.key.clone(), value);
                }
            }
            other => return Err(format!("there is no key `{other}`")),
        }
    }
    if row.path.is_empty() {
        return Err("it has no `path`".to_owned());
    }
    Ok(row)
}
