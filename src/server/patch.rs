//! What `--fix` prints: exact remedies as a patch that `patch -p0` takes. Nothing is applied.

use super::text::Files;
use super::{Fix, Told};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Lines round a change.
const AROUND: usize = 3;

/// What becomes of a line.
#[derive(Debug, Default, Clone)]
struct Change {
    /// `Some(None)`: removed; `Some(Some(text))`: replaced.
    line: Option<Option<String>>,
    /// Lines that come behind it.
    behind: Vec<String>,
}

/// A patch (`diff -u`) of all findings that have an exact remedy; of two for one line the
/// first is taken. Files that are no UTF-8 or cannot be read are left out.
pub fn patch(files: &dyn Files, told: &[Told]) -> String {
    let mut all: BTreeMap<&str, BTreeMap<u32, Change>> = BTreeMap::new();
    for fix in told.iter().filter_map(|t| t.fix.as_ref()) {
        let (Fix::Replace { file, line, .. }
        | Fix::Remove { file, line }
        | Fix::Insert { file, line, .. }) = fix
        else {
            continue;
        };
        let change = all.entry(file).or_default().entry(*line).or_default();
        match fix {
            Fix::Replace { text, .. } => {
                change.line.get_or_insert(Some(text.clone()));
            }
            Fix::Remove { .. } => {
                change.line.get_or_insert(None);
            }
            Fix::Insert { text, .. } => {
                if !change.behind.contains(text) {
                    change.behind.push(text.clone());
                }
            }
            Fix::Command { .. } => {}
        }
    }
    let mut out = String::new();
    for (file, changes) in all {
        let text = files.bytes(file).ok().and_then(|b| String::from_utf8(b).ok());
        if let Some(text) = text.filter(|_| !file.contains(['\n', '\t'])) {
            one(&mut out, file, &text, &changes);
        }
    }
    out
}

fn one(out: &mut String, file: &str, text: &str, changes: &BTreeMap<u32, Change>) {
    let ended = text.ends_with('\n');
    let lines: Vec<&str> = text.strip_suffix('\n').unwrap_or(text).split('\n').collect();
    let _ = writeln!(out, "--- {file}\n+++ {file}");
    let places: Vec<usize> =
        changes.keys().filter_map(|n| usize::try_from(*n).ok()?.checked_sub(1)).collect();
    let mut shift = 0i64;
    let mut at = 0;
    while let Some(first) = places.get(at) {
        // Changes that are near one another stand in one hunk.
        let mut end = at;
        while places
            .get(end + 1)
            .is_some_and(|next| next - places.get(end).unwrap_or(next) <= 2 * AROUND)
        {
            end += 1;
        }
        let last = places.get(end).unwrap_or(first);
        let from = first.saturating_sub(AROUND);
        let to = (last + AROUND + 1).min(lines.len());
        let (mut body, mut old, mut new) = (String::new(), 0i64, 0i64);
        for n in from..to {
            let line = lines.get(n).copied().unwrap_or_default();
            let change = u32::try_from(n + 1).ok().and_then(|n| changes.get(&n));
            let missing =
                if n + 1 == lines.len() && !ended { "\n\\ No newline at end of file" } else { "" };
            let changed = change.and_then(|c| c.line.as_ref());
            let _ = writeln!(body, "{}{line}{missing}", if changed.is_some() { '-' } else { ' ' });
            old += 1;
            new += i64::from(changed.is_none());
            let behind = change.map(|c| c.behind.as_slice()).unwrap_or_default();
            for text in
                changed.iter().filter_map(|c| c.as_deref()).chain(behind.iter().map(String::as_str))
            {
                let end = if line.ends_with('\r') { "\r" } else { "" };
                for text in text.split('\n') {
                    let _ = writeln!(body, "+{text}{end}");
                    new += 1;
                }
            }
        }
        let begin = i64::try_from(from).unwrap_or(0) + 1;
        let _ = writeln!(out, "@@ -{begin},{old} +{},{new} @@", begin + shift);
        out.push_str(&body);
        shift += new - old;
        at = end + 1;
    }
}
