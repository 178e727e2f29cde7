//! Keybags: which keys there are, wrapped in which others (section 10).

use super::der;
use super::object::{Blocks, Object};
use crate::crypt::xts::{SECTOR, Xts};
use crate::error::{Error, Result};
use crate::io::bytes::{array, le16, le32};

/// Tag of the key of a volume.
pub const VOLUME_KEY: u16 = 2;
/// Tag of the place of a volume's keybag in the container's, and of a key that a
/// password opens in the volume's.
pub const UNLOCK: u16 = 3;
/// Tag of the hint for a password.
pub const HINT: u16 = 4;

/// Most blocks of a keybag.
const MAX_BLOCKS: u64 = 256;
/// Types of the objects: `keys` of a container, `recs` of a volume.
const CONTAINER: u32 = 0x6B65_7973;
const VOLUME: u32 = 0x7265_6373;

/// An entry of a keybag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Whose it is.
    pub uuid: [u8; 16],
    /// What it is.
    pub tag: u16,
    /// Its data.
    pub data: Vec<u8>,
}

/// Which keybag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// That of a container.
    Container,
    /// That of a volume.
    Volume,
}

/// Read a keybag: `count` blocks from `block`, encrypted with the UUID of its container
/// or volume. A sound checksum before decryption means that it is not encrypted.
///
/// # Errors
/// [`Error::Corrupt`] when it is not sound.
pub fn read(blocks: &Blocks, kind: Kind, place: (u64, u64), uuid: &[u8; 16]) -> Result<Vec<Entry>> {
    let object = object(blocks, kind, place, uuid)?;
    entries(object.bytes())
        .ok_or_else(|| blocks.corrupt(kind.name(), place.0, "an entry does not fit"))
}

/// The object that a keybag is.
///
/// # Errors
/// As for [`read`].
pub(super) fn object(
    blocks: &Blocks,
    kind: Kind,
    (block, count): (u64, u64),
    uuid: &[u8; 16],
) -> Result<Object> {
    let what = kind.name();
    if count == 0 || count > MAX_BLOCKS {
        return Err(blocks.corrupt(what, block, format!("{count} blocks are impossible")));
    }
    let mut bytes = blocks.read(what, block, count)?;
    if !super::fletcher::is_sound(&bytes)
        && let Some(xts) = Xts::new(uuid, uuid)
    {
        xts.decrypt(block.wrapping_mul(blocks.size() / SECTOR), &mut bytes);
    }
    let object = blocks.prove(what, block, bytes)?;
    let wanted = if kind == Kind::Container { CONTAINER } else { VOLUME };
    if object.header.kind_and_flags != wanted {
        let text = format!(
            "is an object of type {:#x}, expected {wanted:#x}",
            object.header.kind_and_flags
        );
        return Err(blocks.corrupt(what, block, text));
    }
    Ok(object)
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Container => "container keybag",
            Self::Volume => "volume keybag",
        }
    }
}

/// The entries; each begins at a multiple of 16 (macOS) or right behind the last (iOS).
pub(super) fn entries(b: &[u8]) -> Option<Vec<Entry>> {
    let (count, bytes) = (le16(b, 0x22)?, le32(b, 0x24)?);
    let padded = parse(b, count, |n| n.next_multiple_of(16));
    let end = 0x20 + crate::io::bytes::usize32(bytes);
    match padded {
        Some((entries, at)) if at <= end => Some(entries),
        _ => parse(b, count, |n| n).map(|(entries, _)| entries),
    }
}

fn parse(b: &[u8], count: u16, step: impl Fn(usize) -> usize) -> Option<(Vec<Entry>, usize)> {
    let mut found = Vec::new();
    let mut at = 0x30;
    for _ in 0..count {
        let len = usize::from(le16(b, at + 18)?);
        let data = b.get(at + 24..at + 24 + len)?.to_vec();
        found.push(Entry { uuid: array(b, at)?, tag: le16(b, at + 16)?, data });
        at += step(24 + len);
    }
    Some((found, at))
}

/// A key wrapped in another, as its DER tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrapped {
    /// UUID in it.
    pub uuid: [u8; 16],
    /// Flags: 2 means keys of 128 bits.
    pub info: u32,
    /// The key, wrapped.
    pub key: Vec<u8>,
    /// Iterations and salt of what opens it, where a password does.
    pub password: Option<(u64, Vec<u8>)>,
}

impl Wrapped {
    /// Decode and prove by its HMAC.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when it is not whole or its HMAC is wrong.
    pub fn parse(data: &[u8], what: &str) -> Result<Self> {
        let bad = |text: &str| Error::corrupt(what, text);
        let (outer, _) =
            der::first(data).filter(|(e, _)| e.tag == 0x30).ok_or_else(|| bad("is cut off"))?;
        let part = |tag| der::find(outer.value, tag).ok_or_else(|| bad("lacks a part"));
        let (mac, salt, inner) = (part(0x81)?, part(0x82)?, part(0xA3)?);
        if !super::unlock::is_mac_of(salt.value, inner.whole, mac.value) {
            return Err(bad("its HMAC is wrong"));
        }
        let part = |tag| der::find(inner.value, tag);
        let need = |tag| part(tag).map(|e| e.value).ok_or_else(|| bad("lacks a part"));
        let uuid = array(need(0x81)?, 0).ok_or_else(|| bad("has a UUID that is cut off"))?;
        let info = le32(need(0x82)?, 0).ok_or_else(|| bad("has flags that are cut off"))?;
        let password = match (part(0x84), part(0x85)) {
            (Some(n), Some(salt)) => {
                let n = der::number(n.value).ok_or_else(|| bad("has too long a number"))?;
                Some((n, salt.value.to_vec()))
            }
            _ => None,
        };
        Ok(Self { uuid, info, key: need(0x83)?.to_vec(), password })
    }
}
