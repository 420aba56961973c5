//! Taking back: what was created goes in reverse, what was changed is as before, and nothing else is touched.

use std::time::{Duration, Instant};

use runbook::event::EventKind;
use runbook::outcome::State;
use runbook_lab::kube::{Fault, When};
use serde_json::json;

use crate::cluster::{Home, config_map, deployment, on, yaml};

#[test]
fn what_was_created_is_deleted_in_reverse() {
    let home = Home::new();
    let body = format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: shop}}\n---\n{}",
        config_map("motd", "x").replace("name: motd", "name: motd, namespace: shop")
    );
    let steps = yaml("shop", "cleanup: always", &body)
        + &yaml(
            "more",
            "cleanup: always\napply: {namespace: shop}\nexpect: {ready: true}",
            &deployment("web"),
        );
    let ran = home.book(&steps).run();
    assert_eq!(ran.state("shop"), State::Passed, "{}", ran.why("shop"));
    assert_eq!(ran.state("more"), State::Passed, "{}", ran.why("more"));
    assert_eq!(ran.undone(), ["more passed", "shop passed"]);
    assert_eq!(home.object("Namespace", "", "shop"), None);
    let registered: Vec<_> = ran
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::UndoRegistered(one) => Some((one.summary.clone(), one.data["own"].clone())),
            _ => None,
        })
        .collect();
    assert_eq!(
        registered[0].0,
        "delete Namespace shop, ConfigMap shop/motd"
    );
    assert_eq!(
        registered[0].1["objects"][1],
        json!({"apiVersion": "v1", "kind": "ConfigMap", "namespace": "shop", "name": "motd", "was": "absent"})
    );
}

#[test]
fn what_was_changed_gets_its_former_values_back() {
    let home = Home::new();
    home.apply_as("kubectl", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: motd, labels: {theirs: a}}\ndata: {text: theirs, keep: k}");
    let before = home.object("ConfigMap", "default", "motd").unwrap();
    let body = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: motd, labels: {ours: b}}\ndata: {text: ours, added: n}";
    let steps = yaml("motd", "apply: {force: true}\ncleanup: always", body);
    let ran = home.book(&steps).run();
    assert_eq!(ran.state("motd"), State::Passed, "{}", ran.why("motd"));
    assert_eq!(ran.undone(), ["motd passed"]);
    let after = home.object("ConfigMap", "default", "motd").unwrap();
    assert_eq!(after["data"], before["data"]);
    assert_eq!(after["metadata"]["labels"], before["metadata"]["labels"]);
    // Its own undo is no conflict for the next run.
    let again = home
        .book(&yaml("motd", "apply: {force: false}", body))
        .run();
    assert_eq!(again.state("motd"), State::Passed, "{}", again.why("motd"));
}

#[test]
fn a_secrets_former_values_come_back_and_are_in_no_record() {
    let home = Home::new();
    home.apply_as(
        "runbook-book",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: login}\nstringData: {password: altes-wort}",
    );
    let body = "apiVersion: v1\nkind: Secret\nmetadata: {name: login}\nstringData: {password: '{{ secret.word }}'}";
    let book = home.book(&yaml(
        "login",
        "secrets: [word]\napply: {force: true}\ncleanup: always",
        body,
    ));
    let ran = book.run();
    assert_eq!(ran.state("login"), State::Passed, "{}", ran.why("login"));
    assert_eq!(ran.undone(), ["login passed"]);
    let after = home.object("Secret", "default", "login").unwrap();
    assert_eq!(after["data"]["password"], "YWx0ZXMtd29ydA==");
    for word in [
        "altes-wort",
        "YWx0ZXMtd29ydA",
        "geheimes-wort",
        "Z2VoZWltZXMtd29yd",
    ] {
        assert!(!ran.journal().contains(word), "{word}");
        assert_eq!(found(&book.directory(), word), None);
    }
}

