//! A server with a client, and waits with a deadline.

use std::time::{Duration, Instant};

use reqwest::{Client, Method, RequestBuilder};
use runbook_lab::kube::{Server, Settings};
use serde_json::{Value, json};

/// How long anything may take before a test fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) struct Lab {
    pub(crate) server: Server,
    pub(crate) client: Client,
}

/// An answer: its status and its body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) warnings: Vec<String>,
}

impl Answer {
    /// The body of an answer that must have this status.
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }

    pub(crate) fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }
}

pub(crate) async fn lab() -> Lab {
    lab_with(Settings::default()).await
}

pub(crate) async fn lab_with(settings: Settings) -> Lab {
    let server = Server::start(settings).await.expect("the lab starts");
    of(server)
}

pub(crate) fn of(server: Server) -> Lab {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let ca = reqwest::Certificate::from_pem(server.ca().as_bytes())
        .expect("the authority is a certificate");
    let client = Client::builder()
        .tls_certs_only([ca])
        .no_proxy()
        .timeout(DEADLINE)
        .user_agent("lab-test/1.0")
        .build()
        .expect("a client is made");
    Lab { server, client }
}

impl Lab {
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.server.url()))
            .bearer_auth(self.server.token())
    }

    pub(crate) async fn send(&self, request: RequestBuilder) -> Answer {
        let response = request.send().await.expect("the server answers");
        let status = response.status().as_u16();
        let warnings = response
            .headers()
            .get_all("warning")
            .iter()
            .filter_map(|value| value.to_str().ok().map(str::to_owned))
            .collect();
        let text = response.text().await.expect("the body is read");
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Answer {
            status,
            body,
            warnings,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(self.request(Method::POST, path).json(&body))
            .await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.send(self.request(Method::PUT, path).json(&body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    pub(crate) async fn patch(&self, path: &str, kind: &str, body: Value) -> Answer {
        let kind = match kind {
            "apply" => "application/apply-patch+yaml".to_owned(),
            "json" => "application/json-patch+json".to_owned(),
            kind => format!("application/{kind}-patch+json"),
        };
        self.send(
            self.request(Method::PATCH, path)
                .header("content-type", kind)
                .body(body.to_string()),
        )
        .await
    }

    pub(crate) async fn apply(&self, path: &str, manager: &str, body: Value) -> Answer {
        self.patch(&format!("{path}?fieldManager={manager}"), "apply", body)
            .await
    }

    /// The object once it is as wished; fails with its last state at the deadline.
    pub(crate) async fn until(&self, path: &str, wished: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let answer = self.get(path).await;
            if answer.status == 200 && wished(&answer.body) {
                return answer.body;
            }
            assert!(
                start.elapsed() < DEADLINE,
                "{path} is not as wished: {}",
                answer.body
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until nothing is there any more.
    pub(crate) async fn until_gone(&self, path: &str) {
        let start = Instant::now();
        loop {
            let answer = self.get(path).await;
            if answer.status == 404 {
                return;
            }
            assert!(
                start.elapsed() < DEADLINE,
                "{path} is still there: {}",
                answer.body
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

pub(crate) fn condition<'a>(value: &'a Value, name: &str) -> &'a Value {
    static NONE: Value = Value::Null;
    let list = value["status"]["conditions"].as_array();
    list.into_iter()
        .flatten()
        .find(|one| one["type"] == name)
        .unwrap_or(&NONE)
}

pub(crate) fn config_map(name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

pub(crate) fn deployment(name: &str, replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "main", "image": "registry.lab/web:1"}]},
            },
        },
    })
}
