//! What the lab's network answers, by the real program: stand-ins, SSH and the API at the machines' own addresses, names; and
//! what it does not.

use runbook_lab::isolate;
use serde_json::{Value, json};

use crate::book::{TestBook, text};

const INVENTORY: &str = "\
nodes:
  pve1: {address: 192.168.4.11}
guests:
  web:
    kind: lxc
    vmid: 101
    node: pve1
    address: 192.168.4.53
    facts: {lab: {units: [grafana]}}
    stand-ins:
      3000: {needs: grafana, table: lab/grafana.yaml}
      7: {needs: web, program: lab/echo}
      6443: {needs: Deployment/default/api, table: lab/grafana.yaml}
  off: {kind: lxc, vmid: 102, node: pve1, address: 192.168.4.54, facts: {lab: {state: stopped}}}
hosts:
  nas: {address: 192.168.4.20, user: admin, port: 22, become: sudo}
vars: {domain: home.example, node: pve1}
";
const TABLE: &str = "- {method: GET, path: /api/health, header: {content-type: application/json}, body: '{\"database\": \"ok\"}'}\n\
    - {path: '/.*', status: 503, body: 42}\n";
const ECHO: &str = "#!/bin/sh\nread line\necho \"$(hostname) heard $line\"\n";

fn book(chapter: &str) -> TestBook {
    let book = TestBook::new(&format!("# Guide\n\n## S\n\n{chapter}"));
    book.write("inventory.yaml", INVENTORY);
    book.write("lab/grafana.yaml", TABLE);
    book.write("lab/echo", ECHO);
    book
}

/// A typed step.
fn typed(keys: &str) -> String {
    format!("```runbook\n{keys}\n```\n\n")
}

/// A script.
fn script(options: &str, text: &str) -> String {
    let options: String = options.lines().map(|line| format!("#| {line}\n")).collect();
    format!("```bash runbook\n{options}{text}\n```\n\n")
}

/// Runs the book in the lab; the step's events, by their names, and the last event. `None`, said aloud, without isolation.
fn verify(book: &TestBook) -> Option<(impl Fn(&str) -> Value, Value)> {
    if let Err(why) = isolate::available_with(env!("CARGO_BIN_EXE_runbook").as_ref()) {
        eprintln!("skipped: {why}");
        return None;
    }
    let (_, events) = book.events(&["verify", "--json"]);
    let last = events.last().cloned().expect("an end");
    let step = move |name: &str| {
        let is_it = |event: &&Value| {
            event["event"] == "step-finished" && text(&event["id"]).ends_with(&format!("/{name}"))
        };
        let found = events.iter().find(is_it);
        found
            .cloned()
            .unwrap_or_else(|| panic!("{name}: {events:#?}"))
    };
    Some((step, last))
}

#[test]
fn a_stand_in_answers_while_its_unit_runs_and_is_counted_apart() {
    let health = |id: &str, more: &str| {
        typed(&format!(
            "id: {id}\nhttp: {{url: 'http://web.home.example:3000/api/health'}}\n{more}"
        ))
    };
    let service = |id: &str, state: &str| {
        typed(&format!(
            "id: {id}\non: lxc/web\nservice: {{name: grafana, state: {state}}}"
        ))
    };
    let book = book(
        &[
            health("first", "expect: {status: 200, json: {$.database: ok}}"),
            service("stop", "stopped"),
            typed("id: closed\ntcp: {host: web, port: 3000}\nexpect: {open: false}"),
            service("start", "running"),
            health("again", "expect: {body: {contains: ok}}"),
            typed("id: other\nhttp: {url: 'http://192.168.4.53:3000/x'}\nexpect: {status: 503, body: '42'}"),
            script(
                "id: inside\non: node/pve1\neffect: read\nexpect: {stdout: {contains: database}}",
                "curl -sf http://web:3000/api/health",
            ),
            typed("id: there\non: host/nas\nhttp: {url: 'http://web:3000/api/health'}\nexpect: {status: 200}"),
            script(
                "id: program\non: node/pve1\neffect: read\nexpect: {stdout: web heard hello}",
                "exec 3<>/dev/tcp/web/7; echo hello >&3; cat <&3",
            ),
            script("id: own\non: lxc/web\neffect: read", "true"),
        ]
        .concat(),
    );
    let Some((step, last)) = verify(&book) else {
        return;
    };
    for (name, stand_in) in [
        ("first", true),
        ("stop", false),
        ("closed", true),
        ("start", false),
        ("again", true),
        ("other", true),
        ("inside", true),
        ("there", true),
        ("program", true),
        ("own", false),
    ] {
        let event = step(name);
        assert_eq!(event["state"], "passed", "{name}: {event:#}");
        assert_eq!(event["stand_in"], stand_in, "{name}: {event:#}");
        for check in event["checks"].as_array().expect("checks") {
            assert_eq!(check["stand_in"], stand_in, "{name}: {check}");
        }
    }
    assert_eq!(last["counts"], json!({"passed": 10}));
    assert_eq!(last["stand_in"], 7);
    let said = book.run(&["verify"]);
    assert!(said.out.contains("; 7 by a stand-in"), "{}", said.out);
    let history = std::fs::read_to_string(book.path(".runbook/history.jsonl")).expect("a history");
    let line: Value = serde_json::from_str(history.lines().next().expect("a line")).expect("JSON");
    assert_eq!(line["steps"][0]["standing"], "stand-in", "{line:#}");
}

