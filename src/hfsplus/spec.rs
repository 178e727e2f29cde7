//! What differs between the three trees.

use super::attributes;
use super::btree::CompareKeys;
use super::catalog;
use super::extents;
use crate::io::bytes::be16;
use crate::report::Structure;

/// Rules of a tree.
pub struct TreeSpec {
    /// `extents`, `catalog`, `attributes`.
    pub name: Structure,
    /// Longest key in bytes, as its header has it.
    pub max_key_length: u16,
    /// Order of two keys (without their length fields).
    pub compare: CompareKeys,
    /// What `keyCompareType` may be; empty where nobody reads it.
    pub orders: &'static [u8],
    /// What is wrong with a key's length, if anything.
    pub key_problem: fn(&[u8]) -> Option<String>,
}

impl TreeSpec {
    /// The extents overflow tree.
    pub fn extents() -> Self {
        Self {
            name: Structure::Extents,
            max_key_length: 10,
            compare: extents::compare_keys,
            orders: &[],
            key_problem: extents_key,
        }
    }

    /// The catalog; `folds`: case does not count; `hfsx`: the header says whether.
    pub fn catalog(folds: bool, hfsx: bool) -> Self {
        let orders: &[u8] = if hfsx { &[0xBC, 0xCF] } else { &[] };
        let compare = catalog::key_order(folds);
        Self {
            name: Structure::Catalog,
            max_key_length: 516,
            compare,
            orders,
            key_problem: catalog_key,
        }
    }

    /// The attributes tree.
    pub fn attributes() -> Self {
        Self {
            name: Structure::Attributes,
            max_key_length: 266,
            compare: attributes::compare_keys,
            orders: &[],
            key_problem: attributes_key,
        }
    }
}

fn extents_key(key: &[u8]) -> Option<String> {
    (key.len() != 10).then(|| format!("{} bytes, expected 10", key.len()))
}

fn catalog_key(key: &[u8]) -> Option<String> {
    sized_key(key, 4, 6, 255)
}

fn attributes_key(key: &[u8]) -> Option<String> {
    sized_key(key, 10, 12, 127)
}

/// A key that ends in a name: length of the fixed part, and of the name in units.
fn sized_key(key: &[u8], at: usize, fixed: usize, longest: usize) -> Option<String> {
    let Some(units) = be16(key, at).map(usize::from) else {
        return Some(format!("{} bytes, expected at least {fixed}", key.len()));
    };
    if units > longest {
        return Some(format!("its name has {units} units, more than {longest}"));
    }
    let want = fixed + 2 * units;
    (key.len() != want).then(|| format!("{} bytes, but its name makes {want}", key.len()))
}
