//! What needs more than one snippet: front matter, the inventory, several chapters, needs.

use super::{Disk, INVENTORY, guide, input, loaded, shown};
use crate::book::{Loaded, load};
use crate::id::Id;
use crate::model::Book;
use crate::source::Source;
use crate::spec::RULES;

fn with_inventory(inventory: &str) -> Loaded {
    let mut input = input(&[("a", "# A\n")]);
    input.inventory = Some(Source::new("inventory.yaml", inventory));
    load(input, &Disk)
}

fn step(id: &str, more: &str) -> String {
    format!("```runbook\nid: {id}\nbash: echo\n{more}```\n\n")
}

#[test]
fn front_matter_is_read_by_its_table() {
    for (front, expected) in [
        (
            "titel: a",
            "unknown-key 2:1 front matter has no key `titel` (did you mean `title`?)",
        ),
        (
            "verify: observed",
            "wrong-type 2:9 `observed` is not one of `observe`, `converge`, `rehearse`, `asked` (did you mean `observe`?)",
        ),
        (
            "timeout: 5",
            "wrong-type 2:10 `5` has no unit (write `5s`, `5m` or `5ms`)",
        ),
        (
            "on: nod/pve1",
            "invalid-target 2:5 `nod/pve1` is not a target (did you mean `node/pve1`?)",
        ),
        (
            "on: node/pve2",
            "unknown-target 2:5 `node/pve2` is not in the inventory (did you mean `node/pve1`?)",
        ),
        (
            "needs: b",
            "unknown-ref 2:8 front matter needs guides or sections, `b` would be a step (write `b#` for a guide at the book's root, `'#b'` for a section)",
        ),
        (
            "needs: guides/b",
            "unknown-ref 2:8 there is no guide `guides/b` (did you mean `guides/a`?)",
        ),
        (
            "vars: {domain: a}",
            "var-twice 2:16 `domain` is a var of the inventory already (choose another name, or take one of them out)",
        ),
        (
            "vars: {a b: a}",
            "invalid-name 2:8 `a b` is not a name (write letters, digits, `_` and `-`, beginning with a letter: `a_b`)",
        ),
        (
            "vars: {a-b: 1, a_b: 2}",
            "name-collision 2:16 `a-b` and `a_b` are one name in a template (choose another name)",
        ),
        (
            "vars: {a: '{{ vars.b }}', b: 1}",
            "undefined-name 2:15 `vars.b` is not defined here (a var may use the vars before it, `inventory` and `profile`)",
        ),
        (
            "vars: {a: '{{ steps.b.c }}'}",
            "undefined-name 2:15 a var cannot use `steps` (use it where the var is used)",
        ),
        (
            "vars: {admin-password: hunter2}",
            "literal-secret 2:24 `admin-password` is written out (name it under `secrets` of the inventory and write `{{ secret.NAME }}`)",
        ),
    ] {
        assert_eq!(
            shown(&guide(&format!("---\n{front}\n---\n# Top\n"))),
            [expected]
        );
    }
}

#[test]
fn a_var_may_use_the_vars_before_it() {
    let text = "---\nvars: {a: 1, b: '{{ vars.a }}/{{ vars.domain }}/{{ inventory.nodes.pve1.address }}/{{ profile.name }}'}\n---\n# Top\n";
    assert_eq!(shown(&guide(text)), [""; 0]);
}

#[test]
fn a_step_above_every_heading_is_an_error() {
    let found = shown(&guide(&format!("{}# Top\n", step("a", ""))));
    assert_eq!(
        found,
        [
            "above-heading 1:4 a step stands above every heading (put a heading above it: a step's ID holds its section)"
        ]
    );
}

#[test]
fn the_errors_of_one_step_do_not_hide_those_of_the_next() {
    let text = "# Top\n\n```runbook\nid: a\nbash: echo\ntimeout: 5\nhidden: yes\nexpct: 1\n```\n\n```runbook\nid: b\n  x: [\n```\n\n```runbook\nid: c\nbash: 'echo {{ vars.x }}'\n```\n";
    let found = shown(&guide(text));
    let rules: Vec<&str> = found
        .iter()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(
        rules,
        [
            "wrong-type",
            "wrong-type",
            "unknown-key",
            "invalid-yaml",
            "undefined-name"
        ],
        "{found:#?}"
    );
}

