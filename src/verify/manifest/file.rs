//! The manifest as a file: what is kept of each band, and how it is read and written.
//!
//! ```text
//! tmbundle/bands/1\n   u32 length of the header   header (JSON)
//! u64 number of bands   so many entries of 80 bytes
//! BLAKE3 of all before, 32 bytes
//! ```
//! Numbers are little-endian. An entry: index, size, mtime, ctime (nanoseconds since
//! 1970), last read (seconds since 1970), run of the last read and flags (u32 each),
//! BLAKE3 of the band. Ascending by index.

use crate::error::{Error, Result};
use crate::io::bytes::{array, le32, le64, to_u32, to_u64, usize32};
use crate::state::{Identity, write_atomically};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

const MAGIC: &[u8] = b"tmbundle/bands/1\n";
/// What every version's first bytes are.
const FAMILY: &[u8] = b"tmbundle/bands/";
const ENTRY: usize = 80;
const SUM: usize = 32;
/// Largest manifest that is read, in bytes: some 13 million bands.
const MAX_FILE: u64 = 1 << 30;

/// Size and times of a band's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Bytes.
    pub size: u64,
    /// Last modification, nanoseconds since 1970.
    pub mtime: i64,
    /// Last change of the inode, nanoseconds since 1970. Nobody can set it.
    pub ctime: i64,
}

/// What is kept of a band.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Index of the band.
    pub index: u64,
    /// Size and times when it was hashed.
    pub stamp: Stamp,
    /// When it was last read, seconds since 1970.
    pub read: i64,
    /// In which run it was last read.
    pub run: u32,
    /// [`Entry::ROTTEN`], [`Entry::YOUNG`], [`Entry::UNTOLD`],
    /// [`Entry::GIVEN`].
    pub flags: u32,
    /// BLAKE3 of its bytes; of a rotten band, of what they were.
    pub hash: [u8; 32],
}

impl Entry {
    /// Other bytes were found under the same size and times; `hash` has what they were.
    pub const ROTTEN: u32 = 1;
    /// It was hashed so soon after its last change that another one might have left
    /// the same times.
    pub const YOUNG: u32 = 2;
    /// It was found rewritten, and nobody was told yet.
    pub const UNTOLD: u32 = 4;
    /// It was gone after others were written: a Mac may have given it back, or it is lost.
    /// What is known of it is evidence for a while, and no more.
    pub const GIVEN: u32 = 8;

    /// Whether a flag is set.
    pub fn is(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.index.to_le_bytes());
        out.extend(self.stamp.size.to_le_bytes());
        out.extend(self.stamp.mtime.to_le_bytes());
        out.extend(self.stamp.ctime.to_le_bytes());
        out.extend(self.read.to_le_bytes());
        out.extend(self.run.to_le_bytes());
        out.extend(self.flags.to_le_bytes());
        out.extend(self.hash);
    }

    fn parse(b: &[u8]) -> Option<Self> {
        let signed = |at| array(b, at).map(i64::from_le_bytes);
        Some(Self {
            index: le64(b, 0)?,
            stamp: Stamp { size: le64(b, 8)?, mtime: signed(16)?, ctime: signed(24)? },
            read: signed(32)?,
            run: le32(b, 40)?,
            flags: le32(b, 44)?,
            hash: array(b, 48)?,
        })
    }
}

/// What a manifest says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Whose bands these are.
    pub identity: Identity,
    /// Bytes in a band.
    pub band_size: u64,
    /// Number of the last run, from 1.
    pub run: u32,
    /// Why it was begun anew, until somebody was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restarted: Option<String>,
}

/// All that is kept of a bundle's bands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    /// What it says of itself.
    pub header: Header,
    /// The bands by index.
    pub entries: BTreeMap<u64, Entry>,
}

/// What lies where a manifest should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// A manifest.
    Manifest(Manifest),
    /// A manifest that is torn or damaged, and how.
    Damaged(String),
    /// Something that was never a manifest.
    Foreign,
}

