//! The words for what a step does and how it ends (DESIGN section 4, LANGUAGE section 5).
//!
//! Only words and their order; who decides them is the engine, who counts them is the status.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        pub enum $name { $($(#[$doc])* #[serde(rename = $text)] $variant),+ }

        impl $name {
            /// Every word, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word as machines and people read it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// The word's value, when it is one.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// How a step ended. The order is worst first: a guide is as its worst step (`min`).
    State {
        /// An expectation, the condition after the action, a capture, a script or a request failed.
        Failed = "failed",
        /// The time of an attempt or of `retry` ran out.
        TimedOut = "timed-out",
        /// The run was ended while the step was running.
        Aborted = "aborted",
        /// The state differs from the wish, and nothing was changed.
        Drifted = "drifted",
        /// Something it needs did not hold.
        Blocked = "blocked",
        /// A gate or a person is waited for.
        Pending = "pending",
        /// It holds.
        Passed = "passed",
        /// Not executed, for a reason that is said.
        Skipped = "skipped",
    }
}

words! {
    /// How much a recorded result is worth today.
    Freshness {
        /// Nothing it depends on has changed, and it is young.
        Fresh = "fresh",
        /// The step, its values, its includes or its target's identity changed since.
        Stale = "stale",
        /// Older than `old-after`.
        Old = "old",
        /// There is no result.
        NeverRun = "never-run",
    }
}

words! {
    /// What a step does to the world.
    Effect {
        /// Only looks.
        Read = "read",
        /// Changes something that can be changed back.
        Change = "change",
        /// Interrupts a service: a reboot, a network switch-over.
        Disrupt = "disrupt",
        /// Takes something away for good.
        Destroy = "destroy",
    }
}

words! {
    /// How a run treats the steps.
    Mode {
        /// Reads only; differences are `drifted`.
        Observe = "observe",
        /// Check, change where needed, expect.
        Converge = "converge",
        /// Converge in a scratch scope, prove idempotence, undo everything.
        Rehearse = "rehearse",
    }
}

words! {
    /// A guide's `verify`: a mode, or `asked` for a procedure.
    Verify {
        /// Reads only.
        Observe = "observe",
        /// Check, change where needed, expect.
        Converge = "converge",
        /// Converge in a scratch scope, then undo.
        Rehearse = "rehearse",
        /// A procedure: left out of `verify` on real profiles unless addressed.
        Asked = "asked",
    }
}

words! {
    /// Whether one check held.
    Verdict {
        /// It holds.
        Holds = "holds",
        /// It does not.
        Fails = "fails",
    }
}

words! {
    /// How far a step's state stands for itself: whether its guide may be said to hold.
    #[derive(Default)]
    Standing {
        /// What it says is so.
        #[default]
        Own = "own",
        /// A stand-in of the lab answered.
        StandIn = "stand-in",
        /// It holds only after `repair`.
        Repaired = "repaired",
        /// It was not due: its `when` did not hold, or it runs only when asked.
        NotDue = "not-due",
    }
}

/// The reason of a step that runs only when asked and was not.
pub const REASON_ASKED: &str = "only when asked";

/// How the reason of a step begins whose `when` did not hold; the condition follows.
pub const REASON_WHEN: &str = "when: ";

impl Standing {
    /// Whether it is the usual one, which records leave out.
    pub fn is_own(&self) -> bool {
        *self == Self::Own
    }
}

impl State {
    /// Whether the state counts as a failure of the run (exit code 1).
    pub fn is_failure(self) -> bool {
        matches!(
            self,
            Self::Failed | Self::Drifted | Self::TimedOut | Self::Aborted
        )
    }
}

/// One row of evidence: what was looked at, what was expected, what was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// What was looked at: `stdout contains`, `exit`, `json $.items[0].name`.
    pub check: String,
    /// Expected, as text.
    pub expected: String,
    /// Actual, as text; secrets are `(secret)`.
    pub actual: String,
    /// Whether it holds.
    pub verdict: Verdict,
    /// Whether a stand-in of the lab answered.
    #[serde(default)]
    pub stand_in: bool,
}