#[test]
fn what_refers_to_a_broken_step_is_not_told_again() {
    let text = format!(
        "# Top\n\n```runbook\nid: a\nbahs: echo\n```\n\n{}",
        "```runbook\nid: b\nneeds: a\nbash: 'echo {{ steps.a.x }}'\n```\n"
    );
    assert_eq!(
        shown(&guide(&text)),
        ["unknown-key 5:1 a step has no key `bahs` (did you mean `bash`?)"]
    );
}

#[test]
fn a_name_that_several_steps_have_is_ambiguous_outside_their_sections() {
    let one = "```runbook\nid: one\nbash: echo\ncapture: {out: stdout}\n```\n\n";
    let text = format!(
        "# A\n\n{one}# B\n\n{one}```runbook\nid: same\nbash: 'echo {{{{ steps.one.out }}}}'\n```\n\n# C\n\n```runbook\nid: other\nbash: 'echo {{{{ steps.one.out }}}} {{{{ steps[\"a/one\"].out }}}}'\n```\n"
    );
    assert_eq!(
        shown(&guide(&text)),
        [
            "ambiguous-step 26:16 `steps.one` may be several steps (write `steps[\"a/one\"]` or `steps[\"b/one\"]`)"
        ]
    );
}

#[test]
fn a_step_of_another_guide_must_be_needed() {
    let first = "# A\n\n```runbook\nid: one\nbash: echo\ncapture: {out: stdout}\n```\n";
    let use_it = |needs: &str| {
        format!(
            "# B\n\n```runbook\nid: two\n{needs}bash: 'echo {{{{ steps[\"a#a/one\"].out }}}}'\n```\n"
        )
    };
    let both = |second: &str| shown(&loaded(&[("a", first), ("b", second)]));
    assert_eq!(both(&use_it("needs: 'a#a/one'\n")), [""; 0]);
    assert_eq!(both(&use_it("needs: 'a#'\n")), [""; 0]);
    assert_eq!(
        both(&format!("---\nneeds: 'a#'\n---\n{}", use_it(""))),
        [""; 0]
    );
    assert_eq!(
        both(&use_it("")),
        ["undefined-name 5:16 step `a#a/one` does not stand above (add it to `needs`: `a#a/one`)"]
    );
}

#[test]
fn guides_that_need_each_other_are_a_cycle() {
    let guide =
        |needs: &str, id: &str| format!("---\nneeds: '{needs}'\n---\n# Top\n\n{}", step(id, ""));
    let found = shown(&loaded(&[
        ("a", &guide("b#", "one")),
        ("b", &guide("a#", "two")),
    ]));
    assert_eq!(found.len(), 1);
    assert!(
        found[0].starts_with(
            "needs-cycle 2:8 nothing can run first: `a` needs `b#top/two` needs `b` needs"
        ),
        "{found:?}"
    );
}

#[test]
fn an_unknown_profile_is_an_error_of_the_inventory() {
    let mut input = input(&[("a", "# A\n")]);
    input.profile = "hom".into();
    assert_eq!(
        shown(&load(input, &Disk)),
        ["unknown-profile 1:1 there is no profile `hom` (did you mean `home`?)"]
    );
}

