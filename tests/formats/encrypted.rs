//! Encrypted bundles and images, and every container a Mac wraps a disk in.

use crate::common;

use crate::common::{Ran, sha256};
use std::path::{Path, PathBuf};
use std::process::Command;
use tmbundle::Error;
use tmbundle::disk::{Disk, Locked, Secret};
use tmbundle::io::{ReadAt, read_vec};
use tools::bundle::{BundleOptions, Encryption};
use tools::hfs::{Content, Meta, VolumeBuilder, VolumeOptions};

fn open(path: &Path, password: &str) -> tmbundle::Result<Disk> {
    Disk::open_with(path, &|_| Ok(vec![Secret::new(password.as_bytes().to_vec())]))
}

fn whole(path: &Path, password: &str) -> Vec<u8> {
    let bytes = open(path, password).unwrap().bytes().unwrap();
    read_vec(&*bytes, 0, bytes.len() as usize).unwrap()
}

/// Run the program with a password in its environment.
fn run(password: &str, args: &[&str]) -> Ran {
    common::tmbundle_with(&[("TMBUNDLE_PASSWORD", password)], args)
}

fn images(data: &Path) -> Vec<PathBuf> {
    let mut all = common::files_ending(&data.join("images"), ".dmg");
    all.extend(common::files_ending(&data.join("images"), ".gz").iter().map(|p| common::unpack(p)));
    all
}

fn image(data: &Path, name: &str) -> PathBuf {
    images(data).into_iter().find(|p| p.file_name().unwrap() == name).unwrap()
}

#[test]
fn an_encrypted_bundle_of_apples_reads_to_its_hash() {
    let Some(data) = common::shared_data("an_encrypted_bundle_of_apples_reads_to_its_hash") else {
        return;
    };
    let bundle = common::unpack_bundle(&data.join("bundles/Test1Enc.sparsebundle.tar.gz"));
    let disk = whole(&bundle, "foo");
    assert_eq!(sha256(&disk), "3ee9ad51168c1502eef71d94a5d27bd2f6651e6fcbd68cbeacc84c812af68987");
    // Reads that begin and end within chunks give the same bytes.
    let source = open(&bundle, "foo").unwrap().bytes().unwrap();
    for (at, len) in [(0, 1), (511, 2), (1_048_570, 20), (3_000_001, 5_000), (5_242_879, 1)] {
        assert_eq!(read_vec(&*source, at, len).unwrap(), disk[at as usize..at as usize + len]);
    }
    let path = bundle.to_str().unwrap();
    run("foo", &["ls", path, "volume:"]).expect(0, &["SampleTextFile_100kb copy 10.txt"]);
    run("foo", &["verify", path]).expect(0, &[]);
    run("bar", &["ls", path, "volume:"])
        .expect(3, &["the password does not open Test1Enc.sparsebundle"]);
    common::tmbundle(&["ls", path, "volume:"]).expect(3, &["no password was given", "hint"]);
    common::tmbundle(&["info", path]).expect(0, &["AES-128", "no password was given"]);
    common::tmbundle(&["verify", path]).expect(0, &["contents not checked"]);
    let to = tempfile::tempdir().unwrap();
    run("foo", &["extract", path, "volume:/", "--to", to.path().to_str().unwrap()]).expect(0, &[]);
    let text = std::fs::read(to.path().join("SampleTextFile_100kb copy 10.txt")).unwrap();
    assert_eq!(common::md5(&text), "da0f4249186fe6533ac214e07bccc381");
}

#[test]
fn a_password_from_a_file_or_a_command() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = encrypted(dir.path(), &Encryption::with_password("geheim"), 1);
    let file = dir.path().join("pw");
    std::fs::write(&file, "geheim\n").unwrap();
    let path = bundle.to_str().unwrap();
    let ls = |args: &[&str]| common::tmbundle(&[&["ls", path, "volume:"], args].concat());
    ls(&["--password-file", file.to_str().unwrap()]).expect(0, &["big.bin"]);
    ls(&["--password-command", "echo geheim"]).expect(0, &["big.bin"]);
    ls(&["--password-command", "echo nein"]).expect(3, &["does not open"]);
    ls(&["--password-command", "exit 7"]).expect(2, &["the password command failed"]);
}

