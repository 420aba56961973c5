//! The templates of whole pages and files, embedded and compiled once.
//!
//! Pages become part of a chapter, so what a template prints of a value is escaped by [`super::html::escape`], which leaves no line
//! end and no `{{`; and what comes out has no blank line.

use std::io::Write;
use std::sync::LazyLock;

use serde::Serialize;
use tera::{Context, Tera};

use super::html::escaped;

const TEMPLATES: &[(&str, &str)] = &[
    (
        "status.html",
        include_str!("../../../theme/templates/status.html"),
    ),
    (
        "run.html",
        include_str!("../../../theme/templates/run.html"),
    ),
    (
        "feed.xml",
        include_str!("../../../theme/templates/feed.xml"),
    ),
    (
        "badge.xml",
        include_str!("../../../theme/templates/badge.svg"),
    ),
    (
        "llms.txt",
        include_str!("../../../theme/templates/llms.txt"),
    ),
];

static TERA: LazyLock<Result<Tera, tera::Error>> = LazyLock::new(|| {
    let mut tera = Tera::default();
    tera.set_escape_fn(escape);
    tera.add_raw_templates(TEMPLATES.iter().copied())?;
    Ok(tera)
});

fn escape(text: &str, out: &mut dyn Write) -> std::io::Result<()> {
    out.write_all(escaped(text).as_bytes())
}

/// Why a page cannot be made: a template of ours is wrong.
#[derive(Debug, thiserror::Error)]
#[error("the template `{name}` cannot be used: {message}")]
pub struct TemplateError {
    name: &'static str,
    message: String,
}

/// Renders a template with values.
///
/// # Errors
/// When the template or its values are wrong, which is our mistake.
pub(super) fn render(name: &'static str, values: &impl Serialize) -> Result<String, TemplateError> {
    let told = |error: &tera::Error| TemplateError {
        name,
        message: error.to_string(),
    };
    let tera = TERA.as_ref().map_err(told)?;
    let context = Context::from_serialize(values).map_err(|error| told(&error))?;
    tera.render(name, &context).map_err(|error| told(&error))
}

/// Renders a template to a part of a chapter: no line of it is blank.
///
/// # Errors
/// As [`render`].
pub(super) fn part(name: &'static str, values: &impl Serialize) -> Result<String, TemplateError> {
    let text = render(name, values)?;
    let mut out = String::with_capacity(text.len());
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        out.push_str(line);
        out.push('\n');
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_can_be_used() {
        assert!(
            TERA.is_ok(),
            "{:?}",
            TERA.as_ref().err().map(ToString::to_string)
        );
    }
}
