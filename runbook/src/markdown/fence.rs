//! A fence: its info string, its options, its body, each with its place.

use crate::diagnostic::Diagnostic;
use crate::mapped::Mapped;
use crate::model::Language;
use crate::outcome::Effect;
use crate::source::{Source, Span};

/// How similar a word must be to be suggested.
const SIMILAR_MIN: f64 = 0.75;

/// A fence that is a step or a diagram.
#[derive(Debug, Clone)]
pub struct Fence {
    /// From its first marker to the end of its last line.
    pub span: Span,
    /// Its first marker.
    pub marker_span: Span,
    /// Its first line, from 1.
    pub line: u32,
    /// The info string.
    pub info: String,
    /// Where the info string stands.
    pub info_span: Span,
    /// What its info string says; of a diagram [`FenceKind::Typed`] without an effect.
    pub kind: FenceKind,
    /// The `#|` options of a native fence, without `#|`.
    pub options: Option<Mapped>,
    /// The body; of a native fence what follows its options. The container's prefix (indentation, `>`) is removed.
    pub body: Mapped,
    /// The prefix of each line inside its container, as it stands before the first marker: `    `, `> `.
    pub prefix: String,
    /// Whether it has its closing marker.
    pub closed: bool,
    /// The nearest heading above it, an index into the chapter's headings.
    pub heading: Option<usize>,
}

/// What an info string says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FenceKind {
    /// `runbook [EFFECT]`.
    Typed {
        /// The effect, when it stands in the info string.
        effect: Option<Effect>,
    },
    /// `LANGUAGE runbook [EFFECT]`. A `yaml` fence without options is a typed step for whoever reads it.
    Native {
        /// The language.
        language: Language,
        /// The effect, when it stands in the info string.
        effect: Option<Effect>,
    },
}

/// How the lines of a container begin: what has to be taken away so that its content is left.
#[derive(Debug, Clone, Default)]
pub(super) struct Container {
    /// Columns of indentation and `>` markers before the fence, in order.
    parts: Vec<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// `>` and one blank after it.
    Quote,
    /// Up to so many columns of blanks.
    Indent(usize),
}

impl Container {
    /// Reads the text before a fence's first marker. List markers count as the blanks they stand for.
    fn of(prefix: &str) -> Self {
        let mut parts = Vec::new();
        let mut indent = 0;
        let mut chars = prefix.chars().peekable();
        while let Some(c) = chars.next() {
            if c == '>' {
                if indent > 0 {
                    parts.push(Part::Indent(indent));
                    indent = 0;
                }
                parts.push(Part::Quote);
                chars.next_if_eq(&' ');
            } else {
                indent += if c == '\t' { 4 - indent % 4 } else { 1 };
            }
        }
        if indent > 0 {
            parts.push(Part::Indent(indent));
        }
        Self { parts }
    }

    /// A line without the container's prefix. A line that is less indented (lazy, or blank) keeps what it has.
    pub(super) fn strip<'t>(&self, line: &'t str) -> &'t str {
        let mut rest = line;
        for part in &self.parts {
            match part {
                Part::Quote => {
                    let trimmed = rest.trim_start_matches(' ');
                    let Some(inside) = trimmed.strip_prefix('>') else {
                        return rest;
                    };
                    rest = inside.strip_prefix(' ').unwrap_or(inside);
                }
                Part::Indent(columns) => {
                    let mut column = 0;
                    while column < *columns {
                        match rest.as_bytes().first() {
                            Some(b' ') => column += 1,
                            Some(b'\t') => column += 4 - column % 4,
                            _ => break,
                        }
                        rest = &rest[1..];
                    }
                }
            }
        }
        rest
    }
}

/// Cuts a fence out of the chapter; `span` is the block as the parser gives it.
pub(super) fn cut(source: &Source, info: &str, span: Span) -> Fence {
    let text = source.text();
    let line_start = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
    let prefix = text[line_start..span.start].to_owned();
    let container = Container::of(&prefix);
    let block = &text[span.start..span.end];
    let first = block.split_inclusive('\n').next().unwrap_or(block);
    let marker = first.as_bytes().first().copied().unwrap_or(b'`');
    let width = first.bytes().take_while(|b| *b == marker).count();
    let raw_info = first[width..].trim();
    let info_start =
        span.start + width + (first[width..].len() - first[width..].trim_start().len());
    let mut body = Mapped::default();
    let mut closed = false;
    let mut offset = span.start + first.len();
    for line in block[first.len()..].split_inclusive('\n') {
        let (content, cut) = super::unprefixed(line, &container);
        if is_closing(content, marker, width) {
            closed = true;
            break;
        }
        body.push_line(content, offset + cut);
        offset += line.len();
    }
    Fence {
        span: Span::new(
            span.start,
            span.start + block.trim_end_matches(['\n', '\r']).len(),
        ),
        marker_span: Span::new(span.start, span.start + width),
        line: source.position(span.start).line,
        info: info.to_owned(),
        info_span: Span::new(info_start, info_start + raw_info.len()),
        kind: FenceKind::Typed { effect: None },
        options: None,
        body,
        prefix,
        closed,
        heading: None,
    }
}

