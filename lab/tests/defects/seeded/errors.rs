//! Errors left out: what the real one refuses, the defect lets through.

use serde_json::{Value, json};

use super::{Defective, defects, good, no_task};
use crate::wire::{Answer, Auth, Request};

defects! {
    "no credentials are needed" => "a call without credentials is refused, with no body": nobody,
    "a token's secret is not compared" => "a wrong, unknown or expired token is refused": any_secret,
    "a token never expires" => "a wrong, unknown or expired token is refused": old_token,
    "a ticket never expires" => "a ticket ends after its time and can be renewed before": old_ticket,
    "the CSRF token is not compared" => "a write by ticket needs its CSRF token": no_csrf,
    "any password is good" => "a wrong password is refused like an unknown user": any_password,
    "permissions are not checked" => "who may not read is told what is missing": no_permission,
    "a token of its own rights has its user's" => "a token with rights of its own has none at first": no_separation,
    "lists show everything" => "lists leave out what the caller may not see": no_filter,
    "every grant propagates" => "a grant that does not propagate ends at its path": propagates,
    "root's token is root" => "root's token is not root": token_is_root,
    "a token gets a ticket" => "a token cannot get a ticket": token_ticket,
    "only the first bad parameter is told" => "all bad parameters are told at once": one_error,
    "unknown parameters are ignored" => "a parameter nobody knows is an error": ignored,
    "an unknown option to delete is ignored" => "a change is read back, an unknown option is refused": bogus_delete,
    "the digest is not compared" => "a change against an old digest is refused": no_digest,
    "a start looks for no lock" => "a locked guest is left alone": lock_start,
    "a change looks for no lock" => "a locked guest is left alone": lock_change,
    "protection is not looked at" => "a protected guest stays": unprotected,
    "a running guest is removed" => "a running guest is not removed": removes_running,
    "a taken number is given again" => "a number that is taken is refused": taken,
    "a running container is copied" => "a copy has its own address and disks": copies_running,
    "everything can be linked" => "what is no base is not linked": links_all,
    "every machine hears" => "a machine that does not hear is shut down by force only": all_hear,
    "a base goes before its copies" => "a template is linked and cannot go before its copies": base_goes,
    "a start looks for no bridge" => "a missing bridge stops the start": no_bridge,
    "a stopped container is stopped again" => "a container stops once": stops_again,
    "a template is not looked for" => "a missing template fails in the task and leaves nothing": no_template,
    "a snapshot's name is used twice" => "a snapshot's name is used once and not reserved": name_twice,
    "every storage has snapshots" => "a storage without snapshots refuses them": everywhere,
    "a checksum is not compared" => "a checksum that does not fit leaves no file": no_checksum,
    "a node that is down answers" => "an unknown node does not resolve, one that is down is 595": node_down,
    "a node's name has no case" => "an unknown node does not resolve, one that is down is 595": node_case,
    "a pool goes with its members" => "a pool with members stays": full_pool,
    "a protected backup goes" => "a protected backup stays": backup_goes,
    "an agent answers that is not configured" => "the agent is asked in the real one's order": any_agent,
    "a task nobody started is known" => "what is no task is refused": any_task,
}

async fn nobody(lab: &Defective, mut request: Request) -> Answer {
    if request.auth == Auth::Nothing && request.verb == "GET" {
        request.auth = Auth::root();
    }
    lab.real(request).await
}

async fn any_secret(lab: &Defective, mut request: Request) -> Answer {
    if matches!(&request.auth, Auth::Token(token) if token.starts_with("root@pam!lab=")) {
        request.auth = Auth::root();
    }
    lab.real(request).await
}

async fn old_token(lab: &Defective, mut request: Request) -> Answer {
    if request.auth == Auth::Token("root@pam!old=2222".into()) {
        request.auth = Auth::root();
    }
    lab.real(request).await
}

async fn old_ticket(lab: &Defective, mut request: Request) -> Answer {
    let answer = lab.real(request.clone()).await;
    if answer.status == 401 && matches!(request.auth, Auth::Ticket { .. }) {
        request.auth = lab.root_ticket().await;
        return lab.real(request).await;
    }
    answer
}

