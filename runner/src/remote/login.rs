//! A login on a machine: what `ssh` is told, and what its login shell is told.

use std::ffi::OsString;

/// A login on a machine.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Login {
    /// A name or an address, as a person would give it to `ssh`.
    pub destination: String,
    /// The user; without one OpenSSH's configuration says.
    pub user: Option<String>,
    /// The port; without one OpenSSH's configuration says.
    pub port: Option<u16>,
    /// Whether programs run by `sudo -n`.
    pub sudo: bool,
}

impl Login {
    /// The login that OpenSSH's configuration means by a name.
    pub fn new(destination: impl Into<String>) -> Self {
        Self {
            destination: destination.into(),
            ..Self::default()
        }
    }

    /// The arguments of `ssh` that say where.
    pub(super) fn args(&self) -> Vec<OsString> {
        let mut args: Vec<OsString> = Vec::with_capacity(6);
        if let Some(user) = &self.user {
            args.extend(["-l".into(), user.into()]);
        }
        if let Some(port) = self.port {
            args.extend(["-p".into(), port.to_string().into()]);
        }
        args.extend(["--".into(), (&self.destination).into()]);
        args
    }

    /// The same connection serves it, whatever it runs there.
    pub(super) fn key(&self) -> Self {
        Self {
            sudo: false,
            ..self.clone()
        }
    }
}
