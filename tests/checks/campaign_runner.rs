//! Runs campaigns of damage: seeded bit flips, zeroed ranges and random bytes all over the
//! metadata of small volumes. Nothing panics, reads without end or fills the memory; and what
//! is not found is what nobody can find.
//!
//! What a byte means is the word of the writer (`tools`), not the checker's.
//! `TMBUNDLE_NOTES=1` lists what was missed; `TMBUNDLE_CAMPAIGN=5` runs five times as much,
//! `ONLY=NAME` one volume.

use crate::common::patched::Patched;
use std::collections::{BTreeMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tmbundle::io::{ReadAt, Source, read_vec};
use tmbundle::report::{Finding, Severity};
use tools::fields::Field;
use tools::hfs::splitmix;

/// A check that reads more than so many times the volume goes in circles.
const READS: u64 = 40;
/// Findings of one code that are kept of one check.
pub const KEPT: usize = 50;

/// A volume to damage.
pub struct Subject {
    pub name: &'static str,
    pub source: Source,
    pub fields: Vec<Field>,
    /// What carries a checksum, in the order of the disk.
    pub sums: Vec<Summed>,
    /// How much of the campaign it gets.
    pub weight: u64,
    pub check: fn(&Source) -> Vec<Finding>,
}

/// A structure with a checksum over all of it.
pub struct Summed {
    pub at: u64,
    pub len: u64,
    /// A reader reads it, so that a wrong sum shows.
    pub used: bool,
    /// Makes its sum right again.
    pub mend: fn(&mut [u8]),
}

/// What is done, and how often.
pub struct Plan {
    /// What structures are called after.
    pub name: &'static str,
    pub how: How,
    /// Of all cases of a campaign.
    pub count: u64,
    /// Checksums are made right again.
    pub mended: bool,
}

/// How bytes are changed.
#[derive(Clone, Copy)]
pub enum How {
    /// One bit.
    Flip,
    /// Zeros over an aligned range of so many bytes.
    Zeros(u64),
    /// Random bytes, so many at most.
    Noise(u64),
}

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

fn identity(f: &Finding) -> String {
    format!("{} {:?} {}", f.code, f.place, f.message)
}

/// One case of damage, and what came of it.
struct Case {
    structure: String,
    what: String,
    matters: bool,
    /// The worst that was reported of it, and what.
    found: Option<(Severity, String)>,
}

/// A subject with what the check says of it undamaged.
struct Bench<'a> {
    subject: &'a Subject,
    before: HashSet<String>,
    /// Places of the fields in `subject.fields`, by structure.
    structures: Vec<Vec<usize>>,
    /// For each field, where it ends among the bytes of all.
    ends: Vec<u64>,
    /// The fields in the order of the disk.
    in_order: Vec<&'a Field>,
}

/// Bytes that lie elsewhere than before.
type Patch = (u64, Vec<u8>);

impl<'a> Bench<'a> {
    fn new(subject: &'a Subject) -> Self {
        let before = (subject.check)(&subject.source).iter().map(identity).collect();
        let mut structures: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        let (mut ends, mut end) = (Vec::new(), 0);
        for (i, field) in subject.fields.iter().enumerate() {
            structures.entry(field.structure).or_default().push(i);
            end += u64::from(field.len);
            ends.push(end);
        }
        let mut in_order: Vec<&Field> = subject.fields.iter().collect();
        in_order.sort_by_key(|f| f.at);
        Self { subject, before, structures: structures.into_values().collect(), ends, in_order }
    }

    /// A random field and a byte in it: half of them by weight, half by structure.
    fn pick(&self, random: &mut Random) -> (&Field, u64) {
        let fields = &self.subject.fields;
        if random.below(2) == 0 {
            let at = random.below(*self.ends.last().unwrap());
            let i = self.ends.partition_point(|end| *end <= at);
            return (&fields[i], at + u64::from(fields[i].len) - self.ends[i]);
        }
        let structure = &self.structures[random.below(self.structures.len() as u64) as usize];
        let field = &fields[structure[random.below(structure.len() as u64) as usize]];
        (field, random.below(field.len.into()))
    }

