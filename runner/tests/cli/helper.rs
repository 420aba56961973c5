//! `helper-script` by the real program: in the lab, and on a real profile whose Proxmox VE and node are a lab's.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Stdio};

use runbook_lab::isolate;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::book::{TestBook, text};

const INVENTORY: &str = "\
nodes:
  pve1: {address: 192.168.4.11}
guests:
  web: {kind: lxc, vmid: 130, node: pve1}
  db: {kind: lxc, vmid: 140, node: pve1}
";

/// An installer in the community's format, without what it would fetch.
const INSTALLER: &str = r#"#!/usr/bin/env bash
APP="Web"
var_tags="${var_tags:-web}"
var_cpu="${var_cpu:-1}"
var_ram="${var_ram:-512}"
if [ -t 0 ]; then echo "somebody is at the terminal"; fi
read -r answer && echo "somebody answers" || echo "nobody answers"
(: </dev/tty) 2>/dev/null && echo "there is a terminal"
template=$(pvesm list local | awk '/vztmpl/ {print $1; exit}')
pct create "$var_ctid" "$template" --hostname "$var_hostname" --cores "$var_cpu" --memory "$var_ram" \
  --rootfs local-lvm:8 --net0 name=eth0,bridge=vmbr0,ip=dhcp --tags "community-script;$var_tags" --unprivileged 1
pct start "$var_ctid"
echo "Completed successfully!"
"#;

const COMMIT: &str = "8386465a927ac72f518d1c54ce21fe3c2df03407";

fn is_forbidden() -> bool {
    match isolate::available_with(env!("CARGO_BIN_EXE_runbook").as_ref()) {
        Ok(()) => false,
        Err(why) => {
            eprintln!("skipped: {why}");
            true
        }
    }
}

pub(crate) fn typed(keys: &str) -> String {
    format!("```runbook\n{keys}\n```\n\n")
}

/// A template for the installers, and the step itself.
fn chapter(steps: &str) -> String {
    let image = "id: template\non: node/pve1\nimage: {storage: local, name: debian-12-standard}";
    format!("# Guide\n\n## S\n\n{}{steps}", typed(image))
}

/// What became of each step, by its own name.
pub(crate) fn ended(events: &[Value]) -> std::collections::BTreeMap<String, Value> {
    let finished = events
        .iter()
        .filter(|event| event["event"] == "step-finished");
    finished
        .map(|event| {
            let id = text(&event["id"]);
            (
                id.rsplit('/').next().unwrap_or_default().to_owned(),
                event.clone(),
            )
        })
        .collect()
}

