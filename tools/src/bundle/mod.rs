//! Sparse bundles: band files, property lists, tokens.

mod encrypt;
mod plists;
pub mod single;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

pub use encrypt::{Encryption, KeyRecord, Numbering};
pub use plists::{History, MachineId, PlistValue, Results, info_plist, plist_xml, to_binary_plist};

use crate::image::Image;

/// Which bands that hold only zeros get a file all the same.
#[derive(Clone, Debug, PartialEq)]
pub enum ZeroBands {
    /// None.
    Omit,
    /// All of them, as full-length files.
    Keep,
    /// These, as full-length files.
    KeepOnly(BTreeSet<u64>),
}

/// How a bundle is written.
#[derive(Clone, Debug)]
pub struct BundleOptions {
    /// Bytes in a band; any number.
    pub band_size: u64,
    /// `bundle-backingstore-version`: 1 (to macOS 10.15) or 2.
    pub version: u8,
    /// The `uuid` key of version 2 bundles.
    pub uuid: Option<String>,
    /// Write `Info.plist` as a binary property list.
    pub binary_info: bool,
    /// Write `Info.plist`.
    pub info: bool,
    /// Write `Info.bckup`.
    pub backup_info: bool,
    /// What to do about bands of zeros.
    pub zero_bands: ZeroBands,
    /// Cut trailing zeros off the bands (in steps of 4 KiB, or of a chunk when encrypted).
    pub trim: bool,
    /// Write `mapped/` bitmaps, one bit per 4 KiB that holds data.
    pub mapped: bool,
    /// Write an empty `lock` file.
    pub lock: bool,
    /// Encrypt the bands and write a `token` that says how.
    pub encryption: Option<Encryption>,
    /// Write a `token` at all.
    pub token: bool,
    /// `com.apple.TimeMachine.MachineID.plist` and its `.bckup`.
    pub machine_id: Option<MachineId>,
    /// `com.apple.TimeMachine.SnapshotHistory.plist`.
    pub history: Option<History>,
    /// `com.apple.TimeMachine.Results.plist`.
    pub results: Option<Results>,
    /// Further files: path inside the bundle and content.
    pub strays: Vec<(String, Vec<u8>)>,
}

impl Default for BundleOptions {
    fn default() -> Self {
        BundleOptions {
            band_size: 8 << 20,
            version: 1,
            uuid: None,
            binary_info: false,
            info: true,
            backup_info: true,
            zero_bands: ZeroBands::Omit,
            trim: true,
            mapped: false,
            lock: false,
            encryption: None,
            token: true,
            machine_id: None,
            history: None,
            results: None,
            strays: Vec::new(),
        }
    }
}

/// Writes `image` as a bundle at `path`, which must not exist.
pub fn write(image: &Image, path: &Path, options: &BundleOptions) -> io::Result<()> {
    fs::create_dir(path)?;
    write_plists(image.len(), path, options)?;
    let keys = options.encryption.as_ref().map(Encryption::keys);
    if options.token {
        let token = options.encryption.as_ref().map_or(Vec::new(), Encryption::token);
        fs::write(path.join("token"), token)?;
    }
    fs::create_dir(path.join("bands"))?;
    if options.mapped {
        fs::create_dir(path.join("mapped"))?;
    }
    for number in 0..image.len().div_ceil(options.band_size) {
        let Some(mut band) = band(image, number, options) else { continue };
        let name = format!("{number:x}");
        if options.mapped {
            fs::write(path.join("mapped").join(&name), mapped(&band, options.band_size))?;
        }
        if let Some(keys) = &keys {
            keys.encrypt_band(&mut band, number * options.band_size);
        }
        fs::write(path.join("bands").join(&name), band)?;
    }
    for (name, bytes) in &options.strays {
        let file = path.join(name);
        fs::create_dir_all(file.parent().expect("a path in the bundle"))?;
        fs::write(file, bytes)?;
    }
    Ok(())
}

fn write_plists(size: u64, path: &Path, options: &BundleOptions) -> io::Result<()> {
    let info = info_plist(size, options);
    if options.info {
        fs::write(path.join("Info.plist"), &info)?;
    }
    if options.backup_info {
        fs::write(path.join("Info.bckup"), &info)?;
    }
    if options.lock {
        fs::write(path.join("lock"), b"")?;
    }
    let name = |what: &str| path.join(format!("com.apple.TimeMachine.{what}"));
    if let Some(machine) = &options.machine_id {
        fs::write(name("MachineID.plist"), machine.to_xml())?;
        fs::write(name("MachineID.bckup"), machine.to_xml())?;
    }
    if let Some(history) = &options.history {
        fs::write(name("SnapshotHistory.plist"), history.to_xml())?;
    }
    if let Some(results) = &options.results {
        fs::write(name("Results.plist"), results.to_xml())?;
    }
    Ok(())
}

/// The plain bytes of a band's file; `None` if it is to have none.
fn band(image: &Image, number: u64, options: &BundleOptions) -> Option<Vec<u8>> {
    let start = number * options.band_size;
    let len = options.band_size.min(image.len() - start);
    let step = options.encryption.as_ref().map_or(4096, |e| u64::from(e.chunk));
    if image.is_zero(start, len) {
        let keep = match &options.zero_bands {
            ZeroBands::Omit => false,
            ZeroBands::Keep => true,
            ZeroBands::KeepOnly(list) => list.contains(&number),
        };
        return keep.then(|| vec![0; len as usize]);
    }
    let mut keep = len;
    if options.trim {
        while keep > 0 {
            let last = (keep - 1) / step * step;
            if !image.is_zero(start + last, keep - last) {
                break;
            }
            keep = last;
        }
    }
    Some(image.read(start, keep as usize))
}

/// One bit per 4 KiB of the band, least significant first, set where there is data.
fn mapped(band: &[u8], band_size: u64) -> Vec<u8> {
    let mut out = vec![0u8; band_size.div_ceil(4096 * 8) as usize];
    for (i, part) in band.chunks(4096).enumerate() {
        if part.iter().any(|&b| b != 0) {
            out[i / 8] |= 1 << (i % 8);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn temp(name: &str) -> std::path::PathBuf {
        std::env::temp_dir().join(format!("tools-{name}-{}", std::process::id()))
    }

    #[test]
    fn bands_hold_what_the_image_holds() {
        let mut image = Image::new(1_000_000);
        image.fill(100_000, 5, 1);
        image.fill(700_000, 50_000, 2);
        let path = temp("bands");
        let options = BundleOptions { band_size: 99_999, mapped: true, ..BundleOptions::default() };
        write(&image, &path, &options).unwrap();
        let mut back = Image::new(image.len());
        let mut names = BTreeSet::new();
        for entry in fs::read_dir(path.join("bands")).unwrap().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            let number = u64::from_str_radix(&name, 16).unwrap();
            back.write_at(number * options.band_size, &fs::read(entry.path()).unwrap());
            assert!(path.join("mapped").join(&name).exists());
            names.insert(name);
        }
        fs::remove_dir_all(&path).unwrap();
        assert_eq!(back, image);
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["1", "7"]);
    }

    #[test]
    fn trimmed_bands_end_on_a_step() {
        let mut image = Image::new(1 << 20);
        image.write_at(5_000, b"x");
        let options = BundleOptions { band_size: 1 << 20, ..BundleOptions::default() };
        assert_eq!(band(&image, 0, &options).map(|b| b.len()), Some(8192));
        let keep = BundleOptions { trim: false, ..options };
        assert_eq!(band(&image, 0, &keep).map(|b| b.len()), Some(1 << 20));
    }
}
