//! Differences of texts for people: unified, bounded.

use similar::TextDiff;

/// Beyond this size of either side only the sizes are told.
const TEXT_BYTES_MAX: usize = 1 << 20;
/// The longest difference that is shown.
const DIFF_BYTES_MAX: usize = 64 << 10;
/// Unchanged lines around a change.
const CONTEXT_LINES: usize = 3;

/// The difference between two contents of a path; `new` when there is nothing there yet.
pub fn content(path: &str, from: &[u8], to: &[u8], new: bool) -> String {
    let texts = (std::str::from_utf8(from), std::str::from_utf8(to));
    let (Ok(from_text), Ok(to_text)) = texts else {
        return sizes(path, from, to, new);
    };
    if from.len() > TEXT_BYTES_MAX
        || to.len() > TEXT_BYTES_MAX
        || from.contains(&0)
        || to.contains(&0)
    {
        return sizes(path, from, to, new);
    }
    if new && to.is_empty() {
        return format!("+ file {path}, empty");
    }
    let before = if new { "/dev/null" } else { path };
    let diff = TextDiff::from_lines(from_text, to_text);
    let text = diff
        .unified_diff()
        .context_radius(CONTEXT_LINES)
        .header(before, path)
        .to_string();
    bounded(text.trim_end_matches('\n'))
}

fn sizes(path: &str, from: &[u8], to: &[u8], new: bool) -> String {
    if new {
        return format!("+ file {path}, {} bytes", to.len());
    }
    format!(
        "content of {path}: {} bytes → {} bytes",
        from.len(),
        to.len()
    )
}

fn bounded(text: &str) -> String {
    if text.len() <= DIFF_BYTES_MAX {
        return text.to_owned();
    }
    let end = (0..=DIFF_BYTES_MAX)
        .rev()
        .find(|end| text.is_char_boundary(*end))
        .unwrap_or(0);
    let cut = &text[..end];
    let shown = cut.rfind('\n').map_or(cut, |end| &cut[..end]);
    format!(
        "{shown}\n[{} more lines]",
        text[shown.len()..].trim_start_matches('\n').lines().count()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_shows_its_lines_and_their_surroundings() {
        let shown = content("/etc/x", b"a\nb\nc\n", b"a\nB\nc\n", false);
        assert_eq!(
            shown,
            "--- /etc/x\n+++ /etc/x\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c"
        );
        assert!(content("/etc/x", b"", b"a\n", true).starts_with("--- /dev/null\n+++ /etc/x\n"));
    }

    #[test]
    fn bytes_and_large_files_show_their_sizes() {
        assert_eq!(
            content("x", b"\xff", b"ab", false),
            "content of x: 1 bytes → 2 bytes"
        );
        assert_eq!(
            content("x", b"", &vec![b'a'; TEXT_BYTES_MAX + 1], true),
            "+ file x, 1048577 bytes"
        );
        let long: String = (0..20_000).map(|line| format!("line {line}\n")).collect();
        let shown = content("x", b"", long.as_bytes(), true);
        assert!(
            shown.len() < DIFF_BYTES_MAX + 100 && shown.ends_with(" more lines]"),
            "{}",
            &shown[shown.len() - 100..]
        );
    }
}
