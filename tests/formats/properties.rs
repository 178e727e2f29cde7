//! What must hold for any input: sets of bytes, names, band tables, journals, each
//! against a model too simple to be wrong or against another's code.

use crate::common::{empty_bundle, info_plist};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;
use tmbundle::bundle::Bundle;
use tmbundle::hfsplus::journal::Journal;
use tmbundle::hfsplus::{parse_header, unicode};
use tmbundle::io::{Memory, Presence, Ranges, ReadAt, Source, read_vec};
use tools::journal::{Dirty, Wrap, without_leaves};
use unicode_normalization::UnicodeNormalization;

fn ranges() -> impl Strategy<Value = Vec<std::ops::Range<u64>>> {
    prop::collection::vec((0u64..60, 0u64..12).prop_map(|(at, len)| at..at + len), 0..12)
}

fn numbers(all: impl IntoIterator<Item = std::ops::Range<u64>>) -> BTreeSet<u64> {
    all.into_iter().flatten().collect()
}

proptest! {
    #[test]
    fn ranges_are_sets_of_numbers(a in ranges(), b in ranges(), from in 0u64..70, len in 0u64..40) {
        let (set, other) = (Ranges::new(a.clone()), Ranges::new(b.clone()));
        let (model, minus) = (numbers(a), numbers(b));
        prop_assert_eq!(numbers(set.iter().cloned()), model.clone());
        prop_assert_eq!(set.bytes(), model.len() as u64);
        let met: Vec<_> = set.meet(from..from + len).collect();
        let expected: BTreeSet<u64> = model.iter().copied().filter(|n| (from..from + len).contains(n)).collect();
        prop_assert_eq!(numbers(met), expected);
        let left = set.without(&other);
        prop_assert_eq!(numbers(left.iter().cloned()), &model - &minus);
        let sorted = left.iter().zip(left.iter().skip(1)).all(|(x, y)| x.end < y.start);
        prop_assert!(sorted, "sorted, and joined where they meet");
    }
}

/// Letters with and without marks, of scripts that decompose, and marks alone. Not of the
/// ranges that Apple stores as they are and Unicode's composed form replaces.
fn name() -> impl Strategy<Value = String> {
    let letter = prop_oneof![
        prop::char::range('a', 'z'),
        prop::char::range('\u{C0}', '\u{17F}'),
        prop::char::range('\u{300}', '\u{315}'),
        prop::char::range('\u{391}', '\u{3C9}'),
        prop::char::range('\u{410}', '\u{45F}'),
        prop::char::range('\u{1E00}', '\u{1EF9}'),
        prop::char::range('\u{3041}', '\u{30FE}'),
        prop::char::range('\u{AC00}', '\u{D7A3}'),
        prop::char::range('\u{1F300}', '\u{1F5FF}'),
    ];
    prop::collection::vec(letter, 1..12).prop_map(|c| c.into_iter().collect())
}

proptest! {
    #[test]
    fn a_name_is_found_in_whichever_form_it_is_typed(name in name()) {
        let (composed, decomposed): (String, String) = (name.nfc().collect(), name.nfd().collect());
        let stored = unicode::stored(&composed);
        prop_assert_eq!(&stored, &unicode::stored(&decomposed));
        prop_assert_eq!(unicode::display(&stored), composed);
    }
}

/// A band: missing, or its first bytes.
fn bands() -> impl Strategy<Value = Vec<Option<Vec<u8>>>> {
    let stored = prop::collection::vec(1u8.., 1..=512);
    prop::collection::vec(prop::option::of(stored), 1..9)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]
    #[test]
    fn bands_read_as_the_disk_they_are_cut_from(bands in bands(), cut in 0u64..512, at in 0u64..4000, len in 0usize..1500) {
        let dir = tempfile::tempdir().unwrap();
        let bundle = dir.path().join("B.sparsebundle");
        let size = bands.len() as u64 * 512 - cut;
        empty_bundle(&bundle, 512, size);
        let (mut disk, mut kinds) = (Vec::new(), Vec::new());
        for (i, band) in bands.iter().enumerate() {
            let stored = band.as_deref().unwrap_or_default();
            let rest = if band.is_some() { Presence::Short } else { Presence::Missing };
            if band.is_some() {
                std::fs::write(bundle.join("bands").join(format!("{i:x}")), stored).unwrap();
            }
            disk.extend_from_slice(stored);
            kinds.extend(stored.iter().map(|_| Presence::Stored));
            disk.resize(512 * (i + 1), 0);
            kinds.resize(512 * (i + 1), rest);
        }
        disk.truncate(size as usize);
        kinds.truncate(size as usize);
        std::fs::write(bundle.join("Info.plist"), info_plist(512, size)).unwrap();
        let bytes = Bundle::open(&bundle).unwrap().bands();
        prop_assert_eq!(bytes.len(), size);
        prop_assert!(read_vec(&*bytes, 0, disk.len()).unwrap() == disk);
        let mut told = Vec::new();
        bytes.presence(0..size, &mut |r, p| told.extend(r.map(|_| p))).unwrap();
        prop_assert!(told == kinds);
        let wanted = disk.get(at as usize..(at as usize).saturating_add(len));
        match (read_vec(&*bytes, at, len), wanted) {
            (Ok(read), Some(wanted)) => prop_assert!(read == wanted),
            (Err(_), None) => {}
            (read, _) => prop_assert!(false, "{read:?} of {len} bytes at {at} in {size}"),
        }
    }
}

fn dirty() -> impl Strategy<Value = Dirty> {
    let wrap = prop_oneof![Just(Wrap::No), Just(Wrap::Data), Just(Wrap::Header)];
    let bits = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (bits, wrap, 1usize..6, 1u32..u32::MAX - 10).prop_map(|(bits, wrap, transactions, sequence)| {
        let (big_endian, block_checksums, killed_block, overwrite) = bits;
        Dirty {
            big_endian,
            wrap,
            transactions,
            block_checksums,
            killed_block,
            overwrite,
            sequence,
            ..Dirty::default()
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 25, max_shrink_iters: 50, ..ProptestConfig::default() })]
    #[test]
    fn a_replayed_journal_gives_the_state_that_was_meant(how in dirty(), at in 0usize..1 << 20, len in 0usize..20_000) {
        let volume = tools::samples::sample("basic").unwrap().build();
        let torn = without_leaves(&volume, &how);
        let disk: Source = Arc::new(Memory::new(torn.image.to_vec()));
        let header = parse_header(&read_vec(&*disk, 1024, 512).unwrap(), disk.len()).unwrap();
        let replayed = Journal::read(&*disk, &header).overlay(disk);
        let meant = torn.replayed.to_vec();
        prop_assert!(read_vec(&*replayed, 0, meant.len()).unwrap() == meant);
        // A read that begins and ends anywhere is the same as the whole.
        let end = (at + len).min(meant.len());
        let at = at.min(end);
        prop_assert!(read_vec(&*replayed, at as u64, end - at).unwrap() == meant[at..end]);
    }
}
