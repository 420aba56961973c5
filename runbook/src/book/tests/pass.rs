//! What one pass finds: errors of every kind beside each other, each with what to do.

use super::{guide, loaded, shown};

const FRONT: &str =
    "---\nvars: {list: [1], map: {a: 1, b-c: 2}, text: x, later: null}\n---\n# Top\n\n";

/// A chapter whose step is a script, from line 6 on; the script is its sixth line.
#[track_caller]
fn script(line: &str, expected: &[&str]) {
    let text = format!("{FRONT}```bash runbook\n#| id: a\n{line}\n```\n");
    assert_eq!(shown(&guide(&text)), expected, "\n{text}");
}

#[test]
fn what_a_var_holds_is_known_before_anything_runs() {
    script(
        "echo {{ vars.map.z }}",
        &["undefined-name 8:9 `vars.map.z` is not defined (known are: `a`, `b_c`)"],
    );
    script(
        "echo {{ vars.text.z }} {{ vars.list[3] }}",
        &[
            "undefined-name 8:9 `vars.text.z` is not defined (add it to `vars` of the guide or to the inventory)",
            "undefined-name 8:27 `vars.list[3]` is not defined (add it to `vars` of the guide or to the inventory)",
        ],
    );
    for fine in [
        "echo {{ vars.map.a }} {{ vars.map.b_c }} {{ vars.list[0] }} {{ vars.list[-1] }}",
        "echo {{ vars.map.z | default(value=1) }}",
        // It is given when it is used.
        "echo {{ vars.later.z }}",
        "echo {{ vars.map[vars.text] }}",
    ] {
        script(fine, &[]);
    }
}

#[test]
fn lists_and_maps_are_no_text() {
    script(
        "echo {{ vars.list }} {{ vars.map }}",
        &[
            "invalid-template 8:9 `vars.list` is a list, which is no text (write `| join(sep=\" \")` or `| json`)",
            "invalid-template 8:25 `vars.map` is a map, which is no text (write `| json`)",
        ],
    );
    script(
        "echo '{{ vars.map | json }}' {{ vars.list | join(sep=\",\") }}",
        &[],
    );
    script(
        "echo {{ inventory.nodes }}",
        &["invalid-template 8:9 `inventory.nodes` is a map, which is no text (write `| json`)"],
    );
    let whole = format!(
        "{FRONT}```runbook\nid: a\nbash: 'true'\neach: {{n: '{{{{ vars.list }}}}'}}\n```\n"
    );
    assert_eq!(shown(&guide(&whole)), [""; 0]);
}

#[test]
fn every_error_says_what_to_do() {
    for line in [
        "echo {{ vars.nowhere }}",
        "echo {{ vars.text + }}",
        "echo {{ vars.text | }}",
    ] {
        let text = format!(
            "# Top\n\n```bash runbook\n#| id: a\n#| qqqqqqqq: 1\n#| needs: [b]\n{line}\n```\n"
        );
        let found = guide(&text).diagnostics;
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found.iter().all(|one| one.hint.is_some()), "{found:?}");
    }
}

#[test]
fn a_circle_is_told_beside_other_errors() {
    let step = |id: &str, more: &str| format!("```bash runbook\n#| id: {id}\n{more}true\n```\n\n");
    let text = String::from("# Top\n\n")
        + &step("a", "#| needs: [nowhere]\n")
        + &step("b", "#| needs: [c]\n")
        + &step("c", "#| needs: [b]\n")
        + &step("d", "#| titel: x\n");
    let rules: Vec<&str> = guide(&text)
        .diagnostics
        .iter()
        .map(|one| one.rule)
        .collect();
    assert_eq!(rules, ["unknown-ref", "needs-cycle", "unknown-key"]);
}

#[test]
fn a_path_that_no_id_can_hold_is_refused() {
    let found = shown(&loaded(&[(
        "c#/a",
        "# Top\n\n```bash runbook\n#| id: a\ntrue\n```\n",
    )]));
    assert_eq!(
        found,
        [
            "chapter-path 3:4 the chapter's path `c#/a` holds `#`, which begins a section in an ID (rename the file or its folder)"
        ]
    );
    assert_eq!(shown(&loaded(&[("c#/a", "# Prose\n")])), [""; 0]);
    assert_eq!(
        shown(&loaded(&[(
            "my notes/a",
            "# Top\n\n```bash runbook\n#| id: a\ntrue\n```\n"
        )])),
        [""; 0]
    );
}

#[test]
fn a_step_that_prose_includes_is_refused() {
    let step = "```bash runbook\n#| id: a\ntrue\n```\n";
    let found = shown(&guide(&format!(
        "# Top\n\n{step}\n{{{{#include step.txt}}}}\n"
    )));
    assert_eq!(
        found,
        [
            "step-in-include 8:1 `step.txt` holds a step, which nobody executes where it is included (write the step into the chapter, or make the file a chapter of its own)"
        ]
    );
    for shown_only in [
        "```text\n{{#include step.txt}}\n```",
        "`{{#include step.txt}}`",
        "\\{{#include step.txt}}",
        "{{#include hello.sh}}",
    ] {
        assert_eq!(
            shown(&guide(&format!("# Top\n\n{step}\n{shown_only}\n"))),
            [""; 0],
            "{shown_only}"
        );
    }
}

#[test]
fn a_secret_is_known_by_its_name_or_its_place() {
    let found = |keys: &str| {
        let text = format!("# Top\n\n```runbook\nid: a\n{keys}\n```\n");
        guide(&text)
            .diagnostics
            .iter()
            .map(|one| one.rule)
            .collect::<Vec<_>>()
    };
    for keys in [
        "http: {url: 'https://admin:hunter2@nas/'}",
        "bash: 'true'\nenv: {GRAFANA_TOKEN: abc, BASE_URL: 'https://admin:hunter2@nas/'}",
    ] {
        assert!(
            found(keys).iter().all(|rule| *rule == "literal-secret") && !found(keys).is_empty(),
            "{keys}"
        );
    }
    for keys in [
        "http: {url: 'https://admin@nas:8443/a:b@c'}",
        "http: {url: 'https://admin:{{ secret.grafana_token }}@nas/'}\nsecrets: [grafana-token]",
        "bash: 'true'\nenv: {TOKENS: abc, TOKEN_FILE: abc, MY_TOKEN: $OTHER}",
    ] {
        assert_eq!(found(keys), [""; 0], "{keys}");
    }
}

#[test]
fn a_muddled_info_string_is_told_as_it_should_be() {
    let text = "# Top\n\n```Bash Runbook Read\n#| id: a\ntrue\n```\n";
    assert_eq!(
        shown(&guide(text)),
        [
            "fence-info 3:4 the info string `Bash Runbook Read` is not understood (write `bash runbook read`)"
        ]
    );
}
