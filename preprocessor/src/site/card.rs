//! A step's card: what stands before and after the chapter's own code block.
//!
//! The code stays a Markdown fence, so that highlighting, copying and search go on working. Built by hand rather than by a template: a
//! large book has twenty thousand of these, and mdBook reads each of them again. Green is quiet; anything else speaks.

use std::fmt::Write as _;

use jiff::Timestamp;
use runbook::event::StepFinished;
use runbook::outcome::{Check, Effect, Freshness, State, Verdict};

use super::html::{age, count, duration, escape, escaped, sign, word};
use super::output;

/// How many rows of evidence a card shows.
const ROWS_MAX: usize = 40;
/// How long an expected or actual value is on a page, in characters.
const VALUE_CHARACTERS_MAX: usize = 1_500;
/// How many past results the strip of a card shows.
pub const STRIP_MAX: usize = 30;

/// What a card shows of a step.
#[derive(Debug, Clone)]
pub struct Card<'a> {
    /// Full ID.
    pub id: String,
    /// The part after `#`.
    pub anchor: String,
    /// Title.
    pub title: &'a str,
    /// The action's name.
    pub action: &'a str,
    /// What it does to the world.
    pub effect: Effect,
    /// The target's text.
    pub target: &'a str,
    /// Folded away.
    pub hidden: bool,
    /// The gate's text.
    pub gate: Option<String>,
    /// What a person must do.
    pub prompt: Option<String>,
    /// How it ended; `None` when it never ran.
    pub state: Option<State>,
    /// How much that is worth.
    pub freshness: Freshness,
    /// The profile of the result.
    pub profile: Option<&'a str>,
    /// When it ended.
    pub finished_at: Option<&'a str>,
    /// The run.
    pub run: Option<&'a str>,
    /// The reason or failure, when there is no evidence.
    pub message: Option<&'a str>,
    /// Everything that was recorded of the result.
    pub evidence: Option<&'a StepFinished>,
    /// The items of `each`: ID, state.
    pub items: Vec<(&'a str, State, u64)>,
    /// Past results, oldest first: run and state.
    pub strip: Vec<(&'a str, State)>,
    /// `3 runs, since 4f2c1d0`, when it fails now.
    pub failing: Option<String>,
    /// `src/guides/web.md:12`.
    pub place: String,
}

/// Where a card stands.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The way to the site's root: `../`.
    pub root: &'a str,
    /// Now, for ages.
    pub now: Timestamp,
}

/// What stands before the code, without a blank line in it; ends without a line end.
pub fn open(card: &Card<'_>, place: Place<'_>) -> String {
    let mut out = String::with_capacity(640);
    let tag = if card.hidden { "details" } else { "section" };
    let _ = write!(
        out,
        "<{tag} class=\"rb-step\" id=\"{}\" data-runbook-id=\"{}\"",
        escaped(&card.anchor),
        escaped(&card.id)
    );
    if let Some(state) = card.state {
        let _ = write!(out, " data-state=\"{state}\"");
    }
    let _ = write!(out, " data-freshness=\"{}\"", card.freshness);
    if let Some(profile) = card.profile {
        let _ = write!(out, " data-profile=\"{}\"", escaped(profile));
    }
    if card.hidden {
        out.push_str("><summary class=\"rb-bar\">");
    } else {
        out.push_str("><div class=\"rb-bar\">");
    }
    sign(&mut out, card.state, card.freshness, word(card.state));
    let _ = write!(
        out,
        "<span class=\"rb-title\">{}</span><span class=\"rb-meta\">",
        escaped(card.title)
    );
    let _ = write!(out, "{} · {}", card.effect, escaped(card.target));
    if let Some(profile) = card.profile {
        let class = if profile == "lab" {
            " class=\"rb-lab\""
        } else {
            ""
        };
        let _ = write!(out, " · <span{class}>{}</span>", escaped(profile));
    }
    if let Some(at) = card.finished_at {
        out.push_str(" · ");
        age(&mut out, at, place.now);
    }
    match card.freshness {
        Freshness::Stale => out.push_str(" · stale: changed since"),
        Freshness::Old => out.push_str(" · old"),
        Freshness::Fresh | Freshness::NeverRun => {}
    }
    if card.evidence.is_some_and(|step| step.repaired) {
        out.push_str(" · repaired");
    }
    let anchor = escaped(&card.anchor);
    let _ = write!(
        out,
        "</span><a class=\"rb-id\" href=\"#{anchor}\">#{anchor}</a>"
    );
    out.push_str(if card.hidden { "</summary>" } else { "</div>" });
    asks(&mut out, card);
    out
}

/// What stands after the code, without a blank line in it: the reason, the evidence, the history, and the end of the card.
pub fn close(card: &Card<'_>, place: Place<'_>) -> String {
    let mut out = String::with_capacity(320);
    why(&mut out, card);
    if let Some(step) = card.evidence {
        checks(&mut out, card, step);
        printed(&mut out, step);
        what_ran(&mut out, card, step, place);
    }
    items(&mut out, card);
    history(&mut out, card, place);
    out.push_str(if card.hidden {
        "</details>"
    } else {
        "</section>"
    });
    out
}

