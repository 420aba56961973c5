//! The actions (LANGUAGE section 4).

use super::TargetKind::{Cluster, Host, Local, Lxc, Node, Pod, Vm};
use super::{ActionSpec, Args, FieldKind, ResultSpec, TargetKind, effect, fields};

const fn value(name: &'static str, what: &'static str) -> ResultSpec {
    ResultSpec::new(name, FieldKind::Value, what)
}

const fn text(name: &'static str, what: &'static str) -> ResultSpec {
    ResultSpec::new(name, FieldKind::Text, what)
}

const fn map(name: &'static str, what: &'static str) -> ResultSpec {
    ResultSpec::new(name, FieldKind::Map, what)
}

const fn json(what: &'static str) -> ResultSpec {
    ResultSpec::new("json", FieldKind::Json, what)
}

static MACHINES: &[TargetKind] = &[Local, Node, Lxc, Vm, Host, Pod];
static SYSTEMS: &[TargetKind] = &[Local, Node, Lxc, Vm, Host];
static GUESTS: &[TargetKind] = &[Lxc, Vm, Node];
static CLUSTERS: &[TargetKind] = &[Cluster];

static SCRIPT_RESULTS: &[ResultSpec] = &[
    value("exit", "the exit code"),
    text("stdout", "standard output"),
    text("stderr", "standard error"),
    text("output", "both, as they came"),
    json("`stdout` parsed; JSON Lines are a list"),
    ResultSpec::new(
        "table",
        FieldKind::Table,
        "`stdout` as a table: header line, rows named by their first cell",
    ),
];

const STATE: ResultSpec = value("state", "what it is");
const LOG: ResultSpec = text("log", "the task's log");
static LXC_RESULTS: &[ResultSpec] = &[
    STATE,
    map("config", "its configuration by key"),
    value("address", "its address"),
    value("addresses", "all its addresses"),
    value("vmid", "its number"),
    value("node", "the node it lives on"),
    value("uptime", "seconds since it started"),
];
static VM_RESULTS: &[ResultSpec] = &[
    LXC_RESULTS[0],
    LXC_RESULTS[1],
    LXC_RESULTS[2],
    LXC_RESULTS[3],
    LXC_RESULTS[4],
    LXC_RESULTS[5],
    LXC_RESULTS[6],
    value("agent", "whether the guest agent answers"),
];
static HELPER_RESULTS: &[ResultSpec] = &[
    LXC_RESULTS[0],
    LXC_RESULTS[1],
    LXC_RESULTS[2],
    LXC_RESULTS[3],
    LXC_RESULTS[4],
    LXC_RESULTS[5],
    LXC_RESULTS[6],
    LOG,
];
static STATE_RESULTS: &[ResultSpec] = &[STATE];
const READY: ResultSpec = value("ready", "whether it is ready, as kstatus says");
const CONDITION: ResultSpec = map("condition", "the status of each condition");
const COUNT: ResultSpec = value("count", "how many objects");
static OBJECT_RESULTS: &[ResultSpec] = &[
    json("the object; of several a List"),
    COUNT,
    CONDITION,
    READY,
];
const CERTIFICATE: ResultSpec = map(
    "certificate",
    "`san`, `subject`, `issuer`, `expires`, `fingerprint`, `trusted`",
);

const fn script(name: &'static str, what: &'static str) -> ActionSpec {
    ActionSpec {
        name,
        args: Args::Script,
        groups: &[],
        results: SCRIPT_RESULTS,
        targets: MACHINES,
        effect: effect::change,
        effect_what: "change",
        kind: effect::imperative,
        timeout: None,
        what,
    }
}