pub(crate) fn told(event: &Value) -> String {
    let parts = ["reason", "message", "hint", "note", "diff"];
    parts
        .iter()
        .filter_map(|part| event[part].as_str())
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn an_installer_of_the_book_runs_on_the_labs_node() {
    if is_forbidden() {
        return;
    }
    let install = |id: &str, more: &str| {
        typed(&format!(
            "id: {id}\non: lxc/web\nhelper-script:\n  app: web\n  commit: {COMMIT}\n  vars: {{var_cpu: 2}}\n{more}"
        ))
    };
    let steps = [
        install(
            "make",
            "cleanup: always\nexpect: {state: running, vmid: 130, node: pve1, config: {hostname: web, cores: 2}, \
             log: {contains: [Completed, nobody answers], not: {contains: terminal}}}",
        ),
        install("again", ""),
        typed(
            "id: other\non: lxc/db\nneeds: []\nhelper-script: {app: db, commit: 8386465a927ac72f518d1c54ce21fe3c2df03407}",
        ),
        typed(
            "id: there\non: lxc/web\nneeds: make\nlxc: {}\nexpect: {config: {tags: {contains: runbook-test, not: {contains: unfinished}}}}",
        ),
    ];
    let book = TestBook::new(&chapter(&steps.concat()));
    book.write("inventory.yaml", INVENTORY);
    book.write("lab/scripts/web", INSTALLER);
    let (code, events) = book.events(&["verify", "--json"]);
    let ended = ended(&events);
    for (id, state, changed) in [
        ("make", "passed", true),
        ("again", "passed", false),
        ("other", "skipped", false),
        ("there", "passed", false),
    ] {
        assert_eq!(ended[id]["state"], state, "{id}: {:#}", ended[id]);
        assert_eq!(ended[id]["changed"], changed, "{id}: {:#}", ended[id]);
    }
    assert_eq!(code, 0, "{events:#?}");
    assert!(told(&ended["other"]).contains("the lab has no `lab/scripts/db`"));
    let diff = text(&ended["make"]["diff"]);
    assert_eq!(
        diff,
        "+ lxc 130 web on pve1, by community script web at 8386465a927a\n+ var_cpu: 2"
    );
    assert!(told(&ended["make"]).contains("`lab/scripts/web` stands in for the installer"));
    // Who used it says so, in each of its checks too, and it is counted; who found the guest there used nothing.
    assert_eq!(ended["make"]["stand_in"], true, "{:#}", ended["make"]);
    let checks = ended["make"]["checks"].as_array().unwrap();
    assert!(!checks.is_empty() && checks.iter().all(|check| check["stand_in"] == true));
    for id in ["again", "other", "there"] {
        assert_ne!(ended[id]["stand_in"], true, "{id}: {:#}", ended[id]);
    }
    assert_eq!(events.last().unwrap()["stand_in"], 1, "{events:#?}");
    let undone: Vec<&Value> = events
        .iter()
        .filter(|event| event["event"] == "undo-finished")
        .collect();
    assert_eq!(undone.len(), 1, "{events:#?}");
    assert_eq!(
        (&undone[0]["state"], text(&undone[0]["summary"]).as_str()),
        (&Value::from("passed"), "remove lxc 130")
    );
    let said = book.run(&["plan", "guide", "--json"]);
    assert!(said.out.contains("by community script web"), "{}", said.out);
}

/// A lab that goes on, as something real.
pub(crate) struct Homelab {
    book: TestBook,
    child: Child,
    told: Value,
}

impl Homelab {
    pub(crate) fn start() -> Self {
        let step = format!("id: x\non: lxc/web\nhelper-script: {{app: web, commit: {COMMIT}}}");
        let other = step.replace("lxc/web", "lxc/db").replace("id: x", "id: y");
        let book = TestBook::new(&chapter(&(typed(&step) + &typed(&other))));
        book.write("inventory.yaml", INVENTORY);
        let mut command = book.command(&["lab", "--json"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let told = serde_json::from_str(&line).unwrap();
        Self { book, child, told }
    }

    /// A book that knows it as its profile `home`.
    fn book(&self, steps: &str) -> TestBook {
        let proxmox = &self.told["proxmox"];
        let inventory = format!(
            "profiles:\n  home:\n    proxmox: {{url: {}, token: pve, ca: {}}}\n    ssh: {{config: {}}}\n    \
             scratch: {{vmids: 9000-9009}}\nsecrets: {{pve: {{file: token}}, word: {{file: word}}}}\n{INVENTORY}",
            proxmox["url"], proxmox["ca"], self.told["ssh"]["config"]
        );
        let book = TestBook::new(&chapter(steps));
        book.write("inventory.yaml", inventory);
        book.write("token", text(&proxmox["token"]) + "\n");
        book.write("word", "very-secret-word\n");
        book
    }

    /// Runs the steps, and says how they ended.
    pub(crate) fn run(
        &self,
        steps: &str,
    ) -> (i32, std::collections::BTreeMap<String, Value>, Vec<Value>) {
        let book = self.book(steps);
        let (code, events) = book.events(&["run", "guide", "--profile", "home", "--json"]);
        (code, ended(&events), events)
    }
}

impl Drop for Homelab {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let status = self.child.wait().map(|status| status.signal());
        drop((&self.book, status));
    }
}

/// Serves installers by their paths, for as long as the test lives.
fn served(scripts: Vec<(&'static str, String)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = [0; 4096];
            let read = stream.read(&mut head).unwrap_or(0);
            let head = String::from_utf8_lossy(&head[..read]).into_owned();
            let path = head.split(' ').nth(1).unwrap_or_default();
            let found = scripts.iter().find(|(known, _)| *known == path);
            let (status, body) = match found {
                Some((_, body)) => ("200 OK", body.as_str()),
                None => ("404 Not Found", ""),
            };
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    url
}

fn sum(text: &str) -> String {
    let bytes = Sha256::digest(text.as_bytes());
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

#[test]
fn an_installer_makes_its_guest_on_a_real_node_or_says_why_not() {
    if is_forbidden() {
        return;
    }
    let fails = INSTALLER.replace("pct start", "echo half; exit 39; pct start");
    let other = INSTALLER
        .replace("pct create \"$var_ctid\"", "pct create 777")
        .replace("pct start \"$var_ctid\"", "true");
    let named = INSTALLER.replace("\"$var_hostname\"", "somebody");
    let early = "echo no room >&2; exit 3\n".to_owned();
    let hangs = "sleep 600\n".to_owned();
    let secret = INSTALLER.to_owned() + "echo \"password $var_pw\"\n";
    let scripts = vec![
        ("/web.sh", secret.clone()),
        ("/fails.sh", fails.clone()),
        ("/other.sh", other.clone()),
        ("/named.sh", named.clone()),
        ("/early.sh", early.clone()),
        ("/hangs.sh", hangs.clone()),
    ];
    let url = served(scripts);
    let lab = Homelab::start();
    let install = |on: &str, path: &str, sum: &str, more: &str| {
        typed(&format!(
            "id: make\non: {on}\nhelper-script:\n  url: {url}{path}\n  checksum: {sum}\n{more}"
        ))
    };
    let gone = |vmid: u32| {
        typed(&format!(
            "id: gone\non: node/pve1\nneeds: []\nproxmox: {{path: /nodes/pve1/lxc}}\nexpect: {{json: {{'$[?@.vmid=={vmid}]': {{empty: true}}}}}}"
        ))
    };
    // What does not have its sum is not executed.
    let (code, ended, _) = lab.run(&install("lxc/web", "/web.sh", &sum("another"), ""));
    assert_eq!((code, &ended["make"]["state"]), (1, &Value::from("failed")));
    let said = told(&ended["make"]);
    assert!(
        said.contains("is not what `checksum` says") && said.contains("nothing was executed"),
        "{said}"
    );
    assert_eq!(ended["make"]["changed"], false, "{:#}", ended["make"]);
    let (code, ended, _) = lab.run(&install("lxc/web", "/none.sh", &sum(""), ""));
    assert_eq!((code, &ended["make"]["changed"]), (1, &Value::from(false)));
    assert!(
        told(&ended["make"]).contains("there is no `http://"),
        "{}",
        told(&ended["make"])
    );
    // What ends before it made anything leaves nothing.
    let (code, ended, _) = lab.run(&install("lxc/web", "/early.sh", &sum(&early), ""));
    assert_eq!(code, 1);
    let said = told(&ended["make"]);
    assert!(
        said.contains("exit code 3") && said.contains("no room"),
        "{said}"
    );
    assert!(!said.contains("left as it is"), "{said}");
    // What hangs is ended, and nothing is left.
    let (code, ended, _) = lab.run(&install(
        "lxc/web",
        "/hangs.sh",
        &sum(&hangs),
        "timeout: 4s",
    ));
    assert_eq!(
        (code, &ended["make"]["state"]),
        (1, &Value::from("timed-out")),
        "{:#}",
        ended["make"]
    );
    assert!(
        told(&ended["make"]).contains("its time of 4s is over"),
        "{}",
        told(&ended["make"])
    );
    // Another number than the one that was wished is told, and removed again.
    let (code, ended, events) = lab.run(&install(
        "lxc/web",
        "/other.sh",
        &sum(&other),
        "cleanup: always",
    ));
    assert_eq!(code, 1);
    let said = told(&ended["make"]);
    assert!(
        said.contains("made lxc/777 `web`, not lxc/130 `web`"),
        "{said}"
    );
    let undone: Vec<String> = events
        .iter()
        .filter(|event| event["event"] == "undo-finished")
        .map(|event| format!("{} {}", text(&event["state"]), text(&event["summary"])))
        .collect();
    assert_eq!(undone, ["passed remove lxc 777"]);
    let (_, ended, _) = lab.run(&gone(777));
    assert_eq!(ended["gone"]["state"], "passed", "{:#}", ended["gone"]);
    // What fails half-way is left to be looked at, counts neither as there nor as absent, and can be taken back.
    let (code, ended, _) = lab.run(&install("lxc/web", "/fails.sh", &sum(&fails), ""));
    assert_eq!(code, 1);
    let said = told(&ended["make"]);
    assert!(
        said.contains("exit code 39") && said.contains("runbook-unfinished"),
        "{said}"
    );
    let (code, ended, _) = lab.run(&install("lxc/web", "/web.sh", &sum(&secret), ""));
    assert_eq!(code, 1);
    assert!(
        told(&ended["make"]).contains("is not finished"),
        "{}",
        told(&ended["make"])
    );
    // The other guest: named otherwise.
    let (code, ended, _) = lab.run(&install(
        "lxc/db",
        "/named.sh",
        &sum(&named),
        "cleanup: always",
    ));
    assert_eq!(code, 1);
    assert!(
        told(&ended["make"]).contains("named lxc/140 `somebody`, not `db`"),
        "{}",
        told(&ended["make"])
    );
    // And as it should be; what is secret is told to it and to nobody else.
    let good = install(
        "lxc/db",
        "/web.sh",
        &sum(&secret),
        "secrets: {var_pw: word}\nexpect: {state: running, log: {contains: Completed}}",
    );
    let (code, ended, events) = lab.run(&good);
    assert_eq!(code, 0, "{:#}", ended["make"]);
    assert_eq!(ended["make"]["changed"], true);
    assert!(!format!("{events:?}").contains("very-secret-word"));
    let (code, ended, _) = lab.run(&good.replace("log: {contains: Completed}", "vmid: 140"));
    assert_eq!(
        (code, &ended["make"]["changed"]),
        (0, &Value::from(false)),
        "{:#}",
        ended["make"]
    );
    // Found by its name where no number is written.
    let scratch = install(
        "node/pve1",
        "/web.sh",
        &sum(&secret),
        "  vars: {var_hostname: scratch}\nexpect: {vmid: 9000}",
    );
    for changed in [true, false] {
        let (code, ended, _) = lab.run(&scratch);
        assert_eq!(
            (code, &ended["make"]["changed"]),
            (0, &Value::from(changed)),
            "{:#}",
            ended["make"]
        );
    }
}
