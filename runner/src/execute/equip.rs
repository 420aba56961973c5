//! What a step needs before it does anything: where it runs, how long, its environment and its secrets.

use std::time::Duration;

use runbook::model::{SecretSource, SecretUse};
use runbook::node::Node;
use runbook::read;
use serde_json::{Map, Value};

use super::context::{Cx, Timing};
use super::outcome::Outcome;
use crate::action::Failure;
use crate::plan::InBook as _;

/// The timeout of a step whose guide names none.
pub(super) const TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);
/// How often is looked again.
pub(super) const EVERY_DEFAULT: Duration = Duration::from_secs(5);

impl Cx {
    /// Finds out where the step runs and how long, and asks for its secrets.
    ///
    /// # Errors
    ///
    /// A template without a value, a secret that does not resolve.
    pub(super) async fn equip(&mut self) -> Result<(), Box<Outcome>> {
        let keys = &self.at.of(&self.run.book).keys;
        if !keys.secrets.is_empty() {
            let secrets = self.secrets(&keys.secrets).await?;
            let by_name: Map<String, Value> = secrets
                .iter()
                .filter_map(|(_, name, value)| Some((name.clone()?, Value::String(value.clone()))))
                .collect();
            if !by_name.is_empty() {
                self.scope.set("secret", Value::Object(by_name));
            }
            self.env
                .extend(secrets.into_iter().map(|(env, _, value)| (env, value)));
        }
        self.set_target()?;
        self.timing = self.times()?;
        // `env` first: a secret of the same name wins.
        let written = self.env_of(&self.at.of(&self.run.book).keys.env)?;
        self.env.splice(0..0, written);
        Ok(())
    }

    /// The values of secrets: environment variable, name in the inventory, value.
    pub(super) async fn secrets(
        &self,
        uses: &[SecretUse],
    ) -> Result<Vec<(String, Option<String>, String)>, Box<Outcome>> {
        let mut found = Vec::with_capacity(uses.len());
        for used in uses {
            match &used.source {
                SecretSource::Named(name) => {
                    let value = self.run.secrets.get(name, &self.cancel).await;
                    let value = value.map_err(|error| {
                        if error.stopped {
                            Box::new(Outcome::aborted())
                        } else {
                            Box::new(wrong(error.to_string()))
                        }
                    })?;
                    found.push((used.env.clone(), Some(name.clone()), value.to_string()));
                }
                SecretSource::Captured(path) => {
                    let value = self
                        .scope
                        .evaluate(path)
                        .map_err(|error| self.template(used.span, &error))?;
                    let value = value
                        .as_str()
                        .map_or_else(|| value.to_string(), str::to_owned);
                    found.push((used.env.clone(), None, value));
                }
            }
        }
        Ok(found)
    }

    /// Environment variables, rendered.
    pub(super) fn env_of(
        &self,
        written: &[(String, Node)],
    ) -> Result<Vec<(String, String)>, Box<Outcome>> {
        let mut env = Vec::with_capacity(written.len());
        for (name, node) in written {
            let text = read::text(&self.render(node)?).map_err(|error| self.read(&error))?;
            env.push((name.clone(), text));
        }
        Ok(env)
    }

    pub(super) fn set_target(&mut self) -> Result<(), Box<Outcome>> {
        let on = self.item.as_ref().and_then(|item| item.on.clone());
        let text = match on {
            Some(on) => on,
            None => {
                read::text(&self.render(&self.step().target)?).map_err(|error| self.read(&error))?
            }
        };
        let node = Node::text(self.step().span, text.clone());
        self.target = read::target(&node).map_err(|error| self.read(&error))?;
        // One that is written out was looked for when the book was checked.
        if let Err((message, hint)) = self.run.book.inventory.has(&self.target) {
            return Err(Box::new(Outcome::wrong(Failure::new(message).hint(hint))));
        }
        self.target_text = text;
        Ok(())
    }

    fn times(&self) -> Result<Timing, Box<Outcome>> {
        let keys = &self.step().keys;
        let duration = |node: &Option<Node>| match node {
            Some(node) => read::duration(&self.render(node)?)
                .map(Some)
                .map_err(|error| self.read(&error)),
            None => Ok(None),
        };
        let own = self
            .step()
            .action
            .timeout
            .and_then(|text| runbook::value::duration(text).ok());
        let timeout = match duration(&keys.timeout)? {
            Some(timeout) => timeout,
            None => match own {
                Some(own) => own,
                None => duration(&self.book_guide().front.timeout)?.unwrap_or(TIMEOUT_DEFAULT),
            },
        };
        Ok(Timing {
            timeout,
            retry: duration(&keys.retry_for)?,
            every: duration(&keys.retry_every)?.unwrap_or(EVERY_DEFAULT),
            hold: duration(&keys.hold)?,
        })
    }
}

fn wrong(message: String) -> Outcome {
    Outcome::wrong(Failure::new(message))
}
