//! Faults of the way to the server and of its answers, each with its outcome.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use runbook_proxmox::guest::{Guest, Kind};
use runbook_proxmox::{Auth, Error, Method, Request, Times, Trust};

use crate::server::{Act, SECRET, Server, TOKEN, answer, data, refused, times};

fn token() -> Auth {
    Auth::token(TOKEN, SECRET)
}

#[tokio::test]
async fn a_token_and_its_parameters_arrive_as_the_server_reads_them() {
    let server = Server::start(|_, _| data("null")).await;
    let client = server.client();
    let guest = Guest::new(Kind::Lxc, "pve1", 130);
    client.call(&guest.destroy()).await.expect("destroys");
    let post = Request::post("/x")
        .with("a", "b=c d&é")
        .with("a", "2")
        .flag("on", true);
    client.call(&post).await.expect("posts");
    let asked = server.asked();
    assert_eq!(asked[0].method, "DELETE");
    assert_eq!(asked[0].query, "purge=1&destroy-unreferenced-disks=1");
    assert_eq!(
        (asked[0].body.as_str(), asked[0].header("content-length")),
        ("", None)
    );
    let authorization = format!("PVEAPIToken={TOKEN}={SECRET}");
    assert_eq!(
        asked[0].header("authorization"),
        Some(authorization.as_str())
    );
    assert_eq!(asked[0].header("csrfpreventiontoken"), None);
    assert_eq!(asked[1].body, "a=b%3Dc%20d%26%C3%A9&a=2&on=1");
    assert_eq!(asked[1].header("transfer-encoding"), None);
}

