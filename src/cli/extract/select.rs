//! From arguments to what is restored, and how.

use super::args::{Conflict, ExtractArgs, FallbackTo, Mac, Xattrs};
use jiff::{Span, Timestamp, civil, tz::TimeZone};
use std::collections::HashMap;
use std::sync::Arc;
use tmbundle::Error;
use tmbundle::extract::{
    Chosen, Fallback, MacMetadata, OnConflict, Options, Owners, Part, Reading, Snapshots,
    XattrNames,
};
use tmbundle::fs::{Kind, Time, resolve};
use tmbundle::losses::{Evidence, Guard, Policy};
use tmbundle::timemachine::{Archive, LastLink, Place};

fn moment(text: &str, whole_day: bool) -> Result<Timestamp, String> {
    let wrong = || format!("'{text}' is not a date such as 2019-11-10 or 2019-11-10T14:30");
    if let Ok(exact) = text.parse::<Timestamp>() {
        return Ok(exact);
    }
    let zoned = |t: civil::DateTime| t.to_zoned(TimeZone::system()).map(|z| z.timestamp());
    if let Ok(day) = text.parse::<civil::Date>() {
        let day = if whole_day { day.tomorrow().map_err(|_| wrong())? } else { day };
        let at = zoned(day.at(0, 0, 0, 0)).map_err(|_| wrong())?;
        return Ok(if whole_day { at - Span::new().microseconds(1) } else { at });
    }
    text.parse::<civil::DateTime>().ok().and_then(|t| zoned(t).ok()).ok_or_else(wrong)
}

/// A moment; of a day its end.
pub fn moment_at_end(text: &str) -> Result<Timestamp, String> {
    moment(text, true)
}

/// A moment, or so long ago; of a day its beginning.
pub fn moment_or_age(text: &str) -> Result<Timestamp, String> {
    match tmbundle::verify::duration(text) {
        Ok(age) => {
            Timestamp::now().checked_sub(age).map_err(|_| format!("'{text}' is too long ago"))
        }
        Err(_) => moment(text, false),
    }
}

/// Find every address. All must be right before anything is written.
pub fn places<'a>(args: &ExtractArgs, archive: &'a Archive) -> Result<Vec<Place<'a>>, Error> {
    let at = args.choice.at.map(Timestamp::as_microsecond);
    args.addresses.iter().map(|a| archive.find_as_of(a, LastLink::Keep, at)).collect()
}

/// The other snapshots of each place.
pub fn versions<'a>(
    archive: &'a Archive,
    places: &[Place<'a>],
    readings: &[Reading],
    evidence: &Arc<Evidence>,
    policy: Policy,
) -> Vec<Option<Snapshots<'a>>> {
    let each = places.iter().zip(readings);
    each.map(|(place, own)| Snapshots::beside(archive, place, own, evidence, policy)).collect()
}

/// Where each place is read from. What is known of lost bytes is shared by all in one
/// view of a volume.
pub fn readings(places: &[Place<'_>], evidence: &Arc<Evidence>, policy: Policy) -> Vec<Reading> {
    let mut readings: Vec<Reading> = Vec::new();
    for (i, place) in places.iter().enumerate() {
        let same = |other: &Place<'_>| {
            std::ptr::eq(other.volume, place.volume) && other.view == place.view
        };
        let known = places.iter().take(i).position(same).and_then(|at| readings.get(at)).cloned();
        let reading = known.unwrap_or_else(|| {
            let (volume, fs) = (place.volume, place.fs.clone());
            let guard = Guard::of_view(volume, place.view, fs, evidence.clone(), policy);
            Reading { fs: place.fs.clone(), guard: Some(guard) }
        });
        readings.push(reading);
    }
    readings
}

/// Name under which a place is restored; none for the whole of a snapshot or volume.
fn name<'p>(place: &'p Place<'_>) -> Option<&'p str> {
    place.path.rsplit('/').next().filter(|n| !n.is_empty())
}

/// What is restored. Places that would meet go below a folder named after their
/// snapshot.
pub fn parts<'a>(
    places: &'a [Place<'a>],
    readings: &[Reading],
    versions: &'a [Option<Snapshots<'a>>],
) -> Result<Vec<Part<'a>>, Error> {
    let meets = |i: usize, place: &Place<'_>| {
        let same = |(j, other): (usize, &Place<'_>)| {
            i != j
                && match (name(place), name(other)) {
                    (Some(a), Some(b)) => a == b,
                    // The whole of a snapshot may hold any name.
                    _ => true,
                }
        };
        places.iter().enumerate().any(same)
    };
    let mut parts: Vec<Part<'a>> = Vec::new();
    for (i, place) in places.iter().enumerate() {
        let under = match (meets(i, place), place.snapshot) {
            (false, _) => Vec::new(),
            (true, Some(snapshot)) => vec![snapshot.name.clone()],
            (true, None) => vec![format!("volume {}", place.volume.name())],
        };
        let name = name(place).map(str::to_owned);
        if parts
            .iter()
            .any(|p| p.under == under && (p.name == name || name.is_none() || p.name.is_none()))
        {
            return Err(Error::Invalid(format!(
                "two addresses would both be restored as '{}': restore one at a time, into \
                 two folders",
                name.unwrap_or_else(|| under.join("/"))
            )));
        }
        let versions =
            versions.get(i).and_then(Option::as_ref).map(|v| v as &dyn tmbundle::extract::Versions);
        parts.push(Part {
            from: readings.get(i).cloned().unwrap_or(Reading { fs: place.fs.clone(), guard: None }),
            node: place.node.clone(),
            name,
            under,
            backup: place.snapshot.is_some(),
            versions,
        });
    }
    Ok(parts)
}

