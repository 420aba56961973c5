//! Units, packages and restarts of another machine, whose programs keep their state in files.

use std::fs;
use std::path::Path;
use std::time::Duration;

use runbook::outcome::{Mode, State};

use crate::book_test::{bash, step};
use crate::endpoint::{Endpoint, kill, own_endpoint};
use crate::engine::book;

/// A `systemctl` whose units are folders with the files `active` and `enabled`.
fn systemctl(units: &Path) -> String {
    format!(
        r#"cd {} || exit 1
verb=$1; shift; [ "$1" = -- ] && shift
if [ "$verb" = reboot ]; then touch ../reboot; exit 0; fi
[ -d "$1" ] || {{ case $verb in is-active) echo inactive; exit 4;; is-enabled) echo "Failed to get unit file state for $1: No such file or directory" >&2; exit 1;; *) echo "Failed to $verb $1: Unit $1 not found." >&2; exit 5;; esac; }}
echo "$verb $1" >>../units-log
case $verb in
is-active) cat "$1/active"; grep -qx active "$1/active" || exit 3;;
is-enabled) cat "$1/enabled"; grep -qx enabled "$1/enabled" || exit 1;;
start|restart) [ ! -e "$1/broken" ] || {{ echo "Job for $1 failed." >&2; exit 1; }}; echo active >"$1/active";;
stop) echo inactive >"$1/active";;
enable) echo enabled >"$1/enabled";;
disable) echo disabled >"$1/enabled";;
esac"#,
        units.display()
    )
}

fn unit(units: &Path, name: &str, active: &str, enabled: &str) {
    let folder = units.join(name);
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("active"), format!("{active}\n")).expect("a file");
    fs::write(folder.join("enabled"), format!("{enabled}\n")).expect("a file");
}

fn is(units: &Path, name: &str) -> String {
    let read = |file| fs::read_to_string(units.join(name).join(file)).expect("a file");
    format!("{} {}", read("active").trim(), read("enabled").trim())
}

fn with_units(endpoint: &Endpoint) -> std::path::PathBuf {
    let units = endpoint.server().directory.path().join("units");
    fs::create_dir_all(&units).expect("a folder");
    let program = systemctl(&units);
    endpoint.server().programs(&[("systemctl", program)]);
    units
}

#[test]
fn a_unit_is_started_enabled_restarted_and_put_back() {
    let Some(endpoint) = own_endpoint() else {
        return;
    };
    let units = with_units(&endpoint);
    unit(&units, "web", "inactive", "disabled");
    unit(&units, "old", "active", "enabled");
    unit(&units, "bad", "failed", "disabled");
    fs::write(units.join("bad/broken"), "").expect("a file");
    let steps = [
        step(
            "id: up\non: host/nas\nservice: {name: web, state: running, enabled: true}\nexpect: {state: running, enabled: true}\ncleanup: always",
        ),
        step(
            "id: down\non: host/nas\nservice: {name: old, state: stopped, enabled: false}\ncleanup: always",
        ),
        step("id: same\non: host/nas\nservice: {name: web, state: running}"),
        step("id: again\non: host/nas\nservice: {name: web, restart: true}"),
        step("id: breaks\non: host/nas\nneeds: []\nservice: {name: bad, state: running}"),
        step("id: unknown\non: host/nas\nneeds: []\nservice: {name: wbe, state: stopped}"),
    ];
    let book = book(&endpoint, &steps.concat());
    let plan = book.plan();
    assert_eq!(
        plan["up"].diff.as_deref(),
        Some("state of web: stopped → running\nweb at boot: disabled → enabled")
    );
    let ran = book.run();
    assert_eq!(
        ran.states(),
        [
            "up passed",
            "down passed",
            "same passed",
            "again passed",
            "breaks failed",
            "unknown failed"
        ],
        "{}",
        ran.journal()
    );
    assert!(ran.step("up").changed && ran.step("down").changed && ran.step("again").changed);
    assert!(!ran.step("same").changed);
    assert_eq!(ran.step("again").diff.as_deref(), Some("restart of web"));
    assert_eq!(
        ran.why("breaks"),
        "`systemctl start bad` failed on host/nas: Job for bad failed."
    );
    assert_eq!(ran.why("unknown"), "host/nas has no unit `wbe`");
    assert_eq!(ran.undone(), ["down passed", "up passed"]);
    assert_eq!(
        (is(&units, "web"), is(&units, "old")),
        ("inactive disabled".into(), "active enabled".into())
    );
    let log = fs::read_to_string(units.join("../units-log")).expect("a log");
    let changes: Vec<&str> = log
        .lines()
        .filter(|line| !line.starts_with("is-"))
        .collect();
    assert_eq!(
        changes,
        [
            "enable web",
            "start web",
            "disable old",
            "stop old",
            "restart web",
            "start bad",
            "enable old",
            "start old",
            "disable web",
            "stop web"
        ]
    );
    let observed = book.mode(Mode::Observe).run();
    assert_eq!(observed.state("up"), State::Drifted);
    assert_eq!(
        observed.state("again"),
        State::Passed,
        "a restart is no part of the comparison"
    );
}

