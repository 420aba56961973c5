//! A step's card: what stands before and after the chapter's own code block.
//!
//! The code stays a Markdown fence, so that highlighting, copying and search go on working. Built by hand rather than by a
//! template: a large book has twenty thousand of these, and mdBook reads each of them again, so every element counts. Green is
//! quiet (head and code, the rest one click away); anything else opens by itself and says what differs.

use std::borrow::Cow;
use std::fmt::Write as _;

use runbook::event::StepFinished;
use runbook::model::{Condition, Form, Guide, Step};
use runbook::node::Node;
use runbook::outcome::{Effect, Freshness, Standing, State, Verdict};
use runbook::status::StepView;

use super::evidence::{self, Amount};
use super::html::{
    address, age, attributes, badge, bounded, clipped, count, duration, escape, escaped, moment,
    profile, sign, told,
};
use super::page::Page;
use super::strip;

/// How long the text of a gate, a prompt or a condition is on a card, in characters.
const TEXT_CHARACTERS_MAX: usize = 2_000;
/// How long a target's name is on a card, in characters.
const TARGET_CHARACTERS_MAX: usize = 120;

/// What a card shows.
pub(super) struct Card<'a> {
    /// The guide.
    pub guide: &'a Guide,
    /// The step as written.
    pub step: &'a Step,
    /// How it stands.
    pub view: &'a StepView,
    /// Everything that was recorded of its newest result, when that is still there.
    pub evidence: Option<&'a StepFinished>,
    /// The code as it is shown.
    pub shown: &'a str,
    /// Where values of the reader go in it.
    pub places: String,
}

