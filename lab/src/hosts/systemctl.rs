//! `systemctl` of a machine: says what its units' records say, and changes them.

use std::sync::Arc;

use super::answer::{Said, fail, unserved};
use super::machine::Machine;
use super::names::HOUSE;
use super::units::{Unit, full};

/// Verbs that change, with the word an error uses.
const CHANGES: &[&str] = &[
    "start",
    "stop",
    "restart",
    "reload",
    "try-restart",
    "reload-or-restart",
    "enable",
    "disable",
    "mask",
    "unmask",
];

impl Machine {
    /// `systemctl`.
    pub(super) async fn systemctl(self: &Arc<Self>, args: &[String], uid: u32) -> Said {
        let mut options = Options::default();
        let mut words = Vec::new();
        let mut rest = args.iter();
        while let Some(arg) = rest.next() {
            match arg.as_str() {
                "--quiet" | "-q" => options.quiet = true,
                "--now" => options.now = true,
                "--value" => options.value = true,
                "--no-pager" | "--no-legend" | "--plain" | "--no-block" | "--full" | "-l"
                | "--no-ask-password" | "--system" | "--no-reload" | "--type=service" | "--all"
                | "-a" => options.legend &= arg != "--no-legend",
                "-p" | "--property" => options.properties.extend(
                    rest.next()
                        .map(String::as_str)
                        .unwrap_or_default()
                        .split(',')
                        .map(str::to_owned),
                ),
                _ if arg.starts_with("--property=") => options
                    .properties
                    .extend(arg["--property=".len()..].split(',').map(str::to_owned)),
                _ if arg.starts_with("-p") => options
                    .properties
                    .extend(arg[2..].split(',').map(str::to_owned)),
                "--" => words.extend(rest.by_ref().map(String::as_str)),
                _ if arg.starts_with('-') => return unserved(self, &format!("systemctl {arg}")),
                word => words.push(word),
            }
        }
        let Some((verb, units)) = words.split_first() else {
            return unserved(self, "systemctl without a verb");
        };
        if CHANGES.contains(verb) || matches!(*verb, "daemon-reload" | "reboot" | "poweroff") {
            if uid != 0 {
                return fail(
                    1,
                    format!("Failed to {verb}: Interactive authentication required."),
                );
            }
            if CHANGES.contains(verb) && units.is_empty() {
                return fail(1, "Too few arguments.");
            }
        }
        match *verb {
            "daemon-reload" => Said::default(),
            "reboot" => {
                self.restart_soon();
                Said::default()
            }
            "poweroff" => super::node::power_off(self),
            "is-system-running" => Said::out("running\n"),
            "is-active" => self.each(units, options.quiet, |unit| match unit {
                Some(unit) if unit.active => ("active", 0),
                Some(_) => ("inactive", 3),
                None => ("inactive", 4),
            }),
            "is-enabled" => self.each(units, options.quiet, |unit| match unit {
                Some(unit) if unit.masked => ("masked", 1),
                Some(unit) if unit.enabled => ("enabled", 0),
                Some(_) => ("disabled", 1),
                None => ("not-found", 4),
            }),
            "is-failed" => self.each(units, options.quiet, |unit| {
                (
                    if unit.is_some_and(|unit| unit.active) {
                        "active"
                    } else {
                        "inactive"
                    },
                    1,
                )
            }),
            "show" => self.show(units, &options),
            "status" => self.status(units),
            "list-units" | "list-unit-files" if units.is_empty() => self.list(verb, &options),
            _ if CHANGES.contains(verb) => self.change(verb, units, &options),
            other => unserved(self, &format!("systemctl {other}")),
        }
    }

