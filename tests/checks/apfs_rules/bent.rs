//! A container of the writer's that can be bent, with its sums made right again.

use tmbundle::Result;
use tmbundle::io::ReadAt;
use tools::apfs::{Layout, What};
use tools::image::Image;

/// A container in memory, and where everything lies in it.
#[derive(Clone)]
pub struct Bent {
    pub image: Image,
    pub layout: Layout,
}

impl ReadAt for Bent {
    fn len(&self) -> u64 {
        self.image.len()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.image.read_at(offset, buf);
        Ok(())
    }
}

impl Bent {
    pub fn of(kind: &str) -> Self {
        let built = tools::apfs::samples::sample(kind).unwrap();
        Self { image: built.image, layout: built.layout }
    }

    /// The first place of a kind: its byte and length.
    pub fn find(&self, wanted: impl Fn(&What) -> bool) -> (u64, usize) {
        let place = self.layout.find(wanted).next().expect("a place");
        let size = self.layout.block_size;
        (place.address * size, (place.count * size) as usize)
    }

    /// Change a byte, and no sum.
    pub fn byte(&mut self, at: u64, change: impl FnOnce(u8) -> u8) {
        self.image.edit(at, 1, |b| b[0] = change(b[0]));
    }

    /// Cut bytes off the end.
    pub fn cut(&mut self, bytes: u64) {
        self.image.set_len(self.image.len() - bytes);
    }

    /// Change the first object of a kind.
    pub fn object(&mut self, wanted: impl Fn(&What) -> bool, change: impl FnOnce(&mut [u8])) {
        let (at, len) = self.find(wanted);
        self.edit(at, len, change);
    }

    /// Change the object in some bytes, and make its sum right.
    pub fn edit(&mut self, at: u64, len: usize, change: impl FnOnce(&mut [u8])) {
        self.image.edit(at, len, |object| {
            change(object);
            tools::apfs::object::reseal(object);
        });
    }

    pub fn superblock(&mut self, change: impl FnOnce(&mut [u8])) {
        self.object(|w| matches!(w, What::Superblock), change);
    }

    pub fn map(&mut self, change: impl FnOnce(&mut [u8])) {
        self.object(|w| matches!(w, What::CheckpointMap), change);
    }

    pub fn spaceman(&mut self, change: impl FnOnce(&mut [u8])) {
        self.object(|w| matches!(w, What::Spaceman), change);
    }

    pub fn cib(&mut self, change: impl FnOnce(&mut [u8])) {
        self.object(|w| matches!(w, What::Cib), change);
    }
}

pub fn get(b: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(b[at..at + 8].try_into().unwrap())
}

pub fn get32(b: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(b[at..at + 4].try_into().unwrap())
}

pub fn get16(b: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(b[at..at + 2].try_into().unwrap())
}

pub fn put(b: &mut [u8], at: usize, value: u64) {
    b[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

pub fn put32(b: &mut [u8], at: usize, value: u32) {
    b[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

pub fn put16(b: &mut [u8], at: usize, value: u16) {
    b[at..at + 2].copy_from_slice(&value.to_le_bytes());
}
