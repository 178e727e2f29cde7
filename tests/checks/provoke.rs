//! Each code of a finding has something that provokes it, and then nothing is
//! reported but that and what follows from it.

use crate::provoking;

use provoking::How::{self, Broken, Bundle, Damage, Made};
use provoking::{Told, bundles, made, volumes};
use std::collections::BTreeSet;
use std::path::Path;
use tmbundle::report::Code;

/// A code, what provokes it, and what else follows from that.
type Row = (Code, How, &'static [Code]);

/// Codes that another file of tests provokes, which must name them.
const ELSEWHERE: &[(Code, &str)] = &[
    (Code::HeaderEncryption, "formats/containers.rs"),
    (Code::TokenOdd, "formats/containers.rs"),
    (Code::ChunkZero, "formats/containers.rs"),
    (Code::DiskNotRescued, "commands/bad_map.rs"),
    (Code::DiskCut, "formats/containers.rs"),
    (Code::DiskImageDamaged, "formats/containers.rs"),
    (Code::BundleBusy, "commands/bad_input.rs"),
    (Code::BundleSkipped, "commands/bad_input.rs"),
    (Code::BandMapped, "checks/losses.rs"),
    (Code::BandHole, "commands/holes.rs"),
    (Code::BandMany, "checks/losses.rs"),
    (Code::BandRot, "commands/band_manifest.rs"),
    (Code::BandRewritten, "commands/band_manifest.rs"),
    (Code::BandGone, "commands/band_manifest.rs"),
    (Code::ManifestRestarted, "commands/band_manifest.rs"),
    (Code::ManifestUnwritten, "commands/band_manifest.rs"),
    (Code::BundleUnverified, "commands/state.rs"),
    (Code::BandSector, "commands/read_once.rs"),
    (Code::BundleTwice, "commands/state.rs"),
    (Code::PasswordWrong, "commands/verdicts.rs"),
    (Code::PasswordUnread, "commands/verdicts.rs"),
    (Code::ExaminationEnded, "commands/bounds.rs"),
    (Code::FileUnreadable, "commands/read_data.rs"),
    (Code::FileDecmpfs, "commands/read_data.rs"),
    (Code::FileUndecoded, "commands/read_data.rs"),
    (Code::FileChecksum, "commands/read_data.rs"),
    (Code::FileChecksumRule, "commands/read_data.rs"),
    (Code::FileChecksumOdd, "commands/read_data.rs"),
    (Code::TokenLost, "formats/encrypted.rs"),
    (Code::InfoContradicted, "commands/broken_bundles.rs"),
    (Code::BandsLost, "commands/broken_bundles.rs"),
    (Code::BundleDenied, "commands/remembered.rs"),
    (Code::TokenStray, "commands/keys.rs"),
    (Code::TokenForeign, "commands/keys.rs"),
    (Code::BandVersions, "commands/stand_ins.rs"),
    (Code::VolumeSearched, "commands/broken_disks.rs"),
    (Code::BandUnreadable, "commands/broken_bundles.rs"),
    (Code::ApfsUnreadable, "formats/apfs.rs"),
    (Code::ApfsCheckpoint, "formats/apfs.rs"),
    (Code::ApfsState, "formats/apfs.rs"),
    (Code::TmAgeUnknown, "commands/timemachine_state.rs"),
    (Code::TmNeverCompletes, "commands/timemachine_state.rs"),
    (Code::TmHost, "commands/timemachine_state.rs"),
    (Code::TmDates, "commands/timemachine_state.rs"),
    (Code::TmOrder, "commands/timemachine_state.rs"),
    (Code::TmState, "commands/timemachine_state.rs"),
    (Code::TmStructure, "commands/timemachine_state.rs"),
];

const TABLE: &[Row] = &[
    (Code::InfoFallback, Bundle(bundles::info_broken), &[]),
    (Code::InfoLost, Bundle(bundles::info_lost), &[]),
    (Code::InfoDiffers, Bundle(bundles::info_differs), &[]),
    (Code::InfoOdd, Bundle(bundles::info_odd), &[]),
    (Code::TokenUnknown, Bundle(bundles::token_unknown), &[]),
    (Code::TokenMissing, Bundle(bundles::token_missing), &[]),
    (Code::BundleStray, Bundle(bundles::stray), &[]),
    (Code::PlistBroken, Bundle(bundles::plist_broken), &[]),
    (Code::BandStray, Bundle(bundles::band_stray), &[]),
    (Code::BandName, Bundle(bundles::band_name), &[]),
    (Code::BandOutOfRange, Bundle(bundles::band_out_of_range), &[]),
    (Code::BandTooLong, Bundle(bundles::band_too_long), &[]),
    (Code::BandNotFile, Bundle(bundles::band_not_file), &[]),
    (Code::BandDenied, Bundle(bundles::band_denied), &[Code::BundleBusy]),
    (Code::BandLost, Bundle(bundles::band_lost), &[]),
    (
        Code::DiskUnreadable,
        Bundle(bundles::first_band_not_file),
        &[Code::BandNotFile, Code::GptPrimary],
    ),
    (Code::GptPrimary, Made(made::gpt_primary), &[]),
    (Code::GptBackup, Made(made::gpt_backup), &[]),
    (Code::GptDiffers, Made(made::gpt_differs), &[]),
    (Code::PartitionEntry, Made(made::partition_entry), &[Code::VolumeUnknown]),
    (Code::ApmEntry, Made(made::apm_entry), &[]),
    (Code::VolumeUnknown, Made(made::volume_unknown), &[]),
    (Code::VolumeNone, Made(made::volume_none), &[]),
    (Code::HeaderPrimary, Damage("vh-signature"), &[]),
    (Code::HeaderAlternate, Damage("alternate-signature"), &[]),
    (Code::HeaderLost, Damage("vh-both-signatures"), &[]),
    (Code::HeaderField, Damage("vh-catalog-clump"), &[]),
    (Code::JournalBad, Damage("journal-header"), &[]),
    (Code::JournalDirty, Made(volumes::dirty_journal), &[]),
    (Code::JournalExternal, Damage("journal-info-flags"), &[]),
    (Code::VolumeState, Damage("vh-unclean"), &[]),
    (Code::BtreeHeader, Damage("catalog-header-leaf-records"), &[]),
    (Code::BtreeUnreadable, Made(volumes::unreadable_leaf), &[]),
    (Code::BtreeNode, Damage("catalog-leaf-offset-first"), &[]),
    (Code::BtreeKind, Damage("catalog-leaf-kind"), &[]),
    (Code::BtreeLink, Damage("catalog-leaf-flink"), &[]),
    (Code::BtreeTwice, Damage("catalog-index-child-twice"), &[]),
    (Code::BtreeKeyLength, Damage("catalog-key-long"), &[]),
    (
        Code::BtreeKeyOrder,
        Damage("catalog-key-order"),
        &[Code::CatalogOrphan, Code::CatalogThread, Code::CatalogValence],
    ),
    (Code::BtreeIndexKey, Damage("catalog-index-key"), &[Code::BtreeKeyOrder]),
    (Code::BtreeMap, Damage("catalog-map-node-used"), &[Code::BtreeHeader]),
    (Code::BtreeUnused, Damage("catalog-unused-node"), &[]),
    (Code::BtreeSplit, Made(volumes::split_nodes), &[]),
    (Code::TmVerification, Bundle(bundles::verification_failed), &[]),
    (Code::TmBlocked, Bundle(bundles::blocked), &[]),
    (Code::TmStale, Bundle(bundles::stale), &[]),
    (Code::TmNeverCompleted, Made(made::never_completed), &[Code::TmUnfinished]),
    (Code::TmUnfinished, Made(made::unfinished), &[Code::TmStructure]),
    (Code::TmIncomplete, Made(made::incomplete), &[Code::TmStructure]),
    (Code::TmLatest, Made(made::latest), &[Code::TmStructure]),
    (Code::TmHistory, Bundle(bundles::history), &[]),
    (Code::TmUnreadable, Made(made::unreadable_folder), &[Code::LinkOrphan, Code::TmStructure]),
    (Code::CatalogRecord, Damage("record-type"), &[]),
    (Code::CatalogName, Broken("illegal-name"), &[]),
    (
        Code::CatalogId,
        Damage("record-low-id"),
        &[Code::CatalogThread, Code::ForkBlocks, Code::OverflowOrphan],
    ),
    (Code::CatalogThread, Damage("thread-parent"), &[]),
    (Code::CatalogOrphan, Broken("parent-is-file"), &[]),
    (Code::CatalogLoop, Broken("folder-loop"), &[]),
    (Code::CatalogDepth, Broken("deep-folders"), &[]),
    (Code::CatalogFlags, Damage("folder-reserved-flags"), &[]),
    (Code::CatalogFlags, Damage("root-name-locked"), &[]),
    (Code::CatalogMode, Damage("file-mode"), &[]),
    (Code::CatalogValence, Damage("valence"), &[]),
    (Code::CatalogFolderCount, Damage("folder-count"), &[]),
    (Code::SymlinkBad, Made(volumes::symlink_too_long), &[]),
    (Code::ForkExtent, Damage("extent-after-end"), &[]),
    (Code::ForkBlocks, Damage("file-blocks"), &[]),
    (Code::ForkSize, Damage("file-size"), &[]),
    (Code::ForkOverlap, Damage("extent-overlap"), &[]),
    (Code::OverflowOrphan, Damage("overflow-orphan"), &[Code::ForkBlocks]),
    (Code::LinkOrphan, Damage("link-orphan"), &[Code::LinkChain, Code::LinkCount]),
    (Code::InodeOrphan, Broken("orphan-file-inode"), &[]),
    (Code::InodeUnlinked, Broken("deleted-while-open"), &[]),
    (
        Code::InodePlace,
        Damage("dir-inode-name"),
        &[Code::CatalogThread, Code::InodeOrphan, Code::LinkOrphan],
    ),
    (Code::LinkCount, Damage("inode-link-count"), &[]),
    (Code::LinkChain, Damage("link-prev"), &[]),
    (Code::LinkFlags, Damage("link-flag"), &[]),
    (Code::LinkDate, Damage("link-date"), &[]),
    (Code::PrivateFolder, Damage("private-dir-mode"), &[]),
    (Code::AttributeRecord, Damage("attribute-type"), &[]),
    (Code::AttributeFork, Damage("attribute-fork-blocks"), &[]),
    (Code::AclBad, Damage("acl-magic"), &[]),
    (Code::AttributeFlags, Damage("xattr-flag-missing"), &[]),
    (Code::BitmapUnder, Damage("bitmap-file-free"), &[]),
    (Code::BitmapOver, Damage("bitmap-leak"), &[]),
    (Code::BitmapUnreadable, Damage("vh-bitmap-size"), &[Code::HeaderAlternate]),
    (Code::VolumeCounts, Damage("vh-file-count"), &[]),
];

fn judge(code: Code, also: &[Code], told: &Told) -> Option<String> {
    let codes: BTreeSet<Code> = told.iter().map(|t| t.0).collect();
    let wrong = !codes.contains(&code) || codes.iter().any(|c| *c != code && !also.contains(c));
    wrong.then(|| format!("{code}: {told:#?}"))
}

#[test]
fn each_code_is_provoked_and_only_what_follows_is_told() {
    let scene = provoking::Scene::new();
    let wrong: Vec<String> =
        TABLE.iter().filter_map(|(code, how, also)| judge(*code, also, &scene.play(how))).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_code_is_without_a_provoker() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    for code in Code::OF_BACKUPS {
        let here = TABLE.iter().any(|row| row.0 == *code);
        match ELSEWHERE.iter().find(|row| row.0 == *code) {
            None => {
                let covered = here || crate::apfs_rules::covers(*code);
                assert!(covered, "nothing provokes {code}");
            }
            Some((_, file)) => {
                let text = std::fs::read_to_string(tests.join(file)).unwrap();
                let named = text.contains(&format!("Code::{code:?}")) || text.contains(code.name());
                assert!(!here && named, "{file} does not name {code}, or it is here, too");
            }
        }
    }
}
