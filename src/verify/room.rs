//! As much as one outcome may tell. Names in an image may be long, and each of their
//! characters six in JSON: what has no room any more is counted, so that what counts arrives.

use crate::report::{Code, Finding};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

/// Bytes that all findings may take as JSON.
const MOST: usize = 128 << 20;
/// Bytes that a message may take as JSON before it is cut.
const MESSAGE: usize = 16 << 10;

/// Counts what is written.
#[derive(Default)]
struct Counter(usize);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Bytes that something takes as JSON.
fn size(value: &impl serde::Serialize) -> usize {
    let mut counter = Counter::default();
    // Where that fails nothing is told of it either.
    let _ = serde_json::to_writer(&mut counter, value);
    counter.0
}

/// Bytes that a text takes as JSON.
pub(super) fn letters(text: &str) -> usize {
    let one = |b: u8| match b {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 8 | 12 => 2,
        0..=31 => 6,
        _ => 1,
    };
    text.bytes().map(one).sum()
}

/// Leave out, of findings that are sorted, what has no room: of the least ones first the
/// files they list, then themselves. The first of each code stays. Returns how many of each
/// code were left out.
pub(super) fn fit(findings: &mut Vec<Finding>) -> BTreeMap<Code, u64> {
    fit_into(findings, MOST)
}

fn fit_into(findings: &mut Vec<Finding>, most: usize) -> BTreeMap<Code, u64> {
    let (mut left, mut told) = (most, BTreeSet::new());
    let mut dropped = BTreeMap::new();
    findings.retain_mut(|f| {
        cut(&mut f.message);
        let first = told.insert(f.code);
        let mut wanted = size(f);
        if wanted > left
            && let Some(cost) = &mut f.cost
        {
            let unlisted = u64::try_from(cost.affected.len()).unwrap_or(u64::MAX);
            cost.not_listed = cost.not_listed.saturating_add(unlisted);
            cost.affected = Vec::new();
            wanted = size(f);
        }
        let fits = wanted <= left;
        if fits || first {
            left = left.saturating_sub(wanted);
        } else {
            *dropped.entry(f.code).or_insert(0) += 1;
        }
        fits || first
    });
    findings.shrink_to_fit();
    dropped
}

/// Cut a message that is longer than anybody reads.
fn cut(message: &mut String) {
    if letters(message) <= MESSAGE {
        return;
    }
    let mut room = MESSAGE;
    let end = message.char_indices().find(|(_, c)| {
        let mut utf8 = [0; 4];
        let taken = letters(c.encode_utf8(&mut utf8));
        let full = taken > room;
        room = room.saturating_sub(taken);
        full
    });
    if let Some((end, _)) = end {
        message.truncate(end);
        message.push('\u{2026}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Affected, Cost, Severity, Structure, Where};

    #[test]
    fn letters_are_what_json_makes_of_them() {
        for text in ["", "plain", "\u{1}\u{1f}\"\\\n\u{8}\u{7f}", "\u{e4}\u{202e}\u{1f600}"] {
            assert_eq!(letters(text) + 2, serde_json::to_string(text).unwrap().len(), "{text:?}");
        }
    }

    #[test]
    fn what_has_no_room_is_counted_and_the_worst_stays() {
        let long = "\u{1}".repeat(50_000);
        let finding = |code, message: &str| {
            let affected = Affected { address: long.clone(), ..affected() };
            let cost = Cost { files: 1, affected: vec![affected], ..Cost::default() };
            let finding = Finding::new(code, Where::of(Structure::Band), message);
            Finding { cost: Some(cost), ..finding }
        };
        let mut findings: Vec<Finding> =
            (0..50).map(|n| finding(Code::BandLost, &format!("{n}"))).collect();
        findings.extend((0..50).map(|_| finding(Code::BandStray, &long)));
        Finding::sort(&mut findings);
        let dropped = fit_into(&mut findings, 1 << 20);
        assert!(size(&findings) < (1 << 20) + 100_000);
        let damage = findings.iter().filter(|f| f.severity == Severity::Damage).count();
        assert_eq!(damage, 50, "they have room once their files are not listed");
        let listed = |f: &Finding| f.cost.as_ref().unwrap().affected.len() as u64;
        assert!(findings.iter().any(|f| listed(f) == 1));
        assert!(findings.iter().all(|f| listed(f) + f.cost.as_ref().unwrap().not_listed == 1));
        let strays = findings.iter().filter(|f| f.code == Code::BandStray).count() as u64;
        assert_eq!(strays + dropped[&Code::BandStray], 50);
        assert!(strays >= 1);
    }

    fn affected() -> Affected {
        Affected { address: String::new(), set: None, folder: false, intact: None }
    }
}
