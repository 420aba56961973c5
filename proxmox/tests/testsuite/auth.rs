//! Tickets: login, renewal, refusal, second factor.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use runbook_proxmox::{Auth, Error, Request, Times, Trust};

use crate::server::{Act, Asked, Server, answer, data, times};

const PASSWORD: &str = "geheim-genug";

fn login() -> Auth {
    Auth::login("root@pam", PASSWORD)
}

fn ticket(number: usize) -> Act {
    data(&format!(
        r#"{{"username":"root@pam","ticket":"PVE:root@pam:{number}::x=","CSRFPreventionToken":"{number}:csrf"}}"#
    ))
}

fn is_login(asked: &Asked) -> bool {
    asked.is("POST", "/access/ticket")
}

#[tokio::test]
async fn a_ticket_goes_in_the_cookie_and_its_csrf_token_with_writes_only() {
    let server = Server::start(|_, asked| match is_login(asked) {
        true => ticket(1),
        false => data("null"),
    })
    .await;
    let client = server.client_as(login());
    client.call(&Request::get("/version")).await.expect("reads");
    client.call(&Request::put("/x")).await.expect("writes");
    let asked = server.asked();
    assert_eq!(asked.len(), 3, "one login");
    assert_eq!(asked[0].body, "username=root%40pam&password=geheim-genug");
    let cookie = "PVEAuthCookie=PVE%3Aroot%40pam%3A1%3A%3Ax%3D";
    assert_eq!(asked[1].header("cookie"), Some(cookie));
    assert_eq!(asked[1].header("csrfpreventiontoken"), None);
    assert_eq!(asked[2].header("csrfpreventiontoken"), Some("1:csrf"));
    assert_eq!(asked[2].header("authorization"), None);
}

#[tokio::test]
async fn many_at_once_share_one_login() {
    let server = Server::start(|_, asked| match is_login(asked) {
        true => Act::Slow(Duration::from_millis(100), Box::new(ticket(1))),
        false => data("null"),
    })
    .await;
    let client = server.client_as(login());
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let client = client.clone();
        all.spawn(async move { client.call(&Request::get("/version")).await });
    }
    while let Some(one) = all.join_next().await {
        one.expect("ends").expect("answers");
    }
    assert_eq!(server.count("POST", "/access/ticket"), 1);
}

#[tokio::test]
async fn a_ticket_is_renewed_with_itself_before_it_is_old_by_one_only() {
    let logins = AtomicUsize::new(0);
    let server = Server::start(move |_, asked| match is_login(asked) {
        true => ticket(logins.fetch_add(1, Ordering::SeqCst) + 1),
        false => data("null"),
    })
    .await;
    let short = Times {
        renew_after: Duration::from_millis(300),
        ..times()
    };
    let trust = Trust::Fingerprint(server.fingerprint.clone());
    let client = server.client_with(login(), trust, short);
    client.call(&Request::get("/version")).await.expect("reads");
    tokio::time::sleep(Duration::from_millis(350)).await;
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let client = client.clone();
        all.spawn(async move { client.call(&Request::get("/version")).await });
    }
    while let Some(one) = all.join_next().await {
        one.expect("ends").expect("answers");
    }
    let asked = server.asked();
    let logins: Vec<_> = asked.iter().filter(|asked| is_login(asked)).collect();
    assert_eq!(logins.len(), 2);
    assert!(
        logins[1].body.contains("password=PVE%3Aroot%40pam%3A1"),
        "{}",
        logins[1].body
    );
}

#[tokio::test]
async fn a_renewal_that_reaches_nobody_leaves_the_old_ticket_in_use() {
    let server = Server::start(|number, asked| match (is_login(asked), number) {
        (true, 0) => ticket(1),
        (true, _) => Act::Reset,
        (false, _) => data("null"),
    })
    .await;
    let short = Times {
        renew_after: Duration::ZERO,
        ..times()
    };
    let trust = Trust::Fingerprint(server.fingerprint.clone());
    let client = server.client_with(login(), trust, short);
    client.call(&Request::get("/version")).await.expect("reads");
    client
        .call(&Request::get("/version"))
        .await
        .expect("reads on");
    let last = server.asked().pop().expect("asked");
    assert!(
        last.header("cookie")
            .is_some_and(|cookie| cookie.contains("%3A1%3A"))
    );
}

