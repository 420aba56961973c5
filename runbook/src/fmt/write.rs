//! Writes a map of YAML anew, with its comments, block scalars and blank lines; gives up where it cannot keep one of them.
//!
//! The node says what was written, the text how: which collections were in flow style, which scalars were block scalars. Giving
//! up is `None`: the step stays as it is.

use granit_parser::{Event, Parser};

use super::ordered;
use crate::node::{Entry, Kind, Node, Scalar};
use crate::print;

const INDENT: usize = 2;

/// A comment of the text.
struct Comment {
    /// Where its `#` stands.
    start: usize,
    text: String,
    /// How many blanks stand before it on a line of its own; `None` behind something else.
    own_line: Option<usize>,
}

/// The comments of a text, sorted: what has to be there still when it was written anew.
pub(super) fn comments_of(text: &str) -> Option<Vec<String>> {
    let mut texts: Vec<String> = comments(text)?
        .into_iter()
        .map(|comment| comment.text)
        .collect();
    texts.sort();
    Some(texts)
}

fn comments(text: &str) -> Option<Vec<Comment>> {
    let mut comments = Vec::new();
    for next in Parser::new_from_str(text) {
        let (event, span) = next.ok()?;
        if let Event::Comment(..) = event {
            let range = span.byte_range()?;
            let line = text[..range.start]
                .rfind('\n')
                .map_or(0, |newline| newline + 1);
            let before = &text[line..range.start];
            comments.push(Comment {
                start: range.start,
                text: text.get(range)?.trim_end().to_owned(),
                own_line: before.trim().is_empty().then_some(before.len()),
            });
        }
    }
    comments.sort_by_key(|comment| comment.start);
    Some(comments)
}

/// Writes the map of a whole step.
pub(super) fn map(text: &str, node: &Node, width: usize) -> Option<String> {
    if text
        .lines()
        .any(|line| line.starts_with("---") || line.starts_with("..."))
    {
        return None;
    }
    let entries = node.as_map()?;
    let comments = comments(text)?;
    // A comment belongs to the key below it; behind a value, or indented like one, to the key above.
    let mut of_entry: Vec<Vec<Comment>> = entries.iter().map(|_| Vec::new()).collect();
    let mut last = Vec::new();
    for comment in comments {
        let above = entries
            .iter()
            .rposition(|entry| entry.key_span.start <= comment.start);
        let index = match (above, comment.own_line) {
            (Some(above), None) => above,
            (Some(above), Some(blanks)) if blanks > 0 && is_block(text, &entries[above]) => above,
            (Some(above), Some(_)) => above + 1,
            (None, _) => 0,
        };
        of_entry.get_mut(index).unwrap_or(&mut last).push(comment);
    }
    let mut out = String::new();
    for entry in ordered(node)? {
        let index = entries
            .iter()
            .position(|other| std::ptr::eq(other, entry))?;
        let comments = std::mem::take(&mut of_entry[index]);
        let mut writer = Writer {
            text,
            width,
            comments: comments.into(),
            out,
        };
        writer.entry(entry, 0)?;
        writer.own_lines(usize::MAX, 0);
        if !writer.comments.is_empty() {
            return None;
        }
        out = writer.out;
    }
    for comment in last {
        out.push_str(&comment.text);
        out.push('\n');
    }
    Some(out)
}

/// A value in flow style. Unlike [`print::flow`] also one with a text of several lines, which was written with escapes.
fn flow(node: &Node) -> Option<String> {
    match &node.kind {
        Kind::Scalar(Scalar { text, plain: false }) => Some(print::quoted(text)),
        Kind::List(items) => {
            let items: Vec<String> = items.iter().map(flow).collect::<Option<_>>()?;
            Some(format!("[{}]", items.join(", ")))
        }
        Kind::Map(entries) => {
            let entries: Vec<String> = entries
                .iter()
                .map(|entry| {
                    Some(format!(
                        "{}: {}",
                        print::key(&entry.key),
                        flow(&entry.value)?
                    ))
                })
                .collect::<Option<_>>()?;
            Some(format!("{{{}}}", entries.join(", ")))
        }
        _ => print::flow(node),
    }
}

