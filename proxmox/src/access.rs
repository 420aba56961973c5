//! Rights: what one may do, and what is missing before anything is begun.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::client::Client;
use crate::error::Error;
use crate::loose::flag;
use crate::request::Request;

/// A right that something needs: one of the privileges on an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    /// The object: `/vms/130`, `/storage/local`.
    pub path: String,
    /// The privileges of which one is enough.
    pub any_of: Vec<String>,
    /// What it is needed for, for people.
    pub why: String,
}

impl Need {
    /// A need.
    pub fn new(path: impl Into<String>, any_of: &[&str], why: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            any_of: any_of
                .iter()
                .map(|&privilege| privilege.to_owned())
                .collect(),
            why: why.into(),
        }
    }
}

/// What one may do: of each object the privileges, and whether they hold below it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rights {
    by_path: BTreeMap<String, BTreeMap<String, bool>>,
}

impl Rights {
    /// Reads `/access/permissions`.
    pub fn read(answer: &Value) -> Self {
        let mut rights = Self::default();
        for (path, privileges) in answer.as_object().into_iter().flatten() {
            let privileges = privileges.as_object().into_iter().flatten();
            let privileges =
                privileges.map(|(name, below)| (name.clone(), flag(below).unwrap_or(false)));
            rights.by_path.insert(path.clone(), privileges.collect());
        }
        rights
    }

    /// Whether one has a privilege on an object, by itself or from above. The nearest object with an entry counts.
    pub fn allow(&self, path: &str, privilege: &str) -> bool {
        let mut at = path.trim_end_matches('/');
        let mut is_itself = true;
        loop {
            let key = if at.is_empty() { "/" } else { at };
            if let Some(privileges) = self.by_path.get(key) {
                return match privileges.get(privilege) {
                    Some(below) => is_itself || *below,
                    None => false,
                };
            }
            if at.is_empty() {
                return false;
            }
            at = &at[..at.rfind('/').unwrap_or(0)];
            is_itself = false;
        }
    }

    /// Those of the needs that are not met.
    pub fn missing<'a>(&self, needs: &'a [Need]) -> Vec<&'a Need> {
        needs
            .iter()
            .filter(|need| {
                !need
                    .any_of
                    .iter()
                    .any(|privilege| self.allow(&need.path, privilege))
            })
            .collect()
    }
}

/// What one may do.
///
/// # Errors
///
/// As [`Client::call`].
pub async fn rights(client: &Client) -> Result<Rights, Error> {
    let answer = client.call(&Request::get("/access/permissions")).await?;
    Ok(Rights::read(&answer))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_privilege_holds_below_only_when_it_propagates() {
        let rights = Rights::read(&json!({
            "/": {"Sys.Audit": 1}, "/vms": {"VM.Audit": 1, "VM.PowerMgmt": 0}, "/vms/130": {"VM.Config.Disk": 1},
        }));
        assert!(rights.allow("/vms", "VM.PowerMgmt"));
        assert!(!rights.allow("/vms/200", "VM.PowerMgmt"));
        assert!(rights.allow("/vms/200", "VM.Audit"));
        assert!(
            !rights.allow("/vms/130", "VM.Audit"),
            "the nearest entry counts"
        );
        assert!(rights.allow("/nodes/pve1", "Sys.Audit"));
        let needs = [
            Need::new("/vms/9000", &["VM.Allocate"], "create"),
            Need::new("/vms/9000", &["VM.Audit"], "look"),
        ];
        assert_eq!(rights.missing(&needs), [&needs[0]]);
        assert_eq!(Rights::read(&json!({})).missing(&needs).len(), 2);
    }
}