    fn each(
        &self,
        units: &[&str],
        quiet: bool,
        say: impl Fn(Option<Unit>) -> (&'static str, u8),
    ) -> Said {
        let mut said = Said::default();
        let mut codes = Vec::new();
        for name in units {
            let (word, code) = say(self.unit(name));
            codes.push(code);
            if !quiet {
                said.out.push_str(word);
                said.out.push('\n');
            }
        }
        // As the real one: of several the first good one is enough.
        said.code = if codes.contains(&0) {
            0
        } else {
            codes.first().copied().unwrap_or(1)
        };
        said
    }

    fn change(&self, verb: &str, names: &[&str], options: &Options) -> Said {
        let mut said = Said::default();
        for name in names {
            let name = full(name);
            let Some(mut unit) = self.unit(&name) else {
                let (text, code) = match verb {
                    "enable" | "disable" | "mask" | "unmask" => (
                        format!("Failed to {verb} unit: Unit {name} does not exist\n"),
                        1,
                    ),
                    _ => (
                        format!("Failed to {verb} {name}: Unit {name} not found.\n"),
                        5,
                    ),
                };
                said.err.push_str(&text);
                said.code = code;
                continue;
            };
            if unit.masked && matches!(verb, "start" | "restart" | "reload-or-restart") {
                said.err.push_str(&format!(
                    "Failed to {verb} {name}: Unit {name} is masked.\n"
                ));
                said.code = 1;
                continue;
            }
            match verb {
                "start" | "restart" | "reload-or-restart" => unit.active = true,
                "stop" => unit.active = false,
                "reload" if !unit.active => {
                    said.err
                        .push_str(&format!("{name} is not active, cannot reload.\n"));
                    said.code = 1;
                }
                "enable" => {
                    unit.enabled = true;
                    unit.active |= options.now;
                }
                "disable" => {
                    unit.enabled = false;
                    unit.active &= !options.now;
                }
                "mask" => {
                    unit.masked = true;
                    unit.active &= !options.now;
                }
                "unmask" => unit.masked = false,
                _ => {}
            }
            let reads = matches!(verb, "start" | "restart" | "reload" | "reload-or-restart");
            if unit.active && (reads || options.now) && name == HOUSE {
                let names = self.read_names();
                self.records().names = names;
            }
            self.records().units.0.insert(name, unit);
        }
        said
    }

    fn show(&self, names: &[&str], options: &Options) -> Said {
        let mut said = Said::default();
        for name in names {
            let unit = self.unit(name);
            let active = unit.is_some_and(|unit| unit.active);
            let all = [
                ("Id", full(name)),
                (
                    "LoadState",
                    if unit.is_none() {
                        "not-found"
                    } else if unit.is_some_and(|u| u.masked) {
                        "masked"
                    } else {
                        "loaded"
                    }
                    .to_owned(),
                ),
                (
                    "ActiveState",
                    if active { "active" } else { "inactive" }.to_owned(),
                ),
                (
                    "SubState",
                    if active { "running" } else { "dead" }.to_owned(),
                ),
                (
                    "UnitFileState",
                    match unit {
                        Some(unit) if unit.masked => "masked",
                        Some(unit) if unit.enabled => "enabled",
                        Some(_) => "disabled",
                        None => "",
                    }
                    .to_owned(),
                ),
            ];
            if let Some(unknown) = options
                .properties
                .iter()
                .find(|name| !all.iter().any(|(known, _)| known == name))
            {
                return unserved(self, &format!("systemctl show -p {unknown}"));
            }
            for (key, value) in all.iter().filter(|(key, _)| {
                options.properties.is_empty() || options.properties.iter().any(|name| name == key)
            }) {
                said.out.push_str(&if options.value {
                    format!("{value}\n")
                } else {
                    format!("{key}={value}\n")
                });
            }
        }
        said
    }

    fn status(&self, names: &[&str]) -> Said {
        let mut said = Said::default();
        for name in names {
            let name = full(name);
            match self.unit(&name) {
                Some(unit) => {
                    let (mark, state) = if unit.active {
                        ("●", "active (running)")
                    } else {
                        ("○", "inactive (dead)")
                    };
                    let enabled = if unit.enabled { "enabled" } else { "disabled" };
                    said.out.push_str(&format!("{mark} {name} - {name}\n     Loaded: loaded (/usr/lib/systemd/system/{name}; {enabled})\n     Active: {state}\n"));
                    said.code = said.code.max(if unit.active { 0 } else { 3 });
                }
                None => {
                    said.err
                        .push_str(&format!("Unit {name} could not be found.\n"));
                    said.code = 4;
                }
            }
        }
        said
    }

    fn list(&self, verb: &str, options: &Options) -> Said {
        let units = self.records().units.0.clone();
        let mut out = String::new();
        if verb == "list-units" {
            if options.legend {
                out.push_str(&format!(
                    "{:<28} {:<6} {:<8} {:<7} {}\n",
                    "UNIT", "LOAD", "ACTIVE", "SUB", "DESCRIPTION"
                ));
            }
            for (name, _) in units.iter().filter(|(_, unit)| unit.active) {
                out.push_str(&format!(
                    "{name:<28} {:<6} {:<8} {:<7} {name}\n",
                    "loaded", "active", "running"
                ));
            }
        } else {
            if options.legend {
                out.push_str(&format!(
                    "{:<28} {:<8} {}\n",
                    "UNIT FILE", "STATE", "PRESET"
                ));
            }
            for (name, unit) in &units {
                let state = if unit.masked {
                    "masked"
                } else if unit.enabled {
                    "enabled"
                } else {
                    "disabled"
                };
                out.push_str(&format!("{name:<28} {state:<8} enabled\n"));
            }
        }
        Said::out(out)
    }
}

struct Options {
    quiet: bool,
    now: bool,
    value: bool,
    legend: bool,
    properties: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            quiet: false,
            now: false,
            value: false,
            legend: true,
            properties: Vec::new(),
        }
    }
}
