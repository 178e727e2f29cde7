//! Containers and encrypted images that are damaged, cut short or made to do harm:
//! each is answered with what is wrong, in bounded time and memory.

use crate::common;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use tmbundle::Error;
use tmbundle::disk::{Disk, Locked, Secret};
use tmbundle::io::{Presence, ReadAt, read_vec};
use tools::bundle::{BundleOptions, Encryption, KeyRecord};
use tools::hfs::{Content, Meta, VolumeBuilder, VolumeOptions};

const DMGS: [&str; 5] = [
    "hfsplus_adc.dmg",
    "hfsplus_bzip2.dmg",
    "hfsplus_lzfse.dmg",
    "hfsplus_lzma.dmg",
    "hfsplus_zlib.dmg",
];

fn open(path: &Path, password: &str) -> tmbundle::Result<Disk> {
    Disk::open_with(path, &|_| Ok(vec![Secret::new(password.as_bytes().to_vec())]))
}

fn write(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn unpacked(data: &Path, name: &str) -> Vec<u8> {
    std::fs::read(common::unpack(&data.join(format!("images/{name}.gz")))).unwrap()
}

/// Opens and reads everything; errors are right, panics and hanging are not.
fn survive(path: &Path) -> bool {
    let Ok(disk) = open(path, "vilefault") else { return false };
    let Ok(bytes) = disk.bytes() else { return false };
    let mut whole = true;
    for at in (0..bytes.len().min(64 << 20)).step_by(1 << 20) {
        let len = (bytes.len() - at).min(1 << 20);
        whole &= read_vec(&*bytes, at, len as usize).is_ok();
        bytes.presence(at..at + len, &mut |_, _| {}).unwrap();
    }
    whole
}

#[test]
fn cut_short_images_are_damage_and_never_zeros() {
    let Some(data) = common::shared_data("cut_short_images_are_damage_and_never_zeros") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let whole = std::fs::read(data.join("images/hfsplus_zlib.dmg")).unwrap();
    let (front, trailer) = whole.split_at(whole.len() - 512);
    let dmg = write(dir.path(), "cut.dmg", &[&front[..front.len() / 2], trailer].concat());
    assert!(matches!(Disk::open(&dmg).unwrap().locked(), Some(Locked::Damaged(_))));
    let dmg = dmg.to_str().unwrap();
    common::tmbundle(&["verify", dmg]).expect(1, &["DISK-IMAGE-DAMAGED"]);
    common::tmbundle(&["ls", dmg, "volume:"]).expect(1, &["past the end"]);

    let sparse = &unpacked(&data, "aj_sparse.sparseimage")[..3_000_000];
    let sparse = write(dir.path(), "cut.sparseimage", sparse);
    let bytes = Disk::open(&sparse).unwrap().bytes().unwrap();
    assert!(matches!(read_vec(&*bytes, 0, bytes.len() as usize), Err(Error::Corrupt(_))));
    common::tmbundle(&["verify", sparse.to_str().unwrap()]).expect(1, &["DISK-CUT"]);

    // Encrypted, and the end of the ciphertext is gone.
    let encrypted = &unpacked(&data, "testimage.AES-128.64k.header_v2.dmg")[..160_000];
    let encrypted = write(dir.path(), "cut-encrypted.dmg", encrypted);
    let verify = std::process::Command::new(env!("CARGO_BIN_EXE_tmbundle"))
        .args(["verify", encrypted.to_str().unwrap()])
        .env("TMBUNDLE_PASSWORD", "vilefault")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&verify.stdout);
    assert_eq!(verify.status.code(), Some(1), "{verify:?}");
    assert!(text.contains("37120 of 65536 bytes are in the file"), "{text}");
    assert!(matches!(open(&encrypted, "wrong"), Err(Error::WrongPassword(_))));
}

/// A flipped byte anywhere gives an error or other bytes, never a panic.
#[test]
fn flipped_bytes_in_every_container_are_survived() {
    let Some(data) = common::shared_data("flipped_bytes_in_every_container_are_survived") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut samples: Vec<Vec<u8>> =
        DMGS.iter().map(|n| std::fs::read(data.join("images").join(n)).unwrap()).collect();
    for name in
        ["testimage.AES-128.64k.header_v1.dmg", "testimage.AES-256.64k.header_v2.sparseimage"]
    {
        samples.push(unpacked(&data, name));
    }
    let (mut sound, mut runs) = (0, 0);
    for bytes in &samples {
        for n in 0..60 {
            let mut bytes = bytes.clone();
            for _ in 0..=random() % 4 {
                // The tables are at the ends of the files, the runs before them.
                let near = if n % 2 == 0 { bytes.len() } else { 10_000.min(bytes.len()) };
                let at = bytes.len() - 1 - random() as usize % near;
                bytes[at] = random() as u8;
            }
            runs += 1;
            sound += usize::from(survive(&write(dir.path(), "flipped.dmg", &bytes)));
        }
    }
    assert!(sound > 0 && sound < runs, "{sound} of {runs}");
}

