//! What a source is: geometry, encryption, volumes, Mac, last backup.

use crate::bundle::{Bundle, InfoSource, TimeMachinePlists};
use crate::disk::Container;
use crate::error::{Error, Result};
use crate::fs::{About, Details};
use crate::io::bytes::to_u64;
use crate::report::{Collector, Finding};
use crate::timemachine::{Archive, Backup, OpenVolume, come_by};
use crate::volume::{Found, Layout};
use serde::Serialize;

/// Bands that are asked for their size one by one; of more, a sample is.
const EXACT_BANDS: usize = 2000;
/// Size of the sample.
const SAMPLE: usize = 500;

/// Everything `info` tells.
#[derive(Debug, Serialize)]
pub struct Info {
    /// The path that was given.
    pub source: String,
    /// `sparse bundle`, `raw image`.
    pub kind: &'static str,
    /// Size of the virtual disk in bytes.
    pub size: u64,
    /// Bytes on the server's disk, if known.
    pub bytes_on_disk: Option<u64>,
    /// Whether that is exact, or estimated from a sample of the bands.
    pub bytes_on_disk_exact: bool,
    /// Why nothing inside can be read, if so.
    pub locked: Option<String>,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// A password was given that does not open a volume on it.
    #[serde(skip)]
    pub wrong_password: bool,
    /// Volumes on it are encrypted by themselves.
    #[serde(skip)]
    pub encrypted_volumes: bool,
    /// How: `AES-128`, `AES-256`.
    pub cipher: Option<String>,
    /// The bundle's own facts.
    pub bundle: Option<BundleInfo>,
    /// The partition map: `GPT`, `APM`, `MBR`, `none`.
    pub partition_scheme: Option<&'static str>,
    /// Its partitions.
    pub partitions: Vec<PartitionInfo>,
    /// What Time Machine keeps.
    pub backup: Option<BackupInfo>,
    /// What is wrong at first sight.
    pub findings: Vec<Finding>,
}

/// Facts of a bundle.
#[derive(Debug, Serialize)]
pub struct BundleInfo {
    /// Bytes in a band.
    pub band_size: u64,
    /// `bundle-backingstore-version`.
    pub version: Option<u64>,
    /// Identity of the image.
    pub uuid: Option<String>,
    /// The file the geometry was read from.
    pub info_from: &'static str,
    /// The bands.
    pub bands: BandsInfo,
    /// The Mac, from the bundle's own property list.
    pub machine: Option<MachineInfo>,
    /// Completed backups in the bundle's history.
    pub history_count: Option<usize>,
    /// Name of the last of them.
    pub last_backup: Option<String>,
    /// Its completion, seconds since 1970.
    pub last_completed: Option<i64>,
    /// Plain values of the last result.
    pub results: Vec<(String, String)>,
}

/// The bands of a bundle.
#[derive(Debug, Serialize)]
pub struct BandsInfo {
    /// Files present.
    pub present: u64,
    /// Bands that the size asks for.
    pub possible: u64,
    /// Never written, or lost.
    pub missing: u64,
    /// Other names in the folder.
    pub strays: u64,
}

/// The Mac that a bundle belongs to.
#[derive(Debug, Serialize)]
pub struct MachineInfo {
    /// Hardware UUID.
    pub host_uuid: Option<String>,
    /// Model.
    pub model: Option<String>,
    /// Network address.
    pub mac_address: Option<String>,
    /// `VerificationState` as stored.
    pub verification_state: Option<u64>,
    /// Last verification by the Mac, seconds since 1970.
    pub verification_date: Option<i64>,
    /// Whether the Mac waits for leave to start a new backup.
    pub recovery_declined: bool,
}

/// A partition.
#[derive(Debug, Serialize)]
pub struct PartitionInfo {
    /// Number, from 1.
    pub number: u32,
    /// Type in the map.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Name in the map.
    pub name: String,
    /// First byte.
    pub start: u64,
    /// Length in bytes.
    pub len: u64,
    /// What it holds: `HFS+`, `HFSX`, `APFS`…
    pub contents: &'static str,
    /// The volume, if it is HFS+.
    pub hfs: Option<HfsInfo>,
    /// The volumes of an APFS container that could be opened.
    pub apfs: Vec<ApfsInfo>,
    /// Why it could not be opened, if not.
    pub problem: Option<String>,
}

