//! What is in a partition? Probe it, name it, and open its volumes: the only room that
//! knows the formats.

mod check;
mod dump;
mod layout;

pub use check::{Checked, Part, check, try_passwords};
pub use dump::{dump, structures};
pub use layout::{Keys, Layout, Scan};

use crate::apfs::{Apfs, Container};
use crate::crypt::Asker;
use crate::error::{Error, Result};
use crate::fs::Volume;
use crate::hfsplus::{self, HfsPlus};
use crate::io::bytes::{array, be16, be32};
use crate::io::{Cut, ReadAt, Slice, Source, read_up_to};
use crate::partition::{self, Partition, PartitionMap, Purpose};
use crate::report::NoProgress;
use std::ops::Range;
use std::sync::Arc;

/// What a partition holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// HFS Plus; an embedded one lies this many bytes into the partition.
    HfsPlus {
        /// HFSX: names may be case-sensitive.
        hfsx: bool,
        /// The byte range in the partition of a volume inside an HFS wrapper.
        embedded: Option<(u64, u64)>,
    },
    /// HFS Standard without an embedded volume.
    HfsStandard,
    /// An APFS container.
    Apfs,
    /// A CoreStorage physical volume (FileVault 2, Fusion).
    CoreStorage,
    /// exFAT.
    ExFat,
    /// FAT12, FAT16 or FAT32.
    Fat,
    /// NTFS.
    Ntfs,
    /// Only zeros where a volume would begin.
    Empty,
    /// Nothing known.
    Unknown,
    /// Where a volume would begin, it cannot be read; why.
    Unreadable(String),
}

impl Kind {
    /// Whether [`check`] has rules for it.
    pub fn can_be_checked(&self) -> bool {
        matches!(self, Self::HfsPlus { .. } | Self::Apfs)
    }

    /// Its name for people.
    pub fn name(&self) -> &'static str {
        match self {
            Self::HfsPlus { hfsx: false, .. } => "HFS+",
            Self::HfsPlus { hfsx: true, .. } => "HFSX",
            Self::HfsStandard => "HFS Standard",
            Self::Apfs => "APFS",
            Self::CoreStorage => "CoreStorage",
            Self::ExFat => "exFAT",
            Self::Fat => "FAT",
            Self::Ntfs => "NTFS",
            Self::Empty => "empty",
            Self::Unknown => "unknown",
            Self::Unreadable(_) => "unreadable",
        }
    }
}

/// A partition with what it holds, found but not opened.
#[derive(Clone)]
pub struct Found {
    /// Its entry in the map.
    pub partition: Partition,
    /// What it holds.
    pub kind: Kind,
    /// Its bytes (of an embedded volume: of that alone).
    pub source: Source,
    /// How many of them are not there, since the disk ends before the volume does.
    pub missing: u64,
    /// Of an HFS+ volume, what its reader and its checker share.
    hfs: Option<Arc<hfsplus::Shared>>,
}

/// Probe every partition that may hold a volume.
pub fn volumes(disk: &Source, map: &PartitionMap) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    let mut starts = std::collections::HashSet::new();
    for p in &map.partitions {
        // A second entry for the same place, which the map's check tells of, is no second volume.
        if p.purpose == Purpose::Service || !starts.insert(p.start) {
            continue;
        }
        let source: Source = Arc::new(Slice::new(disk.clone(), p.start, p.len));
        // What cannot be read of one partition is no matter of the others.
        let kind = match probe(&*source, p.purpose) {
            Ok(kind) => kind,
            Err(e @ (Error::Io { .. } | Error::Corrupt(_))) => Kind::Unreadable(e.to_string()),
            Err(e) => return Err(e),
        };
        let source = match kind {
            Kind::HfsPlus { embedded: Some((at, len)), .. } => {
                Arc::new(Slice::new(source, at, len)) as Source
            }
            _ => source,
        };
        let at_end = p.start.saturating_add(p.len) >= disk.len();
        let (source, missing) = if at_end { lengthened(source) } else { (source, 0) };
        let hfs = matches!(kind, Kind::HfsPlus { .. })
            .then(|| Arc::new(hfsplus::Shared::of(source.clone())));
        found.push(Found { partition: p.clone(), kind, source, missing, hfs });
    }
    Ok(found)
}

/// A volume that says it is longer than the disk has room for: its whole length, with errors
/// where nothing is; and how much that is. Of one that has lost nearly all, its word is
/// doubted, unless what it leads to is there.
fn lengthened(source: Source) -> (Source, u64) {
    let head = read_up_to(&*source, 0, 4096).unwrap_or_default();
    let (len, whole) = (source.len(), partition::volume_len(&head).unwrap_or(0));
    // An HFS+ volume ends in its partition's last block, which need not be whole.
    let led = || hfsplus::leads_to_catalog(&source) || crate::apfs::begins(&source);
    let doubted = len < whole / 16 && !led();
    if whole <= len.saturating_add(1 << 16) || doubted {
        return (source, 0);
    }
    (Arc::new(Cut::new(source, whole)), whole - len)
}

