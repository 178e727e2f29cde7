//! The rule: what to think of a run of bytes that no band stores.

use super::kept::StoredZeros;
use crate::fs::{FileSystem, Kind, NodeId, Owned, Owner, Stream, ViewId, Views, Zeros};
use crate::io::{Presence, RangeSums, ReadAt};
use crate::report::STANDS_IN;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// What can be said of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// They are there.
    Stored,
    /// They read as zeros, and nothing speaks against it.
    Free,
    /// They read as zeros, and nobody can tell whether they were written.
    Doubtful,
    /// They were written and are not there.
    Lost,
}

/// A standing and the reason for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The standing.
    pub standing: Standing,
    /// How it is known: the second half of a sentence.
    pub why: String,
}

/// Opens a view of the volume; `None` if that cannot be read.
pub type OpenView<'a> = &'a dyn Fn(ViewId) -> Option<Arc<dyn FileSystem>>;

/// A stream that has bytes in a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Held {
    /// Bytes, by the views in which the stream has them.
    bytes: Vec<(Views, u64)>,
    /// Packed, or the target of a link: never zeros.
    dense: bool,
    whole: bool,
}

/// What is known of a run of absent bytes within one band.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Zeros that were written would be stored: they are encrypted.
    pub encrypted: bool,
    /// What zeros mean on the volume.
    pub zeros: Zeros,
    /// The bundle's own record says that something in it was written.
    pub mapped: bool,
    /// An earlier run has read it.
    pub known: bool,
    /// Files that have data for these bytes.
    pub alternates: Vec<String>,
    /// It lies in a bundle's bands, which no one makes sparse by files.
    pub banded: bool,
    /// The one file that has bytes in it has data up to both of its ends
    /// ([`Around`](super::Around)).
    pub surrounded: bool,
    /// Of a hole: whether this copy stores such zeros elsewhere.
    pub stored_zeros: StoredZeros,
    streams: BTreeMap<(NodeId, Stream), Held>,
    /// A record of the volume's own that lies in it and was certainly written.
    record: Option<String>,
}

impl Facts {
    /// Take in what lies in the run, `absent`, in whichever view; `owned` is in order of
    /// first bytes.
    pub fn own(&mut self, view: OpenView<'_>, owned: &[Owned], absent: &[Range<u64>]) {
        let longest = owned.iter().map(|o| o.range.end - o.range.start).max().unwrap_or(0);
        let sums = RangeSums::new(absent);
        let (start, end) = (sums.first().unwrap_or(0), sums.last().unwrap_or(0));
        let first = owned.partition_point(|o| o.range.start < start.saturating_sub(longest));
        let near = owned.get(first..).unwrap_or_default().iter();
        for o in near.take_while(|o| o.range.start < end) {
            let bytes = sums.below(o.range.end) - sums.below(o.range.start);
            match &o.owner {
                _ if bytes == 0 => {}
                Owner::Stream { node, stream, .. } => {
                    self.stream(*node, stream, &o.views, bytes);
                }
                Owner::Structure { name, in_use: true, .. } => {
                    self.record.get_or_insert_with(|| name.clone());
                }
                // A tree has nodes that were never used, a file's last block is never full.
                Owner::Structure { .. } | Owner::Slack(_) => {}
            }
        }
        for ((node, stream), held) in &mut self.streams {
            held.weigh(view, *node, stream);
        }
    }

    /// Take in a stream that has `bytes` in the run, in these views, and is longer than that.
    pub fn stream(&mut self, node: NodeId, stream: &Stream, views: &Views, bytes: u64) {
        let held = self.streams.entry((node, stream.clone())).or_default();
        match held.bytes.iter_mut().find(|(of, _)| of == views) {
            Some((_, sum)) => *sum += bytes,
            None => held.bytes.push((views.clone(), bytes)),
        }
    }

    /// The files whose contents lie in the run, each with a view in which they do.
    pub fn files(&self) -> impl Iterator<Item = (ViewId, NodeId)> {
        let data = self.streams.iter().filter(|((_, stream), _)| *stream == Stream::Data);
        data.map(|((node, _), held)| (held.views().next().unwrap_or(ViewId::LIVE), *node))
    }

    /// Whether nothing but files' contents, neither packed nor links, lie in the run.
    pub(super) fn is_files_only(&self) -> bool {
        self.streams.iter().all(|((_, stream), held)| *stream == Stream::Data && !held.dense)
    }

