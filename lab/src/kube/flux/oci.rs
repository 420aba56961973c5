//! OCIRepositories: which artifact of a registry a reference leads to, and the files of its layer.

use std::io::Read as _;

use flate2::read::GzDecoder;
use regex::Regex;
use semver::Version;
use serde_json::Value;

use super::fetch::{Artifact, Refused};
use super::range::Range;
use super::registry::{Manifest, Repository};
use super::tree::{BYTES_MAX, Tree};

const PULL: &str = "OCIArtifactPullFailed";
const LAYER: &str = "OCIArtifactLayerOperationFailed";
const READ: &str = "ReadOperationFailed";
/// The tag of a reference that names none.
const LATEST: &str = "latest";
/// In a chart's version stands a `+` where its tag has a `_`.
const CHART: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";

/// An artifact to be pulled.
#[derive(Debug)]
pub(super) struct Pull {
    pub(super) url: String,
    pub(super) repository: Repository,
    /// `spec.ref`.
    pub(super) reference: Value,
    /// `spec.layerSelector`.
    pub(super) layer: Value,
    pub(super) ignore: Option<String>,
}

impl Pull {
    /// Pulls it.
    ///
    /// # Errors
    ///
    /// The reason and the words of source-controller.
    pub(super) async fn run(&self) -> Result<Artifact, Refused> {
        let (revision, manifest) = self.resolve().await?;
        let copies = self.layer["operation"] == "copy";
        let layers = manifest.value["layers"].as_array();
        let layers = layers.map(Vec::as_slice).unwrap_or_default();
        let wanted = self.layer["mediaType"].as_str().unwrap_or_default();
        let failed = |text: String| (LAYER, text);
        let layer = match (layers, wanted) {
            ([], _) => return Err(failed("no layers found in artifact".to_owned())),
            ([first, ..], "") => first,
            (all, wanted) => all
                .iter()
                .find(|one| one["mediaType"] == wanted)
                .ok_or_else(|| {
                    failed(format!(
                        "failed to find layer with media type '{wanted}' in artifact"
                    ))
                })?,
        };
        let content = self
            .repository
            .blob(layer["digest"].as_str().unwrap_or_default())
            .await
            .map_err(|text| {
                failed(format!(
                    "failed to extract layer contents from artifact: {text}"
                ))
            })?;
        let extracted = tokio::task::spawn_blocking(move || extract(&content));
        let tree = extracted
            .await
            .map_err(|error| failed(error.to_string()))?
            .map_err(|text| {
                failed(format!(
                    "failed to extract layer contents from artifact: {text}"
                ))
            })?;
        let tree = if copies {
            tree
        } else {
            tree.without_ignored(self.ignore.as_deref())
        };
        Ok(Artifact {
            metadata: manifest.value["annotations"].clone(),
            ..Artifact::new(revision, manifest.digest, tree)
        })
    }

    /// The revision that the reference leads to, and its manifest. A digest comes before a range of versions, that before a tag.
    async fn resolve(&self) -> Result<(String, Manifest), Refused> {
        let text = |key: &str| self.reference[key].as_str().unwrap_or_default();
        let manifest = match text("digest") {
            "" => {
                let tag = match (text("semver"), text("tag")) {
                    ("", "") => LATEST.to_owned(),
                    ("", tag) => tag.to_owned(),
                    (range, _) => self.newest(range).await?,
                };
                let failed = |text| (PULL, format!("failed to determine artifact digest: {text}"));
                let found = self.repository.manifest(&tag).await.map_err(failed)?;
                (format!("{tag}@{}", found.digest), found)
            }
            digest => {
                let failed = |text| {
                    (
                        PULL,
                        format!("failed to pull artifact from '{}': {text}", self.url),
                    )
                };
                let found = self.repository.manifest(digest).await.map_err(failed)?;
                (digest.to_owned(), found)
            }
        };
        if manifest.1.value["manifests"].is_array() {
            let text = "the lab reads no image of several platforms".to_owned();
            return Err((
                PULL,
                format!("failed to pull artifact from '{}': {text}", self.url),
            ));
        }
        Ok(manifest)
    }

