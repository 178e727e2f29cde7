//! Extended attributes as Linux programs or Samba look for them.

use super::core::doubted;
use super::options::Xattrs;
use super::tree::{Object, Tree};
use crate::error::{Error, Result};
use crate::fs::acl::Acl;
use crate::fs::xattr::{FINDER_INFO, RESOURCE_FORK, SECURITY};
use crate::fs::{FileSystem, Kind, Metadata, NodeId, Stream};
use crate::io::bytes::to_u64;
use crate::losses::Doubt;
use std::sync::Arc;

/// The kernel's limit for a value.
const MAX_VALUE: u64 = 65_536;

/// The access control list in the words of `ls -le`.
const ACL_TEXT: &str = "tmbundle.acl";

/// Why what is read of a file may be zeros in the place of lost bytes: there only where it is so.
const DOUBTFUL: &str = "user.tmbundle.doubtful";

const SAMBA_FRONT: &str = "user.DosStream.";
const SAMBA_END: &str = ":$DATA";
const AFP_INFO: &str = "AFP_AfpInfo";
const AFP_RESOURCE: &str = "AFP_Resource";

/// The answer to a request for a value.
pub enum Answer {
    /// The value, and what of it is given though it may be lost.
    Value(Vec<u8>, Option<Doubt>),
    /// There is none of that name.
    Absent,
    /// It is larger than the kernel can take.
    TooLarge,
}

/// A volume's object with what it takes to read its attributes.
struct Bearer {
    fs: Arc<dyn FileSystem>,
    guard: Arc<crate::losses::Guard>,
    id: NodeId,
    style: Xattrs,
}

fn bearer(tree: &Tree, object: Object, style: Xattrs) -> Option<Bearer> {
    let (Object::Folder { space, id } | Object::File { space, id }) = object else { return None };
    Some(Bearer { fs: tree.fs(space).ok()?, guard: tree.guard(space).ok()?, id, style })
}

/// Names of an object's attributes, each ended by a NUL.
pub fn list(tree: &Tree, object: Object, style: Xattrs) -> Result<Vec<u8>> {
    let mut names = Vec::new();
    if let Some(bearer) = bearer(tree, object, style) {
        for name in bearer.names()? {
            names.extend(name.into_bytes());
            names.push(0);
        }
    }
    Ok(names)
}

/// Value of an object's attribute.
pub fn value(tree: &Tree, object: Object, style: Xattrs, name: &str) -> Result<Answer> {
    match bearer(tree, object, style) {
        Some(bearer) => bearer.value(name),
        None => Ok(Answer::Absent),
    }
}

impl Bearer {
    fn names(&self) -> Result<Vec<String>> {
        let meta = self.fs.metadata(self.id)?;
        let mut names = Vec::new();
        if self.doubt(&meta).is_some() {
            names.push(DOUBTFUL.into());
        }
        if !meta.has_xattrs || meta.kind == Kind::Symlink {
            return Ok(names);
        }
        for x in self.fs.xattrs(self.id)? {
            names.push(self.shown(&x.name));
            if x.name == SECURITY && self.style == Xattrs::User {
                names.push(format!("user.{ACL_TEXT}"));
            }
        }
        Ok(names)
    }

    /// How an attribute is called here.
    fn shown(&self, name: &str) -> String {
        match (self.style, name) {
            (Xattrs::Samba, FINDER_INFO) => format!("{SAMBA_FRONT}{AFP_INFO}{SAMBA_END}"),
            (Xattrs::Samba, RESOURCE_FORK) => format!("{SAMBA_FRONT}{AFP_RESOURCE}{SAMBA_END}"),
            (Xattrs::Samba, _) => format!("{SAMBA_FRONT}{name}{SAMBA_END}"),
            _ => format!("user.{name}"),
        }
    }