/// A volume of an APFS container.
#[derive(Debug, Serialize)]
pub struct ApfsInfo {
    /// Name of the volume.
    pub name: String,
    /// Its role, such as `Backup`.
    pub role: Option<&'static str>,
    /// Whether names that differ in case are different.
    pub case_sensitive: bool,
    /// Whether its files are encrypted.
    pub encrypted: bool,
    /// Whether it is a sealed system volume.
    pub sealed: bool,
    /// UUID of the container.
    pub container: String,
    /// The transaction that is seen.
    pub xid: u64,
    /// Its snapshots, of any kind.
    pub snapshots: usize,
    /// Bytes in a block.
    pub block_size: u32,
    /// Bytes it may take of its container.
    pub total_bytes: u64,
    /// Bytes of the container that are free; `None` where its space manager cannot be read.
    pub free_bytes: Option<u64>,
    /// Files as it counts them.
    pub files: u64,
    /// Folders as it counts them.
    pub folders: u64,
    /// Last modification, seconds since 1970.
    pub modified: i64,
    /// That an older state of it is told of, because the newest cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub older_state: Option<String>,
}

impl Info {
    /// That older states of volumes are told of, because the newest cannot be read.
    pub fn older(&self) -> impl Iterator<Item = &str> {
        let all = self.partitions.iter().flat_map(|p| &p.apfs);
        all.filter_map(|v| v.older_state.as_deref())
    }
}

/// An HFS+ volume.
#[derive(Debug, Serialize)]
pub struct HfsInfo {
    /// Name of the volume.
    pub name: String,
    /// Whether names that differ in case are different.
    pub case_sensitive: bool,
    /// Whether it is journaled.
    pub journaled: bool,
    /// `none`, `empty`, `needs replay`, …
    pub journal: String,
    /// Transactions that were replayed in memory.
    pub journal_transactions: u32,
    /// Whether it was unmounted cleanly.
    pub cleanly_unmounted: bool,
    /// Whether the alternate volume header had to be used.
    pub from_alternate_header: bool,
    /// Bytes in an allocation block.
    pub block_size: u32,
    /// Bytes of the volume.
    pub total_bytes: u64,
    /// Bytes that are free.
    pub free_bytes: u64,
    /// Files as counted in the header.
    pub files: u64,
    /// Folders as counted in the header.
    pub folders: u64,
    /// Last modification, seconds since 1970.
    pub modified: i64,
}

/// What Time Machine keeps on the disk.
#[derive(Debug, Serialize)]
pub struct BackupInfo {
    /// The Macs.
    pub computers: Vec<ComputerInfo>,
    /// What could not be read.
    pub problems: Vec<String>,
}

/// One Mac's backups.
#[derive(Debug, Serialize)]
pub struct ComputerInfo {
    /// Name.
    pub name: String,
    /// Model.
    pub model: Option<String>,
    /// Snapshots, unfinished ones included.
    pub snapshots: usize,
    /// Oldest snapshot.
    pub oldest: Option<String>,
    /// Newest snapshot that is whole.
    pub newest: Option<String>,
    /// Its completion, seconds since 1970.
    pub newest_completed: Option<i64>,
    /// Snapshots that were never completed.
    pub unfinished: usize,
}

/// Look at a source. Everything that can be seen is told; what cannot be opened
/// says why. Dates beyond `now` (seconds since 1970) make no backup the newest.
///
/// # Errors
/// When the bundle's folder of bands cannot be listed, or the disk not be read.
pub fn info(layout: &Layout, now: i64) -> Result<Info> {
    let disk = layout.disk();
    let findings = Collector::default();
    let mut info = Info {
        source: disk.path().display().to_string(),
        kind: disk.kind(),
        size: disk.size(),
        bytes_on_disk: None,
        bytes_on_disk_exact: true,
        locked: None,
        encrypted: disk.encryption().is_some(),
        wrong_password: false,
        encrypted_volumes: false,
        cipher: disk.encryption().map(|e| e.cipher.clone()),
        bundle: None,
        partition_scheme: None,
        partitions: Vec::new(),
        backup: None,
        findings: Vec::new(),
    };
    match disk.container() {
        Container::Raw(raw) => info.bytes_on_disk = raw.bytes_on_disk(),
        Container::Bundle(bundle) => {
            bundle_info(bundle, now, &mut info, &findings)?;
        }
    }
    match Archive::open(layout) {
        Ok(archive) => archive_info(&archive, now, &mut info),
        Err(e) if disk.locked().is_some() => info.locked = Some(e.to_string()),
        Err(e) if layout.keys().is_some() => {
            info.locked = Some(e.to_string());
            info.encrypted = true;
        }
        Err(e) => return Err(e),
    }
    crate::disk::check::check(disk, &findings);
    let mut told = findings.into_findings().0;
    let untold = Collector::default();
    crate::disk::check::check_reads(disk, &|text| info.says(text, &told), &untold);
    told.append(&mut untold.into_findings().0);
    info.findings = told;
    Ok(info)
}

