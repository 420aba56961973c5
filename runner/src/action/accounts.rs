//! Users and groups of this machine by name.
//!
//! Read from `/etc/passwd` and `/etc/group`; what only a directory service knows is asked for by its number.

use std::fs;

/// A user or a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account {
    /// A user.
    User,
    /// A group.
    Group,
}

impl Account {
    /// What it is of a file: `owner`, `group`.
    pub fn word(self) -> &'static str {
        match self {
            Self::User => "owner",
            Self::Group => "group",
        }
    }

    /// What it is of a machine: `user`, `group`.
    pub fn user_word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
        }
    }

    fn table(self) -> String {
        let path = match self {
            Self::User => "/etc/passwd",
            Self::Group => "/etc/group",
        };
        // A machine without the file has no names: numbers still work.
        fs::read_to_string(path).unwrap_or_default()
    }
}

/// The number of a name; a number is itself.
pub fn number(kind: Account, name: &str) -> Option<u32> {
    if let Ok(number) = name.parse() {
        return Some(number);
    }
    entries(&kind.table())
        .find(|(known, _)| *known == name)
        .map(|(_, number)| number)
}

/// The name of a number; the number itself where it has none.
pub fn name(kind: Account, number: u32) -> String {
    let table = kind.table();
    let name = entries(&table)
        .find(|(_, known)| *known == number)
        .map(|(name, _)| name.to_owned());
    name.unwrap_or_else(|| number.to_string())
}

fn entries(table: &str) -> impl Iterator<Item = (&str, u32)> {
    table.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        Some((name, fields.nth(1)?.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lead_to_each_other() {
        assert_eq!(number(Account::User, "root"), Some(0));
        assert_eq!(number(Account::Group, "4711"), Some(4711));
        assert_eq!(number(Account::User, "no such user"), None);
        assert_eq!(name(Account::User, 0), "root");
        assert_eq!(name(Account::Group, 4_000_000_001), "4000000001");
    }
}
