//! Files that come into a storage from outside: what they may be called, where they land, whether they are what they should be.
//!
//! Rules and texts are those of pve-storage (`API2/Storage/Status.pm`, `Storage.pm`: `normalize_content_filename`) and
//! pve-common (`Tools.pm`: `get_file_hash`).

use serde_json::{Map, Value};
use sha2::Digest;

use crate::pve::answer::Fail;
use crate::pve::cluster::{Call, Cluster};
use crate::pve::state::{State, Storage, file_volume};
use crate::pve::worker::Worker;

/// Where a file lands.
pub(super) struct Landing {
    node: String,
    volid: String,
    /// Its whole path on the node.
    pub(super) path: String,
    /// Its name without the path.
    pub(super) name: String,
}

/// What a file must add up to.
pub(super) struct Checksum {
    pub(super) algorithm: String,
    pub(super) expected: String,
}

/// Only the last part of a path, and no character that a shell or a file system would mind.
fn normalize(sent: &str) -> String {
    let last = sent.rsplit(['/', '\\']).next().unwrap_or_default();
    last.chars()
        .map(|c| match c {
            _ if c.is_ascii_alphanumeric() || "_.-".contains(c) => c,
            _ => '_',
        })
        .collect()
}

/// What a file of that kind ends with, and what is said when it does not.
fn ends(content: &str) -> (&'static [&'static str], &'static str) {
    match content {
        "iso" => (&[".iso", ".img"], "wrong file extension"),
        "vztmpl" => (
            &[".tar", ".tar.gz", ".tar.xz", ".tar.zst", ".tar.bz2"],
            "wrong file extension",
        ),
        _ => (
            &[".ova", ".qcow2", ".raw", ".vmdk"],
            "invalid filename or wrong extension",
        ),
    }
}

impl Landing {
    /// Where a file of that name and kind lands in a storage.
    pub(super) fn new(
        storage: &Storage,
        node: &str,
        content: &str,
        sent: &str,
    ) -> Result<Self, Fail> {
        let name = normalize(sent);
        let (ends, why) = ends(content);
        let lower = name.to_lowercase();
        if !ends
            .iter()
            .any(|end| lower.ends_with(end) && lower.len() > end.len())
        {
            return Err(Fail::param("filename", why));
        }
        Ok(Self {
            node: node.to_owned(),
            volid: format!("{}:{content}/{name}", storage.id),
            path: storage.file(&format!("{content}/{name}")),
            name,
        })
    }

    /// What is known of the file that is there.
    pub(super) fn there(&self, state: &State) -> Option<Map<String, Value>> {
        let volume = state.volume(&self.node, &self.volid)?;
        let sums = volume.payload.as_ref().and_then(Value::as_object);
        Some(sums.cloned().unwrap_or_default())
    }

    /// The file is there now, in place of what was there.
    pub(super) fn land(&self, cluster: &Cluster, size: u64, sums: Map<String, Value>) {
        let now = cluster.now();
        let mut state = cluster.lock();
        state
            .volumes
            .retain(|volume| volume.volid != self.volid || !volume.seen_from(&self.node));
        let mut volume = file_volume(&state, &self.node, &self.volid, size, now);
        volume.payload = Some(Value::Object(sums));
        state.volumes.push(volume);
    }
}

impl Checksum {
    /// What a call expects.
    pub(super) fn of(call: &Call) -> Option<Self> {
        Some(Self {
            algorithm: call.params.text("checksum-algorithm")?,
            expected: call.params.text("checksum")?,
        })
    }

    /// Compares a file with it; returns what is known of the file then.
    pub(super) fn verify(&self, worker: &Worker, bytes: &[u8]) -> Result<Map<String, Value>, Fail> {
        const WHAT: &str = "calculating checksum...";
        let own = hash(&self.algorithm, bytes)
            .ok_or_else(|| Fail::die(format!("unknown algorithm '{}'", self.algorithm)))?;
        if !own.eq_ignore_ascii_case(&self.expected) {
            worker.log(WHAT);
            return Err(Fail::die(format!(
                "checksum mismatch: got '{own}' != expect '{}'",
                self.expected
            )));
        }
        worker.log(format!("{WHAT}OK, checksum verified"));
        Ok(Map::from_iter([(self.algorithm.clone(), own.into())]))
    }

    /// What is known of a file that nobody saw: what it should be.
    pub(super) fn record(&self) -> Map<String, Value> {
        Map::from_iter([(self.algorithm.clone(), self.expected.to_lowercase().into())])
    }
}

fn hash(algorithm: &str, bytes: &[u8]) -> Option<String> {
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
    Some(match algorithm {
        "md5" => hex(&md5::compute(bytes).0),
        "sha1" => hex(&sha1::Sha1::digest(bytes)),
        "sha224" => hex(&sha2::Sha224::digest(bytes)),
        "sha256" => hex(&sha2::Sha256::digest(bytes)),
        "sha384" => hex(&sha2::Sha384::digest(bytes)),
        "sha512" => hex(&sha2::Sha512::digest(bytes)),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_loses_its_path_and_what_a_shell_minds() {
        assert_eq!(normalize("/a/b\\c d+e.iso"), "c_d_e.iso");
    }

    #[test]
    fn every_algorithm_of_the_schema_is_calculated() {
        let known = [
            ("md5", "5d41402abc4b2a76b9719d911017c592"),
            ("sha1", "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"),
            (
                "sha224",
                "ea09ae9cc6768c50fcee903ed054556e5bfc8347907f12598aa24193",
            ),
            (
                "sha256",
                "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
            ),
        ];
        for (algorithm, sum) in known {
            assert_eq!(
                hash(algorithm, b"hello").as_deref(),
                Some(sum),
                "{algorithm}"
            );
        }
        assert_eq!(hash("sha384", b"").map(|sum| sum.len()), Some(96));
        assert_eq!(hash("sha512", b"").map(|sum| sum.len()), Some(128));
    }
}