impl Info {
    /// Whether a text is in what is told of things that are wrong.
    fn says(&self, text: &str, findings: &[Finding]) -> bool {
        let of_parts = self.partitions.iter().filter_map(|p| p.problem.as_ref());
        let of_journals = self.partitions.iter().filter_map(|p| Some(&p.hfs.as_ref()?.journal));
        let of_backup = self.backup.iter().flat_map(|b| &b.problems);
        let mut all =
            of_parts.chain(of_journals).chain(of_backup).chain(findings.iter().map(|f| &f.message));
        all.any(|t| t.contains(text))
    }
}

fn bundle_info(bundle: &Bundle, now: i64, info: &mut Info, findings: &Collector) -> Result<()> {
    let listing = bundle.bands().list()?;
    crate::bundle::check(bundle, &listing, findings);
    let (bytes, exact) = bytes_on_disk(bundle, &listing.present);
    info.bytes_on_disk = bytes;
    info.bytes_on_disk_exact = exact;
    let plists = bundle.time_machine();
    let last = plists.history.as_ref().and_then(|h| h.last_at(come_by(now)));
    let geometry = bundle.info();
    let present = to_u64(listing.present.len());
    info.bundle = Some(BundleInfo {
        band_size: geometry.band_size,
        version: geometry.version,
        uuid: geometry.uuid.clone(),
        info_from: match geometry.source {
            InfoSource::Plist => "Info.plist",
            InfoSource::Bckup(_) => "Info.bckup",
            InfoSource::Stray(..) => "another file",
            InfoSource::Guessed(..) => "bands",
        },
        bands: BandsInfo {
            present,
            possible: geometry.band_count(),
            missing: geometry.band_count().saturating_sub(present),
            strays: listing.stray_count,
        },
        machine: machine_info(&plists),
        history_count: plists.history.as_ref().map(|h| h.entries.len()),
        last_backup: last.and_then(|e| e.name.clone()),
        last_completed: last.and_then(|e| e.completed),
        results: plists.results.unwrap_or_default(),
    });
    Ok(())
}

fn machine_info(plists: &TimeMachinePlists) -> Option<MachineInfo> {
    let machine = plists.machine.as_ref()?;
    Some(MachineInfo {
        host_uuid: machine.host_uuid.clone(),
        model: machine.model.clone(),
        mac_address: machine.mac_address.clone(),
        verification_state: machine.verification_state,
        verification_date: machine.verification_date,
        recovery_declined: machine.recovery_declined.is_some(),
    })
}

/// Bytes that the bands take on the server's disk, and whether that is exact. Of
/// many bands an even sample is asked, since each question may cost a seek.
pub fn bytes_on_disk(bundle: &Bundle, present: &[u64]) -> (Option<u64>, bool) {
    let bands = bundle.bands();
    let size = |index: &u64| {
        let name = crate::bundle::Bands::name(*index);
        let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        let stat = rustix::fs::statat(bands.dir(), name, flags);
        let stat = stat.inspect_err(|e| bands.unseen(*index, *e)).ok()?;
        u64::try_from(stat.st_blocks).ok().map(|n| n.saturating_mul(512))
    };
    if present.len() <= EXACT_BANDS {
        return (Some(present.iter().filter_map(size).sum()), true);
    }
    let step = present.len() / SAMPLE;
    let sample: Vec<u64> = present.iter().step_by(step.max(1)).filter_map(size).collect();
    let mean = sample.iter().sum::<u64>() / to_u64(sample.len().max(1));
    (Some(mean.saturating_mul(to_u64(present.len()))), false)
}

