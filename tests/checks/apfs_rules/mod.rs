//! Each rule of APFS that is checked has something that provokes it: a change to a sound volume
//! of the writer's, with the sums made right again, or an injury of the lab's that is known to
//! break it (`injured`, held by `apfs_agreement`). Those about records are in `apfs_records`.

pub mod bent;
mod container;
mod injured;
mod lost;
mod space;
mod trees;
mod work;

use crate::apfs_agreement::{findings, rule};
use bent::Bent;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use tmbundle::io::Source;
use tmbundle::report::{Code, Rule};

/// A rule, the kind of volume, and what is changed in it.
pub type Row = (Rule, &'static str, fn(&mut Bent));

/// Rules that are not checked, and rules whose provoker is still missing.
pub const NOT_YET: &[Rule] = injured::NOT_YET;

fn tables() -> impl Iterator<Item = &'static Row> {
    [container::TABLE, space::TABLE, trees::TABLE].into_iter().flatten()
}

/// Whether a rule of this code is provoked here, or is none that is checked.
pub fn covers(code: Code) -> bool {
    Rule::ALL.iter().any(|rule| rule.code() == code && !NOT_YET.contains(rule))
        || NOT_YET.iter().any(|rule| rule.code() == code)
}

fn memory(bent: &Bent) -> Source {
    Arc::new(bent.clone())
}

/// What is told.
fn findings_told(bent: &Bent) -> Vec<String> {
    findings(&memory(bent)).into_iter().map(|f| f.message).collect()
}

/// Numbers of the rules that are told.
fn told(bent: &Bent) -> BTreeSet<String> {
    findings(&memory(bent)).iter().filter_map(rule).map(str::to_string).collect()
}

#[test]
fn each_rule_is_told_when_it_is_broken() {
    let mut sound: HashMap<&str, Bent> = HashMap::new();
    let mut wrong = Vec::new();
    for (rule, kind, change) in tables() {
        let mut bent = sound.entry(kind).or_insert_with(|| Bent::of(kind)).clone();
        change(&mut bent);
        let told = told(&bent);
        if !told.contains(rule.name()) {
            wrong.push(format!("{rule} on {kind}: told {told:?}"));
        } else if std::env::var_os("SHOW").is_some() {
            eprintln!("{rule} on {kind}: {told:?}");
        }
    }
    crate::common::assert_none(&wrong);
}

#[test]
fn every_rule_has_a_provoker_or_stands_in_the_list() {
    let rows = tables().map(|row| row.0);
    let here: BTreeSet<Rule> = rows.chain(crate::apfs_records::rules()).collect();
    for rule in Rule::ALL {
        let ways = [here.contains(rule), injured::INJURED.contains(rule), NOT_YET.contains(rule)];
        assert!(ways[2] != (ways[0] || ways[1]), "{rule}: {ways:?}");
    }
}
