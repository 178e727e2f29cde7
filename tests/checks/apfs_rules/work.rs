//! What a hostile container makes the check do: counted in reads and nodes, and no more than
//! what is stored asks for, whatever leads to it how often.

use super::bent::{Bent, get, get32, put, put32};
use super::findings_told;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tmbundle::apfs::check;
use tmbundle::io::ReadAt;
use tmbundle::report::{Collector, Progress};
use tools::apfs::What;
use tools::apfs::object::{EPHEMERAL, PHYSICAL, kind, seal};

/// Reads of a source, and steps that were told of.
#[derive(Default)]
struct Work {
    reads: AtomicU64,
    steps: AtomicU64,
}

struct Counted {
    bent: Bent,
    work: Arc<Work>,
}

impl ReadAt for Counted {
    fn len(&self) -> u64 {
        self.bent.len()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> tmbundle::Result<()> {
        self.work.reads.fetch_add(1, Ordering::Relaxed);
        self.bent.read_at(buf, offset)
    }
}

impl Progress for Work {
    fn advance(&self, n: u64) {
        self.steps.fetch_add(n, Ordering::Relaxed);
    }
}

/// Reads and steps of a check.
fn work(bent: &Bent) -> (u64, u64) {
    let work = Arc::new(Work::default());
    let source = Counted { bent: bent.clone(), work: work.clone() };
    check::check(&(Arc::new(source) as _), &|_, _| Ok(Vec::new()), &Collector::default(), &*work)
        .unwrap();
    (work.reads.load(Ordering::Relaxed), work.steps.load(Ordering::Relaxed))
}

const BLOCK: usize = 4096;

/// A node of fixed keys and values: level, whether it is the root, entries.
fn fixed_node(level: u16, root: bool, entries: &[([u64; 2], u64)]) -> Vec<u8> {
    let mut b = vec![0u8; BLOCK];
    let table = 4 * 142usize;
    let end = BLOCK - if root { 40 } else { 0 };
    let flags = 4 | u16::from(root) | if level == 0 { 2 } else { 0 };
    b[0x20..0x22].copy_from_slice(&flags.to_le_bytes());
    b[0x22..0x24].copy_from_slice(&level.to_le_bytes());
    put32(&mut b, 0x24, entries.len() as u32);
    b[0x2A..0x2C].copy_from_slice(&(table as u16).to_le_bytes());
    for (i, (key, value)) in entries.iter().enumerate() {
        let (k, v) = (i * 16, (i + 1) * 8);
        let at = 0x38 + i * 4;
        b[at..at + 2].copy_from_slice(&(k as u16).to_le_bytes());
        b[at + 2..at + 4].copy_from_slice(&(v as u16).to_le_bytes());
        put(&mut b, 0x38 + table + k, key[0]);
        put(&mut b, 0x38 + table + k + 8, key[1]);
        put(&mut b, end - v, *value);
    }
    if root {
        put32(&mut b, BLOCK - 36, BLOCK as u32);
    }
    b
}

/// A mapping more in the checkpoint: of an object that is written behind the last, or of none.
fn map_more(c: &mut Bent, oid: u64, object: Option<Vec<u8>>, mapping: impl FnOnce(&mut [u8])) {
    let xid = {
        let (at, len) = c.find(|w| matches!(w, What::Superblock));
        get(&c.image.read(at, len), 16)
    };
    let mut block = 0;
    c.map(|b| {
        let count = get32(b, 0x24) as usize;
        let last = 0x28 + (count - 1) * 40;
        block = get(b, last + 32) + u64::from(get32(b, last + 8)) / BLOCK as u64;
        let (new, before) = (0x28 + count * 40, b[last..last + 40].to_vec());
        b[new..new + 40].copy_from_slice(&before);
        put32(b, new, EPHEMERAL | kind::NODE);
        put32(b, new + 4, kind::FREE_QUEUE);
        put32(b, new + 8, BLOCK as u32);
        put(b, new + 24, oid);
        put(b, new + 32, block);
        mapping(&mut b[new..new + 40]);
        put32(b, 0x24, count as u32 + 1);
    });
    if let Some(mut object) = object {
        seal(&mut object, oid, xid, EPHEMERAL | kind::NODE, kind::FREE_QUEUE);
        c.image.write_at(block * BLOCK as u64, &object);
    }
}

/// The check of a bent "small" reads little more than that of the sound one.
fn reads_no_more(c: &Bent) {
    let (reads, before) = (work(c).0, work(&Bent::of("small")).0);
    assert!(reads < before + 20, "{reads} reads, {before} of the sound one");
}

/// A queue each of whose nodes leads to one other forty times, three levels deep.
#[test]
fn nodes_of_a_queue_that_lead_to_one_again_and_again_are_read_once() {
    let mut c = Bent::of("small");
    let (root, len) = super::space::queue_node(&c);
    let to = |oid: u64| -> Vec<([u64; 2], u64)> { (1..41).map(|i| ([1, i * 9], oid)).collect() };
    let oids = [900_001u64, 900_002, 900_003];
    let above = fixed_node(3, true, &to(oids[0]));
    c.edit(root, len, |b| b[0x20..].copy_from_slice(&above[0x20..]));
    map_more(&mut c, oids[0], Some(fixed_node(2, false, &to(oids[1]))), |_| ());
    map_more(&mut c, oids[1], Some(fixed_node(1, false, &to(oids[2]))), |_| ());
    map_more(&mut c, oids[2], Some(fixed_node(0, false, &[([1, 9], 2)])), |_| ());
    assert!(findings_told(&c).iter().any(|f| f.contains("two places of it")));
    reads_no_more(&c);
}

#[test]
fn objects_of_the_checkpoint_are_read_once_however_often_they_are_mapped() {
    let mut c = Bent::of("small");
    let (at, _) = c.find(|w| matches!(w, What::Spaceman));
    let oid = get(&c.image.read(at + 8, 8), 0);
    for _ in 0..80 {
        map_more(&mut c, oid, None, |m| {
            put32(m, 8, 0);
            put(m, 32, at / BLOCK as u64);
        });
    }
    reads_no_more(&c);
}

#[test]
fn lists_of_chunks_are_read_once_however_often_they_are_named() {
    let mut c = Bent::of("small");
    c.spaceman(|b| {
        let (first, end) = (get32(b, 0x50) as usize, b.len() / 8 * 8);
        let list = get(b, first);
        put32(b, 0x40, ((end - first) / 8) as u32);
        (first..end).step_by(8).for_each(|at| put(b, at, list));
    });
    reads_no_more(&c);
}

/// The trees of extent references of all snapshots share all of their leaves.
#[test]
fn nodes_that_many_trees_share_are_visited_once() {
    const LEAVES: u64 = 100;
    let sound = Bent::of("snapshots");
    let mut c = sound.clone();
    let first = c.len() / BLOCK as u64 - LEAVES;
    let roots: Vec<u64> = c
        .layout
        .find(|w| matches!(w, What::Node { tree, .. } if tree.subtype == kind::EXTENTREF))
        .map(|p| p.address * BLOCK as u64)
        .filter(|at| c.image.read(at + 0x20, 1)[0] & 1 != 0)
        .collect();
    assert!(roots.len() > 4, "{} trees", roots.len());
    let xid = get(&c.image.read(roots[0] + 16, 8), 0);
    for n in 0..LEAVES {
        let mut leaf = vec![0u8; BLOCK];
        node(&mut leaf, 0, &[(2 << 60 | (n + 1), vec![0; 20])]);
        seal(&mut leaf, first + n, xid, PHYSICAL | kind::NODE, kind::EXTENTREF);
        c.image.write_at((first + n) * BLOCK as u64, &leaf);
    }
    let children: Vec<(u64, Vec<u8>)> =
        (0..LEAVES).map(|n| (2 << 60 | (n + 1), (first + n).to_le_bytes().to_vec())).collect();
    for at in &roots {
        c.edit(*at, BLOCK, |b| node(b, 1, &children));
    }
    let told = findings_told(&c);
    assert!(told.iter().any(|f| f.contains("another tree")), "{told:?}");
    let (steps, before) = (work(&c).1, work(&sound).1);
    assert!(steps < before + 3 * LEAVES, "{steps} nodes, {before} of the sound one");
}

/// Put a node of variable keys and values into a block; a root stays one.
fn node(b: &mut [u8], level: u16, entries: &[(u64, Vec<u8>)]) {
    let (root, table) = (u16::from(b[0x20] & 1), entries.len() * 8);
    let end = b.len() - usize::from(root) * 40;
    b[0x20..end].fill(0);
    let flags = root | if level == 0 { 2 } else { 0 };
    b[0x20..0x22].copy_from_slice(&flags.to_le_bytes());
    b[0x22..0x24].copy_from_slice(&level.to_le_bytes());
    put32(b, 0x24, entries.len() as u32);
    b[0x2A..0x2C].copy_from_slice(&(table as u16).to_le_bytes());
    let mut back = 0;
    for (i, (key, value)) in entries.iter().enumerate() {
        back += value.len();
        put(b, 0x38 + table + i * 8, *key);
        b[end - back..end - back + value.len()].copy_from_slice(value);
        for (n, word) in [i * 8, 8, back, value.len()].into_iter().enumerate() {
            let at = 0x38 + i * 8 + n * 2;
            b[at..at + 2].copy_from_slice(&(word as u16).to_le_bytes());
        }
    }
}

/// What a queue holds of which a node is lost is not known: nothing is said that follows.
#[test]
fn a_lost_queue_is_no_wrong_bitmap_of_the_pool() {
    let mut c = Bent::of("small");
    let (spaceman, _) = c.find(|w| matches!(w, What::Spaceman));
    let oid = get(&c.image.read(spaceman + 0xC8 + 8, 8), 0);
    let size = c.layout.block_size;
    let nodes = c.layout.find(|w| matches!(w, What::FreeQueueNode)).map(|p| p.address * size);
    let at = nodes.into_iter().find(|at| get(&c.image.read(at + 8, 8), 0) == oid).unwrap();
    assert!(get32(&c.image.read(at + 0x24, 4), 0) > 0, "the queue of the pool is empty");
    c.byte(at + 0x300, |b| b ^ 1);
    let told = super::told(&c);
    assert!(!told.contains("A307"), "{told:?}");
}