/// Whether an entry's value is a collection in block style, so that a comment can be indented as its entries are.
fn is_block(text: &str, entry: &Entry) -> bool {
    matches!(&entry.value.kind, Kind::Map(_) | Kind::List(_))
        && !text[entry.value.span.start..].starts_with(['{', '['])
}

struct Writer<'a> {
    text: &'a str,
    width: usize,
    /// Those that are still to be written.
    comments: std::collections::VecDeque<Comment>,
    out: String,
}

impl<'a> Writer<'a> {
    /// `key: value` with its comments, in lines of its own.
    fn entry(&mut self, entry: &Entry, indent: usize) -> Option<()> {
        self.above(entry.key_span.start, indent);
        // On a line of its own a key may hold brackets and commas.
        if print::is_plain(&entry.key, false) && entry.key != "<<" {
            self.out.push_str(&entry.key);
        } else {
            self.out.push_str(&print::key(&entry.key));
        }
        self.out.push(':');
        self.value(&entry.value, indent)
    }

    /// The comments and the blank line above a key or item, and its indentation.
    fn above(&mut self, start: usize, indent: usize) {
        self.own_lines(start, indent);
        self.begin_line(start, indent);
    }

    /// Writes the comments with a line of their own that stand before a place.
    fn own_lines(&mut self, before: usize, indent: usize) {
        while let Some(comment) = self
            .comments
            .pop_front_if(|comment| comment.start < before && comment.own_line.is_some())
        {
            self.begin_line(comment.start, indent);
            self.out.push_str(&comment.text);
            self.out.push('\n');
        }
    }

    /// Begins a line for what stands at a place, with a blank line above it when there was one; nothing behind a `- `.
    fn begin_line(&mut self, place: usize, indent: usize) {
        if !self.out.is_empty() && !self.out.ends_with('\n') {
            return;
        }
        let line = self.text[..place]
            .rfind('\n')
            .map_or(0, |newline| newline + 1);
        let above = self.text[..line.saturating_sub(1)].rsplit('\n').next();
        let blank = line > 0 && above.is_some_and(|line| line.trim().is_empty());
        if blank && !self.out.is_empty() && !self.out.ends_with("\n\n") {
            self.out.push('\n');
        }
        self.pad(indent);
    }

    /// Ends a line, with the comment that stands behind it.
    fn end_line(&mut self, before: usize) {
        if let Some(comment) = self
            .comments
            .pop_front_if(|comment| comment.start < before && comment.own_line.is_none())
        {
            self.out.push(' ');
            self.out.push_str(&comment.text);
        }
        self.out.push('\n');
    }

    /// What follows `key:` or `-`.
    fn value(&mut self, node: &Node, indent: usize) -> Option<()> {
        let start = node.span.start;
        let written = self.text.get(start..node.span.end)?;
        match &node.kind {
            Kind::Map(entries) if !entries.is_empty() && !self.stays_flow(node, written) => {
                self.end_line(start);
                self.block_map(entries, indent + INDENT)
            }
            Kind::List(items) if !items.is_empty() && !self.stays_flow(node, written) => {
                self.end_line(start);
                self.block_list(items, indent + INDENT)
            }
            Kind::Scalar(scalar) if !scalar.plain && !written.starts_with(['\'', '"']) => {
                self.block_scalar(scalar, start, indent + INDENT)
            }
            _ => {
                // A comment in the middle of a value cannot be kept.
                if self
                    .comments
                    .front()
                    .is_some_and(|comment| comment.start < node.span.end)
                {
                    return None;
                }
                self.out.push(' ');
                let line = self.one_line(node)?;
                self.out.push_str(&line);
                let end = self.text[node.span.end..]
                    .find('\n')
                    .map_or(self.text.len(), |end| node.span.end + end);
                self.end_line(end);
                Some(())
            }
        }
    }

