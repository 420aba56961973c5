//! The objects with one resource version for all, and what happened to them: the history that watches and pages read.
//!
//! It knows no kinds and checks nothing. A table is one resource; its history is bounded, and what was forgotten is
//! remembered as a number.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::watch;

use super::object::{self, Object};

/// Where a namespaced object stands in its table.
pub(crate) type Key = (String, String);

/// The first resource version. What is smaller is forgotten, as on a cluster that has run for a while.
const FIRST_VERSION: u64 = 100;

/// What happened to an object.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) version: u64,
    pub(crate) now: Option<Arc<Object>>,
    pub(crate) before: Option<Arc<Object>>,
}

/// A change as the controllers see it.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) table: Arc<str>,
    pub(crate) key: Key,
    pub(crate) now: Option<Arc<Object>>,
    pub(crate) before: Option<Arc<Object>>,
}

#[derive(Debug)]
struct Table {
    name: Arc<str>,
    objects: BTreeMap<Key, Arc<Object>>,
    history: VecDeque<Event>,
    /// Everything up to this version may be forgotten.
    compacted: u64,
    wake: watch::Sender<u64>,
}

/// The objects of a cluster.
#[derive(Debug)]
pub(crate) struct Store {
    version: u64,
    history_max: usize,
    tables: HashMap<String, Table>,
    /// Who is owned by whom: uid of the owner to table and key.
    owned: HashMap<String, BTreeSet<(Arc<str>, Key)>>,
    /// uid to where it is.
    by_uid: HashMap<String, (Arc<str>, Key)>,
    changes: VecDeque<Change>,
    changed: watch::Sender<u64>,
}

impl Store {
    pub(crate) fn new(history_max: usize) -> Self {
        Self {
            version: FIRST_VERSION,
            history_max,
            tables: HashMap::new(),
            owned: HashMap::new(),
            by_uid: HashMap::new(),
            changes: VecDeque::new(),
            changed: watch::channel(0).0,
        }
    }