fn archive_info(archive: &Archive, now: i64, info: &mut Info) {
    let wrong = |e: &Error| matches!(e, Error::WrongPassword(_));
    info.wrong_password = archive.failed.iter().any(|f| wrong(&f.error));
    let opened = archive.open.iter().filter_map(apfs_info).any(|v| v.encrypted);
    info.encrypted_volumes = opened || archive.failed.iter().any(|f| f.error.is_about_password());
    info.partition_scheme = Some(archive.map.scheme.name());
    for p in &archive.map.partitions {
        let same = |v: &Found| v.partition.number == p.number;
        let opened = archive.open.iter().find(|v| same(&v.found));
        let failed = archive.failed.iter().find(|f| same(&f.found)).map(|f| &f.error);
        let kind = archive.volumes.iter().find(|v| same(v)).map(|v| v.kind.name());
        let corrupt = failed.filter(|e| !matches!(e, Error::Unsupported(_)));
        info.partitions.push(PartitionInfo {
            number: p.number,
            type_name: p.type_name.clone(),
            name: p.name.clone(),
            start: p.start,
            len: p.len,
            contents: kind.unwrap_or(match p.purpose {
                crate::partition::Purpose::Service => "service",
                _ => "the same as another",
            }),
            hfs: opened.and_then(|v| hfs_info(v.volume.about())),
            apfs: archive.open.iter().filter(|v| same(&v.found)).filter_map(apfs_info).collect(),
            problem: corrupt
                .map(ToString::to_string)
                .or_else(|| opened.and_then(|v| v.unread.clone())),
        });
    }
    info.backup = archive.backup().map(|(_, b)| backup_info(b, now));
}

/// What is told of an APFS volume; `None` for other formats.
fn apfs_info(open: &OpenVolume) -> Option<ApfsInfo> {
    let about = open.volume.about();
    let Details::Apfs { role, encrypted, sealed, container, xid } = about.details else {
        return None;
    };
    let bytes = |blocks: u64| blocks.saturating_mul(about.block_size.into());
    Some(ApfsInfo {
        name: about.name.clone(),
        role,
        case_sensitive: about.case_sensitive,
        encrypted,
        sealed,
        container: container.to_string(),
        xid,
        snapshots: open.volume.views().map_or(0, |v| v.len().saturating_sub(1)),
        block_size: about.block_size,
        total_bytes: bytes(about.blocks),
        free_bytes: about.free.map(bytes),
        files: about.files,
        folders: about.folders,
        modified: about.modified.map_or(0, |t| t.seconds),
        older_state: about.older.clone(),
    })
}

/// What is told of an HFS+ volume; `None` for other formats.
fn hfs_info(about: &About) -> Option<HfsInfo> {
    let Details::HfsPlus { journaled, journal, transactions, clean, alternate_header } =
        &about.details
    else {
        return None;
    };
    let block = u64::from(about.block_size);
    Some(HfsInfo {
        name: about.name.clone(),
        case_sensitive: about.case_sensitive,
        journaled: *journaled,
        journal: journal.clone(),
        journal_transactions: *transactions,
        cleanly_unmounted: *clean,
        from_alternate_header: *alternate_header,
        block_size: about.block_size,
        total_bytes: about.blocks.saturating_mul(block),
        free_bytes: about.free.unwrap_or(0).saturating_mul(block),
        files: about.files,
        folders: about.folders,
        modified: about.modified.map_or(0, |t| t.seconds),
    })
}

fn backup_info(backup: &Backup, now: i64) -> BackupInfo {
    let computers = backup.computers.iter().map(|c| {
        let newest = c.latest_at(now);
        ComputerInfo {
            name: c.name.clone(),
            model: c.model.clone(),
            snapshots: c.snapshots.len(),
            oldest: c.snapshots.first().map(|s| s.name.clone()),
            newest: newest.map(|s| s.name.clone()),
            newest_completed: newest.and_then(|s| s.completed).map(|us| us / 1_000_000),
            unfinished: c.snapshots.iter().filter(|s| !s.state.is_whole()).count(),
        }
    });
    BackupInfo { computers: computers.collect(), problems: backup.problems.clone() }
}
