//! What only a Mac knows of an object, and how Linux can keep it.

mod acl;
mod appledouble;
mod names;

pub use names::Named;

use super::account::NotKept;
use super::damage::zeros;
use super::failure::{Failure, Outcome};
use super::options::{MacMetadata, XattrNames};
use super::reading::{Opened, Reading};
use super::source::{Pieces, Reader};
use crate::error::{Error, Result};
use crate::fs::xattr::{FINDER_INFO, RESOURCE_FORK, SECURITY};
use crate::fs::{Kind, Metadata, Stream, Time};
use crate::io::bytes::{array, to_usize};
use acl::List;

/// Attributes of one object that are held in memory, in bytes.
const MAX_VALUES: u64 = 64 << 20;
/// Flags that say something about the object and not about how it is stored: `nodump`,
/// `uchg`, `uappnd`, `opaque`, `hidden`, `arch`, `schg`, `sappnd`.
const FLAGS: &[(u32, &str)] = &[
    (0x1, "nodump"),
    (0x2, "uchg"),
    (0x4, "uappnd"),
    (0x8, "opaque"),
    (0x8000, "hidden"),
    (0x1_0000, "arch"),
    (0x2_0000, "schg"),
    (0x4_0000, "sappnd"),
];

/// What only a Mac knows of an object.
#[derive(Clone, Default)]
pub struct MacData {
    /// Finder information, if there is any.
    pub finder_info: Option<[u8; 32]>,
    /// The resource fork, if there is one that can be read as far as is known.
    pub fork: Option<Opened>,
    /// Why it is not there: it cannot be read.
    pub fork_unread: Option<String>,
    /// Extended attributes.
    pub attributes: Vec<(String, Vec<u8>)>,
    /// Access control list, without Time Machine's entries.
    acl: Option<List>,
    /// BSD flags, in words.
    flags: Option<String>,
    /// Birth, where it is not the time of the last change.
    pub birth: Option<Time>,
    /// Whether it is a folder's.
    folder: bool,
    id: u64,
    /// Why some of the attributes are not among these.
    pub unread: Option<String>,
    /// Why the value of some attribute may not be right.
    doubt: Option<String>,
}

/// Whether an object has any, as far as its metadata tell.
pub fn may_have(meta: &Metadata) -> bool {
    meta.has_xattrs || flags(meta.flags).is_some() || birth(meta).is_some()
}

fn flags(bits: u32) -> Option<String> {
    let words: Vec<&str> =
        FLAGS.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, word)| *word).collect();
    (!words.is_empty()).then(|| words.join(","))
}

fn birth(meta: &Metadata) -> Option<Time> {
    meta.times.created.filter(|c| Some(*c) != meta.times.modified)
}

