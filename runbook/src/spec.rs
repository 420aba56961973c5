//! The language as tables: every key, action, field, matcher and type, with what they mean.
//!
//! Reading, checking, schemas, completion and the manual's tables are all made from these, so that none of them can say
//! something else. Tables only: reading by them is [`crate::read`].

mod actions;
mod effect;
mod fields;
mod inventory;
mod keys;
mod matchers;
mod rules;

pub use actions::ACTIONS;
pub use inventory::{
    CLUSTER_KEYS, GUEST_KEYS, HOST_KEYS, INVENTORY_KEYS, NODE_KEYS, PROFILE_KEYS, SECRET_GROUPS,
    SECRET_KEYS,
};
pub use keys::{CAPTURE_KEYS, FRONT_KEYS, INLINE_KEYS, RETRY_KEYS, STEP_KEYS};
pub use matchers::{MATCHERS, MatcherSpec};
pub use rules::{RULES, RuleSpec, rule};

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
    /// Two whole numbers, the first not above the second: `9000-9099`.
    Range,
    /// `sha256:` and 64 hexadecimal digits.
    Checksum,
    /// The full name of a commit: 40 hexadecimal digits.
    Commit,
    /// A storage and a size: `local-lvm:32GiB`.
    Disk,
    /// A list; one value stands for a list of one.
    List(&'static Type),
    /// A map with free keys.
    Map(&'static Type),
    /// A map whose keys are this word and a number: `mp0`.
    Numbered(&'static str, &'static Type),
    /// A map with these keys, which belong together as the groups say.
    Record(&'static [FieldSpec], &'static [Group]),
    /// A map with these keys and any others.
    Open(&'static [FieldSpec]),
    /// This, or null.
    Nullable(&'static Type),
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

impl FieldSpec {
    /// A key that may be left out.
    pub const fn new(name: &'static str, ty: Type, what: &'static str) -> Self {
        Self {
            name,
            ty,
            required: false,
            default: "",
            what,
        }
    }

    /// The same key, which must be there.
    #[must_use]
    pub const fn required(self) -> Self {
        Self {
            required: true,
            ..self
        }
    }

    /// The same key with a default.
    #[must_use]
    pub const fn default(self, default: &'static str) -> Self {
        Self { default, ..self }
    }
}

/// How keys of one map belong together.
#[derive(Debug, Clone, Copy)]
pub enum Group {
    /// Exactly one of these.
    OneOf(&'static [&'static str]),
    /// At most one of these.
    AtMostOne(&'static [&'static str]),
    /// The first needs one of the others.
    With(&'static str, &'static [&'static str]),
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

impl ResultSpec {
    /// A field of a result.
    pub const fn new(name: &'static str, kind: FieldKind, what: &'static str) -> Self {
        Self { name, kind, what }
    }
}

/// The fields that every step's result has.
pub static COMMON_RESULTS: &[ResultSpec] = &[
    ResultSpec::new(
        "duration",
        FieldKind::Value,
        "how long the last attempt took",
    ),
    ResultSpec::new(
        "waited",
        FieldKind::Value,
        "from the first attempt to success",
    ),
];

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

impl TargetKind {
    /// Every kind, in the order of the manual.
    pub const ALL: &'static [Self] = &[
        Self::Local,
        Self::Node,
        Self::Lxc,
        Self::Vm,
        Self::Host,
        Self::Cluster,
        Self::Pod,
    ];

    /// The word that a target of this kind begins with.
    pub fn word(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Node => "node",
            Self::Lxc => "lxc",
            Self::Vm => "vm",
            Self::Host => "host",
            Self::Cluster => "cluster",
            Self::Pod => "pod",
        }
    }

    /// How a target of this kind is written.
    pub fn form(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Node => "node/N",
            Self::Lxc => "lxc/N",
            Self::Vm => "vm/N",
            Self::Host => "host/N",
            Self::Cluster => "cluster/N",
            Self::Pod => "pod/NS/SELECTOR",
        }
    }
}

/// An action of the language.
#[derive(Debug)]
pub struct ActionSpec {
    /// Its name, the key of a step.
    pub name: &'static str,
    /// Its arguments.
    pub args: Args,
    /// How its fields belong together.
    pub groups: &'static [Group],
    /// The fields of its result beside `duration` and `waited`, which every step has.
    pub results: &'static [ResultSpec],
    /// Where it can run.
    pub targets: &'static [TargetKind],
    /// What it does to the world, from its arguments. A template counts as the worst it may become.
    pub effect: fn(&Node) -> Effect,
    /// The rule behind `effect`, for the manual.
    pub effect_what: &'static str,
    /// How it works, from its arguments.
    pub kind: fn(&Node) -> ActionKind,
    /// Its own timeout, when it is not the guide's: `30m`.
    pub timeout: Option<&'static str>,
    /// What it does, one line for the manual.
    pub what: &'static str,
}

impl ActionSpec {
    /// The field of its arguments.
    pub fn field(&self, name: &str) -> Option<&'static FieldSpec> {
        match self.args {
            Args::Script => None,
            Args::Fields(fields) => fields.iter().find(|field| field.name == name),
        }
    }

    /// The field of its result, of the common ones too.
    pub fn result(&self, name: &str) -> Option<&'static ResultSpec> {
        self.results
            .iter()
            .chain(COMMON_RESULTS)
            .find(|result| result.name == name)
    }

    /// Whether it takes itself back: what it created is removed, what it changed gets its former values back.
    pub fn has_own_undo(&self, args: &Node) -> bool {
        self.name == "job" || (self.name != "absent" && (self.kind)(args) == ActionKind::Desired)
    }

    /// Whether its argument is a script.
    pub fn is_script(&self) -> bool {
        matches!(self.args, Args::Script)
    }
}

/// The action of that name.
pub fn action(name: &str) -> Option<&'static ActionSpec> {
    ACTIONS.iter().find(|action| action.name == name)
}

#[cfg(test)]
mod tests;
