//! Names in the normal form of a Mac: Unicode's canonical decomposition but for the ranges
//! that Apple leaves alone (`formats/hfsplus.md` section 7.4).

use unicode_normalization::char::{canonical_combining_class, decompose_canonical};

/// A name for people in decomposed form, as Apple decomposes.
pub fn decomposed(name: &str) -> String {
    decompose(name).into_iter().collect()
}

/// Its characters; those that a Mac leaves alone stay as they are.
pub fn decompose(name: &str) -> Vec<char> {
    let mut chars: Vec<char> = Vec::with_capacity(name.len());
    for c in name.chars() {
        if c.is_ascii() || keeps(c) {
            chars.push(c);
        } else {
            decompose_canonical(c, |d| chars.push(d));
        }
    }
    reorder_marks(&mut chars);
    chars
}

fn keeps(c: char) -> bool {
    matches!(c, '\u{2000}'..='\u{2FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{2F800}'..='\u{2FAFF}')
}

/// Canonical ordering: runs of combining marks sorted by their class.
fn reorder_marks(chars: &mut [char]) {
    for run in chars.chunk_by_mut(|_, b| canonical_combining_class(*b) != 0) {
        // The first of a run may be a base letter (class 0) and stays in front.
        run.sort_by_key(|c| canonical_combining_class(*c));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_decompose_but_for_those_left_alone() {
        assert_eq!(decomposed("\u{e9}t\u{e9}"), "e\u{301}te\u{301}");
        assert_eq!(decomposed("\u{212B}"), "\u{212B}");
        assert_eq!(decomposed("\u{d55c}"), "\u{1112}\u{1161}\u{11AB}");
        // Below before above, whatever the order in the name.
        assert_eq!(decomposed("a\u{301}\u{323}"), "a\u{323}\u{301}");
    }
}
