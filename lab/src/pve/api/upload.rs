//! `upload`: a file that came with the call lands in a storage.
//!
//! Rules, texts and the lines of the log are those of pve-storage (`API2/Storage/Status.pm`, `upload`).

use super::landing::{Checksum, Landing};
use super::storages::usable;
use super::{Act, Route};
use crate::pve::answer::{Fail, Outcome};
use crate::pve::cluster::Call;
use crate::pve::state::State;
use serde_json::Map;

pub(super) const ROUTES: &[Route] = &[(
    "POST",
    "/nodes/{node}/storage/{storage}/upload",
    Act::Now(upload),
)];

fn upload(call: &Call, state: &mut State) -> Outcome {
    let storage = usable(call, state)?;
    if !storage.is_directory() {
        return Err(Fail::die(format!(
            "can't upload to storage type '{}'",
            storage.kind
        )));
    }
    let (node, content) = (call.node(), call.text("content"));
    let Some(from) = call.params.text("tmpfilename") else {
        return Err(Fail::die("missing temporary file name"));
    };
    let file = call
        .cluster
        .uploads
        .take(&from)
        .ok_or_else(|| Fail::die(format!("temporary file '{from}' does not exist")))?;
    let to = Landing::new(storage, &node, &content, &call.text("filename"))?;
    if !storage.holds(&content) {
        return Err(Fail::die(format!(
            "storage '{}' does not support '{content}' content",
            storage.id
        )));
    }
    let checksum = Checksum::of(call);
    call.task(state, "imgcopy", "", move |worker| async move {
        worker.log(format!("starting file import from: {from}"));
        let sums = match &checksum {
            Some(checksum) => checksum.verify(&worker, &file)?,
            None => Map::new(),
        };
        worker.log(format!("target node: {node}"));
        worker.log(format!("target file: {}", to.path));
        worker.log(format!("file size is: {}", file.len()));
        worker.log(format!("command: cp -- {from} {}", to.path));
        to.land(&worker.cluster, file.len() as u64, sums);
        worker.log("finished file import successfully");
        Ok(())
    })
}
