//! Random trees through the writer and back: what was put in must be read out, and
//! verify must find nothing.

use crate::common::manifest::{compare, open_disk};
use proptest::prelude::*;
use std::sync::Arc;
use tmbundle::hfsplus::check;
use tmbundle::io::{Memory, Source};
use tmbundle::report::{Collector, NoProgress, Severity};
use tools::decmpfs::DecmpfsType;
use tools::hfs::{Cnid, Content, ForkKind, Meta, VolumeBuilder, VolumeOptions};

/// One step of making a volume; numbers choose among what is there already.
#[derive(Debug, Clone)]
enum Step {
    Folder(usize, String),
    File(usize, String, u16),
    Symlink(usize, String),
    HardLink(usize, usize, String),
    DirLink(usize, String),
    Attribute(usize, String, u16),
    Resource(usize, u16),
    Compress(usize, usize),
    Fragment(usize, u8),
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9._ -]{1,12}",
        "[äöüéñçÅßøæœłđŁІЙёабв한글漢字]{1,8}",
        "[a-z]{1,3}/[a-z]{1,3}",
        "[a-z]{200,250}",
    ]
    .prop_filter("dots are no names", |n| n != "." && n != "..")
}

fn step() -> impl Strategy<Value = Step> {
    let n = any::<usize>;
    prop_oneof![
        3 => (n(), name()).prop_map(|(d, s)| Step::Folder(d, s)),
        6 => (n(), name(), any::<u16>()).prop_map(|(d, s, l)| Step::File(d, s, l)),
        1 => (n(), name()).prop_map(|(d, s)| Step::Symlink(d, s)),
        2 => (n(), n(), name()).prop_map(|(f, d, s)| Step::HardLink(f, d, s)),
        2 => (n(), name()).prop_map(|(f, s)| Step::DirLink(f, s)),
        2 => (n(), "[a-z.]{1,30}", any::<u16>()).prop_map(|(f, s, l)| Step::Attribute(f, s, l)),
        1 => (n(), any::<u16>()).prop_map(|(f, l)| Step::Resource(f, l)),
        1 => (n(), n()).prop_map(|(f, k)| Step::Compress(f, k)),
        1 => (n(), any::<u8>()).prop_map(|(f, k)| Step::Fragment(f, k)),
    ]
}

fn options() -> impl Strategy<Value = VolumeOptions> {
    (any::<bool>(), any::<bool>(), 0usize..4, any::<bool>(), any::<u64>()).prop_map(
        |(hfsx, case, block, journal, seed)| VolumeOptions {
            hfsx,
            case_sensitive: hfsx && case,
            size: 24 << 20,
            block_size: [512, 1024, 4096, 8192][block],
            journal_size: if journal { 512 << 10 } else { 0 },
            seed,
            ..VolumeOptions::default()
        },
    )
}

/// What was made so far.
struct Made {
    builder: VolumeBuilder,
    folders: Vec<Cnid>,
    files: Vec<Cnid>,
    plain: Vec<Cnid>,
    /// Folders with a link already: no second shape for them, no links in links' way.
    names: Vec<(Cnid, String)>,
}

impl Made {
    /// A folder and a name that is free in it, whatever the volume folds.
    fn free(&mut self, pick: usize, name: &str) -> Option<Cnid> {
        let folder = self.folders[pick % self.folders.len()];
        let key = (folder, name.to_lowercase());
        if self.names.contains(&key) {
            return None;
        }
        self.names.push(key);
        Some(folder)
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Folder(d, name) => {
                if let Some(parent) = self.free(*d, name) {
                    let id = self.builder.mkdir(parent, name, Meta::dir());
                    self.folders.push(id);
                }
            }
            Step::File(d, name, len) => {
                if let Some(parent) = self.free(*d, name) {
                    let content = Content::Pattern { seed: u64::from(*len), len: u64::from(*len) };
                    let id = self.builder.file(parent, name, content, Meta::file());
                    self.files.push(id);
                    self.plain.push(id);
                }
            }
            Step::Symlink(d, name) => {
                if let Some(parent) = self.free(*d, name) {
                    self.builder.symlink(parent, name, "../elsewhere", Meta::with_mode(0o755));
                }
            }
            Step::HardLink(f, d, name) => {
                if let Some(target) = pick(&self.files, *f)
                    && let Some(parent) = self.free(*d, name)
                {
                    self.builder.hard_link(target, parent, name);
                }
            }
            // Links go to the root only, so that no folder comes to hold itself.
            Step::DirLink(f, name) => {
                let target = pick(&self.folders, *f).filter(|t| *t != self.builder.root());
                if let Some(target) = target
                    && let Some(parent) = self.free(0, name)
                {
                    self.builder.dir_link(target, parent, name);
                }
            }
            Step::Attribute(f, name, len) => {
                if let Some(id) = pick(&self.files, *f) {
                    let value = Content::Pattern { seed: 7, len: u64::from(*len) % 9000 };
                    self.builder.set_xattr(id, &format!("com.{name}"), value);
                }
            }
            Step::Resource(f, len) => {
                if let Some(id) = pick(&self.plain, *f) {
                    let content = Content::Pattern { seed: 3, len: u64::from(*len) + 1 };
                    self.builder.set_resource_fork(id, content);
                    self.plain.retain(|p| *p != id);
                }
            }
            Step::Compress(f, kind) => {
                use DecmpfsType::*;
                const KINDS: [DecmpfsType; 4] = [Zlib4, Lzvn8, Lzfse12, Stored10];
                if let Some(id) = pick(&self.plain, *f) {
                    self.builder.compress(id, KINDS[kind % KINDS.len()]);
                    self.plain.retain(|p| *p != id);
                }
            }
            Step::Fragment(f, pieces) => {
                if let Some(id) = pick(&self.plain, *f) {
                    self.builder.fragment(id, ForkKind::Data, 1 + u32::from(*pieces) % 20);
                    self.plain.retain(|p| *p != id);
                }
            }
        }
    }
}

fn pick(from: &[Cnid], n: usize) -> Option<Cnid> {
    (!from.is_empty()).then(|| from[n % from.len()])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn what_was_written_is_read(options in options(), steps in prop::collection::vec(step(), 1..60)) {
        let builder = VolumeBuilder::new(options);
        let root = builder.root();
        let mut made = Made { builder, folders: vec![root], files: vec![], plain: vec![], names: vec![] };
        for step in &steps {
            made.apply(step);
        }
        let mut manifest = Vec::new();
        made.builder.manifest(&mut manifest).unwrap();
        let source: Source = Arc::new(Memory::new(made.builder.build().image.to_vec()));
        let wrong = compare("random", &*open_disk(source.clone()), &manifest);
        prop_assert!(wrong.is_empty(), "{wrong:#?}");
        let found = Collector::default();
        check::check(&source, &found, &NoProgress).unwrap();
        let told: Vec<_> = found.into_findings().0.into_iter().filter(|f| f.severity > Severity::Info).collect();
        prop_assert!(told.is_empty(), "{told:#?}");
    }
}
