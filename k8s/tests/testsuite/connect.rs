//! Connections, deadlines, repetitions, kinds.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::Method;
use runbook_k8s::{Access, Client, Error, ErrorKind, Query, Request, Resource, Times};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use crate::server::{Reply, Server, kubeconfig};

fn access(path: std::path::PathBuf, context: Option<&str>) -> Access {
    Access::Kubeconfig {
        path,
        context: context.map(str::to_owned),
    }
}

async fn refused(path: std::path::PathBuf, context: Option<&str>) -> String {
    let error = Client::connect(&access(path, context))
        .await
        .expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    error.to_string()
}

#[tokio::test]
async fn a_kubeconfig_that_cannot_be_used_says_why() {
    let (_directory, path) = kubeconfig("https://127.0.0.1:1", "");
    let text = refused(path.clone(), Some("home")).await;
    assert!(
        text.ends_with("has no context `home`: it has `first`"),
        "{text}"
    );
    let text = refused("/nowhere/kubeconfig".into(), None).await;
    assert!(text.contains("/nowhere/kubeconfig"), "{text}");
    let (_directory, path) = kubeconfig("http://192.168.4.10:8080", "");
    assert_eq!(
        refused(path, None).await,
        "`http://192.168.4.10:8080/` is not `https`"
    );
}

#[tokio::test]
async fn a_kubeconfig_that_trusts_everything_is_refused() {
    let (_directory, path) = kubeconfig(
        "https://127.0.0.1:1\", insecure-skip-tls-verify: true, x: \"",
        "",
    );
    let text = refused(path, None).await;
    assert!(text.contains("`insecure-skip-tls-verify` is set"), "{text}");
}

#[tokio::test]
async fn an_exec_plugin_that_fails_is_about_credentials() {
    let user = "{exec: {apiVersion: client.authentication.k8s.io/v1, command: /bin/false, interactiveMode: Never}}";
    let (_directory, path) = kubeconfig("https://127.0.0.1:1", user);
    let error = Client::connect(&access(path, None))
        .await
        .expect_err("refused");
    assert!(matches!(error, Error::Credentials(_)), "{error:?}");
}

#[tokio::test]
async fn what_cannot_be_read_is_told_without_what_it_holds() {
    let exec = |script: &str| {
        format!(
            "{{exec: {{apiVersion: client.authentication.k8s.io/v1, command: sh, args: [-c, '{script}'], env: [{{name: KEY, value: s3cret}}], interactiveMode: Never}}}}"
        )
    };
    for (user, expected) in [
        (
            exec("echo s3cret; echo no session >&2; exit 3"),
            "credentials could not be got: the exec plugin ended with exit status: 3: no session",
        ),
        (
            exec("echo \"token: [s3cret\""),
            "credentials could not be got: what the exec plugin printed is no ExecCredential: line ",
        ),
    ] {
        let (_directory, path) = kubeconfig("https://127.0.0.1:1", &user);
        let text = refused(path, None).await;
        assert!(text.starts_with(expected), "{text}");
        assert!(!text.contains("s3cret"), "{text}");
    }
    let (_directory, path) = kubeconfig("https://127.0.0.1:1", "{token: [s3cret}");
    let text = refused(path, None).await;
    assert!(text.contains("it is no valid kubeconfig: line "), "{text}");
    assert!(!text.contains("s3cret"), "{text}");
}

#[tokio::test]
async fn an_exec_plugin_gives_the_token() {
    let server = Server::start().await;
    let credential = r#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"t-17"}}"#;
    let user = format!(
        "{{exec: {{apiVersion: client.authentication.k8s.io/v1, command: echo, args: ['{credential}'], interactiveMode: Never}}}}"
    );
    let (_directory, path) = kubeconfig(&format!("http://{}", server.address), &user);
    let client = Client::connect(&access(path, None))
        .await
        .expect("a client");
    let list = client
        .list(&Query::all(&Resource::pod(), Some("shop")))
        .await
        .expect("a list");
    assert_eq!(list.items.len(), 0);
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("https://{}", listener.local_addr().expect("bound"));
    drop(listener);
    let (_directory, path) = kubeconfig(&url, "");
    let times = Times {
        pause: Duration::from_millis(1),
        ..Times::default()
    };
    let client = Client::connect_with(&access(path, None), times)
        .await
        .expect("a client");
    let error = client
        .send(&Request::path("/version"))
        .await
        .expect_err("nobody");
    assert!(
        matches!(&error, Error::Unreachable { url: said, .. } if *said == url),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_not_trusted() {
    let name = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let server = rcgen::generate_simple_self_signed(name.clone()).expect("a certificate");
    let other = rcgen::generate_simple_self_signed(name).expect("a certificate");
    let key = tokio_rustls::rustls::pki_types::PrivateKeyDer::try_from(
        server.signing_key.serialize_der(),
    )
    .expect("a key");
    let provider = std::sync::Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = tokio_rustls::rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![server.cert.der().clone()], key)
        .expect("a configuration");
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(mut stream) = acceptor.accept(socket).await {
                    let _ = stream
                        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
                        .await;
                    let _ = stream.flush().await;
                    tokio::time::sleep(Duration::from_secs(5)).await;
                }
            });
        }
    });
    let of = |pem: String| async move {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("ca.pem"), pem).expect("written");
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: a\nclusters: [{{name: c, cluster: {{server: 'https://localhost:{port}', certificate-authority: ca.pem}}}}]\n\
             users: [{{name: u, user: {{}}}}]\ncontexts: [{{name: a, context: {{cluster: c, user: u}}}}]\n"
        );
        let path = directory.path().join("kubeconfig");
        std::fs::write(&path, text).expect("written");
        let client = Client::connect(&access(path, None))
            .await
            .expect("a client");
        client.send(&Request::path("/version")).await
    };
    let error = of(other.cert.pem()).await.expect_err("not trusted");
    assert!(
        matches!(&error, Error::Untrusted { why, .. } if why.contains("issuer")),
        "{error:?}"
    );
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(of(server.cert.pem()).await.expect("trusted"), json!({}));
}

