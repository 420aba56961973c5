//! Objects as the store keeps them, and the few things everyone asks of their metadata.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::OnceLock;

use bytes::Bytes;
use serde_json::{Map, Value};

/// The letters of generated names: no vowels, nothing that reads like another.
const NAME_LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
/// Letters after a `generateName`.
const NAME_SUFFIX: usize = 5;

/// An immutable version of an object; its text is made once for all who read or watch it.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) value: Value,
    text: OnceLock<Bytes>,
    bare: OnceLock<Bytes>,
}

impl Object {
    pub(crate) fn new(value: Value) -> Self {
        Self {
            value,
            text: OnceLock::new(),
            bare: OnceLock::new(),
        }
    }

    /// Without kind and version, as items of a built-in list are.
    pub(crate) fn bare(&self) -> Bytes {
        let make = || {
            let mut value = self.value.clone();
            remove(&mut value, &["kind"]);
            remove(&mut value, &["apiVersion"]);
            Bytes::from(value.to_string())
        };
        self.bare.get_or_init(make).clone()
    }

    pub(crate) fn text(&self) -> Bytes {
        self.text
            .get_or_init(|| Bytes::from(self.value.to_string()))
            .clone()
    }
}

/// The text at a path of names; empty when there is none.
pub(crate) fn text<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    at(value, path).and_then(Value::as_str).unwrap_or_default()
}

/// The number at a path of names.
pub(crate) fn number(value: &Value, path: &[&str]) -> Option<i64> {
    at(value, path)?.as_i64()
}

/// The value at a path of names.
pub(crate) fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, name| value.get(name))
}

/// The items of the list at a path; none when there is no list.
pub(crate) fn items<'a>(value: &'a Value, path: &[&str]) -> &'a [Value] {
    at(value, path)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// Whether that finalizer keeps the object.
pub(crate) fn has_finalizer(value: &Value, finalizer: &str) -> bool {
    items(value, &["metadata", "finalizers"])
        .iter()
        .any(|one| one == finalizer)
}

pub(crate) fn name(value: &Value) -> &str {
    text(value, &["metadata", "name"])
}

pub(crate) fn namespace(value: &Value) -> &str {
    text(value, &["metadata", "namespace"])
}

pub(crate) fn uid(value: &Value) -> &str {
    text(value, &["metadata", "uid"])
}

pub(crate) fn is_deleting(value: &Value) -> bool {
    at(value, &["metadata", "deletionTimestamp"]).is_some()
}

pub(crate) fn label<'a>(value: &'a Value, name: &str) -> &'a str {
    text(value, &["metadata", "labels", name])
}

pub(crate) fn annotation<'a>(value: &'a Value, name: &str) -> &'a str {
    text(value, &["metadata", "annotations", name])
}

/// The object at this key, made when it is not there.
pub(crate) fn map_mut<'a>(value: &'a mut Value, key: &str) -> &'a mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    let slot = value
        .as_object_mut()
        .expect("it was made an object")
        .entry(key)
        .or_insert_with(|| Value::Object(Map::new()));
    if !slot.is_object() {
        *slot = Value::Object(Map::new());
    }
    slot.as_object_mut().expect("it was made an object")
}

pub(crate) fn meta_mut(value: &mut Value) -> &mut Map<String, Value> {
    map_mut(value, "metadata")
}

/// Sets what is not there.
pub(crate) fn default(map: &mut Map<String, Value>, key: &str, value: impl Into<Value>) {
    if map.get(key).is_none_or(Value::is_null) {
        map.insert(key.into(), value.into());
    }
}

/// Takes a key away; what follows keeps its order.
pub(crate) fn remove(value: &mut Value, path: &[&str]) -> Option<Value> {
    let (last, before) = path.split_last()?;
    before
        .iter()
        .try_fold(value, |value, name| value.get_mut(name))?
        .as_object_mut()?
        .shift_remove(*last)
}

/// The controller among the owners.
pub(crate) fn controller(value: &Value) -> Option<&Value> {
    items(value, &["metadata", "ownerReferences"])
        .iter()
        .find(|owner| owner["controller"] == Value::Bool(true))
}

/// Now, as metadata has it.
pub(crate) fn now() -> String {
    stamp(jiff::Timestamp::now())
}

/// Now with microseconds, as `MicroTime` has it.
pub(crate) fn now_micro() -> String {
    jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%S.%6fZ")
        .to_string()
}

pub(crate) fn stamp(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A random version 4 UUID.
pub(crate) fn new_uid() -> String {
    let (high, low) = (random(), random());
    let (a, b) = (high >> 32, (high >> 16) & 0xffff);
    let c = 0x4000 | (high & 0x0fff);
    let d = 0x8000 | ((low >> 48) & 0x3fff);
    format!(
        "{a:08x}-{b:04x}-{c:04x}-{d:04x}-{:012x}",
        low & 0xffff_ffff_ffff
    )
}

/// The five letters behind a generated name.
pub(crate) fn suffix() -> String {
    safe(random(), NAME_SUFFIX)
}

/// A hash as Kubernetes writes it into names.
pub(crate) fn safe(mut bits: u64, letters: usize) -> String {
    let mut out = String::with_capacity(letters);
    for _ in 0..letters {
        let base = NAME_LETTERS.len() as u64;
        let index = usize::try_from(bits % base).unwrap_or_default();
        out.push(char::from(NAME_LETTERS[index]));
        bits /= base;
    }
    out
}

/// A hash of a value's text that is the same in every run.
pub(crate) fn stable_hash(value: &Value) -> u64 {
    // FNV-1a; the text of equal objects is equal once their keys are sorted.
    sorted(value)
        .to_string()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
}

/// The same with its keys in order.
pub(crate) fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut pairs: Vec<_> = map.iter().collect();
            pairs.sort_by_key(|(name, _)| *name);
            pairs
                .into_iter()
                .map(|(name, value)| (name.clone(), sorted(value)))
                .collect()
        }
        Value::Array(list) => list.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

/// The keys of `RandomState` are random; a counter within makes each answer another.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_uids_have_their_forms() {
        let uid = new_uid();
        let lengths: Vec<usize> = uid.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12], "{uid}");
        assert_ne!(uid, new_uid());
        assert_eq!(suffix().len(), NAME_SUFFIX);
    }

    #[test]
    fn a_hash_does_not_depend_on_the_order_of_keys() {
        let one: Value = serde_json::from_str(r#"{"a":1,"b":{"c":2,"d":3}}"#).unwrap();
        let other: Value = serde_json::from_str(r#"{"b":{"d":3,"c":2},"a":1}"#).unwrap();
        assert_eq!(stable_hash(&one), stable_hash(&other));
    }
}
