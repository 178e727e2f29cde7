//! A whole disk under guard, for who is given it as one file.

use super::guard::{Doubt, Guard, Policy, Watched, add, zero_runs};
use super::rule::Standing;
use crate::error::{Error, Locus, Lost, Result};
use crate::io::{Presence, PresenceVisitor, ReadAt, Source};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// A volume that could be opened, by the bytes of the disk that it takes.
pub type Guarding = (Range<u64>, Arc<Guard>);

/// The bytes of a disk. What was lost of its volumes is not given as zeros; what was never
/// written is, and where nobody can tell that is told ([`Watched::doubt`]).
pub struct WholeDisk {
    disk: Source,
    policy: Policy,
    volumes: Vec<Guarding>,
    /// Partitions whose volumes could not be opened, so that nothing is known of them.
    unknown: Vec<Range<u64>>,
    doubt: Mutex<Option<Doubt>>,
}

impl WholeDisk {
    /// Watch over `disk`, on which these volumes lie, and others that could not be opened.
    pub fn new(
        disk: Source,
        policy: Policy,
        volumes: Vec<Guarding>,
        unknown: Vec<Range<u64>>,
    ) -> Arc<Self> {
        Arc::new(Self { disk, policy, volumes, unknown, doubt: Mutex::default() })
    }

    fn doubted(&self, doubt: Doubt) {
        add(&mut self.doubt.lock().unwrap_or_else(PoisonError::into_inner), doubt);
    }

    /// Look at what was read as zeros.
    fn judge_zeros(&self, zeros: Range<u64>) -> Result<()> {
        let mut absent = Vec::new();
        self.disk.presence(zeros, &mut |part, how| {
            if how.is_absent() {
                absent.push((part, how));
            }
        })?;
        for (part, how) in absent {
            for (volume, guard) in &self.volumes {
                let here = part.start.max(volume.start)..part.end.min(volume.end);
                self.judge_part(volume.start, guard, here)?;
            }
            let meets = |r: &Range<u64>| r.start < part.end && part.start < r.end;
            if how != Presence::Hole && self.unknown.iter().any(meets) {
                let band = self.locate(part.start).and_then(|p| Some(p.band?.name));
                let name = band.as_deref().unwrap_or("a part of the image");
                let why = format!("{name} is missing, and the volume there cannot be opened");
                let bytes = part.end - part.start;
                self.doubted(Doubt { standing: Standing::Doubtful, bytes, why, band });
            }
        }
        Ok(())
    }

    /// Judge absent bytes of the disk that lie on a volume, which begins at `start`.
    fn judge_part(&self, start: u64, guard: &Guard, part: Range<u64>) -> Result<()> {
        let mut at = part.start;
        while at < part.end {
            let Some((run, judged)) = guard.standing_at(at - start)? else { return Ok(()) };
            let disk = start + run.range.start..start + run.range.end;
            let end = disk.end.min(part.end).max(at + 1);
            if judged.standing >= Standing::Doubtful {
                let why = format!("{} ({})", guard.describe(&run), judged.why);
                let band = self.disk.locate(at).and_then(|place| place.band);
                if judged.standing == Standing::Lost && self.policy == Policy::Fail {
                    // The same words for every request in one band, which is told once.
                    let (what, range) = ("the disk".to_owned(), disk);
                    return Err(Error::Lost(Box::new(Lost { what, range, band, why })));
                }
                let (band, bytes) = (band.map(|b| b.name), end - at);
                self.doubted(Doubt { standing: judged.standing, bytes, why, band });
            }
            at = end;
        }
        Ok(())
    }
}

impl Watched for WholeDisk {
    fn doubt(&self) -> Option<Doubt> {
        self.doubt.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ReadAt for WholeDisk {
    fn len(&self) -> u64 {
        self.disk.len()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.disk.read_at(buf, offset)?;
        for zeros in zero_runs(buf, offset) {
            self.judge_zeros(zeros)?;
        }
        Ok(())
    }

    fn presence(&self, range: Range<u64>, visit: PresenceVisitor<'_>) -> Result<()> {
        self.disk.presence(range, visit)
    }

    fn locate(&self, offset: u64) -> Option<Locus> {
        self.disk.locate(offset)
    }
}
