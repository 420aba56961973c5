//! The keys of `inventory.yaml` (LANGUAGE sections 2 and 7).

use super::{FieldSpec, Group, Type};

const fn field(name: &'static str, ty: Type, what: &'static str) -> FieldSpec {
    FieldSpec::new(name, ty, what)
}

const TEXTS: Type = Type::List(&Type::Text);
const BECOME: FieldSpec = field(
    "become",
    Type::Word(&["sudo"]),
    "runs scripts and edits by `sudo -n`",
);

/// The top level.
pub static INVENTORY_KEYS: &[FieldSpec] = &[
    field(
        "profiles",
        Type::Map(&Type::Record(PROFILE_KEYS, &[])),
        "connections by name; `lab` is always there",
    ),
    field(
        "nodes",
        Type::Map(&Type::Record(NODE_KEYS, &[])),
        "Proxmox VE nodes",
    ),
    field(
        "guests",
        Type::Map(&Type::Record(GUEST_KEYS, &[])),
        "containers and virtual machines",
    ),
    field(
        "hosts",
        Type::Map(&Type::Record(HOST_KEYS, &[])),
        "other machines",
    ),
    field(
        "clusters",
        Type::Map(&Type::Record(CLUSTER_KEYS, &[])),
        "Kubernetes clusters",
    ),
    field(
        "vars",
        Type::Map(&Type::Any),
        "values for `{{ vars.NAME }}`",
    ),
    field(
        "secrets",
        Type::Map(&Type::Record(SECRET_KEYS, SECRET_GROUPS)),
        "secrets by name",
    ),
];

/// The keys of a profile.
pub static PROFILE_KEYS: &[FieldSpec] = &[
    field(
        "proxmox",
        Type::Record(
            &[
                field("url", Type::Text, "the API's URL").required(),
                field("token", Type::SecretName, "the secret that holds the token"),
                field(
                    "login",
                    Type::Record(
                        &[
                            field("user", Type::Text, "the user").required(),
                            field(
                                "password",
                                Type::SecretName,
                                "the secret that holds the password",
                            )
                            .required(),
                        ],
                        &[],
                    ),
                    "used only for what a token may not do",
                ),
                field("ca", Type::Text, "a PEM file of the authorities to trust"),
                field(
                    "fingerprint",
                    Type::Text,
                    "the certificate's SHA-256 fingerprint",
                ),
            ],
            &[Group::AtMostOne(&["ca", "fingerprint"])],
        ),
        "the Proxmox VE API",
    ),
    field(
        "clusters",
        Type::Map(&Type::Record(
            &[
                field("kubeconfig", Type::Text, "the kubeconfig file"),
                field("context", Type::Text, "the context in it"),
            ],
            &[],
        )),
        "kubeconfig and context by cluster",
    ),
    field(
        "ssh",
        Type::Record(
            &[
                field("user", Type::Text, "the login"),
                field("config", Type::Text, "an OpenSSH configuration file"),
            ],
            &[],
        ),
        "defaults of SSH",
    ),
    field(
        "scratch",
        Type::Record(
            &[
                field(
                    "vmids",
                    Type::Range,
                    "the numbers a rehearsal may use, `9000-9099`",
                ),
                field(
                    "namespaces",
                    Type::Text,
                    "the prefix of namespaces a rehearsal may use",
                ),
            ],
            &[],
        ),
        "what a rehearsal may change",
    ),
    field(
        "vars",
        Type::Map(&Type::Any),
        "values that win over the guide's and the inventory's",
    ),
];

static NODE_LAB: &[FieldSpec] = &[
    field(
        "storages",
        Type::Map(&Type::Record(
            &[
                field("type", Type::Text, "the storage's type"),
                field("content", TEXTS, "what it may hold"),
                field("size", Type::Size, "its size"),
            ],
            &[],
        )),
        "storages",
    ),
    field("pools", Type::Map(&Type::Size), "ZFS pools and their sizes"),
    field(
        "devices",
        Type::List(&Type::Record(
            &[
                field("pci", Type::Text, "the PCI address"),
                field("usb", Type::Text, "the USB address"),
                field("vendor", Type::Text, "the vendor"),
                field("device", Type::Text, "the device"),
                field("name", Type::Text, "its name"),
                field("iommu-group", Type::Int, "its IOMMU group"),
            ],
            &[Group::OneOf(&["pci", "usb"])],
        )),
        "devices",
    ),
    field(
        "mappings",
        Type::Map(&Type::Text),
        "resource mappings and their PCI addresses",
    ),
    field(
        "backup-jobs",
        Type::List(&Type::Map(&Type::Any)),
        "backup jobs",
    ),
    field("ha", Type::Bool, "whether high availability is set up"),
];

