//! Broken rules as they are found: what is broken in many views, or in many states of a
//! node, is one thing.

use super::tables::{Span, UserRow};
use crate::report::Rule;
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Broken rules of one kind that are kept; the rest are counted.
const MOST: u64 = 1000;
/// So many are known again where they are met in other views; beyond, each is counted anew.
const HASHED: u64 = 16 * MOST;

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
    known: HashMap<(Rule, bool, u64, u64), usize>,
    /// By rule, and whether it is a note.
    counts: BTreeMap<(Rule, bool), u64>,
}

/// How often a rule was broken beyond what is kept, and whether those are notes.
pub struct More {
    /// Which.
    pub rule: Rule,
    /// Told as nothing worse than a note.
    pub note: bool,
    /// How often.
    pub count: u64,
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
        let count = self.counts.entry((rule, note)).or_default();
        if *count >= HASHED {
            *count += 1;
            return;
        }
        let text = text();
        let mut hash = DefaultHasher::new();
        text.hash(&mut hash);
        let key = (rule, note, object, hash.finish());
        if let Some(known) = self.known.get(&key) {
            if let Some(known) = self.list.get_mut(*known) {
                known.span.from = known.span.from.min(span.from);
                known.span.until = known.span.until.max(span.until);
            }
            return;
        }
        *count += 1;
        // What is not kept has no place in the list.
        let kept = *count <= MOST;
        self.known.insert(key, if kept { self.list.len() } else { usize::MAX });
        if kept {
            self.list.push(Break { rule, object, span, text, note });
        }
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
    pub fn into_list(self) -> (Vec<Break>, Vec<More>) {
        let beyond = |((rule, note), n): ((Rule, bool), u64)| {
            Some(More { rule, note, count: n.checked_sub(MOST).filter(|n| *n > 0)? })
        };
        (self.list, self.counts.into_iter().filter_map(beyond).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_counted_apart_and_what_is_met_again_is_one() {
        let (mut breaks, rule) = (Breaks::default(), Rule::A166);
        let view = |from| Span { from, until: from + 1 };
        for n in 0..MOST + 7 {
            breaks.note(rule, n, view(0), || format!("note {n}"));
            breaks.note(rule, n, view(3), || format!("note {n}"));
        }
        breaks.add(rule, 5, view(1), || "broken".into());
        let (list, more) = breaks.into_list();
        assert_eq!(list.first().unwrap().span, Span { from: 0, until: 4 });
        assert_eq!(list.iter().filter(|b| !b.note).count(), 1);
        let more: Vec<_> = more.iter().map(|m| (m.note, m.count)).collect();
        assert_eq!(more, [(true, 7)]);
    }
}
