//! A text that a virtual machine's cloud-init reads: a file of a storage for snippets.
//!
//! The API takes the name of such a file and never its content, so it is written on the node. Its name has the sum of its
//! content: whether a machine has this text is seen by the API alone, and a file that others use is never changed.

use runbook_proxmox::storage;
use sha2::{Digest as _, Sha256};

use super::world::{Done, Stop, World};
use crate::action::Ended;
use crate::action::shell::Shell;

/// The longest text: the server reads no more.
const TEXT_BYTES_MAX: usize = 1 << 20;
/// Characters of a sum that tell one text from another.
const SUM_CHARS: usize = 16;
/// The storage that is taken before others.
const USUAL: &str = "local";

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