/// `dpkg-query` and `apt-get` whose packages are files with their version; each name installs `NAME-dep` too.
fn packages(folder: &Path) -> [(&'static str, String); 2] {
    let at = folder.display();
    let query = format!(
        "cd {at}; for p in *; do printf '%s\\t%s\\tii \\n' \"$p\" \"$(cat \"$p\")\"; done; printf 'half\\t1\\trc \\n'"
    );
    let apt = format!(
        r#"cd {at}; echo "$DEBIAN_FRONTEND $*" >>../apt-log; sim=
while [ $# -gt 0 ]; do case $1 in -o) shift 2;; -s) sim=1; shift;; -*) shift;; *) break;; esac; done
verb=$1; shift
for p in "$@"; do case $p in -*) continue;; esac
n=${{p%%=*}}; v=2; [ "$n" = "$p" ] || v=${{p#*=}}
[ "$n" != nothing ] || {{ echo "E: Unable to locate package nothing" >&2; exit 100; }}
case $verb in
install) if [ -n "$sim" ]; then [ "$(cat "$n" 2>/dev/null)" = 2 ] || echo "Inst $n [1] (2 Debian:12/stable [amd64])"
else echo "Setting up $n ($v)"; echo $v >"$n"; case $n in *-dep) ;; *) echo 1 >"$n-dep";; esac; fi;;
remove) rm -f "$n";;
esac; done"#
    );
    [("dpkg-query", query), ("apt-get", apt)]
}

