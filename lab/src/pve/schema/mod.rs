//! The official API's table of facts: every path and method, with its parameters, permissions and flags.
//!
//! Derived by `lab/schema/derive.py`; read once, on first use. What the lab does not serve is in it too, so that the
//! order of checks (501, 403, 400) is the real one. It must not know what a call does.

mod format;
mod property;
mod validate;

pub(crate) use property::{parse_property_string, print_property_string};
pub(crate) use validate::coerce;
pub use validate::verify;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use regex::Regex;
use serde::Deserialize;
use serde_json::Value;

/// What the API knows about a parameter.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Property {
    /// Its type; a text without.
    #[serde(rename = "t")]
    pub kind: Kind,
    #[serde(rename = "o", deserialize_with = "flag")]
    pub(crate) optional: bool,
    #[serde(rename = "f")]
    pub(crate) format: Option<String>,
    /// The keys of a property string.
    #[serde(rename = "s")]
    pub(crate) keys: Option<Keys>,
    #[serde(rename = "lo")]
    pub(crate) minimum: Option<serde_json::Number>,
    #[serde(rename = "hi")]
    pub(crate) maximum: Option<serde_json::Number>,
    #[serde(rename = "l")]
    pub(crate) min_length: Option<usize>,
    #[serde(rename = "L")]
    pub(crate) max_length: Option<usize>,
    #[serde(rename = "e")]
    pub(crate) choices: Option<Vec<String>>,
    #[serde(rename = "p")]
    pub(crate) pattern: Option<String>,
    #[serde(rename = "r")]
    pub(crate) requires: Option<String>,
    #[serde(rename = "as")]
    pub(crate) alias: Option<String>,
    #[serde(rename = "ka")]
    pub(crate) key_alias: Option<String>,
    #[serde(rename = "k", deserialize_with = "flag")]
    pub(crate) default_key: bool,
    #[serde(rename = "d")]
    pub(crate) default: Option<Value>,
    #[serde(rename = "it")]
    pub(crate) items: Option<Box<Property>>,
    /// The highest index of an indexed parameter.
    #[serde(rename = "n")]
    pub(crate) index_max: Option<u32>,
    #[serde(skip)]
    compiled: OnceLock<Option<Regex>>,
}

/// The keys of a property string, by name.
pub(crate) type Keys = BTreeMap<String, Property>;

/// The type of a parameter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[allow(missing_docs)]
pub enum Kind {
    #[default]
    #[serde(rename = "s")]
    String,
    #[serde(rename = "i")]
    Integer,
    #[serde(rename = "n")]
    Number,
    #[serde(rename = "b")]
    Boolean,
    #[serde(rename = "a")]
    Array,
    #[serde(rename = "o")]
    Object,
    #[serde(rename = "0")]
    Null,
}

/// One method of one path.
#[derive(Debug, Deserialize)]
pub struct Method {
    /// Parameter name (`net[n]` for indexed ones) to its place in the table.
    #[serde(rename = "q")]
    params: BTreeMap<String, usize>,
    /// Who may call it; nobody but root@pam without.
    #[serde(rename = "perm", default)]
    pub(crate) permissions: Option<Permissions>,
    /// Only with a ticket, not with an API token.
    #[serde(rename = "ticket", default, deserialize_with = "flag")]
    pub(crate) ticket_only: bool,
    /// Done by the privileged daemon: the proxy waits for it, up to its limit.
    #[serde(rename = "root", default, deserialize_with = "flag")]
    pub(crate) protected: bool,
    /// Whether parameters that are not listed are let through.
    #[serde(rename = "more", default, deserialize_with = "flag")]
    pub(crate) additional: bool,
}

/// The declared permissions.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Permissions {
    #[serde(default)]
    pub(crate) user: Option<String>,
    /// `["perm", "/vms/{vmid}", ["VM.Audit"]]` and so on.
    #[serde(default)]
    pub(crate) check: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Table {
    formats: BTreeMap<String, Keys>,
    params: Vec<Property>,
    paths: BTreeMap<String, BTreeMap<String, Method>>,
}

/// A path of the table that matched, with what its placeholders stand for.
pub(crate) struct Found {
    pub(crate) template: &'static str,
    pub(crate) methods: &'static BTreeMap<String, Method>,
    pub(crate) bound: Vec<(&'static str, String)>,
}

#[derive(Default)]
struct Tree {
    fixed: BTreeMap<&'static str, Tree>,
    /// `{name}`; the last one of a path may stand for the rest of it.
    open: Option<(&'static str, Box<Tree>)>,
    end: Option<&'static str>,
}

impl Method {
    /// The parameters by name, as the table has them.
    pub fn parameters(&'static self) -> impl Iterator<Item = (&'static str, &'static Property)> {
        self.params
            .iter()
            .map(|(name, at)| (name.as_str(), &table().params[*at]))
    }

