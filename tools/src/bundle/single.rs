//! Disk images in one file: encrypted ones, sparse images, compressed ones.

use super::{Encryption, Numbering};
use crate::bytes::{Put, put};
use crate::image::Image;
use flate2::{Compression, write::ZlibEncoder};
use std::io::Write;

/// The file of an encrypted image: header, then ciphertext.
pub fn encrypted(plain: &[u8], how: &Encryption) -> Vec<u8> {
    let mut file = how.token();
    put(&mut file, 56, &(plain.len() as u64).to_be_bytes());
    let mut data = plain.to_vec();
    Encryption { numbering: Numbering::Band, ..how.clone() }.keys().encrypt_band(&mut data, 0);
    file.extend(data);
    file
}

/// The same with a version 1 header at its end.
pub fn encrypted_v1(plain: &[u8], how: &Encryption) -> Vec<u8> {
    let mut data = plain.to_vec();
    how.keys().encrypt_band(&mut data, 0);
    data.extend(how.trailer(plain.len() as u64));
    data
}

/// A single-file sparse image. Bands that hold only zeros are left out, the others
/// lie last first; `table` of them (at most 1008) follow each table.
pub fn sparse_image(image: &Image, sectors_per_band: u32, table: usize) -> Vec<u8> {
    let band = u64::from(sectors_per_band) * 512;
    let len = |n: u64| band.min(image.len() - n * band);
    let count = image.len().div_ceil(band);
    let used: Vec<u64> = (0..count).filter(|n| !image.is_zero(n * band, len(*n))).rev().collect();
    let mut file = Vec::new();
    let tables: Vec<&[u64]> =
        if used.is_empty() { vec![&[]] } else { used.chunks(table).collect() };
    for (i, part) in tables.iter().enumerate() {
        let next = file.len() as u64 + 4096 + part.len() as u64 * band;
        let next = if i + 1 < tables.len() { next } else { 0 };
        let mut header = b"sprs".to_vec();
        if i == 0 {
            [3, sectors_per_band, 1, (image.len() / 512) as u32]
                .iter()
                .for_each(|w| header.be32(*w));
            header.be64(next);
            header.be64(image.len() / 512);
            header.resize(64, 0);
        } else {
            [i as u32, 1].iter().for_each(|w| header.be32(*w));
            header.be64(next);
            header.resize(56, 0);
        }
        part.iter().for_each(|n| header.be32(*n as u32 + 1));
        header.resize(4096, 0);
        file.extend(header);
        for n in *part {
            let start = file.len();
            file.extend(image.read(n * band, len(*n) as usize));
            file.resize(start + band as usize, 0);
        }
    }
    file
}

/// How a chunk of a compressed image is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// As it is.
    Stored,
    /// zlib.
    Zlib,
    /// ADC, plain runs only.
    Adc,
}

impl Packing {
    fn kind(self) -> u32 {
        match self {
            Self::Stored => 1,
            Self::Adc => 0x8000_0004,
            Self::Zlib => 0x8000_0005,
        }
    }

    fn pack(self, plain: &[u8]) -> Vec<u8> {
        match self {
            Self::Stored => plain.to_vec(),
            Self::Zlib => {
                let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
                zlib.write_all(plain).expect("memory");
                zlib.finish().expect("memory")
            }
            Self::Adc => plain
                .chunks(128)
                .flat_map(|run| [&[0x7F + run.len() as u8], run].concat())
                .collect(),
        }
    }
}

/// A compressed disk image (`.dmg`) in chunks of 256 KiB, with the checksums that
/// `hdiutil verify` looks at.
pub fn compressed(image: &Image, packing: Packing) -> Vec<u8> {
    const CHUNK: u64 = 256 << 10;
    let plain = image.to_vec();
    let (mut file, mut runs) = (Vec::new(), Vec::new());
    for start in (0..image.len()).step_by(CHUNK as usize) {
        let len = CHUNK.min(image.len() - start);
        let zero = image.is_zero(start, len);
        let stored = if zero { Vec::new() } else { packing.pack(&image.read(start, len as usize)) };
        runs.be32(if zero { 2 } else { packing.kind() });
        runs.be32(0);
        [start / 512, len / 512, file.len() as u64, stored.len() as u64]
            .iter()
            .for_each(|n| runs.be64(*n));
        file.extend(stored);
    }
    runs.be32(u32::MAX);
    runs.be32(0);
    [image.len() / 512, 0, file.len() as u64, 0].iter().for_each(|n| runs.be64(*n));

    let crc = crc32fast::hash(&plain);
    let mut table = b"mish\0\0\0\x01".to_vec();
    [0, image.len() / 512, 0].iter().for_each(|n| table.be64(*n));
    [520, 0, 0, 0, 0, 0, 0, 0, 2, 32, crc].iter().for_each(|w| table.be32(*w));
    table.resize(200, 0);
    table.be32((runs.len() / 40) as u32);
    table.extend(runs);

    let data_crc = crc32fast::hash(&file);
    let xml = block_plist(table);
    let mut koly = vec![0; 512];
    put(&mut koly, 0, b"koly\0\0\0\x04\0\0\x02\0\0\0\0\x01");
    put(&mut koly, 32, &(file.len() as u64).to_be_bytes());
    put32(&mut koly, 56, 1);
    put32(&mut koly, 60, 1);
    put(&mut koly, 216, &(file.len() as u64).to_be_bytes());
    put(&mut koly, 224, &(xml.len() as u64).to_be_bytes());
    // The master checksum is that of the tables' checksums, one after the other.
    let master = crc32fast::hash(&crc.to_be_bytes());
    for (at, value) in [(80, data_crc), (352, master)] {
        [2, 32, value].iter().enumerate().for_each(|(i, w)| put32(&mut koly, at + 4 * i, *w));
    }
    put32(&mut koly, 488, 1);
    put(&mut koly, 492, &(image.len() / 512).to_be_bytes());
    file.extend(xml);
    file.extend(koly);
    file
}

fn put32(buf: &mut [u8], at: usize, value: u32) {
    put(buf, at, &value.to_be_bytes());
}

fn block_plist(table: Vec<u8>) -> Vec<u8> {
    use plist::{Dictionary, Value};
    let dict = |pairs: Vec<(&str, Value)>| {
        Value::Dictionary(Dictionary::from_iter(pairs.into_iter().map(|(k, v)| (k.to_owned(), v))))
    };
    let entry = dict(vec![
        ("Attributes", "0x0050".into()),
        ("Data", Value::Data(table)),
        ("ID", "0".into()),
        ("Name", "whole disk".into()),
    ]);
    let fork = dict(vec![("blkx", Value::Array(vec![entry]))]);
    let mut xml = Vec::new();
    dict(vec![("resource-fork", fork)]).to_writer_xml(&mut xml).expect("memory");
    xml
}
