//! Extended attributes (section 6.3), and what their names mean for an inode.

use super::inode::{Inode, field, flag};
use super::object::Object;
use super::sweep::Sweep;
use super::tables::{Span, UserRow};
use crate::apfs::format::{SYMLINK, UF_COMPRESSED, XATTR_EMBEDDED, XATTR_STREAM};
use crate::apfs::node::Entry;
use crate::decmpfs;
use crate::fs::Kind;
use crate::fs::xattr::{FINDER_INFO, RESOURCE_FORK};
use crate::io::bytes::{le16, le32, le64};
use crate::report::Rule;

const FIRMLINK: &str = "com.apple.fs.firmlink";
const SECURITY: &str = "com.apple.system.Security";

/// Flags that attributes have.
const KNOWN: u16 = 0x17;
/// The file system's own.
const OWNED: u16 = 4;
/// Longest value that is kept in a record.
const MAX_EMBEDDED: usize = 3804;
/// Bytes of the description of a stream.
const STREAM: usize = 48;
/// Magic of a header of compressed contents.
const DECMPFS: u32 = 0x636D_7066;
/// Kinds of contents that are not on the disk.
const DATALESS: u32 = 0x8000_0000;
const LAST_COMPRESSION: u32 = 14;

/// The attributes of an object whose names mean something.
#[derive(Debug, Clone, Copy, Default)]
pub struct Attributes {
    any: bool,
    symlink: bool,
    fork: bool,
    security: bool,
    finder_info: bool,
    /// Kind of compression, and length of the contents; 0 for a header that is none.
    compressed: Option<(u32, u64)>,
}

impl Attributes {
    /// Whether there is one.
    pub fn any(&self) -> bool {
        self.any
    }
}

