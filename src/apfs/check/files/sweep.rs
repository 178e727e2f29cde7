//! From leaves to objects: leaves come in the order of their keys, each with the views that
//! see it, and every object is put together once for each run of views in which its records
//! are the same.

use super::Facts;
use super::breaks::Breaks;
use super::object::Object;
use super::tables::{Span, Tables};
use super::views::InTime;
use crate::apfs::node::{Entry, Node};
use crate::apfs::records::split;

/// What was put together so far in some views.
struct Front {
    span: Span,
    /// The object whose records go on in the next leaf, perhaps.
    object: Option<Object>,
    /// Whether the records before the next leaf are lost.
    gap: bool,
}

/// Puts objects together.
pub struct Sweep<'a> {
    pub(super) facts: &'a Facts,
    pub(super) views: &'a mut InTime,
    pub(super) breaks: &'a mut Breaks,
    pub(super) tables: &'a mut Tables,
    fronts: Vec<Front>,
}

impl<'a> Sweep<'a> {
    /// Of these views.
    pub fn new(
        facts: &'a Facts,
        views: &'a mut InTime,
        breaks: &'a mut Breaks,
        tables: &'a mut Tables,
    ) -> Self {
        let fronts = vec![Front { span: views.all(), object: None, gap: false }];
        Self { facts, views, breaks, tables, fronts }
    }

    /// The next leaf, as these views see it.
    pub fn leaf(&mut self, node: &Node, runs: &[Span]) {
        for run in runs {
            self.leaf_in(node, *run);
        }
    }

    /// What comes next cannot be read.
    pub fn gap(&mut self, runs: &[Span]) {
        for run in runs {
            self.views.torn(*run);
            let (at, taken) = self.take(*run);
            drop(taken);
            self.fronts.insert(at, Front { span: *run, object: None, gap: true });
        }
    }

    /// A view.
    pub fn view(&self, view: u32) -> Option<&super::views::One> {
        self.views.get(view)
    }

    /// No more leaves come.
    pub fn end(&mut self) {
        for front in std::mem::take(&mut self.fronts) {
            if let Some(object) = front.object {
                self.finish(object, front.span);
            }
        }
    }

    /// Take out the fronts of some views; returns where they were.
    fn take(&mut self, run: Span) -> (usize, Vec<Front>) {
        self.cut(run.from);
        self.cut(run.until);
        let at = self.fronts.partition_point(|f| f.span.until <= run.from);
        let past = self.fronts.partition_point(|f| f.span.from < run.until);
        (at, self.fronts.drain(at..past.max(at)).collect())
    }

    /// Let a front begin at a view.
    fn cut(&mut self, view: u32) {
        let at = self.fronts.partition_point(|f| f.span.until <= view);
        let Some(front) = self.fronts.get_mut(at).filter(|f| f.span.from < view) else { return };
        let rest = Front {
            span: Span { from: view, until: front.span.until },
            object: front.object.clone(),
            gap: front.gap,
        };
        front.span.until = view;
        self.fronts.insert(at + 1, rest);
    }

    fn leaf_in(&mut self, node: &Node, run: Span) {
        let id = |e: &Entry<'_>| split(e.key).map_or(0, |k| k.0);
        let Some(first) = node.entry(0).map(|e| id(&e)) else { return };
        let same = |i: &usize| node.entry(*i).is_some_and(|e| id(&e) == first);
        let end = (0..node.count).take_while(same).count();
        let (at, taken) = self.take(run);
        let mut kept = Vec::with_capacity(1);
        for (span, mut object) in self.going_on(first, taken) {
            self.records(node, 0..end, &mut object, span);
            match end < node.count {
                true => self.finish(object, span),
                false => kept.push(Front { span, object: Some(object), gap: false }),
            }
        }
        if end < node.count {
            let object = self.whole_objects(node, end, run);
            kept.push(Front { span: run, object: Some(object), gap: false });
        }
        self.fronts.splice(at..at, kept);
    }

    /// The objects that a leaf's first records belong to: what the leaves before began, or
    /// a new one for all views in which they ended with another.
    fn going_on(&mut self, id: u64, taken: Vec<Front>) -> Vec<(Span, Object)> {
        let mut list: Vec<(Span, Object)> = Vec::with_capacity(1);
        for front in taken {
            let before = match front.object {
                Some(object) if object.id == id => {
                    list.push((front.span, object));
                    continue;
                }
                before => before,
            };
            if let Some(object) = before {
                self.finish(object, front.span);
            }
            match list.last_mut() {
                Some((span, new)) if new.is_new() && new.cut == front.gap => {
                    span.until = front.span.until;
                }
                _ => list.push((front.span, Object::new(id, front.gap))),
            }
        }
        list
    }

    /// The objects of a leaf from an entry on; all but the last end in it.
    fn whole_objects(&mut self, node: &Node, start: usize, run: Span) -> Object {
        let id = |i: usize| node.entry(i).and_then(|e| split(e.key)).map_or(0, |k| k.0);
        let mut object = Object::new(id(start), false);
        let mut at = start;
        while at < node.count {
            let this = id(at);
            let same = (at..node.count).take_while(|i| id(*i) == this).count();
            if this != object.id {
                let before = std::mem::replace(&mut object, Object::new(this, false));
                self.finish(before, run);
            }
            self.records(node, at..at + same, &mut object, run);
            at += same;
        }
        object
    }

    fn records(
        &mut self,
        node: &Node,
        which: std::ops::Range<usize>,
        object: &mut Object,
        span: Span,
    ) {
        for entry in which.map_while(|i| node.entry(i)) {
            object.begun();
            self.record(object, &entry, span);
        }
    }
}