fn mish(runs: &[(u32, u64, u64, u64, u64)]) -> Vec<u8> {
    let mut out = b"mish".to_vec();
    out.extend(1u32.to_be_bytes());
    for word in [0u64, 512, 0] {
        out.extend(word.to_be_bytes());
    }
    out.resize(200, 0);
    out.extend((runs.len() as u32).to_be_bytes());
    for (kind, start, count, at, len) in runs {
        out.extend(kind.to_be_bytes());
        out.extend(0u32.to_be_bytes());
        for word in [start, count, at, len] {
            out.extend(word.to_be_bytes());
        }
    }
    out
}

/// A disk image of one table.
fn dmg(data: &[u8], runs: &[(u32, u64, u64, u64, u64)], segments: u32) -> Vec<u8> {
    let mut table = plist::Dictionary::new();
    table.insert("Data".into(), plist::Value::Data(mish(runs)));
    let mut fork = plist::Dictionary::new();
    fork.insert("blkx".into(), plist::Value::Array(vec![plist::Value::Dictionary(table)]));
    let mut top = plist::Dictionary::new();
    top.insert("resource-fork".into(), plist::Value::Dictionary(fork));
    let mut xml = Vec::new();
    plist::Value::Dictionary(top).to_writer_xml(&mut xml).unwrap();
    let mut trailer = vec![0; 512];
    trailer[..4].copy_from_slice(b"koly");
    trailer[60..64].copy_from_slice(&segments.to_be_bytes());
    trailer[216..224].copy_from_slice(&(data.len() as u64).to_be_bytes());
    trailer[224..232].copy_from_slice(&(xml.len() as u64).to_be_bytes());
    trailer[492..500].copy_from_slice(&1024u64.to_be_bytes());
    [data, &xml, &trailer].concat()
}

/// An xz stream of so many LZMA2 chunks that claim 2 MiB each.
fn claims(chunks: usize) -> Vec<u8> {
    let mut out = b"\xFD7zXZ\0\0\0\xFF\x12\xD9\x41".to_vec();
    out.extend([2, 0, 0x21, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    for _ in 0..chunks {
        out.extend([0xFF, 0xFF, 0xFF, 0, 7, 0x5D]);
        out.extend([0; 8]);
    }
    out.extend([0; 16]);
    out
}

#[test]
fn tables_that_lie_are_damage() {
    let dir = tempfile::tempdir().unwrap();
    let opened = |bytes: &[u8]| Disk::open(&write(dir.path(), "made.dmg", bytes)).unwrap();
    let damaged = |runs: &[_]| {
        let disk = opened(&dmg(&[7; 4096], runs, 1));
        assert!(matches!(disk.locked(), Some(Locked::Damaged(_))), "{runs:?}");
    };
    damaged(&[(1, 0, 4, 0, 2048), (1, 3, 4, 0, 2048)]);
    damaged(&[(1, 0, 1024, 0, 4096)]);
    damaged(&[(0x8000_0005, 0, 1, u64::MAX, 512)]);
    damaged(&[(0x8000_0005, 0, 1 << 40, 0, 512)]);
    damaged(&[(1, u64::MAX, 2, 0, 1024)]);
    let segment = opened(&dmg(&[7; 4096], &[(1, 0, 8, 0, 4096)], 3));
    assert!(
        matches!(segment.locked(), Some(Locked::Unsupported(text)) if text.contains("one of 3"))
    );
    let odd = opened(&dmg(&[7; 4096], &[(0x8000_0099, 0, 1, 0, 1)], 1));
    assert!(matches!(odd.bytes(), Err(Error::Unsupported(_))));
}

/// 2,000 chunks that claim 4 GiB: measured before a byte is decoded.
#[test]
fn a_run_that_claims_gigabytes_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let stream = claims(2000);
    let runs = [(0x8000_0008, 0, 512, 0, stream.len() as u64)];
    let disk = Disk::open(&write(dir.path(), "bomb.dmg", &dmg(&stream, &runs, 1))).unwrap();
    let error = read_vec(&*disk.bytes().unwrap(), 0, 512).unwrap_err();
    assert!(matches!(error, Error::Corrupt(_)), "{error}");
}

fn bundle(dir: &Path, encryption: Encryption) -> (PathBuf, Vec<u8>) {
    let options = VolumeOptions { size: 12 << 20, ..VolumeOptions::default() };
    let mut builder = VolumeBuilder::new(options);
    let content = Content::Pattern { seed: 9, len: 3 << 20 };
    builder.file(builder.root(), "big.bin", content, Meta::file());
    let image = builder.build().image;
    let path = dir.join("made.sparsebundle");
    let encryption = Some(encryption);
    let options = BundleOptions { band_size: 1 << 20, encryption, ..BundleOptions::default() };
    tools::bundle::write(&image, &path, &options).unwrap();
    (path, image.to_vec())
}

#[test]
fn large_reads_shared_among_cores_are_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let (path, plain) = bundle(dir.path(), Encryption::with_password("pw"));
    let bytes = open(&path, "pw").unwrap().bytes().unwrap();
    let cases =
        [(0, 12 << 20), (1, 700_000), (513, 2 << 20), (1_048_000, 300_001), (131_071, 262_146)];
    for (at, len) in cases {
        let read = read_vec(&*bytes, at, len).unwrap();
        assert!(read == plain[at as usize..at as usize + len], "{len} at {at}");
    }
    // From many threads at once, as a mount reads.
    let bytes = Arc::new(bytes);
    std::thread::scope(|s| {
        for n in 0..8u64 {
            let (bytes, plain) = (bytes.clone(), &plain);
            s.spawn(move || {
                let read = read_vec(&**bytes, n * 1_000_003, 900_000).unwrap();
                assert!(read == plain[n as usize * 1_000_003..][..900_000]);
            });
        }
    });
}

