//! Flux: what `sops` encrypted for an age key. The fixtures were made by the real program; see `tests/kubernetes/sops`.

use anyhow::{Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::building::{apply, built};
use super::workloads::condition;
use crate::case::{cases, same};
use crate::context::Context;

cases![
    an_encrypted_secret_is_opened for 240,
    encrypted_files_become_keys_of_a_secret for 240,
    a_changed_document_is_opened_a_changed_value_is_not for 240,
    without_a_key_nothing_is_opened for 240,
];

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sops/", $name))
    };
}

async fn key(t: &Context, text: &str) -> Result<()> {
    let secrets = t.resource("v1", "secrets").await?;
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "age"}, "stringData": {"home.agekey": text}});
    t.create(&secrets, &secret).await?;
    Ok(())
}

fn decryption() -> Value {
    json!({"decryption": {"provider": "sops", "secretRef": {"name": "age"}}})
}

async fn opened(t: &Context, name: &str) -> Result<Value> {
    let path = format!("{}/{name}", t.resource("v1", "secrets").await?);
    let secret = t.admin().get(&path).await?.status(200)?;
    let mut out = json!({});
    for (key, value) in secret["data"].as_object().into_iter().flatten() {
        let bytes = STANDARD.decode(value.as_str().unwrap_or_default())?;
        out[key] = String::from_utf8(bytes)?.into();
    }
    Ok(out)
}

async fn an_encrypted_secret_is_opened(t: &Context) -> Result<()> {
    key(t, fixture!("age.agekey")).await?;
    let files = [
        ("secret.yaml", fixture!("secret.yaml")),
        ("mixed.yaml", fixture!("mixed.yaml")),
        (
            "kustomization.yaml",
            "resources: [secret.yaml, mixed.yaml]\nnamespace: NAMESPACE\n",
        ),
    ];
    let (_world, ids) = built(t, &files, decryption()).await?;
    same!(ids, ["NS_mixed__ConfigMap", "NS_login__Secret"]);
    same!(
        opened(t, "login").await?,
        json!({"user": "admin", "password": "correct horse battery staple", "port": "5432", "token": "hunter2"})
    );
    let mixed = t
        .admin()
        .get(&format!("{}/mixed", t.configmaps().await?))
        .await?
        .status(200)?;
    same!(
        mixed["data"],
        json!({"plain_unencrypted": "seen by all", "text": "ä \"quoted\" line", "lines": "one\ntwo\n"})
    );
    Ok(())
}

async fn encrypted_files_become_keys_of_a_secret(t: &Context) -> Result<()> {
    key(t, fixture!("age.agekey")).await?;
    let files = [
        ("login.env", fixture!("login.env")),
        ("blob.txt", fixture!("blob.txt")),
        ("values.yaml", fixture!("values.yaml")),
        (
            "kustomization.yaml",
            "
namespace: NAMESPACE
secretGenerator:
- {name: vars, envs: [login.env]}
- {name: files, files: [blob.txt, values.yaml]}
",
        ),
    ];
    let (_world, ids) = built(t, &files, decryption()).await?;
    same!(
        ids,
        ["NS_files-76h59mfcmh__Secret", "NS_vars-7tb87d4674__Secret"]
    );
    let name = |start: &str| {
        let found = ids.iter().find_map(|id| {
            id.strip_prefix("NS_")?
                .split("__")
                .next()
                .filter(|own| own.starts_with(start))
        });
        found.unwrap_or_default().to_owned()
    };
    same!(
        opened(t, &name("vars-")).await?,
        json!({"USER": "admin", "PASSWORD": "s3cret=with=equals"})
    );
    same!(
        opened(t, &name("files-")).await?,
        json!({
            "blob.txt": "any \u{1} text\nof a file\n",
            "values.yaml": "name: web\nreplicas: 3\nratio: 0.5\n\"on\": true\nlist:\n    - one\n    - two\nnested:\n    password: hunter2\n",
        })
    );
    Ok(())
}

