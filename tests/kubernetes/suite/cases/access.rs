//! Who asks, and what they may: tokens, certificates, RBAC, reviews.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::case::{cases, same, skip};
use crate::client::{Client, Credentials};
use crate::context::Context;
use crate::manifest::configmap;

cases![
    a_wrong_token_is_401,
    nobody_may_read_the_version_only,
    a_client_certificate_is_somebody,
    another_authority_is_not_trusted,
    a_service_account_gets_a_token,
    a_token_of_less_than_ten_minutes_is_refused,
    a_token_says_who_asks,
    what_is_not_allowed_is_403_with_the_whole_sentence,
    what_is_outside_namespaces_is_403_at_the_cluster_scope,
    a_role_and_its_binding_allow,
    a_self_review_tells_allowed_from_denied,
    nobody_grants_more_than_they_have,
];

async fn a_wrong_token_is_401(t: &Context) -> Result<()> {
    let stranger = t.admin().by(Credentials::Token("no-such-token".into()))?;
    stranger
        .get("/api/v1/namespaces")
        .await?
        .refused(401, "Unauthorized", "Unauthorized")?;
    stranger
        .get("/version")
        .await?
        .failure(401, "Unauthorized")?;
    Ok(())
}

async fn nobody_may_read_the_version_only(t: &Context) -> Result<()> {
    let nobody = t.admin().by(Credentials::Anonymous)?;
    nobody.get("/version").await?.status(200)?;
    nobody.get("/readyz").await?.status(200)?;
    nobody.get("/api/v1/namespaces").await?.refused(
        403,
        "Forbidden",
        "namespaces is forbidden: User \"system:anonymous\" cannot list resource \"namespaces\" in API group \"\" at the cluster scope",
    )?;
    Ok(())
}

async fn a_client_certificate_is_somebody(t: &Context) -> Result<()> {
    let Some(client) = &t.server().by_certificate else {
        return skip("the kubeconfig has no context `admin-certificate`");
    };
    client.get("/api/v1/namespaces").await?.status(200)?;
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let review = client
        .post("/apis/authentication.k8s.io/v1/selfsubjectreviews", &review)
        .await?
        .status(201)?;
    let groups = review["status"]["userInfo"]["groups"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    ensure!(
        groups.iter().any(|group| group == "system:authenticated"),
        "not authenticated: {review}"
    );
    Ok(())
}

/// An authority of nobody: a certificate that signed nothing.
const OTHER_AUTHORITY: &[u8] = b"-----BEGIN CERTIFICATE-----
MIIBhjCCAS2gAwIBAgIUDypIQX5ct80dwvmsAxHgMJ5C6OgwCgYIKoZIzj0EAwIw
GDEWMBQGA1UEAwwNc29tZWJvZHktZWxzZTAgFw0yNjExMzAwMzAwNTFaGA8yMTI2
MTEwNjAzMDA1MVowGDEWMBQGA1UEAwwNc29tZWJvZHktZWxzZTBZMBMGByqGSM49
AgEGCCqGSM49AwEHA0IABNd7hTcGHwC9xV3xiIKmMWia4hPSmzFSKhKtMfMkRGk+
Ur/0QRZcFfdqrBtgXw3MKz5NLcdmiUduCElDzR72IDujUzBRMB0GA1UdDgQWBBRY
PxdcR2NUBS8w4F8KUqzFv7ticjAfBgNVHSMEGDAWgBRYPxdcR2NUBS8w4F8KUqzF
v7ticjAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0cAMEQCIDxPMQ1bmDUB
J94AMML11TKRespouANVFH1hV83whykIAiAxZGnsnH0dp3GV0ISaWJTJA//zersS
ySPG8Jd3rrXo8w==
-----END CERTIFICATE-----
";

async fn another_authority_is_not_trusted(t: &Context) -> Result<()> {
    let client = t.admin().trusting(OTHER_AUTHORITY)?;
    let error = client
        .get("/version")
        .await
        .err()
        .context("a server was trusted that another authority vouches for")?;
    let text = format!("{error:?}").to_lowercase();
    ensure!(
        text.contains("certificate") || text.contains("unknownissuer"),
        "not refused for its certificate: {error:?}"
    );
    Ok(())
}

/// A ServiceAccount of the case, and a client with its token.
async fn account(t: &Context, name: &str) -> Result<Client> {
    let accounts = t.resource("v1", "serviceaccounts").await?;
    t.create(
        &accounts,
        &json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}),
    )
    .await?;
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 600}});
    let token = t
        .admin()
        .post(&format!("{accounts}/{name}/token"), &request)
        .await?
        .status(201)?;
    let token = token["status"]["token"]
        .as_str()
        .context("no token")?
        .to_owned();
    t.admin().by(Credentials::Token(token))
}