#[test]
fn the_inventory_is_read_by_its_tables() {
    for (inventory, expected) in [
        (
            "node: {}",
            "unknown-key 1:1 the inventory has no key `node` (did you mean `nodes`?)",
        ),
        (
            "guests: {a: {kind: ct}}",
            "wrong-type 1:20 `ct` is not one of `lxc`, `vm` (write `lxc` or `vm`)",
        ),
        (
            "guests: {a: {vmid: 1}}",
            "missing-key 1:13 `a` has no `kind` (add `kind`: what it is)",
        ),
        (
            "guests: {a: {kind: vm, node: x}}",
            "unknown-target 1:30 the inventory has no node `x` (add it under `nodes`)",
        ),
        (
            "guests: {a: {kind: vm, exec: pct}}",
            "wrong-type 1:30 `pct` does not reach a `vm` (write `agent` or `ssh`)",
        ),
        (
            "guests: {a: {kind: vm, vmid: 1}, b: {kind: lxc, vmid: 1}}",
            "name-collision 1:55 `vmid: 1` is that of `a` already (give each guest its own)",
        ),
        (
            "nodes: {a-b: {}, a_b: {}}",
            "name-collision 1:18 `a-b` and `a_b` are one name in a template (choose another name)",
        ),
        (
            "nodes: {a/b: {}}",
            "invalid-name 1:9 `a/b` is not a name (write letters, digits, `-`, `_` and `.`)",
        ),
        (
            "nodes: {a: {facts: {lab: {strages: {}}}}}",
            "unknown-key 1:27 `lab` has no key `strages` (did you mean `storages`?)",
        ),
        (
            "nodes: {a: {facts: {lab: {ha: yes}}}}",
            "wrong-type 1:31 `yes` is not a bool (write `true`)",
        ),
        (
            "secrets: {a: {env: A, file: b}}",
            "keys-together 1:23 `a` has both `env` and `file` (keep one of `env`, `file`, `command`)",
        ),
        (
            "secrets: {a: {}}",
            "keys-together 1:14 `a` has none of `env`, `file`, `command` (add one of `env`, `file`, `command`)",
        ),
        (
            "profiles: {home: {proxmox: {url: 'https://x', token: tok}}}",
            "unknown-secret 1:54 the inventory has no secret `tok` (add it under `secrets`)",
        ),
        (
            "profiles: {home: {clusters: {x: {context: a}}}}",
            "unknown-target 1:30 the inventory has no cluster `x` (add it under `clusters`)",
        ),
        (
            "profiles: {home: {scratch: {vmids: 9099-9000}}}",
            "wrong-type 1:36 `9099-9000` is not a range (write the first and the last number, `9000-9099`)",
        ),
        (
            "profiles: {lab: {vars: {a: 1}, ssh: {user: a}}}",
            "unknown-key 1:32 profile `lab` has no `ssh` (the lab brings its own: give `scratch` or `vars`)",
        ),
        (
            "hosts: {a: {stand-ins: {http: {table: a}}}}",
            "wrong-type 1:25 `http` is not a port (write 1 to 65535)",
        ),
        (
            "nodes: {a: {address: '{{ vars.a }}'}}",
            "fixed-key 1:22 the inventory holds no templates but in `vars` (write the value)",
        ),
        (
            "vars: {a: '{{ vars.b }}'}",
            "undefined-name 1:15 `vars.b` is not defined here (a var may use the vars before it, `inventory` and `profile`)",
        ),
        (
            "vars: {api-key: abc}",
            "literal-secret 1:17 `api-key` is written out (name it under `secrets` of the inventory and write `{{ secret.NAME }}`)",
        ),
        (
            "- a",
            "invalid-yaml 1:1 the inventory is a map of keys (write `nodes: …`, `vars: …`)",
        ),
    ] {
        let found = with_inventory(inventory);
        assert_eq!(shown(&found), [expected], "{inventory}");
        assert_eq!(found.diagnostics[0].file, "inventory.yaml");
    }
    assert_eq!(shown(&with_inventory("# nothing yet\n")), [""; 0]);
    assert_eq!(shown(&with_inventory(INVENTORY)), [""; 0]);
}

#[test]
fn vars_that_must_be_given_are_told_for_the_steps_that_use_them() {
    let text = "---\nvars: {a: null, b: null, c: 1}\n---\n# Top\n\n```runbook\nid: a\nbash: 'echo {{ vars.a }} {{ vars.b }} {{ vars.c }}'\n```\n";
    let mut input = input(&[("a", text)]);
    input.vars.insert("b".into(), serde_json::json!("x"));
    let loaded = load(input, &Disk);
    assert_eq!(shown(&loaded), [""; 0]);
    let at = loaded.book.steps().next().unwrap().0;
    assert_eq!(loaded.book.ungiven(at), ["a"]);
    assert_eq!(
        loaded.book.var_names().into_iter().collect::<Vec<_>>(),
        ["a", "b", "c", "domain", "only-home"]
    );
    assert!(loaded.book.has_var("domain") && !loaded.book.has_var("x"));
}

fn names(book: &Book, steps: &[crate::model::StepRef]) -> Vec<String> {
    steps.iter().map(|at| book.get(*at).1.id.anchor()).collect()
}

