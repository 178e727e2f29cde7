//! An object as its records make it up: what they say, and whether they agree.

use super::attribute::Attributes;
use super::inode::Inode;
use super::stream::Extents;
use super::sweep::Sweep;
use super::tables::{InodeRow, SiblingCount, Span};
use crate::apfs::format::{FIRST_USER, PRIVATE_DIR, ROOT};
use crate::report::Rule;

/// What the records of one number say.
#[derive(Debug, Clone, Default)]
pub struct Object {
    /// Number.
    pub id: u64,
    /// Records of it may be lost.
    pub cut: bool,
    begun: bool,
    /// Its inode.
    pub inode: Option<Inode>,
    /// Its attributes.
    pub attributes: Attributes,
    /// Entries of the folder.
    pub children: u64,
    /// The stream of this number.
    pub extents: Extents,
    /// Sibling links.
    pub siblings: u32,
    /// Whether there is a record of a folder's statistics.
    pub statistics: bool,
}

impl Object {
    /// Of this number.
    pub fn new(id: u64, cut: bool) -> Self {
        Self { id, cut, ..Self::default() }
    }

    /// Whether no record of it was seen.
    pub fn is_new(&self) -> bool {
        !self.begun
    }

    /// A record of it was seen.
    pub fn begun(&mut self) {
        self.begun = true;
    }
}

impl Sweep<'_> {
    /// All records of an object were seen in some views.
    pub(super) fn finish(&mut self, object: Object, span: Span) {
        if object.cut {
            return;
        }
        self.finish_stream(&object, span);
        let Some(inode) = &object.inode else {
            self.without_inode(&object, span);
            return;
        };
        self.finish_inode(&object, inode, span);
        self.finish_attributes(&object, inode, span);
        let id = object.id;
        let row = InodeRow::new(id, inode.kind(), (inode.parent, inode.name), inode.links, span);
        self.tables.inodes.push(row);
        if object.siblings > 0 {
            let count = object.siblings;
            self.tables.sibling_counts.push(SiblingCount { id, count, span });
        }
    }

    /// What belongs to an inode must have one.
    fn without_inode(&mut self, object: &Object, span: Span) {
        let id = object.id;
        // The parent of the root has none.
        if object.children > 0 && id != crate::apfs::format::ROOT_PARENT {
            let n = object.children;
            self.breaks.add(Rule::A161, id, span, || {
                format!("object {id} has {n} entries of a folder, but no inode")
            });
        }
        if object.attributes.any() {
            self.breaks
                .add(Rule::A204, id, span, || format!("object {id} has attributes, but no inode"));
        }
        if object.siblings > 0 {
            self.breaks.add(Rule::A186, id, span, || {
                format!("object {id} has records of several names, but no inode")
            });
        }
        if object.statistics {
            self.breaks.add(Rule::A189, id, span, || {
                format!("object {id} has statistics of a folder, but no inode")
            });
        }
    }

    /// The inode against the other records of its number.
    fn finish_inode(&mut self, object: &Object, inode: &Inode, span: Span) {
        let id = object.id;
        let folder = inode.is_folder();
        if !folder && object.children > 0 {
            let n = object.children;
            self.breaks.add(Rule::A161, id, span, || {
                format!("object {id} has {n} entries of a folder, and is none")
            });
        }
        if folder && object.children != u64::from(inode.links) {
            let (says, has) = (inode.links, object.children);
            let text = || format!("folder {id} says that it has {says} entries, and has {has}");
            // Volumes made from HFS+ by Apple's program count what they dropped.
            match self.facts.converted {
                true => self.breaks.note(Rule::A166, id, span, text),
                false => self.breaks.add(Rule::A166, id, span, text),
            }
        }
        if object.statistics && !folder {
            self.breaks.add(Rule::A189, id, span, || {
                format!("object {id} has statistics of a folder, and is none")
            });
        }
        if id < FIRST_USER && id != ROOT && id != PRIVATE_DIR {
            self.breaks
                .add(Rule::A164, id, span, || format!("there is an inode {id}, a reserved number"));
        }
    }
}
