//! A volume: its superblock, its snapshots, its key, and the views of it.

use super::container::Container;
use super::format::{INCOMPLETE_RESTORE, KNOWN_INCOMPATIBLE};
use super::omap::Omap;
use super::salvage::Salvage;
use super::snapshots::{self, Snapshot};
use super::superblock::Superblock;
use super::unlock::Lock;
use super::view::State;
use crate::crypt::xts::Xts;
use crate::crypt::{AskAgain, Secret};
use crate::error::{Error, Result};
use crate::fs::About;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

/// Forms of a password that are tried: as given, composed, decomposed.
const FORMS: usize = 3;

/// How often passwords are asked for, whoever is asked.
const MAX_ASKED: u32 = 16;

/// A volume of a container.
pub struct Apfs {
    pub(super) container: Arc<Container>,
    pub(super) superblock: Superblock,
    pub(super) block: u64,
    pub(super) omap: Arc<Omap>,
    pub(super) key: Option<Arc<Xts>>,
    pub(super) snapshots: Vec<Snapshot>,
    /// Whether those are all.
    pub(super) lists_all: bool,
    pub(super) about: About,
    /// The same once a view was opened of which something is lost.
    pub(super) lacking: OnceLock<About>,
    /// The views that were opened, by number.
    pub(super) states: Vec<OnceLock<Arc<State>>>,
    /// Of a volume that is put together: what is known of its trees.
    pub(super) salvage: Option<Salvage>,
}

impl Apfs {
    /// Open the volume with number `oid`. `ask` gives all passwords that may be
    /// tried; it is not asked if the volume is not encrypted.
    ///
    /// # Errors
    /// [`Error::PasswordRequired`] or [`Error::WrongPassword`] when none does;
    /// [`Error::Corrupt`] when the volume is not sound enough to be opened.
    pub fn open(container: Arc<Container>, oid: u64, ask: AskAgain<'_>) -> Result<Self> {
        Self::open_telling(container, oid, ask, &mut Err)
    }

    /// The same. Why not all snapshots can be listed is told to `failed`; if that is no error to
    /// it, the volume is opened with those that can.
    pub(super) fn open_telling(
        container: Arc<Container>,
        oid: u64,
        ask: AskAgain<'_>,
        failed: &mut dyn FnMut(Error) -> Result<()>,
    ) -> Result<Self> {
        let (block, superblock) = container.volume(oid)?;
        let unknown = superblock.incompatible & !KNOWN_INCOMPATIBLE;
        if unknown != 0 {
            let text = format!(
                "the volume '{}' uses features that are not known ({unknown:#x})",
                superblock.name
            );
            return Err(Error::Unsupported(text));
        }
        let store = container.store();
        let omap = Arc::new(Omap::open(store, superblock.omap_block)?);
        let key = key_of(&container, &superblock, ask)?;
        let root = superblock.snapshots_block;
        let (snapshots, lists_all) = match snapshots::read(store, root) {
            Ok(snapshots) => (snapshots, true),
            Err(e) => {
                failed(e)?;
                (snapshots::readable(store, root), false)
            }
        };
        let parts = (block, superblock);
        Ok(Self { lists_all, ..Self::of_parts(container, parts, omap, key, snapshots, None) })
    }

    /// A volume of what is known of it: its superblock and the block of that, its map, its key,
    /// its snapshots.
    pub(super) fn of_parts(
        container: Arc<Container>,
        (block, superblock): (u64, Superblock),
        omap: Arc<Omap>,
        key: Option<Arc<Xts>>,
        snapshots: Vec<Snapshot>,
        salvage: Option<Salvage>,
    ) -> Self {
        let states = (0..=snapshots.len()).map(|_| OnceLock::new()).collect();
        let about = super::about::about(&container, &superblock);
        let lacking = OnceLock::new();
        Self {
            container,
            superblock,
            block,
            omap,
            key,
            snapshots,
            lists_all: true,
            about,
            lacking,
            states,
            salvage,
        }
    }

    /// A state of it, mended if it is being salvaged.
    fn new_state(&self, superblock: Superblock, xid: u64) -> Result<State> {
        let store = self.container.store().clone();
        let state = State::new(store, superblock, &self.omap, xid, self.key.clone());
        match &self.salvage {
            Some(salvage) => salvage.mend(state?, &self.omap, xid),
            None => state,
        }
    }

