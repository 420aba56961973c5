//! Keys of a step that do not go together, or not with its action.

use super::keys::find;
use crate::findings::Findings;
use crate::model::{Do, Keys};
use crate::node::Entry;
use crate::source::Span;
use crate::spec::ActionSpec;

/// Keys that do not go together.
pub(super) fn check(
    entries: &[Entry],
    action: Option<&'static ActionSpec>,
    keys: &Keys,
    findings: &mut Findings,
) {
    let Some(action) = action else { return };
    if let (true, Some(_), Some(capture)) =
        (action.is_script(), &keys.unless, find(entries, "capture"))
    {
        findings.hinted(
            "capture-unless",
            capture.key_span,
            "a script with `unless` cannot capture: it may not run",
            "capture in a `read` step below it",
        );
    }
    for name in ["detach", "background"] {
        if let (false, Some(entry)) = (action.is_script(), find(entries, name)) {
            findings.hinted(
                "scripts-only",
                entry.key_span,
                format!("`{name}` is for scripts, not for `{}`", action.name),
                "take it out",
            );
        }
    }
    undone(entries, action, keys, findings);
    if keys.background.is_some() {
        for name in ["detach", "unless", "retry"] {
            if let Some(entry) = find(entries, name) {
                findings.hinted(
                    "background-with",
                    entry.key_span,
                    format!("`background` does not go with `{name}`"),
                    format!("take `{name}` out: `background` waits for its own condition"),
                );
            }
        }
    }
}

/// `own` where there is one, and something to do where `cleanup` asks for it.
fn undone(entries: &[Entry], action: &'static ActionSpec, keys: &Keys, findings: &mut Findings) {
    let own = find(entries, action.name).is_some_and(|entry| action.has_own_undo(&entry.value));
    if let Some(span) = keys.undo.as_ref().and_then(own_span)
        && !own
    {
        findings.hinted(
            "own-undo",
            span,
            format!("`{}` has no undo of its own", action.name),
            "write what takes it back, or `none`",
        );
    }
    if let Some(entry) = find(entries, "cleanup")
        && !own
        && matches!(keys.undo, None | Some(Do::None(_)))
    {
        findings.warning(
            "cleanup-without-undo",
            entry.key_span,
            "nothing takes this step back, so `cleanup` does nothing",
            "add `undo`",
        );
    }
}

fn own_span(does: &Do) -> Option<Span> {
    match does {
        Do::Own(span) => Some(*span),
        Do::List(list) => list.iter().find_map(own_span),
        _ => None,
    }
}
