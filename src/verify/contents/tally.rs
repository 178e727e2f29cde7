//! What the recorded checksums come to, and whether to believe them.
//!
//! That the attribute holds the POSIX checksum of the contents rests on little
//! evidence (`formats/timemachine-hfs.md` section 4). If it were wrong, or wrong for
//! compressed files, next to none would agree; only that speaks against the rule and not
//! against the files. Where more agree, every mismatch is damage.

use super::names::Names;
use super::plan::Item;
use crate::fs::{NodeId, ViewId};
use crate::report::words::{count, percent};
use crate::report::{Code, Collector, Finding, Reporter, Structure, Where};
use std::sync::{Mutex, PoisonError};

/// Fewer comparisons than this say nothing about the rule.
const SAMPLE: u64 = 20;
/// Paths that a warning about the rule gives as examples.
const EXAMPLES: usize = 3;

/// How one file's contents compare with what is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compared {
    /// Equal.
    Agrees,
    /// Not equal.
    Differs {
        /// The value in the attribute.
        recorded: u32,
        /// That of the contents.
        found: u32,
        /// Whether bytes of it are missing on the server, so that no other reason is
        /// needed.
        lost: bool,
    },
    /// The attribute does not hold a checksum.
    Odd,
}

#[derive(Debug, Clone, Copy)]
struct Mismatch {
    view: ViewId,
    node: NodeId,
    recorded: u32,
    found: u32,
    compressed: bool,
}

/// Comparisons of one kind of file.
#[derive(Debug, Clone, Copy, Default)]
struct Group {
    agree: u64,
    differ: u64,
}

impl Group {
    fn compared(self) -> u64 {
        self.agree + self.differ
    }

    /// Next to none of a sample that says something agrees: less than 10 %.
    fn hopeless(self) -> bool {
        self.compared() >= SAMPLE && u128::from(self.agree) * 10 < u128::from(self.compared())
    }
}

#[derive(Default)]
struct State {
    plain: Group,
    compressed: Group,
    lost: u64,
    odd: u64,
    kept: Vec<Mismatch>,
}

/// Counts comparisons from several threads.
#[derive(Default)]
pub(super) struct Tally(Mutex<State>);

/// What the comparisons came to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sums {
    pub agree: u64,
    pub differ: u64,
    pub odd: u64,
}

impl Tally {
    pub fn add(&self, item: &Item, compared: Compared) {
        let (view, node, compressed) = (item.view, item.node(), item.compressed);
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *state;
        let group = if compressed { &mut state.compressed } else { &mut state.plain };
        match compared {
            Compared::Agrees => group.agree += 1,
            Compared::Odd => state.odd += 1,
            Compared::Differs { lost: true, .. } => state.lost += 1,
            Compared::Differs { recorded, found, lost: false } => {
                group.differ += 1;
                if usize::try_from(group.differ).is_ok_and(|n| n <= Collector::PER_CODE) {
                    state.kept.push(Mismatch { view, node, recorded, found, compressed });
                }
            }
        }
    }

    /// Report the mismatches, or the doubt in the rule, and sum up.
    pub fn finish(self, reporter: &dyn Reporter, names: &Names<'_>) -> Sums {
        let state = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        let (plain, compressed) = (state.plain, state.compressed);
        let all = Group {
            agree: plain.agree + compressed.agree,
            differ: plain.differ + compressed.differ,
        };
        let told = Told { reporter, names, kept: &state.kept };
        if all.hopeless() {
            told.doubt("checksums", all, |_| true);
        } else if compressed.hopeless() {
            told.doubt("checksums of compressed files", compressed, |m| m.compressed);
            told.damage(plain.differ, |m| !m.compressed);
        } else {
            told.damage(all.differ, |_| true);
        }
        Sums { agree: all.agree, differ: all.differ + state.lost, odd: state.odd }
    }
}

struct Told<'a> {
    reporter: &'a dyn Reporter,
    names: &'a Names<'a>,
    kept: &'a [Mismatch],
}

impl Told<'_> {
    fn doubt(&self, what: &str, group: Group, which: impl Fn(&Mismatch) -> bool) {
        let examples: Vec<String> = self
            .kept
            .iter()
            .filter(|m| which(m))
            .filter_map(|m| self.names.of(m.view, m.node))
            .take(EXAMPLES)
            .collect();
        let text = format!(
            "{} of {} recorded {what} ({}) do not fit the files' contents: next to none agrees, so \
             the rule by which they are made is not understood here; files are: {}",
            count(group.differ),
            count(group.compared()),
            percent(group.differ, group.compared()),
            examples.join(", "),
        );
        self.reporter.report(Finding::new(
            Code::FileChecksumRule,
            Where::of(Structure::Checksums),
            text,
        ));
    }

    fn damage(&self, differ: u64, which: impl Fn(&Mismatch) -> bool) {
        let mut told = 0;
        for m in self.kept.iter().filter(|m| which(m)) {
            let place = self.names.place(m.view, m.node);
            self.reporter.report(mismatch(place, m.recorded, m.found, ""));
            told += 1;
        }
        // Only counted by whoever listens.
        for _ in told..differ {
            let text = "contents do not match the checksum that Time Machine recorded";
            self.reporter.report(Finding::new(
                Code::FileChecksum,
                Where::of(Structure::File),
                text,
            ));
        }
    }
}

/// The finding for contents that do not match; `more` is appended to the sentence.
pub(super) fn mismatch(place: Where, recorded: u32, found: u32, more: &str) -> Finding {
    let unnamed = || format!("object {}", place.object.unwrap_or(0));
    let name = place.path.clone().unwrap_or_else(unnamed);
    let text = format!(
        "{name}: its contents have checksum {found}, Time Machine recorded {recorded} when it \
         copied the file{more}"
    );
    Finding::new(Code::FileChecksum, place, text)
}
