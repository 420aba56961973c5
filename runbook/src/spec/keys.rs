//! The keys of the front matter and of a step (LANGUAGE section 2).

use super::{FieldSpec, Type};

const TEXTS: Type = Type::List(&Type::Text);
const REFS: Type = Type::List(&Type::Ref);
const EFFECTS: Type = Type::Word(&["read", "change", "disrupt", "destroy"]);

/// The keys of a chapter's front matter.
pub static FRONT_KEYS: &[FieldSpec] = &[
    FieldSpec::new("title", Type::Text, "the guide's name in lists, reports and on the status page").default("the first heading"),
    FieldSpec::new(
        "verify",
        Type::Word(&["observe", "converge", "rehearse", "asked"]),
        "how `verify` treats this guide; `asked`: a procedure, left out on real profiles unless addressed",
    )
    .default("`rehearse` in the lab, else `observe`"),
    FieldSpec::new("needs", REFS, "guides or sections that must hold first").default("none"),
    FieldSpec::new("on", Type::Target, "where steps run that do not say it themselves and could run there").default("none"),
    FieldSpec::new("vars", Type::Map(&Type::Any), "values for templates; `null` must be given by whoever runs it")
        .default("none"),
    FieldSpec::new("timeout", Type::Duration, "the time each step has, if it does not say otherwise").default("`60s`"),
    FieldSpec::new("tags", TEXTS, "groups, for `--tag`").default("none"),
    FieldSpec::new("owner", Type::Text, "who cares").default("none"),
];

/// The keys of `retry` when it is a map.
pub static RETRY_KEYS: &[FieldSpec] = &[
    FieldSpec::new("for", Type::Duration, "how long it is tried again").required(),
    FieldSpec::new("every", Type::Duration, "the pause between two attempts").default("`5s`"),
];

/// The keys of an entry of `capture` beside the field's name.
pub static CAPTURE_KEYS: &[FieldSpec] =
    &[FieldSpec::new("secret", Type::Bool, "the value is masked everywhere").default("`false`")];

/// The keys of a step beside its action.
pub static STEP_KEYS: &[FieldSpec] = &[
    FieldSpec::new(
        "id",
        Type::Text,
        "the step's name in its section: small letters, digits, single hyphens, at most 64",
    )
    .required(),
    FieldSpec::new("title", Type::Text, "what the card and the reports call it")
        .default("the ID with blanks"),
    FieldSpec::new("on", Type::Target, "where it runs").default(
        "the guide's; else the guest, node or only cluster the action means; else `local`",
    ),
    FieldSpec::new(
        "effect",
        EFFECTS,
        "how much it does; may be raised, lowered only for scripts and `http`",
    )
    .default("the action's"),
    FieldSpec::new(
        "when",
        Type::Either(&[Type::Condition, Type::Word(&["asked"])]),
        "not met: skipped, with the condition; `asked`: only when asked for",
    )
    .default("`true`"),
    FieldSpec::new(
        "unless",
        Type::Condition,
        "met: nothing to do; looked at again afterwards, when it must hold",
    )
    .default("none"),
    FieldSpec::new(
        "expect",
        Type::Map(&Type::Matcher),
        "what must be true of the result",
    )
    .default("the action's own"),
    FieldSpec::new(
        "capture",
        Type::Map(&Type::Either(&[Type::Text, Type::Open(CAPTURE_KEYS)])),
        "values for later steps: a field, or `{FIELD: SELECTOR, secret: bool}`",
    )
    .default("none"),
    FieldSpec::new(
        "retry",
        Type::Either(&[Type::Duration, Type::Record(RETRY_KEYS, &[])]),
        "repeat until the expectations hold",
    )
    .default("none"),
    FieldSpec::new("hold", Type::Duration, "they must go on holding that long").default("none"),
    FieldSpec::new("timeout", Type::Duration, "the time of one attempt")
        .default("the action's, else the guide's"),
    FieldSpec::new(
        "needs",
        REFS,
        "what must hold first, in place of the page's order; `[]`: nothing",
    )
    .default("all due steps above in the guide"),
    FieldSpec::new(
        "undo",
        Type::Either(&[Type::Word(&["own", "none"]), Type::Do]),
        "takes it back; `none`: nothing does",
    )
    .default("the action's own"),
    FieldSpec::new(
        "repair",
        Type::Either(&[Type::Do, Type::Map(&Type::Do)]),
        "tried once after a failure, then the step again",
    )
    .default("none"),
    FieldSpec::new("diagnose", Type::Do, "what to collect when it fails")
        .default("what the action attaches"),
    FieldSpec::new("detach", Type::Bool, "a long command goes on without us").default("`false`"),
    FieldSpec::new(
        "background",
        Type::Either(&[Type::Bool, Type::Condition]),
        "stays up for the guide's later steps; ready when the condition holds",
    )
    .default("none"),
    FieldSpec::new(
        "cleanup",
        Type::Word(&["always"]),
        "undo at the end of the run, whatever happened",
    )
    .default("none"),
    FieldSpec::new("gate", Type::Text, "waits for an approval").default("none"),
    FieldSpec::new(
        "each",
        Type::Map(&Type::Any),
        "once per item of a list, of `nodes.*`, of a template's list; the name `on` is the target",
    )
    .default("none"),
    FieldSpec::new(
        "secrets",
        Type::Either(&[Type::List(&Type::SecretName), Type::Map(&Type::Text)]),
        "what this step may see: names, or a map from variable to name or `steps.ID.NAME`",
    )
    .default("none"),
    FieldSpec::new(
        "env",
        Type::Map(&Type::Text),
        "environment of its scripts and conditions",
    )
    .default("none"),
    FieldSpec::new(
        "hints",
        Type::Map(&Type::Text),
        "what a known failure means, by `exit N`, `status N` or a text in output or error",
    )
    .default("none"),
    FieldSpec::new(
        "hidden",
        Type::Bool,
        "runs and is reported, folded away on the page",
    )
    .default("`false`"),
    FieldSpec::new(
        "strict",
        Type::Bool,
        "`false`: the script handles its own failures",
    )
    .default("`true`"),
    FieldSpec::new(
        "template",
        Type::Word(&["on", "off"]),
        "`off`: the body holds double braces of its own",
    )
    .default("`on`"),
];

/// The keys beside the action of a `do` that is a map.
pub static INLINE_KEYS: &[&str] = &["on", "env", "secrets", "expect"];