/// The first file below a directory that holds a text.
fn found(directory: &std::path::Path, text: &str) -> Option<String> {
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            if let Some(found) = found(&path, text) {
                return Some(found);
            }
        } else if String::from_utf8_lossy(&std::fs::read(&path).unwrap()).contains(text) {
            return Some(path.display().to_string());
        }
    }
    None
}

#[test]
fn patches_lead_back() {
    let home = Home::new();
    home.apply_as("kubectl", &deployment("web"));
    let body = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, annotations: {a: b}}\nspec: {replicas: 3}";
    let ran = home
        .book(&yaml(
            "scale",
            "apply: {patch: merge}\ncleanup: always",
            body,
        ))
        .run();
    assert_eq!(ran.state("scale"), State::Passed, "{}", ran.why("scale"));
    assert_eq!(ran.undone(), ["scale passed"]);
    let after = home.object("Deployment", "default", "web").unwrap();
    assert_eq!(after["spec"]["replicas"], 1);
    assert_eq!(after["metadata"]["annotations"]["a"], json!(null));
}

#[test]
fn what_was_pruned_comes_back_and_the_record_goes_with_what_it_records() {
    let home = Home::new();
    let both = format!("{}---\n{}", config_map("a", "one"), config_map("b", "two"));
    let steps = yaml("maps", "apply: {prune: true}\ncleanup: always", &both);
    let ran = home.book(&steps).run();
    assert_eq!(ran.undone(), ["maps passed"], "{}", ran.why("maps"));
    assert_eq!(home.names("ConfigMap", "default"), ["kube-root-ca.crt"]);

    home.book(&yaml("maps", "apply: {prune: true}", &both))
        .run();
    let ran = home
        .book(&yaml(
            "maps",
            "apply: {prune: true}\ncleanup: always",
            &config_map("a", "one"),
        ))
        .run();
    assert_eq!(ran.state("maps"), State::Passed, "{}", ran.why("maps"));
    assert_eq!(ran.undone(), ["maps passed"]);
    assert_eq!(
        home.object("ConfigMap", "default", "b").unwrap()["data"]["text"],
        "two"
    );
}

#[test]
fn what_another_made_anew_under_the_same_name_is_not_deleted() {
    let home = Home::new();
    let steps = yaml("motd", "cleanup: always", &config_map("motd", "ours"));
    let book = home.book(&steps);
    let (client, server) = (home.client.clone(), home.server.cluster().clone());
    drop(server);
    // Deleted and made anew by somebody else between the step and its undo.
    let ran = book.run_with(runbook_runner::execute::Cancel::new(), move |event| {
        if let EventKind::StepFinished(_) = &event.kind {
            let client = client.clone();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async move {
                    let access = client;
                    let resource = runbook_k8s::Resource::config_map();
                    let key = runbook_k8s::Key::new("", "ConfigMap", Some("default"), "motd");
                    let propagation = runbook_k8s::change::Propagation::Background;
                    runbook_k8s::change::delete(&access, &resource, &key, None, propagation).await.unwrap();
                    let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "motd"}, "data": {"text": "theirs"}});
                    access.send(&runbook_k8s::Request::create(&resource, Some("default"), body)).await.unwrap();
                });
            })
            .join()
            .unwrap();
        }
    });
    assert_eq!(ran.undone(), ["motd passed"]);
    assert_eq!(
        home.object("ConfigMap", "default", "motd").unwrap()["data"]["text"],
        "theirs"
    );
}

#[test]
fn what_a_finalizer_holds_fails_the_undo_by_name() {
    let home = Home::new();
    let body =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: motd, finalizers: [example.com/hold]}";
    let steps = yaml("motd", "cleanup: always\nundo: [own]\ntimeout: 1s", body);
    let book = home.book(&steps);
    let ran = std::thread::scope(|scope| {
        let running = scope.spawn(|| book.run());
        // Undo waits two minutes at least: whoever holds it lets it go a moment later.
        loop {
            let held = home.object("ConfigMap", "default", "motd");
            if held.is_some_and(|map| map["metadata"]["deletionTimestamp"].is_string()) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        home.release("motd");
        running.join().unwrap()
    });
    assert_eq!(ran.undone(), ["motd passed"]);
    assert_eq!(home.object("ConfigMap", "default", "motd"), None);
}

