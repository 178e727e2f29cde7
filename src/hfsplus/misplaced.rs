//! Files whose extents lie where no file can: over the volume header or over a tree. What is
//! read there is not their contents.

use super::HfsPlus;
use super::btree::read_header;
use super::extents::ForkType;
use super::fork::ForkReader;
use super::format::{ATTRIBUTES_FILE, CATALOG_FILE, EXTENTS_FILE, ForkData};
use crate::error::{Error, Result};
use crate::io::Ranges;

/// End of the volume header.
const HEADER_END: u64 = 1536;

/// Blocks that are not a file's, and what lies there.
pub(super) type Special = Vec<(Ranges, &'static str)>;

impl HfsPlus {
    /// A fork of a file, for reading what is in it.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when it lies over the volume's own structures.
    pub(super) fn file_fork(
        &self,
        file: u32,
        fork: ForkType,
        data: &ForkData,
    ) -> Result<ForkReader> {
        let reader = self.fork(file, fork, data)?;
        let special = self.special.get_or_init(|| self.special_blocks());
        for run in reader.runs().iter() {
            let (start, end) = (u64::from(run.start), u64::from(run.start) + u64::from(run.count));
            let lies = |s: &Ranges| s.meet(start..end).next().is_some();
            if let Some((_, what)) = special.iter().find(|(s, _)| lies(s)) {
                let text =
                    format!("its extent of {} blocks at {start} lies over {what}", run.count);
                let place = self.volume.locate(start * u64::from(self.header.block_size));
                return Err(Error::corrupt_at(format!("file {file}"), place, text));
            }
        }
        Ok(reader)
    }

    /// Where the header and the trees lie: of a tree only where one begins there, since the
    /// header, too, may lead to a wrong place.
    fn special_blocks(&self) -> Special {
        let (h, block) = (&self.header, u64::from(self.header.block_size));
        let header = Ranges::one(0..HEADER_END.div_ceil(block));
        let mut special = vec![(header, "the volume header")];
        let trees = [
            (EXTENTS_FILE, &h.extents_file, "the extents tree"),
            (CATALOG_FILE, &h.catalog_file, "the catalog"),
            (ATTRIBUTES_FILE, &h.attributes_file, "the attributes tree"),
        ];
        for (id, fork, what) in trees {
            let Ok(file) = self.fork(id, ForkType::Data, fork) else { continue };
            if read_header(&file, what).is_err() {
                continue;
            }
            let range = |start: u32, count: u32| start.into()..u64::from(start) + u64::from(count);
            let runs = file.runs().iter().map(|r| range(r.start, r.count));
            special.push((Ranges::new(runs.collect()), what));
        }
        special
    }
}