#[test]
fn the_labs_own_services_answer_at_the_machines_addresses_and_names() {
    let book = book(
        &[
            typed("id: ssh\ntcp: {host: pve1, port: 22}"),
            typed("id: api\nhttp: {url: 'https://192.168.4.11:8006/api2/json/version', insecure: true}\nexpect: {status: 401}"),
            typed("id: certificate\ntls: {host: pve1, port: 8006}\nexpect: {certificate: {san: {contains: 192.168.4.11}, trusted: false}}"),
            typed("id: name\ndns: {name: nas.home.example}\nexpect: {answer: [192.168.4.20], status: NOERROR}"),
            typed("id: back\ndns: {name: 192.168.4.20, type: PTR}\nexpect: {answer: [nas.home.example]}"),
            typed("id: down\ntcp: {host: off, port: 22}\nexpect: {open: false}"),
            script(
                "id: listener\non: host/nas\nbackground: {tcp: {host: nas, port: 8080}, on: local}",
                "exec python3 -m http.server 8080",
            ),
            typed("id: listens\nhttp: {url: 'http://nas:8080/'}\nexpect: {status: 200}"),
            // All machines share one network; another one's listener is not this one's.
            typed("id: not-here\ntcp: {host: pve1, port: 8080}"),
            typed("id: loopback\non: host/nas\nhttp: {url: 'http://localhost:8080/'}\nexpect: {status: 200}"),
            typed("id: not-there\non: node/pve1\nhttp: {url: 'http://localhost:8080/'}"),
        ]
        .concat(),
    );
    let Some((step, last)) = verify(&book) else {
        return;
    };
    for name in [
        "ssh",
        "api",
        "certificate",
        "name",
        "back",
        "down",
        "listener",
        "listens",
        "loopback",
    ] {
        let event = step(name);
        assert_eq!(event["state"], "passed", "{name}: {event:#}");
        assert_eq!(event["stand_in"], false, "{name}");
    }
    for (name, place) in [("not-here", "pve1:8080"), ("not-there", "localhost:8080")] {
        let event = step(name);
        assert_eq!(event["state"], "skipped", "{name}: {event:#}");
        assert_eq!(
            event["reason"],
            format!("the lab serves nothing at `{place}`")
        );
    }
    assert_eq!(last["stand_in"], 0);
}

#[test]
fn what_nobody_serves_is_skipped_by_name() {
    let book = book(
        &[
            typed("id: port\ntcp: {host: nas, port: 23}"),
            typed("id: name\nhttp: {url: 'https://grafana.home.example/'}"),
            typed("id: neighbour\ntcp: {host: 192.168.4.77, port: 80}"),
            typed("id: names\ndns: {name: grafana.home.example}"),
            typed("id: mail\ndns: {name: nas.home.example, type: MX}"),
            typed("id: server\ndns: {name: example.com, server: 192.168.4.1}"),
            typed("id: unable\nhttp: {url: 'http://web:6443/'}"),
            typed("id: placed\nhttp: {url: 'http://example.com/', resolve: {example.com: 192.168.4.20}}"),
            typed("id: outside\non: node/pve1\nhttp: {url: 'https://example.com/'}"),
            typed("id: there\non: node/pve1\ntcp: {host: nas, port: 23}"),
        ]
        .concat(),
    );
    let Some((step, _)) = verify(&book) else {
        return;
    };
    for (name, place) in [
        ("port", "`nas:23`"),
        ("name", "`grafana.home.example`"),
        ("neighbour", "`192.168.4.77:80`"),
        ("names", "`grafana.home.example`"),
        ("mail", "`nas.home.example`"),
        ("server", "`192.168.4.1`"),
        (
            "unable",
            "`web:6443`: its stand-in needs `Deployment/default/api`, which the lab does not have",
        ),
        ("placed", "`192.168.4.20:80`"),
        ("outside", "`example.com`"),
        ("there", "`nas:23`"),
    ] {
        let event = step(name);
        assert_eq!(event["state"], "skipped", "{name}: {event:#}");
        assert_eq!(
            event["reason"],
            format!("the lab serves nothing at {place}"),
            "{name}"
        );
    }
}

