//! Probes: `http`, `tcp`, `dns`, `tls`. From a step's keys to a request, from an answer to its fields; on another machine by
//! the programs that it has.
//!
//! In the lab a probe of an inventory machine never leaves for the real one.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use runbook::read::Args;
use runbook::result::Fields;
use serde_json::{Map, Value};

use super::context::Cx;
use super::job::Job;
use super::outcome::Outcome;
use super::vantage::{self, Goal, Goes, Port};
use crate::action::shell::Shell;
use crate::action::{Ended, Failure, Report};
use crate::probe::{Certificate, Network, ProbeError, dns, http, tcp, tls, tools};

/// The name servers of the vantage point.
const SYSTEM: &str = "system";

type Read<T> = Result<T, Box<Outcome>>;

/// A question that is ready to be asked.
enum Question {
    Http(Box<http::Request>),
    Tcp(tcp::Request),
    Dns(dns::Request),
    Tls(tls::Request),
}

/// Executes a probe.
///
/// # Errors
///
/// A value that is not what its key wants.
pub(super) async fn perform(cx: &Cx, name: &str, args: &Args<'_>, left: Duration) -> Read<Report> {
    if !is_probe(name) {
        return Ok(Report::failed(format!("`{name}` is not available")));
    }
    let place = match cx.place() {
        Ok(place) => place,
        Err(error) => {
            return Ok(Report::of(Ended::Unavailable(Failure::new(format!(
                "no place to run in: {error}"
            )))));
        }
    };
    let question = Question::read(cx, name, args, &place.directory)?;
    let command = question.summary();
    let (network, stand_in, inside) = match vantage::from_here(cx, &question.goals()).await? {
        Goes::Out => (Network::Own, false, false),
        Goes::Lab { network, stand_in } => (network, stand_in, true),
        Goes::Nowhere(nothing) => return Ok(nothing.report().command(command)),
    };
    let mut report = tokio::select! {
        biased;
        () = cx.cancel.stopped() => Report::of(Ended::Aborted),
        report = question.ask(cx, &network, left) => report,
    };
    report.stand_in = stand_in;
    if inside && let Some(why) = question.unanswered(&report) {
        report = Report::of(Ended::Kept(why));
    }
    Ok(report.command(command))
}

/// Whether an action is a probe.
pub(super) fn is_probe(name: &str) -> bool {
    matches!(name, "http" | "tcp" | "dns" | "tls")
}

/// Asks from another machine, by the programs that it has.
///
/// # Errors
///
/// A value that is not what its key wants.
pub(super) async fn perform_there(
    cx: &Cx,
    job: &Job<'_>,
    args: &Args<'_>,
    shell: &Shell,
) -> Read<Report> {
    let question = Question::read(cx, job.action.name, args, Path::new(""))?;
    let command = format!("{}, from {}", question.summary(), shell.name());
    let stand_in = match vantage::from_machine(cx, &job.target, &question.goals()).await? {
        Ok(stand_in) => stand_in,
        Err(nothing) => return Ok(nothing.report().command(command)),
    };
    let named = job.expect.iter().map(|expectation| &expectation.field);
    let named = named.chain(job.capture.iter().map(|capture| &capture.field));
    let certificate = named.into_iter().any(|field| field == "certificate");
    let mut report = question.ask_there(shell).await;
    if let Question::Http(request) = &question
        && certificate
        && report.end == Ended::Done
        && let Some(request) = tls_of(request)
    {
        let other = Question::Tls(request).ask_there(shell).await;
        if let Some(found) = other.fields.get("certificate") {
            report.fields.set("certificate", found.clone());
        }
    }
    report.stand_in = stand_in;
    if cx.is_lab()
        && let Some(why) = question.unanswered(&report)
    {
        report = Report::of(Ended::Kept(why));
    }
    Ok(report.command(command))
}