async fn a_service_account_gets_a_token(t: &Context) -> Result<()> {
    let accounts = t.resource("v1", "serviceaccounts").await?;
    t.create(
        &accounts,
        &json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}}),
    )
    .await?;
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}});
    let reply = t
        .admin()
        .post(&format!("{accounts}/robot/token"), &request)
        .await?
        .status(201)?;
    same!(reply["kind"], "TokenRequest");
    same!(reply["spec"]["expirationSeconds"], 3600);
    ensure!(
        reply["status"]["token"]
            .as_str()
            .is_some_and(|token| token.split('.').count() == 3),
        "no signed token"
    );
    ensure!(
        reply["status"]["expirationTimestamp"].is_string(),
        "no end: {reply}"
    );
    t.admin()
        .post(&format!("{accounts}/nobody/token"), &request)
        .await?
        .refused(404, "NotFound", "serviceaccounts \"nobody\" not found")?;
    Ok(())
}

async fn a_token_of_less_than_ten_minutes_is_refused(t: &Context) -> Result<()> {
    let accounts = t.resource("v1", "serviceaccounts").await?;
    t.create(
        &accounts,
        &json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}}),
    )
    .await?;
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 60}});
    let status = t
        .admin()
        .post(&format!("{accounts}/robot/token"), &request)
        .await?
        .failure(422, "Invalid")?;
    same!(
        status["details"]["causes"][0]["field"],
        "spec.expirationSeconds"
    );
    same!(
        status["details"]["causes"][0]["message"],
        "Invalid value: 60: may not specify a duration less than 10 minutes"
    );
    Ok(())
}

async fn a_token_says_who_asks(t: &Context) -> Result<()> {
    let robot = account(t, "robot").await?;
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let review = robot
        .post("/apis/authentication.k8s.io/v1/selfsubjectreviews", &review)
        .await?
        .status(201)?;
    let user = &review["status"]["userInfo"];
    let namespace = t.namespace().await?;
    same!(
        user["username"],
        format!("system:serviceaccount:{namespace}:robot")
    );
    let groups = user["groups"].as_array().cloned().unwrap_or_default();
    for group in [
        "system:serviceaccounts".to_owned(),
        format!("system:serviceaccounts:{namespace}"),
        "system:authenticated".to_owned(),
    ] {
        ensure!(
            groups.iter().any(|have| *have == group),
            "not in {group}: {user}"
        );
    }
    Ok(())
}

async fn what_is_not_allowed_is_403_with_the_whole_sentence(t: &Context) -> Result<()> {
    let robot = account(t, "robot").await?;
    let namespace = t.namespace().await?;
    let who = format!("User \"system:serviceaccount:{namespace}:robot\"");
    let configmaps = t.configmaps().await?;
    let tail = format!("in the namespace \"{namespace}\"");
    robot.get(&configmaps).await?.refused(
        403,
        "Forbidden",
        &format!("configmaps is forbidden: {who} cannot list resource \"configmaps\" in API group \"\" {tail}"),
    )?;
    let status = robot.get(&format!("{configmaps}/a")).await?.refused(
        403,
        "Forbidden",
        &format!("configmaps \"a\" is forbidden: {who} cannot get resource \"configmaps\" in API group \"\" {tail}"),
    )?;
    same!(
        status["details"],
        json!({"name": "a", "kind": "configmaps"})
    );
    let deployments = t.resource("apps/v1", "deployments").await?;
    robot.delete(&format!("{deployments}/web")).await?.refused(
        403,
        "Forbidden",
        &format!("deployments.apps \"web\" is forbidden: {who} cannot delete resource \"deployments\" in API group \"apps\" {tail}"),
    )?;
    let pods = t.resource("v1", "pods").await?;
    robot.get(&format!("{pods}/a/log")).await?.refused(
        403,
        "Forbidden",
        &format!("pods \"a\" is forbidden: {who} cannot get resource \"pods/log\" in API group \"\" {tail}"),
    )?;
    Ok(())
}

