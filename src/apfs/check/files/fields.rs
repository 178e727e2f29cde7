//! Extended fields of inodes and entries (section 6.2): their table, their values, and what
//! follows neither.

use crate::io::bytes::{all_zero, le16};
use crate::report::Rule;

/// Whose fields they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// An inode's.
    Inode,
    /// An entry's.
    Entry,
}

/// A field.
pub struct Field<'a> {
    /// Type.
    pub kind: u8,
    /// Its value.
    pub value: &'a [u8],
    /// Whether fields of this type are known.
    pub known: bool,
}

/// Size of a value.
enum Size {
    Bytes(usize),
    Name,
    /// Not known to this program, and perhaps not to the system that wrote it.
    Unknown,
}

/// Flags that no system sets.
const RESERVED: u8 = 0xC4;
/// Set by a user, and by the system.
const BOTH: u8 = 0x30;

fn size(of: Of, kind: u8) -> Size {
    match (of, kind) {
        (Of::Entry, 1) | (Of::Inode, 1 | 2 | 5 | 10 | 13 | 15 | 16) => Size::Bytes(8),
        (Of::Inode, 3 | 14) => Size::Bytes(4),
        (Of::Inode, 4) => Size::Name,
        (Of::Inode, 7) => Size::Bytes(32),
        (Of::Inode, 8) => Size::Bytes(40),
        (Of::Inode, 11) => Size::Bytes(16),
        _ => Size::Unknown,
    }
}

/// The flags that a field must have.
fn flags(of: Of, kind: u8) -> Option<u8> {
    match (of, kind) {
        (Of::Inode, 4) => Some(2),
        (Of::Inode, 8) => Some(0x20),
        (Of::Inode, 10) => Some(0x22),
        (Of::Inode, 13) => Some(0x28),
        _ => None,
    }
}

/// Prove the fields of a record, and visit them. Returns whether their table could be read;
/// what is wrong is told to `wrong`.
pub fn check<'a>(
    blob: &'a [u8],
    of: Of,
    wrong: &mut dyn FnMut(Rule, String),
    visit: &mut dyn FnMut(&Field<'a>),
) -> bool {
    if blob.is_empty() {
        return true;
    }
    let (Some(count), Some(used)) = (le16(blob, 0), le16(blob, 2)) else {
        wrong(Rule::A151, "the extended fields are cut off".into());
        return false;
    };
    let (count, used) = (usize::from(count), usize::from(used));
    let start = 4 + count * 4;
    if count == 0 || start > blob.len() {
        wrong(Rule::A151, format!("{count} extended fields in {} bytes", blob.len()));
        return false;
    }
    let (mut at, mut seen) = (start, [0u64; 4]);
    for i in 0..count {
        let head = blob.get(4 + i * 4..8 + i * 4);
        let Some(&[kind, flag, low, high]) = head else { return false };
        let len = usize::from(u16::from_le_bytes([low, high]));
        let past = len.next_multiple_of(8);
        let (value, rest) = (blob.get(at..at + len), blob.get(at + len..at + past));
        let (Some(value), Some(rest)) = (value, rest) else {
            wrong(Rule::A151, format!("extended field {kind} of {len} bytes does not fit"));
            return false;
        };
        if let Some(word) = seen.get_mut(usize::from(kind >> 6)) {
            if *word & 1 << (kind & 63) != 0 {
                wrong(Rule::A152, format!("extended field {kind} stands there twice"));
            }
            *word |= 1 << (kind & 63);
        }
        if !all_zero(rest) {
            wrong(Rule::A153, format!("what fills up extended field {kind} is not zero"));
        }
        one(of, kind, flag, value, wrong);
        let known = !matches!(size(of, kind), Size::Unknown);
        visit(&Field { kind, value, known });
        at += past;
    }
    if at - start != used || at != blob.len() {
        let text = format!(
            "the extended fields take {} bytes of {}, and are said to take {used}",
            at - start,
            blob.len() - start
        );
        wrong(Rule::A151, text);
    }
    true
}

fn one(of: Of, kind: u8, flag: u8, value: &[u8], wrong: &mut dyn FnMut(Rule, String)) {
    let fits = match size(of, kind) {
        Size::Bytes(n) => value.len() == n,
        Size::Name => is_name(value),
        Size::Unknown => true,
    };
    if !fits {
        wrong(
            Rule::A152,
            format!("extended field {kind} has a value of {} bytes that is none", value.len()),
        );
    }
    if flag & RESERVED != 0 || flag & BOTH == BOTH {
        wrong(
            Rule::A154,
            format!(
                "extended field {kind} has flags {flag:#x}, which contradict each other or are none"
            ),
        );
    }
    if let Some(due) = flags(of, kind).filter(|due| *due != flag) {
        wrong(Rule::A155, format!("extended field {kind} has flags {flag:#x}, {due:#x} are due"));
    }
}

/// Whether bytes are a name and the NUL that ends it.
pub fn is_name(value: &[u8]) -> bool {
    match value.split_last() {
        Some((0, name)) => !name.is_empty() && !name.contains(&0),
        _ => false,
    }
}