/// Whose certificate an HTTP request sees.
fn tls_of(request: &http::Request) -> Option<tls::Request> {
    let url = reqwest::Url::parse(&request.url).ok()?;
    (url.scheme() == "https").then_some(())?;
    Some(tls::Request {
        host: url.host_str()?.to_owned(),
        port: url.port_or_known_default()?,
        server_name: None,
        ca: request.ca.clone(),
    })
}

impl Question {
    fn read(cx: &Cx, name: &str, args: &Args<'_>, directory: &Path) -> Read<Self> {
        Ok(match name {
            "http" => Self::Http(Box::new(http_request(cx, args, directory)?)),
            "tcp" => Self::Tcp(tcp::Request {
                host: text(cx, args, "host")?,
                port: port(cx, args, None)?,
            }),
            "dns" => Self::Dns(dns_request(cx, args)?),
            _ => Self::Tls(tls::Request {
                host: text(cx, args, "host")?,
                port: port(cx, args, Some(443))?,
                server_name: opt(cx, args, "server-name")?,
                ca: ca(cx, args, directory)?,
            }),
        })
    }

    /// The same question for the programs of another machine.
    fn for_tools(&self) -> tools::Question<'_> {
        match self {
            Self::Http(request) => tools::Question::Http(request),
            Self::Tcp(request) => tools::Question::Tcp(request),
            Self::Dns(request) => tools::Question::Dns(request),
            Self::Tls(request) => tools::Question::Tls(request),
        }
    }

    async fn ask_there(&self, shell: &Shell) -> Report {
        let time = shell.deadline.saturating_duration_since(Instant::now());
        let question = self.for_tools();
        let commands = match question.commands(time) {
            Ok(commands) => commands,
            Err(error) => return failed(&error),
        };
        let env: Vec<(&str, &str)> = commands
            .env
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let said = match shell.ask(&commands.text, &env).await {
            Ok(said) => said,
            Err(end) => return Report::of(end),
        };
        let printed = tools::Printed {
            code: said.code,
            stdout: &said.stdout,
            stderr: &said.stderr,
            is_whole: said.is_whole,
        };
        let Some((tool, answer)) = question.read(printed, time) else {
            return match (shell.lab, self) {
                (true, Self::Dns(_)) => Report::of(shell.lacks("dig")),
                _ => Report::failed(format!("no probe on {}", shell.name())),
            };
        };
        let (report, remark) = match answer {
            Ok(answer) => there(answer),
            Err(error) => (failed(&error), None),
        };
        let remark = remark.map(|remark| format!("; {remark}"));
        Report {
            note: Some(format!("asked by `{tool}`{}", remark.unwrap_or_default())),
            ..report
        }
    }

    /// What people read.
    fn summary(&self) -> String {
        match self {
            Self::Http(request) => {
                format!(
                    "{} {}",
                    if request.method.is_empty() {
                        "GET"
                    } else {
                        &request.method
                    },
                    request.url
                )
            }
            Self::Tcp(request) => format!("tcp {}:{}", request.host, request.port),
            Self::Dns(request) => {
                format!("dns {} {} @{}", request.name, request.kind, request.server)
            }
            Self::Tls(request) => format!("tls {}:{}", request.host, request.port),
        }
    }

    /// The places that would be reached.
    fn goals(&self) -> Vec<Goal> {
        let tcp = |host: &str, port: u16| Goal {
            host: host.to_owned(),
            port: Port::Tcp(port),
        };
        match self {
            Self::Http(request) => http_goals(request),
            Self::Tcp(request) => vec![tcp(&request.host, request.port)],
            Self::Tls(request) => vec![tcp(&request.host, request.port)],
            Self::Dns(request) if request.server == SYSTEM => vec![Goal {
                host: request.name.clone(),
                port: Port::Itself,
            }],
            Self::Dns(request) => vec![Goal {
                host: bare(&request.server).to_owned(),
                port: Port::Names,
            }],
        }
    }

    /// Why an answer of the lab is none: it knows names and addresses of its own machines, nothing else of the world.
    fn unanswered(&self, report: &Report) -> Option<String> {
        let Self::Dns(request) = self else {
            return None;
        };
        if request.server != SYSTEM {
            let silent = matches!(report.end, Ended::Failed(_) | Ended::TimedOut(_));
            return silent.then(|| vantage::nothing(&request.server));
        }
        let field = |name| report.fields.get(name);
        let none =
            field("answer").is_some_and(|answer| answer.as_array().is_some_and(Vec::is_empty));
        let known = field("status").is_some_and(|status| status == "NOERROR");
        let kind = request.kind.to_ascii_uppercase();
        let ours = matches!(kind.as_str(), "A" | "AAAA" | "PTR");
        (report.end == Ended::Done && (!known || none && !ours))
            .then(|| vantage::nothing(&request.name))
    }

    async fn ask(&self, cx: &Cx, network: &Network, left: Duration) -> Report {
        let answer = match self {
            Self::Http(request) => cx
                .run
                .http
                .probe(request, network, left)
                .await
                .map(http_answer),
            Self::Tcp(request) => tcp::probe(request, network, left).await.map(|answer| {
                let mut fields = Fields::new();
                fields.set("open", answer.open);
                Report {
                    note: answer.reason.filter(|_| !answer.open),
                    ..done(fields)
                }
            }),
            Self::Dns(request) => dns::probe(request, network, left).await.map(|answer| {
                let mut fields = Fields::new();
                fields.set("answer", answer.answer);
                fields.set("status", answer.status);
                done(fields)
            }),
            Self::Tls(request) => tls::probe(request, network, left).await.map(|answer| {
                let mut fields = Fields::new();
                fields.set("certificate", certificate(&answer.certificate));
                Report {
                    note: answer.reason.map(|reason| format!("not trusted: {reason}")),
                    ..done(fields)
                }
            }),
        };
        answer.unwrap_or_else(|error| failed(&error))
    }
}

