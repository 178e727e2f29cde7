//! How many objects each view has, and what its superblock says (section 5).

use super::breaks::Breaks;
use super::tables::Span;
use super::views::InTime;
use crate::apfs::Superblock;
use crate::io::bytes::usize32;
use crate::report::Rule;

/// Kinds in modes.
const FILE: u16 = 8;
const FOLDER: u16 = 4;
const SYMLINK: u16 = 10;

/// What the superblock counts: the rule, what it says, and how it is called.
type Counter = (Rule, fn(&Superblock) -> u64, &'static str);

const COUNTERS: [Counter; 4] = [
    (Rule::A112, |s| s.files, "files"),
    (Rule::A113, |s| s.folders, "folders"),
    (Rule::A114, |s| s.symlinks, "symbolic links"),
    (Rule::A115, |s| s.others, "other objects"),
];

/// Changes of the counts from view to view.
#[derive(Default)]
pub struct Counts {
    changes: [Vec<i64>; 4],
}

impl Counts {
    /// An inode of a kind is seen by these views.
    pub fn add(&mut self, kind: u16, span: Span) {
        let which = match kind {
            FILE => 0,
            FOLDER => 1,
            SYMLINK => 2,
            _ => 3,
        };
        let Some(changes) = self.changes.get_mut(which) else { return };
        let until = usize32(span.until);
        if changes.len() <= until {
            changes.resize(until + 1, 0);
        }
        for (at, sign) in [(usize32(span.from), 1), (until, -1)] {
            if let Some(n) = changes.get_mut(at) {
                *n += sign;
            }
        }
    }

    /// Compare with the superblocks of views that are whole.
    pub fn check(&self, views: &InTime, breaks: &mut Breaks) {
        for ((rule, says, what), changes) in COUNTERS.into_iter().zip(&self.changes) {
            let (mut has, mut wrong): (i64, Option<(Span, u64, u64)>) = (0, None);
            for (i, view) in views.iter() {
                has += changes.get(usize32(i)).copied().unwrap_or(0);
                let Some(says) = views.superblock(i).filter(|_| view.whole).map(says) else {
                    continue;
                };
                let has = has.max(0).cast_unsigned();
                if says == has {
                    continue;
                }
                // One finding for all views: the newest is told of.
                let span = Span { from: wrong.map_or(i, |w| w.0.from), until: i + 1 };
                wrong = Some((span, says, has));
            }
            if let Some((span, says, has)) = wrong {
                breaks.add(rule, 0, span, || {
                    format!("the superblock counts {says} {what}, and there are {has}")
                });
            }
        }
    }
}
