//! The data pass: read every stream of every chosen file once, in the order of the
//! disk, decode what is compressed, and compare with Time Machine's checksums.

mod claims;
mod names;
mod plan;
mod queue;
mod read;
mod tally;

use super::Subset;
use crate::error::Result;
use crate::fs::{FileSystem, NodeId, ViewId, Views, Volume};
use crate::io::threads;
use crate::report::words::{bytes, count, percent, plural};
use crate::report::{Progress, Reporter, Unit};
use claims::Claims;
use names::Names;
use plan::Plan;
use queue::Queue;
use read::Reader;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tally::Tally;

/// Goes along with the pass, to use what it brings into the server's cache.
pub trait ReadAlong: Sync {
    /// A new pass over the disk begins; offsets start low again.
    fn sweep(&self) {}

    /// Bytes that it will read on the way, for the progress.
    fn bytes(&self) -> u64 {
        0
    }

    /// The disk is about to be read from this byte on. Offsets only rise within a
    /// sweep, but a little behind them may still be read, too: files in pieces lead
    /// back. The pass waits for the return; an error ends it.
    fn before(&self, offset: u64) -> Result<()>;
}

/// Opens a view.
pub type OpenView<'a> = &'a (dyn Fn(ViewId) -> Result<Arc<dyn FileSystem>> + Sync);

/// What to read, and of what.
pub struct Pass<'a> {
    /// The volume.
    pub volume: &'a dyn Volume,
    /// The views of it whose files are read; what they share is read once.
    pub views: Views,
    /// Opens one of them.
    pub view: OpenView<'a>,
    /// The best path of an object of a view, for findings.
    pub name: &'a (dyn Fn(ViewId, NodeId) -> Option<String> + Sync),
    /// How much to read.
    pub subset: Subset,
    /// The day, counted from any day: decides whose turn it is.
    pub day: u64,
    /// Threads that read; 0 for as many as there are processors, at most four.
    pub jobs: usize,
    /// Who goes along.
    pub along: Option<&'a dyn ReadAlong>,
}

/// What was read, and what the checksums said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// Regular files on the volume, each counted once however many names it has; of a volume
    /// with snapshots, those that differ in where their contents lie.
    pub files: u64,
    /// Those that were read in this run.
    pub files_read: u64,
    /// Bytes that the streams of all files take as stored.
    pub bytes: u64,
    /// Those that were read.
    pub bytes_read: u64,
    /// Files, links and folders with something that could not be read or decoded.
    pub unreadable: u64,
    /// Files that were read and carry a checksum of Time Machine's.
    pub with_checksum: u64,
    /// Of these, those whose contents match.
    pub agree: u64,
    /// Those whose contents do not.
    pub disagree: u64,
}

impl Contents {
    /// Add what was read of another volume.
    pub fn add(&mut self, other: &Self) {
        self.files += other.files;
        self.files_read += other.files_read;
        self.bytes += other.bytes;
        self.bytes_read += other.bytes_read;
        self.unreadable += other.unreadable;
        self.with_checksum += other.with_checksum;
        self.agree += other.agree;
        self.disagree += other.disagree;
    }

    /// One line for people.
    pub fn text(&self) -> String {
        let (files, all) = (count(self.files_read), plural(self.files, "file", "files"));
        let (read, size) = (bytes(self.bytes_read), bytes(self.bytes));
        let mut text = if self.files_read == self.files && self.bytes_read == self.bytes {
            format!("{read} of {size} in {all} read")
        } else {
            let share = percent(self.bytes_read, self.bytes);
            format!("{share} of data read this run: {read} of {size} in {files} of {all}")
        };
        match (self.with_checksum, self.agree, self.disagree) {
            (0, ..) => text.push_str("; no checksums recorded"),
            (_, agree, 0) => text.push_str(&format!("; {} agree", checksums(agree))),
            (_, agree, not) => {
                text.push_str(&format!("; {} agree, {} do not", checksums(agree), count(not)));
            }
        }
        text
    }
}

fn checksums(n: u64) -> String {
    plural(n, "checksum", "checksums")
}

/// What a pass came to.
#[derive(Debug, Clone, Default)]
pub struct Done {
    /// What was read.
    pub contents: Contents,
    /// Whether every file could be listed.
    pub whole: bool,
}

/// Counts of what was read.
#[derive(Default)]
struct Counters {
    files: AtomicU64,
    bytes: AtomicU64,
    unreadable: AtomicU64,
}

/// Read what was chosen, and report what cannot be read, cannot be decoded or does not
/// match its checksum.
///
/// # Errors
/// [`crate::Error::Interrupted`], or what [`Pass::along`] returns.
pub fn read(pass: &Pass<'_>, reporter: &dyn Reporter, progress: &dyn Progress) -> Result<Done> {
    let bytes = pass.volume.bytes();
    let plan = Plan::new(pass, progress)?;
    let total = plan.chosen.bytes.saturating_add(pass.along.map_or(0, ReadAlong::bytes));
    progress.phase("reading the files' contents", total, Unit::Bytes);
    let threads = threads(pass.jobs).min(plan.items.len().max(1));
    let queue = Queue::new(&plan, &**bytes, pass.along, progress, threads);
    let (tally, counters) = (Tally::default(), Counters::default());
    let names = Names::new(pass.name, pass.volume.views().unwrap_or_default());
    let block = u64::from(pass.volume.about().block_size);
    let claims = (pass.views.count() > 1).then(|| Claims::new(block));
    let reader = |thread| Reader {
        view: pass.view,
        fs: None,
        claims: claims.as_ref(),
        volume_len: bytes.len(),
        queue: &queue,
        thread,
        tally: &tally,
        counters: &counters,
        names: &names,
        reporter,
        progress,
        buf: Vec::new(),
        cut: false,
    };
    std::thread::scope(|scope| {
        for thread in 1..threads {
            scope.spawn(move || reader(thread).run());
        }
        reader(0).run();
    });
    if let Some(error) = queue.into_failure() {
        return Err(error);
    }
    let sums = tally.finish(reporter, &names);
    let contents = Contents {
        files: plan.all.files,
        files_read: counters.files.load(Ordering::Relaxed),
        bytes: plan.all.bytes,
        bytes_read: counters.bytes.load(Ordering::Relaxed),
        unreadable: counters.unreadable.load(Ordering::Relaxed),
        with_checksum: sums.agree + sums.differ + sums.odd,
        agree: sums.agree,
        disagree: sums.differ,
    };
    Ok(Done { contents, whole: plan.whole })
}
