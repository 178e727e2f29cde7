//! What lies at a place of the disk: which structures and which files, in which
//! snapshots.

use crate::bundle::Bands;
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::fs::{NodeId, Owned, Owner, Stream, Views};
use crate::io::bytes::to_u64;
use crate::io::{Presence, Ranges, ReadAt};
use crate::partition::{PartitionMap, Scheme};
use crate::report::Progress;
use crate::timemachine::{Archive, OpenVolume, Sightings, Unopened};
use crate::volume::Layout;
use serde::Serialize;
use std::cell::Cell;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

/// Bytes of addresses that are kept: a path has up to 4 KiB, and a range may hold any number.
const ADDRESSES: usize = 32 << 20;

/// A place that is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A band, by its number.
    Band(u64),
    /// Bytes of the disk.
    Bytes(Range<u64>),
    /// Allocation blocks of the volume: the first, and how many.
    Blocks(u64, u64),
}

/// What lies at a place.
#[derive(Debug, Serialize)]
pub struct Located {
    /// The path that was given.
    pub source: String,
    /// First byte on the disk.
    pub offset: u64,
    /// Length in bytes.
    pub length: u64,
    /// How much of that the server stores.
    pub stored: Stored,
    /// The pieces in the order of the disk.
    pub pieces: Vec<Piece>,
    /// What could not be read: pieces may go by a wrong or a lesser name for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<String>,
    /// That what is told is of an older state of a volume, because the newest cannot be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub older_state: Vec<String>,
    /// Objects that go by their number alone: the addresses of all would be too many.
    #[serde(skip_serializing_if = "is_zero")]
    pub by_number: u64,
}

/// Bytes by how the server stores them.
#[derive(Debug, Default, Serialize)]
pub struct Stored {
    /// Stored.
    pub data: u64,
    /// In band files that are absent.
    pub missing: u64,
    /// Past the end of band files that are short.
    pub short: u64,
    /// In holes of files.
    pub hole: u64,
    /// Not read by ddrescue, says its map.
    #[serde(skip_serializing_if = "is_zero")]
    pub unreadable: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde hands a reference
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// A run of bytes with one owner.
#[derive(Debug, Serialize)]
pub struct Piece {
    /// First byte on the disk.
    pub offset: u64,
    /// Length in bytes.
    pub length: u64,
    /// The band that holds the first byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub band: Option<String>,
    /// Number of the partition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<u32>,
    /// What it is.
    pub what: What,
    /// Name of the structure or attribute, or why nothing is known.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The objects it belongs to, or that it describes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<Object>,
    /// First of the bytes in the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_offset: Option<u64>,
}

/// What kind of thing lies there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// The partition map or what lies between partitions.
    PartitionMap,
    /// A partition that cannot be looked into.
    Partition,
    /// A structure of the volume.
    Structure,
    /// Contents of a file.
    File,
    /// A file's resource fork; of a compressed file, its contents.
    ResourceFork,
    /// An extended attribute.
    Attribute,
    /// Allocated to a file past its end.
    Slack,
    /// Marked as allocated, but nothing is known to lie there.
    Unowned,
    /// Free.
    Free,
}

/// An object that a place belongs to or describes.
#[derive(Debug, Serialize)]
pub struct Object {
    /// Its number: on HFS+ the CNID.
    pub id: u64,
    /// Its address in the newest snapshot it appears in; empty if there are too many to keep.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub address: String,
    /// The snapshots it appears in, oldest first.
    pub snapshots: Arc<[String]>,
}

/// Find out what lies at a place.
///
/// # Errors
/// [`Error::Invalid`] for a place that is not on the disk; the reasons why the disk
/// cannot be read.
pub fn locate(layout: &Layout, place: &Place, progress: &dyn Progress) -> Result<Located> {
    let disk = layout.disk();
    let bytes = disk.bytes()?;
    let archive = Archive::open(layout)?;
    let range = resolve(disk, &archive, place)?;
    let mut stored = Stored::default();
    // What cannot be asked about is counted as neither.
    let _ = bytes.presence(range.clone(), &mut |r, how| {
        *(match how {
            Presence::Stored => &mut stored.data,
            Presence::Missing => &mut stored.missing,
            Presence::Short => &mut stored.short,
            // Only files of a volume have such.
            Presence::Unwritten => return,
            Presence::Hole => &mut stored.hole,
            Presence::Unreadable => &mut stored.unreadable,
        }) += r.end - r.start;
    });
    let unread = Vec::new();
    let mut job = Job {
        archive: &archive,
        disk: &*bytes,
        pieces: Vec::new(),
        unread,
        room: Cell::new(ADDRESSES),
        by_number: Cell::new(0),
    };
    job.partitions(&range, progress)?;
    job.pieces.sort_by_key(|p| p.offset);
    Ok(Located {
        source: disk.path().display().to_string(),
        offset: range.start,
        length: range.end - range.start,
        stored,
        pieces: job.pieces,
        unread: disk.failed_reads().into_iter().map(|r| r.text).chain(job.unread).collect(),
        older_state: archive.older().map(str::to_owned).collect(),
        by_number: job.by_number.get(),
    })
}

