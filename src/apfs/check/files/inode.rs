//! Inodes (section 6.1): what one record says, and must not.

use super::fields;
use super::object::Object;
use super::sweep::Sweep;
use super::tables::{Span, name_hash};
use crate::apfs::format::{FIRST_USER, PRIVATE_DIR, ROOT};
use crate::fs::Kind;
use crate::io::bytes::{le16, le32, le64};
use crate::report::Rule;

/// Internal flags (section 6.1).
pub mod flag {
    #![allow(missing_docs)]
    pub const MAINTAIN_STATS: u64 = 2;
    pub const STATS_ORIGIN: u64 = 4;
    pub const CLONED: u64 = 0x10 | 0x400;
    pub const SECURITY: u64 = 0x40;
    pub const TRUNCATING: u64 = 0x80;
    pub const FINDER_INFO: u64 = 0x100;
    pub const SPARSE: u64 = 0x200;
    pub const HAS_FORK: u64 = 0x4000;
    pub const NO_FORK: u64 = 0x8000;
    pub const UNCOMPRESSED_SIZE: u64 = 0x4_0000;
    pub const PURGEABLE: u64 = 0x200_0000;
    pub const KNOWN: u64 = 0x027F_FFDF;
}

/// Extended fields of inodes (section 6.2).
pub mod field {
    #![allow(missing_docs)]
    pub const DOCUMENT: u8 = 3;
    pub const NAME: u8 = 4;
    pub const PREVIOUS_SIZE: u8 = 5;
    pub const FINDER_INFO: u8 = 7;
    pub const STREAM: u8 = 8;
    pub const STATISTICS: u8 = 10;
    pub const SPARSE: u8 = 13;
    pub const DEVICE: u8 = 14;
    pub const PURGEABLE: u8 = 15;
}

/// Bytes before the extended fields.
const FIXED: usize = 0x5C;

/// What an inode says that other records must agree with.
#[derive(Debug, Clone, Default)]
pub struct Inode {
    /// Folder of its first name.
    pub parent: u64,
    /// Number of its stream.
    pub stream: u64,
    /// Internal flags.
    pub flags: u64,
    /// Children, or names.
    pub links: u32,
    /// BSD flags.
    pub bsd: u32,
    /// Mode.
    pub mode: u16,
    /// Length of compressed contents.
    pub uncompressed: u64,
    /// Length and allocated bytes of its stream, if it has one.
    pub sizes: Option<(u64, u64)>,
    /// Bytes of holes.
    pub sparse: u64,
    /// Hash of its first name; 0 without.
    pub name: u32,
    fields: u32,
}

impl Inode {
    /// Kind in its mode.
    pub fn kind(&self) -> u8 {
        u8::try_from(self.mode >> 12).unwrap_or(0)
    }

    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        self.is(Kind::Directory)
    }

    /// Whether it is of this kind.
    pub fn is(&self, kind: Kind) -> bool {
        Kind::of_mode(self.mode) == Some(kind)
    }

    /// Whether it has an extended field.
    pub fn has(&self, field: u8) -> bool {
        1u32.checked_shl(field.into()).is_some_and(|bit| self.fields & bit != 0)
    }

    /// Whether one of these internal flags is set.
    pub fn flagged(&self, flags: u64) -> bool {
        self.flags & flags != 0
    }

    fn parse(b: &[u8]) -> Option<Self> {
        b.get(..FIXED)?;
        Some(Self {
            parent: le64(b, 0)?,
            stream: le64(b, 8)?,
            flags: le64(b, 0x30)?,
            links: le32(b, 0x38)?,
            bsd: le32(b, 0x44)?,
            mode: le16(b, 0x50)?,
            uncompressed: le64(b, 0x54)?,
            ..Self::default()
        })
    }
}

