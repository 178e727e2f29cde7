//! What the kernel asks, in fuser's words. fuser's types stay in here and in
//! `session`, so that a new fuser means work in two places only.

use super::core::{Core, View, doubted, usage};
use super::errors::errno;
use super::inodes::{ROOT, Resolved};
use super::options::Xattrs;
use super::tree::{Attributes, Listed, Object, START};
use super::xattr::{self, Answer};
use crate::error::{Error, Result};
use crate::fs::{Dangling, Device, Kind, Time};
use crate::losses::Doubt;
use fuser::{
    AccessFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyDirectoryPlus,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyXattr, Request,
};
use std::cell::RefCell;
use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long the kernel may keep what it knows of a source at rest: for good.
const FOR_GOOD: Duration = Duration::from_secs(u32::MAX as u64);
/// The same of a live source.
const A_MOMENT: Duration = Duration::from_secs(2);
/// Folders nested deeper than this are taken for a loop.
const MAX_DEPTH: usize = 1024;
/// `stat`'s preferred size of reads.
const BLOCK: u32 = 128 << 10;
/// Attribute of the root that tells of changes.
const STALE: &str = "user.tmbundle.stale";
/// Longest name: 255 UTF-16 units, three bytes each.
const MAX_NAME: u32 = 765;

thread_local! {
    /// Bytes on their way to the kernel; reused, so that they are not zeroed for
    /// every read.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The file system that fuser serves.
pub struct Adapter {
    core: Arc<Core>,
    /// The kernel can do without `open` and `opendir`: one round trip less each.
    no_open: bool,
    no_opendir: bool,
}

fn file_type(kind: Kind) -> FileType {
    match kind {
        Kind::Directory => FileType::Directory,
        Kind::File => FileType::RegularFile,
        Kind::Symlink => FileType::Symlink,
        Kind::CharDevice => FileType::CharDevice,
        Kind::BlockDevice => FileType::BlockDevice,
        Kind::Fifo => FileType::NamedPipe,
        Kind::Socket => FileType::Socket,
    }
}

fn system_time(time: Option<Time>) -> SystemTime {
    let Some(Time { seconds, nanoseconds }) = time else { return UNIX_EPOCH };
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let base =
        if seconds < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
    base.and_then(|t| t.checked_add(Duration::from_nanos(nanoseconds.into()))).unwrap_or(UNIX_EPOCH)
}

/// A device number as the kernel's protocol wants it.
fn device(Device { major, minor }: Device) -> u32 {
    (minor & 0xFF) | (major << 8) | ((minor & !0xFF) << 12)
}

fn file_attr(number: u64, a: &Attributes) -> FileAttr {
    let modified = a.times.modified;
    FileAttr {
        ino: INodeNo(number),
        size: a.size,
        blocks: a.allocated.div_ceil(512),
        atime: system_time(a.times.accessed.or(modified)),
        mtime: system_time(modified),
        ctime: system_time(a.times.changed.or(modified)),
        crtime: system_time(a.times.created),
        kind: file_type(a.kind),
        perm: a.mode,
        nlink: a.links,
        uid: a.uid,
        gid: a.gid,
        rdev: a.device.map_or(0, device),
        blksize: BLOCK,
        flags: 0,
    }
}

/// What is told of a name that leads nowhere: something to list, which the
/// kernel asks about again, to be given the error.
fn dangling_attr(dangling: &Dangling) -> FileAttr {
    let kind = if dangling.directory { Kind::Directory } else { Kind::File };
    let nothing = Attributes {
        kind,
        mode: 0,
        uid: 0,
        gid: 0,
        size: 0,
        allocated: 0,
        links: 1,
        times: crate::fs::Times::default(),
        device: None,
    };
    const NOWHERE: u64 = 1 << 61;
    file_attr(NOWHERE | (dangling.id & 0xFFFF_FFFF), &nothing)
}

fn too_many(object: Object) -> Error {
    Error::Unsupported(format!("{object:?}: there are more views than numbers for inodes"))
}

impl Adapter {
    /// Serve `core`.
    pub fn new(core: Arc<Core>) -> Self {
        Self { core, no_open: false, no_opendir: false }
    }

    fn ttl(&self) -> Duration {
        if self.core.is_live() { A_MOMENT } else { FOR_GOOD }
    }

    /// Log an error and give what the kernel is told.
    fn fail(&self, what: Option<Object>, error: &Error) -> Errno {
        let answer = errno(error);
        if i32::from(answer) == i32::from(Errno::EIO) {
            let name = what.map(|o| self.core.view().tree.describe(o));
            self.core.complaints.say(match name {
                Some(name) => format!("{name}: {error}"),
                None => error.to_string(),
            });
        }
        answer
    }

    /// Log that an attribute was given of which something may be lost.
    fn doubted(&self, number: u64, attribute: &str, doubt: &Doubt) {
        let object = self.core.inodes.resolve(number).map(|r| r.object);
        let name = object.map_or_else(String::new, |o| self.core.view().tree.describe(o));
        self.core.complaints.say(format!("{name}: {attribute}: {}", doubted(doubt)));
    }

    fn find(&self, parent: u64, name: &OsStr) -> Result<Option<FileAttr>> {
        let Some(name) = name.to_str() else { return Ok(None) };
        let folder = self.core.resolve(parent)?;
        let view = self.core.view();
        let Some((object, attributes)) = view.tree.lookup(folder.object, name)? else {
            return Ok(None);
        };
        let number = self.core.inodes.enter(parent, name, object, view.generation);
        Ok(Some(file_attr(number.ok_or_else(|| too_many(object))?, &attributes)))
    }

    fn attributes(&self, number: u64) -> Result<FileAttr> {
        let resolved = self.core.resolve(number)?;
        Ok(file_attr(number, &self.core.view().tree.attributes(resolved.object)?))
    }

    /// The folder behind a number, unless it lies in itself.
    fn folder(&self, number: u64) -> std::result::Result<Resolved, Errno> {
        let resolved = self.core.inodes.resolve(number).ok_or(Errno::ESTALE)?;
        if !resolved.object.is_folder() {
            return Err(Errno::ENOTDIR);
        }
        let own = resolved.parent != ROOT
            && self.core.inodes.is_own_ancestor(resolved.parent, resolved.object, MAX_DEPTH);
        if own {
            let name = self.core.view().tree.describe(resolved.object);
            self.core.complaints.say(format!("{name} contains itself; not entered again"));
            return Err(Errno::ELOOP);
        }
        Ok(resolved)
    }

    /// Visit `.`, `..` and the entries of a folder: name, entry, position behind.
    fn entries(
        &self,
        view: &View,
        (number, folder): (u64, Resolved),
        offset: u64,
        visit: &mut dyn FnMut(&str, Entry<'_>, u64) -> ControlFlow<()>,
    ) -> Result<()> {
        for (at, name, target) in [(0, ".", number), (1, "..", folder.parent)] {
            if offset <= at && visit(name, Entry::Dot(target), at + 1).is_break() {
                return Ok(());
            }
        }
        let from = START + offset.saturating_sub(DOTS);
        view.tree.list(folder.object, from, &mut |name, listed, next| {
            visit(name, Entry::Listed(&listed), next + DOTS)
        })
    }

    fn list_plus(
        &self,
        number: u64,
        offset: u64,
        reply: &mut ReplyDirectoryPlus,
    ) -> std::result::Result<(), Errno> {
        let folder = self.folder(number)?;
        let view = self.core.view();
        let ttl = self.ttl();
        let stop = |full| if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        let mut any = false;
        let read = self.entries(&view, (number, folder), offset, &mut |name, entry, next| {
            let (attr, ttl) = match entry {
                Entry::Dot(number) => (dot_attr(number), ttl),
                Entry::Listed(Err(dangling)) => (dangling_attr(dangling), Duration::ZERO),
                Entry::Listed(Ok((object, attributes))) => {
                    match self.core.inodes.enter(number, name, *object, view.generation) {
                        Some(number) => (file_attr(number, attributes), ttl),
                        None => return ControlFlow::Continue(()),
                    }
                }
            };
            let full = reply.add(attr.ino, next, name, &ttl, &attr, Generation(0));
            if full && matches!(entry, Entry::Listed(Ok(_))) {
                self.core.inodes.forget(attr.ino.0, 1);
            }
            any |= !full;
            stop(full)
        });
        // What was read before the damage is shown; the error comes when the
        // kernel asks to go on.
        read.or_else(|e| if any { Ok(()) } else { Err(self.fail(Some(folder.object), &e)) })
    }

    fn list_plain(
        &self,
        number: u64,
        offset: u64,
        reply: &mut ReplyDirectory,
    ) -> std::result::Result<(), Errno> {
        let folder = self.folder(number)?;
        let view = self.core.view();
        let mut any = false;
        let read = self.entries(&view, (number, folder), offset, &mut |name, entry, next| {
            // Numbers that a table holds are made by looking up; here they only
            // must not be zero.
            const ANY: u64 = 1 << 61;
            let (number, kind) = match entry {
                Entry::Dot(number) => (number, Kind::Directory),
                Entry::Listed(Err(_)) => (ANY, Kind::File),
                Entry::Listed(Ok((object, a))) if object.is_folder() => (ANY, a.kind),
                Entry::Listed(Ok((object, a))) => {
                    let number = self.core.inodes.file_number(*object, view.generation);
                    (number.unwrap_or(ANY), a.kind)
                }
            };
            let full = reply.add(INodeNo(number), next, file_type(kind), name);
            any |= !full;
            if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        read.or_else(|e| if any { Ok(()) } else { Err(self.fail(Some(folder.object), &e)) })
    }

    fn xattr_names(&self, number: u64) -> Result<Vec<u8>> {
        let object = self.core.resolve(number)?.object;
        let mut names = xattr::list(&self.core.view().tree, object, self.core.options.xattrs)?;
        if object == Object::Root && self.core.stale().is_some() {
            names.extend(STALE.bytes().chain([0]));
        }
        Ok(names)
    }

    fn xattr_value(&self, number: u64, name: &str) -> Result<Answer> {
        let object = self.core.resolve(number)?.object;
        if object == Object::Root && name == STALE {
            let text = self.core.stale();
            return Ok(text.map_or(Answer::Absent, |t| Answer::Value(t.into_bytes(), None)));
        }
        xattr::value(&self.core.view().tree, object, self.core.options.xattrs, name)
    }

    /// Whether nothing has attributes, so that the kernel may stop asking.
    fn without_xattrs(&self) -> bool {
        self.core.options.xattrs == Xattrs::None
            || !xattr::any(&self.core.view().tree, self.core.options.xattrs)
    }
}

/// Positions before the first entry.
const DOTS: u64 = 2;

enum Entry<'a> {
    Dot(u64),
    Listed(&'a Listed),
}

/// `.` and `..`: the kernel takes their number only.
fn dot_attr(number: u64) -> FileAttr {
    let dangling = Dangling { id: 0, reason: String::new(), directory: true };
    FileAttr { ino: INodeNo(number), ..dangling_attr(&dangling) }
}

fn answer_sized(reply: ReplyXattr, size: u32, value: &[u8]) {
    match u32::try_from(value.len()) {
        Ok(len) if size == 0 => reply.size(len),
        Ok(len) if len <= size => reply.data(value),
        Ok(_) => reply.error(Errno::ERANGE),
        Err(_) => reply.error(Errno::E2BIG),
    }
}

impl Filesystem for Adapter {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        let can = config.capabilities();
        let wanted = InitFlags::FUSE_DO_READDIRPLUS
            | InitFlags::FUSE_PARALLEL_DIROPS
            | InitFlags::FUSE_CACHE_SYMLINKS
            | InitFlags::FUSE_ASYNC_DIO
            | InitFlags::FUSE_EXPLICIT_INVAL_DATA
            | InitFlags::FUSE_NO_OPEN_SUPPORT
            | InitFlags::FUSE_NO_OPENDIR_SUPPORT;
        // What an older kernel cannot do it does without.
        let _ = config.add_capabilities(wanted & can);
        let _ = config.set_max_background(64);
        self.no_open = can.contains(InitFlags::FUSE_NO_OPEN_SUPPORT);
        self.no_opendir = can.contains(InitFlags::FUSE_NO_OPENDIR_SUPPORT);
        Ok(())
    }

    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.find(parent.0, name) {
            Ok(Some(attr)) => reply.entry(&self.ttl(), &attr, Generation(0)),
            Ok(None) if self.core.is_live() => reply.error(Errno::ENOENT),
            // Number 0 with a life: the kernel remembers that there is nothing.
            Ok(None) => reply.entry(&FOR_GOOD, &dot_attr(0), Generation(0)),
            Err(e) => {
                let parent = self.core.inodes.resolve(parent.0).map(|r| r.object);
                reply.error(self.fail(parent, &e));
            }
        }
    }

    fn forget(&self, _req: &Request, ino: INodeNo, nlookup: u64) {
        self.core.inodes.forget(ino.0, nlookup);
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(ino.0) {
            Ok(attr) => reply.attr(&self.ttl(), &attr),
            Err(e) => reply.error(self.fail(None, &e)),
        }
    }

    fn readlink(&self, _req: &Request, ino: INodeNo, reply: ReplyData) {
        let target =
            self.core.resolve(ino.0).and_then(|r| self.core.view().tree.read_link(r.object));
        match target {
            Ok(target) => reply.data(&target),
            Err(e) => reply.error(self.fail(None, &e)),
        }
    }

    fn open(&self, _req: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        // "Not implemented" makes the kernel open every file by itself from now
        // on, and keep its pages.
        match self.no_open {
            true => reply.error(Errno::ENOSYS),
            false => reply.opened(FileHandle(0), fuser::FopenFlags::FOPEN_KEEP_CACHE),
        }
    }

    fn read(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        BUFFER.with_borrow_mut(|buffer| {
            let size = usize::try_from(size).unwrap_or(0);
            match self.core.read(ino.0, offset, size, buffer) {
                Ok(n) => reply.data(buffer.get(..n).unwrap_or_default()),
                Err(e) => {
                    let object = self.core.inodes.resolve(ino.0).map(|r| r.object);
                    reply.error(self.fail(object, &e));
                }
            }
        });
    }

    fn flush(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        reply.error(Errno::ENOSYS);
    }

    fn opendir(&self, _req: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let cache = fuser::FopenFlags::FOPEN_KEEP_CACHE | fuser::FopenFlags::FOPEN_CACHE_DIR;
        match self.no_opendir {
            true => reply.error(Errno::ENOSYS),
            false => reply.opened(FileHandle(0), cache),
        }
    }

    fn readdir(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        match self.list_plain(ino.0, offset, &mut reply) {
            Ok(()) => reply.ok(),
            Err(e) => reply.error(e),
        }
    }

    fn readdirplus(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        match self.list_plus(ino.0, offset, &mut reply) {
            Ok(()) => reply.ok(),
            Err(e) => reply.error(e),
        }
    }

    fn statfs(&self, _req: &Request, ino: INodeNo, reply: ReplyStatfs) {
        let object = self.core.inodes.resolve(ino.0).map_or(Object::Root, |r| r.object);
        let u = usage(&self.core.view().tree, object);
        reply.statfs(u.blocks, u.free, u.free, u.objects, 0, u.block_size, MAX_NAME, u.block_size);
    }

    fn getxattr(&self, _req: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        if self.without_xattrs() {
            return reply.error(Errno::ENOSYS);
        }
        let Some(name) = name.to_str().filter(|n| n.starts_with("user.")) else {
            return reply.error(Errno::ENODATA);
        };
        match self.xattr_value(ino.0, name) {
            Ok(Answer::Value(value, doubt)) => {
                if let Some(doubt) = doubt {
                    self.doubted(ino.0, name, &doubt);
                }
                answer_sized(reply, size, &value);
            }
            Ok(Answer::Absent) => reply.error(Errno::ENODATA),
            Ok(Answer::TooLarge) => reply.error(Errno::E2BIG),
            Err(e) => {
                let object = self.core.inodes.resolve(ino.0).map(|r| r.object);
                reply.error(self.fail(object, &e));
            }
        }
    }

    fn listxattr(&self, _req: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        if self.without_xattrs() {
            return reply.error(Errno::ENOSYS);
        }
        match self.xattr_names(ino.0) {
            Ok(names) => answer_sized(reply, size, &names),
            Err(e) => {
                let object = self.core.inodes.resolve(ino.0).map(|r| r.object);
                reply.error(self.fail(object, &e));
            }
        }
    }

    fn access(&self, _req: &Request, _ino: INodeNo, _mask: AccessFlags, reply: ReplyEmpty) {
        // Where permissions matter the kernel checks them (default_permissions).
        reply.error(Errno::ENOSYS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_of_both_systems() {
        assert_eq!(device(Device::of_stored(5 << 24 | 1)), 5 << 8 | 1);
        assert_eq!(device(Device::of_stored(4 << 20 | 65)), 4 << 8 | 65);
        assert_eq!(device(Device::of_stored(259 << 20 | 70_000)), 259 << 8 | 0x70 | 0x111 << 20);
    }

    #[test]
    fn dates_before_1970() {
        let time = Time { seconds: -2, nanoseconds: 500_000_000 };
        assert_eq!(system_time(Some(time)), UNIX_EPOCH - Duration::from_millis(1500));
        assert_eq!(system_time(None), UNIX_EPOCH);
    }
}
