//! Secrets: where they come from, who sees them, and that nothing shows them.

use runbook::outcome::State;

use crate::book_test::{BookTest, bash, step};

const SECRET: &str = "hunter2-very-secret";

fn inventory(secret: &str) -> String {
    format!("profiles: {{home: {{vars: {{}}}}}}\nsecrets: {{token: {secret}}}\n")
}

#[test]
fn files_and_commands_give_secrets_that_only_the_steps_see_that_list_them() {
    let steps = bash(
        "id: a\nsecrets: [token]",
        "test \"$TOKEN\" = hunter2-very-secret",
    ) + &bash(
        "id: b\nsecrets: {API_KEY: token}",
        "test \"$API_KEY\" = hunter2-very-secret",
    ) + &bash("id: c", "test -z \"${TOKEN:-}\"");
    for source in [
        "{file: token.txt}",
        "{command: cat token.txt}",
        "{command: 'printf hunter2-very-secret'}",
    ] {
        let book = BookTest::new(&steps)
            .home()
            .inventory(&inventory(source))
            .file("token.txt", "hunter2-very-secret\n");
        let ran = book.run();
        for id in ["a", "b", "c"] {
            assert_eq!(
                ran.state(id),
                State::Passed,
                "{source}: {id}: {}",
                ran.why(id)
            );
        }
    }
}

#[test]
fn no_event_and_no_output_shows_a_secret_in_any_form() {
    let steps = bash(
        "id: a\nsecrets: [token]\nexpect: {stdout: nothing}",
        "echo \"it is $TOKEN\"; echo -n \"$TOKEN\" | base64; echo \"$TOKEN\" >&2",
    ) + &step(
        "id: b\nneeds: []\nsecrets: [token]\nfile: {path: conf, content: 'key={{ secret.token }}'}",
    ) + &step(
        "id: c\nneeds: []\nsecrets: [token]\nhttp: {url: 'http://127.0.0.1:9/?t={{ secret.token }}'}",
    ) + &bash(
        "id: d\nneeds: []\nsecrets: [token]\ncleanup: always\nundo: echo $TOKEN; exit 1",
        "true",
    ) + &bash(
        "id: e\nneeds: []\nsecrets: [token]\ndiagnose: echo $TOKEN",
        "echo $TOKEN; exit 1",
    ) + &bash(
        "id: f\nneeds: []\nsecrets: [token]\ncapture: {t: stdout}",
        "seq 9000; echo $TOKEN",
    );
    let book = BookTest::new(&steps)
        .home()
        .inventory(&inventory("{file: token.txt}"))
        .file("token.txt", SECRET);
    let ran = book.run();
    let base64 = "aHVudGVyMi12ZXJ5LXNlY3JldA";
    let mut shown = ran.journal() + &ran.output;
    for entry in std::fs::read_dir(book.directory().join("artifacts")).unwrap() {
        shown += &std::fs::read_to_string(entry.unwrap().path()).unwrap();
    }
    assert!(shown.contains("it is [hidden]"), "{shown}");
    assert!(
        !shown.contains(SECRET) && !shown.contains(base64),
        "{shown}"
    );
    assert!(
        ran.step("a").message.as_ref().unwrap().contains("[hidden]"),
        "{:?}",
        ran.step("a")
    );
    // The file itself has it.
    assert_eq!(
        std::fs::read_to_string(book.root().join("conf")).unwrap(),
        format!("key={SECRET}")
    );
}

#[test]
fn expectations_see_the_secret_and_tell_nothing_of_it() {
    let steps = bash(
        "id: a\nsecrets: [token]\nexpect: {stdout: '{{ secret.token }}'}",
        "echo \"$TOKEN\"",
    ) + &bash(
        "id: b\nneeds: []\nsecrets: [token]\nexpect: {stdout: '{{ secret.token }}'}",
        "echo another-secret",
    );
    let book = BookTest::new(&steps)
        .home()
        .inventory(&inventory("{file: token.txt}"))
        .file("token.txt", SECRET);
    let ran = book.run();
    assert_eq!(
        (ran.state("a"), ran.state("b")),
        (State::Passed, State::Failed),
        "{}",
        ran.why("a")
    );
    assert!(!ran.journal().contains(SECRET));
}

