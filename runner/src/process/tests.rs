//! Real children, the bad ones above all. Each test finds its own processes by a number that only it uses.

use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::*;

/// A step over its time is ended within this, whatever its children do.
const END_MAX: Duration = Duration::from_secs(5);

/// A duration for `sleep` that no other process has.
fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!(
        "300.{}{:03}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

fn bash(script: &str) -> Command {
    Command::new("bash", "/")
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .script(script)
}

fn seconds(seconds: f32) -> Limits {
    Limits::new(Duration::from_secs_f32(seconds), Cancel::new())
}

async fn run_script(script: &str, limits: Limits) -> Exit {
    run(&bash(script), limits, Record::default())
        .await
        .expect("bash starts")
}

/// Living processes with this text in their command line.
fn alive(text: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    let lines = entries.filter_map(|entry| {
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&line).replace('\0', " "))
    });
    lines.filter(|line| line.contains(text)).collect()
}

/// Runs a script that would last for minutes with a limit of a second; proves that it was ended in time and wholly.
async fn ends_in_time(script: &str) -> Exit {
    let number = unique();
    let started = Instant::now();
    let exit = run_script(&script.replace("NUMBER", &number), seconds(1.0)).await;
    let took = started.elapsed();
    assert_eq!(exit.end, End::TimedOut);
    assert!(
        took >= Duration::from_secs(1) && took < Duration::from_secs(1) + END_MAX,
        "{took:?}"
    );
    assert_eq!(alive(&number), Vec::<String>::new(), "after {took:?}");
    assert_eq!(exit.survivors, Vec::<i32>::new());
    exit
}

#[tokio::test]
async fn a_child_that_ends_is_reported_with_both_streams_and_its_code() {
    let exit = run_script("echo out; echo err >&2; exit 7", seconds(20.0)).await;
    assert_eq!(
        (exit.end, exit.status, exit.code()),
        (End::Itself, Some(Status::Code(7)), Some(7))
    );
    assert_eq!(
        (
            exit.output.stdout.text().as_ref(),
            exit.output.stderr.text().as_ref()
        ),
        ("out\n", "err\n")
    );
    assert_eq!(exit.output.both().total(), 8);
    assert_eq!((exit.leftovers, exit.is_success()), (0, false));
}

#[tokio::test]
async fn both_streams_keep_the_order_in_which_they_came() {
    let exit = run_script(
        "for n in 1 2 3; do echo o$n; sleep 0.1; echo e$n >&2; sleep 0.1; done",
        seconds(20.0),
    )
    .await;
    assert_eq!(exit.output.both().text(), "o1\ne1\no2\ne2\no3\ne3\n");
    assert_eq!(exit.output.stderr.text(), "e1\ne2\ne3\n");
}

#[tokio::test]
async fn standard_input_is_closed() {
    let exit = run_script("cat; read -r line; echo \"read: $?\"", seconds(20.0)).await;
    assert_eq!(exit.output.stdout.text(), "read: 1\n");
}

#[tokio::test]
async fn the_environment_is_what_was_given_and_nothing_else() {
    let command = Command::new("/usr/bin/env", "/")
        .env("ONE", "1")
        .env("TWO", "a b");
    let exit = run(&command, seconds(20.0), Record::default())
        .await
        .expect("env starts");
    assert_eq!(exit.output.stdout.text(), "ONE=1\nTWO=a b\n");
}

#[tokio::test]
async fn a_signal_is_reported_as_such() {
    let exit = run_script("kill -SEGV $$", seconds(20.0)).await;
    assert_eq!(
        (exit.end, exit.status, exit.code()),
        (End::Itself, Some(Status::Signal(11)), Some(139))
    );
}

#[tokio::test]
async fn a_sleeping_child_is_ended_and_told_by_its_signal() {
    let exit = ends_in_time("sleep NUMBER").await;
    assert_eq!(exit.status, Some(Status::Signal(15)));
    assert!(
        exit.duration < Duration::from_secs(2),
        "TERM is enough: {:?}",
        exit.duration
    );
}

#[tokio::test]
async fn a_child_in_a_session_of_its_own_that_holds_the_pipe_is_ended() {
    ends_in_time("setsid sleep NUMBER & setsid -f sleep NUMBER; wait").await;
}

#[tokio::test]
async fn a_tree_that_is_immune_to_term_is_ended() {
    let exit = ends_in_time("trap '' TERM; (trap '' TERM; sleep NUMBER; sleep NUMBER) & bash -c \"trap '' TERM; sleep NUMBER; :\"; sleep NUMBER").await;
    assert_eq!(exit.status, Some(Status::Signal(9)));
}

