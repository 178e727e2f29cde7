//! `Info.plist`: the geometry of the image, and its copy `Info.bckup`.

use super::geometry::Sample;
use super::property_list::parse_plist;
use super::{FileError, read_file};
use crate::error::{Error, Result};
use crate::io::Given;
use plist::{Dictionary, Value};
use std::os::fd::OwnedFd;
use std::path::Path;

/// Largest `Info.plist` that is read; macOS writes about 500 bytes.
pub(super) const MAX_INFO: u64 = 64 << 10;
/// Band sizes that are accepted, in bytes: 512 to 8 GiB, with room above.
const BAND_SIZES: std::ops::RangeInclusive<u64> = 512..=(1 << 40);

/// The files that hold the geometry.
const LISTS: [&str; 2] = ["Info.plist", "Info.bckup"];

/// Which file the geometry came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InfoSource {
    /// `Info.plist`.
    Plist,
    /// `Info.bckup`, because of what is said here about `Info.plist`.
    Bckup(String),
    /// A file of another name (the first), because of what is said about both.
    Stray(String, String),
    /// The bands themselves, or the person who asks; what it is, and why.
    Guessed(String, String),
}

/// Geometry and identity of a sparse bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// Bytes in a band.
    pub band_size: u64,
    /// Size of the virtual disk in bytes.
    pub size: u64,
    /// `bundle-backingstore-version`: 1, or 2 since macOS 11.
    pub version: Option<u64>,
    /// Identity of the image (version 2 only).
    pub uuid: Option<String>,
    /// Where this was read.
    pub source: InfoSource,
    /// What is odd about the other copy or about a value, one sentence each.
    pub remarks: Vec<Remark>,
    /// Which of its two lists this user may not read.
    pub denied: Vec<&'static str>,
}

/// Something odd about `Info.plist` or `Info.bckup`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remark {
    /// The two copies differ in this way.
    Differs(String),
    /// A value is not what macOS writes.
    Odd(String),
    /// The bands contradict it, and were believed.
    Contradicted(String),
}

impl Info {
    /// Read the geometry from the bundle's directory; `given` counts before it, and the bands
    /// (`sample`) before what cannot be.
    pub(super) fn read(
        path: &Path,
        dir: &OwnedFd,
        sample: Option<&Sample<'_>>,
        given: Given,
    ) -> Result<Self> {
        let mut info = Self::from_files(path, dir, sample, given)?;
        if given.band_size.is_none()
            && given.size.is_none()
            && let Some((band_size, size, text)) = sample.and_then(|s| s.correct(&info))
        {
            (info.band_size, info.size) = (band_size, size);
            info.remarks.push(Remark::Contradicted(text));
        }
        info.band_size = given.band_size.unwrap_or(info.band_size);
        info.size = given.size.unwrap_or(info.size);
        if !BAND_SIZES.contains(&info.band_size) || info.size > i64::MAX.unsigned_abs() {
            let text = format!("bands of {} bytes, {} in all", info.band_size, info.size);
            return Err(Error::Invalid(format!("{}: {text}: impossible", path.display())));
        }
        Ok(info)
    }

    /// What the bands say, or the person who asks, where no property list can be read.
    fn guessed(sample: Option<&Sample<'_>>, given: Given, why: &str) -> Option<Self> {
        let guess = sample.and_then(Sample::guess);
        let band_size = given.band_size.or(guess.as_ref().map(|g| g.0))?;
        let far = || sample.map(|s| s.size(band_size).0).filter(|n| *n > 0);
        let size = given.size.or_else(|| guess.as_ref().map(|g| g.1)).or_else(far)?;
        let text = match (guess, given) {
            (Some((.., text)), Given { band_size: None, size: None, .. }) => text,
            _ => format!("bands of {band_size} bytes, {size} bytes in all"),
        };
        Some(Self {
            band_size,
            size,
            version: None,
            uuid: None,
            source: InfoSource::Guessed(text, why.to_owned()),
            remarks: Vec::new(),
            denied: Vec::new(),
        })
    }

    fn from_files(
        path: &Path,
        dir: &OwnedFd,
        sample: Option<&Sample<'_>>,
        given: Given,
    ) -> Result<Self> {
        let lists = LISTS.map(|name| (name, load(dir, name)));
        let denied = lists.iter().filter(|(_, list)| list.as_ref().is_err_and(|e| e.denied));
        let denied = denied.map(|(name, _)| *name).collect();
        let info = Self::of_lists(path, dir, sample, given, lists.map(|(_, list)| list))?;
        Ok(Self { denied, ..info })
    }

