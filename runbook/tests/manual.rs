//! The manual's tables are those of the language: a key, matcher, field or outcome that one has and the other has not fails here.

use std::fs;
use std::path::Path;

use runbook::tables;

#[test]
fn every_generated_table_of_the_manual_is_up_to_date() {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../book/src/manual");
    let mut seen = Vec::new();
    for entry in fs::read_dir(&manual)
        .expect("the manual is there")
        .flatten()
    {
        let path = entry.path();
        if path.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a chapter");
        let wanted = tables::update(&text);
        if wanted != text && std::env::var_os("UPDATE_MANUAL").is_some() {
            fs::write(&path, &wanted).expect("the chapter is written");
        } else {
            assert_eq!(
                wanted,
                text,
                "{} is out of date: run with UPDATE_MANUAL=1 to write its tables anew",
                path.display()
            );
        }
        seen.extend(
            tables::NAMES
                .iter()
                .filter(|name| text.contains(&format!("<!-- generated:{name} -->"))),
        );
    }
    seen.sort_unstable();
    for name in [
        "front-matter",
        "keys",
        "inventory",
        "matchers",
        "fields",
        "actions",
        "outcomes",
    ] {
        assert!(seen.contains(&&name), "the manual has no table `{name}`");
    }
}
