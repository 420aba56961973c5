//! The guest agent: one that is not there yet, one that is not there at all, commands and their one answer.

use std::time::{Duration, Instant};

use runbook_proxmox::agent;
use runbook_proxmox::guest::{Guest, Kind};
use runbook_proxmox::{Error, ErrorKind};

use crate::server::{Act, Server, data, refused};

const LIMIT: Duration = Duration::from_secs(10);

fn vm() -> Guest {
    Guest::new(Kind::Qemu, "pve1", 200)
}

#[tokio::test]
async fn words_of_a_command_are_repeated_keys_and_its_end_is_awaited() {
    let server = Server::start(|number, asked| match (number, asked.path.ends_with("/exec")) {
        (_, true) => data(r#"{"pid":77}"#),
        (1 | 2, _) => data(r#"{"exited":0}"#),
        _ => data(r#"{"exited":1,"exitcode":3,"out-data":"out\n","err-data":"err","err-truncated":1}"#),
    })
    .await;
    let (client, vm) = (server.client(), vm());
    let ended = agent::run(&client, &vm, &["sh", "-c", "exit 3"], Some("in"), LIMIT);
    let ended = ended.await.expect("ends");
    assert_eq!((ended.code, ended.signal), (Some(3), None));
    assert_eq!(
        (ended.stdout.as_str(), ended.stderr.as_str()),
        ("out\n", "err")
    );
    assert!(ended.truncated);
    let asked = server.asked();
    assert_eq!(
        asked[0].body,
        "command=sh&command=-c&command=exit%203&input-data=in"
    );
    assert_eq!(asked[1].query, "pid=77");
}

#[tokio::test]
async fn a_lost_end_is_an_error_and_not_asked_for_again() {
    let server = Server::start(|_, asked| match asked.path.ends_with("/exec") {
        true => data(r#"{"pid":77}"#),
        false => Act::Reset,
    })
    .await;
    let error = agent::run(&server.client(), &vm(), &["true"], None, LIMIT).await;
    assert_eq!(error.expect_err("lost").kind(), ErrorKind::Unknown);
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn a_command_that_hangs_ends_at_the_limit() {
    let server = Server::start(|_, asked| match asked.path.ends_with("/exec") {
        true => data(r#"{"pid":77}"#),
        false => data(r#"{"exited":0}"#),
    })
    .await;
    let begun = Instant::now();
    let limit = Duration::from_millis(300);
    let error = agent::run(&server.client(), &vm(), &["sleep", "99"], None, limit).await;
    assert!(matches!(error, Err(Error::Deadline { .. })), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn an_agent_that_comes_up_is_awaited_and_one_that_is_not_configured_is_not() {
    let server = Server::start(|number, _| match number {
        0..3 => refused("QEMU guest agent is not running"),
        _ => data(r#"{"result":{}}"#),
    })
    .await;
    assert_eq!(agent::wait(&server.client(), &vm(), LIMIT).await, Ok(()));
    let server = Server::start(|_, _| refused("No QEMU guest agent configured")).await;
    let error = agent::wait(&server.client(), &vm(), LIMIT)
        .await
        .expect_err("none");
    assert!(error.is_no_agent(), "{error:?}");
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn the_address_is_that_of_the_card_and_comes_late() {
    let server = Server::start(|number, _| match number {
        0 => refused("QEMU guest agent is not running"),
        1 => data(r#"{"result":[{"name":"lo","hardware-address":"00:00:00:00:00:00","ip-addresses":[{"ip-address":"127.0.0.1","prefix":8}]}]}"#),
        _ => data(r#"{"result":[
            {"name":"docker0","hardware-address":"02:42:00:00:00:01","ip-addresses":[{"ip-address":"172.17.0.1","prefix":16}]},
            {"name":"eth0","hardware-address":"bc:24:11:00:00:01","ip-addresses":[
                {"ip-address":"fe80::1","prefix":64},{"ip-address":"192.168.4.85","prefix":24}]}]}"#),
    })
    .await;
    let address =
        agent::wait_address(&server.client(), &vm(), Some("BC:24:11:00:00:01"), LIMIT).await;
    assert_eq!(address, Ok("192.168.4.85".parse().expect("an address")));
}

#[tokio::test]
async fn too_much_input_is_refused_before_it_is_sent() {
    let server = Server::start(|_, _| data("null")).await;
    let input = "x".repeat(agent::INPUT_BYTES_MAX + 1);
    let error = agent::run(&server.client(), &vm(), &["cat"], Some(&input), LIMIT).await;
    assert!(matches!(error, Err(Error::Setting(_))), "{error:?}");
    assert_eq!(server.asked().len(), 0);
}
