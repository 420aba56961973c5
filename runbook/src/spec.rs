//! The language as tables: every key, action, field, matcher and type, with what they mean.
//!
//! Reading, checking, schemas, completion and the manual's tables are all made from these, so that none of them can say
//! something else. Tables only: reading by them is [`crate::read`].

use crate::node::Node;
use crate::outcome::Effect;

/// What a value must be (LANGUAGE section 1, "type").
#[derive(Debug, Clone, Copy)]
pub enum Type {
    /// Text: keeps the source text.
    Text,
    /// A whole number.
    Int,
    /// A number.
    Number,
    /// `true` or `false` only.
    Bool,
    /// `250ms`, `30s`, `1h30m`, `2d`.
    Duration,
    /// `8GiB`, `500MB`, `4096`.
    Size,
    /// A regular expression.
    Regex,
    /// Any YAML value by YAML's own types.
    Any,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A list; one value stands for a list of one.
    List(&'static Type),
    /// A map with free keys.
    Map(&'static Type),
    /// A map with these keys.
    Record(&'static [FieldSpec]),
    /// The first of these that fits.
    Either(&'static [Type]),
    /// A reference to a step, section or guide.
    Ref,
    /// A target.
    Target,
    /// A file relative to the chapter, in the repository.
    File,
    /// Something to do (`undo`, `repair`, `diagnose`).
    Do,
    /// A condition (`when`, `unless`, `background`).
    Condition,
    /// A matcher.
    Matcher,
    /// The name of a secret of the inventory.
    SecretName,
}

/// A key of a map.
#[derive(Debug, Clone, Copy)]
pub struct FieldSpec {
    /// The key.
    pub name: &'static str,
    /// What its value must be.
    pub ty: Type,
    /// Whether it must be there.
    pub required: bool,
    /// The default as the manual shows it; empty when there is none.
    pub default: &'static str,
    /// What it means, one line for the manual.
    pub what: &'static str,
}

/// How a field of a result is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// A text without its trailing line ends.
    Text,
    /// A JSON document, looked at by paths.
    Json,
    /// A table, looked at by row and column.
    Table,
    /// A map, looked at by key.
    Map,
    /// One value.
    Value,
}

/// A field of a result.
#[derive(Debug, Clone, Copy)]
pub struct ResultSpec {
    /// The field.
    pub name: &'static str,
    /// How it is looked at.
    pub kind: FieldKind,
    /// What it is, one line for the manual.
    pub what: &'static str,
}

/// What kind of thing an action's arguments are.
#[derive(Debug, Clone, Copy)]
pub enum Args {
    /// A script.
    Script,
    /// A map with these keys.
    Fields(&'static [FieldSpec]),
}

/// How an action works (LANGUAGE section 4: D and I).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionKind {
    /// Compares, changes, reads back.
    Desired,
    /// Just does.
    Imperative,
    /// Only looks.
    Read,
    /// Asks a person.
    Person,
}

/// Where an action can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TargetKind {
    /// `local`.
    Local,
    /// `node/N`.
    Node,
    /// `lxc/N`.
    Lxc,
    /// `vm/N`.
    Vm,
    /// `host/N`.
    Host,
    /// `cluster/N`.
    Cluster,
    /// `pod/NS/SELECTOR`.
    Pod,
}

/// An action of the language.
#[derive(Debug)]
pub struct ActionSpec {
    /// Its name, the key of a step.
    pub name: &'static str,
    /// Its arguments.
    pub args: Args,
    /// The fields of its result beside `duration` and `waited`, which every step has.
    pub results: &'static [ResultSpec],
    /// Where it can run.
    pub targets: &'static [TargetKind],
    /// What it does to the world, from its arguments.
    pub effect: fn(&Node) -> Effect,
    /// How it works, from its arguments.
    pub kind: fn(&Node) -> ActionKind,
    /// Its own timeout, when it is not the guide's: `30m`.
    pub timeout: Option<&'static str>,
    /// Whether an engine executes it; others are a check error "not available".
    pub available: bool,
    /// What it does, one line for the manual.
    pub what: &'static str,
}
