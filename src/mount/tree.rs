//! What is shown where: the folders that tmbundle makes, and below them those
//! of the volumes. Knows nothing of FUSE.

use super::options::{Names, Options, ResourceForks};
use super::sidecar::{self, Sidecar};
pub use super::views::Space;
use super::views::{self, AllViews};
use crate::error::{Error, Result};
use crate::fs::xattr::FINDER_INFO;
use crate::fs::{
    self, Cursor, Dangling, Device, DirEntry, FileSystem, Kind, Metadata, NodeId, Stream, Time,
    Times,
};
use crate::io::Source;
use crate::io::bytes::to_u64;
use crate::losses::{Evidence, Guard, Watched, WholeDisk};
use crate::timemachine::{Archive, Backup, OpenVolume, Sightings, Snapshot, Top};
use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

/// Something that is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Object {
    /// The mount's root.
    Root,
    /// The link to the newest completed snapshot.
    Latest,
    /// The folder of snapshots.
    Snapshots,
    /// The folder of one computer's snapshots.
    Computer(u32),
    /// The folder of volumes.
    Volumes,
    /// The whole disk.
    DiskImage,
    /// A folder on a volume.
    Folder {
        /// Where.
        space: Space,
        /// Its number there.
        id: NodeId,
    },
    /// Anything else on a volume.
    File {
        /// Where.
        space: Space,
        /// Its number there.
        id: NodeId,
    },
    /// The AppleDouble file beside a file.
    Sidecar {
        /// Where.
        space: Space,
        /// The file's number there.
        id: NodeId,
    },
    /// A snapshot of Time Machine's that is a view of its own: its folder is looked for
    /// when it is entered.
    Backup {
        /// Which computer's.
        computer: u32,
        /// Which of its snapshots.
        index: u32,
    },
    /// The folder of a volume's other snapshots.
    Views {
        /// Which volume.
        volume: u8,
    },
    /// The root of such a snapshot.
    ViewRoot {
        /// Which.
        space: Space,
    },
}

impl Object {
    /// Whether it is a folder.
    pub fn is_folder(self) -> bool {
        !matches!(self, Self::Latest | Self::DiskImage | Self::File { .. } | Self::Sidecar { .. })
    }

    fn of(space: Space, meta: &Metadata) -> Self {
        match meta.kind {
            Kind::Directory => Self::Folder { space, id: meta.id },
            _ => Self::File { space, id: meta.id },
        }
    }
}

/// What `stat` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Attributes {
    pub kind: Kind,
    /// Permissions without type bits.
    pub mode: u16,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    /// Bytes allocated.
    pub allocated: u64,
    pub links: u32,
    pub times: Times,
    /// Its number, of a device.
    pub device: Option<Device>,
}

/// An entry of a folder: the object and its attributes, or why there is none.
pub type Listed = std::result::Result<(Object, Attributes), Dangling>;

/// Called with each entry: name, entry, and where to go on after it. To break
/// means that the entry was not taken.
pub type Visit<'a> = &'a mut dyn FnMut(&str, Listed, u64) -> ControlFlow<()>;

/// Where [`Tree::list`] begins.
pub const START: u64 = 0;

/// The folder of a volume's snapshots that are no backups.
const VIEWS: &str = ".snapshots";
/// The position behind it; no folder of a volume has one so large.
const BEHIND_VIEWS: u64 = 1 << 62;

/// Everything that is shown of one source.
pub struct Tree {
    archive: Archive,
    disk: Source,
    evidence: Arc<Evidence>,
    /// Those who watch over the streams of a space.
    guards: Mutex<HashMap<Space, Arc<Guard>>>,
    options: Options,
    volumes: Vec<String>,
    views: AllViews,
    opened: Time,
}

impl Tree {
    /// Show what was opened.
    pub fn new(opened: super::core::Opened, options: Options) -> Self {
        let super::core::Opened { archive, bytes: disk, evidence } = opened;
        let volumes = volume_names(&archive);
        let views = AllViews::new(&archive);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = now.unwrap_or_default();
        let seconds = i64::try_from(now.as_secs()).unwrap_or(0);
        let opened = Time { seconds, nanoseconds: 0 };
        let guards = Mutex::default();
        Self { archive, disk, evidence, guards, options, volumes, views, opened }
    }

    /// What is shown.
    pub fn archive(&self) -> &Archive {
        &self.archive
    }

