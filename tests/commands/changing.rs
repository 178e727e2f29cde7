//! Sources that are taken away, replaced, cut or emptied while they are read: what was lost on
//! the way is never given as zeros, nor called sound, without a word.

use crate::common::copy_demo;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tools::bundle::BundleOptions;
use tools::hfs::{Meta, VolumeBuilder, VolumeOptions};

const MIB: usize = 1 << 20;
const BYTES: usize = 24 * MIB;

struct Source {
    dir: tempfile::TempDir,
}

impl Source {
    fn new() -> Self {
        let size = (BYTES + 24 * MIB) as u64;
        let mut volume = VolumeBuilder::new(VolumeOptions { size, ..VolumeOptions::default() });
        let mut seed = 1u64;
        let bytes: Vec<u8> = std::iter::repeat_with(|| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 56) as u8 | 1
        })
        .take(BYTES)
        .collect();
        let root = volume.root();
        volume.file(root, "big", bytes, Meta::file());
        let dir = tempfile::tempdir().unwrap();
        let options = BundleOptions { band_size: MIB as u64, ..BundleOptions::default() };
        let path = dir.path().join("Mac.sparsebundle");
        tools::bundle::write(&volume.build().image, &path, &options).unwrap();
        // What was only just written may not have its blocks yet.
        let _ = Command::new("sync").arg("-f").arg(&path).status();
        Self { dir }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("Mac.sparsebundle")
    }

    /// The second half of the bands.
    fn half(&self) -> Vec<PathBuf> {
        let mut bands: Vec<u64> = fs::read_dir(self.path().join("bands"))
            .unwrap()
            .map(|e| u64::from_str_radix(e.unwrap().file_name().to_str().unwrap(), 16).unwrap())
            .collect();
        bands.sort_unstable();
        let half = bands.split_off(bands.len() / 2);
        half.iter().map(|n| self.path().join(format!("bands/{n:x}"))).collect()
    }

    fn start(&self, args: &[&str]) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tmbundle"));
        command.arg(args[0]).args(["--limit-rate", "10M"]);
        command.args(&args[1..]).env("XDG_STATE_HOME", self.dir.path().join("state"));
        let address = if args[0] == "cat" { Some("volume:/big") } else { None };
        let address = address.or((args[0] == "extract").then_some("volume:/"));
        command.arg(self.path()).args(address).env("NO_COLOR", "1").stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Run, and do something once a third of the file was read.
    fn run(&self, args: &[&str], meanwhile: impl FnOnce(&Self)) -> (Option<i32>, String, Vec<u8>) {
        let mut child = self.start(args);
        let (mut out, mut first) = (child.stdout.take().unwrap(), Vec::new());
        if args[0] == "cat" || args.contains(&"--tar") {
            // It waits for its reader.
            first = vec![0; 2 * MIB];
            out.read_exact(&mut first).unwrap();
        } else {
            let until = Instant::now() + Duration::from_secs(120);
            while read_by(child.id()) < BYTES as u64 / 3 {
                assert!(Instant::now() < until, "nothing is read");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        meanwhile(self);
        out.read_to_end(&mut first).unwrap();
        let ended = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&ended.stderr).into_owned();
        (ended.status.code(), text, first)
    }
}

/// Bytes that a process and its children have read.
fn read_by(pid: u32) -> u64 {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.unwrap_or_default();
    let all = children.split_whitespace().filter_map(|p| p.parse().ok()).chain([pid]);
    let read = |pid: u32| {
        let io = fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
        io.lines().find_map(|l| l.strip_prefix("rchar: ")?.parse::<u64>().ok())
    };
    all.filter_map(read).max().unwrap_or(0)
}

fn remove(source: &Source) {
    source.half().iter().for_each(|band| fs::remove_file(band).unwrap());
}

fn cut(source: &Source) {
    for band in source.half() {
        File::options().write(true).open(band).unwrap().set_len(0).unwrap();
    }
}

fn punch(source: &Source) {
    use rustix::fs::FallocateFlags;
    for band in source.half() {
        let file = File::options().write(true).open(band).unwrap();
        let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&file, how, 0, MIB as u64).unwrap();
    }
}

