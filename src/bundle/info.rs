//! `Info.plist`: the geometry of the image, and its copy `Info.bckup`.

use super::{FileError, read_file};
use crate::error::{Error, Result};
use plist::{Dictionary, Value};
use std::os::fd::OwnedFd;
use std::path::Path;

/// Largest `Info.plist` that is read; macOS writes about 500 bytes.
pub(super) const MAX_INFO: u64 = 64 << 10;
/// Deepest nesting of an XML property list that is parsed: the parser recurses.
const MAX_NESTING: usize = 64;
/// Band sizes that are accepted, in bytes: 512 to 8 GiB, with room above.
const BAND_SIZES: std::ops::RangeInclusive<u64> = 512..=(1 << 40);

/// Which file the geometry came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InfoSource {
    /// `Info.plist`.
    Plist,
    /// `Info.bckup`, because of what is said here about `Info.plist`.
    Bckup(String),
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
}

/// Something odd about `Info.plist` or `Info.bckup`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remark {
    /// The two copies differ in this way.
    Differs(String),
    /// A value is not what macOS writes.
    Odd(String),
}

impl Info {
    /// Read the geometry from the bundle's directory.
    pub(super) fn read(path: &Path, dir: &OwnedFd) -> Result<Self> {
        let first = load(dir, "Info.plist");
        let second = load(dir, "Info.bckup");
        let (mut info, other) = match (first, second) {
            (Ok(info), second) => (info, second),
            (Err(why), Ok(mut info)) => {
                info.source = InfoSource::Bckup(why.text);
                return Ok(info);
            }
            (Err(a), Err(b)) => return Err(no_info(path, dir, &a, &b)),
        };
        // Of two that differ, the one that can be right: bands hold whole sectors.
        if let Ok(copy) = &other
            && !info.band_size.is_multiple_of(512)
            && copy.band_size.is_multiple_of(512)
        {
            let why = format!("its band-size of {} bytes is odd", info.band_size);
            return Ok(Self { source: InfoSource::Bckup(why), ..copy.clone() });
        }
        match other {
            Ok(copy) => info.compare(&copy),
            Err(e) if e.missing => {}
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
        denied: matches!(&e, FileError::Other(e) if e.kind() == std::io::ErrorKind::PermissionDenied),
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

/// Parse an XML or binary property list that may be torn or hostile.
pub(crate) fn parse_plist(bytes: &[u8]) -> std::result::Result<Value, String> {
    if bytes.is_empty() {
        return Err("it is empty (0 bytes)".into());
    }
    if crate::io::bytes::all_zero(bytes) {
        return Err(format!("it holds only zeros ({} bytes)", bytes.len()));
    }
    let body = if bytes.starts_with(b"bplist") { bytes } else { bytes.trim_ascii_end() };
    // A torn write on a NAS leaves zeros behind the text.
    let end = body.iter().rposition(|b| *b != 0).map_or(0, |n| n + 1);
    let body = if bytes.starts_with(b"bplist") { bytes } else { body.get(..end).unwrap_or(body) };
    if !bytes.starts_with(b"bplist") && nesting(body) > MAX_NESTING {
        return Err("its property list is nested too deeply".into());
    }
    Value::from_reader(std::io::Cursor::new(body))
        .map_err(|_| "it is not a valid property list".into())
}

/// Upper bound of the depth of elements in XML text.
fn nesting(xml: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    for pair in xml.windows(2) {
        match pair {
            [b'<', b'/'] => depth = depth.saturating_sub(1),
            [b'/', b'>'] => depth = depth.saturating_sub(1),
            [b'<', c] if c.is_ascii_alphabetic() => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            _ => {}
        }
    }
    deepest
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
        let deep = format!("<plist>{}", "<array>".repeat(100_000));
        assert!(said(deep.as_bytes()).contains("nested"));
    }
}
