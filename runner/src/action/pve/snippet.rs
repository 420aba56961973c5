//! A text that a virtual machine's cloud-init reads: a file of a storage for snippets.
//!
//! The API takes the name of such a file and never its content, so it is written on the node. Its name has the sum of its
//! content: whether a machine has this text is seen by the API alone, and a file that others use is never changed.

use std::collections::BTreeSet;

use runbook_proxmox::guest::{Guest, Kind};
use runbook_proxmox::{cluster, storage};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::pairs::Pairs;
use super::world::{Done, Stop, World};
use crate::action::Ended;
use crate::action::shell::Shell;

/// The longest text: the server reads no more.
const TEXT_BYTES_MAX: usize = 1 << 20;
/// Characters of a sum that tell one text from another.
const SUM_CHARS: usize = 16;
/// The storage that is taken before others.
const USUAL: &str = "local";

const READ: &str = "base64 \"$(pvesm path \"$VOLUME\")\"";
const REMOVE: &str = "rm -f \"$(pvesm path \"$VOLUME\")\"";

/// A text and where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snippet {
    /// What it says.
    pub text: String,
    /// The node that has it.
    pub node: String,
    /// Its volume: `local:snippets/NAME`.
    pub volume: String,
    storage: String,
}

/// Where a text is to lie; `owner` tells the file's reader whose it is.
///
/// # Errors
///
/// That no storage of the node takes snippets.
pub async fn place(world: &World, node: &str, owner: &str, text: &str) -> Done<Snippet> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Stop::refused(
            format!("`cloud-init.user-data` is longer than {TEXT_BYTES_MAX} bytes"),
            "let it fetch what is long",
        ));
    }
    let storages = world.read(storage::list(&world.client, node)).await?;
    let takes = |known: &&storage::Storage| {
        known.active && known.content.iter().any(|has| has == "snippets")
    };
    let mut taking: Vec<&String> = storages
        .iter()
        .filter(takes)
        .map(|known| &known.id)
        .collect();
    taking.sort_by_key(|id| (id.as_str() != USUAL, (*id).clone()));
    let Some(storage) = taking.first() else {
        return Err(Stop::refused(
            format!("no storage of `{node}` takes snippets, and `cloud-init.user-data` is one"),
            "let one take them: pvesm set local --content backup,import,iso,snippets,vztmpl",
        ));
    };
    let sum: String = Sha256::digest(text.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let owner: String = owner
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    Ok(Snippet {
        text: text.to_owned(),
        node: node.to_owned(),
        volume: format!(
            "{storage}:snippets/runbook-{owner}-{}.yaml",
            &sum[..SUM_CHARS]
        ),
        storage: (*storage).clone(),
    })
}

/// The part of a file's name that says whose it is, of one of ours.
fn owner(volume: &str) -> Option<&str> {
    let (_, name) = volume.split_once(":snippets/")?;
    let (owner, sum) = name.strip_suffix(".yaml")?.rsplit_once('-')?;
    let is_sum = sum.len() == SUM_CHARS && sum.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_sum && owner.starts_with("runbook-")).then_some(owner)
}

/// The files that a machine names: in its configuration, and in its snapshots, which it may go back to.
///
/// # Errors
///
/// When they cannot be read.
async fn named(world: &World, guest: &Guest) -> Done<BTreeSet<String>> {
    let all = async {
        let mut configs = vec![world.client.call(&guest.config()).await?];
        for snapshot in guest.read_snapshots(&world.client).await? {
            let request = guest.config().with("snapshot", &snapshot.name);
            configs.push(world.client.call(&request).await?);
        }
        Ok::<_, runbook_proxmox::Error>(configs)
    };
    let configs = match world.read(async { Ok(all.await) }).await? {
        Ok(configs) => configs,
        // The list of all machines lags behind: it has gone meanwhile.
        Err(error) if error.is_not_found() => return Ok(BTreeSet::new()),
        Err(error) => return Err(error.into()),
    };
    let texts = configs.iter().filter_map(|config| config.get("cicustom"));
    let volumes = texts.filter_map(Value::as_str).flat_map(|text| {
        let pairs = Pairs::parse(text);
        let values = pairs.iter().map(|(_, value)| value.to_owned());
        values.collect::<Vec<_>>()
    });
    Ok(volumes.collect())
}

/// The files that a machine names and a book has given.
///
/// # Errors
///
/// When they cannot be read.
pub async fn given(world: &World, guest: &Guest) -> Done<BTreeSet<String>> {
    let mut volumes = named(world, guest).await?;
    volumes.retain(|volume| owner(volume).is_some());
    Ok(volumes)
}

