//! The fields of the actions (LANGUAGE section 4, second column).

use super::{FieldSpec, Group, Type};

const fn field(name: &'static str, ty: Type, what: &'static str) -> FieldSpec {
    FieldSpec::new(name, ty, what)
}

const TEXTS: Type = Type::List(&Type::Text);
const FILES: Type = Type::List(&Type::File);
const TEXT_MAP: Type = Type::Map(&Type::Text);
const PRESENCE: Type = Type::Word(&["present", "absent"]);

// What guests share.
const VMID: FieldSpec = field("vmid", Type::Int, "the guest's number")
    .default("the inventory's; else the next free in `scratch.vmids`, found again by `hostname` and the book's tag");
const NODE: FieldSpec =
    field("node", Type::Text, "the node it lives on").default("the inventory's");
const HOSTNAME: FieldSpec = field("hostname", Type::Text, "its name").default("the inventory's");
const CLONE: FieldSpec = field(
    "clone",
    Type::Record(
        &[
            field("from", Type::Text, "the guest or template to clone").required(),
            field("full", Type::Bool, "a full copy, not a linked one"),
            field("snapshot", Type::Text, "the snapshot to clone"),
        ],
        &[],
    ),
    "source, only to create: another guest",
);
const BACKUP: FieldSpec = field(
    "backup",
    Type::Text,
    "source, only to create: a backup's volume",
);
const CORES: FieldSpec = field("cores", Type::Int, "processor cores");
const MEMORY: FieldSpec = field("memory", Type::Size, "memory");
const SWAP: FieldSpec = field("swap", Type::Size, "swap");
const DISK: FieldSpec = field(
    "disk",
    Type::Disk,
    "the root disk, `STORE:SIZE`; grows only",
);
const NET: FieldSpec = field(
    "net",
    Type::Either(&[Type::Word(&["none"]), Type::List(&Type::Map(&Type::Text))]),
    "network interfaces, in order, or `none`",
);
const ONBOOT: FieldSpec = field("onboot", Type::Bool, "started with the node");
const NAMESERVER: FieldSpec = field("nameserver", Type::Text, "the name server it is given");
const SSH_KEYS: FieldSpec = field("ssh-keys", TEXTS, "public keys of its root login");
const TAGS: FieldSpec = field("tags", TEXTS, "tags");
const CONFIG: FieldSpec = field(
    "config",
    Type::Map(&Type::Nullable(&Type::Text)),
    "raw configuration keys; `null` removes one",
);
const RESTART: FieldSpec = field(
    "restart",
    Type::Word(&["never", "when-pending"]),
    "`when-pending`: full stop and start where a change needs it",
)
.default("`never`");
const GUEST_STATE: FieldSpec = field(
    "state",
    Type::Word(&["running", "stopped", "absent", "template"]),
    "what it shall be",
);

pub(super) static LXC: &[FieldSpec] = &[
    VMID,
    NODE,
    HOSTNAME,
    field(
        "template",
        Type::Text,
        "source, only to create: a container template",
    ),
    CLONE,
    BACKUP,
    CORES,
    MEMORY,
    SWAP,
    DISK,
    NET,
    field(
        "mounts",
        Type::Numbered(
            "mp",
            &Type::Nullable(&Type::Record(
                &[
                    field("source", Type::Text, "a directory of the node"),
                    field("disk", Type::Disk, "a volume, `STORE:SIZE`"),
                    field("path", Type::Text, "where it is mounted").required(),
                    field("read-only", Type::Bool, "mounted read-only"),
                ],
                &[Group::OneOf(&["source", "disk"])],
            )),
        ),
        "mount points by name, `mp0: {source or disk, path}`",
    ),
    field(
        "features",
        Type::Map(&Type::Any),
        "features, `nesting: true`",
    ),
    field("unprivileged", Type::Bool, "its root is not the node's").default("`true`"),
    ONBOOT,
    NAMESERVER,
    SSH_KEYS,
    TAGS,
    CONFIG,
    RESTART,
    GUEST_STATE,
];

pub(super) static LXC_GROUPS: &[Group] = &[Group::AtMostOne(&["template", "clone", "backup"])];

