//! Probes by the programs that another machine has: the commands that ask, and what their answers mean.
//!
//! Pure: who runs the commands is somebody else. Each prints the name of the program it found on its first line, or `none`;
//! the answer has the same fields as one that this machine asked for itself.

mod dns;
mod http;
mod tcp;
mod tls;

use std::time::Duration;

use super::{Certificate, ProbeError};

/// How much of what a program said a message has.
const REASON_CHARS_MAX: usize = 300;

/// Commands for `sh`, and the variables that hold their values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commands {
    /// For `sh`.
    pub text: String,
    /// Values; none stands in the text.
    pub env: Vec<(&'static str, String)>,
}

/// What the commands printed.
#[derive(Debug, Clone, Copy)]
pub struct Printed<'a> {
    /// Their exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: &'a str,
    /// Standard error.
    pub stderr: &'a str,
    /// Whether standard output is all there was.
    pub is_whole: bool,
}

/// What an answer is.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Of `http`.
    Http {
        /// The status code.
        status: u16,
        /// Headers by their names in small letters.
        header: Vec<(String, String)>,
        /// The body.
        body: String,
        /// Whether there was more of it.
        is_cut: bool,
    },
    /// Of `tcp`: open, or why not.
    Tcp(Result<(), String>),
    /// Of `dns`.
    Dns {
        /// The records.
        answer: Vec<String>,
        /// `NOERROR` and so on.
        status: String,
    },
    /// Of `tls`: the certificate, and why it is not trusted.
    Tls(Certificate, Option<String>),
}

/// A question for another machine.
#[derive(Debug, Clone)]
pub enum Question<'a> {
    /// An HTTP request.
    Http(&'a super::http::Request),
    /// A port.
    Tcp(&'a super::tcp::Request),
    /// A name.
    Dns(&'a super::dns::Request),
    /// A certificate.
    Tls(&'a super::tls::Request),
}

impl Question<'_> {
    /// The commands that ask it, with this much time.
    ///
    /// # Errors
    ///
    /// What cannot be asked so.
    pub fn commands(&self, time: Duration) -> Result<Commands, ProbeError> {
        let seconds = time.as_secs().max(1);
        match self {
            Self::Http(request) => http::commands(request, seconds),
            Self::Tcp(request) => Ok(tcp::commands(request, seconds)),
            Self::Dns(request) => Ok(dns::commands(request)),
            Self::Tls(request) => Ok(tls::commands(request)),
        }
    }

    /// The program that asked and what it was told; `None` where there is no program for it.
    pub fn read(
        &self,
        printed: Printed<'_>,
        time: Duration,
    ) -> Option<(String, Result<Answer, ProbeError>)> {
        let (tool, rest) = printed
            .stdout
            .split_once('\n')
            .unwrap_or((printed.stdout, ""));
        if tool == "none" || tool.is_empty() {
            return None;
        }
        let printed = Printed {
            stdout: rest,
            ..printed
        };
        let answer = match self {
            Self::Http(request) => http::read(request, tool, printed, time),
            Self::Tcp(request) => tcp::read(request, printed),
            Self::Dns(request) => dns::read(request, tool, printed, time),
            Self::Tls(request) => tls::read(request, printed),
        };
        Some((tool.to_owned(), answer))
    }
}

/// The last line of what a program said, bounded.
fn reason(printed: Printed<'_>) -> String {
    let line = |text: &str| {
        let line = text.lines().map(str::trim).rfind(|line| !line.is_empty());
        line.map(|line| line.chars().take(REASON_CHARS_MAX).collect::<String>())
    };
    line(printed.stderr)
        .or_else(|| line(printed.stdout))
        .unwrap_or_else(|| format!("exit code {}", printed.code))
}

fn is_unknown_name(said: &str) -> bool {
    [
        "not known",
        "resolve",
        "Temporary failure in name",
        "getaddrinfo",
        "No address associated",
        "bad address",
    ]
    .iter()
    .any(|part| said.contains(part))
}

#[cfg(test)]
mod tests;