    /// Who watches over the streams of a space.
    pub fn guard(&self, space: Space) -> Result<Arc<Guard>> {
        let mut guards = self.guards.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(guard) = guards.get(&space) {
            return Ok(guard.clone());
        }
        let (volume, fs) = (self.volume(space.volume)?, self.fs(space)?);
        let view = self.views.id(space);
        let policy = self.options.lost;
        let guard = Guard::of_view(volume, view, fs, self.evidence.clone(), policy);
        guards.insert(space, guard.clone());
        Ok(guard)
    }

    /// The disk, whose volumes' bytes are watched over.
    fn whole_disk(&self) -> Result<Arc<WholeDisk>> {
        let mut volumes = Vec::new();
        for (number, open) in (0u8..).zip(&self.archive.open) {
            volumes.push((open.found.range(), self.guard(Space::live(number))?));
        }
        let unknown = self.archive.failed.iter().map(|failed| failed.found.range()).collect();
        Ok(WholeDisk::new(self.disk.clone(), self.options.lost, volumes, unknown))
    }

    fn backup(&self) -> Option<(u8, &Backup)> {
        let (volume, backup) = self.archive.backup()?;
        let at = self.archive.open.iter().position(|v| std::ptr::eq(v, volume))?;
        Some((u8::try_from(at).ok()?, backup))
    }

    /// A volume by its place in the list.
    pub fn volume(&self, volume: u8) -> Result<&OpenVolume> {
        let found = self.archive.open.get(usize::from(volume));
        found.ok_or_else(|| Error::NotFound(format!("there is no volume {volume}")))
    }

    /// The file system of a space.
    pub fn fs(&self, space: Space) -> Result<Arc<dyn FileSystem>> {
        self.views.open(self.volume(space.volume)?, space)
    }

    /// The folder on a volume that an object stands for: a snapshot is entered here.
    fn entered(&self, folder: Object) -> Result<Option<(Space, NodeId)>> {
        match folder {
            Object::Folder { space, id } => Ok(Some((space, id))),
            Object::ViewRoot { space } => Ok(Some((space, self.fs(space)?.root()))),
            Object::Backup { computer, index } => {
                let (space, snapshot) = self.snapshot(computer, index)?;
                let fs = self.fs(space)?;
                Ok(Some((space, views::top(&*fs, snapshot)?)))
            }
            _ => Ok(None),
        }
    }

    fn snapshot(&self, computer: u32, index: u32) -> Result<(Space, &Snapshot)> {
        let find = || {
            let (volume, backup) = self.backup()?;
            let computer = backup.computers.get(usize::try_from(computer).ok()?)?;
            let snapshot = computer.snapshots.get(usize::try_from(index).ok()?)?;
            Some((self.views.space_of(volume, snapshot)?, snapshot))
        };
        find().ok_or_else(|| missing("such snapshot"))
    }

    /// A folder that stands for a snapshot, without entering it.
    fn made_at(&self, made: Option<Time>) -> Attributes {
        let modified = Some(made.unwrap_or(self.opened));
        Attributes {
            times: Times { modified, ..Times::default() },
            ..self.made(Kind::Directory, 0)
        }
    }

    /// The target of `latest`.
    fn latest(&self) -> Option<String> {
        let (_, backup) = self.backup()?;
        let (computer, snapshot) = backup.latest()?;
        Some(match backup.computers.as_slice() {
            [_] => format!("snapshots/{}", snapshot.name),
            _ => format!("snapshots/{}/{}", computer.name, snapshot.name),
        })
    }

    fn made(&self, kind: Kind, size: u64) -> Attributes {
        let mode = match kind {
            Kind::Directory => 0o555,
            Kind::Symlink => 0o777,
            // The whole disk is not everybody's: it holds every user's files.
            _ => 0o400,
        };
        // The whole disk is the mounting user's alone, whoever owns the files in it.
        let owner = match kind {
            Kind::File => super::options::Owner::default(),
            _ => self.options.owner,
        };
        Attributes {
            kind,
            mode,
            uid: owner.uid.unwrap_or_else(|| rustix::process::geteuid().as_raw()),
            gid: owner.gid.unwrap_or_else(|| rustix::process::getegid().as_raw()),
            size,
            allocated: if kind == Kind::File { size } else { 0 },
            links: 1,
            times: Times { modified: Some(self.opened), ..Times::default() },
            device: None,
        }
    }

