//! One connection for many steps, and its end.

use std::time::{Duration, Instant};

use crate::endpoint::own_endpoint;

#[tokio::test]
async fn steps_share_one_connection_which_ends_with_the_run() {
    let Some(endpoint) = own_endpoint() else {
        return;
    };
    for _ in 0..5 {
        endpoint.says("true").await;
    }
    assert_eq!(endpoint.server().connections(), 1);
    assert_eq!(endpoint.server().serves(), 1);
    let started = Instant::now();
    endpoint.connections.close().await;
    assert!(started.elapsed() < Duration::from_secs(2));
    while endpoint.server().serves() > 0 {
        assert!(started.elapsed() < Duration::from_secs(2), "still served");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // It can be used again.
    endpoint.says("true").await;
    assert_eq!(endpoint.server().connections(), 2);
}

#[tokio::test]
async fn a_server_that_shares_nothing_is_used_all_the_same() {
    let Some(endpoint) = own_endpoint() else {
        return;
    };
    let path = endpoint.server().directory.path().join("sshd_config");
    let mut settings = std::fs::read_to_string(&path).expect("a configuration");
    settings.push_str("MaxSessions 1\n");
    std::fs::write(&path, settings).expect("a configuration");
    endpoint.server().reload();
    for _ in 0..2 {
        let finished = endpoint.bash("echo out; echo err >&2").await;
        assert_eq!(finished.output.stdout.text(), "out\n");
        assert_eq!(finished.output.stderr.text(), "err\n");
    }
}
