//! Answers with something left out or changed: a key, a type, a text, an order.

use serde_json::{Value, json};

use super::{Defective, defects, without};
use crate::wire::{Answer, Request};

defects! {
    "every task ends well" => "a task's log ends with how it ended": all_well,
    "warnings are not counted" => "warnings are counted and shown": no_warnings,
    "an ended task has no exit status" => "a task runs before it has an end": no_exit,
    "a running task has an exit status" => "a task runs before it has an end": early_exit,
    "a task's token is not told" => "a task runs before it has an end": no_token,
    "a task's log has no last line" => "a task's log ends with how it ended": no_last_line,
    "a task's log has no total" => "a task's log ends with how it ended": no_total,
    "tasks are listed oldest first" => "the newest task is the first of the list": oldest_first,
    "the list of tasks has no ends" => "the newest task is the first of the list": no_ends,
    "a configuration has no digest" => "a change against an old digest is refused": no_digest,
    "a waiting change is shown as applied" => "a running machine's processors change at its restart": applied,
    "the list of changes shows none" => "a running machine's processors change at its restart": no_pending,
    "a reason phrase is the usual one" => "an error's text is in the reason phrase and in the body": usual_reason,
    "an error's body has no text" => "an error's text is in the reason phrase and in the body": no_message,
    "the next number is a number" => "the next free number is a text": number,
    "a stopped container has no addresses" => "a container has addresses while it runs": empty_list,
    "a prefix is a number" => "a container has addresses while it runs": prefix,
    "a password is shown" => "a machine's password is never shown": password,
    "a machine's memory is a number" => "a machine is made as it was asked for": memory,
    "a guest that is being made shows no lock" => "a guest that is being made says so": no_create_lock,
    "a guest that is copied shows no lock" => "guests say so while one is copied": no_lock,
    "a snapshot that is taken shows no state" => "a guest says so while a snapshot is taken": no_snapstate,
    "a lock is not shown" => "a locked guest is left alone": no_lock,
    "a description loses its line end" => "a change is read back, an unknown option is refused": no_line_end,
    "a disk that was taken off is not shown" => "a mount point that is taken off is kept": no_unused,
    "a 401 has a content type" => "a call without credentials is refused, with no body": typed_refusal,
    "the cluster lists no machines" => "the cluster lists its guests": no_machines,
    "a snapshot has no parent" => "a snapshot is in the tree with what was said about it": no_parent,
    "the tree does not say where we are" => "a snapshot is in the tree with what was said about it": no_current,
    "a thin copy is named after its base" => "a thin copy has a name of its own and stands alone": based,
    "a storage's list knows no kinds" => "a storage lists what it holds, by kind": all_kinds,
}

fn task_status(request: &Request) -> bool {
    request.path.contains("/tasks/") && request.is("GET", "/status")
}

async fn all_well(lab: &Defective, request: Request) -> Answer {
    let log = request.path.contains("/log");
    lab.real(request).await.edit(|data| {
        if data.get("exitstatus").is_some() {
            data["exitstatus"] = "OK".into();
        }
        if let (true, Some(last)) = (log, data.as_array_mut().and_then(|rows| rows.last_mut())) {
            last["t"] = "TASK OK".into();
        }
    })
}

async fn no_warnings(lab: &Defective, request: Request) -> Answer {
    lab.real(request).await.edit(|data| {
        if data["exitstatus"]
            .as_str()
            .is_some_and(|text| text.starts_with("WARNINGS"))
        {
            data["exitstatus"] = "OK".into();
        }
    })
}

async fn no_exit(lab: &Defective, request: Request) -> Answer {
    lab.real(request)
        .await
        .edit(|data| without(data, "exitstatus"))
}

async fn early_exit(lab: &Defective, request: Request) -> Answer {
    let status = task_status(&request);
    lab.real(request).await.edit(|data| {
        if status && data.get("exitstatus").is_none() {
            data["exitstatus"] = "OK".into();
        }
    })
}

async fn no_token(lab: &Defective, request: Request) -> Answer {
    lab.real(request)
        .await
        .edit(|data| without(data, "tokenid"))
}

async fn no_last_line(lab: &Defective, request: Request) -> Answer {
    let log = request.path.contains("/log");
    lab.real(request).await.edit(|data| {
        if let (true, Some(rows)) = (log, data.as_array_mut()) {
            rows.pop();
        }
    })
}

async fn no_total(lab: &Defective, request: Request) -> Answer {
    let mut answer = lab.real(request).await;
    without(&mut answer.body, "total");
    answer
}

async fn oldest_first(lab: &Defective, request: Request) -> Answer {
    let list = request.is("GET", "/tasks");
    lab.real(request).await.edit(|data| {
        if let (true, Some(rows)) = (list, data.as_array_mut()) {
            rows.reverse();
        }
    })
}

async fn no_ends(lab: &Defective, request: Request) -> Answer {
    let list = request.is("GET", "/tasks");
    lab.real(request).await.edit(|data| {
        for row in data.as_array_mut().into_iter().flatten().filter(|_| list) {
            without(row, "status");
        }
    })
}

