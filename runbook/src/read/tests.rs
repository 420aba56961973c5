use serde_json::json;

use super::*;
use crate::mapped::Mapped;
use crate::model::Target;
use crate::node::Scalar;
use crate::spec;

fn node(yaml: &str) -> Node {
    let mut text = Mapped::default();
    text.push_line(yaml, 0);
    crate::yaml::parse(&text).unwrap()
}

fn message<T: std::fmt::Debug>(result: Result<T, ReadError>) -> String {
    let error = result.unwrap_err();
    format!("{}; {}", error.message, error.hint.unwrap_or_default())
}

#[test]
fn bools_are_true_and_false_only() {
    assert_eq!(bool(&node("true")), Ok(true));
    assert_eq!(
        message(bool(&node("yes"))),
        "`yes` is not a bool; write `true`"
    );
    assert_eq!(
        message(bool(&node("Off"))),
        "`Off` is not a bool; write `false`"
    );
    assert_eq!(
        message(bool(&node("'true'"))),
        "`true` is quoted, so it is text; write `true` without quotes"
    );
    assert_eq!(
        message(bool(&node("[a]"))),
        "a list is not a bool; write `true` or `false`"
    );
}

#[test]
fn a_bare_number_is_no_duration() {
    assert_eq!(duration(&node("1h30m")), Ok(Duration::from_secs(5400)));
    assert_eq!(
        message(duration(&node("30"))),
        "`30` has no unit; write `30s`, `30m` or `30ms`"
    );
    assert_eq!(
        message(duration(&node("{a: 1}"))),
        "a map is not a duration; write a duration"
    );
}

#[test]
fn sizes_are_bytes_unless_said() {
    assert_eq!(size(&node("8Gi")), Ok(8 << 30));
    assert_eq!(size(&node("4096")), Ok(4096));
    assert!(size(&node("eight")).is_err());
}

#[test]
fn texts_keep_their_source() {
    for text in ["1.10", "no", "True", "0644"] {
        assert_eq!(super::text(&node(text)).as_deref(), Ok(text));
    }
}

#[test]
fn one_value_stands_for_a_list_of_one() {
    assert_eq!(list_of_text(&node("a")), Ok(vec!["a".into()]));
    assert_eq!(
        list_of_text(&node("[a, 1.10]")),
        Ok(vec!["a".into(), "1.10".into()])
    );
}

#[test]
fn targets_have_forms() {
    assert_eq!(target(&node("local")), Ok(Target::Local));
    assert_eq!(
        target(&node("pod/web/app=nginx")),
        Ok(Target::Pod {
            namespace: "web".into(),
            pod: "app=nginx".into()
        })
    );
    assert_eq!(
        message(target(&node("locl"))),
        "`locl` is not a target; did you mean `local`?"
    );
    assert_eq!(
        message(target(&node("lcx/web"))),
        "`lcx/web` is not a target; did you mean `lxc/web`?"
    );
    assert_eq!(
        message(target(&node("[local]"))),
        "a step has one target, not a list; write `each: {on: […]}` to run it on several"
    );
    assert!(target(&node("pod/web")).is_err());
    assert!(target(&node("node/a/b")).is_err());
}

#[test]
fn words_suggest_the_nearest() {
    assert_eq!(
        message(word(&node("runing"), &["running", "stopped"])),
        "`runing` is not one of `running`, `stopped`; did you mean `running`?"
    );
}

#[test]
fn what_a_template_gave_is_read_like_what_was_written() {
    let given = |value| Node {
        span: Span::default(),
        kind: Kind::Value(value),
    };
    assert_eq!(int(&given(json!(80))), Ok(80));
    assert_eq!(int(&given(json!("80"))), Ok(80));
    assert_eq!(bool(&given(json!(true))), Ok(true));
    assert_eq!(
        list_of_text(&given(json!(["a", 1]))),
        Ok(vec!["a".into(), "1".into()])
    );
    assert_eq!(
        map_of_text(&given(json!({"a": 1}))),
        Ok(vec![("a".into(), "1".into())])
    );
    assert!(super::text(&given(json!(null))).is_err());
}

