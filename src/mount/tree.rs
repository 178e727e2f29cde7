//! What is shown where: the folders that tmbundle makes, and below them those
//! of the volumes. Knows nothing of FUSE.

use super::options::{Names, Options, ResourceForks};
use super::sidecar::{self, Sidecar};
use crate::error::{Error, Result};
use crate::fs::xattr::FINDER_INFO;
use crate::fs::{
    self, Cursor, Dangling, Device, DirEntry, FileSystem, Kind, Metadata, NodeId, Stream, Time,
    Times,
};
use crate::io::Source;
use crate::io::bytes::to_u64;
use crate::timemachine::{Appearances, Archive, Backup, OpenVolume};
use std::borrow::Cow;
use std::ops::ControlFlow;

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
        /// Which volume.
        volume: u8,
        /// Its number there.
        id: NodeId,
    },
    /// Anything else on a volume.
    File {
        /// Which volume.
        volume: u8,
        /// Its number there.
        id: NodeId,
    },
    /// The AppleDouble file beside a file.
    Sidecar {
        /// Which volume.
        volume: u8,
        /// The file's number there.
        id: NodeId,
    },
}

impl Object {
    /// Whether it is a folder.
    pub fn is_folder(self) -> bool {
        !matches!(self, Self::Latest | Self::DiskImage | Self::File { .. } | Self::Sidecar { .. })
    }

    fn of(volume: u8, meta: &Metadata) -> Self {
        match meta.kind {
            Kind::Directory => Self::Folder { volume, id: meta.id },
            _ => Self::File { volume, id: meta.id },
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

/// Everything that is shown of one source.
pub struct Tree {
    archive: Archive,
    disk: Source,
    options: Options,
    volumes: Vec<String>,
    opened: Time,
}

impl Tree {
    /// Show `archive`, which lies on `disk`.
    pub fn new(archive: Archive, disk: Source, options: Options) -> Self {
        let volumes = volume_names(&archive);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = now.unwrap_or_default();
        let seconds = i64::try_from(now.as_secs()).unwrap_or(0);
        let opened = Time { seconds, nanoseconds: 0 };
        Self { archive, disk, options, volumes, opened }
    }

    /// What is shown.
    pub fn archive(&self) -> &Archive {
        &self.archive
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

    /// The file system of a volume.
    pub fn fs(&self, volume: u8) -> Result<&dyn FileSystem> {
        Ok(self.volume(volume)?.fs())
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
        let owner = self.options.owner;
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
    fn sidecar_of(&self, volume: u8, meta: &Metadata) -> Result<Option<(Object, Attributes)>> {
        if self.options.resource_forks != ResourceForks::AppleDouble
            || meta.kind != Kind::File
            || !meta.has_xattrs
        {
            return Ok(None);
        }
        let size = self.fs(volume)?.resource_size(meta.id)?;
        let side = || (Object::Sidecar { volume, id: meta.id }, self.sidecar(meta, size));
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
            Object::Folder { volume, id } | Object::File { volume, id } => {
                self.stored(&self.fs(volume)?.metadata(id)?)
            }
            Object::Sidecar { volume, id } => {
                let fs = self.fs(volume)?;
                self.sidecar(&fs.metadata(id)?, fs.resource_size(id)?)
            }
            _ => self.made(Kind::Directory, 0),
        })
    }

    /// The object of that name in a folder.
    pub fn lookup(&self, folder: Object, name: &str) -> Result<Option<(Object, Attributes)>> {
        if let Object::Folder { volume, id } = folder {
            return self.lookup_stored(volume, id, name);
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
        volume: u8,
        id: NodeId,
        name: &str,
    ) -> Result<Option<(Object, Attributes)>> {
        let fs = self.fs(volume)?;
        if let Some(meta) = fs.lookup(id, name)? {
            return Ok(Some((Object::of(volume, &meta), self.stored(&meta))));
        }
        let Some(owner) = name.strip_prefix("._") else { return Ok(None) };
        if self.options.resource_forks != ResourceForks::AppleDouble {
            return Ok(None);
        }
        match fs.lookup(id, owner)? {
            Some(meta) => self.sidecar_of(volume, &meta),
            None => Ok(None),
        }
    }

    /// Visit the entries of a folder from `from` on.
    pub fn list(&self, folder: Object, from: u64, visit: Visit<'_>) -> Result<()> {
        match folder {
            Object::Folder { volume, id } => self.list_stored(volume, id, from, visit),
            Object::Root => self.list_made(self.root_entries(), from, visit),
            Object::Snapshots => self.list_made(self.snapshot_entries(), from, visit),
            Object::Computer(n) => self.list_made(self.computer_entries(n), from, visit),
            Object::Volumes => {
                let names = self.volumes.iter().map(Clone::clone);
                let entries = names.zip(0u8..).filter_map(|(name, volume)| {
                    let id = self.fs(volume).ok()?.root();
                    Some((name, Object::Folder { volume, id }))
                });
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
        snapshots.iter().map(|s| (s.name.clone(), Object::Folder { volume, id: s.node })).collect()
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
    fn list_stored(&self, volume: u8, id: NodeId, from: u64, visit: Visit<'_>) -> Result<()> {
        let mut skip_sidecar = from & 1 == 1;
        let mut at = from >> 1;
        self.fs(volume)?.read_dir(id, Cursor(at), &mut |DirEntry { name, node, next }| {
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
                        && let Ok(Some(side)) = self.sidecar_of(volume, &meta)
                    {
                        visit(&format!("._{name}"), Ok(side), at << 1 | 1)?;
                    }
                    Ok((Object::of(volume, &meta), self.stored(&meta)))
                }
                Err(dangling) => Err(dangling),
            };
            visit(&name, listed, next.0 << 1)?;
            at = next.0;
            ControlFlow::Continue(())
        })
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
            Object::File { volume, id } => self.fs(volume)?.read_link(id),
            _ => Err(Error::Invalid("not a symbolic link".into())),
        }
    }

    /// Open an object for reading.
    pub fn open(&self, object: Object) -> Result<Source> {
        match object {
            Object::DiskImage => Ok(self.disk.clone()),
            Object::File { volume, id } => self.fs(volume)?.open(id, &Stream::Data),
            Object::Sidecar { volume, id } => {
                let fs = self.fs(volume)?;
                let fork = fs.open(id, &Stream::Resource)?;
                let info = fs.xattr(id, FINDER_INFO)?.and_then(|v| v.try_into().ok());
                Ok(std::sync::Arc::new(Sidecar::new(&info.unwrap_or([0; 32]), fork)))
            }
            _ => Err(Error::Invalid("not a file".into())),
        }
    }

    /// A volume's object in words, for messages.
    pub fn describe(&self, object: Object) -> String {
        let (volume, id) = match object {
            Object::DiskImage => return "disk.img".into(),
            Object::Folder { volume, id }
            | Object::File { volume, id }
            | Object::Sidecar { volume, id } => (volume, id),
            other => return format!("{other:?}").to_lowercase(),
        };
        let Ok(open) = self.volume(volume) else { return format!("object {}", id.0) };
        Appearances::new(open.fs(), open.backup.as_ref()).of(id).address
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
