//! The objects that a step's keys give: written in it, in files, in directories for Kustomize.
//!
//! What is written in a step is YAML first; then each text value is rendered. Files are what Flux would apply too: they are taken
//! as they stand.

use std::path::PathBuf;

use runbook::mapped::Mapped;
use runbook::node::{Entry, Kind, Node};
use runbook::read::{self, Args};
use runbook::source::Span;
use runbook::yaml;
use runbook_k8s::{Error, Object, Place, manifest};
use serde_json::Value;

use super::super::context::Cx;
use super::super::job::Job;
use super::super::outcome::Outcome;
use super::Read;
use crate::action::Failure;

/// The largest file of manifests, in bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// How a name ends that is another one each time, in hexadecimal digits.
const UNIQUE_CHARS: usize = 6;

/// The arguments, rendered, but for the manifest: that is YAML before it has values.
pub(super) fn rendered(cx: &Cx, job: &Job<'_>) -> Read<Node> {
    let Kind::Map(entries) = &job.args.kind else {
        return job.rendered(cx);
    };
    let mut rendered = Vec::with_capacity(entries.len());
    for entry in entries {
        let value = if entry.key == "manifest" {
            entry.value.clone()
        } else {
            let value = job.scope.render(&entry.value);
            value.map_err(|(span, error)| cx.template(span, &error))?
        };
        rendered.push(Entry {
            value,
            ..entry.clone()
        });
    }
    Ok(Node {
        span: job.args.span,
        kind: Kind::Map(rendered),
    })
}

/// The objects of `manifest`, `file` and `kustomize`.
pub(super) fn objects(cx: &Cx, job: &Job<'_>, args: &Args<'_>) -> Read<Vec<Object>> {
    let mut objects = Vec::new();
    if let Some(node) = args.get("manifest") {
        objects = written(cx, job, node)?;
    }
    for file in args.list("file").map_err(|error| cx.read(&error))? {
        let path = inside(cx, "file", &file)?;
        let text = text(&path).map_err(|why| wrong(format!("`file`: `{file}`: {why}")))?;
        let found = manifest::parse(&text).map_err(|error| wrong(format!("`{file}`: {error}")))?;
        if found.is_empty() {
            return Err(wrong(format!("`file`: `{file}` holds no object")));
        }
        objects.extend(found);
    }
    for folder in args.list("kustomize").map_err(|error| cx.read(&error))? {
        objects.extend(kustomized(cx, &folder)?);
    }
    if objects.is_empty() {
        return Err(wrong("the manifest holds no object"));
    }
    Ok(objects)
}

/// What a directory describes. A base may lie beside it, anywhere in the repository.
fn kustomized(cx: &Cx, folder: &str) -> Read<Vec<Object>> {
    let path = inside(cx, "kustomize", folder)?;
    let failed = |why: String| wrong(format!("`kustomize`: `{folder}`: {why}"));
    let repository = cx.run.locals.repository().canonicalize();
    let repository = repository.map_err(|error| failed(error.to_string()))?;
    let below = path.strip_prefix(&repository).unwrap_or(&path);
    let values = runbook_lab::kube::kustomized(&repository, &below.to_string_lossy());
    let values = values.map_err(failed)?;
    let values = values.into_iter().map(|value| (Place::default(), value));
    manifest::objects(values).map_err(|error| match error {
        Error::Manifest { message, .. } => failed(message),
        error => failed(error.to_string()),
    })
}

/// The documents of a step's own manifest with their values.
fn written(cx: &Cx, job: &Job<'_>, node: &Node) -> Read<Vec<Object>> {
    let text = read::text(node).map_err(|error| cx.read(&error))?;
    let documents = yaml::documents(&mapped(cx, node, &text)).map_err(|error| {
        let failure = Failure::new(format!("{}: {}", cx.at_line(error.span), error.message));
        Box::new(Outcome::wrong(failure.hint(error.hint)))
    })?;
    let source = &cx.book_guide().source;
    let line = |span: Span| source.position(span.start).line;
    let mut values = Vec::with_capacity(documents.len());
    for (index, document) in documents.iter().enumerate() {
        let rendered = if job.template {
            let rendered = job.scope.render(document);
            rendered.map_err(|(span, error)| cx.template(span, &error))?
        } else {
            document.clone()
        };
        let place = Place {
            document: index + 1,
            line: usize::try_from(line(document.span)).unwrap_or_default(),
        };
        let mut value = json_of(&rendered);
        if job.action.name == "job" {
            name(&mut value);
        }
        values.push((place, value));
    }
    manifest::objects(values).map_err(|error| {
        Box::new(Outcome::wrong(match error {
            Error::Manifest { line, message, .. } => {
                Failure::new(format!("{}:{line}: {message}", source.path()))
            }
            error => Failure::new(error.to_string()),
        }))
    })
}