/// The places of a request: its host, unless another place is given for it, and all places that are given.
fn http_goals(request: &http::Request) -> Vec<Goal> {
    let Ok(url) = reqwest::Url::parse(&request.url) else {
        return Vec::new();
    };
    let port = url.port_or_known_default().unwrap_or_default();
    let host = url.host_str().unwrap_or_default();
    let given = |(_, place): &(String, String)| {
        let own = place
            .parse::<std::net::SocketAddr>()
            .map_or(port, |place| place.port());
        (bare(place).to_owned(), own)
    };
    let placed = request.resolve.iter().any(|(name, _)| name == host);
    let itself = (!placed).then(|| (host.to_owned(), port));
    let goals = itself.into_iter().chain(request.resolve.iter().map(given));
    goals
        .map(|(host, port)| Goal {
            host,
            port: Port::Tcp(port),
        })
        .collect()
}

/// The report of an answer from another machine, and a remark.
fn there(answer: tools::Answer) -> (Report, Option<String>) {
    let mut fields = Fields::new();
    match answer {
        tools::Answer::Http {
            status,
            header,
            body,
            is_cut,
        } => {
            let answer = http::Answer {
                status,
                header: header.into_iter().collect(),
                body,
                is_cut,
                certificate: None,
                url: String::new(),
                duration: 0.0,
            };
            (http_answer(answer), None)
        }
        tools::Answer::Tcp(open) => {
            fields.set("open", open.is_ok());
            (done(fields), open.err())
        }
        tools::Answer::Dns { answer, status } => {
            fields.set("answer", answer);
            fields.set("status", status);
            (done(fields), None)
        }
        tools::Answer::Tls(found, untrusted) => {
            fields.set("certificate", certificate(&found));
            let remark = untrusted.map(|reason| format!("not trusted: {reason}"));
            (done(fields), remark)
        }
    }
}

