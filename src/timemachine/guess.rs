//! What somebody may have meant by a path that is not there.

use super::links::{Walk, walk_to};
use crate::fs::{Cursor, FileSystem, Kind, NodeId};
use std::ops::ControlFlow;

/// Entries of one folder that are looked at.
const MAX_ENTRIES: usize = 100_000;

/// A path that is there and differs from `path` in case only, or by the name of the
/// volume before it. `None` if nothing fits, or if it is not clear what.
pub fn guess(fs: &dyn FileSystem, top: NodeId, stores: &[&str], path: &str) -> Option<String> {
    if let Some(found) = by_case(fs, top, stores, path) {
        return Some(found);
    }
    let within = |store: &&str| format!("{store}/{}", path.trim_start_matches('/'));
    let mut found: Vec<String> =
        stores.iter().filter_map(|store| by_case(fs, top, stores, &within(store))).collect();
    found.dedup();
    match found.as_slice() {
        [_] => found.pop(),
        _ => None,
    }
}

fn by_case(fs: &dyn FileSystem, top: NodeId, stores: &[&str], path: &str) -> Option<String> {
    let (mut at, mut real) = (top, String::new());
    for name in path.split('/').filter(|name| !name.is_empty() && *name != ".") {
        // What was found so far may be a link, which is followed on the way.
        if !real.is_empty() && fs.metadata(at).ok()?.kind == Kind::Symlink {
            at = walk_to(&Walk { fs, top, stores, follow: true }, &real).ok()?.node.id;
        }
        let (found, id) = match fs.lookup(at, name) {
            Ok(Some(node)) => (name.to_owned(), node.id),
            _ => similar(fs, at, name)?,
        };
        if !real.is_empty() {
            real.push('/');
        }
        real.push_str(&found);
        at = id;
    }
    (!real.is_empty()).then_some(real)
}

/// The one name in a folder that differs in case only.
fn similar(fs: &dyn FileSystem, folder: NodeId, name: &str) -> Option<(String, NodeId)> {
    if fs.metadata(folder).ok()?.kind != Kind::Directory {
        return None;
    }
    let wanted = name.to_lowercase();
    let (mut seen, mut found) = (0, Vec::new());
    let listed = fs.read_dir(folder, Cursor::default(), &mut |entry| {
        seen += 1;
        if entry.name.to_lowercase() == wanted
            && let Ok(node) = &entry.node
        {
            found.push((entry.name.clone(), node.id));
        }
        if seen < MAX_ENTRIES { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    listed.ok()?;
    match found.as_slice() {
        [_] => found.pop(),
        _ => None,
    }
}

/// A word as a shell takes it.
pub fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}
