//! Clusters of the lab, by the real program: pods as targets, `kubectl` of local scripts, what answers at a load balancer's address,
//! and Flux with a git of its own.

use std::process::Command;

use runbook_lab::isolate;
use serde_json::{Value, json};

use crate::book::TestBook;
use crate::helper::{ended, told, typed};

const INVENTORY: &str = "\
nodes:
  pve1: {address: 192.168.4.11}
guests:
  k3s1: {kind: vm, vmid: 201, node: pve1, exec: agent, address: 192.168.4.201}
clusters:
  home:
    facts: {lab: {load-balancers: 192.168.4.80-192.168.4.90, flux: FLUX}}
    stand-ins: {80: {needs: Service/shop/web, table: lab/web.yaml}}
";
const OBJECTS: &str = "\
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {type: LoadBalancer, selector: {app: web}, ports: [{name: http, port: 80}, {name: other, port: 81}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: nginx, env: [{name: GREETING, value: hello}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: named, namespace: shop}
spec: {containers: [{name: one, image: nginx}, {name: two, image: nginx}]}
";

fn book(chapter: &str, flux: bool) -> TestBook {
    let book = TestBook::new(&format!("# Guide\n\n## S\n\n{chapter}"));
    book.write(
        "inventory.yaml",
        INVENTORY.replace("FLUX", &flux.to_string()),
    );
    book.write("lab/home.yaml", OBJECTS);
    book.write("lab/web.yaml", "- {path: /, body: welcome}\n");
    book
}

/// A script.
fn step(options: &str, text: &str) -> String {
    let options: String = options.lines().map(|line| format!("#| {line}\n")).collect();
    format!("```bash runbook\n{options}{text}\n```\n\n")
}

/// Runs the book in the lab: the exit code and the events.
fn verify(book: &TestBook) -> (i32, Vec<Value>) {
    let (code, events) = book.events(&["verify", "--json"]);
    assert!(!events.is_empty(), "{code}: {}", book.run(&["check"]).err);
    (code, events)
}

/// Whether scripts on the lab's machines can run here; said aloud where not.
fn is_isolated() -> bool {
    let found = isolate::available_with(env!("CARGO_BIN_EXE_runbook").as_ref());
    if let Err(why) = &found {
        eprintln!("skipped: {why}");
    }
    found.is_ok()
}

/// Whether there is such a program here; said aloud where not.
fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--help").output().is_ok();
    if !found {
        eprintln!("skipped: there is no {program}");
    }
    found
}

