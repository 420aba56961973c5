//! The files of the theme, embedded, and how they reach the site.
//!
//! mdBook copies files of a book's root only, when `book.toml` names them, and a preprocessor writes none. So there are two ways:
//!
//! 1. `theme/runbook.css` and `theme/runbook.js` lie beside `book.toml`, which names them in `additional-css` and
//!    `additional-js` (`runbook init` does this): one copy for the whole site, on every page.
//! 2. `book.toml` does not name them: `runbook build` writes them beside the pages, and each page that has something of ours links
//!    them; with stock mdBook such a page carries them in itself. So the same book looks the same without any set-up.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use mdbook_preprocessor::config::Config;
use sha2::{Digest, Sha256};

/// The style sheet.
pub const CSS: &str = include_str!("../../theme/runbook.css");
/// The script: comforts only.
pub const JS: &str = include_str!("../../theme/runbook.js");
/// The signs of the states, as symbols to refer to.
pub const SPRITE: &str = include_str!("../../theme/sprite.svg");
/// The names of the files in a book's `theme/`, with their text.
pub const FILES: &[(&str, &str)] = &[("theme/runbook.css", CSS), ("theme/runbook.js", JS)];

/// Style and script as two HTML blocks that end by themselves, for pages that must carry them.
static INLINE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "<style>\n{}\n</style>\n<script>\n{}\n</script>\n",
        squeezed(CSS, "/*", "*/"),
        squeezed(JS, "//", "\n")
    )
});

/// How style and script reach a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// `book.toml` names them: they are on every page already.
    Installed,
    /// They lie beside the pages ([`linked`]), and each page of ours links them.
    Linked,
    /// Each page of ours carries them.
    Inline,
}

impl Carrier {
    /// The lines that a page of ours must have, each an HTML block that ends by itself. `root` is the way to the site's root.
    pub fn lines(self, root: &str) -> String {
        match self {
            Self::Installed => String::new(),
            Self::Linked => {
                let [(css, _), (js, _)] = linked();
                format!(
                    "<!----><link rel=\"stylesheet\" href=\"{root}{css}\"><script defer src=\"{root}{js}\"></script>\n"
                )
            }
            Self::Inline => INLINE.clone(),
        }
    }
}

/// The files that pages link, with their text; a new text has a new name, so that no browser shows an old one.
pub fn linked() -> [(&'static str, &'static str); 2] {
    static NAMES: LazyLock<[String; 2]> = LazyLock::new(|| {
        let name = |text: &str, end: &str| {
            let hash = Sha256::digest(text.as_bytes());
            let hash: String = hash
                .iter()
                .take(4)
                .map(|byte| format!("{byte:02x}"))
                .collect();
            format!("runbook-{hash}.{end}")
        };
        [name(CSS, "css"), name(JS, "js")]
    });
    [(&NAMES[0], CSS), (&NAMES[1], JS)]
}

/// Whether `book.toml` names the style sheet.
pub fn is_installed(config: &Config) -> bool {
    let files: Option<Vec<PathBuf>> = config.get("output.html.additional-css").ok().flatten();
    let name = Path::new("runbook.css");
    files.is_some_and(|files| {
        files
            .iter()
            .any(|file| file.file_name() == Some(name.as_os_str()))
    })
}

/// A text without its indentation, blank lines and whole-line comments. What stands in quotes is on one line with code in the
/// files of the theme, so a line that begins with a comment is one.
fn squeezed(text: &str, open: &str, close: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for line in text.lines().map(str::trim) {
        if inside {
            inside = !line.ends_with(close);
        } else if line.starts_with(open) {
            inside = close != "\n" && !line.ends_with(close);
        } else if !line.is_empty() {
            out.push_str(line);
            out.push('\n');
        }
    }
    out.pop();
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_theme_keeps_its_budgets() {
        assert!(CSS.len() < 25_000, "{}", CSS.len());
        assert!(JS.len() < 15_000, "{}", JS.len());
    }

    #[test]
    fn what_a_page_carries_survives_mdbook() {
        let inline = INLINE.as_str();
        assert!(!inline.contains("{{"), "another preprocessor would read it");
        for (open, close) in [("<style>", "</style>"), ("<script>", "</script>")] {
            assert_eq!(inline.matches(open).count(), 1);
            assert_eq!(inline.matches(close).count(), 1);
        }
    }

    #[test]
    fn comments_and_blanks_are_left_out() {
        assert_eq!(
            squeezed("/* a\n b */\n  x {\n\n  }\n/* c */\n", "/*", "*/"),
            "x {\n}"
        );
        assert_eq!(squeezed("// a\n  b(); // c\n", "//", "\n"), "b(); // c");
    }

    #[test]
    fn a_named_style_sheet_is_found() {
        let named: Config = "[output.html]\nadditional-css = [\"theme/runbook.css\"]"
            .parse()
            .unwrap();
        let bare: Config = "[book]\ntitle = \"T\"".parse().unwrap();
        assert!(is_installed(&named) && !is_installed(&bare));
    }
}
