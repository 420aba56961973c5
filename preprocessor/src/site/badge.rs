//! Badges: a guide's name and how it stands, as a small picture for other pages.

use runbook::outcome::State;
use serde::Serialize;

use super::guides::Class;
use super::html::glyph;
use super::templates::{TemplateError, render};

/// How long a label is, in characters.
const LABEL_CHARACTERS_MAX: usize = 48;

#[derive(Serialize)]
struct Values {
    label: String,
    word: String,
    color: &'static str,
    left: usize,
    right: usize,
    width: usize,
}

/// The badge of something that stands so; a lab result says that it is one.
///
/// # Errors
/// When the template is wrong.
pub(super) fn badge(
    label: &str,
    class: Class,
    state: Option<State>,
    lab: bool,
) -> Result<String, TemplateError> {
    let mut label: String = label.chars().take(LABEL_CHARACTERS_MAX).collect();
    if label.trim().is_empty() {
        label = "runbook".into();
    }
    let lab = if lab { " (lab)" } else { "" };
    let word = match class {
        Class::Holds => "holds".to_owned(),
        class => class.told(0).trim_start_matches("0 ").to_owned(),
    };
    let word = format!("{} {word}{lab}", glyph(state));
    let (left, right) = (width(&label), width(&word));
    let values = Values {
        color: color(class),
        width: left + right,
        label,
        word,
        left,
        right,
    };
    render("badge.xml", &values)
}

/// About how wide a text of 11 pixels is, with its margins.
fn width(text: &str) -> usize {
    text.chars()
        .map(|c| if c.is_ascii() { 7 } else { 11 })
        .sum::<usize>()
        + 12
}

/// Colours on which white text has a contrast of at least 4.5.
fn color(class: Class) -> &'static str {
    match class {
        Class::Holds => "#14622b",
        Class::Not(State::Failed | State::TimedOut | State::Aborted) => "#b3121d",
        Class::Not(State::Drifted) => "#6238a8",
        Class::Not(_) | Class::Stale | Class::Old => "#7a4f00",
        Class::Part | Class::NeverRun | Class::Skipped => "#57606a",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_badge_says_its_state_as_a_word_and_escapes_its_label() {
        let svg = badge(
            "A <b> & more",
            Class::Not(State::Failed),
            Some(State::Failed),
            true,
        )
        .unwrap();
        assert!(
            svg.contains("aria-label=\"A &lt;b&gt; &amp; more: ✕ failed (lab)\""),
            "{svg}"
        );
        assert!(svg.starts_with("<svg xmlns="));
        assert!(
            badge("", Class::Holds, Some(State::Passed), false)
                .unwrap()
                .contains("✓ holds")
        );
    }
}