/// The same of a machine that is known by its number: none where it is not there.
///
/// # Errors
///
/// When they cannot be read.
pub async fn given_to(world: &World, vmid: u32) -> Done<BTreeSet<String>> {
    match world.read(cluster::find_guest(&world.client, vmid)).await? {
        Some(listed) if listed.guest.kind == Kind::Qemu => given(world, &listed.guest).await,
        _ => Ok(BTreeSet::new()),
    }
}

/// The files that machines of the cluster name, beside one that goes: a copy names that of its original.
///
/// # Errors
///
/// When they cannot be read.
pub async fn named_by_others(world: &World, beside: Option<&Guest>) -> Done<BTreeSet<String>> {
    let guests = world.read(cluster::guests(&world.client)).await?;
    let machines = guests.into_iter().map(|listed| listed.guest);
    let mut volumes = BTreeSet::new();
    for guest in machines.filter(|guest| guest.kind == Kind::Qemu) {
        if beside.is_none_or(|gone| gone.vmid != guest.vmid) {
            volumes.extend(named(world, &guest).await?);
        }
    }
    Ok(volumes)
}

/// Whether the file is there.
///
/// # Errors
///
/// When the storage cannot be asked.
pub async fn is_there(world: &World, snippet: &Snippet) -> Done<bool> {
    let volumes = storage::content(
        &world.client,
        &snippet.node,
        &snippet.storage,
        Some("snippets"),
    );
    let volumes = world.read(volumes).await?;
    Ok(volumes.iter().any(|volume| volume.volid == snippet.volume))
}

impl Snippet {
    /// The file that a machine has instead, where it is one of the same owner; `cicustom` is what its configuration says.
    ///
    /// # Errors
    ///
    /// How the step ends when it cannot be read.
    pub async fn before(&self, shell: &Shell, cicustom: &str) -> Result<Option<Self>, Ended> {
        let Some(volume) = Pairs::parse(cicustom).get("user").map(str::to_owned) else {
            return Ok(None);
        };
        if volume == self.volume
            || owner(&volume).is_none()
            || owner(&volume) != owner(&self.volume)
        {
            return Ok(None);
        }
        let said = shell.ask(READ, &[("VOLUME", &volume)]).await?;
        if said.code != 0 || !said.is_whole {
            // It is gone, or no text that could be put back.
            return Ok(None);
        }
        use base64::Engine as _;
        let bytes: String = said.stdout.split_whitespace().collect();
        let bytes = base64::engine::general_purpose::STANDARD.decode(bytes);
        let text = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let storage = volume.split(':').next().unwrap_or_default().to_owned();
        Ok(text.map(|text| Self {
            text,
            node: self.node.clone(),
            volume,
            storage,
        }))
    }

    /// What would be written, for people.
    pub fn lines(&self) -> Vec<String> {
        let head = format!("+ {} on {}:", self.volume, self.node);
        let text = self.text.lines().map(|line| format!("+   {line}"));
        std::iter::once(head).chain(text).collect()
    }

    /// Writes it on its node.
    ///
    /// # Errors
    ///
    /// How the step ends when it cannot.
    pub async fn write(&self, shell: &Shell) -> Result<(), Ended> {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(&self.text);
        // The lines of a here-document are no arguments: their length has no limit.
        let script = format!(
            "path=$(pvesm path \"$VOLUME\")\nmkdir -p \"$(dirname \"$path\")\"\numask 077\n\
             base64 -d >\"$path.new\" <<'EOF'\n{}\nEOF\nmv \"$path.new\" \"$path\"\n",
            wrapped(&text)
        );
        let what = format!("`{}` cannot be written", self.volume);
        shell
            .must(&what, &script, &[("VOLUME", &self.volume)])
            .await?;
        Ok(())
    }
}

/// Removes a file from its node.
///
/// # Errors
///
/// How the step ends when it cannot.
pub async fn remove(shell: &Shell, volume: &str) -> Result<(), Ended> {
    let what = format!("`{volume}` cannot be removed");
    shell.must(&what, REMOVE, &[("VOLUME", volume)]).await?;
    Ok(())
}

fn wrapped(text: &str) -> String {
    const WIDTH: usize = 76;
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(WIDTH)
        .filter_map(|line| std::str::from_utf8(line).ok())
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::owner;

    #[test]
    fn only_files_of_ours_have_an_owner() {
        assert_eq!(
            owner("local:snippets/runbook-140-0123456789abcdef.yaml"),
            Some("runbook-140")
        );
        assert_eq!(
            owner("nas:snippets/runbook-my-box-0123456789abcdef.yaml"),
            Some("runbook-my-box")
        );
        for other in [
            "local:snippets/mine.yaml",
            "local:snippets/runbook-140-xyz.yaml",
            "local:iso/runbook-140-0123456789abcdef.yaml",
            "local:snippets/other-140-0123456789abcdef.yaml",
        ] {
            assert_eq!(owner(other), None, "{other}");
        }
    }
}
