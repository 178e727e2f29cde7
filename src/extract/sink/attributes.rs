//! What only a Mac knows of an object, into a folder: attributes, and AppleDouble files.

use super::dir::Job;
use super::file::Into;
use crate::extract::Part;
use crate::extract::account::NotKept;
use crate::extract::dest::{DOUBT, Folder, Found, Replace, Wanted};
use crate::extract::failure::{Failure, Outcome};
use crate::extract::mac::{self, MacData};
use crate::extract::options::MacMetadata;
use crate::extract::source::Reader;
use crate::fs::{Kind, Metadata};
use crate::io::bytes::to_u64;

impl Job<'_> {
    /// Give an object what only a Mac knows: as attributes through `set`, and as an
    /// AppleDouble file beside `name` in `folder`. Gives why some of it may not be right.
    pub fn attributes(
        &self,
        part: &Part<'_>,
        meta: &Metadata,
        folder: &Folder,
        name: &str,
        set: &dyn Fn(&str, &[u8]) -> bool,
        not_kept: &mut Vec<NotKept>,
    ) -> Outcome<Option<String>> {
        if self.options.mac == MacMetadata::None || !mac::may_have(meta) {
            return Ok(None);
        }
        let data = MacData::read(&part.from, meta, part.backup, not_kept)?;
        self.give_attributes(data, folder, (name, meta), set, not_kept)
    }

    /// The same with what was read already.
    pub fn give_attributes(
        &self,
        mut data: MacData,
        folder: &Folder,
        (name, meta): (&str, &Metadata),
        set: &dyn Fn(&str, &[u8]) -> bool,
        not_kept: &mut Vec<NotKept>,
    ) -> Outcome<Option<String>> {
        let mac = self.options.mac;
        if self.root.can.xattrs && mac != MacMetadata::AppleDouble {
            data.give(self.options.xattr_names, &mut |name, value| set(name, value))?;
        }
        if mac::may_have_sidecars(mac) && !data.left().is_empty() {
            let mut made = self.sidecar(&mut data, folder, name, meta);
            if let Err(Failure::Source(e)) = made {
                // What is left is kept without the fork.
                data.lose_fork(e)?;
                let nothing = data.left().is_empty();
                made = if nothing { Ok(true) } else { self.sidecar(&mut data, folder, name, meta) };
            }
            match made {
                Ok(true) => {
                    self.account.unreadable(&data, not_kept);
                    return Ok(data.doubt());
                }
                Ok(false) | Err(Failure::There(_) | Failure::Refused(_)) => {}
                Err(e) => return Err(e),
            }
        }
        not_kept.extend(data.left());
        self.account.unreadable(&data, not_kept);
        Ok(data.doubt())
    }

    /// Whether what is there is the AppleDouble file of an earlier run.
    fn is_sidecar(&self, found: &Found, size: u64, wanted: &Wanted) -> bool {
        let can = &self.root.can;
        found.kind == Some(Kind::File)
            && found.size == size
            && can.same_time(wanted.modified, found.modified)
            && (!can.modes || found.mode == wanted.mode)
            && wanted.owner.is_none_or(|owner| owner == found.owner)
    }

    /// Write an AppleDouble file. `false` where the format cannot say it.
    fn sidecar(
        &self,
        data: &mut MacData,
        folder: &Folder,
        name: &str,
        meta: &Metadata,
    ) -> Outcome<bool> {
        let Some(header) = data.apple_double() else { return Ok(false) };
        let beside = format!("._{name}");
        if beside.len() > 255 {
            return Ok(false);
        }
        let mut wanted = self.wanted(meta);
        wanted.mode &= 0o666;
        let at = to_u64(header.len());
        let size = at + data.fork_len();
        if folder.may_hold(&beside, &self.root.can)
            && folder.find(&beside)?.is_some_and(|f| self.is_sidecar(&f, size, &wanted))
            && !folder.is_doubtful(&beside)
        {
            return Ok(true);
        }
        let partial = folder.create(&beside, &wanted)?;
        partial.write(&header, 0)?;
        if let Some(fork) = &data.fork {
            let mut reader = Reader::default();
            let end = reader.copy(&*fork.source, &mut Into::new(self, &partial, at), None)?;
            if at + end < size {
                partial.set_len(size)?;
            }
        }
        data.kept_fork();
        if let Some(doubt) = data.doubt()
            && partial.set_xattr(DOUBT, doubt.as_bytes()).is_err()
        {
            // Its time says that it is to be looked at again.
            wanted.modified = super::file::now();
        }
        partial.finish(&wanted, &self.root.can, Replace::Yes)?;
        Ok(true)
    }
}
