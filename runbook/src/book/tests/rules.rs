//! One bad snippet per rule: what is found, where, and what it says.

use super::{guide, shown};

/// A chapter with one step at line 3, and what is found in it.
fn check(fence: &str, expected: &[&str]) {
    let text = format!("# Top\n\n{fence}\n");
    assert_eq!(shown(&guide(&text)), expected, "\n{text}");
}

#[test]
fn keys() {
    check(
        "```runbook\nid: a\nbash: echo\nexpct: {exit: 0}\n```",
        &["unknown-key 6:1 a step has no key `expct` (did you mean `expect`?)"],
    );
}
