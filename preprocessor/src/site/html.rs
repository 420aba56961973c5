//! HTML that survives mdBook: escaped text, states with their signs, moments, durations.
//!
//! What is made here stands in one line of a chapter, in an HTML block: no line end, no `{{` that another preprocessor would
//! read. A line end in a text becomes `&#10;`. Knows nothing of steps.

use std::borrow::Cow;
use std::fmt::Write as _;

use jiff::Timestamp;
use runbook::outcome::{Freshness, State};

/// Appends a text, escaped for content and for attributes. Control characters other than tabs and line ends are left out, and so
/// are those that turn the direction of a text round.
pub(super) fn escape(out: &mut String, text: &str) {
    let bytes = text.as_bytes();
    let mut from = 0;
    for (index, byte) in bytes.iter().enumerate() {
        let with = match byte {
            b'&' => "&amp;",
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'"' => "&quot;",
            b'{' if bytes.get(index + 1) == Some(&b'{') => "&#123;",
            b'\n' => "&#10;",
            b'\t' => continue,
            0..=0x1f | 0x7f => "",
            _ => continue,
        };
        plain(out, &text[from..index]);
        out.push_str(with);
        from = index + 1;
    }
    plain(out, &text[from..]);
}

/// Appends a text that holds no ASCII to be escaped.
fn plain(out: &mut String, text: &str) {
    if text.is_ascii() {
        out.push_str(text);
    } else {
        out.extend(text.chars().filter(|c| !is_unseen(*c)));
    }
}

/// C1 controls, and marks that turn the direction of a text round.
fn is_unseen(c: char) -> bool {
    matches!(c, '\u{80}'..='\u{9f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text, escaped.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    escape(&mut out, text);
    out
}

/// The machine's word of a state, or of having none; also the name of its sign.
pub(super) fn word(state: Option<State>) -> &'static str {
    state.map_or(Freshness::NeverRun.as_str(), State::as_str)
}

/// The word of a state for people.
pub(super) fn told(state: Option<State>) -> &'static str {
    match state {
        None => "never run",
        Some(State::TimedOut) => "timed out",
        Some(state) => state.as_str(),
    }
}

/// The sign of a state as a character, for places that hold text only: characters that common fonts have.
pub(super) fn glyph(state: Option<State>) -> &'static str {
    match state {
        None => "○",
        Some(State::Passed) => "✓",
        Some(State::Failed) => "✕",
        Some(State::Drifted) => "≠",
        Some(State::TimedOut) => "◷",
        Some(State::Blocked) => "⊘",
        Some(State::Pending) => "!",
        Some(State::Skipped) => "↷",
        Some(State::Aborted) => "■",
    }
}

/// Appends the sign of a state.
pub(super) fn sign(out: &mut String, state: Option<State>) {
    let word = word(state);
    let _ = write!(
        out,
        "<svg class=\"rb-i\" aria-hidden=\"true\"><use href=\"#rb-{word}\"/></svg>"
    );
}

/// Appends the sign of a state and a word beside it. Its colours and its ring come from the attributes of the card around it.
pub(super) fn badge(out: &mut String, state: Option<State>, text: &str) {
    out.push_str("<span class=\"rb-s\">");
    sign(out, state);
    escape(out, text);
    out.push_str("</span>");
}

/// Appends a badge that stands alone, with its own colour.
pub(super) fn state(
    out: &mut String,
    state: Option<State>,
    freshness: Freshness,
    lab: bool,
    text: &str,
) {
    let lab = if lab { " lab" } else { "" };
    let ring = match freshness {
        Freshness::Stale => " stale",
        Freshness::Old => " old",
        Freshness::Fresh | Freshness::NeverRun => "",
    };
    let _ = write!(
        out,
        "<span class=\"rb-s{lab}{ring}\" data-s=\"{}\">",
        word(state)
    );
    sign(out, state);
    escape(out, text);
    out.push_str("</span>");
}

/// Appends what a card says to machines; its colours come from the same attributes. No other element has them: the others take
/// their colour from `data-s`.
pub(super) fn attributes(
    out: &mut String,
    state: Option<State>,
    freshness: Freshness,
    profile: Option<&str>,
) {
    if let Some(state) = state {
        let _ = write!(out, " data-state=\"{state}\"");
    }
    let _ = write!(out, " data-freshness=\"{freshness}\"");
    if let Some(profile) = profile {
        let _ = write!(out, " data-profile=\"{}\"", escaped(profile));
    }
}

/// Appends a profile's name; the lab's is outlined.
pub(super) fn profile(out: &mut String, name: &str) {
    if name == runbook::values::LAB {
        out.push_str("<span class=\"rb-lab\">lab</span>");
    } else {
        escape(out, name);
    }
}

