//! Leaves of the three trees, recognised by what is in them, wherever they lie.

use crate::error::{Error, Result};
use crate::hfsplus::attributes::record_type as attribute_type;
use crate::hfsplus::catalog::Key as CatalogKey;
use crate::hfsplus::format::record_type;
use crate::hfsplus::node::{KeyedRecord, Node, kind, split};
use crate::hfsplus::spec::TreeSpec;
use crate::io::bytes::{be16, be32, to_u32, to_u64, to_usize};
use crate::io::{Budget, ReadAt, Source, read_up_to, read_vec, stored};
use crate::report::Progress;

/// Sizes of nodes. The smaller first: two small nodes may look like one large, but not the
/// other way round.
const SIZES: [usize; 7] = [512, 1024, 2048, 4096, 8192, 16_384, 32_768];
/// Largest node.
const LARGEST: u64 = 32_768;
/// Leaves may begin at each of these.
const STEP: u64 = 512;
/// Bytes that are read at a time.
const PIECE: u64 = 4 << 20;

/// Lists of the leaves from everywhere that are held while those of a tree are chosen.
const LISTS: usize = 3;

/// One of the three trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Extents,
    Catalog,
    Attributes,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Catalog, Self::Attributes, Self::Extents];

    fn spec(self) -> TreeSpec {
        match self {
            Self::Extents => TreeSpec::extents(),
            // How names compare does not matter here.
            Self::Catalog => TreeSpec::catalog(false, true),
            Self::Attributes => TreeSpec::attributes(),
        }
    }
}

/// A leaf that was found.
#[derive(Debug, Clone)]
pub struct Leaf {
    pub bytes: Bytes,
    /// Bytes in the node.
    pub size: usize,
    /// Keys of its first and last record.
    pub first: Box<[u8]>,
    pub last: Box<[u8]>,
    /// Numbers of the leaves before and behind it, as it has them; 0 for none.
    pub previous: u32,
    pub next: u32,
    /// How many records it has that can be used.
    pub records: u32,
    /// Newest date in its records: of two leaves with one record, the newer has it right.
    pub newest: u32,
    /// Whether it can be used as it is: every record sound.
    pub sound: bool,
}

impl Leaf {
    /// Whether it may be kept in so many lists at the same time; it counts.
    fn fits(&self, budget: &mut Budget, lists: usize) -> bool {
        budget.take(lists * (size_of::<Self>() + self.first.len() + self.last.len()))
    }
}

/// Where the bytes of a leaf are.
#[derive(Debug, Clone)]
pub enum Bytes {
    /// In the source that was searched.
    At(u64),
    /// Made.
    Made(Box<[u8]>),
}

/// The records of a leaf that can be used: all of them, but for those that are broken.
pub fn records(node: &[u8]) -> impl Iterator<Item = &[u8]> {
    let parsed = Node::new(node).filter(|n| n.kind == kind::LEAF);
    let count = parsed.as_ref().map_or(0, |n| usize::from(n.records));
    let bounds = (0..count).filter_map(move |i| {
        let record = parsed.as_ref()?.record(i)?;
        let start = parsed.as_ref()?.offset(i)?;
        Some(start..start + record.len())
    });
    bounds.filter_map(move |r| node.get(r))
}

/// Whether a record could be one of a tree's.
fn belongs(kind: Kind, spec: &TreeSpec, record: &[u8]) -> bool {
    let Some(KeyedRecord { key, data }) = split(record) else { return false };
    if (spec.key_problem)(key).is_some() {
        return false;
    }
    match kind {
        Kind::Extents => data.len() == 64,
        Kind::Attributes => match be32(data, 0) {
            Some(attribute_type::INLINE) => be32(data, 12)
                .and_then(|n| usize::try_from(n).ok())
                .is_some_and(|n| n <= data.len().saturating_sub(16)),
            Some(attribute_type::FORK) => data.len() == 88,
            Some(attribute_type::EXTENTS) => data.len() == 72,
            _ => false,
        },
        Kind::Catalog => {
            let Some(key) = CatalogKey::parse(key).filter(|k| k.parent != 0) else { return false };
            let named = !key.name.is_empty();
            match be16(data, 0) {
                Some(record_type::FOLDER) => named && data.len() == 88,
                Some(record_type::FILE) => named && data.len() == 248,
                Some(record_type::FOLDER_THREAD | record_type::FILE_THREAD) => {
                    let len = be16(data, 8).map_or(0, usize::from);
                    !named && (1..=255).contains(&len) && data.len() >= 10 + 2 * len
                }
                _ => false,
            }
        }
    }
}

