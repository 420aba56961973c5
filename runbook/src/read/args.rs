//! An action's arguments after rendering, read by name: what engines use.

use std::time::Duration;

use serde_json::Value;

use super::{ReadError, check_fields, entries};
use crate::node::Node;
use crate::spec::{self, ActionSpec};

/// The arguments of an action, rendered and checked.
#[derive(Debug, Clone, Copy)]
pub struct Args<'a> {
    spec: &'static ActionSpec,
    node: &'a Node,
}

impl<'a> Args<'a> {
    /// Checks rendered arguments against the action's table.
    ///
    /// # Errors
    ///
    /// The first thing that is not as the table has it: a template may have given another type than its field wants.
    pub fn new(spec: &'static ActionSpec, node: &'a Node) -> Result<Self, ReadError> {
        if let spec::Args::Fields(fields) = spec.args {
            let mut errors = Vec::new();
            check_fields(
                fields,
                spec.groups,
                &entries(node)?,
                node.span,
                &format!("`{}`", spec.name),
                &mut errors,
            );
            if !errors.is_empty() {
                return Err(errors.remove(0));
            }
        }
        Ok(Self { spec, node })
    }

    /// The action.
    pub fn spec(&self) -> &'static ActionSpec {
        self.spec
    }

    /// The whole node.
    pub fn node(&self) -> &'a Node {
        self.node
    }

    /// The field's node, when it is given.
    pub fn get(&self, field: &str) -> Option<&'a Node> {
        self.node.get(field)
    }

    /// Whether the field is given.
    pub fn has(&self, field: &str) -> bool {
        self.get(field).is_some()
    }

    /// A script's text.
    ///
    /// # Errors
    ///
    /// Arguments that are no text.
    pub fn script(&self) -> Result<String, ReadError> {
        super::text(self.node)
    }

    /// A text that must be there.
    ///
    /// # Errors
    ///
    /// When it is missing or no text.
    pub fn text(&self, field: &str) -> Result<String, ReadError> {
        super::text(self.required(field)?)
    }

    /// A text.
    ///
    /// # Errors
    ///
    /// When it is no text.
    pub fn opt_text(&self, field: &str) -> Result<Option<String>, ReadError> {
        self.get(field).map(super::text).transpose()
    }

    /// A whole number that must be there.
    ///
    /// # Errors
    ///
    /// When it is missing or no whole number.
    pub fn int(&self, field: &str) -> Result<i64, ReadError> {
        super::int(self.required(field)?)
    }

    /// A whole number.
    ///
    /// # Errors
    ///
    /// When it is no whole number.
    pub fn opt_int(&self, field: &str) -> Result<Option<i64>, ReadError> {
        self.get(field).map(super::int).transpose()
    }

    /// A bool, else its default.
    ///
    /// # Errors
    ///
    /// When it is no bool.
    pub fn bool(&self, field: &str, default: bool) -> Result<bool, ReadError> {
        self.get(field).map_or(Ok(default), super::bool)
    }

    /// A duration.
    ///
    /// # Errors
    ///
    /// When it is no duration.
    pub fn opt_duration(&self, field: &str) -> Result<Option<Duration>, ReadError> {
        self.get(field).map(super::duration).transpose()
    }

    /// A size in bytes.
    ///
    /// # Errors
    ///
    /// When it is no size.
    pub fn opt_size(&self, field: &str) -> Result<Option<u64>, ReadError> {
        self.get(field).map(super::size).transpose()
    }

    /// A list of texts; empty when it is not given.
    ///
    /// # Errors
    ///
    /// When an item is no text.
    pub fn list(&self, field: &str) -> Result<Vec<String>, ReadError> {
        self.get(field)
            .map_or_else(|| Ok(Vec::new()), super::list_of_text)
    }

    /// A map of texts, in order; empty when it is not given.
    ///
    /// # Errors
    ///
    /// When it is no map, or a value is no text.
    pub fn map(&self, field: &str) -> Result<Vec<(String, String)>, ReadError> {
        self.get(field)
            .map_or_else(|| Ok(Vec::new()), super::map_of_text)
    }

    /// Any value, by YAML's own types.
    pub fn any(&self, field: &str) -> Option<Value> {
        self.get(field).map(Node::to_json)
    }

    fn required(&self, field: &str) -> Result<&'a Node, ReadError> {
        self.get(field).ok_or_else(|| ReadError {
            rule: "missing-key",
            span: self.node.span,
            message: format!("`{}` has no `{field}`", self.spec.name),
            hint: Some(format!("add `{field}`")),
        })
    }
}
