//! Much: output, scripts, steps at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use runbook_runner::process::{Cancel, Limits, Record, Stream};

use crate::endpoint::{Endpoint, endpoint, run, script};

/// What the runner itself may need while another machine prints much.
const RESIDENT_KIB_MAX: u64 = 64 << 10;

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .expect("a peak");
    line.trim()
        .trim_end_matches(" kB")
        .parse()
        .expect("a number")
}

#[tokio::test]
async fn a_gigabyte_passes_in_bounded_memory() {
    let Some(endpoint) = endpoint() else { return };
    let remote = endpoint.remote();
    let before = resident_kib();
    let limits = Limits::new(Duration::from_secs(300), Cancel::new());
    let text = "head -c 1073741824 /dev/zero; echo done >&2";
    let finished = remote
        .run(&script("sh", text, &[]), limits, Record::default())
        .await
        .expect("ran");
    assert_eq!(finished.code, Some(0));
    assert_eq!(finished.output.stdout.total(), 1 << 30);
    assert_eq!(finished.output.stderr.text(), "done\n");
    let grown = resident_kib() - before.min(resident_kib());
    assert!(grown < RESIDENT_KIB_MAX, "{grown} KiB more");
}

crate::everywhere!(bytes_come_as_they_are);

async fn bytes_come_as_they_are(endpoint: Endpoint) {
    let program = script(
        "python",
        "import sys; sys.stdout.buffer.write(bytes(range(256)) * 400)",
        &[],
    );
    let limits = Limits::new(Duration::from_secs(30), Cancel::new());
    let answer = endpoint
        .remote()
        .lines(&program, 1 << 20, limits)
        .await
        .expect("ran");
    let all: Vec<u8> = (0..=255).collect();
    assert_eq!(answer.stdout, all.repeat(400));
}

crate::everywhere!(a_long_script_runs_whole);

async fn a_long_script_runs_whole(endpoint: Endpoint) {
    let remote = endpoint.remote();
    for (language, line, last) in [
        ("bash", "x='it'\\''s a line'\n", "echo \"$x\" $LINENO"),
        ("sh", "x='it'\\''s a line'\n", "echo \"$x\""),
        ("python", "x = 'it' + \"'s a line\"\n", "print(x)"),
    ] {
        let lines = (1 << 20) / line.len();
        let text = format!("{}{last}\n", line.repeat(lines));
        let finished = run(&remote, language, &text, &[], 60.0).await.expect("ran");
        assert_eq!(
            finished.code,
            Some(0),
            "{language}: {}",
            finished.output.stderr.text()
        );
        let expected = if language == "bash" {
            format!("it's a line {}\n", lines + 1)
        } else {
            "it's a line\n".to_owned()
        };
        assert_eq!(finished.output.stdout.text(), expected, "{language}");
    }
    let left = endpoint
        .says("ls -d ${TMPDIR:-/tmp}/runbook-????????/script 2>/dev/null || true")
        .await;
    assert_eq!(left, "", "the files are removed");
}

crate::everywhere!(steps_run_side_by_side);

async fn steps_run_side_by_side(endpoint: Endpoint) {
    // Each of them ends when so many have come.
    const TOGETHER: usize = 5;
    let endpoint = Arc::new(endpoint);
    let meeting = endpoint.says("mktemp -d").await.trim().to_owned();
    let mut running = tokio::task::JoinSet::new();
    for number in 0..20 {
        let (endpoint, meeting) = (Arc::clone(&endpoint), meeting.clone());
        running.spawn(async move {
            let text = format!(
                "touch {meeting}/{number}; until [ $(ls {meeting} | wc -l) -ge {TOGETHER} ]; do sleep 0.1; done; echo {number}"
            );
            assert_eq!(endpoint.says(&text).await, format!("{number}\n"));
        });
    }
    running.join_all().await;
    endpoint.says(&format!("rm -r {meeting}")).await;
}

crate::everywhere!(output_is_seen_as_it_comes);

async fn output_is_seen_as_it_comes(endpoint: Endpoint) {
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let record = Record {
        live: Some(Box::new(move |_: Stream, bytes: &[u8]| {
            count.fetch_add(bytes.len(), Ordering::SeqCst);
        })),
        ..Record::default()
    };
    let remote = endpoint.remote();
    let running = tokio::spawn(async move {
        let limits = Limits::new(Duration::from_secs(30), Cancel::new());
        let text = "echo first; sleep 3; echo last";
        remote.run(&script("sh", text, &[]), limits, record).await
    });
    while seen.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!running.is_finished(), "the first line came before the end");
    assert_eq!(seen.load(Ordering::SeqCst), "first\n".len());
    running.await.expect("no panic").expect("ran");
}
