//! A dying disk: the n-th read of a source fails, for every n that occurs. Whatever a
//! command gives then is right, or it says that something could not be read.
//! `TMBUNDLE_NTH_READ=all` leaves none out; else of many the later are sampled.

use crate::common::{self, copy_demo};
#[cfg(feature = "mount")]
use crate::mounting;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A library that answers the n-th read of a file below EIO_PATH with an I/O error; and every
/// read of EIO_FILE that meets the bytes from EIO_FROM to EIO_TO.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/types.h>
static long count;
static int fails(int fd) {
    const char *nth = getenv("EIO_NTH"), *below = getenv("EIO_PATH");
    char link[64], path[4096];
    if (!nth || !below) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n <= 0) return 0;
    path[n] = 0;
    if (strncmp(path, below, strlen(below))) return 0;
    const char *many = getenv("EIO_MANY");
    long now = __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST), first = atol(nth);
    if (!first || now < first || now >= first + (many ? atol(many) : 1)) return 0;
    errno = EIO;
    return 1;
}
static int bad(int fd, off_t at, size_t n) {
    const char *file = getenv("EIO_FILE");
    char link[64], path[4096];
    if (!file) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    if (len <= 0) return 0;
    path[len] = 0;
    if (strcmp(path, file) || at >= atol(getenv("EIO_TO")) || at + (off_t)n <= atol(getenv("EIO_FROM"))) return 0;
    errno = EIO;
    return 1;
}
__attribute__((destructor)) static void tell(void) {
    const char *to = getenv("EIO_COUNT");
    FILE *f = to ? fopen(to, "a") : NULL;
    if (f) { fprintf(f, "%ld\n", count); fclose(f); }
}
#define NEXT(name, type) type next = (type)dlsym(RTLD_NEXT, name)
typedef ssize_t (*at)(int, void *, size_t, off_t);
typedef ssize_t (*plain)(int, void *, size_t);
ssize_t pread(int f, void *b, size_t n, off_t o) { if (fails(f) || bad(f, o, n)) return -1; NEXT("pread", at); return next(f, b, n, o); }
ssize_t pread64(int f, void *b, size_t n, off_t o) { if (fails(f) || bad(f, o, n)) return -1; NEXT("pread64", at); return next(f, b, n, o); }
ssize_t read(int f, void *b, size_t n) { if (fails(f)) return -1; NEXT("read", plain); return next(f, b, n); }
"#;

/// The library, made in `dir`; says so where that is not possible.
pub fn shim(test: &str, dir: &Path) -> Option<PathBuf> {
    let (code, shim) = (dir.join("shim.c"), dir.join("shim.so"));
    std::fs::write(&code, SHIM).unwrap();
    let built =
        Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).args([&shim, &code]).status();
    if built.is_ok_and(|s| s.success()) {
        return Some(shim);
    }
    common::skipped(format_args!("{test}: no C compiler"));
    None
}

/// Reads that fail in turn from the first on, and as many again of those after them.
const EACH: usize = 50;

/// A bundle, and the library.
struct Dying {
    dir: tempfile::TempDir,
    shim: PathBuf,
    source: String,
    /// A file in it.
    file: String,
}

