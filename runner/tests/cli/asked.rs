//! What is asked for: a profile, a step without what it needs, a chapter by its path.

use serde_json::Value;

use crate::book::{TestBook, step};

#[test]
fn a_profile_is_one_that_exists_or_none() {
    let book = TestBook::new(&step("id: good\neffect: read", "true"));
    for command in ["check", "verify", "list", "status", "plan", "build"] {
        let said = book.run(&[command, "--profile", "hme"]);
        assert_eq!(said.code, 2, "{command}: {}", said.err);
        assert!(
            said.err.contains("there is no profile `hme`"),
            "{}",
            said.err
        );
    }
    let said = book
        .command(&["list", "--json"])
        .env("RUNBOOK_PROFILE", "hme")
        .output()
        .unwrap();
    assert_eq!(said.status.code(), Some(2));
    // A variable that is set to nothing names none: the lab, never a real profile without a name.
    let said = book
        .command(&["verify"])
        .env("RUNBOOK_PROFILE", "")
        .output()
        .unwrap();
    let out = String::from_utf8(said.stdout).unwrap();
    assert!(out.contains("on profile `lab`, rehearse"), "{out}");
    book.write(
        "book.toml",
        "[book]\ntitle = \"Test\"\n\n[preprocessor.runbook]\nprofile = \"hme\"\n",
    );
    let said = book.run(&["check"]);
    assert_eq!(said.code, 3, "the book names one that it does not have");
    assert!(said.err.contains(" --> book.toml:5:1"), "{}", said.err);
}

#[test]
fn a_blocked_step_says_what_to_do() {
    let chapter = "# G\n\n## S\n\n```bash runbook\n#| id: a\ntrue\n```\n\n```bash runbook\n#| id: b\ntrue\n```\n";
    let book = TestBook::new(chapter);
    book.write("inventory.yaml", "profiles: {home: {}}\n");
    let said = book.run(&["plan", "guide#s/b", "--profile", "home"]);
    assert!(
        said.out.contains("block: needs `guide#s/a`"),
        "{}",
        said.out
    );
    let said = book.run(&["run", "guide#s/b", "--profile", "home"]);
    assert_eq!(said.code, 0, "blocked adds no code: {}", said.err);
    for words in [
        "blocked: needs `guide#s/a`",
        "hint: it never ran on profile `home`",
        "--with-needs",
        "--from guide#s/a",
    ] {
        assert!(
            said.out.contains(words),
            "`{words}` is not in:\n{}",
            said.out
        );
    }
    assert_eq!(book.run(&["run", "guide#s/a", "--profile", "home"]).code, 0);
    let said = book.run(&["run", "guide#s/b", "--profile", "home"]);
    assert!(said.out.contains("✓ guide#s/b passed"), "{}", said.out);
}

#[test]
fn chapters_may_have_blanks_in_their_names() {
    let book = TestBook::with(&[
        (
            "src/SUMMARY.md",
            "# Summary\n\n- [One](<my notes/Kap 1.md>)\n",
        ),
        ("src/my notes/Kap 1.md", &step("id: a", "true")),
    ]);
    assert_eq!(book.run(&["verify"]).code, 0);
    let status: Value = serde_json::from_str(&book.run(&["status", "--json"]).out).unwrap();
    assert_eq!(status["guides"][0]["steps"][0]["id"], "my notes/Kap 1#s/a");
    let said = book.run(&["build"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(book.path("book/my notes/Kap 1.html").is_file());
    assert_eq!(book.run(&["run", "my notes/Kap 1#s/a"]).code, 0);
}

#[test]
fn a_value_is_for_a_variable_that_there_is() {
    let book = TestBook::new(
        "---\nvars: {port: null}\n---\n# G\n\n## S\n\n```bash runbook\n#| id: a\n#| expect: {stdout: 8443}\necho {{ vars.port }}\n```\n",
    );
    let said = book.run(&["verify"]);
    assert_eq!(said.code, 2, "{}", said.err);
    assert!(said.err.contains("--var port=VALUE"), "{}", said.err);
    for command in ["verify", "plan"] {
        let said = book.run(&[command, "--var", "prot=8443"]);
        assert_eq!(said.code, 2, "{command}: {}", said.err);
        assert!(
            said.err.contains("did you mean `port`?"),
            "{command}: {}",
            said.err
        );
    }
    let said = book.run(&["verify", "--var", "port=8443"]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
}

#[test]
fn a_target_is_resolved_in_the_plan() {
    let book = TestBook::new(
        "# G\n\n## S\n\n```bash runbook read\n#| id: a\n#| on: node/{{ vars.node }}\ntrue\n```\n",
    );
    book.write(
        "inventory.yaml",
        "nodes: {pve1: {address: 192.0.2.1}, pve2: {address: 192.0.2.2}}\nvars: {node: pve1}\n",
    );
    let target = |args: &[&str]| {
        let said = book.run(&[&["plan", "--json"], args].concat());
        let plan: Value = serde_json::from_str(&said.out).unwrap();
        plan["steps"][0]["target"].clone()
    };
    assert_eq!(target(&[]), "node/pve1");
    assert_eq!(target(&["--var", "node=pve2"]), "node/pve2");
    let said = book.run(&["verify", "--var", "node=pve9"]);
    assert_eq!(said.code, 1, "{}", said.out);
    assert!(
        said.out.contains("`node/pve9` is not in the inventory"),
        "{}",
        said.out
    );
}

#[test]
fn a_run_says_of_itself_what_its_guides_do() {
    let guide = |verify: &str| {
        format!(
            "---\nverify: {verify}\n---\n{}",
            step("id: a\neffect: read", "true")
        )
    };
    let book = TestBook::new(&guide("converge"));
    book.write("inventory.yaml", "profiles: {home: {}}\n");
    let mode = || book.events(&["verify", "--json", "--profile", "home"]).1[0]["mode"].clone();
    assert_eq!(
        mode(),
        "converge",
        "its guide changes things: it does not only read"
    );
    book.write("src/guide.md", guide("observe"));
    assert_eq!(mode(), "observe");
    book.write("src/guide.md", guide("asked"));
    let said = book.run(&["verify", "--profile", "home"]);
    assert_eq!(said.code, 3, "{}", said.out);
    assert!(said.err.contains("`verify: asked`"), "{}", said.err);
    assert_eq!(book.run(&["verify", "guide", "--profile", "home"]).code, 0);
}
