//! A book as the program sees it: guides, their sections and steps, with the place of everything.
//!
//! The model is what was written, read by type but not yet rendered: a value that may hold a template is a [`Node`], which
//! [`crate::template::Scope::render`] turns into a node without templates, which [`crate::read`] turns into a typed value.

use std::collections::BTreeMap;

use crate::id::{Id, Ref};
use crate::inventory::Inventory;
use crate::mapped::Mapped;
use crate::node::Node;
use crate::outcome::{Effect, Verify};
use crate::source::{Source, Span};
use crate::spec::{ActionSpec, TargetKind};

/// A book.
#[derive(Debug)]
pub struct Book {
    /// The guides: every chapter of the summary, in its order, those without steps too.
    pub guides: Vec<Guide>,
    /// What the inventory says; empty when there is no file.
    pub inventory: Inventory,
    /// `[preprocessor.runbook]`.
    pub options: Options,
    /// The profile it was loaded for.
    pub profile: String,
    /// What `--var` gave.
    pub given: Vars,
}

/// `[preprocessor.runbook]` of `book.toml`, with its defaults filled in.
#[derive(Debug, Clone)]
pub struct Options {
    /// The profile when none is asked for.
    pub profile: String,
    /// The inventory's path relative to the book's root.
    pub inventory: String,
    /// From which age a result is `old`.
    pub old_after: std::time::Duration,
    /// How many runs are kept.
    pub keep: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            profile: "lab".into(),
            inventory: "inventory.yaml".into(),
            old_after: std::time::Duration::from_secs(7 * 24 * 3600),
            keep: 30,
        }
    }
}

/// A chapter.
#[derive(Debug)]
pub struct Guide {
    /// The chapter's path without `.md`: `guides/ollama`.
    pub id: String,
    /// `title` of the front matter, else the first heading, else the name in the summary.
    pub title: String,
    /// The chapter's text under its path relative to the book's root.
    pub source: Source,
    /// Its front matter.
    pub front: Front,
    /// Its headings, in order.
    pub sections: Vec<Section>,
    /// Its steps, in order.
    pub steps: Vec<Step>,
}

/// A chapter's front matter.
#[derive(Debug, Default)]
pub struct Front {
    /// The span of the whole block with its fences, for the site to strip.
    pub span: Option<Span>,
    /// `title`.
    pub title: Option<String>,
    /// `verify` as written.
    pub verify: Option<Verify>,
    /// `needs`.
    pub needs: Vec<(Ref, Span)>,
    /// `on`.
    pub on: Option<Node>,
    /// `vars`, in order.
    pub vars: Vec<(String, Node)>,
    /// `timeout` of each step.
    pub timeout: Option<Node>,
    /// `tags`.
    pub tags: Vec<String>,
    /// `owner`.
    pub owner: Option<String>,
}

/// A heading and what stands under it.
#[derive(Debug)]
pub struct Section {
    /// The heading's id, exactly as mdBook makes it.
    pub id: String,
    /// The heading's text.
    pub title: String,
    /// 1 to 6.
    pub level: u8,
    /// From the heading to the next heading of the same or a higher level.
    pub span: Span,
    /// The section above it, an index into [`Guide::sections`].
    pub parent: Option<usize>,
}

/// The language of a native fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Language {
    /// `bash`.
    Bash,
    /// `sh`.
    Sh,
    /// `python`.
    Python,
    /// `yaml`.
    Yaml,
}

/// How a step was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A ```` ```runbook ```` fence (or ```` ```yaml runbook ```` without options): YAML.
    Typed,
    /// A native fence with `#|` options.
    Native(Language),
}

impl Form {
    /// The action that a text in `undo`, `repair`, `diagnose` or a condition is a script of: the fence's language, `bash` in a
    /// typed step.
    pub fn script(self) -> &'static str {
        match self {
            Self::Native(Language::Sh) => "sh",
            Self::Native(Language::Python) => "python",
            Self::Native(Language::Bash | Language::Yaml) | Self::Typed => "bash",
        }
    }
}

