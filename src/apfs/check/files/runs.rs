//! What is broken in piece after piece of the container for one cause, as by one record that is
//! too long: told once, with how far it goes.

use super::breaks::Breaks;
use super::tables::Span;
use crate::report::Rule;
use crate::report::words::count;
use std::collections::BTreeMap;
use std::ops::Range;

/// How many other streams are named.
const NAMED: usize = 3;

/// Blocks in which a rule is broken.
pub struct Piece {
    /// The blocks.
    pub blocks: Range<u64>,
    /// Past the last block of what lies over them: the cause goes so far at most.
    pub reach: u64,
}

/// Pieces with one cause.
struct Run {
    span: Span,
    object: u64,
    text: String,
    until: u64,
    reach: u64,
    more: u64,
    others: Vec<u64>,
}

/// Runs that may go on, by rule and tree.
#[derive(Default)]
pub struct Runs {
    open: BTreeMap<(Rule, Option<u32>), Run>,
}

impl Runs {
    /// A rule is broken in a piece, by what a tree or all of them say. Pieces come in order.
    pub fn add(
        &mut self,
        breaks: &mut Breaks,
        key: (Rule, Option<u32>),
        piece: &Piece,
        (object, span): (u64, Span),
        text: impl FnOnce() -> String,
    ) {
        if let Some(run) = self.open.get_mut(&key).filter(|run| run.goes_on(piece)) {
            run.join(piece, object, span);
            return;
        }
        let (until, reach) = (piece.blocks.end, piece.reach);
        let new = Run { span, object, text: text(), until, reach, more: 0, others: Vec::new() };
        if let Some(before) = self.open.insert(key, new) {
            before.tell(key.0, breaks);
        }
    }

    /// Nothing more comes.
    pub fn end(&mut self, breaks: &mut Breaks) {
        for ((rule, _), run) in std::mem::take(&mut self.open) {
            run.tell(rule, breaks);
        }
    }
}

impl Run {
    fn goes_on(&self, piece: &Piece) -> bool {
        piece.blocks.start <= self.until || piece.blocks.start < self.reach
    }

    fn join(&mut self, piece: &Piece, object: u64, span: Span) {
        self.more += 1;
        self.until = self.until.max(piece.blocks.end);
        self.reach = self.reach.max(piece.reach);
        self.span.from = self.span.from.min(span.from);
        self.span.until = self.span.until.max(span.until);
        let known = object == 0 || object == self.object || self.others.contains(&object);
        if !known && self.others.len() < NAMED {
            self.others.push(object);
        }
    }

    fn tell(self, rule: Rule, breaks: &mut Breaks) {
        let Self { span, object, text, until, more, others, .. } = self;
        breaks.add(rule, object, span, || {
            if more == 0 {
                return text;
            }
            let others: Vec<String> = others.iter().map(u64::to_string).collect();
            let of = match others.is_empty() {
                true => String::new(),
                false => format!(", also of stream {}", others.join(", ")),
            };
            format!("{text}; the same {} times more up to block {until}{of}", count(more))
        });
    }
}
