//! Property strings, `[VALUE,]KEY=VALUE,…`, as wishes are compared with what a server completed.
//!
//! By meaning, never by text: the server orders pairs, adds what it made itself (a MAC, a size) and prints booleans as it likes.
//! A wish says something about the pairs that it names; the others stay as they are.

/// The key of the value that stands first without one.
pub const FIRST: &str = "";

/// The models of a virtual machine's network card: `virtio=MAC` means `model=virtio,macaddr=MAC`.
const MODELS: &[&str] = &[
    "virtio",
    "e1000",
    "e1000e",
    "rtl8139",
    "vmxnet3",
    "e1000-82540em",
    "e1000-82544gc",
    "e1000-82545em",
    "i82551",
    "i82557b",
    "i82559er",
    "ne2k_isa",
    "ne2k_pci",
    "pcnet",
];

/// The pairs of a property string, in order; the value without a key has the key [`FIRST`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pairs(Vec<(String, String)>);

impl Pairs {
    /// Pairs in this order.
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut all = Self::default();
        for (key, value) in pairs {
            all.set(&key, plain(value));
        }
        all
    }

    /// Reads any text: what is no pair is the value without a key.
    pub fn parse(text: &str) -> Self {
        let mut pairs = Self::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some((key, value)) => pairs.set(key, value.to_owned()),
                None => pairs.set(FIRST, part.to_owned()),
            }
        }
        pairs
    }

    /// Reads a network card of a virtual machine, whose model may stand first.
    pub fn parse_card(text: &str) -> Self {
        let mut pairs = Self::parse(text);
        if let Some(model) = pairs.take(FIRST) {
            pairs.0.insert(0, ("model".into(), model));
        }
        if let Some(at) = pairs
            .0
            .iter()
            .position(|(key, _)| MODELS.contains(&key.as_str()))
        {
            let (model, mac) = std::mem::take(&mut pairs.0[at]);
            pairs.0[at] = ("model".into(), model);
            pairs.0.insert(at + 1, ("macaddr".into(), mac));
        }
        pairs
    }

    /// The network card as it is written: the model first, with its MAC where that is known.
    pub fn print_card(mut self) -> String {
        let model = self.take("model").unwrap_or_else(|| "virtio".into());
        match self.take("macaddr") {
            Some(mac) => self.0.insert(0, (model, mac)),
            None => self.0.insert(0, (FIRST.into(), model)),
        }
        self.print()
    }

    /// The text; the value without a key stands first.
    pub fn print(&self) -> String {
        let first = self.0.iter().filter(|(key, _)| key == FIRST);
        let others = self.0.iter().filter(|(key, _)| key != FIRST);
        let parts: Vec<String> = first
            .map(|(_, value)| value.clone())
            .chain(others.map(|(key, value)| format!("{key}={value}")))
            .collect();
        parts.join(",")
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known == key)
            .map(|(_, value)| value.as_str())
    }

    /// Sets a key's value, in its place where it is there already.
    pub fn set(&mut self, key: &str, value: String) {
        match self.0.iter_mut().find(|(known, _)| known == key) {
            Some((_, known)) => *known = value,
            None => self.0.push((key.to_owned(), value)),
        }
    }

    /// Takes a key out.
    pub fn take(&mut self, key: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, _)| known == key)?;
        Some(self.0.remove(at).1)
    }

    /// The pairs, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Gives the value without a key the key that it stands for, unless that is there.
    pub fn name_first(&mut self, key: &str) {
        if self.get(key).is_none()
            && let Some((known, _)) = self.0.iter_mut().find(|(known, _)| known == FIRST)
        {
            key.clone_into(known);
        }
    }

    /// Whether everything that is named here is so there.
    pub fn holds_in(&self, actual: &Self) -> bool {
        self.iter().all(|(key, value)| match actual.get(key) {
            Some(is) => same(value, is),
            // What is off is as what is not said.
            None => value == "0",
        })
    }

    /// What is there, with everything that is named here.
    #[must_use]
    pub fn over(&self, actual: &Self) -> Self {
        let mut merged = actual.clone();
        for (key, value) in self.iter() {
            merged.set(key, value.to_owned());
        }
        // A gateway of an address that is no more is refused.
        for (address, gateway) in [("ip", "gw"), ("ip6", "gw6")] {
            let changed = self
                .get(address)
                .is_some_and(|ip| !actual.get(address).is_some_and(|is| same(ip, is)));
            if changed && self.get(gateway).is_none() {
                merged.take(gateway);
            }
        }
        merged
    }
}

/// Booleans as the server prints them.
fn plain(value: String) -> String {
    match value.as_str() {
        "true" => "1".into(),
        "false" => "0".into(),
        _ => value,
    }
}

