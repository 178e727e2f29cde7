//! Where a finding is: in which structure of which volume, at which bytes.

use super::{Finding, Reporter};
use crate::error::Locus;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

macro_rules! structures {
    ($($variant:ident $name:literal $doc:literal;)*) => {
        /// A part of a bundle, disk or volume. Serialised as its name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Structure {
            $(#[doc = $doc] $variant,)*
        }

        impl Structure {
            /// Every structure.
            pub const ALL: &[Structure] = &[$(Structure::$variant,)*];

            /// Its name.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Structure::$variant => $name,)*
                }
            }
        }
    };
}

structures! {
    Bundle "bundle" "The bundle as a whole.";
    InfoPlist "Info.plist" "The geometry of a bundle.";
    Token "token" "The file that holds the keys of a bundle.";
    PropertyList "property list" "One of Time Machine's own property lists; the path says which.";
    Bands "bands" "The folder of bands.";
    Band "band" "A band file.";
    Manifest "manifest" "What earlier runs read of the bands.";
    Record "record" "What is remembered of a bundle.";
    Disk "disk" "The disk in a bundle or image.";
    DiskImage "disk image" "The tables of an image in one file.";
    EncryptionHeader "encryption header" "Cipher and keys of an encrypted disk.";
    EncryptedChunks "encrypted chunks" "Chunks of ciphertext.";
    PartitionMap "partition map" "A partition map of any kind.";
    Gpt "GPT" "A GUID partition table.";
    ApplePartitionMap "Apple partition map" "An Apple partition map.";
    Volume "volume" "A volume as a whole.";
    VolumeHeader "volume header" "The header of an HFS+ volume.";
    AlternateVolumeHeader "alternate volume header" "The copy of the header at the volume's end.";
    Journal "journal" "The journal.";
    Catalog "catalog" "The tree of files and folders.";
    Extents "extents" "The tree of extents that records have no room for.";
    Attributes "attributes" "The tree of extended attributes.";
    Bitmap "bitmap" "What says which blocks are in use.";
    BadBlocks "bad blocks" "Blocks that are never to be used.";
    Links "links" "Hard links.";
    File "file" "Contents of a file.";
    Attribute "attribute" "An extended attribute.";
    Checksums "checksums" "The checksums Time Machine recorded.";
    Container "container" "An APFS container.";
    Checkpoint "checkpoint" "A checkpoint of an APFS container.";
    Keybag "keybag" "The wrapped keys of an APFS container or volume.";
    ObjectMap "object map" "Where the objects of an APFS container or volume lie.";
    SpaceManager "space manager" "What says which blocks of an APFS container are in use.";
    Reaper "reaper" "What is being deleted in an APFS container.";
    VolumeSuperblock "volume superblock" "The head of an APFS volume.";
    FileSystemTree "file-system tree" "The tree of files and folders of an APFS volume.";
    ExtentReferences "extent-reference tree" "The tree of who owns which blocks of an APFS volume.";
    SnapshotTree "snapshot tree" "The tree of an APFS volume's snapshots.";
    BackupStore "Backups.backupdb" "The folder of all backups.";
    Snapshots "snapshots" "The snapshots.";
    MachineId "MachineID.plist" "What the Mac noted in the bundle of itself.";
    Examination "examination" "The program's own work on a source.";
    ServerConfiguration "server configuration" "A file that a server is configured by.";
    Server "server" "The machine and what runs on it.";
    SnapshotHistory "SnapshotHistory.plist" "The bundle's list of completed backups.";
}

impl Structure {
    /// Whether it is of the server, of which `doctor` tells, and no part of a backup.
    pub const fn is_of_server(self) -> bool {
        matches!(self, Self::ServerConfiguration | Self::Server)
    }

    /// Whether it holds the records of folders: what is lost of it takes along all
    /// that is in the folders.
    pub const fn holds_folders(self) -> bool {
        matches!(self, Self::Catalog | Self::FileSystemTree)
    }
}

impl fmt::Display for Structure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl From<Structure> for String {
    fn from(structure: Structure) -> Self {
        structure.as_str().into()
    }
}

impl<'de> Deserialize<'de> for Structure {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let name = String::deserialize(d)?;
        let found = Self::ALL.iter().copied().find(|s| s.as_str() == name);
        found.ok_or_else(|| serde::de::Error::custom(format!("no structure is called {name}")))
    }
}

