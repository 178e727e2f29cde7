//! The superblock, the ring of checkpoints, the reaper.

use super::Row;
use super::bent::{get, get32, put, put32};
use tmbundle::report::Rule::*;
use tools::apfs::What;

pub const TABLE: &[Row] = &[
    (A001, "small", |c| c.byte(0x20, |_| b'X')),
    (A002, "small", |c| c.edit(0, 4096, |b| put32(b, 0x24, 5000))),
    (A003, "small", |c| c.byte(0x900, |b| b ^ 1)),
    (A004, "small", |c| c.edit(0, 4096, |b| put(b, 8, 7))),
    (A005, "small", |c| c.edit(0, 4096, |b| put32(b, 0x68, 1 << 20))),
    (A007, "dirty", |c| c.superblock(|b| put(b, 0xA0, 3))),
    // The newest superblock has a wrong sum; its map alone is left.
    (A007, "dirty", |c| {
        let (at, _) = c.find(|w| matches!(w, What::Superblock));
        c.byte(at + 0x900, |b| b ^ 1);
    }),
    (A007, "dirty", |c| {
        let (at, len) = c.find(|w| matches!(w, What::Superblock));
        c.image.fill(at, len as u64, 0);
    }),
    (A008, "small", |c| c.edit(0, 4096, |b| b[0x600] ^= 1)),
    (A009, "dirty", |_| ()),
    (A010, "small", |c| c.superblock(|b| put32(b, 0x80, get32(b, 0x80) ^ 1))),
    (A011, "small", |c| c.superblock(|b| put32(b, 0x84, get32(b, 0x84) ^ 1))),
    (A012, "small", |c| c.map(|b| put32(b, 28, 1))),
    (A013, "small", |c| c.map(|b| put(b, 16, get(b, 16) - 1))),
    (A014, "small", |c| c.map(|b| put32(b, 0x20, 0))),
    (A015, "small", |c| c.map(|b| put32(b, 0x24, 1000))),
    (A016, "small", |c| c.map(|b| put32(b, 0x28 + 12, 1))),
    (A017, "small", |c| c.map(|b| put(b, 0x28 + 32, get(b, 0x28 + 32) + 1))),
    (A018, "small", |c| {
        let (at, _) = c.find(|w| matches!(w, What::Reaper));
        c.byte(at + 0x100, |b| b ^ 1);
    }),
    (A019, "small", |c| c.map(|b| put32(b, 0x28, get32(b, 0x28) ^ 0x1000_0000))),
    (A020, "small", |c| c.superblock(|b| put32(b, 0x94, get32(b, 0x94) + 1))),
    (A021, "small", |c| {
        c.map(|b| {
            let of = (0..get32(b, 0x24) as usize).map(|i| 0x28 + i * 40);
            let at = of.into_iter().find(|at| get32(b, *at) & 0xFFFF == 0x11).unwrap();
            put32(b, at, 0x8000_0012);
        })
    }),
    (A022, "small", |c| c.cut(8192)),
    (A023, "small", |c| c.superblock(|b| put(b, 0x60, get(b, 0x60) + 1))),
    (A024, "small", |c| c.superblock(|b| put(b, 0x58, 5))),
    (A025, "small", |c| c.superblock(|b| put32(b, 0xB4, 99))),
    (A026, "small", |c| c.superblock(|b| put(b, 0x30, 0x40))),
    (A027, "small", |c| c.superblock(|b| put(b, 0x40, 0x42))),
    (A028, "small", |c| c.superblock(|b| put(b, 0x4F0, 8))),
    (A028, "small", |c| c.edit(0, 4096, |b| put(b, 0x4F0, 8))),
    (A029, "small", |c| c.superblock(|b| put32(b, 0xB0, 1))),
    (A030, "small", |c| c.superblock(|b| b[0x500] = 1)),
    (A031, "small", |c| c.superblock(|b| put(b, 0x4E0, 9))),
    (A032, "small", |c| c.superblock(|b| put(b, 0x528, 1))),
    (A033, "small", |c| c.superblock(|b| put(b, 0xA8, 0x9999))),
    (A034, "small", |c| c.cut(100)),
    (A035, "small", |c| {
        let (at, _) = c.find(|w| matches!(w, What::Superblock));
        c.byte(at + 0x900, |b| b ^ 1);
    }),
    (A039, "small", |c| c.superblock(|b| put32(b, 28, 1))),
    (A101, "small", |c| c.superblock(|b| put(b, 0xB8, 0))),
    (A308, "small", |c| c.superblock(|b| put(b, 0x4F8, get(b, 0xA0)))),
    (A340, "small", |c| efi(c, |b| put32(b, 0x24, 2))),
    (A341, "small", |c| efi(c, |b| put(b, 0xB0, 1 << 40))),
    (A342, "small", |c| efi(c, |b| put32(b, 0x28, 5000))),
    (A310, "small", |c| reaper(c, |b| put32(b, 0x40, 4))),
    (A311, "small", |c| reaper(c, |b| put32(b, 0x6C, 12))),
    (A312, "small", |c| reaper(c, |b| put(b, 0x28, 1 << 40))),
    (A313, "small", |c| reaper(c, |b| put(b, 0x30, get(b, 0x30) ^ 0x4000))),
    (A314, "small", |c| reaper(c, |b| put32(b, 0x40, 3))),
    (A315, "snapshots", |c| c.object(|w| matches!(w, What::ReapList), |b| put32(b, 0x2C, 3))),
    (A316, "snapshots", |c| c.object(|w| matches!(w, What::ReapList), |b| put32(b, 0x30, 3))),
    (A317, "small", |c| reaper(c, |b| put32(b, 0x44, 7))),
];

/// A driver for firmware in the last block but one.
fn efi(c: &mut super::Bent, change: impl FnOnce(&mut [u8])) {
    let block = c.layout.block_size;
    let at = (c.image.len() / block - 2) * block;
    c.superblock(|b| put(b, 0x4F8, at / block));
    let mut driver = vec![0; block as usize];
    driver[0x20..0x24].copy_from_slice(b"JSDR");
    put32(&mut driver, 0x24, 1);
    put32(&mut driver, 0x28, 4096);
    put32(&mut driver, 0x2C, 1);
    put(&mut driver, 0xB0, at / block + 1);
    put(&mut driver, 0xB8, 1);
    change(&mut driver);
    tools::apfs::object::seal(&mut driver, at / block, 1, 0x4000_0014, 0);
    c.image.write_at(at, &driver);
}

fn reaper(c: &mut super::Bent, change: impl FnOnce(&mut [u8])) {
    c.object(|w| matches!(w, What::Reaper), change);
}
