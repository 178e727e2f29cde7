//! Blocks of a container and the objects in them: every object's checksum is
//! proved before anything of it is believed.

use super::fletcher;
use super::format::{EPHEMERAL, HEADER, NO_HEADER, PHYSICAL};
use crate::error::{Error, Result};
use crate::io::bytes::{all_zero, le32, le64, to_u64, usize32};
use crate::io::{Source, absent, cut_off, gone, read_vec};

/// Most blocks of an object that is read whole (ephemeral ones may be long).
const MAX_OBJECT_BLOCKS: u64 = 4096;

/// A container's bytes in blocks.
pub struct Blocks {
    source: Source,
    size: u32,
    count: u64,
}

impl Blocks {
    /// `count` blocks of `size` bytes, a power of two from 4 to 64 KiB.
    pub fn new(source: Source, size: u32, count: u64) -> Self {
        Self { source, size, count }
    }

    /// The bytes beneath.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Bytes of a block.
    pub fn size(&self) -> u64 {
        u64::from(self.size)
    }

    /// Bytes of a block.
    pub fn size32(&self) -> u32 {
        self.size
    }

    /// The sector of a block, which its encryption counts by.
    pub fn sector(&self, block: u64) -> u64 {
        block.wrapping_mul(self.size() / crate::crypt::xts::SECTOR)
    }

    /// Number of blocks, as the container says.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// An error about what lies in a block.
    pub fn corrupt(&self, what: &str, block: u64, problem: impl Into<String>) -> Error {
        let place = block.checked_mul(self.size()).and_then(|at| self.source.locate(at));
        Error::corrupt_at(format!("{what}, block {block}"), place, problem)
    }

    /// The bytes of `count` blocks.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when they lie past the end of the container or of what there
    /// is of it.
    pub fn read(&self, what: &str, block: u64, count: u64) -> Result<Vec<u8>> {
        let end = block.checked_add(count).filter(|end| *end <= self.count);
        if end.is_none() || count > MAX_OBJECT_BLOCKS {
            let text = format!(
                "{count} blocks from there do not lie in the container of {} blocks",
                self.count
            );
            return Err(self.corrupt(what, block, text));
        }
        let (at, len) = (block * self.size(), count * self.size());
        if at + len > self.source.len() {
            let text = format!("lies past the end of what there is ({} bytes)", self.source.len());
            return Err(self.corrupt(what, block, text));
        }
        read_vec(&*self.source, at, crate::io::bytes::to_usize(len)).map_err(|e| e.within(what))
    }

    /// An object of one or more blocks, its checksum proved.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when it is not sound; errors of reading.
    pub fn object(&self, what: &str, block: u64, count: u64) -> Result<Object> {
        let bytes = self.read(what, block, count)?;
        self.prove(what, block, bytes)
    }

    /// An error if something is absent of an object that is not sound, whose bytes these are.
    pub fn stored(&self, what: &str, block: u64, bytes: &[u8]) -> Result<()> {
        let start = block.saturating_mul(self.size());
        let range = start..start.saturating_add(to_u64(bytes.len()));
        let gone = match all_zero(bytes) {
            true => absent(&*self.source, range),
            false => cut_off(&*self.source, range).or_else(|| gone(&*self.source, start, bytes)),
        };
        let Some(gone) = gone else { return Ok(()) };
        let (place, text) = (self.source.locate(gone.at), format!("is lost: {}", gone.why));
        Err(Error::corrupt_at(format!("{what}, block {block}"), place, text))
    }

    /// The bytes of a block as an object, if their checksum is right.
    pub fn prove(&self, what: &str, block: u64, bytes: Vec<u8>) -> Result<Object> {
        if fletcher::is_sound(&bytes) {
            return Object::new(bytes).ok_or_else(|| self.corrupt(what, block, "is too short"));
        }
        self.stored(what, block, &bytes)?;
        if all_zero(&bytes) {
            return Err(self.corrupt(what, block, "is all zeros: it was lost or never written"));
        }
        let (found, expected) =
            (le64(&bytes, 0).unwrap_or(0), fletcher::checksum(&bytes).unwrap_or(0));
        let mut text = format!("its checksum is {found:#018x}, its bytes give {expected:#018x}");
        // What makes a hole writes zeros into the blocks at its ends.
        let start = block.saturating_mul(self.size());
        if found == 0
            && let Some(gone) = start.checked_sub(1).and_then(|n| absent(&*self.source, n..start))
        {
            text = format!("{text}; right before it, {}", gone.why);
        }
        Err(self.corrupt(what, block, text))
    }
}

