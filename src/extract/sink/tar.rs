//! As one stream: a pax archive, the same bytes in every run.
//!
//! Headers are POSIX ustar; what does not fit there stands in pax records before them:
//! long names, large sizes, nanoseconds, attributes (`SCHILY.xattr.*`, as GNU tar and
//! bsdtar read them). Files with holes are in GNU's sparse format 1.0.

use super::pax::{decimal, put_cut, record, sparse_map};
use crate::error::{Error, Result};
use crate::extract::Part;
use crate::extract::account::{Account, Did, Flaws, NotKept, Object};
use crate::extract::damage::{wrong_checksum, zeros};
use crate::extract::failure::{Failure, Outcome};
use crate::extract::mac::{self, MacData};
use crate::extract::options::{MacMetadata, Options};
use crate::extract::plan::Plan;
use crate::extract::reading::Opened;
use crate::extract::rule::{Rule, Verdict};
use crate::extract::source::{Pieces, Reader};
use crate::extract::walk::{Item, Traveller};
use crate::fs::{Kind, Metadata, NodeId, Stream, Time};
use crate::io::Source;
use crate::io::bytes::{to_u64, to_usize};
use crate::report::Progress;
use crate::timemachine::checksum::Cksum;
use std::collections::HashMap;
use std::io::Write;
use std::ops::Range;

const BLOCK: u64 = 512;
/// Holes shorter than this are written as zeros.
const SMALLEST_HOLE: u64 = 64 << 10;
/// Largest number that ustar's octal size field holds.
const MAX_OCTAL_SIZE: u64 = 0o77_777_777_777;
/// Longest name in ustar's name field.
const MAX_NAME: usize = 100;

/// The ranges of a file that hold anything, and why its bytes may not be right.
type Surveyed = (Vec<Range<u64>>, Option<String>);

/// Writes an archive.
pub struct Archiver<'a, W: Write> {
    out: W,
    options: &'a Options,
    account: &'a Account<'a>,
    progress: &'a dyn Progress,
    linked: &'a std::collections::HashSet<(usize, NodeId)>,
    first: HashMap<(usize, NodeId), (String, Flaws)>,
    reader: Reader,
    /// Whether checksums are believed.
    pub rule: Rule<'a>,
    /// Paths in the archive of the folders on the way.
    at: Vec<String>,
}

/// One header to come.
struct Entry<'a> {
    path: String,
    kind: u8,
    meta: &'a Metadata,
    size: u64,
    link: Vec<u8>,
    records: Vec<(String, Vec<u8>)>,
}

