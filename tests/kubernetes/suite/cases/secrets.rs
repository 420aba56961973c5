//! Secrets: data is base64, and one of a known type has what the type says.

use anyhow::{Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::case::{cases, same};
use crate::client::MERGE;
use crate::context::Context;

cases![
    data_that_is_not_base64_is_400,
    data_that_is_not_base64_is_not_patched_in,
    data_that_is_not_base64_is_not_applied,
    base64_is_written_again,
    a_null_is_empty,
    text_becomes_data,
    a_type_that_lacks_its_keys_is_422,
    a_type_that_has_its_keys_is_made,
    docker_configurations_are_json,
    a_type_cannot_be_changed,
    keys_and_sizes_have_limits,
    binary_data_of_a_map_is_base64,
];

fn secret(kind: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "type": kind, "data": data})
}

async fn secrets(t: &Context) -> Result<String> {
    t.resource("v1", "secrets").await
}

async fn data_that_is_not_base64_is_400(t: &Context) -> Result<()> {
    let all = secrets(t).await?;
    for (text, place) in [
        ("not base64", 3),
        ("YWJjYQ", 4),
        ("YQ=", 3),
        ("YQ=a", 2),
        ("Y===", 1),
        ("YQ==YQ==", 4),
        ("%", 0),
    ] {
        t.admin()
            .post(&all, &secret("Opaque", json!({"k": text})))
            .await?
            .refused(
                400,
                "BadRequest",
                &format!("Secret in version \"v1\" cannot be handled as a Secret: illegal base64 data at input byte {place}"),
            )?;
    }
    let number = t
        .admin()
        .post(&all, &secret("Opaque", json!({"k": 1})))
        .await?
        .failure(400, "BadRequest")?;
    let text = number["message"].as_str().unwrap_or_default();
    ensure!(
        text.contains("cannot unmarshal number into Go struct field"),
        "{text}"
    );
    Ok(())
}

async fn data_that_is_not_base64_is_not_patched_in(t: &Context) -> Result<()> {
    let all = secrets(t).await?;
    t.create(&all, &secret("Opaque", json!({"k": "YQ=="})))
        .await?;
    let path = format!("{all}/a");
    let broken = json!({"data": {"k": "a b"}});
    for kind in [MERGE, crate::client::STRATEGIC] {
        let refused = t.admin().patch(&path, kind, &broken).await?;
        let status = refused.status;
        ensure!((400..500).contains(&status), "{kind}: {}", refused.short());
        let text = refused.body["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        ensure!(
            text.contains("illegal base64 data at input byte 1"),
            "{kind}: {text}"
        );
    }
    let mut whole = secret("Opaque", json!({"k": "a b"}));
    whole["metadata"]["namespace"] = json!(t.namespace().await?);
    t.admin()
        .put(&path, &whole)
        .await?
        .failure(400, "BadRequest")?;
    same!(
        t.admin().get(&path).await?.status(200)?["data"]["k"],
        "YQ=="
    );
    Ok(())
}

async fn data_that_is_not_base64_is_not_applied(t: &Context) -> Result<()> {
    let path = format!("{}/a", secrets(t).await?);
    let namespace = t.namespace().await?;
    // The namespace is told as it was sent.
    for sent in ["", namespace] {
        let mut body = secret("Opaque", json!({"k": "a b"}));
        if !sent.is_empty() {
            body["metadata"]["namespace"] = json!(sent);
        }
        let refused = t.admin().apply(&path, "suite", &body).await?;
        same!(refused.status, 500);
        same!(
            refused.body["message"],
            format!(
                "failed to convert new object ({sent}/a; /v1, Kind=Secret) to proper version: unable to convert unstructured object to /v1, Kind=Secret: error decoding from json: illegal base64 data at input byte 1"
            )
        );
        t.admin().get(&path).await?.failure(404, "NotFound")?;
    }
    Ok(())
}

