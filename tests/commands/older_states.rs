//! APFS containers whose newest state cannot be read: an older one is never given as if it were
//! the state. The writer knows which block is for what; a band is a block.

use crate::common::{Ran, tmbundle};
use serde_json::Value;
use std::path::PathBuf;
use tools::apfs::{Built, Container, ContainerOptions, Meta, ROOT, VolumeOptions, What};
use tools::bundle::{BundleOptions, write};

const BLOCK: u64 = 4096;

/// A bundle of a container that was written twice: `new.txt` came with the second time.
struct Twice {
    _dir: tempfile::TempDir,
    path: PathBuf,
    built: Built,
}

impl Twice {
    fn new() -> Self {
        let options = ContainerOptions { size: 16 << 20, ..ContainerOptions::default() };
        let mut container = Container::new(options);
        let volume = container.add_volume(VolumeOptions::default());
        container.volume(volume).file(ROOT, "old.txt", "came first\n", Meta::file());
        container.commit();
        container.volume(volume).file(ROOT, "new.txt", "came last\n", Meta::file());
        let built = container.finish();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("Mac.sparsebundle");
        let options = BundleOptions { band_size: BLOCK, ..BundleOptions::default() };
        write(&built.image, &path, &options).unwrap();
        Self { _dir: dir, path, built }
    }

    /// Lose the blocks of a kind; returns the name of the first band.
    fn lose(&self, wanted: impl Fn(&What) -> bool) -> String {
        let mut first = None;
        for place in self.built.layout.find(wanted) {
            for block in place.address..place.address + place.count {
                let name = format!("{block:x}");
                std::fs::remove_file(self.path.join("bands").join(&name)).unwrap();
                first.get_or_insert(name);
            }
        }
        first.unwrap()
    }

    fn run(&self, command: &str, more: &[&str]) -> Ran {
        tmbundle(&[&[command, self.path.to_str().unwrap()], more].concat())
    }

    fn json(&self, command: &str, more: &[&str], code: i32) -> Value {
        let ran = self.run(command, &[more, &["--json"]].concat());
        serde_json::from_str(&ran.expect(code, &[]).out).unwrap()
    }

    fn findings(&self, code: &str) -> Vec<Value> {
        let verified = self.json("verify", &[], 1);
        let all = verified["sources"][0]["findings"].as_array().unwrap();
        all.iter().filter(|f| f["code"] == code).cloned().collect()
    }
}

#[test]
fn an_older_state_is_never_given_as_if_it_were_the_newest() {
    let twice = Twice::new();
    twice.run("ls", &["volume:/"]).expect(0, &["new.txt", "old.txt"]);
    let band = twice.lose(|what| matches!(what, What::Omap(None)));
    let told = |text: &str| {
        assert!(text.contains("older state (transaction "), "{text}");
        assert!(text.contains(&format!("band {band}")), "{text}");
    };
    let to = tempfile::tempdir().unwrap();
    let to = to.path().to_str().unwrap();
    for (command, more) in [
        ("ls", vec!["volume:/"]),
        ("cat", vec!["volume:/old.txt"]),
        ("extract", vec!["volume:/", "--to", to]),
        ("extract", vec!["volume:/", "--to", to, "--dry-run"]),
        ("extract", vec!["volume:/", "--tar"]),
        ("locate", vec!["--block", "0"]),
    ] {
        told(&twice.run(command, &more).expect(1, &[]).err);
    }
    told(&twice.run("info", &[]).expect(1, &[]).out);
    // What is not in it may be in the newest.
    told(&twice.run("cat", &["volume:/new.txt"]).expect(1, &[]).err);
    told(twice.json("ls", &["volume:/"], 1)["errors"][0].as_str().unwrap());
    let extracted = twice.json("extract", &["volume:/", "--to", to, "--dry-run"], 1);
    told(extracted["older_state"].as_str().unwrap());
    told(twice.json("locate", &["--block", "0"], 1)["older_state"][0].as_str().unwrap());
    let info = twice.json("info", &[], 1);
    told(info["partitions"][0]["apfs"][0]["older_state"].as_str().unwrap());
    let [found] = twice.findings("APFS-CHECKPOINT").try_into().unwrap();
    told(found["message"].as_str().unwrap());
    assert_eq!(
        (&found["severity"], &found["where"]["band"]),
        (&"damage".into(), &band.as_str().into())
    );
}

