//! Broken rules in words: which file, in which snapshots.

use super::breaks::{Break, Breaks, More};
use super::tables::Span;
use super::views::InTime;
use super::walk::Due;
use crate::apfs::check::say::{Checker, WITH_IT};
use crate::apfs::format::{FIRST_USER, ROOT};
use crate::apfs::names::display;
use crate::apfs::view::State;
use crate::apfs::volume::Apfs;
use crate::error::{Error, Result};
use crate::report::{Rule, Severity, Structure, Where};

/// Deepest folder that is named.
const MAX_DEPTH: usize = 256;

/// Tell of the broken rules of a volume.
pub fn tell(checker: &Checker<'_>, (volume, number): (&Apfs, u32), views: &InTime, breaks: Breaks) {
    let (list, more) = breaks.into_list();
    let told = Told { volume, number, views };
    for one in &list {
        let place = told.place(one);
        let text = || told.text(one);
        match one.note {
            true => checker.broken_as(one.rule, Severity::Info, place, text),
            false => checker.broken(one.rule, place, text),
        }
    }
    for More { rule, note, count: n } in more {
        let mut place = Where::of(structure(rule));
        place.volume = Some(number);
        let severity = if note { Severity::Info } else { rule.severity() };
        checker.more(rule, severity, place, n);
    }
}

/// Where rules of these records stand.
fn structure(rule: Rule) -> Structure {
    match rule {
        rule if (Rule::A100..=Rule::A127).contains(&rule) => Structure::VolumeSuperblock,
        rule if (Rule::A260..=Rule::A272).contains(&rule) => Structure::SnapshotTree,
        Rule::A128 => Structure::ObjectMap,
        rule if (Rule::A240..=Rule::A247).contains(&rule) => Structure::ExtentReferences,
        _ => Structure::FileSystemTree,
    }
}

struct Told<'a> {
    volume: &'a Apfs,
    number: u32,
    views: &'a InTime,
}

impl Told<'_> {
    fn place(&self, of: &Break) -> Where {
        let mut place = Where::of(structure(of.rule));
        if of.object == ROOT || of.object >= FIRST_USER {
            place = place.object(of.object);
        }
        place.volume = Some(self.number);
        let live = of.span.until == self.views.all().until;
        place.snapshot = self.views.get(of.span.from).filter(|_| !live).map(|v| v.xid);
        place
    }

    fn text(&self, of: &Break) -> String {
        let state = self.newest(of.span);
        let path = state.and_then(|s| path(of.object, &|id| s.names_of(id)));
        let named = path.map(|p| format!(" ('{p}')")).unwrap_or_default();
        format!("{}{named}{}", of.text, self.seen_in(of.span))
    }

    fn newest(&self, span: Span) -> Option<&State> {
        let seen = self.views.iter().rev().filter(|(i, _)| (span.from..span.until).contains(i));
        seen.into_iter().find_map(|(_, v)| v.state.as_deref())
    }

    /// In which snapshots, where it is not the live state alone.
    fn seen_in(&self, span: Span) -> String {
        let all = self.views.all();
        let snapshots = span.until.min(all.until - 1).saturating_sub(span.from);
        let name = self.volume.snapshots.get(crate::io::bytes::usize32(span.from));
        let name = name.map(|s| s.name.as_str()).unwrap_or_default();
        match (snapshots, span.until == all.until) {
            (0, _) => String::new(),
            (1, false) => format!("; in snapshot '{name}'"),
            (n, false) => format!("; in {n} snapshots, the first '{name}'"),
            (1, true) => format!("; also in snapshot '{name}'"),
            (n, true) => format!("; also in {n} snapshots, the first '{name}'"),
        }
    }
}

/// Names of an object: folder, name.
type Named<'a> = &'a dyn Fn(u64) -> Result<Vec<(u64, Vec<u8>)>>;

/// The path of an object, as `named` tells the names.
fn path(object: u64, named: Named<'_>) -> Option<String> {
    let (mut id, mut names) = (object, Vec::new());
    while id != ROOT {
        let (parent, name) = named(id).ok()?.into_iter().next()?;
        names.push(display(&name));
        id = parent;
        if id < ROOT || names.len() > MAX_DEPTH {
            return None;
        }
    }
    names.reverse();
    Some(format!("/{}", names.join("/")))
}

/// An error about a leaf with what is lost with it: records from those of one object up to those
/// of another, where the leaf after it tells.
pub fn with_lost(e: Error, state: Option<&State>, (leaf, next): (&Due, Option<&Due>)) -> Error {
    let (first, last) = (leaf.first_object().unwrap_or(0), next.and_then(Due::first_object));
    let named = |id: u64| {
        let path = state.and_then(|s| path(id, &|id| s.recorded_names(id)));
        path.map_or(id.to_string(), |p| format!("{id} ('{p}')"))
    };
    let lost = match last {
        Some(last) if last == first => format!("object {}", named(first)),
        Some(last) => format!("the objects from {} to {}", named(first), named(last)),
        None => format!("the objects from {} on", named(first)),
    };
    let Error::Corrupt(mut corrupt) = e else { return e };
    corrupt.problem = format!("{}{WITH_IT}{lost} are lost", corrupt.problem);
    Error::Corrupt(corrupt)
}
