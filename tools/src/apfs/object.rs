//! Object headers and their checksum.

/// Length of the header of every object.
pub const HEADER: usize = 32;

/// Storage flag of ephemeral objects.
pub const EPHEMERAL: u32 = 0x8000_0000;
/// Storage flag of physical objects.
pub const PHYSICAL: u32 = 0x4000_0000;
/// Storage flag of virtual objects.
pub const VIRTUAL: u32 = 0;
/// Flag of objects without a header.
pub const NO_HEADER: u32 = 0x2000_0000;
/// Flag of encrypted objects.
pub const ENCRYPTED: u32 = 0x1000_0000;

/// Object types.
pub mod kind {
    /// Container superblock.
    pub const NX: u32 = 1;
    /// Root of a B-tree.
    pub const BTREE: u32 = 2;
    /// Other node of a B-tree.
    pub const NODE: u32 = 3;
    /// Space manager.
    pub const SPACEMAN: u32 = 5;
    /// Block of addresses of chunk-info blocks.
    pub const CAB: u32 = 6;
    /// Chunk-info block.
    pub const CIB: u32 = 7;
    /// Free queue (subtype).
    pub const FREE_QUEUE: u32 = 9;
    /// Object map, and subtype of its tree.
    pub const OMAP: u32 = 0xB;
    /// Checkpoint map.
    pub const CHECKPOINT_MAP: u32 = 0xC;
    /// Volume superblock.
    pub const FS: u32 = 0xD;
    /// File-system tree (subtype).
    pub const FS_TREE: u32 = 0xE;
    /// Extent reference tree (subtype).
    pub const EXTENTREF: u32 = 0xF;
    /// Snapshot metadata tree (subtype).
    pub const SNAP_META: u32 = 0x10;
    /// Reaper.
    pub const REAPER: u32 = 0x11;
    /// Reap list.
    pub const REAP_LIST: u32 = 0x12;
    /// Tree of an object map's snapshots (subtype).
    pub const OMAP_SNAPSHOT: u32 = 0x13;
    /// Extended metadata of a snapshot.
    pub const SNAP_META_EXT: u32 = 0x1D;
    /// Integrity metadata of a sealed volume.
    pub const INTEGRITY: u32 = 0x1E;
    /// File extents of a sealed volume (subtype).
    pub const FEXT: u32 = 0x1F;
}

const MODULUS: u64 = 0xFFFF_FFFF;

/// Fletcher-64 of an object: over everything behind the checksum field.
pub fn fletcher64(object: &[u8]) -> u64 {
    let (mut low, mut high) = (0u64, 0u64);
    for word in object[8..].chunks_exact(4) {
        low = (low + u64::from(u32::from_le_bytes(word.try_into().unwrap()))) % MODULUS;
        high = (high + low) % MODULUS;
    }
    let first = MODULUS - (low + high) % MODULUS;
    let second = MODULUS - (low + first) % MODULUS;
    second << 32 | first
}

/// Writes the header's fields and the checksum.
pub fn seal(object: &mut [u8], oid: u64, xid: u64, kind: u32, subtype: u32) {
    object[8..16].copy_from_slice(&oid.to_le_bytes());
    object[16..24].copy_from_slice(&xid.to_le_bytes());
    object[24..28].copy_from_slice(&kind.to_le_bytes());
    object[28..32].copy_from_slice(&subtype.to_le_bytes());
    reseal(object);
}

/// Makes the checksum right again.
pub fn reseal(object: &mut [u8]) {
    let sum = fletcher64(object);
    object[..8].copy_from_slice(&sum.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Header of a checkpoint map with no mapping, summed by hand: words 0, 5, 0, 11, 0, type.
    #[test]
    fn fletcher_of_small_words() {
        let mut object = vec![0u8; 32];
        object[8] = 1;
        // low = 1; high = 1 for each of the six words.
        let first = MODULUS - 7;
        let second = MODULUS - (1 + first);
        assert_eq!(fletcher64(&object), second << 32 | first);
        reseal(&mut object);
        // With the checksum as the last two words, both sums come to zero.
        let (mut low, mut high) = (0u64, 0u64);
        for word in object[8..].chunks(4).chain(object[..8].chunks(4)) {
            low += u64::from(u32::from_le_bytes(word.try_into().unwrap()));
            high += low;
        }
        assert_eq!((low % MODULUS, high % MODULUS), (0, 0));
    }
}