pub(super) static VM: &[FieldSpec] = &[
    VMID,
    NODE,
    HOSTNAME,
    field(
        "image",
        Type::Record(
            &[
                field("from", Type::Text, "the image's volume or file").required(),
                field("storage", Type::Text, "where the disk is made"),
            ],
            &[],
        ),
        "source, only to create: a cloud image",
    ),
    CLONE,
    BACKUP,
    CORES,
    MEMORY,
    SWAP,
    DISK,
    NET,
    field(
        "cloud-init",
        Type::Record(
            &[
                field("user", Type::Text, "the login"),
                field("ssh-keys", TEXTS, "its public keys"),
                field("ip", Type::Text, "address with prefix, or `dhcp`"),
                field("gateway", Type::Text, "the gateway"),
                field("dns", Type::Text, "the name server"),
                field("user-data", Type::Text, "cloud-init's own user data"),
            ],
            &[],
        ),
        "cloud-init",
    ),
    field(
        "pci",
        Type::Numbered(
            "hostpci",
            &Type::Nullable(&Type::Record(
                &[
                    field("mapping", Type::Text, "a resource mapping of the cluster"),
                    field("id", Type::Text, "an address of the node"),
                    field("pcie", Type::Bool, "as a PCI Express device"),
                ],
                &[Group::OneOf(&["mapping", "id"])],
            )),
        ),
        "devices by name, `hostpci0: {mapping or id}`; `null` removes one",
    ),
    field("bios", Type::Text, "`seabios` or `ovmf`"),
    field("machine", Type::Text, "the machine type"),
    field("cpu", Type::Text, "the processor type"),
    field("agent", Type::Bool, "the guest agent"),
    ONBOOT,
    NAMESERVER,
    SSH_KEYS,
    TAGS,
    CONFIG,
    RESTART,
    GUEST_STATE,
];

pub(super) static VM_GROUPS: &[Group] = &[Group::AtMostOne(&["image", "clone", "backup"])];

pub(super) static SNAPSHOT: &[FieldSpec] = &[
    field("name", Type::Text, "its name").required(),
    field("description", Type::Text, "what it is for"),
    field("memory", Type::Bool, "with the guest's memory").default("`false`"),
    field("state", PRESENCE, "whether it shall be there").default("`present`"),
];

pub(super) static ROLLBACK: &[FieldSpec] = &[
    field("name", Type::Text, "the snapshot").required(),
    field("start", Type::Bool, "started afterwards").default("as before"),
];

pub(super) static HA: &[FieldSpec] = &[
    field(
        "state",
        Type::Word(&["started", "stopped", "disabled", "absent"]),
        "what the manager shall keep",
    ),
    field("group", Type::Text, "the group"),
    field("max-restart", Type::Int, "restarts before it is moved"),
    field("max-relocate", Type::Int, "moves before it has failed"),
];

pub(super) static IMAGE: &[FieldSpec] = &[
    field("storage", Type::Text, "the storage").required(),
    field("node", Type::Text, "the node").default("the target's"),
    field(
        "kind",
        Type::Word(&["template", "iso", "cloud"]),
        "what it is",
    ),
    field("name", Type::Text, "an appliance of the node's index"),
    field("url", Type::Text, "where it is downloaded from"),
    field(
        "checksum",
        Type::Checksum,
        "`sha256:…`, required with `url`",
    ),
];

pub(super) static IMAGE_GROUPS: &[Group] = &[
    Group::OneOf(&["name", "url"]),
    Group::With("url", &["checksum"]),
    Group::With("checksum", &["url"]),
];

pub(super) static PROXMOX: &[FieldSpec] = &[
    field("path", Type::Text, "the path below `/api2/json`").required(),
    field(
        "method",
        Type::Word(&["GET", "POST", "PUT", "DELETE"]),
        "the method",
    )
    .default("`GET`"),
    field("params", Type::Map(&Type::Any), "its parameters"),
];

pub(super) static HELPER_SCRIPT: &[FieldSpec] = &[
    field("app", Type::Text, "the script's name"),
    field(
        "commit",
        Type::Commit,
        "the commit it is pinned to, required with `app`",
    ),
    field("url", Type::Text, "where it is downloaded from"),
    field(
        "checksum",
        Type::Checksum,
        "`sha256:…`, required with `url`",
    ),
    field("vars", TEXT_MAP, "what it is told"),
];

pub(super) static HELPER_SCRIPT_GROUPS: &[Group] = &[
    Group::OneOf(&["app", "url"]),
    Group::With("app", &["commit"]),
    Group::With("commit", &["app"]),
    Group::With("url", &["checksum"]),
    Group::With("checksum", &["url"]),
];

