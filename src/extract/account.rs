//! The account of a restore: what became of each object, and what was not kept.

use super::mac::MacData;
use crate::fs::Kind;
use crate::report::words::plural;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Something of an object that the destination did not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NotKept {
    /// User and group.
    Owner,
    /// Permissions.
    Mode,
    /// Set-user-id and set-group-id bits.
    SetId,
    /// Times.
    Times,
    /// Its own name.
    Name,
    /// Its own name, since something else has it and that was asked for.
    Beside,
    /// That it is one file with another name.
    HardLink,
    /// That it is a symbolic link: it became a file that says so.
    Symlink,
    /// An extended attribute.
    Attribute,
    /// Extended attributes that cannot be read in the backup.
    Unread,
    /// A resource fork that cannot be read in the backup.
    ForkUnread,
    /// Finder information.
    FinderInfo,
    /// The resource fork.
    ResourceFork,
    /// The access control list.
    Acl,
    /// BSD flags.
    Flags,
    /// The time of birth.
    Birth,
}

impl NotKept {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Owner,
        Self::Mode,
        Self::SetId,
        Self::Times,
        Self::Name,
        Self::Beside,
        Self::HardLink,
        Self::Symlink,
        Self::Attribute,
        Self::Unread,
        Self::ForkUnread,
        Self::FinderInfo,
        Self::ResourceFork,
        Self::Acl,
        Self::Flags,
        Self::Birth,
    ];

    /// Its word in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Mode => "mode",
            Self::SetId => "setid",
            Self::Times => "times",
            Self::Name => "name",
            Self::Beside => "beside",
            Self::HardLink => "hard-link",
            Self::Symlink => "symlink",
            Self::Attribute => "attribute",
            Self::Unread => "attribute-unread",
            Self::ForkUnread => "resource-fork-unread",
            Self::FinderInfo => "finder-info",
            Self::ResourceFork => "resource-fork",
            Self::Acl => "acl",
            Self::Flags => "flags",
            Self::Birth => "birth",
        }
    }

    /// Whether something of the user's is lost by it, that is not told elsewhere.
    pub fn is_loss(self) -> bool {
        matches!(
            self,
            Self::Attribute
                | Self::Unread
                | Self::ForkUnread
                | Self::FinderInfo
                | Self::ResourceFork
                | Self::Acl
        )
    }

    /// One sentence on `n` objects, with what would help.
    pub fn sentence(self, n: u64) -> String {
        let objects = plural(n, "object", "objects");
        let of = |what: &str| format!("{what} of {objects}");
        match self {
            Self::Owner => {
                format!("{} could not be set (root may; --no-owners leaves them)", of("The owner"))
            }
            Self::Mode => format!("{}: the destination did not take them", of("Permissions")),
            Self::SetId => {
                format!("{} were left off (--setid gives them)", of("Set-id bits"))
            }
            Self::Times => format!("{}: the destination did not take them", of("The times")),
            Self::Name => format!(
                "{}: the destination does not take them; --report lists them",
                of("The names were changed")
            ),
            Self::Beside => format!(
                "{objects} {} restored under another name, beside what is there",
                if n == 1 { "was" } else { "were" }
            ),
            Self::HardLink => format!(
                "{} of files with several names became copies: the destination has no such links",
                plural(n, "name", "names")
            ),
            Self::Symlink => format!(
                "{} became files (XSym) that a Mac, and mount.cifs with mfsymlinks, take for links: \
                 the destination has none",
                plural(n, "symbolic link", "symbolic links")
            ),
            Self::Attribute => of("Extended attributes were not kept"),
            Self::Unread => format!(
                "{}: the backup is damaged there",
                of("Extended attributes (and checksums recorded in them) could not be read")
            ),
            Self::ForkUnread => {
                format!("{}: the backup is damaged there", of("Resource forks could not be read"))
            }
            Self::FinderInfo => of("Finder information was not kept"),
            Self::ResourceFork => {
                format!(
                    "{} (--mac-metadata appledouble keeps them)",
                    of("Resource forks were not kept")
                )
            }
            Self::Acl => of("Access control lists were not kept"),
            Self::Flags => of("BSD flags were not kept"),
            Self::Birth => of("The time of birth was not kept"),
        }
    }
}

/// What became of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Did {
    /// It was restored.
    Restored,
    /// It was there already, identical.
    There,
    /// Another version was taken, since this one is damaged.
    Fallback,
    /// What can be read of it was written as `NAME.damaged`.
    Salvaged,
    /// It was left out as the options say.
    LeftOut,
    /// It could not be restored.
    Failed,
}

impl Did {
    /// Its word in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Restored => "restored",
            Self::There => "there",
            Self::Fallback => "fallback",
            Self::Salvaged => "salvaged",
            Self::LeftOut => "left-out",
            Self::Failed => "failed",
        }
    }
}

/// Why an object was left out in favour of what is there.
pub const KEPT_THERE: &str = "something else is there and was kept (--on-conflict)";

