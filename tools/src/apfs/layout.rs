//! Where everything lies on a finished container: the blocks in use, by what they are.

use super::node::TreeKind;

/// What a block is.
#[derive(Clone, Copy, Debug)]
pub enum What {
    /// Block 0, a copy of the newest superblock.
    BlockZero,
    /// The newest checkpoint's superblock.
    Superblock,
    /// A map block of the newest checkpoint.
    CheckpointMap,
    /// Superblock or map of an older checkpoint.
    OldCheckpoint,
    /// The space manager.
    Spaceman,
    /// The reaper.
    Reaper,
    /// A reap list.
    ReapList,
    /// An object map; `None` is the container's.
    Omap(Option<u32>),
    /// A node of a tree; of the container's where `volume` is `None`.
    Node {
        /// The volume.
        volume: Option<u32>,
        /// The kind of tree.
        tree: &'static TreeKind,
        /// The live view uses it.
        live: bool,
    },
    /// A node of a free queue.
    FreeQueueNode,
    /// A volume's superblock.
    Volume(u32),
    /// A snapshot's copy of the superblock.
    VolumeCopy(u32),
    /// Extended metadata of a snapshot.
    SnapMetaExt(u32),
    /// Integrity metadata.
    Integrity(u32),
    /// A chunk-info block.
    Cib,
    /// A block of chunk-info addresses.
    Cab,
    /// A chunk's bitmap.
    Bitmap {
        /// Its chunk.
        chunk: u64,
    },
    /// The valid copy of a part of the pool's bitmap.
    PoolBitmap {
        /// Which part.
        part: u64,
    },
    /// The container's keybag, encrypted.
    ContainerKeybag,
    /// A volume's keybag, encrypted.
    VolumeKeybag(u32),
    /// Data of files and attributes.
    Data(u32),
}

/// A run of blocks.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// First block.
    pub address: u64,
    /// Number of blocks.
    pub count: u64,
    /// What they are.
    pub what: What,
}

/// The blocks in use, without bare areas (free parts of rings and pool).
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// Bytes in a block.
    pub block_size: u64,
    /// Blocks in the container.
    pub blocks: u64,
    /// Byte at which the container begins on the disk.
    pub base: u64,
    /// Runs of blocks.
    pub places: Vec<Place>,
}

impl Layout {
    /// Adds a run.
    pub fn add(&mut self, address: u64, count: u64, what: What) {
        self.places.push(Place { address, count, what });
    }

    /// Byte offset of a block on the disk.
    pub fn byte(&self, address: u64) -> u64 {
        self.base + address * self.block_size
    }

    /// The layout of the same container `base` bytes into a disk.
    pub fn shifted(&self, base: u64) -> Layout {
        Layout { base: self.base + base, ..self.clone() }
    }

    /// The places that `wanted` takes.
    pub fn find(&self, wanted: impl Fn(&What) -> bool) -> impl Iterator<Item = Place> {
        self.places.iter().copied().filter(move |p| wanted(&p.what))
    }
}