/// Whether two values mean the same: `1`, `"1"` and `true`, numbers, MAC addresses in any case, lists in any order.
pub fn same(wished: &str, actual: &str) -> bool {
    if wished == actual {
        return true;
    }
    if let (Some(wished), Some(actual)) = (boolean(wished), boolean(actual)) {
        return wished == actual;
    }
    if let (Ok(wished), Ok(actual)) = (wished.parse::<f64>(), actual.parse::<f64>()) {
        return wished == actual;
    }
    if is_mac(wished) {
        return wished.eq_ignore_ascii_case(actual);
    }
    if wished.contains(';') || actual.contains(';') {
        let set = |text: &str| {
            let mut items: Vec<String> = text.split(';').map(str::to_owned).collect();
            items.sort();
            items
        };
        return set(wished) == set(actual);
    }
    false
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "true" | "yes" | "on" => Some(true),
        "0" | "false" | "no" | "off" => Some(false),
        _ => None,
    }
}

fn is_mac(text: &str) -> bool {
    text.len() == 17
        && text.bytes().enumerate().all(|(at, byte)| match at % 3 {
            2 => byte == b':',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// A size as a configuration has it: `32G`, `512M`, bytes without a letter.
pub fn size(text: &str) -> Option<u64> {
    let (number, factor) = match text.as_bytes().last()? {
        b'K' => (&text[..text.len() - 1], 1 << 10),
        b'M' => (&text[..text.len() - 1], 1 << 20),
        b'G' => (&text[..text.len() - 1], 1 << 30),
        b'T' => (&text[..text.len() - 1], 1_u64 << 40),
        _ => (text, 1),
    };
    let number: f64 = number.parse().ok()?;
    let bytes = number * factor as f64;
    (bytes >= 0.0 && bytes < u64::MAX as f64).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_holds_in_what_the_server_completed() {
        let wish = Pairs::parse("bridge=vmbr0,ip=dhcp,firewall=true");
        let actual = Pairs::parse(
            "name=eth0,bridge=vmbr0,firewall=1,hwaddr=BC:24:11:2C:66:9F,ip=dhcp,type=veth",
        );
        assert!(wish.holds_in(&actual));
        assert!(!Pairs::parse("bridge=vmbr1").holds_in(&actual));
        assert!(!Pairs::parse("tag=20").holds_in(&actual));
        assert!(Pairs::parse("hwaddr=bc:24:11:2c:66:9f").holds_in(&actual));
    }

    #[test]
    fn a_change_keeps_what_is_not_named_but_a_gateway_without_its_address() {
        let actual = Pairs::parse(
            "name=eth0,bridge=vmbr0,gw=10.0.0.1,hwaddr=BC:24:11:2C:66:9F,ip=10.0.0.5/24",
        );
        assert_eq!(
            Pairs::parse("bridge=vmbr1,ip=dhcp").over(&actual).print(),
            "name=eth0,bridge=vmbr1,hwaddr=BC:24:11:2C:66:9F,ip=dhcp"
        );
        assert_eq!(
            Pairs::parse("ip=10.0.0.5/24").over(&actual).get("gw"),
            Some("10.0.0.1")
        );
    }

    #[test]
    fn the_model_of_a_card_is_read_with_and_without_its_mac() {
        let card = Pairs::parse_card("virtio=BC:24:11:2C:66:9F,bridge=vmbr0,tag=20");
        assert!(Pairs::parse_card("virtio,bridge=vmbr0").holds_in(&card));
        assert!(Pairs::parse("bridge=vmbr0,model=virtio").holds_in(&card));
        assert!(!Pairs::parse_card("e1000,bridge=vmbr0").holds_in(&card));
        let changed = Pairs::parse("bridge=vmbr1").over(&card);
        assert_eq!(
            changed.print_card(),
            "virtio=BC:24:11:2C:66:9F,bridge=vmbr1,tag=20"
        );
        let fresh = Pairs::parse("bridge=vmbr0");
        assert_eq!(fresh.print_card(), "virtio,bridge=vmbr0");
    }

    #[test]
    fn values_are_the_same_by_meaning() {
        for (wished, actual, is) in [
            ("1", "true", true),
            ("no", "0", true),
            ("1", "0", false),
            ("2", "2.0", true),
            ("10", "1", false),
            ("nfs;cifs", "cifs;nfs", true),
            ("nfs", "cifs;nfs", false),
            ("a", "A", false),
        ] {
            assert_eq!(same(wished, actual), is, "{wished} {actual}");
        }
    }

    #[test]
    fn sizes_are_in_powers_of_1024() {
        assert_eq!(size("32G"), Some(32 << 30));
        assert_eq!(size("512M"), Some(512 << 20));
        assert_eq!(size("8.5G"), Some(8704 << 20));
        assert_eq!(size("4096"), Some(4096));
        assert_eq!(size("x"), None);
        assert_eq!(size(""), None);
    }
}
