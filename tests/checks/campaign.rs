//! A campaign of damage: seeded bit flips and zeroed sectors all over the metadata of
//! small volumes that have everything. Nothing panics, reads without end or fills the
//! memory; and what is not found is what nobody can find.
//!
//! What a byte means is the writer's word (`tools::fields`), not the checker's.
//! `TMBUNDLE_NOTES=1` lists what was missed; `TMBUNDLE_CAMPAIGN=5` runs five times as much.

use crate::campaign_volumes as volumes;

use crate::common::patched::Patched;
use std::collections::{BTreeMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tmbundle::hfsplus::check;
use tmbundle::io::{ReadAt, Source, read_vec};
use tmbundle::report::{Collector, Finding, NoProgress, Severity};
use tools::fields::Field;
use tools::hfs::splitmix;
use volumes::Subject;

/// Bit flips in all, and zeroed ranges of each size.
const FLIPS: u64 = 40_000;
const ZEROED: u64 = 1_500;
/// A check that reads more than so many times the volume goes in circles.
const READS: u64 = 40;
/// Findings of one code that are kept of one check.
const KEPT: usize = 50;

/// Least share of the meaningful flips that must be found, in thousandths, by the
/// beginning of the structure's name; docs/verify-campaign.md explains the rest.
const FLOORS: &[(&str, u64)] = &[("", 995), ("zeroed", 1000)];

/// A volume that counts what is read, and refuses when it is too much.
struct Counted {
    inner: Patched,
    read: AtomicU64,
}

impl ReadAt for Counted {
    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> tmbundle::Result<()> {
        let read = self.read.fetch_add(buf.len() as u64 + 64, Ordering::Relaxed);
        assert!(read < READS * self.len(), "the check goes in circles");
        self.inner.read_at(buf, offset)
    }
}

fn findings(source: Source) -> Vec<Finding> {
    let collector = Collector::new(KEPT);
    check::check(&source, &collector, &NoProgress).unwrap();
    collector.into_findings().0
}

fn identity(f: &Finding) -> String {
    format!("{} {:?} {}", f.code, f.place, f.message)
}

/// One case of damage, and what came of it.
struct Case {
    structure: &'static str,
    what: String,
    matters: bool,
    /// The worst that was reported of it.
    found: Option<Severity>,
}

/// A subject with what the check says of it undamaged.
struct Bench<'a> {
    subject: &'a Subject,
    before: HashSet<String>,
    /// Places of the fields in `subject.fields`, by structure.
    structures: Vec<Vec<usize>>,
    bytes: u64,
}

impl<'a> Bench<'a> {
    fn new(subject: &'a Subject) -> Self {
        let before = findings(subject.source.clone()).iter().map(identity).collect();
        let mut structures: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (i, field) in subject.fields.iter().enumerate() {
            structures.entry(field.structure).or_default().push(i);
        }
        let bytes = subject.fields.iter().map(|f| u64::from(f.len)).sum();
        Self { subject, before, structures: structures.into_values().collect(), bytes }
    }

    /// A random field and a byte in it: half of them by weight, half by structure.
    fn pick(&self, random: &mut Random) -> (&Field, u64) {
        let fields = &self.subject.fields;
        if random.below(2) == 0 {
            let mut at = random.below(self.bytes);
            for field in fields {
                if at < u64::from(field.len) {
                    return (field, at);
                }
                at -= u64::from(field.len);
            }
        }
        let structure = &self.structures[random.below(self.structures.len() as u64) as usize];
        let field = &fields[structure[random.below(structure.len() as u64) as usize]];
        (field, random.below(field.len.into()))
    }

    fn flip(&self, random: &mut Random) -> Case {
        let (field, byte) = self.pick(random);
        let before = self.read(field.at, field.len);
        let mut after = before.clone();
        let bit = random.below(8);
        after[byte as usize] ^= 1 << bit;
        let what = format!("{} byte {byte} bit {bit} at {}", field.name, field.at);
        let matters = field.matters(&before, &after);
        self.run(field.structure, what, matters, (field.at, after))
    }

    /// Zeros over an aligned range that holds a random byte.
    fn zero(&self, random: &mut Random, size: u64) -> Case {
        let (field, byte) = self.pick(random);
        let at = (field.at + byte) / size * size;
        let len = size.min(self.subject.source.len() - at);
        let end = at + len;
        let inside = |f: &&Field| f.at < end && f.at + u64::from(f.len) > at;
        let matters = self.subject.fields.iter().filter(inside).any(|f| {
            let before = self.read(f.at, f.len);
            let mut after = before.clone();
            let from = at.max(f.at) - f.at;
            let to = end.min(f.at + u64::from(f.len)) - f.at;
            after[from as usize..to as usize].fill(0);
            f.matters(&before, &after)
        });
        let what = format!("{} ({}), {len} zeros at {at}", field.structure, field.name);
        let zeros = (at, vec![0; len as usize]);
        let structure = if size == 512 { "zeroed sector" } else { "zeroed 4 KiB" };
        self.run(structure, what, matters, zeros)
    }

