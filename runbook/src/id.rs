//! IDs are URLs: `guides/ollama#install/container` names a guide, a section of it and a step of that.
//!
//! The part before `#` is the chapter's path without `.md` (`README.md` is `index`), the part after it is the anchor on the
//! page. A reference as an author writes it (`needs: step`) is a [`Ref`]; it is resolved to an [`Id`] when the book is checked.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The full ID of a guide, a section, a step, or an item of a step's `each`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id {
    /// The chapter's path without `.md`.
    pub guide: String,
    /// The heading's mdBook id.
    pub section: Option<String>,
    /// The step's `id`, unique in its section.
    pub step: Option<String>,
    /// The item of `each`.
    pub item: Option<String>,
}

/// How many characters a step's `id` may have.
pub const STEP_ID_CHARACTERS_MAX: usize = 64;

impl Id {
    /// The ID of a guide.
    pub fn guide(guide: impl Into<String>) -> Self {
        Self {
            guide: guide.into(),
            section: None,
            step: None,
            item: None,
        }
    }

    /// The ID of a section of a guide.
    pub fn section(guide: impl Into<String>, section: impl Into<String>) -> Self {
        Self {
            guide: guide.into(),
            section: Some(section.into()),
            step: None,
            item: None,
        }
    }

    /// The ID of a step of a section.
    pub fn step(
        guide: impl Into<String>,
        section: impl Into<String>,
        step: impl Into<String>,
    ) -> Self {
        Self {
            guide: guide.into(),
            section: Some(section.into()),
            step: Some(step.into()),
            item: None,
        }
    }

    /// The same step's item.
    #[must_use]
    pub fn with_item(&self, item: impl Into<String>) -> Self {
        Self {
            item: Some(item.into()),
            ..self.clone()
        }
    }

    /// The same ID without its item.
    #[must_use]
    pub fn without_item(&self) -> Self {
        Self {
            item: None,
            ..self.clone()
        }
    }

    /// Reads a full ID: `guide`, `guide#section`, `guide#section/step`, `guide#section/step@item`. A trailing `#` is allowed
    /// after a guide (`name#` is how a guide at the book's root is written in `needs`).
    pub fn parse(text: &str) -> Option<Self> {
        let (guide, rest) = text
            .split_once('#')
            .map_or((text, ""), |(guide, rest)| (guide, rest));
        // A chapter's file may have blanks in its name.
        if guide.trim().is_empty() || guide.contains(char::is_control) {
            return None;
        }
        if rest.is_empty() {
            return Some(Self::guide(guide));
        }
        let (section, step) = match rest.split_once('/') {
            Some((section, step)) => (section, Some(step)),
            None => (rest, None),
        };
        if section.is_empty() || section.contains('#') {
            return None;
        }
        let Some(step) = step else {
            return Some(Self::section(guide, section));
        };
        let (step, item) = match step.split_once('@') {
            Some((step, item)) if !item.is_empty() => (step, Some(item.to_owned())),
            Some(_) => return None,
            None => (step, None),
        };
        is_step_id(step).then(|| Self {
            item,
            ..Self::step(guide, section, step)
        })
    }

    /// The part after `#`: the element's id on the page; empty for a guide.
    pub fn anchor(&self) -> String {
        let mut anchor = String::new();
        if let Some(section) = &self.section {
            anchor.push_str(section);
        }
        if let Some(step) = &self.step {
            anchor.push('/');
            anchor.push_str(step);
        }
        if let Some(item) = &self.item {
            anchor.push('@');
            anchor.push_str(item);
        }
        anchor
    }

    /// Whether `other` is this, or lies in this (a guide holds its sections, a step its items). A section holds its own steps
    /// only; which sections lie under it is known to the guide.
    pub fn holds(&self, other: &Id) -> bool {
        self.guide == other.guide
            && (self.section.is_none() || self.section == other.section)
            && (self.step.is_none() || self.step == other.step)
            && (self.item.is_none() || self.item == other.item)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.guide)?;
        let anchor = self.anchor();
        if anchor.is_empty() {
            Ok(())
        } else {
            write!(f, "#{anchor}")
        }
    }
}

impl Serialize for Id {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("not an id: `{text}`")))
    }
}

impl schemars::JsonSchema for Id {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Id".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "description": "guide, guide#section, guide#section/step or guide#section/step@item"})
    }
}

/// Whether a text is a step's `id`: `[a-z0-9]+(-[a-z0-9]+)*`, at most [`STEP_ID_CHARACTERS_MAX`].
pub fn is_step_id(text: &str) -> bool {
    text.len() <= STEP_ID_CHARACTERS_MAX
        && text.split('-').all(|part| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        })
}

/// A reference as it is written in `needs`, `undo`, `repair` (LANGUAGE section 1, type `ref`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Ref {
    /// `step`: a step of the same section.
    Step(String),
    /// `#section`: a section of the same guide.
    Section(String),
    /// `#section/step`: a step of the same guide.
    SectionStep(String, String),
    /// `guide`, `guide#section[/step]`; a guide at the book's root is written `name#`.
    Other(Id),
}

impl Ref {
    /// Reads a reference; `None` when it has no such form.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix('#') {
            return match rest.split_once('/') {
                Some((section, step)) => (!section.is_empty() && is_step_id(step))
                    .then(|| Self::SectionStep(section.to_owned(), step.to_owned())),
                None => (!rest.is_empty()).then(|| Self::Section(rest.to_owned())),
            };
        }
        if text.contains(['/', '#']) {
            return Id::parse(text).map(Self::Other);
        }
        is_step_id(text).then(|| Self::Step(text.to_owned()))
    }

    /// The full ID it means, seen from a section of a guide.
    pub fn resolve(&self, guide: &str, section: &str) -> Id {
        match self {
            Self::Step(step) => Id::step(guide, section, step),
            Self::Section(section) => Id::section(guide, section),
            Self::SectionStep(section, step) => Id::step(guide, section, step),
            Self::Other(id) => id.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_print_as_they_are_read() {
        for text in [
            "guides/ollama",
            "a#b",
            "guides/ollama#install/container",
            "a#b/c@pve1",
            "my notes/Kap 1#你好-世界/c",
        ] {
            assert_eq!(
                Id::parse(text).map(|id| id.to_string()).as_deref(),
                Some(text)
            );
        }
        for text in [
            "", " ", " #b", "a\nb", "#b", "a#b/C", "a#b/", "a#/c", "a#b/c@",
        ] {
            assert_eq!(Id::parse(text), None, "{text}");
        }
    }

    #[test]
    fn references_mean_what_their_form_says() {
        assert_eq!(Ref::parse("container"), Some(Ref::Step("container".into())));
        assert_eq!(Ref::parse("#install"), Some(Ref::Section("install".into())));
        assert_eq!(
            Ref::parse("overview#"),
            Some(Ref::Other(Id::guide("overview")))
        );
        assert_eq!(
            Ref::parse("guides/ollama"),
            Some(Ref::Other(Id::guide("guides/ollama")))
        );
        assert_eq!(Ref::parse("Container"), None);
    }

    #[test]
    fn step_ids_are_kebab_case_and_bounded() {
        assert!(is_step_id("a-1"));
        assert!(!is_step_id("a--1"));
        assert!(!is_step_id(&"a".repeat(65)));
    }
}
