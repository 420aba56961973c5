//! HTTP by `curl`, or by `wget` where a plain GET is all there is to ask.

use std::fmt::Write as _;
use std::time::Duration;

use super::super::ProbeError;
use super::super::http::{Body, Request};
use super::{Answer, Commands, Printed, is_unknown_name, reason};

/// The longest request: a variable has at most 128 KiB.
const CONFIG_BYTES_MAX: usize = 100 << 10;
/// How many redirects are followed.
const REDIRECTS_MAX: u32 = 10;

const TEXT: &str = "if command -v curl >/dev/null; then echo curl; c=$RB_CURL; unset RB_CURL; printf %s \"$c\" | curl -q -K -\n\
elif [ -n \"$RB_URL\" ] && command -v wget >/dev/null; then echo wget; o=-q\n\
if wget --help 2>&1 | grep -q max-redirect; then o=-nv; [ -n \"$RB_FOLLOW\" ] || o='-nv --max-redirect=0'; fi\n\
exec wget -S -T \"$RB_SECONDS\" $o -O - \"$RB_URL\"\n\
else echo none; fi";

pub(super) fn commands(request: &Request, seconds: u64) -> Result<Commands, ProbeError> {
    let mut url = reqwest::Url::parse(&request.url)
        .map_err(|error| ProbeError::invalid("URL", &request.url, error))?;
    if !request.query.is_empty() {
        url.query_pairs_mut().extend_pairs(&request.query);
    }
    let method = if request.method.is_empty() {
        "GET"
    } else {
        &request.method
    };
    let (body, kind) = match &request.body {
        Body::None => (None, None),
        Body::Text(text) => (Some(text.clone()), None),
        Body::Json(json) => (Some(json.to_string()), Some("application/json")),
        Body::Form(fields) => {
            let mut form = url.clone();
            form.set_query(None);
            form.query_pairs_mut().extend_pairs(fields);
            let text = form.query().unwrap_or_default().to_owned();
            (Some(text), Some("application/x-www-form-urlencoded"))
        }
    };
    let mut config = String::from(
        "silent\nshow-error\ninclude\ngloboff\nnoproxy = \"*\"\nsuppress-connect-headers\n",
    );
    let mut set = |key: &str, value: &str| {
        // Writing to a text cannot fail.
        let _ = writeln!(config, "{key} = {}", quoted(value));
    };
    set("url", url.as_str());
    set("max-time", &seconds.to_string());
    let mut headers = request.headers.clone();
    let has = |name: &str| {
        headers
            .iter()
            .any(|(known, _)| known.eq_ignore_ascii_case(name))
    };
    let typed = kind.filter(|_| !has("content-type"));
    if let Some(kind) = typed {
        headers.push(("content-type".into(), kind.into()));
    } else if body.is_some() && !has("content-type") {
        // Else `curl` says that it is a form.
        headers.push(("content-type".into(), String::new()));
    }
    for (name, value) in &headers {
        if name.contains(['\n', '\r']) || value.contains(['\n', '\r']) {
            return Err(ProbeError::invalid("header", name, "it has a line break"));
        }
        // A header without a value is written with a semicolon, one that is not to be sent with a colon only.
        set("header", &format!("{name}: {value}"));
    }
    match (method, &body) {
        ("HEAD", None) => config.push_str("head\n"),
        ("GET", None) => {}
        _ => set("request", method),
    }
    if let Some(body) = &body {
        let _ = writeln!(config, "data-raw = {}", quoted(body));
    }
    if request.insecure {
        config.push_str("insecure\n");
    }
    if let Some(ca) = &request.ca {
        let _ = writeln!(config, "cacert = {}", quoted(&ca.to_string_lossy()));
    }
    if request.follow {
        let _ = writeln!(config, "location\nmax-redirs = {REDIRECTS_MAX}");
    }
    let port = url.port_or_known_default().unwrap_or(80);
    for (name, address) in &request.resolve {
        let (host, own) = split(address);
        let own = own.unwrap_or_else(|| port.to_string());
        let to = format!("{name}:{port}:{host}:{own}");
        let _ = writeln!(config, "connect-to = {}", quoted(&to));
    }
    if config.len() > CONFIG_BYTES_MAX {
        let why = format!("it has more than {CONFIG_BYTES_MAX} bytes");
        return Err(ProbeError::invalid("request", &request.url, why));
    }
    let plain = method == "GET"
        && body.is_none()
        && headers.is_empty()
        && request.resolve.is_empty()
        && request.ca.is_none()
        && !request.insecure;
    let plain_url = if plain {
        url.to_string()
    } else {
        String::new()
    };
    let follow = if request.follow { "1" } else { "" };
    Ok(Commands {
        text: TEXT.to_owned(),
        env: vec![
            ("RB_CURL", config),
            ("RB_URL", plain_url),
            ("RB_FOLLOW", follow.to_owned()),
            ("RB_SECONDS", seconds.to_string()),
        ],
    })
}