impl MacData {
    /// Ask the file system. `backup`: it is in a snapshot of Time Machine's. What is too
    /// large to be held goes to `lost`, and what cannot be read: that costs no contents.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub fn read(
        from: &Reading,
        meta: &Metadata,
        backup: bool,
        lost: &mut Vec<NotKept>,
    ) -> Result<Self> {
        let mut data = Self {
            flags: flags(meta.flags),
            birth: birth(meta),
            folder: meta.kind == Kind::Directory,
            id: meta.id.0,
            ..Self::default()
        };
        if meta.has_xattrs {
            data.read_attributes(from, meta, backup, lost)?;
        }
        Ok(data)
    }

    /// Remember why an attribute cannot be read; the first reason is kept.
    fn unread(&mut self, error: Error) -> Result<()> {
        if matches!(error, Error::Interrupted) {
            return Err(error);
        }
        self.unread.get_or_insert_with(|| error.to_string());
        Ok(())
    }

    fn read_attributes(
        &mut self,
        from: &Reading,
        meta: &Metadata,
        backup: bool,
        lost: &mut Vec<NotKept>,
    ) -> Result<()> {
        let mut room = MAX_VALUES;
        let (names, trouble) = from.fs.readable_xattrs(meta.id)?;
        trouble.map_or(Ok(()), |e| self.unread(e))?;
        for x in names {
            if x.name == RESOURCE_FORK {
                match from.open(meta.id, &Stream::Resource) {
                    Ok(fork) => self.fork = Some(fork),
                    Err(e) => self.lose_fork(e)?,
                }
                continue;
            }
            if x.size > room {
                lost.push(NotKept::Attribute);
                continue;
            }
            room -= x.size;
            let value = match from.xattr(meta.id, &x.name) {
                Ok(Some((value, doubt))) => {
                    let told = doubt.map(|d| zeros(&format!("its attribute {}", x.name), &d));
                    self.doubt = self.doubt.take().or(told);
                    value
                }
                Ok(None) => continue,
                Err(e) => {
                    self.unread(e)?;
                    continue;
                }
            };
            match &*x.name {
                SECURITY => self.acl = List::new(&value, backup),
                FINDER_INFO if value.len() == 32 => self.finder_info = array(&value, 0),
                _ => self.attributes.push((x.name, value)),
            }
        }
        Ok(())
    }

    /// The fork cannot be read: the rest is kept without it.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub fn lose_fork(&mut self, error: Error) -> Result<()> {
        if matches!(error, Error::Interrupted) {
            return Err(error);
        }
        self.fork = None;
        self.fork_unread.get_or_insert_with(|| error.to_string());
        Ok(())
    }

    /// Read all of the fork, for who cannot take back what he has begun.
    ///
    /// # Errors
    /// What `to` gives; a fork that cannot be read is let go.
    pub fn prove_fork(&mut self, reader: &mut Reader, to: &mut dyn Pieces) -> Outcome<()> {
        let Some(fork) = &self.fork else { return Ok(()) };
        match reader.copy(&*fork.source, to, None) {
            Err(Failure::Source(e)) => Ok(self.lose_fork(e)?),
            read => read.map(|_| ()),
        }
    }

    fn fork_bytes(&mut self, limit: u64) -> Result<Option<Vec<u8>>> {
        let Some(fork) = self.fork.as_ref().filter(|f| f.source.len() <= limit) else {
            return Ok(None);
        };
        match crate::io::read_vec(&*fork.source, 0, to_usize(fork.source.len())) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) => self.lose_fork(e).map(|()| None),
        }
    }

    /// The fork was kept: what was read of it may not be right.
    pub fn kept_fork(&mut self) {
        let doubt = self.fork.as_ref().and_then(Opened::doubt);
        let told = doubt.map(|d| zeros("its resource fork", &d));
        self.doubt = self.doubt.take().or(told);
    }

    /// Why some of what was kept may not be right.
    pub fn doubt(&self) -> Option<String> {
        self.doubt.clone()
    }

    /// Bytes of the resource fork.
    pub fn fork_len(&self) -> u64 {
        self.fork.as_ref().map_or(0, |fork| fork.source.len())
    }

    /// What an AppleDouble file holds before the resource fork; `None` if the format
    /// cannot say it.
    pub fn apple_double(&self) -> Option<Vec<u8>> {
        let mut attributes = self.attributes.clone();
        if let Some(acl) = &self.acl {
            let text = acl.apple_text(self.folder).into_bytes();
            attributes.push(("com.apple.acl.text".into(), text));
        }
        attributes.extend(self.own_words(""));
        attributes.sort_by(|a, b| a.0.cmp(&b.0));
        let fork = self.fork_len();
        appledouble::header(self.finder_info.as_ref(), &attributes, fork, self.id)
    }

    /// What has no name of Apple's, in words.
    fn own_words(&self, prefix: &str) -> Vec<(String, Vec<u8>)> {
        let mut words = Vec::new();
        if let Some(birth) = self.birth {
            words.push((format!("{prefix}tmbundle.birthtime"), moment(birth).into_bytes()));
        }
        if let Some(flags) = &self.flags {
            words.push((format!("{prefix}tmbundle.flags"), flags.clone().into_bytes()));
        }
        words
    }

    /// Give everything to `set` as extended attributes; what it does not take stays.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub fn give(
        &mut self,
        names: XattrNames,
        set: &mut dyn FnMut(&str, &[u8]) -> bool,
    ) -> Result<()> {
        let mut named = Named { names, set };
        if let Some(info) = self.finder_info
            && named.finder_info(&info, self.birth)
        {
            self.finder_info = None;
        }
        if names != XattrNames::Netatalk
            && let Some(fork) = self.fork_bytes(names::MAX_VALUE)?
            && named.fork(&fork)
        {
            self.kept_fork();
            self.fork = None;
        }
        self.attributes.retain(|(name, value)| !named.attribute(name, value));
        if let Some(acl) = &self.acl
            && named.plain(&format!("user.{SECURITY}"), &acl.bytes())
        {
            named.plain("user.tmbundle.acl", acl.text(self.folder).as_bytes());
            self.acl = None;
        }
        for (name, value) in self.own_words("user.") {
            let taken = named.plain(&name, &value);
            match name.ends_with("flags") {
                true if taken => self.flags = None,
                false if taken => self.birth = None,
                _ => {}
            }
        }
        Ok(())
    }

    /// What could not be read, by kind, and why.
    pub fn unreadable(&self) -> impl Iterator<Item = (NotKept, &str)> {
        let kinds = [(NotKept::Unread, &self.unread), (NotKept::ForkUnread, &self.fork_unread)];
        kinds.into_iter().filter_map(|(kind, why)| Some((kind, why.as_deref()?)))
    }

    /// What is left, by kind.
    pub fn left(&self) -> Vec<NotKept> {
        let kinds = [
            (self.finder_info.is_some(), NotKept::FinderInfo),
            (self.fork.is_some(), NotKept::ResourceFork),
            (!self.attributes.is_empty(), NotKept::Attribute),
            (self.acl.is_some(), NotKept::Acl),
            (self.flags.is_some(), NotKept::Flags),
            (self.birth.is_some(), NotKept::Birth),
        ];
        kinds.into_iter().filter(|(left, _)| *left).map(|(_, kind)| kind).collect()
    }
}

/// Whether AppleDouble files may be made beside restored objects.
pub fn may_have_sidecars(mac: MacMetadata) -> bool {
    matches!(mac, MacMetadata::Auto | MacMetadata::AppleDouble)
}

/// A moment as people and programs read it.
fn moment(time: Time) -> String {
    match jiff::Timestamp::new(time.seconds, i32::try_from(time.nanoseconds).unwrap_or(0)) {
        Ok(t) => t.to_string(),
        Err(_) => format!("@{}", time.seconds),
    }
}
