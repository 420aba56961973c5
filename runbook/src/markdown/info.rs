//! Info strings: whether a fence is a step, a diagram or only shown, and what the words beside `runbook` say.

use super::FenceKind;
use super::fence::Block;
use crate::diagnostic::Diagnostic;
use crate::model::Language;
use crate::outcome::Effect;
use crate::source::{Source, Span};

/// The word that makes a fence a step.
pub(super) const WORD: &str = "runbook";

/// What a fence is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// It has the word.
    Step,
    /// It is a mermaid diagram.
    Diagram,
    /// Anything else: shown, never executed.
    Other,
}

/// What an info string makes of a fence.
pub(super) fn role(info: &str) -> Role {
    if words(info).any(is_word) {
        return Role::Step;
    }
    match info.split([' ', '\t', ',']).next() {
        Some("mermaid" | "{mermaid}" | "{mermaid") => Role::Diagram,
        _ => Role::Other,
    }
}

/// Words as mdBook (commas) and Quarto (braces, dots) separate them, so that `{bash runbook}` is not silently plain.
pub(super) fn words(info: &str) -> impl Iterator<Item = &str> {
    info.split(|c: char| c.is_whitespace() || matches!(c, ',' | '{' | '}'))
        .map(|word| word.trim_start_matches('.'))
        .filter(|word| !word.is_empty())
}

fn is_word(word: &str) -> bool {
    word.eq_ignore_ascii_case(WORD)
}

/// Understands the info string; says what is wrong with it. `None` when not even the language is known.
pub(super) fn kind(
    source: &Source,
    problems: &mut Vec<Diagnostic>,
    block: &Block,
    has_options: bool,
) -> Option<FenceKind> {
    let written = source.slice(block.info_span);
    let mut problem = |place: Span, message: String, hint: String| {
        problems.push(Diagnostic::error("fence-info", source, place, message).hint(hint));
    };
    let all = placed_words(written, block.info_span.start);
    let texts: Vec<&str> = all.iter().map(|(word, _)| *word).collect();
    let (language, rest) = match texts.as_slice() {
        [WORD, ..] => (None, &all[1..]),
        [first, WORD, ..] => match language(first) {
            Some(language) => (Some(language), &all[2..]),
            None => {
                let message = format!("`{first}` is no language of steps");
                problem(all[0].1, message, language_hint(first));
                return None;
            }
        },
        _ => {
            let message = format!("the info string `{written}` is not understood");
            problem(
                block.info_span,
                message,
                format!("write `{}`", wish(written)),
            );
            return None;
        }
    };
    let mut effect = None;
    for (word, place) in rest {
        match Effect::parse(word) {
            Some(value) if effect.is_none() => effect = Some((value, *place)),
            Some(_) => problem(
                *place,
                "a fence has one effect".into(),
                format!("remove `{word}`"),
            ),
            None => problem(
                *place,
                format!("unknown word `{word}` in the info string"),
                word_hint(word, &texts),
            ),
        }
    }
    if has_options && language.is_none() {
        problem(
            block.info_span,
            format!("a `{WORD}` fence has no `#|` lines: its body is YAML"),
            "remove `#|`, or name the language: `bash runbook`".into(),
        );
    }
    Some(match language {
        Some(language) => FenceKind::Native { language, effect },
        None => FenceKind::Typed { effect },
    })
}

/// The words of a text that stands at `start`, each with its place.
fn placed_words(text: &str, start: usize) -> Vec<(&str, Span)> {
    let mut words = Vec::new();
    let mut end = 0;
    for word in text.split_whitespace() {
        let at = end + text[end..].find(word).unwrap_or(0);
        end = at + word.len();
        words.push((word, Span::new(start + at, start + end)));
    }
    words
}

/// What the author of a muddled info string most likely wants to write.
fn wish(written: &str) -> String {
    let mut wish = Vec::new();
    let lower = written.to_ascii_lowercase();
    wish.extend(words(&lower).find(|word| language(word).is_some()));
    wish.push(WORD);
    wish.extend(words(&lower).find(|word| Effect::parse(word).is_some()));
    wish.join(" ")
}

/// The language of a native fence.
fn language(word: &str) -> Option<Language> {
    Some(match word {
        "bash" => Language::Bash,
        "sh" => Language::Sh,
        "python" => Language::Python,
        "yaml" => Language::Yaml,
        _ => return None,
    })
}

fn language_hint(word: &str) -> String {
    let meant = match word.to_ascii_lowercase().as_str() {
        "shell" | "console" | "zsh" | "shell-session" | "ash" | "dash" => Some("sh"),
        "py" | "python3" => Some("python"),
        "yml" => Some("yaml"),
        lower => ["bash", "sh", "python", "yaml"]
            .into_iter()
            .find(|known| strsim::damerau_levenshtein(lower, known) <= 1),
    };
    match meant {
        Some(known) => format!(
            "did you mean `{known} {WORD}`? The languages are `bash`, `sh`, `python` and `yaml`"
        ),
        None => format!(
            "the languages are `bash`, `sh`, `python` and `yaml`; without `{WORD}` the fence is only shown"
        ),
    }
}

fn word_hint(word: &str, all: &[&str]) -> String {
    if language(word).is_some() && all.first() == Some(&WORD) {
        return format!("write the language first: `{word} {WORD}`");
    }
    let close = Effect::ALL
        .iter()
        .find(|effect| strsim::damerau_levenshtein(word, effect.as_str()) <= 2);
    match close {
        Some(effect) => format!("did you mean `{effect}`?"),
        None => format!(
            "after `{WORD}` only an effect may stand: `read`, `change`, `disrupt` or `destroy`"
        ),
    }
}
