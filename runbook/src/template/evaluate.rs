//! One expression: is it right, and what is its value.
//!
//! A path that is written out is looked up directly (most expressions are); anything else goes to Tera. Tera's errors are
//! told in our words, with the author's place.

use std::cell::RefCell;
use std::ops::Range;

use serde_json::Value;
use tera::{ErrorKind, Tera};

use super::filters::{self, BUILT_IN, CLOSE, ENGINE, FUNCTIONS, OPEN, OWN, TESTS, UNDEFINED};
use super::names::{Path, Scan, scan};
use super::rewrite::{Rewritten, rewrite};
use super::scope::Scope;
use super::token::{self, Kind, Token};
use super::{TEMPLATE_OFF_HINT, TemplateError};
use crate::suggest::did_you_mean_or_list;

/// Words with which the templates of other programs begin (Go's, Jinja's).
const FOREIGN_WORDS: &[&str] = &[
    "and", "block", "break", "continue", "define", "else", "end", "eq", "ge", "gt", "if",
    "include", "index", "join", "json", "le", "len", "lt", "ne", "not", "or", "partial", "print",
    "printf", "println", "range", "template", "toYaml", "with",
];

/// Whether an expression (the text between the braces) is right as far as it shows without values: its brackets and quotes,
/// its grammar, its filters, tests and functions.
///
/// # Errors
///
/// The first thing that is wrong, at its place in the expression.
pub fn check_expression(source: &str) -> Result<(), TemplateError> {
    let tokens = token::tokens(source);
    let scan = scan(&tokens);
    check_tokens(source, &tokens)?;
    check_known(&scan, source)?;
    let rewritten = rewrite(source, &scan, &Scope::new())?;
    parse(&rewritten.text).map_err(|error| syntax(source, &error))
}

/// Asks Tera for its opinion on the grammar, without evaluating anything.
fn parse(text: &str) -> tera::TeraResult<()> {
    thread_local! {
        // Adding a template of the same name replaces it, so this holds one at most.
        static CHECKER: RefCell<Tera> = RefCell::new(filters::engine());
    }
    CHECKER.with_borrow_mut(|tera| tera.add_raw_template("expression", text))
}

fn check_tokens(source: &str, tokens: &[Token]) -> Result<(), TemplateError> {
    let whole = trimmed(source);
    if tokens.is_empty() {
        return Err(TemplateError::new(whole, "an expression is empty"));
    }
    if let Some(token) = token::too_deep(tokens) {
        let message = format!("brackets nest deeper than {}", token::DEPTH_MAX);
        return Err(TemplateError::new(token.range.clone(), message));
    }
    let mut open: Vec<&Token> = Vec::new();
    for token in tokens {
        match token.kind {
            Kind::OpenText(quote) => {
                return Err(foreign(
                    source,
                    TemplateError::new(
                        token.range.start..token.range.start + 1,
                        format!("a text in `{quote}` is not closed"),
                    ),
                ));
            }
            Kind::Unknown(character) => {
                let message = format!("`{character}` is not part of an expression");
                return Err(
                    TemplateError::new(token.range.clone(), message).hint(TEMPLATE_OFF_HINT)
                );
            }
            Kind::Sign("(" | "[" | "{" | "?[") => open.push(token),
            Kind::Sign(sign @ (")" | "]" | "}")) => {
                let matches = open.pop().is_some_and(|open| {
                    matches!(
                        (&open.kind, sign),
                        (Kind::Sign("("), ")")
                            | (Kind::Sign("[" | "?["), "]")
                            | (Kind::Sign("{"), "}")
                    )
                });
                if !matches {
                    return Err(TemplateError::new(
                        token.range.clone(),
                        format!("`{sign}` closes nothing"),
                    ));
                }
            }
            _ => {}
        }
    }
    match open.pop() {
        Some(token) => Err(TemplateError::new(
            token.range.clone(),
            "a bracket is not closed",
        )),
        None => Ok(()),
    }
}

fn check_known(scan: &Scan, source: &str) -> Result<(), TemplateError> {
    let kinds = [
        ("filter", &scan.filters, [OWN, BUILT_IN].concat()),
        ("test", &scan.tests, TESTS.to_vec()),
        ("function", &scan.functions, FUNCTIONS.to_vec()),
    ];
    for (what, used, mut known) in kinds {
        known.sort_unstable();
        for (name, range) in used {
            if known.contains(&name.as_str()) {
                continue;
            }
            let mut error = TemplateError::new(range.clone(), format!("unknown {what} `{name}`"));
            error.hint = did_you_mean_or_list(name, known.iter().copied(), "known are");
            return Err(foreign(source, error));
        }
    }
    Ok(())
}

