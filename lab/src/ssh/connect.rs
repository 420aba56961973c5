//! The way to a host's port as a process: OpenSSH starts it, it connects, hands the connection over and ends
//! (`ProxyUseFdpass`). So a port that a client names (`-p 22`, as on the real machine) leads nowhere else.

use std::ffi::OsString;
use std::io::{self, IoSlice, Write as _};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::AsFd as _;
use std::path::Path;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

/// How the first argument of such a start begins.
const MARK: &str = "--runbook-lab-connect=";
/// The port that a machine of the lab has in its own network.
const SSH_PORT: u16 = 22;
/// What it ends with when there is no connection.
const FAILED: i32 = 1;

/// Call this first thing in `main`: when OpenSSH started this process to connect, it does that and never returns.
pub fn main_if_asked() {
    let argument = std::env::args_os().nth(1);
    let asked = argument.as_deref().and_then(|argument| argument.to_str());
    let Some(port) = asked.and_then(|asked| asked.strip_prefix(MARK)) else {
        return;
    };
    let port = port.parse().map_err(io::Error::other);
    std::process::exit(match port.and_then(hand_over) {
        Ok(()) => 0,
        Err(error) => {
            let name = std::env::args().nth(2).unwrap_or_default();
            // Nobody may be listening.
            let _ = writeln!(io::stderr(), "{}", said(&name, &error));
            FAILED
        }
    });
}

/// What OpenSSH says itself where it connects itself.
fn said(name: &str, error: &io::Error) -> String {
    let why = match error.kind() {
        io::ErrorKind::ConnectionRefused => "Connection refused".to_owned(),
        _ => error.to_string(),
    };
    format!("ssh: connect to host {name} port {SSH_PORT}: {why}")
}

/// Connects, and sends the connection with one byte, as OpenSSH wants it.
fn hand_over(port: u16) -> io::Result<()> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [stream.as_fd()];
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::ErrorKind::ArgumentListTooLong.into());
    }
    sendmsg(
        io::stdout(),
        &[IoSlice::new(&[0])],
        &mut control,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

/// The command line for a shell that starts a program so.
pub(super) fn command(program: &Path, port: u16) -> OsString {
    let program = program.to_string_lossy().replace('\'', r"'\''");
    // OpenSSH expands `%`; `%n` is the name as it was asked for, one of those that the configuration has.
    format!("'{}' {MARK}{port} %n", program.replace('%', "%%")).into()
}