    fn case(&self, plan: &Plan, random: &mut Random) -> Case {
        let (field, byte) = self.pick(random);
        let place = field.at + byte;
        let (what, (at, bytes)) = match plan.how {
            How::Flip => {
                let bit = random.below(8);
                let bytes = vec![self.read(place, 1)[0] ^ (1 << bit)];
                (format!("{} byte {byte} bit {bit}", field.name), (place, bytes))
            }
            How::Zeros(size) => {
                let at = place / size * size;
                let len = size.min(self.subject.source.len() - at);
                (format!("{len} zeros ({})", field.name), (at, vec![0; len as usize]))
            }
            How::Noise(most) => {
                let len = (random.below(most) + 1).min(self.subject.source.len() - place);
                let bytes = (0..len).map(|_| random.below(256) as u8).collect();
                (format!("{len} random bytes from {} byte {byte} on", field.name), (place, bytes))
            }
        };
        let structure = match plan.how {
            How::Zeros(_) => plan.name.to_owned(),
            _ => format!("{}{}", plan.name, field.structure),
        };
        let what = format!("{}, {what} at {at}", field.structure);
        self.run(plan, structure, what, (at, bytes))
    }

    fn read(&self, at: u64, len: u64) -> Vec<u8> {
        read_vec(&*self.subject.source, at, len as usize).unwrap()
    }

    /// Whether a change means something to a reader, but for the checksum.
    fn matters(&self, (at, bytes): &Patch) -> bool {
        let (fields, end) = (&self.in_order, at + bytes.len() as u64);
        let first = fields.partition_point(|f| f.at + u64::from(f.len) <= *at);
        fields[first..].iter().take_while(|f| f.at < end).any(|f| {
            let before = self.read(f.at, f.len.into());
            let mut after = before.clone();
            lay(&mut after, f.at, (*at, bytes));
            f.matters(&before, &after)
        })
    }

    /// What carries a checksum and is changed.
    fn summed(&self, (at, bytes): &Patch) -> impl Iterator<Item = (&Summed, Vec<u8>)> {
        let end = at + bytes.len() as u64;
        let first = self.subject.sums.partition_point(|s| s.at + s.len <= *at);
        self.subject.sums[first..].iter().take_while(move |s| s.at < end).filter_map(move |s| {
            let before = self.read(s.at, s.len);
            let mut after = before.clone();
            lay(&mut after, s.at, (*at, bytes));
            (before != after).then_some((s, after))
        })
    }

    fn run(&self, plan: &Plan, structure: String, what: String, patch: Patch) -> Case {
        let mut matters = self.matters(&patch);
        let mut mended = Vec::new();
        for (summed, mut bytes) in self.summed(&patch) {
            if plan.mended {
                (summed.mend)(&mut bytes);
                mended.push((summed.at, bytes));
            } else {
                matters |= summed.used;
            }
        }
        let patches = std::iter::once(patch).chain(mended).collect();
        let inner = Patched { base: self.subject.source.clone(), patches };
        let damaged: Source = Arc::new(Counted { inner, read: AtomicU64::new(0) });
        let what = format!("{}: {}{what}", self.subject.name, plan.name);
        let told = catch_unwind(AssertUnwindSafe(|| (self.subject.check)(&damaged)));
        let told = told.unwrap_or_else(|_| panic!("panicked on {what}"));
        let new = told.into_iter().filter(|f| !self.before.contains(&identity(f)));
        let found = new.max_by_key(|f| f.severity).map(|f| (f.severity, f.message));
        Case { structure, what, matters, found }
    }
}