/// The value of an expression.
pub(super) fn evaluate(source: &str, scope: &Scope) -> Result<Value, TemplateError> {
    let tokens = token::tokens(source);
    let scan = scan(&tokens);
    if let ([path], true) = (&scan.paths[..], scan.filters.is_empty())
        && path.is_static()
        && path.range == trimmed(source)
    {
        return match scope.find(path)? {
            Some(value) => to_json(value, path.range.clone()),
            None => Err(scope.undefined(path)),
        };
    }
    check_tokens(source, &tokens)?;
    check_known(&scan, source)?;
    if let Some(path) = scan
        .paths
        .iter()
        .find(|path| !path.optional && !scope.has(path.root()))
    {
        return Err(foreign(source, scope.undefined(path)));
    }
    let rewritten = rewrite(source, &scan, scope)?;
    let result = ENGINE.render_str(&rewritten.text, scope.context(), false);
    let kept = filters::take_kept();
    match (result, kept) {
        (Ok(_), Some(value)) => to_json(&value, trimmed(source)),
        (Ok(_), None) => Err(TemplateError::new(
            trimmed(source),
            "an expression has no value",
        )),
        (Err(error), _) => Err(failure(source, &scan, scope, &rewritten, &error)),
    }
}

fn to_json(value: &tera::Value, range: Range<usize>) -> Result<Value, TemplateError> {
    serde_json::to_value(value)
        .map_err(|error| TemplateError::new(range, format!("a value cannot be used: {error}")))
}

/// The range of a text without the blanks around it.
fn trimmed(source: &str) -> Range<usize> {
    let start = source.len() - source.trim_start().len();
    start..(start + source.trim().len())
}

/// The error of an expression that Tera cannot read: what it says about the author's text, not about the rewritten one.
fn syntax(source: &str, error: &tera::Error) -> TemplateError {
    let own = parse(&format!("{OPEN}{source}{CLOSE}"));
    let error = own.as_ref().err().unwrap_or(error);
    let (message, range) = match (error.kind(), own.is_err()) {
        (ErrorKind::SyntaxError(report), true) => {
            let range = report.span().range.clone();
            let at = |offset: usize| offset.saturating_sub(OPEN.len()).min(source.len());
            (report.message().to_owned(), at(range.start)..at(range.end))
        }
        (ErrorKind::SyntaxError(report), false) => (report.message().to_owned(), 0..0),
        _ => (error.to_string(), 0..0),
    };
    let usable = !range.is_empty()
        && source.is_char_boundary(range.start)
        && source.is_char_boundary(range.end);
    let range = if usable { range } else { trimmed(source) };
    foreign(
        source,
        TemplateError::new(
            range,
            format!(
                "not an expression: {}",
                fragment(&message.replace(CLOSE, "}}"))
            ),
        ),
    )
}

fn failure(
    source: &str,
    scan: &Scan,
    scope: &Scope,
    rewritten: &Rewritten,
    error: &tera::Error,
) -> TemplateError {
    let ErrorKind::RenderingError(report) = error.kind() else {
        return syntax(source, error);
    };
    let range = rewritten.source_range(&report.span().range);
    let message = report.message();
    let place = message
        .strip_prefix(UNDEFINED)
        .map(|place| place.trim().parse::<usize>().ok());
    let touches = |path: &&Path| {
        range.start <= path.range.end && path.range.start < range.end.max(range.start + 1)
    };
    let path = match place {
        Some(Some(place)) => scan.all().nth(place),
        _ if place.is_some()
            || message.contains("is not defined")
            || message.contains("undefined") =>
        {
            scan.all().filter(|path| !path.optional).find(touches)
        }
        _ => None,
    };
    if let Some(path) = path {
        return if scan.locals.contains(path) {
            undefined_local(path)
        } else {
            foreign(source, scope.undefined(path))
        };
    }
    let range = if range.is_empty() {
        trimmed(source)
    } else {
        range
    };
    TemplateError::new(range, fragment(message))
}

fn undefined_local(path: &Path) -> TemplateError {
    TemplateError::new(
        path.range.clone(),
        format!("`{path}` is not defined for every item"),
    )
    .hint(format!(
        "say what stands there instead: `{path} | default(value=…)`"
    ))
}

/// A message of Tera as a fragment of ours: lowercase, no period.
fn fragment(message: &str) -> String {
    let message = message
        .lines()
        .next()
        .unwrap_or_default()
        .trim_end_matches('.');
    let mut characters = message.chars();
    match characters.next() {
        Some(first) => first.to_lowercase().chain(characters).collect(),
        None => String::new(),
    }
}

/// Adds the hint for templates of other programs, where the expression looks like one.
fn foreign(source: &str, error: TemplateError) -> TemplateError {
    let first = source.split_whitespace().next().unwrap_or_default();
    let word = first
        .split(|c: char| !c.is_ascii_alphanumeric())
        .next()
        .unwrap_or_default();
    if error.hint.as_deref() != Some(TEMPLATE_OFF_HINT) && is_foreign(word) {
        return error.hint(TEMPLATE_OFF_HINT);
    }
    error
}

/// Whether a word begins templates of other programs.
pub(super) fn is_foreign(word: &str) -> bool {
    FOREIGN_WORDS.contains(&word)
}

/// The hint that names the one that was probably meant, or lists what is known.
pub(super) fn known_hint(name: &str, known: &[String]) -> Option<String> {
    did_you_mean_or_list(name, known.iter().map(String::as_str), "known are")
}