/// The newest date of a catalog record: contents or attributes changed.
pub fn date(record: &[u8]) -> u32 {
    let Some(KeyedRecord { data, .. }) = split(record) else { return 0 };
    match be16(data, 0) {
        Some(record_type::FOLDER | record_type::FILE) => {
            be32(data, 16).unwrap_or(0).max(be32(data, 20).unwrap_or(0))
        }
        _ => 0,
    }
}

/// The leaf that a node is, if it is one of some tree's; `strict`: all of it is sound.
pub fn recognise(node: &[u8], at: u64, strict: bool) -> Option<(Kind, Leaf)> {
    let parsed = Node::new(node)?;
    if parsed.kind != kind::LEAF || parsed.height != 1 || parsed.records == 0 {
        return None;
    }
    let sound = parsed.offsets_problem().is_none();
    if strict && !sound {
        return None;
    }
    let count = usize::from(parsed.records);
    for kind in Kind::ALL {
        let spec = kind.spec();
        let mut good = records(node).filter(|r| belongs(kind, &spec, r));
        let Some(first) = good.next() else { continue };
        let (mut n, mut last, mut newest) = (1, first, date(first));
        for record in good {
            n += 1;
            last = record;
            newest = newest.max(date(record));
        }
        // A few broken records do not make it another's; most would.
        if n < count && (strict || 2 * n < count) {
            continue;
        }
        let leaf = Leaf {
            bytes: Bytes::At(at),
            size: node.len(),
            first: split(first)?.key.into(),
            last: split(last)?.key.into(),
            previous: parsed.backward,
            next: parsed.forward,
            records: to_u32(n),
            newest,
            sound: sound && n == count,
        };
        return Some((kind, leaf));
    }
    None
}

/// The records of a leaf, of its kind.
pub fn good_records(kind: Kind, node: &[u8]) -> impl Iterator<Item = &[u8]> {
    let spec = kind.spec();
    records(node).filter(move |r| belongs(kind, &spec, r))
}

/// The leaves among the nodes of a tree's file; `used`: the map of nodes in use, if known.
pub fn in_file(
    file: &Source,
    kind: Kind,
    node_size: u16,
    used: Option<&[u8]>,
    budget: &mut Budget,
    progress: &dyn Progress,
) -> Result<Vec<Leaf>> {
    let size = u64::from(node_size);
    let mut found = Vec::new();
    let end = file.len() / size * size;
    for range in stored(&**file, 0..end) {
        let mut at = range.start / size * size;
        while at < range.end {
            progress.check()?;
            let n = (PIECE / size * size).min(end - at);
            // A piece with an unreadable sector is read node by node.
            let whole = read_vec(&**file, at, to_usize(n)).ok();
            for i in 0..n / size {
                let offset = at + i * size;
                let single;
                let node = match &whole {
                    Some(all) => all.get(to_usize(i * size)..to_usize((i + 1) * size)),
                    None => {
                        single = read_vec(&**file, offset, to_usize(size)).ok();
                        single.as_deref()
                    }
                };
                let in_use =
                    used.and_then(|map| crate::io::bytes::bit(map, to_usize(offset / size)));
                let leaf = node.and_then(|n| recognise(n, offset, false));
                let leaf = leaf.filter(|l| l.0 == kind && in_use != Some(false)).map(|l| l.1);
                if leaf.as_ref().is_some_and(|l| !l.fits(budget, 1)) {
                    return Ok(found);
                }
                found.extend(leaf);
            }
            at += n;
        }
    }
    Ok(found)
}

