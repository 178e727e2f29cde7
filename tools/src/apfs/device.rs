//! Where blocks are stored: in memory, or in a sparse file for large volumes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::image::Image;

/// A device of blocks.
#[derive(Debug)]
pub struct Device {
    block_size: u64,
    store: Store,
}

#[derive(Debug)]
enum Store {
    Memory(Image),
    /// The file, and how far it was ever written.
    File(File, u64),
}

impl Device {
    /// A device in memory.
    pub fn memory(block_size: u64, bytes: u64) -> Self {
        Device { block_size, store: Store::Memory(Image::new(bytes)) }
    }

    /// A device in a new sparse file.
    pub fn file(block_size: u64, bytes: u64, path: &Path) -> io::Result<Self> {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
        file.set_len(bytes)?;
        Ok(Device { block_size, store: Store::File(file, 0) })
    }

    /// Stores blocks from `address` on; zeros leave holes where nothing was stored before.
    pub fn write(&mut self, address: u64, data: &[u8]) {
        let at = address * self.block_size;
        match &mut self.store {
            Store::Memory(image) => image.write_at(at, data),
            Store::File(_, end) if at >= *end && data.iter().all(|&b| b == 0) => {}
            Store::File(file, end) => {
                file.write_all_at(data, at).expect("writing the volume");
                *end = (*end).max(at + data.len() as u64);
            }
        }
    }

    /// The image; an empty one where the device is a file.
    pub fn into_image(self) -> Image {
        match self.store {
            Store::Memory(image) => image,
            Store::File(..) => Image::new(0),
        }
    }
}
