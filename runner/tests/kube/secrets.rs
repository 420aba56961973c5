//! What a Secret holds is judged and captured, and shown nowhere.

use runbook::outcome::State;

use crate::cluster::{Home, on, yaml};

const LOGIN: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: login}\nstringData: {password: '{{ secret.word }}', user: 'ab'}";

#[test]
fn it_is_made_from_a_listed_secret_and_shown_nowhere() {
    let home = Home::new();
    let steps = yaml("login", "secrets: [word]", LOGIN);
    let plan = home.observed(&steps).plan();
    let diff = plan["login"].diff.clone().unwrap();
    assert!(diff.contains("+ data.password: \"(secret)\""), "{diff}");
    let ran = home.book(&steps).run();
    assert_eq!(ran.state("login"), State::Passed, "{}", ran.why("login"));
    let secret = home.object("Secret", "default", "login").unwrap();
    assert_eq!(secret["data"]["password"], "Z2VoZWltZXMtd29ydA==");
    for word in ["geheimes-wort", "Z2VoZWltZXMtd29yd"] {
        assert!(!ran.journal().contains(word), "{word}");
        assert!(!diff.contains(word), "{word}");
    }
}

#[test]
fn an_expectation_may_be_about_it_but_no_row_shows_it() {
    let home = Home::new();
    home.apply_as("kubectl", "apiVersion: v1\nkind: Secret\nmetadata: {name: login}\nstringData: {password: ganz-anders, short: ab}");
    let steps = on(
        "login",
        "get: {kind: Secret, name: login}\nexpect:\n  json:\n    $.data.password: {matches: '^never'}\n    $.data.short: {matches: '^never'}\n    $.metadata.name: login",
    );
    let ran = home.book(&steps).run();
    let step = ran.step("login");
    assert_eq!(step.state, State::Failed);
    let actual: Vec<&str> = step
        .checks
        .iter()
        .map(|check| check.actual.as_str())
        .collect();
    assert_eq!(actual, ["(secret)", "(secret)", "login"]);
    for word in ["ganz-anders", "Z2Fuei1hbmRlcnM", "YWI="] {
        assert!(!ran.journal().contains(word), "{word}");
    }
}

#[test]
fn it_is_captured_only_as_a_secret() {
    let home = Home::new();
    home.apply_as("kubectl", "apiVersion: v1\nkind: Secret\nmetadata: {name: login}\nstringData: {password: ganz-anders}");
    let get = "get: {kind: Secret, name: login}";
    let ran = home
        .book(&on(
            "login",
            &format!("{get}\ncapture: {{word: {{json: $.data.password}}}}"),
        ))
        .run();
    assert_eq!(ran.state("login"), State::Failed);
    assert_eq!(ran.why("login"), "`word` captures what a Secret holds");
    assert_eq!(
        ran.step("login").hint.as_deref(),
        Some("add `secret: true` to the capture")
    );
    assert!(!ran.journal().contains("Z2Fuei1hbmRlcnM"));

    let steps = on(
        "login",
        &format!("{get}\ncapture: {{word: {{json: $.data.password, secret: true}}}}"),
    ) + "```bash runbook\n#| id: use\n#| secrets: {WORD: steps.login.word}\n#| expect: {stdout: {matches: 'ganz'}}\necho \"$WORD\" | base64 -d\n```\n";
    let ran = home.book(&steps).run();
    assert_eq!(ran.state("login"), State::Passed, "{}", ran.why("login"));
    assert_eq!(ran.state("use"), State::Passed, "{}", ran.why("use"));
    assert!(!ran.journal().contains("Z2Fuei1hbmRlcnM"));
}

#[test]
fn a_refusal_of_the_server_does_not_show_it() {
    let home = Home::new();
    // The server says what it was given.
    let body = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ secret.word }}_'}";
    let ran = home.book(&yaml("login", "secrets: [word]", body)).run();
    assert_eq!(ran.state("login"), State::Failed);
    assert!(
        ran.why("login").contains("\"[hidden]_\""),
        "{}",
        ran.why("login")
    );
    assert!(
        !ran.journal().contains("geheimes-wort") && !ran.journal().contains("Z2VoZWltZXMtd29yd")
    );
}
