//! Templates in the body of a script: what a guest printed is not code (LANGUAGE section 1, "Templates", rule 5).
//!
//! An expression that uses a capture may give only characters that no shell looks at, unless its last filter is `sh`. Where
//! that does not hold, the step has failed before anything was executed.

use std::ops::Range;

use super::names::scan;
use super::scope::{Scope, inside_text};
use super::token::{self, Kind, Token};
use super::{TemplateError, expressions, unclosed};

/// Why a script was not rendered. Nothing of it may be executed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// A template is wrong.
    #[error("{0}")]
    Template(TemplateError),
    /// A captured value holds characters that a shell would act on.
    #[error("`{expression}` gives characters that are not put into a script: {characters}")]
    Unsafe {
        /// Where the template stands in the script.
        range: Range<usize>,
        /// The expression.
        expression: String,
        /// The characters, for people.
        characters: String,
    },
    /// A secret would stand in process lists.
    #[error("`{expression}` puts a secret into a script")]
    Secret {
        /// Where the template stands in the script.
        range: Range<usize>,
        /// The expression.
        expression: String,
    },
}

impl ScriptError {
    /// Where in the script.
    pub fn range(&self) -> Range<usize> {
        match self {
            Self::Template(error) => error.range.clone(),
            Self::Unsafe { range, .. } | Self::Secret { range, .. } => range.clone(),
        }
    }

    /// What to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Template(error) => error.hint.clone(),
            Self::Unsafe { expression, .. }
                if ends_in_sh(&token::tokens(&format!("{expression}|sh"))) =>
            {
                Some(format!(
                    "quote it for the shell, `{{{{ {expression} | sh }}}}`, or pass it on by `env`"
                ))
            }
            Self::Unsafe { .. } => Some(
                "quote each captured value for the shell with `| sh`, or pass it on by `env`"
                    .into(),
            ),
            Self::Secret { .. } => {
                Some("list it in `secrets` and use its environment variable".into())
            }
        }
    }
}

/// Whether a character may come from a capture into a script as it is.
pub(super) fn is_safe(character: char) -> bool {
    character.is_ascii_alphanumeric() || "_.,:/@%+=-".contains(character)
}

impl Scope {
    /// Renders the body of a script.
    ///
    /// # Errors
    ///
    /// A template that is wrong, a captured value with characters that a shell would act on, a secret.
    pub fn render_script(&self, script: &str) -> Result<String, ScriptError> {
        let mut rendered = String::with_capacity(script.len());
        let mut at = 0;
        for expression in expressions(script) {
            if !expression.closed {
                return Err(ScriptError::Template(unclosed(&expression)));
            }
            rendered.push_str(&script[at..expression.range.start]);
            at = expression.range.end;
            let (range, source) = (
                expression.range.clone(),
                expression.source.trim().to_owned(),
            );
            let tokens = token::tokens(expression.source);
            let paths = scan(&tokens).paths;
            if paths.iter().any(|path| path.root() == "secret") {
                return Err(ScriptError::Secret {
                    range,
                    expression: source,
                });
            }
            let value = self
                .evaluate(expression.source)
                .map_err(|error| ScriptError::Template(error.moved(expression.offset)))?;
            let text = inside_text(&value, &source).map_err(|(message, hint)| {
                ScriptError::Template(TemplateError::new(range.clone(), message).hint(hint))
            })?;
            let captured = paths.iter().any(|path| self.is_capture(path));
            if captured && !ends_in_sh(&tokens) && !text.chars().all(is_safe) {
                return Err(ScriptError::Unsafe {
                    range,
                    expression: source,
                    characters: unsafe_characters(&text),
                });
            }
            rendered.push_str(&text);
        }
        rendered.push_str(&script[at..]);
        Ok(rendered)
    }
}

/// Whether the last thing done to the whole expression is `| sh`. A filter binds tighter than any operator, so one operator
/// outside brackets means that `sh` quotes only a part.
fn ends_in_sh(tokens: &[Token]) -> bool {
    let [before @ .., pipe, filter] = tokens else {
        return false;
    };
    if !(pipe.is("|") && filter.is_name("sh")) {
        return false;
    }
    let mut index = 0;
    while index < before.len() {
        let token = &before[index];
        match &token.kind {
            Kind::Sign("(" | "[" | "{" | "?[") => match token::closing(before, index) {
                Some(close) => index = close,
                None => return false,
            },
            Kind::Sign("." | "?." | "|") | Kind::Text(_) | Kind::Int(_) | Kind::Float => {}
            Kind::Name(name)
                if !["and", "or", "not", "in", "is", "if", "else"].contains(&name.as_str()) => {}
            _ => return false,
        }
        index += 1;
    }
    true
}

fn unsafe_characters(text: &str) -> String {
    const CHARACTERS_MAX: usize = 8;
    let mut found: Vec<char> = Vec::new();
    for character in text.chars().filter(|c| !is_safe(*c)) {
        if !found.contains(&character) {
            found.push(character);
        }
    }
    let more = if found.len() > CHARACTERS_MAX {
        " and more"
    } else {
        ""
    };
    let names: Vec<String> = found
        .iter()
        .take(CHARACTERS_MAX)
        .map(|character| match character {
            ' ' => "a blank".into(),
            '\n' => "a line end".into(),
            '`' => "a backtick".into(),
            other if other.is_control() => format!("U+{:04X}", u32::from(*other)),
            other => format!("`{other}`"),
        })
        .collect();
    names.join(" ") + more
}
