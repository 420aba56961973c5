//! One action to be executed: the step's own, or one inside a condition, `repair`, `diagnose` or `undo`.
//!
//! Renders what is needed, hands it to the action, and brings back its report. Decides nothing about states.

use std::time::{Duration, Instant};

use runbook::book::default_target;
use runbook::model::{Capture, Expectation, Inline, Target};
use runbook::node::Node;
use runbook::read::{self, Args};
use runbook::spec::{self, ActionSpec};
use runbook::template::{Scope, has_template};

use super::context::Cx;
use super::judge::{Clock, judge};
use super::outcome::Outcome;
use super::{kube, probe, pve};
use crate::action::{Ended, Failure, Report, script};
use crate::process::{Keep, Record, Stream};

/// What is told of `detach` where it has no meaning.
const ENDS_HERE: &str = "on `local` nothing goes on without the run: `detach` did nothing";

/// One action to be executed.
pub(super) struct Job<'a> {
    pub(super) action: &'static ActionSpec,
    pub(super) args: &'a Node,
    pub(super) expect: &'a [Expectation],
    pub(super) capture: &'a [Capture],
    pub(super) target: Target,
    pub(super) env: Vec<(String, String)>,
    pub(super) scope: Scope,
    pub(super) strict: bool,
    /// Whether the body of a script has templates of ours.
    pub(super) template: bool,
    /// Whether it goes on without us.
    pub(super) detach: bool,
    /// Whether there is an exit to expect something of: not while it goes on in the background.
    pub(super) ends: bool,
    /// What is kept of the output is named so; `None` keeps nothing and shows nothing as it comes.
    pub(super) artifact: Option<String>,
}

impl<'a> Job<'a> {
    /// The step's own action.
    pub(super) fn of_step(cx: &'a Cx) -> Self {
        let step = cx.step();
        Self {
            action: step.action,
            args: &step.args,
            expect: &step.keys.expect,
            capture: &step.keys.capture,
            target: cx.target.clone(),
            env: cx.env.clone(),
            scope: cx.scope.clone(),
            strict: step.keys.strict,
            template: step.keys.template,
            detach: step.keys.detach,
            ends: step.keys.background.is_none(),
            artifact: Some(cx.artifact_name(cx.inner.unwrap_or_default())),
        }
    }

    /// A script in the fence's language, on the step's target or, where that runs none, on `local`.
    pub(super) fn of_script(cx: &'a Cx, script: &'a Node, artifact: Option<&str>) -> Self {
        // Every language of a fence is an action of the table.
        let action = spec::action(cx.step().form.script()).unwrap_or(cx.step().action);
        let target = if matches!(cx.target, Target::Cluster(_)) {
            Target::Local
        } else {
            cx.target.clone()
        };
        Self {
            action,
            args: script,
            expect: &[],
            capture: &[],
            target,
            env: cx.env.clone(),
            scope: cx.scope.clone(),
            strict: cx.step().keys.strict,
            template: true,
            detach: false,
            ends: true,
            artifact: artifact.map(|what| cx.artifact_name(what)),
        }
    }

    /// An action with its own keys.
    ///
    /// # Errors
    ///
    /// A template without a value, a secret that does not resolve.
    pub(super) async fn of_inline(
        cx: &'a Cx,
        inline: &'a Inline,
        artifact: Option<&str>,
    ) -> Result<Self, Box<Outcome>> {
        let mut env = cx.env.clone();
        let mut scope = cx.scope.clone();
        env.extend(cx.env_of(&inline.env)?);
        if !inline.secrets.is_empty() {
            let secrets = cx.secrets(&inline.secrets).await?;
            let by_name = secrets
                .iter()
                .filter_map(|(_, name, value)| Some((name.clone()?, value.clone().into())));
            scope.set("secret", serde_json::Value::Object(by_name.collect()));
            env.extend(secrets.into_iter().map(|(name, _, value)| (name, value)));
        }
        let action = inline.action.0;
        let elsewhere = if runs_on(action, &cx.target) {
            None
        } else {
            let front_on = cx.book_guide().front.on.as_ref();
            default_target(action, front_on, &cx.run.book.inventory)
        };
        let target = match inline.on.as_ref().or(elsewhere.as_ref()) {
            Some(on) => read::target(&cx.render(on)?).map_err(|error| cx.read(&error))?,
            None => cx.target.clone(),
        };
        Ok(Self {
            action: inline.action.0,
            args: &inline.args,
            expect: &inline.expect,
            capture: &[],
            target,
            env,
            scope,
            strict: true,
            template: true,
            detach: false,
            ends: true,
            artifact: artifact.map(|what| cx.artifact_name(what)),
        })
    }

    /// Executes an action that does or reads, and judges what came of it; where it waits, its expectations are awaited.
    pub(super) async fn judged(
        &self,
        cx: &Cx,
        clock: Clock,
        deadline: Instant,
    ) -> Result<Outcome, Box<Outcome>> {
        if kube::is_act(self.action, self.args) {
            return kube::judged(cx, self, clock, deadline).await;
        }
        let report = self.perform(cx, deadline).await?;
        judge(cx, self, report, clock)
    }

