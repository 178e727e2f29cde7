//! The records of APFS volumes: sound ones break no rule, and what is changed in one record,
//! its sum made right again, breaks the rule that it must.

use crate::common;
use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use tmbundle::apfs::check;
use tmbundle::crypt::Secret;
use tmbundle::io::{Memory, Source};
use tmbundle::report::{Collector, Finding, NoProgress, Rule, Severity};
use tools::apfs::object::reseal;
use tools::apfs::samples;
use tools::image::Image;

const BLOCK: usize = 4096;
const HEADER: usize = 0x38;
const FOOTER: usize = 40;

/// Kinds of records (`formats/apfs.md` 6), and of trees.
const SNAPSHOT: u8 = 1;
const REFERENCE: u8 = 2;
const INODE: u8 = 3;
const XATTR: u8 = 4;
const LINK: u8 = 5;
const STREAM: u8 = 6;
const EXTENT: u8 = 8;
const ENTRY: u8 = 9;
const NAME: u8 = 11;
const MAP: u8 = 12;

fn le(b: &[u8], at: usize, n: usize) -> u64 {
    b[at..at + n].iter().rev().fold(0, |all, b| all << 8 | u64::from(*b))
}

/// The findings in an image.
fn told_of(bytes: Vec<u8>) -> Vec<Finding> {
    let source: Source = Arc::new(Memory::new(bytes));
    let collector = Collector::default();
    let ask = |_: &_, _| Ok(vec![Secret::new(b"password".to_vec())]);
    check::check(&source, &ask, &collector, &NoProgress).unwrap();
    collector.into_findings().0
}

/// The findings about rules in an image: rule and severity.
fn broken(bytes: Vec<u8>) -> BTreeSet<(String, Severity)> {
    let found = told_of(bytes);
    let rule = |m: &str| {
        let (_, rule) = m.strip_suffix(')')?.rsplit_once(" (")?;
        Rule::ALL.iter().any(|r| r.name() == rule).then(|| rule.to_owned())
    };
    found.iter().filter_map(|f| Some((rule(&f.message)?, f.severity))).collect()
}

/// A block of records, and where in it a record's key and value begin.
struct Record<'a> {
    block: &'a mut [u8],
    key: usize,
    value: usize,
}