/// The bytes of the disk that are meant.
fn resolve(disk: &Disk, archive: &Archive, place: &Place) -> Result<Range<u64>> {
    let size = disk.size();
    let range = match place {
        Place::Bytes(range) => range.clone(),
        Place::Band(index) => {
            let bundle = disk.bundle().ok_or_else(|| {
                Error::Invalid(format!("{} has no bands: it is not a bundle", disk.name()))
            })?;
            let count = bundle.info().band_count();
            if *index >= count {
                let (name, last) = (Bands::name(*index), Bands::name(count.saturating_sub(1)));
                return Err(Error::Invalid(format!(
                    "there is no band {name}: the disk has bands 0 to {last}"
                )));
            }
            bundle.bands().range(*index)
        }
        Place::Blocks(first, count) => {
            let volume = archive
                .backup()
                .map(|b| b.0)
                .or(archive.open.first())
                .ok_or_else(|| Error::Invalid("no volume could be opened".into()))?;
            let block = u64::from(volume.volume.about().block_size);
            let start = volume.found.range().start;
            let first = first.saturating_mul(block);
            if first >= volume.found.source.len() {
                let last = volume.volume.about().blocks.saturating_sub(1);
                return Err(Error::Invalid(format!("the volume has blocks 0 to {last}")));
            }
            start + first..start.saturating_add(first).saturating_add(count.saturating_mul(block))
        }
    };
    if range.start >= size {
        let text = format!("byte {} lies past the end of the disk ({size} bytes)", range.start);
        return Err(Error::Invalid(text));
    }
    Ok(range.start..range.end.clamp(range.start + 1, size))
}

struct Job<'a> {
    archive: &'a Archive,
    disk: &'a dyn ReadAt,
    pieces: Vec<Piece>,
    unread: Vec<String>,
    /// Bytes of addresses that there is room for.
    room: Cell<usize>,
    by_number: Cell<u64>,
}

