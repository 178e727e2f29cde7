//! The space manager, its chunks, pool and queues.

use super::Row;
use super::bent::{Bent, get, get16, get32, put, put16, put32};
use tmbundle::report::Rule::*;
use tools::apfs::What;

/// Where the record of the first chunk begins in a list.
const CHUNK: usize = 0x28;

pub const TABLE: &[Row] = &[
    (A278, "small", |c| c.spaceman(|b| put32(b, 0x148, 0x20))),
    (A279, "small", |c| c.spaceman(|b| put(b, 0x158 + 16, 1))),
    (A279, "small", |c| c.spaceman(|b| put32(b, 0x158 + 0x84, 1))),
    (A280, "small", |c| c.spaceman(|b| put32(b, 0x24, 9))),
    (A281, "small", |c| c.spaceman(|b| put32(b, 0x90, get32(b, 0x90) | 2))),
    (A282, "small", |c| c.spaceman(|b| put32(b, 0x90, 0))),
    (A282, "small", |c| c.spaceman(|b| put32(b, 0x154, 9))),
    (A283, "small", |c| c.spaceman(|b| put(b, 0x30, get(b, 0x30) + 1))),
    (A284, "small", |c| c.spaceman(|b| put32(b, 0x54, 1))),
    (A285, "small", |c| c.spaceman(|b| put(b, 0x38, 2))),
    (A286, "small", |c| c.spaceman(|b| put(b, 0x98, 77))),
    (A287, "small", |c| c.cib(|b| put(b, CHUNK + 24, 1))),
    (A288, "huge", |c| c.object(|w| matches!(w, What::Cab), |b| put32(b, 0x20, 3))),
    (A289, "small", |c| c.cib(|b| put32(b, 0x20, 3))),
    (A290, "small", |c| c.cib(|b| put(b, CHUNK + 8, 5))),
    (A291, "small", |c| c.cib(|b| put32(b, CHUNK + 20, get32(b, CHUNK + 20) - 1))),
    (A292, "small", |c| {
        let (at, len) = bitmap(c);
        c.byte(at + len as u64 - 1, |b| b | 0x80);
    }),
    (A293, "small", |c| c.cib(|b| put(b, CHUNK, 0))),
    (A294, "small", |c| c.cib(|b| put(b, CHUNK, get(b, CHUNK) - 1))),
    (A295, "small", |c| c.spaceman(|b| put(b, 0x48, get(b, 0x48) + 1))),
    (A296, "small", |c| c.spaceman(|b| put(b, 0xC8 + 80, 1))),
    (A297, "small", |c| c.spaceman(|b| put16(b, 0xC8 + 26, 1))),
    (A298, "small", |c| queue(c, |b, value| put(b, value, 1))),
    (A299, "small", |c| queue(c, |b, value| put(b, value, 1 << 30))),
    (A300, "small", |c| c.spaceman(|b| put(b, 0xC8 + 40, get(b, 0xC8 + 40) + 1))),
    (A301, "small", |c| c.spaceman(|b| put(b, 0xC8 + 56, get(b, 0xC8 + 56) ^ 1))),
    (A302, "small", |c| c.spaceman(|b| put16(b, 0xC8 + 64, 0))),
    (A303, "small", |c| c.spaceman(|b| put16(b, 0xC8 + 64, 99))),
    (A304, "small", |c| c.spaceman(|b| put(b, get32(b, 0x144) as usize, 0))),
    (A304, "small", |c| c.spaceman(|b| put(b, get32(b, 0x144) as usize, 1 << 40))),
    (A305, "small", |c| c.spaceman(|b| put16(b, 0x142, get16(b, 0x140)))),
    (A306, "small", |c| c.spaceman(|b| put16(b, get32(b, 0x148) as usize, get16(b, 0x140)))),
    (A307, "small", |c| {
        let (at, _) = c.find(|w| matches!(w, What::PoolBitmap { .. }));
        c.byte(at, |b| b ^ 0xFF);
    }),
    (A309, "small", |c| {
        let (at, _) = bitmap(c);
        c.byte(at, |b| b & !2);
    }),
    (A318, "small", |c| {
        let (at, len) = bitmap(c);
        let bits = c.image.read(at, len);
        let free = (0..len * 8).find(|i| bits[i / 8] >> (i % 8) & 1 == 0).unwrap();
        c.byte(at + free as u64 / 8, |b| b | 1 << (free % 8));
    }),
    (A319, "small", |c| c.spaceman(|b| put(b, 0xB8, 5))),
];

fn bitmap(c: &Bent) -> (u64, usize) {
    c.find(|w| matches!(w, What::Bitmap { chunk: 0 }))
}

/// The node of the main free queue, which has an entry.
pub fn queue_node(c: &Bent) -> (u64, usize) {
    let (spaceman, _) = c.find(|w| matches!(w, What::Spaceman));
    let oid = get(&c.image.read(spaceman + 0xC8 + 48, 8), 0);
    let size = c.layout.block_size;
    let found = c.layout.find(|w| matches!(w, What::FreeQueueNode));
    let at = found.map(|p| p.address * size).find(|at| get(&c.image.read(at + 8, 8), 0) == oid);
    (at.unwrap(), size as usize)
}

/// Change the value of an entry of the main free queue that has one.
fn queue(c: &mut Bent, change: impl FnOnce(&mut [u8], usize)) {
    let (at, len) = queue_node(c);
    c.edit(at, len, |b| {
        let count = get32(b, 0x24) as usize;
        let mut values = (0..count).map(|i| get16(b, 0x38 + i * 4 + 2)).filter(|v| *v != 0xFFFF);
        let value = len - 40 - usize::from(values.next_back().unwrap());
        change(b, value);
    });
}