impl Manifest {
    /// Read what lies at `path`.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Unsupported`] for one of a later version.
    pub fn read(path: &Path) -> Result<Found> {
        let failed = |e| Error::io(format!("cannot read the manifest {}", path.display()), e);
        let file = match std::fs::File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(e) => return Err(failed(e)),
        };
        if !file.metadata().map_err(failed)?.is_file() {
            return Ok(Found::Foreign);
        }
        let mut bytes = Vec::new();
        file.take(MAX_FILE).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.starts_with(FAMILY) && newer(&bytes) {
            let text = format!("{} was written by a newer tmbundle", path.display());
            return Err(Error::Unsupported(text));
        }
        // What a crash leaves of a file: nothing, its beginning, or zeros.
        let ours = FAMILY.iter().zip(&bytes).all(|(a, b)| a == b);
        if !ours && !crate::io::bytes::all_zero(&bytes) {
            return Ok(Found::Foreign);
        }
        Ok(match Self::parse(&bytes) {
            Ok(manifest) => Found::Manifest(manifest),
            Err(why) => Found::Damaged(why),
        })
    }

    fn parse(bytes: &[u8]) -> std::result::Result<Self, String> {
        let cut = || "it is cut off".to_owned();
        let (body, sum) = bytes
            .len()
            .checked_sub(SUM)
            .and_then(|at| bytes.split_at_checked(at))
            .ok_or_else(cut)?;
        if blake3::hash(body) != *sum {
            return Err("its checksum is wrong".into());
        }
        let rest = body.strip_prefix(MAGIC).ok_or("its signature is wrong")?;
        let len = usize32(le32(rest, 0).ok_or_else(cut)?);
        let (head, rest) =
            rest.get(4..).and_then(|rest| rest.split_at_checked(len)).ok_or_else(cut)?;
        let header = serde_json::from_slice(head).map_err(|e| format!("its header: {e}"))?;
        let count = le64(rest, 0).ok_or_else(cut)?;
        let table = rest.get(8..).unwrap_or_default();
        if !table.len().is_multiple_of(ENTRY) || to_u64(table.len() / ENTRY) != count {
            return Err(format!("{count} entries do not make {} bytes", table.len()));
        }
        let entries: Vec<Entry> = table.chunks_exact(ENTRY).filter_map(Entry::parse).collect();
        if !entries.is_sorted_by(|a, b| a.index < b.index) {
            return Err("its entries are out of order".into());
        }
        Ok(Self { header, entries: entries.into_iter().map(|e| (e.index, e)).collect() })
    }

    /// The bytes of the file.
    fn to_bytes(&self) -> Result<Vec<u8>> {
        let header = serde_json::to_vec(&self.header)
            .map_err(|e| Error::io("cannot write the manifest", e))?;
        let size = MAGIC.len() + 12 + header.len() + self.entries.len() * ENTRY + SUM;
        let mut out = Vec::with_capacity(size);
        out.extend(MAGIC);
        out.extend(to_u32(header.len()).to_le_bytes());
        out.extend(&header);
        out.extend(to_u64(self.entries.len()).to_le_bytes());
        for entry in self.entries.values() {
            entry.write(&mut out);
        }
        let sum = blake3::hash(&out);
        out.extend(sum.as_bytes());
        Ok(out)
    }

    /// Write it to `path`, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`]; what was there before is then still there.
    pub fn write(&self, path: &Path) -> Result<()> {
        write_atomically(path, &self.to_bytes()?, 0o600)
    }
}

/// Whether the version in the first line is a later one than ours.
fn newer(bytes: &[u8]) -> bool {
    let line = bytes.iter().take(MAGIC.len() + 8).position(|b| *b == b'\n');
    let number = line.and_then(|end| std::str::from_utf8(bytes.get(FAMILY.len()..end)?).ok());
    number.and_then(|n| n.parse::<u32>().ok()).is_some_and(|n| n > 1)
}