impl<'a, W: Write> Archiver<'a, W> {
    /// To `out`, what was planned of these parts.
    pub fn new(
        out: W,
        parts: &'a [Part<'a>],
        options: &'a Options,
        account: &'a Account<'a>,
        progress: &'a dyn Progress,
        plan: &'a Plan,
    ) -> Self {
        Self {
            out,
            options,
            account,
            progress,
            linked: &plan.linked,
            first: HashMap::new(),
            reader: Reader::default(),
            rule: Rule::new(parts, &plan.sample),
            at: Vec::new(),
        }
    }

    /// The end of the archive: two blocks of zeros.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(&mut self) -> Result<()> {
        self.raw(&[0; 1024])?;
        self.out.flush().map_err(|e| Error::io("cannot write the archive", e))
    }

    fn raw(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).map_err(|e| Error::io("cannot write the archive", e))
    }

    fn pad(&mut self, len: u64) -> Result<()> {
        let rest = to_usize(len.next_multiple_of(BLOCK) - len);
        let zeros = [0; 512];
        self.raw(zeros.get(..rest).unwrap_or_default())
    }

    fn path(&self, name: &str) -> String {
        match self.at.last() {
            Some(parent) => format!("{parent}/{name}"),
            None => name.to_owned(),
        }
    }

    /// Write a header with the pax records it needs.
    fn header(&mut self, entry: &Entry<'_>) -> Result<()> {
        let mut records = entry.records.clone();
        let shown = match entry.kind {
            b'5' => format!("{}/", entry.path),
            _ => entry.path.clone(),
        };
        if shown.len() > MAX_NAME || !shown.is_ascii() {
            records.push(("path".into(), shown.clone().into_bytes()));
        }
        if entry.link.len() > MAX_NAME || !entry.link.is_ascii() {
            records.push(("linkpath".into(), entry.link.clone()));
        }
        if entry.size > MAX_OCTAL_SIZE {
            records.push(("size".into(), entry.size.to_string().into_bytes()));
        }
        let modified = entry.meta.times.modified.unwrap_or_default();
        if modified.nanoseconds != 0 || modified.seconds < 0 {
            records.push(("mtime".into(), decimal(modified).into_bytes()));
        }
        let (uid, gid) = self.options.owners.of(entry.meta.uid, entry.meta.gid);
        for (name, id) in [("uid", uid), ("gid", gid)] {
            if id > 0o7_777_777 {
                records.push((name.into(), id.to_string().into_bytes()));
            }
        }
        if !records.is_empty() {
            self.pax(&records)?;
        }
        let header = self.ustar(entry, &shown, (uid, gid), modified)?;
        self.raw(header.as_bytes())
    }

    fn ustar(
        &self,
        entry: &Entry<'_>,
        shown: &str,
        (uid, gid): (u32, u32),
        modified: Time,
    ) -> Result<tar::Header> {
        let mut h = tar::Header::new_ustar();
        h.set_entry_type(tar::EntryType::new(entry.kind));
        let bits = if self.options.setid { 0o7777 } else { 0o1777 };
        h.set_mode(u32::from(entry.meta.mode) & bits);
        h.set_uid(u64::from(uid.min(0o7_777_777)));
        h.set_gid(u64::from(gid.min(0o7_777_777)));
        h.set_mtime(u64::try_from(modified.seconds).unwrap_or(0).min(MAX_OCTAL_SIZE));
        h.set_size(entry.size.min(MAX_OCTAL_SIZE));
        if let Some(device) = entry.meta.device {
            let failed = |e| Error::io("device number", e);
            h.set_device_major(device.major).map_err(failed)?;
            h.set_device_minor(device.minor).map_err(failed)?;
        }
        let old = h.as_old_mut();
        put_cut(&mut old.name, shown.as_bytes());
        put_cut(&mut old.linkname, &entry.link);
        h.set_cksum();
        Ok(h)
    }

    fn pax(&mut self, records: &[(String, Vec<u8>)]) -> Result<()> {
        let mut body = Vec::new();
        for (name, value) in records {
            record(&mut body, name, value);
        }
        let mut h = tar::Header::new_ustar();
        h.set_entry_type(tar::EntryType::XHeader);
        h.set_mode(0o644);
        h.set_uid(0);
        h.set_gid(0);
        h.set_mtime(0);
        h.set_size(to_u64(body.len()));
        put_cut(&mut h.as_old_mut().name, b"PaxHeaders/entry");
        h.set_cksum();
        self.raw(h.as_bytes())?;
        self.raw(&body)?;
        self.pad(to_u64(body.len()))
    }

    /// Attributes as pax records, or as an AppleDouble entry before the object.
    fn mac(
        &mut self,
        item: &Item<'_>,
        path: &str,
        object: &mut Object<'_>,
    ) -> Outcome<Vec<(String, Vec<u8>)>> {
        let how = self.options.mac;
        if how == MacMetadata::None || !mac::may_have(item.meta) {
            return Ok(Vec::new());
        }
        let not_kept = &mut object.not_kept;
        let mut data = MacData::read(&item.part.from, item.meta, item.part.backup, not_kept)?;
        // Its length is promised before it is written.
        data.prove_fork(&mut self.reader, &mut Runs::new(self.progress))?;
        self.account.unreadable(&data, not_kept);
        let mut records = Vec::new();
        if how != MacMetadata::AppleDouble {
            data.give(self.options.xattr_names, &mut |name, value| {
                records.push((format!("SCHILY.xattr.{name}"), value.to_vec()));
                true
            })?;
        } else if let Some(birth) = data.birth {
            records.push(("LIBARCHIVE.creationtime".into(), decimal(birth).into_bytes()));
        }
        let left = data.left();
        if left.is_empty() {
            // All of it is in the records.
        } else if mac::may_have_sidecars(how)
            && let Some(header) = data.apple_double()
        {
            data.kept_fork();
            let fork = data.fork.as_ref().map(|fork| &fork.source);
            self.sidecar(item, path, &header, fork)?;
        } else {
            object.not_kept.extend(left);
        }
        object.doubt = object.doubt.take().or_else(|| data.doubt());
        Ok(records)
    }

    fn sidecar(
        &mut self,
        item: &Item<'_>,
        path: &str,
        header: &[u8],
        fork: Option<&Source>,
    ) -> Outcome<()> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let path =
            if folder.is_empty() { format!("._{name}") } else { format!("{folder}/._{name}") };
        let size = to_u64(header.len()) + fork.map_or(0, |f| f.len());
        let mut meta = item.meta.clone();
        meta.mode = (meta.mode & 0o666) | 0o600;
        let entry =
            Entry { path, kind: b'0', meta: &meta, size, link: Vec::new(), records: Vec::new() };
        self.header(&entry)?;
        self.raw(header)?;
        if let Some(fork) = fork {
            self.stream(fork, std::slice::from_ref(&(0..fork.len())), None)?;
        }
        Ok(self.pad(size)?)
    }

    /// Write ranges of a stream. What cannot be read once the header is out is an error
    /// that ends the archive: the length has been promised.
    fn stream(
        &mut self,
        source: &Source,
        data: &[Range<u64>],
        mut sum: Option<&mut Cksum>,
    ) -> Outcome<()> {
        let mut buf = vec![0; 256 << 10];
        for range in data {
            let mut at = range.start;
            while at < range.end {
                let n = to_usize(range.end - at).min(buf.len());
                let piece = buf.get_mut(..n).unwrap_or_default();
                source.read_at(piece, at).map_err(Failure::Fatal)?;
                if let Some(sum) = &mut sum {
                    sum.update(piece);
                }
                self.out
                    .write_all(piece)
                    .map_err(|e| Failure::Fatal(Error::io("cannot write the archive", e)))?;
                at += to_u64(n);
                self.progress.advance(to_u64(n));
                self.progress.check()?;
            }
        }
        Ok(())
    }

    fn file(&mut self, item: &Item<'_>, path: &str) -> Outcome<Object<'static>> {
        let opened = item.part.from.open(item.meta.id, &Stream::Data)?;
        let source = opened.source.clone();
        // A file is read twice: first to know that it can be read, and where it is empty.
        // An archive cannot take back what it has begun.
        let (data, mistrusted) = self.survey(item, &opened)?;
        let mut object = Object::new("", Kind::File, Did::Restored);
        object.doubt = opened.doubt().map(|d| zeros("it", &d)).or(mistrusted);
        let records = self.mac(item, path, &mut object)?;
        let stored: u64 = data.iter().map(|r| r.end - r.start).sum();
        let sparse = stored < source.len();
        let mut entry = Entry {
            path: path.to_owned(),
            kind: b'0',
            meta: item.meta,
            size: source.len(),
            link: Vec::new(),
            records,
        };
        let map = if sparse { sparse_map(&data, source.len()) } else { Vec::new() };
        if sparse {
            make_sparse(&mut entry, source.len(), to_u64(map.len()) + stored);
        }
        self.header(&entry)?;
        self.raw(&map)?;
        self.stream(&source, &data, None)?;
        self.pad(entry.size)?;
        if u32::from(item.meta.mode) & 0o6000 != 0 && !self.options.setid {
            object.not_kept.push(NotKept::SetId);
        }
        object.bytes = source.len();
        Ok(object)
    }

    /// The ranges of a file that hold anything. An error if it cannot be read, or is not
    /// what Time Machine recorded.
    fn survey(&mut self, item: &Item<'_>, opened: &Opened) -> Outcome<Surveyed> {
        let mut runs = Runs::new(self.progress);
        let recorded = match self.options.ignore_checksums {
            true => None,
            false => crate::extract::damage::readable_checksum(&*item.part.from.fs, item.meta),
        };
        let mut sum = recorded.map(|_| Cksum::default());
        self.reader.copy(&opened.source, &mut runs, sum.as_mut())?;
        if let (Some(recorded), Some(sum)) = (recorded, sum)
            && !opened.has_lost()
        {
            let found = sum.finish();
            let text = wrong_checksum(recorded, found);
            match self.rule.judge(item.meta.id, item.part.agrees(item.meta, recorded, found)) {
                Verdict::Agrees => {}
                Verdict::Damaged => {
                    return Err(Failure::Source(Error::corrupt("contents", text)));
                }
                Verdict::Doubtful => return Ok((runs.data, Some(text))),
            }
        }
        Ok((runs.data, None))
    }

    fn one(&mut self, item: &Item<'_>, path: &str) -> Outcome<Object<'static>> {
        let key = (item.number, item.meta.id);
        let mut entry = Entry {
            path: path.to_owned(),
            kind: b'1',
            meta: item.meta,
            size: 0,
            link: Vec::new(),
            records: Vec::new(),
        };
        if let Some((first, flaws)) = self.first.get(&key) {
            let mut object = Object::new("", item.meta.kind, Did::Restored);
            object.share(flaws);
            entry.link = first.clone().into_bytes();
            self.header(&entry)?;
            return Ok(object);
        }
        let object = match item.meta.kind {
            Kind::File => self.file(item, path)?,
            Kind::Socket => {
                let mut object = Object::new("", Kind::Socket, Did::LeftOut);
                object.reason = Some("archives hold no sockets".into());
                object
            }
            Kind::CharDevice | Kind::BlockDevice if !self.options.devices => {
                let mut object = Object::new("", item.meta.kind, Did::LeftOut);
                object.reason = Some("devices are made with --devices only".into());
                object
            }
            kind => {
                entry.kind = match kind {
                    Kind::Symlink => b'2',
                    Kind::CharDevice => b'3',
                    Kind::BlockDevice => b'4',
                    _ => b'6',
                };
                if kind == Kind::Symlink {
                    entry.link = item.part.from.read_link(item.meta)?;
                }
                self.header(&entry)?;
                Object::new("", kind, Did::Restored)
            }
        };
        if self.linked.contains(&key) && object.did == Did::Restored {
            self.first.insert(key, (path.to_owned(), object.flaws(0)));
        }
        Ok(object)
    }
}

impl<W: Write> Traveller for Archiver<'_, W> {
    fn enter(&mut self, item: &Item<'_>) -> Result<bool> {
        self.progress.check()?;
        let path = self.path(item.name);
        let mut object = Object::new(item.path, Kind::Directory, Did::Restored);
        let records = match self.mac(item, &path, &mut object) {
            Ok(records) => records,
            Err(Failure::Interrupted) => return Err(Error::Interrupted),
            Err(Failure::Fatal(e)) => return Err(e),
            Err(_) => {
                object.not_kept.push(NotKept::Attribute);
                Vec::new()
            }
        };
        let entry = Entry {
            path: path.clone(),
            kind: b'5',
            meta: item.meta,
            size: 0,
            link: Vec::new(),
            records,
        };
        self.header(&entry)?;
        self.account.tell(&object);
        self.at.push(path);
        Ok(true)
    }

    fn object(&mut self, item: &Item<'_>) -> Result<()> {
        self.progress.check()?;
        self.progress.beside(1);
        self.progress.at(item.path);
        let path = self.path(item.name);
        match self.one(item, &path) {
            Ok(object) => self.account.tell(&Object { path: item.path, ..object }),
            Err(Failure::Interrupted) => return Err(Error::Interrupted),
            Err(Failure::Fatal(e)) => return Err(e.within(item.path)),
            Err(Failure::Source(e) | Failure::There(e) | Failure::Refused(e)) => {
                let kind = Some(item.meta.kind);
                self.account.tell(&Object::failed(item.path, kind, e.to_string()));
            }
        }
        Ok(())
    }

    fn leave(&mut self) -> Result<()> {
        self.at.pop();
        Ok(())
    }

    fn unreachable(&mut self, path: &str, kind: Option<Kind>, reason: &Error) {
        self.account.tell(&Object::failed(path, kind, reason.to_string()));
    }
}

