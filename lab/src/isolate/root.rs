//! The files of a host: a directory of this machine, made fresh, kept while the lab lives.
//!
//! Holds what a host may write, and links to the machine's programs. `view` lays the rest over it while the host is up;
//! without a host that is up it may be copied, put back and removed.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink};
use std::path::{Component, Path, PathBuf};

use super::SHARED;
use super::machine::Machine;
use super::tree::{Copy, remove, replace};

/// Directories of a fresh host, with their modes.
const DIRECTORIES: &[(&str, u32)] = &[
    ("boot", 0o755),
    ("dev", 0o755),
    ("etc", 0o755),
    ("etc/apt", 0o755),
    ("etc/apt/sources.list.d", 0o755),
    ("etc/cron.d", 0o755),
    ("etc/default", 0o755),
    ("etc/modprobe.d", 0o755),
    ("etc/modules-load.d", 0o755),
    ("etc/network", 0o755),
    ("etc/ssl", 0o755),
    ("etc/ssl/certs", 0o755),
    ("etc/sysctl.d", 0o755),
    ("etc/systemd", 0o755),
    ("etc/systemd/system", 0o755),
    ("home", 0o755),
    ("mnt", 0o755),
    ("opt", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("run", 0o755),
    ("run/lock", 0o1777),
    ("srv", 0o755),
    ("sys", 0o755),
    ("tmp", 0o1777),
    ("usr", 0o755),
    ("usr/bin", 0o755),
    ("usr/libexec", 0o755),
    ("usr/local", 0o755),
    ("usr/local/bin", 0o755),
    ("usr/local/etc", 0o755),
    ("usr/local/lib", 0o755),
    ("usr/local/sbin", 0o755),
    ("usr/local/share", 0o755),
    ("usr/sbin", 0o755),
    ("usr/share", 0o755),
    ("var", 0o755),
    ("var/cache", 0o755),
    ("var/lib", 0o755),
    ("var/log", 0o755),
    ("var/spool", 0o755),
    ("var/tmp", 0o1777),
];

/// Files of a fresh host.
const FILES: &[(&str, &str)] = &[
    (
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/bash\n\
         daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n\
         bin:x:2:2:bin:/bin:/usr/sbin/nologin\n\
         sys:x:3:3:sys:/dev:/usr/sbin/nologin\n\
         mail:x:8:8:mail:/var/mail:/usr/sbin/nologin\n\
         www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n\
         backup:x:34:34:backup:/var/backups:/usr/sbin/nologin\n\
         nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    ),
    (
        "etc/group",
        "root:x:0:\ndaemon:x:1:\nbin:x:2:\nsys:x:3:\nadm:x:4:\ntty:x:5:\ndisk:x:6:\nmail:x:8:\nsudo:x:27:\nwww-data:x:33:\n\
         backup:x:34:\nshadow:x:42:\nvideo:x:44:\nstaff:x:50:\nusers:x:100:\nrender:x:104:\nnogroup:x:65534:\n",
    ),
    (
        "etc/os-release",
        "PRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"13\"\n\
         VERSION=\"13 (trixie)\"\nVERSION_CODENAME=trixie\nID=debian\nHOME_URL=\"https://www.debian.org/\"\n",
    ),
    ("etc/debian_version", "13.1\n"),
    (
        "etc/nsswitch.conf",
        "passwd: files\ngroup: files\nhosts: files dns\n",
    ),
    ("etc/shells", "/bin/sh\n/bin/bash\n"),
    (
        "etc/fstab",
        "# <file system> <mount point> <type> <options> <dump> <pass>\n",
    ),
    (
        "etc/profile",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nexport PATH\n",
    ),
];

/// Where machines keep the certificates that they trust, in one file.
const TRUSTED: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// The files of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    path: PathBuf,
}

/// What a fresh host is called and knows.
#[derive(Debug, Clone, Default)]
pub struct Fresh {
    /// Its name.
    pub hostname: String,
    /// Lines of `/etc/hosts` besides its own loopback.
    pub hosts: String,
    /// `/etc/resolv.conf`.
    pub resolv_conf: String,
    /// `/etc/machine-id`: 32 hexadecimal digits.
    pub machine_id: String,
    /// Names of the lab's own programs, in `/usr/sbin`.
    pub programs: Vec<String>,
}

impl Root {
    /// Makes the files of a fresh host in a directory that does not exist yet.
    ///
    /// # Errors
    ///
    /// When they cannot be written.
    pub fn create(path: impl Into<PathBuf>, fresh: &Fresh) -> io::Result<Self> {
        let root = Self { path: path.into() };
        DirBuilder::new().mode(0o755).create(&root.path)?;
        for (name, mode) in DIRECTORIES {
            let directory = root.path.join(name);
            fs::create_dir(&directory)?;
            // Not by the builder: the caller's umask would have a say.
            fs::set_permissions(&directory, Permissions::from_mode(*mode))?;
        }
        for (name, text) in FILES {
            root.write(name, text)?;
        }
        let name = &fresh.hostname;
        root.write("etc/hostname", &format!("{name}\n"))?;
        root.write(
            "etc/hosts",
            &format!(
                "127.0.0.1 localhost\n::1 localhost ip6-localhost\n{}",
                fresh.hosts
            ),
        )?;
        root.write("etc/resolv.conf", &fresh.resolv_conf)?;
        root.write("etc/machine-id", &format!("{}\n", fresh.machine_id))?;
        if let Some(trusted) = TRUSTED.iter().find_map(|file| fs::read(file).ok()) {
            fs::write(root.path.join("etc/ssl/certs/ca-certificates.crt"), trusted)?;
        }
        root.link(fresh)?;
        Ok(root)
    }

