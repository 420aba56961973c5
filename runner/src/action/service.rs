//! Desired state of a unit of systemd: whether it runs, and whether it starts with the machine.

use super::shell::Shell;
use super::{Ended, Failure};

/// What a shell says of a program that is not there.
const NOT_FOUND: i32 = 127;

/// A wish for a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// The unit.
    pub name: String,
    /// Whether it is to run.
    pub running: Option<bool>,
    /// Whether it is to start with the machine.
    pub enabled: Option<bool>,
    /// Whether it is restarted now; no part of the comparison.
    pub restart: bool,
}

/// What is there, in systemd's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// `active`, `inactive`, `failed`, `activating` …
    pub active: String,
    /// `enabled`, `disabled`, `static`, `masked` …
    pub enabled: String,
}

impl Found {
    /// The word of the result's `state`.
    pub fn state(&self) -> &'static str {
        match self.active.as_str() {
            "active" | "reloading" | "refreshing" => "running",
            "failed" => "failed",
            "activating" => "starting",
            "deactivating" => "stopping",
            _ => "stopped",
        }
    }

    /// Whether it starts with the machine.
    pub fn is_enabled(&self) -> bool {
        matches!(self.enabled.as_str(), "enabled" | "enabled-runtime")
    }

    fn runs(&self) -> bool {
        self.state() == "running"
    }
}

/// Looks at a unit.
///
/// # Errors
///
/// When there is no systemd, no such unit, or the machine cannot be used.
pub async fn look(shell: &Shell, name: &str) -> Result<Found, Ended> {
    let text = "command -v systemctl >/dev/null || exit 127\n\
        a=$(systemctl is-active -- \"$UNIT\" 2>&1) || :\n\
        e=$(systemctl is-enabled -- \"$UNIT\" 2>&1) || :\n\
        printf '%s\\n' \"$a\" | tail -n 1; printf '%s\\n' \"$e\" | tail -n 1";
    let said = shell.ask(text, &[("UNIT", name)]).await?;
    if said.code == NOT_FOUND {
        return Err(shell.lacks("systemctl"));
    }
    let mut lines = said.stdout.lines().map(str::trim);
    let (active, enabled) = (
        lines.next().unwrap_or_default(),
        lines.next().unwrap_or_default(),
    );
    let failed = |message: String| Err(Ended::Failed(Failure::new(message)));
    if said.code != 0 || active.is_empty() || active.contains(' ') {
        // Such as: the machine was not started by systemd.
        let why = if active.is_empty() {
            said.why()
        } else {
            active.to_owned()
        };
        return failed(format!(
            "`{name}` cannot be looked at on {}: {why}",
            shell.name()
        ));
    }
    let unknown = enabled == "not-found" || enabled.contains("No such file or directory");
    if unknown && matches!(active, "inactive" | "unknown") {
        return failed(format!("{} has no unit `{name}`", shell.name()));
    }
    Ok(Found {
        active: active.to_owned(),
        // An error in many words: it has no file to be enabled by.
        enabled: if enabled.contains(' ') {
            "unknown".into()
        } else {
            enabled.to_owned()
        },
    })
}

/// What differs, for people.
pub fn diff(wish: &Wish, found: &Found) -> Option<String> {
    let mut lines = Vec::new();
    let name = &wish.name;
    if let Some(running) = wish.running
        && (running != found.runs() || !running && matches!(found.state(), "starting" | "stopping"))
    {
        let wished = if running { "running" } else { "stopped" };
        if running || found.state() != "failed" {
            lines.push(format!("state of {name}: {} → {wished}", found.state()));
        }
    }
    if let Some(enabled) = wish.enabled
        && enabled != found.is_enabled()
    {
        let wished = if enabled { "enabled" } else { "disabled" };
        lines.push(format!("{name} at boot: {} → {wished}", found.enabled));
    }
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// Changes what differs, and restarts where that is wished.
///
/// # Errors
///
/// When systemd refuses.
pub async fn change(shell: &Shell, wish: &Wish, found: &Found) -> Result<(), Ended> {
    let mut verbs = Vec::new();
    match wish.enabled {
        Some(true) if !found.is_enabled() => verbs.push("enable"),
        Some(false) if found.is_enabled() => verbs.push("disable"),
        _ => {}
    }
    match wish.running {
        _ if wish.restart && wish.running != Some(false) => verbs.push("restart"),
        Some(true) if !found.runs() => verbs.push("start"),
        Some(false) if found.state() != "failed" && found.state() != "stopped" => {
            verbs.push("stop")
        }
        _ => {}
    }
    run(shell, &wish.name, &verbs).await
}

/// Gives a unit its former state back.
///
/// # Errors
///
/// When systemd refuses.
pub async fn restore(shell: &Shell, name: &str, former: &Found) -> Result<(), Ended> {
    let is = look(shell, name).await?;
    let wish = Wish {
        name: name.to_owned(),
        running: Some(former.runs()),
        enabled: Some(former.is_enabled()),
        restart: false,
    };
    change(shell, &wish, &is).await
}

async fn run(shell: &Shell, name: &str, verbs: &[&str]) -> Result<(), Ended> {
    for verb in verbs {
        let what = format!("`systemctl {verb} {name}` failed");
        let env = [("UNIT", name), ("VERB", *verb)];
        shell
            .must(&what, "systemctl \"$VERB\" -- \"$UNIT\"", &env)
            .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_told() {
        let wish = |running, enabled| Wish {
            name: "nginx".into(),
            running,
            enabled,
            restart: true,
        };
        let found = |active: &str, enabled: &str| Found {
            active: active.into(),
            enabled: enabled.into(),
        };
        let all = wish(Some(true), Some(true));
        assert_eq!(diff(&all, &found("active", "enabled")), None);
        assert_eq!(
            diff(&all, &found("failed", "disabled")).as_deref(),
            Some("state of nginx: failed → running\nnginx at boot: disabled → enabled")
        );
        let none = wish(Some(false), Some(false));
        assert_eq!(diff(&none, &found("inactive", "static")), None);
        assert_eq!(
            diff(&none, &found("failed", "masked")),
            None,
            "it does not run"
        );
        assert_eq!(
            diff(&none, &found("activating", "enabled")).as_deref(),
            Some("state of nginx: starting → stopped\nnginx at boot: enabled → disabled")
        );
        assert_eq!(diff(&wish(None, None), &found("failed", "disabled")), None);
    }
}
