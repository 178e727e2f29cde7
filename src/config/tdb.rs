//! Samba's databases (TDB), read only: a file that its server may be writing to at this moment, of
//! which nothing is believed that does not hold together.
//!
//! Source: the layout as measured with Samba 4.13 to 4.25 (little-endian, version 6): a header of
//! 168 bytes and, where bit 0 of the features says so, an area of mutexes; then the list of free
//! records, then the heads of the chains. All offsets count from the end of that area.

use super::text::{Root, Unread};
use crate::io::bytes::{le32, usize32};
use std::fs::File;
use std::io::Read;

const MAGIC: &[u8] = b"TDB file\n";
const VERSION: u32 = 0x2601_196d;
/// Of a record that is in use.
const USED: u32 = 0x2601_1999;
/// Where the heads of the chains begin.
const HEADS: usize = 172;
const RECORD: usize = 24;
const MUTEXES: u32 = 1;
/// No database that is looked at is larger.
const LARGEST: u64 = 64 << 20;

/// A database in memory.
#[derive(Debug)]
pub struct Tdb {
    bytes: Vec<u8>,
    chains: usize,
    moved: usize,
}

impl Tdb {
    /// The database at a path; `None` if there is none.
    ///
    /// # Errors
    /// Why it cannot be read, in words.
    pub fn open(root: &Root, path: &str) -> Result<Option<Self>, String> {
        let because = |e: String| format!("{path} cannot be read: {e}");
        match root.file(path) {
            Ok(file) => Self::read(file).map(Some).map_err(because),
            Err(Unread::Missing) => Ok(None),
            Err(Unread::Because(why)) => Err(because(why)),
        }
    }

    /// Read an open file whole.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn read(file: File) -> Result<Self, String> {
        let told = file.metadata().map_err(|e| e.to_string())?;
        if !told.is_file() || told.len() > LARGEST {
            return Err("it is no regular file, or larger than 64 MiB".into());
        }
        let mut bytes = Vec::new();
        file.take(LARGEST).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
        Self::of(bytes).ok_or_else(|| "it is no database of Samba".into())
    }

    /// What these bytes are; `None` if no database.
    pub fn of(bytes: Vec<u8>) -> Option<Self> {
        let known = bytes.starts_with(MAGIC) && le32(&bytes, 32) == Some(VERSION);
        let chains = le32(&bytes, 36).filter(|_| known).map(usize32)?;
        let mutexes = le32(&bytes, 60)? & MUTEXES != 0;
        let moved = if mutexes { usize32(le32(&bytes, 64)?) } else { 0 };
        let end = chains.checked_mul(4)?.checked_add(HEADS)?.checked_add(moved)?;
        (end <= bytes.len()).then_some(Self { bytes, chains, moved })
    }

    /// Key and data of each record.
    pub fn records(&self) -> Vec<(&[u8], &[u8])> {
        let mut found = Vec::new();
        // A chain that bites its tail ends with the records that the file has room for.
        let mut left = self.bytes.len() / RECORD;
        for chain in 0..self.chains {
            let mut next = self.word(HEADS + 4 * chain);
            while let Some(at) = next.filter(|at| *at != 0 && left > 0) {
                left -= 1;
                let at = usize32(at);
                found.extend(self.record(at));
                next = self.word(at);
            }
        }
        found
    }

    fn word(&self, at: usize) -> Option<u32> {
        le32(&self.bytes, at.checked_add(self.moved)?)
    }

    fn record(&self, at: usize) -> Option<(&[u8], &[u8])> {
        let field = |n: usize| self.word(at.checked_add(4 * n)?);
        let (room, key, data) = (usize32(field(1)?), usize32(field(2)?), usize32(field(3)?));
        if field(5)? != USED || key.checked_add(data)? > room {
            return None;
        }
        let key_at = at.checked_add(self.moved)?.checked_add(RECORD)?;
        let data_at = key_at.checked_add(key)?;
        Some((
            self.bytes.get(key_at..data_at)?,
            self.bytes.get(data_at..data_at.checked_add(data)?)?,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A database of one chain.
    fn tdb(records: &[(&[u8], &[u8])], mutexes: u32) -> Vec<u8> {
        let mut b = vec![0u8; 176];
        b[..9].copy_from_slice(MAGIC);
        b[32..36].copy_from_slice(&VERSION.to_le_bytes());
        b[36] = 1;
        b[60] = u8::from(mutexes > 0);
        b[64..68].copy_from_slice(&mutexes.to_le_bytes());
        let mut head = 0u32;
        for (key, data) in records {
            let at = b.len() as u32;
            let size = (key.len() + data.len()) as u32;
            for word in [head, size, key.len() as u32, data.len() as u32, 7, USED] {
                b.extend(word.to_le_bytes());
            }
            b.extend(*key);
            b.extend(*data);
            head = at;
        }
        b[172..176].copy_from_slice(&head.to_le_bytes());
        // The area of mutexes lies between the header and what is counted from it.
        let moved = vec![0u8; mutexes as usize];
        [&b[..168], &moved, &b[168..]].concat()
    }

    #[test]
    fn records_with_and_without_mutexes() {
        let records: &[(&[u8], &[u8])] = &[(b"a", b"first"), (b"bb", b"")];
        for mutexes in [0, 4096] {
            let read = Tdb::of(tdb(records, mutexes)).unwrap();
            let mut found = read.records();
            found.sort_unstable();
            assert_eq!(found, records, "{mutexes}");
        }
    }

    #[test]
    fn nothing_that_is_torn_or_turned_runs_for_ever_or_out_of_the_file() {
        let whole = tdb(&[(b"a", b"first"), (b"bb", b"2")], 0);
        for cut in 0..whole.len() {
            let _ = Tdb::of(whole[..cut].to_vec()).map(|t| t.records().len());
        }
        for at in 0..whole.len() {
            for value in [0, 0xff, 0xac] {
                let mut bad = whole.clone();
                bad[at] = value;
                if let Some(read) = Tdb::of(bad) {
                    assert!(read.records().len() <= whole.len() / RECORD);
                }
            }
        }
        let mut circle = whole.clone();
        circle[176..180].copy_from_slice(&176u32.to_le_bytes());
        assert!(Tdb::of(circle).unwrap().records().len() <= whole.len() / RECORD);
        assert!(Tdb::of(vec![0; 500]).is_none());
        let dir = tempfile::tempdir().unwrap();
        let folder = File::open(dir.path()).unwrap();
        assert!(Tdb::read(folder).unwrap_err().contains("no regular file"));
    }
}