#[test]
fn the_small_encrypted_disks_of_2008_open() {
    let Some(data) = common::shared_data("the_small_encrypted_disks_of_2008_open") else { return };
    let mut disks = Vec::new();
    for gz in common::files_ending(&data.join("bundles"), ".tar.gz") {
        if gz.to_str().unwrap().contains("vilefault") {
            disks.push(common::unpack_bundle(&gz));
        }
    }
    disks.extend(images(&data).into_iter().filter(|p| p.to_str().unwrap().contains("testimage")));
    assert_eq!(disks.len(), 8);
    for path in disks {
        let disk = whole(&path, "vilefault");
        assert_eq!(&disk[512..520], b"EFI PART", "{path:?}");
        assert!(matches!(open(&path, "wrong"), Err(Error::WrongPassword(_))), "{path:?}");
        assert!(matches!(Disk::open(&path).unwrap().locked(), Some(Locked::NoPassword)));
    }
}

#[test]
fn every_container_opens_and_reads() {
    let Some(data) = common::shared_data("every_container_opens_and_reads") else { return };
    for (name, password) in [
        ("HFS+-UDBZ-openwall-data.dmg", "openwall"),
        ("HFS+-UDRW-openwall-data.dmg", "openwall"),
        ("HFS+-UDZO-password-data.dmg", "password"),
    ] {
        let ran = Command::new(env!("CARGO_BIN_EXE_tmbundle"))
            .env("XDG_STATE_HOME", common::state_home())
            .args(["cat", image(&data, name).to_str().unwrap(), "volume:/test.txt"])
            .env("TMBUNDLE_PASSWORD", password)
            .output()
            .unwrap();
        assert_eq!(common::md5(&ran.stdout), "d8e8fca2dc0f896fd7cb4cb0031ba249", "{name}: {ran:?}");
    }
    let basic = whole(&image(&data, "hfs-basic.dmg"), "");
    assert_eq!(sha256(&basic), "901cb5b1491cfd7c9728e369857d0cd6d266df7b9e1c44a6b3951b5b6006bcab");
    // Made one by one, they differ in identifiers and dates, but not in what they hold.
    let five: Vec<Vec<String>> = ["adc", "bzip2", "lzfse", "lzma", "zlib"]
        .iter()
        .map(|codec| contents(&image(&data, &format!("hfsplus_{codec}.dmg"))))
        .collect();
    assert!(five[0].len() >= 16 && five.iter().all(|c| *c == five[0]), "{five:#?}");
    let sparse = image(&data, "aj_sparse.sparseimage");
    common::tmbundle(&["verify", "-v", sparse.to_str().unwrap()])
        .expect(0, &["HFS+", "No damage."]);
    let apfs = image(&data, "input_aes256.dmg");
    // An APFS volume named "empty", which it is.
    run("test123", &["info", apfs.to_str().unwrap()]).expect(0, &["'empty'", "0 files"]);
    run("test123", &["ls", apfs.to_str().unwrap(), "volume:"]).expect(0, &[]);
    let verified = run("test123", &["verify", "-v", apfs.to_str().unwrap()]);
    verified.expect(0, &["container   ok", "No damage."]);
    assert!(!verified.out.contains("not checked"), "{verified:#?}");
}

/// Path, kind, size and hash of everything on an image.
fn contents(path: &Path) -> Vec<String> {
    use tmbundle::fs::{Kind, Step, Stream, walk};
    let fs = common::manifest::open(path);
    let root = fs.metadata(fs.root()).unwrap();
    let mut all = Vec::new();
    let mut visit = |e: tmbundle::fs::Entry<'_>| {
        let meta = e.entry.node.as_ref().unwrap();
        // What fseventsd wrote differs from one making to the next.
        if e.path.starts_with(".fseventsd") {
            return Ok(Step::Over);
        }
        let bytes = match meta.kind {
            Kind::File => {
                let source = fs.open(meta.id, &Stream::Data)?;
                read_vec(&*source, 0, source.len() as usize)?
            }
            _ => Vec::new(),
        };
        all.push(format!("{} {:o} {} {}", e.path, meta.mode, meta.size, sha256(&bytes)));
        Ok(Step::Into)
    };
    walk(&*fs, &root, &mut visit, &mut |path, e| panic!("{path}: {e}")).unwrap();
    all
}

/// A volume with 3 MiB of a pattern in an encrypted bundle; its path.
fn encrypted(dir: &Path, how: &Encryption, version: u8) -> PathBuf {
    let (bundle, _) = encrypted_and_plain(dir, how, version);
    bundle
}

fn encrypted_and_plain(dir: &Path, how: &Encryption, version: u8) -> (PathBuf, Vec<u8>) {
    let options = VolumeOptions { size: 12 << 20, ..VolumeOptions::default() };
    let mut builder = VolumeBuilder::new(options);
    let content = Content::Pattern { seed: 9, len: 3 << 20 };
    builder.file(builder.root(), "big.bin", content, Meta::file());
    let image = builder.build().image;
    let path = dir.join(format!("{}-{}-{version}.sparsebundle", how.key_bits, how.chunk));
    let options = BundleOptions {
        band_size: 1 << 20,
        version,
        mapped: version == 2,
        encryption: Some(how.clone()),
        ..BundleOptions::default()
    };
    tools::bundle::write(&image, &path, &options).unwrap();
    (path, image.to_vec())
}

