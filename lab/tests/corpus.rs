//! The recorded exchanges of a real Proxmox VE API, replayed against a fresh lab per file by the recording's own replayer.
//!
//! The recording lies beside the repository (`../shared/pve-corpus`); without it, or without python3, a visible line says
//! that nothing was compared. What the lab must do without the recording is tested elsewhere.

#![allow(clippy::print_stderr)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use runbook_lab::fixture::Fixture;
use runbook_lab::pve::{Cluster, Options, Server};

/// The recording's folder, if it and python3 are there.
fn corpus() -> Option<PathBuf> {
    // Beside the repository, or beside the folder of its work trees.
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = here
        .ancestors()
        .skip(2)
        .take(2)
        .map(|above| above.join("shared/pve-corpus"));
    let Some(folder) = found
        .into_iter()
        .find(|folder| folder.join("replay.py").is_file())
    else {
        eprintln!("skipped: no recorded exchanges at ../shared/pve-corpus beside the repository");
        return None;
    };
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!("skipped: no python3 to replay the recorded exchanges");
        return None;
    }
    Some(folder)
}

/// Replays one file; the last line must say that nothing failed and nothing was left out.
fn replay(name: &str) {
    let Some(folder) = corpus() else { return };
    let file = folder.join("dev").join(format!("{name}.jsonl"));
    let text = std::fs::read_to_string(&file).expect("the recorded file is readable");
    let exchanges = text.lines().filter(|line| !line.trim().is_empty()).count() - 1;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime starts");
    let server = runtime.block_on(async {
        let mut options = Options::local().expect("a certificate is made");
        options.unauthorized_delay = Duration::ZERO;
        let cluster = Cluster::new(&Fixture::parse(&text).expect("the header line is a fixture"));
        Server::start(cluster, options)
            .await
            .expect("a port is free")
    });
    let output = Command::new("python3")
        .arg(folder.join("replay.py"))
        .args([&server.url(), "-q"])
        .arg(&file)
        .output()
        .expect("python3 runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let last = said.lines().last().unwrap_or_default();
    assert_eq!(
        last,
        format!("{exchanges} passed, 0 failed"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

macro_rules! files {
    ($($(#[$attribute:meta])* $test:ident: $file:literal,)*) => {
        $(
            #[test]
            $(#[$attribute])*
            fn $test() {
                replay($file);
            }
        )*
    };
}

files! {
    auth: "auth",
    basics: "basics",
    errors: "errors",
    locked: "locked",
    lxc_lifecycle: "lxc-lifecycle",
    lxc_snapshot_clone: "lxc-snapshot-clone",
    permissions: "permissions",
    qemu_lifecycle: "qemu-lifecycle",
    tasks_storage_pools: "tasks-storage-pools",
}
