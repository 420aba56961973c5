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
        what: "equal: text exact, lists in order, 1 = 1.0; a plain value means this, a map needs it written",
    },
    MatcherSpec {
        name: "contains",
        ty: Type::List(&Type::Any),
        value: "list of any",
        actual: "text, list, map",
        what: "it has all: substring, item, entry",
    },
    MatcherSpec {
        name: "matches",
        ty: Type::List(&Type::Regex),
        value: "list of regex",
        actual: "text, number",
        what: "all; unanchored, `^` and `$` at line ends",
    },
    MatcherSpec {
        name: "one-of",
        ty: Type::List(&Type::Matcher),
        value: "list of matcher",
        actual: "any",
        what: "at least one",
    },
    MatcherSpec {
        name: "at-least",
        ty: AMOUNT,
        value: "number, size, duration, percent",
        actual: "number, or text that is one",
        what: "in that unit; a bare actual is bytes, seconds or points",
    },
    MatcherSpec {
        name: "at-most",
        ty: AMOUNT,
        value: "number, size, duration, percent",
        actual: "number, or text that is one",
        what: "in that unit; a bare actual is bytes, seconds or points",
    },
    MatcherSpec {
        name: "between",
        ty: Type::List(&AMOUNT),
        value: "`[low, high]`",
        actual: "number, or text that is one",
        what: "ends included",
    },
    MatcherSpec {
        name: "version",
        ty: Type::Text,
        value: "semver range",
        actual: "text",
        what: "the first `N.N[.N][-pre]` in it",
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
        what: "on the time since",
    },
    MatcherSpec {
        name: "count",
        ty: Type::Matcher,
        value: "matcher",
        actual: "list, map",
        what: "on its length",
    },
    MatcherSpec {
        name: "empty",
        ty: Type::Bool,
        value: "bool",
        actual: "text, list, map",
        what: "blank, no items, missing",
    },
    MatcherSpec {
        name: "exists",
        ty: Type::Bool,
        value: "bool",
        actual: "any",
        what: "found, even if null",
    },
    MatcherSpec {
        name: "every",
        ty: Type::Matcher,
        value: "matcher",
        actual: "list, map's values",
        what: "on each; of nothing it fails",
    },
    MatcherSpec {
        name: "any",
        ty: Type::Matcher,
        value: "matcher",
        actual: "list, map's values",
        what: "on at least one",
    },
    MatcherSpec {
        name: "not",
        ty: Type::List(&Type::Matcher),
        value: "list of matcher",
        actual: "any but missing",
        what: "none of them holds",
    },
];
