//! One kubeconfig for the clusters of a lab: a context for each, by the names of the inventory.

use std::io::{self, Write as _};
use std::path::Path;

use base64::Engine as _;
use runbook_lab::kube::Server;
use serde_json::{Value, json};

/// The current context where there are several clusters: none, and its name says why.
pub(crate) const CHOOSE: &str = "say-which-with---context";

/// The text of a kubeconfig; JSON is YAML.
pub(super) fn text<'a>(servers: impl Iterator<Item = (&'a str, &'a Server)>) -> String {
    let (mut clusters, mut users, mut contexts) = (Vec::new(), Vec::new(), Vec::new());
    for (name, server) in servers {
        let ca = base64::engine::general_purpose::STANDARD.encode(server.ca());
        let user = format!("{name}-admin");
        contexts.push(json!({"name": name, "context": {"cluster": name, "user": user}}));
        clusters.push(json!({
            "name": name, "cluster": {"server": server.url(), "certificate-authority-data": ca},
        }));
        users.push(json!({"name": user, "user": {"token": server.token()}}));
    }
    let current = match &contexts[..] {
        [only] => only["name"].clone(),
        [] => Value::from(""),
        _ => Value::from(CHOOSE),
    };
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "clusters": clusters, "contexts": contexts, "users": users,
        "current-context": current,
    });
    config.to_string()
}

/// Writes a kubeconfig that only its owner may read, in the place of what is there.
pub(crate) fn write(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    // Others may be writing it too; each writes the whole.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.persist(path)?;
    Ok(())
}
