//! Scripts: exit codes, streams, input, environment, quoting.

use proptest::prelude::*;
use runbook_runner::process::End;
use runbook_runner::remote::{Login, Way};

use crate::endpoint::{Endpoint, own_endpoint, run};

crate::everywhere!(exit_codes_and_both_streams_come_back);

async fn exit_codes_and_both_streams_come_back(endpoint: Endpoint) {
    for code in [0, 1, 7, 126, 127, 254, 255] {
        let finished = endpoint
            .bash(&format!("echo out; echo err >&2; exit {code}"))
            .await;
        assert_eq!(finished.end, End::Itself);
        assert_eq!(finished.code, Some(code));
        assert_eq!(finished.output.stdout.text(), "out\n");
        assert_eq!(finished.output.stderr.text(), "err\n");
        assert_eq!(finished.leftovers, 0);
    }
    let finished = endpoint.bash("kill -s SEGV $$").await;
    assert_eq!(finished.code, Some(139), "128 and the signal");
    assert_eq!(finished.output.stderr.text(), "");
}

crate::everywhere!(each_language_is_strict_and_its_failing_line_ends_it);

async fn each_language_is_strict_and_its_failing_line_ends_it(endpoint: Endpoint) {
    let remote = endpoint.remote();
    for (language, text, out, code) in [
        ("bash", "echo a; false | true; echo b", "a\n", 1),
        ("bash", "echo a; echo $nothing; echo b", "a\n", 1),
        ("sh", "echo a; false; echo b", "a\n", 1),
        ("python", "print('a'); raise SystemExit(3)", "a\n", 3),
    ] {
        let finished = run(&remote, language, text, &[], 30.0).await.expect("ran");
        assert_eq!(finished.output.stdout.text(), out, "{language}");
        assert_eq!(finished.code, Some(code), "{language}");
    }
}

crate::everywhere!(a_command_that_reads_its_input_gets_the_end_at_once);

async fn a_command_that_reads_its_input_gets_the_end_at_once(endpoint: Endpoint) {
    let finished = endpoint
        .bash("cat; read -r x || echo end; wc -c </dev/stdin")
        .await;
    assert_eq!(finished.output.stdout.text(), "end\n0\n");
}

crate::by_ssh!(a_script_starts_in_the_home_with_an_environment_of_its_own);

async fn a_script_starts_in_the_home_with_an_environment_of_its_own(endpoint: Endpoint) {
    let remote = endpoint.remote();
    let text = "[ \"$PWD\" = \"$HOME\" ] && [ \"$(cd ~ && pwd)\" = \"$HOME\" ] && echo home; env | cut -d= -f1 | sort | tr '\\n' ' '; type -P sleep >/dev/null";
    let env = [("LANG", "C.UTF-8"), ("TERM", "dumb")];
    let finished = run(&remote, "bash", text, &env, 30.0).await.expect("ran");
    assert_eq!(
        finished.output.stdout.text(),
        "home\nHOME LANG PATH PWD RUNBOOK_STEP SHLVL TERM _ "
    );
}

crate::everywhere!(a_missing_program_is_reported_as_a_shell_does);

async fn a_missing_program_is_reported_as_a_shell_does(endpoint: Endpoint) {
    let finished = endpoint.bash("no-such-program-here").await;
    assert_eq!(finished.code, Some(127));
    let said = finished.output.stderr.text().into_owned();
    assert!(
        said.contains("no-such-program-here: command not found"),
        "{said}"
    );
}

crate::everywhere!(no_value_stands_in_a_command_line);

async fn no_value_stands_in_a_command_line(endpoint: Endpoint) {
    let remote = endpoint.remote();
    // The second one does stand in one: the script's own.
    let text = "t=word-in-the-script; cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | \
        awk -v t=\"$t\" 'index($0, ENVIRON[\"TOKEN\"]) {print \"value\"} index($0, t) {print \"script\"}'";
    let env = [("TOKEN", "s3cr3t-value-of-nobody")];
    let finished = run(&remote, "bash", text, &env, 30.0).await.expect("ran");
    assert_eq!(finished.output.stdout.text().trim(), "script");
}

crate::everywhere!(hostile_values_arrive_as_they_are);