/// A step.
#[derive(Debug)]
pub struct Step {
    /// Its full ID.
    pub id: Id,
    /// Its title; the ID with blanks when none was given.
    pub title: String,
    /// The section it belongs to, an index into [`Guide::sections`].
    pub section: usize,
    /// How it was written.
    pub form: Form,
    /// The whole fence in the chapter, from its first marker to the end of its last line.
    pub span: Span,
    /// The fence's first line, from 1.
    pub line: u32,
    /// The fence's body (a native fence: without its options), as written.
    pub body: Mapped,
    /// All keys of the step as one map, in order, the action among them (a native fence's options and its body as `bash: …`).
    pub node: Node,
    /// Files that `{{#include}}` in the body names, relative to the book's root, already expanded in `node`.
    pub includes: Vec<Include>,
    /// What it does.
    pub action: &'static ActionSpec,
    /// The action's arguments: a scalar for scripts, else a map.
    pub args: Node,
    /// `on` as written on the step.
    pub on: Option<Node>,
    /// Where it runs, as far as it is known before it is rendered: `on`, else the guide's where the action can run there, else
    /// the guest, node or cluster the action means, else `local`. A text, maybe with a template. Where `each` names `on`, what
    /// that says (`nodes.*`): the engine takes the item.
    pub target: Node,
    /// Declared, else the action's own.
    pub effect: Effect,
    /// The other keys.
    pub keys: Keys,
    /// The names that its templates use.
    pub uses: Uses,
}

/// The names that a step's templates use: what a scope must hold, and what a fingerprint covers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Uses {
    /// Vars by their own names, in the order of first use; each once.
    pub vars: Vec<(String, Span)>,
    /// Other steps (or, in `undo`, `repair` and `diagnose`, the step itself).
    pub steps: Vec<StepUse>,
    /// Secrets by the inventory's names; each once.
    pub secrets: Vec<String>,
    /// Paths of the inventory, as text: `inventory.nodes.pve1.address`; each once.
    pub inventory: Vec<String>,
}

/// A step that a template names.
#[derive(Debug, Clone, PartialEq)]
pub struct StepUse {
    /// The name after `steps.` as written: `gpu_address`, or what stands in `steps["…"]`.
    pub key: String,
    /// The step it means.
    pub id: Id,
    /// The capture, by its own name, or `state`, `changed`, `duration`; none where the whole map is used.
    pub field: Option<String>,
    /// Where it stands.
    pub span: Span,
}

/// A step's place in [`Book::guides`] and [`Guide::steps`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StepRef {
    /// The guide.
    pub guide: usize,
    /// The step in it.
    pub step: usize,
}

/// A file that a step includes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Include {
    /// Relative to the book's root.
    pub path: String,
    /// SHA-256 of what was read, hexadecimal.
    pub sha256: String,
}

/// The keys of a step beside `id`, `title`, `on`, `effect` and its action.
#[derive(Debug, Default)]
pub struct Keys {
    /// `when` without `asked`.
    pub when: Option<Condition>,
    /// `when: asked`.
    pub asked: bool,
    /// `unless`.
    pub unless: Option<Condition>,
    /// `expect`, in order.
    pub expect: Vec<Expectation>,
    /// `capture`, in order.
    pub capture: Vec<Capture>,
    /// `retry.for`.
    pub retry_for: Option<Node>,
    /// `retry.every`.
    pub retry_every: Option<Node>,
    /// `hold`.
    pub hold: Option<Node>,
    /// `timeout`.
    pub timeout: Option<Node>,
    /// `needs`; `Some` and empty for `[]`.
    pub needs: Option<Vec<(Ref, Span)>>,
    /// `undo`.
    pub undo: Option<Do>,
    /// `repair`: one `do` for any failure has the empty key.
    pub repair: Vec<(String, Do)>,
    /// `diagnose`.
    pub diagnose: Option<Do>,
    /// `detach`.
    pub detach: bool,
    /// `background`.
    pub background: Option<Condition>,
    /// `cleanup: always`.
    pub cleanup: bool,
    /// `gate`.
    pub gate: Option<Node>,
    /// `each`: names and their lists, the first outermost.
    pub each: Vec<(String, Node)>,
    /// `secrets`.
    pub secrets: Vec<SecretUse>,
    /// `env`.
    pub env: Vec<(String, Node)>,
    /// `hints`.
    pub hints: Vec<(String, String)>,
    /// `hidden`.
    pub hidden: bool,
    /// `strict`, true unless said otherwise.
    pub strict: bool,
    /// `template`, true unless `off`.
    pub template: bool,
}

