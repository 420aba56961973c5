//! A secret never survives, whatever its form and wherever a stream is cut.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn knowing(secrets: &[&str]) -> Redactor {
    let redactor = Redactor::new();
    for secret in secrets {
        redactor.learn(secret).expect("long enough");
    }
    redactor
}

fn check(secret: &str, text: &str, expect: &str) {
    assert_eq!(knowing(&[secret]).redact_str(text), expect, "{text}");
}

fn in_chunks(redactor: &Redactor, bytes: &[u8], cuts: &[usize]) -> Vec<u8> {
    let mut stream = redactor.stream();
    let mut shown = Vec::new();
    let mut rest = bytes;
    for cut in cuts {
        let (chunk, more) = rest.split_at((*cut).min(rest.len()));
        stream.push(chunk, &mut shown);
        rest = more;
    }
    stream.push(rest, &mut shown);
    stream.finish(&mut shown);
    shown
}

#[test]
fn a_value_is_hidden_wherever_it_stands() {
    check(
        "hunter2",
        "user hunter2, again:hunter2",
        "user [hidden], again:[hidden]",
    );
    check("hunter2", "hunter", "hunter");
}

#[test]
fn the_forms_of_a_value_are_hidden() {
    let secret = "p@ss w\"ör\\d<&>/'x'\t!";
    for text in [
        "p%40ss%20w%22%C3%B6r%5Cd%3C%26%3E%2F%27x%27%09%21",
        "p%40ss%20w%22%c3%b6r%5cd%3c%26%3e%2f%27x%27%09%21",
        "p%40ss+w%22%C3%B6r%5Cd%3C%26%3E%2F%27x%27%09%21",
        r#"p@ss w\"ör\\d<&>/'x'\t!"#,
        r#"p@ss w\"ör\\d\u003c\u0026\u003e/'x'\t!"#,
        r#"p@ss w\"\u00f6r\\d<&>/'x'\t!"#,
        r#"p@ss w\"ör\\d<&>\/'x'\t!"#,
        r#"p@ss w\\\"ör\\\\d<&>/'x'\\t!"#,
        "p@ss w&quot;ör\\d&lt;&amp;&gt;/&#39;x&#39;\t!",
        "p@ss w\"ör\\d<&>/'\\''x'\\''\t!",
        &STANDARD.encode(secret),
        &STANDARD_NO_PAD.encode(secret),
        &URL_SAFE.encode(secret),
        &URL_SAFE_NO_PAD.encode(secret),
        &STANDARD.encode(format!("{secret}\n")),
    ] {
        check(secret, &format!("a {text} z"), "a [hidden] z");
    }
}

#[test]
fn base64_of_a_longer_text_shows_nothing_of_the_value() {
    let secret = "correct horse battery";
    for before in 0..6 {
        for after in 0..4 {
            let text = STANDARD.encode(format!(
                "{}{secret}{}",
                "<".repeat(before),
                ">".repeat(after)
            ));
            let shown = knowing(&[secret]).redact_str(&text).into_owned();
            let rest = shown.replace(HIDDEN, "");
            assert!(shown.contains(HIDDEN), "{shown}");
            assert!(rest.len() <= (before + after) * 8 / 6 + 5, "{shown}");
        }
    }
}

#[test]
fn a_key_of_several_lines_is_hidden_line_by_line_and_in_wrapped_base64() {
    let key = "-----BEGIN KEY-----\nAAAAB3NzaC1yc2E\nAAAADAQABAAABgQ\n-----END KEY-----\n";
    check(
        key,
        "  -----BEGIN KEY-----\n  AAAAB3NzaC1yc2E\n  AAAADAQABAAABgQ\n",
        "  -----BEGIN KEY-----\n  [hidden]\n  [hidden]\n",
    );
    let text = STANDARD.encode(key.repeat(3));
    let lines: Vec<_> = text
        .as_bytes()
        .chunks(76)
        .map(|line| String::from_utf8_lossy(line))
        .collect();
    let shown = knowing(&[&key.repeat(3)])
        .redact_str(&lines.join("\n"))
        .into_owned();
    assert_eq!(shown, vec![HIDDEN; lines.len()].join("\n"));
}