async fn a_changed_document_is_opened_a_changed_value_is_not(t: &Context) -> Result<()> {
    key(t, fixture!("age.agekey")).await?;
    // The code of the whole document does not count: Kustomize changes documents before they are opened.
    let more =
        fixture!("mixed.yaml").replace("name: mixed", "name: mixed\n    labels: {more: new}");
    ensure!(
        more != fixture!("mixed.yaml"),
        "the fixture has no such key"
    );
    let secret = fixture!("secret.yaml");
    let (user, password) = (line(secret, "user")?, line(secret, "password")?);
    let swapped = secret
        .replace(user, "SWAP")
        .replace(password, user)
        .replace("SWAP", password);
    let files = [
        ("mixed.yaml", more.as_str()),
        (
            "kustomization.yaml",
            "resources: [mixed.yaml]\nnamespace: NAMESPACE\n",
        ),
        ("../swapped/secret.yaml", &swapped),
        (
            "../swapped/kustomization.yaml",
            "resources: [secret.yaml]\nnamespace: NAMESPACE\n",
        ),
    ];
    let (world, ids) = built(t, &files, decryption()).await?;
    same!(ids, ["NS_mixed__ConfigMap"]);
    let mut object = super::flux::kustomization("swapped", "./swapped");
    object["spec"]["decryption"] = decryption()["decryption"].clone();
    t.create(&world.kustomizations, &object).await?;
    let path = format!("{}/swapped", world.kustomizations);
    let told = |one: &Value| condition(one, "Ready")["status"] == "False";
    let failed = t.admin().until(&path, "it says so", told).await?;
    same!(condition(&failed, "Ready")["reason"], "BuildFailed");
    same!(
        condition(&failed, "Ready")["message"],
        format!(
            "decryption failed for 'Secret.v1.[noGrp]/login': failed to decrypt and format '{}/login' Secret data: error decrypting sops tree: Error walking tree: \
             Could not decrypt value: Could not decrypt with AES_GCM: cipher: message authentication failed",
            t.namespace().await?
        )
    );
    Ok(())
}

/// The encrypted value of a key.
fn line<'a>(text: &'a str, key: &str) -> Result<&'a str> {
    let found = text
        .lines()
        .find_map(|line| line.trim().strip_prefix(key)?.strip_prefix(": "));
    found.ok_or_else(|| anyhow::anyhow!("no `{key}`"))
}

async fn without_a_key_nothing_is_opened(t: &Context) -> Result<()> {
    // A key for others.
    key(
        t,
        "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX\n",
    )
    .await?;
    let files = [
        ("secret.yaml", fixture!("secret.yaml")),
        (
            "kustomization.yaml",
            "resources: [secret.yaml]\nnamespace: NAMESPACE\n",
        ),
    ];
    let world = apply(t, &files, decryption()).await?;
    let told = |one: &Value| condition(one, "Ready")["status"] == "False";
    let failed = t.admin().until(&world.path(), "it says so", told).await?;
    same!(condition(&failed, "Ready")["reason"], "BuildFailed");
    let message = condition(&failed, "Ready")["message"]
        .as_str()
        .unwrap_or_default();
    let start = format!(
        "decryption failed for 'Secret.v1.[noGrp]/login': failed to decrypt and format '{}/login' Secret data: cannot get sops data key: ",
        t.namespace().await?
    );
    ensure!(message.starts_with(&start), "{message}");
    ensure!(
        message.contains("age1etfx7nvezshwx84lx72kc6344lamqymrjpcr2ny30myk4dn2ha5sfvdzj9"),
        "{message}"
    );
    let secret = format!("{}/login", t.resource("v1", "secrets").await?);
    t.admin().get(&secret).await?.failure(404, "NotFound")?;
    let secretless = json!({"provider": "sops", "secretRef": {"name": "nowhere"}});
    for (name, decryption, reason, text) in [
        (
            "no-secret",
            secretless,
            "BuildFailed",
            "secrets \"nowhere\" not found".to_owned(),
        ),
        ("no-keys", json!({"provider": "sops"}), "BuildFailed", start),
        (
            "no-decryption",
            Value::Null,
            "ReconciliationFailed",
            format!(
                "Secret/{}/login is SOPS encrypted, configuring decryption is required for this secret to be reconciled",
                t.namespace().await?
            ),
        ),
    ] {
        let mut object = super::flux::kustomization(name, "./app");
        if decryption.is_object() {
            object["spec"]["decryption"] = decryption;
        }
        t.create(&world.kustomizations, &object).await?;
        let path = format!("{}/{name}", world.kustomizations);
        let failed = t.admin().until(&path, "it says so", told).await?;
        same!(condition(&failed, "Ready")["reason"], reason);
        let message = condition(&failed, "Ready")["message"]
            .as_str()
            .unwrap_or_default();
        ensure!(message.starts_with(&text), "{name}: {message}");
    }
    Ok(())
}
