//! Inode numbers.
//!
//! A file's number is made of its space (a view of a volume) and object number: all its names share
//! it, and with it the kernel's page cache, and no table is needed. A folder has a
//! number per *path*, because the kernel lets a directory have one parent only,
//! while a folder of a backup may hang in sixty snapshots at once. Those numbers, and those
//! of files whose object number leaves no room for the space (APFS: sealed system volumes),
//! live in a table, counted by the kernel's lookups and dropped when it forgets.

use super::tree::{Object, Space};
use crate::fs::NodeId;
use crate::io::bytes::{to_u64, to_usize};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Number of the mount's root.
pub const ROOT: u64 = 1;
const LATEST: u64 = 2;
const SNAPSHOTS: u64 = 3;
const VOLUMES: u64 = 4;
const DISK_IMAGE: u64 = 5;
/// Object numbers below this would meet those above; they get [`LOW`] added.
const FIRST_FREE: u64 = 16;

/// Marks the numbers that a table holds.
const IN_TABLE: u64 = 1 << 62;
const GENERATION_MASK: u16 = 0xFFF;
/// Above these bits stands the number of the space, which a table gives.
const SPACE_SHIFT: u32 = 42;
const MAX_SPACES: usize = 1 << 20;
const SIDECAR: u64 = 1 << 41;
const LOW: u64 = 1 << 40;
const ID_MASK: u64 = LOW - 1;

/// What an inode number stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolved {
    /// The object.
    pub object: Object,
    /// Of a file: the view of the source in which it was looked up.
    pub generation: u16,
    /// Number of the folder it lies in (of folders; else the root's).
    pub parent: u64,
}

/// What has a number in the table.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    /// A folder: by its parent's number and its name.
    Path(u64, Arc<str>),
    /// A file, as it was in that view of the source.
    File(Object, u16),
}

struct Held {
    resolved: Resolved,
    key: Key,
    lookups: u64,
}

#[derive(Default)]
struct Inner {
    by_number: HashMap<u64, Held>,
    by_key: HashMap<Key, u64>,
    next: u64,
}

impl Inner {
    /// The number of what has this key, as it is now; it is held once more.
    fn hold(&mut self, key: Key, resolved: Resolved) -> u64 {
        if let Some(number) = self.by_key.get(&key)
            && let Some(held) = self.by_number.get_mut(number)
            && held.resolved.object == resolved.object
        {
            held.lookups += 1;
            return *number;
        }
        // Numbers are never used twice: the kernel may still hold the old one.
        self.next += 1;
        let number = IN_TABLE | self.next;
        self.by_key.insert(key.clone(), number);
        self.by_number.insert(number, Held { resolved, key, lookups: 1 });
        number
    }
}

/// The spaces that were met, each in one generation, numbered as they came.
#[derive(Default)]
struct Spaces {
    numbers: HashMap<(u16, Space), u64>,
    all: Vec<(u16, Space)>,
}

/// The table.
#[derive(Default)]
pub struct Inodes {
    inner: RwLock<Inner>,
    spaces: RwLock<Spaces>,
}

impl Inodes {
    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of an object met under `name` in `parent`. One that is in the table is
    /// held until it is [forgotten](Self::forget) as often as it was entered.
    /// `None` when there are more spaces than numbers for them.
    pub fn enter(&self, parent: u64, name: &str, object: Object, generation: u16) -> Option<u64> {
        if let Some(fixed) = fixed_number(object) {
            return Some(fixed);
        }
        let (key, resolved) = if object.is_folder() {
            let key = Key::Path(parent, name.into());
            (key, Resolved { object, generation: 0, parent })
        } else if is_large(object) {
            let generation = generation & GENERATION_MASK;
            (Key::File(object, generation), Resolved { object, generation, parent: ROOT })
        } else {
            return self.file_number(object, generation);
        };
        Some(self.write().hold(key, resolved))
    }

    /// What a number stands for.
    pub fn resolve(&self, number: u64) -> Option<Resolved> {
        let at_root = |object| Some(Resolved { object, generation: 0, parent: ROOT });
        match number {
            ROOT => at_root(Object::Root),
            LATEST => at_root(Object::Latest),
            SNAPSHOTS => at_root(Object::Snapshots),
            VOLUMES => at_root(Object::Volumes),
            DISK_IMAGE => at_root(Object::DiskImage),
            n if n & IN_TABLE != 0 => Some(self.read().by_number.get(&n)?.resolved),
            n => self.file_object(n),
        }
    }

    /// Whether `object` is the folder `number` or one of those it lies in, or
    /// these are more than `limit`: then going on would never end.
    pub fn is_own_ancestor(&self, number: u64, object: Object, limit: usize) -> bool {
        let inner = self.read();
        let mut at = number;
        for _ in 0..limit {
            let Some(Held { resolved, .. }) = inner.by_number.get(&at) else { return false };
            if resolved.object == object {
                return true;
            }
            at = resolved.parent;
        }
        true
    }

    /// The kernel drops `count` lookups of a number.
    pub fn forget(&self, number: u64, count: u64) {
        if number & IN_TABLE == 0 {
            return;
        }
        let inner = &mut *self.write();
        let Some(held) = inner.by_number.get_mut(&number) else { return };
        held.lookups = held.lookups.saturating_sub(count);
        if held.lookups > 0 {
            return;
        }
        if let Some(held) = inner.by_number.remove(&number)
            && inner.by_key.get(&held.key) == Some(&number)
        {
            inner.by_key.remove(&held.key);
        }
    }