    /// The parameter of that name, `net0` being one of `net[n]`.
    pub fn parameter(&self, name: &str) -> Option<&'static Property> {
        if let Some(at) = self.params.get(name) {
            return Some(&table().params[*at]).filter(|property| property.index_max.is_none());
        }
        let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        let (stem, number) = name.split_at(name.len() - digits);
        let at = self.params.get(&format!("{stem}[n]"))?;
        let property = &table().params[*at];
        let index: u32 = number.parse().ok()?;
        (index <= property.index_max? && (number == "0" || !number.starts_with('0')))
            .then_some(property)
    }
}

impl Property {
    /// The compiled pattern, anchored as the API does; `None` without one.
    pub(crate) fn regex(&self) -> Option<&Regex> {
        self.compiled
            .get_or_init(|| {
                self.pattern
                    .as_deref()
                    .and_then(|pattern| compile(pattern).ok())
            })
            .as_ref()
    }
}

/// The method of a path template, such as `POST` of `/nodes/{node}/lxc`.
pub fn method(template: &str, verb: &str) -> Option<&'static Method> {
    table().paths.get(template)?.get(verb)
}

/// Who may make a call, as the official schema declares it; what a call checks inside is not in it.
#[derive(Debug)]
pub struct Declared {
    /// The path's template, such as `/nodes/{node}/lxc/{vmid}/config`.
    pub template: &'static str,
    /// `["perm", "/vms/{vmid}", ["VM.Audit"]]` and its combinations; none where everybody may call, or root@pam alone.
    pub check: Option<&'static Value>,
    /// What the placeholders of the path stand for.
    pub bound: Vec<(&'static str, String)>,
}

/// What is declared for a call of a path below `/api2/json`; none for a path or method that the API does not have.
pub fn declared(verb: &str, path: &str) -> Option<Declared> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let found = find(&parts)?;
    let permissions = found.methods.get(verb)?.permissions.as_ref();
    Some(Declared {
        template: found.template,
        check: permissions.and_then(|declared| declared.check.as_ref()),
        bound: found.bound,
    })
}

/// Every path template with its verbs.
pub fn endpoints() -> impl Iterator<Item = (&'static str, &'static str)> {
    table()
        .paths
        .iter()
        .flat_map(|(path, verbs)| verbs.keys().map(move |verb| (path.as_str(), verb.as_str())))
}

/// The keys of a named property-string format.
pub(crate) fn named_keys(format: &str) -> Option<&'static Keys> {
    table().formats.get(format)
}

/// The keys of a property string of the method's parameter, inline or by name.
pub(crate) fn keys_of(property: &'static Property) -> Option<&'static Keys> {
    property
        .keys
        .as_ref()
        .or_else(|| named_keys(property.format.as_deref()?))
}

/// Looks a path up: fixed parts win over placeholders, a volume id may hold slashes.
pub(crate) fn find(parts: &[&str]) -> Option<Found> {
    let mut bound = Vec::new();
    let template = tree().walk(parts, &mut bound)?;
    let (template, methods) = table().paths.get_key_value(template)?;
    Some(Found {
        template,
        methods,
        bound,
    })
}

impl Tree {
    fn walk(
        &'static self,
        parts: &[&str],
        bound: &mut Vec<(&'static str, String)>,
    ) -> Option<&'static str> {
        let Some((first, rest)) = parts.split_first() else {
            return self.end;
        };
        if let Some(next) = self.fixed.get::<str>(first) {
            return next.walk(rest, bound);
        }
        let (name, next) = self.open.as_ref()?;
        // `/content/local:vztmpl/x.tar.zst`: the volume takes the rest.
        if *name == "volume" && next.fixed.is_empty() && next.open.is_none() && !rest.is_empty() {
            bound.push((name, parts.join("/")));
            return next.end;
        }
        bound.push((name, (*first).to_owned()));
        next.walk(rest, bound)
    }
}

fn tree() -> &'static Tree {
    static TREE: OnceLock<Tree> = OnceLock::new();
    TREE.get_or_init(|| {
        let mut root = Tree::default();
        for path in table().paths.keys() {
            let mut at = &mut root;
            for part in path.split('/').filter(|part| !part.is_empty()) {
                at = match part
                    .strip_prefix('{')
                    .and_then(|part| part.strip_suffix('}'))
                {
                    Some(name) => &mut *at.open.get_or_insert_with(|| (name, Box::default())).1,
                    None => at.fixed.entry(part).or_default(),
                };
            }
            at.end = Some(path);
        }
        root
    })
}

fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    static TEXT: &str = include_str!("../../../schema/pve-9.2.json");
    // A broken table is a broken build; the tests read it whole.
    TABLE.get_or_init(|| {
        serde_json::from_str(TEXT)
            .unwrap_or_else(|error| panic!("the derived schema is broken: {error}"))
    })
}

/// Bytes that a compiled pattern may take.
const PATTERN_BYTES_MAX: usize = 64 << 20;

/// Perl's notation of patterns in ours.
fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    let ours = pattern
        .replace("(?^:", "(?-i:")
        .replace("(?^u:", "(?-i:")
        .replace("(?^i:", "(?i:")
        .replace("\\0", "\\x00");
    // A class of all letters, 256 times, is larger than the usual limit.
    regex::RegexBuilder::new(&format!("^{ours}$"))
        .size_limit(PATTERN_BYTES_MAX)
        .build()
}

fn flag<'de, D: serde::Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    Ok(u8::deserialize(from)? != 0)
}

#[cfg(test)]
mod tests;