/// Collects where a file is not empty.
struct Runs<'a> {
    data: Vec<Range<u64>>,
    progress: &'a dyn Progress,
}

impl<'a> Runs<'a> {
    fn new(progress: &'a dyn Progress) -> Self {
        Self { data: Vec::new(), progress }
    }
}

impl Pieces for Runs<'_> {
    fn put(&mut self, bytes: &[u8], offset: u64) -> Outcome<()> {
        let range = offset..offset + to_u64(bytes.len());
        match self.data.last_mut() {
            Some(last) if range.start - last.end < SMALLEST_HOLE => last.end = range.end,
            _ => self.data.push(range),
        }
        Ok(())
    }
    fn passed(&mut self, _: u64) -> Outcome<()> {
        Ok(self.progress.check()?)
    }
}

fn make_sparse(entry: &mut Entry<'_>, real: u64, stored: u64) {
    let (folder, name) = match entry.path.rsplit_once('/') {
        Some((folder, name)) => (folder.to_owned(), name.to_owned()),
        None => (".".into(), entry.path.clone()),
    };
    let records = [
        ("GNU.sparse.major", "1".to_owned()),
        ("GNU.sparse.minor", "0".to_owned()),
        ("GNU.sparse.name", entry.path.clone()),
        ("GNU.sparse.realsize", real.to_string()),
    ];
    entry.records.extend(records.map(|(name, value)| (name.to_owned(), value.into_bytes())));
    entry.path = format!("{folder}/GNUSparseFile.0/{name}");
    entry.size = stored;
}