// What cluster actions share.
const MANIFEST: FieldSpec = field("manifest", Type::Text, "the objects, as YAML documents");
const MANIFEST_FILES: FieldSpec = field("file", FILES, "files that hold the objects");
const NAMESPACE: FieldSpec = field("namespace", Type::Text, "the namespace");
const OBJECT: [FieldSpec; 7] = [
    field("kind", Type::Text, "the objects' kind"),
    field(
        "api",
        Type::Text,
        "their API, `apps/v1`, where the kind is not enough",
    ),
    field("name", Type::Text, "one object"),
    field("selector", Type::Text, "a label selector"),
    field("field-selector", Type::Text, "a field selector"),
    NAMESPACE,
    field("all-namespaces", Type::Bool, "in every namespace").default("`false`"),
];

pub(super) static APPLY: &[FieldSpec] = &[
    MANIFEST,
    MANIFEST_FILES,
    field("kustomize", FILES, "directories built with kustomize"),
    NAMESPACE,
    field("force", Type::Bool, "takes fields over from other managers").default("`false`"),
    field(
        "prune",
        Type::Bool,
        "removes what an earlier apply of this step made",
    )
    .default("`false`"),
    field(
        "patch",
        Type::Word(&["none", "merge", "json"]),
        "a patch of an object that is there",
    )
    .default("`none`"),
];

pub(super) static APPLY_GROUPS: &[Group] = &[Group::OneOf(&["manifest", "file", "kustomize"])];

pub(super) static ABSENT: &[FieldSpec] = &[
    field(
        "objects",
        Type::List(&Type::Record(
            &[
                field("kind", Type::Text, "the kind").required(),
                field("api", Type::Text, "its API"),
                field("name", Type::Text, "one object"),
                field("selector", Type::Text, "a label selector"),
                NAMESPACE,
            ],
            &[Group::OneOf(&["name", "selector"])],
        )),
        "the objects",
    ),
    MANIFEST,
    MANIFEST_FILES,
];

pub(super) static ABSENT_GROUPS: &[Group] = &[Group::OneOf(&["objects", "manifest", "file"])];

pub(super) static GET: &[FieldSpec] = &[
    OBJECT[0].required(),
    OBJECT[1],
    OBJECT[2],
    OBJECT[3],
    OBJECT[4],
    OBJECT[5],
    OBJECT[6],
];

pub(super) static GET_GROUPS: &[Group] = &[
    Group::AtMostOne(&["name", "selector"]),
    Group::AtMostOne(&["namespace", "all-namespaces"]),
];

pub(super) static READY: &[FieldSpec] = &[
    OBJECT[0],
    OBJECT[1],
    OBJECT[2],
    OBJECT[3],
    OBJECT[4],
    OBJECT[5],
    OBJECT[6],
    MANIFEST,
    MANIFEST_FILES,
    field(
        "strict",
        Type::Bool,
        "a LoadBalancer has its address, a failed pod is failed",
    )
    .default("`true`"),
];

pub(super) static READY_GROUPS: &[Group] = &[
    Group::OneOf(&["kind", "manifest", "file"]),
    Group::AtMostOne(&["name", "selector"]),
    Group::AtMostOne(&["namespace", "all-namespaces"]),
    Group::With("name", &["kind"]),
    Group::With("selector", &["kind"]),
    Group::With("field-selector", &["kind"]),
    Group::With("api", &["kind"]),
];

pub(super) static JOB: &[FieldSpec] = &[
    field("manifest", Type::Text, "a Job or a Pod"),
    field("image", Type::Text, "the image of a Job made here"),
    field("command", TEXTS, "its command"),
    NAMESPACE,
    field("node", Type::Text, "the node it runs on"),
];

pub(super) static JOB_GROUPS: &[Group] = &[
    Group::OneOf(&["manifest", "image"]),
    Group::With("command", &["image"]),
    Group::With("node", &["image"]),
];

pub(super) static FLUX: &[FieldSpec] = &[
    field("reconcile", TEXTS, "`KIND/NAME` to reconcile"),
    field("suspend", TEXTS, "`KIND/NAME` to suspend"),
    field("resume", TEXTS, "`KIND/NAME` to resume"),
    field("ready", TEXTS, "`KIND/NAME` that must be ready, or `all`"),
    NAMESPACE.default("`flux-system`"),
    field("with-source", Type::Bool, "its source first").default("`true`"),
];

pub(super) static FLUX_GROUPS: &[Group] =
    &[Group::OneOf(&["reconcile", "suspend", "resume", "ready"])];

