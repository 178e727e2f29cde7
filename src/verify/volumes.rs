//! What is on the disk: partition map, volumes, and the structure of each.

use super::outcome::Kinds;
use super::{Job, Layer, LayerState, Outcome, Watch};
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::io::Presence;
use crate::io::bytes::to_u64;
use crate::partition::{PartitionMap, Purpose, Scheme};
use crate::report::words::plural;
use crate::report::{Code, Finding, Reporter, Severity, Structure, Where};
use crate::volume::{self, Checked, Found, Kind, Layout, Part};

impl Job<'_> {
    /// Encryption, partition map, volumes.
    pub(super) fn disk(&self, layout: &Layout, outcome: &mut Outcome) -> Result<()> {
        let disk = layout.disk();
        if let Some(encryption) = disk.encryption() {
            outcome.encrypted = true;
            self.layer(outcome, "encryption", |reporter| {
                crate::disk::check::check(disk, reporter);
                Ok(encryption.cipher.clone())
            })?;
        } else {
            crate::disk::check::check(disk, self.reporter);
        }
        if let Err(e) = disk.bytes() {
            outcome.skip("contents", &e.to_string());
            return Ok(());
        }
        if let Some(keys) = layout.keys() {
            let finding = keys.finding();
            outcome.encrypted = true;
            outcome.skip("contents", &finding.message);
            // That another file holds keys is told with the rest of the bundle.
            if !self.reporter.any(|f| f.code == finding.code) {
                self.reporter.report(finding);
            }
            return Ok(());
        }
        let mut found = None;
        self.layer(outcome, "partitions", |reporter| match layout.scan() {
            Ok(scan) => {
                scan.findings.iter().for_each(|f| reporter.report(f.clone()));
                found = Some(scan);
                Ok(map_text(&scan.map))
            }
            Err(e @ (Error::Io { .. } | Error::Corrupt(_))) => {
                let place = Where::of(Structure::Disk);
                reporter.report(Finding::new(Code::DiskUnreadable, place, e.to_string()));
                Ok("cannot be read".into())
            }
            Err(e) => Err(e),
        })?;
        match found {
            Some(scan) => self.volumes(disk, &scan.map, &scan.found, outcome),
            None => {
                outcome.skip("contents", "the partition map cannot be read");
                Ok(())
            }
        }
    }

    fn volumes(
        &self,
        disk: &Disk,
        map: &PartitionMap,
        volumes: &[Found],
        outcome: &mut Outcome,
    ) -> Result<()> {
        let mut known = 0;
        for v in volumes {
            if v.missing > 0 {
                let (number, whole) = (v.partition.number, v.source.len());
                let text = format!(
                    "the disk ends {} bytes before the volume in partition {number} does ({whole} \
                     bytes)",
                    v.missing
                );
                // Where it ends, and as much as is missing: that costs the files there.
                let end = v.range().end.saturating_sub(v.missing);
                let place = Where::of(Structure::Volume).length(v.missing);
                let place = Where { offset: Some(end), ..place };
                self.reporter.report(Finding::new(Code::DiskCut, place, text));
            }
            match v.kind {
                _ if v.kind.can_be_checked() => {
                    known += 1;
                    self.volume(v, disk, outcome)?;
                }
                Kind::Empty | Kind::Unknown if v.partition.purpose == Purpose::Hfs => {
                    known += 1;
                    self.unrecognised(v, disk);
                    outcome.skip("contents", "no volume was recognised in the partition");
                }
                Kind::Empty | Kind::Unknown => {}
                // The EFI partition holds nothing of the backup; that it is bad is told.
                Kind::Unreadable(ref why) => {
                    known += 1;
                    let place = Where::of(Structure::Volume).at(v.source.locate(0));
                    let number = v.partition.number;
                    let text = format!("partition {number} ({}): {why}", v.partition.type_name);
                    let finding = Finding::new(Code::DiskUnreadable, place, text);
                    self.reporter.report(finding);
                    if v.partition.purpose != Purpose::Efi {
                        outcome.skip("contents", "where a volume begins, the disk cannot be read");
                    }
                }
                // The EFI partition holds nothing of the backup.
                _ if v.partition.purpose == Purpose::Efi => {}
                ref kind => {
                    known += 1;
                    let why = format!(
                        "partition {} holds {}, which tmbundle cannot check yet",
                        v.partition.number,
                        kind.name()
                    );
                    outcome.skip("contents", &why);
                }
            }
        }
        if known == 0 {
            let recognised = map.scheme != Scheme::None || disk.is_container();
            if !recognised {
                let path = disk.path().to_owned();
                let why = "no partition map and no volume that tmbundle knows".into();
                return Err(Error::NotASource { path, why });
            }
            let text = "no volume was found on the disk";
            self.reporter.report(Finding::new(Code::VolumeNone, Where::of(Structure::Disk), text));
            outcome.skip("contents", text);
        }
        Ok(())
    }

    fn unrecognised(&self, v: &Found, disk: &Disk) {
        let place = Where::of(Structure::Volume).at(v.source.locate(0));
        let what = if v.kind == Kind::Empty { "only zeros" } else { "nothing recognisable" };
        let text = format!(
            "partition {} ({}) begins with {what}, expected a volume",
            v.partition.number, v.partition.type_name
        );
        let finding = Finding::new(Code::VolumeUnknown, place, text);
        // Zeros that are stored were written so: never formatted rather than lost,
        // unless Time Machine has been here.
        let used = disk.bundle().is_some_and(|b| b.time_machine().machine.is_some())
            || holds_data(v, disk);
        let mut stored = !used;
        let told = v.source.presence(0..v.source.len().min(4096), &mut |_, p| {
            stored &= p == Presence::Stored;
        });
        let unformatted = v.kind == Kind::Empty && told.is_ok() && stored;
        let severity = if unformatted { Severity::Warning } else { Severity::Damage };
        self.reporter.report(finding.severity(severity));
    }

    fn volume(&self, v: &Found, disk: &Disk, outcome: &mut Outcome) -> Result<()> {
        let watch = Watch::new(self.reporter);
        let checked = if self.options.quick {
            outcome.skip_as_asked("volume", "--quick was asked for");
            volume::try_passwords(v, disk.asker(), &watch);
            Checked::default()
        } else {
            volume::check(v, disk.asker(), &watch, self.progress)?
        };
        let found = watch.into_found();
        let no_key = |kind: &Kinds| matches!(kind.0, Code::PasswordWrong | Code::PasswordUnread);
        outcome.wrong_password |= found.iter().any(no_key);
        for Part { name, text, worst, scope } in checked.parts {
            let mut layer = Layer::new(name, LayerState::of(worst), text);
            let here = |kind: &&Kinds| {
                kind.1 == scope.partition && (scope.volume.is_none() || kind.2 == scope.volume)
            };
            layer.found = found.iter().filter(here).copied().collect();
            outcome.layers.push(layer);
        }
        for (what, why) in checked.not_checked {
            outcome.skip(&what, &why);
        }
        Ok(())
    }
}

