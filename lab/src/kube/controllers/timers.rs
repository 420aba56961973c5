//! When objects want to be looked at again: each at one time, the one that it asked for last.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::time::Instant;

/// One time for each item. What an item asked for before does not count any more: a later look has seen more.
#[derive(Debug)]
pub(super) struct Timers<T> {
    /// By time; the number tells those of the same moment apart.
    due: BTreeMap<(Instant, u64), T>,
    of: HashMap<T, (Instant, u64)>,
    number: u64,
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self {
            due: BTreeMap::new(),
            of: HashMap::new(),
            number: 0,
        }
    }
}

impl<T: Clone + Eq + Hash> Timers<T> {
    /// Sets the time of an item, or takes it away.
    pub(super) fn set(&mut self, item: &T, at: Option<Instant>) {
        if let Some(old) = self.of.remove(item) {
            self.due.remove(&old);
        }
        if let Some(at) = at {
            self.number += 1;
            self.due.insert((at, self.number), item.clone());
            self.of.insert(item.clone(), (at, self.number));
        }
    }

    /// Takes one whose time has come.
    pub(super) fn pop(&mut self, now: Instant) -> Option<T> {
        let entry = self
            .due
            .first_entry()
            .filter(|entry| entry.key().0 <= now)?;
        let item = entry.remove();
        self.of.remove(&item);
        Some(item)
    }

    /// The next time.
    pub(super) fn next(&self) -> Option<Instant> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_item_has_the_time_that_was_asked_for_last() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut timers = Timers::default();
        timers.set(&"a", Some(at(1)));
        timers.set(&"b", Some(at(2)));
        timers.set(&"a", Some(at(3)));
        assert_eq!(timers.next(), Some(at(2)));
        assert_eq!(timers.pop(at(1)), None);
        assert_eq!(timers.pop(at(9)), Some("b"));
        assert_eq!(timers.pop(at(9)), Some("a"));
        assert_eq!(timers.pop(at(9)), None);
        timers.set(&"a", Some(at(1)));
        timers.set(&"a", None);
        assert_eq!(timers.next(), None);
    }
}
