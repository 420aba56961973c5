//! Where a link in a diagram leads: to a guide, section or step of the book, elsewhere, or nowhere.
//!
//! A link may be a full ID (`guides/ollama#install/container`), a link as it works on GitHub (`../guides/ollama.md#install`) or on the
//! site (`ollama.html#install`), or `#anchor` of its own chapter. Links that could run something lead nowhere.

/// What a link may mean.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// Leads out of the book.
    Outside(String),
    /// Full IDs it may name, the likeliest first; the address if none of them is known; and whether it is written like an ID.
    Inside {
        ids: Vec<String>,
        href: String,
        like_id: bool,
    },
    /// Leads nowhere.
    Refused,
}

/// Reads a link that stands in `chapter` (its path without `.md`).
pub(super) fn read(chapter: &str, link: &str) -> Link {
    let link = link.trim();
    if link.is_empty() || link.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Link::Refused;
    }
    if let Some(scheme) = scheme(link) {
        let outside = ["http", "https", "mailto"]
            .iter()
            .any(|known| scheme.eq_ignore_ascii_case(known));
        return if outside {
            Link::Outside(link.to_owned())
        } else {
            Link::Refused
        };
    }
    if link.starts_with("//") || link.contains('\\') {
        return Link::Refused;
    }
    inside(chapter, link)
}

/// What stands before a `:` that no path begins with.
fn scheme(link: &str) -> Option<&str> {
    let (scheme, _) = link.split_once(':')?;
    (!scheme.contains(['/', '#', '?'])).then_some(scheme)
}

fn inside(chapter: &str, link: &str) -> Link {
    let (path, anchor) = match link.split_once('#') {
        Some((path, anchor)) => (path, Some(anchor)),
        None => (link, None),
    };
    let with_anchor = |path: &str| match anchor {
        Some(anchor) if !anchor.is_empty() => format!("{path}#{anchor}"),
        _ => path.to_owned(),
    };
    if path.is_empty() {
        return Link::Inside {
            ids: vec![with_anchor(chapter)],
            href: link.to_owned(),
            like_id: anchor.is_some_and(|anchor| anchor.contains('/')),
        };
    }
    let stem = path
        .strip_suffix(".md")
        .or_else(|| path.strip_suffix(".html"));
    let relative = stem.is_some() || path.starts_with("./") || path.starts_with("../");
    let plain = stem.unwrap_or(path);
    let directory = chapter
        .rsplit_once('/')
        .map_or("", |(directory, _)| directory);
    let from_root = id_of(&normal("", plain.trim_start_matches('/')));
    let from_here = id_of(&normal(directory, plain));
    let mut ids = Vec::with_capacity(2);
    let order = if relative {
        [from_here, from_root]
    } else {
        [from_root, from_here]
    };
    for id in order.into_iter().flatten() {
        let id = with_anchor(&id);
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    let href = match path.strip_suffix(".md") {
        Some(stem) => {
            let stem = match stem.strip_suffix("README") {
                Some(directory) if directory.is_empty() || directory.ends_with('/') => {
                    format!("{directory}index")
                }
                _ => stem.to_owned(),
            };
            with_anchor(&format!("{stem}.html"))
        }
        None => link.to_owned(),
    };
    let last = plain.rsplit('/').next().unwrap_or_default();
    Link::Inside {
        ids,
        href,
        like_id: stem.is_none() && !last.is_empty() && !last.contains('.'),
    }
}

/// `README` is `index`, as mdBook names its page; a folder is its index.
fn id_of(path: &Option<String>) -> Option<String> {
    let path = path.as_deref()?;
    Some(match path.rsplit_once('/') {
        None if matches!(path, "" | "README") => "index".to_owned(),
        Some((directory, "" | "README")) => format!("{directory}/index"),
        _ => path.to_owned(),
    })
}

/// Joins and resolves `.` and `..`; `None` when it leaves the book.
fn normal(directory: &str, path: &str) -> Option<String> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let mut parts: Vec<&str> = directory
        .split('/')
        .filter(|part| !part.is_empty())
        .collect();
    for part in path.split('/') {
        match part {
            "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(chapter: &str, link: &str) -> Vec<String> {
        match read(chapter, link) {
            Link::Inside { ids, .. } => ids,
            other => panic!("{other:?}"),
        }
    }

    fn href(link: &str) -> String {
        match read("guides/web", link) {
            Link::Inside { href, .. } => href,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_full_id_is_looked_up_from_the_root_first() {
        assert_eq!(
            ids("guides/web", "guides/ollama#install/container"),
            [
                "guides/ollama#install/container",
                "guides/guides/ollama#install/container"
            ]
        );
    }

    #[test]
    fn a_link_as_on_github_is_looked_up_from_the_chapter_first() {
        assert_eq!(
            ids("guides/web", "../guides/ollama.md#install"),
            ["guides/ollama#install"]
        );
        assert_eq!(ids("guides/web", "ollama.md")[0], "guides/ollama");
        assert_eq!(ids("guides/web", "./ollama.html#a")[0], "guides/ollama#a");
        assert_eq!(ids("guides/web", "README.md")[0], "guides/index");
        assert_eq!(ids("guides/web", "../README.md#x"), ["index#x"]);
        assert_eq!(ids("overview", "guides/"), ["guides/index"]);
        assert_eq!(ids("guides/web", "#a/b"), ["guides/web#a/b"]);
    }

    #[test]
    fn a_link_of_no_known_id_still_leads_to_a_page() {
        assert_eq!(href("../intro.md#x"), "../intro.html#x");
        assert_eq!(href("../README.md"), "../index.html");
        assert_eq!(href("picture.png"), "picture.png");
    }

    #[test]
    fn what_could_run_something_leads_nowhere() {
        for link in [
            "javascript:alert(1)",
            "JaVaScRiPt:alert(1)",
            "java\nscript:alert(1)",
            "\u{1}javascript:alert(1)",
            "data:text/html,x",
            "vbscript:x",
            "//evil.example/x",
            "/\\evil.example",
            "file:///etc/passwd",
            "about:blank",
            "",
        ] {
            assert_eq!(read("a", link), Link::Refused, "{link}");
        }
        assert_eq!(
            read("a", "https://x.example/a:b"),
            Link::Outside("https://x.example/a:b".into())
        );
    }
}
