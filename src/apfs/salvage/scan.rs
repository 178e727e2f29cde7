//! Objects of a container, recognised by their checksum wherever they lie.

use crate::apfs::container::superblock_at;
use crate::apfs::fletcher;
use crate::apfs::format::{HEADER, kind, tree};
use crate::apfs::nx::NxSuperblock;
use crate::apfs::object::{Header, Storage};
use crate::crypt::xts::{SECTOR, Xts};
use crate::error::{Error, Result};
use crate::io::bytes::{array, to_usize};
use crate::io::{Budget, Source, read_vec, stored};
use crate::report::{Progress, Unit};
use std::collections::HashMap;

/// Bytes that are read at a time.
const PIECE: u64 = 4 << 20;
/// Places that are kept for telling where the container begins.
const MAX_STARTS: usize = 1 << 12;

/// An object that was found.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    pub oid: u64,
    pub xid: u64,
    pub block: u64,
    /// Whether it had to be decrypted.
    pub encrypted: bool,
}

/// What was found.
#[derive(Default)]
pub struct Found {
    /// Nodes of file-system trees.
    pub nodes: Vec<Place>,
    /// Superblocks of volumes.
    pub volumes: Vec<Place>,
    /// Copies of superblocks that snapshots keep.
    pub copies: Vec<Place>,
    /// Blocks of nodes of snapshot metadata trees.
    pub snapshots: Vec<Place>,
    /// Superblocks of the container, and their blocks.
    pub containers: Vec<(u64, NxSuperblock)>,
    /// How often something says that the container begins at a byte.
    starts: HashMap<u64, u32>,
}

impl Found {
    /// The byte at which most of what was found says that the container begins.
    pub fn start(&self) -> Option<u64> {
        self.starts.iter().max_by_key(|(at, n)| (**n, std::cmp::Reverse(**at))).map(|(at, _)| *at)
    }

    fn kept(&self) -> usize {
        self.nodes.len() + self.volumes.len() + self.copies.len() + self.snapshots.len()
    }

    fn take(&mut self, place: Place, at: u64, size: u64, h: &Header, bytes: &[u8]) {
        let virtually = h.storage() == Storage::Virtual;
        match (h.kind(), h.subtype) {
            (kind::BTREE_ROOT | kind::BTREE_NODE, tree::FS) if virtually => self.nodes.push(place),
            (kind::BTREE_ROOT | kind::BTREE_NODE, tree::SNAPSHOTS) => self.snapshots.push(place),
            (kind::VOLUME, _) if array(bytes, 0x20) == Some(*b"APSB") => match virtually {
                true => self.volumes.push(place),
                false => self.copies.push(place),
            },
            _ => {}
        }
        if h.storage() == Storage::Physical
            && let Some(start) = h.oid.checked_mul(size).and_then(|o| at.checked_sub(o))
            && (self.starts.len() < MAX_STARTS || self.starts.contains_key(&start))
        {
            *self.starts.entry(start).or_default() += 1;
        }
    }
}

/// How a source is searched.
pub struct Search<'a> {
    pub source: &'a Source,
    /// Bytes of a block.
    pub size: u64,
    /// What decrypts nodes that are not sound as they are.
    pub key: Option<&'a Xts>,
    pub progress: &'a dyn Progress,
}

impl Search<'_> {
    /// Look at all that is stored, as long as what is found may be kept.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub fn run(&self, budget: &mut Budget) -> Result<Found> {
        self.progress.phase("looking for objects of APFS", self.source.len(), Unit::Bytes);
        let (mut found, mut kept) = (Found::default(), 0);
        for range in stored(&**self.source, 0..self.source.len() / self.size * self.size) {
            let mut at = range.start / self.size * self.size;
            while at < range.end {
                self.progress.check()?;
                let n = PIECE.min(range.end.next_multiple_of(self.size) - at);
                match read_vec(&**self.source, at, to_usize(n)) {
                    Ok(bytes) => self.piece(at, &bytes, &mut found),
                    Err(Error::Interrupted) => return Err(Error::Interrupted),
                    // A piece with an unreadable sector is read block by block.
                    Err(_) => (0..n / self.size).for_each(|i| {
                        let at = at + i * self.size;
                        if let Ok(bytes) = read_vec(&**self.source, at, to_usize(self.size)) {
                            self.piece(at, &bytes, &mut found);
                        }
                    }),
                }
                self.progress.advance(n);
                let now = found.kept();
                if !budget.take((now - kept) * size_of::<Place>()) {
                    return Ok(found);
                }
                kept = now;
                at += n;
            }
        }
        Ok(found)
    }

    fn piece(&self, at: u64, bytes: &[u8], found: &mut Found) {
        for (i, block) in (0..).zip(bytes.chunks_exact(to_usize(self.size))) {
            let at = at + i * self.size;
            if let Some((header, encrypted)) = self.object(at / self.size, block) {
                let (oid, xid, number) = (header.oid, header.xid, at / self.size);
                let place = Place { oid, xid, block: number, encrypted };
                found.take(place, at, self.size, &header, block);
            }
            if array(block, 0x20) == Some(*b"NXSB")
                && let Ok(nx) = superblock_at(self.source, at)
            {
                found.containers.push((at / self.size, nx));
            }
        }
    }

    /// The header of a block that is an object of interest, and whether it was decrypted.
    fn object(&self, number: u64, block: &[u8]) -> Option<(Header, bool)> {
        let plain = Header::parse(block).filter(is_wanted);
        if let Some(header) = plain.filter(|_| fletcher::is_sound(block)) {
            return Some((header, false));
        }
        let key = self.key?;
        let tweak = number.wrapping_mul(self.size / SECTOR);
        let mut head = block.get(..to_usize(SECTOR))?.to_vec();
        if crate::io::bytes::all_zero(head.get(..HEADER)?) {
            return None;
        }
        key.decrypt(tweak, &mut head);
        let header = Header::parse(&head).filter(is_wanted)?;
        let mut all = block.to_vec();
        key.decrypt(tweak, &mut all);
        fletcher::is_sound(&all).then_some((header, true))
    }
}

/// Whether it is an object of a kind that is looked for, or tells where the container begins.
fn is_wanted(h: &Header) -> bool {
    let known = matches!(h.kind(), kind::BTREE_ROOT | kind::BTREE_NODE | kind::OMAP | kind::VOLUME);
    known && h.oid != 0 && h.xid != 0 && h.storage() != Storage::Ephemeral && !h.no_header()
}
