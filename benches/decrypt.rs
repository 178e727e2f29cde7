//! Decryption of an encrypted bundle beside a bare AES-CBC loop over as many bytes
//! and beside the same reads unencrypted. `cargo bench --bench decrypt`.

use aes::cipher::{Array, BlockModeDecrypt, InnerIvInit, KeyInit};
use divan::counter::BytesCount;
use std::hint::black_box;
use std::path::PathBuf;
use std::sync::LazyLock;
use tmbundle::disk::{Disk, Secret};
use tools::Image;
use tools::bundle::{BundleOptions, Encryption};

const SIZE: u64 = 128 << 20;
const PIECE: usize = 1 << 20;

fn main() {
    divan::main();
}

fn bundle(key_bits: Option<u32>) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bench.sparsebundle");
    let bytes: Vec<u8> = (0..SIZE).map(|n| (n * 7 % 251) as u8).collect();
    let encryption =
        key_bits.map(|key_bits| Encryption { key_bits, ..Encryption::with_password("pw") });
    let options = BundleOptions { encryption, ..BundleOptions::default() };
    tools::bundle::write(&Image::from_bytes(&bytes), &path, &options).unwrap();
    (dir, path)
}

static PLAIN: LazyLock<(tempfile::TempDir, PathBuf)> = LazyLock::new(|| bundle(None));
static AES128: LazyLock<(tempfile::TempDir, PathBuf)> = LazyLock::new(|| bundle(Some(128)));
static AES256: LazyLock<(tempfile::TempDir, PathBuf)> = LazyLock::new(|| bundle(Some(256)));

fn read(bencher: divan::Bencher, path: &std::path::Path) {
    let disk = Disk::open_with(path, &|_| Ok(vec![Secret::new(b"pw".to_vec())])).unwrap();
    let bytes = disk.bytes().unwrap();
    let mut buf = vec![0; PIECE];
    bencher.counter(BytesCount::new(SIZE)).bench_local(|| {
        for at in (0..SIZE).step_by(PIECE) {
            bytes.read_at(&mut buf, at).unwrap();
        }
        black_box(buf[0])
    });
}

#[divan::bench]
fn plain_bundle(bencher: divan::Bencher) {
    read(bencher, &PLAIN.1);
}

#[divan::bench]
fn aes128_bundle(bencher: divan::Bencher) {
    read(bencher, &AES128.1);
}

#[divan::bench]
fn aes256_bundle(bencher: divan::Bencher) {
    read(bencher, &AES256.1);
}

#[divan::bench]
fn bare_aes128_cbc_loop_of_512_bytes(bencher: divan::Bencher) {
    let cipher = aes::Aes128::new(&[7; 16].into());
    let mut buf = vec![1u8; PIECE];
    bencher.counter(BytesCount::new(SIZE)).bench_local(|| {
        for _ in (0..SIZE).step_by(PIECE) {
            for chunk in buf.chunks_exact_mut(512) {
                let (blocks, _) = Array::slice_as_chunks_mut(chunk);
                cbc::Decryptor::inner_iv_init(&cipher, &[9; 16].into()).decrypt_blocks(blocks);
            }
        }
        black_box(buf[0])
    });
}
