//! Connections that cannot be: each with its own cause.

use std::fs;
use std::time::{Duration, Instant};

use runbook_runner::remote::{Cause, Login, Remote, RemoteError, Way};

use crate::endpoint::{Endpoint, key, own_endpoint, run};

async fn cause_of(remote: &Remote) -> Cause {
    match run(remote, "sh", "echo never", &[], 40.0).await {
        Err(RemoteError::Unavailable { cause, .. }) => cause,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn another_host_key_is_refused_and_says_which_line() {
    let Some(endpoint) = own_endpoint() else {
        return;
    };
    let directory = endpoint.server().directory.path();
    key(&directory.join("other"));
    let other = fs::read_to_string(directory.join("other.pub")).expect("a key");
    let known = directory.join("known_hosts");
    let port = endpoint.server().port;
    fs::write(&known, format!("# a comment\n[127.0.0.1]:{port} {other}")).expect("known hosts");
    let cause = cause_of(&endpoint.remote()).await;
    let place = format!("{}:2", known.display());
    assert_eq!(cause, Cause::HostKeyChanged { known: Some(place) });
    fs::write(&known, "").expect("known hosts");
    assert_eq!(cause_of(&endpoint.remote()).await, Cause::HostKeyUnknown);
    assert_eq!(
        fs::read_to_string(&known).expect("known hosts"),
        "",
        "nothing is learned by itself"
    );
}

#[tokio::test]
async fn a_wrong_key_is_refused() {
    let Some(endpoint) = own_endpoint() else {
        return;
    };
    let directory = endpoint.server().directory.path();
    fs::write(directory.join("authorized"), "").expect("no keys");
    let cause = cause_of(&endpoint.remote()).await;
    assert!(matches!(cause, Cause::AuthRefused { .. }), "{cause:?}");
    assert!(
        cause.to_string().contains("Permission denied (publickey)"),
        "{cause}"
    );
}

#[tokio::test]
async fn nobody_there_is_told_in_time() {
    let Some(endpoint) = own_endpoint() else {
        return;
    };
    let to = |destination: &str, port: Option<u16>| {
        endpoint.by(Way::Ssh(Login {
            port,
            ..Login::new(destination)
        }))
    };
    let cause = cause_of(&to("127.0.0.1", Some(1))).await;
    assert!(
        matches!(&cause, Cause::Unreachable { said } if said.contains("Connection refused")),
        "{cause:?}"
    );
    let cause = cause_of(&to("no-such-host.invalid", None)).await;
    assert!(matches!(cause, Cause::NameUnknown { .. }), "{cause:?}");
    // A port that accepts and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let started = Instant::now();
    let error = run(&to("127.0.0.1", Some(port)), "sh", "echo", &[], 2.0)
        .await
        .expect_err("nobody answers");
    assert!(matches!(error, RemoteError::TimedOut { .. }), "{error}");
    assert!(started.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn what_a_destination_is_called_is_no_option() {
    let Some(endpoint) = own_endpoint() else {
        return;
    };
    let remote = endpoint.by(Way::Ssh(Login::new("-oProxyCommand=touch /tmp/no")));
    let error = run(&remote, "sh", "echo", &[], 20.0)
        .await
        .expect_err("no host");
    assert!(matches!(error, RemoteError::Unavailable { .. }), "{error}");
    assert!(!std::path::Path::new("/tmp/no").exists());
}

/// Puts a `sudo` that does as told into the path of the login.
fn with_sudo(endpoint: &Endpoint, text: Option<&str>) -> Remote {
    let directory = endpoint.server().directory.path().join("bin");
    fs::create_dir_all(&directory).expect("a directory");
    for name in [
        "sh", "env", "bash", "cat", "head", "grep", "sleep", "setsid",
    ] {
        let _ = std::os::unix::fs::symlink(format!("/usr/bin/{name}"), directory.join(name));
    }
    if let Some(text) = text {
        use std::os::unix::fs::PermissionsExt as _;
        let path = directory.join("sudo");
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("a program");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a program");
    }
    endpoint
        .server()
        .configure(&format!("SetEnv PATH={}", directory.display()));
    endpoint.by(Way::Ssh(Login {
        sudo: true,
        ..Login::new(&endpoint.host)
    }))
}

#[tokio::test]
async fn a_sudo_that_is_not_there_or_asks_is_told() {
    let Some(endpoint) = own_endpoint() else {
        return;
    };
    let cause = cause_of(&with_sudo(&endpoint, None)).await;
    assert!(
        matches!(&cause, Cause::Sudo { said } if said.contains("not found")),
        "{cause:?}"
    );
    let Some(endpoint) = own_endpoint() else {
        return;
    };
    let asks = with_sudo(
        &endpoint,
        Some("echo 'sudo: a password is required' >&2; exit 1"),
    );
    let cause = cause_of(&asks).await;
    let expected = "`sudo -n` does not run there (sudo: a password is required)";
    assert_eq!(cause.to_string(), expected);
}

#[tokio::test]
async fn sudo_runs_everything_when_it_may() {
    let Some(endpoint) = own_endpoint() else {
        return;
    };
    let text = "[ \"$1\" = -n ] || exit 1; shift; USED=1; export USED; exec \"$@\"";
    let remote = with_sudo(&endpoint, Some(text));
    let finished = run(
        &remote,
        "bash",
        "echo $HOME $X; exit 3",
        &[("X", "y")],
        20.0,
    )
    .await
    .expect("ran");
    assert_eq!(finished.output.stdout.text(), "/root y\n");
    assert_eq!(finished.code, Some(3));
}

#[tokio::test]
async fn a_login_that_prints_does_not_get_into_the_output() {
    let Some(endpoint) = own_endpoint() else {
        return;
    };
    let directory = endpoint.server().directory.path();
    let banner = directory.join("banner");
    fs::write(&banner, "Welcome to the machine\n").expect("a banner");
    let config = directory.join("sshd_config");
    let mut settings = fs::read_to_string(&config).expect("a configuration");
    settings.push_str(&format!("Banner {}\n", banner.display()));
    fs::write(&config, settings).expect("a configuration");
    let rc = fs::read_to_string(directory.join("authorized")).expect("keys");
    let forced =
        format!("command=\"echo noise; echo noise >&2; eval \\\"$SSH_ORIGINAL_COMMAND\\\"\" {rc}");
    fs::write(directory.join("authorized"), forced).expect("keys");
    endpoint.server().reload();
    let finished = endpoint.bash("echo out; echo err >&2").await;
    assert_eq!(finished.output.stdout.text(), "out\n");
    assert_eq!(finished.output.stderr.text(), "err\n");
}
