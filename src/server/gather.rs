//! Find the configurations of a system and read them, and learn what there is to know of it.

mod machine;
mod medium;
mod running;
mod shares;
mod state;

use super::accounts::Accounts;
use super::host::Host;
use super::text::{Files, Root, Unread};
use super::{Setup, avahi, mounts, netatalk, pam, samba};
use serde::Serialize;

/// Something that was not looked at, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotSeen {
    /// What.
    pub what: String,
    /// Why.
    pub why: String,
}

/// What was found of a system.
#[derive(Debug, Default)]
pub struct Gathered {
    /// Configurations, read.
    pub setup: Setup,
    /// Facts.
    pub host: Host,
    /// Files that were read.
    pub read: Vec<String>,
    /// What was not looked at.
    pub not_seen: Vec<NotSeen>,
}

/// How far one looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// Files, whatever machine they are for.
    Files,
    /// What this system's servers make of them: their versions, Samba's registry.
    Servers,
    /// The machine, too.
    Machine,
}

/// What one asks for.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// The system.
    pub root: &'a Root,
    /// Configuration files instead of the system's own.
    pub files: &'a [String],
    /// How far.
    pub depth: Depth,
    /// Seconds since 1970.
    pub now: i64,
    /// How old the last backup may be, in seconds.
    pub max_age: Option<i64>,
}

/// Where each server's configuration lies, in the order of looking.
const AFP: &[&str] = &["/etc/netatalk/afp.conf", "/etc/afp.conf", "/usr/local/etc/afp.conf"];
/// What is said of shares that nobody could look at.
pub const REGISTRY: &str = "Samba's registry";
const SERVICES: &str = "/etc/avahi/services";

/// Look.
pub fn gather(wanted: &Wanted<'_>) -> Gathered {
    let mut all = Gathered::default();
    (all.host.now, all.host.max_age) = (wanted.now, wanted.max_age);
    let machine = wanted.depth == Depth::Machine;
    if wanted.depth >= Depth::Servers {
        machine::versions(wanted, &mut all);
    }
    if machine {
        machine::before(wanted, &mut all);
        all.host.accounts = Accounts::read(wanted.root, wanted.now / 86_400);
        if all.host.accounts.is_none() {
            all.unseen("users and groups", "there is no /etc/passwd that can be read");
        }
    } else {
        all.unseen(
            "the machine: disks, users, bundles, what runs",
            "only files were asked for (--config without --root)",
        );
    }
    if wanted.files.is_empty() {
        all.system(wanted.root);
    } else {
        for file in wanted.files {
            all.file(wanted.root, file);
        }
    }
    if wanted.depth >= Depth::Servers && wanted.root.is_here() {
        all.registry(wanted.root);
    }
    if all.setup.samba.as_ref().is_some_and(samba::Samba::has_registry) {
        all.unseen(REGISTRY, "only root may read it, by `net conf list`");
    }
    if machine {
        machine::mounts(wanted, &mut all);
        shares::look(wanted, &mut all);
        machine::after(wanted, &mut all);
    }
    all
}

impl Gathered {
    fn unseen(&mut self, what: impl Into<String>, why: impl Into<String>) {
        self.not_seen.push(NotSeen { what: what.into(), why: why.into() });
    }

    /// Note that a file was read, or why not.
    fn note(&mut self, path: &str, read: Result<(), Unread>) -> bool {
        match read {
            Ok(()) => self.read.push(path.to_owned()),
            Err(Unread::Missing) => return false,
            Err(Unread::Because(why)) => self.unseen(path, why),
        }
        true
    }

    /// The system's own files.
    fn system(&mut self, root: &Root) {
        for path in crate::bundle::samba::CONFIGURATIONS {
            if self.samba(root, path) {
                break;
            }
        }
        let afp = AFP.iter().any(|path| self.afp(root, path));
        let old = ["/etc/netatalk/AppleVolumes.default", "/etc/netatalk/afpd.conf"];
        if afp {
            let there = old.iter().filter(|path| root.bytes(path).is_ok());
            self.host.old_netatalk_files = there.map(|p| (*p).to_owned()).collect();
        } else if self.host.netatalk.is_none_or(|v| v < (3, 0)) {
            for path in old.into_iter().chain(["/etc/default/netatalk"]) {
                self.two(root, path);
            }
        }
        for name in root.list(SERVICES).unwrap_or_default() {
            let path = format!("{SERVICES}/{name}");
            if name.ends_with(".service") {
                self.service(root, &path);
            } else {
                self.host.odd_service_files.push(path);
            }
        }
        self.setup.services_known = true;
        const DAEMON: &str = "/etc/avahi/avahi-daemon.conf";
        let daemon = root.text(DAEMON).map(|text| {
            self.setup.avahi = avahi::Daemon::read(DAEMON, &text);
        });
        self.note(DAEMON, daemon);
        let fstab = root.text("/etc/fstab").map(|text| {
            self.setup.fstab = mounts::fstab(&"/etc/fstab".into(), &text);
        });
        self.note("/etc/fstab", fstab);
        if self.setup.afp.is_some() || self.setup.netatalk2.any {
            let path = if root.bytes("/etc/pam.d/netatalk").is_ok() {
                "/etc/pam.d/netatalk"
            } else {
                "/etc/pam.d/other"
            };
            self.setup.pam = pam::read(root, path);
        }
    }

    /// A file that was named, by its name or else by what is in it.
    fn file(&mut self, root: &Root, path: &str) {
        let name = path.rsplit('/').next().unwrap_or(path);
        let found = if name.ends_with(".service") {
            self.service(root, path)
        } else if name.contains("AppleVolumes")
            || name.contains("afpd.conf")
            || path.ends_with("default/netatalk")
        {
            self.two(root, path)
        } else if name.contains("afp") {
            self.afp(root, path)
        } else {
            self.samba(root, path)
        };
        if !found {
            self.unseen(path, "there is no such file");
        }
    }

    fn samba(&mut self, root: &Root, path: &str) -> bool {
        let read = samba::parse(root, path).map(|samba| self.setup.samba = Some(samba));
        self.note(path, read)
    }

    /// What Samba's registry says, where the configuration leads there and it can be had.
    fn registry(&mut self, root: &Root) {
        let Some(samba) = self.setup.samba.as_ref().filter(|s| s.has_registry()) else { return };
        let path = samba.path.clone();
        let Some(text) = super::live::registry(&path) else { return };
        if let Ok(samba) = samba::parse_with(root, &path, Some(&text)) {
            self.setup.samba = Some(samba);
            self.read.push("net conf list".into());
        }
    }

    fn afp(&mut self, root: &Root, path: &str) -> bool {
        let version = self.host.netatalk;
        let read = netatalk::afp::parse(root, path, version).map(|afp| {
            if version.is_none() {
                self.unseen("what differs between Netatalk 3 and 4", "the version is not known");
            }
            self.setup.afp = Some(afp);
        });
        self.note(path, read)
    }

    fn two(&mut self, root: &Root, path: &str) -> bool {
        let two = &mut self.setup.netatalk2;
        let read = root.text(path).map(|text| match path {
            p if p.contains("AppleVolumes") => two.volumes(path, &text),
            p if p.contains("afpd.conf") => two.servers(path, &text),
            _ => two.defaults(path, &text),
        });
        self.note(path, read)
    }

    fn service(&mut self, root: &Root, path: &str) -> bool {
        let read = root.text(path).map(|text| {
            self.setup.services.push(avahi::ServiceFile::read(path, &text));
        });
        self.note(path, read)
    }
}
