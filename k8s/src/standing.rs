//! How an object stands that did not become what it should: what an error tells of it. Looking for it is in `evidence`.

use std::fmt;

use crate::kstatus;
use crate::object::Key;

/// How an object stands that is not as awaited, with what was found about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// How it stands.
    pub standing: Standing,
    /// The newest events about it and what it owns, oldest first.
    pub events: Vec<String>,
    /// The last lines of its containers, each behind `POD/CONTAINER: `.
    pub log: Vec<String>,
}

/// How an object stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Which object.
    pub key: Key,
    /// `InProgress`, `Failed`, `NotFound` …
    pub state: String,
    /// Why, in words: `2 of 3 replicas are available`.
    pub message: String,
    /// The condition that says so: `Available=False (MinimumReplicasUnavailable): …`.
    pub condition: Option<String>,
    /// Since when the condition is so (RFC 3339).
    pub since: Option<String>,
}

impl Standing {
    /// How an object stands, in words.
    pub fn of(key: Key, state: &str, message: impl Into<String>) -> Self {
        Self {
            key,
            state: state.to_owned(),
            message: message.into(),
            condition: None,
            since: None,
        }
    }

    /// How it stands by its status.
    pub fn of_status(key: Key, status: &kstatus::Status) -> Self {
        let condition = status.condition.as_ref();
        Self {
            key,
            state: status.state.as_str().to_owned(),
            message: status.message.clone(),
            condition: condition.map(kstatus::Condition::shown),
            since: condition
                .map(|condition| condition.since.clone())
                .filter(|since| !since.is_empty()),
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}: {}", self.key, self.state, self.message)?;
        // A message that is the condition's own is not told twice.
        if let Some(condition) = self
            .condition
            .as_ref()
            .filter(|condition| **condition != self.message)
        {
            write!(f, "; {condition}")?;
        }
        if let Some(since) = &self.since {
            write!(f, " since {since}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.standing)?;
        for event in &self.events {
            write!(f, "\n  event: {event}")?;
        }
        for line in &self.log {
            write!(f, "\n  log: {line}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standing_says_object_condition_and_since_when() {
        let mut standing = Standing::of(
            Key::new("apps", "Deployment", Some("shop"), "web"),
            "InProgress",
            "2 of 3 replicas are available",
        );
        standing.condition = Some("Available=False (MinimumReplicasUnavailable)".into());
        standing.since = Some("2026-11-30T11:00:00Z".into());
        let evidence = Evidence {
            standing,
            events: vec!["Warning Failed (Pod web-1): pull".into()],
            log: vec!["web-1/web: panic".into()],
        };
        let text = "Deployment shop/web is InProgress: 2 of 3 replicas are available; Available=False (MinimumReplicasUnavailable) since 2026-11-30T11:00:00Z\n  event: Warning Failed (Pod web-1): pull\n  log: web-1/web: panic";
        assert_eq!(evidence.to_string(), text);
    }
}