/// The states of a run, as far as they are expected; all that differs is told.
fn expect(events: &[Value], expected: &[(&str, &str)]) {
    let ended = ended(events);
    let wrong: Vec<String> = expected
        .iter()
        .filter(|(id, _)| ended.contains_key(*id) || panic!("{id}: {events:#?}"))
        .filter(|(id, state)| ended[*id]["state"] != *state)
        .map(|(id, state)| format!("{id} is not {state}: {}", told(&ended[*id])))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn scripts_edits_and_probes_run_in_a_pod() {
    if !is_isolated() {
        return;
    }
    let web = "on: pod/shop/app=web\nretry: 20s";
    let chapter = [
        step(
            &format!(
                "id: bash\n{web}\neffect: read\nexpect: {{stdout: {{matches: '^hello web-'}}}}"
            ),
            "echo $GREETING $(uname -n)",
        ),
        typed(
            "id: code\non: pod/shop/app=web\neffect: read\nexpect: {exit: 3, stderr: sorry}\nsh: echo sorry >&2; exit 3",
        ),
        typed(
            "id: python\non: pod/shop/app=web\neffect: read\nexpect: {json: {$.a: 1}}\npython: |\n  print('{\"a\": 1}')",
        ),
        typed("id: name\non: pod/shop/named\neffect: read\nexpect: {stdout: named}\nsh: uname -n"),
        typed(
            "id: file\non: pod/shop/app=web\nfile: {path: /etc/motd, content: \"welcome\\n\", mode: '0640'}",
        ),
        typed("id: line\non: pod/shop/app=web\nline: {path: /etc/motd, line: to the lab}"),
        typed(
            "id: read\non: pod/shop/app=web\neffect: read\nexpect: {stdout: \"welcome\\nto the lab\"}\nsh: cat /etc/motd",
        ),
        typed(
            "id: http\non: pod/shop/app=web\nhttp: {url: 'http://192.168.4.80/'}\nexpect: {body: welcome}",
        ),
        typed("id: tcp\non: pod/shop/app=web\ntcp: {host: pve1, port: 22}"),
        typed("id: lacks\non: pod/shop/app=web\neffect: read\nsh: psql -c 'select 1'"),
        typed(
            "id: detached\non: pod/shop/app=web\ndetach: true\nexpect: {stdout: done}\nsh: sleep 0.2; echo done",
        ),
        typed("id: slow\non: pod/shop/app=web\nneeds: []\ntimeout: 1s\nsh: echo begun; sleep 600"),
        typed(
            "id: gone\non: pod/shop/app=web\nneeds: []\neffect: read\nexpect: {stdout: '0'}\nsh: |\n  for file in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$file 2>/dev/null; echo; done | grep -c '^sleep 600' || true",
        ),
        typed(
            "id: server\non: pod/shop/app=web\nneeds: []\nbackground: test -e /tmp/up\nsh: touch /tmp/up; exec sleep 700",
        ),
        typed(
            "id: serves\non: pod/shop/app=web\nneeds: [server]\neffect: read\nsh: |\n  for file in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$file 2>/dev/null; echo; done | grep '^sleep 700'",
        ),
        typed("id: unserved\non: pod/shop/app=web\nneeds: []\nbackground: 'false'\nsh: postgres"),
        typed("id: none\non: pod/shop/app=none\nneeds: []\nsh: 'true'"),
        typed("id: nowhere\non: pod/shop/nobody\nneeds: []\nsh: 'true'"),
    ];
    let book = book(&chapter.concat(), false);
    let (code, events) = verify(&book);
    expect(
        &events,
        &[
            ("bash", "passed"),
            ("code", "passed"),
            ("python", "passed"),
            ("name", "passed"),
            ("file", "passed"),
            ("line", "passed"),
            ("read", "passed"),
            ("http", "passed"),
            ("tcp", "passed"),
            ("lacks", "skipped"),
            ("detached", "passed"),
            ("slow", "timed-out"),
            ("gone", "passed"),
            ("server", "passed"),
            ("serves", "passed"),
            ("unserved", "skipped"),
            ("none", "failed"),
            ("nowhere", "failed"),
        ],
    );
    let ended = ended(&events);
    for (id, why) in [
        ("lacks", "no `psql`"),
        ("unserved", "no `postgres`"),
        ("none", "no pod in `shop` has `app=none`"),
        ("nowhere", "nobody"),
    ] {
        assert!(told(&ended[id]).contains(why), "{id}: {}", told(&ended[id]));
    }
    assert_eq!(ended["http"]["stand_in"], true);
    let identity = &ended["bash"]["identity"];
    assert!(
        identity["cluster/home"]
            .as_str()
            .is_some_and(|version| version.starts_with('v')),
        "{identity}"
    );
    assert_eq!(code, 1, "a pod that is not there is a failed step");
}

#[test]
fn a_load_balancers_address_answers_while_something_serves_and_never_out_of_the_lab() {
    if !is_isolated() || !has("kubectl") {
        return;
    }
    let scale = |id: &str, replicas: u32| {
        step(
            &format!("id: {id}"),
            &format!(
                "kubectl -n shop scale deploy web --replicas={replicas}\nkubectl -n shop rollout status deploy web --timeout=20s"
            ),
        )
    };
    let chapter = [
        // Nobody asked for the cluster before: nothing has the address, and nothing outside is asked.
        typed("id: early\nneeds: []\ntcp: {host: 192.168.4.80, port: 80}"),
        typed(
            "id: service\non: cluster/home\nneeds: []\nretry: 20s\nget: {kind: Service, name: web, namespace: shop}\nexpect: {ready: true}\ncapture: {ip: {json: '$.status.loadBalancer.ingress[0].ip'}}",
        ),
        typed(
            "id: up\nneeds: service\nretry: 20s\nhttp: {url: 'http://{{ steps.service.ip }}/'}\nexpect: {status: 200, body: welcome}",
        ),
        typed("id: other\nneeds: service\ntcp: {host: '{{ steps.service.ip }}', port: 81}"),
        scale("down", 0),
        typed(
            "id: refused\nneeds: down\nretry: 20s\ntcp: {host: '{{ steps.service.ip }}', port: 80}\nexpect: {open: false}",
        ),
        scale("again", 1),
        typed(
            "id: back\nneeds: again\nretry: 20s\ntcp: {host: '{{ steps.service.ip }}', port: 80}",
        ),
    ];
    let book = book(&chapter.concat(), false);
    let (_, events) = verify(&book);
    expect(
        &events,
        &[
            ("early", "skipped"),
            ("service", "passed"),
            ("up", "passed"),
            ("other", "skipped"),
            ("down", "passed"),
            ("refused", "passed"),
            ("again", "passed"),
            ("back", "passed"),
        ],
    );
    let ended = ended(&events);
    for id in ["early", "other"] {
        assert!(
            told(&ended[id]).contains("the lab serves nothing at `192.168.4.80:8"),
            "{}",
            told(&ended[id])
        );
    }
    for id in ["up", "refused", "back"] {
        assert_eq!(ended[id]["stand_in"], true, "{id}");
    }
}

#[test]
fn kubectl_of_a_local_script_reaches_the_labs_cluster_and_no_other() {
    if !has("kubectl") {
        return;
    }
    let chapter = [
        step(
            "id: none\neffect: read",
            "kubectl version --client >/dev/null",
        ),
        step(
            "id: nodes\neffect: read\nexpect: {stdout: {contains: k3s1}}",
            "kubectl get nodes -o name",
        ),
        step(
            "id: context\neffect: read\nexpect: {stdout: namespace/shop}",
            "kubectl --context home get ns shop -o name",
        ),
        step(
            "id: chosen\neffect: read\nexpect: {exit: 1, stderr: {contains: \"the lab's `kubectl` uses the lab's kubeconfig only\"}}",
            "kubectl --kubeconfig /etc/other get pods",
        ),
        typed(
            "id: python\neffect: read\nexpect: {stdout: home}\npython: |\n  import json, os\n  print(json.load(open(os.environ['KUBECONFIG']))['current-context'])",
        ),
        typed(
            "id: condition\non: cluster/home\nget: {kind: Node}\nwhen: kubectl get ns shop\nexpect: {count: 1}",
        ),
    ];
    let book = book(&chapter.concat(), false);
    let (_, events) = verify(&book);
    expect(
        &events,
        &[
            ("none", "passed"),
            ("nodes", "passed"),
            ("chosen", "passed"),
            ("python", "passed"),
            ("condition", "passed"),
        ],
    );
}

#[test]
fn what_a_step_pushes_is_what_flux_applies() {
    if !has("kubectl") || !has("git") {
        return;
    }
    let map = |text: &str| {
        format!(
            "apiVersion: v1\\nkind: ConfigMap\\nmetadata: {{name: motd, namespace: shop}}\\ndata: {{text: {text}}}\\n"
        )
    };
    let chapter = [
        typed(
            "id: before\non: cluster/home\nretry: 20s\nget: {kind: ConfigMap, name: motd, namespace: shop}\nexpect: {json: {$.data.text: first}}",
        ),
        typed(&format!(
            "id: push\ngit: {{path: clusters/home/motd.yaml, content: \"{}\", commit: say more, push: true}}\nundo: none",
            map("second")
        )),
        step(
            "id: reconcile",
            "kubectl -n flux-system annotate --overwrite gitrepository flux-system reconcile.fluxcd.io/requestedAt=now-1",
        ),
        typed(
            "id: after\non: cluster/home\nretry: 30s\nget: {kind: ConfigMap, name: motd, namespace: shop}\nexpect: {json: {$.data.text: second}}",
        ),
    ];
    let book = book(&chapter.concat(), true);
    book.write("clusters/home/motd.yaml", map("first").replace("\\n", "\n"));
    let git = |args: &[&str]| {
        let done = Command::new("git")
            .args([
                "-c",
                "user.name=a",
                "-c",
                "user.email=a@b",
                "-c",
                "init.defaultBranch=trunk",
            ])
            .args(args)
            .current_dir(book.path("."))
            .output()
            .expect("git");
        assert!(done.status.success(), "{done:?}");
        String::from_utf8(done.stdout).expect("UTF-8")
    };
    git(&["init", "-q", "."]);
    git(&["add", "."]);
    git(&["commit", "-qm", "first"]);
    let (_, events) = verify(&book);
    expect(
        &events,
        &[
            ("before", "passed"),
            ("push", "passed"),
            ("reconcile", "passed"),
            ("after", "passed"),
        ],
    );
    assert_eq!(
        git(&["log", "--format=%s"]),
        "first\n",
        "the real one has no new commit"
    );
    assert_eq!(
        json!(git(&["status", "--porcelain", "clusters"])),
        json!("")
    );
}
