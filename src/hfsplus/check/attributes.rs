//! The attributes file: records and forks, and which objects have any
//! (section 11).

use super::blocks::{Blocks, Owner};
use super::objects::{Object, Shape};
use crate::decmpfs;
use crate::error::Locus;
use crate::fs::acl::Acl;
use crate::hfsplus::attributes::{Key, record_type};
use crate::hfsplus::format::{
    ExtentRecord, FIRST_LINK_XATTR, FIRST_USER_CNID, FLAG_HAS_ATTRIBUTES, FLAG_HAS_SECURITY,
    ForkData, ROOT, SECURITY_XATTR, UF_COMPRESSED, decode,
};
use crate::hfsplus::node::split;
use crate::hfsplus::unicode::raw_string;
use crate::io::bytes::{be32, usize32};
use crate::report::{Code, Finding, Reporter, Severity, Structure, Where};
use std::collections::BTreeMap;

/// A fork that is still being put together: its data, blocks seen so far.
struct Open {
    fork: ForkData,
    sum: u64,
    records: BTreeMap<u32, ExtentRecord>,
}

/// Known kinds among an object's attributes.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Kinds {
    /// An access control list.
    acl: bool,
    /// A header of compressed contents.
    compressed: bool,
}

impl Kinds {
    fn add(&mut self, other: Self) {
        self.acl |= other.acl;
        self.compressed |= other.compressed;
    }
}

/// What the attributes file says about objects.
#[derive(Default)]
pub struct AttributeFacts {
    /// CNIDs with any attribute, and which of them are of a known kind.
    with: Vec<(u32, Kinds)>,
    first_links: BTreeMap<u32, u32>,
    forks: BTreeMap<(u32, String), Open>,
    stray_extents: Vec<(u32, String, u32, ExtentRecord)>,
    /// Whether some record could not be taken in, so that others may be missing.
    pub broken: bool,
}

/// Bytes of an attribute record of its type.
fn expected_len(data: &[u8]) -> Option<usize> {
    match be32(data, 0)? {
        record_type::INLINE => {
            usize32(be32(data, 12)?).checked_next_multiple_of(2)?.checked_add(16)
        }
        record_type::FORK => Some(88),
        record_type::EXTENTS => Some(72),
        _ => None,
    }
}

impl AttributeFacts {
    /// The first link of a directory inode, from its private attribute.
    pub fn first_link(&self, cnid: u32) -> Option<u32> {
        self.first_links.get(&cnid).copied()
    }

    /// Take in one leaf record.
    pub fn record(
        &mut self,
        node: u32,
        index: usize,
        record: &[u8],
        locate: &dyn Fn(u32) -> Option<Locus>,
        reporter: &dyn Reporter,
    ) {
        let Some(parts) = split(record) else { return };
        let Some(key) = Key::parse(parts.key) else { return };
        let name = raw_string(key.name);
        let report = |code, text: String, severity: Option<Severity>| {
            let place = Where::of(Structure::Attributes)
                .node(node)
                .record(index)
                .object(key.file)
                .at(locate(node));
            let finding = Finding::new(code, place, text);
            reporter.report(match severity {
                Some(severity) => finding.severity(severity),
                None => finding,
            });
        };
        let data = parts.data;
        let here = format!("attributes node {node} record {index}");
        if let Some(expected) = expected_len(data).filter(|n| *n < data.len()) {
            let text = format!("{here}: {} bytes, {expected} would do", data.len());
            report(Code::AttributeRecord, text, Some(Severity::Warning));
        }
        match self.value(&key, &name, data) {
            Ok(true) => {}
            Ok(false) => return,
            Err(why) => {
                let text = format!("{here}, '{name}' of object {}: {why}", key.file);
                report(Code::AttributeRecord, text, None);
                self.broken = true;
                return;
            }
        }
        let acl = name == SECURITY_XATTR;
        if acl && let Some(value) = data.get(16..) {
            let size = usize32(be32(data, 12).unwrap_or(0)).min(value.len());
            if let Err(why) = Acl::parse(value.get(..size).unwrap_or_default()) {
                let text = format!("access control list of object {}: {why}", key.file);
                report(Code::AclBad, text, None);
            }
        }
        let kinds = Kinds { acl, compressed: name == decmpfs::XATTR };
        match self.with.last_mut() {
            Some(last) if last.0 == key.file => last.1.add(kinds),
            _ => self.with.push((key.file, kinds)),
        }
    }