#[test]
fn a_broken_stand_in_is_an_error_with_its_file() {
    let book = book(&typed("id: port\ntcp: {host: pve1, port: 22}"));
    book.write("lab/grafana.yaml", "- {path: '(', status: 200}\n");
    let Some((step, last)) = verify(&book) else {
        return;
    };
    let event = step("port");
    assert_eq!(
        (&event["state"], &last["exit_code"]),
        (&json!("failed"), &json!(4))
    );
    let message = text(&event["message"]);
    assert!(
        message.contains("lab/grafana.yaml") && message.contains("regular expression"),
        "{message}"
    );
}

#[test]
fn local_scripts_reach_the_labs_machines_by_openssh_and_nobody_else() {
    if std::process::Command::new("scp")
        .arg("-h")
        .output()
        .is_err()
    {
        eprintln!("skipped: this machine has no `scp`");
        return;
    }
    let address = "{{ inventory.nodes.pve1.address }}";
    let book = book(
        &[
            script(
                "id: version\neffect: read\nexpect: {stdout: {contains: pve-manager}}",
                &format!("ssh root@{address} pveversion"),
            ),
            script(
                "id: named\neffect: read\nenv: {NODE: '{{ vars.node }}'}\nexpect: {stdout: pve1}",
                "ssh -p 22 \"$NODE\" hostname",
            ),
            script(
                "id: copy\neffect: read",
                &format!(
                    "echo there > a; scp -q a {address}:/tmp/a; ssh {address} cat /tmp/a | grep there; \
                     ssh {address} 'mkdir /tmp/d && cp /tmp/a /tmp/d/'; scp -qr {address}:/tmp/d . ; grep there d/a; \
                     printf 'get /tmp/a b\\nmkdir /tmp/e\\nput a /tmp/e/\\n' | sftp -q -b - {address}; grep there b; \
                     ssh {address} grep there /tmp/e/a"
                ),
            ),
            script(
                "id: stranger\neffect: read\nexpect: {exit: 255, stderr: {contains: 'the lab serves no such host: github.com'}}",
                "ssh git@github.com true",
            ),
            script(
                "id: configuration\neffect: read\nexpect: {exit: 255, stderr: {contains: leave `-F` out}}",
                "ssh -F /dev/null example.com true",
            ),
            script("id: kept\neffect: read", "ssh PVE1 true"),
        ]
        .concat(),
    );
    let Some((step, _)) = verify(&book) else {
        return;
    };
    for name in ["version", "named", "copy", "stranger", "configuration"] {
        let event = step(name);
        assert_eq!(event["state"], "passed", "{name}: {event:#}");
    }
    let kept = step("kept");
    assert_eq!(kept["state"], "skipped", "{kept:#}");
    assert!(
        text(&kept["reason"]).contains("it names `pve1`"),
        "{kept:#}"
    );
}