/// What became of one object.
#[derive(Debug, Clone)]
pub struct Object<'a> {
    /// Its path, from where the restore begins, in its own names.
    pub path: &'a str,
    /// Its path at the destination, where that is another.
    pub restored_as: Option<String>,
    /// What it is; `None` if that could not be read.
    pub kind: Option<Kind>,
    /// What became of it.
    pub did: Did,
    /// Bytes of contents that were written.
    pub bytes: u64,
    /// What of it was not kept.
    pub not_kept: Vec<NotKept>,
    /// Why it was not restored as it is.
    pub reason: Option<String>,
    /// The snapshot whose version was taken, or could be.
    pub snapshot: Option<String>,
    /// Bytes of the contents that could not be read.
    pub missing: Vec<Range<u64>>,
    /// Why some of its zeros may be lost bytes, or are.
    pub doubt: Option<String>,
}

impl<'a> Object<'a> {
    /// Of an object that needs no more words.
    pub fn new(path: &'a str, kind: Kind, did: Did) -> Self {
        Self {
            path,
            restored_as: None,
            kind: Some(kind),
            did,
            bytes: 0,
            not_kept: Vec::new(),
            reason: None,
            snapshot: None,
            missing: Vec::new(),
            doubt: None,
        }
    }

    /// What its other names lack as well: all but the first `own`, which this name lacks.
    pub fn flaws(&self, own: usize) -> Flaws {
        let not_kept = self.not_kept.get(own..).unwrap_or_default().to_vec();
        Flaws { doubt: self.doubt.clone(), not_kept, snapshot: None }
    }

    /// Of one that could not be restored.
    pub fn failed(path: &'a str, kind: Option<Kind>, reason: String) -> Self {
        let mut object = Self::new(path, Kind::File, Did::Failed);
        object.kind = kind;
        object.reason = Some(reason);
        object
    }
}

/// What a file lacks, by whichever of its names it goes.
#[derive(Debug, Clone, Default)]
pub struct Flaws {
    /// As of [`Object`].
    pub doubt: Option<String>,
    /// As of [`Object`].
    pub not_kept: Vec<NotKept>,
    /// The snapshot whose version was taken instead.
    pub snapshot: Option<String>,
}

impl Object<'_> {
    /// A further name of a file that lacks this.
    pub fn share(&mut self, flaws: &Flaws) {
        self.doubt = flaws.doubt.clone();
        self.not_kept.extend(&flaws.not_kept);
        if flaws.snapshot.is_some() {
            self.snapshot.clone_from(&flaws.snapshot);
            self.did = Did::Fallback;
        }
    }
}

/// Hears what became of each object; called from several threads.
pub trait Witness: Sync {
    /// One object is done.
    fn object(&self, object: &Object<'_>);
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Files restored, links among them counted.
    pub files: u64,
    /// Folders made.
    pub folders: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// Devices, fifos, sockets.
    pub others: u64,
    /// Bytes of contents written.
    pub bytes: u64,
    /// Objects that were there, identical.
    pub there: u64,
    /// Objects that were left out as the options say.
    pub left_out: u64,
    /// Of these, those in whose place something else is and was kept.
    pub kept_there: u64,
    /// Files of which another version was taken.
    pub fallbacks: u64,
    /// Files of which only what can be read was written.
    pub salvaged: u64,
    /// Files with zeros that may be lost bytes, or are (`lost as zeros`).
    pub doubtful: u64,
    /// Objects that could not be restored.
    pub failed: u64,
    /// What was not kept, of how many, and the path of one of them.
    pub not_kept: Vec<(NotKept, u64, String)>,
    /// Why something could not be read ([`NotKept::Unread`], [`NotKept::ForkUnread`]): the first
    /// reason for each kind.
    pub unread: Vec<(NotKept, String)>,
    /// Objects that were not reached, since the destination took no more.
    pub remaining: u64,
}

impl Summary {
    /// Why something of that kind could not be read.
    pub fn why_unread(&self, kind: NotKept) -> Option<&str> {
        self.unread.iter().find(|(of, _)| *of == kind).map(|(_, why)| why.as_str())
    }

    /// Whether something was left behind that the options did not leave.
    pub fn is_incomplete(&self) -> bool {
        self.failed > 0
            || self.salvaged > 0
            || self.doubtful > 0
            || self.fallbacks > 0
            || self.remaining > 0
            || self.not_kept.iter().any(|(kind, ..)| kind.is_loss())
    }

