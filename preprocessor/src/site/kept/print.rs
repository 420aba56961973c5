//! The page of the whole book: all chapters on one page at the root of the site.
//!
//! What stood on pages of its own gets ids of its own there, and its links lead on: to what is on the same page, else to the pages.
//! Every text of ours is escaped with its quotes, so an attribute is what looks like one.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::{Kept, KeptPage, Part};

/// Ids that are taken, and how far each was counted up.
#[derive(Default)]
struct Ids {
    taken: HashSet<String>,
    counted: HashMap<String, u32>,
}

impl Kept {
    pub(super) fn printed(&self, pages: &[KeptPage], text: &str) -> String {
        let mut ids = Ids::default();
        for part in self.parts(text) {
            if let Part::Text(text) = part {
                ids.taken.extend(
                    attributes(text)
                        .filter_map(|at| (at.name == "id").then(|| at.value.to_owned())),
                );
            }
        }
        let mut out = String::with_capacity(2 * text.len());
        // A chapter stands on the page as one: its ids are known when its first mark is seen.
        let mut renamed: Option<(usize, HashMap<String, String>)> = None;
        let mut has_assets = false;
        for part in self.parts(text) {
            let (page, number) = match part {
                Part::Text(text) => {
                    out.push_str(text);
                    continue;
                }
                Part::Mark { page, number } => (page, number),
            };
            let Some(kept) = pages.get(page) else {
                continue;
            };
            if renamed.as_ref().is_none_or(|(known, _)| *known != page) {
                renamed = Some((page, ids.of_page(kept)));
            }
            if *kept.assets.borrow() == Some(number) && std::mem::replace(&mut has_assets, true) {
                continue;
            }
            if let (Some(html), Some((_, renamed))) = (kept.html.borrow().get(number), &renamed) {
                kept.print(&mut out, html, renamed);
            }
        }
        out
    }
}

impl Ids {
    /// The ids of a page's HTML and what they are called on the page of the whole book.
    fn of_page(&mut self, page: &KeptPage) -> HashMap<String, String> {
        let mut renamed = HashMap::new();
        for html in page.html.borrow().iter() {
            for id in attributes(html).filter(|at| at.name == "id") {
                renamed.insert(id.value.to_owned(), self.take(id.value));
            }
        }
        renamed
    }

    fn take(&mut self, id: &str) -> String {
        if self.taken.insert(id.to_owned()) {
            return id.to_owned();
        }
        let counted = self.counted.entry(id.to_owned()).or_insert(0);
        loop {
            *counted += 1;
            let new = format!("{id}-{counted}");
            if self.taken.insert(new.clone()) {
                return new;
            }
        }
    }
}

impl KeptPage {
    fn print(&self, out: &mut String, html: &str, renamed: &HashMap<String, String>) {
        let mut from = 0;
        for at in attributes(html) {
            let value = match at.name {
                "id" | "for" => renamed.get(at.value).map(|id| Cow::Borrowed(id.as_str())),
                "href" | "src" | "data" | "xlink:href" => self.link(at.value, renamed),
                _ => None,
            };
            if let Some(value) = value {
                out.push_str(&html[from..at.start]);
                out.push_str(&value);
                from = at.start + at.value.len();
            }
        }
        out.push_str(&html[from..]);
    }

    /// A link as it must be at the root; `None` where it is right as it is.
    fn link<'l>(
        &self,
        link: &'l str,
        renamed: &'l HashMap<String, String>,
    ) -> Option<Cow<'l, str>> {
        if let Some(id) = link.strip_prefix('#') {
            return Some(Cow::Owned(match renamed.get(id) {
                Some(id) => format!("#{id}"),
                // A heading, whose name on this page mdBook knows: on its own page it is sure.
                None => format!("{}{link}", self.path),
            }));
        }
        if self.root.is_empty() || link.starts_with('/') || link.contains(':') {
            return None;
        }
        if let Some(link) = link.strip_prefix(&self.root) {
            return Some(Cow::Borrowed(link));
        }
        let folder = self.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        (!link.starts_with("..")).then(|| Cow::Owned(format!("{folder}/{link}")))
    }
}

/// An attribute in HTML.
struct Attribute<'h> {
    name: &'h str,
    value: &'h str,
    /// Where the value begins.
    start: usize,
}

fn attributes(html: &str) -> impl Iterator<Item = Attribute<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let equals = at + html[at..].find("=\"")?;
        let start = equals + 2;
        let end = start + html[start..].find('"')?;
        let before = &html[at..equals];
        let name = before
            .rfind(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | ':')))
            .map_or(before, |blank| &before[blank + 1..]);
        at = end + 1;
        Some(Attribute {
            name,
            value: &html[start..end],
            start,
        })
    })
}