#[test]
fn where_secrets_overlap_all_of_both_is_hidden() {
    let redactor = knowing(&["abcdef", "defghi", "abc"]);
    assert_eq!(
        redactor.redact_str("xabcdefghix abcx"),
        "x[hidden]x [hidden]x"
    );
    assert_eq!(redactor.redact_str("xabcabcx"), "x[hidden][hidden]x");
}

#[test]
fn a_short_value_is_refused_and_not_half_hidden() {
    let redactor = Redactor::new();
    for value in ["", "a", "ab", " a \n", "\n\n\n\n"] {
        assert_eq!(redactor.learn(value), Err(TooShort), "{value:?}");
    }
    assert!(redactor.is_empty());
    assert_eq!(redactor.learn("abc"), Ok(()));
}

#[test]
fn json_is_redacted_in_texts_keys_and_numbers() {
    let mut value = json!({"a": ["x hunter2"], "hunter2": {"pin": 123_456, "ok": 12, "no": null}});
    knowing(&["hunter2", "123456"]).redact_json(&mut value);
    assert_eq!(
        value,
        json!({"a": ["x [hidden]"], "[hidden]": {"pin": "[hidden]", "ok": 12, "no": null}})
    );
}

#[test]
fn a_stream_holds_back_only_what_may_begin_a_secret() {
    let redactor = knowing(&["hunter2"]);
    let mut stream = redactor.stream();
    let mut shown = Vec::new();
    stream.push(b"password: ", &mut shown);
    assert_eq!(shown, b"password: ");
    stream.push(b"hunt", &mut shown);
    assert_eq!(shown, b"password: ");
    stream.push(b"ing", &mut shown);
    assert_eq!(shown, b"password: hunting");
}

#[test]
fn a_secret_that_is_learned_later_is_hidden_from_then_on() {
    let redactor = Redactor::new();
    let mut stream = redactor.stream();
    let mut shown = Vec::new();
    assert!(process::Transform::is_idle(&stream));
    stream.push(b"token-1 ", &mut shown);
    redactor.learn("token-1").expect("long enough");
    assert!(!process::Transform::is_idle(&stream));
    stream.push(b"token-1", &mut shown);
    stream.finish(&mut shown);
    assert_eq!(shown, b"token-1 [hidden]");
}

#[test]
fn without_secrets_nothing_is_copied() {
    assert!(matches!(
        Redactor::new().redact_str("hunter2"),
        Cow::Borrowed("hunter2")
    ));
    assert!(matches!(
        knowing(&["other"]).redact_str("hunter2"),
        Cow::Borrowed("hunter2")
    ));
}

#[test]
fn what_a_redactor_prints_of_itself_holds_no_secret() {
    assert!(!format!("{:?}", knowing(&["hunter2"])).contains("hunter2"));
}

#[tokio::test]
async fn no_secret_of_a_child_reaches_memory_disk_or_a_live_sink() {
    use std::sync::Mutex;
    let directory = tempfile::tempdir().expect("a directory");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let record = process::Record {
        keep: Some(process::Keep {
            path: directory.path().join("log"),
            always: true,
        }),
        redact: Some(Arc::new(knowing(&["hunter2"]))),
        live: Some(Box::new(move |_: process::Stream, bytes: &[u8]| {
            sink.lock().expect("no panic").extend_from_slice(bytes)
        })),
    };
    let script = "printf hun; sleep 0.2; printf 'ter2 err ' ; printf 'hunter2' >&2; printf hunt";
    let command = process::Command::new("/bin/bash", "/")
        .env("PATH", "/bin:/usr/bin")
        .script(script);
    let limits = process::Limits::new(std::time::Duration::from_secs(20), process::Cancel::new());
    let exit = process::run(&command, limits, record)
        .await
        .expect("bash starts");
    assert_eq!(exit.output.stdout.text(), "[hidden] err hunt");
    assert_eq!(exit.output.stderr.text(), "[hidden]");
    let file = std::fs::read(exit.output.artifact.expect("an artifact").path).expect("the file");
    let seen = seen.lock().expect("no panic");
    assert_eq!(
        String::from_utf8_lossy(&file),
        String::from_utf8_lossy(&seen)
    );
    assert_eq!(file.len(), "[hidden] err hunt[hidden]".len());
}

