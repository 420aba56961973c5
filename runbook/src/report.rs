//! The other machine surfaces (DESIGN section 6): `list`, `show`, `plan`, `status`, `history`, `check`.
//!
//! Each has `version`, an integer; a published JSON Schema is made from the type ([`crate::schema`]). Only shapes in here.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::diagnostic::Diagnostic;
use crate::id::Id;
use crate::outcome::{Effect, Freshness, Standing, State, Verify};

/// The version of `list`, `show`, `plan`, `status`, `history` and `check`.
pub const REPORT_VERSION: u32 = 1;

/// `list --json`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct List {
    /// [`REPORT_VERSION`].
    pub version: u32,
    /// Only chapters with steps.
    pub guides: Vec<ListGuide>,
}

/// A guide of `list --json`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ListGuide {
    /// Full ID.
    pub id: Id,
    /// Title.
    pub title: String,
    /// The chapter, relative to the book's root.
    pub path: String,
    /// The effective mode.
    pub verify: Verify,
    /// Sections that hold steps.
    pub sections: Vec<ListSection>,
}

/// A section of `list --json`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ListSection {
    /// Full ID.
    pub id: Id,
    /// The heading's text.
    pub title: String,
    /// Its own steps.
    pub steps: Vec<ListStep>,
}

/// A step of `list --json`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ListStep {
    /// Full ID.
    pub id: Id,
    /// Title.
    pub title: String,
    /// The target's text, as far as it is known without running.
    pub on: String,
    /// The action's name.
    pub action: String,
    /// What it does to the world.
    pub effect: Effect,
    /// The line of its fence.
    pub line: u32,
}

/// `show ID --json`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Show {
    /// [`REPORT_VERSION`].
    pub version: u32,
    /// Full ID.
    pub id: Id,
    /// Title of the guide, section or step.
    pub title: String,
    /// The chapter, relative to the book's root.
    pub path: String,
    /// Where it begins.
    pub line: u32,
    /// Its Markdown, as written.
    pub markdown: String,
    /// Its steps.
    pub steps: Vec<ShowStep>,
}

/// A step of `show --json`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ShowStep {
    /// As in `list`.
    #[serde(flatten)]
    pub step: ListStep,
    /// The fence's body without its options.
    pub source: String,
    /// The expectations as written.
    pub expect: Value,
}

/// `plan --json`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Plan {
    /// [`REPORT_VERSION`].
    pub version: u32,
    /// The hash over resolved steps and observed state; null until plans can be run by hash.
    pub hash: Option<String>,
    /// The due steps in order.
    pub steps: Vec<PlanStep>,
    /// Rights on the profile's Proxmox VE that a run would need and does not have, and what grants the first of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lacks: Vec<String>,
}

/// A step of `plan --json`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct PlanStep {
    /// Full ID, with `@item` for items of `each`.
    pub id: Id,
    /// The action's name.
    pub action: String,
    /// The target's text.
    pub target: String,
    /// What it does to the world.
    pub effect: Effect,
    /// What would happen: `read`, `change`, `nothing`, `run`, `skip`, `wait`, `unknown`; the reason follows after a colon.
    pub would: String,
    /// The difference, when one is known.
    pub diff: Option<String>,
    /// The gate's text, or why an approval is needed.
    pub approval: Option<String>,
}

/// `status --json` and the site's `status.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// [`REPORT_VERSION`].
    pub version: u32,
    /// When it was made, RFC 3339 in UTC.
    pub generated_at: String,
    /// Only chapters with steps.
    pub guides: Vec<StatusGuide>,
}

/// A guide of `status --json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StatusGuide {
    /// Full ID.
    pub id: Id,
    /// Title.
    pub title: String,
    /// Its worst step; null when nothing ever ran.
    pub state: Option<State>,
    /// Steps by state; steps that never ran are under `never-run`.
    pub counts: BTreeMap<String, u32>,
    /// Its steps, in the page's order.
    pub steps: Vec<StatusStep>,
}