    /// Executes an action that does or reads (not one that describes a state, nor one of a cluster, which waits).
    pub(super) async fn perform(&self, cx: &Cx, deadline: Instant) -> Result<Report, Box<Outcome>> {
        if pve::is_act(self.action.name) {
            return pve::perform(cx, self, deadline).await;
        }
        if self.target != Target::Local {
            return self.elsewhere(cx, deadline).await;
        }
        if self.action.is_script() {
            return self.script(cx, deadline).await;
        }
        let args = self.rendered(cx)?;
        let args = Args::new(self.action, &args).map_err(|error| cx.read(&error))?;
        probe::perform(cx, self.action.name, &args, left(deadline)).await
    }

    /// The arguments, rendered.
    pub(super) fn rendered(&self, cx: &Cx) -> Result<Node, Box<Outcome>> {
        self.scope
            .render(self.args)
            .map_err(|(span, error)| cx.template(span, &error))
    }

    /// The script with its templates filled in.
    ///
    /// # Errors
    ///
    /// A template without a value, a capture with characters that a shell would act on.
    pub(super) fn script_text(&self, cx: &Cx) -> Result<String, Box<Outcome>> {
        let text = read::text(self.args).map_err(|error| cx.read(&error))?;
        if !self.template || !has_template(&text) {
            return Ok(text);
        }
        self.scope.render_script(&text).map_err(|error| {
            let line = text[..error.range().start.min(text.len())]
                .matches('\n')
                .count()
                + 1;
            let failure =
                Failure::new(format!("line {line} of the script: {error}")).hint(error.hint());
            Box::new(Outcome::wrong(failure))
        })
    }

    /// Why the lab does not let a script run: it names a machine of the inventory.
    pub(super) fn kept(&self, cx: &Cx) -> Option<Report> {
        if self.target != Target::Local {
            return None;
        }
        let text = self.args.as_text()?;
        let foreign = &cx.run.locals.foreign;
        let name = if self.template {
            foreign.in_script(text)
        } else {
            foreign.in_text(text)
        }?;
        let reason = format!("kept from the real homelab: it names `{name}` outside `{{{{ }}}}`");
        Some(Report::of(Ended::Kept(reason)))
    }

    async fn script(&self, cx: &Cx, deadline: Instant) -> Result<Report, Box<Outcome>> {
        if let Some(kept) = self.kept(cx) {
            return Ok(kept);
        }
        let text = self.script_text(cx)?;
        let place = match cx.place() {
            Ok(place) => place,
            Err(error) => {
                return Ok(Report::of(Ended::Unavailable(Failure::new(format!(
                    "no place to run in: {error}"
                )))));
            }
        };
        if let Some(report) = cx.reach_clusters(&text).await {
            return Ok(report);
        }
        let call = script::Call {
            language: self.action.name,
            text: &text,
            strict: self.strict,
            directory: &place.directory,
            environment: &place.environment,
            through: &place.through,
            env: &self.env,
            limit: cx.timing.timeout,
            lab: cx.is_lab(),
        };
        let raw = self.must_see_raw(cx);
        let record = if raw {
            Record::default()
        } else {
            self.record(cx)
        };
        let mut report = script::run(call, left(deadline), &cx.cancel, record).await;
        report.raw = raw;
        if self.detach {
            report.note.get_or_insert_with(|| ENDS_HERE.to_owned());
        }
        Ok(report)
    }

    /// Whether the output must be judged before it is redacted: what is captured may be a secret or hold one, and an
    /// expectation may name one. It is shown afterwards.
    pub(super) fn must_see_raw(&self, cx: &Cx) -> bool {
        self.capture.iter().any(|capture| capture.secret)
            || (cx.secretive
                && !cx.run.redactor.is_empty()
                && !(self.capture.is_empty() && self.expect.is_empty()))
    }

    /// What becomes of the output.
    pub(super) fn record(&self, cx: &Cx) -> Record {
        let Some(name) = &self.artifact else {
            return Record {
                redact: Some(cx.run.redact.clone()),
                ..Record::default()
            };
        };
        let (sinks, id) = (cx.run.emitter.sinks().clone(), cx.id.clone());
        let live =
            move |stream: crate::process::Stream, bytes: &[u8]| sinks.output(&id, stream, bytes);
        let directory = cx.run.request.directory.as_ref();
        Record {
            keep: directory.map(|directory| Keep {
                path: directory.join(name),
                always: false,
            }),
            redact: Some(cx.run.redact.clone()),
            live: Some(Box::new(live)),
        }
    }
}

/// The time that is left.
pub(super) fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

fn runs_on(action: &ActionSpec, target: &Target) -> bool {
    action.targets.contains(&target.kind())
}

impl Cx {
    /// The path of an artifact, relative to the run's directory.
    pub(super) fn artifact_name(&self, what: &str) -> String {
        let place = self
            .run
            .plan
            .place(self.at)
            .map_or_else(|| "x".to_owned(), |place| format!("{place:05}"));
        let step = self.id.step.as_deref().unwrap_or_default();
        let item = self
            .id
            .item
            .as_deref()
            .map(|item| format!("@{}", item.chars().take(60).collect::<String>()));
        let item = item.unwrap_or_default();
        let dot = if what.is_empty() { "" } else { "." };
        format!("artifacts/{place}-{step}{item}{dot}{what}.txt")
    }

    /// Shows output that was not shown as it came.
    pub(super) fn show(&self, bytes: &[u8]) {
        self.run.emitter.output(&self.id, Stream::Stdout, bytes);
    }
}