    /// The version of the last change.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Told of every change.
    pub(crate) fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// The next change that no controller has seen.
    pub(crate) fn next_change(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    fn table(&mut self, name: &str) -> &mut Table {
        let version = self.version;
        self.tables.entry(name.to_owned()).or_insert_with(|| Table {
            name: name.into(),
            objects: BTreeMap::new(),
            history: VecDeque::new(),
            compacted: FIRST_VERSION,
            wake: watch::channel(version).0,
        })
    }

    pub(crate) fn get(&self, table: &str, namespace: &str, name: &str) -> Option<&Arc<Object>> {
        self.tables
            .get(table)?
            .objects
            .get(&(namespace.to_owned(), name.to_owned()))
    }

    /// The objects of a table in order, of one namespace or all.
    pub(crate) fn list<'a>(
        &'a self,
        table: &str,
        namespace: &'a str,
    ) -> Box<dyn Iterator<Item = (&'a Key, &'a Arc<Object>)> + 'a> {
        let Some(table) = self.tables.get(table) else {
            return Box::new(std::iter::empty());
        };
        if namespace.is_empty() {
            return Box::new(table.objects.iter());
        }
        let from = (namespace.to_owned(), String::new());
        Box::new(
            table
                .objects
                .range(from..)
                .take_while(move |((own, _), _)| own == namespace),
        )
    }

    /// The names of tables that hold anything.
    pub(crate) fn tables(&self) -> Vec<Arc<str>> {
        let mut names: Vec<Arc<str>> = self
            .tables
            .values()
            .filter(|table| !table.objects.is_empty())
            .map(|table| table.name.clone())
            .collect();
        names.sort();
        names
    }

    /// What is owned by this uid.
    pub(crate) fn owned_by(&self, uid: &str) -> Vec<(Arc<str>, Key)> {
        self.owned
            .get(uid)
            .map(|set| set.iter().cloned().collect())
            .unwrap_or_default()
    }

    /// The objects of a table that this uid owns.
    pub(crate) fn owned_in(&self, uid: &str, table: &str) -> Vec<Arc<Object>> {
        self.owned
            .get(uid)
            .into_iter()
            .flatten()
            .filter(|(own, _)| &**own == table)
            .filter_map(|(own, (namespace, name))| self.get(own, namespace, name).cloned())
            .collect()
    }

    pub(crate) fn by_uid(&self, uid: &str) -> Option<&Arc<Object>> {
        let (table, (namespace, name)) = self.by_uid.get(uid)?;
        self.get(table, namespace, name)
    }

    /// Keeps this version of an object under a new resource version.
    pub(crate) fn put(&mut self, table: &str, mut value: Value) -> Arc<Object> {
        self.version += 1;
        let version = self.version;
        object::meta_mut(&mut value).insert("resourceVersion".into(), version.to_string().into());
        let key = key_of(&value);
        let object = Arc::new(Object::new(value));
        let before = self
            .table(table)
            .objects
            .insert(key.clone(), object.clone());
        self.record(table, key, Some(object.clone()), before);
        object
    }

    /// Takes an object away; its last version has the version of its end.
    pub(crate) fn take(&mut self, table: &str, namespace: &str, name: &str) -> Option<Arc<Object>> {
        let key = (namespace.to_owned(), name.to_owned());
        let before = self.table(table).objects.remove(&key)?;
        self.version += 1;
        let mut last = before.value.clone();
        object::meta_mut(&mut last)
            .insert("resourceVersion".into(), self.version.to_string().into());
        let last = Arc::new(Object::new(last));
        self.record(table, key, None, Some(last.clone()));
        Some(last)
    }

    fn record(
        &mut self,
        table: &str,
        key: Key,
        now: Option<Arc<Object>>,
        before: Option<Arc<Object>>,
    ) {
        let (version, most) = (self.version, self.history_max);
        let own = self.table(table);
        own.history.push_back(Event {
            version,
            now: now.clone(),
            before: before.clone(),
        });
        while own.history.len() > most {
            if let Some(gone) = own.history.pop_front() {
                own.compacted = gone.version;
            }
        }
        own.wake.send_replace(version);
        let name = own.name.clone();
        let place = (name.clone(), key.clone());
        for (object, adds) in [(&before, false), (&now, true)] {
            let Some(object) = object else { continue };
            let uid = object::uid(&object.value);
            if adds {
                self.by_uid.insert(uid.to_owned(), place.clone());
            } else if now.is_none() {
                self.by_uid.remove(uid);
            }
            for owner in object::items(&object.value, &["metadata", "ownerReferences"]) {
                let owner = owner["uid"].as_str().unwrap_or_default();
                if adds {
                    self.owned
                        .entry(owner.to_owned())
                        .or_default()
                        .insert(place.clone());
                } else if let Some(set) = self.owned.get_mut(owner) {
                    set.remove(&place);
                    if set.is_empty() {
                        self.owned.remove(owner);
                    }
                }
            }
        }
        self.changes.push_back(Change {
            table: name,
            key,
            now,
            before,
        });
        self.changed.send_replace(version);
    }

    /// A table that begins now remembers nothing older.
    pub(crate) fn begin(&mut self, table: &str) {
        let version = self.version;
        let own = self.table(table);
        if own.history.is_empty() && own.objects.is_empty() {
            own.compacted = version;
        }
    }

    /// Told of the changes of one table.
    pub(crate) fn watch(&mut self, table: &str) -> watch::Receiver<u64> {
        self.table(table).wake.subscribe()
    }

    /// What happened after a version; none when that is forgotten.
    pub(crate) fn since(&self, table: &str, version: u64) -> Option<Vec<Event>> {
        let Some(table) = self.tables.get(table) else {
            return (version >= FIRST_VERSION).then(Vec::new);
        };
        if version < table.compacted {
            return None;
        }
        let from = table
            .history
            .partition_point(|event| event.version <= version);
        Some(table.history.range(from..).cloned().collect())
    }

    /// The objects of a table as they were at a version; none when that is forgotten.
    pub(crate) fn as_of(&self, table: &str, version: u64) -> Option<BTreeMap<Key, Arc<Object>>> {
        let later = self.since(table, version)?;
        let mut objects = self
            .tables
            .get(table)
            .map(|table| table.objects.clone())
            .unwrap_or_default();
        for event in later.into_iter().rev() {
            let Some(any) = event.now.as_ref().or(event.before.as_ref()) else {
                continue;
            };
            let key = key_of(&any.value);
            match event.before {
                Some(before) => objects.insert(key, before),
                None => objects.remove(&key),
            };
        }
        Some(objects)
    }

    /// Forgets what happened until now, as a compaction does.
    pub(crate) fn compact(&mut self) {
        let version = self.version;
        for table in self.tables.values_mut() {
            table.history.clear();
            table.compacted = version;
        }
    }
}

fn key_of(value: &Value) -> Key {
    (
        object::namespace(value).to_owned(),
        object::name(value).to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(name: &str, value: i64) -> Value {
        json!({"metadata": {"name": name, "namespace": "a", "uid": name}, "value": value})
    }

    #[test]
    fn what_was_can_be_listed_until_it_is_forgotten() {
        let mut store = Store::new(3);
        store.put("t", object("x", 1));
        let at = store.version();
        store.put("t", object("x", 2));
        store.put("t", object("y", 1));
        store.take("t", "a", "x");
        let then = store.as_of("t", at).expect("three changes are remembered");
        assert_eq!(then.len(), 1);
        assert_eq!(then[&("a".into(), "x".into())].value["value"], 1);
        store.put("t", object("z", 1));
        assert!(store.as_of("t", at).is_none());
    }

    #[test]
    fn the_owned_are_known_until_they_are_gone() {
        let mut store = Store::new(10);
        let mut child = object("child", 1);
        child["metadata"]["ownerReferences"] = json!([{"uid": "owner"}]);
        store.put("t", child);
        assert_eq!(store.owned_in("owner", "t").len(), 1);
        store.take("t", "a", "child");
        assert!(store.owned_by("owner").is_empty());
    }
}