/// A gate or a person: a hand, and what is to be done.
fn asks(out: &mut String, card: &Card<'_>) {
    let (label, text) = match (&card.gate, &card.prompt) {
        (_, Some(prompt)) => ("A person does this", prompt),
        (Some(gate), None) => ("Waits for approval", gate),
        (None, None) => return,
    };
    let _ = write!(
        out,
        "<div class=\"rb-why\"><p><span class=\"rb-state rb-pending\"><svg class=\"rb-i\" aria-hidden=\"true\"><use href=\"#rb-pending\"/></svg>{label}</span> {}</p></div>",
        escaped(text)
    );
}

/// Why it is not passed: the reason in a line, the message, the hint.
fn why(out: &mut String, card: &Card<'_>) {
    if matches!(card.state, None | Some(State::Passed)) {
        return;
    }
    let step = card.evidence;
    let reason = step
        .and_then(|step| step.reason.as_deref())
        .or(card.message);
    let message = step
        .and_then(|step| step.message.as_deref())
        .filter(|message| Some(*message) != reason);
    let hint = step.and_then(|step| step.hint.as_deref());
    if reason.is_none() && message.is_none() && hint.is_none() && card.failing.is_none() {
        return;
    }
    out.push_str("<div class=\"rb-why\">");
    if let Some(reason) = reason {
        let _ = write!(out, "<p>{}</p>", escaped(reason));
    }
    if let Some(message) = message {
        let _ = write!(
            out,
            "<pre class=\"rb-out\">{}</pre>",
            escaped(&bounded(message))
        );
    }
    if let Some(hint) = hint {
        let _ = write!(out, "<p class=\"rb-hint\">{}</p>", escaped(hint));
    }
    if let Some(failing) = &card.failing {
        let _ = write!(out, "<p>failing for {}</p>", escaped(failing));
    }
    out.push_str("</div>");
}

fn checks(out: &mut String, card: &Card<'_>, step: &StepFinished) {
    if step.checks.is_empty() {
        return;
    }
    let failing = step
        .checks
        .iter()
        .filter(|check| check.verdict == Verdict::Fails)
        .count();
    let all = count(step.checks.len(), "check");
    let told = match failing {
        0 if step.checks.len() == 1 => "1 check holds".to_owned(),
        0 => format!("{all}, all hold"),
        _ => format!(
            "{failing} of {all} {} not hold",
            if failing == 1 { "does" } else { "do" }
        ),
    };
    let open = if failing > 0 { " open" } else { "" };
    let _ = write!(
        out,
        "<details{open}><summary>{told} <span class=\"rb-meta\">{}</span></summary><div class=\"rb-in\">",
        escaped(&card.place)
    );
    table(out, &step.checks);
    out.push_str("</div></details>");
}

/// The rows of evidence; those that do not hold first.
pub fn table(out: &mut String, checks: &[Check]) {
    out.push_str("<table class=\"rb-checks\"><thead><tr><th>Check</th><th>Expected</th><th>Actual</th><th class=\"rb-v\">Verdict</th></tr></thead><tbody>");
    let mut ordered: Vec<&Check> = checks.iter().collect();
    ordered.sort_by_key(|check| check.verdict == Verdict::Holds);
    for check in ordered.iter().take(ROWS_MAX) {
        let (state, word) = match check.verdict {
            Verdict::Holds => ("passed", "holds"),
            Verdict::Fails => ("failed", "fails"),
        };
        let stand_in = if check.stand_in { " (stand-in)" } else { "" };
        let _ = write!(
            out,
            "<tr><td data-l=\"Check\">{}</td><td data-l=\"Expected\">{}</td><td data-l=\"Actual\">{}</td><td class=\"rb-v\"><span class=\"rb-state rb-{state}\"><svg class=\"rb-i\" aria-hidden=\"true\"><use href=\"#rb-{state}\"/></svg>{word}{stand_in}</span></td></tr>",
            escaped(&check.check),
            escaped(&bounded(&check.expected)),
            escaped(&bounded(&check.actual)),
        );
    }
    out.push_str("</tbody></table>");
    if ordered.len() > ROWS_MAX {
        let _ = write!(out, "<p>… and {} more</p>", ordered.len() - ROWS_MAX);
    }
}