async fn no_csrf(lab: &Defective, mut request: Request) -> Answer {
    if request.verb != "GET" && matches!(request.auth, Auth::Ticket { .. }) {
        request.auth = lab.root_ticket().await;
    }
    lab.real(request).await
}

async fn any_password(lab: &Defective, mut request: Request) -> Answer {
    if request.is("POST", "/access/ticket") {
        request.add("username", "bob@pve");
        request.add("password", "bobpw");
    }
    lab.real(request).await
}

async fn no_permission(lab: &Defective, mut request: Request) -> Answer {
    let answer = lab.real(request.clone()).await;
    if answer.status == 403 {
        request.auth = Auth::root();
        return lab.real(request).await;
    }
    answer
}

async fn no_separation(lab: &Defective, mut request: Request) -> Answer {
    if request.auth == Auth::Token("root@pam!sep=3333".into()) {
        request.auth = Auth::root();
    }
    lab.real(request).await
}

async fn no_filter(lab: &Defective, mut request: Request) -> Answer {
    if request.auth == Auth::bob() && request.verb == "GET" {
        request.auth = Auth::root();
    }
    lab.real(request).await
}

async fn propagates(lab: &Defective, mut request: Request) -> Answer {
    request.drop("propagate");
    lab.real(request).await
}

async fn token_is_root(lab: &Defective, mut request: Request) -> Answer {
    if request.auth == Auth::root() {
        request.auth = lab.root_ticket().await;
    }
    lab.real(request).await
}

async fn token_ticket(lab: &Defective, mut request: Request) -> Answer {
    if request.is("POST", "/access/ticket") {
        request.auth = Auth::Nothing;
    }
    lab.real(request).await
}

async fn one_error(lab: &Defective, request: Request) -> Answer {
    let mut answer = lab.real(request).await;
    if let Some(errors) = answer.body.get_mut("errors").and_then(Value::as_object_mut) {
        let first = errors.keys().next().cloned();
        errors.retain(|name, _| Some(name) == first.as_ref());
    }
    answer
}

async fn ignored(lab: &Defective, mut request: Request) -> Answer {
    let answer = lab.real(request.clone()).await;
    let unknown = |errors: &Value, name: &str| {
        errors[name]
            .as_str()
            .is_some_and(|why| why.starts_with("property is not defined"))
    };
    let before = request.params.len();
    request
        .params
        .retain(|(name, _)| !unknown(&answer.body["errors"], name));
    if request.params.len() < before {
        return lab.real(request).await;
    }
    answer
}

async fn bogus_delete(lab: &Defective, request: Request) -> Answer {
    let answer = lab.real(request).await;
    match &answer.body["errors"]["delete"] {
        Value::String(_) => good(Value::Null),
        _ => answer,
    }
}

async fn no_digest(lab: &Defective, mut request: Request) -> Answer {
    request.drop("digest");
    lab.real(request).await
}

async fn lock_start(lab: &Defective, mut request: Request) -> Answer {
    if request.is("POST", "/status/start") {
        request.auth = lab.root_ticket().await;
        request.add("skiplock", "1");
    }
    lab.real(request).await
}

async fn lock_change(lab: &Defective, request: Request) -> Answer {
    let change = request.is("PUT", "/config");
    let answer = lab.real(request).await;
    if change && answer.reason.contains(" is locked (") {
        return good(Value::Null);
    }
    answer
}

async fn unprotected(lab: &Defective, request: Request) -> Answer {
    if request.is("DELETE", "/lxc/100") {
        let config = format!("{}/config", request.path);
        lab.own("PUT", &config, &[("protection", "0")]).await;
    }
    lab.real(request).await
}

async fn removes_running(lab: &Defective, request: Request) -> Answer {
    if request.is("DELETE", "/lxc/101") {
        lab.own_task("POST", &format!("{}/status/stop", request.path), &[])
            .await;
    }
    lab.real(request).await
}

