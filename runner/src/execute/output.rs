//! What a step printed, on its way into its event and into a file.

use std::borrow::Cow;
use std::fs;
use std::io;
use std::path::Path;

use runbook::event::{Excerpt, Output};

use super::context::{Cx, Run};
use super::outcome::Outcome;
use crate::process;

/// Head and tail of what was printed. What was not redacted on its way is redacted before it is cut: half a secret would
/// show.
pub(super) fn shown(run: &Run, output: &process::Output, raw: bool) -> Output {
    let excerpt = |capture: &process::Capture| {
        let hidden;
        let shown = if raw {
            let mut redacted = process::Capture::default();
            redacted.push(raw_text(run, capture).as_bytes());
            hidden = redacted;
            &hidden
        } else {
            capture
        };
        let process::Excerpt { head, tail, .. } = shown.excerpt();
        Excerpt {
            lines: lines(capture),
            bytes: capture.total(),
            head,
            tail,
        }
    };
    Output {
        stdout: excerpt(&output.stdout),
        stderr: excerpt(&output.stderr),
        both: excerpt(output.both()),
    }
}

/// The text of what was not redacted on its way, with every secret hidden, also where the middle was left out.
fn raw_text(run: &Run, capture: &process::Capture) -> String {
    let text = hidden_at_cut(run, capture);
    match run.redactor.redact_str(&text) {
        Cow::Owned(redacted) => redacted,
        Cow::Borrowed(_) => text.into_owned(),
    }
}

/// The text with whole secrets as they are, and nothing of one that the cut in its middle went through.
pub(super) fn hidden_at_cut<'a>(run: &Run, capture: &'a process::Capture) -> Cow<'a, str> {
    capture.text_hidden_at_cut(|before, behind| run.redactor.hide_at_cut(before, behind))
}

fn lines(capture: &process::Capture) -> u64 {
    if capture.is_empty() {
        0
    } else {
        capture.text().lines().count() as u64
    }
}

/// Names the file that has the whole output; writes it where the output had to be redacted first.
pub(super) fn keep_output(cx: &Cx, outcome: &mut Outcome, name: Option<&str>, always: bool) {
    let Some(output) = &outcome.output else {
        return;
    };
    if let (Some(artifact), Some(name)) = (&output.artifact, name) {
        match &artifact.error {
            None if !outcome.artifacts.iter().any(|known| known == name) => {
                outcome.artifacts.push(name.to_owned())
            }
            None => {}
            Some(error) => {
                let note = format!("the whole output could not be kept: {error}");
                outcome.note = Some(
                    outcome
                        .note
                        .take()
                        .map_or(note.clone(), |other| format!("{other}; {note}")),
                );
            }
        }
        return;
    }
    let both = output.both();
    let short = both.total() <= 2 * process::EXCERPT_BYTES as u64;
    if outcome.raw {
        let text = raw_text(&cx.run, both);
        cx.show(text.as_bytes());
    }
    let wanted = if always {
        !both.is_empty()
    } else {
        outcome.raw && !short
    };
    if !wanted {
        return;
    }
    if let (Some(directory), Some(name)) = (&cx.run.request.directory, name) {
        let text = raw_text(&cx.run, both);
        match write(&directory.join(name), text.as_bytes()) {
            Ok(()) => outcome.artifacts.push(name.to_owned()),
            Err(error) => {
                outcome.note = Some(format!("the whole output could not be kept: {error}"))
            }
        }
    }
}

/// Keeps a text in the run's directory, without secrets; a text that cannot be kept is told in the note.
pub(super) fn keep_text(cx: &Cx, outcome: &mut Outcome, name: &str, text: &str) {
    let Some(directory) = &cx.run.request.directory else {
        return;
    };
    let text = cx.run.redactor.redact_str(text);
    match write(&directory.join(name), text.as_bytes()) {
        Ok(()) => outcome.artifacts.push(name.to_owned()),
        Err(error) => outcome.note = Some(format!("`{name}` could not be kept: {error}")),
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, bytes)
}
