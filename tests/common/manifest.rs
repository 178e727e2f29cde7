//! Compare a volume with a manifest: JSON lines of path, mode, owner, times, size,
//! SHA-256, link targets and attributes.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tmbundle::disk::Disk;
use tmbundle::fs::{DirEntry, FileSystem, Kind, Metadata, Step, Stream, ViewId, Volume, walk};
use tmbundle::io::{Source, read_vec};
use tmbundle::report::Ignore;
use tmbundle::volume::OpenOptions;
use tmbundle::{Error, partition, volume};

/// The live view of the HFS+ volume of an image or bundle.
pub fn open(path: &Path) -> Arc<dyn FileSystem> {
    open_disk(Disk::open(path).unwrap().bytes().unwrap())
}

/// The live view of the HFS+ volume on a disk.
pub fn open_disk(bytes: Source) -> Arc<dyn FileSystem> {
    volume_of(bytes).open(ViewId::LIVE).unwrap()
}

/// The HFS+ volume on a disk.
pub fn volume_of(bytes: Source) -> Arc<dyn Volume> {
    let map = partition::scan(&*bytes, &Ignore).unwrap();
    let volumes = volume::volumes(&bytes, &map).unwrap();
    let hfs = volumes.iter().find(|v| matches!(v.kind, volume::Kind::HfsPlus { .. }));
    volume::open(hfs.expect("an HFS+ volume"), &OpenOptions::default()).remove(0).result.unwrap()
}

/// Everything a reader shows, by path.
fn read_all(fs: &dyn FileSystem) -> BTreeMap<String, DirEntry> {
    let mut found = BTreeMap::new();
    let root = fs.metadata(fs.root()).unwrap();
    walk(
        fs,
        &root,
        &mut |e| {
            found.insert(e.path.to_string(), e.entry.clone());
            Ok(Step::Into)
        },
        &mut |path, e| panic!("{path}: {e}"),
    )
    .unwrap();
    found
}

/// Names that hold how something is stored; the manifests list them, we do not.
fn is_storage(name: &str, meta: &Metadata) -> bool {
    name == "com.apple.decmpfs"
        || name == "com.apple.system.hfs.firstlink"
        || (name == "com.apple.ResourceFork" && meta.compressed)
}

/// Attributes that the reader behind a manifest could not show but the volume
/// has: sleuthkit's istat lists the first; the second is what the file is for.
const LEFT_OUT: &[(&str, &str, &str)] = &[
    ("hfsinspect-hfsj", "untitled folder copy/hfs copy 7.c", "com.apple.TextEncoding"),
    ("keramics-hfsplus", "testdir1/large_xattr", "mylargexattr"),
];

/// Files of our own samples that nobody can decode: type 5, dataless.
/// They must say so, and the rest go on.
const UNDECODABLE: &[&str] = &["compressed/type 5", "compressed/type 80000001"];

struct Checker<'a> {
    name: &'a str,
    fs: &'a dyn FileSystem,
    wrong: Vec<String>,
}

impl Checker<'_> {
    fn same(&mut self, path: &str, what: &str, found: impl ToString, want: &Value) {
        let want = match want {
            Value::String(s) => s.clone(),
            Value::Null => return,
            other => other.to_string(),
        };
        let found = found.to_string();
        if found != want {
            self.wrong.push(format!("{path}: {what} is {found}, expected {want}"));
        }
    }

    fn object(&mut self, path: &str, want: &Value, meta: &Metadata) {
        self.same(path, "mode", format!("{:06o}", meta.mode), &want["mode"]);
        self.same(path, "uid", meta.uid, &want["uid"]);
        self.same(path, "gid", meta.gid, &want["gid"]);
        let mtime = meta.times.modified.map_or(0, |t| t.seconds);
        self.same(path, "mtime", mtime, &want["mtime"]);
        if meta.kind != Kind::Directory {
            self.same(path, "nlink", meta.links, &want["nlink"]);
            self.same(path, "size", meta.size, &want["size"]);
        }
        if meta.kind == Kind::File {
            self.contents(path, want, meta);
        }
        if meta.kind == Kind::Symlink {
            let target = self.fs.read_link(meta.id).unwrap();
            self.same(path, "target", String::from_utf8_lossy(&target), &want["target"]);
        }
        if want["xattr_error"].is_null() && meta.kind != Kind::Symlink {
            self.xattrs(path, want, meta);
        }
    }

    fn contents(&mut self, path: &str, want: &Value, meta: &Metadata) {
        let read = self
            .fs
            .open(meta.id, &Stream::Data)
            .and_then(|source| read_vec(&*source, 0, source.len() as usize));
        match read {
            Ok(bytes) => self.same(path, "sha256", super::sha256(&bytes), &want["sha256"]),
            Err(Error::Unsupported(_)) if UNDECODABLE.iter().any(|end| path.ends_with(end)) => {}
            Err(e) => self.wrong.push(format!("{path}: {e}")),
        }
    }

    fn xattrs(&mut self, path: &str, want: &Value, meta: &Metadata) {
        let listed = self.fs.xattrs(meta.id).unwrap();
        let empty = serde_json::Map::new();
        let wanted = want["xattrs"].as_object().unwrap_or(&empty);
        for (name, value) in wanted {
            if is_storage(name, meta) {
                continue;
            }
            let Some(found) = self.fs.xattr(meta.id, name).unwrap() else {
                self.wrong.push(format!("{path}: attribute {name} is missing"));
                continue;
            };
            self.same(path, &format!("size of {name}"), found.len(), &value["size"]);
            self.same(path, &format!("sha256 of {name}"), super::sha256(&found), &value["sha256"]);
        }
        for x in listed {
            let left_out = LEFT_OUT.contains(&(self.name, path, &x.name));
            if !wanted.contains_key(&x.name) && !left_out {
                self.wrong.push(format!("{path}: unexpected attribute {}", x.name));
            }
        }
    }
}

/// Every difference, one sentence each.
pub fn compare(name: &str, fs: &dyn FileSystem, manifest: &[u8]) -> Vec<String> {
    let mut found = read_all(fs);
    let mut checker = Checker { name, fs, wrong: Vec::new() };
    let text = std::str::from_utf8(manifest).unwrap();
    for line in text.lines() {
        let want: Value = serde_json::from_str(line).unwrap();
        let path = want["path"].as_str().unwrap();
        match found.remove(path).map(|e| e.node) {
            Some(Ok(meta)) => checker.object(path, &want, &meta),
            Some(Err(dangling)) => checker.wrong.push(format!("{path}: {}", dangling.reason)),
            None => checker.wrong.push(format!("{path}: missing")),
        }
    }
    for path in found.keys() {
        checker.wrong.push(format!("{path}: not in the manifest"));
    }
    checker.wrong
}