    /// Take in what a record says of the value; whether it is the first of the attribute's
    /// records.
    ///
    /// # Errors
    /// What is wrong with it.
    fn value(&mut self, key: &Key<'_>, name: &str, data: &[u8]) -> Result<bool, String> {
        match be32(data, 0) {
            Some(record_type::INLINE) => {
                let size = usize32(be32(data, 12).unwrap_or(u32::MAX));
                if size.checked_add(16).is_none_or(|n| n > data.len()) {
                    return Err(format!("{size} bytes of value in a record of {}", data.len()));
                }
                if key.start != 0 {
                    return Err(format!("an inline value starts at block {}", key.start));
                }
                if name == FIRST_LINK_XATTR {
                    let value = data.get(16..16 + size).unwrap_or_default();
                    let text = String::from_utf8_lossy(value);
                    let first = text.trim_end_matches('\0').parse().unwrap_or(0);
                    self.first_links.insert(key.file, first);
                }
            }
            Some(record_type::FORK) => {
                let fork = data.get(8..).and_then(decode::<ForkData>);
                let fork = fork.ok_or("its fork is cut off")?;
                if key.start != 0 {
                    return Err(format!("a fork starts at block {}", key.start));
                }
                let open = Open { fork, sum: 0, records: BTreeMap::new() };
                self.forks.insert((key.file, name.to_owned()), open);
            }
            Some(record_type::EXTENTS) => {
                let extents = data.get(8..).and_then(decode::<ExtentRecord>);
                let extents = extents.ok_or("its extents are cut off")?;
                self.stray_extents.push((key.file, name.to_owned(), key.start, extents));
                return Ok(false);
            }
            other => return Err(format!("record type {:#x}", other.unwrap_or(0))),
        }
        Ok(true)
    }

    /// Check the forks and claim their blocks.
    pub fn finish(&mut self, blocks: &mut Blocks<'_>, reporter: &dyn Reporter) {
        for (file, name, start, extents) in std::mem::take(&mut self.stray_extents) {
            match self.forks.get_mut(&(file, name.clone())) {
                Some(open) => {
                    open.records.insert(start, extents);
                }
                None => {
                    let text =
                        format!("extents of attribute '{name}' of object {file} without its fork");
                    let place = Where::of(Structure::Attributes).object(file);
                    reporter.report(Finding::new(Code::AttributeRecord, place, text));
                    self.broken = true;
                }
            }
        }
        for ((file, name), open) in &mut self.forks {
            let owner = Owner::Attribute(*file, name);
            let Some((sum, _)) = blocks.record(owner, &open.fork.extents) else { continue };
            open.sum = sum;
            for (start, record) in &open.records {
                if u64::from(*start) != open.sum {
                    let text = format!(
                        "extents of attribute '{name}' of object {file} start at block {start}, expected {}",
                        open.sum
                    );
                    let place = Where::of(Structure::Attributes).object(*file);
                    reporter.report(Finding::new(Code::AttributeRecord, place, text));
                }
                let Some((more, _)) = blocks.record(owner, record) else { break };
                open.sum += more;
            }
            blocks.sums(owner, &open.fork, open.sum);
        }
    }

    /// Compare with the flags of the objects, which are sorted by CNID.
    pub fn compare(&mut self, objects: &[Object], reporter: &dyn Reporter) {
        self.with.sort_unstable();
        self.with.dedup_by(|b, a| {
            let same = a.0 == b.0;
            if same {
                a.1.add(b.1);
            }
            same
        });
        let say = |cnid: u32, text: String| {
            let place = Where::of(Structure::Attributes).object(cnid);
            reporter.report(Finding::new(Code::AttributeFlags, place, text));
        };
        let find = |cnid: u32| self.with.binary_search_by_key(&cnid, |w| w.0).ok();
        for o in objects {
            let found = find(o.cnid).and_then(|at| self.with.get(at));
            let kinds = found.map(|w| w.1).unwrap_or_default();
            let (any, acl) = (found.is_some(), kinds.acl);
            if (o.flags & FLAG_HAS_ATTRIBUTES != 0) != any {
                let (says, has) = if any { ("none", "some") } else { ("some", "none") };
                say(
                    o.cnid,
                    format!("object {} says it has {says} attributes, it has {has}", o.cnid),
                );
            }
            if (o.flags & FLAG_HAS_SECURITY != 0) != acl {
                let (says, has) = if acl { ("no", "one") } else { ("an", "none") };
                say(
                    o.cnid,
                    format!(
                        "object {} says it has {says} access control list, it has {has}",
                        o.cnid
                    ),
                );
            }
            let marked = o.owner_flags & UF_COMPRESSED != 0;
            if marked != kinds.compressed && o.shape == Shape::File {
                let (says, but) = if marked {
                    ("is marked as compressed", "has no header of compressed contents")
                } else {
                    ("is not marked as compressed", "has compressed contents")
                };
                let text = format!("file {} {says}, but {but}", o.cnid);
                // With contents of its own it reads fine: the flag means nothing.
                if marked && o.has_data {
                    let place = Where::of(Structure::Attributes).object(o.cnid);
                    let finding = Finding::new(Code::AttributeFlags, place, text);
                    reporter.report(finding.severity(Severity::Info));
                } else {
                    say(o.cnid, text);
                }
            }
        }
        for (cnid, _) in &self.with {
            let special = *cnid < FIRST_USER_CNID && *cnid != ROOT;
            if !special && objects.binary_search_by_key(cnid, |o| o.cnid).is_err() {
                say(*cnid, format!("attributes of object {cnid}, which does not exist"));
            }
        }
    }
}