    /// Its superblock.
    pub fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// Its snapshots, oldest first.
    pub fn snapshots(&self) -> &[Snapshot] {
        &self.snapshots
    }

    /// What should be told about it, one sentence each.
    pub fn notes(&self) -> Vec<String> {
        let sb = &self.superblock;
        let mut notes = Vec::new();
        if sb.incompatible & INCOMPLETE_RESTORE != 0 {
            notes.push("it was being restored when it was last used, and holds only part of what it should".into());
        }
        if sb.revert_to != 0 {
            let text = "a Mac would set it back to the snapshot of transaction";
            notes.push(format!(
                "{text} {} when it next mounts it; what is shown is the state before",
                sb.revert_to
            ));
        }
        if sb.root_to != 0 {
            let text = "a Mac starts from its snapshot of transaction";
            notes.push(format!("{text} {}; what is shown is the live state beside it", sb.root_to));
        }
        if sb.encryption_state != 0 {
            notes.push("it was being encrypted or decrypted: the contents of files cannot be told from ciphertext".into());
        }
        for s in self.snapshots.iter().filter(|s| s.dataless) {
            notes.push(format!("snapshot '{}' has given up its data", s.name));
        }
        notes
    }

    /// The live state.
    pub fn live(&self) -> Result<State> {
        self.new_state(self.superblock.clone(), self.container.superblock().xid)
    }

    /// The state that a snapshot keeps: one block is read, and one place looked up.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a snapshot that was given up its data.
    pub fn at(&self, snapshot: &Snapshot) -> Result<State> {
        if snapshot.dataless {
            let text = format!("snapshot '{}' has given up its data", snapshot.name);
            return Err(Error::Unsupported(text));
        }
        let store = self.container.store();
        let what = format!("superblock of snapshot '{}'", snapshot.name);
        let object = store.blocks().object(&what, snapshot.superblock, 1)?;
        let superblock = Superblock::from_object(store, &object, snapshot.superblock, None)?;
        self.new_state(superblock, snapshot.xid)
    }
}

/// The key of a volume, if it is encrypted.
pub(super) fn key_of(
    container: &Container,
    volume: &Superblock,
    ask: AskAgain<'_>,
) -> Result<Option<Arc<Xts>>> {
    let key = volume.is_encrypted().then(|| unlock(container, volume, ask)).transpose()?;
    Ok(key.map(Arc::new))
}

/// The key of an encrypted volume.
fn unlock(container: &Container, volume: &Superblock, ask: AskAgain<'_>) -> Result<Xts> {
    let nx = container.superblock();
    let lock = match Lock::read(container.store().blocks(), nx.keylocker, &nx.uuid, volume) {
        Err(Error::Unsupported(why)) => {
            // A password that was given is told to open nothing, whatever the reason.
            let given = !ask(&format!("the volume '{}'", volume.name), 0)?.is_empty();
            return Err(if given { refused(&volume.name, &why) } else { Error::Unsupported(why) });
        }
        lock => lock?,
    };
    let hint = lock.hint.as_ref().map(|h| format!(" (hint: {h})")).unwrap_or_default();
    let name = format!("the volume '{}'{hint}", volume.name);
    for wrong in 0..MAX_ASKED {
        let passwords = ask(&name, wrong)?;
        match passwords.is_empty() {
            true if wrong == 0 => return Err(Error::PasswordRequired(name)),
            true => break,
            false => {}
        }
        match open_with(&lock, &passwords, container.rounds()) {
            Ok(Some(key)) => return Ok(key),
            Ok(None) => {}
            Err(Error::Unsupported(why)) => return Err(refused(&volume.name, &why)),
            Err(e) => return Err(e),
        }
    }
    Err(Error::WrongPassword(name))
}

/// A password was given for a volume whose key is not tried with it.
fn refused(volume: &str, why: &str) -> Error {
    Error::WrongPassword(format!("the volume '{volume}': {why}"))
}

/// Try passwords as they are first: the other forms are for what a dialogue may have made of
/// them.
fn open_with(lock: &Lock, passwords: &[Secret], left: &AtomicU64) -> Result<Option<Xts>> {
    for form in 0..FORMS {
        for password in passwords {
            if let Some(text) = password.forms().get(form)
                && let Some(key) = lock.open(text, left)?
            {
                return Ok(Some(key));
            }
        }
    }
    Ok(None)
}
