//! Objects whose numbers need more than 32 bits, as on APFS: every command has all of them.

use crate::common::tmbundle;
use serde_json::Value;
use std::path::{Path, PathBuf};
use tools::apfs::{Container, ContainerOptions, Meta, ROOT, VolumeOptions};

/// More than 32 bits; more than an inode number of the mount has room for beside its space; as
/// many as there are.
const FIRST: [u64; 3] = [(1 << 32) + 16, (1 << 44) + 16, (1 << 60) - 64];
const LETTER: &str = "Dear Anna, this is the letter";

struct Made {
    dir: tempfile::TempDir,
    /// What went in: path and number.
    numbers: Vec<(&'static str, u64)>,
}

impl Made {
    fn new(first_id: u64) -> Self {
        let mut container = Container::new(ContainerOptions::default());
        let volume = container.add_volume(VolumeOptions { first_id, ..VolumeOptions::default() });
        container.commit();
        let mut ops = container.volume(volume);
        let letter = ops.file(ROOT, "letter", LETTER, Meta::file());
        let folder = ops.mkdir(ROOT, "folder", Meta::dir());
        let other = ops.file(folder, "other", "another one", Meta::file());
        ops.hard_link(other, folder, "its second name");
        // Compressed, it says, and has nothing to decompress: its number stands in a finding.
        let broken = ops.file(ROOT, "broken", "", Meta::file().flagged(0x20));
        let numbers = vec![
            ("letter", letter),
            ("folder", folder),
            ("folder/other", other),
            ("folder/its second name", other),
            ("broken", broken),
        ];
        assert!(numbers.iter().all(|(_, id)| *id >= first_id));
        let dir = tempfile::tempdir().unwrap();
        container.finish().image.write_to(&dir.path().join("disk.img")).unwrap();
        Self { dir, numbers }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("disk.img")
    }

    fn json(&self, args: &[&str]) -> Value {
        let path = self.path();
        let ran = tmbundle(&[&[args[0], "--json", path.to_str().unwrap()], &args[1..]].concat());
        serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:#?}"))
    }

    fn number(&self, path: &str) -> u64 {
        self.numbers.iter().find(|(p, _)| *p == path).unwrap().1
    }
}

#[test]
fn numbers_of_64_bits_are_kept_in_json() {
    for first in FIRST {
        let made = Made::new(first);
        let listed = made.json(&["ls", "-R", "volume:"]);
        for (path, id) in &made.numbers {
            let entries = listed["entries"].as_array().unwrap();
            let entry = entries.iter().find(|e| e["path"] == *path);
            assert_eq!(entry.unwrap()["id"], *id, "{listed:#}");
        }
        // Where its bytes lie, by the image itself.
        let bytes = std::fs::read(made.path()).unwrap();
        let at = bytes.windows(LETTER.len()).position(|w| w == LETTER.as_bytes()).unwrap();
        let found = made.json(&["locate", "--offset", &at.to_string()]);
        assert_eq!(found["pieces"][0]["objects"][0]["id"], made.number("letter"), "{found:#}");
        let outcome = made.json(&["verify", "--read-data"]);
        let findings = outcome["sources"][0]["findings"].as_array().unwrap();
        let of = |f: &&Value| f["where"]["object"] == made.number("broken");
        assert!(findings.iter().any(|f| of(&f)), "{first}: {findings:#?}");
        let to = made.dir.path().join("to");
        let (source, out) = (made.path(), to.to_str().unwrap());
        let args = ["extract", source.to_str().unwrap(), "volume:/folder", "--to", out];
        tmbundle(&args).expect(0, &[]);
        let names = ["other", "its second name"].map(|name| to.join("folder").join(name));
        let [a, b] = names.map(|path| std::fs::read_to_string(path).unwrap());
        assert_eq!((a.as_str(), a.as_str()), ("another one", b.as_str()));
    }
}

#[cfg(feature = "mount")]
#[test]
fn the_mount_tells_objects_of_64_bits_apart() {
    use std::os::unix::fs::MetadataExt;
    if !crate::mounting::possible("the_mount_tells_objects_of_64_bits_apart") {
        return;
    }
    for first in FIRST {
        let made = Made::new(first);
        let mount = crate::mounting::Mount::new(&made.path(), &[]);
        let root = mount.volume();
        let read = |path: &Path| std::fs::read_to_string(root.join(path)).unwrap();
        assert_eq!(read(Path::new("letter")), LETTER);
        assert_eq!(read(Path::new("folder/its second name")), "another one");
        let ino = |path: &str| std::fs::metadata(root.join(path)).unwrap().ino();
        assert_eq!(ino("folder/other"), ino("folder/its second name"), "{first}");
        let mut all: Vec<u64> = ["letter", "folder", "folder/other", "broken"].map(ino).into();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 4, "{first}");
    }
}