/// Tell what a partition holds by its first kilobytes; for HFS+ whose header is
/// lost, by the alternate header at its end.
fn probe(source: &dyn ReadAt, purpose: Purpose) -> Result<Kind> {
    let head = read_up_to(source, 0, 4096);
    if let Some(kind) = head.as_ref().ok().and_then(|head| probe_head(head)) {
        return Ok(kind);
    }
    if source.len() >= 4096
        && let Ok(alternate) = read_up_to(source, source.len() - 1024, 512)
        && let Some(hfsx) = hfs_signature(&alternate, 0)
        && partition::alternate_fits(source, 0, source.len(), &alternate)
    {
        return Ok(Kind::HfsPlus { hfsx, embedded: None });
    }
    // Its header lies in the last sector, too.
    if source.len() >= 1024
        && let Ok(last) = read_up_to(source, source.len() - 512, 512)
        && is_core_storage(&last)
    {
        return Ok(Kind::CoreStorage);
    }
    if purpose == Purpose::Apfs {
        return Ok(Kind::Apfs);
    }
    if purpose == Purpose::CoreStorage {
        return Ok(Kind::CoreStorage);
    }
    let empty = crate::io::bytes::all_zero(&head?);
    Ok(if empty { Kind::Empty } else { Kind::Unknown })
}

/// `H+` version 4 or `HX` version 5 at `at`: whether it is HFSX.
fn hfs_signature(b: &[u8], at: usize) -> Option<bool> {
    match be32(b, at)? {
        0x482B_0004 => Some(false),
        0x4858_0005 => Some(true),
        _ => None,
    }
}

fn probe_head(head: &[u8]) -> Option<Kind> {
    if let Some(hfsx) = hfs_signature(head, 1024) {
        return Some(Kind::HfsPlus { hfsx, embedded: None });
    }
    if be16(head, 1024) == Some(0x4244) {
        return Some(wrapper(head).unwrap_or(Kind::HfsStandard));
    }
    if array(head, 32) == Some(*b"NXSB") {
        return Some(Kind::Apfs);
    }
    if is_core_storage(head) {
        return Some(Kind::CoreStorage);
    }
    match head.get(3..11) {
        Some(b"EXFAT   ") => return Some(Kind::ExFat),
        Some(b"NTFS    ") => return Some(Kind::Ntfs),
        _ => {}
    }
    let boot = head.get(510..512) == Some(&[0x55, 0xAA]);
    let fat = [54, 82].iter().any(|at| array(head, *at) == Some(*b"FAT"));
    (boot && fat).then_some(Kind::Fat)
}

/// The header of a CoreStorage physical volume (`formats/partition.md` section 5).
fn is_core_storage(sector: &[u8]) -> bool {
    array(sector, 88) == Some(*b"CS") && be16(sector, 10) == Some(0x1000)
}

/// HFS wrapper: a Master Directory Block that embeds an HFS+ volume.
fn wrapper(head: &[u8]) -> Option<Kind> {
    let at = |n: usize| 1024 + n;
    if be16(head, at(124))? != 0x482B {
        return None;
    }
    let block_size = u64::from(be32(head, at(20))?);
    let first = u64::from(be16(head, at(28))?) * 512;
    let start = first + u64::from(be16(head, at(126))?) * block_size;
    let len = u64::from(be16(head, at(128))?) * block_size;
    Some(Kind::HfsPlus { hfsx: false, embedded: Some((start, len)) })
}

impl Found {
    /// The bytes of the disk that it takes.
    pub fn range(&self) -> Range<u64> {
        let start = self.source.locate(0).map_or(0, |p| p.offset);
        start..start.saturating_add(self.source.len())
    }

    /// A number that tells the volume from all others and that it keeps for good, if it
    /// has one.
    pub fn unique_id(&self) -> Option<u64> {
        self.hfs.as_ref()?.unique_id()
    }