fn done(fields: Fields) -> Report {
    Report {
        fields,
        ..Report::of(Ended::Done)
    }
}

fn http_answer(answer: http::Answer) -> Report {
    let mut fields = Fields::new();
    fields.set("status", answer.status);
    let header: Map<String, Value> = answer
        .header
        .into_iter()
        .map(|(name, value)| (name, value.into()))
        .collect();
    fields.set("header", header);
    fields.set("body", answer.body);
    if let Some(found) = &answer.certificate {
        fields.set("certificate", certificate(found));
    }
    Report {
        cut: if answer.is_cut {
            &["body", "json"]
        } else {
            &[]
        },
        ..done(fields)
    }
}

fn certificate(certificate: &Certificate) -> Value {
    // Texts, a list of them and a bool are always JSON.
    serde_json::to_value(certificate).unwrap_or(Value::Null)
}

/// A probe that is refused has failed; only the time and what cannot be asked are told apart.
fn failed(error: &ProbeError) -> Report {
    if error.is_timeout() {
        return Report::of(Ended::TimedOut(error.to_string()));
    }
    let wrong = matches!(error, ProbeError::Invalid { .. } | ProbeError::Ca { .. });
    Report::of(Ended::Failed(Failure {
        refused: wrong,
        ..Failure::new(error.to_string())
    }))
}

fn http_request(cx: &Cx, args: &Args<'_>, directory: &Path) -> Read<http::Request> {
    let read = |error| cx.read(&error);
    let body = if let Some(json) = args.any("json") {
        http::Body::Json(json)
    } else if args.has("form") {
        http::Body::Form(args.map("form").map_err(read)?)
    } else {
        opt(cx, args, "body")?.map_or(http::Body::None, http::Body::Text)
    };
    Ok(http::Request {
        url: text(cx, args, "url")?,
        method: opt(cx, args, "method")?.unwrap_or_default(),
        headers: args.map("headers").map_err(read)?,
        query: args.map("query").map_err(read)?,
        body,
        insecure: args.bool("insecure", false).map_err(read)?,
        ca: ca(cx, args, directory)?,
        follow: args.bool("follow", false).map_err(read)?,
        resolve: args.map("resolve").map_err(read)?,
    })
}

fn dns_request(cx: &Cx, args: &Args<'_>) -> Read<dns::Request> {
    Ok(dns::Request {
        name: text(cx, args, "name")?,
        kind: opt(cx, args, "type")?.unwrap_or_else(|| "A".into()),
        server: opt(cx, args, "server")?.unwrap_or_else(|| SYSTEM.into()),
    })
}

fn text(cx: &Cx, args: &Args<'_>, field: &str) -> Read<String> {
    args.text(field).map_err(|error| cx.read(&error))
}

fn opt(cx: &Cx, args: &Args<'_>, field: &str) -> Read<Option<String>> {
    args.opt_text(field).map_err(|error| cx.read(&error))
}

fn port(cx: &Cx, args: &Args<'_>, default: Option<u16>) -> Read<u16> {
    let port = match default {
        Some(default) => args
            .opt_int("port")
            .map_err(|error| cx.read(&error))?
            .unwrap_or(default.into()),
        None => args.int("port").map_err(|error| cx.read(&error))?,
    };
    u16::try_from(port)
        .map_err(|_| Box::new(Outcome::failed(format!("`port`: `{port}` is not a port"))))
}

/// Relative to where scripts start, so that what a step made can be used.
fn ca(cx: &Cx, args: &Args<'_>, directory: &Path) -> Read<Option<PathBuf>> {
    Ok(opt(cx, args, "ca")?.map(|ca| directory.join(ca)))
}

/// A host without its port.
fn bare(address: &str) -> &str {
    if let Some(rest) = address.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    match address.rsplit_once(':') {
        Some((host, _)) if !host.contains(':') => host,
        _ => address,
    }
}
