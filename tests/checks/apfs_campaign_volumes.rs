//! Small APFS containers that have everything, each cheap to check.

use crate::campaign_runner::{KEPT, Subject, Summed};
use std::sync::Arc;
use tmbundle::apfs::check;
use tmbundle::crypt::Secret;
use tmbundle::io::{Memory, ReadAt, Source};
use tmbundle::report::{Code, Collector, Finding, NoProgress, Structure, Where};
use tools::apfs::{
    Built, Container, ContainerOptions, DEFAULT_NS, Meta, Names, ROOT, Vol, VolumeOptions, fields,
    object, samples,
};
use tools::hfs::Content;
use tools::image::Image;

const SECOND: i64 = 1_000_000_000;

/// Those of every run; by `ONLY=huge` one that is slow to check.
pub fn all() -> Vec<Subject> {
    let mut all = vec![
        subject("everything", 8, everything()),
        subject("snapshots", 4, snapshots()),
        subject("clones", 4, clones()),
        subject("deep", 3, deep()),
        subject("old and dirty", 4, old_and_dirty()),
        subject("encrypted", 2, encrypted()),
    ];
    if std::env::var("ONLY").is_ok_and(|only| only == "huge") {
        all.push(huge());
    }
    all
}

fn findings(source: &Source) -> Vec<Finding> {
    let collector = Collector::new(KEPT);
    let ask = |_: &str, wrong| {
        Ok(if wrong == 0 { vec![Secret::new(b"password".to_vec())] } else { Vec::new() })
    };
    let seen = check::check(source, &ask, &collector, &NoProgress).unwrap();
    let mut found = collector.into_findings().0;
    // What is said not to be checked, but for the sentence that is said of all.
    found.extend(seen.not_checked.iter().filter(|n| n.0 != "structures").map(|(what, why)| {
        let place = Where::of(Structure::Container);
        Finding::new(Code::ApfsState, place, format!("{what} is not checked: {why}"))
    }));
    found
}

fn of(name: &'static str, weight: u64, built: &Built, source: Source) -> Subject {
    let objects = fields::objects(&built.layout).into_iter().filter(|o| o.sealed);
    let summed = |o: fields::Object| Summed {
        at: o.at,
        len: o.len,
        used: o.is_used(),
        mend: object::reseal,
    };
    let mut sums: Vec<Summed> = objects.map(summed).collect();
    sums.sort_by_key(|s| s.at);
    Subject { name, source, fields: fields::of(built), sums, weight, check: findings }
}

fn subject(name: &'static str, weight: u64, built: Built) -> Subject {
    let source = Arc::new(Memory::new(built.image.to_vec()));
    of(name, weight, &built, source)
}

fn small() -> ContainerOptions {
    ContainerOptions { size: 4 << 20, data_blocks: 0, ..ContainerOptions::default() }
}

/// Most of what there is, with unused pieces in nodes that lie here and there.
fn everything() -> Built {
    let options = ContainerOptions { ragged: true, scatter: true, size: 12 << 20, ..small() };
    let mut c = Container::new(options);
    let v = c.add_volume(VolumeOptions { prealloc_feature: true, ..VolumeOptions::default() });
    c.commit();
    let mut vol = c.volume(v);
    samples::plain(&mut vol);
    samples::extras(&mut vol);
    samples::compressed(&mut vol, ROOT);
    let id = vol.file(ROOT, "in pieces", "", Meta::file());
    vol.write_pieces(id, 0, Content::Pattern { seed: 1, len: 80_000 }, 12);
    c.snapshot(v, "first", DEFAULT_NS + SECOND);
    c.volume(v).unlink(ROOT, "hello.txt");
    c.finish()
}

/// Snapshots, one of which was deleted; what only they need is marked in the object map.
fn snapshots() -> Built {
    let mut c = Container::new(ContainerOptions { ragged: true, ..small() });
    let v = c.add_volume(VolumeOptions { tombstones: true, ..VolumeOptions::default() });
    let mut vol = c.volume(v);
    files(&mut vol, 30, 20);
    for round in 0..4 {
        c.snapshot(v, &format!("snapshot {round}"), DEFAULT_NS + (round + 1) * 3600 * SECOND);
        let mut vol = c.volume(v);
        vol.unlink(ROOT, &name(round as usize * 3, 20));
        let id = vol.lookup(&name(round as usize * 3 + 1, 20)).expect("a file");
        vol.write(id, 1_000, Content::text(round as u64, 5_000));
        vol.file(ROOT, &format!("new in {round}"), "new\n", Meta::file());
        c.commit();
    }
    c.delete_snapshot(v, "snapshot 2");
    c.commit();
    c.finish()
}

fn clones() -> Built {
    let mut c = Container::new(small());
    let options = VolumeOptions { attribute_stream_records: true, ..VolumeOptions::default() };
    let v = c.add_volume(VolumeOptions { recent_fields: true, ..options });
    samples::clones(&mut c, v);
    c.finish()
}

/// File-system tree and object map of several levels, because names are long.
fn deep() -> Built {
    let mut c = Container::new(ContainerOptions { size: 6 << 20, ..small() });
    let v = c.add_volume(VolumeOptions { names: Names::Folded, ..VolumeOptions::default() });
    files(&mut c.volume(v), 260, 200);
    c.finish()
}

/// As 10.12 wrote it: names that are not hashed, a space manager without zones; and not
/// unmounted.
fn old_and_dirty() -> Built {
    let options = ContainerOptions { versioned: false, newest_mounted: 0, ..small() };
    let mut c = Container::new(ContainerOptions { unmounted: false, block_size: 8192, ..options });
    let v = c.add_volume(VolumeOptions { names: Names::Plain, ..VolumeOptions::default() });
    let mut vol = c.volume(v);
    files(&mut vol, 40, 30);
    samples::extras(&mut vol);
    c.snapshot(v, "first", DEFAULT_NS + SECOND);
    let mut vol = c.volume(v);
    vol.file(ROOT, "later", "later\n", Meta::file());
    c.finish()
}

fn encrypted() -> Built {
    let mut c = Container::new(small());
    let encryption = Some(samples::encryption());
    let v = c.add_volume(VolumeOptions { encryption, ..VolumeOptions::default() });
    files(&mut c.volume(v), 20, 10);
    c.snapshot(v, "first", DEFAULT_NS + SECOND);
    c.volume(v).file(ROOT, "later", "later\n", Meta::file());
    c.finish()
}

/// Nine terabytes, so that there are blocks of addresses of chunk-info blocks.
fn huge() -> Subject {
    struct Sparse(Image);
    impl ReadAt for Sparse {
        fn len(&self) -> u64 {
            self.0.len()
        }
        fn read_at(&self, buf: &mut [u8], offset: u64) -> tmbundle::Result<()> {
            self.0.read_at(offset, buf);
            Ok(())
        }
    }
    let built = samples::sample("huge").unwrap();
    let source = Arc::new(Sparse(built.image.clone()));
    of("huge", 1, &built, source)
}

fn name(i: usize, len: usize) -> String {
    format!("file {i:03} {}", "x".repeat(len + i * 37 % (len / 2 + 1)))
}

fn files(v: &mut Vol<'_>, count: usize, len: usize) {
    for i in 0..count {
        let id = v.file(ROOT, &name(i, len), Content::text(i as u64, i * 97 % 9_000), Meta::file());
        if i % 4 == 0 {
            v.set_xattr(id, "com.example.inline", Content::text(i as u64, 200));
        }
    }
}
