//! What the YAML parser refuses, in an author's words: the place where it went wrong and what to write instead.

use granit_parser::{ErrorKind, ScanError};

use super::{DEPTH_MAX, YamlError};
use crate::mapped::Mapped;

/// Explains an error; `open` are the places of the flow collections that were open.
pub(super) fn explain(mapped: &Mapped, error: &ScanError, open: &[usize]) -> YamlError {
    let text = mapped.text();
    let at = error.marker().byte_offset().unwrap_or(text.len());
    let at = floor(text, at.min(text.len()));
    if let Some(error) = unquoted_template_near(mapped, at, open) {
        return error;
    }
    let (place, message, hint) = explained(text, at, error, open);
    let place = floor(text, place.min(text.len()));
    let length = text[place..]
        .chars()
        .next()
        .filter(|c| *c != '\n')
        .map_or(0, char::len_utf8);
    YamlError {
        span: mapped.span(place, place + length),
        message,
        hint: Some(hint),
    }
}

fn explained(text: &str, at: usize, error: &ScanError, open: &[usize]) -> (usize, String, String) {
    use ErrorKind as E;
    let said =
        |place: usize, message: &str, hint: &str| (place, message.to_owned(), hint.to_owned());
    let line = line_of(text, at);
    match error.kind() {
        E::UnclosedFlowCollection { open } => unclosed(text, at, *open),
        E::MismatchedFlowCollectionEnd { open, close } => (
            at,
            format!("`{open}` is closed by `{close}`"),
            format!("close it with `{}`", closing(*open)),
        ),
        E::MisplacedFlowCollectionEnd => said(
            at,
            "this bracket closes nothing",
            "remove it, or quote the value",
        ),
        E::TabNotAllowed
        | E::TabInBlockIndentation
        | E::TabInIndentation
        | E::TabAtBlockScalarStart
        | E::TabInPlainScalar => {
            let first = line.1.find('\t').map(|tab| line.0 + tab);
            let tab = first
                .or_else(|| text[at..].find('\t').map(|tab| at + tab))
                .unwrap_or(at);
            said(
                tab,
                "a tab stands where only blanks may stand",
                "indent with blanks",
            )
        }
        E::CommentNotSeparated => said(
            at,
            "an unquoted `#` is a comment",
            "quote the text that begins with `#`",
        ),
        E::UnclosedQuotedScalar | E::DocumentIndicatorInQuotedScalar => said(
            at,
            "the quote is not closed",
            "close it; inside of `'…'` a quote is written `''`",
        ),
        E::InvalidTrailingSingleQuotedScalar | E::InvalidTrailingDoubleQuotedScalar => said(
            at,
            "text follows a closed quote",
            "quote the whole value; inside of `'…'` a quote is written `''`",
        ),
        E::UnknownQuotedScalarEscape => {
            let escape = unknown_escape(text, at);
            said(
                escape,
                "unknown escape in a text with double quotes",
                "write it in single quotes, where `\\` is itself",
            )
        }
        E::UnexpectedCharacter { character } if character.is_control() => said(
            at,
            "a control character stands here",
            "write it as an escape in double quotes: `\"\\u0007\"`",
        ),
        E::UnexpectedCharacter { character } => (
            at,
            format!("a value cannot begin with `{character}`"),
            "quote it".into(),
        ),
        E::UnknownAnchor | E::MissingAnchorOrAliasName => (
            at,
            format!(
                "an unquoted `{}` begins an anchor or alias, which the language does not have",
                &text[at..at + word_length(&text[at..])]
            ),
            "quote it".into(),
        ),
        E::RecursionLimitExceeded => (
            at,
            format!("maps and lists are nested deeper than {DEPTH_MAX}"),
            "write it flatter".into(),
        ),
        E::DirectiveDisallowed => said(
            at,
            "a directive is not part of the language",
            "remove the line, or quote a text that begins with `%`",
        ),
        E::InvalidBlockScalarHeader => said(
            at,
            "text follows the sign of a block text",
            "begin the text in the next line, or quote it",
        ),
        E::BlockSequenceEntryNotAllowed | E::InvalidBlockEntryWhitespace => said(
            at,
            "a list cannot begin here",
            "begin it in a line of its own, or quote a text that begins with `-`",
        ),
        E::MappingKeyNotAllowed => said(at, "a value cannot begin with `? `", "quote it"),
        E::MappingValueNotAllowed if key_ends_before(text, at) => {
            said(at, "a value holds `: `", "quote the value")
        }
        E::MappingValueNotAllowed => said(
            at,
            "a key stands where the value above goes on",
            "indent it like the keys above, or quote that value",
        ),
        _ if in_flow(error.kind()) && !open.is_empty() => {
            let start = open[open.len() - 1];
            if line_of(text, start).0 == line.0 {
                said(
                    at,
                    "`,` or a closing bracket is missing here",
                    "separate the values by `,`, quote a value that holds brackets, `,` or `: `",
                )
            } else {
                unclosed(text, start, text[start..].chars().next().unwrap_or('['))
            }
        }
        E::UnexpectedEofBlockMapping | E::UnexpectedEofImplicitFlowMapping => {
            said(at, "a value is missing here", "write it, or quote it")
        }
        E::SimpleKeyExpected => said(
            at,
            "this line is no `key: value`",
            "write `key: value`; a text over several lines needs `|` or deeper indentation",
        ),
        E::ExpectedBlockMappingKey | E::InvalidIndentation => said(
            at,
            "the indentation fits no map above",
            "indent the keys of one map alike; quote a value that goes on after a bracket or quote",
        ),
        E::ExpectedBlockSequenceEntry => said(
            at,
            "the indentation fits no list above",
            "write `- item`, all items indented alike",
        ),
        _ => (
            at,
            format!("invalid YAML: {}", error.info()),
            "quote the text it is about, or write it in another way".into(),
        ),
    }
}

