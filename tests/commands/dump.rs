//! `tmbundle debug dump`: what a structure's fields say is what the writer put there. What is
//! printed of the demonstration bundles, word for word, is in `tests/golden/dump.txt`.

use crate::common::tmbundle;
use tools::bundle::{BundleOptions, Encryption};
use tools::hfs::{Meta, VolumeBuilder, VolumeOptions};

/// The value of a field.
fn value<'a>(text: &'a str, field: &str) -> &'a str {
    let mut lines = text.lines().filter_map(|line| {
        let (_, rest) = line.trim_start().split_once("  ")?;
        let rest = rest.strip_prefix(field)?;
        rest.starts_with(' ').then(|| rest.trim())
    });
    lines.next().unwrap_or_else(|| panic!("no field {field} in\n{text}"))
}

#[test]
fn a_token_is_shown_without_its_keys() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("Secret.sparsebundle");
    let how = Encryption { iterations: 1234, ..Encryption::with_password("a secret") };
    let options = BundleOptions { encryption: Some(how.clone()), ..BundleOptions::default() };
    let mut volume = VolumeBuilder::new(VolumeOptions::default());
    let root = volume.root();
    volume.file(root, "file", b"x".to_vec(), Meta::file());
    tools::bundle::write(&volume.build().image, &bundle, &options).unwrap();
    let source = bundle.to_str().unwrap();
    let ran = tmbundle(&["debug", "dump", "token", source]);
    ran.expect(0, &[]);
    for (field, expected) in [
        ("signature", "'encrcdsa'"),
        ("version", "2"),
        ("encKeyBits", "128"),
        ("encAlgorithm", "0x80000001"),
        ("blockSize", "512"),
        ("offToDataStart", "122368"),
        ("nKeys", "1"),
        ("key[0].headerType", "1"),
        ("key[0].length", "616"),
        ("key[0].kdfAlgorithm", "103"),
        ("key[0].iterationCount", "1234"),
        ("key[0].encryptedKeyblobLen", "48"),
    ] {
        assert_eq!(value(&ran.out, field), expected, "{field}");
    }
    // The wrapped keys begin 104 bytes into the first record, which lies at byte 96.
    let token = std::fs::read(bundle.join("token")).unwrap();
    let blob: String = token[200..208].iter().map(|b| format!("{b:02x}")).collect();
    assert!(!ran.out.contains(&blob));
    // What lies below needs the password.
    tmbundle(&["debug", "dump", "header", source]).expect(3, &["password"]);
}

#[test]
fn a_header_is_shown_where_it_lies_even_when_it_is_broken() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("Mac.sparsebundle");
    let options = VolumeOptions { size: 40 << 20, ..VolumeOptions::default() };
    let mut volume = VolumeBuilder::new(options);
    let root = volume.root();
    let file = volume.file(root, "a file", vec![7; 5000], Meta::file());
    let next = volume.next_cnid();
    let volume = volume.build();
    tools::bundle::write(&volume.image, &bundle, &BundleOptions::default()).unwrap();
    let source = bundle.to_str().unwrap();
    let header = tmbundle(&["debug", "dump", "header", source]);
    header.expect(0, &["HFSPlusVolumeHeader at byte 1024 (band 0, offset 0x400), 512 bytes"]);
    assert_eq!(value(&header.out, "signature"), "'HX'");
    assert_eq!(value(&header.out, "totalBlocks"), ((40 << 20) / 4096).to_string());
    assert_eq!(value(&header.out, "nextCatalogID"), next.to_string());
    let leaf = volume.layout.catalog.leaves[0];
    let node = tmbundle(&["debug", "dump", &format!("catalog/{leaf}"), source]);
    node.expect(0, &["parentID 2 nodeName 'a file' kHFSPlusFileRecord"]);
    let line = node.out.lines().find(|l| l.contains("'a file' kHFSPlusFileRecord")).unwrap();
    let number = line.split_whitespace().nth(1).unwrap();
    let record = tmbundle(&["debug", "dump", &format!("catalog/{leaf}/{number}"), source]);
    assert_eq!(value(&record.out, "fileID"), file.to_string());
    assert_eq!(value(&record.out, "dataFork.logicalSize"), "5000");
    assert_eq!(value(&record.out, "dataFork.totalBlocks"), "2");
    // A signature that no volume has: the bytes are shown all the same.
    let band = bundle.join("bands/0");
    let mut bytes = std::fs::read(&band).unwrap();
    bytes[1024..1026].copy_from_slice(b"ZZ");
    std::fs::write(&band, bytes).unwrap();
    let broken = tmbundle(&["debug", "dump", "header", source]);
    assert_eq!(value(&broken.out, "signature"), "'ZZ'");
}

#[test]
fn what_is_not_stored_is_no_structure_of_zeros() {
    let options = BundleOptions { band_size: 4096, ..BundleOptions::default() };
    let mut volume = VolumeBuilder::new(VolumeOptions::default());
    let root = volume.root();
    volume.file(root, "file", b"x".to_vec(), Meta::file());
    let built = volume.build();
    let container = tools::apfs::samples::sample("basic").unwrap();
    let find = |kind: fn(&tools::apfs::What) -> bool| container.layout.find(kind).next().unwrap();
    let object = find(|w| matches!(w, tools::apfs::What::Omap(Some(_)))).address;
    let cases = [
        (&built.image, "header".to_owned(), 0),
        (&built.image, "catalog/1".to_owned(), built.layout.catalog.node(1) / 4096),
        (&container.image, format!("object/{object}"), object),
    ];
    for (image, structure, band) in cases {
        let dir = tempfile::tempdir().unwrap();
        let bundle = dir.path().join("Mac.sparsebundle");
        tools::bundle::write(image, &bundle, &options).unwrap();
        let dump = || tmbundle(&["debug", "dump", &structure, bundle.to_str().unwrap()]);
        assert!(!dump().expect(0, &[]).out.contains("lost"));
        std::fs::remove_file(bundle.join(format!("bands/{band:x}"))).unwrap();
        let told = format!("part of it is lost (band {band:x} is missing): zeros stand for that");
        dump().expect(1, &[&told]);
    }
}