async fn base64_is_written_again(t: &Context) -> Result<()> {
    let all = secrets(t).await?;
    let made = t
        .create(
            &all,
            &secret(
                "Opaque",
                json!({"lines": "YW\nJj\r\n", "bits": "YR==", "none": ""}),
            ),
        )
        .await?;
    same!(
        made["data"],
        json!({"lines": "YWJj", "bits": "YQ==", "none": ""})
    );
    let same_again = t
        .admin()
        .patch(
            &format!("{all}/a"),
            MERGE,
            &json!({"data": {"lines": "YW\nJj"}}),
        )
        .await?
        .status(200)?;
    same!(
        same_again["metadata"]["resourceVersion"],
        made["metadata"]["resourceVersion"]
    );
    Ok(())
}

async fn a_null_is_empty(t: &Context) -> Result<()> {
    let all = secrets(t).await?;
    let mut body = secret("Opaque", json!({"k": null}));
    body["stringData"] = json!({"s": null});
    t.create(&all, &body).await?;
    let made = t.admin().get(&format!("{all}/a")).await?.status(200)?;
    same!(made["data"], json!({"k": "", "s": ""}));
    Ok(())
}

async fn text_becomes_data(t: &Context) -> Result<()> {
    let all = secrets(t).await?;
    let mut body = secret("Opaque", json!({"k": "YQ==", "other": "Yg=="}));
    body["stringData"] = json!({"k": "text wins"});
    let made = t.create(&all, &body).await?;
    same!(
        made["data"],
        json!({"k": STANDARD.encode("text wins"), "other": "Yg=="})
    );
    ensure!(made["stringData"].is_null(), "{made}");
    Ok(())
}

async fn a_type_that_lacks_its_keys_is_422(t: &Context) -> Result<()> {
    let all = secrets(t).await?;
    let a = "YQ==";
    for (kind, data, missing) in [
        (
            "kubernetes.io/tls",
            json!({}),
            &["data[tls.crt]", "data[tls.key]"][..],
        ),
        (
            "kubernetes.io/tls",
            json!({"tls.crt": a}),
            &["data[tls.key]"],
        ),
        (
            "kubernetes.io/basic-auth",
            json!({"other": a}),
            &["data[username]", "data[password]"],
        ),
        (
            "kubernetes.io/ssh-auth",
            json!({"ssh-privatekey": ""}),
            &["data[ssh-privatekey]"],
        ),
        ("kubernetes.io/dockercfg", json!({}), &["data[.dockercfg]"]),
        (
            "kubernetes.io/dockerconfigjson",
            json!({".dockercfg": a}),
            &["data[.dockerconfigjson]"],
        ),
        (
            "kubernetes.io/service-account-token",
            json!({}),
            &["metadata.annotations[kubernetes.io/service-account.name]"],
        ),
    ] {
        let status = t
            .admin()
            .post(&all, &secret(kind, data))
            .await?
            .failure(422, "Invalid")?;
        let expected: Vec<Value> = missing
            .iter()
            .map(|field| json!({"reason": "FieldValueRequired", "message": "Required value", "field": field}))
            .collect();
        same!(status["details"]["causes"], json!(expected), "{kind}");
    }
    Ok(())
}

