//! APFS containers of our own writer, each view of each volume, and random histories: what was put
//! in must be read out as it was at the time of every snapshot.

use crate::common;
use crate::common::manifest::compare;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tmbundle::apfs::{Apfs, Container};
use tmbundle::disk::{Disk, Secret};
use tmbundle::report::Ignore;
use tmbundle::{partition, volume};
use tools::apfs::history::Plan;
use tools::apfs::{Built, samples};

/// A sparse file that is gone when the test is.
struct Temp(PathBuf);

impl Temp {
    fn new(name: &str, built: &Built) -> Temp {
        let name = format!("tmbundle-apfs-{name}-{}.img", std::process::id());
        let path = std::env::temp_dir().join(name);
        built.image.write_to(&path).unwrap();
        Temp(path)
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn container(path: &Path) -> Arc<Container> {
    let bytes = Disk::open(path).unwrap().bytes().unwrap();
    let map = partition::scan(&*bytes, &Ignore).unwrap();
    let volumes = volume::volumes(&bytes, &map).unwrap();
    let found = volumes.into_iter().find(|v| v.kind == volume::Kind::Apfs).expect("a container");
    Arc::new(Container::open(found.source).unwrap())
}

/// Every difference between the views of a container and what the writer put there.
fn differences(name: &str, path: &Path, built: &Built, password: &str) -> Vec<String> {
    let container = container(path);
    let mut wrong = Vec::new();
    for (volume, &oid) in built.volumes.iter().zip(&container.superblock().volumes) {
        let secret = |_: &_, _| Ok(vec![Secret::new(password.as_bytes().to_vec())]);
        let apfs = Apfs::open(container.clone(), oid, &secret).unwrap();
        let name = format!("{name}, {}", volume.name);
        let live = apfs.live().unwrap();
        let found = compare(&name, &live, volume.live.join("\n").as_bytes());
        wrong.extend(found.into_iter().map(|w| format!("{name}: {w}")));
        let told: Vec<&str> = volume.snapshots.iter().map(|s| s.1.as_str()).collect();
        let read: Vec<&str> = apfs.snapshots().iter().map(|s| s.name.as_str()).collect();
        if told != read {
            wrong.push(format!("{name}: snapshots are {read:?}, expected {told:?}"));
            continue;
        }
        for ((_, snapshot, lines), read) in volume.snapshots.iter().zip(apfs.snapshots()) {
            let view = apfs.at(read).unwrap();
            let found = compare(&name, &view, lines.join("\n").as_bytes());
            wrong.extend(found.into_iter().map(|w| format!("{name}@{snapshot}: {w}")));
        }
    }
    wrong
}

#[test]
fn our_own_containers_read_as_the_writer_says() {
    let mut wrong = Vec::new();
    for (kind, _) in samples::KINDS {
        let built = samples::sample(kind).unwrap();
        let file = Temp::new(kind, &built);
        wrong.extend(differences(kind, &file.0, &built, "password"));
    }
    common::assert_none(&wrong);
}

#[test]
fn a_recovery_key_opens_what_the_password_opens() {
    let built = samples::sample("encrypted").unwrap();
    let file = Temp::new("recovery", &built);
    common::assert_none(&differences("encrypted", &file.0, &built, samples::RECOVERY_KEY));
}

/// More with `HISTORIES=N`; `HISTORY=SEED` plays one.
#[test]
fn random_histories_read_as_they_were() {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let seeds = match number("HISTORY") {
        Some(seed) => seed..seed + 1,
        None => 0..number("HISTORIES").unwrap_or(12),
    };
    let mut wrong = Vec::new();
    for seed in seeds {
        let built = Plan::of(seed, 160).play().into_built();
        let file = Temp::new(&format!("history-{seed}"), &built);
        wrong.extend(differences(&format!("history {seed}"), &file.0, &built, "password"));
    }
    common::assert_none(&wrong);
}