/// How it is restored.
pub fn options(args: &ExtractArgs, places: &[Place<'_>]) -> Result<Options, Error> {
    let newer = args.choice.newer_than.map(|t| Time {
        seconds: t.as_second(),
        nanoseconds: u32::try_from(t.subsec_nanosecond()).unwrap_or(0),
    });
    Ok(Options {
        owners: owners(args, places)?,
        devices: args.metadata.devices,
        setid: args.metadata.setid,
        mac: match args.metadata.mac_metadata {
            Mac::Auto => MacMetadata::Auto,
            Mac::Xattr => MacMetadata::Xattr,
            Mac::Appledouble => MacMetadata::AppleDouble,
            Mac::None => MacMetadata::None,
        },
        xattr_names: match args.metadata.xattrs {
            Xattrs::User => XattrNames::User,
            Xattrs::Samba => XattrNames::Samba,
            Xattrs::Netatalk => XattrNames::Netatalk,
        },
        chosen: Chosen::new(&args.choice.include, &args.choice.exclude, newer)?,
        on_conflict: match args.choice.on_conflict {
            Conflict::Identical => OnConflict::Identical,
            Conflict::Skip => OnConflict::Skip,
            Conflict::Overwrite => OnConflict::Overwrite,
            Conflict::Rename => OnConflict::Rename,
            Conflict::Newer => OnConflict::Newer,
        },
        checksum: args.choice.checksum,
        fallback: args.damage.fallback.map(|f| match f {
            FallbackTo::Previous => Fallback::Previous,
            FallbackTo::Next => Fallback::Next,
            FallbackTo::Nearest => Fallback::Nearest,
        }),
        salvage: args.damage.salvage,
        ignore_checksums: args.damage.ignore_checksums,
        force: args.force,
        no_sync: args.no_sync,
        verify: args.verify,
        jobs: args.access.jobs(),
    })
}

fn owners(args: &ExtractArgs, places: &[Place<'_>]) -> Result<Owners, Error> {
    let m = &args.metadata;
    let asked = m.owner.is_some() || !m.map_user.is_empty() || !m.map_group.is_empty();
    let root = rustix::process::geteuid().is_root();
    let mut owners = Owners { set: (root || asked) && !m.no_owners, ..Owners::default() };
    if let Some(owner) = &m.owner {
        let (user, group) = match owner.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (owner.as_str(), None),
        };
        owners.user = Some(id("/etc/passwd", user)?);
        owners.group = group.map(|g| id("/etc/group", g)).transpose()?;
    }
    owners.users = map(&m.map_user, "/etc/passwd", &|name| mac_user(places, name))?;
    owners.groups = map(&m.map_group, "/etc/group", &|_| None)?;
    Ok(owners)
}

fn map(
    pairs: &[String],
    file: &str,
    of_mac: &dyn Fn(&str) -> Option<u32>,
) -> Result<HashMap<u32, u32>, Error> {
    let pair = |text: &String| {
        let (from, to) = text
            .split_once(':')
            .ok_or_else(|| Error::Invalid(format!("'{text}' is not of the form FROM:TO")))?;
        let found = from.parse().ok().or_else(|| of_mac(from));
        let from = found.ok_or_else(|| {
            Error::NotFound(format!("'{from}' has no folder in the backup's Users: give a number"))
        })?;
        Ok((from, id(file, to)?))
    };
    pairs.iter().map(pair).collect()
}

/// The number of a user or group of this server.
fn id(file: &str, name: &str) -> Result<u32, Error> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let found = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
    });
    found.ok_or_else(|| Error::NotFound(format!("'{name}' is not in {file}: give a number")))
}

/// The number of a user of the Mac: whose folder in Users it is.
fn mac_user(places: &[Place<'_>], name: &str) -> Option<u32> {
    let path = format!("Users/{name}");
    places.iter().find_map(|place| {
        let fs = &*place.fs;
        // Of a snapshot on HFS+ the stores of the Mac's volumes lie in its folder.
        let stores = place.snapshot.map(|s| s.volumes.as_slice()).unwrap_or_default();
        let tops: Vec<Option<&str>> = match stores.is_empty() {
            true => vec![None],
            false => stores.iter().map(|v| Some(v.name.as_str())).chain([None]).collect(),
        };
        let top = match place.snapshot {
            Some(snapshot) => place.volume.enter(snapshot).ok()?.1,
            None => fs.root(),
        };
        let home = tops.into_iter().find_map(|store| {
            let path = store.map_or_else(|| path.clone(), |s| format!("{s}/{path}"));
            resolve(fs, top, &path).ok()
        })?;
        (home.kind == Kind::Directory).then_some(home.uid)
    })
}
