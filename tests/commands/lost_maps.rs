//! Disks whose partition map or property lists are lost: the volume is found where it lies.

use crate::common::{sha256, tmbundle, tmbundle_with};
use std::path::{Path, PathBuf};
use tools::Image;
use tools::bundle::{BundleOptions, Encryption, write};
use tools::hfs::{Content, Meta, VolumeBuilder, VolumeOptions};

/// A file of the samples and the hash of what went in.
struct Known {
    address: &'static str,
    hash: String,
}

fn reads(source: &Path, known: &Known) {
    let source = source.to_str().unwrap();
    tmbundle(&["ls", source, "volume:/"]).expect(0, &[]);
    let to = tempfile::tempdir().unwrap();
    let args = ["extract", source, known.address, "--to", to.path().to_str().unwrap()];
    tmbundle(&args).expect(0, &["1 file"]);
    let name = known.address.rsplit('/').next().unwrap();
    assert_eq!(sha256(&std::fs::read(to.path().join(name)).unwrap()), known.hash);
}

fn noise(len: u32) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

fn hfs(options: VolumeOptions) -> (Vec<u8>, Known) {
    let mut volume = VolumeBuilder::new(options);
    let (root, bytes) = (volume.root(), noise(300_000));
    let hash = sha256(&bytes);
    volume.file(root, "noise", Content::Bytes(bytes), Meta::file());
    (volume.build().image.to_vec(), Known { address: "volume:/noise", hash })
}

fn apfs() -> Vec<u8> {
    tools::apfs::samples::sample("basic").unwrap().image.to_vec()
}

/// `before` bytes of zeros, a volume, `behind` bytes of zeros.
fn placed(dir: &Path, before: usize, volume: &[u8], behind: usize) -> PathBuf {
    let path = dir.join("lost.img");
    std::fs::write(&path, [&vec![0; before], volume, &vec![0; behind]].concat()).unwrap();
    path
}

#[test]
fn an_hfs_volume_up_to_the_end_of_the_image_is_found_wherever_it_begins() {
    let dir = tempfile::tempdir().unwrap();
    let odd =
        VolumeOptions { block_size: 1024, size: (32 << 20) + 512, ..VolumeOptions::default() };
    for options in [VolumeOptions::default(), odd] {
        let (mut volume, known) = hfs(options);
        for before in [20_480, 512, 7 * 4096, 3 << 20] {
            let image = placed(dir.path(), before, &volume, 0);
            reads(&image, &known);
            let ran = tmbundle(&["verify", image.to_str().unwrap()]);
            ran.expect(1, &["PART-SEARCHED", &format!("byte {before}")]);
            assert!(!ran.out.contains("HFS-HEADER"), "{ran:#?}");
        }
        // Its first header lost, too.
        volume[1024..1536].fill(0);
        reads(&placed(dir.path(), 20_480, &volume, 0), &known);
    }
}

#[test]
fn a_copy_of_a_containers_superblock_is_not_taken_for_its_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let mut volume = apfs();
    let list = |image: &Path| {
        let ran = tmbundle(&["ls", "-lR", image.to_str().unwrap(), "volume:/"]);
        ran.expect(0, &["letter.txt"]);
        ran.out
    };
    let whole = list(&placed(dir.path(), 0, &volume, 0));
    for (before, behind) in [(4096, 2 << 20), (8192, 0), (12_288, 1 << 20), (5 * 512, 0)] {
        let image = placed(dir.path(), before, &volume, behind);
        assert_eq!(list(&image), whole, "{before}");
        let ran = tmbundle(&["verify", image.to_str().unwrap()]);
        ran.expect(1, &["PART-SEARCHED", &format!("at byte {before}")]);
    }
    volume[..4096].fill(0);
    for before in [20_480, 4096, 0] {
        assert_eq!(list(&placed(dir.path(), before, &volume, 1 << 20)), whole, "block 0 lost");
    }
    let ran = tmbundle(&["verify", placed(dir.path(), 0, &volume, 0).to_str().unwrap()]);
    ran.expect(1, &["APFS-CHECKPOINT", "block 0 is lost"]);
    assert!(!ran.out.contains("PART-SEARCHED") && !ran.out.contains("band"), "{ran:#?}");
}

#[test]
fn what_is_salvaged_of_a_container_is_all_of_it_or_no_success() {
    const PIECE: usize = 256 << 10;
    let dir = tempfile::tempdir().unwrap();
    let whole = apfs();
    let list = |bytes: &[u8]| {
        let image = placed(dir.path(), 0, bytes, 0);
        tmbundle(&["ls", "-lR", "--salvage", image.to_str().unwrap(), "volume:/"])
    };
    let all = list(&whole);
    all.expect(0, &["letter.txt"]);
    let mut hurt = 0;
    for from in (0..whole.len()).step_by(PIECE) {
        let piece = from..from + PIECE;
        if whole[piece.clone()].iter().all(|b| *b == 0) {
            continue;
        }
        let mut lost = whole.clone();
        lost[piece].fill(0);
        let ran = list(&lost);
        hurt += u32::from(ran.code != Some(0));
        assert!(ran.code != Some(0) || ran.out == all.out, "lost from byte {from}: {ran:#?}");
    }
    assert!(hurt > 0);
}

/// A bundle of a volume of noise.
fn bundle(dir: &Path, encryption: Option<Encryption>) -> (PathBuf, Known) {
    let (volume, known) = hfs(VolumeOptions::default());
    let (disk, _) = tools::partition::Gpt::default().wrap(&Image::from_bytes(&volume));
    let path = dir.join("Mac.sparsebundle");
    let options = BundleOptions { band_size: 1 << 20, encryption, ..BundleOptions::default() };
    write(&disk, &path, &options).unwrap();
    (path, known)
}

#[test]
fn a_disk_ends_where_its_last_band_ends() {
    let dir = tempfile::tempdir().unwrap();
    let (volume, known) = hfs(VolumeOptions::default());
    // Without a map, and more behind the volume than its blocks.
    let disk = Image::from_bytes(&[volume, vec![1; 2560]].concat());
    let path = dir.path().join("Mac.sparsebundle");
    let options = BundleOptions { band_size: 1 << 20, ..BundleOptions::default() };
    write(&disk, &path, &options).unwrap();
    for name in ["Info.plist", "Info.bckup"] {
        std::fs::write(path.join(name), b"").unwrap();
    }
    reads(&path, &known);
    let ran = tmbundle(&["info", path.to_str().unwrap(), "--json"]);
    let info: serde_json::Value = serde_json::from_str(&ran.expect(0, &[]).out).unwrap();
    assert_eq!(info["size"], disk.len(), "{info:#}");
}

#[test]
fn a_token_with_an_impossible_chunk_costs_what_needs_it_and_no_more() {
    for chunk in [768u32, 1536, 3 << 18] {
        let dir = tempfile::tempdir().unwrap();
        let (path, _) = bundle(dir.path(), Some(Encryption::with_password("pw")));
        let mut token = std::fs::read(path.join("token")).unwrap();
        token[52..56].copy_from_slice(&chunk.to_be_bytes());
        std::fs::write(path.join("token"), token).unwrap();
        std::fs::write(path.join("bands/zz"), b"stray").unwrap();
        let args = ["verify", "--all", path.to_str().unwrap()];
        let ran = tmbundle_with(&[("TMBUNDLE_PASSWORD", "pw")], &args);
        ran.expect(1, &["TOKEN-DAMAGED", "BAND-STRAY", &chunk.to_string()]);
    }
}