    /// What is to be known of a file before its contents are trusted.
    fn doubt(&self, meta: &Metadata) -> Option<String> {
        if meta.kind != Kind::File {
            return None;
        }
        let doubt = |stream| self.guard.open(self.id, &stream).ok()?.outlook().ok()?;
        if let Some(doubt) = doubt(Stream::Data) {
            return Some(doubted(&doubt));
        }
        if !meta.has_xattrs || self.fs.resource_size(self.id).unwrap_or(0) == 0 {
            return None;
        }
        Some(format!("its resource fork: {}", doubted(&doubt(Stream::Resource)?)))
    }

    fn value(&self, shown: &str) -> Result<Answer> {
        if shown == DOUBTFUL && self.style != Xattrs::None {
            let doubt = self.doubt(&self.fs.metadata(self.id)?);
            return Ok(doubt.map_or(Answer::Absent, |text| Answer::Value(text.into_bytes(), None)));
        }
        match self.style {
            Xattrs::None => Ok(Answer::Absent),
            Xattrs::User => match shown.strip_prefix("user.") {
                Some(ACL_TEXT) => self.acl_text(),
                Some(name) => self.stored(name, 0),
                None => Ok(Answer::Absent),
            },
            Xattrs::Samba => {
                let stream =
                    shown.strip_prefix(SAMBA_FRONT).and_then(|n| n.strip_suffix(SAMBA_END));
                match stream {
                    Some(AFP_INFO) => self.afp_info(),
                    Some(AFP_RESOURCE) => self.stored(RESOURCE_FORK, 1),
                    Some(name) => self.stored(name, 1),
                    None => Ok(Answer::Absent),
                }
            }
        }
    }

    /// A value as it is stored, and `zeros` behind it: Samba ends every stream
    /// that it keeps in an attribute with a zero byte.
    fn stored(&self, name: &str, zeros: usize) -> Result<Answer> {
        if name == RESOURCE_FORK && self.fs.resource_size(self.id)? > MAX_VALUE {
            return Ok(Answer::TooLarge);
        }
        self.small(name, zeros, |mut value| {
            value.resize(value.len() + zeros, 0);
            value
        })
    }

    /// What `make` makes of a value. Its size is asked first: what is larger than the kernel
    /// can take, whatever is made of it, is not read.
    fn small(
        &self,
        name: &str,
        more: usize,
        make: impl FnOnce(Vec<u8>) -> Vec<u8>,
    ) -> Result<Answer> {
        let source = match self.fs.open(self.id, &Stream::attribute(name)) {
            Err(Error::NotFound(_)) => return Ok(Answer::Absent),
            opened => opened?,
        };
        if source.len().saturating_add(to_u64(more)) > MAX_VALUE {
            return Ok(Answer::TooLarge);
        }
        let value = self.guard.xattr(self.id, name)?;
        Ok(value.map_or(Answer::Absent, |(value, doubt)| Answer::Value(make(value), doubt)))
    }

    fn acl_text(&self) -> Result<Answer> {
        let folder = self.fs.metadata(self.id)?.kind == Kind::Directory;
        self.small(SECURITY, 0, |value| {
            let text = match Acl::parse(&value) {
                Ok(Some(acl)) => acl.lines(folder).join("\n"),
                Ok(None) => String::new(),
                Err(problem) => format!("not valid: {problem}"),
            };
            text.into_bytes()
        })
    }

    /// The stream in which Samba keeps Finder information (`AfpInfo`, 60 bytes,
    /// big-endian), with its final zero byte.
    fn afp_info(&self) -> Result<Answer> {
        const SIGNATURE: &[u8; 4] = b"AFP\0";
        const VERSION: u32 = 0x0001_0000;
        const NEVER_BACKED_UP: u32 = 0x8000_0000;
        self.small(FINDER_INFO, 0, |finder| {
            let mut info = Vec::with_capacity(61);
            info.extend(SIGNATURE);
            info.extend(VERSION.to_be_bytes());
            info.extend([0; 4]);
            info.extend(NEVER_BACKED_UP.to_be_bytes());
            info.extend(finder);
            info.resize(60 + 1, 0);
            info
        })
    }
}

/// Whether any volume may have attributes at all.
pub fn any(tree: &Tree, style: Xattrs) -> bool {
    style != Xattrs::None && !tree.archive().open.is_empty()
}