    /// The first words about it.
    pub fn restored(&self) -> String {
        let mut parts =
            vec![plural(self.files, "file", "files"), plural(self.folders, "folder", "folders")];
        if self.symlinks > 0 {
            parts.push(plural(self.symlinks, "link", "links"));
        }
        if self.others > 0 {
            let (one, many) = ("device, fifo or socket", "devices, fifos or sockets");
            parts.push(plural(self.others, one, many));
        }
        parts.join(", ")
    }
}

/// Counts what becomes of the objects, from several threads.
pub struct Account<'a> {
    witness: &'a dyn Witness,
    files: AtomicU64,
    folders: AtomicU64,
    symlinks: AtomicU64,
    others: AtomicU64,
    bytes: AtomicU64,
    there: AtomicU64,
    left_out: AtomicU64,
    kept_there: AtomicU64,
    fallbacks: AtomicU64,
    salvaged: AtomicU64,
    doubtful: AtomicU64,
    failed: AtomicU64,
    not_kept: [AtomicU64; NotKept::ALL.len()],
    examples: Mutex<Vec<(NotKept, String)>>,
    unread: Mutex<Vec<(NotKept, String)>>,
}

fn add(counter: &AtomicU64, n: u64) -> u64 {
    counter.fetch_add(n, Ordering::Relaxed)
}

impl<'a> Account<'a> {
    /// A fresh one.
    pub fn new(witness: &'a dyn Witness) -> Self {
        Self {
            witness,
            files: AtomicU64::new(0),
            folders: AtomicU64::new(0),
            symlinks: AtomicU64::new(0),
            others: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            there: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
            kept_there: AtomicU64::new(0),
            fallbacks: AtomicU64::new(0),
            salvaged: AtomicU64::new(0),
            doubtful: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            not_kept: Default::default(),
            examples: Mutex::default(),
            unread: Mutex::default(),
        }
    }

    /// Why something of an object's cannot be read; the first reason of a kind is told.
    fn unread(&self, kind: NotKept, why: &str) {
        let mut unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        if !unread.iter().any(|(of, _)| *of == kind) {
            unread.push((kind, why.to_owned()));
        }
    }

    /// What of an object's could not be read: goes to `not_kept`, too.
    pub fn unreadable(&self, data: &MacData, not_kept: &mut Vec<NotKept>) {
        for (kind, why) in data.unreadable() {
            self.unread(kind, why);
            not_kept.push(kind);
        }
    }

    /// One object is done.
    pub fn tell(&self, object: &Object<'_>) {
        add(&self.bytes, object.bytes);
        match object.did {
            Did::Restored | Did::Fallback => {
                add(self.counter(object.kind), 1);
                if object.did == Did::Fallback {
                    add(&self.fallbacks, 1);
                }
            }
            Did::There => _ = add(&self.there, 1),
            Did::LeftOut => _ = add(&self.left_out, 1),
            Did::Salvaged => _ = add(&self.salvaged, 1),
            Did::Failed => _ = add(&self.failed, 1),
        }
        if object.did == Did::LeftOut && object.reason.as_deref() == Some(KEPT_THERE) {
            add(&self.kept_there, 1);
        }
        if object.doubt.is_some() {
            add(&self.doubtful, 1);
        }
        for kind in &object.not_kept {
            self.not_kept(*kind, object.path);
        }
        self.witness.object(object);
    }

    fn counter(&self, kind: Option<Kind>) -> &AtomicU64 {
        match kind {
            Some(Kind::Directory) => &self.folders,
            Some(Kind::File) | None => &self.files,
            Some(Kind::Symlink) => &self.symlinks,
            Some(_) => &self.others,
        }
    }

    fn not_kept(&self, kind: NotKept, path: &str) {
        let at = NotKept::ALL.iter().position(|k| *k == kind).unwrap_or(0);
        let Some(counter) = self.not_kept.get(at) else { return };
        if add(counter, 1) == 0 {
            let mut examples = self.examples.lock().unwrap_or_else(PoisonError::into_inner);
            examples.push((kind, path.to_owned()));
        }
    }

    /// Objects of which it is known what became of them.
    pub fn done(&self) -> u64 {
        let counters = [
            &self.files,
            &self.folders,
            &self.symlinks,
            &self.others,
            &self.there,
            &self.left_out,
            &self.salvaged,
            &self.failed,
        ];
        counters.iter().map(|c| c.load(Ordering::Relaxed)).sum()
    }

    /// All of it.
    pub fn summary(&self) -> Summary {
        let get = |c: &AtomicU64| c.load(Ordering::Relaxed);
        let examples = self.examples.lock().unwrap_or_else(PoisonError::into_inner);
        let mut not_kept: Vec<(NotKept, u64, String)> = examples
            .iter()
            .map(|(kind, path)| {
                let at = NotKept::ALL.iter().position(|k| k == kind).unwrap_or(0);
                (*kind, self.not_kept.get(at).map_or(0, get), path.clone())
            })
            .collect();
        not_kept.sort_by_key(|(kind, ..)| *kind);
        Summary {
            files: get(&self.files),
            folders: get(&self.folders),
            symlinks: get(&self.symlinks),
            others: get(&self.others),
            bytes: get(&self.bytes),
            there: get(&self.there),
            left_out: get(&self.left_out),
            kept_there: get(&self.kept_there),
            fallbacks: get(&self.fallbacks),
            salvaged: get(&self.salvaged),
            doubtful: get(&self.doubtful),
            failed: get(&self.failed),
            not_kept,
            unread: self.unread.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            remaining: 0,
        }
    }
}
