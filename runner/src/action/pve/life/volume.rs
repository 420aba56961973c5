//! Volumes that a guest is made from, by the beginning of their names.

use runbook_proxmox::storage;

use super::super::world::{Done, Stop, World};

/// The volume of a container template: a volume is taken as it is written, a name is looked for on the node's storages.
pub(super) async fn template(world: &World, node: &str, name: &str) -> Done<String> {
    if name.contains(':') {
        return Ok(name.to_owned());
    }
    match newest(world, node, "vztmpl", name).await? {
        Some(volume) => Ok(volume),
        None => Err(Stop::refused(
            format!("no storage of `{node}` has a template `{name}`"),
            format!("download it first: `image: {{storage: local, name: {name}}}`"),
        )),
    }
}

pub(super) async fn image(world: &World, node: &str, name: &str) -> Done<String> {
    if name.contains(':') || name.starts_with('/') {
        return Ok(name.to_owned());
    }
    for content in ["import", "iso"] {
        if let Some(volume) = newest(world, node, content, name).await? {
            return Ok(volume);
        }
    }
    Err(Stop::refused(
        format!("no storage of `{node}` has an image `{name}`"),
        "download it first with an `image` step, or write its volume",
    ))
}

/// The newest volume whose name is, or begins with, this one.
///
/// # Errors
///
/// When the storages cannot be asked.
async fn newest(world: &World, node: &str, content: &str, name: &str) -> Done<Option<String>> {
    let storages = world.read(storage::list(&world.client, node)).await?;
    let mut found: Vec<String> = Vec::new();
    for known in storages
        .iter()
        .filter(|known| known.active && known.content.iter().any(|has| has == content))
    {
        let volumes = storage::content(&world.client, node, &known.id, Some(content));
        let volumes = world.read(volumes).await?;
        let volumes = volumes.into_iter().map(|volume| volume.volid);
        found.extend(volumes.filter(|volid| is_named(volid, name)));
    }
    found.sort_by_cached_key(|volid| version(volid));
    Ok(found.pop())
}

/// Whether a volume's file is this one, or one of its versions.
pub fn is_named(volid: &str, name: &str) -> bool {
    let file = volid.rsplit(['/', ':']).next().unwrap_or(volid);
    match file.strip_prefix(name) {
        Some(rest) => rest.is_empty() || rest.starts_with(['_', '.']),
        None => false,
    }
}

/// The numbers of a name, so that `12.10` is newer than `12.7`.
pub fn version(name: &str) -> (Vec<u64>, String) {
    let numbers = name.split(|c: char| !c.is_ascii_digit());
    let numbers = numbers.filter_map(|number| number.parse().ok()).collect();
    (numbers, name.to_owned())
}
