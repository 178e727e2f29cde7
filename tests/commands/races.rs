//! Whoever may write beside a source swaps it for a link, or its folder of bands, again
//! and again while a command is at work. Twenty runs of each; none may show what the link
//! leads to. (Races for the destination of a restore are in `restoring/faults.rs`.)

use crate::common::{Ran, tmbundle};
use crate::mounting::{self, PROGRAM, is_mounted, possible, run, split_into_bands};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tools::hfs::{Meta, VolumeBuilder, VolumeOptions};

const RUNS: usize = 20;
/// What only the victim's bundle holds.
const SECRET: &str = "root:*:20228:0:99999:7:::";

/// A share with the bundle of the attacker, and a victim's beside it.
struct Race {
    own: tempfile::TempDir,
    share: PathBuf,
    /// What is swapped: the attacker's bundle, or a folder in it.
    at: PathBuf,
    /// What it is swapped for, at another name.
    spare: PathBuf,
    swaps: AtomicU64,
}

/// A bundle with a volume of `files` files that say `text`.
fn bundle(dir: &Path, name: &str, files: u32, text: &str) -> PathBuf {
    let own = tempfile::tempdir_in(dir).unwrap();
    let options = VolumeOptions { size: 4 << 20, ..VolumeOptions::default() };
    let mut builder = VolumeBuilder::new(VolumeOptions { name: name.into(), ..options });
    let root = builder.root();
    for n in 0..files {
        builder.file(root, &format!("file{n:04}"), text.repeat(400).as_str(), Meta::file());
    }
    let image = own.path().join("image");
    builder.build().image.write_to(&image).unwrap();
    let made = split_into_bands(&image, own.path());
    let to = dir.join(format!("{name}.sparsebundle"));
    std::fs::rename(made, &to).unwrap();
    to
}

impl Race {
    /// Of the bundle `mallory`, or of `part` of it.
    fn new(part: &str) -> Self {
        let own = tempfile::tempdir().unwrap();
        let share = own.path().join("share");
        std::fs::create_dir(&share).unwrap();
        bundle(&share, "anna", 2, "anna's own words\n");
        let part = |of: PathBuf| if part.is_empty() { of } else { of.join(part) };
        let at = part(bundle(&share, "mallory", 3, "mallory's words\n"));
        let victim = part(bundle(own.path(), "victim", 7, SECRET));
        let spare = own.path().join("spare");
        symlink(victim, &spare).unwrap();
        Self { own, share, at, spare, swaps: AtomicU64::new(0) }
    }

    fn mallory(&self) -> PathBuf {
        self.share.join("mallory.sparsebundle")
    }

    /// Do something while the swaps go on; whatever it was, all is in its place afterwards.
    fn during<T>(&self, run: usize, what: impl FnOnce() -> T) -> T {
        let stop = AtomicBool::new(false);
        let before = self.swaps.load(Ordering::Relaxed);
        let exchange =
            || renameat_with(CWD, &self.at, CWD, &self.spare, RenameFlags::EXCHANGE).unwrap();
        let done = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    exchange();
                    let n = self.swaps.fetch_add(1, Ordering::Relaxed);
                    // Now longer, now shorter: also than it takes to open all of it.
                    let pause = (n * 37 + run as u64 * 11) % 400;
                    std::thread::sleep(Duration::from_micros(pause * pause / 16));
                }
            });
            let done = what();
            stop.store(true, Ordering::Relaxed);
            done
        });
        if std::fs::symlink_metadata(&self.at).unwrap().is_symlink() {
            exchange();
        }
        assert!(self.swaps.load(Ordering::Relaxed) > before, "run {run} raced with nothing");
        done
    }
}

/// Nothing of the victim's is told: neither its seven files, nor their words.
fn tells_nothing(run: usize, ran: &Ran) {
    let all = format!("{}{}", ran.out, ran.err);
    assert!(!all.contains("in 7 files") && !all.contains("root:*"), "run {run}: {all}");
    assert!(matches!(ran.code, Some(0..=3)) && !all.contains("panicked"), "run {run}: {all}");
}

#[test]
fn a_share_run_never_reads_what_is_swapped_in() {
    for part in ["", "bands"] {
        let race = Race::new(part);
        let mut seen = 0;
        for n in 0..RUNS {
            let args = ["verify", "--verbose", "--read-data", race.share.to_str().unwrap()];
            let ran = race.during(n, || tmbundle(&args));
            tells_nothing(n, &ran);
            assert!(ran.out.contains("in 2 files"), "run {n} lost the other bundle: {}", ran.out);
            seen += usize::from(ran.out.contains("in 3 files"));
        }
        eprintln!("{part:?}: {seen} of {RUNS} saw the bundle, {:?} swaps", race.swaps);
    }
}

/// A person's word may lead through a link; what is read then is one bundle, not halves of two.
#[test]
fn a_verify_is_of_one_bundle_whichever_it_met() {
    let race = Race::new("");
    let path = race.mallory();
    for n in 0..RUNS {
        let args = ["verify", "--verbose", "--read-data", path.to_str().unwrap()];
        let ran = race.during(n, || tmbundle(&args));
        let sound = ran.code == Some(0)
            && (ran.out.contains("in 3 files") ^ ran.out.contains("in 7 files"));
        let told = ran.code != Some(0) && !ran.err.is_empty() | !ran.out.is_empty();
        assert!(sound || told, "run {n}: {:?} {} {}", ran.code, ran.out, ran.err);
        assert!(!ran.out.contains("  damage  "), "run {n}: {}", ran.out);
    }
    let race = Race::new("bands");
    let path = race.mallory();
    for n in 0..RUNS {
        let args = ["verify", "--verbose", "--read-data", path.to_str().unwrap()];
        tells_nothing(n, &race.during(n, || tmbundle(&args)));
    }
}