/// An address and its port; that of IPv6 in brackets.
fn split(address: &str) -> (String, Option<String>) {
    if address.parse::<std::net::Ipv6Addr>().is_ok() {
        return (format!("[{address}]"), None);
    }
    match address.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host.to_owned(), Some(port.to_owned())),
        _ => (address.to_owned(), None),
    }
}

/// A value of curl's configuration.
fn quoted(value: &str) -> String {
    let mut text = String::with_capacity(value.len() + 2);
    text.push('"');
    for letter in value.chars() {
        match letter {
            '"' | '\\' => {
                text.push('\\');
                text.push(letter);
            }
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{b}' => text.push_str("\\v"),
            other => text.push(other),
        }
    }
    text.push('"');
    text
}

pub(super) fn read(
    request: &Request,
    tool: &str,
    printed: Printed<'_>,
    time: Duration,
) -> Result<Answer, ProbeError> {
    if tool == "wget" {
        return by_wget(request, printed, time);
    }
    if printed.code != 0 {
        return Err(failed(request, printed, time));
    }
    let mut rest = printed.stdout;
    loop {
        let Some((head, after)) = block(rest) else {
            let reason = "no status line".to_owned();
            let address = request.url.clone();
            return Err(ProbeError::Protocol { address, reason });
        };
        let redirects = request.follow && (300..400).contains(&head.0);
        // Of several answers the last one counts: those before it are steps on the way.
        if (head.0 < 200 || redirects) && block(after).is_some() {
            rest = after;
            continue;
        }
        return Ok(Answer::Http {
            status: head.0,
            header: head.1,
            body: after.to_owned(),
            is_cut: !printed.is_whole,
        });
    }
}

type Head = (u16, Vec<(String, String)>);

/// Status and headers at the beginning of a text, and what follows.
fn block(text: &str) -> Option<(Head, &str)> {
    if !text.starts_with("HTTP/") {
        return None;
    }
    let (head, after) = text
        .split_once("\r\n\r\n")
        .or_else(|| text.split_once("\n\n"))?;
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    Some(((status, headers(lines)), after))
}

fn headers<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    for line in lines {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        match all.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => {
                known.push_str(", ");
                known.push_str(value);
            }
            None => all.push((name, value.to_owned())),
        }
    }
    all
}

/// `wget` tells status and headers on standard error, indented, and the body of a success only.
fn by_wget(request: &Request, printed: Printed<'_>, time: Duration) -> Result<Answer, ProbeError> {
    let mut blocks: Vec<Vec<&str>> = Vec::new();
    for line in printed.stderr.lines() {
        let plain = line.trim();
        if plain.starts_with("HTTP/") {
            blocks.push(vec![plain]);
        } else if line.starts_with(' ')
            && let Some(block) = blocks.last_mut()
        {
            block.push(plain);
        }
    }
    let chosen = if request.follow {
        blocks.last()
    } else {
        blocks.first()
    };
    let status = chosen.and_then(|lines| lines.first()?.split(' ').nth(1)?.parse().ok());
    let (Some(lines), Some(status)) = (chosen, status) else {
        return Err(failed(request, printed, time));
    };
    let is_own = request.follow || blocks.len() == 1;
    let is_success = printed.code == 0 && is_own;
    Ok(Answer::Http {
        status,
        header: headers(lines[1..].iter().copied()),
        body: if is_success {
            printed.stdout.to_owned()
        } else {
            String::new()
        },
        is_cut: !is_success || !printed.is_whole,
    })
}

fn failed(request: &Request, printed: Printed<'_>, time: Duration) -> ProbeError {
    let said = reason(printed);
    let host = reqwest::Url::parse(&request.url).ok();
    let address = host.as_ref().and_then(|url| {
        let host = url.host_str()?;
        Some(format!("{host}:{}", url.port_or_known_default()?))
    });
    let address = address.unwrap_or_else(|| request.url.clone());
    match printed.code {
        28 => ProbeError::TimedOut {
            address,
            after: time,
        },
        35 | 51 | 53 | 54 | 58 | 59 | 60 | 64 | 66 | 77 | 80 | 82 | 83 | 90 | 91 => {
            ProbeError::Tls {
                address,
                reason: said,
            }
        }
        _ if said.contains("refused") => ProbeError::Refused { address },
        6 => name(&host, said),
        _ if is_unknown_name(&said) => name(&host, said),
        _ => ProbeError::Unreachable {
            address,
            reason: said,
        },
    }
}

fn name(url: &Option<reqwest::Url>, reason: String) -> ProbeError {
    let name = url.as_ref().and_then(|url| url.host_str()).unwrap_or("?");
    ProbeError::Name {
        name: name.to_owned(),
        reason,
    }
}
