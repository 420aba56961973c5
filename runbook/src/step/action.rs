//! The arguments of an action against its table, and the few rules a table cannot say.

use crate::findings::Findings;
use crate::include::Includer;
use crate::node::Node;
use crate::read;
use crate::spec::{ActionSpec, Args, TargetKind, Type};

/// Checks an action's arguments; the files they name are read and kept by `includer`.
pub(super) fn check(
    action: &'static ActionSpec,
    args: &Node,
    includer: &mut Includer<'_>,
    findings: &mut Findings,
) {
    check_args(action, args, findings);
    let Args::Fields(fields) = action.args else {
        return;
    };
    for field in fields
        .iter()
        .filter(|field| matches!(field.ty, Type::File | Type::List(Type::File)))
    {
        for file in args
            .get(field.name)
            .map(read::items)
            .unwrap_or_default()
            .iter()
        {
            if let (Some(path), false) = (file.as_text(), read::deferred(file)) {
                if field.name == "kustomize" {
                    includer.directory(path, file.span, findings);
                } else {
                    includer.file(path, file.span, findings);
                }
            }
        }
    }
}

/// Checks an action's arguments without its files.
pub(super) fn check_args(action: &'static ActionSpec, args: &Node, findings: &mut Findings) {
    let fields = match action.args {
        Args::Script => {
            if let Some(script) = findings.take(read::text(args))
                && script.trim().is_empty()
            {
                findings.hinted(
                    "no-action",
                    args.span,
                    format!("the script of `{}` is empty", action.name),
                    "write what it does",
                );
            }
            return;
        }
        Args::Fields(fields) => fields,
    };
    if read::deferred(args) {
        findings.hinted(
            "fixed-key",
            args.span,
            format!("`{}` is a map, not one template", action.name),
            "write its fields; each may be a template",
        );
        return;
    }
    let Some(entries) = findings.take(read::entries(args)) else {
        return;
    };
    let mut errors = Vec::new();
    read::check_fields(
        fields,
        action.groups,
        &entries,
        args.span,
        &format!("`{}`", action.name),
        &mut errors,
    );
    let clean = errors.is_empty();
    errors.into_iter().for_each(|error| findings.read(error));
    if clean {
        details(action, args, findings);
    }
}

/// The types of records that `dns` can be asked for.
const DNS_TYPES: [&str; 10] = [
    "A", "AAAA", "CNAME", "MX", "TXT", "PTR", "SRV", "NS", "SOA", "CAA",
];
/// The fields that say what an action of a cluster is about, as lists.
const ABOUT: [&str; 7] = [
    "objects",
    "file",
    "kustomize",
    "reconcile",
    "suspend",
    "resume",
    "ready",
];
/// The highest port.
const PORT_MAX: i64 = 65_535;

fn details(action: &ActionSpec, args: &Node, findings: &mut Findings) {
    let given = |field: &str| args.get(field).filter(|node| !read::deferred(node));
    if let Some(node) = given("port")
        && let Ok(port) = read::int(node)
        && !(1..=PORT_MAX).contains(&port)
    {
        findings.hinted(
            "wrong-type",
            node.span,
            format!("`{port}` is not a port"),
            format!("write 1 to {PORT_MAX}"),
        );
    }
    if action.name == "file"
        && let Some(node) = given("mode")
        && let Some(mode) = node.as_text()
        && !(matches!(mode.len(), 3 | 4) && mode.bytes().all(|b| (b'0'..=b'7').contains(&b)))
    {
        findings.hinted(
            "wrong-type",
            node.span,
            format!("`{mode}` is not a mode"),
            "write three or four octal digits, `\"0644\"`",
        );
    }
    if action.name == "dns"
        && let Some(node) = given("type")
        && let Some(kind) = node.as_text()
        && !DNS_TYPES
            .iter()
            .any(|known| known.eq_ignore_ascii_case(kind))
    {
        findings.hinted(
            "wrong-type",
            node.span,
            format!(
                "`{}` is not a type of records that can be asked for",
                read::cut(kind)
            ),
            format!("write one of {}", DNS_TYPES.join(", ")),
        );
    }
    if action.name == "git"
        && let Some(node) = given("path")
        && let Some(path) = node.as_text()
        && (path.is_empty()
            || path.starts_with('/')
            || crate::include::join("", path).starts_with(".."))
    {
        findings.hinted(
            "wrong-type",
            node.span,
            format!("`{}` is not a path in the repository", read::cut(path)),
            "write it relative to the repository's root",
        );
    }
    if action.name == "http"
        && let Some(node) = given("url")
        && let Some(url) = node.as_text()
        && !(url.starts_with("http://") || url.starts_with("https://"))
    {
        findings.hinted(
            "wrong-type",
            node.span,
            format!("`{}` is not a URL", read::cut(url)),
            "write `http://…` or `https://…`",
        );
    }
    if action.name == "apply"
        && matches!(
            given("patch").and_then(Node::as_text),
            Some("merge" | "json")
        )
    {
        for other in ["prune", "force", "kustomize"] {
            if let Some(node) = args.get(other) {
                findings.hinted(
                    "keys-together",
                    node.span,
                    format!("`{other}` and `patch` do not go together"),
                    "a patch changes an object that is there; take one of them out",
                );
            }
        }
    }
    if action.targets == [TargetKind::Cluster] {
        for field in ABOUT {
            if let Some(node) = given(field)
                && node.as_list().is_some_and(<[Node]>::is_empty)
            {
                findings.hinted(
                    "wrong-type",
                    node.span,
                    format!("`{field}` names nothing"),
                    "a step that is about nothing proves nothing: name what it is about",
                );
            }
        }
    }
    if action.name == "flux" {
        flux_names(args, findings);
    }
    if action.name == "http"
        && let Some(node) = given("method")
        && let Some(method) = node.as_text()
        && (method.is_empty() || !method.bytes().all(|b| b.is_ascii_uppercase()))
    {
        findings.hinted(
            "wrong-type",
            node.span,
            format!("`{}` is not a method", read::cut(method)),
            format!(
                "write `{}`",
                if method.is_empty() {
                    "GET".into()
                } else {
                    method.to_uppercase()
                }
            ),
        );
    }
}

/// Objects of Flux are named `KIND/NAME`; `all` may be ready, and nothing else.
fn flux_names(args: &Node, findings: &mut Findings) {
    for field in ["reconcile", "suspend", "resume", "ready"] {
        for node in args.get(field).map(read::items).unwrap_or_default().iter() {
            let Some(text) = node.as_text().filter(|_| !read::deferred(node)) else {
                continue;
            };
            let is_named = text
                .split_once('/')
                .is_some_and(|(kind, name)| !kind.is_empty() && !name.is_empty());
            let is_all = field == "ready" && text == "all";
            if !is_named && !is_all {
                let hint = match text {
                    "all" => "name each of them; only `ready` takes `all`",
                    _ => "write `KIND/NAME`, such as `Kustomization/apps`",
                };
                let message = format!("`{}` is not of the form `KIND/NAME`", read::cut(text));
                findings.hinted("wrong-type", node.span, message, hint);
            }
        }
    }
}
