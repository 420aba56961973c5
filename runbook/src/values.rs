//! The values that every step of a guide sees: `vars`, `inventory` and `profile`, for one profile.
//!
//! Of `vars` the later wins: guide or inventory, profile, `--var`. What only a run knows (`steps`, `secret`, the names of
//! `each`) is added by the engine. Checks nothing: that names are declared once is the book's check.

use serde_json::{Map, Value, json};

use crate::inventory::Inventory;
use crate::model::{Guide, Vars};
use crate::node::Node;
use crate::template::Scope;

/// The built-in profile.
pub const LAB: &str = "lab";

/// The groups of the inventory that templates may ask for although the file has none: `inventory.nodes | values` of nothing.
const GROUPS: &[&str] = &["nodes", "guests", "hosts", "clusters"];

/// The values of a book on one profile.
#[derive(Debug, Clone)]
pub struct Values<'a> {
    inventory: &'a Inventory,
    given: &'a Vars,
    profile: String,
    shared: Scope,
}

/// The values of a guide.
#[derive(Debug, Clone)]
pub struct GuideValues {
    /// `vars`, `inventory`, `profile`.
    pub scope: Scope,
    /// `vars` alone, in order.
    pub vars: Map<String, Value>,
    /// The variables whose own template has no value, with the reason; they are not defined.
    pub broken: Vec<(String, String)>,
}

impl<'a> Values<'a> {
    /// The values of a book on a profile; `given` are those of `--var`.
    pub fn new(inventory: &'a Inventory, profile: &str, given: &'a Vars) -> Self {
        let mut root = inventory
            .node
            .as_ref()
            .map_or_else(|| json!({}), Node::to_json);
        if let Value::Object(map) = &mut root {
            for group in GROUPS {
                map.entry(*group).or_insert_with(|| json!({}));
            }
        }
        let mut shared = Scope::new();
        shared.set("inventory", root);
        shared.set("profile", json!({"name": profile, "lab": profile == LAB}));
        Self {
            inventory,
            given,
            profile: profile.to_owned(),
            shared,
        }
    }

    /// `inventory` and `profile` alone.
    pub fn shared(&self) -> &Scope {
        &self.shared
    }

    /// The values of a guide. A variable may use the inventory, the profile and the variables before it.
    pub fn of(&self, guide: &Guide) -> GuideValues {
        let profile = self
            .inventory
            .profiles
            .iter()
            .find(|(name, _)| *name == self.profile);
        let written = self.inventory.vars.iter().chain(&guide.front.vars);
        let written = written.chain(profile.iter().flat_map(|(_, profile)| &profile.vars));
        let mut values = GuideValues {
            scope: self.shared.clone(),
            vars: Map::new(),
            broken: Vec::new(),
        };
        values.scope.set("vars", json!({}));
        for (name, node) in written.filter(|(name, _)| !self.given.contains_key(name)) {
            if may_have_template(node) {
                values.scope.set("vars", Value::Object(values.vars.clone()));
            }
            match values.scope.render(node) {
                Ok(rendered) => {
                    values.vars.insert(name.clone(), rendered.to_json());
                }
                Err((_, error)) => {
                    values.vars.shift_remove(name);
                    values.broken.push((name.clone(), error.message));
                }
            }
        }
        values.vars.extend(
            self.given
                .iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        values.scope.set("vars", Value::Object(values.vars.clone()));
        values
    }
}

/// Whether `vars` must be up to date before this is rendered.
fn may_have_template(node: &Node) -> bool {
    match &node.kind {
        crate::node::Kind::Scalar(scalar) => crate::template::has_template(&scalar.text),
        crate::node::Kind::List(items) => items.iter().any(may_have_template),
        crate::node::Kind::Map(entries) => {
            entries.iter().any(|entry| may_have_template(&entry.value))
        }
        crate::node::Kind::Value(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::Profile;
    use crate::mapped::Mapped;
    use crate::model::Front;
    use crate::source::Source;

    fn yaml(text: &str) -> Node {
        let mut mapped = Mapped::default();
        mapped.push_line(text, 0);
        crate::yaml::parse(&mapped).unwrap()
    }

    fn vars(text: &str) -> Vec<(String, Node)> {
        yaml(text)
            .as_map()
            .unwrap()
            .iter()
            .map(|entry| (entry.key.clone(), entry.value.clone()))
            .collect()
    }

    #[test]
    fn the_later_variable_wins() {
        let inventory = Inventory {
            node: Some(yaml("nodes: {pve1: {address: 10.0.0.1}}")),
            vars: vars("{a: inventory, b: inventory, c: inventory, d: inventory}"),
            profiles: vec![(
                "home".into(),
                Profile {
                    vars: vars("{c: profile, d: profile}"),
                    node: None,
                },
            )],
            ..Inventory::default()
        };
        let given = Vars::from([("d".into(), json!("given"))]);
        let guide = Guide {
            id: "a".into(),
            title: "A".into(),
            source: Source::new("src/a.md", ""),
            front: Front {
                vars: vars(
                    "{b: guide, url: 'http://{{ inventory.nodes.pve1.address }}/{{ vars.b }}', bad: '{{ vars.zz }}', port: 80}",
                ),
                ..Front::default()
            },
            sections: Vec::new(),
            steps: Vec::new(),
        };
        let values = Values::new(&inventory, "home", &given).of(&guide);
        let text = |text: &str| {
            values
                .scope
                .render_text(text)
                .map_err(|error| error.message)
        };
        assert_eq!(
            text("{{ vars.a }} {{ vars.b }} {{ vars.c }} {{ vars.d }}"),
            Ok(json!("inventory guide profile given"))
        );
        assert_eq!(text("{{ vars.url }}"), Ok(json!("http://10.0.0.1/guide")));
        assert_eq!(text("{{ vars.port }}"), Ok(json!(80)));
        assert_eq!(
            text("{{ vars.bad }}"),
            Err("`vars.bad` is not defined".into())
        );
        assert_eq!(
            values.broken,
            [("bad".to_owned(), "`vars.zz` is not defined".to_owned())]
        );
        assert_eq!(
            text("{{ profile.name }} {{ profile.lab }}"),
            Ok(json!("home false"))
        );
        assert_eq!(text("{{ inventory.hosts | length }}"), Ok(json!(0)));
    }
}
