//! Files that were uploaded and wait for their call: the server puts them here, the endpoint takes them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Files that wait at most; the oldest name is forgotten first.
const WAITING_MAX: usize = 16;

/// The files by their temporary names.
#[derive(Debug, Default)]
pub(crate) struct Uploads(Mutex<BTreeMap<String, Vec<u8>>>);

impl Uploads {
    /// Keeps a file; returns its temporary name.
    pub(crate) fn put(&self, file: Vec<u8>) -> String {
        let random: [u8; 16] = super::auth::random();
        let hex: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let name = format!("/var/tmp/pveupload-{hex}");
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= WAITING_MAX {
            all.pop_first();
        }
        all.insert(name.clone(), file);
        name
    }

    /// Takes a file.
    pub(crate) fn take(&self, name: &str) -> Option<Vec<u8>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(name)
    }
}