proptest! {
    #[test]
    fn a_secret_never_survives_whatever_the_chunks(
        secrets in prop::collection::vec("[ab/+ \"é<\n']{3,9}", 1..4),
        pieces in prop::collection::vec((0_usize..4, 0_usize..7, "[ab/ =%\n]{0,4}"), 0..12),
        cuts in prop::collection::vec(0_usize..9, 0..60),
    ) {
        let redactor = Redactor::new();
        let secrets: Vec<_> = secrets.iter().filter(|secret| redactor.learn(secret).is_ok()).collect();
        let mut text = String::new();
        for (which, form, between) in &pieces {
            if let Some(secret) = secrets.get(*which) {
                text += &match form {
                    0 | 1 => (*secret).clone(),
                    2 => STANDARD.encode(secret),
                    3 => URL_SAFE_NO_PAD.encode(secret),
                    4 => serde_json::to_string(secret).expect("a text"),
                    5 => form_encoded(secret),
                    // The beginning of one: must not be lost.
                    _ => secret.chars().take(2).collect(),
                };
            }
            text += between;
        }
        let whole = redactor.redact_bytes(text.as_bytes()).into_owned();
        let streamed = in_chunks(&redactor, text.as_bytes(), &cuts);
        prop_assert_eq!(String::from_utf8_lossy(&streamed), String::from_utf8_lossy(&whole));
        let shown = String::from_utf8_lossy(&whole).replace(HIDDEN, "\u{1}");
        for secret in secrets {
            let json = serde_json::to_string(secret).expect("a text");
            for form in [secret, &STANDARD.encode(secret), &form_encoded(secret), json.trim_matches('"')] {
                prop_assert!(!shown.contains(form), "{:?} in {:?}", form, shown);
            }
        }
    }

    #[test]
    fn a_text_without_a_secret_comes_out_as_it_is(text in "[x-z \n]{0,80}", cuts in prop::collection::vec(0_usize..9, 0..20)) {
        let redactor = knowing(&["hunter2", "abc"]);
        prop_assert_eq!(in_chunks(&redactor, text.as_bytes(), &cuts), text.as_bytes());
    }
}

/// As a browser encodes it; written apart from what is tested.
fn form_encoded(text: &str) -> String {
    let mut url = reqwest::Url::parse("http://x/").expect("a URL");
    url.query_pairs_mut().append_pair("k", text);
    url.query()
        .unwrap_or_default()
        .trim_start_matches("k=")
        .to_owned()
}

#[test]
fn at_a_cut_no_part_of_a_secret_shows() {
    let redactor = Redactor::new();
    redactor.learn("hunter2-secret").unwrap();
    redactor.learn("abab").unwrap();
    for (before, behind, expect) in [
        (
            "say hunter2",
            "-secret now",
            ("say [hidden]", "[hidden] now"),
        ),
        ("say h", "unter2-secret", ("say [hidden]", "[hidden]")),
        // Whole ones are left to the redaction, unless the one that is cut reaches into them.
        ("abab.", ".abab", ("abab.", ".abab")),
        ("xabab", "ababx", ("x[hidden]", "[hidden]x")),
        ("nothing", " hide", ("nothing", " hide")),
    ] {
        let (mut head, mut tail) = (before.as_bytes().to_vec(), behind.as_bytes().to_vec());
        redactor.hide_at_cut(&mut head, &mut tail);
        let shown = (
            String::from_utf8(head).unwrap(),
            String::from_utf8(tail).unwrap(),
        );
        assert_eq!((&*shown.0, &*shown.1), expect, "{before}|{behind}");
    }
}