/// The node size of a tree whose header is lost: that of the first leaf in its file.
pub fn node_size(file: &Source, kind: Kind) -> Option<u16> {
    for range in stored(&**file, 0..file.len()) {
        let mut at = range.start / STEP * STEP;
        while at < range.end {
            let Ok(bytes) = read_up_to(&**file, at, to_usize(LARGEST)) else {
                at += LARGEST;
                continue;
            };
            match at_any_size(&bytes, at) {
                Some((found, leaf)) if found == kind => return u16::try_from(leaf.size).ok(),
                _ => at += STEP,
            }
        }
    }
    None
}

fn at_any_size(bytes: &[u8], at: u64) -> Option<(Kind, Leaf)> {
    // Kind and height of a leaf, before anything else is looked at.
    if bytes.get(8..10) != Some(&[0xFF, 1]) {
        return None;
    }
    SIZES.iter().filter_map(|size| bytes.get(..*size)).find_map(|node| {
        // The first record of every node begins at 14.
        (be16(node, node.len() - 2) == Some(14)).then(|| recognise(node, at, true)).flatten()
    })
}

/// The leaves of all trees anywhere in a source, as many as may be kept.
pub fn anywhere(
    source: &Source,
    budget: &mut Budget,
    progress: &dyn Progress,
) -> Result<Vec<(Kind, Leaf)>> {
    let (mut found, mut known) = (Vec::new(), 0);
    for range in stored(&**source, 0..source.len()) {
        let mut at = range.start / STEP * STEP;
        while at < range.end {
            progress.check()?;
            let n = PIECE.min(range.end - at).next_multiple_of(STEP);
            let len = to_usize(n + LARGEST);
            let mut skip = 0;
            match read_up_to(&**source, at, len) {
                Ok(bytes) => skip = in_piece(&bytes, at, n, &mut found),
                Err(Error::Interrupted) => return Err(Error::Interrupted),
                Err(_) => in_pieces(source, at, n, &mut found),
            }
            while known < found.len() {
                if found.get(known).is_some_and(|(_, leaf)| !leaf.fits(budget, LISTS)) {
                    found.truncate(known);
                    return Ok(found);
                }
                known += 1;
            }
            progress.advance(n);
            at += n.max(skip);
        }
    }
    Ok(found)
}

/// Leaves that begin in the first `n` of these bytes; returns where to go on.
fn in_piece(bytes: &[u8], at: u64, n: u64, found: &mut Vec<(Kind, Leaf)>) -> u64 {
    let mut offset = 0;
    while offset < n {
        let here = bytes.get(to_usize(offset)..).unwrap_or_default();
        match at_any_size(here, at + offset) {
            Some((kind, leaf)) => {
                offset += to_u64(leaf.size);
                found.push((kind, leaf));
            }
            None => offset += STEP,
        }
    }
    offset
}

/// The same where part of the bytes cannot be read.
fn in_pieces(source: &Source, at: u64, n: u64, found: &mut Vec<(Kind, Leaf)>) {
    let mut offset = 0;
    while offset < n {
        let here = at + offset;
        let leaf = SIZES.iter().find_map(|size| {
            let bytes = read_vec(&**source, here, *size).ok()?;
            at_any_size(&bytes, here)
        });
        offset += leaf.as_ref().map_or(STEP, |(_, l)| to_u64(l.size));
        found.extend(leaf);
    }
}

/// The bytes of a leaf.
pub fn read(source: &dyn ReadAt, leaf: &Leaf) -> Result<Vec<u8>> {
    match &leaf.bytes {
        Bytes::At(at) => read_vec(source, *at, leaf.size),
        Bytes::Made(bytes) => Ok(bytes.to_vec()),
    }
}