#[tokio::test]
async fn expired_credentials_are_told_apart() {
    let server = Server::start().await;
    server.hook(|_| {
        Some(Reply::Status(
            401,
            json!({"kind": "Status", "message": "Unauthorized"}),
        ))
    });
    let error = server
        .client()
        .await
        .send(&Request::path("/version"))
        .await
        .expect_err("refused");
    assert!(
        matches!(&error, Error::Unauthorized(message) if message == "Unauthorized"),
        "{error:?}"
    );
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn every_request_has_a_deadline() {
    let server = Server::start().await;
    server.hook(|_| Some(Reply::Silence));
    let times = Times {
        request: Duration::from_millis(100),
        pause: Duration::from_millis(1),
        ..Times::default()
    };
    let client = server.client_with(times).await;
    let started = Instant::now();
    let error = client
        .send(&Request::path("/version"))
        .await
        .expect_err("no answer");
    assert!(
        matches!(&error, Error::Timeout { what, .. } if what == "GET /version"),
        "{error:?}"
    );
    assert!(started.elapsed() < Duration::from_secs(10));
    // What is created is created once, even when nobody answers.
    let before = server.asked().len();
    let request = Request::create(
        &Resource::config_map(),
        Some("shop"),
        json!({"metadata": {"name": "a"}}),
    );
    let error = client.send(&request).await.expect_err("no answer");
    assert_eq!(error.kind(), ErrorKind::Unknown);
    assert_eq!(server.asked().len(), before + 1);
}

#[tokio::test]
async fn throttled_requests_are_sent_again_when_the_server_wants_it_creations_too() {
    let server = Server::start().await;
    let mut left = 2;
    server.hook(move |_| {
        left -= 1;
        (left >= 0).then_some(Reply::Throttle(0))
    });
    let client = server.client().await;
    client
        .list(&Query::all(&Resource::pod(), Some("shop")))
        .await
        .expect("a list");
    assert_eq!((server.asked().len(), client.requests()), (3, 3));
    let mut waits = 1;
    server.hook(move |asked| {
        waits -= 1;
        match waits {
            0 => Some(Reply::Throttle(1)),
            _ if asked.method == Method::POST => {
                Some(Reply::Status(201, json!({"kind": "ConfigMap"})))
            }
            _ => None,
        }
    });
    let started = Instant::now();
    let request = Request::create(
        &Resource::config_map(),
        Some("shop"),
        json!({"metadata": {"name": "a"}}),
    );
    client.send(&request).await.expect("created");
    assert!(
        started.elapsed() >= Duration::from_secs(1),
        "Retry-After was not honoured"
    );
}

#[tokio::test]
async fn a_server_that_throttles_for_longer_than_the_call_may_take_is_an_error_at_once() {
    let server = Server::start().await;
    server.hook(|_| Some(Reply::Throttle(3600)));
    let error = server
        .client()
        .await
        .send(&Request::path("/version"))
        .await
        .expect_err("throttled");
    assert!(
        matches!(error, Error::Throttled { after: Some(after), .. } if after == Duration::from_secs(3600))
    );
}

#[tokio::test]
async fn a_lost_connection_repeats_what_reads_and_not_what_creates() {
    let server = Server::start().await;
    server.hook(|asked| (asked.method == Method::POST).then_some(Reply::Hangup));
    let client = server.client().await;
    let request = Request::create(
        &Resource::config_map(),
        Some("shop"),
        json!({"metadata": {"name": "a"}}),
    );
    let error = client.send(&request).await.expect_err("lost");
    assert_eq!(error.kind(), ErrorKind::Unknown, "{error:?}");
    assert_eq!(server.count(|asked| asked.method == Method::POST), 1);
    let mut left = 2;
    server.hook(move |_| {
        left -= 1;
        (left >= 0).then_some(Reply::Hangup)
    });
    client
        .list(&Query::all(&Resource::pod(), Some("shop")))
        .await
        .expect("a list");
}

#[tokio::test]
async fn kinds_of_kubernetes_cost_no_request_and_others_one() {
    static LISTS: AtomicUsize = AtomicUsize::new(0);
    let server = Server::start().await;
    server.hook(|asked| {
        LISTS.fetch_add(1, Ordering::Relaxed);
        (asked.path == "/apis/example.com/v1").then(|| {
            Reply::Status(200, json!({"kind": "APIResourceList", "resources": [{"name": "widgets", "kind": "Widget", "namespaced": true, "singularName": "widget"}]}))
        })
    });
    let client = server.client().await;
    let deployment = client
        .resource("apps/v1", "Deployment")
        .await
        .expect("known");
    assert_eq!(
        (deployment.plural.as_str(), LISTS.load(Ordering::Relaxed)),
        ("deployments", 0)
    );
    for _ in 0..3 {
        let widget = client
            .resource("example.com/v1", "Widget")
            .await
            .expect("served");
        assert_eq!(
            (widget.plural.as_str(), widget.namespaced),
            ("widgets", true)
        );
    }
    assert_eq!(LISTS.load(Ordering::Relaxed), 1);
    let error = client
        .resource("example.com/v1", "Gadget")
        .await
        .expect_err("no such kind");
    assert!(
        matches!(&error, Error::NoSuchKind { kind, .. } if kind == "example.com/v1 Gadget"),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_group_that_is_not_served_is_a_kind_that_is_missing() {
    let server = Server::start().await;
    server.hook(|_| Some(Reply::Status(404, json!({"kind": "Status", "message": "the server could not find the requested resource", "details": {}}))));
    let error = server
        .client()
        .await
        .resource("example.com/v1", "Widget")
        .await
        .expect_err("no such kind");
    assert!(
        matches!(&error, Error::NoSuchKind { kind, .. } if kind == "example.com/v1 Widget"),
        "{error:?}"
    );
    assert!(error.is_absent());
}

#[tokio::test]
async fn a_word_is_found_on_servers_without_aggregated_discovery_too() {
    let server = Server::start().await;
    server.hook(|asked| match asked.path.as_str() {
        "/apis" => Some(Reply::Status(200, json!({"kind": "APIGroupList", "groups": [
            {"name": "dead.example.com", "preferredVersion": {"groupVersion": "dead.example.com/v1"}},
            {"name": "example.com", "preferredVersion": {"groupVersion": "example.com/v1"}}]}))),
        "/apis/dead.example.com/v1" => Some(Reply::Status(501, json!({"message": "no"}))),
        "/apis/example.com/v1" => Some(Reply::Status(200, json!({"resources": [{"name": "widgets", "kind": "Widget", "namespaced": false, "shortNames": ["wd"]}]}))),
        _ => None,
    });
    let client = server.client().await;
    let widget = client.resource_called("wd", None).await.expect("served");
    assert_eq!(widget.to_string(), "example.com/v1 Widget");
    // The word is known now.
    let before = client.requests();
    client.resource_called("wd", None).await.expect("served");
    assert_eq!(client.requests(), before);
    let error = client
        .resource_called("gadget", None)
        .await
        .expect_err("no such kind");
    assert!(
        matches!(&error, Error::NoSuchKind { kind, .. } if kind == "gadget"),
        "{error:?}"
    );
}

#[tokio::test]
async fn long_lists_come_in_pages_and_begin_anew_when_the_continuation_is_forgotten() {
    let server = Server::start().await;
    let mut forgotten = false;
    server.hook(move |asked| {
        let page = |names: &[&str], next: &str| {
            let items: Vec<_> = names.iter().map(|name| json!({"metadata": {"name": name}})).collect();
            Some(Reply::Status(200, json!({"metadata": {"resourceVersion": "7", "continue": next}, "items": items})))
        };
        if !asked.query.contains("continue=") {
            return page(&["a", "b"], "more");
        }
        if !forgotten {
            forgotten = true;
            return Some(Reply::Status(410, json!({"kind": "Status", "reason": "Expired", "message": "The provided continue parameter is too old"})));
        }
        page(&["c"], "")
    });
    let list = server
        .client()
        .await
        .list(&Query::all(&Resource::pod(), None))
        .await
        .expect("a list");
    let names: Vec<_> = list
        .items
        .iter()
        .map(|item| format!("{} {}", item["kind"], item["metadata"]["name"]))
        .collect();
    assert_eq!(names, ["\"Pod\" \"a\"", "\"Pod\" \"b\"", "\"Pod\" \"c\""]);
    assert_eq!(list.resource_version, "7");
}
