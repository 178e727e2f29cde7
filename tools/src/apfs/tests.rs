//! What foreign readers say of the samples.

use std::path::PathBuf;
use std::process::Command;

use super::samples;

/// Kinds that Debian's apfsck of 2023 cannot judge, and why.
const BEYOND_APFSCK: &[(&str, &str)] = &[
    ("small", "small containers are not supported"),
    ("long-names", "takes names over 255 bytes for damage"),
    ("compressed", "meets a node again while it reads a resource fork"),
    ("clones", "counts references by the first block of a record"),
    ("volumes", "takes macOS's padded keybag entries for damage"),
    ("encrypted", "takes macOS's padded keybag entries for damage"),
    ("huge", "has another idea of the internal pool where there are two tiers"),
    ("dirty", "objects to a container that was not unmounted"),
    ("time-machine", "meets a node again while it reads a resource fork"),
    ("time-machine-clones", "meets a node again while it reads a resource fork"),
    ("everything", "does not know preallocated extents"),
];

fn write(kind: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("tools-apfs-{kind}-{}", std::process::id()));
    samples::sample(kind).unwrap().image.write_to(&path).unwrap();
    path
}

#[test]
fn apfsck_is_silent() {
    if Command::new("apfsck").arg("-v").output().is_err() {
        println!("SKIPPED apfsck_is_silent: apfsck is not installed");
        return;
    }
    for (kind, _) in samples::KINDS {
        if BEYOND_APFSCK.iter().any(|b| b.0 == *kind) {
            continue;
        }
        let path = write(kind);
        let done = Command::new("apfsck").arg("-cw").arg(&path).output().unwrap();
        std::fs::remove_file(&path).unwrap();
        let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success() && said.is_empty(), "{kind}: {said}");
    }
}

/// The same bytes every time, so that what is made from them can be kept.
#[test]
fn samples_are_reproducible() {
    for kind in ["basic", "encrypted", "snapshots"] {
        let (one, two) = (samples::sample(kind).unwrap(), samples::sample(kind).unwrap());
        assert!(one.image == two.image, "{kind}");
        assert_eq!(one.volumes[0].live, two.volumes[0].live, "{kind}");
    }
}
