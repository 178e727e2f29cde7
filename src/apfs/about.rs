//! The volume as a [`Volume`]: the live view, and one for each snapshot.

use super::container::Container;
use super::format::{ROLE_BACKUP, role_name};
use super::records::time;
use super::superblock::Superblock;
use super::volume::Apfs;
use super::{allocation, objects, owners};
use crate::error::{Error, Result};
use crate::fs::{About, Details, FileSystem, Owned, Stored, View, ViewId, Views, Volume, Zeros};
use crate::io::bytes::le64;
use crate::io::{Ranges, Source};
use crate::report::Progress;
use std::ops::Range;
use std::sync::Arc;

/// Bytes of a block whose change is watched.
const WATCHED: u64 = 512;

/// What a volume says of itself by its superblock.
pub(super) fn about(container: &Container, sb: &Superblock) -> About {
    let nx = container.superblock();
    let identity = [le64(&sb.uuid, 0), le64(&sb.uuid, 8)].into_iter().flatten().collect();
    let role = match sb.role {
        0 => None,
        ROLE_BACKUP => Some("Backup"),
        other => Some(role_name(other)),
    };
    About {
        format: "APFS",
        name: sb.name.clone(),
        identity,
        case_sensitive: !sb.rules().folded,
        block_size: nx.block_size,
        blocks: if sb.quota != 0 { sb.quota } else { nx.blocks },
        free: container.free_blocks(),
        files: sb.files.saturating_add(sb.symlinks).saturating_add(sb.others),
        folders: sb.folders,
        modified: Some(time(sb.modified)),
        notes: container.notes().iter().filter(|n| n.damage).map(|n| n.text.clone()).collect(),
        older: container.older().map(|note| note.text.clone()),
        details: Details::Apfs {
            role,
            encrypted: sb.is_encrypted(),
            sealed: sb.is_sealed(),
            container: uuid::Uuid::from_bytes(nx.uuid),
            xid: nx.xid,
        },
    }
}

impl Apfs {
    /// The state that a view shows; opened once.
    pub(super) fn state(&self, view: ViewId) -> Result<Arc<super::view::State>> {
        let index = crate::io::bytes::usize32(view.0);
        let slot = self.states.get(index);
        let slot =
            slot.ok_or_else(|| Error::NotFound(format!("the volume has no view {}", view.0)))?;
        if let Some(state) = slot.get() {
            return Ok(state.clone());
        }
        let snapshot = index.checked_sub(1).and_then(|i| self.snapshots.get(i));
        let state = match snapshot {
            Some(snapshot) => self.at(snapshot)?,
            None => self.live()?,
        };
        if let Some(lacks) = &state.lacks {
            let of = snapshot.map(|s| format!("snapshot '{}': ", s.name)).unwrap_or_default();
            self.lack(&format!("{of}{lacks}"));
        }
        Ok(slot.get_or_init(|| Arc::new(state)).clone())
    }

    /// From now on the volume says of itself that something of it is lost.
    fn lack(&self, text: &str) {
        self.lacking.get_or_init(|| {
            let mut about = self.about.clone();
            about.older.get_or_insert_with(|| text.to_owned());
            about
        });
    }

    /// All views, the oldest snapshot first, the live one last: the order of time.
    pub(super) fn in_time(&self) -> impl DoubleEndedIterator<Item = ViewId> + '_ {
        let last = u32::try_from(self.snapshots.len()).unwrap_or(u32::MAX);
        (1..=last).chain(std::iter::once(0)).map(ViewId)
    }
}

impl Volume for Apfs {
    fn about(&self) -> &About {
        self.lacking.get().unwrap_or(&self.about)
    }

    fn bytes(&self) -> &Source {
        self.container.store().blocks().source()
    }

    fn views(&self) -> Result<Vec<View>> {
        let live = View { number: self.container.superblock().xid, ..View::LIVE };
        let snapshots = (1..).zip(&self.snapshots).map(|(id, s)| View {
            id: ViewId(id),
            name: Some(s.name.clone()),
            made: Some(time(s.created)),
            number: s.xid,
        });
        Ok(std::iter::once(live).chain(snapshots).collect())
    }

    fn open(self: Arc<Self>, view: ViewId) -> Result<Arc<dyn FileSystem>> {
        self.state(view).map(|s| s as Arc<dyn FileSystem>)
    }

    /// The block of the ring that the next checkpoint is written to, and block 0.
    fn pulse(&self) -> Vec<Range<u64>> {
        let nx = self.container.superblock();
        let ring = &self.container.checkpoint().rings.0;
        let next = u64::from(nx.descriptor_index).saturating_add(nx.descriptor_len.into());
        let block = ring.block(next % ring.len().max(1)).unwrap_or(0);
        let size = u64::from(nx.block_size);
        let runs = [block, 0].map(|b| b.saturating_mul(size));
        runs.into_iter().map(|at| at..at.saturating_add(WATCHED)).collect()
    }

    fn zeros(&self) -> Zeros {
        if self.key.is_some() { Zeros::Ciphertext } else { Zeros::Written }
    }

    fn owners(
        &self,
        wanted: &Ranges,
        inside: &Views,
        progress: &dyn Progress,
        visit: &mut dyn FnMut(Owned),
    ) -> Result<()> {
        owners::visit(self, wanted, inside, progress, visit)
    }

    fn allocated(&self, wanted: &Ranges) -> Result<Ranges> {
        allocation::allocated(self, wanted)
    }

    fn objects(
        &self,
        inside: &Views,
        progress: &dyn Progress,
        visit: &mut dyn FnMut(Stored),
    ) -> Result<bool> {
        objects::visit(self, inside, progress, visit)
    }
}
