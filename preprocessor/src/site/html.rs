//! HTML that survives mdBook: escaped text, states with their signs, ages.
//!
//! What is made here stands inside HTML blocks of a chapter: no blank line, no `{{` that another preprocessor would read, nothing that
//! Markdown would. A line end in a text becomes `&#10;`.

use std::fmt::Write as _;

use jiff::Timestamp;
use runbook::outcome::{Freshness, State};

/// Appends a text, escaped for content and for attributes; control characters other than tabs and line ends are left out.
pub fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '{' => out.push_str("&#123;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push('\t'),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
}

/// A text, escaped.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    escape(&mut out, text);
    out
}

/// The word of a state, or of having none; also the name of its sign and class.
pub fn word(state: Option<State>) -> &'static str {
    state.map_or("never-run", State::as_str)
}

/// The sign and the word of a state. A ring around the sign says that the result is not fresh.
pub fn sign(out: &mut String, state: Option<State>, freshness: Freshness, text: &str) {
    let word = word(state);
    let ring = match freshness {
        Freshness::Stale => " rb-stale",
        Freshness::Old => " rb-old",
        Freshness::Fresh | Freshness::NeverRun => "",
    };
    let _ = write!(
        out,
        "<span class=\"rb-state rb-{word}{ring}\"><svg class=\"rb-i\" aria-hidden=\"true\"><use href=\"#rb-{word}\"/></svg>{text}</span>"
    );
}

/// An age with its moment: `<time>2 h ago</time>`. What is no moment is shown as it is.
pub fn age(out: &mut String, at: &str, now: Timestamp) {
    match at.parse::<Timestamp>() {
        Ok(then) => {
            let _ = write!(
                out,
                "<time class=\"rb-age\" datetime=\"{then}\" title=\"{then}\">{}</time>",
                ago(then, now)
            );
        }
        Err(_) => escape(out, at),
    }
}

/// `2 h ago`.
pub fn ago(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second().saturating_sub(then.as_second());
    match seconds {
        ..60 => "just now".to_owned(),
        60..3_600 => format!("{} min ago", seconds / 60),
        3_600..86_400 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

/// `12 ms`, `1.2 s`, `3 min 4 s`.
pub fn duration(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        _ => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
    }
}

/// `1 step`, `2 steps`.
pub fn count(number: usize, noun: &str) -> String {
    if number == 1 {
        format!("1 {noun}")
    } else {
        format!("{number} {noun}s")
    }
}

/// The relative way from a page (`guides/web.html`) to the site's root: `../`.
pub fn to_root(page: &str) -> String {
    "../".repeat(page.matches('/').count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_leave_its_place() {
        assert_eq!(
            escaped("<b>\"{{x}}\"\n\u{7}&\t"),
            "&lt;b&gt;&quot;&#123;&#123;x}}&quot;&#10;&amp;\t"
        );
    }

    #[test]
    fn ages_are_short() {
        let now: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        for (then, text) in [
            ("2026-11-24T11:59:30Z", "just now"),
            ("2026-11-24T11:50:00Z", "10 min ago"),
            ("2026-11-23T12:00:00Z", "1 d ago"),
            ("2026-11-24T13:00:00Z", "just now"),
        ] {
            assert_eq!(ago(then.parse().unwrap(), now), text);
        }
    }
}
