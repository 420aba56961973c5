//! Uploads: a multipart form with the file in its last part, read as pve-http-server reads it (`AnyEvent.pm`,
//! `file_upload_multipart`).

use crate::pve::params::Params;

/// The fields beside the file.
const FIELDS: [&str; 3] = ["content", "checksum-algorithm", "checksum"];

/// What an upload holds.
pub(super) struct Parts {
    /// The fields, with the file's name.
    pub(super) fields: Params,
    pub(super) file: Vec<u8>,
}

/// What stands between the parts, if the content type is that of a form with files.
pub(super) fn boundary(content_type: &str) -> Option<String> {
    let mut parts = content_type.split(';').map(str::trim);
    if !parts.next()?.eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let found = parts.find_map(|part| part.strip_prefix("boundary="))?;
    let found = found.trim_matches('"');
    (!found.is_empty()).then(|| found.to_owned())
}

/// Reads the parts. The error is the reason phrase of the 500.
pub(super) fn read(body: &[u8], boundary: &str) -> Result<Parts, String> {
    let failed = || "upload failed".to_owned();
    let delimiter = format!("--{boundary}");
    let mut fields = Params::new();
    let mut at = find(body, delimiter.as_bytes(), 0).ok_or_else(failed)? + delimiter.len();
    loop {
        let end = find(body, b"\r\n\r\n", at).ok_or_else(failed)?;
        let head = String::from_utf8_lossy(&body[at..end]).into_owned();
        let start = end + 4;
        let next = find(body, format!("\r\n{delimiter}").as_bytes(), start).ok_or_else(failed)?;
        let data = &body[start..next];
        let disposition = head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Disposition: "))
            .ok_or_else(failed)?;
        let kind = disposition.split(';').next().unwrap_or_default();
        if kind != "form-data" {
            return Err(format!(
                "wrong Content-Disposition '{kind}' in multipart, expected 'form-data'"
            ));
        }
        let name = quoted(disposition, "name").unwrap_or_default();
        if let Some(file) = quoted(disposition, "filename") {
            if name != "filename" {
                return Err(format!(
                    "wrong field name '{name}' for file upload, expected 'filename'"
                ));
            }
            fields.set("filename", file.trim());
            return Ok(Parts {
                fields,
                file: data.to_vec(),
            });
        }
        if FIELDS.contains(&name.as_str()) {
            fields.set(&name, String::from_utf8_lossy(data).trim());
        }
        at = next + 2 + delimiter.len();
    }
}

/// A quoted value of a disposition.
fn quoted(text: &str, key: &str) -> Option<String> {
    let rest = text
        .split(';')
        .map(str::trim)
        .find_map(|part| part.strip_prefix(key)?.strip_prefix("=\""))?;
    Some(rest.split('"').next().unwrap_or_default().to_owned())
}

fn find(bytes: &[u8], wanted: &[u8], from: usize) -> Option<usize> {
    let first = *wanted.first()?;
    let mut at = from;
    while let Some(next) = bytes.get(at..)?.iter().position(|byte| *byte == first) {
        at += next;
        if bytes[at..].starts_with(wanted) {
            return Some(at);
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = "--X\r\nContent-Disposition: form-data; name=\"content\"\r\n\r\niso\r\n--X\r\nContent-Disposition: \
        form-data; name=\"filename\"; filename=\"a.iso\"\r\nContent-Type: application/octet-stream\r\n\r\none\r\n\r\ntwo\r\n--X--\r\n";

    #[test]
    fn fields_and_file_are_told_apart() {
        let parts = read(BODY.as_bytes(), "X").expect("it is whole");
        assert_eq!(parts.fields.text("content").as_deref(), Some("iso"));
        assert_eq!(parts.fields.text("filename").as_deref(), Some("a.iso"));
        assert_eq!(parts.file, b"one\r\n\r\ntwo");
    }

    #[test]
    fn a_body_that_is_cut_and_a_wrong_field_are_refused() {
        let cut = &BODY.as_bytes()[..BODY.len() - 12];
        assert_eq!(read(cut, "X").err().as_deref(), Some("upload failed"));
        let wrong = BODY.replace("name=\"filename\"", "name=\"file\"");
        assert_eq!(
            read(wrong.as_bytes(), "X").err().as_deref(),
            Some("wrong field name 'file' for file upload, expected 'filename'")
        );
    }

    #[test]
    fn only_a_form_with_files_has_a_boundary() {
        assert_eq!(
            boundary("multipart/form-data; boundary=\"a b\"").as_deref(),
            Some("a b")
        );
        assert_eq!(boundary("application/json"), None);
    }
}
