//! The matchers (LANGUAGE section 3).

use super::Type;

/// A matcher.
#[derive(Debug, Clone, Copy)]
pub struct MatcherSpec {
    /// Its name, the key of a map.
    pub name: &'static str,
    /// What stands under it.
    pub ty: Type,
    /// That, for the manual.
    pub value: &'static str,
    /// What it looks at, for the manual.
    pub actual: &'static str,
    /// When it holds, for the manual.
    pub what: &'static str,
}

const AMOUNT: Type = Type::Either(&[Type::Number, Type::Size, Type::Duration, Type::Text]);

/// Every matcher, in the order of the manual.
pub static MATCHERS: &[MatcherSpec] = &[
    MatcherSpec {
        name: "equals",
        ty: Type::Any,
        value: "any",
        actual: "any",
        what: "equal; a map needs `equals`",
    },
    MatcherSpec {
        name: "contains",
        ty: Type::List(&Type::Any),
        value: "list of any",
        actual: "text, list, map",
        what: "it has all of them",
    },
    MatcherSpec {
        name: "matches",
        ty: Type::List(&Type::Regex),
        value: "list of regex",
        actual: "text, number",
        what: "all match; `^` and `$` are line ends",
    },
    MatcherSpec {
        name: "one-of",
        ty: Type::List(&Type::Matcher),
        value: "list of matcher",
        actual: "any",
        what: "at least one holds",
    },
    MatcherSpec {
        name: "at-least",
        ty: AMOUNT,
        value: "number, size, duration, percent",
        actual: "number, or text that is one",
        what: "not less",
    },
    MatcherSpec {
        name: "at-most",
        ty: AMOUNT,
        value: "number, size, duration, percent",
        actual: "number, or text that is one",
        what: "not more",
    },
    MatcherSpec {
        name: "between",
        ty: Type::List(&AMOUNT),
        value: "`[low, high]`",
        actual: "number, or text that is one",
        what: "within, ends included",
    },
    MatcherSpec {
        name: "version",
        ty: Type::Text,
        value: "semver range",
        actual: "text",
        what: "the first version in it lies in the range",
    },
    MatcherSpec {
        name: "in-range",
        ty: Type::List(&Type::Text),
        value: "list of CIDR, `a-b`, address",
        actual: "address or list",
        what: "every address lies in one",
    },
    MatcherSpec {
        name: "age",
        ty: Type::Matcher,
        value: "matcher",
        actual: "RFC 3339, epoch seconds",
        what: "the time since then does",
    },
    MatcherSpec {
        name: "count",
        ty: Type::Matcher,
        value: "matcher",
        actual: "list, map",
        what: "its length does",
    },
    MatcherSpec {
        name: "empty",
        ty: Type::Bool,
        value: "bool",
        actual: "text, list, map",
        what: "blank, without items, or missing",
    },
    MatcherSpec {
        name: "exists",
        ty: Type::Bool,
        value: "bool",
        actual: "any",
        what: "it was found, even as null",
    },
    MatcherSpec {
        name: "every",
        ty: Type::Matcher,
        value: "matcher",
        actual: "list, map's values",
        what: "each one does, and there is one",
    },
    MatcherSpec {
        name: "any",
        ty: Type::Matcher,
        value: "matcher",
        actual: "list, map's values",
        what: "at least one does",
    },
    MatcherSpec {
        name: "not",
        ty: Type::List(&Type::Matcher),
        value: "list of matcher",
        actual: "any but missing",
        what: "none of them holds",
    },
];
