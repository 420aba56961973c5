//! Packages as records: what a machine says is installed. Nothing is downloaded, nothing is unpacked.

use std::collections::BTreeMap;

use super::answer::{Said, fail};

/// The version of what is installed without one being named.
const VERSION: &str = "1.0-1";

/// The packages of a machine.
#[derive(Debug, Clone, Default)]
pub(super) struct Packages(BTreeMap<String, String>);

impl Packages {
    /// From `name` or `name=version`.
    pub(super) fn new(names: &[String]) -> Self {
        let mut packages = Self::default();
        names.iter().for_each(|name| packages.install(name));
        packages
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn install(&mut self, wish: &str) {
        match wish.split_once('=') {
            Some((name, version)) => drop(self.0.insert(name.to_owned(), version.to_owned())),
            None => drop(
                self.0
                    .entry(wish.to_owned())
                    .or_insert_with(|| VERSION.to_owned()),
            ),
        }
    }

    /// `dpkg-query -W [-f FORMAT] [NAME…]`.
    pub(super) fn query(&self, args: &[String]) -> Said {
        let mut format = "${binary:Package}\\t${Version}\\n".to_owned();
        let (mut names, mut show) = (Vec::new(), false);
        let mut rest = args.iter();
        while let Some(arg) = rest.next() {
            match arg.as_str() {
                "-W" | "--show" => show = true,
                "-f" => format = rest.next().cloned().unwrap_or_default(),
                "--" => {}
                _ if arg.starts_with("--showformat=") => {
                    format = arg["--showformat=".len()..].to_owned()
                }
                _ if arg.starts_with("-f") => format = arg[2..].trim_start_matches('=').to_owned(),
                _ if arg.starts_with('-') => {
                    return fail(2, format!("dpkg-query: the lab does not serve `{arg}`"));
                }
                name => names.push(name.to_owned()),
            }
        }
        if !show {
            return fail(2, "dpkg-query: the lab serves `-W` only");
        }
        let mut said = Said::default();
        if names.is_empty() {
            names = self.0.keys().cloned().collect();
        }
        for name in names {
            let plain = name.split(':').next().unwrap_or_default();
            match self.0.get(plain) {
                Some(version) => said.out.push_str(&line(&format, plain, version)),
                None => {
                    said.err
                        .push_str(&format!("dpkg-query: no packages found matching {name}\n"));
                    said.code = 1;
                }
            }
        }
        said
    }

    /// `apt-get [OPTIONS] update|install|remove|purge|upgrade [NAME…]`.
    pub(super) fn apt(&mut self, args: &[String]) -> Said {
        let (mut words, mut only_upgrade, mut simulate) = (Vec::new(), false, false);
        let mut rest = args.iter();
        while let Some(arg) = rest.next() {
            match arg.as_str() {
                "-o" | "-t" => drop(rest.next()),
                "-y"
                | "-q"
                | "-qq"
                | "--yes"
                | "--quiet"
                | "--assume-yes"
                | "--no-install-recommends"
                | "--allow-downgrades"
                | "--allow-change-held-packages"
                | "--" => {}
                "--only-upgrade" => only_upgrade = true,
                "-s" | "--simulate" | "--just-print" | "--dry-run" | "--no-act" => simulate = true,
                _ if arg.starts_with("-o") => {}
                _ if arg.starts_with('-') => {
                    return fail(100, format!("E: the lab does not serve `{arg}` of apt-get"));
                }
                word => words.push(word.to_owned()),
            }
        }
        let Some((verb, names)) = words.split_first() else {
            return fail(100, "E: apt-get without a command");
        };
        let before = self.clone();
        match verb.as_str() {
            "update" | "upgrade" | "dist-upgrade" | "clean" | "autoremove" => {}
            "install" => {
                let wanted = names.iter().filter(|name| {
                    !only_upgrade || self.has(name.split('=').next().unwrap_or(name))
                });
                wanted
                    .cloned()
                    .collect::<Vec<_>>()
                    .iter()
                    .for_each(|name| self.install(name));
            }
            "remove" | "purge" => names.iter().for_each(|name| drop(self.0.remove(name))),
            other => return fail(100, format!("E: Invalid operation {other}")),
        }
        if simulate {
            let after = std::mem::replace(self, before);
            return Said::out(self.steps_to(&after));
        }
        Said::out(format!(
            "{verb}: {} (a record of the lab)\n",
            names.join(" ")
        ))
    }

    /// What `apt-get -s` says would be done.
    fn steps_to(&self, after: &Self) -> String {
        let inst = after.0.iter().filter_map(|(name, version)| {
            let had = match self.0.get(name) {
                Some(is) if is == version => return None,
                Some(is) => format!("[{is}] "),
                None => String::new(),
            };
            Some(format!(
                "Inst {name} {had}({version} lab:1/stable [amd64])\n"
            ))
        });
        let remv = self.0.iter().filter(|(name, _)| !after.has(name));
        let remv = remv.map(|(name, version)| format!("Remv {name} [{version}]\n"));
        inst.chain(remv).collect()
    }
}

fn line(format: &str, name: &str, version: &str) -> String {
    let mut text = format.to_owned();
    for (field, value) in [
        ("binary:Package", name),
        ("Package", name),
        ("Version", version),
        ("Architecture", "amd64"),
        ("Status", "install ok installed"),
        ("db:Status-Status", "installed"),
        ("db:Status-Abbrev", "ii "),
    ] {
        text = text.replace(&format!("${{{field}}}"), value);
    }
    text.replace("\\n", "\n").replace("\\t", "\t")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn what_was_installed_is_told_and_what_was_removed_is_not() {
        let mut packages = Packages::new(&["curl=8.14.1-2".to_owned()]);
        let asked = args("-W -f ${Package}=${Version}=${db:Status-Status}\\n curl nginx");
        let said = packages.query(&asked);
        assert_eq!(
            (said.code, said.out.as_str()),
            (1, "curl=8.14.1-2=installed\n")
        );
        assert!(said.err.contains("no packages found matching nginx"));
        assert_eq!(
            packages
                .apt(&args(
                    "-y -o Dpkg::Options::=--force-confold install nginx=1.26.3-3 curl"
                ))
                .code,
            0
        );
        assert_eq!(
            packages.query(&asked).out,
            "curl=8.14.1-2=installed\nnginx=1.26.3-3=installed\n"
        );
        assert_eq!(packages.apt(&args("-y remove curl")).code, 0);
        assert_eq!(packages.query(&args("-W curl")).code, 1);
        assert_eq!(packages.apt(&args("frobnicate")).code, 100);
        let said = packages.apt(&args("-q --simulate install x nginx=2.0"));
        assert_eq!(
            (said.code, said.out.as_str()),
            (
                0,
                "Inst nginx [1.26.3-3] (2.0 lab:1/stable [amd64])\nInst x (1.0-1 lab:1/stable [amd64])\n"
            )
        );
        assert!(!packages.has("x"), "nothing was done");
        let said = packages.apt(&args("-s remove nginx"));
        assert_eq!(said.out, "Remv nginx [1.26.3-3]\n");
        assert_eq!(packages.apt(&args("--frobnicate install x")).code, 100);
    }
}