async fn no_digest(lab: &Defective, request: Request) -> Answer {
    lab.real(request).await.edit(|data| without(data, "digest"))
}

async fn applied(lab: &Defective, mut request: Request) -> Answer {
    request.path = request.path.replace("?current=1", "");
    lab.real(request).await
}

async fn no_pending(lab: &Defective, request: Request) -> Answer {
    lab.real(request).await.edit(|data| {
        for row in data.as_array_mut().into_iter().flatten() {
            without(row, "pending");
        }
    })
}

async fn usual_reason(lab: &Defective, request: Request) -> Answer {
    let mut answer = lab.real(request).await;
    if answer.status == 500 {
        answer.reason = "Internal Server Error".into();
    }
    answer
}

async fn no_message(lab: &Defective, request: Request) -> Answer {
    let mut answer = lab.real(request).await;
    without(&mut answer.body, "message");
    answer
}

async fn number(lab: &Defective, request: Request) -> Answer {
    let next = request.is("GET", "/cluster/nextid");
    lab.real(request).await.edit(|data| {
        let number = data.as_str().and_then(|text| text.parse::<u32>().ok());
        if let (true, Some(number)) = (next, number) {
            *data = number.into();
        }
    })
}

async fn empty_list(lab: &Defective, request: Request) -> Answer {
    let interfaces = request.is("GET", "/interfaces");
    lab.real(request).await.edit(|data| {
        if interfaces && data.is_null() {
            *data = json!([]);
        }
    })
}

async fn prefix(lab: &Defective, request: Request) -> Answer {
    let interfaces = request.is("GET", "/interfaces");
    lab.real(request).await.edit(|data| {
        for row in data
            .as_array_mut()
            .into_iter()
            .flatten()
            .filter(|_| interfaces)
        {
            for address in row["ip-addresses"].as_array_mut().into_iter().flatten() {
                let number = address["prefix"]
                    .as_str()
                    .and_then(|text| text.parse::<u8>().ok());
                address["prefix"] = number.into();
            }
        }
    })
}

async fn password(lab: &Defective, request: Request) -> Answer {
    lab.real(request).await.edit(|data| {
        if data.get("cipassword").is_some() {
            data["cipassword"] = "geheim".into();
        }
    })
}

async fn memory(lab: &Defective, request: Request) -> Answer {
    lab.real(request).await.edit(|data| {
        let number = data
            .get("memory")
            .and_then(Value::as_str)
            .and_then(|text| text.parse::<u32>().ok());
        if let Some(number) = number {
            data["memory"] = number.into();
        }
    })
}

async fn based(lab: &Defective, request: Request) -> Answer {
    lab.real(request).await.edit(|data| {
        if data["scsi0"] == "thin:vm-210-disk-0,size=8G" {
            data["scsi0"] = "thin:base-200-disk-0/vm-210-disk-0,size=8G".into();
        }
    })
}

async fn no_lock(lab: &Defective, request: Request) -> Answer {
    lab.real(request).await.edit(|data| without(data, "lock"))
}

async fn no_create_lock(lab: &Defective, request: Request) -> Answer {
    lab.real(request).await.edit(|data| {
        if data.get("lock").is_some_and(|lock| lock == "create") {
            without(data, "lock");
        }
    })
}

async fn no_snapstate(lab: &Defective, request: Request) -> Answer {
    lab.real(request).await.edit(|data| {
        for row in data.as_array_mut().into_iter().flatten() {
            without(row, "snapstate");
        }
    })
}

async fn no_line_end(lab: &Defective, request: Request) -> Answer {
    lab.real(request).await.edit(|data| {
        if let Some(text) = data.get("description").and_then(Value::as_str) {
            data["description"] = text.trim_end().into();
        }
    })
}

async fn no_unused(lab: &Defective, request: Request) -> Answer {
    lab.real(request)
        .await
        .edit(|data| without(data, "unused0"))
}

async fn typed_refusal(lab: &Defective, request: Request) -> Answer {
    let mut answer = lab.real(request).await;
    answer.kind = Some("text/html".into());
    answer
}

async fn no_machines(lab: &Defective, request: Request) -> Answer {
    lab.real(request).await.edit(|data| {
        if let Some(rows) = data.as_array_mut() {
            rows.retain(|row| row["type"] != "qemu");
        }
    })
}

async fn no_parent(lab: &Defective, request: Request) -> Answer {
    lab.real(request).await.edit(|data| {
        for row in data.as_array_mut().into_iter().flatten() {
            without(row, "parent");
        }
    })
}

async fn no_current(lab: &Defective, request: Request) -> Answer {
    lab.real(request).await.edit(|data| {
        if let Some(rows) = data.as_array_mut() {
            rows.retain(|row| row["name"] != "current");
        }
    })
}

async fn all_kinds(lab: &Defective, mut request: Request) -> Answer {
    if let Some((path, _)) = request.path.split_once("?content=") {
        request.path = path.to_owned();
    }
    lab.real(request).await
}
