//! What a reader must show of a view, as JSON lines.

use std::collections::HashMap;

use serde_json::{Map, Value, json};
use unicode_normalization::UnicodeNormalization;

use super::model::*;
use super::volume::Volume;
use crate::decmpfs;

impl Volume {
    /// One JSON object a line for every object that a reader must show now, depth first. Beside
    /// what a file system shows, `decmpfs` gives the type of compressed files, whose storage is
    /// listed among the attributes, and `mtime_ns` the nanoseconds of the modification date.
    pub fn manifest_lines(&self) -> Vec<String> {
        let mut hashes = HashMap::new();
        let mut out = Vec::new();
        self.walk(ROOT, "", &mut hashes, &mut out);
        out
    }

    fn walk(
        &self,
        dir: Ino,
        prefix: &str,
        hashes: &mut HashMap<u64, String>,
        out: &mut Vec<String>,
    ) {
        for (name, &id) in &self.inodes[&dir].children {
            let shown: String = name.nfc().collect();
            let path = if prefix.is_empty() { shown } else { format!("{prefix}/{shown}") };
            out.push(Value::Object(self.line(id, &path, hashes)).to_string());
            if self.inodes[&id].is_dir() {
                self.walk(id, &path, hashes, out);
            }
        }
    }

    fn line(&self, id: Ino, path: &str, hashes: &mut HashMap<u64, String>) -> Map<String, Value> {
        let inode = &self.inodes[&id];
        let meta = &inode.meta;
        let mut out = Map::new();
        let mut set = |key: &str, value: Value| out.insert(key.into(), value);
        set("path", json!(path));
        set("mode", json!(format!("{:06o}", meta.mode)));
        set("uid", json!(meta.uid));
        set("gid", json!(meta.gid));
        set("mtime", json!(meta.modified.div_euclid(1_000_000_000)));
        set("mtime_ns", json!(meta.modified.rem_euclid(1_000_000_000)));
        match meta.mode & S_IFMT {
            S_IFREG => {
                let (size, sha256) = self.content(inode, hashes);
                set("size", json!(size));
                set("sha256", json!(sha256));
                set("nlink", json!(inode.nlink()));
            }
            S_IFLNK => {
                if let Some(Xattr::Embedded(target)) = inode.xattrs.get(SYMLINK) {
                    let target = &target[..target.len() - 1];
                    set("target", json!(String::from_utf8_lossy(target)));
                }
            }
            _ => {}
        }
        if let Some(device) = inode.device {
            set("rdev", json!(format!("{},{}", device >> 24, device & 0xFF_FFFF)));
        }
        if let Some(Xattr::Embedded(header)) = inode.xattrs.get(decmpfs::XATTR) {
            set("decmpfs", json!(u32::from_le_bytes(header[4..8].try_into().unwrap())));
        }
        let xattrs = self.xattr_lines(inode, hashes);
        if !xattrs.is_empty() {
            set("xattrs", Value::Object(xattrs));
        }
        out
    }

    fn content(&self, inode: &Inode, hashes: &mut HashMap<u64, String>) -> (u64, String) {
        if let Some(content) = &inode.decoded {
            return (content.len(), content.sha256());
        }
        self.hash_stream(inode.private, hashes)
    }

    fn hash_stream(&self, id: u64, hashes: &mut HashMap<u64, String>) -> (u64, String) {
        match self.streams.get(&id) {
            Some(stream) => {
                let hash = hashes.entry(id).or_insert_with(|| stream.sha256());
                (stream.size, hash.clone())
            }
            None => (0, Stream::default().sha256()),
        }
    }

    fn xattr_lines(&self, inode: &Inode, hashes: &mut HashMap<u64, String>) -> Map<String, Value> {
        let mut out = Map::new();
        for (name, xattr) in inode.xattrs.iter().filter(|(n, _)| *n != SYMLINK) {
            let (size, sha256) = match xattr {
                Xattr::Embedded(bytes) => {
                    let content: crate::hfs::Content = bytes.as_slice().into();
                    (content.len(), content.sha256())
                }
                Xattr::Stream(id) => self.hash_stream(*id, hashes),
            };
            out.insert(name.clone(), json!({ "size": size, "sha256": sha256 }));
        }
        out
    }
}