async fn a_type_that_has_its_keys_is_made(t: &Context) -> Result<()> {
    let all = secrets(t).await?;
    for (number, (kind, data)) in [
        ("kubernetes.io/tls", json!({"tls.crt": "", "tls.key": ""})),
        ("kubernetes.io/basic-auth", json!({"username": ""})),
        ("kubernetes.io/ssh-auth", json!({"ssh-privatekey": "YQ=="})),
        (
            "kubernetes.io/dockercfg",
            json!({".dockercfg": STANDARD.encode("{}")}),
        ),
        (
            "kubernetes.io/dockerconfigjson",
            json!({".dockerconfigjson": STANDARD.encode(r#"{"auths":{}}"#)}),
        ),
        // No rule of these looks at the keys.
        ("bootstrap.kubernetes.io/token", json!({})),
        ("helm.sh/release.v1", json!({})),
    ]
    .into_iter()
    .enumerate()
    {
        let mut body = secret(kind, data);
        body["metadata"]["name"] = json!(format!("a{number}"));
        same!(t.create(&all, &body).await?["type"], kind);
    }
    Ok(())
}

async fn docker_configurations_are_json(t: &Context) -> Result<()> {
    let all = secrets(t).await?;
    for (text, problem) in [
        ("", "unexpected end of JSON input"),
        (
            "no",
            "invalid character 'o' in literal null (expecting 'u')",
        ),
        ("x", "invalid character 'x' looking for beginning of value"),
        (
            "[]",
            "json: cannot unmarshal array into Go value of type map[string]interface {}",
        ),
        (
            "1",
            "json: cannot unmarshal number into Go value of type map[string]interface {}",
        ),
        ("{", "unexpected end of JSON input"),
    ] {
        let body = secret(
            "kubernetes.io/dockerconfigjson",
            json!({".dockerconfigjson": STANDARD.encode(text)}),
        );
        let status = t.admin().post(&all, &body).await?.failure(422, "Invalid")?;
        let cause = &status["details"]["causes"][0];
        same!(cause["field"], "data[.dockerconfigjson]");
        same!(cause["reason"], "FieldValueInvalid");
        same!(
            cause["message"],
            format!("Invalid value: \"<secret contents redacted>\": {problem}"),
            "{text:?}"
        );
    }
    Ok(())
}

async fn a_type_cannot_be_changed(t: &Context) -> Result<()> {
    let all = secrets(t).await?;
    t.create(
        &all,
        &secret("kubernetes.io/basic-auth", json!({"username": "YQ=="})),
    )
    .await?;
    let path = format!("{all}/a");
    let status = t
        .admin()
        .patch(&path, MERGE, &json!({"type": "Opaque"}))
        .await?
        .failure(422, "Invalid")?;
    same!(status["details"]["causes"][0]["field"], "type");
    // The rules of the type hold for a change too.
    let status = t
        .admin()
        .patch(&path, MERGE, &json!({"data": {"username": null}}))
        .await?
        .failure(422, "Invalid")?;
    same!(status["details"]["causes"][0]["field"], "data[username]");
    Ok(())
}

async fn keys_and_sizes_have_limits(t: &Context) -> Result<()> {
    let all = secrets(t).await?;
    let status = t
        .admin()
        .post(&all, &secret("Opaque", json!({"no/key": "YQ=="})))
        .await?
        .failure(422, "Invalid")?;
    same!(status["details"]["causes"][0]["field"], "data[no/key]");
    let large = STANDARD.encode(vec![b'a'; 1024 * 1024 + 1]);
    let status = t
        .admin()
        .post(&all, &secret("Opaque", json!({"k": large})))
        .await?
        .failure(422, "Invalid")?;
    same!(
        status["details"]["causes"][0],
        json!({"reason": "FieldValueTooLong", "message": "Too long: may not be more than 1048576 bytes", "field": "data"})
    );
    // What counts are the bytes, not the letters that they are written with.
    let fits = STANDARD.encode(vec![b'a'; 1024 * 1024]);
    t.create(&all, &secret("Opaque", json!({"k": fits})))
        .await?;
    Ok(())
}

async fn binary_data_of_a_map_is_base64(t: &Context) -> Result<()> {
    let all = t.configmaps().await?;
    let map = |binary: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}, "binaryData": binary});
    t.admin()
        .post(&all, &map(json!({"b": "?"})))
        .await?
        .refused(
            400,
            "BadRequest",
            "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: illegal base64 data at input byte 0",
        )?;
    let status = t
        .admin()
        .post(&all, &map(json!({"k": "YQ=="})))
        .await?
        .failure(422, "Invalid")?;
    same!(
        status["details"]["causes"][0],
        json!({"reason": "FieldValueInvalid", "message": "Invalid value: \"k\": duplicate of key present in binaryData", "field": "data[k]"})
    );
    same!(
        t.create(&all, &map(json!({"b": "YQ=="}))).await?["binaryData"],
        json!({"b": "YQ=="})
    );
    Ok(())
}