#[test]
fn arguments_are_read_by_name() {
    let args = node("{url: 'http://x', query: {a: 1}, follow: true}");
    let args = Args::new(spec::action("http").unwrap(), &args).unwrap();
    assert_eq!(args.text("url").unwrap(), "http://x");
    assert_eq!(
        args.map("query").unwrap(),
        [("a".to_owned(), "1".to_owned())]
    );
    assert!(args.bool("follow", false).unwrap());
    assert_eq!(args.opt_int("port").unwrap(), None);
    let wrong = node("{host: a, port: http}");
    let error = Args::new(spec::action("tcp").unwrap(), &wrong).unwrap_err();
    assert_eq!(error.message, "`http` is not a whole number");
    let missing = node("{host: a}");
    assert_eq!(
        Args::new(spec::action("tcp").unwrap(), &missing)
            .unwrap_err()
            .message,
        "`tcp` has no `port`"
    );
}

#[test]
fn a_template_satisfies_every_type_when_checked() {
    let template = Node {
        span: Span::default(),
        kind: Kind::Scalar(Scalar {
            text: "{{ vars.a }}".into(),
            plain: false,
        }),
    };
    for ty in [
        Type::Int,
        Type::Duration,
        Type::Map(&Type::Int),
        Type::Word(&["a"]),
    ] {
        let mut errors = Vec::new();
        check(&ty, &template, &mut errors);
        assert_eq!(errors, []);
    }
}

#[test]
fn errors_of_either_are_those_of_the_shape_that_was_written() {
    let mut errors = Vec::new();
    check(
        &spec::action("lxc").unwrap().field("net").unwrap().ty,
        &node("[{bridge: [a]}]"),
        &mut errors,
    );
    assert_eq!(errors[0].message, "a list is not text");
}

#[test]
fn names_of_mounts_and_devices_disks_and_commits_are_known_before_a_run() {
    let told = |action: &str, field: &str, text: &str| {
        let mut errors = Vec::new();
        let field = spec::action(action).unwrap().field(field).unwrap();
        check(&field.ty, &node(text), &mut errors);
        let errors = errors.into_iter().map(|error| {
            let hint = error.hint.unwrap_or_default();
            format!("{}; {hint}", error.message)
        });
        errors.collect::<Vec<_>>()
    };
    let full = "8386465a927ac72f518d1c54ce21fe3c2df03407";
    for (action, field, text) in [
        (
            "lxc",
            "mounts",
            "{mp0: {disk: 'tank:1GiB', path: /x}, mp17: null}",
        ),
        ("vm", "pci", "{hostpci0: {mapping: gpu}, hostpci1: null}"),
        ("vm", "disk", "tank:32GiB"),
        ("lxc", "disk", "'{{ vars.disk }}'"),
        ("helper-script", "commit", full),
    ] {
        assert_eq!(told(action, field, text), [""; 0], "{action} {text}");
    }
    for (action, field, text, expected) in [
        (
            "lxc",
            "mounts",
            "{data: {disk: 'tank:1GiB', path: /x}}",
            "`value` has no key `data`; its keys are `mp0`, `mp1` …",
        ),
        (
            "vm",
            "pci",
            "{hostpci: {mapping: gpu}}",
            "`value` has no key `hostpci`; its keys are `hostpci0`, `hostpci1` …",
        ),
        (
            "lxc",
            "disk",
            "32GiB",
            "`32GiB` is no disk; write its storage and its size: `local-lvm:32GiB`",
        ),
        (
            "lxc",
            "mounts",
            "{mp0: {disk: 'tank:much', path: /x}}",
            "`much` is not a size; write `8GiB`, `500MB` or bytes",
        ),
        (
            "helper-script",
            "commit",
            "main",
            "`main` is no full name of a commit; write all 40 digits: a branch or a tag may mean something else tomorrow",
        ),
    ] {
        assert_eq!(told(action, field, text), [expected], "{action} {text}");
    }
}