    /// Links to the machine's programs and to the lab's own; a book's file may stand in the place of each.
    fn link(&self, fresh: &Fresh) -> io::Result<()> {
        let machine = Machine::look();
        for (name, target) in [
            ("bin", "usr/bin"),
            ("sbin", "usr/sbin"),
            ("var/run", "/run"),
            ("var/lock", "/run/lock"),
        ] {
            symlink(target, self.path.join(name))?;
        }
        for (name, target) in machine.links() {
            symlink(target, self.path.join(name))?;
        }
        for name in machine.directories() {
            fs::create_dir_all(self.path.join(name))?;
        }
        for name in machine.names() {
            let target = Path::new("/").join(SHARED).join("bin").join(name);
            symlink(target, self.path.join("usr/bin").join(name))?;
        }
        for name in &fresh.programs {
            self.program(&Path::new("usr/sbin").join(name))?;
        }
        Ok(())
    }

    /// Puts this executable at a path of the host, in the place of what is there: the lab's own program of that name.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn program(&self, path: &Path) -> io::Result<()> {
        let at = self.inside(path)?;
        replace(&at, |at| {
            symlink(Path::new("/").join(SHARED).join("self"), at)
        })
    }

    /// The directory of this machine.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lays a directory over the files: a file takes the place of what is there, a directory is joined with it. Nothing is
    /// written through a link of the host's.
    ///
    /// # Errors
    ///
    /// When something cannot be read or written, or is neither file, link nor directory.
    pub fn overlay(&self, directory: &Path) -> io::Result<()> {
        let mut copy = Copy::new(true);
        copy.directory(directory, &self.path, 0)
    }

    /// Copies the files to a directory that does not exist yet: a snapshot, or another host's.
    ///
    /// # Errors
    ///
    /// When they are too many, or cannot be read or written.
    pub fn copy_to(&self, path: impl Into<PathBuf>) -> io::Result<Self> {
        let other = Self { path: path.into() };
        DirBuilder::new().mode(0o755).create(&other.path)?;
        let copied = Copy::new(false).directory(&self.path, &other.path, 0);
        if copied.is_err() {
            // Half a copy is none.
            let _ = remove(&other.path);
        }
        copied.map(|()| other)
    }

    /// Puts the files back to those of a snapshot, which stays. The host must be down.
    ///
    /// # Errors
    ///
    /// When that fails; then the files are as they were.
    pub fn roll_back(&self, snapshot: &Self) -> io::Result<()> {
        let fresh = beside(&self.path, "new");
        let old = beside(&self.path, "old");
        snapshot.copy_to(&fresh)?;
        fs::rename(&self.path, &old)?;
        if let Err(error) = fs::rename(&fresh, &self.path) {
            fs::rename(&old, &self.path)?;
            return Err(error);
        }
        remove(&old)
    }

    /// Removes the files. The host must be down.
    ///
    /// # Errors
    ///
    /// When something cannot be removed.
    pub fn remove(self) -> io::Result<()> {
        remove(&self.path)
    }

    /// Empties `/run` and `/tmp`, as a machine's start does.
    ///
    /// # Errors
    ///
    /// When something cannot be removed.
    pub fn empty_at_boot(&self) -> io::Result<()> {
        for name in ["run", "tmp"] {
            let directory = self.path.join(name);
            // Whatever a script made of it.
            remove(&directory)?;
        }
        for (name, mode) in DIRECTORIES {
            if matches!(*name, "run" | "run/lock" | "tmp") {
                let directory = self.path.join(name);
                fs::create_dir(&directory)?;
                fs::set_permissions(&directory, Permissions::from_mode(*mode))?;
            }
        }
        Ok(())
    }

    /// A path of the host as a path of this machine; `..` and links of the host on the way are refused, since they would
    /// lead to this machine's files.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for such a path.
    pub fn inside(&self, path: &Path) -> io::Result<PathBuf> {
        let mut at = self.path.clone();
        let mut parts = path.components().peekable();
        while let Some(part) = parts.next() {
            match part {
                Component::RootDir | Component::CurDir => continue,
                Component::Normal(name) => at.push(name),
                Component::ParentDir | Component::Prefix(_) => {
                    return Err(io::ErrorKind::InvalidInput.into());
                }
            }
            if parts.peek().is_some() && at.is_symlink() {
                return Err(io::ErrorKind::InvalidInput.into());
            }
        }
        Ok(at)
    }

    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        fs::write(self.path.join(name), text)
    }
}

fn beside(path: &Path, what: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or(OsStr::new("root")).to_owned();
    name.push(".");
    name.push(what);
    path.with_file_name(name)
}
