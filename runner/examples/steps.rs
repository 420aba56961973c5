//! Measures what a child costs over a bare `bash -c true` loop: `cargo run --release --example steps [N]`.
//!
//! Prints CPU seconds (own and children's) per child for a plain loop of `std::process` and for `process::run`.

use std::process::Stdio;
use std::time::{Duration, Instant};

use runbook_runner::process::{Cancel, Command, Limits, Record, run};
use runbook_runner::redact::Redactor;

fn main() {
    let count: u32 = std::env::args()
        .nth(1)
        .and_then(|count| count.parse().ok())
        .unwrap_or(500);
    let redactor = Redactor::new();
    redactor
        .learn("a-secret-of-the-bench")
        .expect("long enough");
    for round in 0..3 {
        let bare = measure(count, || {
            for _ in 0..count {
                let mut command = std::process::Command::new("/bin/bash");
                command
                    .args(["-c", "true"])
                    .env_clear()
                    .env("PATH", "/usr/bin:/bin")
                    .stdin(Stdio::null());
                command.status().expect("bash starts");
            }
        });
        report(round, "bare", bare, bare);
        for threads in [0, 2] {
            let runtime = match threads {
                0 => tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build(),
                _ => tokio::runtime::Builder::new_multi_thread()
                    .worker_threads(threads)
                    .enable_all()
                    .build(),
            };
            let runtime = runtime.expect("a runtime");
            let redactor = redactor.clone();
            let ours = measure(count, || {
                runtime.block_on(async {
                    let steps = async move {
                        let command = Command::new("bash", "/")
                            .env("PATH", "/usr/bin:/bin")
                            .arg("-eu")
                            .script("true");
                        for _ in 0..count {
                            let limits = Limits::new(Duration::from_secs(60), Cancel::new());
                            let redact = Some(std::sync::Arc::new(redactor.clone()) as _);
                            let record = Record {
                                redact,
                                ..Record::default()
                            };
                            let exit = run(&command, limits, record).await.expect("bash starts");
                            assert!(exit.is_success());
                        }
                    };
                    if threads == 0 {
                        steps.await
                    } else {
                        tokio::spawn(steps).await.expect("no panic")
                    }
                });
            });
            report(
                round,
                if threads == 0 {
                    "one thread"
                } else {
                    "two workers"
                },
                ours,
                bare,
            );
        }
    }
}

/// CPU and wall time per child.
fn measure(count: u32, work: impl FnOnce()) -> (Duration, Duration) {
    let (cpu, wall) = (cpu(), Instant::now());
    work();
    ((self::cpu() - cpu) / count, wall.elapsed() / count)
}

/// CPU time of this process and its reaped children, from `/proc/self/stat`.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace();
    let ticks: u64 = fields
        .skip(11)
        .take(4)
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10)
}

#[expect(clippy::print_stdout, reason = "a measurement")]
fn report(
    round: u32,
    name: &str,
    (cpu, wall): (Duration, Duration),
    (bare, _): (Duration, Duration),
) {
    println!(
        "{round} {name:12} cpu {:.3} ms  wall {:.3} ms  over bare {:+.3} ms",
        cpu.as_secs_f64() * 1e3,
        wall.as_secs_f64() * 1e3,
        (cpu.as_secs_f64() - bare.as_secs_f64()) * 1e3
    );
}