const CONTENT: FieldSpec = field("content", Type::Text, "the content");
const FROM: FieldSpec = field(
    "from",
    Type::File,
    "a file of the repository with the content",
);
const BACKUP_FIRST: FieldSpec =
    field("backup", Type::Bool, "what was there is kept beside it").default("`true`");

pub(super) static FILE: &[FieldSpec] = &[
    field("path", Type::Text, "the path").required(),
    CONTENT,
    FROM,
    field(
        "mode",
        Type::Text,
        "permissions; what is there keeps its own unless they are given",
    )
    .default("`\"0644\"`"),
    field("owner", Type::Text, "the owner"),
    field("group", Type::Text, "the group"),
    BACKUP_FIRST,
    field(
        "state",
        Type::Word(&["present", "directory", "absent"]),
        "what it shall be",
    )
    .default("`present`"),
];

pub(super) static CONTENT_GROUPS: &[Group] = &[Group::AtMostOne(&["content", "from"])];

pub(super) static LINE: &[FieldSpec] = &[
    field("path", Type::Text, "the file").required(),
    field("line", Type::Text, "the line").required(),
    field(
        "match",
        Type::Regex,
        "the last such line is replaced; without it the line is appended once",
    ),
    field("state", PRESENCE, "whether it shall be there").default("`present`"),
    field(
        "create",
        Type::Bool,
        "the file is made when it is not there",
    )
    .default("`false`"),
    BACKUP_FIRST,
];

pub(super) static SERVICE: &[FieldSpec] = &[
    field("name", Type::Text, "the unit").required(),
    field(
        "state",
        Type::Word(&["running", "stopped"]),
        "what it shall be",
    ),
    field("enabled", Type::Bool, "started with the machine"),
    field("restart", Type::Bool, "restarted now, as a change").default("`false`"),
];

pub(super) static PACKAGE: &[FieldSpec] = &[
    field("names", TEXTS, "`name` or `name=version`").required(),
    field(
        "state",
        Type::Word(&["present", "latest", "absent"]),
        "what they shall be",
    )
    .default("`present`"),
    field("update", Type::Bool, "the index is read again first").default("`false`"),
];

pub(super) static HTTP: &[FieldSpec] = &[
    field("url", Type::Text, "the URL").required(),
    field("method", Type::Text, "the method").default("`GET`"),
    field("headers", TEXT_MAP, "request headers"),
    field("query", TEXT_MAP, "query parameters, added to the URL's"),
    field("json", Type::Any, "a JSON body"),
    field("form", TEXT_MAP, "a form body"),
    field("body", Type::Text, "a body as it is"),
    field("insecure", Type::Bool, "the certificate is not verified").default("`false`"),
    field("ca", Type::Text, "a PEM file of the authorities to trust"),
    field("follow", Type::Bool, "redirects are followed").default("`false`"),
    field("resolve", TEXT_MAP, "addresses by name, in place of DNS"),
];

pub(super) static HTTP_GROUPS: &[Group] = &[Group::AtMostOne(&["json", "form", "body"])];

pub(super) static TCP: &[FieldSpec] = &[
    field("host", Type::Text, "the host").required(),
    field("port", Type::Int, "the port").required(),
];

pub(super) static DNS: &[FieldSpec] = &[
    field("name", Type::Text, "the name asked for").required(),
    field("type", Type::Text, "the record type").default("`A`"),
    field("server", Type::Text, "the server asked").default("`system`"),
];

pub(super) static TLS: &[FieldSpec] = &[
    field("host", Type::Text, "the host").required(),
    field("port", Type::Int, "the port").default("`443`"),
    field("server-name", Type::Text, "the name asked for").default("the host"),
    field("ca", Type::Text, "a PEM file of the authorities to trust"),
];

pub(super) static GIT: &[FieldSpec] = &[
    field("path", Type::Text, "a path in the repository").required(),
    FROM,
    CONTENT,
    field(
        "commit",
        Type::Text,
        "the message under which it is committed",
    ),
    field("push", Type::Bool, "pushed afterwards").default("`false`"),
    field("revision", Type::Text, "of the last commit that touched it"),
];

pub(super) static MANUAL: &[FieldSpec] = &[
    field("prompt", Type::Text, "what the person shall do").required(),
    field(
        "evidence",
        Type::Word(&["none", "note", "file"]),
        "what the person leaves",
    )
    .default("`none`"),
];