/// Errors that mean that a flow collection has not been closed, or that something in it is not separated.
fn in_flow(kind: &ErrorKind) -> bool {
    use ErrorKind as E;
    matches!(
        kind,
        E::UnexpectedEofFlowSequence
            | E::UnexpectedEofFlowMapping
            | E::UnexpectedEofImplicitFlowMapping
            | E::ExpectedFlowMappingSeparator
            | E::ExpectedFlowSequenceSeparator
            | E::InvalidColonPlacement
            | E::BlockEntryInFlowCollection
            | E::ExpectedNodeContent
    )
}

fn unclosed(text: &str, at: usize, open: char) -> (usize, String, String) {
    let close = closing(open);
    let (_, line) = line_of(text, at);
    let comment = line.find(" #").map(|comment| &line[comment + 1..]);
    let hint = match comment {
        Some(comment) => format!(
            "an unquoted `#` begins a comment: quote it: `'{}'`",
            comment.trim_end_matches([']', '}', ' '])
        ),
        None => format!("close it with `{close}`, or quote a text that begins with `{open}`"),
    };
    (at, format!("`{open}` is not closed"), hint)
}

fn closing(open: char) -> char {
    if open == '{' { '}' } else { ']' }
}

/// A value that begins with `{{` is read as a map by YAML: says so when the error came from one.
fn unquoted_template_near(mapped: &Mapped, at: usize, open: &[usize]) -> Option<YamlError> {
    let text = mapped.text();
    for place in open.iter().rev().copied() {
        // The outer of two brackets, or the inner one.
        for place in [place, place.saturating_sub(1)] {
            if let Some(error) = unquoted_template(mapped, place) {
                return Some(error);
            }
        }
    }
    if !open.is_empty() && text[at..].starts_with("{{") {
        return Some(quote_it(mapped, at, true));
    }
    // The template was closed already, and text goes on behind it.
    let (start, line) = line_of(text, at);
    let before = line.get(..at - start)?;
    let value = before.rfind("{{")?;
    let lead = before[..value].trim_end();
    let begins = lead.is_empty() || lead.ends_with([':', '-', ',', '[', '{']);
    let quoted = lead.matches(['\'', '"']).count() % 2 == 1;
    if quoted {
        return None;
    }
    if begins {
        unquoted_template(mapped, start + value)
    } else if !open.is_empty() {
        Some(quote_it(mapped, start + value, true))
    } else {
        None
    }
}

/// The error for an unquoted template at a place of the text, when there is one.
pub(super) fn unquoted_template(mapped: &Mapped, at: usize) -> Option<YamlError> {
    mapped
        .text()
        .get(at..)?
        .starts_with("{{")
        .then(|| quote_it(mapped, at, false))
}

fn quote_it(mapped: &Mapped, at: usize, inside: bool) -> YamlError {
    let rest = &mapped.text()[at..];
    let line = rest.lines().next().unwrap_or("");
    let end = line.find("}}").map_or(line.len(), |end| end + 2);
    let template = &line[..end];
    let quote = if template.contains('\'') { '"' } else { '\'' };
    let alone = line[end..]
        .trim_start_matches([']', '}', ',', ' '])
        .is_empty();
    let hint = if alone && !inside && !(quote == '"' && template.contains('"')) {
        format!("quote it: `{quote}{template}{quote}`")
    } else {
        "quote the whole value".to_owned()
    };
    YamlError {
        span: mapped.span(at, at + end),
        message: "a value with an unquoted `{{` is read as a map by YAML".into(),
        hint: Some(hint),
    }
}

/// Whether a `key: ` stands before a place on its line.
fn key_ends_before(text: &str, at: usize) -> bool {
    let (start, line) = line_of(text, at);
    line.get(..at - start)
        .is_some_and(|before| before.contains(": ") || before.trim_start().starts_with("- "))
}

/// Where the first escape that YAML does not know stands in a text with double quotes.
fn unknown_escape(text: &str, start: usize) -> usize {
    let mut characters = text[start..].char_indices();
    while let Some((offset, c)) = characters.next() {
        if c == '\\' {
            let known = characters
                .next()
                .is_none_or(|(_, c)| "0abt\tnvfre \"/\\N_LPxuU\n".contains(c));
            if !known {
                return start + offset;
            }
        }
    }
    start
}

/// How long the word at the start of a text is.
pub(super) fn word_length(text: &str) -> usize {
    text.find(|c: char| c.is_whitespace() || matches!(c, ',' | ']' | '}'))
        .unwrap_or(text.len())
}

/// The line that holds a place: where it begins, and its text.
fn line_of(text: &str, at: usize) -> (usize, &str) {
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[at..]
        .find('\n')
        .map_or(text.len(), |newline| at + newline);
    (start, &text[start..end])
}

/// The nearest place at or before an offset that is the beginning of a character.
fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