/// Give what lies at `path` another name, so that nothing is lost.
///
/// # Errors
/// [`Error::Io`] if that is not possible.
pub(super) fn put_aside(path: &Path) -> Result<PathBuf> {
    let name = |n: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(if n == 0 { ".damaged".into() } else { format!(".damaged-{n}") });
        PathBuf::from(name)
    };
    // After some of them the last is given up.
    const MOST: u32 = 9;
    let free = (0..MOST).map(name).find(|p| !p.exists()).unwrap_or_else(|| name(MOST));
    std::fs::rename(path, &free)
        .map_err(|e| Error::io(format!("cannot rename {}", path.display()), e))?;
    Ok(free)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(count: u64) -> Manifest {
        let entry = |index: u64| Entry {
            index: index * 3,
            stamp: Stamp { size: 1 << 20, mtime: -5, ctime: i64::MAX },
            read: 1_700_000_000,
            run: 7,
            flags: Entry::YOUNG,
            hash: *blake3::hash(&index.to_le_bytes()).as_bytes(),
        };
        let header = Header { band_size: 8 << 20, run: 9, ..Header::default() };
        Manifest { header, entries: (0..count).map(entry).map(|e| (e.index, e)).collect() }
    }

    #[test]
    fn what_was_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bands");
        assert_eq!(Manifest::read(&path).unwrap(), Found::Nothing);
        for count in [0, 1, 1000] {
            sample(count).write(&path).unwrap();
            assert_eq!(Manifest::read(&path).unwrap(), Found::Manifest(sample(count)));
        }
    }

    #[test]
    fn each_cut_and_each_flipped_byte_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bands");
        let good = sample(3).to_bytes().unwrap();
        for len in 0..good.len() {
            std::fs::write(&path, &good[..len]).unwrap();
            let found = Manifest::read(&path).unwrap();
            assert!(matches!(found, Found::Damaged(_)), "{len} bytes: {found:?}");
        }
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x40;
            std::fs::write(&path, &bad).unwrap();
            let found = Manifest::read(&path);
            assert!(
                !matches!(found, Ok(Found::Manifest(_) | Found::Nothing)),
                "byte {at}: {found:?}"
            );
        }
        std::fs::write(&path, vec![0; 5000]).unwrap();
        assert!(matches!(Manifest::read(&path).unwrap(), Found::Damaged(_)));
        std::fs::write(&path, "[settings]\n").unwrap();
        assert_eq!(Manifest::read(&path).unwrap(), Found::Foreign);
        std::fs::write(&path, "tmbundle/bands/2\nsomething").unwrap();
        assert!(matches!(Manifest::read(&path), Err(Error::Unsupported(_))));
    }

    #[test]
    fn a_hostile_table_with_a_right_checksum_is_refused() {
        let sealed = |body: &[u8]| {
            let mut bytes = body.to_vec();
            bytes.extend(blake3::hash(body).as_bytes());
            Manifest::parse(&bytes)
        };
        let good = sample(2).to_bytes().unwrap();
        let body = &good[..good.len() - SUM];
        assert!(sealed(body).is_ok());
        let count_at = body.len() - 2 * ENTRY - 8;
        let mut many = body.to_vec();
        many[count_at..count_at + 8].fill(0xFF);
        assert!(sealed(&many).is_err());
        let mut twice = body.to_vec();
        twice.copy_within(count_at + 8..count_at + 8 + ENTRY, count_at + 8 + ENTRY);
        assert!(sealed(&twice).unwrap_err().contains("order"));
        let mut long = body.to_vec();
        long[MAGIC.len()..MAGIC.len() + 4].fill(0xFF);
        assert!(sealed(&long).is_err());
    }

    #[test]
    fn what_is_put_aside_never_hides_what_was_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bands");
        for n in 0..12 {
            std::fs::write(&path, format!("{n}")).unwrap();
            put_aside(&path).unwrap();
        }
        assert_eq!(std::fs::read(dir.path().join("bands.damaged")).unwrap(), b"0");
        assert_eq!(std::fs::read(dir.path().join("bands.damaged-8")).unwrap(), b"8");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 10);
    }
}