    /// A value in one line; plain scalars may be freer there than inside of brackets.
    fn one_line(&self, node: &Node) -> Option<String> {
        match &node.kind {
            Kind::Scalar(Scalar { text, plain: true }) => {
                print::is_plain(text, false).then(|| text.clone())
            }
            Kind::Scalar(Scalar { text, .. }) => Some(print::quoted(text)),
            _ => flow(node),
        }
    }

    /// Whether a collection was written in flow style and still fits behind what is written.
    fn stays_flow(&self, node: &Node, written: &str) -> bool {
        let column = self.out.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        written.starts_with(['{', '['])
            && flow(node).is_some_and(|flow| column + flow.chars().count() <= self.width)
    }

    fn block_map(&mut self, entries: &[Entry], indent: usize) -> Option<()> {
        for entry in entries {
            self.entry(entry, indent)?;
        }
        self.below(indent);
        Some(())
    }

    fn block_list(&mut self, items: &[Node], indent: usize) -> Option<()> {
        for item in items {
            self.above(item.span.start, indent);
            self.out.push('-');
            let written = self.text.get(item.span.start..item.span.end)?;
            match &item.kind {
                Kind::Map(entries) if !entries.is_empty() && !self.stays_flow(item, written) => {
                    self.out.push(' ');
                    self.block_map(entries, indent + INDENT)?;
                }
                Kind::List(inner) if !inner.is_empty() && !self.stays_flow(item, written) => {
                    self.out.push(' ');
                    self.block_list(inner, indent + INDENT)?;
                }
                _ => self.value(item, indent)?,
            }
        }
        self.below(indent);
        Some(())
    }

    /// Comments below the last entry that are indented as it is.
    fn below(&mut self, indent: usize) {
        while self
            .comments
            .front()
            .is_some_and(|comment| comment.own_line.is_some_and(|blanks| blanks >= indent))
        {
            let next = self.comments.front().map_or(0, |comment| comment.start + 1);
            self.own_lines(next, indent);
        }
    }

    /// A literal or folded scalar: its own lines with another indentation.
    fn block_scalar(&mut self, scalar: &Scalar, start: usize, indent: usize) -> Option<()> {
        let (sign, lines) = self.block_lines(start)?;
        if sign == '|'
            && !scalar
                .text
                .trim_end_matches('\n')
                .lines()
                .eq(lines.iter().copied())
        {
            return None;
        }
        self.out.push(' ');
        self.out.push(sign);
        let ends = scalar.text.len() - scalar.text.trim_end_matches('\n').len();
        match ends {
            0 => self.out.push('-'),
            1 => {}
            _ => return None,
        }
        self.end_line(start);
        for line in lines {
            if !line.is_empty() {
                self.pad(indent);
                self.out.push_str(line);
            }
            self.out.push('\n');
        }
        Some(())
    }

    /// The sign of the block scalar whose content begins at a place, and its lines without their indentation.
    fn block_lines(&self, start: usize) -> Option<(char, Vec<&'a str>)> {
        let text = self.text;
        let line = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let blanks = start - line;
        // Blank lines may stand between the sign and the content; more indented ones are given up on below.
        let head = text[..line].trim_end();
        let head = head.rsplit('\n').next()?;
        let head = head.split(" #").next()?.trim_end();
        let sign = head.trim_end_matches(['+', '-']).chars().last()?;
        if !matches!(sign, '|' | '>') || !text[line..start].trim().is_empty() {
            return None;
        }
        if !text[..line].trim_end_matches(' ').ends_with('\n') || text[..line].ends_with("\n\n") {
            return None;
        }
        let mut lines = Vec::new();
        for line in text[line..].lines() {
            if line.trim().is_empty() {
                lines.push(line.get(blanks..).unwrap_or(""));
            } else if line.bytes().take_while(|b| *b == b' ').count() >= blanks {
                lines.push(&line[blanks..]);
            } else {
                break;
            }
        }
        while lines.last().is_some_and(|line| line.is_empty()) {
            lines.pop();
        }
        Some((sign, lines))
    }

    fn pad(&mut self, indent: usize) {
        self.out.extend(std::iter::repeat_n(' ', indent));
    }
}
