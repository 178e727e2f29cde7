//! Keybags: that of the container, and those of its encrypted volumes (section 10).

use super::say::Checker;
use super::used::{By, Used};
use crate::apfs::container::Container;
use crate::apfs::keybag::{self, Entry, Kind, UNLOCK, VOLUME_KEY, Wrapped};
use crate::apfs::superblock::Superblock;
use crate::error::Result;
use crate::io::bytes::{all_zero, le16, le32, le64, to_u64, usize32};
use crate::report::{Rule, Structure, Where};

/// Where the entries begin; bytes of the head of one, and of the longest data.
const LOCKER: usize = 0x20;
const ENTRIES: usize = 0x30;
const ENTRY: usize = 24;
const LONGEST: usize = 488;
/// Tags: reserved; of keys and hints; of iOS and of users.
const KNOWN: [u16; 7] = [1, 2, 3, 4, 5, 6, 0xF8];

/// Check the container's keybag and the volumes'; their blocks are claimed.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn check(
    checker: &Checker<'_>,
    container: &Container,
    volumes: &[(u32, Superblock)],
    used: &mut Used,
) -> Result<()> {
    let nx = container.superblock();
    if nx.keylocker.1 == 0 {
        return Ok(());
    }
    let pass = Pass { checker, container };
    let Some(entries) = pass.bag(Kind::Container, nx.keylocker, &nx.uuid, None, used)? else {
        return Ok(());
    };
    for entry in entries.iter().filter(|e| e.tag == UNLOCK) {
        let place = (le64(&entry.data, 0), le64(&entry.data, 8));
        let (Some(start), Some(len)) = place else { continue };
        let number = volumes.iter().find(|(_, sb)| sb.uuid == entry.uuid).map(|(n, _)| *n);
        pass.bag(Kind::Volume, (start, len), &entry.uuid, number, used)?;
    }
    Ok(())
}

struct Pass<'a> {
    checker: &'a Checker<'a>,
    container: &'a Container,
}

impl Pass<'_> {
    fn place(&self, block: u64, volume: Option<u32>) -> Where {
        Where { volume, ..self.checker.place(Structure::Keybag, block) }
    }

    fn bag(
        &self,
        kind: Kind,
        (block, count): (u64, u64),
        uuid: &[u8; 16],
        volume: Option<u32>,
        used: &mut Used,
    ) -> Result<Option<Vec<Entry>>> {
        let blocks = self.container.store().blocks();
        let what = match kind {
            Kind::Container => "the keybag of the container",
            Kind::Volume => "the keybag of a volume",
        };
        let place = || self.place(block, volume);
        let object = match keybag::object(blocks, kind, (block, count), uuid) {
            Ok(object) => object,
            Err(e) => {
                used.whole = false;
                return self.checker.unreadable(place(), what, e).map(|()| None);
            }
        };
        let end = block.saturating_add(count).min(blocks.count());
        used.claim(block..end, By::Keybag, volume.unwrap_or(0));
        let (h, max) = (&object.header, self.container.superblock().xid);
        if h.oid != 0 || h.subtype != 0 || h.xid > max {
            self.checker.broken(Rule::A321, place(), || {
                format!("{what} calls itself object {} of transaction {}", h.oid, h.xid)
            });
        }
        let b = object.bytes();
        self.locker(what, b, &place);
        let Some(entries) = keybag::entries(b) else {
            self.checker
                .broken(Rule::A323, place(), || format!("{what} has an entry that does not fit"));
            return Ok(None);
        };
        for entry in &entries {
            self.entry(what, kind, entry, &place);
        }
        Ok(Some(entries))
    }

    /// The head of the list of entries, and what is behind the last.
    fn locker(&self, what: &str, b: &[u8], place: &dyn Fn() -> Where) {
        let version = le16(b, LOCKER).unwrap_or(0);
        let count = le16(b, LOCKER + 2).unwrap_or(0);
        let bytes = usize32(le32(b, LOCKER + 4).unwrap_or(0));
        let room = b.len() - LOCKER;
        if version != 2 || bytes > room || le64(b, LOCKER + 8) != Some(0) {
            self.checker.broken(Rule::A322, place(), || {
                format!("{what} has a list of version {version} with {bytes} bytes of {room}")
            });
        }
        let mut sum = ENTRIES - LOCKER;
        for _ in 0..count {
            let Some(len) = le16(b, LOCKER + sum + 18) else { return };
            let pad = le32(b, LOCKER + sum + 20);
            if pad != Some(0) {
                self.checker.broken(Rule::A324, place(), || {
                    format!("{what} has an entry whose unused field is set")
                });
            }
            sum += (ENTRY + usize::from(len)).next_multiple_of(16);
        }
        if sum != bytes {
            self.checker.broken(Rule::A325, place(), || {
                format!("{what} says that its entries have {bytes} bytes, they have {sum}")
            });
        }
        if b.get(LOCKER + sum..).is_some_and(|rest| !all_zero(rest)) {
            self.checker
                .broken(Rule::A326, place(), || format!("{what} goes on behind its last entry"));
        }
    }

    fn entry(&self, what: &str, kind: Kind, entry: &Entry, place: &dyn Fn() -> Where) {
        let len = entry.data.len();
        if len >= LONGEST || !KNOWN.contains(&entry.tag) {
            self.checker.broken(Rule::A324, place(), || {
                format!("{what} has an entry of kind {} with {len} bytes", entry.tag)
            });
        }
        if kind == Kind::Container && entry.tag == UNLOCK && len != 16 {
            self.checker.broken(Rule::A327, place(), || {
                format!("{what} has the place of a volume's keys in {} bytes", to_u64(len))
            });
        }
        let wrapped = match kind {
            Kind::Container => entry.tag == VOLUME_KEY,
            Kind::Volume => entry.tag == UNLOCK,
        };
        if wrapped && let Err(e) = Wrapped::parse(&entry.data, "a wrapped key") {
            self.checker.broken(Rule::A328, place(), || format!("{what}: {e}"));
        }
    }
}