/// Where an object's number comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// Found through an object map.
    Virtual,
    /// Its number is the address of its first block.
    Physical,
    /// In memory; a checkpoint holds a copy.
    Ephemeral,
}

/// The header of an object (`obj_phys_t`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Number.
    pub oid: u64,
    /// Transaction of the last change.
    pub xid: u64,
    /// Type with its flags.
    pub kind_and_flags: u32,
    /// Subtype; of trees, what they hold.
    pub subtype: u32,
}

impl Header {
    /// Decode the first 32 bytes.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            oid: le64(bytes, 8)?,
            xid: le64(bytes, 16)?,
            kind_and_flags: le32(bytes, 24)?,
            subtype: le32(bytes, 28)?,
        })
    }

    /// Type without flags.
    pub fn kind(&self) -> u16 {
        let [a, b, _, _] = self.kind_and_flags.to_le_bytes();
        u16::from_le_bytes([a, b])
    }

    /// How the object is stored.
    pub fn storage(&self) -> Storage {
        match self.kind_and_flags & (EPHEMERAL | PHYSICAL) {
            0 => Storage::Virtual,
            PHYSICAL => Storage::Physical,
            _ => Storage::Ephemeral,
        }
    }

    /// Whether the object claims to have no header.
    pub fn no_header(&self) -> bool {
        self.kind_and_flags & NO_HEADER != 0
    }
}

/// An object whose checksum is right.
pub struct Object {
    bytes: Vec<u8>,
    /// Its header.
    pub header: Header,
}

impl Object {
    fn new(bytes: Vec<u8>) -> Option<Self> {
        let header = Header::parse(&bytes).filter(|_| bytes.len() > HEADER)?;
        Some(Self { bytes, header })
    }

    /// All of it.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Give up the bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Integer at an offset; `None` past the end.
    pub fn u64(&self, at: usize) -> Option<u64> {
        le64(&self.bytes, at)
    }

    /// Integer at an offset; `None` past the end.
    pub fn u32(&self, at: usize) -> Option<u32> {
        le32(&self.bytes, at)
    }

    /// The `n` bytes at an offset; `None` past the end.
    pub fn array<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        crate::io::bytes::array(&self.bytes, at)
    }
}

/// What an object must be for who found it.
#[derive(Debug, Clone, Copy)]
pub struct Expected {
    /// Number.
    pub oid: u64,
    /// Transaction, where it is known exactly.
    pub xid: Option<u64>,
    /// Latest transaction that may have written it.
    pub max_xid: u64,
    /// Types, one of which it must have.
    pub kinds: &'static [u16],
    /// Subtype.
    pub subtype: u32,
    /// How it must be stored.
    pub storage: Storage,
}

impl Expected {
    /// Why an object is not what was looked for: a sentence; `None` if it is.
    pub fn problem(&self, h: &Header) -> Option<String> {
        let kind = self.kinds.contains(&h.kind());
        if !kind || h.subtype != self.subtype || h.storage() != self.storage {
            let what = match (kind, h.subtype == self.subtype) {
                (false, _) => "is an object",
                (true, false) => "is a node of another tree, an object",
                (true, true) => "is stored in another way, an object",
            };
            return Some(format!(
                "{what} of type {:#x} and subtype {:#x}, expected type {:#x} ({:?}) and subtype {:#x}",
                h.kind_and_flags,
                h.subtype,
                self.kinds.first().copied().unwrap_or(0),
                self.storage,
                self.subtype
            ));
        }
        if h.oid != self.oid {
            return Some(format!("is object {}, expected {}", h.oid, self.oid));
        }
        if let Some(xid) = self.xid
            && h.xid != xid
        {
            return Some(format!(
                "is of transaction {}, expected {xid}: another state of it",
                h.xid
            ));
        }
        if h.xid == 0 || h.xid > self.max_xid {
            return Some(format!(
                "is of transaction {}, newer than the container's {}",
                h.xid, self.max_xid
            ));
        }
        None
    }
}

/// Bytes of an object that takes `size` bytes on the disk, in blocks; `None` if that is
/// no whole number of blocks.
pub fn blocks_of(size: u32, block: u32) -> Option<u64> {
    (block != 0 && size != 0 && size.is_multiple_of(block)).then(|| to_u64(usize32(size / block)))
}
