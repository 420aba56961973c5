//! The named formats of the API: what a node name, a disk size or a MAC address looks like, with the official texts.
//!
//! An unknown name lets everything through: it is listed in the tests. `X-list` checks each entry, `X-opt` lets the
//! empty text through.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::OnceLock;

use regex::Regex;

use super::property::parse_property_string;
use super::{Property, named_keys};
use crate::pve::params::split_list;

/// Checks a text against the property's format; the error is what follows `invalid format - `.
pub(crate) fn check_format(
    property: &'static Property,
    text: &str,
    place: &str,
) -> Result<(), String> {
    if let Some(keys) = &property.keys {
        return parse_property_string(keys, text, place)
            .map(drop)
            .map_err(|error| error.full());
    }
    match property.format.as_deref() {
        Some(format) => named(format, text, place),
        None => Ok(()),
    }
}

fn named(format: &str, text: &str, place: &str) -> Result<(), String> {
    if let Some(keys) = named_keys(format) {
        return parse_property_string(keys, text, place)
            .map(drop)
            .map_err(|error| error.full());
    }
    if let Some(inner) = format.strip_suffix("-opt") {
        return if text.is_empty() {
            Ok(())
        } else {
            named(inner, text, place)
        };
    }
    if let Some(inner) = format
        .strip_suffix("-alist")
        .or_else(|| format.strip_suffix("-list"))
    {
        return match format {
            "pve-tag-list" => split_list(text)
                .iter()
                .try_for_each(|tag| one("pve-tag", tag)),
            "pve-priv-list" => split_list(text)
                .iter()
                .try_for_each(|entry| one("pve-priv", entry)),
            _ => split_list(text)
                .iter()
                .try_for_each(|entry| named(inner, entry, place)),
        };
    }
    one(format, text)
}