#[test]
fn a_node_downloads_what_another_host_of_the_lab_serves() {
    let sum = |text: &str| -> String {
        let digest = <sha2::Sha256 as sha2::Digest>::digest(text.as_bytes());
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let image = |id: &str, url: &str, sum: &str, more: &str| {
        typed(&format!(
            "id: {id}\nneeds: []\non: node/pve1\nimage: {{storage: local, kind: iso, url: '{url}', checksum: 'sha256:{sum}'}}\n{more}"
        ))
    };
    let right = sum("an installer\n");
    let book = book(
        &[
            image(
                "right",
                "http://nas.home.arpa/iso/small.iso",
                &right,
                "expect: {size: 13, volume: 'local:iso/small.iso'}",
            ),
            image("again", "http://nas.home.arpa/iso/small.iso", &right, ""),
            image(
                "by-address",
                "http://192.168.4.20/iso/other.iso",
                &right,
                "expect: {size: 13}",
            ),
            image(
                "wrong",
                "http://nas.home.arpa/iso/wrong.iso",
                &sum("another"),
                "",
            ),
            image("missing", "http://nas.home.arpa/none/gone.iso", &right, ""),
            image("nobody", "http://nas.home.arpa:8081/iso/x.iso", &right, ""),
            image("nameless", "http://nowhere.home.arpa/iso/y.iso", &right, ""),
            image("tls", "https://nas.home.arpa/iso/z.iso", &right, ""),
            image(
                "elsewhere",
                "https://images.example.org/iso/far.iso",
                &right,
                "",
            ),
            script(
                "id: curl\nneeds: []\non: node/pve1\neffect: read\nexpect: {stdout: an installer}",
                "curl -sf http://nas.home.arpa/iso/small.iso",
            ),
        ]
        .concat(),
    );
    let inventory = INVENTORY.replace(
        "port: 22, become: sudo}",
        "port: 22, become: sudo, stand-ins: {80: {table: lab/files.yaml}}}",
    );
    book.write("inventory.yaml", inventory);
    book.write(
        "lab/files.yaml",
        "- {method: GET, path: '/iso/.*', body: \"an installer\\n\"}\n",
    );
    let Some((step, last)) = verify(&book) else {
        return;
    };
    for (name, state, stand_in, said) in [
        ("right", "passed", true, ""),
        ("again", "passed", false, ""),
        ("by-address", "passed", true, ""),
        ("wrong", "failed", true, "checksum"),
        ("missing", "failed", true, "download failed"),
        (
            "nobody",
            "skipped",
            false,
            "the lab serves nothing at `nas.home.arpa:8081`",
        ),
        (
            "nameless",
            "skipped",
            false,
            "the lab serves nothing at `nowhere.home.arpa`",
        ),
        ("tls", "skipped", false, "by `http` only"),
        ("elsewhere", "passed", false, ""),
        ("curl", "passed", true, ""),
    ] {
        let event = step(name);
        assert_eq!(event["state"], state, "{name}: {event:#}");
        assert_eq!(event["stand_in"], stand_in, "{name}: {event:#}");
        let told = ["reason", "message"]
            .map(|part| text(&event[part]))
            .concat();
        assert!(told.contains(said), "{name}: {told}");
    }
    assert_eq!(step("right")["changed"], true);
    assert_eq!(step("nobody")["changed"], false);
    assert_eq!(last["stand_in"], 5);
}

#[test]
fn who_used_a_stand_in_is_told_from_those_that_ran_meanwhile() {
    let each = |id: &str, ask: &str| {
        script(
            &format!(
                "id: {id}\non: node/pve1\neffect: read\nneeds: []\ntimeout: 60s\neach: {{who: [asks, waits]}}"
            ),
            &format!(
                "f=/root/{id}; : > $f.{{{{ who }}}}\n\
                 for n in $(seq 300); do test -e $f.asks -a -e $f.waits && break; sleep 0.1; done\n\
                 if test {{{{ who }}}} = asks; then {ask} >/dev/null; : > $f.done; fi\n\
                 for n in $(seq 300); do test -e $f.done && break; sleep 0.1; done; test -e $f.done"
            ),
        )
    };
    let book = book(
        &[
            each("told", "curl -sf http://web:3000/api/health"),
            // Who hides what it was started with cannot be told from the other.
            each("hidden", "env -i /usr/bin/curl -sf http://web:3000/api/health"),
            typed("id: probe\nneeds: []\neach: {path: [/api/health, /x]}\nhttp: {url: 'http://web:3000{{ path }}'}\nexpect: {status: {at-least: 200}}"),
        ]
        .concat(),
    );
    let Some((step, _)) = verify(&book) else {
        return;
    };
    for (name, stand_in) in [
        ("told@asks", true),
        ("told@waits", false),
        ("hidden@asks", true),
        ("hidden@waits", true),
        ("probe", true),
    ] {
        let event = step(name);
        assert_eq!(event["state"], "passed", "{name}: {event:#}");
        assert_eq!(event["stand_in"], stand_in, "{name}: {event:#}");
    }
}
