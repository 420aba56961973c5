//! Programs in containers over a real WebSocket, Jobs, logs.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use runbook_k8s::exec::{Container, Stream, exec, exec_held};
use runbook_k8s::{Access, Client, Error, ErrorKind, Object, job, log};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

use crate::server::{Asked, End, Reply, Server, kubeconfig};

const LIMIT: Duration = Duration::from_secs(10);

/// A server for one `exec`, which speaks a version of the protocol.
async fn serve<F>(
    protocol: &'static str,
    talk: impl FnOnce(String, WebSocketStream<TcpStream>) -> F + Send + 'static,
) -> Client
where
    F: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        let (socket, _) = listener.accept().await.expect("a client");
        let mut uri = String::new();
        #[expect(
            clippy::result_large_err,
            reason = "the type of the callback is tungstenite's"
        )]
        let answer =
            |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
                uri = request.uri().to_string();
                response.headers_mut().insert(
                    "sec-websocket-protocol",
                    protocol.parse().expect("a header"),
                );
                Ok(response)
            };
        let socket = tokio_tungstenite::accept_hdr_async(socket, answer)
            .await
            .expect("a handshake");
        talk(uri, socket).await;
    });
    let (_directory, path) = kubeconfig(&format!("http://{address}"), "");
    Client::connect(&Access::Kubeconfig {
        path,
        context: None,
    })
    .await
    .expect("a client")
}

fn frame(channel: u8, data: &str) -> Message {
    Message::Binary([&[channel], data.as_bytes()].concat().into())
}

fn at() -> Container {
    Container {
        namespace: "shop".into(),
        pod: "web-1".into(),
        container: Some("main".into()),
    }
}

async fn run(
    client: &Client,
    stdin: Option<Bytes>,
    limit: Duration,
) -> (Result<i32, Error>, String) {
    let mut said = String::new();
    let command = ["sh".to_owned(), "-c".to_owned(), "echo a b".to_owned()];
    let ended = exec(client, &at(), &command, stdin, limit, |stream, data| {
        let name = if stream == Stream::Stdout {
            "out"
        } else {
            "err"
        };
        said.push_str(&format!("{name}:{} ", String::from_utf8_lossy(data)));
    })
    .await;
    (ended.map(|ended| ended.exit), said)
}

fn failure(code: &str) -> Value {
    json!({"status": "Failure", "reason": "NonZeroExitCode", "message": "command terminated with non-zero exit code",
        "details": {"causes": [{"reason": "ExitCode", "message": code}]}})
}

#[tokio::test]
async fn output_and_exit_code_come_over_their_channels() {
    let client = serve("v5.channel.k8s.io", |uri, mut socket| async move {
        assert_eq!(uri, "/api/v1/namespaces/shop/pods/web-1/exec?container=main&stdout=true&stderr=true&command=sh&command=-c&command=echo%20a%20b");
        for message in [frame(1, ""), frame(1, "one"), frame(2, "two"), frame(1, "three"), frame(3, &failure("7").to_string())] {
            socket.send(message).await.expect("sent");
        }
        let _ = socket.close(None).await;
    })
    .await;
    let (ended, said) = run(&client, None, LIMIT).await;
    assert_eq!(
        (ended.expect("an end"), said.as_str()),
        (7, "out:one err:two out:three ")
    );
}

#[tokio::test]
async fn standard_input_is_sent_whole_and_ended() {
    let client = serve("v5.channel.k8s.io", |uri, mut socket| async move {
        assert!(uri.contains("stdin=true"), "{uri}");
        let mut got = Vec::new();
        while let Some(Ok(message)) = socket.next().await {
            let data = message.into_data();
            match data[..] {
                [255, 0] => break,
                _ => got.extend_from_slice(&data[1..]),
            }
        }
        socket
            .send(frame(1, &got.len().to_string()))
            .await
            .expect("sent");
        socket
            .send(frame(3, &json!({"status": "Success"}).to_string()))
            .await
            .expect("sent");
    })
    .await;
    let (ended, said) = run(&client, Some(vec![b'x'; 100_000].into()), LIMIT).await;
    assert_eq!((ended.expect("an end"), said.as_str()), (0, "out:100000 "));
}