impl Sweep<'_> {
    /// The inode record of an object.
    pub(super) fn inode(&mut self, object: &mut Object, value: &[u8], span: Span) {
        let id = object.id;
        let Some(mut inode) = Inode::parse(value) else {
            let len = value.len();
            self.breaks.add(Rule::A150, id, span, || {
                format!("the inode of object {id} has {len} bytes, fewer than 92")
            });
            self.views.torn(span);
            object.cut = true;
            return;
        };
        let blob = value.get(FIXED..).unwrap_or_default();
        let mut crypto = 0;
        let (mut document, mut name, mut unknown) = (None, None, None);
        let sound = fields::check(
            blob,
            fields::Of::Inode,
            &mut |rule, text| self.breaks.add(rule, id, span, || format!("inode {id}: {text}")),
            &mut |field| {
                unknown = unknown.or((!field.known).then_some(field.kind));
                inode.fields |= 1u32.checked_shl(field.kind.into()).unwrap_or(0);
                match field.kind {
                    field::DOCUMENT => document = le32(field.value, 0),
                    field::NAME => name = Some(field.value),
                    field::STREAM => {
                        inode.sizes = le64(field.value, 0).zip(le64(field.value, 8));
                        crypto = le64(field.value, 0x10).unwrap_or(0);
                    }
                    field::SPARSE => inode.sparse = le64(field.value, 0).unwrap_or(0),
                    _ => {}
                }
            },
        );
        self.unknown_field(id, unknown, span);
        if !sound {
            self.views.torn(span);
            object.cut = true;
            return;
        }
        inode.name = name.map_or(0, |n: &[u8]| name_hash(n.strip_suffix(&[0]).unwrap_or(n)));
        self.inode_alone(id, &inode, value, span);
        self.crypto_id(id, crypto, span);
        if let Some(document) = document.filter(|d| *d < 3 || *d >= self.facts.next_document(span))
        {
            self.breaks.add(Rule::A193, id, span, || {
                format!("inode {id} has document number {document}, which was not given out")
            });
        }
        object.inode = Some(inode);
    }

    /// What one inode record must not say, whatever the others do.
    fn inode_alone(&mut self, id: u64, inode: &Inode, value: &[u8], span: Span) {
        let flags = inode.flags;
        let mut wrong = |rule: Rule, is: bool, text: &str| {
            if is {
                self.breaks.add(rule, id, span, || format!("inode {id} {text}"));
            }
        };
        if flags & !flag::KNOWN != 0 {
            wrong(
                Rule::A156,
                true,
                &format!("has internal flags {flags:#x}, of which some are none"),
            );
        }
        let (has, no) = (flags & flag::HAS_FORK != 0, flags & flag::NO_FORK != 0);
        wrong(Rule::A157, has && no, "is marked as having a resource fork, and as having none");
        let cut = flags & flag::TRUNCATING != 0 || inode.has(field::PREVIOUS_SIZE);
        wrong(Rule::A158, cut, "was being truncated");
        let origin = flags & flag::STATS_ORIGIN != 0 && flags & flag::MAINTAIN_STATS == 0;
        wrong(Rule::A159, origin, "is the origin of statistics that it does not keep");
        let stats = (flags & flag::MAINTAIN_STATS != 0) == inode.has(field::STATISTICS);
        wrong(
            Rule::A188,
            !stats,
            "is marked as keeping statistics without a key for them, or has one unmarked",
        );
        let purge = (flags & flag::PURGEABLE != 0) == inode.has(field::PURGEABLE);
        wrong(
            Rule::A192,
            !purge,
            "has flags for purging without the mark of them, or the mark alone",
        );
        let sparse = (flags & flag::SPARSE != 0) == inode.has(field::SPARSE);
        wrong(
            Rule::A170,
            !sparse,
            "is marked as sparse without a count of holes, or has one unmarked",
        );
        self.inode_kind(id, inode, value, span);
        self.inode_numbers(id, inode, span);
    }

    /// What its kind allows, and where its contents are.
    fn inode_kind(&mut self, id: u64, inode: &Inode, value: &[u8], span: Span) {
        let flags = inode.flags;
        let mut wrong = |rule: Rule, is: bool, text: &str| {
            if is {
                self.breaks.add(rule, id, span, || format!("inode {id} {text}"));
            }
        };
        if Kind::of_mode(inode.mode).is_none() {
            wrong(Rule::A160, true, &format!("has mode {:#o}, which is of no kind", inode.mode));
        }
        let device = inode.is(Kind::CharDevice) || inode.is(Kind::BlockDevice);
        wrong(
            Rule::A175,
            device != inode.has(field::DEVICE),
            "is a device without a number, or has one and is none",
        );
        let stream = inode.has(field::STREAM) && !inode.is(Kind::File);
        wrong(Rule::A176, stream, "has contents, and is no file");
        wrong(Rule::A162, le16(value, 0x52) != Some(0), "has a padding that is not zero");
        let moved = inode.stream != id && flags & flag::CLONED == 0;
        wrong(
            Rule::A163,
            moved,
            "has its contents under another number, and is not marked as cloned",
        );
        let class = le32(value, 0x3C).unwrap_or(0);
        let known = matches!(class & 0x1F, 0..=4 | 6 | 14) && class <= 0x1F;
        wrong(Rule::A179, !known, "has a default protection class that there is not");
        let size = inode.uncompressed != 0 && flags & flag::UNCOMPRESSED_SIZE == 0;
        wrong(Rule::A195, size, "has a length of uncompressed contents without the mark of one");
    }

    /// Numbers that are reserved, or were not given out yet.
    fn inode_numbers(&mut self, id: u64, inode: &Inode, span: Span) {
        let next = self.facts.next_object(span);
        if id >= next || inode.stream >= next {
            self.breaks.add(Rule::A135, id, span, || {
                format!("inode {id} or its stream {} has a number that was not given out; the next is {next}", inode.stream)
            });
        }
        if let Some(wrong) = self.facts.group_side(id)
            && id >= FIRST_USER
        {
            self.breaks.add(Rule::A184, id, span, || {
                format!("inode {id} has a number of a {wrong} volume")
            });
        }
        let top = id == ROOT || id == PRIVATE_DIR;
        if top != (inode.parent == crate::apfs::format::ROOT_PARENT) {
            let rule = if top { Rule::A164 } else { Rule::A169 };
            let parent = inode.parent;
            self.breaks.add(rule, id, span, || format!("inode {id} has parent {parent}"));
        }
    }
}
