//! Structures as text: whoever knows them shows them.

use super::{Found, Kind, Layout};
use crate::error::{Error, Result};
use crate::report::dump::Dumped;
use crate::{apfs, disk, hfsplus, partition};

/// The structure that only an encrypted bundle has.
const TOKEN: &str = "token";

/// The names that [`dump`] knows, with what has them.
pub fn structures() -> Vec<(&'static str, Vec<&'static str>)> {
    vec![
        ("an encrypted bundle", vec![TOKEN]),
        ("a disk", partition::dump::STRUCTURES.to_vec()),
        ("HFS+", hfsplus::dump::STRUCTURES.to_vec()),
        ("APFS", apfs::dump::STRUCTURES.to_vec()),
    ]
}

fn is_one_of(structure: &str, all: &[&str]) -> bool {
    let first = |text: &str| text.split(['/', '[']).next().map(str::to_owned);
    all.iter().any(|known| first(known) == first(structure))
}

/// A structure of a disk, or of the volume in one of its partitions, as text: its fields with
/// their values, and where it lies. Of several volumes the first is meant whose format has
/// such a structure.
///
/// # Errors
/// [`Error::Invalid`] for a name that is not known, [`Error::NotFound`] for what is not
/// there; errors of reading.
pub fn dump(layout: &Layout, structure: &str) -> Result<Dumped> {
    if structure == TOKEN {
        return disk::dump::dump(layout.disk());
    }
    if is_one_of(structure, partition::dump::STRUCTURES) {
        return partition::dump::dump(
            &**layout.disk().bytes().as_ref().map_err(Error::again)?,
            structure,
        );
    }
    let of_hfs = is_one_of(structure, hfsplus::dump::STRUCTURES);
    if !of_hfs && !is_one_of(structure, apfs::dump::STRUCTURES) {
        let all = structures().into_iter().flat_map(|(_, names)| names);
        let all: Vec<&str> = all.collect();
        let text = format!("{structure} is no structure; known are {}", all.join(", "));
        return Err(Error::Invalid(text));
    }
    let has = |found: &&Found| if of_hfs { found.hfs.is_some() } else { found.kind == Kind::Apfs };
    let found = layout.scan()?.found.iter().find(has);
    let none = || {
        let format = if of_hfs { "HFS+" } else { "APFS" };
        Error::NotFound(format!("{}: there is no {format} partition", layout.disk().name()))
    };
    let found = found.ok_or_else(none)?;
    match &found.hfs {
        Some(shared) if of_hfs => hfsplus::dump::dump(shared, structure),
        None if !of_hfs => apfs::dump::dump(&found.source, structure),
        _ => Err(none()),
    }
}
