//! Secrets: only those of the inventory, only where listed, and none written out (LANGUAGE section 6).
//!
//! What is taken for a secret that stands in the book is a small set of shapes, each unlikely to be anything else:
//! private keys, tokens of AWS, GitHub, GitLab, Slack, Proxmox VE and Kubernetes, age keys; and literal values of fields
//! whose name says that they are secret (`password`, `token`, `api-key` …) in an action's fields, in `env` and in `vars`.

use std::sync::LazyLock;

use regex::Regex;

use super::targets::inlines;
use super::texts::Place;
use crate::findings::Findings;
use crate::inventory::Inventory;
use crate::model::{Guide, SecretSource, SecretUse, Step};
use crate::node::{Kind, Node};
use crate::read;
use crate::source::Span;
use crate::suggest;

/// A shape of a secret: what is looked for first, the whole shape, and what it is.
struct Shape {
    /// A part that every such secret has: without it the regex is not tried.
    sign: &'static str,
    regex: LazyLock<Option<Regex>>,
    what: &'static str,
}

macro_rules! shape {
    ($sign:literal, $regex:literal, $what:literal) => {
        Shape {
            sign: $sign,
            regex: LazyLock::new(|| Regex::new($regex).ok()),
            what: $what,
        }
    };
}

static SHAPES: [Shape; 10] = [
    shape!(
        "PRIVATE KEY",
        r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----\s+(?:[^\n]*\n){0,3}?[>\s#|]*[A-Za-z0-9+/=]{32,}",
        "a private key"
    ),
    shape!("AKIA", r"\bAKIA[0-9A-Z]{16}\b", "an AWS access key"),
    shape!("ASIA", r"\bASIA[0-9A-Z]{16}\b", "an AWS access key"),
    shape!("gh", r"\bgh[pousr]_[A-Za-z0-9]{36,}\b", "a GitHub token"),
    shape!(
        "github_pat_",
        r"\bgithub_pat_[A-Za-z0-9_]{50,}\b",
        "a GitHub token"
    ),
    shape!("glpat-", r"\bglpat-[A-Za-z0-9_-]{20,}", "a GitLab token"),
    shape!("xox", r"\bxox[abprs]-[0-9A-Za-z-]{20,}", "a Slack token"),
    shape!(
        "!",
        r"\b[A-Za-z0-9._-]+@[a-z]+![A-Za-z0-9._-]+[=:][0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b",
        "a Proxmox VE API token"
    ),
    shape!(
        "eyJ",
        r"\beyJ[A-Za-z0-9_-]{16,}\.eyJ[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",
        "a signed token"
    ),
    shape!(
        "AGE-SECRET-KEY-",
        r"\bAGE-SECRET-KEY-1[0-9A-Z]{50,}",
        "an age key"
    ),
];

/// Checks a guide: what its steps list, and that no secret stands in its text.
pub(super) fn check(guide: &Guide, inventory: &Inventory, findings: &mut Findings) {
    shapes(guide.source.text(), findings);
    for (name, node) in &guide.front.vars {
        literal(name, node, findings);
    }
    for step in &guide.steps {
        listed(&step.keys.secrets, inventory, findings);
        literals(&step.args, findings);
        for (name, node) in &step.keys.env {
            literal(name, node, findings);
        }
        for inline in inlines(step) {
            listed(&inline.secrets, inventory, findings);
            literals(&inline.args, findings);
            for (name, node) in &inline.env {
                literal(name, node, findings);
            }
        }
    }
}

/// Checks the inventory's own text and vars.
pub(super) fn literals_of_inventory(inventory: &Inventory, findings: &mut Findings) {
    let text = findings.source.clone();
    shapes(text.text(), findings);
    let vars = inventory.vars.iter().chain(
        inventory
            .profiles
            .iter()
            .flat_map(|(_, profile)| &profile.vars),
    );
    for (name, node) in vars {
        literal(name, node, findings);
    }
}

fn listed(secrets: &[SecretUse], inventory: &Inventory, findings: &mut Findings) {
    for used in secrets {
        let SecretSource::Named(name) = &used.source else {
            continue;
        };
        if inventory.secret(name).is_none() {
            let hint = suggest::did_you_mean_or_list(
                name,
                inventory.secrets.iter().map(|(name, _)| name.as_str()),
                "its secrets are",
            )
            .unwrap_or_else(|| "add it to the inventory under `secrets`".into());
            findings.hinted(
                "unknown-secret",
                used.span,
                format!("the inventory has no secret `{}`", read::cut(name)),
                hint,
            );
        }
    }
}

/// The variable under which a secret is listed where a text stands.
pub(super) fn listed_secret(step: &Step, place: Place<'_>, name: &str) -> Option<String> {
    let is =
        |used: &&SecretUse| matches!(&used.source, SecretSource::Named(listed) if listed == name);
    place
        .secrets
        .unwrap_or_default()
        .iter()
        .chain(&step.keys.secrets)
        .find(is)
        .map(|used| used.env.clone())
}

fn shapes(text: &str, findings: &mut Findings) {
    for shape in &SHAPES {
        if !text.contains(shape.sign) {
            continue;
        }
        let Some(regex) = shape.regex.as_ref() else {
            continue;
        };
        for found in regex.find_iter(text) {
            // Documentation of AWS uses keys that end so.
            if found.as_str().ends_with("EXAMPLE") {
                continue;
            }
            let line = found.as_str().lines().next().unwrap_or("").len();
            findings.hinted(
                "literal-secret",
                Span::new(found.start(), found.start() + line),
                format!("this looks like {}", shape.what),
                HINT,
            );
        }
    }
}

const HINT: &str = "take it out, make it invalid, and name it under `secrets` of the inventory";

/// Literal values of fields whose name says that they are secret, at any depth.
fn literals(node: &Node, findings: &mut Findings) {
    match &node.kind {
        Kind::Map(entries) => {
            for entry in entries {
                literal(&entry.key, &entry.value, findings);
                literals(&entry.value, findings);
            }
        }
        Kind::List(items) => items.iter().for_each(|item| literals(item, findings)),
        Kind::Scalar(_) | Kind::Value(_) => {}
    }
}

/// What the name of a secret field ends in, letters only.
const SECRET_NAMES: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "apikey",
    "secretkey",
    "privatekey",
    "accesstoken",
    "authtoken",
    "apitoken",
    "clientsecret",
];