#[tokio::test]
async fn an_immune_orphan_without_environment_session_and_pipe_is_ended() {
    let daemon = "env -i /usr/bin/setsid /bin/bash -c \"trap '' TERM; cd /; while :; do /bin/sleep NUMBER; done\"";
    ends_in_time(&format!(
        "( ( {daemon} </dev/null >/dev/null 2>&1 & ) & ); exec sleep NUMBER"
    ))
    .await;
}

#[tokio::test]
async fn a_child_that_starts_others_on_term_is_ended() {
    ends_in_time("trap 'setsid -f sleep NUMBER' TERM; while :; do sleep 0.01; done").await;
}

/// A program that starts its successor and ends, again and again; its argument is to be found in the command line.
fn successors() -> (tempfile::TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("next");
    // Comes to its end by itself after some seconds, should the test fail.
    let script =
        "#!/bin/bash\n((${2:-0} < 5000)) && exec setsid -f \"$0\" \"$1\" $((${2:-0} + 1))\n";
    fs::write(&file, script).expect("a file");
    std::process::Command::new("chmod")
        .arg("755")
        .arg(&file)
        .status()
        .expect("chmod");
    (directory, file)
}

#[tokio::test]
async fn a_child_that_starts_its_successor_and_ends_is_ended() {
    let (_directory, file) = successors();
    ends_in_time(&format!("{} NUMBER; sleep 300", file.display())).await;
    ends_in_time(&format!(
        "for n in 1 2 3; do {} NUMBER; done; trap '' TERM; sleep NUMBER; :",
        file.display()
    ))
    .await;
}

#[tokio::test]
async fn successors_of_a_child_that_ended_by_itself_are_ended() {
    let (_directory, file) = successors();
    let number = unique();
    let exit = run_script(&format!("{} {number}", file.display()), seconds(20.0)).await;
    assert_eq!((exit.end, exit.code()), (End::Itself, Some(0)));
    assert_eq!(alive(&number), Vec::<String>::new());
    assert_eq!(exit.survivors, Vec::<i32>::new());
    assert_ne!(exit.leftovers, 0);
}

#[tokio::test]
async fn a_stopped_child_is_ended() {
    ends_in_time("sleep NUMBER & kill -STOP $!; kill -STOP $$").await;
}

#[tokio::test]
async fn a_child_that_floods_and_ignores_term_is_ended() {
    let exit = ends_in_time("trap '' TERM; : NUMBER; yes").await;
    assert!(exit.output.stdout.total() > 1 << 20);
    assert!(exit.output.stdout.text().len() <= TEXT_BYTES_MAX + 100);
}

#[tokio::test]
async fn what_a_leader_leaves_behind_is_ended_with_it() {
    for script in [
        "sleep NUMBER & echo done",
        "setsid -f sleep NUMBER; echo done",
        "(setsid bash -c \"trap '' TERM; sleep NUMBER; :\" >/dev/null 2>&1 &) ; sleep 0.2; echo done",
        "env -i /usr/bin/setsid -f /bin/sleep NUMBER </dev/null >/dev/null 2>&1; echo done",
    ] {
        let number = unique();
        let started = Instant::now();
        let exit = run_script(&script.replace("NUMBER", &number), seconds(20.0)).await;
        assert_eq!(
            (exit.end, exit.status),
            (End::Itself, Some(Status::Code(0))),
            "{script}"
        );
        assert_eq!(exit.output.stdout.text(), "done\n", "{script}");
        assert!(exit.leftovers >= 1, "{script}");
        assert!(
            started.elapsed() < Duration::from_secs(3),
            "{script}: {:?}",
            started.elapsed()
        );
        assert_eq!(alive(&number), Vec::<String>::new(), "{script}");
    }
}

#[tokio::test]
async fn a_filter_behind_the_output_may_finish() {
    let exit = run_script(
        "exec > >(sleep 0.05; sed 's/^/> /'); echo one; echo two",
        seconds(20.0),
    )
    .await;
    assert_eq!(
        (exit.output.stdout.text().as_ref(), exit.leftovers),
        ("> one\n> two\n", 0)
    );
}

