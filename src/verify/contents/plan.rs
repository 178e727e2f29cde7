//! Which streams to read in this run, and in which order.

use super::super::Subset;
use super::{OpenView, Pass};
use crate::error::Result;
use crate::fs::{FileSystem, Kind, NodeId, Stored, ViewId};
use crate::report::Progress;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// Classes that files fall into when the clock sets the bound; a prime, so that every
/// step through them meets all.
const CLASSES: u64 = 251;
/// Classes from one day's first to the next day's. Chosen so that the first classes of
/// any N runs, one a day or one a week, lie nowhere further apart than 2.2 × 251 / N:
/// whatever one run gets done, 2.2 times as many runs as it would take without
/// overlaps have read everything.
const STRIDE: u64 = 78;

/// What there is to read of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// The contents of a file, and its extended attributes.
    Contents,
    /// The resource fork of a file whose contents are not compressed.
    Resource,
    /// A symbolic link's target, and its extended attributes.
    Link,
    /// Only extended attributes: of a folder, a device, a fifo.
    Attributes,
}

/// A stream to read. 40 bytes: there may be ten million.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    /// Its first byte in the volume; `u64::MAX` if it has no blocks.
    pub first: u64,
    /// The object.
    pub id: u64,
    /// Stored bytes.
    pub bytes: u64,
    /// Decides about the object's class; the same on every day.
    hash: u32,
    /// A view it is in.
    pub view: ViewId,
    pub what: What,
    pub compressed: bool,
    pub has_xattrs: bool,
}

impl Item {
    /// The object's number.
    pub fn node(&self) -> NodeId {
        NodeId(self.id)
    }

    /// Its class of `of`.
    fn class(&self, of: u64) -> u64 {
        (u64::from(self.hash) * of) >> 32
    }
}

/// Regular files, and stored bytes of all streams.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Total {
    pub files: u64,
    pub bytes: u64,
}

impl Total {
    fn add(&mut self, item: &Item) {
        self.files += u64::from(item.what == What::Contents);
        self.bytes = self.bytes.saturating_add(item.bytes);
    }
}

/// What to read.
pub(super) struct Plan {
    /// In the order of reading.
    pub items: Vec<Item>,
    /// Everything on the volume.
    pub all: Total,
    /// What was chosen; with a time budget, all of it.
    pub chosen: Total,
    /// How long reading may go on.
    pub time: Option<Duration>,
    /// The class that comes first, where the clock sets the bound.
    turn: Option<u64>,
    /// Whether the catalog could be read whole.
    pub whole: bool,
}

/// The part of `of` that is read, counted from 0.
#[derive(Debug, Clone, Copy)]
struct Part {
    n: u64,
    of: u64,
}

impl Part {
    const ALL: Self = Self { n: 0, of: 1 };

    fn has(self, item: &Item) -> bool {
        item.class(self.of) == self.n
    }

    /// The part whose turn it is on this day, of so many that none is larger than
    /// `share` of `whole`.
    fn of_the_day(share: u64, whole: u64, day: u64) -> Self {
        let parts = whole.div_ceil(share.max(1)).clamp(1, 1 << 20);
        // A weekly run must not meet the same part every time.
        let of = if parts.is_multiple_of(7) { parts + 1 } else { parts };
        Self { n: day % of, of }
    }
}

/// The part that a subset stands for; `None` while the number of bytes must be known.
fn part(subset: Subset, day: u64, bytes: Option<u64>) -> Option<Part> {
    match subset {
        Subset::All | Subset::Time(_) => Some(Part::ALL),
        Subset::Part { n, of } => {
            Some(Part { n: u64::from(n.saturating_sub(1)), of: u64::from(of.max(1)) })
        }
        Subset::Percent(hundredths) => Some(Part::of_the_day(u64::from(hundredths), 10_000, day)),
        Subset::Bytes(share) => Some(Part::of_the_day(share, bytes?, day)),
    }
}

impl Plan {
    /// List the volume and choose.
    pub fn new(pass: &Pass<'_>, progress: &dyn Progress) -> Result<Self> {
        let (volume, subset, day) = (pass.volume, pass.subset, pass.day);
        let mut known = (pass.views.count() > 1).then(|| Known::new(pass.view));
        let seed = volume.about().identity.iter().fold(0, |seed, n| mix(seed ^ n));
        let len = volume.bytes().len();
        let early = part(subset, day, None);
        let (mut all, mut items) = (Total::default(), Vec::new());
        let whole = volume.objects(&pass.views, progress, &mut |object| {
            let again = known.as_mut().is_some_and(|known| known.is_again(&object));
            for item in streams(&object, again, seed, len).into_iter().flatten() {
                all.add(&item);
                if early.is_none_or(|part| part.has(&item)) {
                    items.push(item);
                }
            }
        })?;
        if early.is_none()
            && let Some(part) = part(subset, day, Some(all.bytes))
        {
            items.retain(|item| part.has(item));
        }
        let mut chosen = Total::default();
        items.iter().for_each(|item| chosen.add(item));
        let (time, turn) = match subset {
            Subset::Time(time) => (Some(time), Some(day % CLASSES * STRIDE % CLASSES)),
            _ => (None, None),
        };
        let mut plan = Self { items, all, chosen, time, turn, whole };
        let mut items = std::mem::take(&mut plan.items);
        items.sort_unstable_by_key(|item| (plan.sweep(item), item.first, item.id));
        plan.items = items;
        Ok(plan)
    }