#[test]
fn lost_chunks_are_told_with_their_band_and_partial_ones_are_damage() {
    let dir = tempfile::tempdir().unwrap();
    let (path, _) = bundle(dir.path(), Encryption::with_password("pw"));
    let verify = || {
        let arguments = ["verify", path.to_str().unwrap()];
        let ran = common::tmbundle_with(&[("TMBUNDLE_PASSWORD", "pw")], &arguments);
        (ran.code, ran.out)
    };
    assert_eq!(verify().0, Some(0));
    let band = path.join("bands/0");
    let good = std::fs::read(&band).unwrap();
    let mut holed = good.clone();
    holed[512..1024].fill(0);
    std::fs::write(&band, &holed).unwrap();
    let (_, text) = verify();
    assert!(text.contains("512 bytes of ciphertext at 512 are all zero"), "{text}");
    std::fs::write(&band, &good[..good.len() - 100]).unwrap();
    let bytes = open(&path, "pw").unwrap().bytes().unwrap();
    // 412 of 512 bytes cannot be decrypted: the chunk is as absent as what is behind it.
    let at = good.len() as u64 - 200;
    bytes.presence(at..at + 50, &mut |_, how| assert_eq!(how, Presence::Short)).unwrap();
}

#[test]
fn a_certificate_alone_is_unsupported_and_one_bad_record_does_not_spoil_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let other = KeyRecord::Other { kind: 2, len: 564 };
    let records = vec![other.clone()];
    let (path, _) = bundle(dir.path(), Encryption { records, ..Encryption::with_password("pw") });
    let disk = open(&path, "pw").unwrap();
    assert!(matches!(disk.bytes(), Err(Error::Unsupported(_))));
    common::tmbundle(&["ls", path.to_str().unwrap(), "volume:"]).expect(3, &["password"]);
    std::fs::remove_dir_all(&path).unwrap();

    let records = vec![KeyRecord::Password("old".into()), other, KeyRecord::Password("new".into())];
    let (path, plain) = bundle(dir.path(), Encryption { records, ..Encryption::with_password("") });
    let token = path.join("token");
    let mut bytes = std::fs::read(&token).unwrap();
    let first = bytes.windows(4).position(|w| w == 103u32.to_be_bytes()).unwrap();
    bytes[first + 8..first + 12].fill(0xFF);
    std::fs::write(&token, bytes).unwrap();
    let source = open(&path, "new").unwrap().bytes().unwrap();
    assert!(read_vec(&*source, 0, plain.len()).unwrap() == plain);
    assert!(matches!(open(&path, "old"), Err(Error::WrongPassword(_))));
}

#[test]
fn an_argument_counts_before_the_environment() {
    let dir = tempfile::tempdir().unwrap();
    let (path, _) = bundle(dir.path(), Encryption::with_password("pw"));
    let wrong = write(dir.path(), "wrong", b"nein\n");
    let ls = |args: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tmbundle"));
        command.args(["ls", path.to_str().unwrap(), "volume:"]).args(args);
        command.env("TMBUNDLE_PASSWORD_FILE", &wrong).env("TMBUNDLE_PASSWORD", "nein");
        command.output().unwrap().status.code()
    };
    assert_eq!(ls(&[]), Some(3));
    assert_eq!(ls(&["--password-command", "echo pw"]), Some(0));
    assert_eq!(ls(&["--password-command", "echo pw", "--password-file", "x"]), Some(2));
}