/// One value of one simple format.
fn one(format: &str, text: &str) -> Result<(), String> {
    let fail = |what: &str| Err(what.to_owned());
    match format {
        "pve-vmid" if !re(r"^[1-9][0-9]{2,8}$").is_match(text) => {
            fail("value does not look like a valid VM ID\n")
        }
        "pve-node" if !is_node(text) => fail("value does not look like a valid node name\n"),
        "pve-configid" if !re(r"^[a-zA-Z][a-zA-Z0-9_-]+$").is_match(text) => {
            Err(format!("invalid configuration ID '{text}'\n"))
        }
        "pve-storage-id" if !re(r"^[a-zA-Z][a-zA-Z0-9._-]*[a-zA-Z0-9]$").is_match(text) => {
            Err(format!("storage ID '{text}' contains illegal characters\n"))
        }
        "pve-bridge-id" if !re(r"^[-_.\w\d]+$").is_match(text) => {
            Err(format!("invalid bridge ID '{text}'\n"))
        }
        "pve-iface" => match text.len() {
            2..=15 if re(r"^[a-zA-Z][a-zA-Z0-9_]*([:.]\d+)?$").is_match(text) => Ok(()),
            _ => Err(format!("invalid network interface name '{text}'\n")),
        },
        "mac-addr" => match MacKind::of(text) {
            MacKind::Unicast => Ok(()),
            MacKind::Multicast => fail("value is not a unicast MAC address\n"),
            MacKind::None => fail("value does not look like a valid MAC address\n"),
        },
        "mac-prefix"
            if !re(r"^[a-fA-F0-9][02468aceACE](?::[a-fA-F0-9]{2}){0,2}:?$").is_match(text) =>
        {
            fail("value is not a valid unicast MAC address prefix\n")
        }
        "dns-name" if !is_dns_name(text) => fail("value does not look like a valid DNS name\n"),
        "ipv4" if Ipv4Addr::from_str(text).is_err() => {
            fail("value does not look like a valid IPv4 address\n")
        }
        "ipv6" if Ipv6Addr::from_str(text).is_err() => {
            fail("value does not look like a valid IPv6 address\n")
        }
        "ip" if IpAddr::from_str(text).is_err() => {
            fail("value does not look like a valid IP address\n")
        }
        "lxc-ip-with-ll-iface"
            if IpAddr::from_str(text.split('%').next().unwrap_or(text)).is_err()
                && text != "host" =>
        {
            Err("value does not look like a valid IP address\n".to_string())
        }
        "address" | "pve-storage-server" | "pve-storage-portal-dns" if !is_address(text) => Err(
            format!("value does not look like a valid address: {text}\n"),
        ),
        "CIDRv4" if !is_cidr(text, 4) => fail("value does not look like a valid IPv4 network\n"),
        "CIDRv6" if !is_cidr(text, 6) => fail("value does not look like a valid IPv6 network\n"),
        "CIDR" | "FullRangeCIDR" if !is_cidr(text, 0) => {
            fail("value does not look like a valid CIDR network\n")
        }
        "ipv4mask" if Ipv4Addr::from_str(text).is_err() => {
            fail("value does not look like a valid IP netmask\n")
        }
        "pve-ipv4-config" if !matches!(text, "dhcp" | "manual") && !is_cidr(text, 4) => {
            fail("value does not look like a valid ipv4 network configuration\n")
        }
        "pve-ipv6-config" if !matches!(text, "auto" | "dhcp" | "manual") && !is_cidr(text, 6) => {
            fail("value does not look like a valid ipv6 network configuration\n")
        }
        "email"
            if !re(r"^[\w+~-]+(\.[\w+~-]+)*@[a-zA-Z0-9-]+(\.[a-zA-Z0-9-]+)*$").is_match(text) =>
        {
            fail("value does not look like a valid email address\n")
        }
        "pve-userid" => userid(text),
        "pve-realm" if !re(r"^[A-Za-z][A-Za-z0-9.\-_]+$").is_match(text) => {
            fail("value does not look like a valid realm\n")
        }
        "pve-groupid" if !is_id(text) => {
            Err(format!("group name '{text}' contains invalid characters\n"))
        }
        "pve-roleid" if !is_id(text) => {
            Err(format!("role name '{text}' contains invalid characters\n"))
        }
        "pve-poolid" if !re(r"^[A-Za-z0-9.\-_]+(?:/[A-Za-z0-9.\-_]+){0,2}$").is_match(text) => {
            Err(format!("pool name '{text}' contains invalid characters\n"))
        }
        "pve-tokenid" if !is_tokenid(text) => Err(format!(
            "value '{text}' does not look like a valid token ID\n"
        )),
        "pve-priv" if crate::pve::access::is_privilege(text) => Ok(()),
        "pve-priv" => Err(format!("invalid privilege '{text}'\n")),
        "pve-tag" if !re(r"^(?i)[a-z0-9_][a-z0-9_\-+.]*$").is_match(text) => {
            fail("invalid characters in tag\n")
        }
        "urlencoded"
            if !text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "%._-~*".contains(c) || c == '+') =>
        {
            Err(format!("invalid urlencoded string: {text}\n"))
        }
        "disk-size" if !re(r"^\d+(\.\d+)?[KMGT]?$").is_match(text) => {
            fail("value does not look like a valid disk size\n")
        }
        "pve-volume-id" if !is_volume(text) => Err(format!("unable to parse volume ID '{text}'\n")),
        "pve-volume-id-or-absolute-path" if !text.starts_with('/') && !is_volume(text) => {
            Err(format!("unable to parse volume ID '{text}'\n"))
        }
        "pve-volume-id-or-qm-path" if !is_drive_file(text) => {
            Err(format!("unable to parse volume ID '{text}'\n"))
        }
        "pve-storage-content" if !CONTENT.contains(&text) => {
            Err(format!("invalid content type '{text}'\n"))
        }
        "pve-storage-path" if !re(r"^[/:]").is_match(text) => fail("value is not a valid path\n"),
        "pve-lxc-mp-string" if text.split('/').any(|part| part == "..") => Err(format!(
            "mount point path must not contain '..' - '{text}'\n"
        )),
        "pve-ct-timezone"
            if text != "host" && !re(r"^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$").is_match(text) =>
        {
            Err(format!("invalid time zone '{text}'\n"))
        }
        "pve-calendar-event" => calendar_event(text),
        "pve-ha-resource-id" if !re(r"^[a-z]+:\S+$").is_match(text) => {
            Err("value does not look like a valid ha resource id\n".to_string())
        }
        "pve-ha-resource-or-vm-id" if !re(r"^([a-z]+:\S+|[1-9][0-9]{2,8})$").is_match(text) => {
            fail("value does not look like a valid ha resource id\n")
        }
        _ => Ok(()),
    }
}

const CONTENT: [&str; 8] = [
    "images", "rootdir", "vztmpl", "iso", "backup", "snippets", "import", "none",
];