#[test]
fn a_job_goes_with_its_pods() {
    let home = crate::programs::home();
    let steps = on(
        "smoke",
        "job: {image: busybox, command: [sh, -c, echo hello]}\ncleanup: always",
    );
    let ran = home.book(&steps).run();
    assert_eq!(ran.undone(), ["smoke passed"], "{}", ran.why("smoke"));
    assert_eq!(home.names("Job", "default"), Vec::<String>::new());
    assert_eq!(home.names("Pod", "default"), Vec::<String>::new());
}

/// A run of a Job that sleeps, stopped as soon as something is so.
fn stopped_when(home: &Home, is_so: impl Fn(&Home) -> bool) -> crate::book_test::Ran {
    let steps = on(
        "smoke",
        "job: {image: busybox, command: [sh, -c, 'exec sleep 300']}\ncleanup: always\ntimeout: 5m",
    );
    run_stopped_when(home, &steps, is_so)
}

fn run_stopped_when(
    home: &Home,
    steps: &str,
    is_so: impl Fn(&Home) -> bool,
) -> crate::book_test::Ran {
    let cancel = runbook_runner::execute::Cancel::new();
    let book = home.book(steps);
    let stop = cancel.clone();
    std::thread::scope(|scope| {
        let running = scope.spawn(|| book.run_with(cancel, |_| {}));
        let until = Instant::now() + Duration::from_secs(60);
        while !is_so(home) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        stop.stop();
        running.join().unwrap()
    })
}

#[test]
fn a_job_that_runs_when_the_run_is_stopped_goes_too() {
    let home = crate::programs::home();
    let ran = stopped_when(&home, |home| !home.names("Pod", "default").is_empty());
    assert_eq!(ran.state("smoke"), State::Aborted);
    assert_eq!(ran.undone(), ["smoke passed"]);
    assert_eq!(home.names("Job", "default"), Vec::<String>::new());
    assert_eq!(home.names("Pod", "default"), Vec::<String>::new());
}

#[test]
fn a_job_whose_creation_is_under_way_when_the_run_is_stopped_goes_too() {
    let home = crate::programs::home();
    let faults = &home.server.cluster().faults;
    faults.plan(posts_of_jobs(), Fault::Slow(Duration::from_secs(1)));
    let ran = stopped_when(&home, |_| faults.struck() > 0);
    assert_eq!(ran.state("smoke"), State::Aborted);
    assert_eq!(ran.undone(), ["smoke passed"]);
    // It was made after the stop, if at all: nobody makes it later.
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(home.names("Job", "default"), Vec::<String>::new());
}

/// A step that fails, with a Job that sleeps in one of its keys.
fn with_a_job_in(key: &str, timeout: &str) -> String {
    let job = "{job: {image: busybox, command: [sh, -c, 'exec sleep 300']}}";
    on(
        "web",
        &format!("get: {{kind: ConfigMap, name: nothing}}\n{key}: {job}\ntimeout: {timeout}"),
    )
}

