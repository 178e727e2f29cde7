//! What the tests of the mount share: mounting, waiting, comparing a mounted tree
//! with a manifest.

use serde_json::Value;
use std::collections::BTreeSet;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_tmbundle");

/// Whether mounts can be tested here; says so if not.
pub fn possible(test: &str) -> bool {
    let device = std::fs::OpenOptions::new().read(true).write(true).open("/dev/fuse");
    let why = match device {
        Err(e) => format!("/dev/fuse: {e}"),
        Ok(_) if rustix::process::geteuid().is_root() => return true,
        Ok(_) if Command::new("fusermount3").arg("-V").output().is_ok() => return true,
        Ok(_) => "fusermount3 is not installed".into(),
    };
    crate::common::skipped(format_args!("{test}: {why}"));
    false
}

/// Whether a program is there; says so if not.
pub fn has_tool(test: &str, program: &str) -> bool {
    let there = Command::new(program).arg("--version").output().is_ok();
    if !there {
        crate::common::skipped(format_args!("{test}: {program} is not installed"));
    }
    there
}

pub fn run(program: &str, args: &[&dyn AsRef<std::ffi::OsStr>]) -> Output {
    Command::new(program)
        .args(args.iter().map(|a| a.as_ref()))
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A mount that is gone, at the latest, when the test is over.
pub struct Mount {
    pub dir: tempfile::TempDir,
}

impl Mount {
    pub fn new(source: &Path, options: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let output = Command::new(PROGRAM)
            .arg("mount")
            .arg(source)
            .arg(dir.path())
            .args(options)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(text(&output.stdout).starts_with("Mounted "), "{}", text(&output.stdout));
        Self { dir }
    }

    /// In the foreground, with the process.
    pub fn foreground(source: &Path, dir: &Path, options: &[&str]) -> Child {
        let child = Command::new(PROGRAM)
            .args(["mount", "--foreground"])
            .args(options)
            .arg(source)
            .arg(dir)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        wait_until("the mount is there", || dir.join("disk.img").exists());
        child
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The root of the only volume.
    pub fn volume(&self) -> PathBuf {
        let mut volumes = std::fs::read_dir(self.path().join("volumes")).unwrap();
        volumes.next().expect("a volume").unwrap().path()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let output = run(PROGRAM, &[&"umount", &"--lazy", &self.path()]);
        if !output.status.success() && !std::thread::panicking() {
            panic!("umount: {}", text(&output.stderr));
        }
    }
}

pub fn is_mounted(dir: &Path) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    mounts.lines().any(|l| l.split(' ').nth(1) == dir.to_str())
}

pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(20), "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Processes that serve a mount on `dir`.
pub fn servers(dir: &Path) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse() else { continue };
        let Ok(line) = std::fs::read(entry.path().join("cmdline")) else { continue };
        let mut args = line.split(|b| *b == 0);
        let ours = args.next().is_some_and(|a| a == PROGRAM.as_bytes());
        if ours && args.any(|a| a == dir.to_str().unwrap().as_bytes()) {
            found.push(pid);
        }
    }
    found
}

pub fn image(data: &Path, name: &str) -> PathBuf {
    crate::common::unpack(&data.join(format!("hfs/{name}.img.gz")))
}

/// A copy of the bundle lab-tm that may be changed.
pub fn own_bundle(data: &Path) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let bundle = crate::common::unpack_bundle(&data.join("bundles/lab-tm.sparsebundle.tar.gz"));
    let status =
        Command::new("cp").arg("-a").arg(bundle).arg(dir.path().join("tm.sparsebundle")).status();
    assert!(status.unwrap().success());
    dir
}

/// A bundle of an image, with small bands.
pub fn split_into_bands(image: &Path, dir: &Path) -> PathBuf {
    const BAND: usize = 256 << 10;
    let bundle = dir.join("split.sparsebundle");
    std::fs::create_dir_all(bundle.join("bands")).unwrap();
    let bytes = std::fs::read(image).unwrap();
    for (n, band) in bytes.chunks(BAND).enumerate() {
        if band.iter().any(|b| *b != 0) {
            std::fs::write(bundle.join(format!("bands/{n:x}")), band).unwrap();
        }
    }
    let plist = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<plist version=\"1.0\"><dict>\
         <key>bundle-backingstore-version</key><integer>1</integer>\
         <key>diskimage-bundle-type</key><string>com.apple.diskimage.sparsebundle</string>\
         <key>band-size</key><integer>{BAND}</integer>\
         <key>size</key><integer>{}</integer></dict></plist>\n",
        bytes.len()
    );
    std::fs::write(bundle.join("Info.plist"), plist).unwrap();
    std::fs::write(bundle.join("token"), "").unwrap();
    bundle
}