#[tokio::test]
async fn a_request_to_stop_ends_the_tree_with_its_grace_and_a_second_one_at_once() {
    let number = unique();
    let cancel = Cancel::new();
    let limits = Limits {
        timeout: Duration::from_secs(60),
        grace: Duration::from_secs(30),
        cancel: cancel.clone(),
    };
    let script = format!("trap 'echo cleaning; sleep 20' TERM; echo up; sleep {number} & wait");
    let child = tokio::spawn(async move { run_script(&script, limits).await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    cancel.stop();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!child.is_finished(), "it is cleaning");
    cancel.stop_now();
    let exit = tokio::time::timeout(Duration::from_secs(5), child)
        .await
        .expect("it ends at once")
        .expect("no panic");
    assert_eq!(exit.end, End::Cancelled);
    assert_eq!(exit.output.stdout.text(), "up\ncleaning\n");
    assert_eq!(alive(&number), Vec::<String>::new());
}

#[tokio::test]
async fn a_dropped_future_takes_its_tree_with_it() {
    let number = unique();
    let script = format!("setsid -f sleep {number}; trap '' TERM; sleep {number}; :");
    let result = tokio::time::timeout(
        Duration::from_millis(700),
        run_script(&script, seconds(60.0)),
    )
    .await;
    assert!(result.is_err());
    assert_eq!(alive(&number), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_children_keep_their_own_orphans() {
    let (short, long) = (unique(), unique());
    let daemon =
        |number: &str| format!("env -i /usr/bin/setsid -f /bin/sleep {number} >/dev/null 2>&1");
    let keeps = format!(
        "{}; sleep 2.5; pgrep -fc '^/bin/sleep {long}'",
        daemon(&long)
    );
    let ends = format!("{}; sleep 300", daemon(&short));
    let (kept, ended) = tokio::join!(
        tokio::spawn(async move { run_script(&keeps, seconds(30.0)).await }),
        tokio::spawn(async move { run_script(&ends, seconds(0.5)).await }),
    );
    let (kept, ended) = (kept.expect("no panic"), ended.expect("no panic"));
    assert_eq!((ended.end, kept.end), (End::TimedOut, End::Itself));
    assert_eq!(
        kept.output.stdout.text(),
        "1\n",
        "its orphan lived until its own end"
    );
    assert_eq!((alive(&short), alive(&long)), (Vec::new(), Vec::new()));
}

#[tokio::test]
async fn orphans_that_end_do_not_stay_as_zombies() {
    let exit = run_script(
        "for n in 1 2 3 4 5; do (setsid -f true); (true &); done; sleep 1.5",
        seconds(20.0),
    )
    .await;
    assert_eq!(exit.leftovers, 0);
    let own = std::process::id();
    let children =
        fs::read_to_string(format!("/proc/{own}/task/{own}/children")).expect("children");
    for child in children.split_whitespace() {
        let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        assert!(!stat.contains("(true) Z"), "{stat}");
    }
}

#[tokio::test]
async fn a_long_script_goes_through_a_file() {
    let script = format!(
        "true '{}'\necho \"$((6 * 7))\"",
        "x".repeat(SCRIPT_ARGUMENT_BYTES_MAX)
    );
    assert_eq!(
        run_script(&script, seconds(20.0))
            .await
            .output
            .stdout
            .text(),
        "42\n"
    );
    let longest = format!("echo fits{}", " ".repeat(SCRIPT_ARGUMENT_BYTES_MAX - 9));
    assert_eq!(
        run_script(&longest, seconds(20.0))
            .await
            .output
            .stdout
            .text(),
        "fits\n"
    );
}

#[tokio::test]
async fn what_cannot_be_started_says_why() {
    let start = async |command: Command| match run(&command, seconds(5.0), Record::default()).await
    {
        Ok(exit) => panic!("started: {exit:?}"),
        Err(error) => error,
    };
    let error = start(Command::new("no-such-program", "/")).await;
    assert_eq!(error.to_string(), "`no-such-program` is not installed");
    assert!(matches!(
        start(Command::new("bash", "/no/such/place")).await,
        ProcessError::Directory { .. }
    ));
    assert!(matches!(
        start(Command::new("/etc/passwd", "/")).await,
        ProcessError::NotExecutable { .. }
    ));
    assert!(matches!(
        start(bash("echo \0")).await,
        ProcessError::ZeroByte
    ));
    let huge = (0..40).fold(bash("true"), |command, n| {
        command.env(format!("E{n}"), "x".repeat(120_000))
    });
    assert!(matches!(start(huge).await, ProcessError::TooLong));
}

#[tokio::test]
async fn a_program_that_was_replaced_elsewhere_is_found_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let (first, second) = (directory.path().join("a"), directory.path().join("b"));
    let put = |place: &std::path::Path, text: &str| {
        fs::create_dir_all(place).expect("a directory");
        fs::write(place.join("tool"), format!("#!/bin/sh\necho {text}\n")).expect("a file");
        std::process::Command::new("chmod")
            .arg("755")
            .arg(place.join("tool"))
            .status()
            .expect("chmod");
    };
    put(&first, "first");
    put(&second, "second");
    let command =
        Command::new("tool", "/").env("PATH", format!("{}:{}", first.display(), second.display()));
    let text = async || {
        run(&command, seconds(5.0), Record::default())
            .await
            .expect("it starts")
            .output
            .stdout
            .text()
            .into_owned()
    };
    assert_eq!(text().await, "first\n");
    fs::remove_file(first.join("tool")).expect("removed");
    assert_eq!(text().await, "second\n");
}

#[tokio::test]
async fn a_flood_stays_within_its_bounds_in_memory_and_on_disk() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("deep/artifact.log");
    let record = Record {
        keep: Some(Keep {
            path: path.clone(),
            always: false,
        }),
        ..Record::default()
    };
    let command = bash(
        "head -c 100000000 /dev/zero | tr '\\0' x; echo; echo END; head -c 100000000 /dev/zero",
    );
    let exit = run(&command, seconds(60.0), record)
        .await
        .expect("bash starts");
    let stdout = &exit.output.stdout;
    assert_eq!(stdout.total(), 200_000_005);
    assert!(!stdout.is_whole() && stdout.text().len() < TEXT_BYTES_MAX + 100);
    assert_eq!(
        stdout.excerpt().head.len() + stdout.excerpt().tail.len(),
        2 * EXCERPT_BYTES
    );
    let artifact = exit.output.artifact.expect("an artifact");
    assert!(!artifact.whole && artifact.error.is_none());
    assert_eq!(artifact.bytes, ARTIFACT_BYTES_MAX);
    assert_eq!(
        fs::metadata(&path).expect("the file").len(),
        ARTIFACT_BYTES_MAX
    );
}

#[tokio::test]
async fn a_file_is_written_only_when_the_excerpt_has_not_everything() {
    let directory = tempfile::tempdir().expect("a directory");
    let record = |always| Record {
        keep: Some(Keep {
            path: directory.path().join("log"),
            always,
        }),
        ..Record::default()
    };
    let exit = run(&bash("echo short"), seconds(20.0), record(false))
        .await
        .expect("bash starts");
    assert_eq!(exit.output.artifact, None);
    let exit = run(
        &bash("echo short; echo bad >&2"),
        seconds(20.0),
        record(true),
    )
    .await
    .expect("bash starts");
    assert_eq!(exit.output.artifact.expect("an artifact").bytes, 10);
    let exit = run(&bash("seq 20000"), seconds(20.0), record(false))
        .await
        .expect("bash starts");
    let artifact = exit.output.artifact.expect("an artifact");
    assert!(artifact.whole);
    assert_eq!(
        fs::read_to_string(artifact.path).expect("the file"),
        exit.output.stdout.text()
    );
}

#[tokio::test]
async fn a_live_sink_sees_every_byte_and_bad_bytes_are_harmless() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let live = move |stream: Stream, bytes: &[u8]| {
        if stream == Stream::Stdout {
            sink.lock().expect("no panic").extend_from_slice(bytes);
        }
    };
    let record = Record {
        live: Some(Box::new(live)),
        ..Record::default()
    };
    let command = bash("printf 'a\\xff\\xfe\\0b'; head -c 10000000 /dev/zero | tr '\\0' z");
    let exit = run(&command, seconds(20.0), record)
        .await
        .expect("bash starts");
    assert_eq!(seen.lock().expect("no panic").len(), 10_000_005);
    assert!(
        exit.output
            .stdout
            .text()
            .starts_with("a\u{FFFD}\u{FFFD}\0bzzz")
    );
}

