//! `flux`: what is told of objects of Flux, and whether they are suspended.

use runbook::result::Fields;
use runbook_k8s::flux::{self, Flux};
use runbook_k8s::{Client, Error, Key, Query};
use serde_json::Value;

use super::look::together;

/// The fields of objects of Flux.
pub fn fields(objects: Vec<Value>) -> Fields {
    let mut fields = Fields::new();
    let states: Vec<Flux> = objects.iter().map(flux::read).collect();
    fields.set(
        "ready",
        !states.is_empty() && states.iter().all(|one| one.ready),
    );
    fields.set("suspended", states.iter().any(|one| one.suspended));
    let worst = states.iter().find(|one| !one.ready).or(states.first());
    if let Some(worst) = worst {
        fields.set("message", worst.message.clone());
    }
    // Of several only where it is the same.
    if let Some(revision) = states.first().and_then(|one| one.revision.clone())
        && states
            .iter()
            .all(|one| one.revision.as_ref() == Some(&revision))
    {
        fields.set("revision", revision);
    }
    fields.set("json", together(objects));
    fields
}

/// Objects that are to be suspended, or resumed.
#[derive(Debug, Clone)]
pub struct Wish {
    /// Which.
    pub queries: Vec<Query>,
    /// Whether they shall be suspended.
    pub suspended: bool,
}

/// How they are.
#[derive(Debug, Clone)]
pub struct Found {
    /// The objects, in order.
    pub objects: Vec<Value>,
    /// Those that are not as wished.
    pub others: Vec<Query>,
}

/// How objects are.
///
/// # Errors
///
/// One is not there; the server cannot be asked.
pub async fn compare(client: &Client, wish: &Wish) -> Result<Found, Error> {
    let (mut objects, mut others) = (Vec::new(), Vec::new());
    for query in &wish.queries {
        let object = client.get(query).await?;
        if flux::read(&object).suspended != wish.suspended {
            others.push(query.clone());
        }
        objects.push(object);
    }
    Ok(Found { objects, others })
}

impl Found {
    /// What differs, for people.
    pub fn diff(&self, wish: &Wish) -> Option<String> {
        let word = |suspended: bool| if suspended { "suspended" } else { "active" };
        let line = |query: &Query| {
            let key = query.key().map(|key: Key| key.to_string());
            let (is, shall) = (word(!wish.suspended), word(wish.suspended));
            format!("~ {}: {is} -> {shall}", key.unwrap_or_default())
        };
        let lines: Vec<String> = self.others.iter().map(line).collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }
}

/// Suspends or resumes; each is told as soon as it is done.
///
/// # Errors
///
/// What the server refuses.
pub async fn set(client: &Client, queries: &[Query], suspended: bool) -> Result<(), Error> {
    for query in queries {
        flux::suspend(client, query, suspended).await?;
    }
    Ok(())
}

/// The same for taking it back: what is gone by then needs nothing.
///
/// # Errors
///
/// As [`set`].
pub async fn put_back(client: &Client, queries: &[Query], suspended: bool) -> Result<(), Error> {
    for query in queries {
        match flux::suspend(client, query, suspended).await {
            Err(error) if error.is_absent() => {}
            result => drop(result?),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn kustomization(name: &str, ready: &str, revision: &str) -> Value {
        json!({"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "metadata": {"name": name, "generation": 1},
            "status": {"observedGeneration": 1, "lastAppliedRevision": revision,
                "conditions": [{"type": "Ready", "status": ready, "reason": "R", "message": format!("{name} said")}]}})
    }

    #[test]
    fn of_several_the_one_that_is_not_ready_speaks() {
        let fields = fields(vec![
            kustomization("a", "True", "r1"),
            kustomization("b", "False", "r1"),
        ]);
        assert_eq!(fields.get("ready"), Some(&json!(false)));
        assert_eq!(fields.get("message"), Some(&json!("b said")));
        assert_eq!(fields.get("revision"), Some(&json!("r1")));
        assert_eq!(fields.get("suspended"), Some(&json!(false)));
    }

    #[test]
    fn revisions_that_differ_are_none() {
        let fields = fields(vec![
            kustomization("a", "True", "r1"),
            kustomization("b", "True", "r2"),
        ]);
        assert_eq!(fields.get("ready"), Some(&json!(true)));
        assert_eq!(fields.get("revision"), None);
    }
}
