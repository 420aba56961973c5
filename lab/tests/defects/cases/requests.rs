//! What every call is checked for, and how an error looks.

use serde_json::json;

use super::{Lab, Verdict, cases, holds, is, refuses};

cases! {
    "all bad parameters are told at once": all_errors,
    "a parameter nobody knows is an error": unknown_parameter,
    "an unknown path and a wrong verb are 501": unknown_path,
    "an unknown node does not resolve, one that is down is 595": nodes,
    "an error's text is in the reason phrase and in the body": error_text,
    "an answer is JSON with its data": envelope,
    "what depends on a missing parameter names it": requires,
}

async fn all_errors(lab: Lab) -> Verdict {
    let params = [
        ("vmid", "abc"),
        ("memory", "1"),
        ("hostname", "not a name"),
        ("unprivileged", "yes"),
        ("console", "1"),
    ];
    let answer = lab.call("POST", "/nodes/pve1/lxc", &params).await;
    refuses(&answer, 400, "Parameter verification failed.")?;
    let errors = &answer.body["errors"];
    is(
        "ostemplate",
        &errors["ostemplate"],
        "property is missing and it is not optional",
    )?;
    is(
        "memory",
        &errors["memory"],
        "value must have a minimum value of 16",
    )?;
    is(
        "unprivileged",
        &errors["unprivileged"],
        "type check ('boolean') failed - got 'yes'",
    )?;
    holds("vmid is refused", errors["vmid"].is_string())?;
    is(
        "hostname",
        &errors["hostname"],
        "invalid format - value does not look like a valid DNS name\n",
    )?;
    holds("what is good is not", errors.get("console").is_none())
}

async fn unknown_parameter(lab: Lab) -> Verdict {
    let params = [("memory", "600"), ("memroy", "600")];
    let answer = lab.call("PUT", "/nodes/pve1/lxc/100/config", &params).await;
    is(
        "the errors",
        &answer.body["errors"],
        json!({"memroy": "property is not defined in schema and the schema does not allow additional properties"}),
    )?;
    let config = lab.get("/nodes/pve1/lxc/100/config").await?;
    is("nothing changed: memory", &config["memory"], 512)
}

async fn unknown_path(lab: Lab) -> Verdict {
    let path = lab.call("GET", "/nosuch", &[]).await;
    refuses(&path, 501, "Method 'GET /nosuch' not implemented")?;
    let verb = lab.call("DELETE", "/version", &[]).await;
    refuses(&verb, 501, "Method 'DELETE /version' not implemented")?;
    let exec = lab.call("POST", "/nodes/pve1/lxc/100/exec", &[]).await;
    refuses(
        &exec,
        501,
        "Method 'POST /nodes/pve1/lxc/100/exec' not implemented",
    )
}

async fn nodes(lab: Lab) -> Verdict {
    let unknown = lab.call("GET", "/nodes/PVE1/status", &[]).await;
    refuses(
        &unknown,
        500,
        "hostname lookup 'PVE1' failed - failed to get address info for: PVE1: Name or service not known",
    )?;
    let down = lab.call("GET", "/nodes/down/status", &[]).await;
    refuses(&down, 595, "No route to host")
}

async fn error_text(lab: Lab) -> Verdict {
    let text = "Configuration file 'nodes/pve1/lxc/999.conf' does not exist";
    let answer = lab.call("GET", "/nodes/pve1/lxc/999/config", &[]).await;
    refuses(&answer, 500, text)?;
    is(
        "the body",
        &answer.body,
        json!({"data": null, "message": format!("{text}\n")}),
    )
}

async fn envelope(lab: Lab) -> Verdict {
    let answer = lab.call("GET", "/version", &[]).await;
    holds(
        "the content type is JSON's",
        answer.kind.as_deref() == Some("application/json;charset=UTF-8"),
    )?;
    is("the release", &answer.body["data"]["release"], "9.2")?;
    let nothing = lab
        .call("PUT", "/nodes/pve1/lxc/100/config", &[("cores", "2")])
        .await;
    is("no result", &nothing.body, json!({"data": null}))
}

async fn requires(lab: Lab) -> Verdict {
    let params = [
        ("url", "http://127.0.0.1:1/x.iso"),
        ("content", "iso"),
        ("filename", "x.iso"),
        ("checksum", "00"),
    ];
    let answer = lab
        .call("POST", "/nodes/pve1/storage/local/download-url", &params)
        .await;
    is(
        "the errors",
        &answer.body["errors"],
        json!({"checksum-algorithm": "missing property required by 'checksum'"}),
    )
}
