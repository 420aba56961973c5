//! `rrddata`: measurements over time. The lab measures nothing, and says so as a fresh file of measurements does: rows of
//! times without values.
//!
//! The steps and their numbers are those of pve-cluster (`RRD.pm`, `create_rrd_data`); a row at the end without values is
//! left out there too.

use serde_json::{Value, json};

use super::{Act, Route};
use crate::pve::answer::{Fail, Outcome};
use crate::pve::cluster::Call;
use crate::pve::state::State;

pub(super) const ROUTES: &[Route] = &[
    (
        "GET",
        "/nodes/{node}/rrddata",
        Act::Now(|call, _| rows(call, true, &format!("pve-node-9.0/{}", call.node()))),
    ),
    ("GET", "/nodes/{node}/lxc/{vmid}/rrddata", Act::Now(guest)),
    ("GET", "/nodes/{node}/qemu/{vmid}/rrddata", Act::Now(guest)),
    (
        "GET",
        "/nodes/{node}/storage/{storage}/rrddata",
        Act::Now(storage),
    ),
];

fn guest(call: &Call, state: &mut State) -> Outcome {
    let there = state.guests.contains_key(&call.vmid());
    rows(call, there, &format!("pve-vm-9.0/{}", call.vmid()))
}

fn storage(call: &Call, state: &mut State) -> Outcome {
    let id = call.text("storage");
    let there = state.storage(&id).is_some();
    rows(
        call,
        there,
        &format!("pve-storage-9.0/{}/{id}", call.node()),
    )
}

fn rows(call: &Call, there: bool, file: &str) -> Outcome {
    if !there {
        return Err(Fail::die(format!(
            "RRD error: opening '/var/lib/rrdcached/db/{file}': No such file or directory"
        )));
    }
    let (step, count) = match call.text("timeframe").as_str() {
        "hour" => (60, 60),
        "day" => (60, 1440),
        "week" => (60 * 30, 336),
        "month" => (60 * 30, 1440),
        "year" => (3600 * 6, 1440),
        _ => (86_400 * 7, 570),
    };
    let now = step * (call.cluster.now() / step);
    let first = now - step * count;
    let rows = (0..count - 1).map(|row| json!({"time": first + row * step}));
    Ok(rows.collect::<Vec<Value>>().into())
}