fn away(source: &Source) {
    fs::rename(source.path(), source.dir.path().join("away")).unwrap();
}

fn replaced(source: &Source) {
    away(source);
    copy_demo(&source.path());
}

fn linked(source: &Source) {
    away(source);
    let demo = source.dir.path().join("Demo.sparsebundle");
    copy_demo(&demo);
    symlink(demo, source.path()).unwrap();
}

type Change = fn(&Source);

#[test]
fn a_check_says_what_it_lost_on_the_way() {
    let lost: [(&str, Change); 3] = [("remove", remove), ("cut", cut), ("punch", punch)];
    for (how, change) in lost {
        for what in ["--read-data", "--manifest"] {
            let source = Source::new();
            let (code, err, out) = source.run(&["verify", what], change);
            let out = String::from_utf8_lossy(&out).into_owned();
            let told = out.contains("BAND-UNREADABLE") && out.contains("while it was checked");
            assert!(code == Some(1) && told, "{how} {what}: {code:?} {out} {err}");
            assert!(!out.contains("No damage"), "{how} {what}: {out}");
        }
    }
}

/// A Mac at work gives single bands back, which is no damage; no Mac gives back half a backup.
#[test]
fn a_mac_at_work_gives_back_single_bands_only() {
    let one = |source: &Source| fs::remove_file(&source.half()[0]).unwrap();
    for (change, want, word) in [(one as Change, 0, "warning"), (remove, 1, "DAMAGE")] {
        let source = Source::new();
        let held = super::verdicts::in_use(&source.path());
        let (code, err, out) = source.run(&["verify", "--read-data"], change);
        drop(held);
        let out = String::from_utf8_lossy(&out).into_owned();
        let told = out.contains(word) && out.contains("BAND-UNREADABLE");
        assert!(code == Some(want) && told, "{code:?} {out} {err}");
        assert!(!out.contains("No damage"), "{out}");
    }
}

#[test]
fn a_check_says_that_something_else_lies_there_now() {
    let gone: [(&str, Change, &str); 3] = [
        ("away", away, "it is not there any more"),
        ("replaced", replaced, "something else was put in its place"),
        ("linked", linked, "something else was put in its place"),
    ];
    for (how, change, words) in gone {
        let source = Source::new();
        let (code, err, out) = source.run(&["verify", "--read-data"], change);
        let out = String::from_utf8_lossy(&out).into_owned() + &err;
        assert!(code == Some(3) && out.contains(words), "{how}: {code:?} {out}");
    }
}

#[test]
fn no_zeros_are_restored_in_silence() {
    let lost: [(&str, Change, &str); 4] = [
        ("punch", punch, "holes where it had bytes"),
        ("cut", cut, "was cut"),
        ("remove", remove, "was taken away"),
        ("linked", linked, "something else was put in its place"),
    ];
    for (how, change, words) in lost {
        let source = Source::new();
        let to = source.dir.path().join("to");
        let restore = ["extract", "--no-sync", "--to", to.to_str().unwrap()];
        for args in [&restore[..], &["extract", "--tar"], &["cat"]] {
            let source = Source::new();
            let _ = fs::remove_dir_all(&to);
            let (code, err, _) = source.run(args, change);
            assert!(matches!(code, Some(1 | 3)), "{how} {args:?}: {code:?} {err}");
            // What was cut before it was looked at is lost, or cannot be read any more.
            let lost = how != "linked" && (err.contains("are lost") || err.contains("meanwhile"));
            let told = err.contains(words) || lost;
            assert!(told, "{how} {args:?}: {err}");
        }
    }
}

/// Nothing is said of a source that nobody touched, or of which only attributes changed.
#[test]
fn a_source_at_rest_is_no_matter() {
    let source = Source::new();
    let touch = |source: &Source| {
        use std::os::unix::fs::PermissionsExt;
        for band in source.half() {
            fs::set_permissions(band, fs::Permissions::from_mode(0o640)).unwrap();
        }
    };
    for args in [&["verify", "--read-data"][..], &["cat"]] {
        let (code, err, _) = source.run(args, touch);
        assert_eq!((code, &*err), (Some(0), ""), "{args:?}");
    }
}