/// A step of `status --json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StatusStep {
    /// Full ID.
    pub id: Id,
    /// How it ended; null of a step that never ran.
    pub state: Option<State>,
    /// How much that is worth today.
    pub freshness: Freshness,
    /// The profile it ran on.
    pub profile: Option<String>,
    /// The target's text.
    pub target: Option<String>,
    /// When it ended, RFC 3339 in UTC.
    pub finished_at: Option<String>,
    /// How long it took.
    pub duration_ms: Option<u64>,
    /// The run.
    pub run: Option<String>,
    /// The items of `each`.
    pub items: Vec<StatusItem>,
}

/// An item of a step in `status --json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StatusItem {
    /// Full ID with `@item`.
    pub id: Id,
    /// How it ended.
    pub state: State,
    /// The target's text.
    pub target: String,
    /// How long it took.
    pub duration_ms: u64,
}

/// `history --json`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct History {
    /// [`REPORT_VERSION`].
    pub version: u32,
    /// Full ID of a step, a section or a guide.
    pub id: Id,
    /// Newest first.
    pub runs: Vec<HistoryRun>,
}

/// A run of `history --json`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct HistoryRun {
    /// The run's ID.
    pub run: String,
    /// When the step ended, RFC 3339 in UTC.
    pub finished_at: String,
    /// How it ended.
    pub state: State,
    /// The book's commit.
    pub revision: Option<String>,
    /// How long it took.
    pub duration_ms: u64,
}

/// `check --json`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct CheckReport {
    /// [`REPORT_VERSION`].
    pub version: u32,
    /// Every finding, in the order of the files and lines.
    pub diagnostics: Vec<Diagnostic>,
}

/// One line of `history.jsonl`: a run and the results of its steps. Published with the site, read by the next night.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HistoryLine {
    /// [`HISTORY_VERSION`].
    pub version: u32,
    /// The run's ID.
    pub run: String,
    /// The profile.
    pub profile: String,
    /// The mode.
    pub mode: crate::outcome::Mode,
    /// The book's commit.
    pub revision: Option<String>,
    /// When it began, RFC 3339 in UTC.
    pub started_at: String,
    /// When it ended, RFC 3339 in UTC.
    pub finished_at: String,
    /// The exit code.
    pub exit_code: u8,
    /// The steps that were due.
    pub steps: Vec<HistoryStep>,
}

/// The version of [`HistoryLine`].
pub const HISTORY_VERSION: u32 = 1;

/// A step's result in [`HistoryLine`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HistoryStep {
    /// Full ID.
    pub id: Id,
    /// How it ended.
    pub state: State,
    /// When, RFC 3339 in UTC.
    pub finished_at: String,
    /// How long it took.
    pub duration_ms: u64,
    /// The target's text.
    pub target: String,
    /// Its fingerprint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// The identity of what it ran against.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub identity: BTreeMap<String, String>,
    /// The first line of the failure or the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How far the state stands for itself.
    #[serde(default, skip_serializing_if = "Standing::is_own")]
    pub standing: Standing,
    /// Items of `each`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<StatusItem>,
}

/// The version of [`Lab`].
pub const LAB_VERSION: u32 = 1;

/// `lab --json`: one line when the lab is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Lab {
    /// [`LAB_VERSION`].
    pub version: u32,
    /// The Proxmox VE API; null when it is not served.
    pub proxmox: Option<LabProxmox>,
    /// The Kubernetes API; null when it is not served.
    pub kubernetes: Option<LabKubernetes>,
    /// The machines; null when they are not served.
    pub ssh: Option<LabSsh>,
}

/// A lab's Proxmox VE API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LabProxmox {
    /// `https://127.0.0.1:PORT`.
    pub url: String,
    /// The first node.
    pub node: String,
    /// `USER@REALM!NAME=SECRET`, as `Authorization: PVEAPIToken=…` takes it.
    pub token: String,
    /// The SHA-256 of its certificate, `AA:BB:…`.
    pub fingerprint: String,
    /// The file of the authority that signed it.
    pub ca: String,
}

/// A lab's Kubernetes API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LabKubernetes {
    /// The file with which `kubectl` finds it.
    pub kubeconfig: String,
}

/// A lab's machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LabSsh {
    /// The file with which `ssh -F` finds them.
    pub config: String,
}
