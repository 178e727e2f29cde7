//! Encrypted bundles whose keys are lost, are another's, or have nothing to begin with.

use crate::common::tmbundle;
use std::path::{Path, PathBuf};
#[cfg(feature = "mount")]
use std::process::Command;

/// A small encrypted bundle; `seed` chooses its keys.
fn encrypted(dir: &Path, seed: u64) -> PathBuf {
    use tools::bundle::{BundleOptions, Encryption, write};
    use tools::hfs::{Content, Meta, VolumeBuilder, VolumeOptions};
    let options = VolumeOptions { size: 8 << 20, ..VolumeOptions::default() };
    let mut volume = VolumeBuilder::new(options);
    let root = volume.root();
    volume.file(root, "file", Content::Bytes(vec![7; 3 << 20]), Meta::file());
    let (disk, _) = tools::partition::Gpt::default().wrap(&volume.build().image);
    let path = dir.join(format!("Mac{seed}.sparsebundle"));
    let encryption = Encryption { seed, ..Encryption::with_password("pw") };
    let options = BundleOptions {
        band_size: 1 << 20,
        encryption: Some(encryption),
        ..BundleOptions::default()
    };
    write(&disk, &path, &options).unwrap();
    path
}

#[test]
fn a_token_of_other_bands_is_told_from_a_lost_volume() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (encrypted(dir.path(), 1), encrypted(dir.path(), 2));
    let verify = |path: &Path| {
        let args = ["verify", "--all", "--verbose", path.to_str().unwrap()];
        crate::common::tmbundle_with(&[("TMBUNDLE_PASSWORD", "pw")], &args)
    };
    verify(&one).expect(0, &[]);
    // Another header beside it is told, and is no fault.
    std::fs::copy(other.join("token"), one.join("token.old")).unwrap();
    verify(&one).expect(0, &["TOKEN-STRAY", "token.old"]);
    std::fs::copy(other.join("token"), one.join("token")).unwrap();
    verify(&one).expect(1, &["TOKEN-FOREIGN", "does not fit these bands"]);
}

/// What every command says of a bundle whose keys do not help.
fn keys_do_not_help(bundle: &Path, code: &str, words: &[&str]) {
    let password = [("TMBUNDLE_PASSWORD", "pw")];
    let (path, out) = (bundle.to_str().unwrap(), bundle.with_extension("out"));
    let run = |args: &[&str]| crate::common::tmbundle_with(&password, args);
    run(&["info", path]).expect(1, &[&["contents", "encrypted     "], words].concat());
    for address in ["ls", "cat"] {
        run(&[address, path, "volume:/file"]).expect(1, words);
    }
    run(&["ls", "--salvage", path]).expect(1, words);
    run(&["snapshots", path]).expect(1, words);
    run(&["extract", path, "volume:/", "--to", out.to_str().unwrap()]).expect(1, words);
    #[cfg(feature = "mount")]
    {
        std::fs::create_dir_all(&out).unwrap();
        let ran = run(&["mount", path, out.to_str().unwrap()]);
        if ran.code == Some(0) {
            let _ = Command::new("umount").arg(&out).status();
        }
        ran.expect(1, words);
    }
    let ran = run(&["verify", "--all", path]);
    ran.expect(1, &[&[code, "contents not checked"], words].concat());
    assert!(!ran.out.contains("VOLUME-NONE"), "{ran:#?}");
    assert!(!run(&["info", path]).out.contains("encrypted     no"));
}

#[test]
fn keys_that_are_lost_or_of_other_bands_are_told_by_every_command() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (encrypted(dir.path(), 1), encrypted(dir.path(), 2));
    std::fs::rename(one.join("token"), one.join("token.bkp")).unwrap();
    std::fs::write(one.join("token"), "").unwrap();
    keys_do_not_help(&one, "TOKEN-LOST", &["empty", "token.bkp"]);
    std::fs::remove_file(one.join("token")).unwrap();
    keys_do_not_help(&one, "TOKEN-LOST", &["missing", "token.bkp"]);
    std::fs::copy(other.join("token"), one.join("token")).unwrap();
    keys_do_not_help(&one, "TOKEN-FOREIGN", &["does not fit these bands", "token.bkp"]);
    // Its first bands are gone, and no other header is there.
    std::fs::remove_file(one.join("token.bkp")).unwrap();
    std::fs::write(one.join("token"), "").unwrap();
    std::fs::remove_file(one.join("bands/0")).unwrap();
    keys_do_not_help(&one, "TOKEN-LOST", &["the bands look encrypted"]);
}

#[test]
fn the_first_band_of_an_encrypted_bundle_is_missed_without_the_password() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = encrypted(dir.path(), 1);
    let path = bundle.to_str().unwrap();
    tmbundle(&["verify", path]).expect(0, &["contents not checked"]);
    std::fs::rename(bundle.join("bands/0"), bundle.join("bands/0 2")).unwrap();
    tmbundle(&["verify", path]).expect(1, &["BAND-LOST", "band 0 is missing", "'bands/0 2'"]);
    std::fs::remove_file(bundle.join("bands/0 2")).unwrap();
    tmbundle(&["verify", path]).expect(1, &["BAND-LOST", "band 0 is missing"]);
}

