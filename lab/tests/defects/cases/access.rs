//! Who may: logins, tickets, tokens, grants.

use std::time::Duration;

use serde_json::json;

use super::{Lab, Verdict, cases, column, holds, is, refuses};
use crate::wire::{Auth, Request};

cases! {
    "a call without credentials is refused, with no body": nobody,
    "a wrong, unknown or expired token is refused": bad_tokens,
    "a password gives a ticket that reads": ticket,
    "a wrong password is refused like an unknown user": bad_password,
    "a write by ticket needs its CSRF token": csrf,
    "a ticket ends after its time and can be renewed before": ticket_time,
    "a token with rights of its own has none at first": separate_token,
    "a token cannot get a ticket": token_ticket,
    "a token's secret is told once and its name is taken": new_token,
    "root's token is not root": not_root,
    "who may not read is told what is missing": no_right,
    "lists leave out what the caller may not see": filtered,
    "a grant gives its rights below its path, and no others": grant,
    "a grant that does not propagate ends at its path": no_propagation,
    "a user who goes takes the grants along": gone_user,
}

fn get(path: &str, auth: Auth) -> Request {
    Request::new("GET", path, &[]).with(auth)
}

async fn nobody(lab: Lab) -> Verdict {
    let answer = lab.send(get("/version", Auth::Nothing)).await;
    refuses(&answer, 401, "No ticket")?;
    holds("no content type", answer.kind.is_none())?;
    // What needs no login answers.
    let realms = lab.send(get("/access/domains", Auth::Nothing)).await;
    holds("the realms are open", realms.status == 200)
}

async fn bad_tokens(lab: Lab) -> Verdict {
    for token in [
        "root@pam!lab=9999",
        "root@pam!nope=1111",
        "root@pam!old=2222",
    ] {
        let answer = lab.send(get("/version", Auth::Token(token.into()))).await;
        refuses(&answer, 401, "Authentication failed!").map_err(|red| format!("{token}: {red}"))?;
    }
    Ok(())
}

async fn ticket(lab: Lab) -> Verdict {
    let auth = lab.login("bob@pve", "bobpw").await?;
    let answer = lab.send(get("/version", auth)).await;
    is("the release", &answer.body["data"]["release"], "9.2")
}

async fn bad_password(lab: Lab) -> Verdict {
    for user in ["bob@pve", "nobody@pve"] {
        let request = Request::new(
            "POST",
            "/access/ticket",
            &[("username", user), ("password", "wrong")],
        );
        let answer = lab.send(request.with(Auth::Nothing)).await;
        refuses(&answer, 401, "authentication failure")?;
        is(
            "the body",
            &answer.body,
            json!({"data": null, "message": "authentication failure\n"}),
        )?;
    }
    Ok(())
}

async fn csrf(lab: Lab) -> Verdict {
    let auth = lab.login("root@pam", "rootpw").await?;
    let Auth::Ticket { ticket, .. } = auth.clone() else {
        return Err("no ticket".into());
    };
    let write = |name: &str| Request::new("POST", "/pools", &[("poolid", name)]);
    for csrf in [None, Some("00000000:wrong".to_owned())] {
        let bare = Auth::Ticket {
            ticket: ticket.clone(),
            csrf,
        };
        let answer = lab.send(write("one").with(bare)).await;
        refuses(&answer, 401, "Permission denied - invalid csrf token")?;
    }
    let answer = lab.send(write("two").with(auth)).await;
    holds(
        "with its CSRF token the write succeeds",
        answer.status == 200,
    )?;
    is(
        "the pools",
        &column(&lab.get("/pools").await?, "poolid").into(),
        json!(["two"]),
    )
}

async fn ticket_time(lab: Lab) -> Verdict {
    let auth = lab.login("bob@pve", "bobpw").await?;
    lab.0.pass(Duration::from_secs(3600));
    let Auth::Ticket { ticket, .. } = &auth else {
        return Err("no ticket".into());
    };
    let renewed = lab.login("bob@pve", ticket).await?;
    lab.0.pass(Duration::from_secs(3700));
    let old = lab.send(get("/version", auth)).await;
    refuses(&old, 401, "Authentication failed!")?;
    let new = lab.send(get("/version", renewed)).await;
    holds("the renewed one is good", new.status == 200)
}

async fn separate_token(lab: Lab) -> Verdict {
    let auth = Auth::Token("root@pam!sep=3333".into());
    let rights = lab.send(get("/access/permissions", auth.clone())).await;
    is("its rights", &rights.body["data"], json!({}))?;
    let config = lab.send(get("/nodes/pve1/lxc/100/config", auth)).await;
    refuses(&config, 403, "Permission check failed (/vms/100, VM.Audit)")
}

async fn token_ticket(lab: Lab) -> Verdict {
    let params = [("username", "root@pam"), ("password", "rootpw")];
    let answer = lab.call("POST", "/access/ticket", &params).await;
    refuses(
        &answer,
        403,
        "Permission check failed (URI '/access/ticket' not available with API token, need proper ticket.",
    )
}