#[test]
fn a_captured_secret_goes_on_by_env_and_is_shown_nowhere() {
    let steps = bash(
        "id: issue\ncapture: {token: {field: stdout, secret: true}}",
        "echo fresh-token-4711",
    );
    let steps = steps.replace(
        "{field: stdout, secret: true}",
        "{stdout: '(.+)', secret: true}",
    ) + &bash(
        "id: use\nsecrets: {TOKEN: steps.issue.token}",
        "test \"$TOKEN\" = fresh-token-4711; echo $TOKEN",
    );
    let ran = BookTest::new(&steps).run();
    assert_eq!(ran.state("use"), State::Passed, "{}", ran.why("use"));
    assert!(
        !(ran.journal() + &ran.output).contains("fresh-token-4711"),
        "{}",
        ran.journal()
    );
    assert_eq!(ran.step("issue").captures["token"], "(secret)");
}

#[test]
fn what_does_not_resolve_fails_and_is_a_stand_in_in_the_lab() {
    for (source, why) in [
        (
            "{env: NO_SUCH_VARIABLE_ANYWHERE}",
            "has no `NO_SUCH_VARIABLE_ANYWHERE`",
        ),
        ("{file: none.txt}", "cannot be read"),
        ("{command: exit 3}", "exit code 3"),
        ("{command: 'true'}", "it is empty"),
        ("{command: echo a}", "cannot be hidden"),
    ] {
        let steps = bash("id: a\nsecrets: [token]", "touch ran");
        let book = BookTest::new(&steps).home().inventory(&inventory(source));
        let ran = book.run();
        assert_eq!(ran.state("a"), State::Failed, "{source}");
        assert!(
            ran.why("a").contains("secret `token` has no value") && ran.why("a").contains(why),
            "{}",
            ran.why("a")
        );
        assert!(!book.root().join("ran").exists());
    }
    let steps = bash("id: a\nsecrets: [token]", "test \"$TOKEN\" = lab-token");
    let ran = BookTest::new(&steps)
        .inventory("secrets: {token: {file: none}}\n")
        .run();
    assert_eq!(ran.state("a"), State::Passed, "{}", ran.why("a"));
}

#[test]
fn nothing_of_a_captured_secret_shows_where_a_long_output_was_cut() {
    // Half of four mebibytes is kept from each end: a secret across each of the two borders, before and behind what is left out.
    let half = 2 << 20;
    let secret = "tender-otter-4711-quiet-lamp-0815";
    let (first, behind) = ("token=".len() + secret.len() + 1, secret.len() / 2);
    let body = format!(
        "import sys\ns = '-'.join('tender otter 4711 quiet lamp 0815'.split())\nw = sys.stdout.write\nw('token=' + s + '\\n')\n\
         w('.' * ({half} - {first} - {behind}) + s + '.' * {half} + s + '.' * ({half} - {behind}))\n"
    );
    let steps = format!(
        "```python runbook\n#| id: loud\n#| capture: {{token: {{stdout: 'token=(\\S+)', secret: true}}}}\n#| expect: {{stdout: nothing}}\n{body}```\n\n"
    );
    let book = BookTest::new(&steps);
    let ran = book.run();
    assert!(ran.why("loud").contains("nothing"), "{}", ran.why("loud"));
    let kept = std::fs::read_dir(book.directory().join("artifacts"))
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
    let shown = kept.collect::<String>() + &ran.journal() + &ran.output;
    assert!(shown.contains("bytes omitted]\n[hidden]..."));
    for part in [&secret[..8], &secret[4..16], &secret[secret.len() - 8..]] {
        assert!(!shown.contains(part), "`{part}` shows");
    }
}
