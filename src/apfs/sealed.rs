//! Sealed volumes (section 9): hashes of nodes and of contents.

use super::btree::{Children, Tree};
use super::format::{kind, tree};
use super::node::Shape;
use super::space::Space;
use super::store::Store;
use crate::error::Result;
use crate::io::bytes::{le32, le64, usize32};
use sha2::{Digest, Sha256, Sha384, Sha512, Sha512_256};
use std::sync::Arc;

/// The extents of all files of a sealed volume.
const SHAPE: Shape = Shape {
    subtype: tree::FEXT,
    fixed: Some((16, 16)),
    order: |a, b| {
        let pair = |k: &[u8]| (le64(k, 0).unwrap_or(0), le64(k, 8).unwrap_or(0));
        pair(a).cmp(&pair(b))
    },
    tag: 6,
    name: "extents tree of the sealed volume",
};

/// The tree of extents of a sealed volume.
pub fn extents(store: &Arc<Store>, root: u64) -> Tree {
    Tree::new(store.clone(), SHAPE, Children::Physical, root)
}

/// Whether a hash is that of these bytes; its length tells which function it is. Of the
/// two with 32 bytes, either will do.
pub fn is_hash_of(hash: &[u8], bytes: &[u8]) -> bool {
    match hash.len() {
        32 => {
            hash == Sha256::digest(bytes).as_slice() || hash == Sha512_256::digest(bytes).as_slice()
        }
        48 => hash == Sha384::digest(bytes).as_slice(),
        64 => hash == Sha512::digest(bytes).as_slice(),
        _ => false,
    }
}

/// What seals a volume.
pub struct Seal {
    /// Hash of the root node.
    pub root: Arc<[u8]>,
    /// Whether macOS noted that the seal is broken.
    pub broken: bool,
}

/// Read the integrity metadata of a volume.
///
/// # Errors
/// [`crate::Error::Corrupt`] when it is not sound.
pub fn seal(store: &Arc<Store>, space: &Space, oid: u64) -> Result<Seal> {
    let what = "integrity metadata";
    let found = space.require(oid, what)?;
    let object = store.blocks().object(what, found.block, 1)?;
    let bad = |text: String| store.blocks().corrupt(what, found.block, text);
    if object.header.kind() != kind::INTEGRITY_META || object.header.oid != oid {
        return Err(bad(format!("is an object of type {:#x}", object.header.kind_and_flags)));
    }
    let function = object.u32(0x28).unwrap_or(0);
    let len = match function {
        1 | 2 => 32,
        3 => 48,
        4 => 64,
        _ => return Err(bad(format!("names the unknown hash function {function}"))),
    };
    let at = usize32(object.u32(0x2C).unwrap_or(0));
    let root = object.bytes().get(at..at.saturating_add(len));
    let root = root.ok_or_else(|| bad("has its hash outside of itself".into()))?.into();
    Ok(Seal { root, broken: le32(object.bytes(), 0x24).is_some_and(|f| f & 1 != 0) })
}