fn userid(text: &str) -> Result<(), String> {
    if text.chars().count() < 3 {
        return Err(format!("user name '{text}' is too short\n"));
    }
    if text.chars().count() > 64 {
        return Err(format!(
            "user name '{text}' is too long ({} > 64)\n",
            text.chars().count()
        ));
    }
    if !re(r"^[^\s:/]+@[A-Za-z][A-Za-z0-9.\-_]+$").is_match(text) {
        return Err(format!(
            "value '{text}' does not look like a valid user name\n"
        ));
    }
    Ok(())
}

enum MacKind {
    Unicast,
    Multicast,
    None,
}

impl MacKind {
    fn of(text: &str) -> Self {
        if !re(r"^[a-fA-F0-9]{2}(:[a-fA-F0-9]{2}){5}$").is_match(text) {
            return Self::None;
        }
        match u8::from_str_radix(&text[..2], 16) {
            Ok(first) if first & 1 == 0 => Self::Unicast,
            _ => Self::Multicast,
        }
    }
}

fn is_node(text: &str) -> bool {
    re(r"^[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?$").is_match(text)
}

fn is_id(text: &str) -> bool {
    re(r"^[A-Za-z0-9.\-_]+$").is_match(text)
}

pub(crate) fn is_tokenid(text: &str) -> bool {
    re(r"^[^\s:/]+@[A-Za-z][A-Za-z0-9.\-_]+![A-Za-z][A-Za-z0-9.\-_]+$").is_match(text)
}

pub(crate) fn is_dns_name(text: &str) -> bool {
    re(r"^([a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?)(\.[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?)*$")
        .is_match(text)
}

fn is_address(text: &str) -> bool {
    IpAddr::from_str(text.trim_start_matches('[').trim_end_matches(']')).is_ok()
        || is_dns_name(text)
}

fn is_cidr(text: &str, family: u8) -> bool {
    let Some((address, prefix)) = text.split_once('/') else {
        return false;
    };
    let Ok(prefix) = prefix.parse::<u8>() else {
        return false;
    };
    match IpAddr::from_str(address) {
        Ok(IpAddr::V4(_)) => family != 6 && prefix <= 32 && prefix > 0,
        Ok(IpAddr::V6(_)) => family != 4 && prefix <= 128 && prefix > 0,
        Err(_) => false,
    }
}

pub(crate) fn is_volume(text: &str) -> bool {
    re(r"^[a-zA-Z][a-zA-Z0-9._-]*[a-zA-Z0-9]:(.+)$").is_match(text)
}

fn is_drive_file(text: &str) -> bool {
    matches!(text, "none" | "cdrom") || text.starts_with('/') || is_volume(text)
}

/// Systemd's calendar events in the small form the API documents: days, times, steps.
fn calendar_event(text: &str) -> Result<(), String> {
    let known = [
        "minutely",
        "hourly",
        "daily",
        "weekly",
        "monthly",
        "yearly",
        "annually",
        "quarterly",
        "semiannually",
    ];
    let day = r"(mon|tue|wed|thu|fri|sat|sun)[a-z]*";
    let days = format!(r"{day}(\.\.{day})?(,{day}(\.\.{day})?)*");
    let span = r"(\*|\d{1,2})(\.\.\d{1,2})?(/\d{1,2})?(,\d{1,2}(\.\.\d{1,2})?(/\d{1,2})?)*";
    let date = r"(\*|\d{4})-(\*|\d{1,2}|[\d,./]+)-(\*|\d{1,2}|[\d,./]+)|(\*|\d{1,2})-(\*|\d{1,2})";
    let whole = format!(r"(?i)^({days})?\s*({date})?\s*({span}(:{span}){{0,2}})?(\s+UTC)?$");
    let shape = Regex::new(&whole).is_ok_and(|regex| regex.is_match(text.trim()));
    let hours = text
        .split([' ', ':'])
        .filter_map(|part| part.parse::<u32>().ok())
        .all(|number| number < 60);
    if text.trim().is_empty() || !(known.contains(&text.trim()) || shape && hours) {
        return Err(format!("unable to parse calendar event '{text}'\n"));
    }
    Ok(())
}

/// Every pattern is compiled once.
fn re(pattern: &'static str) -> &'static Regex {
    static CACHE: OnceLock<
        std::sync::Mutex<std::collections::HashMap<&'static str, &'static Regex>>,
    > = OnceLock::new();
    let mut cache = CACHE
        .get_or_init(Default::default)
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    cache.entry(pattern).or_insert_with(|| {
        // The patterns are this file's own; each one is used in a test.
        let compiled = Regex::new(pattern)
            .unwrap_or_else(|error| panic!("a format's pattern is broken: {error}"));
        Box::leak(Box::new(compiled))
    })
}