#[tokio::test]
async fn an_older_server_is_not_given_input_that_it_cannot_end() {
    let client = serve("v4.channel.k8s.io", |_, mut socket| async move {
        while socket.next().await.is_some() {}
    })
    .await;
    let (ended, _) = run(&client, Some(Bytes::from_static(b"x")), LIMIT).await;
    assert!(
        matches!(ended, Err(Error::Server { status: 501, .. })),
        "{ended:?}"
    );
    let client = serve("v4.channel.k8s.io", |_, mut socket| async move {
        socket
            .send(frame(3, &json!({"status": "Success"}).to_string()))
            .await
            .expect("sent");
    })
    .await;
    assert_eq!(run(&client, None, LIMIT).await.0.expect("an end"), 0);
}

#[tokio::test]
async fn standard_input_that_is_held_ends_when_somebody_says_so() {
    let (said, heard) = tokio::sync::oneshot::channel::<()>();
    let client = serve("v5.channel.k8s.io", |_, mut socket| async move {
        let first = socket.next().await.expect("input").expect("input");
        assert_eq!(&first.into_data()[..], b"\0line\n");
        socket.send(frame(1, "read")).await.expect("sent");
        said.send(()).expect("somebody waits");
        let end = socket.next().await.expect("an end").expect("an end");
        assert_eq!(&end.into_data()[..], [255, 0]);
        let status = failure("143").to_string();
        socket.send(frame(3, &status)).await.expect("sent");
    })
    .await;
    let end = async { drop(heard.await) };
    let command = ["cat".to_owned()];
    let input = Bytes::from_static(b"line\n");
    let ended = exec_held(&client, &at(), &command, input, end, LIMIT, |_, _| {}).await;
    assert_eq!(ended.expect("an end").exit, 143);
}

#[tokio::test]
async fn an_older_server_has_held_input_ended_with_the_connection() {
    let (closed, is_closed) = tokio::sync::oneshot::channel();
    let client = serve("v4.channel.k8s.io", |_, mut socket| async move {
        let first = socket.next().await.expect("input").expect("input");
        assert_eq!(&first.into_data()[..], b"\0x");
        while let Some(Ok(_)) = socket.next().await {}
        closed.send(()).expect("somebody waits");
    })
    .await;
    let end = tokio::time::sleep(Duration::from_millis(50));
    let input = Bytes::from_static(b"x");
    let ended = exec_held(
        &client,
        &at(),
        &["cat".to_owned()],
        input,
        end,
        LIMIT,
        |_, _| {},
    )
    .await;
    assert!(matches!(ended, Err(Error::Lost(_))), "{ended:?}");
    tokio::time::timeout(LIMIT, is_closed)
        .await
        .expect("in time")
        .expect("the connection is closed");
}