async fn hostile_values_arrive_as_they_are(endpoint: Endpoint) {
    let remote = endpoint.remote();
    let values = [
        "",
        " ",
        "'",
        "''\\''",
        "\"$(touch /tmp/no)\"",
        "a\nb\n\n",
        "\\",
        "`id`",
        "-n",
        "*",
        "~",
        "é\u{81}\u{88}\u{10FFFF}",
        "!x!",
        "%s%n",
        "\r\n\t\x1b[31m\x07",
        "#end-of-data.",
        "\x1e",
    ];
    for value in values {
        let env = [("X", value)];
        for (language, text) in [
            ("bash", "printf %s \"$X\""),
            ("sh", "printf %s \"$X\""),
            (
                "python",
                "import os, sys; sys.stdout.buffer.write(os.environb[b'X'])",
            ),
        ] {
            let finished = run(&remote, language, text, &env, 30.0).await.expect("ran");
            assert_eq!(finished.output.stdout.text(), value, "{language} {value:?}");
        }
    }
}

/// A `pct` that does what the real one does with its arguments, for a container that is this machine.
fn with_pct(endpoint: &Endpoint) -> Way {
    let text = "[ \"$1\" = exec ] && [ \"$2\" = 104 ] && [ \"$3\" = -- ] || { echo \"container '$2' not running!\" >&2; exit 255; }\nshift 3\ncd /\nexec \"$@\"";
    endpoint.server().programs(&[("pct", text.to_owned())]);
    Way::Pct {
        node: Login::new(&endpoint.host),
        vmid: 104,
    }
}

#[tokio::test]
async fn a_container_is_reached_through_its_node() {
    let Some(endpoint) = own_endpoint() else {
        return;
    };
    let remote = endpoint.by(with_pct(&endpoint));
    let text = "printf '%s|' \"$X\" \"$HOME\" \"$PWD\"; exit 255";
    let finished = run(&remote, "sh", text, &[("X", "it's\n$HOME")], 30.0)
        .await
        .expect("ran");
    let home = if rustix_is_root() { "/root" } else { "/" };
    assert_eq!(
        finished.output.stdout.text(),
        format!("it's\n$HOME|/root|{home}|")
    );
    assert_eq!(finished.code, Some(255));
    let other = endpoint.by(Way::Pct {
        node: Login::new(&endpoint.host),
        vmid: 105,
    });
    let error = run(&other, "sh", "echo", &[], 30.0)
        .await
        .expect_err("not running");
    assert_eq!(
        error.to_string(),
        "host/target cannot be used: container '105' not running!"
    );
}

fn rustix_is_root() -> bool {
    std::fs::read_dir("/root").is_ok()
}

fn texts() -> impl Strategy<Value = String> {
    let nasty = prop::sample::select(vec![
        "'", "\"", "\\", "$(id)", "`id`", "\n", " ", "-", "*", "~", "!", "\u{81}", "é", "${x}",
        ";", "&", "|", "%s", "\\n", "\t", "\r", "#", "\x1e", "{{", "$'\\''",
    ]);
    prop_oneof![
        prop::collection::vec(nasty, 0..10).prop_map(|parts| parts.concat()),
        "[^\0]{0,12}",
    ]
}

/// Three hops: the shell of this machine's `ssh`, the node's login shell, the container's.
#[test]
fn any_script_and_any_value_pass_three_hops_deep() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let Some(endpoint) = runtime.block_on(async { own_endpoint() }) else {
        return;
    };
    let direct = endpoint.remote();
    let through = endpoint.by(with_pct(&endpoint));
    let config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(24)
    };
    proptest!(config, |(value in texts(), word in texts())| {
        // The word stands in the script's own text, quoted for its shell, with one shell more inside.
        let quoted = runbook_runner::remote::quote::quote_str(&word);
        let inner = runbook_runner::remote::quote::quote_str(&format!("printf %s {quoted}"));
        let text = format!("printf '%s\\n--\\n' \"$X\"; sh -c {inner}");
        for remote in [&direct, &through] {
            let finished = runtime
                .block_on(run(remote, "sh", &text, &[("X", &value)], 30.0))
                .expect("ran");
            prop_assert_eq!(finished.output.stdout.text(), format!("{value}\n--\n{word}"));
            prop_assert_eq!(finished.output.stderr.text(), "");
        }
    });
}
