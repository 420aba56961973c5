//! Backups: one now, and the jobs that make them.

use serde_json::Value;

use crate::client::Client;
use crate::error::Error;
use crate::guest::{Guest, Kind};
use crate::request::{Request, Retry, segment};

/// Backs a guest up now. Gives a task that fails when the guest cannot be backed up.
pub fn now(guest: &Guest, storage: &str, mode: &str) -> Request {
    Request::post(format!("/nodes/{}/vzdump", segment(&guest.node)))
        .retry(Retry::Never)
        .with("vmid", guest.vmid)
        .with("storage", storage)
        .with("mode", mode)
        .with("compress", "zstd")
}

/// The jobs.
///
/// # Errors
///
/// As [`Client::call`].
pub async fn jobs(client: &Client) -> Result<Vec<Value>, Error> {
    match client.call(&Request::get("/cluster/backup")).await? {
        Value::Array(jobs) => Ok(jobs),
        _ => Ok(Vec::new()),
    }
}

/// Makes a job; it needs `schedule`, `storage` and which guests (`vmid`, `all` or `pool`).
pub fn job_create(id: &str) -> Request {
    Request::post("/cluster/backup")
        .retry(Retry::Once)
        .with("id", id)
}

/// Changes a job.
pub fn job_set(id: &str) -> Request {
    Request::put(format!("/cluster/backup/{}", segment(id)))
}

/// Removes a job. One that is not there is a 500 whose text says 400.
pub fn job_delete(id: &str) -> Request {
    Request::delete(format!("/cluster/backup/{}", segment(id)))
}

/// Makes a new guest of a backup: never over one that is there. Gives a task.
pub fn restore(new: &Guest, volume: &str, storage: Option<&str>) -> Request {
    let source = match new.kind {
        Kind::Lxc => vec![("ostemplate", volume), ("restore", "1")],
        Kind::Qemu => vec![("archive", volume)],
    };
    new.create(source).maybe("storage", storage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_restored_by_its_own_parameters() {
        let of = |kind| {
            restore(
                &Guest::new(kind, "pve1", 9000),
                "local:backup/a.tar.zst",
                Some("zfs"),
            )
            .encoded()
        };
        assert_eq!(
            of(Kind::Lxc),
            "vmid=9000&ostemplate=local%3Abackup%2Fa.tar.zst&restore=1&storage=zfs"
        );
        assert_eq!(
            of(Kind::Qemu),
            "vmid=9000&archive=local%3Abackup%2Fa.tar.zst&storage=zfs"
        );
    }
}