/// What was printed, and what was changed.
pub fn printed(out: &mut String, step: &StepFinished) {
    if let Some(diff) = &step.diff {
        let open = if step.state == State::Drifted {
            " open"
        } else {
            ""
        };
        let _ = write!(
            out,
            "<details{open}><summary>Difference</summary><div class=\"rb-in\"><pre class=\"rb-out rb-diff\">"
        );
        for line in bounded(diff).lines() {
            let class = match line.as_bytes().first() {
                Some(b'+') => Some("rb-add"),
                Some(b'-') => Some("rb-del"),
                _ => None,
            };
            match class {
                Some(class) => {
                    let _ = write!(out, "<span class=\"{class}\">{}</span>&#10;", escaped(line));
                }
                None => {
                    escape(out, line);
                    out.push_str("&#10;");
                }
            }
        }
        out.push_str("</pre></div></details>");
    }
    if let Some(printed) = step.output.as_ref().filter(|output| output.both.bytes > 0) {
        let lines = usize::try_from(printed.both.lines).unwrap_or(usize::MAX);
        let _ = write!(
            out,
            "<details><summary>Output ({})</summary><div class=\"rb-in\"><pre class=\"rb-out\" tabindex=\"0\">",
            count(lines, "line")
        );
        output::render(out, &printed.both);
        out.push_str("</pre></div></details>");
    }
}

fn what_ran(out: &mut String, card: &Card<'_>, step: &StepFinished, place: Place<'_>) {
    let _ = write!(
        out,
        "<details><summary>What was run where ({})</summary><div class=\"rb-in\">",
        duration(step.duration_ms)
    );
    if let Some(command) = &step.command {
        let _ = write!(
            out,
            "<pre class=\"rb-out\">{}</pre>",
            escaped(&bounded(command))
        );
    }
    out.push_str("<dl class=\"rb-facts\">");
    let mut fact = |name: &str, value: &str| {
        let _ = write!(out, "<dt>{name}</dt><dd>{value}</dd>");
    };
    let changed = if step.changed {
        ", changed"
    } else {
        ", unchanged"
    };
    fact(
        "mode",
        &format!(
            "{}{}",
            step.mode,
            if step.state == State::Passed {
                changed
            } else {
                ""
            }
        ),
    );
    fact("target", &escaped(&step.target));
    for (name, value) in &step.identity {
        fact(&escaped(name), &escaped(value));
    }
    if step.attempts > 1 {
        fact("attempts", &step.attempts.to_string());
    }
    for (name, value) in &step.captures {
        let value = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        fact(
            &format!("captured {}", escaped(name)),
            &escaped(&bounded(&value)),
        );
    }
    if let Some(note) = &step.note {
        fact("note", &escaped(note));
    }
    if let Some(run) = card.run {
        fact(
            "run",
            &format!(
                "<a href=\"{}runs/{run}.html\">{run}</a>",
                place.root,
                run = escaped(run)
            ),
        );
    }
    out.push_str("</dl></div></details>");
}

fn items(out: &mut String, card: &Card<'_>) {
    if card.items.is_empty() {
        return;
    }
    let holding = card
        .items
        .iter()
        .filter(|(_, state, _)| *state == State::Passed)
        .count();
    let _ = write!(
        out,
        "<details><summary>{holding} of {} passed</summary><div class=\"rb-in\"><ul>",
        count(card.items.len(), "item")
    );
    for (id, state, ms) in &card.items {
        out.push_str("<li>");
        sign(out, Some(*state), Freshness::Fresh, state.as_str());
        let _ = write!(
            out,
            " {} <span class=\"rb-meta\">{}</span></li>",
            escaped(id),
            duration(*ms)
        );
    }
    out.push_str("</ul></div></details>");
}

/// The last results, once there is more than one to compare.
fn history(out: &mut String, card: &Card<'_>, place: Place<'_>) {
    if card.strip.len() < 2 {
        return;
    }
    let _ = write!(
        out,
        "<details><summary>History ({})</summary><div class=\"rb-in\">",
        count(card.strip.len(), "run")
    );
    strip(
        out,
        card.strip.iter().map(|(run, state)| (*run, Some(*state))),
        place,
    );
    out.push_str("</div></details>");
}

/// A strip of results, oldest first, each a link to its run.
pub fn strip<'r>(
    out: &mut String,
    results: impl Iterator<Item = (&'r str, Option<State>)>,
    place: Place<'_>,
) {
    out.push_str("<ul class=\"rb-strip\">");
    for (run, state) in results {
        let label = format!("{}: {}", word(state), run);
        match state {
            Some(state) => {
                let _ = write!(
                    out,
                    "<li><a class=\"rb-{state}\" href=\"{}runs/{}.html\" title=\"{label}\" aria-label=\"{label}\"></a></li>",
                    place.root,
                    escaped(run)
                );
            }
            None => {
                let _ = write!(
                    out,
                    "<li><span class=\"rb-none\" title=\"not in run {}\"></span></li>",
                    escaped(run)
                );
            }
        }
    }
    out.push_str("</ul>");
}

fn bounded(text: &str) -> String {
    let count = text.chars().count();
    if count <= VALUE_CHARACTERS_MAX {
        return text.to_owned();
    }
    let cut: String = text.chars().take(VALUE_CHARACTERS_MAX).collect();
    format!("{cut}… ({} more characters)", count - VALUE_CHARACTERS_MAX)
}