impl Dying {
    fn new(test: &str, apfs: bool) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let shim = shim(test, dir.path())?;
        let source = dir.path().join("Mac.sparsebundle");
        let file = if apfs {
            let demo = common::demo().with_file_name("DemoAPFS.backupbundle");
            common::copy(&demo, &source);
            "latest:/Macintosh HD/private/etc/hosts"
        } else {
            copy_demo(&source);
            "latest:/Macintosh HD/Users/anna/Documents/Diary.txt"
        };
        let source = source.to_str().unwrap().to_owned();
        Some(Self { dir, shim, source, file: file.into() })
    }

    fn command(&self, n: usize, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tmbundle"));
        command
            .args(args)
            .env("LD_PRELOAD", &self.shim)
            .env("EIO_NTH", n.to_string())
            .env("EIO_PATH", &self.source)
            .env("EIO_COUNT", self.counts())
            .env("XDG_STATE_HOME", self.dir.path().join("state"))
            .stdin(Stdio::null());
        command
    }

    fn run(&self, n: usize, args: &[&str]) -> Output {
        let out = self.command(n, args).output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        let sound = matches!(out.status.code(), Some(0 | 1 | 3));
        assert!(sound && !said.contains("panicked"), "read {n} of {args:?}: {out:?}");
        assert!(!said.contains("not a Time Machine"), "read {n} of {args:?}: {said}");
        out
    }

    /// For every n, once the reads of a run without failures are counted: `run` tells
    /// whether a run gave the same as that, and fails if it gave anything wrong.
    fn each(&self, args: &[&str], mut run: impl FnMut(usize) -> bool) {
        let reads = self.reads();
        assert!(reads > 10, "{reads} reads of {args:?}");
        let all = std::env::var("TMBUNDLE_NTH_READ").is_ok_and(|v| v == "all");
        let step = if all { 1 } else { reads.saturating_sub(EACH).div_ceil(EACH).max(1) };
        let failed = (1..EACH).chain((EACH..=reads).step_by(step)).filter(|n| !run(*n)).count();
        assert!(failed > 3, "of {reads} reads of {args:?} only {failed} were missed");
    }

    fn counts(&self) -> PathBuf {
        self.dir.path().join("counts")
    }

    /// Reads of the runs since this was asked last, the most of one process.
    fn reads(&self) -> usize {
        let counts = std::fs::read_to_string(self.counts()).unwrap_or_default();
        let _ = std::fs::remove_file(self.counts());
        counts.lines().map(|l| l.parse().unwrap()).max().unwrap_or(0)
    }

    /// What is printed is the same, or the end of the program tells.
    fn prints(&self, args: &[&str]) {
        self.reads();
        let whole = self.run(0, args);
        assert_eq!(whole.status.code(), Some(0), "{args:?}: {whole:?}");
        self.each(args, |n| {
            let out = self.run(n, args);
            if out.status.code() == Some(0) {
                let told = String::from_utf8_lossy(&out.stdout);
                let probed = tells_of_a_read(&told) || !out.stderr.is_empty();
                let alike = out.stdout == whole.stdout;
                assert!(alike || probed, "read {n} of {args:?} gave {told}");
                return alike && out.stderr == whole.stderr;
            }
            assert!(!out.stderr.is_empty(), "read {n} of {args:?} says nothing");
            // What is given of a file is its beginning.
            let part = args[0] != "cat" || whole.stdout.starts_with(&out.stdout);
            assert!(part, "read {n} of {args:?}");
            false
        });
    }

    /// Nothing is found but what there is, and that something could not be read.
    fn finds(&self, more: &[&str]) {
        let args = [&["verify", "--json", &self.source][..], more].concat();
        self.reads();
        let whole = findings(&self.run(0, &args));
        self.each(&args, |n| {
            let found = findings(&self.run(n, &args));
            if found == whole {
                return true;
            }
            let new: Vec<_> = found.iter().filter(|f| !whole.contains(f)).collect();
            let wrong: Vec<_> = new.iter().filter(|f| !tells_of_a_read(&f.1)).collect();
            assert!(!new.is_empty(), "read {n} of {args:?}: less is found, and nothing said");
            assert!(wrong.is_empty(), "read {n} of {args:?}: {wrong:#?} beside {new:#?}");
            false
        });
    }

    /// What is restored has the bytes that it has when all goes well.
    fn restores(&self) {
        let to = self.dir.path().join("whole");
        let restore = |n: usize, to: &Path| {
            let args =
                ["extract", &self.source, "latest:/", "--no-sync", "--to", to.to_str().unwrap()];
            self.run(n, &args)
        };
        self.reads();
        let whole = restore(0, &to);
        assert_eq!(whole.status.code(), Some(0), "{whole:?}");
        let all = tree(&to);
        assert!(all.len() > 50);
        let to = self.dir.path().join("to");
        self.each(&["extract"], |n| {
            let out = restore(n, &to);
            let found = if to.exists() { tree(&to) } else { BTreeMap::new() };
            let _ = std::fs::remove_dir_all(&to);
            let told = String::from_utf8_lossy(&out.stderr);
            for (path, what) in &found {
                let same = all.get(path).is_some_and(|w| w == what);
                assert!(same, "read {n}: {path} is {what:?}: {told}");
            }
            if out.status.code() == Some(0) {
                assert_eq!(found.len(), all.len(), "read {n} said that all went well");
                return out.stderr == whole.stderr;
            }
            assert!(!told.is_empty(), "read {n} says nothing");
            false
        });
    }

    /// What a mount shows is right, or an error.
    #[cfg(feature = "mount")]
    fn mounts(&self) {
        let dir = self.dir.path().join("mnt");
        std::fs::create_dir(&dir).unwrap();
        let mount = |n: usize| {
            let args = ["mount", &self.source, dir.to_str().unwrap()];
            // The kernel reads ahead, and tries again what failed then.
            let out = self.command(n, &args).env("EIO_MANY", "8").output().unwrap();
            if !out.status.success() {
                assert!(!out.stderr.is_empty(), "read {n}");
                return None;
            }
            let shown = tree(&dir.join("latest"));
            let out = mounting::run(mounting::PROGRAM, &[&"umount", &"--lazy", &dir]);
            assert!(out.status.success(), "{out:?}");
            mounting::wait_until("its server has ended", || mounting::servers(&dir).is_empty());
            Some(shown)
        };
        self.reads();
        let whole = mount(0).unwrap();
        assert!(whole.len() > 50 && whole.values().all(Option::is_some));
        self.each(&["mount"], |n| {
            let Some(shown) = mount(n) else { return false };
            for (path, what) in shown.iter().filter(|s| s.1.is_some()) {
                assert!(whole.get(path) == Some(what), "read {n}: {path} is {what:?}");
            }
            let all = shown.values().all(Option::is_some);
            assert!(!all || shown.len() == whole.len(), "read {n} hid something");
            all
        });
    }
}