    /// Why nothing in it can be opened, in words.
    fn unsupported(&self) -> Error {
        let (number, type_name) = (self.partition.number, &self.partition.type_name);
        if let Kind::Unreadable(why) = &self.kind {
            let what = format!("cannot read partition {number} ({type_name}): {why}");
            return Error::io(what, std::io::Error::other("nothing of it can be opened"));
        }
        Error::Unsupported(match self.kind {
            Kind::Empty => {
                let begin = 0..self.source.len().min(4096);
                match crate::io::cut_off(&*self.source, begin) {
                    Some(gone) => format!(
                        "partition {number} ({type_name}) was never formatted, or its beginning is \
                         lost: {}",
                        gone.why
                    ),
                    None => format!(
                        "partition {number} ({type_name}) is not formatted: it holds only zeros \
                         where a volume begins"
                    ),
                }
            }
            Kind::Unknown => {
                format!("partition {number} ({type_name}) holds nothing that tmbundle recognises")
            }
            _ => {
                let name = self.kind.name();
                format!("partition {number} holds {name}, which tmbundle cannot read yet")
            }
        })
    }
}

/// How volumes are opened.
#[derive(Clone, Default)]
pub struct OpenOptions {
    /// Show folders and files that the format keeps for itself (HFS+: the private folders
    /// of hard links, the journal).
    pub private: bool,
    /// Who is asked for the password of an encrypted volume; nobody: it stays locked.
    pub asker: Option<Asker>,
    /// Put together what is left of a volume whose headers or catalog are broken, and look
    /// for one where none is recognised.
    pub salvage: bool,
}

/// A volume that was to be opened.
pub struct Attempt {
    /// Its name, where that can be told although the volume cannot be opened.
    pub name: Option<String>,
    /// What came of it.
    pub result: Result<Arc<dyn Volume>>,
}

impl From<Result<Arc<dyn Volume>>> for Attempt {
    fn from(result: Result<Arc<dyn Volume>>) -> Self {
        Self { name: None, result }
    }
}

/// Open all volumes in a partition: of most formats one, of an APFS container as many as
/// it has. One that cannot be opened says why in its place.
pub fn open(found: &Found, options: &OpenOptions) -> Vec<Attempt> {
    match (&found.kind, &found.hfs) {
        (_, Some(shared)) => {
            let opened = match options.salvage {
                true => HfsPlus::salvage(found.source.clone(), &NoProgress),
                false => HfsPlus::of_shared(shared),
            };
            let shown = opened.map(|hfs| match options.private {
                true => hfs.with_private_folders(),
                false => hfs,
            });
            vec![shown.map(|hfs| Arc::new(hfs) as Arc<dyn Volume>).into()]
        }
        (Kind::Apfs, _) if options.salvage => {
            salvage_apfs(found, options).unwrap_or_else(|e| vec![Err(e).into()])
        }
        (Kind::Apfs, _) => apfs_volumes(found, options),
        (Kind::Empty | Kind::Unknown, _) if options.salvage => {
            match HfsPlus::salvage(found.source.clone(), &NoProgress) {
                Ok(hfs) => vec![Ok(Arc::new(hfs) as Arc<dyn Volume>).into()],
                // Nothing of HFS+ is in it.
                Err(e) => salvage_apfs(found, options).unwrap_or_else(|_| vec![Err(e).into()]),
            }
        }
        _ => vec![Err(found.unsupported()).into()],
    }
}

/// What is left of the volumes of a container.
fn salvage_apfs(found: &Found, options: &OpenOptions) -> Result<Vec<Attempt>> {
    let asker = options.asker.as_ref();
    let ask = |name: &str, wrong: u32| asker.map_or(Ok(Vec::new()), |ask| ask(name, wrong));
    let opened = crate::apfs::salvage(&found.source, &ask, &NoProgress)?;
    let attempt = |(name, result): crate::apfs::Salvaged| Attempt {
        name,
        result: result.map(|v| Arc::new(v) as Arc<dyn Volume>),
    };
    Ok(opened.into_iter().map(attempt).collect())
}

/// Every volume of a container; one that cannot be opened does not keep the others from
/// it.
fn apfs_volumes(found: &Found, options: &OpenOptions) -> Vec<Attempt> {
    let container = match Container::open(found.source.clone()) {
        Ok(container) => Arc::new(container),
        Err(e) => return vec![Err(e).into()],
    };
    let numbers = container.superblock().volumes.clone();
    if numbers.is_empty() {
        return vec![Err(Error::Unsupported("the APFS container holds no volumes".into())).into()];
    }
    let asker = options.asker.as_ref();
    let ask = |name: &str, wrong: u32| asker.map_or(Ok(Vec::new()), |ask| ask(name, wrong));
    let open = |oid| {
        let opened = Apfs::open(container.clone(), oid, &ask);
        let result = opened.map(|v| Arc::new(v) as Arc<dyn Volume>);
        let name = match &result {
            Ok(volume) => Some(volume.about().name.clone()),
            Err(_) => container.volume_name(oid),
        };
        Attempt { name, result }
    };
    numbers.into_iter().map(open).collect()
}
