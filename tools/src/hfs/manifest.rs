//! What a reader must show of a volume, as JSON lines.

use std::collections::HashMap;
use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::builder::{S_IFMT, VolumeBuilder};
use super::catalog::children;
use super::model::*;
use super::names::display;
use crate::decmpfs;

impl VolumeBuilder {
    /// Writes one JSON object a line for every object that a reader must show, depth first. Linked
    /// folders appear under every one of their paths; private directories and the journal do not.
    /// Beside what a file system shows, `dirlink` marks links to folders and `decmpfs` gives the type
    /// of compressed files.
    pub fn manifest(&self, out: &mut dyn Write) -> io::Result<()> {
        Walk { volume: self, children: children(self) }.run(out)
    }
}

struct Walk<'a> {
    volume: &'a VolumeBuilder,
    children: HashMap<Cnid, Vec<u32>>,
}

impl Walk<'_> {
    fn run(self, out: &mut dyn Write) -> io::Result<()> {
        let mut stack = Vec::new();
        self.folder(ROOT, "", &mut stack, out)
    }

    fn folder(
        &self,
        id: Cnid,
        path: &str,
        stack: &mut Vec<Cnid>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        if stack.contains(&id) {
            return Ok(());
        }
        stack.push(id);
        for i in self.children.get(&id).cloned().unwrap_or_default() {
            let node = &self.volume.nodes[i as usize];
            let target = self.target(node);
            let path = match path {
                "" => display(&node.name),
                _ => format!("{path}/{}", display(&node.name)),
            };
            let mut line = self.line(target, &path);
            if node.kind == Kind::DirLink {
                line.insert("dirlink".into(), json!(true));
            }
            let line = Value::Object(line);
            writeln!(out, "{line}")?;
            let target = self.target(&self.volume.nodes[i as usize]);
            if target.is_folder() {
                self.folder(target.id, &path, stack, out)?;
            }
        }
        stack.pop();
        Ok(())
    }

    /// The inode behind a link of either style.
    fn target<'b>(&'b self, node: &'b Node) -> &'b Node {
        if !matches!(node.kind, Kind::FileLink | Kind::DirLink) {
            return node;
        }
        if node.flags & 0x20 != 0 {
            return self.volume.node(node.special);
        }
        let name = super::names::utf16(&format!("iNode{}", node.special));
        self.volume
            .nodes
            .iter()
            .find(|n| n.parent == self.volume.file_private && *n.name == *name)
            .unwrap_or(node)
    }

    fn line(&self, node: &Node, path: &str) -> Map<String, Value> {
        let meta = &node.meta;
        let mut out = Map::new();
        let mut set = |key: &str, value: Value| out.insert(key.into(), value);
        set("path", json!(path));
        set("mode", json!(format!("{:06o}", meta.mode)));
        set("uid", json!(meta.uid));
        set("gid", json!(meta.gid));
        set("mtime", json!(i64::from(meta.modified) - HFS_EPOCH));
        match meta.mode & S_IFMT {
            0o120_000 => {
                let target = node.data.content.to_vec();
                set("target", json!(String::from_utf8_lossy(&target)));
            }
            0o100_000 => {
                let content = self.volume.decoded.get(&node.id).unwrap_or(&node.data.content);
                set("size", json!(content.len()));
                set("sha256", json!(content.sha256()));
                set("nlink", json!(node.special.max(1)));
                if let Some(number) = self.decmpfs_type(node.id) {
                    set("decmpfs", json!(number));
                }
            }
            0o020_000 | 0o060_000 => {
                let rdev = node.special;
                set("rdev", json!(format!("{},{}", rdev >> 24, rdev & 0xFF_FFFF)));
            }
            _ => {}
        }
        let xattrs = self.xattrs(node);
        if !xattrs.is_empty() {
            set("xattrs", Value::Object(xattrs));
        }
        out
    }

    fn decmpfs_type(&self, id: Cnid) -> Option<u32> {
        let xattr = self.volume.xattrs.get(&(id, super::names::utf16(decmpfs::XATTR)))?;
        let header = xattr.value.to_vec();
        Some(u32::from_le_bytes(header[4..8].try_into().ok()?))
    }

    fn xattrs(&self, node: &Node) -> Map<String, Value> {
        let entry = |c: &Content| json!({ "size": c.len(), "sha256": c.sha256() });
        let mut out = Map::new();
        if node.meta.finder_info != [0; 32] {
            out.insert(
                "com.apple.FinderInfo".into(),
                entry(&Content::Bytes(node.meta.finder_info.to_vec())),
            );
        }
        if let Some(fork) = node.fork(ForkKind::Resource).filter(|f| !f.content.is_empty()) {
            out.insert(decmpfs::RESOURCE_FORK.into(), entry(&fork.content));
        }
        for ((_, name), xattr) in
            self.volume.xattrs.range((node.id, Vec::new())..(node.id + 1, Vec::new()))
        {
            out.insert(String::from_utf16_lossy(name), entry(&xattr.value));
        }
        out
    }
}
