//! Injuries to APFS with the verdict of apfsck: where it owes one we owe a finding, where the
//! volume is sound we may not cry damage, and of what no view uses nothing may be said.
//!
//! `SHOW=1` prints what was missed, and how often each rule is told where the lab's own
//! checker tells it. `EVERY=20` takes one line of twenty, `LINE=WORDS` those with these words.

use crate::common;
use crate::common::patched::Patched;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tmbundle::apfs::check;
use tmbundle::io::{Memory, Slice, Source};
use tmbundle::report::{Collector, Finding, NoProgress, Severity};

/// What is found in a container.
pub fn findings(source: &Source) -> Vec<Finding> {
    let collector = Collector::new(200);
    check::check(source, &|_, _| Ok(Vec::new()), &collector, &NoProgress).unwrap();
    collector.into_findings().0
}

/// The number of the rule that a finding is about.
pub fn rule(f: &Finding) -> Option<&str> {
    let name = f.message.strip_suffix(')')?.rsplit_once('(')?.1;
    name.starts_with('A').then_some(name)
}

fn base(data: &Path, spec: &Value) -> Source {
    let bytes = common::gunzip(&data.join(spec["file"].as_str().unwrap()));
    let offset = spec["offset"].as_u64().unwrap();
    let len = spec["length"].as_u64().unwrap();
    Arc::new(Slice::new(Arc::new(Memory::new(bytes)), offset, len))
}

fn identity(f: &Finding) -> String {
    format!("{} {:?} {}", f.code, f.place, f.message)
}

/// An injury, and what is told of it beyond what is told without it.
struct Judged {
    owes: String,
    codes: BTreeSet<String>,
    line: String,
    new: Vec<Finding>,
}

impl Judged {
    fn worst(&self) -> Option<Severity> {
        self.new.iter().map(|f| f.severity).max()
    }

    fn is_wrong(&self) -> bool {
        match self.owes.as_str() {
            "finding" => self.worst() < Some(Severity::Warning),
            "sound" => self.worst() == Some(Severity::Damage),
            "quiet" => self.worst().is_some(),
            _ => false,
        }
    }

    fn text(&self) -> String {
        let new: Vec<String> = self.new.iter().take(3).map(|f| f.message.clone()).collect();
        format!("{} {:?} {} {new:?}", self.owes, self.worst(), self.line)
    }
}

struct Bases(HashMap<String, (Source, HashSet<String>)>);

impl Bases {
    fn read(data: &Path) -> Self {
        let file = data.join("damaged/apfsck-bases.json");
        let specs: HashMap<String, Value> =
            serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let bases = specs.into_iter().map(|(name, spec)| {
            let source = base(data, &spec);
            let before = findings(&source).iter().map(identity).collect();
            (name, (source, before))
        });
        Self(bases.collect())
    }

    fn judge(&self, line: &str) -> Judged {
        let case: Value = serde_json::from_str(line).unwrap();
        let (source, before) = &self.0[case["base"].as_str().unwrap()];
        let hex = |s: &str| -> Vec<u8> {
            (0..s.len()).step_by(2).map(|i| u8::from_str_radix(&s[i..i + 2], 16).unwrap()).collect()
        };
        let patches = case["patches"].as_array().unwrap();
        let patches =
            patches.iter().map(|p| (p[0].as_u64().unwrap(), hex(p[1].as_str().unwrap()))).collect();
        let injured: Source = Arc::new(Patched { base: source.clone(), patches });
        let new = findings(&injured).into_iter().filter(|f| !before.contains(&identity(f)));
        let new = new.collect();
        let codes = case["codes"].as_object().unwrap().keys().cloned().collect();
        let said = |key: &str| case[key].to_string();
        let line = ["base", "set", "kind", "type", "block", "what", "messages", "codes"].map(said);
        let owes = case["owes"].as_str().unwrap().to_string();
        Judged { owes, codes, line: line.join(" "), new }
    }
}

fn judge_all(data: &Path) -> Vec<Judged> {
    let cases = common::gunzip(&data.join("damaged/apfsck.jsonl.gz"));
    let cases = String::from_utf8(cases).unwrap();
    let every = std::env::var("EVERY").map_or(1, |n| n.parse().unwrap());
    let only = std::env::var("LINE").unwrap_or_default();
    let lines: Vec<&str> = cases.lines().filter(|l| l.contains(&only)).step_by(every).collect();
    let bases = Bases::read(data);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some(line) = lines.get(next.fetch_add(1, Ordering::Relaxed)) {
            done.push(bases.judge(line));
        }
        done
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|t| t.join().unwrap()).collect()
    })
}

/// How often a rule is told where the lab's checker tells it, and where it does not.
fn show(all: &[Judged]) {
    let mut rules: BTreeMap<String, [u32; 3]> = BTreeMap::new();
    for judged in all {
        let told: BTreeSet<String> =
            judged.new.iter().filter_map(rule).map(str::to_string).collect();
        for name in judged.codes.union(&told) {
            let index = match (judged.codes.contains(name), told.contains(name)) {
                (true, true) => 0,
                (true, false) => 1,
                _ => 2,
            };
            rules.entry(name.clone()).or_default()[index] += 1;
        }
    }
    for (rule, [both, missed, more]) in rules {
        eprintln!("{rule} both {both:4} missed {missed:4} only here {more:4}");
    }
    for judged in all.iter().filter(|j| j.is_wrong()) {
        eprintln!("WRONG {}", judged.text());
    }
}

#[test]
fn agrees_with_the_verdicts_on_apfs() {
    let Some(data) = common::shared_data("agrees_with_the_verdicts_on_apfs") else { return };
    let all = judge_all(&data);
    if std::env::var_os("SHOW").is_some() {
        show(&all);
    }
    let of = |owes: &str| {
        let lines = all.iter().filter(|j| j.owes == owes);
        (lines.clone().count(), lines.filter(|j| j.is_wrong()).count())
    };
    let [(owed, missed), (sound, damaged), (quiet, loud)] = ["finding", "sound", "quiet"].map(of);
    eprintln!(
        "finding {owed}, missed {missed}; sound {sound}, called damage {damaged}; quiet {quiet}, told of {loud}"
    );
    assert!(missed * 200 <= owed, "{missed} of {owed} injuries are not told");
    assert_eq!((damaged, loud), (0, 0));
}
