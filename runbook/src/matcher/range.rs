//! Ranges of addresses: `10.0.0.0/8`, `192.168.4.80-192.168.4.120`, one address.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

/// A range of addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressRange {
    first: IpAddr,
    last: IpAddr,
    text: String,
}

impl AddressRange {
    /// Reads one: `10.0.0.0/8`, `10.0.0.1-10.0.0.9` or one address.
    ///
    /// # Errors
    ///
    /// What is wrong with it, with how it is written.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let error = || {
            format!(
                "`{text}` is not a range of addresses: write `10.0.0.0/8`, `10.0.0.1-10.0.0.9` or one address"
            )
        };
        let (first, last) = if let Some((first, last)) = text.split_once('-') {
            let first: IpAddr = first.trim().parse().map_err(|_| error())?;
            let last: IpAddr = last.trim().parse().map_err(|_| error())?;
            (first, last)
        } else if text.contains('/') {
            let net: IpNet = text.parse().map_err(|_| error())?;
            (net.network(), net.broadcast())
        } else {
            let address: IpAddr = text.parse().map_err(|_| error())?;
            (address, address)
        };
        if first.is_ipv4() != last.is_ipv4() || first > last {
            return Err(format!(
                "`{text}` is not a range: the first address comes before the last, of one kind"
            ));
        }
        Ok(Self {
            first,
            last,
            text: text.to_owned(),
        })
    }

    /// Whether an address lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        // As in a comparison of texts, an IPv4 address is never in a range of IPv6, which would be greater than all.
        address.is_ipv4() == self.first.is_ipv4() && (self.first..=self.last).contains(&address)
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The address in a text; a prefix length after it (`192.168.4.17/24`, as interfaces print it) does not count.
pub(crate) fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let address = match text.split_once('/') {
        Some((address, length)) if length.parse::<u8>().is_ok() => address,
        Some(_) => return None,
        None => text,
    };
    address.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lie_in_nets_spans_and_themselves() {
        for (range, address, inside) in [
            ("192.168.4.80-192.168.4.120", "192.168.4.80", true),
            ("192.168.4.80-192.168.4.120", "192.168.4.120", true),
            ("192.168.4.80-192.168.4.120", "192.168.4.17", false),
            ("10.0.0.0/8", "10.255.255.255", true),
            ("10.0.0.7/8", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
            ("fd00::/8", "fd12::1", true),
            ("::/0", "10.0.0.1", false),
        ] {
            let address = super::address(address).unwrap();
            assert_eq!(
                AddressRange::parse(range).unwrap().contains(address),
                inside,
                "{range} {address}"
            );
        }
        assert_eq!(address("192.168.4.17/24"), "192.168.4.17".parse().ok());
        assert_eq!(address("192.168.4.17/x"), None);
    }

    #[test]
    fn wrong_ranges_are_errors() {
        for text in [
            "",
            "x",
            "10.0.0.9-10.0.0.1",
            "10.0.0.1-fd00::1",
            "10.0.0.0/33",
            "10.0.0.1-5",
        ] {
            assert!(AddressRange::parse(text).is_err(), "{text}");
        }
    }
}