/// Lays bytes at `at` over those of a run that begins at `start`.
fn lay(run: &mut [u8], start: u64, (at, bytes): (u64, &[u8])) {
    let (end, over) = (start + run.len() as u64, at + bytes.len() as u64);
    let (from, to) = (at.max(start), over.min(end));
    if from < to {
        let source = &bytes[(from - at) as usize..(to - at) as usize];
        run[(from - start) as usize..(to - start) as usize].copy_from_slice(source);
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

/// What was found in a structure.
#[derive(Default)]
pub struct Score {
    pub cases: u64,
    pub matter: u64,
    pub found: u64,
    /// Of those, the ones that are more than worth knowing.
    pub warned: u64,
    found_of_the_rest: u64,
}

impl Score {
    fn add(&mut self, case: &Case) {
        let found = u64::from(case.found.is_some());
        self.cases += 1;
        if case.matters {
            self.matter += 1;
            self.found += found;
            self.warned += u64::from(case.worst() >= Some(Severity::Warning));
        } else {
            self.found_of_the_rest += found;
        }
    }

    fn line(&self, name: &str) {
        let share = self.found as f64 * 100.0 / self.matter.max(1) as f64;
        eprintln!(
            "{name:42} {:7} {:10} {:7} {share:8.2}% {:7} {:9}",
            self.cases, self.matter, self.found, self.warned, self.found_of_the_rest
        );
    }
}

impl Case {
    fn worst(&self) -> Option<Severity> {
        self.found.as_ref().map(|f| f.0)
    }

    fn line(&self) -> String {
        match &self.found {
            Some((severity, text)) => format!("{} <- {}: {text}", self.what, severity.as_str()),
            None => self.what.clone(),
        }
    }
}

/// What came of a campaign.
#[derive(Default)]
pub struct Outcome {
    pub total: Score,
    /// By structure.
    pub scores: BTreeMap<String, Score>,
    /// What means something and was not found.
    pub missed: Vec<String>,
    /// What means nothing and was called damage.
    pub alarms: Vec<String>,
}

impl Outcome {
    fn add(&mut self, case: &Case) {
        self.scores.entry(case.structure.clone()).or_default().add(case);
        self.total.add(case);
        if case.matters && case.found.is_none() {
            self.missed.push(case.line());
        } else if !case.matters && case.worst() == Some(Severity::Damage) {
            self.alarms.push(case.line());
        }
    }

    fn show(&self) {
        eprintln!(
            "{:42} {:>7} {:>10} {:>7} {:>9} {:>7} {:>9}",
            "structure", "cases", "meaningful", "found", "share", "warned", "the rest"
        );
        self.scores.iter().for_each(|(structure, score)| score.line(structure));
        self.total.line("all");
        if std::env::var_os("TMBUNDLE_NOTES").is_some() {
            self.missed.iter().for_each(|m| eprintln!("MISSED {m}"));
            self.alarms.iter().for_each(|m| eprintln!("ALARM {m}"));
        }
    }

    /// Structures of whose meaningful damage less was found than `floors` say: shares in
    /// thousandths by the beginning of a structure's name, the longest that fits.
    pub fn low(&self, floors: &[(&str, u64)]) -> Vec<&str> {
        let floor = |name: &str| {
            let fits = floors.iter().filter(|f| name.starts_with(f.0));
            fits.max_by_key(|f| f.0.len()).unwrap().1
        };
        let low = |(name, s): &(&String, &Score)| s.found * 1000 < s.matter * floor(name);
        self.scores.iter().filter(low).map(|s| s.0.as_str()).collect()
    }
}

/// How often a campaign is run: 15, or 0.1 for a first look.
fn rounds() -> f64 {
    std::env::var("TMBUNDLE_CAMPAIGN").ok().and_then(|n| n.parse().ok()).unwrap_or(1.0)
}

/// All cases of one subject, shared among two threads.
fn cases(bench: &Bench<'_>, plans: &[Plan], share: u64, seed: u64) -> Vec<Case> {
    let job = |part: u64| {
        let mut random = Random(splitmix(seed ^ part));
        let times = |n: u64| (n as f64 * rounds()) as u64;
        let part_of = |n: u64| times(n) * bench.subject.weight / share / 2 + 1;
        let mut cases = Vec::new();
        for plan in plans {
            cases.extend((0..part_of(plan.count)).map(|_| bench.case(plan, &mut random)));
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

/// Runs a test, by its full name, in a process of its own: what its memory grows by is held to a
/// bound, and other tests of this process would count.
pub fn alone(test: &str, body: fn()) {
    const CHILD: &str = "TMBUNDLE_CAMPAIGN_ALONE";
    if std::env::var_os(CHILD).is_some() {
        return body();
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    let ran = child.args(["--exact", test, "--nocapture"]).env(CHILD, "1").output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout) + String::from_utf8_lossy(&ran.stderr);
    eprintln!("{said}");
    assert!(ran.status.success() && said.contains("1 passed"), "{test}");
}

/// Damages the subjects as the plans say, and holds that nothing panics, reads or grows
/// without end.
pub fn run(subjects: &[Subject], plans: &[Plan]) -> Outcome {
    let share = subjects.iter().map(|s| s.weight).sum();
    let mut outcome = Outcome::default();
    let before = peak();
    for (seed, subject) in subjects.iter().enumerate() {
        if std::env::var("ONLY").is_ok_and(|only| only != subject.name) {
            continue;
        }
        let started = std::time::Instant::now();
        let cases = cases(&Bench::new(subject), plans, share, seed as u64);
        eprintln!("{}: {} cases in {:.1?}", subject.name, cases.len(), started.elapsed());
        cases.iter().for_each(|case| outcome.add(case));
    }
    outcome.show();
    let grown = peak() - before;
    eprintln!("memory grew by {} MiB", grown >> 10);
    assert!(grown < 256 << 10, "{grown} KiB");
    outcome
}