fn is_closing(line: &str, marker: u8, width: usize) -> bool {
    let indent = line.len() - line.trim_start_matches(' ').len();
    let content = line.trim();
    indent < 4 && content.len() >= width && content.bytes().all(|b| b == marker)
}

/// Reads an info string.
pub(super) fn kind(
    source: &Source,
    fence: &Fence,
    words: &[&str],
) -> Result<FenceKind, Box<Diagnostic>> {
    let place = |word: &str| {
        let offset = source.slice(fence.info_span).find(word).unwrap_or(0);
        Span::new(
            fence.info_span.start + offset,
            fence.info_span.start + offset + word.len(),
        )
    };
    let fail = |rule, word: &str, message: String, hint: String| {
        Err(Box::new(
            Diagnostic::error(rule, source, place(word), message).hint(hint),
        ))
    };
    let (language, rest) = match words {
        ["runbook", rest @ ..] => (None, rest),
        [language, "runbook", rest @ ..] => match parse_language(language) {
            Some(language) => (Some(language), rest),
            None => {
                let hint = similar(language, &["bash", "sh", "python", "yaml"]).map_or_else(
                    || "a step is written in `bash`, `sh`, `python` or `yaml`".to_owned(),
                    |word| format!("did you mean `{word}`?"),
                );
                return fail(
                    "unknown-language",
                    language,
                    format!("`{language}` cannot be executed"),
                    hint,
                );
            }
        },
        _ => {
            let hint =
                "the info string is `runbook [EFFECT]` or `LANGUAGE runbook [EFFECT]`".to_owned();
            return fail(
                "info-string",
                words.first().unwrap_or(&""),
                "the word `runbook` stands at the wrong place".to_owned(),
                hint,
            );
        }
    };
    let effect = match rest {
        [] => None,
        [word] => match Effect::parse(word) {
            Some(effect) => Some(effect),
            None => {
                let hint = similar(word, &["read", "change", "disrupt", "destroy"])
                    .map_or_else(|| "an effect is `read`, `change`, `disrupt` or `destroy`; everything else is an option".to_owned(), |word| format!("did you mean `{word}`?"));
                return fail(
                    "info-string",
                    word,
                    format!("unknown word `{word}` in the info string"),
                    hint,
                );
            }
        },
        [_, word, ..] => {
            let hint = "at most one effect follows the word `runbook`".to_owned();
            return fail(
                "info-string",
                word,
                format!("one word too many in the info string: `{word}`"),
                hint,
            );
        }
    };
    Ok(match language {
        None => FenceKind::Typed { effect },
        Some(language) => FenceKind::Native { language, effect },
    })
}

fn parse_language(word: &str) -> Option<Language> {
    match word {
        "bash" => Some(Language::Bash),
        "sh" => Some(Language::Sh),
        "python" => Some(Language::Python),
        "yaml" => Some(Language::Yaml),
        _ => None,
    }
}

fn similar<'w>(word: &str, known: &[&'w str]) -> Option<&'w str> {
    known
        .iter()
        .map(|candidate| {
            (
                strsim::jaro_winkler(&word.to_lowercase(), candidate),
                *candidate,
            )
        })
        .filter(|(score, _)| *score >= SIMILAR_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// Takes the `#|` lines off the top of a native fence's body, and refuses those at another place or in another comment's form.
pub(super) fn options(source: &Source, fence: &mut Fence) -> Result<(), Box<Diagnostic>> {
    if !matches!(fence.kind, FenceKind::Native { .. }) {
        return Ok(());
    }
    let whole = std::mem::take(&mut fence.body);
    let (mut options, mut body) = (super::empty(), super::empty());
    let mut at_top = true;
    for (line, offset) in whole.lines() {
        let trimmed = line.trim_end_matches(['\n', '\r']);
        if at_top
            && let Some(other) = ["//|", "--|"]
                .into_iter()
                .find(|other| trimmed.starts_with(other))
        {
            let span = Span::new(offset, offset + other.len());
            let problem = Diagnostic::error(
                "option-marker",
                source,
                span,
                format!("options do not begin with `{other}`"),
            )
            .hint("write `#|`");
            return Err(Box::new(problem));
        }
        match line.strip_prefix("#|") {
            Some(rest) if at_top => {
                let content = rest.strip_prefix(' ').unwrap_or(rest);
                options.push_line(content, offset + line.len() - content.len());
            }
            Some(_) => {
                let span = Span::new(offset, offset + 2);
                let problem = Diagnostic::error(
                    "late-option",
                    source,
                    span,
                    "an option must stand at the top of the fence",
                )
                .hint("move it up to the other `#|` lines, with nothing between them");
                return Err(Box::new(problem));
            }
            None => {
                at_top = false;
                body.push_line(line, offset);
            }
        }
    }
    fence.options =
        (!options.text().is_empty() || options.lines().next().is_some()).then_some(options);
    fence.body = body;
    Ok(())
}
