//! The stable codes of findings, with what each means.
//!
//! `docs/findings.md` is made from this table; a test keeps the two in step.

use super::Severity;
use serde::{Serialize, Serializer};
use std::fmt;

/// What a code stands for.
#[derive(Debug, Clone, Copy)]
pub struct CodeInfo {
    /// The stable name, `HFS-CATALOG-KEY-ORDER`.
    pub name: &'static str,
    /// Usual severity.
    pub severity: Severity,
    /// The nearest `fsck_hfs` error numbers (`E_PEOF` is 500), empty if none.
    pub fsck: &'static [u16],
    /// What it means, one or two sentences.
    pub meaning: &'static str,
    /// What to do, one sentence.
    pub remedy: &'static str,
}

macro_rules! codes {
    ($($variant:ident $name:literal $severity:ident [$($fsck:literal),*] $meaning:literal => $remedy:literal;)*) => {
        /// A kind of finding. Serialised as its stable name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $meaning] $variant,)*
        }

        impl Code {
            /// Every code, in the order of the page.
            pub const ALL: &[Code] = &[$(Code::$variant,)*];

            /// Name, severity, meaning and remedy.
            pub fn info(self) -> &'static CodeInfo {
                match self {
                    $(Code::$variant => &CodeInfo {
                        name: $name,
                        severity: Severity::$severity,
                        fsck: &[$($fsck),*],
                        meaning: $meaning,
                        remedy: $remedy,
                    },)*
                }
            }
        }
    };
}