    /// What `stat` shows of a volume's object. An error where its size is not known: any number
    /// would be taken for it, and an empty file for a copy.
    fn sized(&self, fs: &dyn FileSystem, meta: &Metadata) -> Result<Attributes> {
        if meta.size_unknown {
            fs.open(meta.id, &Stream::Data)?;
        }
        Ok(self.stored(meta))
    }

    fn stored(&self, meta: &Metadata) -> Attributes {
        let owner = self.options.owner;
        Attributes {
            kind: meta.kind,
            mode: meta.mode & 0o7777,
            uid: owner.uid.unwrap_or(meta.uid),
            gid: owner.gid.unwrap_or(meta.gid),
            size: meta.size,
            allocated: meta.allocated,
            // One name by convention says of a folder that links are not counted.
            links: if meta.kind == Kind::Directory { 1 } else { meta.links },
            times: meta.times,
            device: meta.device,
        }
    }

    fn sidecar(&self, meta: &Metadata, resource_size: u64) -> Attributes {
        let size = sidecar::HEADER.saturating_add(resource_size);
        let attributes = self.stored(meta);
        Attributes {
            kind: Kind::File,
            size,
            allocated: size,
            mode: attributes.mode & 0o666,
            ..attributes
        }
    }

    /// The AppleDouble file beside an object, if one is shown.
    fn sidecar_of(&self, space: Space, meta: &Metadata) -> Result<Option<(Object, Attributes)>> {
        if self.options.resource_forks != ResourceForks::AppleDouble
            || meta.kind != Kind::File
            || !meta.has_xattrs
        {
            return Ok(None);
        }
        let size = self.fs(space)?.resource_size(meta.id)?;
        let side = || (Object::Sidecar { space, id: meta.id }, self.sidecar(meta, size));
        Ok((size > 0).then(side))
    }

    /// Attributes of an object.
    pub fn attributes(&self, object: Object) -> Result<Attributes> {
        Ok(match object {
            Object::Latest => {
                let target = self.latest().ok_or_else(|| missing("latest"))?;
                self.made(Kind::Symlink, to_u64(target.len()))
            }
            Object::DiskImage => self.made(Kind::File, self.disk.len()),
            Object::Folder { space, id } | Object::File { space, id } => {
                let fs = self.fs(space)?;
                self.sized(&*fs, &fs.metadata(id)?)?
            }
            Object::Backup { computer, index } => {
                let (space, _) = self.snapshot(computer, index)?;
                self.made_at(self.views.made(space))
            }
            Object::ViewRoot { space } => self.made_at(self.views.made(space)),
            Object::Sidecar { space, id } => {
                let fs = self.fs(space)?;
                self.sidecar(&fs.metadata(id)?, fs.resource_size(id)?)
            }
            _ => self.made(Kind::Directory, 0),
        })
    }

