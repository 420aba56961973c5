//! Whose program listens at a port of the lab's network, and whose opened a connection. The kernel tells it in `/proc`: the
//! sockets of the network, who holds them, in which root they live and what is in their environment.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// The state of a socket that listens.
const LISTEN: &str = "0A";
/// Bytes of an IPv4 address that is written as one of IPv6.
const MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/// The roots of the programs that listen at an address, alone or with all others, in the network of a process. Each is the
/// end of a path: the file system it lies on may be mounted anywhere.
pub(super) fn roots(place: u32, at: SocketAddr) -> Vec<PathBuf> {
    holders(place, |line| socket(line, at))
        .filter_map(|process| root(&process))
        .collect()
}

/// What the program that opened a connection has as the value of a variable; none where nobody has the connection any more,
/// or several that differ.
pub(super) fn mark(
    place: u32,
    peer: SocketAddr,
    own: SocketAddr,
    variable: &str,
) -> Option<String> {
    let mut marks =
        holders(place, |line| connection(line, peer, own)).map(|process| value(&process, variable));
    let first = marks.next()??;
    marks
        .all(|other| other.as_ref() == Some(&first))
        .then_some(first)
}

/// The processes that hold the sockets which `wanted` finds in the lines of a network's tables.
fn holders(place: u32, wanted: impl Fn(&str) -> Option<String>) -> impl Iterator<Item = PathBuf> {
    let tables = ["tcp", "tcp6"]
        .map(|name| fs::read_to_string(format!("/proc/{place}/net/{name}")).unwrap_or_default());
    let sockets: Vec<String> = tables
        .iter()
        .flat_map(|table| table.lines().skip(1))
        .filter_map(wanted)
        .collect();
    // Where nobody has such a socket nobody need be looked at.
    let processes = (!sockets.is_empty()).then(|| fs::read_dir("/proc"));
    let processes = processes.into_iter().flatten().flatten().flatten();
    processes
        .map(|entry| entry.path())
        .filter(move |process| holds(process, &sockets))
}

/// The value of a variable that a process was started with.
fn value(process: &Path, variable: &str) -> Option<String> {
    let environment = fs::read(process.join("environ")).ok()?;
    let mut variables = environment.split(|byte| *byte == 0);
    let value = variables.find_map(|line| {
        let rest = line.strip_prefix(variable.as_bytes())?;
        rest.strip_prefix(b"=")
    });
    String::from_utf8(value?.to_vec()).ok()
}

/// The link to the opening end of a connection, of a line of `/proc/net/tcp`.
fn connection(line: &str, peer: SocketAddr, own: SocketAddr) -> Option<String> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let is = |field: usize, at: SocketAddr| {
        let (address, port) = fields.get(field)?.split_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        (parse(address)? == at.ip().to_canonical() && port == at.port()).then_some(())
    };
    is(1, peer)?;
    is(2, own)?;
    Some(format!("socket:[{}]", fields.get(9)?))
}

/// The link to a socket that listens there, of a line of `/proc/net/tcp`.
fn socket(line: &str, at: SocketAddr) -> Option<String> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let (address, port) = fields.get(1)?.split_once(':')?;
    if *fields.get(3)? != LISTEN || u16::from_str_radix(port, 16) != Ok(at.port()) {
        return None;
    }
    let address = parse(address)?;
    let is_there = address.is_unspecified() || address == at.ip();
    is_there.then(|| format!("socket:[{}]", fields.get(9).unwrap_or(&"")))
}

/// An address in words of four bytes, each as this machine has it.
fn parse(text: &str) -> Option<IpAddr> {
    let mut bytes = Vec::new();
    for at in (0..text.len()).step_by(8) {
        let word = u32::from_str_radix(text.get(at..at + 8)?, 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    if let Ok(four) = <[u8; 4]>::try_from(bytes.as_slice()) {
        return Some(Ipv4Addr::from(four).into());
    }
    let six = <[u8; 16]>::try_from(bytes.as_slice()).ok()?;
    match six.strip_prefix(&MAPPED) {
        Some([a, b, c, d]) => Some(Ipv4Addr::new(*a, *b, *c, *d).into()),
        _ => Some(Ipv6Addr::from(six).into()),
    }
}

fn holds(process: &Path, sockets: &[String]) -> bool {
    // What is no process, or not ours to look at, holds nothing.
    let Ok(descriptors) = fs::read_dir(process.join("fd")) else {
        return false;
    };
    descriptors.flatten().any(|descriptor| {
        fs::read_link(descriptor.path()).is_ok_and(|link| {
            sockets
                .iter()
                .any(|socket| link.as_os_str() == socket.as_str())
        })
    })
}

/// Where a process has its root, on the file system it lies on.
fn root(process: &Path) -> Option<PathBuf> {
    let mounts = fs::read_to_string(process.join("mountinfo")).ok()?;
    let line = mounts
        .lines()
        .find(|line| line.split(' ').nth(4) == Some("/"))?;
    let path = line.split(' ').nth(3)?.trim_start_matches('/');
    (!path.is_empty()).then(|| path.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_found_by_its_own_address_and_by_all() {
        let line = |address: &str, state: &str| {
            format!(
                "   0: {address}:1F90 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0"
            )
        };
        let at: SocketAddr = "192.168.4.11:8080".parse().unwrap();
        let own = u32::from_ne_bytes([192, 168, 4, 11]);
        let other = u32::from_ne_bytes([192, 168, 4, 12]);
        let hit = Some("socket:[4711]".to_owned());
        let own = format!("{own:08X}");
        assert_eq!(socket(&line(&own, "0A"), at), hit);
        assert_eq!(socket(&line("00000000", "0A"), at), hit);
        assert_eq!(socket(&line(&"0".repeat(32), "0A"), at), hit);
        let mapped = format!(
            "{:016}{:08X}{own}",
            0,
            u32::from_ne_bytes([0, 0, 0xff, 0xff])
        );
        assert_eq!(socket(&line(&mapped, "0A"), at), hit);
        assert_eq!(socket(&line(&format!("{other:08X}"), "0A"), at), None);
        assert_eq!(socket(&line(&own, "01"), at), None, "it is connected");
        assert_eq!(socket("nonsense", at), None);
        let (peer, far): (SocketAddr, SocketAddr) = (
            "192.168.4.11:8080".parse().unwrap(),
            "192.168.4.12:80".parse().unwrap(),
        );
        let open = line(&own, "01").replace("00000000:0000 01", &format!("{other:08X}:0050 01"));
        assert_eq!(connection(&open, peer, far), hit);
        assert_eq!(
            connection(&open, far, peer),
            None,
            "the other end is the lab's"
        );
    }
}