/// A server that takes no ticket below this number.
async fn refusing(good: usize) -> Server {
    let logins = AtomicUsize::new(0);
    Server::start(move |_, asked| {
        if is_login(asked) {
            return ticket(logins.fetch_add(1, Ordering::SeqCst) + 1);
        }
        let number = asked
            .header("cookie")
            .and_then(|cookie| cookie.split("%3A").nth(2));
        match number.and_then(|number| number.parse::<usize>().ok()) {
            Some(number) if number >= good => data("\"done\""),
            _ => answer(401, "Authentication failed!", ""),
        }
    })
    .await
}

#[tokio::test]
async fn a_ticket_that_is_refused_is_replaced_and_the_request_goes_again_even_if_it_creates() {
    let server = refusing(2).await;
    let created = server
        .client_as(login())
        .call(&Request::post("/nodes/a/lxc"))
        .await;
    assert_eq!(created, Ok("done".into()));
    assert_eq!(server.count("POST", "/access/ticket"), 2);
    assert_eq!(server.count("POST", "/nodes/a/lxc"), 2);
}

#[tokio::test]
async fn a_new_ticket_that_is_refused_too_ends_it() {
    let server = refusing(99).await;
    let error = server
        .client_as(login())
        .call(&Request::get("/version"))
        .await;
    assert!(matches!(error, Err(Error::Unauthorized(_))), "{error:?}");
    assert_eq!(server.count("POST", "/access/ticket"), 2);
    assert_eq!(server.count("GET", "/version"), 2);
}

#[tokio::test]
async fn a_refused_login_is_tried_once_for_all_that_wait() {
    let server = Server::start(|_, _| {
        let body = r#"{"message":"authentication failure\n","data":null}"#;
        Act::Slow(
            Duration::from_millis(100),
            Box::new(answer(401, "authentication failure", body)),
        )
    })
    .await;
    let client = server.client_as(login());
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let client = client.clone();
        all.spawn(async move { client.call(&Request::get("/version")).await });
    }
    while let Some(one) = all.join_next().await {
        let error = one.expect("ends").expect_err("refused");
        assert!(
            error.to_string().contains("authentication failure"),
            "{error}"
        );
        assert!(!format!("{error:?}").contains(PASSWORD));
    }
    assert_eq!(server.asked().len(), 1);
}

fn with_factor(code: Option<&str>) -> Auth {
    Auth::Login {
        user: "root@pam".into(),
        password: PASSWORD.into(),
        totp: code.map(str::to_owned),
    }
}

fn half_then(second: impl Fn() -> Act + Send + Sync + 'static) -> impl Fn(usize, &Asked) -> Act {
    move |_, asked| {
        if !is_login(asked) {
            return data("null");
        }
        if asked.body.contains("tfa-challenge") {
            return second();
        }
        data(
            r#"{"username":"root@pam","ticket":"PVE:!tfa!%7B%22totp%22%3Atrue%7D:1::x","NeedTFA":1}"#,
        )
    }
}

#[tokio::test]
async fn a_second_factor_without_a_code_ends_with_what_to_do() {
    let server = Server::start(half_then(|| ticket(1))).await;
    let error = server
        .client_as(with_factor(None))
        .call(&Request::get("/version"))
        .await;
    let error = error.expect_err("no code");
    assert!(
        matches!(&error, Error::SecondFactor { user } if user == "root@pam"),
        "{error:?}"
    );
    assert!(
        error.hint().is_some_and(|hint| hint.contains("token")),
        "{error}"
    );
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn one_code_opens_the_second_half() {
    let server = Server::start(half_then(|| ticket(1))).await;
    let client = server.client_as(with_factor(Some("123456")));
    client.call(&Request::get("/version")).await.expect("reads");
    let asked = server.asked();
    assert!(
        asked[1].body.contains("password=totp%3A123456"),
        "{}",
        asked[1].body
    );
    assert!(
        asked[1].body.contains("tfa-challenge=PVE%3A%21tfa%21"),
        "{}",
        asked[1].body
    );
}

#[tokio::test]
async fn a_code_that_is_refused_is_no_wrong_password() {
    let server = Server::start(half_then(|| answer(401, "authentication failure", ""))).await;
    let client = server.client_as(with_factor(Some("123456")));
    let error = client
        .call(&Request::get("/version"))
        .await
        .expect_err("refused");
    assert!(matches!(error, Error::SecondFactor { .. }), "{error:?}");
}