impl Serialize for Structure {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

/// Where a finding is. Absent parts are not known or do not apply.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Where {
    /// The structure.
    pub structure: Structure,
    /// Number of the partition, of what concerns a volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<u32>,
    /// Number of the volume in its container, from 1; absent where a partition is a
    /// volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume: Option<u32>,
    /// The snapshot concerned, by the number the volume has for it (APFS: its
    /// transaction); absent for the live view.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<u64>,
    /// Number of the file or folder concerned: on HFS+ its catalog node id (CNID), on
    /// APFS its inode number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<u64>,
    /// Number of the B-tree node: on HFS+ within its file, on APFS its object id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<u64>,
    /// Record number in that node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<u32>,
    /// First allocation block.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block: Option<u64>,
    /// Byte offset on the disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// Length in bytes of what is concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    /// Name of the band file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub band: Option<String>,
    /// Path in the volume or on the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Line in the file at that path, from 1.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub line: Option<u32>,
}

impl Where {
    /// In a structure.
    pub const fn of(structure: Structure) -> Self {
        Self {
            structure,
            partition: None,
            volume: None,
            snapshot: None,
            object: None,
            node: None,
            record: None,
            block: None,
            offset: None,
            length: None,
            band: None,
            path: None,
            line: None,
        }
    }

    /// Add a byte's place.
    pub fn at(mut self, locus: Option<Locus>) -> Self {
        if let Some(locus) = locus {
            self.offset = Some(locus.offset);
            self.band = locus.band.map(|b| b.name);
        }
        self
    }

    /// Add how many bytes are concerned.
    pub fn length(mut self, bytes: u64) -> Self {
        self.length = Some(bytes);
        self
    }

    /// Add the number of the file or folder.
    pub fn object(mut self, object: impl Into<u64>) -> Self {
        self.object = Some(object.into());
        self
    }

    /// Add the B-tree node number.
    pub fn node(mut self, node: impl Into<u64>) -> Self {
        self.node = Some(node.into());
        self
    }

    /// Add the record number in the node.
    pub fn record(mut self, record: usize) -> Self {
        self.record = u32::try_from(record).ok();
        self
    }

    /// Add the allocation block.
    pub fn block(mut self, block: impl Into<u64>) -> Self {
        self.block = Some(block.into());
        self
    }

    /// Add the band's name.
    pub fn band(mut self, band: impl Into<String>) -> Self {
        self.band = Some(band.into());
        self
    }

    /// Add a path.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }
}

/// What part of a disk is being looked at: findings reported through it say so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Scope {
    /// Number of the partition.
    pub partition: Option<u32>,
    /// Number of the volume in its container.
    pub volume: Option<u32>,
    /// Number the volume has for the snapshot.
    pub snapshot: Option<u64>,
}

impl Scope {
    /// A whole partition.
    pub const fn partition(number: u32) -> Self {
        Self { partition: Some(number), volume: None, snapshot: None }
    }

    /// Whether a place lies in it, as far as the place tells.
    pub fn holds(&self, place: &Where) -> bool {
        self.partition == place.partition
            && (place.volume.is_none() || place.volume == self.volume)
            && (self.snapshot.is_none() || place.snapshot == self.snapshot)
    }

    /// A reporter that adds the scope to findings on their way to `inner`. What a finding
    /// says of itself stays.
    pub fn stamp<'a>(self, inner: &'a dyn Reporter) -> impl Reporter + use<'a> {
        Stamp { scope: self, inner }
    }
}

struct Stamp<'a> {
    scope: Scope,
    inner: &'a dyn Reporter,
}

impl Reporter for Stamp<'_> {
    fn report(&self, mut finding: Finding) {
        let (place, scope) = (&mut finding.place, self.scope);
        place.partition = place.partition.or(scope.partition);
        place.volume = place.volume.or(scope.volume);
        place.snapshot = place.snapshot.or(scope.snapshot);
        self.inner.report(finding);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Code, Collector};

    #[test]
    fn a_scope_is_added_to_what_is_reported_through_it() {
        let scope = Scope { partition: Some(2), volume: Some(1), snapshot: None };
        let collector = Collector::default();
        let place =
            Where { snapshot: Some(77), ..Where::of(Structure::ObjectMap).node(1u64 << 40) };
        scope.stamp(&collector).report(Finding::new(Code::BtreeNode, place, "x"));
        let (found, _) = collector.into_findings();
        let json = serde_json::to_value(&found[0].place).unwrap();
        let wanted = serde_json::json!({
            "structure": "object map", "partition": 2, "volume": 1, "snapshot": 77,
            "node": 1_099_511_627_776u64,
        });
        assert_eq!(json, wanted);
        assert!(scope.holds(&found[0].place));
        assert!(!Scope::partition(3).holds(&found[0].place));
    }

    #[test]
    fn names_of_structures_are_unique() {
        let names: std::collections::HashSet<_> =
            Structure::ALL.iter().map(|s| s.as_str()).collect();
        assert_eq!(names.len(), Structure::ALL.len());
    }
}