/// A text of the step with its places in the chapter, as far as they are known.
fn mapped(cx: &Cx, node: &Node, text: &str) -> Mapped {
    let body = &cx.step().body;
    if body.text() == text {
        return body.clone();
    }
    let mut mapped = Mapped::default();
    let mut at = node.span.start;
    for line in text.split_inclusive('\n') {
        mapped.push_line(line, at);
        at += line.len();
    }
    mapped
}

/// As JSON; `0644` is octal, as kubectl and kustomize read file modes.
fn json_of(node: &Node) -> Value {
    match &node.kind {
        Kind::Scalar(scalar) if scalar.plain => {
            octal(&scalar.text).unwrap_or_else(|| node.to_json())
        }
        Kind::List(items) => Value::Array(items.iter().map(json_of).collect()),
        Kind::Map(entries) => {
            let entries = entries
                .iter()
                .map(|entry| (entry.key.clone(), json_of(&entry.value)));
            Value::Object(entries.collect())
        }
        _ => node.to_json(),
    }
}

fn octal(text: &str) -> Option<Value> {
    let digits = text.strip_prefix('0').filter(|digits| !digits.is_empty())?;
    if !digits.bytes().all(|digit| matches!(digit, b'0'..=b'7')) {
        return None;
    }
    i64::from_str_radix(digits, 8).ok().map(Value::from)
}

/// A Job may be another one each time: `generateName` becomes a name.
fn name(value: &mut Value) {
    let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) else {
        return;
    };
    if metadata.contains_key("name") {
        return;
    }
    if let Some(Value::String(prefix)) = metadata.remove("generateName") {
        metadata.insert(
            "name".to_owned(),
            Value::from(format!("{prefix}{}", unique())),
        );
    }
}

/// Something that is another each time.
pub(super) fn unique() -> String {
    use std::hash::{BuildHasher as _, RandomState};
    let mut text = format!("{:016x}", RandomState::new().hash_one(std::process::id()));
    text.truncate(UNIQUE_CHARS);
    text
}

/// A path of the repository, relative to the chapter.
fn inside(cx: &Cx, field: &str, path: &str) -> Read<PathBuf> {
    cx.repository_path(path).ok_or_else(|| {
        wrong(format!(
            "`{field}`: `{path}` is not there, or not in the repository"
        ))
    })
}

fn text(path: &std::path::Path) -> Result<String, String> {
    let length = path.metadata().map_err(|error| error.to_string())?.len();
    if length > FILE_BYTES_MAX {
        return Err(format!("it is larger than {} MiB", FILE_BYTES_MAX >> 20));
    }
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}

fn wrong(message: impl Into<String>) -> Box<Outcome> {
    Box::new(Outcome::wrong(Failure::new(message)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn scalars_are_those_of_yaml_but_for_file_modes() {
        let mut mapped = Mapped::default();
        mapped.push_line("{mode: 0644, port: 080, text: '0644', yes: no, n: 10}", 0);
        let documents = yaml::documents(&mapped).expect("YAML");
        assert_eq!(
            json_of(&documents[0]),
            json!({"mode": 420, "port": 80, "text": "0644", "yes": "no", "n": 10})
        );
    }

    #[test]
    fn a_generated_name_is_a_name_of_its_own() {
        let mut value = json!({"metadata": {"generateName": "smoke-"}});
        name(&mut value);
        let made = value["metadata"]["name"].as_str().expect("a name");
        assert!(made.starts_with("smoke-") && made.len() == 12, "{made}");
        assert!(value["metadata"].get("generateName").is_none());
    }
}
