//! Tasks: ends, logs, faults during the wait, and creations whose answer was lost.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use runbook_proxmox::cluster::{self, Place};
use runbook_proxmox::guest::{self, Created, Guest, Kind};
use runbook_proxmox::task::{self, TaskEnd};
use runbook_proxmox::{Auth, Error, Upid};

use crate::server::{Act, Asked, Server, answer, data};

const UPID: &str = "UPID:pve2:00001A2B:12345678:66F0A1B2:vzcreate:130:root@pam!book:";
const LIMIT: Duration = Duration::from_secs(10);

fn upid() -> Upid {
    UPID.parse().expect("a task")
}

fn is_status(asked: &Asked) -> bool {
    asked.path.ends_with("/status")
}

fn running() -> Act {
    data(r#"{"status":"running","pid":1}"#)
}

fn stopped(exit: &str) -> Act {
    data(&serde_json::json!({"status": "stopped", "exitstatus": exit}).to_string())
}

fn log(lines: &[&str], asked: &Asked) -> Act {
    let start: usize = asked
        .query
        .split('&')
        .find_map(|pair| pair.strip_prefix("start="))
        .and_then(|start| start.parse().ok())
        .expect("a start");
    let rows: Vec<_> = lines
        .iter()
        .enumerate()
        .skip(start)
        .map(|(index, line)| serde_json::json!({"n": (index + 1).to_string(), "t": line}))
        .collect();
    data(&serde_json::Value::from(rows).to_string())
}

/// A task that runs so long and ends so.
async fn task_of(time: Duration, exit: &'static str, lines: &'static [&'static str]) -> Server {
    let started = std::sync::OnceLock::new();
    Server::start(move |_, asked| {
        let started = *started.get_or_init(Instant::now);
        match is_status(asked) {
            true if started.elapsed() < time => running(),
            true => stopped(exit),
            false => log(lines, asked),
        }
    })
    .await
}

#[tokio::test]
async fn the_node_of_the_task_is_asked_and_its_end_is_seen_soon() {
    for (ms, late) in [(50, 60), (500, 120)] {
        let server = task_of(Duration::from_millis(ms), "OK", &["one", "TASK OK"]).await;
        let begun = Instant::now();
        let mut lines = Vec::new();
        let (client, upid) = (server.client(), upid());
        let finished = task::wait(&client, &upid, LIMIT, |line| lines.push(line.to_owned()));
        let finished = finished.await.expect("ends");
        let took = begun.elapsed();
        assert_eq!((finished.end, lines), (TaskEnd::Ok, vec!["one".to_owned()]));
        // A machine under load may add to it; a second, as a plain loop would wait, it does not take.
        assert!(took < Duration::from_millis(ms + late + 400), "{took:?}");
        let first = &server.asked()[0];
        assert!(
            first
                .path
                .starts_with("/api2/json/nodes/pve2/tasks/UPID%3Apve2%3A"),
            "{}",
            first.path
        );
    }
}

#[tokio::test]
async fn the_log_comes_while_the_task_runs_and_each_line_once() {
    let server = task_of(Duration::from_millis(900), "OK", &["one", "two", "TASK OK"]).await;
    let begun = Instant::now();
    let mut lines = Vec::new();
    let (client, upid) = (server.client(), upid());
    let end = task::wait(&client, &upid, LIMIT, |line| {
        lines.push((line.to_owned(), begun.elapsed()))
    });
    end.await.expect("ends");
    let texts: Vec<_> = lines.iter().map(|(line, _)| line.as_str()).collect();
    assert_eq!(texts, ["one", "two"]);
    assert!(lines[0].1 < Duration::from_millis(900), "{lines:?}");
}

#[tokio::test]
async fn warnings_are_success_with_their_lines() {
    let lines = &["WARN: systemd too new", "done", "TASK WARNINGS: 1"];
    let server = task_of(Duration::ZERO, "WARNINGS: 1", lines).await;
    let finished = task::wait(&server.client(), &upid(), LIMIT, |_| {})
        .await
        .expect("ends");
    assert_eq!(
        finished.end,
        TaskEnd::Warnings(vec!["WARN: systemd too new".into()])
    );
    assert!(finished.ok().is_ok());
}

#[tokio::test]
async fn a_killed_worker_and_an_error_are_failures() {
    for exit in [
        "unexpected status",
        "unable to create CT 130 - no such volume",
    ] {
        let server = task_of(Duration::ZERO, exit, &["no content"]).await;
        let finished = task::wait(&server.client(), &upid(), LIMIT, |_| {})
            .await
            .expect("ends");
        assert_eq!(finished.log, Vec::<String>::new());
        assert_eq!(finished.ok(), Err(Error::Task(exit.into())));
    }
}

#[tokio::test]
async fn a_long_log_is_read_to_its_end() {
    let server = Server::start(|_, asked| match is_status(asked) {
        true => stopped("OK"),
        false => {
            let lines = vec!["x"; 1203];
            let start = asked
                .query
                .split('&')
                .find_map(|pair| pair.strip_prefix("start="));
            let start: usize = start.and_then(|start| start.parse().ok()).expect("a start");
            let rows = lines.iter().enumerate().skip(start).take(500);
            let rows: Vec<_> = rows
                .map(|(index, line)| serde_json::json!({"n": index + 1, "t": line}))
                .collect();
            data(&serde_json::Value::from(rows).to_string())
        }
    })
    .await;
    let finished = task::wait(&server.client(), &upid(), LIMIT, |_| {})
        .await
        .expect("ends");
    assert_eq!(finished.log.len(), 1203);
}

#[tokio::test]
async fn a_wait_outlives_resets_a_dead_node_and_a_proxy_that_gives_up() {
    let server = Server::start(|number, asked| match (number, is_status(asked)) {
        (0..5, _) => Act::Reset,
        (5..10, _) => answer(595, "No route to host", ""),
        (10..15, _) => answer(596, "Connection timed out", ""),
        (_, true) => stopped("OK"),
        (_, false) => log(&["TASK OK"], asked),
    })
    .await;
    let finished = task::wait(&server.client(), &upid(), LIMIT, |_| {})
        .await
        .expect("ends");
    assert_eq!(finished.end, TaskEnd::Ok);
}

#[tokio::test]
async fn the_deadline_ends_a_wait_and_says_what_was_last() {
    let server = Server::start(|_, _| running()).await;
    let begun = Instant::now();
    let limit = Duration::from_millis(400);
    let error = task::wait(&server.client(), &upid(), limit, |_| {})
        .await
        .expect_err("runs on");
    assert!(matches!(error, Error::Deadline { .. }), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(2));
    let server = Server::start(|_, _| answer(595, "No route to host", "")).await;
    let error = task::wait(&server.client(), &upid(), limit, |_| {})
        .await
        .expect_err("is away");
    assert!(error.to_string().contains("No route to host"), "{error}");
}

#[tokio::test]
async fn a_task_that_nobody_knows_is_said_at_once() {
    let body = r#"{"data":null,"message":"Parameter verification failed.\n","errors":{"upid":"no such task"}}"#;
    let server =
        Server::start(move |_, _| answer(400, "Parameter verification failed.", body)).await;
    let error = task::wait(&server.client(), &upid(), LIMIT, |_| {})
        .await
        .expect_err("unknown");
    assert!(error.is_not_found(), "{error:?}");
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn one_refusal_of_a_token_that_was_good_is_forgiven_and_two_are_not() {
    for (refusals, good) in [(1, true), (2, false)] {
        // Only looks count: how often the log is read meanwhile is a matter of time.
        let looks = AtomicUsize::new(0);
        let server = Server::start(move |_, asked| {
            if !is_status(asked) {
                return log(&["TASK OK"], asked);
            }
            match looks.fetch_add(1, Ordering::SeqCst) {
                0 => running(),
                look if look <= refusals => answer(401, "Authentication failed!", ""),
                _ => stopped("OK"),
            }
        })
        .await;
        let result = task::wait(&server.client(), &upid(), LIMIT, |_| {}).await;
        assert_eq!(result.is_ok(), good, "{result:?}");
    }
}

#[tokio::test]
async fn a_ticket_that_expires_during_a_wait_is_replaced() {
    let logins = AtomicUsize::new(0);
    let looks = AtomicUsize::new(0);
    let server = Server::start(move |_, asked| {
        if asked.is("POST", "/access/ticket") {
            let number = logins.fetch_add(1, Ordering::SeqCst) + 1;
            return data(&format!(
                r#"{{"ticket":"PVE:a@pve:T{number}","CSRFPreventionToken":"c"}}"#
            ));
        }
        let first = asked
            .header("cookie")
            .is_some_and(|cookie| cookie.ends_with("T1"));
        match (
            is_status(asked),
            looks.fetch_add(1, Ordering::SeqCst),
            first,
        ) {
            (_, 2.., true) => answer(401, "Authentication failed!", ""),
            (true, _, true) => running(),
            (true, _, false) => stopped("OK"),
            (false, ..) => log(&["TASK OK"], asked),
        }
    })
    .await;
    let client = server.client_as(Auth::login("a@pve", "geheim-genug"));
    let finished = task::wait(&client, &upid(), LIMIT, |_| {})
        .await
        .expect("ends");
    assert_eq!(finished.end, TaskEnd::Ok);
    assert_eq!(server.count("POST", "/access/ticket"), 2);
}

/// A server that loses the answer to the creation, and whose list of tasks is this.
async fn losing(act: fn() -> Act, tasks: &'static str) -> Server {
    Server::start(move |_, asked| {
        if asked.is("POST", "/nodes/pve2/lxc") {
            return act();
        }
        match asked.path.ends_with("/time") {
            true => data(r#"{"time":1727045000}"#),
            false => data(tasks),
        }
    })
    .await
}

#[tokio::test]
async fn a_creation_whose_answer_was_lost_is_found_and_not_made_twice() {
    // The second is older than the request, the third another's.
    const TASKS: &str = r#"[
        {"upid":"UPID:pve2:00001A2B:12345678:66F0A1B2:vzcreate:130:root@pam!book:"},
        {"upid":"UPID:pve2:00000001:12345678:00000001:vzcreate:130:root@pam!book:"},
        {"upid":"UPID:pve2:00000002:12345678:66F0A1B9:vzcreate:130:bob@pve:"}]"#;
    let lost: [fn() -> Act; 2] = [|| Act::Reset, || answer(596, "Connection timed out", "")];
    for act in lost {
        let server = losing(act, TASKS).await;
        let new = Guest::new(Kind::Lxc, "pve2", 130);
        let request = new.create([("ostemplate", "local:vztmpl/a.tar.zst")]);
        let created = guest::create(&server.client(), &new, &request, "vzcreate", "pve2").await;
        assert_eq!(created, Ok(Created::Task(upid())));
        assert_eq!(server.count("POST", "/nodes/pve2/lxc"), 1);
    }
}

#[tokio::test]
async fn a_task_is_found_again_by_its_guest_type_and_time() {
    // After a restart of who waited, only these are known.
    const TASKS: &str = r#"[
        {"upid":"UPID:pve2:00000003:12345678:66F0A1B0:vzcreate:130:root@pam!book:"},
        {"upid":"UPID:pve2:00001A2B:12345678:66F0A1B2:vzcreate:130:root@pam!book:"},
        {"upid":"UPID:pve2:00000001:12345678:00000001:vzcreate:130:root@pam!book:"},
        {"upid":"garbage"}]"#;
    let server = Server::start(|_, asked| match asked.path.ends_with("/tasks") {
        true => data(TASKS),
        false if is_status(asked) => stopped("OK"),
        false => log(&["one", "TASK OK"], asked),
    })
    .await;
    let client = server.client();
    let since = upid().start - 5;
    let found = task::find(&client, "pve2", 130, "vzcreate", since).await;
    let found = found.expect("reads").expect("is found");
    assert_eq!(found, upid());
    assert_eq!(
        server.asked()[0].query,
        "source=all&vmid=130&typefilter=vzcreate"
    );
    let later = task::find(&client, "pve2", 130, "vzcreate", upid().start + 1).await;
    assert_eq!(later, Ok(None));
    // Its name as a text is enough to wait on, with its log from the beginning.
    let again: Upid = found.as_str().parse().expect("a task");
    let finished = task::wait(&client, &again, LIMIT, |_| {}).await;
    let finished = finished.expect("ends");
    assert_eq!(
        (finished.end, finished.log),
        (TaskEnd::Ok, vec!["one".to_owned()])
    );
}

#[tokio::test]
async fn a_creation_of_which_nothing_is_found_is_an_error_and_not_made_again() {
    let server = losing(|| Act::Reset, "[]").await;
    let new = Guest::new(Kind::Lxc, "pve2", 130);
    let request = new.create([("ostemplate", "local:vztmpl/a.tar.zst")]);
    let error = guest::create(&server.client(), &new, &request, "vzcreate", "pve2").await;
    assert!(matches!(error, Err(Error::Lost(_))), "{error:?}");
    assert_eq!(server.count("POST", "/nodes/pve2/lxc"), 1);
}

#[tokio::test]
async fn a_number_that_another_took_is_no_error() {
    let server = losing(
        || crate::server::refused("CT 130 already exists on node 'pve2'"),
        "[]",
    )
    .await;
    let new = Guest::new(Kind::Lxc, "pve2", 130);
    let request = new.create([("ostemplate", "local:vztmpl/a.tar.zst")]);
    let created = guest::create(&server.client(), &new, &request, "vzcreate", "pve2").await;
    assert!(matches!(created, Ok(Created::Taken(_))), "{created:?}");
}

#[tokio::test]
async fn a_number_lost_in_a_race_is_followed_by_the_next() {
    let server = Server::start(|_, asked| {
        if asked.is("POST", "/nodes/pve2/lxc") {
            return match asked.body.contains("vmid=131") {
                true => data(&format!("\"{UPID}\"")),
                false => crate::server::refused("CT 130 already exists on node 'pve2'"),
            };
        }
        match asked.path.as_str() {
            "/api2/json/cluster/nextid" => data("\"100\""),
            "/api2/json/cluster/resources" => data("[]"),
            _ => data(r#"{"time":1}"#),
        }
    })
    .await;
    let client = server.client();
    let made = cluster::create_next(&client, 130..=139, "vzcreate", "pve2", |vmid| {
        let new = Guest::new(Kind::Lxc, "pve2", vmid);
        let request = new.create([("ostemplate", "local:vztmpl/a.tar.zst")]);
        (new, request)
    });
    let (guest, task) = made.await.expect("the second number");
    assert_eq!((guest.vmid, task), (131, upid()));
    assert_eq!(server.count("POST", "/nodes/pve2/lxc"), 2);
}

#[tokio::test]
async fn a_guest_that_is_in_no_list_is_absent_only_when_its_number_is_free() {
    let server = Server::start(|_, asked| match asked.query.as_str() {
        "vmid=200" => {
            let body = r#"{"data":null,"message":"Parameter verification failed.\n","errors":{"vmid":"VM 200 already exists\n"}}"#;
            answer(400, "Parameter verification failed.", body)
        }
        "vmid=201" => data("\"201\""),
        _ => data(r#"[{"type":"lxc","vmid":"130","node":"pve1","id":"lxc/130","status":"unknown"}]"#),
    })
    .await;
    let client = server.client();
    assert_eq!(cluster::place(&client, 200).await, Ok(Place::Hidden));
    assert_eq!(cluster::place(&client, 201).await, Ok(Place::Absent));
    let Ok(Place::At(listed)) = cluster::place(&client, 130).await else {
        panic!("a guest whose number is a text");
    };
    assert_eq!(listed.guest, Guest::new(Kind::Lxc, "pve1", 130));
}
