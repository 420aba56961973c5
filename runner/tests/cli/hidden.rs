//! The user's keys and clusters are hidden from the local scripts of the lab, and from nothing else.

use std::fs;

use runbook_lab::isolate::local::Hide;

use crate::book::TestBook;

const CHAPTER: &str = "# G\n\n## S\n\n\
```bash runbook\n#| id: keys\n#| effect: read\n\
ls -A HOME/.ssh HOME/.kube\n! cat HOME/.ssh/id_ed25519\ncat HOME/other\n```\n\n\
```bash runbook\n#| id: tree\n#| effect: read\n#| timeout: 1s\n\
#| expect: {duration: {at-least: 0s}}\nsetsid sleep MARK & sleep 0.1\n```\n";

#[test]
fn a_local_script_of_the_lab_cannot_read_the_users_keys() {
    let program = env!("CARGO_BIN_EXE_runbook").into();
    if let Err(why) = Hide::default().is_possible(program) {
        eprintln!("skipped: directories cannot be hidden here: {why}");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    for directory in [".ssh", ".kube"] {
        fs::create_dir(home.path().join(directory)).unwrap();
    }
    fs::write(home.path().join(".ssh/id_ed25519"), "the-real-key\n").unwrap();
    fs::write(home.path().join("other"), "all-else\n").unwrap();
    let mark = format!("71{}", std::process::id());
    let chapter = CHAPTER
        .replace("HOME", &home.path().display().to_string())
        .replace("MARK", &mark);
    let book = TestBook::new(&chapter);
    let output = book
        .command(&["verify", "--json"])
        .env("HOME", home.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("the-real-key"), "{said}");
    assert!(said.contains("all-else"), "{said}\n{}", errors);
    assert_eq!(output.status.code(), Some(0), "{said}\n{}", errors);
    // The key itself is as it was, and what left the script's session has ended with it.
    let key = fs::read_to_string(home.path().join(".ssh/id_ed25519")).unwrap();
    assert_eq!(key, "the-real-key\n");
    let is_left = fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        fs::read(entry.path().join("cmdline"))
            .is_ok_and(|line| String::from_utf8_lossy(&line).contains(&format!("sleep\0{mark}")))
    });
    assert!(!is_left);
}
