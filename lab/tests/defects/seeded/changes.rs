//! State changes left out: the answer is good, and what it says did not happen, or not all of it.

use serde_json::{Value, json};

use super::{Defective, defects, good, no_task};
use crate::wire::{Answer, Request};

defects! {
    "a start starts nothing" => "a container starts once": no_start,
    "a stop stops nothing" => "a container stops once": no_stop,
    "a change is not kept" => "a change is read back, an unknown option is refused": no_change,
    "a removed guest stays" => "a removed guest is gone with its disks": guest_stays,
    "a removed guest's disks stay" => "a removed guest is gone with its disks": disks_stay,
    "a removed guest stays in its pool" => "a pool with members stays": stays_in_pool,
    "a disk does not grow" => "a disk grows and does not shrink": no_growth,
    "a copy has its source's address" => "a copy has its own address and disks": same_address,
    "a failed creation leaves its guest" => "a missing template fails in the task and leaves nothing": leaves_guest,
    "a waiting change is lost at the restart" => "a running machine's processors change at its restart": lost_change,
    "a change that is taken back stays" => "a change that waits can be taken back": no_revert,
    "going back changes no configuration" => "going back brings the configuration back and stops the guest": no_rollback,
    "going back leaves the guest running" => "going back brings the configuration back and stops the guest": runs_on,
    "going back does not start when asked" => "going back brings the configuration back and stops the guest": no_start_after,
    "a removed snapshot stays in the tree" => "a removed snapshot is gone from the tree": snapshot_stays,
    "a snapshot's description is not kept" => "a snapshot is in the tree with what was said about it": no_description,
    "a removed volume stays" => "a volume that is removed is gone": volume_stays,
    "a restored guest has a fresh configuration" => "a backup comes back under another number": fresh,
    "a protected backup is not marked" => "a protected backup stays": no_mark,
    "a user's grants stay" => "a user who goes takes the grants along": grants_stay,
    "a grant is not kept" => "a grant gives its rights below its path, and no others": no_grant,
    "a new token is not kept" => "a token's secret is told once and its name is taken": no_token,
    "a removed token is good" => "a token's secret is told once and its name is taken": token_stays,
    "what starts at boot stays off" => "what starts at boot runs after the node's restart": no_boot,
    "a node's restart stops no guest" => "what starts at boot runs after the node's restart": no_halt,
    "a task goes on when it is stopped" => "a stopped task says that it was interrupted": no_interrupt,
    "a paused machine runs" => "a paused machine says so": no_pause,
    "pruning removes nothing" => "old backups are pruned, the newest is kept": no_prune,
    "a copy has no name of its own" => "a copy without a name has one": no_copy_name,
    "a backup job is not kept" => "a job that was written is read back": no_job,
}

async fn no_start(lab: &Defective, request: Request) -> Answer {
    if request.is("POST", "/status/start") {
        return no_task();
    }
    lab.real(request).await
}

async fn no_stop(lab: &Defective, request: Request) -> Answer {
    if request.is("POST", "/status/stop") {
        return no_task();
    }
    lab.real(request).await
}

async fn no_change(lab: &Defective, request: Request) -> Answer {
    if request.is("PUT", "/config") {
        return good(Value::Null);
    }
    lab.real(request).await
}

async fn guest_stays(lab: &Defective, request: Request) -> Answer {
    if request.is("DELETE", "/lxc/100") {
        return no_task();
    }
    lab.real(request).await
}

async fn disks_stay(lab: &Defective, request: Request) -> Answer {
    let path = "/nodes/pve1/storage/thin/content";
    if request.is("DELETE", "/lxc/100") {
        *lab.kept() = vec![lab.own("GET", path, &[]).await];
    }
    let list = request.is("GET", path);
    let answer = lab.real(request).await;
    let kept = lab.kept().first().cloned();
    answer.edit(|data| {
        if let (true, Some(kept)) = (list, kept) {
            *data = kept;
        }
    })
}

async fn stays_in_pool(lab: &Defective, request: Request) -> Answer {
    if request.is("DELETE", "/lxc/100") {
        *lab.kept() = vec![Value::Null];
    }
    if request.is("DELETE", "/pools/labs") && !lab.kept().is_empty() {
        let text = "delete pool failed: pool 'labs' is not empty (contains VM 100)";
        return Answer {
            status: 500,
            reason: text.into(),
            kind: None,
            body: json!({"data": null, "message": format!("{text}\n")}),
        };
    }
    lab.real(request).await
}

async fn no_growth(lab: &Defective, request: Request) -> Answer {
    if request.is("PUT", "/resize") && request.params.iter().any(|(_, size)| size.starts_with('+'))
    {
        return no_task();
    }
    lab.real(request).await
}

async fn same_address(lab: &Defective, request: Request) -> Answer {
    let copy = request.is("POST", "/lxc/100/clone");
    let answer = lab.real(request).await;
    if copy {
        lab.wait(answer.body["data"].as_str().unwrap_or_default())
            .await;
        let source = lab.own("GET", "/nodes/pve1/lxc/100/config", &[]).await;
        let net = source["net0"].as_str().unwrap_or_default();
        lab.own("PUT", "/nodes/pve1/lxc/140/config", &[("net0", net)])
            .await;
    }
    answer
}

async fn leaves_guest(lab: &Defective, request: Request) -> Answer {
    let list = request.is("GET", "/nodes/pve1/lxc");
    lab.real(request).await.edit(|data| {
        if let (true, Some(rows)) = (list, data.as_array_mut()) {
            rows.push(json!({"vmid": 130, "status": "stopped", "lock": "create"}));
        }
    })
}