#[cfg(feature = "mount")]
#[test]
fn a_mount_shows_no_older_state_unless_that_is_asked_for() {
    let twice = Twice::new();
    let band = twice.lose(|what| matches!(what, What::Omap(None)));
    let dir = tempfile::tempdir().unwrap();
    let ran = twice.run("mount", &[dir.path().to_str().unwrap()]);
    ran.expect(1, &["older state (transaction ", &format!("band {band}"), "--salvage"]);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn the_copy_in_block_0_stands_for_a_lost_superblock() {
    let twice = Twice::new();
    let band = twice.lose(|what| matches!(what, What::Superblock));
    // Where the next one would be, nothing is stored: block 0 may lag behind.
    let ran = twice.run("ls", &["volume:/"]);
    ran.expect(1, &["new.txt", "may not be the newest"]);
    let written = |block: u64| twice.path.join(format!("bands/{block:x}"));
    for block in (1..=8).filter(|block| format!("{block:x}") != band && !written(*block).exists()) {
        std::fs::write(written(block), [0; 4096]).unwrap();
    }
    let ran = twice.run("ls", &["volume:/"]);
    ran.expect(0, &["new.txt", "warning: "]);
    let [found] = twice.findings("APFS-CHECKPOINT").try_into().unwrap();
    assert_eq!(found["severity"], "damage", "{band}");
    // With both lost nothing tells but that a band is gone where the next is written.
    twice.lose(|what| matches!(what, What::BlockZero));
    let ran = twice.run("ls", &["volume:/"]);
    ran.expect(1, &["old.txt", "may not be the newest", &format!("band {band}")]);
    assert!(!ran.out.contains("new.txt"), "{ran:#?}");
}

#[test]
fn what_only_a_mac_needs_of_a_checkpoint_costs_no_files() {
    let kinds: [fn(&What) -> bool; 3] = [
        |what| matches!(what, What::Spaceman),
        |what| matches!(what, What::Reaper),
        |what| matches!(what, What::CheckpointMap),
    ];
    for kind in kinds {
        let twice = Twice::new();
        let band = twice.lose(kind);
        let ran = twice.run("ls", &["volume:/"]);
        ran.expect(0, &["new.txt", "old.txt", "warning: ", &format!("band {band}")]);
        assert!(!ran.err.contains("older"), "{ran:#?}");
        let found = twice.findings("APFS-CHECKPOINT");
        assert!(found.iter().any(|f| f["where"]["band"] == band.as_str()), "{band}: {found:#?}");
    }
}

/// A stray that is the lost band is named wherever the band is missed, and nobody is told to
/// repair what that would make final.
#[test]
fn a_lost_band_of_apfs_or_of_the_map_is_named_with_what_may_be_it() {
    let lost: [fn(&What) -> bool; 4] = [
        |what| matches!(what, What::Omap(None)),
        |what| matches!(what, What::Volume(_)),
        |what| matches!(what, What::Spaceman),
        |what| matches!(what, What::Node { live: true, volume: Some(_), .. }),
    ];
    for kind in lost {
        let twice = Twice::new();
        let block = twice.built.layout.find(kind).next().unwrap().address;
        let (name, stray) = (format!("{block:x}"), format!("{block:x}.partial"));
        let bands = twice.path.join("bands");
        std::fs::rename(bands.join(&name), bands.join(&stray)).unwrap();
        twice.tells_the_band(&name, &stray);
    }
    // The partition map is in band 0, the container behind it.
    let twice = Twice::new();
    let gpt = tools::partition::Gpt { kind: tools::partition::GUID_APFS.into(), ..<_>::default() };
    let (disk, start) = gpt.wrap(&twice.built.image);
    std::fs::remove_dir_all(&twice.path).unwrap();
    let options = BundleOptions { band_size: BLOCK, ..BundleOptions::default() };
    write(&disk, &twice.path, &options).unwrap();
    assert!(start >= BLOCK, "{start}");
    std::fs::rename(twice.path.join("bands/0"), twice.path.join("bands/0 2")).unwrap();
    twice.tells_the_band("0", "0 2");
}

impl Twice {
    fn tells_the_band(&self, name: &str, stray: &str) {
        let verified = self.json("verify", &[], 1);
        let source = &verified["sources"][0];
        let found = source["findings"].as_array().unwrap();
        let of = |code: &str| {
            let all = found.iter().filter(|f| f["code"] == code && f["where"]["band"] == name);
            all.map(|f| f["message"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let [told] = of("BAND-LOST").try_into().unwrap_or_else(|_| panic!("{name}: {found:#?}"));
        assert!(told.contains(&format!("band {name} is missing")), "{told}");
        assert!(told.contains(&format!("{stray}'")), "{told}");
        let layer = &source["layers"][0];
        assert_eq!((&layer["name"], &layer["state"]), (&"bundle".into(), &"damage".into()));
        for f in found {
            let remedy = f["remedy"].as_str().unwrap();
            let mends = ["repair the volume", "Disk Utility", "a Mac check"];
            assert!(!mends.iter().any(|word| remedy.contains(word)), "{f:#}");
        }
    }
}

/// A copy of the beginning of an image, whatever part of it that is.
#[test]
fn a_cut_copy_of_a_container_is_called_that() {
    let twice = Twice::new();
    let image = twice.built.image.to_vec();
    let path = twice.path.with_file_name("cut.img");
    for len in [900_000, 4 << 20, image.len() - (2 << 20)] {
        std::fs::write(&path, &image[..len]).unwrap();
        let ran = tmbundle(&["verify", path.to_str().unwrap()]);
        let missing = format!("the disk ends {} bytes before the volume", image.len() - len);
        ran.expect(1, &["DISK-CUT", &missing, &format!("({} bytes)", image.len())]);
    }
}