/// Everything below a folder, by relative path.
pub fn paths(root: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut stack = vec![root.to_owned()];
    while let Some(dir) = stack.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let entry = entry.unwrap();
            found.insert(entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            if entry.file_type().unwrap().is_dir() {
                stack.push(entry.path());
            }
        }
    }
    found
}

/// Attributes that the readers behind the manifests could not show, and what we say of zeros.
pub const LEFT_OUT: &[&str] = &[
    "user.com.apple.TextEncoding",
    "user.mylargexattr",
    "user.tmbundle.acl",
    "user.tmbundle.doubtful",
];

pub fn compare(path: &Path, want: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut same = |what: &str, found: String, want: &Value| {
        let want = want.as_str().map_or_else(|| want.to_string(), str::to_owned);
        if want != "null" && found != want {
            wrong.push(format!("{}: {what} is {found}, expected {want}", path.display()));
        }
    };
    let meta = match std::fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(e) => return vec![format!("{}: {e}", path.display())],
    };
    same("mode", format!("{:06o}", meta.mode()), &want["mode"]);
    if rustix::process::geteuid().is_root() {
        same("uid", meta.uid().to_string(), &want["uid"]);
        same("gid", meta.gid().to_string(), &want["gid"]);
    }
    same("mtime", meta.mtime().to_string(), &want["mtime"]);
    if !meta.is_dir() {
        same("size", meta.size().to_string(), &want["size"]);
        same("nlink", meta.nlink().to_string(), &want["nlink"]);
    }
    if meta.is_symlink() {
        let target = std::fs::read_link(path).unwrap();
        same("target", target.to_str().unwrap().to_owned(), &want["target"]);
        return wrong;
    }
    if meta.is_file() {
        let hash =
            std::fs::read(path).map_or_else(|e| e.to_string(), |b| crate::common::sha256(&b));
        same("sha256", hash, &want["sha256"]);
    }
    if meta.file_type().is_char_device() || !want["xattr_error"].is_null() {
        return wrong;
    }
    xattrs(path, want, &mut same);
    wrong
}

pub fn xattrs(path: &Path, want: &Value, same: &mut dyn FnMut(&str, String, &Value)) {
    let mut buffer = vec![0; 65536];
    let n = rustix::fs::listxattr(path, &mut buffer[..]).unwrap();
    let listed = text(&buffer[..n]);
    let listed: BTreeSet<&str> = listed.split_terminator('\0').collect();
    let none = serde_json::Map::new();
    let wanted = want["xattrs"].as_object().unwrap_or(&none);
    for (name, value) in wanted {
        let shown = format!("user.{name}");
        let storage =
            ["com.apple.decmpfs", "com.apple.system.hfs.firstlink"].contains(&name.as_str());
        // The resource fork of a compressed file is storage; a large one does not
        // fit into an attribute.
        let fork = name == "com.apple.ResourceFork";
        if storage || fork && (!listed.contains(&*shown) || value["size"].as_u64() > Some(65536)) {
            continue;
        }
        let n = rustix::fs::getxattr(path, &*shown, &mut buffer[..]);
        let hash = n.map_or_else(|e| e.to_string(), |n| crate::common::sha256(&buffer[..n]));
        same(name, hash, &value["sha256"]);
    }
    for name in listed {
        if !LEFT_OUT.contains(&name)
            && !wanted.contains_key(name.strip_prefix("user.").unwrap_or(name))
        {
            same("an attribute", name.to_owned(), &Value::from("not there"));
        }
    }
}

/// Mount a source and compare everything on its volume with a manifest.
pub fn compare_all(source: &Path, manifest: &str) -> Vec<String> {
    let mount = Mount::new(source, &[]);
    let root = mount.volume();
    let mut found = paths(&root);
    let mut wrong = Vec::new();
    for line in manifest.lines() {
        let want: Value = serde_json::from_str(line).unwrap();
        let path = want["path"].as_str().unwrap();
        found.remove(path);
        wrong.extend(compare(&root.join(path), &want));
    }
    wrong.extend(
        found.into_iter().map(|p| format!("{}: {p} is not in the manifest", source.display())),
    );
    wrong
}
