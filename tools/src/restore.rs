//! Volumes for measuring restores, and the least that a restore of them can take.

use crate::hfs::{Content, Meta, VolumeBuilder, VolumeOptions, splitmix};
use std::fs::{self, File, FileTimes, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

/// Small files, and folders they are in.
const SMALL: u32 = 100_000;
const FOLDER: u32 = 100;
/// Large files and the size of each.
const LARGE: u32 = 4;
const LARGE_SIZE: u64 = 512 << 20;
const START: i64 = 1_572_686_100;

/// Length of a small file: a few KiB.
fn small_len(n: u32) -> usize {
    500 + splitmix(u64::from(n)) as usize % 7000
}

fn noise(seed: u64, len: usize) -> Vec<u8> {
    let words = (0..len.div_ceil(8) as u64).map(|i| splitmix(seed << 32 | i) | 0x0101_0101);
    let mut bytes: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
    bytes.truncate(len);
    bytes
}

/// A hundred thousand small files of noise. (Zeros flatter: they become holes.)
pub fn small() -> VolumeBuilder {
    let options = VolumeOptions { size: 1200 << 20, created: START, ..VolumeOptions::default() };
    let mut v = VolumeBuilder::new(options);
    let root = v.root();
    for d in 0..SMALL / FOLDER {
        let dir = v.mkdir(root, &format!("folder {d}"), Meta::dir().dated(START));
        for f in 0..FOLDER {
            let seed = d * FOLDER + f;
            let content = Content::Pattern { seed: seed.into(), len: small_len(seed) as u64 };
            v.file(dir, &format!("file {f}"), content, Meta::file().dated(START));
        }
    }
    v
}

/// Two GiB in four files of noise.
pub fn large() -> VolumeBuilder {
    let size = u64::from(LARGE) * LARGE_SIZE + (64 << 20);
    let options = VolumeOptions { size, created: START, ..VolumeOptions::default() };
    let mut v = VolumeBuilder::new(options);
    let root = v.root();
    for n in 0..LARGE {
        let content = Content::Pattern { seed: n.into(), len: LARGE_SIZE };
        v.file(root, &format!("large {n}"), content, Meta::file().dated(START));
    }
    v
}

fn write(path: &Path, temporary: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).open(temporary)?;
    file.write_all(bytes)?;
    file.set_permissions(Permissions::from_mode(0o644))?;
    let date = UNIX_EPOCH + Duration::from_secs(START as u64);
    file.set_times(FileTimes::new().set_modified(date).set_accessed(date))?;
    drop(file);
    fs::rename(temporary, path)
}

/// The least that a restore can do: the same files out of memory, by two threads, each
/// under a temporary name first. Nothing is read, and nothing decided.
pub fn floor(small: bool, to: &Path) -> io::Result<()> {
    let bytes = if small { noise(1, 16 << 10) } else { noise(1, 8 << 20) };
    let one = |thread: u32| -> io::Result<()> {
        if !small {
            for n in (thread..LARGE).step_by(2) {
                let mut file = File::create_new(to.join(format!("large {n}")))?;
                for _ in 0..LARGE_SIZE / (256 << 10) {
                    file.write_all(&bytes[..256 << 10])?;
                }
            }
            return Ok(());
        }
        for d in (thread..SMALL / FOLDER).step_by(2) {
            let dir = to.join(format!("folder {d}"));
            fs::create_dir(&dir)?;
            for f in 0..FOLDER {
                let len = small_len(d * FOLDER + f);
                let temporary = dir.join(format!(".partial {thread}"));
                write(&dir.join(format!("file {f}")), &temporary, &bytes[..len])?;
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(|| one(1));
        one(0)?;
        other.join().unwrap_or_else(|_| Err(io::Error::other("a thread panicked")))
    })
}