    /// The tag of the newest version in a range.
    async fn newest(&self, wanted: &str) -> Result<String, Refused> {
        let failed = |text: String| {
            let said = format!(
                "failed to determine the artifact tag for '{}': {text}",
                self.url
            );
            (READ, said)
        };
        let mut tags = self.repository.tags().await.map_err(failed)?;
        if let Some(filter) = self.reference["semverFilter"]
            .as_str()
            .filter(|own| !own.is_empty())
        {
            let filter = Regex::new(filter).map_err(|error| failed(error.to_string()))?;
            tags.retain(|tag| filter.is_match(tag));
        }
        let range = Range::read(wanted)
            .map_err(|text| failed(format!("semver '{wanted}' parse error: {text}")))?;
        let is_chart = self.layer["mediaType"] == CHART;
        let version = |tag: &str| {
            let shown = if is_chart {
                tag.replace('_', "+")
            } else {
                tag.to_owned()
            };
            Version::parse(shown.trim_start_matches('v')).ok()
        };
        tags.iter()
            .filter_map(|tag| Some((version(tag)?, tag)))
            .filter(|(version, _)| range.allows(version))
            .max()
            .map(|(_, tag)| tag.clone())
            .ok_or_else(|| failed(format!("no match found for semver: {wanted}")))
    }
}

/// The files of a gzipped tar. Links are left out, as source-controller leaves them out.
fn extract(content: &[u8]) -> Result<Tree, String> {
    if !content.starts_with(&[0x1f, 0x8b]) {
        return Err("requires gzip-compressed body: gzip: invalid header".to_owned());
    }
    let told = |error: std::io::Error| format!("tar error: {error}");
    // One byte more than all files of a source may have: then the tree refuses them.
    let most = BYTES_MAX as u64 + 1;
    let mut archive = tar::Archive::new(GzDecoder::new(content));
    let mut tree = Tree::default();
    for entry in archive.entries().map_err(told)? {
        let mut entry = entry.map_err(told)?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let parts: Vec<&str> = path
            .split('/')
            .filter(|part| !matches!(*part, "" | "."))
            .collect();
        if path.starts_with('/') || parts.is_empty() || parts.contains(&"..") {
            return Err(format!("tar contained invalid name error \"{path}\""));
        }
        let mut content = Vec::new();
        (&mut entry)
            .take(most)
            .read_to_end(&mut content)
            .map_err(told)?;
        tree.add(&parts.join("/"), content)?;
    }
    Ok(tree)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write as _;

    fn packed(files: &[(&str, &str)]) -> Vec<u8> {
        let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
        for (path, text) in files {
            let mut header = tar::Header::new_gnu();
            // Written by hand: the library that writes it refuses what the reader must refuse.
            header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            archive.append(&header, text.as_bytes()).unwrap();
        }
        archive.into_inner().unwrap().finish().unwrap()
    }

    #[test]
    fn a_layer_becomes_files() {
        let tree = extract(&packed(&[("./app/a.yaml", "a"), ("top", "b")])).unwrap();
        assert_eq!(tree.read("app/a.yaml"), Some(&b"a"[..]));
        assert_eq!(tree.read("top"), Some(&b"b"[..]));
    }

    #[test]
    fn what_leads_out_of_it_or_is_no_archive_is_refused() {
        for path in ["../a", "/etc/passwd", "a/../../b"] {
            assert!(extract(&packed(&[(path, "a")])).unwrap_err().contains(path));
        }
        assert!(extract(b"text").is_err());
        let mut cut = packed(&[("a", &"text ".repeat(1000))]);
        cut.truncate(cut.len() / 2);
        assert!(extract(&cut).is_err());
        let mut nothing = GzEncoder::new(Vec::new(), Compression::default());
        nothing
            .write_all(b"no tar at all, though it is long enough for no header")
            .unwrap();
        assert!(extract(&nothing.finish().unwrap()).is_err());
    }
}