fn tells_of_a_read(text: &str) -> bool {
    ["annot be read", "annot read"].iter().any(|word| text.contains(word))
}

/// Codes and messages of all findings and errors.
fn findings(out: &Output) -> Vec<(String, String)> {
    let json: Value = match out.stdout.as_slice() {
        // What ends all is told on standard error.
        [] => return vec![("error".into(), String::from_utf8_lossy(&out.stderr).into_owned())],
        json => serde_json::from_slice(json).unwrap(),
    };
    let source = &json["sources"][0];
    let of_source = source["findings"].as_array().into_iter().flatten();
    let code = |f: &Value| f["code"].as_str().unwrap().to_owned();
    let mut all: Vec<_> = of_source.map(|f| (code(f), f["message"].to_string())).collect();
    let errors = json["errors"].as_array().into_iter().flatten();
    all.extend(errors.map(|e| ("error".into(), e.to_string())));
    all.sort();
    all
}

/// Everything below a folder: a link's target or the hash of a file; `None` for what
/// cannot be read.
fn tree(dir: &Path) -> BTreeMap<String, Option<String>> {
    let mut all = BTreeMap::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(at) = todo.pop() {
        let name = at.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
        let Ok(meta) = std::fs::symlink_metadata(&at) else {
            all.insert(name, None);
            continue;
        };
        let what = if meta.is_dir() || at == dir {
            let entries: std::io::Result<Vec<_>> =
                std::fs::read_dir(&at).and_then(Iterator::collect);
            entries.map(|entries| {
                todo.extend(entries.iter().map(std::fs::DirEntry::path));
                "folder".to_owned()
            })
        } else if meta.is_symlink() {
            std::fs::read_link(&at).map(|target| target.to_string_lossy().into_owned())
        } else if meta.is_file() {
            std::fs::read(&at).map(|bytes| common::sha256(&bytes))
        } else {
            Ok("special".into())
        };
        all.insert(name, what.ok());
    }
    all
}

fn both(test: &str, run: impl Fn(&Dying) + Sync) {
    std::thread::scope(|scope| {
        for apfs in [false, true] {
            let run = &run;
            scope.spawn(move || Dying::new(test, apfs).iter().for_each(run));
        }
    });
}

#[test]
fn the_nth_read_may_fail_and_nothing_wrong_is_printed() {
    both("the_nth_read_may_fail_and_nothing_wrong_is_printed", |d| {
        d.prints(&["cat", &d.source, &d.file]);
        d.prints(&["ls", "-R", &d.source, "latest:/"]);
        d.prints(&["snapshots", &d.source]);
        d.prints(&["info", &d.source]);
        d.prints(&["info", "--json", &d.source]);
        for band in ["0", "8", "6"] {
            d.prints(&["locate", "--all", "--band", band, &d.source]);
        }
    });
}

#[test]
fn the_nth_read_may_fail_and_nothing_wrong_is_found() {
    both("the_nth_read_may_fail_and_nothing_wrong_is_found", |d| {
        d.finds(&[]);
        d.finds(&["--quick"]);
        d.finds(&["--read-data"]);
    });
}

#[test]
fn the_nth_read_may_fail_and_nothing_wrong_is_located() {
    both("the_nth_read_may_fail_and_nothing_wrong_is_located", |d| {
        let band = if d.file.ends_with("hosts") { "5" } else { "9" };
        d.prints(&["locate", &d.source, "--band", band]);
        d.prints(&["info", &d.source]);
    });
}

#[test]
fn the_nth_read_may_fail_and_nothing_wrong_is_restored() {
    both("the_nth_read_may_fail_and_nothing_wrong_is_restored", Dying::restores);
}

#[test]
#[cfg(feature = "mount")]
fn the_nth_read_may_fail_and_nothing_wrong_is_mounted() {
    if mounting::possible("the_nth_read_may_fail_and_nothing_wrong_is_mounted") {
        both("the_nth_read_may_fail_and_nothing_wrong_is_mounted", Dying::mounts);
    }
}
