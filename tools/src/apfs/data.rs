//! Streams: allocating, sharing, overwriting, cutting.

use super::core::Core;
use super::model::*;
use super::records::{FsKey, record};
use super::volume::Volume;
use crate::hfs::Content;

/// How a stream is put on the volume.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Placement {
    /// Number of extents; 0 and 1 mean one.
    pub pieces: u64,
}

impl Volume {
    /// A new stream without content.
    pub(crate) fn new_stream(&mut self, id: u64, attribute: bool) {
        self.streams.insert(id, Stream { users: 1, attribute, ..Stream::default() });
        self.put_stream(id);
    }

    /// Writes `content` at byte `at` of a stream into new blocks; what was there is let go.
    pub(crate) fn write_stream(
        &mut self,
        core: &mut Core,
        id: u64,
        (at, content): (u64, Content),
        how: Placement,
    ) {
        if content.is_empty() {
            return;
        }
        let bs = core.block_size;
        let end = at + content.len();
        if end > self.streams[&id].size {
            self.drop_tail(core, id);
        }
        let stream = self.streams.get_mut(&id).expect("a stream");
        if at == 0 && end >= stream.size {
            stream.data.clear();
        }
        stream.data.push((at, content));
        stream.size = stream.size.max(end);
        let (from, to) = (at / bs * bs, end.next_multiple_of(bs));
        self.extend_with_hole(id, from);
        self.punch(core, id, from, to);
        let blocks = (to - from) / bs;
        let pieces = how.pieces.clamp(1, blocks);
        let mut first = 0;
        for piece in 0..pieces {
            let next = blocks * (piece + 1) / pieces;
            self.write_run(core, id, from + first * bs, next - first);
            if piece + 1 < pieces {
                core.space.skip(1);
            }
            first = next;
        }
    }

    /// Gives up blocks behind the end: as part of the data they would show what was there before.
    fn drop_tail(&mut self, core: &mut Core, id: u64) {
        let stream = &self.streams[&id];
        let (end, allocated) = (stream.size.next_multiple_of(core.block_size), stream.allocated());
        if end < allocated {
            self.punch(core, id, end, allocated);
        }
    }

    /// Fills the gap between the stream's end and `to` with a hole.
    pub(crate) fn extend_with_hole(&mut self, id: u64, to: u64) {
        let stream = self.streams.get_mut(&id).expect("a stream");
        let end = stream.allocated();
        if end < to {
            let hole = Run { len: to - end, address: 0, crypto: 0, prealloc: false };
            stream.runs.insert(end, hole);
            self.put_run(id, end);
        }
    }

    /// Allocates a run and stores the stream's content there.
    fn write_run(&mut self, core: &mut Core, id: u64, at: u64, blocks: u64) {
        let address = self.allocate_run(core, id, at, blocks, false);
        let stream = &self.streams[&id];
        let bs = core.block_size;
        let mut done = 0;
        while done < blocks {
            let n = (blocks - done).min(256);
            let mut buf = vec![0; (n * bs) as usize];
            stream.read(at + done * bs, &mut buf);
            if let Some(key) = &self.key {
                key.encrypt(&mut buf, (address + done) * (bs / 512));
            }
            core.device.write(address + done, &buf);
            done += n;
        }
    }

    fn allocate_run(&mut self, core: &mut Core, id: u64, at: u64, n: u64, prealloc: bool) -> u64 {
        let address = core.space.allocate(n);
        self.refs.allocate(id, address, n);
        let crypto = if self.key.is_some() { address } else { 0 };
        let run = Run { len: n * core.block_size, address, crypto, prealloc };
        self.streams.get_mut(&id).expect("a stream").runs.insert(at, run);
        self.put_run(id, at);
        address
    }

    /// Adds blocks behind the stream's end that hold no data.
    pub(crate) fn preallocate_stream(&mut self, core: &mut Core, id: u64, blocks: u64) {
        let at = self.streams[&id].allocated();
        let marked = self.options.prealloc_feature;
        self.allocate_run(core, id, at, blocks, marked);
    }

    /// Makes a run begin at byte `at`, if one covers it.
    fn cut_run(&mut self, core: &Core, id: u64, at: u64) {
        let stream = self.streams.get_mut(&id).expect("a stream");
        let Some((&start, &run)) = stream.runs.range(..at).next_back() else { return };
        if start + run.len <= at {
            return;
        }
        let blocks = (at - start) / core.block_size;
        let shift = |v: u64| if v == 0 { 0 } else { v + blocks };
        let rest = Run {
            len: start + run.len - at,
            address: shift(run.address),
            crypto: shift(run.crypto),
            ..run
        };
        stream.runs.insert(start, Run { len: at - start, ..run });
        stream.runs.insert(at, rest);
        self.put_run(id, start);
        self.put_run(id, at);
    }

    /// Takes the runs of a range out of the stream and lets their blocks go.
    fn punch(&mut self, core: &mut Core, id: u64, from: u64, to: u64) {
        self.cut_run(core, id, from);
        self.cut_run(core, id, to);
        let stream = self.streams.get_mut(&id).expect("a stream");
        let gone: Vec<(u64, Run)> = stream.runs.range(from..to).map(|(&a, &r)| (a, r)).collect();
        for (at, run) in gone {
            self.streams.get_mut(&id).expect("a stream").runs.remove(&at);
            self.remove_record(&FsKey::numbered(id, record::FILE_EXTENT, at));
            if run.address != 0 {
                for (start, len) in self.refs.change(run.address, run.len / core.block_size, -1) {
                    core.free(start, len);
                }
            }
        }
    }

    /// Cuts or grows a stream.
    pub(crate) fn resize_stream(&mut self, core: &mut Core, id: u64, size: u64) {
        let bs = core.block_size;
        let shrinks = size < self.streams[&id].size;
        if !shrinks {
            self.drop_tail(core, id);
        }
        let stream = self.streams.get_mut(&id).expect("a stream");
        stream.size = size;
        stream.cut_data(size);
        self.drop_tail(core, id);
        self.extend_with_hole(id, size.next_multiple_of(bs));
        let last = size / bs * bs;
        let hole =
            self.streams[&id].runs.range(..=last).next_back().is_some_and(|r| r.1.address == 0);
        if shrinks && last < size && !hole {
            // What was behind the new end must not come back when the file grows again.
            self.punch(core, id, last, last + bs);
            self.write_run(core, id, last, 1);
        }
    }

    /// One user less; the last one takes the stream with it.
    pub(crate) fn release_stream(&mut self, core: &mut Core, id: u64) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.users -= 1;
        if stream.users > 0 {
            self.put_stream(id);
            return;
        }
        let (end, attribute) = (stream.allocated(), stream.attribute);
        self.punch(core, id, 0, end);
        self.streams.remove(&id);
        if !attribute || self.options.attribute_stream_records {
            self.remove_record(&FsKey::plain(id, record::STREAM));
        }
    }

    /// A second stream with the same blocks.
    pub(crate) fn share_stream(&mut self, core: &Core, from: u64, to: u64) {
        let mut copy = self.streams[&from].clone();
        copy.users = 1;
        let runs: Vec<(u64, Run)> = copy.runs.iter().map(|(&a, &r)| (a, r)).collect();
        self.streams.insert(to, copy);
        self.put_stream(to);
        for (at, run) in runs {
            self.put_run(to, at);
            if run.address != 0 {
                let freed = self.refs.change(run.address, run.len / core.block_size, 1);
                assert!(freed.is_empty(), "shared blocks are in use");
            }
        }
    }
}