    /// The number of a space in a generation; `None` when there are too many.
    fn space_number(&self, generation: u16, space: Space) -> Option<u64> {
        let key = (generation & GENERATION_MASK, space);
        let known = self.spaces.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = known.numbers.get(&key) {
            return Some(*number);
        }
        drop(known);
        let mut spaces = self.spaces.write().unwrap_or_else(PoisonError::into_inner);
        let next = spaces.all.len();
        if next >= MAX_SPACES {
            return None;
        }
        let number = *spaces.numbers.entry(key).or_insert(to_u64(next));
        if number == to_u64(next) {
            spaces.all.push(key);
        }
        Some(number)
    }

    /// The number of an object that needs no table; `None` for all others.
    pub fn file_number(&self, object: Object, generation: u16) -> Option<u64> {
        let (space, id, sidecar) = match object {
            Object::File { space, id } => (space, id, 0),
            Object::Sidecar { space, id } => (space, id, SIDECAR),
            _ => return fixed_number(object),
        };
        if is_large(object) {
            return None;
        }
        let low = if id.0 < FIRST_FREE { LOW } else { 0 };
        let high = self.space_number(generation, space)? << SPACE_SHIFT;
        Some(high | sidecar | low | id.0)
    }

    fn file_object(&self, number: u64) -> Option<Resolved> {
        let spaces = self.spaces.read().unwrap_or_else(PoisonError::into_inner);
        let (generation, space) = *spaces.all.get(to_usize(number >> SPACE_SHIFT))?;
        let id = NodeId(number & ID_MASK);
        let object = if number & SIDECAR != 0 {
            Object::Sidecar { space, id }
        } else {
            Object::File { space, id }
        };
        Some(Resolved { object, generation, parent: ROOT })
    }

    /// All numbers that the table holds.
    pub fn numbers(&self) -> Vec<u64> {
        self.read().by_number.keys().copied().collect()
    }
}

/// Whether a file's object number leaves no room for its space.
fn is_large(object: Object) -> bool {
    matches!(object, Object::File { id, .. } | Object::Sidecar { id, .. } if id.0 > ID_MASK)
}

fn fixed_number(object: Object) -> Option<u64> {
    match object {
        Object::Root => Some(ROOT),
        Object::Latest => Some(LATEST),
        Object::Snapshots => Some(SNAPSHOTS),
        Object::Volumes => Some(VOLUMES),
        Object::DiskImage => Some(DISK_IMAGE),
        _ => None,
    }
}

/// The generation after this one, within the bits that a number has for it.
pub fn next_generation(generation: u16) -> u16 {
    (generation + 1) & GENERATION_MASK
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(id: u64) -> Object {
        Object::Folder { space: Space::live(0), id: NodeId(id) }
    }

    #[test]
    fn files_share_a_number_and_it_leads_back() {
        let inodes = Inodes::default();
        let of = |volume, number| Space { volume, number };
        let spaces =
            [(of(0, 0), 20, 0), (of(0, 7), 20, 0), (of(3, 0), 5, 7), (of(255, 9), ID_MASK, 0xFFF)];
        for (space, id, generation) in spaces {
            let file = Object::File { space, id: NodeId(id) };
            let a = inodes.enter(ROOT, "a", file, generation).unwrap();
            assert_eq!(inodes.enter(99, "b", file, generation), Some(a));
            let back = inodes.resolve(a).unwrap();
            assert_eq!((back.object, back.generation), (file, generation));
            assert!(a >= FIRST_FREE && a & IN_TABLE == 0);
        }
        let side = Object::Sidecar { space: Space::live(1), id: NodeId(17) };
        let number = inodes.enter(ROOT, "._x", side, 0).unwrap();
        assert_eq!(inodes.resolve(number).unwrap().object, side);
        assert!(inodes.numbers().is_empty());
    }

    #[test]
    fn files_with_large_numbers_are_held_in_the_table() {
        let inodes = Inodes::default();
        let large = Object::File { space: Space::live(0), id: NodeId(0x0FFF_FFFF_0000_0017) };
        let a = inodes.enter(20, "x", large, 3).unwrap();
        assert_eq!(inodes.enter(99, "another name", large, 3), Some(a));
        let back = inodes.resolve(a).unwrap();
        assert_eq!((back.object, back.generation, back.parent), (large, 3, ROOT));
        assert_ne!(inodes.enter(20, "x", large, 4), Some(a), "the source changed");
        inodes.forget(a, 1);
        assert!(inodes.resolve(a).is_some());
        inodes.forget(a, 1);
        assert!(inodes.resolve(a).is_none());
        assert_eq!(inodes.file_number(large, 3), None);
    }

    #[test]
    fn folders_have_a_number_a_path_and_are_forgotten() {
        let inodes = Inodes::default();
        let a = inodes.enter(ROOT, "a", folder(20), 0).unwrap();
        let b = inodes.enter(ROOT, "b", folder(20), 0).unwrap();
        assert_ne!(a, b);
        assert_eq!(inodes.enter(ROOT, "a", folder(20), 0), Some(a));
        inodes.forget(a, 1);
        assert_eq!(inodes.resolve(a).unwrap().object, folder(20));
        inodes.forget(a, 1);
        assert!(inodes.resolve(a).is_none());
        assert_ne!(inodes.enter(ROOT, "a", folder(20), 0), Some(a), "never used twice");
        assert_eq!(inodes.numbers().len(), 2);
    }

    #[test]
    fn a_folder_in_itself_is_recognised() {
        let inodes = Inodes::default();
        let a = inodes.enter(ROOT, "a", folder(20), 0).unwrap();
        let b = inodes.enter(a, "b", folder(21), 0).unwrap();
        assert!(inodes.is_own_ancestor(b, folder(20), 9));
        assert!(!inodes.is_own_ancestor(b, folder(22), 9));
        assert!(inodes.is_own_ancestor(b, folder(22), 2), "too deep");
    }
}
