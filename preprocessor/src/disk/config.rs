//! `book.toml`: mdBook's own reading of it, and the options of `[preprocessor.runbook]`, each checked.

use mdbook_preprocessor::config::Config;
use runbook::diagnostic::Diagnostic;
use runbook::markdown::MarkdownOptions;
use runbook::model::Options;
use runbook::source::{Source, Span};
use runbook::{suggest, value};
use serde_json::Value;

/// The table of our options.
const TABLE: &str = "preprocessor.runbook";
/// The options of the table that are ours.
const OURS: &[&str] = &["profile", "inventory", "old-after", "keep"];
/// Those that are mdBook's.
const MDBOOKS: &[&str] = &[
    "command",
    "before",
    "after",
    "renderer",
    "renderers",
    "optional",
];
/// Variables that mdBook lays over `book.toml`.
const ENVIRONMENT_PREFIX: &str = "MDBOOK_";
/// How many lines of another program's message are shown.
const MESSAGE_LINES_MAX: usize = 4;

/// What `book.toml` says.
pub(super) struct Read {
    pub(super) title: Option<String>,
    /// The folder of the chapters, with `/`, without one at its end.
    pub(super) src: String,
    pub(super) options: Options,
    pub(super) markdown: MarkdownOptions,
}

/// Reads `book.toml`, as mdBook does: what its environment variables say is laid over it.
pub(super) fn read(source: &Source) -> Result<Read, Box<Diagnostic>> {
    let mut config: Config = source.text().parse().map_err(|error| {
        let message = format!("`book.toml` cannot be read: {}", one_line(&error));
        placed("book-toml", source, message)
            .hint("write it as mdBook's `book.toml` is written: TOML, with `[book]`")
    })?;
    if std::env::vars_os().any(|(name, _)| name.to_string_lossy().starts_with(ENVIRONMENT_PREFIX)) {
        config.update_from_env().map_err(|error| {
            let message = format!(
                "a variable `{ENVIRONMENT_PREFIX}…` cannot be used: {}",
                one_line(&error)
            );
            Diagnostic::file("book-toml", "book.toml", message)
                .hint("unset it, or give it a value that mdBook takes")
        })?;
    }
    let options = options(source, &config)?;
    let markdown = markdown_options(&config);
    let src = config.book.src.to_string_lossy().replace('\\', "/");
    Ok(Read {
        title: config.book.title,
        src: src.trim_end_matches('/').to_owned(),
        options,
        markdown,
    })
}

fn options(source: &Source, config: &Config) -> Result<Options, Box<Diagnostic>> {
    let mut options = Options::default();
    let table: serde_json::Map<String, Value> = config
        .get(TABLE)
        .map_err(|error| {
            wrong(
                source,
                "runbook",
                format!("`[{TABLE}]` cannot be read: {}", one_line(&error)),
                "write it as a table",
            )
        })?
        .unwrap_or_default();
    for (name, value) in table {
        match (name.as_str(), &value) {
            (name, _) if MDBOOKS.contains(&name) => {}
            ("profile", Value::String(text)) if !text.is_empty() => {
                options.profile.clone_from(text)
            }
            ("inventory", Value::String(text)) if !text.is_empty() => {
                options.inventory.clone_from(text)
            }
            ("old-after", Value::String(text)) => {
                options.old_after = value::duration(text).map_err(|error| {
                    wrong(
                        source,
                        &name,
                        format!("`old-after`: {error}"),
                        "write a duration: `\"7d\"`",
                    )
                })?;
            }
            ("keep", Value::Number(number)) if number.as_u64().is_some_and(|keep| keep > 0) => {
                options.keep = number
                    .as_u64()
                    .and_then(|keep| usize::try_from(keep).ok())
                    .unwrap_or(usize::MAX);
            }
            (known, _) if OURS.contains(&known) => return Err(wrong_type(source, known)),
            (unknown, _) => {
                let hint =
                    suggest::did_you_mean_or_list(unknown, OURS.iter().copied(), "its options are");
                let message = format!("unknown option `{unknown}` in `[{TABLE}]`");
                return Err(wrong(source, unknown, message, &hint.unwrap_or_default()));
            }
        }
    }
    Ok(options)
}

