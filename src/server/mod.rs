//! The server itself: is it configured so that Macs can back up to it?
//!
//! Configurations are read as the servers read them (one file a server) into a [`Setup`]; what
//! is true of the machine is a [`Host`] of facts, any of which may be unknown. [`examine`] judges
//! both by the rules of `docs/doctor.md` (one file an area), which are silent where their facts
//! are missing. Nothing here changes anything.

pub mod accounts;
pub mod avahi;
pub mod gather;
pub mod host;
pub mod live;
pub mod locks;
pub mod mounts;
pub mod netatalk;
pub mod pam;
pub mod patch;
mod rules;
mod shares;

pub use crate::config::{samba, text};

use crate::report::{Code, Finding, ServerCode, Severity, Structure, Where};
use serde::Serialize;
use text::At;

pub use host::{Host, PathFacts};
pub use shares::{ShareRow, share_rows};

/// All configuration that was found, read.
#[derive(Debug, Default)]
pub struct Setup {
    /// `smb.conf` and what it includes.
    pub samba: Option<samba::Samba>,
    /// `afp.conf` of Netatalk 3 and 4.
    pub afp: Option<netatalk::afp::Afp>,
    /// The files of Netatalk 2.
    pub netatalk2: netatalk::two::Netatalk2,
    /// Avahi's service files.
    pub services: Vec<avahi::ServiceFile>,
    /// Whether Avahi's folder was looked at, so that what is not in `services` is not there.
    pub services_known: bool,
    /// What Avahi is told of interfaces.
    pub avahi: avahi::Daemon,
    /// What is to be mounted.
    pub fstab: Vec<mounts::FstabEntry>,
    /// What is mounted.
    pub mounts: Option<Vec<mounts::Mount>>,
    /// Lines of PAM that count for Netatalk.
    pub pam: Vec<pam::PamLine>,
}

impl Setup {
    /// Whether no server's configuration was found.
    pub fn is_empty(&self) -> bool {
        let two = &self.netatalk2;
        let old = two.any || !two.defaults.is_empty();
        self.samba.is_none() && self.afp.is_none() && !old && self.services.is_empty()
    }
}

/// A finding of `doctor`.
#[derive(Debug, Clone, Serialize)]
pub struct Told {
    /// The number of the rule, `D005`.
    pub rule: &'static str,
    /// What is wrong, and where.
    #[serde(flatten)]
    pub finding: Finding,
    /// The share or volume concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<String>,
    /// How to put it right, if that can be said exactly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<Fix>,
}

/// An exact remedy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Fix {
    /// The line at the finding's place, as it should be.
    Replace {
        /// The file.
        file: String,
        /// The line, from 1.
        line: u32,
        /// What it should say.
        text: String,
    },
    /// A line to put behind another one.
    Insert {
        /// The file.
        file: String,
        /// The line it goes behind.
        line: u32,
        /// What it says.
        text: String,
    },
    /// A line that should go.
    Remove {
        /// The file.
        file: String,
        /// The line.
        line: u32,
    },
    /// A command for a shell.
    Command {
        /// The command.
        text: String,
    },
}

impl Fix {
    /// Replace the line at a place.
    pub fn replace(at: &At, text: impl Into<String>) -> Self {
        Self::Replace { file: at.file.to_string(), line: at.line, text: text.into() }
    }

    /// Put a line behind one.
    pub fn insert(at: &At, text: impl Into<String>) -> Self {
        Self::Insert { file: at.file.to_string(), line: at.line, text: text.into() }
    }

    /// Remove the line at a place.
    pub fn remove(at: &At) -> Self {
        Self::Remove { file: at.file.to_string(), line: at.line }
    }

    /// A command.
    pub fn command(text: impl Into<String>) -> Self {
        Self::Command { text: text.into() }
    }
}

impl Told {
    /// At a line.
    pub fn at(code: ServerCode, at: &At, message: impl Into<String>) -> Self {
        let place = Where {
            line: Some(at.line),
            ..Where::of(Structure::ServerConfiguration).path(at.file.as_ref())
        };
        Self::of(code, place, message)
    }

    /// About the whole server.
    pub fn whole(code: ServerCode, message: impl Into<String>) -> Self {
        Self::of(code, Where::of(Structure::Server), message)
    }

    /// About a path on the server.
    pub fn path(code: ServerCode, path: &str, message: impl Into<String>) -> Self {
        Self::of(code, Where::of(Structure::Server).path(path), message)
    }

    fn of(code: ServerCode, place: Where, message: impl Into<String>) -> Self {
        let finding = Finding::new(Code::Server(code), place, message);
        Self { rule: code.rule(), finding, share: None, fix: None }
    }

    /// Of a share.
    #[must_use]
    pub fn share(mut self, name: &str) -> Self {
        self.share = Some(name.to_owned());
        self
    }

    /// With another severity than usual.
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.finding.severity = severity;
        self
    }

    /// With an exact remedy.
    #[must_use]
    pub fn fix(mut self, fix: Fix) -> Self {
        self.fix = Some(fix);
        self
    }

    /// The code.
    pub fn code(&self) -> Option<ServerCode> {
        match self.finding.code {
            Code::Server(code) => Some(code),
            _ => None,
        }
    }

    /// File and line.
    pub fn line(&self) -> (Option<&str>, Option<u32>) {
        (self.finding.place.path.as_deref(), self.finding.place.line)
    }
}

/// Judge a server by every rule; worst first.
pub fn examine(setup: &Setup, host: &Host) -> Vec<Told> {
    rules::all(setup, host)
}

/// A word as a shell takes it for one.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%,:".contains(c);
    if !word.is_empty() && word.chars().all(plain) && !word.starts_with('-') {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}
