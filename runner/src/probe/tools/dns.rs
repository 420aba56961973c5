//! What DNS answers, by `dig`, `nslookup` or `getent`.

use std::net::IpAddr;
use std::time::Duration;

use super::super::ProbeError;
use super::super::dns::Request;
use super::{Answer, Commands, Printed, reason};

const TEXT: &str = "if command -v dig >/dev/null; then echo dig\n\
set -- +noall +answer +comments +time=2 +tries=2 -t \"$RB_TYPE\" -q \"$RB_NAME\"; [ -z \"$RB_SERVER\" ] || set -- \"@$RB_SERVER\" -p \"$RB_PORT\" \"$@\"; exec dig \"$@\"\n\
elif [ -n \"$RB_ADDRESS\" ] && [ \"$RB_PORT\" = 53 ] && command -v nslookup >/dev/null; then echo nslookup; exec nslookup \"-type=$RB_TYPE\" \"$RB_NAME\" $RB_SERVER\n\
elif [ -n \"$RB_ADDRESS\" ] && [ -z \"$RB_SERVER\" ] && command -v getent >/dev/null; then echo getent; exec getent \"$RB_ADDRESS\" \"$RB_NAME\"\n\
else echo none; fi";

pub(super) fn commands(request: &Request) -> Commands {
    let kind = request.kind.to_ascii_uppercase();
    let name = match (kind.as_str(), request.name.parse::<IpAddr>()) {
        ("PTR", Ok(address)) => reverse(address),
        // A full one: no domain is searched.
        _ => format!("{}.", request.name.trim_end_matches('.')),
    };
    let (server, port) = match request.server.as_str() {
        "system" => (String::new(), "53".to_owned()),
        server => split(server),
    };
    let address = match kind.as_str() {
        "A" => "ahostsv4",
        "AAAA" => "ahostsv6",
        _ => "",
    };
    Commands {
        text: TEXT.to_owned(),
        env: vec![
            ("RB_NAME", name),
            ("RB_TYPE", kind),
            ("RB_SERVER", server),
            ("RB_PORT", port),
            ("RB_ADDRESS", address.to_owned()),
        ],
    }
}

/// The name of an address.
fn reverse(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa.")
        }
        IpAddr::V6(address) => {
            let digits = address
                .octets()
                .into_iter()
                .rev()
                .flat_map(|byte| [byte & 15, byte >> 4].map(|digit| format!("{digit:x}.")));
            digits.collect::<String>() + "ip6.arpa."
        }
    }
}

/// A server and its port.
fn split(server: &str) -> (String, String) {
    if let Some(rest) = server.strip_prefix('[')
        && let Some((host, port)) = rest.split_once(']')
    {
        let port = port.strip_prefix(':').unwrap_or("53");
        return (host.to_owned(), port.to_owned());
    }
    match server.split_once(':') {
        Some((host, port)) if !port.contains(':') => (host.to_owned(), port.to_owned()),
        _ => (server.to_owned(), "53".to_owned()),
    }
}

pub(super) fn read(
    request: &Request,
    tool: &str,
    printed: Printed<'_>,
    time: Duration,
) -> Result<Answer, ProbeError> {
    let found = match tool {
        "dig" => by_dig(request, printed.stdout),
        "nslookup" => by_nslookup(printed.stdout),
        _ => Some(by_getent(printed)),
    };
    if let Some((answer, status)) = found {
        return Ok(Answer::Dns { answer, status });
    }
    let said = format!("{}\n{}", printed.stdout, printed.stderr);
    let address = request.server.clone();
    if said.contains("timed out") || said.contains("no servers could be reached") {
        return Err(ProbeError::TimedOut {
            address,
            after: time,
        });
    }
    Err(ProbeError::Unreachable {
        address,
        reason: reason(printed),
    })
}

fn by_dig(request: &Request, stdout: &str) -> Option<(Vec<String>, String)> {
    let status = stdout.split_once("status: ")?.1;
    let status = status.split(',').next()?.to_owned();
    let kind = request.kind.to_ascii_uppercase();
    let records = stdout.lines().filter(|line| !line.starts_with(';'));
    let answer = records.filter_map(|line| {
        let mut fields = line.split_whitespace();
        let is_kind = fields.nth(3)? == kind;
        let rest: Vec<&str> = fields.collect();
        is_kind.then(|| record(&kind, line, &rest))
    });
    Some((answer.collect(), status))
}

/// A record as the other probes write it.
fn record(kind: &str, line: &str, fields: &[&str]) -> String {
    match kind {
        "TXT" => {
            // Parts in quotes, which belong together.
            let start = line.find('"').unwrap_or(line.len());
            let mut text = String::new();
            let mut inside = false;
            let mut letters = line[start..].chars();
            while let Some(letter) = letters.next() {
                match letter {
                    '"' => inside = !inside,
                    '\\' if inside => text.extend(letters.next()),
                    other if inside => text.push(other),
                    _ => {}
                }
            }
            text
        }
        "CNAME" | "PTR" | "NS" | "MX" | "SRV" | "SOA" => {
            let without = |field: &&str| match field.strip_suffix('.') {
                Some(name) if !name.is_empty() => name.to_owned(),
                _ => (*field).to_owned(),
            };
            fields.iter().map(without).collect::<Vec<_>>().join(" ")
        }
        _ => fields.join(" "),
    }
}

fn by_nslookup(stdout: &str) -> Option<(Vec<String>, String)> {
    for status in ["NXDOMAIN", "SERVFAIL", "REFUSED"] {
        if stdout.contains(status) {
            return Some((Vec::new(), status.to_owned()));
        }
    }
    if stdout.contains("No answer") {
        return Some((Vec::new(), "NOERROR".into()));
    }
    // Before the first name stands the server's own address.
    let (_, answers) = stdout.split_once("Name:")?;
    let addresses = answers.lines().filter_map(|line| {
        let rest = line.trim().strip_prefix("Address")?;
        let (_, address) = rest.split_once(':')?;
        address.split_whitespace().next().map(str::to_owned)
    });
    Some((addresses.collect(), "NOERROR".into()))
}

fn by_getent(printed: Printed<'_>) -> (Vec<String>, String) {
    let mut answer: Vec<String> = Vec::new();
    for line in printed.stdout.lines() {
        if let Some(address) = line.split_whitespace().next()
            && !answer.iter().any(|known| known == address)
        {
            answer.push(address.to_owned());
        }
    }
    let status = if answer.is_empty() {
        "NXDOMAIN"
    } else {
        "NOERROR"
    };
    (answer, status.to_owned())
}