impl Record<'_> {
    fn kind(&self) -> u8 {
        (le(self.block, self.key, 8) >> 60) as u8
    }

    /// A number in the value.
    fn get(&self, at: usize, n: usize) -> u64 {
        le(self.block, self.value + at, n)
    }

    fn put(&mut self, at: usize, n: usize, value: u64) {
        let at = self.value + at;
        self.block[at..at + n].copy_from_slice(&value.to_le_bytes()[..n]);
    }

    fn put_key(&mut self, at: usize, bytes: &[u8]) {
        let at = self.key + at;
        self.block[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Whether the name in the key, which begins at `at`, is this.
    fn is_called(&self, at: usize, name: &str) -> bool {
        let at = self.key + at;
        self.block[at..].starts_with(format!("{name}\0").as_bytes())
    }

    /// Where in the value the extended field of a kind begins: its head, and its value.
    fn field(&self, fixed: usize, kind: u8) -> Option<(usize, usize)> {
        let count = self.get(fixed, 2) as usize;
        let mut at = fixed + 4 + count * 4;
        for i in 0..count {
            let head = fixed + 4 + i * 4;
            if self.get(head, 1) as u8 == kind {
                return Some((head, at));
            }
            at += (self.get(head + 2, 2) as usize).next_multiple_of(8);
        }
        None
    }
}

/// Bytes of an image whose record trees are changed; in all blocks that hold a state of a
/// record, so that the newest is among them.
fn changed(bytes: &mut [u8], subtype: u64, change: &dyn Fn(&mut Record<'_>) -> bool) -> u32 {
    let mut changes = 0;
    for block in bytes.chunks_exact_mut(BLOCK) {
        let kind = le(block, 24, 4) & 0xFFFF;
        if !(2..=3).contains(&kind) || le(block, 28, 4) != subtype || le(block, 0x22, 2) != 0 {
            continue;
        }
        let root = le(block, 0x20, 2) & 1 != 0;
        let (keys, end) =
            (HEADER + le(block, 0x2A, 2) as usize, BLOCK - if root { FOOTER } else { 0 });
        let mut hit = 0;
        for i in 0..le(block, 0x24, 4) as usize {
            let at = HEADER + i * 8;
            let (key, value) = (le(block, at, 2) as usize, le(block, at + 4, 2) as usize);
            let mut record = Record { key: keys + key, value: end - value, block };
            hit += u32::from(change(&mut record));
        }
        if hit > 0 {
            reseal(block);
            changes += hit;
        }
    }
    changes
}

/// The newest superblock of the volume.
fn superblock(bytes: &mut [u8], change: &dyn Fn(&mut [u8])) {
    let blocks = bytes.chunks_exact_mut(BLOCK).filter(|b| b[32..36] == *b"APSB");
    let newest = blocks.max_by_key(|b| le(b, 16, 8)).unwrap();
    change(newest);
    reseal(newest);
}

const FS: u64 = 0xE;
const REFERENCES: u64 = 0xF;
const SNAPSHOTS: u64 = 0x10;

/// What breaks a rule: in a tree's records, or in the superblock.
enum How {
    Records(u64, fn(&mut Record<'_>) -> bool),
    Superblock(fn(&mut [u8])),
}
use How::{Records, Superblock};

fn on(is: bool, change: impl FnOnce()) -> bool {
    if is {
        change();
    }
    is
}

fn inode(r: &Record<'_>, name: &str) -> bool {
    let called = |at| r.block[r.value + at..].starts_with(format!("{name}\0").as_bytes());
    r.kind() == INODE && r.field(0x5C, 4).is_some_and(|(_, at)| called(at))
}

fn entry(r: &Record<'_>, name: &str) -> bool {
    r.kind() == ENTRY && r.is_called(12, name)
}

fn attribute(r: &Record<'_>, name: &str) -> bool {
    r.kind() == XATTR && r.is_called(10, name)
}

/// Adds to a number in an inode's value.
macro_rules! inode {
    ($name:literal, $at:expr, $n:expr, $to:expr) => {
        Records(FS, |r| {
            on(inode(r, $name), || {
                let was = r.get($at, $n);
                let to: fn(u64) -> u64 = $to;
                r.put($at, $n, to(was));
            })
        })
    };
}
macro_rules! field {
    ($name:literal, $kind:expr, $at:expr, $n:expr, $to:expr) => {
        Records(FS, |r| {
            on(inode(r, $name), || {
                let at = r.field(0x5C, $kind).unwrap().1 + $at;
                let was = r.get(at, $n);
                let to: fn(u64) -> u64 = $to;
                r.put(at, $n, to(was));
            })
        })
    };
}
macro_rules! record {
    ($tree:expr, $is:expr, $at:expr, $n:expr, $to:expr) => {
        Records($tree, |r| {
            let is: fn(&Record<'_>) -> bool = $is;
            on(is(r), || {
                let was = r.get($at, $n);
                let to: fn(u64) -> u64 = $to;
                r.put($at, $n, to(was));
            })
        })
    };
}
macro_rules! head {
    ($at:expr, $n:expr, $to:expr) => {
        Superblock(|b| {
            let to: fn(u64) -> u64 = $to;
            let value = to(le(b, $at, $n));
            b[$at..$at + $n].copy_from_slice(&value.to_le_bytes()[..$n]);
        })
    };
}

include!("apfs_records_table.rs");

/// The rules that are provoked here.
pub fn rules() -> impl Iterator<Item = Rule> {
    TABLE.iter().map(|(rule, _)| *rule)
}

fn base() -> &'static [u8] {
    static BASE: OnceLock<Vec<u8>> = OnceLock::new();
    BASE.get_or_init(|| samples::sample("basic").unwrap().image.to_vec())
}

#[test]
fn each_rule_about_records_is_provoked() {
    let mut wrong = Vec::new();
    for (rule, how) in TABLE {
        let mut bytes = base().to_vec();
        match how {
            Records(tree, change) => {
                assert!(changed(&mut bytes, *tree, change) > 0, "{rule}: no such record");
            }
            Superblock(change) => superblock(&mut bytes, change),
        }
        let found = broken(bytes);
        if !found.contains(&(rule.name().to_owned(), rule.severity())) {
            wrong.push(format!("{rule} is not found, but {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_the_writer_makes_breaks_no_rule() {
    let mut wrong = Vec::new();
    for (kind, _) in samples::KINDS.iter().filter(|k| !matches!(k.0, "huge" | "block-64k")) {
        let image: Image = samples::sample(kind).unwrap().image;
        let found = broken(image.to_vec());
        let bad: Vec<_> = found.iter().filter(|f| f.1 > Severity::Info).collect();
        if !bad.is_empty() {
            wrong.push(format!("{kind}: {bad:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_macs_wrote_breaks_no_rule() {
    let Some(data) = common::shared_data("what_macs_wrote_breaks_no_rule") else { return };
    let mut wrong = Vec::new();
    for gz in common::files_ending(&data.join("apfs"), ".img.gz") {
        let name = gz.file_name().unwrap().to_string_lossy().into_owned();
        let bytes = std::fs::read(common::unpack(&gz)).unwrap();
        // Three have a partition map before the container.
        let start = if bytes[32..36] == *b"NXSB" { 0 } else { 20_480 };
        let found = broken(bytes[start..].to_vec());
        let bad: Vec<_> = found.iter().filter(|f| f.1 > Severity::Info).collect();
        if !bad.is_empty() {
            wrong.push(format!("{name}: {bad:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The contents of a clone lie under a number that is no inode's: the file is named all the
/// same.
#[test]
fn what_is_wrong_with_the_contents_of_a_clone_names_the_file() {
    let mut bytes = samples::sample("clones").unwrap().image.to_vec();
    let id = |r: &Record<'_>| le(r.block, r.key, 8) << 4 >> 4;
    let inodes = std::cell::RefCell::new(BTreeSet::new());
    changed(&mut bytes, FS, &|r| {
        let _ = r.kind() == INODE && inodes.borrow_mut().insert(id(r));
        false
    });
    let inodes = inodes.into_inner();
    let hit = changed(&mut bytes, FS, &|r| {
        let strange = r.kind() == EXTENT && !inodes.contains(&id(r)) && r.get(8, 8) != 0;
        on(strange, || r.put(8, 8, 1 << 40))
    });
    assert!(hit > 0, "the sample has no contents under another number");
    let told = told_of(bytes);
    let outside: Vec<&Finding> = told.iter().filter(|f| f.message.ends_with("(A225)")).collect();
    assert!(!outside.is_empty());
    for finding in outside {
        assert!(finding.message.contains(" ('/"), "{}", finding.message);
    }
}

#[test]
fn an_unknown_flag_of_a_snapshot_is_not_called_merging() {
    for (flags, merging) in [(2, true), (0x10000, false)] {
        let mut bytes = base().to_vec();
        let change = move |r: &mut Record<'_>| on(r.kind() == SNAPSHOT, || r.put(0x2C, 4, flags));
        assert!(changed(&mut bytes, SNAPSHOTS, &change) > 0);
        let found = told_of(bytes);
        let of: Vec<_> = found.iter().filter(|f| f.message.ends_with("(A267)")).collect();
        assert!(!of.is_empty());
        let said = |f: &&Finding| f.message.contains("merged or emptied");
        assert_eq!(of.iter().all(said), merging);
        assert_eq!(of.iter().any(said), merging);
    }
}

/// Changes one record of used blocks, whatever is said of it.
type Wrong = fn(&mut Record<'_>);

/// One wrong record shows in all that lies over the same blocks, and is one cause.
#[test]
fn one_wrong_record_of_used_blocks_is_told_in_few_findings() {
    let wrongs: [(&str, Wrong); 4] = [
        ("longer by a thousand blocks", |r| r.put(0, 4, r.get(0, 4) + 1000)),
        ("one reference more", |r| r.put(16, 4, r.get(16, 4) + 1)),
        ("a change where blocks were taken", |r| r.put(7, 1, 0x20)),
        ("half as long", |r| r.put(0, 4, r.get(0, 4).div_ceil(2))),
    ];
    for kind in ["clones", "fragmented", "time-machine-clones"] {
        let sound = samples::sample(kind).unwrap().image.to_vec();
        for (what, wrong) in &wrongs {
            let mut bytes = sound.clone();
            let done = std::cell::Cell::new(0);
            changed(&mut bytes, REFERENCES, &|r| {
                let new = r.kind() == REFERENCE && r.get(7, 1) == 0x10 && r.get(0, 4) > 1;
                done.set(done.get() + u32::from(new));
                on(new && done.get() == 2, || wrong(r))
            });
            assert!(done.get() >= 2, "{kind}: too few records");
            let told = told_of(bytes);
            let of = |f: &&Finding| (242..=247).any(|n| f.message.ends_with(&format!("(A{n})")));
            let about: Vec<_> = told.iter().filter(of).map(|f| &f.message).collect();
            if std::env::var_os("SHOW").is_some() {
                eprintln!("{kind}, {what}: {} of {}", about.len(), told.len());
            }
            assert!((1..=5).contains(&about.len()), "{kind}, {what}: {about:#?}");
            assert!(told.len() <= 12, "{kind}, {what}: {told:#?}");
        }
    }
}

/// A clone of an empty file has the number of the other's stream, and no part in what that is
/// given later.
#[test]
fn an_empty_clone_is_no_user_of_a_stream() {
    let mut bytes = base().to_vec();
    let hello = std::cell::Cell::new(0);
    changed(&mut bytes, FS, &|r| {
        on(inode(r, "hello.txt"), || {
            hello.set(le(r.block, r.key, 8) << 4 >> 4);
            r.put(0x30, 8, r.get(0x30, 8) | 0x10);
        })
    });
    let empty = changed(&mut bytes, FS, &|r| {
        on(inode(r, "empty") && r.field(0x5C, 8).is_none(), || {
            r.put(8, 8, hello.get());
            r.put(0x30, 8, r.get(0x30, 8) | 0x10);
        })
    });
    assert!(hello.get() > 0 && empty > 0);
    assert_eq!(broken(bytes), BTreeSet::new());
}
