//! `tmbundle cat`.

use super::args::CatArgs;
use super::flags::exit_of;
use super::output::{self, Exit};
use super::password::Prompt;
use std::io::Write;
use tmbundle::Error;
use tmbundle::extract::{recorded_checksum, wrong_checksum};
use tmbundle::fs::{FileSystem, Kind, Metadata, Stream};
use tmbundle::io::ReadAt;
use tmbundle::io::bytes::to_usize;
use tmbundle::losses::{Doubt, Guard, Standing};
use tmbundle::report::words::bytes;
use tmbundle::timemachine::LastLink;
use tmbundle::timemachine::checksum::{Cksum, agrees};

/// Bytes read at a time.
const PIECE: u64 = 1 << 20;

pub fn run(args: &CatArgs) -> anyhow::Result<Exit> {
    let layout = args.password.open_how(&args.source, Prompt::Yes, &args.access.access())?;
    let archive = args.salvage.open(&layout)?;
    let place = archive.find_to(&args.address, LastLink::Follow)?;
    if place.node.kind != Kind::File {
        return Err(Error::Invalid(format!("{} is not a file", args.address)).into());
    }
    let stream = if args.resource_fork { Stream::Resource } else { Stream::Data };
    let recorded = match stream {
        Stream::Data => recorded_checksum(&*place.fs, &place.node),
        _ => Ok(None),
    };
    let (fs, meta) = (place.fs.clone(), place.node.clone());
    let mut sum = Cksum::default();
    let evidence = super::memory::evidence(&layout);
    let guard = Guard::of_view(place.volume, place.view, place.fs, evidence, args.lost.policy());
    let source = guard.open(place.node.id, &stream).map_err(|e| e.within(&args.address))?;
    let mut out = std::io::stdout().lock();
    let mut buf = vec![0; to_usize(PIECE.min(source.len()))];
    let mut at = 0;
    while at < source.len() {
        let n = PIECE.min(source.len() - at);
        let piece = &mut buf[..to_usize(n)];
        source.read_at(piece, at).map_err(|e| e.within(&args.address))?;
        out.write_all(piece)?;
        sum.update(piece);
        at += n;
    }
    out.flush()?;
    let mut exit = exit_of(&archive);
    if let Some(doubt) = source.doubt() {
        output::note(&format!("{}: {}", args.address, doubted(&doubt)));
        exit = Exit::Findings;
    }
    if let Some(wrong) = wrong(&*fs, &meta, recorded, sum.finish()) {
        output::note(&format!("{}: {wrong}", args.address));
        exit = Exit::Findings;
    }
    Ok(if super::busy::unsteady(layout.disk()) { Exit::Findings } else { exit })
}

/// What is wrong with the bytes that were written, by what Time Machine recorded.
fn wrong(
    fs: &dyn FileSystem,
    meta: &Metadata,
    recorded: tmbundle::Result<Option<u32>>,
    found: u32,
) -> Option<String> {
    match recorded {
        Ok(Some(recorded)) if !agrees(fs, meta, recorded, found) => Some(format!(
            "the bytes that were written are damaged: {}",
            wrong_checksum(recorded, found)
        )),
        Ok(_) => None,
        Err(e) => Some(format!("what was written could not be compared with its checksum: {e}")),
    }
}

/// What was given as zeros, for people.
pub fn doubted(doubt: &Doubt) -> String {
    let bytes = bytes(doubt.bytes);
    match doubt.standing {
        Standing::Lost => format!("{bytes} of it are lost and given as zeros: {}", doubt.why),
        _ => format!("{bytes} of it are given as zeros but may be lost: {}", doubt.why),
    }
}
