//! Reading the contents of a volume in memory, and watching where it is read.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use tmbundle::Result;
use tmbundle::error::Locus;
use tmbundle::fs::{FileSystem, Step, Stream, Views, walk};
use tmbundle::hfsplus::HfsPlus;
use tmbundle::io::{Memory, ReadAt, Source, read_vec};
use tmbundle::report::{Collector, Finding, NoProgress, Progress};
use tmbundle::timemachine::Appearances;
use tmbundle::verify::Subset;
use tmbundle::verify::contents::{Done, Pass, ReadAlong, read};
use tools::cksum::cksum;
use tools::hfs::{Content, Meta, Volume, VolumeBuilder, VolumeOptions};
use tools::timemachine::CHECKSUM;

/// How a pass is made.
pub struct How<'a> {
    pub subset: Subset,
    pub day: u64,
    pub jobs: usize,
    pub along: Option<&'a dyn ReadAlong>,
    pub progress: &'a dyn Progress,
}

pub const ALL: How =
    How { subset: Subset::All, day: 0, jobs: 1, along: None, progress: &NoProgress };

pub fn try_pass(source: Source, how: How<'_>) -> Result<(Done, Vec<Finding>)> {
    let hfs = Arc::new(HfsPlus::open(source)?);
    let at = Mutex::new(Appearances::new(hfs.clone(), None));
    let pass = Pass {
        views: Views::live(),
        view: &|_| Ok(hfs.clone()),
        volume: &*hfs,
        name: &|_, node| {
            let address = at.lock().unwrap().of(node).address;
            address.strip_prefix("volume:/").map(str::to_owned)
        },
        subset: how.subset,
        day: how.day,
        jobs: how.jobs,
        along: how.along,
    };
    let collector = Collector::default();
    let done = read(&pass, &collector, how.progress)?;
    Ok((done, collector.into_findings().0))
}

pub fn pass(source: Source, how: How<'_>) -> (Done, Vec<Finding>) {
    try_pass(source, how).unwrap()
}

/// Hashes of the contents of all files that can be read, by path; what cannot is left out.
pub fn readable(fs: &dyn FileSystem) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let Ok(root) = fs.metadata(fs.root()) else { return found };
    let _ = walk(
        fs,
        &root,
        &mut |e| {
            if let Ok(meta) = &e.entry.node
                && let Ok(data) = fs.open(meta.id, &Stream::Data)
                && let Ok(bytes) = read_vec(&*data, 0, data.len() as usize)
            {
                found.insert(e.path.to_owned(), super::sha256(&bytes));
            }
            Ok(Step::Into)
        },
        &mut |_, _| Ok(()),
    );
    found
}

pub fn memory(image: &tools::Image) -> Source {
    Arc::new(Memory::new(image.to_vec()))
}

/// Remembers where it was read.
pub struct Recorder {
    pub inner: Source,
    pub reads: Arc<Mutex<Vec<u64>>>,
}

impl ReadAt for Recorder {
    fn len(&self) -> u64 {
        self.inner.len()
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.reads.lock().unwrap().push(offset);
        self.inner.read_at(buf, offset)
    }
    fn locate(&self, offset: u64) -> Option<Locus> {
        // As in a partition that does not begin with the disk.
        self.inner.locate(offset + 20_480)
    }
}

/// CNIDs that the writer gives to the journal's two files.
pub const JOURNAL: Range<u32> = 16..18;

/// The first byte of each fork of a user's file, and the file.
pub fn forks(volume: &Volume) -> BTreeMap<u64, u32> {
    let block = |n: u32| volume.layout.block(n);
    let theirs = |id: u32| id >= JOURNAL.end;
    let all = volume.layout.forks().filter(|(id, _, extents)| theirs(*id) && !extents.is_empty());
    all.map(|(id, _, extents)| (block(extents[0].start), id)).collect()
}

/// The first bytes of forks that one pass reads, in the order of reading.
pub fn firsts_read(volume: &Volume, how: How<'_>) -> Vec<u64> {
    let reads = Arc::new(Mutex::new(Vec::new()));
    let source = Recorder { inner: memory(&volume.image), reads: reads.clone() };
    pass(Arc::new(source), how);
    let firsts = forks(volume);
    let reads = reads.lock().unwrap();
    reads.iter().copied().filter(|at| firsts.contains_key(at)).collect()
}

/// A volume of `n` files that carry checksums.
pub fn checksummed(n: u64, wrong: impl Fn(u64) -> bool) -> VolumeBuilder {
    let mut v = VolumeBuilder::new(VolumeOptions::default());
    let root = v.root();
    let dir = v.mkdir(root, "docs", Meta::dir());
    for i in 0..n {
        let content = Content::text(i, 300 + i as usize);
        let sum = cksum(&content.to_vec()) ^ u32::from(wrong(i));
        let id = v.file(dir, &format!("file {i:04}"), content, Meta::file());
        v.set_xattr(id, CHECKSUM, sum.to_le_bytes().to_vec());
    }
    v
}
