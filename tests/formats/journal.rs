//! Journals in every form the writer can make: the volume read through the replay
//! must be, byte for byte, what the writer says it is.

use std::sync::Arc;
use tmbundle::hfsplus::journal::{Journal, JournalState};
use tmbundle::hfsplus::{check, parse_header};
use tmbundle::io::{Memory, Source, read_vec};
use tmbundle::report::{Code, Collector, NoProgress};
use tools::hfs::Volume;
use tools::journal::{Dirty, JournalDamage, Torn, Wrap, without_leaves};

fn volume() -> Volume {
    tools::samples::sample("links").unwrap().build()
}

fn source(image: &tools::Image) -> Source {
    Arc::new(Memory::new(image.to_vec()))
}

fn replay(torn: &Torn) -> (Journal, Vec<u8>) {
    let disk = source(&torn.image);
    let header = parse_header(&read_vec(&*disk, 1024, 512).unwrap(), disk.len()).unwrap();
    let journal = Journal::read(&*disk, &header);
    let replayed = journal.overlay(disk);
    let len = replayed.len() as usize;
    (journal, read_vec(&*replayed, 0, len).unwrap())
}

/// Every combination of byte order and wrap, and other settings.
fn forms() -> Vec<Dirty> {
    let mut forms = Vec::new();
    for big_endian in [false, true] {
        for wrap in [Wrap::No, Wrap::Data, Wrap::Header] {
            forms.push(Dirty { big_endian, wrap, ..Dirty::default() });
        }
    }
    forms
}

#[test]
fn a_replayed_volume_is_the_volume_that_was_meant() {
    let volume = volume();
    for how in forms() {
        let torn = without_leaves(&volume, &how);
        assert_ne!(torn.image, torn.replayed, "the journal must matter: {how:?}");
        let (journal, bytes) = replay(&torn);
        assert_eq!(journal.problems, [], "{how:?}");
        assert!(
            matches!(journal.state, JournalState::Replayed { transactions, .. } if transactions as usize == torn.good),
            "{how:?}: {:?}",
            journal.state
        );
        assert!(bytes == torn.replayed.to_vec(), "other bytes: {how:?}");
    }
}

#[test]
fn a_torn_volume_verifies_as_whole() {
    for how in forms() {
        let torn = without_leaves(&volume(), &how);
        let found = Collector::default();
        check::check(&source(&torn.image), &found, &NoProgress).unwrap();
        let codes: Vec<Code> = found.into_findings().0.iter().map(|f| f.code).collect();
        assert!(codes.contains(&Code::JournalDirty), "{codes:?}");
        assert!(
            codes.iter().all(|c| matches!(c, Code::JournalDirty | Code::InodeUnlinked)),
            "{codes:?}"
        );
    }
}

#[test]
fn the_good_part_of_a_damaged_journal_is_kept() {
    let volume = volume();
    for (name, damage) in JournalDamage::ALL {
        let how = Dirty { damage: Some(damage), ..Dirty::default() };
        let torn = without_leaves(&volume, &how);
        let (journal, bytes) = replay(&torn);
        assert!(!journal.problems.is_empty(), "{name} is not noticed");
        assert!(bytes == torn.replayed.to_vec(), "{name}: other bytes than the good part's");
    }
}
