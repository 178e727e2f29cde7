//! The attributes of a state's objects.

use super::format::{self, UF_COMPRESSED, record};
use super::records::{XattrValue, key, split, xattr_name};
use super::view::{Object, State, Value, Xattr};
use crate::decmpfs;
use crate::error::Result;
use crate::fs::Kind;
use crate::fs::xattr::RESOURCE_FORK;
use crate::io::bytes::to_usize;
use crate::io::{Source, read_vec};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Longest attribute that is taken into memory: compressed contents, link targets.
const MAX_SMALL: u64 = 32 << 20;

impl State {
    /// What is marked as compressed and has no header is read as it is stored, as XNU does
    /// (`decmpfs_file_is_compressed`). But nothing may be stored, and where the tree was mended
    /// the header may be among what is lost.
    pub(super) fn look_for_header(&self, object: &mut Object) {
        let inode = &object.inode;
        let empty = inode.stream.is_none_or(|s| s.size == 0);
        let file = Kind::of_mode(inode.mode).unwrap_or(Kind::File) == Kind::File;
        if !matches!(object.compression, Ok(None)) || !empty || !file {
            return;
        }
        if inode.flags & format::SF_DATALESS != 0 {
            object.compression = Err(decmpfs::dataless());
        } else if self.mended && inode.flags & UF_COMPRESSED != 0 {
            let text = "its compression header is not among what is left of the tree of files";
            object.compression = Err(self.corrupt(object.id, text));
        }
    }

    /// An error where an inode tells of an attribute that a mended tree does not have.
    fn not_lost(&self, id: u64, has: impl Fn(&str) -> bool) -> Result<()> {
        if !self.mended {
            return Ok(());
        }
        let Some((inode, _)) = self.inode_record(id)? else { return Ok(()) };
        let told =
            format::TOLD_ATTRIBUTES.iter().filter(|(flag, _)| inode.internal_flags & flag != 0);
        match told.map(|(_, name)| *name).find(|name| !has(name)) {
            Some(name) => {
                let text = format!("its {name} is not among what is left of the tree of files");
                Err(self.corrupt(id, text))
            }
            None => Ok(()),
        }
    }

    /// Visit the attributes of an object, as stored.
    ///
    /// # Errors
    /// Where some cannot be read; the others were visited all the same, as far as they come
    /// before.
    pub fn attributes(&self, id: u64, visit: &mut dyn FnMut(Xattr)) -> Result<()> {
        let mut names = Vec::new();
        self.tree.scan(&key(id, record::XATTR), &mut |entry| {
            if split(entry.key) != Some((id, record::XATTR)) {
                return Ok(ControlFlow::Break(()));
            }
            let bad = || self.corrupt(id, "an attribute is cut off");
            let name = xattr_name(entry.key).ok_or_else(bad)?;
            let value = XattrValue::parse(entry.value.unwrap_or_default()).ok_or_else(bad)?;
            let name = String::from_utf8_lossy(name).into_owned();
            if self.mended {
                names.push(name.clone());
            }
            visit(Xattr { name, value: Value::of(&value) });
            Ok(ControlFlow::Continue(()))
        })?;
        self.not_lost(id, |name| names.iter().any(|n| n == name))
    }

    /// An attribute by its name.
    pub fn attribute(&self, id: u64, name: &str) -> Result<Option<Value>> {
        let mut wanted = key(id, record::XATTR).to_vec();
        let len = u16::try_from(name.len() + 1).unwrap_or(u16::MAX);
        wanted.extend(len.to_le_bytes());
        wanted.extend(name.as_bytes());
        wanted.push(0);
        let Some(found) = self.tree.find(&wanted)? else {
            return self.not_lost(id, |told| told != name).map(|()| None);
        };
        let value = XattrValue::parse(&found);
        let value =
            value.ok_or_else(|| self.corrupt(id, format!("its attribute {name} is cut off")))?;
        Ok(Some(Value::of(&value)))
    }

    /// The bytes of an attribute.
    pub fn attribute_source(&self, id: u64, name: &str, value: Value) -> Result<Source> {
        match value {
            Value::Bytes(bytes) => Ok(Arc::new(crate::io::Memory::new(bytes))),
            Value::Stream { id: stream, size } => {
                self.stream(stream, size, format!("attribute {name} of object {id}"))
            }
        }
    }

    /// The value of a short attribute.
    pub fn small_attribute(&self, id: u64, name: &str) -> Result<Option<Vec<u8>>> {
        let Some(value) = self.attribute(id, name)? else { return Ok(None) };
        let size = value.size();
        if size > MAX_SMALL {
            return Err(self.corrupt(
                id,
                format!("its attribute {name} has {size} bytes, too many to be true"),
            ));
        }
        let source = self.attribute_source(id, name, value)?;
        read_vec(&*source, 0, to_usize(size)).map(Some)
    }

    /// The resource fork, whatever it is for.
    pub fn resource_fork(&self, id: u64) -> Result<Source> {
        match self.attribute(id, RESOURCE_FORK)? {
            Some(value) => self.attribute_source(id, RESOURCE_FORK, value),
            None => Ok(Arc::new(crate::io::Memory::default())),
        }
    }
}
