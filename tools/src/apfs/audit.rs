//! What the writer holds itself to: counts that must agree in every view.

use std::collections::HashMap;

use super::refs::Refs;
use super::volume::Volume;
use super::{Ino, model};

impl Volume {
    /// Whether it is a regular file.
    pub fn is_file(&self, id: Ino) -> bool {
        self.inodes[&id].is_file()
    }

    /// Whether its content is compressed.
    pub fn is_compressed(&self, id: Ino) -> bool {
        self.inodes[&id].decoded.is_some()
    }

    /// How many streams refer to each block now.
    pub(crate) fn references(&self) -> HashMap<u64, i32> {
        let mut out = HashMap::new();
        for stream in self.streams.values() {
            let mut blocks: Vec<u64> = Vec::new();
            for run in stream.runs.values().filter(|r| r.address != 0) {
                blocks.extend(run.address..run.address + run.len / self.block_size);
            }
            blocks.sort_unstable();
            blocks.dedup();
            blocks.into_iter().for_each(|b| *out.entry(b).or_insert(0) += 1);
        }
        out
    }

    /// Panics unless the extent reference trees add up to what each view's streams refer to.
    pub fn audit(&self) {
        let mut sums: HashMap<u64, i32> = HashMap::new();
        let mut add = |refs: &Refs| {
            for (start, record) in refs.records() {
                for block in start..start + record.len {
                    *sums.entry(block).or_insert(0) += record.count;
                }
            }
            sums.retain(|_, n| *n != 0);
            sums.clone()
        };
        for snapshot in &self.snapshots {
            let told = add(&snapshot.refs);
            assert_eq!(Some(&told), self.counted.get(&snapshot.xid), "view {}", snapshot.xid);
        }
        assert_eq!(add(&self.refs), self.references(), "the live view");
        for (id, stream) in &self.streams {
            let users = self.inodes.values().filter(|i| i.private == *id).count();
            let attributes = self.inodes.values().flat_map(|i| i.xattrs.values());
            let named = attributes.filter(|x| **x == model::Xattr::Stream(*id)).count();
            assert_eq!(stream.users as usize, users + named, "users of stream {id}");
        }
    }
}
