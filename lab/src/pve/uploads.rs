//! Files that were uploaded and wait for their call: the server puts them here, the endpoint takes them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Files that wait at most; the oldest name is forgotten first.
const WAITING_MAX: usize = 16;

/// The files by their temporary names.
#[derive(Debug, Default)]
pub(crate) struct Uploads {
    files: Mutex<BTreeMap<String, Vec<u8>>>,
    last: AtomicU64,
}

/// Whether a request is an upload: `POST /nodes/NODE/storage/ID/upload`. No CSRF token is asked of one.
pub(crate) fn is_upload(verb: &str, path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    verb == "POST" && matches!(parts[..], ["nodes", _, "storage", _, "upload"])
}

impl Uploads {
    /// Keeps a file; returns its temporary name.
    pub(crate) fn put(&self, file: Vec<u8>) -> String {
        let number = self.last.fetch_add(1, Ordering::Relaxed);
        let name = format!("/var/tmp/pveupload-{number:032x}");
        let mut all = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= WAITING_MAX {
            all.pop_first();
        }
        all.insert(name.clone(), file);
        name
    }

    /// Takes a file.
    pub(crate) fn take(&self, name: &str) -> Option<Vec<u8>> {
        let mut all = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_upload_is_one() {
        assert!(is_upload("POST", "/nodes/pve1/storage/local/upload"));
        assert!(!is_upload("POST", "/nodes/pve1/storage/local/download-url"));
        assert!(!is_upload("PUT", "/nodes/pve1/storage/local/upload"));
    }

    #[test]
    fn a_file_is_taken_once() {
        let uploads = Uploads::default();
        let name = uploads.put(b"x".to_vec());
        assert_eq!(uploads.take(&name), Some(b"x".to_vec()));
        assert_eq!(uploads.take(&name), None);
    }
}
