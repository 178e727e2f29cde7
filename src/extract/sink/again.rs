//! What is there already from an earlier run: it gets what this one asks for.

use super::dir::{Job, Task, note};
use crate::extract::Part;
use crate::extract::account::{NotKept, Object};
use crate::extract::dest::{Found, set_again};
use crate::extract::failure::{Failure, Outcome};
use crate::extract::mac;
use crate::extract::options::MacMetadata;

impl Job<'_> {
    /// Give a file that is there the metadata that were asked for, where they differ.
    pub fn again(&self, part: &Part<'_>, task: &Task, object: &mut Object<'_>) -> Outcome<()> {
        let (folder, meta) = (&task.folder.folder, &task.meta);
        let Some(found) = folder.find(&task.name)? else { return Ok(()) };
        let wanted = self.wanted(meta);
        object.doubt = self.attributes_again(part, task, &found, &mut object.not_kept)?;
        let not =
            folder.give_again(&task.name, &found, &wanted, &self.root.can, task.names.is_some())?;
        note(&not, &mut object.not_kept);
        if u32::from(meta.mode) & 0o6000 != 0 && wanted.mode & 0o6000 == 0 {
            object.not_kept.push(NotKept::SetId);
        }
        Ok(())
    }

    fn attributes_again(
        &self,
        part: &Part<'_>,
        task: &Task,
        found: &Found,
        not_kept: &mut Vec<NotKept>,
    ) -> Outcome<Option<String>> {
        let meta = &task.meta;
        if self.options.mac == MacMetadata::None || !mac::may_have(meta) {
            return Ok(None);
        }
        let file = task.folder.folder.open_file(&task.name).ok();
        let ours = file.as_ref().and_then(|f| rustix::fs::fstat(f).ok()).is_some_and(|stat| {
            (stat.st_dev, stat.st_ino) == found.identity
                && (stat.st_nlink == 1 || task.names.is_some())
        });
        let set = |name: &str, value: &[u8]| {
            ours && file.as_ref().is_some_and(|file| set_again(file, name, value))
        };
        let folder = &task.folder.folder;
        match self.attributes(part, meta, folder, &task.name, &set, not_kept) {
            Err(e @ (Failure::Fatal(_) | Failure::Interrupted)) => Err(e),
            Err(_) => {
                not_kept.push(NotKept::Attribute);
                Ok(None)
            }
            Ok(doubt) => Ok(doubt),
        }
    }
}
