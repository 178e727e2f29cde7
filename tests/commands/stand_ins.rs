//! Files that stand beside a band or the token and may be what is lost: named with the loss,
//! tried before anything is repaired, and never to be removed.

use super::broken_bundles::Demo;
use crate::common::tmbundle;

#[test]
fn a_lost_bands_other_names_are_told_with_the_loss() {
    for name in [
        "9.partial",
        ".9.Xk3vTq",
        "9 (1)",
        "9 2",
        "9_conflict-20240101-101010",
        "9 (Anna's conflicted copy 2024-01-01)",
        "9.sync-conflict-20240101-101010-ABCDEFG",
        "9~",
        "9.bak",
        ".syncthing.9.tmp",
        "9.nextcloud",
    ] {
        let demo = Demo::new();
        std::fs::rename(demo.at("bands/9"), demo.at(&format!("bands/{name}"))).unwrap();
        let found = demo.one("BAND-LOST");
        let message = found["message"].as_str().unwrap();
        assert!(message.contains(&format!("bands/{name}")), "{message}");
        assert!(found["remedy"].as_str().unwrap().contains("the file that is named"), "{found:#}");
        demo.nothing_to_remove();
        let said = tmbundle(&["verify", demo.str()]).out;
        assert!(!said.contains("the rest read as zeros"), "{said}");
    }
    // A whole folder of bands.
    let demo = Demo::new();
    std::fs::create_dir(demo.at("bands 2")).unwrap();
    std::fs::rename(demo.at("bands/9"), demo.at("bands 2/9")).unwrap();
    assert!(demo.one("BAND-LOST")["message"].as_str().unwrap().contains("bands 2/9"));
    demo.nothing_to_remove();
}

#[test]
fn a_band_that_was_cut_is_told_with_what_may_hold_the_rest() {
    let demo = Demo::new();
    std::fs::copy(demo.at("bands/9"), demo.at("bands/9~")).unwrap();
    let band = std::fs::File::options().write(true).open(demo.at("bands/9")).unwrap();
    band.set_len(4096).unwrap();
    let found = demo.one("BAND-LOST");
    assert!(found["message"].as_str().unwrap().contains("bands/9~"), "{found:#}");
    assert!(found["remedy"].as_str().unwrap().contains("the file that is named"), "{found:#}");
    demo.nothing_to_remove();
}

/// A repair of what a conflict of copies has damaged would destroy what the good one fits.
#[test]
fn a_damaged_band_with_another_version_beside_it_is_not_to_be_repaired_first() {
    let demo = Demo::new();
    std::fs::copy(demo.at("bands/8"), demo.at("bands/8~")).unwrap();
    let mut bytes = std::fs::read(demo.at("bands/8")).unwrap();
    // The catalog's header node.
    bytes[0x50000..0x50010].fill(b'X');
    std::fs::write(demo.at("bands/8"), bytes).unwrap();
    let found = demo.one("HFS-BTREE-HEADER");
    assert!(found["message"].as_str().unwrap().contains("bands/8~"), "{found:#}");
    let remedy = found["remedy"].as_str().unwrap();
    assert!(remedy.starts_with("Try the file that is named first"), "{found:#}");
    // Contents too: nobody but the checksum knows which one is good.
    let demo = Demo::new();
    std::fs::copy(demo.at("bands/9"), demo.at("bands/9.sync-conflict-20240101")).unwrap();
    let mut bytes = std::fs::read(demo.at("bands/9")).unwrap();
    // Where a file begins that has a checksum: what its first words are tells.
    let diary = bytes.windows(25).position(|w| w == b"in kept was a in a was ba").unwrap();
    bytes[diary] ^= 1;
    std::fs::write(demo.at("bands/9"), bytes).unwrap();
    let ran = tmbundle(&["verify", "--read-data", demo.str()]);
    let named = "'bands/9.sync-conflict-20240101' may hold what is missing";
    ran.expect(1, &["FILE-CHECKSUM", named, "→ Try the file that is named first"]);
    // And of no other: the file lies in no band 8.
    std::fs::copy(demo.at("bands/8"), demo.at("bands/8~")).unwrap();
    let ran = tmbundle(&["verify", "--read-data", demo.str()]);
    assert!(!ran.expect(1, &[named]).out.contains("'bands/8~' may"), "{ran:#?}");
}

#[test]
fn two_versions_of_a_band_are_a_warning() {
    let demo = Demo::new();
    let conflict = demo.at("bands/9.sync-conflict-20240101");
    std::fs::copy(demo.at("bands/9"), &conflict).unwrap();
    assert_eq!(demo.one("BAND-VERSIONS")["severity"], "warning");
    // Whole or not.
    std::fs::File::options().write(true).open(conflict).unwrap().set_len(5000).unwrap();
    assert_eq!(demo.one("BAND-VERSIONS")["severity"], "warning");
    std::fs::create_dir(demo.at("bands 2")).unwrap();
    for band in ["0", "8"] {
        let from = demo.at(&format!("bands/{band}"));
        std::fs::copy(from, demo.at(&format!("bands 2/{band}"))).unwrap();
    }
    let all = demo.findings();
    let told = all.iter().any(|f| {
        f["code"] == "BAND-VERSIONS" && f["message"].as_str().unwrap().contains("2 bands")
    });
    assert!(told, "{all:#?}");
    demo.nothing_to_remove();
}

#[test]
fn a_file_with_the_keys_is_named_where_the_token_is_empty() {
    let demo = Demo::new();
    let header = [b"encrcdsa".to_vec(), vec![0; 1000]].concat();
    std::fs::write(demo.at("token.bkp"), &header).unwrap();
    std::fs::write(demo.at("token"), b"").unwrap();
    let lost = demo.one("TOKEN-LOST");
    assert!(lost["message"].as_str().unwrap().contains("token.bkp"), "{lost:#}");
    assert!(lost["remedy"].as_str().unwrap().contains("the file that is named"), "{lost:#}");
    demo.nothing_to_remove();
    // One folder down, too; and beside a token that is whole.
    std::fs::create_dir(demo.at("old")).unwrap();
    std::fs::rename(demo.at("token.bkp"), demo.at("old/keys")).unwrap();
    assert!(demo.one("TOKEN-LOST")["message"].as_str().unwrap().contains("old/keys"));
}