/// What the whole name of a secret field may be, letters only.
const SECRET_WORDS: &[&str] = &["token", "secret", "authorization", "proxyauthorization"];

fn literal(name: &str, node: &Node, findings: &mut Findings) {
    let letters: String = name
        .chars()
        .filter(char::is_ascii_alphabetic)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    // `GRAFANA_TOKEN`: the last word alone says it.
    let last = name.rsplit('_').next().unwrap_or(name);
    let says = SECRET_NAMES.iter().any(|end| letters.ends_with(end))
        || SECRET_WORDS.contains(&letters.as_str())
        || last.eq_ignore_ascii_case("token");
    if read::deferred(node) {
        return;
    }
    let Kind::Scalar(scalar) = &node.kind else {
        return;
    };
    if has_password(&scalar.text) && letters.ends_with("url") {
        return findings.hinted(
            "literal-secret",
            node.span,
            format!("`{name}` has a password written out"),
            "name it under `secrets` of the inventory and write `{{ secret.NAME }}` in its place",
        );
    }
    if !says {
        return;
    }
    let value = scalar.text.trim();
    // A path, a variable of the script's environment or a word of YAML is no secret.
    let is_reference = value.is_empty()
        || value.starts_with(['$', '/', '~', '<'])
        || (scalar.plain && !crate::node::core_scalar(value).is_string());
    if !is_reference {
        findings.hinted(
            "literal-secret",
            node.span,
            format!("`{name}` is written out"),
            "name it under `secrets` of the inventory and write `{{ secret.NAME }}`",
        );
    }
}

/// Whether a URL has a user with a password before its host.
fn has_password(url: &str) -> bool {
    let after_scheme = url.split_once("://").map(|(_, rest)| rest);
    let authority = after_scheme.and_then(|rest| rest.split(['/', '?', '#']).next());
    authority
        .and_then(|authority| authority.rsplit_once('@'))
        .and_then(|(user, _)| user.split_once(':'))
        .is_some_and(|(_, password)| !password.is_empty())
}
