//! A program for a pod of the lab that listens and says back what it hears, as KWOK does at port 7: this program in another role.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

/// As the first argument; the port follows.
const ROLE: &str = "serve-echo";
/// Where the lab shows this program to every pod.
const SELF: &str = "/usr/libexec/lab/self";

/// What a container's command is to be. Where no command runs it is only a name.
pub(crate) fn command(port: &str) -> [&str; 3] {
    [SELF, ROLE, port]
}

/// Call this first thing in `main`: as the program of a pod this does not return.
pub(crate) fn main_if_asked() {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() != Some(ROLE) {
        return;
    }
    let port = arguments.next().and_then(|port| port.parse().ok());
    let served = port.map(serve);
    std::process::exit(i32::from(!matches!(served, Some(Ok(())))));
}

fn serve(port: u16) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?;
    for stream in listener.incoming() {
        let stream = stream?;
        std::thread::spawn(move || io::copy(&mut &stream, &mut &stream));
    }
    Ok(())
}