/// One entry of `expect`.
#[derive(Debug, Clone, PartialEq)]
pub struct Expectation {
    /// The field's name.
    pub field: String,
    /// The key of a keyed field: a path of `json`, a row of `table`, a name of `header`.
    pub key: Option<Node>,
    /// The column of a `table`'s row.
    pub column: Option<Node>,
    /// The matcher as written.
    pub matcher: Node,
    /// Where the entry stands.
    pub span: Span,
}

/// One entry of `capture`.
#[derive(Debug, Clone, PartialEq)]
pub struct Capture {
    /// The name.
    pub name: String,
    /// The field.
    pub field: String,
    /// The selector, when it is not a plain field.
    pub selector: Option<Node>,
    /// Whether its value is a secret.
    pub secret: bool,
    /// Where the entry stands.
    pub span: Span,
}

/// A secret that a step may see.
#[derive(Debug, Clone, PartialEq)]
pub struct SecretUse {
    /// The environment variable that scripts see.
    pub env: String,
    /// Where its value comes from.
    pub source: SecretSource,
    /// Where the entry stands.
    pub span: Span,
}

/// Where the value of a step's secret comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum SecretSource {
    /// A secret of the inventory.
    Named(String),
    /// `steps.ID.NAME`: a captured secret, as written.
    Captured(String),
}

/// Something to do: `undo`, `repair`, `diagnose` (LANGUAGE section 1, type `do`).
#[derive(Debug, Clone, PartialEq)]
pub enum Do {
    /// A script in the fence's language (`bash` in a typed step).
    Script(Node),
    /// `'#ref'`: those steps.
    Steps(Ref, Span),
    /// One action with its own keys.
    Action(Box<Inline>),
    /// In order.
    List(Vec<Do>),
    /// `own`: the action's own undo.
    Own(Span),
    /// `none`: nothing takes it back.
    None(Span),
}

/// An action written inside a key, with its own `on`, `env`, `secrets`, `expect`.
#[derive(Debug, Clone, PartialEq)]
pub struct Inline {
    /// Where it stands.
    pub span: Span,
    /// The action.
    pub action: ActionRef,
    /// Its arguments.
    pub args: Node,
    /// `on`.
    pub on: Option<Node>,
    /// `env`.
    pub env: Vec<(String, Node)>,
    /// `secrets`.
    pub secrets: Vec<SecretUse>,
    /// `expect`.
    pub expect: Vec<Expectation>,
}

/// A reference to an action's table; equal when the name is.
#[derive(Debug, Clone, Copy)]
pub struct ActionRef(pub &'static ActionSpec);

impl PartialEq for ActionRef {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

/// A condition (LANGUAGE section 1, type `condition`).
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// Exactly one template; must give a bool.
    Template(Node),
    /// A bool.
    Bool(bool),
    /// A script: exit 0 holds, any other exit does not.
    Script(Node),
    /// An action that only reads: holds when its expectations hold.
    Action(Box<Inline>),
    /// All must hold.
    All(Vec<Condition>),
}

/// A target as it is understood (after rendering).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// This machine (in the lab: a scratch directory on it).
    Local,
    /// `node/N`.
    Node(String),
    /// `lxc/N`.
    Lxc(String),
    /// `vm/N`.
    Vm(String),
    /// `host/N`.
    Host(String),
    /// `cluster/N`.
    Cluster(String),
    /// `pod/NS/NAME` or `pod/NS/SELECTOR`.
    Pod {
        /// The namespace.
        namespace: String,
        /// A name, or a selector (holds `=`).
        pod: String,
    },
}

impl Target {
    /// What kind of target it is.
    pub fn kind(&self) -> TargetKind {
        match self {
            Self::Local => TargetKind::Local,
            Self::Node(_) => TargetKind::Node,
            Self::Lxc(_) => TargetKind::Lxc,
            Self::Vm(_) => TargetKind::Vm,
            Self::Host(_) => TargetKind::Host,
            Self::Cluster(_) => TargetKind::Cluster,
            Self::Pod { .. } => TargetKind::Pod,
        }
    }
}

/// Values of `--var` and of the profile, by name.
pub type Vars = BTreeMap<String, serde_json::Value>;
