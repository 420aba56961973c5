//! The words of an expression, as Tera reads them: names, texts, numbers and signs, each with its place.
//!
//! Needed to find where `{{ … }}` ends and which names it uses, before anything is evaluated. Judges nothing: what is no
//! word of the language is a [`Kind::Unknown`] token, and Tera has the last word on the grammar.

use std::ops::Range;

/// A token and its place in the text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) range: Range<usize>,
}

/// What a token is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// A name or a keyword.
    Name(String),
    /// A text in quotes, without them and its escapes.
    Text(String),
    /// A whole number.
    Int(i64),
    /// Another number.
    Float,
    /// An operator or a bracket.
    Sign(&'static str),
    /// A text whose quote is not closed.
    OpenText(char),
    /// A character that no expression has outside quotes.
    Unknown(char),
}

impl Token {
    pub(super) fn is(&self, sign: &str) -> bool {
        matches!(self.kind, Kind::Sign(own) if own == sign)
    }

    pub(super) fn is_name(&self, name: &str) -> bool {
        self.name() == Some(name)
    }

    pub(super) fn name(&self) -> Option<&str> {
        match &self.kind {
            Kind::Name(name) => Some(name),
            _ => None,
        }
    }
}

/// The signs, the longer ones first.
const SIGNS: &[&str] = &[
    "...", "//", "**", "==", "!=", ">=", "<=", "</", "?.", "?[", "+", "-", "*", "/", "%", "!", ".",
    ",", ":", "~", "|", "=", ">", "<", "(", ")", "[", "]", "{", "}", "@",
];

/// Reads the next token at or after `start`; `None` at the end of the text.
pub(super) fn next(text: &str, start: usize) -> Option<Token> {
    let rest = text.get(start..)?;
    let trimmed = rest.trim_start_matches(|c: char| c.is_ascii_whitespace());
    let at = start + (rest.len() - trimmed.len());
    let first = trimmed.chars().next()?;
    let (kind, length) = match first {
        '\'' | '"' | '`' => quoted(trimmed, first),
        c if c.is_ascii_digit() => number(trimmed),
        c if c.is_ascii_alphabetic() || c == '_' => {
            let length = trimmed
                .bytes()
                .take_while(|b| b.is_ascii_alphanumeric() || *b == b'_')
                .count();
            (Kind::Name(trimmed[..length].to_owned()), length)
        }
        _ => match SIGNS.iter().find(|sign| trimmed.starts_with(**sign)) {
            Some(sign) => (Kind::Sign(sign), sign.len()),
            None => (Kind::Unknown(first), first.len_utf8()),
        },
    };
    Some(Token {
        kind,
        range: at..at + length,
    })
}

/// All tokens of an expression.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(token) = next(text, at) {
        at = token.range.end;
        tokens.push(token);
    }
    tokens
}

fn quoted(text: &str, quote: char) -> (Kind, usize) {
    let mut content = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((index, c)) = characters.next() {
        match c {
            c if c == quote => return (Kind::Text(content), index + c.len_utf8()),
            '\\' => match characters.next() {
                Some((_, 'n')) => content.push('\n'),
                Some((_, 't')) => content.push('\t'),
                Some((_, 'r')) => content.push('\r'),
                Some((_, other)) => content.push(other),
                None => break,
            },
            c => content.push(c),
        }
    }
    (Kind::OpenText(quote), text.len())
}

fn number(text: &str) -> (Kind, usize) {
    let mut point = false;
    let length = text
        .bytes()
        .take_while(|b| {
            let is_point = *b == b'.' && !point;
            point |= is_point;
            is_point || b.is_ascii_digit()
        })
        .count();
    match text[..length].parse() {
        Ok(number) if !point => (Kind::Int(number), length),
        _ => (Kind::Float, length),
    }
}

/// How deep brackets may nest, so that no expression can exhaust the stack. Tera takes far fewer.
pub(super) const DEPTH_MAX: usize = 64;

/// The first bracket that nests too deep.
pub(super) fn too_deep(tokens: &[Token]) -> Option<&Token> {
    let mut depth = 0usize;
    tokens.iter().find(|token| {
        match token.kind {
            Kind::Sign("(" | "[" | "{" | "?[") => depth += 1,
            Kind::Sign(")" | "]" | "}") => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > DEPTH_MAX
    })
}

/// The index of the bracket that closes the one at `open`; `None` when none does.
pub(super) fn closing(tokens: &[Token], open: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (index, token) in tokens.iter().enumerate().skip(open) {
        if let Kind::Sign(sign) = token.kind {
            match sign {
                "(" | "[" | "{" | "?[" => depth += 1,
                ")" | "]" | "}" => {
                    depth = depth.checked_sub(1)?;
                    if depth == 0 {
                        return Some(index);
                    }
                }
                _ => {}
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_those_of_an_expression() {
        let kinds: Vec<Kind> = tokens(r#"a_1["b\"c"] ?. d|f(x=-1.5)"#)
            .into_iter()
            .map(|token| token.kind)
            .collect();
        assert_eq!(
            kinds,
            vec![
                Kind::Name("a_1".into()),
                Kind::Sign("["),
                Kind::Text("b\"c".into()),
                Kind::Sign("]"),
                Kind::Sign("?."),
                Kind::Name("d".into()),
                Kind::Sign("|"),
                Kind::Name("f".into()),
                Kind::Sign("("),
                Kind::Name("x".into()),
                Kind::Sign("="),
                Kind::Sign("-"),
                Kind::Float,
                Kind::Sign(")"),
            ]
        );
    }

    #[test]
    fn places_count_bytes() {
        let found = tokens("'é' $x");
        assert_eq!(
            (found[0].range.clone(), found[1].range.clone()),
            (0..4, 5..6)
        );
        assert_eq!(found[1].kind, Kind::Unknown('$'));
    }
}