    /// Which pass over the disk an item is read in. There is one, unless the clock
    /// sets the bound: then it is one for each class.
    pub fn sweep(&self, item: &Item) -> u64 {
        match self.turn {
            Some(turn) => (item.class(CLASSES) + CLASSES - turn) % CLASSES,
            None => 0,
        }
    }
}

/// Contents that were met: views may have many objects, or states of one, with the same.
struct Known<'a> {
    open: OpenView<'a>,
    view: Option<(ViewId, Arc<dyn FileSystem>)>,
    met: HashSet<u64>,
}

impl<'a> Known<'a> {
    fn new(open: OpenView<'a>) -> Self {
        Self { open, view: None, met: HashSet::new() }
    }

    /// Whether a file's contents and resource fork were met before.
    fn is_again(&mut self, object: &Stored) -> bool {
        if object.kind != Kind::File {
            return false;
        }
        if self.view.as_ref().is_none_or(|(view, _)| *view != object.view) {
            self.view = (self.open)(object.view).ok().map(|fs| (object.view, fs));
        }
        let Some((_, fs)) = &self.view else { return false };
        let Ok(Some(id)) = fs.same(object.id) else { return false };
        let fork = object.resource;
        let (low, high) = (id.0 & u128::from(u64::MAX), id.0 >> 64);
        let id = u64::try_from(low).unwrap_or(0) ^ u64::try_from(high).unwrap_or(0);
        // A file without contents costs nothing, and is counted.
        let empty = object.data.len == 0 && fork.len == 0;
        !empty && !self.met.insert(mix(mix(id ^ fork.len) ^ fork.first.unwrap_or(u64::MAX)))
    }
}

/// The streams of an object: at most its contents and its resource fork; only attributes
/// if the contents were met `again`.
fn streams(object: &Stored, again: bool, seed: u64, len: u64) -> [Option<Item>; 2] {
    let what = match object.kind {
        Kind::File if again && object.has_xattrs => What::Attributes,
        Kind::File if again => return [None, None],
        Kind::File => What::Contents,
        Kind::Symlink => What::Link,
        _ if object.has_xattrs => What::Attributes,
        _ => return [None, None],
    };
    // No stream is longer than the volume, whatever its record says.
    let (data, resource) = (object.data.len.min(len), object.resource.len.min(len));
    let mut item = Item {
        first: object.data.first.unwrap_or(u64::MAX),
        id: object.id.0,
        bytes: if matches!(what, What::Contents | What::Link) { data } else { 0 },
        hash: identity(seed, object),
        view: object.view,
        what,
        compressed: object.compressed,
        has_xattrs: object.has_xattrs,
    };
    if what != What::Contents {
        return [Some(item), None];
    }
    if object.compressed {
        item.bytes = item.bytes.saturating_add(resource);
        item.first = object.data.first.or(object.resource.first).unwrap_or(u64::MAX);
        return [Some(item), None];
    }
    let fork = (object.resource.len > 0).then(|| Item {
        first: object.resource.first.unwrap_or(u64::MAX),
        bytes: resource,
        what: What::Resource,
        has_xattrs: false,
        ..item
    });
    [Some(item), fork]
}

/// A hash of what an object is, not of where it lies: the same on every day, in every
/// release and on every machine.
fn identity(seed: u64, object: &Stored) -> u32 {
    let mixed = mix(mix(mix(seed) ^ object.id.0) ^ object.created);
    u32::try_from(mixed >> 32).unwrap_or(0)
}

/// The finisher of SplitMix64 (Steele, Lea, Flood 2014).
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_small() {
        assert_eq!(size_of::<Item>(), 40);
    }

    #[test]
    fn consecutive_days_and_consecutive_weeks_meet_every_part() {
        for (share, whole, want) in [(2500, 10_000, 4), (1429, 10_000, 8), (200, 1999, 10)] {
            assert_eq!(Part::of_the_day(share, whole, 0).of, want);
            for (first, step) in [(20_000, 1), (20_003, 7)] {
                let mut met: Vec<u64> =
                    (0..want).map(|i| Part::of_the_day(share, whole, first + i * step).n).collect();
                met.sort_unstable();
                assert_eq!(met, (0..want).collect::<Vec<_>>(), "{share}/{whole} by {step}");
            }
        }
        assert_eq!(Part::of_the_day(5, 0, 9).of, 1);
        assert_eq!(Part::of_the_day(0, u64::MAX, 9).of, 1 << 20);
    }

    /// The promise of [`STRIDE`].
    #[test]
    fn first_classes_are_spread_evenly_however_many_runs_there_were() {
        for step in [1, 7] {
            let mut firsts = vec![0];
            for n in 2..=CLASSES {
                firsts.push((n - 1) * step * STRIDE % CLASSES);
                firsts.sort_unstable();
                let end = firsts[0] + CLASSES;
                let next = firsts.iter().skip(1).copied().chain([end]);
                let widest = firsts.iter().zip(next).map(|(a, b)| b - a).max().unwrap();
                assert!(widest * n * 10 <= 22 * CLASSES, "{n} runs by {step}: {widest}");
            }
        }
    }
}