async fn what_is_outside_namespaces_is_403_at_the_cluster_scope(t: &Context) -> Result<()> {
    let robot = account(t, "robot").await?;
    let who = format!(
        "User \"system:serviceaccount:{}:robot\"",
        t.namespace().await?
    );
    robot.get("/api/v1/nodes").await?.refused(
        403,
        "Forbidden",
        &format!("nodes is forbidden: {who} cannot list resource \"nodes\" in API group \"\" at the cluster scope"),
    )?;
    robot.get("/apis/apps/v1/deployments").await?.refused(
        403,
        "Forbidden",
        &format!("deployments.apps is forbidden: {who} cannot list resource \"deployments\" in API group \"apps\" at the cluster scope"),
    )?;
    Ok(())
}

fn role(name: &str, rules: &Value) -> Value {
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": name}, "rules": rules})
}

fn binding(role: &str, account: &str, namespace: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": role},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role},
    })
}

/// Gives the account the rules in the case's namespace, and waits until the server knows.
async fn grant(
    t: &Context,
    account: &str,
    rules: &Value,
    robot: &Client,
    allowed: &str,
) -> Result<()> {
    let roles = t.resource("rbac.authorization.k8s.io/v1", "roles").await?;
    t.create(&roles, &role("some", rules)).await?;
    let bindings = t
        .resource("rbac.authorization.k8s.io/v1", "rolebindings")
        .await?;
    t.create(&bindings, &binding("some", account, t.namespace().await?))
        .await?;
    robot.until(allowed, "the role allows it", |_| true).await?;
    Ok(())
}

async fn a_role_and_its_binding_allow(t: &Context) -> Result<()> {
    let robot = account(t, "robot").await?;
    let configmaps = t.configmaps().await?;
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]}]);
    grant(t, "robot", &rules, &robot, &configmaps).await?;
    t.create(&configmaps, &configmap("a", "k", "v")).await?;
    robot.get(&format!("{configmaps}/a")).await?.status(200)?;
    robot
        .post(&configmaps, &configmap("b", "k", "v"))
        .await?
        .failure(403, "Forbidden")?;
    robot
        .delete(&format!("{configmaps}/a"))
        .await?
        .failure(403, "Forbidden")?;
    robot
        .get(&t.resource("v1", "secrets").await?)
        .await?
        .failure(403, "Forbidden")?;
    Ok(())
}

async fn a_self_review_tells_allowed_from_denied(t: &Context) -> Result<()> {
    let robot = account(t, "robot").await?;
    let namespace = t.namespace().await?;
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"namespace": namespace, "verb": "create", "resource": "pods"}},
    });
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let answer = t.admin().post(path, &review).await?.status(201)?;
    same!(answer["status"]["allowed"], true);
    let answer = robot.post(path, &review).await?.status(201)?;
    same!(answer["status"]["allowed"], false);
    Ok(())
}

async fn nobody_grants_more_than_they_have(t: &Context) -> Result<()> {
    let robot = account(t, "robot").await?;
    let roles = t.resource("rbac.authorization.k8s.io/v1", "roles").await?;
    let rules = json!([{"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"], "verbs": ["list", "create"]}]);
    grant(t, "robot", &rules, &robot, &roles).await?;
    let more = role(
        "more",
        &json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]),
    );
    let status = robot.post(&roles, &more).await?.failure(403, "Forbidden")?;
    let message = status["message"].as_str().unwrap_or_default();
    ensure!(
        message.contains("is attempting to grant RBAC permissions not currently held"),
        "{message}"
    );
    Ok(())
}