/// Appends a moment. The text is the date, which stays true however long the page lies there; a script says how long ago it is.
pub(super) fn moment(out: &mut String, at: &str) {
    match at.parse::<Timestamp>() {
        Ok(then) => {
            let then = then.to_string();
            let _ = write!(
                out,
                "<time datetime=\"{}\">{}</time>",
                seconds(&then),
                date(&then)
            );
        }
        Err(_) => escape(out, at),
    }
}

/// `2026-11-24T21:03:11Z` of a moment with fractions.
fn seconds(then: &str) -> String {
    format!("{}Z", then.get(..19).unwrap_or(then))
}

/// `2026-11-24 21:03`.
fn date(then: &str) -> String {
    let text = then.get(..16).unwrap_or(then);
    text.replacen('T', " ", 1)
}

/// `2026-11-24 21:03` of an RFC 3339 text; the text itself when it is none.
pub(super) fn day_and_time(at: &str) -> String {
    match at.parse::<Timestamp>() {
        Ok(then) => date(&then.to_string()),
        Err(_) => at.to_owned(),
    }
}

/// `9 d`, `3 h`, `5 min`: how long ago a moment is.
pub(super) fn age(at: &str, now: Timestamp) -> Option<String> {
    let then: Timestamp = at.parse().ok()?;
    let seconds = now.as_second().saturating_sub(then.as_second()).max(0);
    Some(match seconds {
        0..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    })
}

/// `12 ms`, `1.2 s`, `3 min 4 s`.
pub(super) fn duration(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
        _ => format!("{} h {} min", ms / 3_600_000, ms % 3_600_000 / 60_000),
    }
}

/// `1 step`, `2 steps`.
pub(super) fn count(number: usize, noun: &str) -> String {
    if number == 1 {
        format!("1 {noun}")
    } else {
        format!("{number} {noun}s")
    }
}

/// The relative way from a page (`guides/web.html`) to the site's root: `../`.
pub(super) fn to_root(page: &str) -> String {
    "../".repeat(page.matches('/').count())
}

/// The address of a page or anchor in an attribute: spaces and quotes cannot leave it.
pub(super) fn address(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            ' ' => out.push_str("%20"),
            '"' => out.push_str("%22"),
            '<' => out.push_str("%3C"),
            '>' => out.push_str("%3E"),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    escaped(&out)
}

/// A text cut to so many characters, which says how many were left out.
pub(super) fn bounded(text: &str, characters: usize) -> Cow<'_, str> {
    if text.len() <= characters {
        return Cow::Borrowed(text);
    }
    match text.char_indices().nth(characters) {
        None => Cow::Borrowed(text),
        Some((end, _)) => {
            let more = text[end..].chars().count();
            Cow::Owned(format!("{}… ({more} more characters)", &text[..end]))
        }
    }
}

/// A text, escaped and cut to so many characters.
pub(super) fn clipped(text: &str, characters: usize) -> String {
    escaped(&bounded(text, characters))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_leave_its_place() {
        assert_eq!(
            escaped("<b>\"{{x}}\"{y}\n\u{7}&\tä\u{9b}\u{202e}{{{#include"),
            "&lt;b&gt;&quot;&#123;{x}}&quot;{y}&#10;&amp;\tä&#123;&#123;{#include"
        );
    }

    #[test]
    fn moments_are_dates_that_stay_true() {
        let mut out = String::new();
        moment(&mut out, "2026-11-24T21:03:11.123456Z");
        assert_eq!(
            out,
            "<time datetime=\"2026-11-24T21:03:11Z\">2026-11-24 21:03</time>"
        );
        out.clear();
        moment(&mut out, "<once>");
        assert_eq!(out, "&lt;once&gt;");
    }

    #[test]
    fn ages_and_durations_are_short() {
        let now: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        let ages = [
            ("2026-11-24T11:50:00Z", "10 min"),
            ("2026-11-23T12:00:00Z", "1 d"),
            ("2026-11-24T13:00:00Z", "0 min"),
        ];
        for (then, text) in ages {
            assert_eq!(age(then, now).as_deref(), Some(text));
        }
        for (ms, text) in [
            (7, "7 ms"),
            (1_250, "1.2 s"),
            (184_000, "3 min 4 s"),
            (3_660_000, "1 h 1 min"),
        ] {
            assert_eq!(duration(ms), text);
        }
    }

    #[test]
    fn a_long_text_says_how_much_is_left_out() {
        assert_eq!(bounded("äöü", 3), "äöü");
        assert_eq!(bounded("äöüß!", 3), "äöü… (2 more characters)");
    }
}