async fn taken(lab: &Defective, request: Request) -> Answer {
    let answer = lab.real(request).await;
    if answer.status == 500 && answer.reason.contains("already exists on node") {
        return no_task();
    }
    answer
}

async fn copies_running(lab: &Defective, request: Request) -> Answer {
    let answer = lab.real(request).await;
    if answer.reason.starts_with("Full clone of a running") {
        return no_task();
    }
    answer
}

async fn links_all(lab: &Defective, request: Request) -> Answer {
    let answer = lab.real(request).await;
    if answer.reason.starts_with("Linked clone feature") {
        return no_task();
    }
    answer
}

async fn all_hear(lab: &Defective, mut request: Request) -> Answer {
    if request.is("POST", "/status/shutdown") {
        request.add("forceStop", "1");
    }
    lab.real(request).await
}

async fn base_goes(lab: &Defective, request: Request) -> Answer {
    if request.is("DELETE", "/qemu/201") {
        lab.own_task("DELETE", "/nodes/pve1/qemu/210", &[]).await;
    }
    lab.real(request).await
}

async fn no_bridge(lab: &Defective, request: Request) -> Answer {
    if request.is("POST", "/lxc/100/status/start") {
        lab.own("PUT", "/nodes/pve1/lxc/100/config", &[("delete", "net1")])
            .await;
    }
    lab.real(request).await
}

async fn stops_again(lab: &Defective, request: Request) -> Answer {
    let answer = lab.real(request).await;
    if answer.reason.ends_with(" not running") {
        return no_task();
    }
    answer
}

async fn no_template(lab: &Defective, mut request: Request) -> Answer {
    if request.is("POST", "/nodes/pve1/lxc") {
        request.add(
            "ostemplate",
            "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst",
        );
    }
    lab.real(request).await
}

async fn name_twice(lab: &Defective, request: Request) -> Answer {
    if request.is("POST", "/snapshot") {
        let list = lab.own("GET", &request.path, &[]).await.to_string();
        let name = request.params.iter().find(|(key, _)| key == "snapname");
        if name.is_some_and(|(_, name)| list.contains(&format!("\"{name}\"")) && name != "current")
        {
            return no_task();
        }
    }
    lab.real(request).await
}

async fn everywhere(lab: &Defective, request: Request) -> Answer {
    if request.is("POST", "/lxc/102/snapshot") {
        return no_task();
    }
    lab.real(request).await
}

async fn no_checksum(lab: &Defective, mut request: Request) -> Answer {
    request.drop("checksum");
    request.drop("checksum-algorithm");
    lab.real(request).await
}

async fn node_down(lab: &Defective, mut request: Request) -> Answer {
    request.path = request.path.replace("/nodes/down", "/nodes/pve1");
    lab.real(request).await
}

async fn node_case(lab: &Defective, mut request: Request) -> Answer {
    request.path = request.path.replace("/nodes/PVE1", "/nodes/pve1");
    lab.real(request).await
}

async fn full_pool(lab: &Defective, request: Request) -> Answer {
    if request.is("DELETE", "/pools/labs") {
        let members = [("poolid", "labs"), ("vms", "100"), ("delete", "1")];
        lab.own("PUT", "/pools", &members).await;
    }
    lab.real(request).await
}

async fn backup_goes(lab: &Defective, request: Request) -> Answer {
    if request.verb == "DELETE" && request.path.contains("/content/") {
        lab.own("PUT", &request.path, &[("protected", "0")]).await;
    }
    lab.real(request).await
}

async fn any_agent(lab: &Defective, request: Request) -> Answer {
    let answer = lab.real(request).await;
    if answer.reason == "No QEMU guest agent configured" {
        return good(json!({"result": {}}));
    }
    answer
}

async fn any_task(lab: &Defective, request: Request) -> Answer {
    let answer = lab.real(request).await;
    match answer.body["errors"]["upid"].as_str() {
        Some("no such task") => good(json!({"status": "stopped", "exitstatus": "OK"})),
        _ => answer,
    }
}
