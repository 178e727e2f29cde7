//! Broken rules as they are found: what is broken in many views, or in many states of a
//! node, is one thing.

use super::tables::{Span, UserRow};
use crate::report::Rule;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Broken rules of one kind that are kept; the rest are counted.
const MOST: u64 = 1000;

/// A broken rule.
#[derive(Debug, Clone)]
pub struct Break {
    /// Which.
    pub rule: Rule,
    /// The object concerned; 0 for none.
    pub object: u64,
    /// The first views that it was found in.
    pub span: Span,
    /// What was found.
    pub text: String,
    /// Told as nothing worse than a note.
    pub note: bool,
}

/// Broken rules.
#[derive(Default)]
pub struct Breaks {
    list: Vec<Break>,
    known: HashMap<(Rule, u64, u64), usize>,
    counts: HashMap<Rule, u64>,
}

impl Breaks {
    /// A rule is broken by an object.
    pub fn add(&mut self, rule: Rule, object: u64, span: Span, text: impl FnOnce() -> String) {
        self.put(rule, object, span, false, text);
    }

    /// The same where real volumes break the rule: worth a note.
    pub fn note(&mut self, rule: Rule, object: u64, span: Span, text: impl FnOnce() -> String) {
        self.put(rule, object, span, true, text);
    }

    fn put(
        &mut self,
        rule: Rule,
        object: u64,
        span: Span,
        note: bool,
        text: impl FnOnce() -> String,
    ) {
        let count = self.counts.entry(rule).or_default();
        *count += 1;
        if *count > MOST {
            return;
        }
        let text = text();
        let mut hash = DefaultHasher::new();
        text.hash(&mut hash);
        let key = (rule, object, hash.finish());
        if let Some(known) = self.known.get(&key).and_then(|i| self.list.get_mut(*i)) {
            let before = known.span;
            known.span.from = before.from.min(span.from);
            known.span.until = before.until.max(span.until);
            return;
        }
        self.known.insert(key, self.list.len());
        self.list.push(Break { rule, object, span, text, note });
    }

    /// Give what is broken in a stream that lies under a number of its own to the inode that
    /// has the stream: that one has a path. `users` are in order.
    pub fn give_to_inodes(&mut self, users: &[UserRow]) {
        for one in &mut self.list {
            let (id, span) = (one.object, one.span);
            let from = users.get(users.partition_point(|u| u.stream < id)..).unwrap_or_default();
            let mut of = from.iter().take_while(|u| u.stream == id);
            if let Some(user) = of.find(|u| u.inode != id && u.span.meet(span).is_some()) {
                one.object = user.inode;
            }
        }
    }

    /// What was found, and how often each rule was broken beyond that.
    pub fn into_list(self) -> (Vec<Break>, Vec<(Rule, u64)>) {
        let mut more: Vec<(Rule, u64)> = self
            .counts
            .into_iter()
            .filter_map(|(rule, n)| n.checked_sub(MOST).filter(|n| *n > 0).map(|n| (rule, n)))
            .collect();
        more.sort_unstable();
        (self.list, more)
    }
}
