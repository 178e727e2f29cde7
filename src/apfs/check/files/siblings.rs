//! The links of inodes with several names: the entry, the inode's record of it, and the map
//! from its number must say one thing.

use super::breaks::Breaks;
use super::tables::{SaidBy, SiblingRow, Span, points};
use super::views::InTime;
use crate::report::Rule;

/// Join the rows of each link, which are in order; `mapped`: the volume keeps maps.
pub fn check(rows: &[SiblingRow], mapped: bool, views: &InTime, breaks: &mut Breaks) {
    let mut at = Vec::new();
    for these in rows.chunk_by(|a, b| a.sibling == b.sibling) {
        points(these.iter().map(|r| r.span), &mut at);
        for (from, until) in at.iter().zip(at.iter().skip(1)) {
            let span = Span { from: *from, until: *until };
            let Some(span) = views.whole_in(span) else { continue };
            let said = |by| these.iter().find(|r| r.said_by == by && span.is_in(r.span));
            let of = Said {
                entry: said(SaidBy::Entry),
                link: said(SaidBy::Link),
                map: said(SaidBy::Map),
            };
            of.check(mapped, span, breaks);
        }
    }
}

struct Said<'a> {
    entry: Option<&'a SiblingRow>,
    link: Option<&'a SiblingRow>,
    map: Option<&'a SiblingRow>,
}

impl Said<'_> {
    fn check(&self, mapped: bool, span: Span, breaks: &mut Breaks) {
        let Some(any) = self.entry.or(self.link).or(self.map) else { return };
        let (id, inode) = (any.sibling, any.inode);
        let same = |a: &SiblingRow, b: &SiblingRow| {
            (a.inode, a.parent, a.name) == (b.inode, b.parent, b.name)
        };
        let joined = match (self.entry, self.link) {
            (Some(entry), Some(link)) => same(entry, link),
            (entry, link) => entry.is_none() && link.is_none(),
        };
        if !joined {
            breaks.add(Rule::A185, inode, span, || {
                format!("the entry of object {inode} with link number {id} and the record of that link do not agree")
            });
        }
        let matched = match (self.link, self.map) {
            (Some(link), Some(map)) => link.inode == map.inode,
            (Some(_), None) => !mapped,
            (None, map) => map.is_none(),
        };
        if !matched {
            breaks.add(Rule::A186, inode, span, || {
                format!("link number {id} of object {inode} and the map of it do not agree")
            });
        }
    }
}
