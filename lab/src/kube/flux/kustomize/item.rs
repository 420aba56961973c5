//! A resource on its way through a build: what it was called before, and which kustomizations it came through.

use serde_json::Value;

use crate::kube::object;

#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) value: Value,
    /// Names and namespaces that it had, the first first; not the present one.
    former: Vec<(String, String)>,
    /// The kustomizations it came through, the innermost first.
    pub(super) layers: Vec<usize>,
    /// A generated one, whose name gets a hash of its content.
    pub(super) needs_hash: bool,
}

impl Item {
    pub(super) fn new(value: Value) -> Self {
        Self {
            value,
            former: Vec::new(),
            layers: Vec::new(),
            needs_hash: false,
        }
    }

    pub(super) fn kind(&self) -> &str {
        self.value["kind"].as_str().unwrap_or_default()
    }

    /// Group and version.
    pub(super) fn group(&self) -> (&str, &str) {
        let own = self.value["apiVersion"].as_str().unwrap_or_default();
        own.rsplit_once('/').unwrap_or(("", own))
    }

    pub(super) fn name(&self) -> &str {
        object::name(&self.value)
    }

    pub(super) fn namespace(&self) -> &str {
        object::namespace(&self.value)
    }

    /// The name it began with.
    pub(super) fn first_name(&self) -> &str {
        self.former.first().map_or(self.name(), |(name, _)| name)
    }

    pub(super) fn rename(&mut self, name: String) {
        self.remember();
        object::meta_mut(&mut self.value).insert("name".into(), name.into());
    }

    pub(super) fn move_to(&mut self, namespace: &str) {
        self.remember();
        object::meta_mut(&mut self.value).insert("namespace".into(), namespace.into());
    }

    fn remember(&mut self) {
        let now = (self.name().to_owned(), self.namespace().to_owned());
        self.former.push(now);
    }

    /// Whether it is or was called so.
    pub(super) fn answers_to(&self, name: &str) -> bool {
        self.name() == name || self.former.iter().any(|(own, _)| own == name)
    }

    /// `Kind.version.group/name.namespace`, as Kustomize writes ids.
    pub(super) fn id(&self) -> String {
        let namespace = match self.namespace() {
            "" => "[noNs]",
            own => own,
        };
        format!("{}/{}.{namespace}", shown(&self.value), self.name())
    }
}

/// `Kind.version.group`, as Kustomize writes kinds.
pub(in crate::kube::flux) fn shown(value: &Value) -> String {
    let own = value["apiVersion"].as_str().unwrap_or_default();
    let (group, version) = own.rsplit_once('/').unwrap_or(("[noGrp]", own));
    format!(
        "{}.{version}.{group}",
        value["kind"].as_str().unwrap_or_default()
    )
}
