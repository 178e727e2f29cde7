//! A file's recorded checksum decides whether its zeros are right.

use super::rule::{Facts, Judged, OpenView, Standing};
use crate::error::Result;
use crate::fs::{FileSystem, NodeId, Stream, ViewId};
use crate::io::bytes::to_usize;
use crate::io::{Presence, ReadAt};
use crate::timemachine::checksum::{Cksum, agrees, is_name, parse};

/// Bytes read at a time.
const PIECE: u64 = 1 << 20;

/// Most files, and most bytes of one, that are read to decide what a report says.
const MAX_FILES: usize = 16;
const MAX_BYTES: u64 = 4 << 30;
/// Most bytes of all files in a run that seems lost, of which a checksum may say otherwise.
const MAX_LOST_BYTES: u64 = 64 << 20;

/// Let recorded checksums decide a doubt about a run in which few files lie. Costs reading
/// these files.
pub fn decide(view: OpenView<'_>, facts: &Facts, how: Presence, judged: Judged) -> Judged {
    // What cannot be read has no checksum.
    if judged.standing < Standing::Doubtful || how == Presence::Unreadable {
        return judged;
    }
    let files: Vec<(ViewId, NodeId)> = facts.files().collect();
    if judged.standing == Standing::Lost && !is_cheap(view, facts, &files) {
        return judged;
    }
    let mut fit = 0;
    for (at, node) in files.iter().take(MAX_FILES) {
        let Some(fs) = view(*at) else { return judged };
        if !fs.metadata(*node).is_ok_and(|m| m.size <= MAX_BYTES) {
            continue;
        }
        let Ok(contents) = fs.open(*node, &Stream::Data) else { return judged };
        match recorded(&*fs, *node, &*contents) {
            Ok(Recorded::Fits) => fit += 1,
            Ok(Recorded::Differs) => {
                let why = "the checksum that Time Machine recorded does not fit".into();
                return Judged { standing: Standing::Lost, why };
            }
            _ => {}
        }
    }
    if fit == files.len() && fit > 0 && facts.is_files_only() {
        let why = "the checksum that Time Machine recorded fits".into();
        return Judged { standing: Standing::Free, why };
    }
    judged
}

/// Whether the few files of a run can be read to contradict its loss.
fn is_cheap(view: OpenView<'_>, facts: &Facts, files: &[(ViewId, NodeId)]) -> bool {
    let size = |(at, node): &(ViewId, NodeId)| {
        view(*at).and_then(|fs| fs.metadata(*node).ok()).map_or(u64::MAX, |m| m.size)
    };
    facts.is_files_only()
        && (1..=MAX_FILES).contains(&files.len())
        && files.iter().map(size).fold(0, u64::saturating_add) <= MAX_LOST_BYTES
}

/// What a file's recorded checksum says of its contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// There is none.
    None,
    /// They are what Time Machine copied.
    Fits,
    /// They are not.
    Differs,
}

/// Compare `contents`, a file's data with zeros for what is not stored, with the checksum
/// that Time Machine recorded.
///
/// # Errors
/// What cannot be read.
pub fn recorded(fs: &dyn FileSystem, node: NodeId, contents: &dyn ReadAt) -> Result<Recorded> {
    let Some(name) = fs.xattrs(node)?.into_iter().map(|x| x.name).find(|n| is_name(n)) else {
        return Ok(Recorded::None);
    };
    let Some(wanted) = fs.xattr(node, &name)?.as_deref().and_then(parse) else {
        return Ok(Recorded::None);
    };
    let mut sum = Cksum::default();
    let mut buf = vec![0; to_usize(PIECE.min(contents.len()))];
    let mut at = 0;
    while at < contents.len() {
        let n = PIECE.min(contents.len() - at);
        let piece = buf.get_mut(..to_usize(n)).unwrap_or_default();
        contents.read_at(piece, at)?;
        sum.update(piece);
        at += n;
    }
    let fits = agrees(fs, &fs.metadata(node)?, wanted, sum.finish());
    Ok(if fits { Recorded::Fits } else { Recorded::Differs })
}