    fn of_lists(
        path: &Path,
        dir: &OwnedFd,
        sample: Option<&Sample<'_>>,
        given: Given,
        [first, second]: [std::result::Result<Self, LoadError>; 2],
    ) -> Result<Self> {
        let (mut info, other) = match (first, second) {
            (Ok(info), second) => (info, second),
            (Err(why), Ok(mut info)) => {
                info.source = InfoSource::Bckup(why.text);
                return Ok(info);
            }
            (Err(a), Err(b)) => {
                let error = no_info(path, dir, &a, &b);
                if !matches!(error, Error::Corrupt(_) | Error::Io { .. }) {
                    return Err(error);
                }
                let why = format!("Info.plist: {}; Info.bckup: {}", a.text, b.text);
                if let Some((name, info)) = super::Strays::find_infos(dir).into_iter().next() {
                    return Ok(Self { source: InfoSource::Stray(name, why), ..info });
                }
                return Self::guessed(sample, given, &why).ok_or(error);
            }
        };
        // Of two that differ, the one that can be right: bands hold whole sectors, and
        // those that are there must fit.
        let fits = |i: &Self| sample.is_none_or(|s| s.fits(i.band_size, i.size));
        let odd = |i: &Self| !i.band_size.is_multiple_of(512);
        if let Ok(copy) = &other
            && !odd(copy)
            && (odd(&info) || (!fits(&info) && fits(copy)))
        {
            let why = match odd(&info) {
                true => format!("its band-size of {} bytes is odd", info.band_size),
                false => format!(
                    "the bands contradict its band-size of {} and size of {} bytes",
                    info.band_size, info.size
                ),
            };
            return Ok(Self { source: InfoSource::Bckup(why), ..copy.clone() });
        }
        match other {
            Ok(copy) => info.compare(&copy),
            Err(e) if e.missing || e.denied => {}
            Err(e) => info.remarks.push(Remark::Differs(format!("Info.bckup: {}", e.text))),
        }
        Ok(info)
    }

    /// Number of bands the image can have.
    pub fn band_count(&self) -> u64 {
        self.size.div_ceil(self.band_size)
    }

    /// Read geometry from the bytes of a property list.
    ///
    /// # Errors
    /// A sentence on what is missing or wrong.
    pub fn parse(bytes: &[u8]) -> std::result::Result<Self, String> {
        let Value::Dictionary(dict) = parse_plist(bytes)? else {
            return Err("its property list is not a dictionary".into());
        };
        let kind = dict.get("diskimage-bundle-type").and_then(Value::as_string);
        let band_size = number(&dict, "band-size");
        let size = number(&dict, "size");
        let (Some(band_size), Some(size)) = (band_size, size) else {
            return Err("it has no band-size and size: not a sparse bundle".into());
        };
        if !BAND_SIZES.contains(&band_size) {
            return Err(format!("its band-size of {band_size} bytes is impossible"));
        }
        if size > i64::MAX.unsigned_abs() {
            return Err(format!("its size of {size} bytes is impossible"));
        }
        let mut info = Self {
            band_size,
            size,
            version: number(&dict, "bundle-backingstore-version"),
            uuid: dict.get("uuid").and_then(Value::as_string).map(str::to_owned),
            source: InfoSource::Plist,
            remarks: Vec::new(),
            denied: Vec::new(),
        };
        match kind {
            Some("com.apple.diskimage.sparsebundle") => {}
            Some(other) => return Err(format!("its type is '{other}', not a sparse bundle")),
            None => info.remarks.push(Remark::Odd("diskimage-bundle-type is missing".into())),
        }
        info.remark_values();
        Ok(info)
    }

    fn remark_values(&mut self) {
        if !self.size.is_multiple_of(512) {
            self.remarks.push(Remark::Odd(format!("size {} is not a multiple of 512", self.size)));
        }
        if !self.band_size.is_multiple_of(512) {
            let text = format!("band-size {} is not a multiple of 512", self.band_size);
            self.remarks.push(Remark::Odd(text));
        }
        if self.size == 0 {
            self.remarks.push(Remark::Odd("size is 0: the image was never finished".into()));
        }
        if !matches!(self.version, Some(1 | 2)) {
            let found = self.version.map_or("missing".into(), |v| v.to_string());
            let text = format!("bundle-backingstore-version is {found}, expected 1 or 2");
            self.remarks.push(Remark::Odd(text));
        }
    }