/// Places at which data is looked for.
const LOOKED_AT: u64 = 256;

/// Whether something other than zeros lies in a partition, so that it was not left empty
/// when it was new.
fn holds_data(v: &Found, disk: &Disk) -> bool {
    let range = v.range();
    let mut places: Vec<u64> = (0..LOOKED_AT).map(|n| v.source.len() / LOOKED_AT * n).collect();
    if let Some(bundle) = disk.bundle() {
        let bands = bundle.bands();
        let present = bands.list().map(|l| l.present).unwrap_or_default();
        let step = present.len().div_ceil(crate::io::bytes::to_usize(LOOKED_AT)).max(1);
        let starts = present.into_iter().step_by(step).map(|n| bands.range(n).start);
        places.extend(starts.filter(|at| range.contains(at)).map(|at| at - range.start));
    }
    // A new volume's own bytes are few, and lie at both ends.
    let inner = 1 << 20..v.source.len().saturating_sub(1 << 20);
    places.into_iter().filter(|at| inner.contains(at)).any(|at| {
        let read = crate::io::read_up_to(&*v.source, at, 4096);
        read.is_ok_and(|bytes| !crate::io::bytes::all_zero(&bytes))
    })
}

fn map_text(map: &PartitionMap) -> String {
    match map.scheme {
        Scheme::None => match map.partitions.iter().find(|p| p.is_searched()) {
            Some(p) => format!("no map; a volume was found at byte {}", p.start),
            None => "no map: one volume fills the disk".into(),
        },
        Scheme::Gpt if map.from_backup => "GPT, read from its backup".into(),
        scheme => {
            let n = plural(to_u64(map.partitions.len()), "partition", "partitions");
            format!("{}, {n}", scheme.name())
        }
    }
}
