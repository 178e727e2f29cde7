//! The APFS bundle in `testdata/`, the same bytes at every run.

use std::io;
use std::path::Path;

use super::timemachine::{self, Backup, Carry, Outcome, Written};
use super::{Built, Container, ContainerOptions};
use crate::bundle::{self, BundleOptions, Results};
use crate::partition::{GUID_APFS, Gpt};
use crate::{demo, timemachine as hfs_timemachine};

/// Start of the first backup, Unix seconds (2024-03-02 09:15:00 GMT).
const FIRST: i64 = 1_709_370_900;
const DAY: i64 = 86_400;

/// The container and the backups on it.
pub fn container(carry: Carry) -> (Built, Vec<Written>) {
    let machine = demo::machine();
    let options = ContainerOptions { size: 512 << 20, seed: 2024, ..ContainerOptions::default() };
    let mut container = Container::new(options);
    let volume = container.add_volume(timemachine::volume_options(&machine, FIRST - DAY));
    container.commit();
    let written = timemachine::write(&mut container, volume, &machine, carry, &backups());
    (container.finish(), written)
}

/// Four completed backups, one that was cancelled, one that is running.
fn backups() -> Vec<Backup> {
    let mut source = demo::first_source();
    let mut out = Vec::new();
    for (i, days) in [0, 1, 4, 11].into_iter().enumerate() {
        demo::change(&mut source, i as u64);
        let start = FIRST + days * DAY + 61 * i as i64;
        let outcome = Outcome::Completed(start + 340);
        if i == 2 {
            let start = start - 7_200;
            let source = source.clone();
            out.push(Backup { start, outcome: Outcome::Interrupted, source });
        }
        out.push(Backup { start, outcome, source: source.clone() });
    }
    demo::change(&mut source, 4);
    out.push(Backup { start: FIRST + 12 * DAY, outcome: Outcome::Running, source });
    out
}

/// Writes the bundle at `path` and returns the container it holds.
pub fn write(path: &Path) -> io::Result<Built> {
    let (built, written) = container(Carry::Rename);
    let gpt = Gpt { kind: GUID_APFS.into(), ..Gpt::default() };
    let (disk, _) = gpt.wrap(&built.image);
    let machine = demo::machine();
    let options = BundleOptions {
        band_size: 1 << 20,
        version: 2,
        uuid: Some("5F1D2B0C-8E4A-4C39-A7D6-30B9E1F4C852".into()),
        machine_id: Some(hfs_timemachine::machine_id(&machine, None)),
        history: Some(timemachine::history(&written)),
        results: Some(Results {
            running: false,
            bytes_available: 500_000_000,
            bytes_used: written.iter().map(|w| w.copied).sum(),
        }),
        ..BundleOptions::default()
    };
    bundle::write(&disk, path, &options)?;
    Ok(built)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::{Path, PathBuf};

    fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut out = BTreeMap::new();
        let mut todo = vec![dir.to_path_buf()];
        while let Some(at) = todo.pop() {
            for entry in fs::read_dir(at).unwrap().map(Result::unwrap) {
                let path = entry.path();
                let name = path.strip_prefix(dir).unwrap().to_path_buf();
                if entry.file_type().unwrap().is_dir() {
                    todo.push(path);
                } else if name.starts_with("DemoAPFS.backupbundle")
                    || name.to_string_lossy().starts_with("DemoAPFS.manifest")
                {
                    out.insert(name, fs::read(path).unwrap());
                }
            }
        }
        out
    }

    #[test]
    fn testdata_is_what_the_demo_writes() {
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata");
        let temp = std::env::temp_dir().join(format!("tools-demo-apfs-{}", std::process::id()));
        fs::create_dir(&temp).unwrap();
        let built = super::write(&temp.join("DemoAPFS.backupbundle")).unwrap();
        built.write_manifests(&temp.join("DemoAPFS.manifest")).unwrap();
        let written = files(&temp);
        fs::remove_dir_all(&temp).unwrap();
        let kept = files(&kept);
        assert!(written.len() > 10 && written.keys().eq(kept.keys()), "run `tools apfs demo` anew");
        for (name, bytes) in written {
            assert!(bytes == kept[&name], "{name:?}: run `tools apfs demo` anew");
        }
    }
}