    fn compare(&mut self, copy: &Self) {
        let mut differ = |key: &str, a: String, b: String| {
            if a != b {
                let text = format!("{key} is {a} in Info.plist but {b} in Info.bckup");
                self.remarks.push(Remark::Differs(text));
            }
        };
        differ("band-size", self.band_size.to_string(), copy.band_size.to_string());
        differ("size", self.size.to_string(), copy.size.to_string());
        differ("uuid", format!("{:?}", self.uuid), format!("{:?}", copy.uuid));
        let version = |v: Option<u64>| v.map_or("missing".into(), |v| v.to_string());
        differ("bundle-backingstore-version", version(self.version), version(copy.version));
    }
}

struct LoadError {
    missing: bool,
    denied: bool,
    text: String,
}

fn load(dir: &OwnedFd, name: &str) -> std::result::Result<Info, LoadError> {
    let bytes = read_file(dir, name, MAX_INFO).map_err(|e| LoadError {
        missing: matches!(e, FileError::Missing),
        denied: e.is_denied(),
        text: e.to_string(),
    })?;
    Info::parse(&bytes).map_err(|text| LoadError { missing: false, denied: false, text })
}

/// The error when neither copy gives a geometry: no bundle at all, no access, or
/// a bundle that has lost it.
fn no_info(path: &Path, dir: &OwnedFd, a: &LoadError, b: &LoadError) -> Error {
    let bands = rustix::fs::statat(dir, "bands", rustix::fs::AtFlags::SYMLINK_NOFOLLOW).is_ok();
    if a.denied || b.denied {
        let source = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        return Error::io(format!("cannot read Info.plist of {}", path.display()), source);
    }
    if a.missing && b.missing && !bands {
        let found = super::listing::count_entries(dir);
        let why = format!("no Info.plist or Info.bckup in it (found: {found}, bands/ missing)");
        return Error::NotASource { path: path.to_owned(), why };
    }
    if !bands {
        let why = format!("Info.plist: {}; bands/ is missing", a.text);
        return Error::NotASource { path: path.to_owned(), why };
    }
    let text = format!("Info.plist: {}; Info.bckup: {}", a.text, b.text);
    Error::corrupt(format!("{}: geometry", path.display()), text)
}

fn number(dict: &Dictionary, key: &str) -> Option<u64> {
    match dict.get(key)? {
        Value::Integer(n) => n.as_unsigned(),
        // Some tools write whole numbers as <real>; only exact ones are taken.
        Value::Real(r) if *r >= 0.0 && r.fract() == 0.0 && *r < 9.0e15 => {
            format!("{r:.0}").parse().ok()
        }
        Value::String(s) => s.trim().parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn xml(body: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<plist version=\"1.0\"><dict>\
             <key>diskimage-bundle-type</key><string>com.apple.diskimage.sparsebundle</string>\
             {body}</dict></plist>\n"
        )
    }

    #[test]
    fn geometry_in_xml_binary_and_torn_form() {
        let text = xml(
            "<key>band-size</key><integer>8589934592</integer><key>size</key><integer>512</integer>",
        );
        let info = Info::parse(text.as_bytes()).unwrap();
        assert_eq!((info.band_size, info.size, info.version), (8_589_934_592, 512, None));
        let mut torn = text.clone().into_bytes();
        torn.extend([0; 300]);
        assert_eq!(Info::parse(&torn).unwrap().size, 512);
        let mut binary = Vec::new();
        Value::from_reader(std::io::Cursor::new(text.as_bytes()))
            .unwrap()
            .to_writer_binary(&mut binary)
            .unwrap();
        assert_eq!(Info::parse(&binary).unwrap().band_size, 8_589_934_592);
    }

    #[test]
    fn what_is_not_a_geometry_says_why() {
        let said = |b: &[u8]| Info::parse(b).unwrap_err();
        assert!(said(b"").contains("empty"));
        assert!(said(&[0; 40]).contains("only zeros"));
        assert!(said(b"<plist><dict><key>si").contains("not a valid"));
        assert!(said(xml("").as_bytes()).contains("not a sparse bundle"));
        let tiny =
            xml("<key>band-size</key><integer>1</integer><key>size</key><integer>5</integer>");
        assert!(said(tiny.as_bytes()).contains("impossible"));
    }
}
