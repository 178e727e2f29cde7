//! What a restore comes to, before anything is written.

use super::Part;
use super::chosen::Chosen;
use super::dest::{Abilities, Folder, Made, Room, Root};
use super::rule::Draw;
use super::walk::{Item, Naming, Traveller, walk};
use crate::error::{Error, Result};
use crate::fs::{Kind, Metadata, NodeId, Stream};
use crate::losses::{Recorded, Standing, recorded};
use crate::report::words::{bytes, count};
use crate::report::{Progress, Unit};
use std::collections::{HashMap, HashSet};

/// What is to be restored, and what it takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Files, each once for each of its names.
    pub files: u64,
    /// Folders.
    pub folders: u64,
    /// Symbolic links, devices, fifos and sockets.
    pub others: u64,
    /// Bytes of all contents and resource forks; of a file with several names once.
    pub bytes: u64,
    /// Files that are at the destination already, identical in size and time.
    pub there: u64,
    /// Bytes of these.
    pub there_bytes: u64,
    /// Folders that are there already.
    pub folders_there: u64,
    /// Of `others`, what is there already.
    pub others_there: u64,
    /// Files with lost bytes, as far as that can be told without reading them; only looked
    /// for where nothing is to be written.
    pub damaged: u64,
    /// Objects that damage hides.
    pub(super) unreachable: u64,
    /// Bytes that the destination will need, in its blocks.
    pub space: u64,
    /// Objects that will be made.
    pub objects: u64,
    /// Files of which more than one name is wanted.
    pub(super) linked: HashSet<(usize, NodeId)>,
    /// Files by which it is judged whether checksums are to be believed, drawn from all.
    pub(super) sample: Vec<(usize, NodeId)>,
    /// Of these, where a name is at the destination already.
    pub(super) made: HashMap<(usize, NodeId), Made>,
}

impl Plan {
    /// All objects.
    pub fn total(&self) -> u64 {
        self.files + self.folders + self.others + self.unreachable
    }

    /// Objects that cannot be reached.
    pub fn unreachable(&self) -> u64 {
        self.unreachable
    }

    /// An error if the room is too small.
    ///
    /// # Errors
    /// [`Error::Invalid`] with what is needed and what there is.
    pub fn require(&self, room: &Room) -> Result<()> {
        let short = |need: String, have: String| {
            Error::Invalid(format!(
                "the destination is too small: {need} are needed and {have} are free; nothing \
                 was written (--force begins all the same)"
            ))
        };
        if self.space > room.bytes {
            return Err(short(bytes(self.space), bytes(room.bytes)));
        }
        match room.objects {
            Some(free) if self.objects > free => {
                Err(short(format!("{} inodes", count(self.objects)), count(free)))
            }
            _ => Ok(()),
        }
    }
}

/// Go through everything once. `there`: the destination, if it holds anything.
///
/// # Errors
/// On interruption.
pub fn plan(
    parts: &[Part<'_>],
    chosen: &Chosen,
    naming: Naming,
    there: Option<&Root>,
    block: u64,
    look: Look,
    progress: &dyn Progress,
) -> Result<Plan> {
    progress.phase("planning", 0, Unit::Items);
    let mut planner = Planner {
        plan: Plan::default(),
        once: HashSet::new(),
        stack: vec![there.and_then(Root::folder_to_look)],
        default: Abilities::default(),
        there,
        block: block.max(1),
        look,
        drawn: Draw::default(),
        progress,
    };
    walk(parts, chosen, naming, &mut planner)?;
    planner.plan.sample = planner.drawn.files();
    if planner.plan.total() == 0 && chosen.fitted_nothing() {
        return Err(Error::NotFound("nothing fits --include".into()));
    }
    let Plan { linked, made, .. } = &mut planner.plan;
    made.retain(|key, _| linked.contains(key));
    Ok(planner.plan)
}

/// How closely everything is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// As what is to be restored will be found damaged then.
    Plain,
    /// Files are asked whether bytes of theirs are lost.
    ForDamage,
}