#[test]
fn needs_replace_the_page_order_and_guides_need_what_they_say() {
    let a = format!("# T\n\n{}{}", step("one", ""), step("two", ""));
    let b = format!(
        "---\nneeds: 'a#'\n---\n# U\n\n{}{}{}{}",
        step("first", ""),
        step("alone", "needs: []\n"),
        step("drill", "when: asked\n"),
        step("last", "")
    );
    let loaded = loaded(&[("a", &a), ("b", &b)]);
    assert_eq!(shown(&loaded), [""; 0]);
    let book = &loaded.book;
    let graph = book.needs();
    let needs = |id: &str| {
        names(
            book,
            &graph.of(book.step_ref(&Id::parse(id).unwrap()).unwrap()),
        )
    };
    assert_eq!(needs("a#t/one"), [""; 0]);
    assert_eq!(needs("a#t/two"), ["t/one"]);
    assert_eq!(needs("b#u/first"), ["t/one", "t/two"]);
    assert_eq!(needs("b#u/alone"), ["t/one", "t/two"]);
    assert_eq!(needs("b#u/last"), ["t/one", "t/two", "u/first", "u/alone"]);
    let last = book.step_ref(&Id::parse("b#u/last").unwrap()).unwrap();
    assert_eq!(
        names(book, &graph.with_needs(&[last])),
        ["t/one", "t/two", "u/first", "u/alone", "u/last"]
    );
    let all = book.select(&[]).unwrap();
    assert_eq!(
        names(book, &all),
        ["t/one", "t/two", "u/first", "u/alone", "u/last"]
    );
    assert_eq!(
        names(book, &book.select(&[Id::section("b", "u")]).unwrap()).len(),
        4
    );
}

#[test]
fn ids_that_are_not_there_suggest_the_nearest() {
    let loaded = loaded(&[(
        "guides/ollama",
        &format!("# Install\n\n{}", step("container", "")),
    )]);
    let error = |id: &str| {
        let error = loaded.book.select(&[Id::parse(id).unwrap()]).unwrap_err();
        format!("{error}: {}", error.hint.as_deref().unwrap_or_default())
    };
    assert_eq!(
        error("guides/olama"),
        "there is no guide `guides/olama`: did you mean `guides/ollama`?"
    );
    assert_eq!(
        error("ollama"),
        "there is no guide `ollama`: did you mean `guides/ollama`?"
    );
    assert_eq!(
        error("guides/ollama#instal"),
        "there is no section `guides/ollama#instal`: did you mean `guides/ollama#install`?"
    );
    assert_eq!(
        error("guides/ollama#install/contaner"),
        "there is no step `guides/ollama#install/contaner`: did you mean `guides/ollama#install/container`?"
    );
}

#[test]
fn a_guide_target_applies_only_where_the_action_can_run() {
    let text = "---\non: cluster/home\n---\n# T\n\n```runbook\nid: a\nbash: echo\n```\n\n```runbook\nid: b\nget: {kind: Pod}\n```\n";
    let loaded = guide(text);
    assert_eq!(shown(&loaded), [""; 0]);
    let guide = &loaded.book.guides[0];
    assert_eq!(guide.on(&guide.steps[0]), "local");
    assert_eq!(guide.on(&guide.steps[1]), "cluster/home");
}

#[test]
fn typed_actions_know_their_guest_and_cluster() {
    let text = "# T\n\n```runbook\nid: a\nlxc: {vmid: 130}\n```\n\n```runbook\nid: b\nlxc: {hostname: ollama, state: absent}\n```\n\n```runbook\nid: c\nget: {kind: Pod}\n```\n\n```runbook\nid: d\nlxc: {vmid: 999, cores: 2}\n```\n";
    let loaded = guide(text);
    let guide = &loaded.book.guides[0];
    let targets: Vec<&str> = guide.steps.iter().map(|step| guide.on(step)).collect();
    assert_eq!(
        targets,
        ["lxc/ollama", "lxc/ollama", "cluster/home", "lxc/999"]
    );
    let effects: Vec<String> = guide
        .steps
        .iter()
        .map(|step| step.effect.to_string())
        .collect();
    assert_eq!(effects, ["read", "destroy", "read", "change"]);
}

#[test]
fn templates_and_variables_are_no_literal_secrets() {
    let text = "# T\n\n```runbook\nid: a\nbash: 'grep -q \"BEGIN PRIVATE KEY\" a.pem'\nenv: {DB_PASSWORD: '{{ vars.domain }}', PASSWORD: '$OTHER', TOKEN: ''}\n```\n\n```runbook\nid: b\nhttp: {url: 'http://x', method: POST, json: {token: null, tokens: 4, description: the token}}\n```\n";
    assert_eq!(shown(&guide(text)), [""; 0]);
}