#[tokio::test]
async fn an_authority_is_trusted_and_so_is_a_fingerprint() {
    let server = Server::start(|_, _| data("1")).await;
    for trust in [
        Trust::Ca(server.ca.clone()),
        Trust::Fingerprint(server.fingerprint.to_lowercase()),
    ] {
        let client = server.client_with(token(), trust, times());
        assert_eq!(client.call(&Request::get("/version")).await, Ok(1.into()));
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_refused_with_its_fingerprint_and_gets_nothing() {
    let server = Server::start(|_, _| data("1")).await;
    let other = Server::start(|_, _| data("1")).await;
    for trust in [
        Trust::System,
        Trust::Ca(other.ca.clone()),
        Trust::Fingerprint(other.fingerprint.clone()),
    ] {
        let client = server.client_with(token(), trust, times());
        let error = client
            .call(&Request::get("/version"))
            .await
            .expect_err("untrusted");
        let Error::Untrusted { fingerprint, .. } = &error else {
            panic!("{error:?}");
        };
        assert_eq!(*fingerprint, server.fingerprint);
        let hint = error.hint().expect("what to write where");
        assert!(
            hint.contains("fingerprint:") && hint.contains("pve-root-ca.pem"),
            "{hint}"
        );
    }
    assert_eq!(server.asked().len(), 0, "nothing was sent");
    assert_eq!(
        server.connections.load(Ordering::SeqCst),
        3,
        "and not tried again"
    );
}

#[tokio::test]
async fn the_right_certificate_without_its_key_is_not_enough() {
    let server = Server::start_impostor().await;
    for trust in [
        Trust::Fingerprint(server.fingerprint.clone()),
        Trust::Ca(server.ca.clone()),
    ] {
        let client = server.client_with(token(), trust, times());
        let error = client.call(&Request::get("/version")).await;
        assert!(matches!(error, Err(Error::Unreachable { .. })), "{error:?}");
    }
    assert_eq!(server.asked().len(), 0, "nothing was sent");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused_although_its_authority_is_trusted() {
    let server = Server::start(|_, _| data("1")).await;
    let endpoint = runbook_proxmox::Endpoint {
        url: format!("https://localhost:{}", server.port),
        auth: token(),
        trust: Trust::Ca(server.ca.clone()),
    };
    let client = runbook_proxmox::Client::with_times(endpoint, times()).expect("a client");
    let error = client
        .call(&Request::get("/version"))
        .await
        .expect_err("another name");
    assert!(error.to_string().contains("another name"), "{error}");
}

#[tokio::test]
async fn a_wrong_token_is_told_once_and_not_tried_again() {
    let server = Server::start(|_, _| answer(401, "Authentication failed!", "")).await;
    let error = server
        .client()
        .call(&Request::get("/version"))
        .await
        .expect_err("401");
    assert!(
        matches!(&error, Error::Unauthorized(text) if text == "Authentication failed!"),
        "{error:?}"
    );
    assert!(!format!("{error} {error:?} {:?}", server.client()).contains(SECRET));
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn the_reason_phrase_is_read_where_the_body_says_nothing() {
    let server = Server::start(|_, _| answer(500, "CT 130 not running", r#"{"data":null}"#)).await;
    let guest = Guest::new(Kind::Lxc, "pve1", 130);
    let error = server.client().call(&guest.stop()).await.expect_err("500");
    assert!(error.is_not_running(), "{error:?}");
    assert_eq!(error.to_string(), "CT 130 not running");
}

#[tokio::test]
async fn all_bad_parameters_are_named_without_what_is_secret() {
    let body = r#"{"data":null,"message":"Parameter verification failed.\n","errors":{"password":"got 'geheim1'","vmid":"x"}}"#;
    let server =
        Server::start(move |_, _| answer(400, "Parameter verification failed.", body)).await;
    let request = Request::post("/x").with("password", "geheim1");
    let error = server.client().call(&request).await.expect_err("400");
    assert_eq!(error.to_string(), "`password`: got '(secret)'; `vmid`: x");
}

#[tokio::test]
async fn a_node_that_is_down_is_told_apart_and_asked_again_a_few_times_only() {
    let server = Server::start(|_, _| answer(595, "No route to host", "")).await;
    let error = server
        .client()
        .call(&Request::get("/nodes/pve2/status"))
        .await
        .expect_err("595");
    assert!(matches!(error, Error::NodeDown(_)), "{error:?}");
    assert_eq!(server.asked().len(), 4);
}

#[tokio::test]
async fn a_read_survives_a_reset_and_a_proxy_that_gave_up() {
    let server = Server::start(|number, _| match number {
        0 => Act::Reset,
        1 => answer(596, "Connection timed out", ""),
        2 => answer(597, "Broken pipe", ""),
        _ => data("\"100\""),
    })
    .await;
    assert_eq!(
        server.client().call(&Request::get("/cluster/nextid")).await,
        Ok("100".into())
    );
}

#[tokio::test]
async fn a_setting_is_sent_again_after_each_fault_of_the_way_and_a_start_only_when_nothing_was_done()
 {
    let faults: [fn() -> Act; 5] = [
        || Act::Reset,
        || answer(596, "Connection timed out", ""),
        || answer(595, "No route to host", ""),
        || refused("can't lock file '/var/lock/qemu-server/lock-200.conf' - got timeout"),
        || refused("cfs-lock 'storage-nas' error: got lock request timeout"),
    ];
    let guest = Guest::new(Kind::Qemu, "pve1", 200);
    let setting = guest.set([("cores", "2")], &[], None);
    for (number, fault) in faults.into_iter().enumerate() {
        let server = Server::start(move |number, _| match number {
            0 => fault(),
            _ => data("null"),
        })
        .await;
        server.client().call(&setting).await.expect("sets");
        assert_eq!(server.asked().len(), 2);
        let server = Server::start(move |number, _| match number {
            0 => fault(),
            _ => data("null"),
        })
        .await;
        let started = server.client().call(&guest.start()).await;
        // After a reset or a proxy that gave up it may run already: the state has to be read.
        let undone = number >= 2;
        assert_eq!(
            (started.is_ok(), server.asked().len()),
            (undone, 1 + usize::from(undone))
        );
    }
}

#[tokio::test]
async fn what_asking_again_does_not_mend_is_asked_once() {
    for status in [400, 403, 500, 501, 599] {
        let server = Server::start(move |_, _| answer(status, "why", "")).await;
        server
            .client()
            .call(&Request::get("/version"))
            .await
            .expect_err("refused");
        assert_eq!(server.asked().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn a_lock_that_was_not_had_is_asked_for_again_also_by_what_creates() {
    let server = Server::start(|number, _| match number {
        0 | 1 => refused("can't lock file '/run/lock/lxc/pve-config-130.lock' - got timeout"),
        _ => data("\"UPID:pve1:00001A2B:12345678:66F0A1B2:vzcreate:130:root@pam!book:\""),
    })
    .await;
    let guest = Guest::new(Kind::Lxc, "pve1", 130);
    let request = guest.create([("ostemplate", "local:vztmpl/a.tar.zst")]);
    server
        .client()
        .call(&request)
        .await
        .expect("the third time");
    assert_eq!(server.asked().len(), 3);
}

#[tokio::test]
async fn what_creates_is_sent_once_when_its_answer_is_lost() {
    for number in 0..2 {
        let server = Server::start(move |_, _| match number {
            0 => Act::Reset,
            _ => answer(596, "Connection timed out", ""),
        })
        .await;
        for request in [
            Request::post("/nodes/pve1/lxc"),
            Request::any(Method::Delete, "/nodes/pve1/lxc/130"),
            Guest::new(Kind::Qemu, "pve1", 200).set([("scsi1", "local:8")], &[], None),
        ] {
            let before = server.asked().len();
            let error = server.client().call(&request).await.expect_err("lost");
            assert_eq!(
                error.kind(),
                runbook_proxmox::ErrorKind::Unknown,
                "{error:?}"
            );
            assert_eq!(server.asked().len(), before + 1);
        }
    }
}

#[tokio::test]
async fn nobody_there_is_said_with_the_place_and_in_bounded_time() {
    // A port that was just free.
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("an address").port()
    };
    let endpoint = runbook_proxmox::Endpoint {
        url: format!("https://127.0.0.1:{port}"),
        auth: token(),
        trust: Trust::System,
    };
    let client = runbook_proxmox::Client::with_times(endpoint, times()).expect("a client");
    let started = Instant::now();
    let error = client
        .call(&Request::get("/version"))
        .await
        .expect_err("refused");
    assert!(
        error.to_string().contains(&format!("127.0.0.1:{port}")),
        "{error}"
    );
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_given_up() {
    let server =
        Server::start(|_, _| Act::Slow(Duration::from_secs(60), Box::new(data("1")))).await;
    let short = Times {
        request: Duration::from_millis(200),
        ..times()
    };
    let client = server.client_with(
        token(),
        Trust::Fingerprint(server.fingerprint.clone()),
        short,
    );
    let started = Instant::now();
    let error = client
        .call(&Request::get("/version"))
        .await
        .expect_err("slow");
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_slow_answer_within_the_time_is_an_answer() {
    let server =
        Server::start(|_, _| Act::Slow(Duration::from_millis(300), Box::new(data("1")))).await;
    assert_eq!(
        server.client().call(&Request::get("/version")).await,
        Ok(1.into())
    );
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let server = Server::start(|_, _| Act::Endless).await;
    let long = Times {
        request: Duration::from_secs(60),
        ..times()
    };
    let client = server.client_with(
        token(),
        Trust::Fingerprint(server.fingerprint.clone()),
        long,
    );
    let error = client
        .call(&Request::get("/version"))
        .await
        .expect_err("too much");
    assert!(error.to_string().contains("longer than"), "{error}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = Server::start(|_, _| data("1")).await;
    let to = other.url();
    let server = Server::start(move |_, _| {
        Act::Bytes(format!("HTTP/1.1 301 Moved\r\nLocation: {to}/api2/json/version\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
    })
    .await;
    let error = server
        .client()
        .call(&Request::get("/version"))
        .await
        .expect_err("elsewhere");
    assert!(error.to_string().contains("redirect"), "{error}");
    assert_eq!(other.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_answer_of_something_else_is_said_to_be_so() {
    for body in ["<html>hello</html>", "[]", "{}", ""] {
        let server = Server::start(move |_, _| answer(200, "OK", body)).await;
        let error = server
            .client()
            .call(&Request::get("/version"))
            .await
            .expect_err(body);
        assert!(error.to_string().contains("not that of the API"), "{error}");
    }
}

#[tokio::test]
async fn changes_to_one_node_are_few_at_a_time_and_those_to_another_do_not_wait() {
    let pause = Duration::from_millis(800);
    let server = Server::start(move |_, _| Act::Slow(pause, Box::new(data("null")))).await;
    let client = server.client();
    let mut all = tokio::task::JoinSet::new();
    for number in 0..9 {
        let (client, node) = (client.clone(), if number < 6 { "a" } else { "b" });
        all.spawn(async move {
            let request = Request::put(format!("/nodes/{node}/x"));
            client.call(&request).await.expect("changes");
        });
    }
    let begun = Instant::now();
    let under_way = loop {
        let asked = server.asked();
        if asked.len() >= 6 || begun.elapsed() > Duration::from_secs(10) {
            break asked;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let of = |node: &str| {
        let asked = under_way.iter();
        asked.filter(|asked| asked.path.contains(node)).count()
    };
    assert_eq!((of("/nodes/a/"), of("/nodes/b/")), (3, 3));
    while let Some(one) = all.join_next().await {
        one.expect("ends");
    }
    assert_eq!(server.asked().len(), 9);
}