impl Sweep<'_> {
    /// An attribute record.
    pub(super) fn attribute(&mut self, object: &mut Object, entry: &Entry<'_>, span: Span) {
        let (id, value) = (object.id, entry.value.unwrap_or_default());
        object.attributes.any = true;
        let len = entry.key.get(8..).and_then(|k| le16(k, 0)).map_or(0, usize::from);
        let name = entry.key.get(10..).unwrap_or_default();
        if name.len() != len || !super::fields::is_name(name) {
            self.breaks.add(Rule::A133, id, span, || {
                format!("the name of an attribute of object {id} does not end where it should")
            });
            return;
        }
        let name = String::from_utf8_lossy(name.strip_suffix(&[0]).unwrap_or(name));
        let name = name.as_ref();
        let (Some(flags), Some(said)) = (le16(value, 0), le16(value, 2)) else {
            self.breaks.add(Rule::A202, id, span, || {
                format!("the attribute {name} of object {id} has {} bytes", value.len())
            });
            return;
        };
        let data = value.get(4..).unwrap_or_default();
        self.attribute_form((id, name), flags, usize::from(said), data, span);
        let stream = flags & XATTR_STREAM != 0;
        self.attribute_meaning(object, name, stream, data, span);
        if stream && flags & XATTR_EMBEDDED == 0 && data.len() == STREAM {
            self.attribute_stream(id, data, span);
        }
    }

    fn attribute_form(
        &mut self,
        (id, name): (u64, &str),
        flags: u16,
        said: usize,
        data: &[u8],
        span: Span,
    ) {
        let mut wrong = |rule: Rule, is: bool, text: &str| {
            if is {
                self.breaks
                    .add(rule, id, span, || format!("the attribute {name} of object {id} {text}"));
            }
        };
        wrong(Rule::A200, flags & !KNOWN != 0, "has flags that there are not");
        let (stream, embedded) = (flags & XATTR_STREAM != 0, flags & XATTR_EMBEDDED != 0);
        wrong(
            Rule::A201,
            stream == embedded,
            "is neither in its record nor in a stream, or in both",
        );
        let owned = match name {
            SYMLINK | FIRMLINK => Some(true),
            decmpfs::XATTR | RESOURCE_FORK | SECURITY | FINDER_INFO => Some(false),
            _ => None,
        };
        let is = flags & OWNED != 0;
        wrong(
            Rule::A205,
            owned.is_some_and(|due| due != is),
            "is the file system's own and not marked so, or marked so and is not",
        );
        if stream == embedded {
            return;
        }
        if stream {
            wrong(Rule::A202, data.len() != STREAM, "does not describe a stream");
            wrong(
                Rule::A207,
                said != STREAM,
                "tells another length than that of the description of a stream",
            );
        } else {
            wrong(Rule::A202, data.len() != said, "is not as long as it says");
            wrong(Rule::A203, data.len() > MAX_EMBEDDED, "is too long to be kept in its record");
            wrong(Rule::A206, name == FINDER_INFO && data.len() != 32, "does not have 32 bytes");
        }
    }

    fn attribute_meaning(
        &mut self,
        object: &mut Object,
        name: &str,
        stream: bool,
        data: &[u8],
        span: Span,
    ) {
        let (id, of) = (object.id, &mut object.attributes);
        match name {
            SYMLINK => of.symlink = true,
            RESOURCE_FORK => of.fork = true,
            SECURITY => of.security = true,
            FINDER_INFO => of.finder_info = true,
            decmpfs::XATTR => {
                let header = (le32(data, 0), le32(data, 4), le64(data, 8));
                of.compressed = match header {
                    (Some(DECMPFS), Some(kind @ 1..=LAST_COMPRESSION), Some(size)) if !stream => {
                        Some((kind, size))
                    }
                    // In a stream, or moved away by macOS: not looked at here.
                    (Some(DECMPFS), Some(kind), Some(_)) if kind & DATALESS != 0 => Some((0, 0)),
                    _ => Some((0, 0)),
                };
                let moved = header.1.is_some_and(|kind| kind & DATALESS != 0);
                if !stream && !moved && of.compressed == Some((0, 0)) {
                    self.breaks.add(Rule::A360, id, span, || {
                        format!("the header of the compressed contents of object {id} is none")
                    });
                }
            }
            _ => {}
        }
    }

    fn attribute_stream(&mut self, inode: u64, data: &[u8], span: Span) {
        let numbers = (le64(data, 0), le64(data, 8), le64(data, 16), le64(data, 24));
        let (Some(stream), Some(size), Some(allocated), Some(crypto)) = numbers else { return };
        self.crypto_id(inode, crypto, span);
        self.number_given(stream, inode, span);
        self.tables.users.push(UserRow {
            stream,
            inode,
            size,
            allocated,
            sparse: 0,
            attribute: true,
            cloned: false,
            span,
        });
    }

    /// The attributes of an object against what its inode says of them.
    pub(super) fn finish_attributes(&mut self, object: &Object, inode: &Inode, span: Span) {
        let (id, has) = (object.id, &object.attributes);
        let mut wrong = |rule: Rule, is: bool, text: &str| {
            if is {
                self.breaks.add(rule, id, span, || format!("inode {id} {text}"));
            }
        };
        let info = has.finder_info || inode.has(field::FINDER_INFO);
        let marked = inode.flagged(flag::FINDER_INFO);
        wrong(
            Rule::A171,
            marked != info || has.finder_info && inode.has(field::FINDER_INFO),
            "is marked as having Finder information and has none, or the reverse, or has it twice",
        );
        let marked = inode.flagged(flag::HAS_FORK);
        wrong(Rule::A172, marked && !has.fork, "is marked as having a resource fork, and has none");
        wrong(Rule::A196, !marked && has.fork, "has a resource fork, and is not marked so");
        let marked = inode.flagged(flag::SECURITY);
        wrong(
            Rule::A173,
            marked != has.security,
            "is marked as having an access control list and has none, or the reverse",
        );
        let link = inode.is(Kind::Symlink);
        wrong(
            Rule::A174,
            link != has.symlink,
            "is a symbolic link without a target, or has one and is none",
        );
        let marked = inode.bsd & UF_COMPRESSED != 0;
        wrong(
            Rule::A194,
            marked != has.compressed.is_some(),
            "is marked as compressed without a header of that, or the reverse",
        );
        if let Some((kind, size)) = has.compressed.filter(|(kind, _)| *kind != 0) {
            let in_fork = kind % 2 == 0;
            wrong(
                Rule::A361,
                in_fork != has.fork,
                "is compressed into a resource fork that is not there, or has one beside",
            );
            let told = inode.flagged(flag::UNCOMPRESSED_SIZE) && inode.uncompressed != size;
            wrong(
                Rule::A362,
                told,
                "tells another length than the header of its compressed contents",
            );
        }
    }
}
