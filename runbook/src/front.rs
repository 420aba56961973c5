//! A chapter's front matter (LANGUAGE section 2).

use crate::findings::Findings;
use crate::markdown::FrontBlock;
use crate::model::Front;
use crate::node::{Entry, Node};
use crate::outcome::Verify;
use crate::read;
use crate::spec::FRONT_KEYS;
use crate::step::{fixed, is_name, name_hint, needs};
use crate::yaml;

/// Reads the front matter; what is wrong with it goes to `findings`.
pub(crate) fn read(block: &FrontBlock, findings: &mut Findings) -> Front {
    let mut front = Front {
        span: Some(block.span),
        ..Front::default()
    };
    if block.yaml.text().trim().is_empty() {
        return front;
    }
    let node = match yaml::parse(&block.yaml) {
        Ok(node) => node,
        Err(error) => {
            findings.maybe_hinted("invalid-yaml", error.span, error.message, error.hint);
            return front;
        }
    };
    let Some(entries) = node.as_map() else {
        findings.hinted(
            "invalid-yaml",
            node.span,
            "front matter is a map of keys",
            "write `title: …`, or take the `---` lines out",
        );
        return front;
    };
    for entry in entries {
        let known = FRONT_KEYS.iter().map(|key| key.name);
        if known.clone().any(|key| key == entry.key) {
            one(entry, &mut front, findings);
        } else {
            findings.read(read::unknown_key(known, entry, "front matter"));
        }
    }
    front
}

fn one(entry: &Entry, front: &mut Front, findings: &mut Findings) {
    let value = &entry.value;
    match entry.key.as_str() {
        "title" => front.title = fixed(value, "title", findings, read::text),
        "verify" => {
            let words = ["observe", "converge", "rehearse", "asked"];
            front.verify = fixed(value, "verify", findings, |node| read::word(node, &words))
                .and_then(Verify::parse);
        }
        "needs" => front.needs = needs(value, findings),
        "on" => {
            let target = (!read::deferred(value)).then(|| read::target(value));
            match target {
                Some(Err(error)) => findings.read(error),
                _ => front.on = Some(value.clone()),
            }
        }
        "vars" => front.vars = vars(value, findings),
        "timeout" => {
            front.timeout = fixed(value, "timeout", findings, read::duration).map(|_| value.clone())
        }
        "tags" => {
            front.tags = fixed(value, "tags", findings, read::list_of_text).unwrap_or_default()
        }
        "owner" => front.owner = fixed(value, "owner", findings, read::text),
        _ => {}
    }
}

/// Reads `vars`; what their templates may name is checked with the book.
pub(crate) fn vars(node: &Node, findings: &mut Findings) -> Vec<(String, Node)> {
    let Some(entries) = findings.take(read::entries(node)) else {
        return Vec::new();
    };
    let mut all: Vec<(String, Node)> = Vec::new();
    for entry in entries.iter() {
        if !is_name(&entry.key) {
            findings.hinted(
                "invalid-name",
                entry.key_span,
                format!("`{}` is not a name", read::cut(&entry.key)),
                name_hint(&entry.key),
            );
        }
        let same = |other: &str| other.replace('-', "_") == entry.key.replace('-', "_");
        if let Some((other, _)) = all.iter().find(|(other, _)| same(other)) {
            findings.hinted(
                "name-collision",
                entry.key_span,
                format!("`{other}` and `{}` are one name in a template", entry.key),
                "choose another name",
            );
        }
        all.push((entry.key.clone(), entry.value.clone()));
    }
    all
}
