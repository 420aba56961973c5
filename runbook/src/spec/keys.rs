//! The keys of the front matter and of a step (LANGUAGE section 2).

use super::{FieldSpec, Type};

const TEXTS: Type = Type::List(&Type::Text);
const REFS: Type = Type::List(&Type::Ref);
const EFFECTS: Type = Type::Word(&["read", "change", "disrupt", "destroy"]);

/// The keys of a chapter's front matter.
pub static FRONT_KEYS: &[FieldSpec] = &[
    FieldSpec::new("title", Type::Text, "the guide's title").default("the first heading"),
    FieldSpec::new(
        "verify",
        Type::Word(&["observe", "converge", "rehearse", "asked"]),
        "how `verify` treats the guide; `asked`: a procedure, left out on real profiles unless addressed",
    )
    .default("`rehearse` in the lab, else `observe`"),
    FieldSpec::new("needs", REFS, "guides or sections that must hold first").default("none"),
    FieldSpec::new("on", Type::Target, "the target of the steps whose action can run there").default("none"),
    FieldSpec::new("vars", Type::Map(&Type::Any), "values for `{{ vars.NAME }}`; `null` must be given by the profile or `--var`")
        .default("none"),
    FieldSpec::new("timeout", Type::Duration, "the default of each step, not of the guide").default("`60s`"),
    FieldSpec::new("tags", TEXTS, "words that `--tag` selects by").default("none"),
    FieldSpec::new("owner", Type::Text, "who answers for the guide").default("none"),
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
        "its name in its section: `[a-z0-9]+(-[a-z0-9]+)*`, at most 64",
    )
    .required(),
    FieldSpec::new("title", Type::Text, "its title, display only").default("the ID with blanks"),
    FieldSpec::new("on", Type::Target, "where it runs").default(
        "the guide's; else the guest, node or only cluster the action means; else `local`",
    ),
    FieldSpec::new(
        "effect",
        EFFECTS,
        "what it does to the world; may be raised, and lowered only for scripts and `http`",
    )
    .default("the action's"),
    FieldSpec::new(
        "when",
        Type::Either(&[Type::Condition, Type::Word(&["asked"])]),
        "does not hold: the step is skipped; `asked`: only when asked for",
    )
    .default("`true`"),
    FieldSpec::new(
        "unless",
        Type::Condition,
        "holds: nothing to do; looked at again after the action",
    )
    .default("none"),
    FieldSpec::new(
        "expect",
        Type::Map(&Type::Matcher),
        "what the result must be, by field; all must hold",
    )
    .default("the action's own"),
    FieldSpec::new(
        "capture",
        Type::Map(&Type::Either(&[Type::Text, Type::Open(CAPTURE_KEYS)])),
        "names for values of the result: a field, or `{FIELD: SELECTOR, secret: bool}`",
    )
    .default("none"),
    FieldSpec::new(
        "retry",
        Type::Either(&[Type::Duration, Type::Record(RETRY_KEYS, &[])]),
        "tried again until all holds",
    )
    .default("none"),
    FieldSpec::new("hold", Type::Duration, "how long all must go on holding").default("none"),
    FieldSpec::new(
        "timeout",
        Type::Duration,
        "the limit of one attempt with its waiting",
    )
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
        "what takes it back; `none`: nothing does",
    )
    .default("the action's own"),
    FieldSpec::new(
        "repair",
        Type::Either(&[Type::Do, Type::Map(&Type::Do)]),
        "run after a failure, then one more attempt",
    )
    .default("none"),
    FieldSpec::new("diagnose", Type::Do, "what to collect when it fails")
        .default("what the action attaches"),
    FieldSpec::new(
        "detach",
        Type::Bool,
        "the script goes on without us on the target",
    )
    .default("`false`"),
    FieldSpec::new(
        "background",
        Type::Either(&[Type::Bool, Type::Condition]),
        "a script that stays up until the end of the guide; ready when the condition holds",
    )
    .default("none"),
    FieldSpec::new(
        "cleanup",
        Type::Word(&["always"]),
        "`undo` at the end of the run, whatever happened",
    )
    .default("none"),
    FieldSpec::new("gate", Type::Text, "why it waits for approval").default("none"),
    FieldSpec::new(
        "each",
        Type::Map(&Type::Any),
        "once per item: a list, `nodes.*` or a template; the name `on` is the target",
    )
    .default("none"),
    FieldSpec::new(
        "secrets",
        Type::Either(&[Type::List(&Type::SecretName), Type::Map(&Type::Text)]),
        "the secrets it may see: names, or a map ENV to name or `steps.ID.NAME`",
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
        "what a failure means, by `exit N`, `status N` or a text in output or error",
    )
    .default("none"),
    FieldSpec::new("hidden", Type::Bool, "folded away on the page").default("`false`"),
    FieldSpec::new(
        "strict",
        Type::Bool,
        "a shell stops at the first failing command",
    )
    .default("`true`"),
    FieldSpec::new(
        "template",
        Type::Word(&["on", "off"]),
        "`off`: the body holds `{{` of its own",
    )
    .default("`on`"),
];

/// The keys beside the action of a `do` that is a map.
pub static INLINE_KEYS: &[&str] = &["on", "env", "secrets", "expect"];