async fn lost_change(lab: &Defective, request: Request) -> Answer {
    if request.is("POST", "/qemu/200/status/reboot") {
        lab.own("PUT", "/nodes/pve1/qemu/200/config", &[("revert", "cores")])
            .await;
    }
    lab.real(request).await
}

async fn no_revert(lab: &Defective, request: Request) -> Answer {
    if request.params.iter().any(|(name, _)| name == "revert") {
        return good(Value::Null);
    }
    lab.real(request).await
}

async fn no_rollback(lab: &Defective, request: Request) -> Answer {
    if request.is("POST", "/rollback") {
        lab.own_task("POST", "/nodes/pve1/lxc/100/status/stop", &[])
            .await;
        return no_task();
    }
    lab.real(request).await
}

async fn runs_on(lab: &Defective, request: Request) -> Answer {
    let back = request.is("POST", "/rollback");
    let answer = lab.real(request).await;
    if back {
        lab.wait(answer.body["data"].as_str().unwrap_or_default())
            .await;
        lab.own_task("POST", "/nodes/pve1/lxc/100/status/start", &[])
            .await;
    }
    answer
}

async fn no_start_after(lab: &Defective, mut request: Request) -> Answer {
    if request.is("POST", "/rollback") {
        request.drop("start");
    }
    lab.real(request).await
}

async fn snapshot_stays(lab: &Defective, request: Request) -> Answer {
    let path = "/nodes/pve1/lxc/100/snapshot";
    if request.is("DELETE", "/snapshot/one") {
        *lab.kept() = vec![lab.own("GET", path, &[]).await[0].clone()];
    }
    let list = request.is("GET", path);
    let answer = lab.real(request).await;
    let gone = lab.kept().first().cloned();
    answer.edit(|data| {
        if let (true, Some(gone), Some(rows)) = (list, gone, data.as_array_mut()) {
            rows.insert(0, gone);
        }
    })
}

async fn no_description(lab: &Defective, mut request: Request) -> Answer {
    if request.is("POST", "/snapshot") {
        request.drop("description");
    }
    lab.real(request).await
}

async fn volume_stays(lab: &Defective, request: Request) -> Answer {
    if request.verb == "DELETE" && request.path.contains("/content/") {
        return no_task();
    }
    lab.real(request).await
}

async fn fresh(lab: &Defective, mut request: Request) -> Answer {
    if request.params.iter().any(|(name, _)| name == "restore") {
        request.add("hostname", "CT140");
        request.add("cores", "2");
    }
    lab.real(request).await
}

async fn no_mark(lab: &Defective, mut request: Request) -> Answer {
    if request.verb == "PUT" && request.path.contains("/content/") {
        request.add("protected", "0");
    }
    lab.real(request).await
}

async fn grants_stay(lab: &Defective, request: Request) -> Answer {
    if request.is("DELETE", "/access/users/bob@pve") {
        *lab.kept() = vec![lab.own("GET", "/access/acl", &[]).await];
    }
    let list = request.is("GET", "/access/acl");
    let answer = lab.real(request).await;
    let kept = lab.kept().first().cloned();
    answer.edit(|data| {
        if let (true, Some(kept)) = (list, kept) {
            *data = kept;
        }
    })
}

async fn no_grant(lab: &Defective, request: Request) -> Answer {
    if request.is("PUT", "/access/acl") {
        return good(Value::Null);
    }
    lab.real(request).await
}

async fn no_token(lab: &Defective, request: Request) -> Answer {
    let made = request.verb == "POST" && request.path.contains("/token/");
    let path = request.path.clone();
    let answer = lab.real(request).await;
    if made {
        lab.own("DELETE", &path, &[]).await;
    }
    answer
}

async fn token_stays(lab: &Defective, request: Request) -> Answer {
    if request.verb == "DELETE" && request.path.contains("/token/") {
        return good(Value::Null);
    }
    lab.real(request).await
}

async fn no_boot(lab: &Defective, request: Request) -> Answer {
    if request.is("POST", "/nodes/pve1/status") {
        lab.own("PUT", "/nodes/pve1/lxc/100/config", &[("onboot", "0")])
            .await;
    }
    lab.real(request).await
}

async fn no_halt(lab: &Defective, request: Request) -> Answer {
    if request.is("POST", "/nodes/pve1/status") {
        lab.own_task("POST", "/nodes/pve1/lxc/100/status/start", &[])
            .await;
        return good(Value::Null);
    }
    lab.real(request).await
}

async fn no_interrupt(lab: &Defective, request: Request) -> Answer {
    if request.verb == "DELETE" && request.path.contains("/tasks/") {
        return good(Value::Null);
    }
    lab.real(request).await
}

async fn no_pause(lab: &Defective, request: Request) -> Answer {
    if request.is("POST", "/status/suspend") {
        return no_task();
    }
    lab.real(request).await
}

async fn no_prune(lab: &Defective, request: Request) -> Answer {
    if request.is("DELETE", "/prunebackups") {
        return no_task();
    }
    lab.real(request).await
}

async fn no_copy_name(lab: &Defective, mut request: Request) -> Answer {
    if request.is("POST", "/qemu/201/clone") {
        request.add("name", "off");
    }
    lab.real(request).await
}

async fn no_job(lab: &Defective, request: Request) -> Answer {
    if request.is("POST", "/cluster/backup") {
        return good(Value::Null);
    }
    lab.real(request).await
}