#[test]
fn a_job_beside_a_step_goes_when_the_run_is_stopped() {
    for key in ["repair", "diagnose"] {
        let home = crate::programs::home();
        let has_pod = |home: &Home| !home.names("Pod", "default").is_empty();
        let ran = run_stopped_when(&home, &with_a_job_in(key, "5m"), has_pod);
        assert_ne!(ran.state("web"), State::Passed, "{key}");
        assert_eq!(home.names("Job", "default"), Vec::<String>::new(), "{key}");
    }
    let home = crate::programs::home();
    let undo = "undo: {job: {image: busybox, command: [sh, -c, 'exec sleep 300']}}";
    let steps = yaml(
        "map",
        &format!("{undo}\ncleanup: always\ntimeout: 5m"),
        &config_map("map", "x"),
    );
    let cancel = runbook_runner::execute::Cancel::new();
    let (book, stop) = (home.book(&steps), cancel.clone());
    let ran = std::thread::scope(|scope| {
        let running = scope.spawn(|| book.run_with(cancel, |_| {}));
        let until = Instant::now() + Duration::from_secs(60);
        while home.names("Pod", "default").is_empty() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        // What takes back goes on at the first request to stop.
        stop.stop_now();
        running.join().unwrap()
    });
    assert_eq!(ran.undone(), ["map aborted"]);
    assert_eq!(home.names("Job", "default"), Vec::<String>::new());
}

#[test]
fn a_job_beside_a_step_goes_when_its_time_is_over_be_it_in_its_creation() {
    for fault in [false, true] {
        let home = crate::programs::home();
        if fault {
            let slow = Fault::Slow(Duration::from_secs(4));
            home.server.cluster().faults.plan(posts_of_jobs(), slow);
        }
        let ran = home.book(&with_a_job_in("repair", "2s")).run();
        assert_eq!(ran.state("web"), State::Failed, "{}", ran.why("web"));
        assert_eq!(home.names("Job", "default"), Vec::<String>::new());
    }
}

#[test]
fn a_job_whose_creation_was_not_answered_is_found_by_its_mark() {
    let home = crate::programs::home();
    home.server
        .cluster()
        .faults
        .plan(posts_of_jobs(), Fault::Reset { done: true });
    let steps = on(
        "smoke",
        "job: {image: busybox, command: [sh, -c, 'exec sleep 300']}\ncleanup: always",
    );
    let ran = home.book(&steps).run();
    assert_eq!(ran.state("smoke"), State::Failed, "{}", ran.why("smoke"));
    assert_eq!(ran.undone(), ["smoke passed"]);
    assert_eq!(home.names("Job", "default"), Vec::<String>::new());
}

fn posts_of_jobs() -> When {
    When {
        method: Some("POST".into()),
        path: Some("/jobs".into()),
        ..When::default()
    }
}

#[test]
fn what_was_patched_and_is_gone_or_another_by_then_needs_nothing() {
    let home = Home::new();
    home.apply_as("kubectl", &deployment("web"));
    home.apply_as("kubectl", &deployment("db"));
    let patch = |name: &str| {
        let body = format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec: {{replicas: 3}}"
        );
        yaml(name, "apply: {patch: merge}\ncleanup: always", &body)
    };
    let waits = crate::book_test::bash(
        "id: waits\ntimeout: 1m",
        "touch patched; for n in $(seq 300); do test -e free && break; sleep 0.1; done; test -e free",
    );
    let book = home.book(&(patch("web") + &patch("db") + &waits));
    let ran = std::thread::scope(|scope| {
        let running = scope.spawn(|| book.run());
        let until = Instant::now() + Duration::from_secs(30);
        while !book.root().join("patched").exists() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        // Somebody deletes both, and makes one of them anew, before anything is taken back.
        for name in ["web", "db"] {
            home.delete("Deployment", "default", name);
        }
        let anew = deployment("db").replace("replicas: 1", "replicas: 3");
        home.apply_as("kubectl", &anew);
        std::fs::write(book.root().join("free"), "").unwrap();
        running.join().unwrap()
    });
    for step in ["web", "db", "waits"] {
        assert_eq!(ran.state(step), State::Passed, "{step}: {}", ran.why(step));
    }
    assert_eq!(ran.undone(), ["db passed", "web passed"]);
    let db = home.object("Deployment", "default", "db").unwrap();
    assert_eq!(db["spec"]["replicas"], 3);
    assert_eq!(home.object("Deployment", "default", "web"), None);
}