#[tokio::test]
async fn a_connection_that_ends_without_an_exit_code_is_never_a_success() {
    let client = serve("v5.channel.k8s.io", |_, mut socket| async move {
        socket.send(frame(1, "half")).await.expect("sent");
        let _ = socket.close(None).await;
    })
    .await;
    let (ended, said) = run(&client, None, LIMIT).await;
    let error = ended.expect_err("lost");
    assert_eq!(
        (error.kind(), said.as_str()),
        (ErrorKind::Unknown, "out:half "),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_program_that_does_not_end_is_given_up_at_the_deadline() {
    let client = serve("v5.channel.k8s.io", |_, mut socket| async move {
        while socket.next().await.is_some() {}
    })
    .await;
    let (ended, _) = run(&client, None, Duration::from_millis(200)).await;
    assert!(matches!(ended, Err(Error::Timeout { .. })), "{ended:?}");
}

#[tokio::test]
async fn a_refusal_is_told_in_the_servers_words() {
    let server = Server::start().await;
    let message = "pods \"web-1\" is forbidden: User \"u\" cannot create resource \"pods/exec\" in API group \"\" in the namespace \"shop\"";
    server.hook(move |_| {
        Some(Reply::Status(
            403,
            json!({"kind": "Status", "code": 403, "message": message, "reason": "Forbidden"}),
        ))
    });
    let (ended, _) = run(&server.client().await, None, LIMIT).await;
    assert!(
        matches!(&ended, Err(Error::Forbidden(denied)) if denied.resource == "pods/exec" && denied.verb == "create"),
        "{ended:?}"
    );
}

#[tokio::test]
async fn a_job_is_followed_to_its_end_with_exit_code_and_log() {
    let server = Server::start().await;
    let jobs = "/apis/batch/v1/namespaces/shop/jobs";
    let controller = server.clone();
    server.hook(move |asked: &Asked| {
        if asked.method == http::Method::POST {
            let mut job = asked.body.clone();
            job["metadata"]["namespace"] = json!("shop");
            let created = controller_put(&controller, job);
            return Some(Reply::Status(201, created));
        }
        asked
            .path
            .ends_with("/log")
            .then_some(Reply::Text("one\ntwo\n"))
    });
    fn controller_put(server: &Server, job: Value) -> Value {
        // The hook is asked outside of the store's lock only for reads: the object is put a moment later.
        let server = server.clone();
        let put = job.clone();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            let mut job = put;
            job["spec"]["selector"] = json!({"matchLabels": {"job-name": "work"}});
            server.put("/apis/batch/v1/namespaces/shop/jobs", job.clone());
            server.put("/api/v1/namespaces/shop/pods", json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "work-1", "namespace": "shop", "labels": {"job-name": "work"}},
                "status": {"phase": "Failed", "containerStatuses": [{"name": "main", "state": {"terminated": {"exitCode": 3, "reason": "Error"}}}]}}));
            std::thread::sleep(Duration::from_millis(50));
            job["status"] = json!({"startTime": "2026-11-30T00:00:00Z", "failed": 1, "conditions": [
                {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "Job has reached the specified backoff limit"}]});
            server.put("/apis/batch/v1/namespaces/shop/jobs", job);
        });
        let mut answered = job;
        answered["metadata"]["resourceVersion"] = json!("100");
        answered
    }
    let object = Object::new(
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "work"}, "spec": {"template": {}}}),
    );
    let finished = job::run(
        &server.client().await,
        &object,
        Some("shop"),
        "runbook",
        LIMIT,
    )
    .await
    .expect("an end");
    assert_eq!(
        (
            finished.succeeded,
            finished.phase.as_str(),
            finished.exit,
            finished.log.as_str()
        ),
        (false, "Failed", Some(3), "one\ntwo\n")
    );
    assert_eq!(
        finished.message,
        "1 pods failed: Job has reached the specified backoff limit"
    );
    assert_eq!(
        server.count(|asked| asked.path == jobs && asked.method == http::Method::POST),
        1
    );
}

#[tokio::test]
async fn only_jobs_and_pods_have_an_end() {
    let server = Server::start().await;
    let object =
        Object::new(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}));
    let error = job::run(&server.client().await, &object, None, "runbook", LIMIT)
        .await
        .expect_err("refused");
    assert_eq!(
        error.to_string(),
        "a ConfigMap has no end: give a Job or a Pod"
    );
}

#[tokio::test]
async fn a_log_is_followed_line_by_line() {
    let server = Server::start().await;
    server.hook(|_| Some(Reply::Stream(vec![json!("one"), json!("two")], End::Silent)));
    let client = server.client().await;
    let mut lines = Vec::new();
    let wanted = log::Wanted::default();
    let ended = log::follow(&client, "shop", "web-1", &wanted, LIMIT, |line| {
        lines.push(line.to_owned());
        lines.len() < 2
    });
    assert!(!ended.await.expect("followed"));
    assert_eq!(lines, ["\"one\"", "\"two\""]);
    server.hook(|_| Some(Reply::Stream(vec![json!("one")], End::Cut)));
    let wanted = log::Wanted::default();
    let ended = log::follow(&client, "shop", "web-1", &wanted, LIMIT, |_| true);
    assert!(ended.await.expect("followed"));
}