/// What of `[output.html]` decides about blocks and ids, as mdBook's renderer takes it.
pub fn markdown_options(config: &Config) -> MarkdownOptions {
    let html = config.html_config().unwrap_or_default();
    MarkdownOptions {
        smart_punctuation: html.smart_punctuation,
        definition_lists: html.definition_lists,
        admonitions: html.admonitions,
    }
}

fn wrong_type(source: &Source, option: &str) -> Box<Diagnostic> {
    let (wanted, example) = match option {
        "keep" => ("a number of runs, 1 or more", "keep = 30"),
        "old-after" => ("a duration", "old-after = \"7d\""),
        "inventory" => ("the path of a file", "inventory = \"inventory.yaml\""),
        _ => ("the name of a profile", "profile = \"lab\""),
    };
    wrong(
        source,
        option,
        format!("`{option}` must be {wanted}"),
        &format!("write `{example}`"),
    )
}

/// A finding about an option, at its own line.
pub(super) fn wrong(source: &Source, option: &str, message: String, hint: &str) -> Box<Diagnostic> {
    let mut offset = 0;
    let mut inside = false;
    let mut place = None;
    for line in source.text().split_inclusive('\n') {
        let content = line.trim();
        if content.starts_with('[') {
            inside = content.trim_matches(['[', ']', ' ']) == TABLE;
            if inside && place.is_none() {
                place = Some(Span::new(offset, offset + line.trim_end().len()));
            }
        } else if inside
            && content
                .split('=')
                .next()
                .is_some_and(|key| key.trim().trim_matches('"') == option)
        {
            let start = offset + (line.len() - line.trim_start().len());
            place = Some(Span::new(
                start,
                start
                    + content
                        .find('=')
                        .map_or(content.len(), |at| content[..at].trim_end().len()),
            ));
            break;
        }
        offset += line.len();
    }
    Box::new(match place {
        Some(place) => Diagnostic::error("book-toml", source, place, message).hint(hint),
        // Written otherwise (an inline table), or in a variable of the environment.
        None => Diagnostic::file("book-toml", source.path(), message).hint(hint),
    })
}

/// The message of an error and its causes, as one line.
pub(super) fn one_line(error: &mdbook_preprocessor::errors::Error) -> String {
    let whole = format!("{error:#}");
    // The excerpt that TOML's reader draws is not repeated: ours is.
    let lines = whole.lines().map(str::trim).filter(|line| {
        let digits = line
            .trim_start_matches(|c: char| c.is_ascii_digit())
            .trim_start();
        !line.is_empty() && !digits.starts_with('|')
    });
    lines.take(MESSAGE_LINES_MAX).collect::<Vec<_>>().join("; ")
}

/// A finding at the `line N, column M` that a message names.
pub(super) fn placed(rule: &'static str, source: &Source, message: String) -> Diagnostic {
    let number = |word: &str| -> Option<usize> {
        let rest = &message[message.find(word)? + word.len()..];
        rest[..rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len())]
            .parse()
            .ok()
    };
    let (Some(line), Some(column)) = (number("line "), number("column ")) else {
        return Diagnostic::file(rule, source.path(), message);
    };
    let before: usize = source
        .text()
        .split_inclusive('\n')
        .take(line.saturating_sub(1))
        .map(str::len)
        .sum();
    let text = source.line(u32::try_from(line).unwrap_or(u32::MAX));
    let start = text
        .char_indices()
        .nth(column.saturating_sub(1))
        .map_or(text.len(), |(at, _)| at);
    let length = text[start..].chars().next().map_or(0, char::len_utf8);
    Diagnostic::error(
        rule,
        source,
        Span::new(before + start, before + start + length),
        message,
    )
}