async fn new_token(lab: Lab) -> Verdict {
    let path = "/access/users/bob@pve/token/ci";
    let made = lab.data("POST", path, &[("privsep", "0")]).await?;
    is("its full name", &made["full-tokenid"], "bob@pve!ci")?;
    let secret = made["value"].as_str().ok_or("no secret")?;
    let auth = Auth::Token(format!("bob@pve!ci={secret}"));
    holds(
        "the secret is good",
        lab.send(get("/version", auth)).await.status == 200,
    )?;
    let seen = lab.get(path).await?;
    holds("the secret is not told again", seen.get("value").is_none())?;
    let again = lab.call("POST", path, &[]).await;
    refuses(&again, 400, "Parameter verification failed.")?;
    is(
        "why",
        &again.body["errors"]["tokenid"],
        "Token already exists.",
    )?;
    lab.data("DELETE", path, &[]).await?;
    let auth = Auth::Token(format!("bob@pve!ci={secret}"));
    let gone = lab.send(get("/version", auth)).await;
    refuses(&gone, 401, "Authentication failed!")
}

async fn not_root(lab: Lab) -> Verdict {
    let params = [("features", "keyctl=1")];
    let answer = lab.call("PUT", "/nodes/pve1/lxc/100/config", &params).await;
    refuses(
        &answer,
        403,
        "Permission check failed (changing feature flags (except nesting) is only allowed for root@pam)",
    )?;
    let answer = lab
        .call(
            "POST",
            "/nodes/pve1/lxc/100/status/start",
            &[("skiplock", "1")],
        )
        .await;
    is(
        "why",
        &answer.body["errors"]["skiplock"],
        "Only root may use this option.",
    )
}

async fn no_right(lab: Lab) -> Verdict {
    let read = get("/nodes/pve1/lxc/100/config", Auth::bob());
    let answer = lab.send(read).await;
    refuses(&answer, 403, "Permission check failed (/vms/100, VM.Audit)")?;
    let start = Request::new("POST", "/nodes/pve1/lxc/100/status/start", &[]).with(Auth::bob());
    refuses(
        &lab.send(start).await,
        403,
        "Permission check failed (/vms/100, VM.PowerMgmt)",
    )?;
    let state = lab.get("/nodes/pve1/lxc/100/status/current").await?;
    is("the container", &state["status"], "stopped")
}

async fn filtered(lab: Lab) -> Verdict {
    for path in ["/nodes/pve1/lxc", "/nodes/pve1/qemu", "/pools"] {
        let answer = lab.send(get(path, Auth::bob())).await;
        is(
            path,
            &json!([answer.status, answer.body["data"]]),
            json!([200, []]),
        )?;
    }
    Ok(())
}

async fn grant(lab: Lab) -> Verdict {
    let params = [
        ("path", "/vms/100"),
        ("roles", "PVEVMUser"),
        ("users", "bob@pve"),
    ];
    lab.data("PUT", "/access/acl", &params).await?;
    let read = |vmid: u32| {
        get(
            &format!("/nodes/pve1/lxc/{vmid}/status/current"),
            Auth::bob(),
        )
    };
    holds("it reads", lab.send(read(100)).await.status == 200)?;
    holds(
        "another stays closed",
        lab.send(read(101)).await.status == 403,
    )?;
    let change = Request::new("PUT", "/nodes/pve1/lxc/100/config", &[("memory", "600")]);
    holds(
        "a user's role does not change memory",
        lab.send(change.with(Auth::bob())).await.status == 403,
    )?;
    let list = lab.send(get("/nodes/pve1/lxc", Auth::bob())).await;
    is(
        "what is listed",
        &column(&list.body["data"], "vmid").into(),
        json!(["100"]),
    )
}

async fn no_propagation(lab: Lab) -> Verdict {
    let params = [
        ("path", "/vms"),
        ("roles", "PVEVMUser"),
        ("users", "bob@pve"),
        ("propagate", "0"),
    ];
    lab.data("PUT", "/access/acl", &params).await?;
    let read = get("/nodes/pve1/lxc/100/config", Auth::bob());
    refuses(
        &lab.send(read).await,
        403,
        "Permission check failed (/vms/100, VM.Audit)",
    )
}

async fn gone_user(lab: Lab) -> Verdict {
    let params = [
        ("path", "/vms"),
        ("roles", "PVEVMUser"),
        ("users", "bob@pve"),
    ];
    lab.data("PUT", "/access/acl", &params).await?;
    lab.data("DELETE", "/access/users/bob@pve", &[]).await?;
    is("the grants", &lab.get("/access/acl").await?, json!([]))?;
    let read = get("/version", Auth::bob());
    refuses(&lab.send(read).await, 401, "Authentication failed!")
}
