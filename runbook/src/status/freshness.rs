//! What a recorded result is worth today: fresh, stale or old.

use jiff::Timestamp;

use super::index::{Index, Recorded, time_of};
use crate::outcome::{Freshness, State};

/// The freshness of a result, and why it is stale. `fingerprint` is the step's of today, on the result's profile.
pub(super) fn of(
    result: &Recorded<'_>,
    fingerprint: &str,
    index: &Index<'_>,
    now: Timestamp,
    old_after: std::time::Duration,
) -> (Freshness, Option<String>) {
    if let Some(reason) = stale(result, fingerprint, index) {
        return (Freshness::Stale, Some(reason));
    }
    let age = now
        .as_duration()
        .saturating_sub(time_of(&result.step.finished_at).as_duration());
    let is_old = u64::try_from(age.as_secs()).is_ok_and(|seconds| seconds > old_after.as_secs());
    (
        if is_old {
            Freshness::Old
        } else {
            Freshness::Fresh
        },
        None,
    )
}

fn stale(result: &Recorded<'_>, fingerprint: &str, index: &Index<'_>) -> Option<String> {
    let step = result.step;
    match &step.fingerprint {
        Some(recorded) if recorded != fingerprint => {
            return Some(
                "the step, a value it uses or a file it includes was changed since".into(),
            );
        }
        // What was not executed has none; what passed was executed.
        None if step.state == State::Passed => {
            return Some("the record does not say what was executed".into());
        }
        _ => {}
    }
    let newest = index.identity(&result.line.profile, &step.target)?;
    let (key, was, is) = step.identity.iter().find_map(|(key, was)| {
        let is = newest.get(key.as_str())?;
        (is != was).then_some((key, was, is))
    })?;
    Some(format!(
        "`{key}` of {} was {was}, and is {is} since",
        step.target
    ))
}
