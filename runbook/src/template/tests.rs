use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::node::{Entry, Kind, Node, Scalar};
use crate::source::Span;

fn scope() -> Scope {
    let mut scope = Scope::new();
    scope.set(
        "vars",
        json!({"pool": "tank", "ports": [80, 443], "on": true, "n": 3, "ratio": 1.5, "none": null, "map": {"a": 1},
               "text": "it's $HOME"}),
    );
    scope.set(
        "inventory",
        json!({"nodes": {
            "still-fawn": {"address": "192.168.4.17", "max-restart": 1},
            "pve1": {"address": "192.168.4.11", "max-restart": 3, "extra": true},
        }}),
    );
    scope.set(
        "steps",
        json!({"gpu-address": {"state": "passed", "changed": true, "duration": 0.5, "pci": "0000:01:00.0", "name": "a b; rm"},
               "a#b/c": {"ip": "10.0.0.1"}}),
    );
    scope.set("profile", json!({"name": "lab", "lab": true}));
    scope
}

fn render(text: &str) -> Value {
    scope()
        .render_text(text)
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn error(text: &str) -> (String, String, String) {
    let error = scope().render_text(text).expect_err(text);
    (
        error.message,
        text[error.range].to_owned(),
        error.hint.unwrap_or_default(),
    )
}

#[test]
fn only_braces_before_a_letter_or_a_bracket_open_a_template() {
    for text in [
        "${#list[@]}",
        "'{%s}'",
        "{% if x %}",
        "{# x #}",
        "{{.Names}}",
        "{{- x }}",
        "{{$x}}",
        "{{ 1 }}",
        "{{}}",
        "{{ }}",
        "{{\"x\"}}",
        "{ {x}}",
        "{{ (x) }}",
        "{{_x}}",
        "{{#include a.sh}}",
        "awk '{{ $1 }}'",
    ] {
        assert!(!has_template(text), "{text}");
        assert_eq!(render(text), json!(text), "{text}");
    }
    for text in ["{{ vars.pool }}", "{{vars.pool}}", "{{\n  vars.pool\n}}"] {
        assert!(has_template(text), "{text}");
        assert_eq!(render(text), json!("tank"), "{text}");
    }
    assert_eq!(render("{{{vars.pool}}}"), json!("{tank}"));
}

#[test]
fn what_is_exactly_one_template_keeps_its_type() {
    assert_eq!(render("{{ vars.ports }}"), json!([80, 443]));
    assert_eq!(render("{{ vars.on }}"), json!(true));
    assert_eq!(render("{{ vars.n }}"), json!(3));
    assert_eq!(render("{{ vars.n + 1 }}"), json!(4));
    assert_eq!(render("{{ vars.ratio }}"), json!(1.5));
    assert_eq!(render("{{ vars.map }}"), json!({"a": 1}));
    assert_eq!(render("{{ vars.none }}"), json!(null));
    assert_eq!(
        render("n={{ vars.n }} {{ vars.on }} {{vars.ratio}}"),
        json!("n=3 true 1.5")
    );
    assert_eq!(render(" {{ vars.n }}"), json!(" 3"));
}

#[test]
fn lists_maps_and_null_are_no_text() {
    assert_eq!(
        error("a {{ vars.ports }}").0,
        "`vars.ports` is a list, which is no text"
    );
    assert!(error("a {{ vars.ports }}").2.contains("join"));
    assert_eq!(
        error("a {{ vars.map }}").0,
        "`vars.map` is a map, which is no text"
    );
    assert_eq!(
        error("a {{ vars.none }}").0,
        "`vars.none` is null, which is no text"
    );
    assert_eq!(render("a {{ vars.none or 'b' }}"), json!("a b"));
    assert_eq!(
        render("a {{ vars.ports | join(sep=',') }}"),
        json!("a 80,443")
    );
}

#[test]
fn expressions_are_those_of_the_specification() {
    assert_eq!(
        render("{{ vars.pool if vars.on else vars.nope }}"),
        json!("tank")
    );
    assert_eq!(
        render("{{ [n.address for n in inventory.nodes | values] | json }}"),
        json!(r#"["192.168.4.17","192.168.4.11"]"#)
    );
    assert_eq!(
        render("{{ inventory.nodes | keys }}"),
        json!(["still-fawn", "pve1"])
    );
    assert_eq!(render("{{ vars.map | json }}"), json!(r#"{"a":1}"#));
    assert_eq!(render("{{ vars.pool | base64 }}"), json!("dGFuaw=="));
    assert_eq!(render("{{ vars.text | sh }}"), json!(r"'it'\''s $HOME'"));
    assert_eq!(render("{{ vars.pool | sh }}"), json!("tank"));
    assert_eq!(render("{{ vars.ports | sh }}"), json!("80 443"));
    assert_eq!(
        render("{{ vars.nope | default(value='') | sh }}x"),
        json!("''x")
    );
    assert_eq!(render("{{ vars.nope | default(value='x') }}"), json!("x"));
    assert_eq!(render("{{ vars.nope is defined }}"), json!(false));
    assert_eq!(render("{{ [{'a': {'b': 1}}] }}"), json!([{"a": {"b": 1}}]));
    assert_eq!(
        render("{{ [{'a': {'b': 1}}] | json }}!"),
        json!(r#"[{"a":{"b":1}}]!"#)
    );
    assert_eq!(render("{{ vars['pool'] ~ '}}' }}"), json!("tank}}"));
    assert_eq!(
        render("{{ vars.text }}"),
        json!("it's $HOME"),
        "nothing is escaped"
    );
}

#[test]
fn names_with_a_hyphen_are_written_with_an_underscore() {
    assert_eq!(
        render("{{ inventory.nodes.still_fawn.address }}"),
        json!("192.168.4.17")
    );
    assert_eq!(
        render("{{ inventory.nodes[\"still-fawn\"].address }}"),
        json!("192.168.4.17")
    );
    assert_eq!(
        render("{{ inventory.nodes.still_fawn.address ~ '' }}"),
        json!("192.168.4.17")
    );
    assert_eq!(render("{{ steps.gpu_address.pci }}"), json!("0000:01:00.0"));
    assert_eq!(render("{{ steps[\"a#b/c\"].ip }}"), json!("10.0.0.1"));
    assert_eq!(
        render("{{ [n.max_restart for n in inventory.nodes | values] }}"),
        json!([1, 3])
    );
    assert_eq!(
        render("{{ [n.max_restart + 1 for n in inventory.nodes | values if n.max_restart > 1] }}"),
        json!([4])
    );
    assert_eq!(
        render("{{ [k ~ ':' ~ v.address for k, v in inventory.nodes] | first }}"),
        json!("still-fawn:192.168.4.17")
    );
    assert_eq!(
        render("{{ inventory.nodes[vars.nope | default(value='pve1')].max_restart }}"),
        json!(3)
    );
    let (message, place, hint) = error("{{ steps.gpu-address.pci }}");
    assert_eq!(
        (message.as_str(), place.as_str()),
        ("`address` is not defined", "address")
    );
    assert!(hint.contains("`steps.gpu_address`"), "{hint}");
    let mut scope = Scope::new();
    scope.set("vars", json!({"a-b": 1, "a_b": 2}));
    assert_eq!(
        scope.render_text("{{ vars.a_b }}").unwrap_err().message,
        "`a_b` means both `a-b` and `a_b`"
    );
    assert_eq!(
        scope.render_text("{{ vars.a_b ~ 1 }}").unwrap_err().message,
        "`a_b` means both `a-b` and `a_b`"
    );
    assert_eq!(scope.render_text("{{ vars[\"a_b\"] }}").unwrap(), json!(2));
}

#[test]
fn an_undefined_name_is_an_error_at_its_place() {
    for (text, message, place, hint) in [
        (
            "x {{ vars.pol }}",
            "`vars.pol` is not defined",
            "vars.pol",
            "did you mean `pool`?",
        ),
        (
            "x {{ vars.pol ~ 'y' }}",
            "`vars.pol` is not defined",
            "vars.pol",
            "did you mean `pool`?",
        ),
        (
            "x {{ vars.pol | upper }}",
            "`vars.pol` is not defined",
            "vars.pol",
            "did you mean `pool`?",
        ),
        (
            "{{ var.pool }}",
            "`var` is not defined",
            "var",
            "did you mean `vars`?",
        ),
        (
            "{{ inventory.nodes.pve1.adress.x }}",
            "`inventory.nodes.pve1.adress` is not defined",
            "inventory.nodes.pve1.adress",
            "did you mean `address`?",
        ),
        (
            "{{ vars.ports[2] }}",
            "`vars.ports[2]` is not defined",
            "vars.ports[2]",
            "",
        ),
        (
            "{{ profile.zzz }}",
            "`profile.zzz` is not defined",
            "profile.zzz",
            "known are: `name`, `lab`",
        ),
        (
            "{{ vars[steps.x.y] }}",
            "`steps.x` is not defined",
            "steps.x",
            "known are: `gpu_address`, `a#b/c`",
        ),
        (
            "{{range .Items}}",
            "`range` is not defined",
            "range",
            TEMPLATE_OFF_HINT,
        ),
        (
            "{{ [n.extra for n in inventory.nodes | values] }}",
            "`n.extra` is not defined for every item",
            "n.extra",
            "say what stands there instead: `n.extra | default(value=…)`",
        ),
        (
            "{{ [n.a_b for n in inventory.nodes | values] | json }}",
            "`n.a_b` is not defined for every item",
            "n.a_b",
            "say what stands there instead: `n.a_b | default(value=…)`",
        ),
        (
            "{{ [__tera_context] }}",
            "`__tera_context` is not defined",
            "__tera_context",
            "known are: `inventory`, `profile`, `steps`, `vars`; put `template: off` on the step when its body has `{{` of its own",
        ),
    ] {
        assert_eq!(
            error(text),
            (message.to_owned(), place.to_owned(), hint.to_owned()),
            "{text}"
        );
    }
}

#[test]
fn what_is_no_expression_is_an_error_at_its_place() {
    for (text, message, place) in [
        ("{{ vars.a", "`{{` is not closed by `}}`", "{{"),
        ("{{ vars.pool | uper }}", "unknown filter `uper`", "uper"),
        ("{{ vars.pool is strin }}", "unknown test `strin`", "strin"),
        ("{{ env('x') }}", "unknown function `env`", "env"),
        ("{{ print $1 }}", "`$` is not part of an expression", "$"),
        ("{{ a 'x }}", "a text in `'` is not closed", "'"),
        ("{{ vars.pool) }}", "`)` closes nothing", ")"),
        ("{{ f(a }}", "a bracket is not closed", "("),
        (
            "{{ vars. }}",
            "not an expression: found `}}` but expected identifier",
            "",
        ),
    ] {
        let errors = check(text);
        assert_eq!(errors.len(), 1, "{text}: {errors:?}");
        assert_eq!(errors[0].message, message, "{text}");
        if !message.starts_with("not an") {
            assert_eq!(&text[errors[0].range.clone()], place, "{text}");
        }
    }
    assert_eq!(
        error("{{ vars.pool + 1 }}").0,
        "`+` requires both operands to be numbers, found `string` and `i64`"
    );
    assert_eq!(
        check("{{ end $x }}")[0].hint.as_deref(),
        Some(TEMPLATE_OFF_HINT)
    );
    for text in [
        "{{ if .X }}",
        "{{ else }}",
        "{{end}}",
        "{{ with .X }}",
        "{{ toYaml .Values.a }}",
    ] {
        assert_eq!(error(text).2, TEMPLATE_OFF_HINT, "{text}");
    }
    assert!(check("{{ vars.a | default(value=1) }} {{ b.c_d[0].e is defined }} {{ [x_y.a_b for x_y in c] }}").is_empty());
}

#[test]
fn brackets_cannot_exhaust_the_stack() {
    for (open, close) in [("a[", "]"), ("[", "]"), ("a(b=[", "])"), ("[{'a': ", "}]")] {
        let text = format!("{{{{ {}1{} }}}}", open.repeat(50_000), close.repeat(50_000));
        let errors = check(&text);
        assert!(
            errors.len() == 1 && errors[0].message.starts_with("brackets nest deeper"),
            "{open}"
        );
        assert!(scope().render_text(&text).is_err());
        assert!(
            check(&format!("{{{{ {}", open.repeat(50_000)))[0]
                .message
                .contains("is not closed")
        );
    }
}

#[test]
fn every_filter_and_test_that_is_listed_is_known_to_the_engine() {
    for filter in filters::BUILT_IN.iter().chain(filters::OWN) {
        let error = ENGINE_ERROR(&format!("{{{{ vars.pool | {filter} }}}}"));
        assert!(!error.contains("Unknown"), "{filter}: {error}");
    }
    for test in filters::TESTS {
        let error = ENGINE_ERROR(&format!("{{{{ vars.pool is {test} }}}}"));
        assert!(!error.contains("Unknown"), "{test}: {error}");
    }
}

#[expect(non_snake_case, reason = "reads as what it gives")]
fn ENGINE_ERROR(template: &str) -> String {
    let mut tera = tera::Tera::default();
    for own in filters::OWN {
        tera.register_filter(
            *own,
            |value: tera::Value, _: tera::Kwargs, _: &tera::State<'_>| value,
        );
    }
    tera.render_str(template, scope().context(), false)
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default()
}

#[test]
fn nodes_are_rendered_by_value_and_keys_are_not() {
    let scalar = |text: &str, plain| Node {
        span: Span::new(1, 2),
        kind: Kind::Scalar(Scalar {
            text: text.into(),
            plain,
        }),
    };
    let node = Node {
        span: Span::new(0, 9),
        kind: Kind::Map(vec![Entry {
            key: "{{ vars.pool }}".into(),
            key_span: Span::at(0),
            value: Node {
                span: Span::at(3),
                kind: Kind::List(vec![
                    scalar("{{ vars.n }}", false),
                    scalar("80", true),
                    scalar("8{{ vars.n }}", true),
                ]),
            },
        }]),
    };
    let rendered = scope().render(&node).unwrap();
    assert_eq!(
        rendered.to_json(),
        json!({"{{ vars.pool }}": [3, 80, "83"]})
    );
    let (span, error) = scope().render(&scalar("a {{ vars.x }}", true)).unwrap_err();
    assert_eq!((span, error.range), (Span::new(1, 2), 5..11));
}

#[test]
fn what_a_guest_printed_is_not_code() {
    let scope = scope();
    assert_eq!(
        scope
            .render_script("lspci -s {{ steps.gpu_address.pci }}\n")
            .unwrap(),
        "lspci -s 0000:01:00.0\n"
    );
    assert_eq!(
        scope.render_script("echo {{ vars.text }}").unwrap(),
        "echo it's $HOME",
        "only captures are looked at"
    );
    assert_eq!(
        scope
            .render_script("echo {{ steps.gpu_address.state }}")
            .unwrap(),
        "echo passed"
    );
    assert_eq!(
        scope
            .render_script("echo {{ steps.gpu_address.name | sh }}")
            .unwrap(),
        "echo 'a b; rm'"
    );
    assert_eq!(
        scope
            .render_script("echo {{ [steps.gpu_address.name ~ '!'] | first | upper | sh }}")
            .unwrap(),
        "echo 'A B; RM!'"
    );
    for script in [
        "echo {{ steps.gpu_address.name }}",
        "echo {{ steps.gpu_address.name | upper }}",
        "echo {{ steps.gpu_address.name | sh | upper }}",
        "echo {{ steps.gpu_address.name ~ vars.pool | sh }}",
        "echo {{ steps.gpu_address.name if vars.on else vars.pool | sh }}",
        "echo {{ [steps.gpu_address.name][0] }}",
        "echo {{ steps.gpu_address | json }}",
        "echo {{ steps[\"gpu-\" ~ \"address\"].name }}",
    ] {
        let error = scope.render_script(script).expect_err(script);
        assert!(
            matches!(error, ScriptError::Unsafe { .. }),
            "{script}: {error:?}"
        );
        assert!(error.hint().unwrap().contains("| sh"));
    }
    let error = scope
        .render_script("echo {{ steps.gpu_address.name }}")
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "`steps.gpu_address.name` gives characters that are not put into a script: a blank `;`"
    );
    assert_eq!(error.range(), 5..33);
}

#[test]
fn an_item_that_was_captured_is_a_capture_and_a_secret_is_refused() {
    let scope = scope()
        .with_captured("disk", json!("a;b"))
        .with("plain", json!("a;b"));
    assert!(matches!(
        scope.render_script("x {{ disk }}"),
        Err(ScriptError::Unsafe { .. })
    ));
    assert_eq!(scope.render_script("x {{ plain }}").unwrap(), "x a;b");
    let each = scope
        .with("pool-size", json!(3))
        .with_captured("disk-id", json!("a;b"));
    assert_eq!(each.render_text("{{ pool_size + 1 }}"), Ok(json!(4)));
    assert!(matches!(
        each.render_script("x {{ disk_id }}"),
        Err(ScriptError::Unsafe { .. })
    ));
    let scope = scope.with("secret", json!({"token": "s"}));
    assert!(matches!(
        scope.render_script("x {{ secret.token }}"),
        Err(ScriptError::Secret { .. })
    ));
    assert!(matches!(
        scope.render_script("x {{ vars.ports }}"),
        Err(ScriptError::Template(_))
    ));
}

proptest! {
    #[test]
    fn no_text_makes_a_template_panic(text in "(\\{\\{|\\}\\}|[a-c.| \\[\\]()'\"_~=-]|vars|steps|inventory|for|in|if|else|is|not|default|[0-9]|é|\\PC){0,24}") {
        let scope = scope();
        let _ = check(&text);
        for expression in expressions(&text) {
            let _ = names(expression.source);
            prop_assert!(text.get(expression.range.clone()).is_some());
        }
        let text_error = scope.render_text(&text).err().map(|error| error.range);
        let script_error = scope.render_script(&text).err().map(|error| error.range());
        for range in [text_error, script_error].into_iter().flatten() {
            prop_assert!(text.get(range.clone()).is_some(), "{range:?}");
        }
        if !has_template(&text) {
            prop_assert_eq!(scope.render_text(&text), Ok(Value::String(text.clone())));
        }
    }

    #[test]
    fn an_expression_that_is_right_is_never_called_wrong(path in "vars\\.(pool|n|on|map)", filter in "(upper|json|sh|base64)", blanks in " {0,3}") {
        let text = format!("{{{{{blanks}{path} | str | {filter}{blanks}}}}}");
        prop_assert_eq!(check(&text), vec![]);
    }
}
