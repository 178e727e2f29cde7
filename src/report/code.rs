//! The stable codes of findings, with what each means.
//!
//! `docs/findings.md` is made from the table in `code/table.rs`; a test keeps the two in step.

use super::{ServerCode, Severity};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// What a code stands for.
#[derive(Debug, Clone, Copy)]
pub struct CodeInfo {
    /// The stable name, `HFS-CATALOG-KEY-ORDER`.
    pub name: &'static str,
    /// Usual severity.
    pub severity: Severity,
    /// What a finding of it is about, so that it can be told what it costs.
    pub about: Subject,
    /// What else is to be known of it.
    pub qualities: &'static [Quality],
    /// The nearest `fsck_hfs` error numbers (`E_PEOF` is 500), empty if none.
    pub fsck_hfs: &'static [u16],
    /// The nearest messages of `apfsck` or `fsck_apfs`, empty if none.
    pub apfs: &'static [&'static str],
    /// What it means, one or two sentences.
    pub meaning: &'static str,
    /// What to do, one sentence.
    pub remedy: &'static str,
}

/// What findings of a code are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    /// The bytes at its place: whatever lies there cannot be relied on.
    Place,
    /// The file or folder it names, if it names one.
    Object,
    /// Neither; it costs no file.
    Nothing,
}

/// What else is to be known of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Quality {
    /// It is about what is on the volumes, and may be a half-written state while a Mac
    /// is at work.
    Contents,
    /// It speaks against what the volume says of blocks in use.
    Bitmap,
}

// variant "NAME" severity, what it is about, + qualities, [numbers of fsck_hfs],
// where there are any ["messages of apfsck or fsck_apfs"], "meaning" => "remedy".
macro_rules! codes {
    ($($variant:ident $name:literal $severity:ident $about:ident $(+ $quality:ident)*
        [$($fsck:literal),*] $([$($apfs:literal),+])? $meaning:literal => $remedy:literal;)*) => {
        /// A kind of finding. Serialised as its stable name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $meaning] $variant,)*
            /// Of the server, not of a backup: what `doctor` reports.
            Server(ServerCode),
        }

        impl Code {
            /// Every code of a backup, in the order of the page.
            pub const OF_BACKUPS: &[Code] = &[$(Code::$variant,)*];

            /// Name, severity, meaning and remedy.
            pub fn info(self) -> &'static CodeInfo {
                match self {
                    $(Code::$variant => &CodeInfo {
                        name: $name,
                        severity: Severity::$severity,
                        about: Subject::$about,
                        qualities: &[$(Quality::$quality),*],
                        fsck_hfs: &[$($fsck),*],
                        apfs: &[$($($apfs),+)?],
                        meaning: $meaning,
                        remedy: $remedy,
                    },)*
                    Code::Server(code) => code.info(),
                }
            }
        }
    };
}

// The codes, a line each and what it means.
include!("code/table.rs");

impl Code {
    /// Every code there is: those of backups, then those of servers.
    pub fn all() -> impl Iterator<Item = Code> {
        let server = ServerCode::ALL.iter().map(|code| Code::Server(*code));
        Self::OF_BACKUPS.iter().copied().chain(server)
    }

    /// The stable name.
    pub fn name(self) -> &'static str {
        self.info().name
    }

    /// Whether it has a quality.
    pub fn is(self, quality: Quality) -> bool {
        self.info().qualities.contains(&quality)
    }

    /// The code of that name, in any case.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::all().find(|c| c.name().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let name = String::deserialize(d)?;
        let code = Self::all().find(|c| c.name() == name);
        code.ok_or_else(|| serde::de::Error::custom(format!("no code is called {name}")))
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.name())
    }
}
