//! Which identities exist in the isolated place: a whole range where the machine allows it, else only root.
//!
//! With a range `chown` and other users are real. Allowed are: root of the machine, and whoever `/etc/subuid` gives a range
//! to, through the setuid programs `newuidmap` and `newgidmap`.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{getegid, geteuid};

use super::message::Identities;

/// How many identities a range has that is like a machine's.
const RANGE: u32 = 65_536;

/// Maps the identities of a process that has a new user namespace, and says what is left to itself.
pub(super) fn map(pid: u32) -> Identities {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    let mapped = if uid == 0 {
        as_root(pid)
    } else {
        with_helpers(pid, uid, gid).unwrap_or(false)
    };
    if mapped {
        Identities::Mapped
    } else {
        Identities::Own { uid, gid }
    }
}

fn as_root(pid: u32) -> bool {
    let map = format!("0 0 {RANGE}\n");
    let written = |kind: &str| fs::write(format!("/proc/{pid}/{kind}_map"), &map).is_ok();
    written("uid") && written("gid")
}

/// `None`: there is no range, or no program.
fn with_helpers(pid: u32, uid: u32, gid: u32) -> Option<bool> {
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    let name = name_of(&passwd, uid);
    let (users, groups) = (
        range("/etc/subuid", name, uid)?,
        range("/etc/subgid", name, uid)?,
    );
    let users = mapped("/usr/bin/newuidmap", pid, uid, users)?;
    Some(users && mapped("/usr/bin/newgidmap", pid, gid, groups)?)
}

fn mapped(program: &str, pid: u32, own: u32, (start, count): (u32, u32)) -> Option<bool> {
    if !Path::new(program).exists() {
        return None;
    }
    let count = count.min(RANGE - 1);
    let arguments = [pid, 0, own, 1, 1, start, count].map(|number| number.to_string());
    let status = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .ok()?;
    Some(status.success())
}

fn name_of(passwd: &str, uid: u32) -> Option<&str> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    })
}

fn range(path: &str, name: Option<&str>, uid: u32) -> Option<(u32, u32)> {
    range_in(&fs::read_to_string(path).ok()?, name, uid)
}

/// The first range of a user, by name or number.
fn range_in(text: &str, name: Option<&str>, uid: u32) -> Option<(u32, u32)> {
    text.lines().find_map(|line| {
        let mut fields = line.trim().split(':');
        let whose = fields.next()?;
        if Some(whose) != name && whose.parse() != Ok(uid) {
            return None;
        }
        let (start, count) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        (count > 0).then_some((start, count))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_found_by_name_or_number() {
        let text = "root:1:1\nada:100000:65536\n1001:200000:10\nbob:5:0\n";
        assert_eq!(range_in(text, Some("ada"), 1000), Some((100_000, 65_536)));
        assert_eq!(range_in(text, Some("eve"), 1001), Some((200_000, 10)));
        assert_eq!(range_in(text, None, 1001), Some((200_000, 10)));
        assert_eq!(range_in(text, Some("bob"), 1002), None);
        assert_eq!(range_in("", Some("ada"), 1000), None);
    }

    #[test]
    fn a_name_is_found_by_its_number() {
        let passwd = "root:x:0:0::/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh\n";
        assert_eq!(name_of(passwd, 1000), Some("ada"));
        assert_eq!(name_of(passwd, 7), None);
    }
}
