//! Volumes must read exactly as their manifests say.
//!
//! One test over every `NAME.jsonl.gz` beside an image in ../shared/data: more of the
//! same kind need no change here. Another over every kind of volume that our own
//! writer makes, which must also verify without a finding.

use crate::common;

use crate::common::manifest::{compare, open, open_disk};
use std::path::Path;
use std::sync::Arc;
use tmbundle::hfsplus::check;
use tmbundle::io::{Memory, Source};
use tmbundle::report::{Collector, NoProgress, Severity};

#[test]
fn hfs_volumes_read_as_their_manifests_say() {
    let Some(data) = common::shared_data("hfs_volumes_read_as_their_manifests_say") else { return };
    let mut wrong = Vec::new();
    for manifest in common::files_ending(&data.join("hfs"), ".jsonl.gz") {
        let name = manifest.file_name().unwrap().to_str().unwrap().trim_end_matches(".jsonl.gz");
        let image = common::unpack(&data.join(format!("hfs/{name}.img.gz")));
        let found = compare(name, &*open(&image), &common::gunzip(&manifest));
        eprintln!("{name}: {} differences", found.len());
        wrong.extend(found.into_iter().map(|w| format!("{name}: {w}")));
    }
    common::assert_none(&wrong);
}

#[test]
fn our_own_volumes_read_as_the_writer_says() {
    let mut wrong = Vec::new();
    for (kind, _) in tools::samples::KINDS {
        let builder = tools::samples::sample(kind).unwrap();
        let source: Source = Arc::new(Memory::new(builder.build().image.to_vec()));
        let mut manifest = Vec::new();
        builder.manifest(&mut manifest).unwrap();
        let fs = open_disk(source.clone());
        wrong.extend(compare(kind, &*fs, &manifest).into_iter().map(|w| format!("{kind}: {w}")));
        let found = Collector::default();
        check::check(&source, &found, &NoProgress).unwrap();
        let found = found.into_findings().0;
        let told = found.iter().filter(|f| f.severity > Severity::Info);
        wrong.extend(told.map(|f| format!("{kind}: {} {}", f.code, f.message)));
    }
    common::assert_none(&wrong);
}

#[test]
fn the_demonstration_bundle_reads_as_its_manifest_says() {
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let manifest = std::fs::read(testdata.join("Demo.manifest.jsonl")).unwrap();
    let wrong = compare("Demo", &*open(&testdata.join("Demo.sparsebundle")), &manifest);
    common::assert_none(&wrong);
}
