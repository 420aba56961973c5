//! Raises the loopback device of a network namespace and gives it addresses, over the kernel's own socket: a bare machine
//! may have no `ip`.

use std::io;
use std::net::IpAddr;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with,
};

/// The index of `lo` in a fresh network namespace.
const LOOPBACK: u32 = 1;
/// The longest answer that is read.
const ANSWER_BYTES_MAX: usize = 4096;

const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const IFF_UP: u32 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
/// An IPv6 address is usable at once: nobody else can have it.
const IFA_F_NODAD: u8 = 2;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// Raises `lo`.
pub(super) fn raise_loopback() -> io::Result<()> {
    let mut body = vec![0_u8; 4];
    body.extend(LOOPBACK.to_ne_bytes());
    body.extend(IFF_UP.to_ne_bytes());
    body.extend(IFF_UP.to_ne_bytes());
    ask(RTM_NEWLINK, 0, &body)
}

/// Gives `lo` an address; one that it has already is no error.
pub(super) fn add(address: IpAddr) -> io::Result<()> {
    match ask(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &body(address)) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}

/// Takes an address away from `lo`; one that it does not have is no error.
pub(super) fn remove(address: IpAddr) -> io::Result<()> {
    match ask(RTM_DELADDR, 0, &body(address)) {
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => Ok(()),
        result => result,
    }
}

fn body(address: IpAddr) -> Vec<u8> {
    let (family, bytes) = match address {
        IpAddr::V4(address) => (AF_INET, address.octets().to_vec()),
        IpAddr::V6(address) => (AF_INET6, address.octets().to_vec()),
    };
    let prefix = if family == AF_INET { 32 } else { 128 };
    let mut body = vec![family, prefix, IFA_F_NODAD, 0];
    body.extend(LOOPBACK.to_ne_bytes());
    for kind in [IFA_LOCAL, IFA_ADDRESS] {
        let length = u16::try_from(4 + bytes.len()).unwrap_or(u16::MAX);
        body.extend(length.to_ne_bytes());
        body.extend(kind.to_ne_bytes());
        body.extend(&bytes);
    }
    body
}

/// Sends a request and waits for the kernel's answer, which comes at once.
fn ask(kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        // NETLINK_ROUTE is zero.
        None,
    )?;
    let length = u32::try_from(16 + body.len()).unwrap_or(u32::MAX);
    let mut message = Vec::new();
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend((NLM_F_REQUEST | NLM_F_ACK | flags).to_ne_bytes());
    message.extend(1_u32.to_ne_bytes());
    message.extend(0_u32.to_ne_bytes());
    message.extend(body);
    sendto(
        &socket,
        &message,
        SendFlags::empty(),
        &SocketAddrNetlink::new(0, 0),
    )?;
    let mut answer = [0_u8; ANSWER_BYTES_MAX];
    let (received, _) = recv(&socket, &mut answer, RecvFlags::empty())?;
    let answer = &answer[..received];
    let number = |at: usize| answer.get(at..at + 4)?.try_into().ok();
    let is_error = answer.get(4..6) == Some(&NLMSG_ERROR.to_ne_bytes());
    match number(16).map(i32::from_ne_bytes) {
        Some(0) if is_error => Ok(()),
        Some(errno) if is_error => Err(io::Error::from_raw_os_error(-errno)),
        _ => Err(io::Error::from(io::ErrorKind::InvalidData)),
    }
}