#[test]
fn packages_are_installed_and_taken_back_with_what_came_with_them() {
    let Some(endpoint) = own_endpoint() else {
        return;
    };
    let folder = endpoint.server().directory.path().join("packages");
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("there"), "1").expect("a file");
    fs::write(folder.join("there-dep"), "1").expect("a file");
    fs::write(folder.join("older"), "1").expect("a file");
    fs::write(folder.join("older-dep"), "1").expect("a file");
    endpoint.server().programs(&packages(&folder));
    let list = || {
        let mut all: Vec<String> = fs::read_dir(&folder)
            .expect("a folder")
            .map(|entry| {
                let path = entry.expect("an entry").path();
                let version = fs::read_to_string(&path).expect("a file");
                format!(
                    "{}={}",
                    path.file_name().expect("a name").display(),
                    version.trim()
                )
            })
            .collect();
        all.sort();
        all.join(" ")
    };
    let before = list();
    let steps = [
        step(
            "id: new\non: host/nas\npackage: {names: [nginx, 'curl=7.1', there], update: true}\nexpect: {output: {contains: Setting up nginx}}\ncleanup: always",
        ),
        step("id: newest\non: host/nas\npackage: {names: older, state: latest}\ncleanup: always"),
        step("id: gone\non: host/nas\npackage: {names: there, state: absent}\ncleanup: always"),
        step("id: same\non: host/nas\npackage: {names: [nginx, half], state: present}\nneeds: []"),
        step("id: none\non: host/nas\npackage: {names: nothing}\nneeds: []"),
        step("id: wrong\non: host/nas\npackage: {names: 'x; touch /tmp/no'}\nneeds: []"),
    ];
    let book = book(&endpoint, &steps.concat());
    let plan = book.plan();
    assert_eq!(plan["new"].diff.as_deref(), Some("+ nginx\n+ curl 7.1"));
    assert_eq!(plan["newest"].diff.as_deref(), Some("older: 1 → 2"));
    assert_eq!(list(), before, "a plan changes nothing");
    let ran = book.run();
    assert_eq!(
        ran.states(),
        [
            "new passed",
            "newest passed",
            "gone passed",
            "same passed",
            "none failed",
            "wrong failed"
        ],
        "{}",
        ran.journal()
    );
    assert_eq!(
        ran.step("same").diff.as_deref(),
        Some("+ half"),
        "half removed is not there"
    );
    assert_eq!(
        ran.why("none"),
        "cannot install on host/nas: E: Unable to locate package nothing"
    );
    assert_eq!(
        ran.why("wrong"),
        "`x; touch /tmp/no` is no name of a package"
    );
    assert_eq!(ran.undone(), ["gone passed", "newest passed", "new passed"]);
    fs::remove_file(folder.join("half")).expect("of `same`, which is not taken back");
    fs::remove_file(folder.join("half-dep")).expect("of `same`");
    assert_eq!(list(), before);
    let log = fs::read_to_string(folder.join("../apt-log")).expect("a log");
    assert!(
        log.lines()
            .all(|line| line.starts_with("noninteractive ") || line.contains(" -s ")),
        "{log}"
    );
    assert!(log.contains("DPkg::Lock::Timeout="));
}

#[test]
fn a_machine_that_restarts_is_back_with_another_boot() {
    let Some(endpoint) = own_endpoint() else {
        return;
    };
    let units = with_units(&endpoint);
    let folder = endpoint.server().directory.path().to_owned();
    fs::write(folder.join("boot"), "first\n").expect("a file");
    let cat = format!(
        "case $1 in /proc/sys/kernel/random/boot_id) exec /usr/bin/cat {};; *) exec /usr/bin/cat \"$@\";; esac",
        folder.join("boot").display()
    );
    endpoint
        .server()
        .programs(&[("cat", cat), ("systemctl", systemctl(&units))]);
    let steps = [
        bash("id: before\non: host/nas\neffect: read", "true"),
        step(
            "id: restart\non: host/nas\nreboot: {}\nwhen: true\nexpect: {boot-id: second, uptime: {at-least: 0}}",
        ),
        bash("id: after\non: host/nas\neffect: read", "echo after"),
    ];
    // The machine: goes when it was asked to, and is another boot a moment later.
    let asked = folder.join("reboot");
    let boot = folder.join("boot");
    let listener = endpoint.server().listener();
    let machine = std::thread::spawn(move || {
        while !asked.exists() {
            std::thread::sleep(Duration::from_millis(10));
        }
        for pid in crate::endpoint::sessions(listener) {
            kill(pid);
        }
        std::thread::sleep(Duration::from_millis(1200));
        fs::write(boot, "second\n").expect("a file");
    });
    let book = book(&endpoint, &steps.concat()).ask(|request| request.profile = "lab".into());
    // In the lab gates are open: the machines of this one are given.
    let settings = runbook_runner::remote::SshSettings {
        config: Some(endpoint.config.clone()),
        ..Default::default()
    };
    let reach = std::sync::Arc::new(crate::engine::Given(settings));
    let ran = book
        .mode(Mode::Rehearse)
        .ask(|request| request.reach = Some(reach))
        .run();
    machine.join().expect("no panic");
    assert_eq!(
        ran.states(),
        ["before passed", "restart passed", "after passed"],
        "{}",
        ran.journal()
    );
    assert!(ran.step("restart").changed);
}