#[tokio::test]
async fn a_background_child_stays_up_until_it_is_stopped_with_its_tree() {
    let number = unique();
    let script = format!("echo up; setsid -f sleep {number}; sleep {number}");
    let background =
        spawn_background(&bash(&script), GRACE, Record::default()).expect("bash starts");
    run_script("sleep 0.5", seconds(20.0)).await;
    assert!(background.is_running());
    assert_eq!(background.output().stdout.text(), "up\n");
    assert_eq!(
        alive(&number).len(),
        2,
        "another child's end does not touch it"
    );
    let exit = background.stop().await.expect("it ended");
    assert_eq!(
        (exit.end, exit.output.stdout.text().as_ref()),
        (End::Cancelled, "up\n")
    );
    assert!(!background.is_running());
    assert_eq!(alive(&number), Vec::<String>::new());
}

#[tokio::test]
async fn a_background_child_that_ends_says_so_and_a_dropped_one_is_killed() {
    let background =
        spawn_background(&bash("echo no; exit 3"), GRACE, Record::default()).expect("bash starts");
    assert_eq!(
        background.wait_exit().await.expect("it ended").code(),
        Some(3)
    );
    let number = unique();
    let script = format!("setsid -f sleep {number}; trap '' TERM; sleep {number}; :");
    let background =
        spawn_background(&bash(&script), GRACE, Record::default()).expect("bash starts");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(alive(&number).len(), 3);
    drop(background);
    assert_eq!(alive(&number), Vec::<String>::new());
}
