//! One record: that it is whole, that its numbers were given out, and what it says.

use super::fields::{self, is_name};
use super::object::Object;
use super::sweep::Sweep;
use super::tables::{EntryRow, SaidBy, SiblingRow, Span, name_hash};
use crate::apfs::format::{PRIVATE_DIR, ROOT, ROOT_PARENT, record};
use crate::apfs::names::Rules;
use crate::apfs::node::Entry;
use crate::apfs::records::{entry_name, split};
use crate::io::bytes::{le16, le32, le64};
use crate::report::Rule;

/// Kinds that only a check looks at.
const CRYPTO: u8 = 7;
const STATISTICS: u8 = 10;
const SIBLING_MAP: u8 = 12;
const FILE_INFO: u8 = 13;

/// Flags of entries: their kind, and those of purgeable ones.
const ENTRY_FLAGS: u16 = 0xA0F;
const PURGEABLE: u16 = 0xA00;
/// The folder of purgeable entries.
const PURGEABLE_DIR: u64 = 7;
/// Bytes of an entry before its extended fields.
const ENTRY_FIXED: usize = 18;

impl Sweep<'_> {
    /// A record of an object.
    pub(super) fn record(&mut self, object: &mut Object, entry: &Entry<'_>, span: Span) {
        let id = object.id;
        let Some((_, kind)) = split(entry.key) else { return };
        let (key, value) = (entry.key.len(), entry.value.unwrap_or_default());
        // Length of the key, and of the value where it is known.
        let (key_len, value_len) = match kind {
            record::INODE => (Some(8), None),
            record::XATTR | record::ENTRY => (None, None),
            record::SIBLING_LINK => (Some(16), None),
            record::STREAM_ID => (Some(8), Some(4)),
            CRYPTO => (Some(8), None),
            record::FILE_EXTENT => (Some(16), Some(24)),
            STATISTICS => (Some(8), Some(32)),
            SIBLING_MAP => (Some(8), Some(8)),
            FILE_INFO => (Some(16), None),
            _ => {
                self.lost(Rule::A079, object, span, || {
                    format!("a record of object {id} is of type {kind}, which does not belong here")
                });
                return;
            }
        };
        if key_len.is_some_and(|n| n != key) {
            self.lost(Rule::A079, object, span, || {
                format!("a record of object {id} of type {kind} has a key of {key} bytes")
            });
            return;
        }
        if value_len.is_some_and(|n| n != value.len()) {
            let len = value.len();
            self.lost(Rule::A130, object, span, || {
                format!("a record of object {id} of type {kind} has a value of {len} bytes")
            });
            return;
        }
        if kind != CRYPTO && kind != record::INODE && id != ROOT_PARENT {
            self.number_given(id, id, span);
        }
        match kind {
            record::INODE => self.inode(object, value, span),
            record::XATTR => self.attribute(object, entry, span),
            record::SIBLING_LINK => self.sibling_link(object, entry, span),
            record::STREAM_ID => self.shared_by(object, value),
            CRYPTO => self.crypto_state(id, value, span),
            record::FILE_EXTENT => self.extent(object, entry, span),
            record::ENTRY => self.entry(object, entry, span),
            STATISTICS => object.statistics = true,
            SIBLING_MAP => self.sibling_map(id, value, span),
            _ => {}
        }
    }

    /// A record that says nothing: what else is known of its object, and sums over these
    /// views, would only repeat that.
    fn lost(&mut self, rule: Rule, object: &mut Object, span: Span, text: impl FnOnce() -> String) {
        self.breaks.add(rule, object.id, span, text);
        object.cut = true;
        self.views.torn(span);
    }

    /// A number of an object or link must have been given out.
    pub(super) fn number_given(&mut self, number: u64, object: u64, span: Span) {
        let next = self.facts.next_object(span);
        if number >= next {
            self.breaks.add(Rule::A135, object, span, || {
                format!("a record of object {object} has number {number}, which was not given out; the next is {next}")
            });
        }
    }

    /// A field that is not known may be of a system newer than this program.
    pub(super) fn unknown_field(&mut self, id: u64, kind: Option<u8>, span: Span) {
        if let Some(kind) = kind {
            self.breaks.note(Rule::A152, id, span, || {
                format!("a record of object {id} has an extended field {kind}, which is not known")
            });
        }
    }

    /// An entry of a folder.
    fn entry(&mut self, object: &mut Object, entry: &Entry<'_>, span: Span) {
        let folder = object.id;
        object.children += 1;
        let rules = self.facts.rules;
        let name = entry_name(entry.key, rules.hashed).unwrap_or_default();
        let start = if rules.hashed { 12 } else { 10 };
        if entry.key.len() != start + name.len() || !is_entry_name(name) {
            self.lost(Rule::A131, object, span, || format!("a name in folder {folder} is none"));
            return;
        }
        let bare = name.strip_suffix(&[0]).unwrap_or(name);
        self.entry_hash(folder, entry.key, bare, span);
        let value = entry.value.unwrap_or_default();
        let fixed = (le64(value, 0), le16(value, 16));
        let (Some(target), Some(flags)) = fixed else {
            self.lost(Rule::A130, object, span, || {
                format!("an entry of folder {folder} has {} bytes", value.len())
            });
            return;
        };
        let (mut sibling, mut unknown) = (None, None);
        let blob = value.get(ENTRY_FIXED..).unwrap_or_default();
        fields::check(
            blob,
            fields::Of::Entry,
            &mut |rule, text| {
                let name = String::from_utf8_lossy(bare);
                self.breaks.add(rule, folder, span, || {
                    format!("entry '{name}' of folder {folder}: {text}")
                });
            },
            &mut |field| {
                unknown = unknown.or((!field.known).then_some(field.kind));
                if field.kind == 1 {
                    sibling = le64(field.value, 0);
                }
            },
        );
        self.unknown_field(folder, unknown, span);
        self.entry_place(folder, bare, (target, flags), span);
        self.number_given(target, folder, span);
        let name = name_hash(bare);
        self.tables.entries.push(EntryRow { target, parent: folder, name, flags, span });
        if let Some(sibling) = sibling {
            self.number_given(sibling, folder, span);
            let said_by = SaidBy::Entry;
            let row = SiblingRow { sibling, said_by, inode: target, parent: folder, name, span };
            self.tables.siblings.push(row);
        }
    }

    fn entry_hash(&mut self, folder: u64, key: &[u8], name: &[u8], span: Span) {
        let rules = self.facts.rules;
        let (true, Some(stored), Ok(name)) =
            (rules.hashed, le32(key, 8), std::str::from_utf8(name))
        else {
            return;
        };
        let stored = stored >> crate::apfs::names::LENGTH_BITS;
        let due = rules.hash(name);
        if stored == due {
            return;
        }
        let text =
            || format!("the hash of '{name}' in folder {folder} is {stored:#x}, {due:#x} is due");
        // A system that does not know a character yet hashes it as it is.
        if !name.is_ascii() && Rules::hash_unchanged(name) == stored {
            self.breaks.note(Rule::A132, folder, span, text);
        } else {
            self.breaks.add(Rule::A132, folder, span, text);
        }
    }

    fn entry_place(&mut self, folder: u64, name: &[u8], (target, flags): (u64, u16), span: Span) {
        let shown = String::from_utf8_lossy(name);
        if flags & !ENTRY_FLAGS != 0 || (flags & PURGEABLE != 0) && folder != PURGEABLE_DIR {
            self.breaks.add(Rule::A183, folder, span, || {
                format!("entry '{shown}' of folder {folder} has flags {flags:#x}")
            });
        }
        let due: Option<&[u8]> = match (folder, target) {
            (ROOT_PARENT, ROOT) => Some(b"root"),
            (ROOT_PARENT, PRIVATE_DIR) => Some(b"private-dir"),
            (ROOT_PARENT, _) | (_, ROOT | PRIVATE_DIR) => None,
            _ => Some(name),
        };
        if due != Some(name) {
            self.breaks.add(Rule::A190, folder, span, || {
                format!("entry '{shown}' of folder {folder} leads to object {target}")
            });
        }
        if folder == PRIVATE_DIR && shown != format!("{target:#x}-dead") {
            self.breaks.add(Rule::A191, folder, span, || {
                format!("object {target} is called '{shown}' in the private folder")
            });
        }
    }

    /// A record of one link of an inode with several.
    fn sibling_link(&mut self, object: &mut Object, entry: &Entry<'_>, span: Span) {
        let (inode, value) = (object.id, entry.value.unwrap_or_default());
        let numbers = (le64(entry.key, 8), le64(value, 0), le16(value, 8));
        let name = value.get(10..).unwrap_or_default();
        let (Some(sibling), Some(parent), Some(len)) = numbers else {
            self.lost(Rule::A186, object, span, || {
                format!("the record of a name of object {inode} is cut off")
            });
            return;
        };
        if usize::from(len) != name.len() || !is_name(name) {
            self.lost(Rule::A186, object, span, || {
                format!("the record of a name of object {inode} has none")
            });
            return;
        }
        object.siblings += 1;
        self.number_given(sibling, inode, span);
        let name = name_hash(name.strip_suffix(&[0]).unwrap_or(name));
        let said_by = SaidBy::Link;
        self.tables.siblings.push(SiblingRow { sibling, said_by, inode, parent, name, span });
    }

    /// From the number of a link to its inode.
    fn sibling_map(&mut self, sibling: u64, value: &[u8], span: Span) {
        let Some(inode) = le64(value, 0) else { return };
        self.number_given(inode, sibling, span);
        let said_by = SaidBy::Map;
        self.tables.siblings.push(SiblingRow { sibling, said_by, inode, parent: 0, name: 0, span });
    }
}

/// Whether bytes are the name of an entry, with its NUL.
fn is_entry_name(name: &[u8]) -> bool {
    is_name(name) && !name.contains(&b'/') && std::str::from_utf8(name).is_ok()
}