static MACHINE_LAB: &[FieldSpec] = &[
    field(
        "state",
        Type::Word(&["running", "stopped", "absent"]),
        "what it is at first",
    ),
    field("units", TEXTS, "units that are there"),
    field("packages", TEXTS, "packages, `name=version`"),
];

static CLUSTER_LAB: &[FieldSpec] = &[
    field(
        "objects",
        Type::Text,
        "a file of first objects, status included",
    )
    .default("`lab/NAME.yaml` when there"),
    field("load-balancers", Type::Text, "addresses for load balancers"),
    field("flux", Type::Bool, "bootstrapped from the lab's git"),
    field(
        "fail",
        Type::List(&Type::Record(
            &[
                field("kind", Type::Text, "the kind").required(),
                field("name", Type::Text, "the name").required(),
                field("namespace", Type::Text, "the namespace"),
                field("reason", Type::Text, "why").required(),
            ],
            &[],
        )),
        "what fails",
    ),
];

const FACTS: &str = "a free map; what the lab reads stands under `lab`";
static NODE_FACTS: &[FieldSpec] = &[field(
    "lab",
    Type::Record(NODE_LAB, &[]),
    "what the lab has",
)];
static MACHINE_FACTS: &[FieldSpec] = &[field(
    "lab",
    Type::Record(MACHINE_LAB, &[]),
    "what the lab has",
)];
static CLUSTER_FACTS: &[FieldSpec] = &[field(
    "lab",
    Type::Record(CLUSTER_LAB, &[]),
    "what the lab has",
)];

const STAND_INS: FieldSpec = field(
    "stand-ins",
    Type::Map(&Type::Record(
        &[
            field(
                "needs",
                Type::Text,
                "the unit, guest or `KIND/NS/NAME` that must run",
            ),
            field("table", Type::Text, "a file of answers"),
            field("program", Type::Text, "a program that answers"),
        ],
        &[Group::OneOf(&["table", "program"])],
    )),
    "lab only: what answers at a port",
);

/// The keys of a node.
pub static NODE_KEYS: &[FieldSpec] = &[
    field("address", Type::Text, "its address"),
    field("facts", Type::Open(NODE_FACTS), FACTS),
];

/// The keys of a guest.
pub static GUEST_KEYS: &[FieldSpec] = &[
    field("kind", Type::Word(&["lxc", "vm"]), "what it is").required(),
    field("vmid", Type::Int, "its number"),
    field("node", Type::Text, "the node it lives on"),
    field(
        "exec",
        Type::Word(&["pct", "agent", "ssh"]),
        "how scripts reach it",
    )
    .default("`pct` of `lxc`, `agent` of `vm`"),
    field("address", Type::Text, "its address").default("asked of the API when first used"),
    field("user", Type::Text, "the login").default("the profile's"),
    BECOME,
    STAND_INS,
    field("facts", Type::Open(MACHINE_FACTS), FACTS),
];

/// The keys of a host.
pub static HOST_KEYS: &[FieldSpec] = &[
    field("address", Type::Text, "its address"),
    field("user", Type::Text, "the login").default("the profile's"),
    field("port", Type::Int, "the port of SSH").default("`22`"),
    BECOME,
    STAND_INS,
    field("facts", Type::Open(MACHINE_FACTS), FACTS),
];

/// The keys of a cluster.
pub static CLUSTER_KEYS: &[FieldSpec] =
    &[STAND_INS, field("facts", Type::Open(CLUSTER_FACTS), FACTS)];

/// The keys of a secret.
pub static SECRET_KEYS: &[FieldSpec] = &[
    field("env", Type::Text, "an environment variable of the runner"),
    field(
        "file",
        Type::Text,
        "a file; its value loses one trailing line end",
    ),
    field(
        "command",
        Type::Text,
        "a command for `sh -c` in the repository's root",
    ),
];

/// A secret has exactly one source.
pub static SECRET_GROUPS: &[Group] = &[Group::OneOf(&["env", "file", "command"])];