    /// The stream of which a part, and nothing else, lies in the run.
    pub(super) fn part_of(&self) -> Option<(ViewId, NodeId, Stream)> {
        let mut all = self.streams.iter();
        let (Some(((node, stream), held)), None) = (all.next(), all.next()) else { return None };
        let view = held.views().next().unwrap_or(ViewId::LIVE);
        (!held.whole).then(|| (view, *node, stream.clone()))
    }

    /// What to think of all that lies in the run, the volume's own records included.
    pub(super) fn judge_all(&self, how: Presence) -> Judged {
        let judged = self.judge(how);
        match &self.record {
            Some(name) if judged.standing < Standing::Lost && how != Presence::Hole => {
                let why = format!("the volume's own records lie there: {name}");
                Judged { standing: Standing::Lost, why }
            }
            _ => judged,
        }
    }

    /// What to think of files' bytes in the run.
    pub fn judge(&self, how: Presence) -> Judged {
        let lost = |why: String| Judged { standing: Standing::Lost, why };
        let doubtful = |why: &str| Judged { standing: Standing::Doubtful, why: why.into() };
        let whole = self.streams.values().filter(|h| h.whole).count();
        // A server that keeps zeros as holes has many that are right; encrypted zeros are
        // no zeros.
        let cipher = self.encrypted || self.zeros == Zeros::Ciphertext;
        let hole = how == Presence::Hole && !cipher;
        let written = self.zeros == Zeros::Written;
        if !how.is_absent() || self.streams.is_empty() {
            return Judged { standing: Standing::Free, why: "nothing in use lies there".into() };
        }
        if how == Presence::Unreadable {
            return lost("nothing is known of these bytes".into());
        }
        if self.known && how == Presence::Missing {
            return lost("an earlier verify --manifest has read it".into());
        }
        if self.mapped && !hole {
            return lost("the bundle's own record (mapped/) says that it was written".into());
        }
        if let Some(path) = self.alternates.first() {
            return lost(format!("'{path}' {STANDS_IN}"));
        }
        let attribute = |s: &(NodeId, Stream)| matches!(s.1, Stream::Attribute(_));
        if self.streams.values().any(|h| h.dense) || self.streams.keys().any(attribute) {
            let text = "the same stretch has compressed files, links or attributes in it, which are never zeros";
            return lost(text.into());
        }
        // Of zeros in a hole nobody can tell, unless whole files were all of them.
        match (self.streams.len(), whole) {
            (n @ 2.., _) if !hole => {
                lost(format!("{n} files have data there, which are hardly all zeros"))
            }
            (_, 2..) if self.banded => {
                lost(format!("{whole} whole files lie in the hole, which are hardly all zeros"))
            }
            (1, 1) if !hole => lost("a file lies there with all that it has".into()),
            (_, n @ 2..) if hole && written => {
                lost(format!("{n} files lie in a hole with all that they have"))
            }
            // What keeps zeros as holes does so everywhere.
            (1, 0) if hole && !written && self.stored_zeros == StoredZeros::Alike => doubtful(
                "a hole under a stretch of one larger file, though this copy stores such \
                 zeros elsewhere: never written, or lost",
            ),
            (1, 0)
                if hole
                    && !written
                    && self.surrounded
                    && self.stored_zeros == StoredZeros::Smaller =>
            {
                doubtful(
                    "the file has data right up to both ends of the hole: zeros that were not \
                     stored, or lost",
                )
            }
            (1, 0) if hole && !written => Judged {
                standing: Standing::Free,
                why: "a stretch of one larger file, kept as a hole".into(),
            },
            (1, 0) if hole => doubtful(
                "a stretch of one larger file that was written: zeros that were not stored, \
                      or lost",
            ),
            (1, 0) if self.surrounded => lost(
                "the file has data right up to both ends of it, where zeros hardly begin".into(),
            ),
            (1, 0) => doubtful(
                "all of one larger file: perhaps a stretch of zeros that was never written",
            ),
            _ => doubtful(
                "several or whole files lie in a hole: zeros that were not stored, or lost",
            ),
        }
    }
}

impl Held {
    /// A view for each state in which the stream has bytes in the run.
    fn views(&self) -> impl Iterator<Item = ViewId> {
        self.bytes.iter().filter_map(|(views, _)| views.iter().next())
    }