    fn read(&self, at: u64, len: u32) -> Vec<u8> {
        read_vec(&*self.subject.source, at, len as usize).unwrap()
    }

    fn run(
        &self,
        structure: &'static str,
        what: String,
        matters: bool,
        patch: (u64, Vec<u8>),
    ) -> Case {
        let inner = Patched { base: self.subject.source.clone(), patches: vec![patch] };
        let damaged = Arc::new(Counted { inner, read: AtomicU64::new(0) });
        let what = format!("{}: {structure}, {what}", self.subject.name);
        let told = catch_unwind(AssertUnwindSafe(|| findings(damaged)));
        let told = told.unwrap_or_else(|_| panic!("panicked on {what}"));
        let new = told.iter().filter(|f| !self.before.contains(&identity(f)));
        let found = new.map(|f| f.severity).max();
        Case { structure, what, matters, found }
    }
}

/// Seeded; the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(1);
        splitmix(self.0) % n.max(1)
    }
}

#[derive(Default)]
struct Score {
    cases: u64,
    matter: u64,
    found: u64,
    /// Of those, the ones that are more than worth knowing.
    warned: u64,
    found_of_the_rest: u64,
}

impl Score {
    fn add(&mut self, case: &Case) {
        let found = u64::from(case.found.is_some());
        self.cases += 1;
        if case.matters {
            self.matter += 1;
            self.found += found;
            self.warned += u64::from(case.found >= Some(Severity::Warning));
        } else {
            self.found_of_the_rest += found;
        }
    }

    fn line(&self, name: &str) {
        let share = self.found as f64 * 100.0 / self.matter.max(1) as f64;
        eprintln!(
            "{name:26} {:7} {:10} {:7} {share:8.2}% {:7} {:9}",
            self.cases, self.matter, self.found, self.warned, self.found_of_the_rest
        );
    }
}

fn rounds() -> u64 {
    std::env::var("TMBUNDLE_CAMPAIGN").ok().and_then(|n| n.parse().ok()).unwrap_or(1)
}

/// All cases of one subject, shared among two threads.
fn campaign(bench: &Bench<'_>, share: u64, seed: u64) -> Vec<Case> {
    let job = |part: u64| {
        let mut random = Random(splitmix(seed ^ part));
        let part_of = |n: u64| n * bench.subject.weight / share / 2 + 1;
        let mut cases: Vec<Case> =
            (0..part_of(FLIPS * rounds())).map(|_| bench.flip(&mut random)).collect();
        for size in [512, 4096] {
            cases.extend((0..part_of(ZEROED * rounds())).map(|_| bench.zero(&mut random, size)));
        }
        cases
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|part| scope.spawn(move || job(part))).collect();
        threads.into_iter().flat_map(|t| t.join().unwrap()).collect()
    })
}

/// Peak memory of this process in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn floor(structure: &str) -> u64 {
    let fits = FLOORS.iter().filter(|f| structure.starts_with(f.0));
    fits.max_by_key(|f| f.0.len()).unwrap().1
}

#[test]
fn damage_to_metadata_is_found() {
    let subjects = volumes::all();
    let share = subjects.iter().map(|s| s.weight).sum();
    let mut scores: BTreeMap<&str, Score> = BTreeMap::new();
    let (mut total, mut missed) = (Score::default(), Vec::new());
    let before = peak();
    for (seed, subject) in subjects.iter().enumerate() {
        let started = std::time::Instant::now();
        let cases = campaign(&Bench::new(subject), share, seed as u64);
        eprintln!("{}: {} cases in {:.1?}", subject.name, cases.len(), started.elapsed());
        for case in cases {
            scores.entry(case.structure).or_default().add(&case);
            total.add(&case);
            if case.matters && case.found.is_none() {
                missed.push(case.what);
            }
        }
    }
    let grown = peak() - before;
    eprintln!(
        "{:26} {:>7} {:>10} {:>7} {:>9} {:>7} {:>9}",
        "structure", "cases", "meaningful", "found", "share", "warned", "the rest"
    );
    scores.iter().for_each(|(structure, score)| score.line(structure));
    total.line("all");
    eprintln!("memory grew by {} MiB", grown >> 10);
    if std::env::var_os("TMBUNDLE_NOTES").is_some() {
        eprintln!("{}", missed.join("\n"));
    }
    assert!(total.cases >= FLIPS && total.matter > FLIPS / 3, "the campaign is too small");
    assert!(grown < 256 << 10, "{grown} KiB");
    let low = |(name, s): &(&&str, &Score)| s.found * 1000 < s.matter * floor(name);
    let low: Vec<&str> = scores.iter().filter(low).map(|s| *s.0).collect();
    assert!(low.is_empty(), "too little was found: {low:?}");
}