#[test]
fn private_keys_and_tokens_are_found_anywhere_in_a_chapter() {
    let key = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj";
    for text in [
        format!("# T\n\n-----BEGIN RSA PRIVATE KEY-----\n{key}\n"),
        "# T\n\nroot@pam!ci=01234567-89ab-cdef-0123-456789abcdef\n".to_owned(),
        "# T\n\nAKIAABCDEFGHIJKLMNOP\n".to_owned(),
    ] {
        let found = shown(&guide(&text));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("literal-secret 3:"), "{found:?}");
    }
    assert_eq!(shown(&guide("# T\n\nAKIAIOSFODNN7EXAMPLE\n")), [""; 0]);
}

#[test]
fn an_included_name_that_is_not_defined_is_told_at_the_include() {
    let found = shown(&guide(
        "# T\n\n```bash runbook\n#| id: a\necho\n{{#include vars.sh}}\n```\n",
    ));
    assert_eq!(
        found,
        ["undefined-name 6:1 `vars.x` is not defined (there are: `domain`)"]
    );
}

#[test]
fn what_is_wrong_with_the_guide_is_told_once() {
    let text = format!(
        "---\non: 'node/{{{{ vars.x }}}}'\n---\n# T\n\n{}{}",
        step("a", ""),
        step("b", "")
    );
    let found = shown(&guide(&text));
    assert_eq!(
        found
            .iter()
            .filter(|line| line.starts_with("undefined-name 2:14"))
            .count(),
        1,
        "{found:#?}"
    );
}

#[test]
fn every_rule_is_fired_by_a_test() {
    let tests = [
        include_str!("rules.rs"),
        include_str!("books.rs"),
        include_str!("../../include/tests.rs"),
        include_str!("../../markdown/tests.rs"),
    ];
    for rule in RULES {
        let fired = [
            format!("\"{} ", rule.name),
            format!(" {}: ", rule.name),
            format!("\"{}\"", rule.name),
        ];
        assert!(
            tests
                .iter()
                .any(|text| fired.iter().any(|start| text.contains(start))),
            "no test fires `{}`",
            rule.name
        );
    }
}

#[test]
fn which_of_several_clusters_is_meant_is_said() {
    let several = "clusters: {home: {}, edge: {}}\nguests: {web: {kind: lxc, vmid: 7}}\n";
    let found = |chapter: &str| {
        let mut input = input(&[("a", chapter)]);
        input.inventory = Some(Source::new("inventory.yaml", several));
        shown(&load(input, &Disk))
    };
    let chapter =
        |front: &str, step: &str| format!("{front}# A\n\n```runbook\nid: a\n{step}\n```\n");
    let cluster = "ready: {kind: Node}";
    assert_eq!(
        found(&chapter("", cluster)),
        [
            "missing-target 5:1 `ready` does not say where it runs (add `on: cluster/NAME`: the inventory has several clusters)"
        ]
    );
    let pod = "which cluster has the pod is not said: the inventory has several (add `on: cluster/NAME` to the front matter)";
    for (front, step, place) in [
        ("", "bash: id\non: pod/shop/app=web", "6:5"),
        (
            "---\non: lxc/web\n---\n",
            "bash: id\non: pod/{{ vars.name }}/web",
            "9:5",
        ),
        ("---\non: pod/shop/web\n---\n", "bash: id", "2:5"),
        ("", "bash: id\neach: {on: [local, pod/shop/web]}", "6:20"),
        ("", "bash: id\nunless: {bash: id, on: pod/shop/web}", "6:24"),
    ] {
        let found = found(&chapter(front, step));
        let expected = format!("missing-target {place} {pod}");
        assert!(found.contains(&expected), "{front}{step}: {found:#?}");
    }
    let inside = "bash: id\nunless: {get: {kind: Node}, expect: {count: 1}}";
    assert_eq!(
        found(&chapter("", inside)),
        ["missing-target 6:9 `get` does not say where it runs (add `on:` beside it)"]
    );
    let front = "---\non: cluster/edge\n---\n";
    for step in [cluster, "bash: id\non: pod/shop/web", inside] {
        assert_eq!(found(&chapter(front, step)), Vec::<String>::new(), "{step}");
    }
}