/// A bundle whose keys are wrapped with AES, as macOS of 2026 does.
fn wrapped_with_aes(dir: &Path, bits: u32) -> PathBuf {
    use tools::bundle::{BundleOptions, Encryption, KeyRecord, write};
    let encryption = Encryption {
        key_bits: bits,
        records: vec![KeyRecord::PasswordByAes("pw".into())],
        ..Encryption::with_password("")
    };
    let path = dir.join(format!("Mac{bits}.sparsebundle"));
    let image = tools::samples::sample("basic").unwrap().build().image;
    let options = BundleOptions { encryption: Some(encryption), ..BundleOptions::default() };
    write(&image, &path, &options).unwrap();
    path
}

#[test]
fn keys_wrapped_with_aes_open_the_bundle() {
    let dir = tempfile::tempdir().unwrap();
    for bits in [128, 256] {
        let bundle = wrapped_with_aes(dir.path(), bits);
        let path = bundle.to_str().unwrap();
        let run = |password, args: &[&str]| {
            crate::common::tmbundle_with(&[("TMBUNDLE_PASSWORD", password)], args)
        };
        let cipher = format!("AES-{bits}");
        run("pw", &["verify", "-v", path]).expect(0, &["encryption  ok", &cipher, "No damage."]);
        run("pw", &["ls", path, "volume:"]).expect(0, &[]);
        run("no", &["verify", path]).expect(3, &["PASSWORD-WRONG"]);
    }
}

/// The token, its bytes, and the place of its only key record: at 80 in the header.
fn key_record(bundle: &Path) -> (PathBuf, Vec<u8>, usize) {
    let token = bundle.join("token");
    let bytes = std::fs::read(&token).unwrap();
    let at = u64::from_be_bytes(bytes[80..88].try_into().unwrap()) as usize;
    (token, bytes, at)
}

/// Whatever else is unknown is named by its numbers, beside the cipher that is known, and is
/// never called checked; with a password it is no success.
#[test]
fn an_unknown_way_to_wrap_keys_is_named_by_its_numbers_and_not_ok() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = wrapped_with_aes(dir.path(), 128);
    let path = bundle.to_str().unwrap();
    let (token, whole, at) = key_record(&bundle);
    for (field, value, said) in [(88, 0x8000_0002u32, "0x80000002"), (96, 9, "mode 9")] {
        let mut bytes = whole.clone();
        bytes[at + field..at + field + 4].copy_from_slice(&value.to_be_bytes());
        std::fs::write(&token, bytes).unwrap();
        let with =
            |args: &[&str]| crate::common::tmbundle_with(&[("TMBUNDLE_PASSWORD", "pw")], args);
        let verify = with(&["verify", "-v", path]);
        verify.expect(3, &["PASSWORD-WRONG", "cannot be tried", "→ See whether a newer"]);
        assert!(verify.out.contains(said) && !verify.out.contains("encryption  ok"), "{verify:#?}");
        let json: serde_json::Value =
            serde_json::from_str(&with(&["verify", "--json", path]).out).unwrap();
        let source = &json["sources"][0];
        assert!(source["verdict"] != "ok" && source["unchecked"] == true, "{source:#}");
        let info = with(&["info", path]);
        assert_eq!(info.code, Some(3), "{info:#?}");
        assert_eq!(tmbundle(&["info", path]).code, Some(0));
        assert!(info.out.contains("AES-128") && info.out.contains(said), "{info:#?}");
        // Without one it is like any other that nobody gave a password for.
        let without = tmbundle(&["verify", path]);
        assert_eq!(without.code, Some(0), "{without:#?}");
        without.expect(0, &["not checked"]);
        assert_ne!(with(&["ls", path, "volume:"]).code, Some(0));
    }
}

#[test]
fn a_damaged_field_of_the_token_leaves_the_ciphers_name() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = encrypted(dir.path(), 1);
    let (path, token) = (bundle.to_str().unwrap(), bundle.join("token"));
    // The size of the chunks, at 52 in the header.
    let mut bytes = std::fs::read(&token).unwrap();
    bytes[52..56].copy_from_slice(&768u32.to_be_bytes());
    std::fs::write(token, bytes).unwrap();
    tmbundle(&["info", path]).expect(1, &["encrypted     AES-", "TOKEN-DAMAGED", "768"]);
}

/// Keys that are zeros are lost, whatever the header before them says; the right password would
/// be of no help.
#[test]
fn a_token_without_its_key_records_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = encrypted(dir.path(), 1);
    let path = bundle.to_str().unwrap();
    let (token, whole, place) = key_record(&bundle);
    // All that follows the header; the table of the records only; a record only.
    for lost in [76..whole.len(), 76..96, place..whole.len()] {
        let mut bytes = whole.clone();
        bytes[lost.clone()].fill(0);
        std::fs::write(&token, bytes).unwrap();
        for password in [&[][..], &[("TMBUNDLE_PASSWORD", "pw")]] {
            let ran = crate::common::tmbundle_with(password, &["verify", path]);
            let advice = "Restore the token from another copy of the bundle";
            ran.expect(1, &["DAMAGE", "TOKEN-DAMAGED", advice]);
            assert!(!ran.out.contains("Give the password"), "{lost:?} {ran:#?}");
        }
    }
    // A record of a kind that takes no password, as of a certificate, may be sound.
    let mut bytes = whole.clone();
    bytes[76..80].copy_from_slice(&2u32.to_be_bytes());
    std::fs::write(&token, bytes).unwrap();
    tmbundle(&["verify", path]).expect(0, &["none of its 1 key records takes a password"]);
}