    /// Find out whether it is never zeros, and whether in any view all of it lies in the run.
    fn weigh(&mut self, view: OpenView<'_>, node: NodeId, stream: &Stream) {
        let states: Vec<ViewId> = self.views().collect();
        for at in states {
            let Some(fs) = view(at) else { continue };
            let Ok(meta) = fs.metadata(node) else { continue };
            let size = match stream {
                Stream::Data => meta.size,
                _ => fs.open(node, stream).map_or(0, |s| s.len()),
            };
            let here = self.bytes.iter().filter(|(views, _)| views.contains(at));
            let bytes: u64 = here.map(|(_, bytes)| bytes).sum();
            self.dense |= meta.kind == Kind::Symlink
                || meta.compressed && !matches!(stream, Stream::Attribute(_));
            self.whole |= self.dense || bytes >= size;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(streams: &[(u64, bool)]) -> Facts {
        let mut facts = Facts::default();
        for (n, whole) in streams {
            facts.stream(NodeId(*n), &Stream::Data, &Views::live(), 100);
            facts.streams.get_mut(&(NodeId(*n), Stream::Data)).unwrap().whole = *whole;
        }
        facts
    }

    #[test]
    fn who_lies_there_decides() {
        use Presence::{Hole, Missing, Short};
        use Standing::{Doubtful, Free, Lost};
        /// Who lies there (number, whether nothing else does), how it is absent, what follows.
        type Case = (&'static [(u64, bool)], Presence, Standing);
        let cases: &[Case] = &[
            (&[], Missing, Free),
            (&[(20, false)], Missing, Doubtful),
            (&[(20, false)], Short, Doubtful),
            (&[(20, false)], Hole, Free),
            (&[], Presence::Unreadable, Free),
            (&[(20, false)], Presence::Unreadable, Lost),
            (&[(20, true)], Presence::Unreadable, Lost),
            (&[(20, true)], Missing, Lost),
            (&[(20, true)], Hole, Doubtful),
            (&[(20, false), (21, false)], Short, Lost),
            (&[(20, false), (21, false)], Hole, Doubtful),
            (&[(20, true), (21, true)], Hole, Doubtful),
        ];
        for (streams, how, standing) in cases {
            assert_eq!(facts(streams).judge(*how).standing, *standing, "{streams:?} {how:?}");
        }
        let encrypted = Facts { encrypted: true, ..facts(&[(20, false)]) };
        assert_eq!(encrypted.judge(Hole).standing, Doubtful);
        // Where blocks are given only to what is written, a hole is never out of doubt.
        let in_hole = |zeros, streams| Facts { zeros, ..facts(streams) }.judge(Hole).standing;
        assert_eq!(in_hole(Zeros::Written, &[(20, false)]), Doubtful);
        assert_eq!(in_hole(Zeros::Written, &[(20, true)]), Doubtful);
        assert_eq!(in_hole(Zeros::Written, &[(20, true), (21, true)]), Lost);
        assert_eq!(in_hole(Zeros::Ciphertext, &[(20, false)]), Doubtful);
        assert_eq!(in_hole(Zeros::Ciphertext, &[(20, true)]), Lost);
        let surrounded = |n: &[(u64, bool)]| Facts { surrounded: true, ..facts(n) };
        assert_eq!(surrounded(&[(20, false)]).judge(Missing).standing, Lost);
        assert_eq!(surrounded(&[(20, false)]).judge(Hole).standing, Free);
        // A copy that stores zeros has no holes for them.
        for (stored_zeros, surrounded, standing) in [
            (StoredZeros::Alike, false, Doubtful),
            (StoredZeros::Alike, true, Doubtful),
            (StoredZeros::Smaller, true, Doubtful),
            (StoredZeros::Smaller, false, Free),
            (StoredZeros::None, true, Free),
        ] {
            let facts = Facts { stored_zeros, surrounded, ..facts(&[(20, false)]) };
            assert_eq!(facts.judge(Hole).standing, standing, "{stored_zeros:?} {surrounded}");
        }
        // In a raw image a hole may be whole files of zeros; in a band that is no chance.
        let banded = |n: &[(u64, bool)]| Facts { banded: true, ..facts(n) };
        assert_eq!(banded(&[(20, true), (21, true)]).judge(Hole).standing, Lost);
        assert_eq!(banded(&[(20, true), (21, false)]).judge(Hole).standing, Doubtful);
        assert_eq!(banded(&[(20, true)]).judge(Hole).standing, Doubtful);
    }

    #[test]
    fn what_is_known_of_the_band_decides_first() {
        for known in [
            Facts { known: true, ..facts(&[(20, false)]) },
            Facts { mapped: true, ..facts(&[(20, false)]) },
            Facts { alternates: vec!["bands/9 2".into()], ..facts(&[(20, false)]) },
        ] {
            assert_eq!(known.judge(Presence::Missing).standing, Standing::Lost);
            // A server may keep zeros that were written as a hole.
            let in_hole = known.judge(Presence::Hole).standing;
            assert_eq!(in_hole == Standing::Lost, !known.alternates.is_empty());
        }
    }
}