impl Card<'_> {
    /// Whether it is folded into one line: a hidden check.
    fn is_folded(&self) -> bool {
        self.step.keys.hidden
    }

    /// Whether it speaks by itself.
    fn is_loud(&self) -> bool {
        !matches!(self.view.state, None | Some(State::Passed | State::Skipped))
    }

    /// Appends what stands before the code: one line, without its end.
    pub(super) fn open(&self, out: &mut String, page: &Page<'_>) {
        let anchor = address(&self.view.id.anchor());
        let tag = match (self.is_folded(), self.is_loud()) {
            (true, true) => "details open",
            (true, false) => "details",
            (false, _) => "section",
        };
        let _ = write!(
            out,
            "<{tag} class=\"rb-step\" id=\"{anchor}\" data-runbook-id=\"{}#{anchor}\"",
            address(&self.view.id.guide)
        );
        attributes(
            out,
            self.view.state,
            self.view.freshness,
            self.view.profile.as_deref(),
        );
        if !self.places.is_empty() {
            let _ = write!(out, " data-vars=\"{}\"", self.places);
        }
        let bar = if self.is_folded() { "summary" } else { "div" };
        let _ = write!(out, "><{bar} class=\"rb-bar\">");
        badge(out, self.view.state, told(self.view.state));
        let _ = write!(
            out,
            "<b>{}</b><span class=\"rb-m\">",
            escaped(&self.step.title)
        );
        self.facts(out, page);
        // A control within a control could not be reached: a folded card has its link inside.
        let link = format!("<a class=\"rb-id\" href=\"#{anchor}\">#{anchor}</a>");
        let (in_bar, below) = if self.is_folded() {
            ("", link.as_str())
        } else {
            (link.as_str(), "")
        };
        let _ = write!(out, "</span>{in_bar}</{bar}>{below}");
        self.asks(out);
    }

    /// Effect, target, profile, when: what a reader must know before copying the command.
    fn facts(&self, out: &mut String, page: &Page<'_>) {
        let view = self.view;
        match self.step.effect {
            effect @ (Effect::Disrupt | Effect::Destroy) => {
                let _ = write!(out, "<b class=\"rb-warn\">{effect}</b>");
            }
            effect => out.push_str(effect.as_str()),
        }
        out.push_str(" · ");
        let target = view.target.as_deref();
        let target = target.unwrap_or_else(|| super::target(self.guide, self.step));
        escape(out, &bounded(target, TARGET_CHARACTERS_MAX));
        if let Some(name) = &view.profile {
            out.push_str(" · ");
            profile(out, name);
        }
        if let Some(at) = &view.finished_at {
            out.push_str(" · ");
            moment(out, at);
        }
        match view.freshness {
            Freshness::Stale => {
                out.push_str(" · <b>stale</b>");
            }
            Freshness::Old => {
                let age = view.finished_at.as_deref().and_then(|at| age(at, page.now));
                let _ = write!(out, " · <b>old</b> ({})", age.unwrap_or_default());
            }
            Freshness::Fresh | Freshness::NeverRun => {}
        }
        match view.standing {
            Standing::Repaired => out.push_str(" · <b>repaired</b>"),
            Standing::StandIn => out.push_str(" · <b>by a stand-in</b>"),
            Standing::Own | Standing::NotDue => {}
        }
    }

    /// A gate or a person: a hand, what is to be done, and what is looked at afterwards.
    fn asks(&self, out: &mut String) {
        let keys = &self.step.keys;
        let prompt = (self.step.action.name == "manual")
            .then(|| self.step.args.get("prompt").and_then(|node| node.as_text()))
            .flatten();
        if prompt.is_none() && keys.gate.is_none() {
            return;
        }
        out.push_str("<div class=\"rb-ask\">");
        let mut say = |label: &str, text: &str| {
            out.push_str("<p>");
            sign(out, Some(State::Pending));
            let text = clipped(text.trim(), TEXT_CHARACTERS_MAX);
            let _ = write!(out, "<b>{label}</b> {}</p>", text.replace("&#10;", "<br>"));
        };
        if let Some(gate) = keys.gate.as_ref().and_then(|node| node.as_text()) {
            say("Waits for approval:", gate);
        }
        if let Some(prompt) = prompt {
            say("By hand:", prompt);
            if let Some(check) = keys.unless.as_ref().and_then(condition) {
                let check = clipped(check.trim(), TEXT_CHARACTERS_MAX);
                let _ = write!(
                    out,
                    "<p>Looked at afterwards: <span class=\"rb-q\">{check}</span></p>"
                );
            } else {
                out.push_str(
                    "<p>Nothing is looked at afterwards: a person says that it is done.</p>",
                );
            }
        }
        out.push_str("</div>");
    }

    /// Appends what stands after the code: one line, without its end.
    pub(super) fn close(&self, out: &mut String, page: &Page<'_>) {
        if self.view.state.is_some() {
            if self.is_loud() {
                self.loud(out, page);
            } else {
                self.quiet(out, page);
            }
        }
        self.options(out);
        out.push_str(if self.is_folded() {
            "</details>"
        } else {
            "</section>"
        });
    }

    /// Options of a native fence that a reader of the code must know: what makes it needless, what takes it back, what failures
    /// mean. A typed step shows them in its own text.
    fn options(&self, out: &mut String) {
        let keys = &self.step.keys;
        let is_native = matches!(self.step.form, Form::Native(_));
        if !is_native || keys.unless.is_none() && keys.undo.is_none() && keys.hints.is_empty() {
            return;
        }
        let written = |key: &str| self.step.node.get(key).map(as_written);
        let (unless, undo) = (written("unless"), written("undo"));
        let named = [
            ("unless", unless.is_some()),
            ("undo", undo.is_some()),
            ("hints", !keys.hints.is_empty()),
        ];
        let named: Vec<&str> = named
            .iter()
            .filter_map(|(name, is_there)| is_there.then_some(*name))
            .collect();
        folded(out, &named.join(", "), |out| {
            out.push_str("<dl class=\"rb-f\">");
            for (key, text) in [("unless", unless), ("undo", undo)] {
                let Some(text) = text else { continue };
                let text = clipped(text.trim(), TEXT_CHARACTERS_MAX);
                let _ = write!(
                    out,
                    "<dt>{key}</dt><dd><span class=\"rb-q\">{text}</span></dd>"
                );
            }
            for (failure, meaning) in &keys.hints {
                let failure = clipped(failure, TARGET_CHARACTERS_MAX);
                let meaning = clipped(meaning.trim(), TEXT_CHARACTERS_MAX);
                let _ = write!(out, "<dt>on {failure}</dt><dd>{meaning}</dd>");
            }
            out.push_str("</dl>");
        });
    }

    /// Something does not hold: the reason at once, the rest folded.
    fn loud(&self, out: &mut String, page: &Page<'_>) {
        out.push_str("<div class=\"rb-why\">");
        self.reason(out);
        if let Some(failing) = strip::failing(self.view.failing.as_ref(), &self.view.strip) {
            out.push_str("<p>");
            strip::cells(out, &self.view.strip, strip::CARD_MAX, page);
            let _ = write!(out, " {}</p>", escaped(&failing));
        }
        out.push_str("</div>");
        self.items(out);
        let Some(step) = self.evidence else {
            self.no_evidence(out, page);
            return;
        };
        if step.checks.len() > 1 {
            let failing = step.checks.iter().filter(|c| c.verdict == Verdict::Fails);
            let (failing, all) = (failing.count(), count(step.checks.len(), "check"));
            folded(out, &format!("{all}, {failing} not holding"), |out| {
                evidence::checks(out, &step.checks);
            });
        }
        if let Some(diff) = &step.diff {
            // A check that shows a difference of several lines has shown it already.
            let mut shown = step.checks.iter().filter(|c| c.verdict == Verdict::Fails);
            let shown = shown
                .next()
                .is_some_and(|check| check.actual.contains('\n'));
            let open = if step.state == State::Drifted && !shown {
                " open"
            } else {
                ""
            };
            let _ = write!(out, "<details{open}><summary>Difference</summary>");
            evidence::diff(out, diff, Amount::Loud);
            out.push_str("</details>");
        }
        evidence::output(out, step, Amount::Loud);
        folded(out, "What was run where", |out| {
            self.stale(out);
            evidence::command(out, step, Amount::Loud);
            evidence::facts(out, step);
            evidence::run(out, self.view.run.as_deref(), page);
        });
    }

    /// Why it does not hold: the first check that fails, the difference, the place, the hint.
    fn reason(&self, out: &mut String) {
        let view = self.view;
        let Some(step) = self.evidence else {
            let message = view.message.as_deref().unwrap_or_else(|| told(view.state));
            self.line(out, &clipped(message, TEXT_CHARACTERS_MAX));
            return;
        };
        let check = step.checks.iter().find(|c| c.verdict == Verdict::Fails);
        match check {
            Some(check) => {
                let expected = clipped(&check.expected, TEXT_CHARACTERS_MAX);
                let name = clipped(&check.check, TARGET_CHARACTERS_MAX);
                if check.actual.contains('\n') {
                    self.line(
                        out,
                        &format!(
                            "<b>{name}</b> expected <span class=\"rb-q\">{expected}</span>, found"
                        ),
                    );
                    evidence::diff(out, &check.actual, Amount::Loud);
                } else {
                    let actual = clipped(&check.actual, TEXT_CHARACTERS_MAX);
                    self.line(out, &format!("<b>{name}</b> expected <span class=\"rb-q\">{expected}</span>, found <span class=\"rb-q\">{actual}</span>"));
                }
            }
            None => {
                let reason = step.reason.as_deref().or(view.message.as_deref());
                let reason = reason.unwrap_or_else(|| told(view.state));
                self.line(out, &clipped(reason, TEXT_CHARACTERS_MAX));
                let message = step.message.as_deref();
                if let Some(message) = message.filter(|message| *message != reason) {
                    evidence::text(out, message, Amount::Loud);
                }
            }
        }
        if let Some(hint) = &step.hint {
            let _ = write!(
                out,
                "<p><b>hint:</b> {}</p>",
                clipped(hint, TEXT_CHARACTERS_MAX)
            );
        }
        if let Some(note) = &step.note {
            let _ = write!(out, "<p>{}</p>", clipped(note, TEXT_CHARACTERS_MAX));
        }
    }

    /// The line that says what does not hold, with its place in the source.
    fn line(&self, out: &mut String, html: &str) {
        out.push_str("<p>");
        sign(out, self.view.state);
        let place = escaped(self.guide.source.path());
        let _ = write!(
            out,
            "{html} <span class=\"rb-place\">{place}:{}</span></p>",
            self.step.line
        );
    }

    /// Why the result is worth less today.
    fn stale(&self, out: &mut String) {
        if let Some(why) = &self.view.stale {
            let _ = write!(
                out,
                "<p><b>stale:</b> {}</p>",
                clipped(why, TEXT_CHARACTERS_MAX)
            );
        }
    }

    /// It holds, or was not due: one line that opens.
    fn quiet(&self, out: &mut String, page: &Page<'_>) {
        let view = self.view;
        if view.state == Some(State::Skipped) {
            let why = self.evidence.and_then(|step| step.reason.as_deref());
            let why = why.or(view.message.as_deref()).unwrap_or("skipped");
            out.push_str("<div class=\"rb-why\">");
            self.line(out, &clipped(why, TEXT_CHARACTERS_MAX));
            out.push_str("</div>");
            return;
        }
        self.items(out);
        let Some(step) = self.evidence else {
            self.no_evidence(out, page);
            return;
        };
        let mut summary = match step.checks.len() {
            0 => "Evidence".to_owned(),
            1 => "1 check holds".to_owned(),
            more => format!("{more} checks, all hold"),
        };
        let _ = write!(summary, " · {}", duration(step.duration_ms));
        if step.changed {
            summary.push_str(" · changed");
        }
        folded(out, &summary, |out| {
            self.stale(out);
            evidence::rows(out, &step.checks);
            if let Some(diff) = &step.diff {
                evidence::diff(out, diff, Amount::Quiet);
            }
            evidence::output(out, step, Amount::Quiet);
            if self.shows_command(step) {
                evidence::command(out, step, Amount::Quiet);
            }
            if let Some(note) = &step.note {
                let _ = write!(out, "<p>{}</p>", clipped(note, TARGET_CHARACTERS_MAX));
            }
            if strip::has_failures(&view.strip) {
                out.push_str("<p>");
                strip::cells(out, &view.strip, strip::CARD_MAX, page);
                out.push_str("</p>");
            }
            evidence::run(out, view.run.as_deref(), page);
        });
    }

    /// Whether what was run says more than the code above it.
    fn shows_command(&self, step: &StepFinished) -> bool {
        step.command
            .as_deref()
            .is_some_and(|command| command.trim() != self.shown.trim())
    }

    fn no_evidence(&self, out: &mut String, page: &Page<'_>) {
        if self.view.run.is_some() {
            folded(out, "Evidence", |out| {
                self.stale(out);
                out.push_str("<p>The evidence of this run is no longer kept.</p>");
                evidence::run(out, self.view.run.as_deref(), page);
            });
        }
    }

    /// The items of `each`, each with its state.
    fn items(&self, out: &mut String) {
        let items = &self.view.items;
        if items.is_empty() {
            return;
        }
        let passed = items.iter().filter(|item| item.state == State::Passed);
        let summary = format!(
            "{} of {} passed",
            passed.count(),
            count(items.len(), "item")
        );
        folded(out, &summary, |out| {
            out.push_str("<ul>");
            for item in items {
                let name = item.id.item.as_deref().unwrap_or_default();
                let _ = write!(
                    out,
                    "<li id=\"{}\" data-s=\"{}\">",
                    address(&item.id.anchor()),
                    item.state
                );
                badge(out, Some(item.state), told(Some(item.state)));
                let _ = write!(
                    out,
                    " {} <span class=\"rb-m\">{} · {}</span></li>",
                    escaped(name),
                    clipped(&item.target, TARGET_CHARACTERS_MAX),
                    duration(item.duration_ms)
                );
            }
            out.push_str("</ul>");
        });
    }
}

/// A folded part of a card.
fn folded(out: &mut String, summary: &str, inside: impl FnOnce(&mut String)) {
    let _ = write!(out, "<details><summary>{}</summary>", escaped(summary));
    inside(out);
    out.push_str("</details>");
}

/// A value of an option: a text as it stands, anything else in one line.
fn as_written(node: &Node) -> Cow<'_, str> {
    match node.as_text() {
        Some(text) => Cow::Borrowed(text),
        None => Cow::Owned(node.to_json().to_string()),
    }
}

/// A condition as text, when it is a script or a template.
fn condition(condition: &Condition) -> Option<&str> {
    match condition {
        Condition::Template(node) | Condition::Script(node) => node.as_text(),
        Condition::Action(inline) => Some(inline.action.0.name),
        Condition::All(all) => all.iter().find_map(self::condition),
        Condition::Bool(_) => None,
    }
}