struct Planner<'a> {
    plan: Plan,
    once: HashSet<(usize, NodeId)>,
    /// The folders at the destination, where they are there.
    stack: Vec<Option<Folder>>,
    default: Abilities,
    there: Option<&'a Root>,
    block: u64,
    look: Look,
    drawn: Draw,
    progress: &'a dyn Progress,
}

impl Planner<'_> {
    fn space(&self, len: u64) -> u64 {
        len.div_ceil(self.block).saturating_mul(self.block)
    }

    fn is_there(&mut self, item: &Item<'_>) -> bool {
        let Some(Some(folder)) = self.stack.last() else { return false };
        let can = self.there.map_or(&self.default, |r| &r.can);
        let Ok(Some(found)) = folder.find(item.name) else { return false };
        let modified = item.meta.times.modified.unwrap_or_default();
        let file = item.meta.kind == Kind::File;
        let there = found.kind == Some(item.meta.kind)
            && !item.meta.size_unknown
            && (!file || found.size == item.meta.size && can.same_time(modified, found.modified))
            && !(file && folder.is_doubtful(item.name));
        if there && item.meta.links > 1 {
            let made = Made { path: folder.path().join(item.name), identity: found.identity };
            self.plan.made.entry((item.number, item.meta.id)).or_insert(made);
        }
        there
    }

    /// Whether this is a further name of a file that was counted.
    fn is_again(&mut self, item: &Item<'_>) -> bool {
        if item.meta.links < 2 {
            return false;
        }
        let key = (item.number, item.meta.id);
        let again = !self.once.insert(key);
        if again {
            self.plan.linked.insert(key);
        }
        again
    }

    fn contents(&mut self, item: &Item<'_>) {
        let meta: &Metadata = item.meta;
        if self.is_there(item) {
            self.plan.there += 1;
            self.plan.there_bytes += meta.size;
            self.is_again(item);
            return;
        }
        if self.is_again(item) {
            return;
        }
        if self.look == Look::ForDamage && is_lost(item) {
            self.plan.damaged += 1;
        }
        self.plan.objects += 1;
        self.plan.bytes = self.plan.bytes.saturating_add(meta.size);
        // What is allocated counts the resource fork, too.
        let space = self.space(meta.size.max(meta.allocated));
        self.plan.space = self.plan.space.saturating_add(space);
    }
}

impl Traveller for Planner<'_> {
    fn enter(&mut self, item: &Item<'_>) -> Result<bool> {
        self.progress.check()?;
        self.plan.folders += 1;
        let there = match self.stack.last() {
            Some(Some(folder)) => folder.enter(item.name).ok(),
            _ => None,
        };
        if there.is_none() {
            self.plan.objects += 1;
            self.plan.space = self.plan.space.saturating_add(self.block);
        } else {
            self.plan.folders_there += 1;
        }
        self.stack.push(there);
        Ok(true)
    }

    fn object(&mut self, item: &Item<'_>) -> Result<()> {
        self.progress.advance(1);
        if item.meta.kind == Kind::File {
            self.plan.files += 1;
            self.drawn.see(item);
            self.contents(item);
        } else {
            self.plan.others += 1;
            match self.is_there(item) {
                true => self.plan.others_there += 1,
                false => self.plan.objects += 1,
            }
        }
        Ok(())
    }

    fn leave(&mut self) -> Result<()> {
        self.stack.pop();
        Ok(())
    }

    fn unreachable(&mut self, _: &str, _: Option<Kind>, _: &Error) {
        self.plan.unreachable += 1;
    }
}

/// Whether bytes of a file are known to be lost.
fn is_lost(item: &Item<'_>) -> bool {
    let Some(guard) = &item.part.from.guard else { return false };
    let Ok(stream) = guard.open(item.meta.id, &Stream::Data) else { return true };
    match stream.standing(0..item.meta.size) {
        Ok(Standing::Stored | Standing::Free) => false,
        // Its checksum decides, as it will when the file is read.
        Ok(Standing::Doubtful) => !matches!(
            recorded(&*item.part.from.fs, item.meta.id, &*stream),
            Ok(Recorded::None | Recorded::Fits)
        ),
        Ok(Standing::Lost) | Err(_) => true,
    }
}