/// What a mount gives of the disk and of its files, past the kernel's cache.
fn shown(dir: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    let volumes = std::fs::read_dir(dir.join("volumes")).into_iter().flatten().flatten();
    let files = volumes.flat_map(|v| std::fs::read_dir(v.path()).into_iter().flatten().flatten());
    let paths: Vec<PathBuf> = files.map(|f| f.path()).chain([dir.join("disk.img")]).collect();
    for path in paths {
        all.extend(path.as_os_str().as_encoded_bytes());
        let direct = std::fs::OpenOptions::new().read(true).custom_flags(0o40000).open(path);
        let Ok(mut file) = direct else { continue };
        let mut bytes = vec![0; 1 << 20];
        while let Ok(n @ 1..) = std::io::Read::read(&mut file, &mut bytes) {
            all.extend(&bytes[..n]);
        }
    }
    all
}

#[test]
fn a_mount_never_shows_what_is_swapped_in() {
    if !possible("a_mount_never_shows_what_is_swapped_in") {
        return;
    }
    for part in ["", "bands"] {
        let race = Race::new(part);
        let dir = race.own.path().join("mnt");
        std::fs::create_dir(&dir).unwrap();
        let mut mounts = 0;
        for n in 0..RUNS {
            let seen = race.during(n, || {
                let out = run(PROGRAM, &[&"mount", &race.mallory(), &dir]);
                assert!(matches!(out.status.code(), Some(0..=3)), "run {n}: {out:?}");
                let mut seen = Vec::new();
                // One run looks on until the mount has looked at its source again.
                let looks = if n == 0 { 30 } else { 2 };
                for _ in 0..looks {
                    seen.extend(shown(&dir));
                    std::thread::sleep(Duration::from_millis(if n == 0 { 100 } else { 5 }));
                }
                seen
            });
            mounts += usize::from(is_mounted(&dir));
            if is_mounted(&dir) {
                let out = run(PROGRAM, &[&"umount", &"--lazy", &dir]);
                assert!(out.status.success(), "run {n}: {out:?}");
                mounting::wait_until("its server has ended", || mounting::servers(&dir).is_empty());
            }
            let secret = seen.windows(SECRET.len()).any(|w| w == SECRET.as_bytes());
            assert!(!secret, "run {n}: the mount shows the victim's files");
        }
        eprintln!("{part:?}: {mounts} of {RUNS} mounted, {:?} swaps", race.swaps);
    }
}

/// What cannot be opened is looked at once more, for what Time Machine noted in it.
#[test]
fn a_broken_bundle_is_not_looked_at_again_through_a_link() {
    use tmbundle::error::Error;
    use tmbundle::io::Links;
    let own = tempfile::tempdir().unwrap();
    let (victim, link) = (own.path().join("victim.sparsebundle"), own.path().join("link"));
    crate::common::copy_demo(&victim);
    symlink(&victim, &link).unwrap();
    let verify = |path: &Path, links| {
        let options = tmbundle::verify::Options {
            links,
            now: 2_000_000_000,
            ..tmbundle::verify::Options::default()
        };
        let broken = Err(Error::corrupt("Info.plist", "it is broken"));
        tmbundle::verify::verify(path, broken, options, &tmbundle::report::NoProgress)
    };
    for (path, links) in [(&victim, Links::Refuse), (&link, Links::Follow)] {
        assert!(verify(path, links).unwrap().last_completed.is_some());
    }
    let swapped = verify(&link, Links::Refuse);
    assert!(matches!(&swapped, Err(Error::Invalid(why)) if why.contains("link")), "{swapped:?}");
}

/// Kernels before 5.6 and some sandboxes do not have the call that keeps below a folder:
/// without it the same is read, and links are refused all the same.
#[test]
fn without_openat2_the_same_is_read_and_no_link_followed() {
    let race = Race::new("");
    let (sound, linked) = (race.mallory(), bundle(race.own.path(), "linked", 3, "x"));
    for part in ["bands/0", "Info.plist"] {
        let (at, away) = (linked.join(part), race.own.path().join(part.replace('/', "-")));
        std::fs::rename(&at, &away).unwrap();
        symlink(&away, &at).unwrap();
    }
    let verify = |path: &Path, fault: Option<&str>| {
        let mut command = std::process::Command::new("strace");
        let inject = format!("inject=openat2:error={}", fault.unwrap_or_default());
        let trace = if fault.is_some() { "trace=openat2" } else { "trace=none" };
        command.args(["-f", "-qq", "-o", "/dev/null", "-e", trace]);
        if fault.is_some() {
            command.args(["-e", &inject]);
        }
        let state = tempfile::tempdir().unwrap();
        command.arg(PROGRAM).args(["verify", "--verbose", "--read-data"]).arg(path);
        let out = command.env("XDG_STATE_HOME", state.path()).output();
        out.map(|o| {
            let told = mounting::text(&o.stdout);
            // The last line tells how long it took.
            let told: Vec<&str> = told.lines().filter(|l| !l.ends_with(" s")).collect();
            (o.status.code(), told.join("\n"), mounting::text(&o.stderr))
        })
    };
    match verify(&sound, Some("ENOSYS")) {
        Ok((Some(0), ..)) => {}
        other => return crate::common::skipped(format_args!("strace does not work: {other:?}")),
    }
    for path in [&sound, &linked] {
        let natively = verify(path, None).unwrap();
        for fault in ["ENOSYS", "EPERM"] {
            assert_eq!(verify(path, Some(fault)).unwrap(), natively, "{fault}");
        }
        let refused = natively.1.contains("symbolic link");
        assert_eq!(refused, path == &linked, "{natively:?}");
    }
}