/// Every action, in the order of the manual.
pub static ACTIONS: &[ActionSpec] = &[
    script("bash", "a script for bash; strict: `set -euo pipefail`"),
    script("sh", "a script for sh; strict: `set -eu`"),
    script("python", "a script for Python 3"),
    ActionSpec {
        name: "lxc",
        args: Args::Fields(fields::LXC),
        groups: fields::LXC_GROUPS,
        results: LXC_RESULTS,
        targets: &[Lxc, Node],
        effect: effect::guest,
        effect_what: "change; `absent` destroy; `when-pending` disrupt; no wish: read",
        kind: effect::guest_kind,
        timeout: None,
        what: "a container with this configuration and state",
    },
    ActionSpec {
        name: "vm",
        args: Args::Fields(fields::VM),
        groups: fields::VM_GROUPS,
        results: VM_RESULTS,
        targets: &[Vm, Node],
        effect: effect::guest,
        effect_what: "change; `absent` destroy; `when-pending` disrupt; no wish: read",
        kind: effect::guest_kind,
        timeout: None,
        what: "a virtual machine with this configuration and state",
    },
    ActionSpec {
        name: "snapshot",
        args: Args::Fields(fields::SNAPSHOT),
        groups: &[],
        results: STATE_RESULTS,
        targets: GUESTS,
        effect: effect::snapshot,
        effect_what: "change; `absent` destroy",
        kind: effect::desired,
        timeout: None,
        what: "a restore point of a guest",
    },
    ActionSpec {
        name: "rollback",
        args: Args::Fields(fields::ROLLBACK),
        groups: &[],
        results: STATE_RESULTS,
        targets: GUESTS,
        effect: effect::destroy,
        effect_what: "destroy",
        kind: effect::imperative,
        timeout: None,
        what: "a guest goes back to a restore point",
    },
    ActionSpec {
        name: "ha",
        args: Args::Fields(fields::HA),
        groups: &[],
        results: &[
            STATE,
            value("status", "what the manager says"),
            value("node", "the node it runs on"),
        ],
        targets: GUESTS,
        effect: effect::change,
        effect_what: "change",
        kind: effect::desired,
        timeout: None,
        what: "what high availability keeps of a guest",
    },
    ActionSpec {
        name: "image",
        args: Args::Fields(fields::IMAGE),
        groups: fields::IMAGE_GROUPS,
        results: &[
            value("volume", "the volume's ID"),
            value("size", "its size in bytes"),
        ],
        targets: GUESTS,
        effect: effect::change,
        effect_what: "change",
        kind: effect::desired,
        timeout: Some("30m"),
        what: "a container template, ISO or cloud image on a storage",
    },
    ActionSpec {
        name: "proxmox",
        args: Args::Fields(fields::PROXMOX),
        groups: &[],
        results: &[
            json("`data` of the answer"),
            LOG,
            value("task", "the task's UPID"),
        ],
        targets: GUESTS,
        effect: effect::request,
        effect_what: "GET read, DELETE destroy, else change",
        kind: effect::request_kind,
        timeout: None,
        what: "any call of the Proxmox VE API; waits for its task",
    },
    ActionSpec {
        name: "helper-script",
        args: Args::Fields(fields::HELPER_SCRIPT),
        groups: fields::HELPER_SCRIPT_GROUPS,
        results: HELPER_RESULTS,
        targets: GUESTS,
        effect: effect::change,
        effect_what: "change",
        kind: effect::desired,
        timeout: Some("30m"),
        what: "a community script, unattended and pinned",
    },
    ActionSpec {
        name: "apply",
        args: Args::Fields(fields::APPLY),
        groups: fields::APPLY_GROUPS,
        results: &[
            json("the object; of several a List"),
            READY,
            CONDITION,
            COUNT,
        ],
        targets: CLUSTERS,
        effect: effect::change,
        effect_what: "change",
        kind: effect::desired,
        timeout: None,
        what: "manifests, by server-side apply",
    },
    ActionSpec {
        name: "absent",
        args: Args::Fields(fields::ABSENT),
        groups: fields::ABSENT_GROUPS,
        results: &[COUNT],
        targets: CLUSTERS,
        effect: effect::destroy,
        effect_what: "destroy",
        kind: effect::desired,
        timeout: None,
        what: "objects are not there; waits until gone",
    },
    ActionSpec {
        name: "get",
        args: Args::Fields(fields::GET),
        groups: fields::GET_GROUPS,
        results: OBJECT_RESULTS,
        targets: CLUSTERS,
        effect: effect::read,
        effect_what: "read",
        kind: effect::reads,
        timeout: None,
        what: "objects, by kind and name or selector",
    },
    ActionSpec {
        name: "ready",
        args: Args::Fields(fields::READY),
        groups: fields::READY_GROUPS,
        results: OBJECT_RESULTS,
        targets: CLUSTERS,
        effect: effect::read,
        effect_what: "read",
        kind: effect::reads,
        timeout: None,
        what: "objects are ready; waits; nothing found fails",
    },
    ActionSpec {
        name: "job",
        args: Args::Fields(fields::JOB),
        groups: fields::JOB_GROUPS,
        results: &[
            value("exit", "the exit code"),
            text("log", "its log"),
            value("phase", "how it ended"),
        ],
        targets: CLUSTERS,
        effect: effect::change,
        effect_what: "change",
        kind: effect::imperative,
        timeout: None,
        what: "a Job runs to its end; its log is kept",
    },
    ActionSpec {
        name: "flux",
        args: Args::Fields(fields::FLUX),
        groups: fields::FLUX_GROUPS,
        results: &[
            READY,
            value("revision", "the revision applied"),
            value("suspended", "whether it is suspended"),
            value("message", "what Flux says"),
            json("the object; of several a List"),
        ],
        targets: CLUSTERS,
        effect: effect::flux,
        effect_what: "`ready` read, else change",
        kind: effect::flux_kind,
        timeout: None,
        what: "Flux reconciles, suspends, resumes, is ready; waits",
    },
    ActionSpec {
        name: "file",
        args: Args::Fields(fields::FILE),
        groups: fields::CONTENT_GROUPS,
        results: STATE_RESULTS,
        targets: MACHINES,
        effect: effect::change,
        effect_what: "change",
        kind: effect::desired,
        timeout: None,
        what: "a file or directory with this content, mode and owner",
    },
    ActionSpec {
        name: "line",
        args: Args::Fields(fields::LINE),
        groups: &[],
        results: STATE_RESULTS,
        targets: MACHINES,
        effect: effect::change,
        effect_what: "change",
        kind: effect::desired,
        timeout: None,
        what: "a line of a file",
    },
    ActionSpec {
        name: "service",
        args: Args::Fields(fields::SERVICE),
        groups: &[],
        results: &[
            STATE,
            value("enabled", "whether it starts with the machine"),
        ],
        targets: SYSTEMS,
        effect: effect::change,
        effect_what: "change",
        kind: effect::desired,
        timeout: None,
        what: "a unit runs or not, and is enabled or not",
    },
    ActionSpec {
        name: "package",
        args: Args::Fields(fields::PACKAGE),
        groups: &[],
        results: &[text("output", "what the package manager said")],
        targets: SYSTEMS,
        effect: effect::change,
        effect_what: "change",
        kind: effect::desired,
        timeout: Some("10m"),
        what: "packages are installed or not",
    },
    ActionSpec {
        name: "http",
        args: Args::Fields(fields::HTTP),
        groups: fields::HTTP_GROUPS,
        results: &[
            value("status", "the status code"),
            map("header", "the answer's headers"),
            text("body", "the answer's body"),
            json("`body` parsed"),
            CERTIFICATE,
        ],
        targets: MACHINES,
        effect: effect::request,
        effect_what: "GET, HEAD read; DELETE destroy; else change",
        kind: effect::request_kind,
        timeout: None,
        what: "an HTTP request",
    },
    ActionSpec {
        name: "tcp",
        args: Args::Fields(fields::TCP),
        groups: &[],
        results: &[value("open", "whether the port answers")],
        targets: MACHINES,
        effect: effect::read,
        effect_what: "read",
        kind: effect::reads,
        timeout: None,
        what: "whether a port is open",
    },
    ActionSpec {
        name: "dns",
        args: Args::Fields(fields::DNS),
        groups: &[],
        results: &[
            value("answer", "the answers, a list"),
            value("status", "`NOERROR`, `NXDOMAIN` …"),
        ],
        targets: MACHINES,
        effect: effect::read,
        effect_what: "read",
        kind: effect::reads,
        timeout: None,
        what: "what DNS answers",
    },
    ActionSpec {
        name: "tls",
        args: Args::Fields(fields::TLS),
        groups: &[],
        results: &[CERTIFICATE],
        targets: MACHINES,
        effect: effect::read,
        effect_what: "read",
        kind: effect::reads,
        timeout: None,
        what: "what certificate a server shows",
    },
    ActionSpec {
        name: "reboot",
        args: Args::Fields(&[]),
        groups: &[],
        results: &[
            value("uptime", "seconds since it started"),
            value("boot-id", "the new boot's ID"),
        ],
        targets: &[Node, Lxc, Vm, Host],
        effect: effect::disrupt,
        effect_what: "disrupt",
        kind: effect::imperative,
        timeout: Some("10m"),
        what: "a restart; back with a new boot ID",
    },
    ActionSpec {
        name: "git",
        args: Args::Fields(fields::GIT),
        groups: fields::CONTENT_GROUPS,
        results: &[
            value("revision", "of the last commit that touched the path"),
            value("state", "`clean` or `differs`"),
            text("diff", "the difference"),
        ],
        targets: &[Local],
        effect: effect::git,
        effect_what: "change; only looked at: read",
        kind: effect::git_kind,
        timeout: None,
        what: "a path of the repository has this content, is committed, is at this revision",
    },
    ActionSpec {
        name: "manual",
        args: Args::Fields(fields::MANUAL),
        groups: &[],
        results: &[text("note", "what the person wrote")],
        targets: TargetKind::ALL,
        effect: effect::change,
        effect_what: "change",
        kind: effect::person,
        timeout: None,
        what: "a person does it; its check is `unless`; waits without end",
    },
];