#[test]
fn what_our_writer_encrypts_reads_as_it_was() {
    use tools::bundle::{KeyRecord, Numbering};
    let dir = tempfile::tempdir().unwrap();
    for key_bits in [128, 256] {
        for chunk in [512, 4096] {
            for (numbering, version) in
                [(Numbering::Band, 1), (Numbering::Band, 2), (Numbering::Device, 2)]
            {
                let how = Encryption {
                    key_bits,
                    chunk,
                    numbering,
                    records: vec![
                        KeyRecord::Password("another".into()),
                        KeyRecord::Password("pässword".into()),
                    ],
                    ..Encryption::with_password("")
                };
                let (path, plain) = encrypted_and_plain(dir.path(), &how, version);
                // The second record opens, with the composed or the decomposed form.
                for password in ["pässword", "pa\u{308}ssword", "another"] {
                    assert!(
                        whole(&path, password) == plain,
                        "{key_bits} {chunk} {numbering:?} {password}"
                    );
                }
                std::fs::remove_dir_all(&path).unwrap();
            }
        }
    }
}

#[test]
fn damaged_headers_are_told_from_wrong_passwords() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = encrypted(dir.path(), &Encryption::with_password("pw"), 1);
    let token = bundle.join("token");
    let good = std::fs::read(&token).unwrap();
    let record = good.windows(4).position(|w| w == 103u32.to_be_bytes()).unwrap();
    let with = |at: usize, value: u32| {
        let mut bytes = good.clone();
        bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
        std::fs::write(&token, bytes).unwrap();
        run("pw", &["verify", bundle.to_str().unwrap()])
    };
    with(record + 8, u32::MAX).expect(1, &["TOKEN-DAMAGED", "rounds of the password function"]);
    // A password that opens nothing is no success; without one it is as any other.
    with(20, 7).expect(3, &["not known", "not checked", "cannot be tried"]);
    common::tmbundle(&["verify", bundle.to_str().unwrap()])
        .expect(0, &["not known", "not checked"]);
    with(52, 3).expect(1, &["TOKEN-DAMAGED", "chunks of 3 bytes"]);
    std::fs::write(&token, &good[..60]).unwrap();
    run("pw", &["verify", bundle.to_str().unwrap()]).expect(1, &["TOKEN-DAMAGED"]);
    run("pw", &["ls", bundle.to_str().unwrap(), "volume:"]).expect(1, &["encryption header"]);
    std::fs::write(&token, b"garbage").unwrap();
    run("pw", &["verify", bundle.to_str().unwrap()]).expect(1, &["BUNDLE-TOKEN-UNKNOWN"]);
    std::fs::write(&token, &good).unwrap();
    run("pw", &["verify", bundle.to_str().unwrap()]).expect(0, &[]);
    run("px", &["verify", bundle.to_str().unwrap()]).expect(3, &["does not open"]);
}

#[test]
fn zeroed_ciphertext_is_a_finding() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = encrypted(dir.path(), &Encryption::with_password("pw"), 1);
    let band = bundle.join("bands/0");
    let mut bytes = std::fs::read(&band).unwrap();
    bytes[0..512].fill(0);
    std::fs::write(&band, bytes).unwrap();
    run("pw", &["verify", bundle.to_str().unwrap()]).expect(0, &["CHUNK-ZERO"]);
}

#[test]
fn a_token_that_is_gone_is_told_from_a_disk_that_was_never_formatted() {
    let dir = tempfile::tempdir().unwrap();
    let path = encrypted(dir.path(), &Encryption::with_password("pw"), 2);
    let verify = || common::tmbundle(&["verify", path.to_str().unwrap()]);
    std::fs::write(path.join("token"), b"").unwrap();
    verify().expect(1, &["TOKEN-LOST", "look encrypted"]);
    std::fs::remove_file(path.join("token")).unwrap();
    verify().expect(1, &["TOKEN-LOST", "BUNDLE-TOKEN-MISSING"]);
    // Zeros are no ciphertext.
    for band in std::fs::read_dir(path.join("bands")).unwrap() {
        let band = band.unwrap().path();
        std::fs::write(&band, vec![0; 1 << 20]).unwrap();
    }
    let ran = verify();
    assert!(!ran.out.contains("TOKEN-LOST") && ran.code == Some(1), "{ran:#?}");
}