impl Job<'_> {
    fn piece(&self, range: Range<u64>, what: What, name: impl Into<String>) -> Piece {
        let band = self.disk.locate(range.start).and_then(|p| Some(p.band?.name));
        Piece {
            offset: range.start,
            length: range.end - range.start,
            band,
            partition: None,
            what,
            name: name.into(),
            objects: Vec::new(),
            stream_offset: None,
        }
    }

    fn partitions(&mut self, range: &Range<u64>, progress: &dyn Progress) -> Result<()> {
        let map = &self.archive.map;
        let parts = map.partitions.iter().map(|p| p.start..p.start.saturating_add(p.len));
        let parts = Ranges::new(parts.collect());
        let all = Ranges::one(range.clone());
        for gap in all.without(&parts).iter() {
            let name = outside(map, gap, self.disk.len());
            self.pieces.push(self.piece(gap.clone(), What::PartitionMap, name));
        }
        for p in &map.partitions {
            let part = p.start.max(range.start)..(p.start.saturating_add(p.len)).min(range.end);
            if part.start >= part.end {
                continue;
            }
            let number = p.number;
            let before = self.pieces.len();
            let volumes: Vec<&OpenVolume> =
                self.archive.open.iter().filter(|v| v.found.partition.number == number).collect();
            match volumes.as_slice() {
                [_, ..] => self.volumes(&volumes, &part, progress)?,
                [] => {
                    let mut name = format!("{} {}", p.type_name, p.name).trim().to_owned();
                    let of = |f: &&Unopened| f.found.partition.number == number;
                    if let Some(failed) = self.archive.failed.iter().find(of) {
                        name = format!("{name}: {}", failed.error);
                    }
                    self.pieces.push(self.piece(part, What::Partition, name));
                }
            }
            for piece in self.pieces.iter_mut().skip(before) {
                piece.partition = Some(number);
            }
        }
        Ok(())
    }

    /// The pieces of the volumes of one partition, which count in the same bytes.
    fn volumes(
        &mut self,
        volumes: &[&OpenVolume],
        part: &Range<u64>,
        progress: &dyn Progress,
    ) -> Result<()> {
        let start = volumes.first().map_or(0, |v| v.found.range().start);
        let wanted = Ranges::one(part.start.saturating_sub(start)..part.end.saturating_sub(start));
        let (mut all, mut rest) = (Vec::new(), wanted.clone());
        let mut used = Vec::new();
        let mut structures = HashSet::new();
        for volume in volumes {
            let mut owned = Vec::new();
            volume.volume.owners(&wanted, &volume.all_views(), progress, &mut |o| owned.push(o))?;
            // Whose records are broken is not found by what lies here.
            let whole = volume.volume.objects(&volume.all_views(), progress, &mut |_| {});
            let why = match whole {
                Ok(true) => None,
                Ok(false) => Some("some of its nodes are damaged".to_owned()),
                Err(Error::Interrupted) => return Err(Error::Interrupted),
                Err(e) => Some(e.to_string()),
            };
            if let Some(why) = why {
                let name = volume.name();
                self.unread
                    .push(format!("volume '{name}': part of its catalog cannot be read: {why}"));
            }
            rest = rest.without(&Ranges::new(owned.iter().map(|o| o.range.clone()).collect()));
            // Without its bitmap nothing can be said of the rest.
            let allocated = volume.volume.allocated(&rest).unwrap_or_else(|_| rest.clone());
            used.extend(allocated.iter().cloned());
            // What volumes share, their container's structures, each of them tells of.
            owned.retain(|o| match &o.owner {
                Owner::Structure { name, .. } => structures.insert((o.range.clone(), name.clone())),
                _ => true,
            });
            all.push((volume, owned));
        }
        let used = Ranges::new(used.into_iter().flat_map(|r| rest.meet(r)).collect());
        let on_disk = |r: &Range<u64>| r.start + start..r.end + start;
        for r in used.iter() {
            self.pieces.push(self.piece(on_disk(r), What::Unowned, ""));
        }
        for r in rest.without(&used).iter() {
            self.pieces.push(self.piece(on_disk(r), What::Free, ""));
        }
        for (volume, owned) in all {
            let mut at = Sightings::new(volume);
            for o in owned {
                progress.check()?;
                let range = on_disk(&o.range);
                let piece = self.owned(o, range, &mut at);
                self.pieces.push(piece);
            }
        }
        Ok(())
    }

    fn owned(&self, owned: Owned, range: Range<u64>, at: &mut Sightings<'_>) -> Piece {
        let views = owned.views;
        let piece = |what, name: String, nodes: &[NodeId], at: &mut Sightings<'_>| {
            let mut piece = self.piece(range.clone(), what, name);
            piece.objects = nodes.iter().map(|n| self.object(*n, &views, at)).collect();
            piece
        };
        match owned.owner {
            Owner::Stream { node, stream, offset } => {
                let (what, name) = match stream {
                    Stream::Data => (What::File, String::new()),
                    Stream::Resource => (What::ResourceFork, String::new()),
                    Stream::Attribute(name) => (What::Attribute, name.into()),
                };
                let mut found = piece(what, name, &[node], at);
                found.stream_offset = Some(offset);
                found
            }
            Owner::Slack(node) => piece(What::Slack, String::new(), &[node], at),
            Owner::Structure { name, describes, .. } => {
                piece(What::Structure, name, &describes, at)
            }
        }
    }

    /// An object that lies in some views.
    fn object(&self, node: NodeId, views: &Views, at: &mut Sightings<'_>) -> Object {
        let room = self.room.get();
        if room == 0 {
            self.by_number.set(self.by_number.get() + 1);
            return Object { id: node.0, address: String::new(), snapshots: Arc::new([]) };
        }
        let seen = at.of(node, views);
        self.room.set(room.saturating_sub(seen.address.len()));
        let snapshots = at.snapshot_names(&seen.snapshots);
        Object { id: node.0, address: seen.address, snapshots }
    }
}

/// What lies outside of all partitions.
fn outside(map: &PartitionMap, gap: &Range<u64>, disk: u64) -> String {
    let first = map.partitions.iter().map(|p| p.start).min().unwrap_or(0);
    let last = map.partitions.iter().map(|p| p.start.saturating_add(p.len)).max().unwrap_or(0);
    // The copy of a GPT takes the last 33 sectors.
    let copy = disk.saturating_sub(33 * map.sector_size);
    match map.scheme {
        Scheme::None => "past the end of the volume".into(),
        scheme if gap.end <= first => format!("partition map ({})", scheme.name()),
        Scheme::Gpt if gap.start >= last && gap.end > copy => "backup partition map (GPT)".into(),
        _ => "between or behind the partitions".into(),
    }
}

impl Located {
    /// How many objects are named in all pieces.
    pub fn objects(&self) -> u64 {
        let mut ids: Vec<u64> =
            self.pieces.iter().flat_map(|p| p.objects.iter().map(|o| o.id)).collect();
        ids.sort_unstable();
        ids.dedup();
        to_u64(ids.len())
    }
}