    /// The object of that name in a folder.
    pub fn lookup(&self, folder: Object, name: &str) -> Result<Option<(Object, Attributes)>> {
        if let Some((space, id)) = self.entered(folder)? {
            if let Some(found) = self.lookup_stored(space, id, name)? {
                return Ok(Some(found));
            }
            let views = Object::Views { volume: space.volume };
            let here = name == VIEWS && self.has_views(space, id);
            return Ok(here.then(|| (views, self.made(Kind::Directory, 0))));
        }
        let mut found = None;
        self.list(folder, START, &mut |entry, listed, _| {
            if entry == name {
                found = Some(listed);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        match found {
            None => Ok(None),
            Some(Ok(object)) => Ok(Some(object)),
            Some(Err(dangling)) => Err(Error::corrupt(name, dangling.reason)),
        }
    }

    fn lookup_stored(
        &self,
        space: Space,
        id: NodeId,
        name: &str,
    ) -> Result<Option<(Object, Attributes)>> {
        let fs = self.fs(space)?;
        if let Some(meta) = fs.lookup(id, name)? {
            return Ok(Some((Object::of(space, &meta), self.sized(&*fs, &meta)?)));
        }
        let Some(owner) = name.strip_prefix("._") else { return Ok(None) };
        if self.options.resource_forks != ResourceForks::AppleDouble {
            return Ok(None);
        }
        match fs.lookup(id, owner)? {
            Some(meta) => self.sidecar_of(space, &meta),
            None => Ok(None),
        }
    }

    /// Visit the entries of a folder from `from` on.
    pub fn list(&self, folder: Object, from: u64, visit: Visit<'_>) -> Result<()> {
        if let Some((space, id)) = self.entered(folder)? {
            return self.list_with_views(space, id, from, visit);
        }
        match folder {
            Object::Root => self.list_made(self.root_entries(), from, visit),
            Object::Snapshots => self.list_made(self.snapshot_entries(), from, visit),
            Object::Computer(n) => self.list_made(self.computer_entries(n), from, visit),
            Object::Volumes => {
                let names = self.volumes.iter().map(Clone::clone);
                let entries = names.zip(0u8..).filter_map(|(name, volume)| {
                    let space = Space::live(volume);
                    Some((name, Object::Folder { space, id: self.fs(space).ok()?.root() }))
                });
                self.list_made(entries.collect(), from, visit)
            }
            Object::Views { volume } => {
                let others = self.views.others(volume);
                let entries = others.map(|(n, space)| (n.to_owned(), Object::ViewRoot { space }));
                self.list_made(entries.collect(), from, visit)
            }
            _ => Err(Error::Invalid("not a folder".into())),
        }
    }

    fn root_entries(&self) -> Vec<(String, Object)> {
        let mut entries = Vec::new();
        if self.latest().is_some() {
            entries.push(("latest".into(), Object::Latest));
        }
        if self.backup().is_some() {
            entries.push(("snapshots".into(), Object::Snapshots));
        }
        entries.push(("volumes".into(), Object::Volumes));
        entries.push(("disk.img".into(), Object::DiskImage));
        entries
    }

    fn snapshot_entries(&self) -> Vec<(String, Object)> {
        let Some((_, backup)) = self.backup() else { return Vec::new() };
        match backup.computers.as_slice() {
            [_] => self.computer_entries(0),
            several => several
                .iter()
                .zip(0..)
                .map(|(c, n)| (c.name.clone(), Object::Computer(n)))
                .collect(),
        }
    }

    fn computer_entries(&self, n: u32) -> Vec<(String, Object)> {
        let Some((volume, backup)) = self.backup() else { return Vec::new() };
        let computer = usize::try_from(n).ok().and_then(|n| backup.computers.get(n));
        let snapshots = computer.map(|c| c.snapshots.as_slice()).unwrap_or_default();
        let entry = |(s, index): (&Snapshot, u32)| {
            let object = match s.top {
                Top::Folder(id) => Object::Folder { space: self.views.space_of(volume, s)?, id },
                Top::Named(_) => Object::Backup { computer: n, index },
            };
            Some((s.name.clone(), object))
        };
        snapshots.iter().zip(0..).filter_map(entry).collect()
    }

    /// Whether the folder of other snapshots stands in this one: the root of a live view
    /// that has some.
    fn has_views(&self, space: Space, id: NodeId) -> bool {
        space.number == 0
            && self.views.others(space.volume).next().is_some()
            && self.fs(space).is_ok_and(|fs| fs.root() == id)
    }

    /// The entries of a folder on a volume, and in a volume's root behind them the folder
    /// of its other snapshots.
    fn list_with_views(&self, space: Space, id: NodeId, from: u64, visit: Visit<'_>) -> Result<()> {
        if from == BEHIND_VIEWS {
            return Ok(());
        }
        let mut stopped = false;
        self.list_stored(space, id, from, &mut |name, listed, next| {
            let flow = visit(name, listed, next);
            stopped = flow.is_break();
            flow
        })?;
        if !stopped && self.has_views(space, id) && self.fs(space)?.lookup(id, VIEWS)?.is_none() {
            let object = Object::Views { volume: space.volume };
            let listed = Ok((object, self.made(Kind::Directory, 0)));
            let _ = visit(VIEWS, listed, BEHIND_VIEWS);
        }
        Ok(())
    }

    fn list_made(&self, entries: Vec<(String, Object)>, from: u64, visit: Visit<'_>) -> Result<()> {
        let skip = usize::try_from(from).unwrap_or(usize::MAX);
        for ((name, object), next) in entries.into_iter().zip(1..).skip(skip) {
            let listed = match self.attributes(object) {
                Ok(attributes) => Ok((object, attributes)),
                Err(e) => Err(Dangling { id: next, reason: e.to_string(), directory: true }),
            };
            if visit(&name, listed, next).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// A position is twice the cursor, plus one where the sidecar of the entry
    /// behind the cursor has been taken but the entry itself has not.
    fn list_stored(&self, space: Space, id: NodeId, from: u64, visit: Visit<'_>) -> Result<()> {
        let mut skip_sidecar = from & 1 == 1;
        let mut at = from >> 1;
        let mut taken = false;
        let fs = self.fs(space)?;
        let read = fs.read_dir(id, Cursor(at), &mut |DirEntry { name, node, next }| {
            // Only a damaged or hostile volume holds such names; they mean
            // something else to the kernel.
            if matches!(name.as_str(), "" | "." | "..") {
                at = next.0;
                return ControlFlow::Continue(());
            }
            let name = self.name(&name);
            let listed = match node {
                Ok(meta) => {
                    // Of a file that cannot be told of, the file itself is enough.
                    if !std::mem::take(&mut skip_sidecar)
                        && let Ok(Some(side)) = self.sidecar_of(space, &meta)
                    {
                        visit(&format!("._{name}"), Ok(side), at << 1 | 1)?;
                    }
                    let unknown = |e: Error| Dangling {
                        id: meta.id.0,
                        reason: e.to_string(),
                        directory: false,
                    };
                    let attributes = self.sized(&*fs, &meta).map_err(unknown);
                    attributes.map(|attributes| (Object::of(space, &meta), attributes))
                }
                Err(dangling) => Err(dangling),
            };
            visit(&name, listed, next.0 << 1)?;
            at = next.0;
            taken = true;
            ControlFlow::Continue(())
        });
        // What was listed is handed over; who asks for more is told what is missing.
        if taken { Ok(()) } else { read }
    }

    /// A name in the form that was asked for.
    fn name<'a>(&self, name: &'a str) -> Cow<'a, str> {
        if self.options.names == Names::Nfc || name.is_ascii() {
            return name.into();
        }
        fs::decomposed(name).into()
    }

    /// Target of a symbolic link.
    pub fn read_link(&self, object: Object) -> Result<Vec<u8>> {
        match object {
            Object::Latest => Ok(self.latest().ok_or_else(|| missing("latest"))?.into_bytes()),
            Object::File { space, id } => self.guard(space)?.read_link(id),
            _ => Err(Error::Invalid("not a symbolic link".into())),
        }
    }

    /// Open an object for reading; with the stream of a volume that it reads.
    pub fn open(&self, object: Object) -> Result<(Source, Option<Arc<dyn Watched>>)> {
        match object {
            Object::DiskImage => {
                let disk = self.whole_disk()?;
                Ok((disk.clone(), Some(disk)))
            }
            Object::File { space, id } => {
                let stream = self.guard(space)?.open(id, &Stream::Data)?;
                Ok((stream.clone(), Some(stream)))
            }
            Object::Sidecar { space, id } => {
                let fork = self.guard(space)?.open(id, &Stream::Resource)?;
                let fs = self.fs(space)?;
                let info = fs.xattr(id, FINDER_INFO)?.and_then(|v| v.try_into().ok());
                let sidecar = Sidecar::new(&info.unwrap_or([0; 32]), fork.clone());
                Ok((Arc::new(sidecar), Some(fork)))
            }
            _ => Err(Error::Invalid("not a file".into())),
        }
    }

    /// A volume's object in words, for messages.
    pub fn describe(&self, object: Object) -> String {
        let (space, id) = match object {
            Object::DiskImage => return "disk.img".into(),
            Object::Folder { space, id }
            | Object::File { space, id }
            | Object::Sidecar { space, id } => (space, id),
            other => return format!("{other:?}").to_lowercase(),
        };
        let unknown = || format!("object {}", id.0);
        let Ok(open) = self.volume(space.volume) else { return unknown() };
        Sightings::new(open).of(id, &crate::fs::Views::one(self.views.id(space))).address
    }
}

fn missing(what: &str) -> Error {
    Error::NotFound(format!("there is no {what}"))
}

/// Names for the folders of volumes: without `/`, and no two the same.
fn volume_names(archive: &Archive) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for volume in archive.open.iter().take(usize::from(u8::MAX)) {
        let plain = match volume.name() {
            "" | "." | ".." => "Untitled".to_string(),
            name => name.replace('/', ":"),
        };
        let mut name = plain.clone();
        let mut n = 1;
        while names.contains(&name) {
            n += 1;
            name = format!("{plain} ({n})");
        }
        names.push(name);
    }
    names
}
