//! Container templates, ISO and cloud images on a storage: `image`.

use runbook::result::Fields;
use runbook_proxmox::storage::{self, Volume};

use super::life::{is_named, version};
use super::world::{Done, Stop, World};

/// What an image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A container template.
    Template,
    /// An ISO image.
    Iso,
    /// A cloud image.
    Cloud,
}

/// Where an image comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum From {
    /// The node's index of appliances, or nowhere: it must be there.
    Name(String),
    /// A download, with its SHA-256.
    Url {
        /// Where.
        url: String,
        /// In hexadecimal digits.
        sha256: String,
    },
}

/// A wish for an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// The node.
    pub node: String,
    /// The storage.
    pub storage: String,
    /// What it is.
    pub kind: Kind,
    /// Where it comes from.
    pub from: From,
    /// Whether an existing file may be compared with its checksum: the server can only be told to, which is a change.
    pub verify: bool,
}

/// What is there.
#[derive(Debug, Clone)]
pub struct Found {
    volume: Option<Volume>,
    /// What is to be downloaded: the appliance's name.
    appliance: Option<String>,
    /// What differs, for people.
    pub diff: Option<String>,
}

impl Kind {
    /// What a name is, where it is not said.
    pub fn of(name: &str) -> Self {
        if name.ends_with(".iso") {
            Self::Iso
        } else if [".qcow2", ".img", ".raw", ".vmdk", ".ova"]
            .iter()
            .any(|end| name.ends_with(end))
        {
            Self::Cloud
        } else {
            Self::Template
        }
    }

    fn content(self) -> &'static str {
        match self {
            Self::Template => "vztmpl",
            Self::Iso => "iso",
            Self::Cloud => "import",
        }
    }
}

impl Wish {
    /// The file's name on the storage. Cloud images that are named `.img` are in the format qcow2, and the server wants to see
    /// that in their name.
    fn file(&self) -> Option<String> {
        let From::Url { url, .. } = &self.from else {
            return None;
        };
        let path = url.split(['?', '#']).next().unwrap_or(url);
        let name = path.rsplit('/').next().unwrap_or_default();
        match (self.kind, name.strip_suffix(".img")) {
            (Kind::Cloud, Some(stem)) => Some(format!("{stem}.qcow2")),
            _ => Some(name.to_owned()),
        }
    }
}

/// Compares; changes nothing.
///
/// # Errors
///
/// A node or storage that is not there, an image that cannot be had.
pub async fn compare(world: &World, wish: &Wish) -> Done<Found> {
    let node = world.node(&wish.node).await?;
    let content = wish.kind.content();
    let volumes = storage::content(&world.client, &node, &wish.storage, Some(content));
    let mut volumes = world.read(volumes).await?;
    volumes.sort_by_cached_key(|volume| version(&volume.volid));
    let name = match (&wish.from, wish.file()) {
        (From::Name(name), _) => name.clone(),
        (_, Some(file)) if !file.is_empty() => file,
        _ => {
            return Err(Stop::refused(
                "the URL names no file",
                "write a URL whose last part is the file's name",
            ));
        }
    };
    let exact = matches!(wish.from, From::Url { .. });
    let volume = volumes.into_iter().rfind(|volume| match exact {
        true => volume.volid.rsplit(['/', ':']).next() == Some(&name),
        false => is_named(&volume.volid, &name),
    });
    let mut found = Found {
        volume,
        appliance: None,
        diff: None,
    };
    if found.volume.is_some() {
        return Ok(found);
    }
    if !exact {
        let appliance = appliance(world, wish, &node, &name).await?;
        found.appliance = Some(appliance);
    }
    let from = match &wish.from {
        From::Name(_) => found.appliance.clone().unwrap_or_default(),
        From::Url { url, .. } => url.clone(),
    };
    found.diff = Some(format!("+ {}:{content}/{name} from {from}", wish.storage));
    Ok(found)
}

async fn appliance(world: &World, wish: &Wish, node: &str, name: &str) -> Done<String> {
    if wish.kind != Kind::Template {
        return Err(Stop::refused(
            format!("`{}` of `{node}` has no `{name}`", wish.storage),
            "write where it comes from: `url` and `checksum`",
        ));
    }
    let all = world.read(storage::appliances(&world.client, node)).await?;
    let mut named: Vec<String> = all
        .into_iter()
        .map(|appliance| appliance.template)
        .filter(|template| is_named(template, name))
        .collect();
    named.sort_by_cached_key(|name| version(name));
    match named.pop() {
        Some(template) => Ok(template),
        None => Err(Stop::refused(
            format!("the index of `{node}` has no template `{name}`"),
            "look at the names with `pveam available`; `pveam update` on the node fetches a new index",
        )),
    }
}

/// Compares an image that is there with its checksum, which the server does when it is told to download it.
///
/// # Errors
///
/// A file that is another one.
pub async fn verify(world: &World, wish: &Wish, found: &Found) -> Done<()> {
    match &wish.from {
        From::Url { .. } if found.volume.is_some() && wish.verify => download(world, wish).await,
        _ => Ok(()),
    }
}

/// The fields of a result.
pub fn fields(found: &Found) -> Fields {
    let mut fields = Fields::new();
    if let Some(volume) = &found.volume {
        fields.set("volume", volume.volid.clone());
        fields.set("size", volume.size);
    }
    fields
}

/// Downloads it.
///
/// # Errors
///
/// What failed.
pub async fn change(world: &World, wish: &Wish, found: &Found) -> Done<()> {
    match &found.appliance {
        Some(template) => {
            let request = storage::download_appliance(&wish.node, &wish.storage, template);
            world.run(&request).await?;
            Ok(())
        }
        None => download(world, wish).await,
    }
}

async fn download(world: &World, wish: &Wish) -> Done<()> {
    let From::Url { url, sha256 } = &wish.from else {
        return Ok(());
    };
    let file = wish.file().unwrap_or_default();
    let content = wish.kind.content();
    let request = storage::download_url(&wish.node, &wish.storage, content, url, &file, sha256);
    world.run(&request).await?;
    Ok(())
}

/// Removes what was downloaded.
///
/// # Errors
///
/// What is left behind.
pub async fn restore(world: &World, node: &str, volid: &str) -> Done<()> {
    let storage = volid.split(':').next().unwrap_or_default();
    match world.run(&storage::delete(node, storage, volid)).await {
        Err(stop) if !stop.message().contains("does not exist") => Err(stop),
        _ => Ok(()),
    }
}

impl Found {
    /// The volume's ID, where it is there.
    pub fn volid(&self) -> Option<&str> {
        self.volume.as_ref().map(|volume| volume.volid.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_an_image_is_and_versions_count_as_numbers() {
        assert_eq!(Kind::of("debian-12-standard"), Kind::Template);
        assert_eq!(Kind::of("x.iso"), Kind::Iso);
        assert_eq!(Kind::of("noble.img"), Kind::Cloud);
        let volid = "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst";
        assert!(is_named(volid, "debian-12-standard"));
        assert!(!is_named(volid, "debian-1"));
        assert!(version("x_12.10-1") > version("x_12.7-1"));
        let wish = Wish {
            node: "pve1".into(),
            storage: "local".into(),
            kind: Kind::Cloud,
            from: From::Url {
                url: "https://example/a/noble.img?x=1".into(),
                sha256: String::new(),
            },
            verify: false,
        };
        assert_eq!(wish.file().as_deref(), Some("noble.qcow2"));
    }
}
