//! The rules of the check by their stable names: what a finding is called in `check --json`.

use crate::diagnostic::Severity;

/// A rule.
#[derive(Debug, Clone, Copy)]
pub struct RuleSpec {
    /// Its name.
    pub name: &'static str,
    /// How bad breaking it is.
    pub severity: Severity,
    /// What it asks for, one line for the manual.
    pub what: &'static str,
}

const fn rule_of(name: &'static str, what: &'static str) -> RuleSpec {
    RuleSpec {
        name,
        severity: Severity::Error,
        what,
    }
}

/// Every rule.
pub static RULES: &[RuleSpec] = &[
    // Fences.
    rule_of("unclosed-fence", "a fence is closed"),
    rule_of("unclosed-front-matter", "front matter is closed"),
    rule_of("unclosed-comment", "a comment around a step is closed"),
    rule_of(
        "fence-info",
        "an info string is `runbook [EFFECT]` or `LANGUAGE runbook [EFFECT]`",
    ),
    rule_of("misspelt-fence", "the word `runbook` is spelt so"),
    rule_of("fence-in-html", "a step does not stand in an HTML block"),
    rule_of("fence-in-footnote", "a step does not stand in a footnote"),
    rule_of(
        "duplicate-heading-id",
        "two headings do not have the same id",
    ),
    rule_of("heading-id", "a heading that holds steps has an id"),
    rule_of("option-comment", "options are written `#|`"),
    rule_of(
        "option-place",
        "`#|` lines stand at the very top of the body, without a gap",
    ),
    rule_of(
        "effect-twice",
        "the effect stands in the info string or in the options",
    ),
    rule_of(
        "invalid-yaml",
        "YAML 1.2 core, no duplicate keys, no `<<`, no key without a value",
    ),
    rule_of("above-heading", "a step stands under a heading"),
    // Keys and values.
    rule_of("unknown-key", "only the keys of the language"),
    rule_of("missing-key", "required keys are there"),
    rule_of("keys-together", "keys that exclude or need each other"),
    rule_of("wrong-type", "a value is of its key's type"),
    rule_of(
        "invalid-id",
        "an `id` is `[a-z0-9]+(-[a-z0-9]+)*`, at most 64",
    ),
    rule_of("missing-id", "a step has an `id`"),
    rule_of("duplicate-id", "an `id` is unique in its section"),
    rule_of("no-action", "a step has an action"),
    rule_of("two-actions", "a step has one action"),
    rule_of(
        "fixed-key",
        "keys that the book's structure depends on hold no template",
    ),
    rule_of(
        "effect-lowered",
        "only scripts and `http` may be given a lower effect",
    ),
    rule_of(
        "scripts-only",
        "`detach`, `background` and `strict` are for scripts",
    ),
    rule_of(
        "background-with",
        "`background` stands without `detach`, `unless` and `retry`",
    ),
    rule_of("condition-changes", "a condition only reads"),
    rule_of("own-undo", "`own` names an undo that the action has"),
    RuleSpec {
        name: "cleanup-without-undo",
        severity: Severity::Warning,
        what: "`cleanup` has something to do",
    },
    // Results.
    rule_of(
        "unknown-field",
        "`expect` and `capture` name fields of the result",
    ),
    rule_of("invalid-matcher", "a matcher has its shape"),
    rule_of("invalid-selector", "a selector is of its field's kind"),
    rule_of(
        "invalid-name",
        "names of values are letters, digits, `_` and `-`, and begin with a letter or `_`",
    ),
    rule_of("name-collision", "names differ when `-` is written `_`"),
    rule_of("capture-unless", "a script with `unless` captures nothing"),
    // References.
    rule_of("unknown-ref", "what is referred to is in the book"),
    rule_of("needs-cycle", "nothing needs itself"),
    rule_of("invalid-target", "a target has a target's form"),
    rule_of("unknown-target", "a target is in the inventory"),
    rule_of("wrong-target", "an action runs where it can"),
    rule_of("missing-target", "a target can be told"),
    rule_of(
        "unknown-profile",
        "the profile is in the inventory, or `lab`",
    ),
    // Templates and includes.
    rule_of("invalid-template", "a template is an expression"),
    rule_of("undefined-name", "a name in a template is defined"),
    rule_of("ambiguous-step", "`steps.ID` means one step"),
    rule_of("var-twice", "a guide's var is not one of the inventory"),
    rule_of(
        "missing-include",
        "an included file can be read and holds what is asked for",
    ),
    rule_of("include-cycle", "files do not include each other"),
    rule_of("missing-file", "a file that an action names can be read"),
    // Secrets.
    rule_of("unknown-secret", "a secret is in the inventory"),
    rule_of(
        "secret-in-script",
        "a script gets a secret from its environment",
    ),
    rule_of("secret-not-listed", "a secret is used where it is listed"),
    rule_of("literal-secret", "no secret stands in the book"),
];

/// The rule of that name.
pub fn rule(name: &str) -> Option<&'static RuleSpec> {
    RULES.iter().find(|rule| rule.name == name)
}
