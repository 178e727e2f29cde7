//! The fuzz targets, driven by a seeded mutator: the same runs everywhere.
//! `TMBUNDLE_FUZZ_ROUNDS` sets how many inputs each target gets.

use crate::common;
use crate::targets;

use std::path::Path;

/// xorshift64*: small, seeded, the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

fn mutate(seed: &[u8], random: &mut Random) -> Vec<u8> {
    let mut data = seed.to_vec();
    for _ in 0..1 + random.below(8) {
        if data.is_empty() {
            data.push(0);
        }
        let at = random.below(data.len());
        match random.below(8) {
            0..=2 => data[at] ^= 1 << random.below(8),
            3 => data[at] = [0, 1, 0x7F, 0x80, 0xFF][random.below(5)],
            4 => {
                let n = random.below(64).min(data.len() - at);
                data[at..at + n].fill([0, 0xFF][random.below(2)]);
            }
            5 => {
                let from = random.below(data.len());
                let n = random.below(64).min(data.len() - at.max(from));
                data.copy_within(from..from + n, at);
            }
            6 => {
                let n = 4.min(data.len() - at);
                let value = (random.next() as u32).to_be_bytes();
                data[at..at + n].copy_from_slice(&value[..n]);
            }
            _ => data.truncate(at + 1),
        }
    }
    data
}

fn rounds(default: usize) -> usize {
    std::env::var("TMBUNDLE_FUZZ_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

fn drive(name: &str, seeds: &[Vec<u8>], default: usize, target: fn(&[u8])) {
    assert!(!seeds.is_empty(), "{name} has no seeds");
    let mut random = Random(0x9E37_79B9_7F4A_7C15 ^ name.len() as u64);
    for seed in seeds {
        target(seed);
    }
    for round in 0..rounds(default) {
        let input = mutate(&seeds[round % seeds.len()], &mut random);
        target(&input);
    }
}

fn demo(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)).unwrap()
}

/// A small volume with a bit of everything.
fn sample_volume() -> tools::hfs::Volume {
    tools::samples::sample("links").unwrap().build()
}

/// Every node that is in use, and every record of them, of that volume's trees.
fn sample_nodes() -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    use std::sync::Arc;
    let volume = Arc::new(tmbundle::io::Memory::new(sample_volume().image.to_vec()));
    let fs = tmbundle::hfsplus::HfsPlus::open(volume).unwrap();
    let (mut nodes, mut records) = (Vec::new(), Vec::new());
    for tree in [fs.catalog().tree(), fs.attributes().unwrap().tree()] {
        for n in 0..tree.header().total_nodes.min(60) {
            let node = tree.node(n).unwrap();
            if node.records == 0 {
                continue;
            }
            nodes.push(node.bytes().to_vec());
            records.extend(
                (0..usize::from(node.records)).filter_map(|i| node.record(i)).map(<[u8]>::to_vec),
            );
        }
    }
    (nodes, records)
}

#[test]
fn bad_map() {
    let map = "# Mapfile. Created by GNU ddrescue version 1.27\n0x00120000     ?     1\n\
        0x00000000  0x00001000  +\n0x1000 512 -\n011000 01000 /\n0x1400 0x400 *\n0x2000 4096 +\n\
        0x3000 0x1000 ?\n";
    drive("bad_map", &[map.as_bytes().to_vec()], 20_000, targets::bad_map);
}

#[test]
fn plist() {
    let text = common::info_plist(8 << 20, 1 << 40).into_bytes();
    let mut binary = Vec::new();
    plist::Value::from_reader(std::io::Cursor::new(&text))
        .unwrap()
        .to_writer_binary(&mut binary)
        .unwrap();
    drive("plist", &[text, binary, demo("Demo.sparsebundle/Info.plist")], 20_000, targets::plist);
}

#[test]
fn partition() {
    let band = demo("Demo.sparsebundle/bands/0");
    let head = band[..band.len().min(64 << 10)].to_vec();
    let mut apm = vec![0; 8192];
    apm[512..514].copy_from_slice(b"PM");
    apm[512 + 7] = 2;
    apm[512 + 11] = 1;
    apm[512 + 15] = 2;
    apm.copy_within(512..1024, 1024);
    drive("partition", &[head, apm], 4_000, targets::partition);
}

#[test]
fn image() {
    use tools::bundle::{Encryption, single};
    let mut disk = tools::Image::new(64 << 10);
    disk.write_at(1024, b"H+");
    disk.write_at(20_000, &[7; 9000]);
    let how = Encryption { token_len: 1024, iterations: 2, ..Encryption::with_password("pw") };
    let sparse = single::sparse_image(&disk, 8, 2);
    let mut seeds = vec![
        single::encrypted(&disk.read(0, 4096), &how),
        single::encrypted_v1(&disk.read(0, 4096), &how),
        single::encrypted(&sparse, &how),
        sparse,
        single::compressed(&disk, single::Packing::Stored),
        single::compressed(&disk, single::Packing::Zlib),
        single::compressed(&disk, single::Packing::Adc),
    ];
    if let Some(data) = common::shared_data("image, on seeds with more codecs") {
        for codec in ["bzip2", "lzfse", "lzma"] {
            seeds.push(std::fs::read(data.join(format!("images/hfsplus_{codec}.dmg"))).unwrap());
        }
    }
    drive("image", &seeds, 4_000, targets::image);
}

#[test]
fn nodes_and_records() {
    let (nodes, records) = sample_nodes();
    drive("btree_node", &nodes, 20_000, targets::btree_node);
    drive("catalog_record", &records, 40_000, targets::catalog_record);
    drive("attribute", &records, 40_000, targets::attribute);
}

#[test]
fn decmpfs() {
    let mut seeds = Vec::new();
    use tools::decmpfs::DecmpfsType::*;
    for kind in [Plain1, Zlib3, Zlib4, Lzvn7, Lzvn8, Stored9, Stored10, Lzfse11, Lzfse12] {
        let content: Vec<u8> = (0..70_000u32).map(|n| (n % 251) as u8).collect();
        let n = if kind.in_resource_fork() { content.len() } else { 60 };
        let (attribute, fork) = tools::decmpfs::compress(&content[..n], kind);
        let mut seed = (attribute.len() as u16).to_le_bytes().to_vec();
        seed.extend(attribute);
        seed.extend(fork);
        seeds.push(seed);
    }
    drive("decmpfs", &seeds, 10_000, targets::decmpfs);
}

#[test]
fn journal() {
    let volume = sample_volume();
    let torn = tools::journal::without_leaves(&volume, &tools::journal::Dirty::default());
    // The target's volume has 512-byte blocks and its journal info block in block 1.
    let (at, len) = volume.layout.journal.unwrap();
    let ring = torn.image.read(at, len as usize);
    let mut seed = vec![0; 1024];
    seed[512..512 + 4].copy_from_slice(&1u32.to_be_bytes());
    seed[512 + 36..512 + 44].copy_from_slice(&1024u64.to_be_bytes());
    seed[512 + 44..512 + 52].copy_from_slice(&len.to_be_bytes());
    seed.extend(ring);
    drive("journal", &[seed], 400, targets::journal);
}

#[test]
fn volume() {
    let image = sample_volume().image.to_vec();
    eprintln!("volume: seed of {} bytes", image.len());
    drive("volume", &[image], 150, targets::volume);
}