codes! {
    InfoFallback "BUNDLE-INFO-FALLBACK" Warning []
        "Info.plist is missing or broken; the bundle was read by its copy, Info.bckup."
        => "Copy Info.bckup over Info.plist while no Mac uses the bundle.";
    InfoLost "BUNDLE-INFO-LOST" Damage []
        "Neither Info.plist nor Info.bckup can be read, so the band size is not known."
        => "Restore Info.plist from another copy of the bundle; it holds band-size and size.";
    InfoDiffers "BUNDLE-INFO-DIFFERS" Warning []
        "Info.plist and Info.bckup disagree; a resize may have been interrupted."
        => "Let the Mac attach the image once; it rewrites both.";
    InfoOdd "BUNDLE-INFO-ODD" Warning []
        "A value in Info.plist is not one that macOS writes."
        => "Compare Info.plist with Info.bckup and with another bundle of the same Mac.";
    TokenUnknown "BUNDLE-TOKEN-UNKNOWN" Damage []
        "The token is neither empty nor an encryption header; without it an encrypted bundle cannot be opened."
        => "Restore the token from another copy of the bundle: it holds the only keys.";
    TokenMissing "BUNDLE-TOKEN-MISSING" Warning []
        "The token file is missing; a plain bundle reads without it, an encrypted one is lost."
        => "Restore the token from another copy of the bundle.";
    BundleStray "BUNDLE-STRAY" Info []
        "A file that macOS did not write lies in the bundle."
        => "Harmless; remove it if you know where it came from.";
    PlistBroken "BUNDLE-PLIST-BROKEN" Warning []
        "One of Time Machine's own property lists in the bundle cannot be read."
        => "The Mac writes it again at its next backup.";
    BandStray "BAND-STRAY" Info []
        "A name in bands/ is not the name of a band; it was not read."
        => "Remove it if you know where it came from; NAS software and sync tools leave such files.";
    BandName "BAND-NAME" Warning []
        "A file in bands/ looks like a band with a wrong name (upper case, leading zeros) and was not read."
        => "Find out what renamed it; if the band of that number is missing, this may be it.";
    BandOutOfRange "BAND-OUT-OF-RANGE" Warning []
        "A band lies wholly past the size of the image and was not read."
        => "Usually left from a shrunk image; harmless.";
    BandTooLong "BAND-TOO-LONG" Damage []
        "A band file is longer than a band can be; the excess was not read."
        => "Check the server's disk and file system; something else wrote into this file.";
    BandNotFile "BAND-NOT-FILE" Damage []
        "A band is not a regular file (a folder, link or device); it was not opened."
        => "Find out what replaced the band; restore it from another copy.";
    BandUnreadable "BAND-UNREADABLE" Damage []
        "A band cannot be read: the disk reports an error or access is denied."
        => "Run as a user who may read it; if that is not the cause, look at the server's disk now.";
    DiskUnreadable "DISK-UNREADABLE" Damage []
        "The part of the disk that holds the partition map or the start of a volume cannot be read."
        => "See the finding on the band that holds it; of a raw disk, look at its health now.";
    GptPrimary "PART-GPT-PRIMARY" Damage []
        "The primary GPT header or table is broken; the backup was used."
        => "A Mac's Disk Utility repairs it from the backup.";
    GptBackup "PART-GPT-BACKUP" Warning []
        "The backup GPT header or table is broken or not where it should be."
        => "Left behind by an interrupted resize, or the image's end is lost; Disk Utility repairs it.";
    GptDiffers "PART-GPT-DIFFERS" Warning []
        "The two copies of the GPT are both valid but do not agree."
        => "Disk Utility repairs it.";
    PartitionEntry "PART-ENTRY" Damage []
        "A partition overlaps another or lies outside the disk."
        => "Do not let anything write to this image; compare with Info.bckup's size.";
    ApmEntry "PART-APM-ENTRY" Damage []
        "An Apple partition map entry is missing or contradicts the others."
        => "Do not let anything write to this image.";
    VolumeUnknown "VOLUME-UNKNOWN" Damage []
        "A partition that should hold a volume holds nothing tmbundle recognises."
        => "If the bundle was interrupted while new, delete it; otherwise its first band is lost or overwritten.";
    VolumeNone "VOLUME-NONE" Damage []
        "No volume was found on the disk."
        => "The image was never formatted, or its first band is lost.";
    HeaderPrimary "HFS-HEADER" Damage [554, 555, 561, 564]
        "The volume header is broken; the alternate was used."
        => "Let a Mac repair the volume (fsck_hfs).";
    HeaderAlternate "HFS-HEADER-ALTERNATE" Damage [555, 564]
        "The alternate volume header is broken or contradicts the first."
        => "Let a Mac repair the volume (fsck_hfs).";
    HeaderLost "HFS-HEADER-LOST" Damage [564]
        "Neither the volume header nor its alternate can be used."
        => "Use the band list and `verify` of the bundle to see whether the bands that held them are missing.";
    HeaderField "HFS-HEADER-FIELD" Damage [506, 507, 555]
        "A field of the volume header cannot be right."
        => "Let a Mac repair the volume (fsck_hfs).";
    JournalBad "HFS-JOURNAL-BAD" Damage [574]
        "The journal's header or a transaction in it is not valid; what came before it was replayed in memory."
        => "Let the Mac attach the image and repair it; the last moments of the last backup may be missing.";
    JournalDirty "HFS-JOURNAL-DIRTY" Info [611]
        "The journal held unfinished work; it was replayed in memory. Normal after a lost connection."
        => "Nothing; the Mac replays it at its next backup.";
    JournalExternal "HFS-JOURNAL-EXTERNAL" Warning []
        "The journal lies on another device and was not replayed."
        => "Attach the journal's device on a Mac.";
    BtreeHeader "HFS-BTREE-HEADER" Damage [512, 514, 526, 527, 550, 557, 558]
        "The header of a B-tree cannot be right."
        => "Let a Mac repair the volume (fsck_hfs -r rebuilds the tree).";
    BtreeUnreadable "HFS-BTREE-UNREADABLE" Damage []
        "A node of a B-tree cannot be read."
        => "See the finding on the band that holds it.";
    BtreeNode "HFS-BTREE-NODE" Damage [516, 520]
        "The structure of a B-tree node is broken: record offsets, record count or bounds."
        => "The files in this node cannot be reached; let a Mac repair the volume (fsck_hfs).";
    BtreeKind "HFS-BTREE-KIND" Damage [504, 515]
        "A B-tree node has the wrong kind or height for its place."
        => "Let a Mac repair the volume (fsck_hfs -r).";
    BtreeLink "HFS-BTREE-LINK" Damage [518, 519]
        "A link between B-tree nodes points to the wrong node."
        => "Let a Mac repair the volume (fsck_hfs -r).";
    BtreeTwice "HFS-BTREE-TWICE" Damage [521]
        "A B-tree node is reached twice: the tree has a loop or shares a branch."
        => "Let a Mac repair the volume (fsck_hfs -r).";
    BtreeKeyLength "HFS-BTREE-KEY-LENGTH" Damage [523]
        "A key in a B-tree has an impossible length."
        => "Let a Mac repair the volume (fsck_hfs -r).";
    BtreeKeyOrder "HFS-BTREE-KEY-ORDER" Damage [524]
        "The keys of a B-tree are out of order: some files cannot be found by name."
        => "Let a Mac repair the volume (fsck_hfs -r).";
    BtreeIndexKey "HFS-BTREE-INDEX-KEY" Damage [517]
        "An index key does not equal the first key of the node it leads to."
        => "Let a Mac repair the volume (fsck_hfs -r).";
    BtreeMap "HFS-BTREE-MAP" Damage [522, 525, 550]
        "The map of used nodes of a B-tree is wrong or its map nodes are."
        => "Let a Mac repair the volume (fsck_hfs).";
}

impl Code {
    /// The stable name.
    pub fn name(self) -> &'static str {
        self.info().name
    }

    /// The code of that name, in any case.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|c| c.name().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.name())
    }
}
