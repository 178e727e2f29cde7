//! What Samba keeps in its databases, which only root may read.

use super::{Gathered, Wanted};
use crate::bundle::samba::lock_folders;
use crate::config::samba::{Samba, value};
use crate::config::tdb::Tdb;
use crate::io::bytes::{array, le32, le64};
use crate::server::host::ForeignSid;
use crate::server::text::Root;
use std::collections::BTreeSet;
use std::io::Read;

/// Where passwords and identities are, unless the configuration says otherwise.
const PRIVATE: &[&str] = &["/var/lib/samba/private", "/usr/local/samba/private"];
const SMBD: &[&str] = &["/usr/sbin/smbd", "/usr/local/samba/sbin/smbd", "/usr/local/sbin/smbd"];

pub(super) fn look(wanted: &Wanted<'_>, all: &mut Gathered) {
    let Some(samba) = all.setup.samba.as_ref().filter(|s| s.time_machines().next().is_some())
    else {
        return;
    };
    let root = wanted.root;
    all.host.samba_32bit = SMBD.iter().find_map(|path| is_narrow(root, path));
    let users = users(root, samba);
    let sid = foreign(root, samba, all.host.name.as_deref(), wanted.now);
    match users {
        Ok(users) => all.host.samba_users = users,
        Err(why) => all.unseen("who has a password with Samba", why),
    }
    match sid {
        Ok(sid) => all.host.foreign_sid = sid,
        Err(why) => all.unseen("whether Samba's cache is of another name of the server", why),
    }
}

/// Whether a program is one of 32 bits, by the head that all programs have (elf(5)).
fn is_narrow(root: &Root, path: &str) -> Option<bool> {
    let mut head = [0u8; 5];
    root.file(path).ok()?.take(5).read_exact(&mut head).ok()?;
    head.starts_with(b"\x7fELF").then_some(head[4] == 1)
}

/// The first of a database's possible places where it is.
fn first(root: &Root, folders: &[String], name: &str) -> Result<Option<Tdb>, String> {
    for folder in folders {
        let path = format!("{}/{name}", folder.trim_end_matches('/'));
        if let Some(tdb) = Tdb::open(root, &path)? {
            return Ok(Some(tdb));
        }
    }
    Ok(None)
}

fn private(samba: &Samba) -> Vec<String> {
    let set = samba.global("privatedir").or_else(|| samba.global("privatedirectory"));
    match set {
        Some(set) => vec![value::unquoted(&set.value)],
        None => PRIVATE.iter().map(|p| (*p).to_owned()).collect(),
    }
}

/// Users by Samba's own list, in lower case; `None` if there is none.
fn users(root: &Root, samba: &Samba) -> Result<Option<BTreeSet<String>>, String> {
    let backend = samba.global("passdbbackend").map(|s| value::unquoted(&s.value));
    let backend = backend.unwrap_or_else(|| "tdbsam".to_owned());
    let tdb = match backend.split_once(':') {
        Some(("tdbsam", path)) => Tdb::open(root, path)?,
        None if backend == "tdbsam" => first(root, &private(samba), "passdb.tdb")?,
        _ => return Err(format!("they are in {backend}")),
    };
    let name = |key: &[u8]| {
        let name = key.strip_prefix(b"USER_")?;
        let name = String::from_utf8_lossy(name.strip_suffix(b"\0").unwrap_or(name)).to_lowercase();
        Some(name)
    };
    Ok(tdb.map(|tdb| tdb.records().into_iter().filter_map(|(key, _)| name(key)).collect()))
}

/// A user whom the cache has as one of another server than this.
fn foreign(
    root: &Root,
    samba: &Samba,
    host: Option<&str>,
    now: i64,
) -> Result<Option<ForeignSid>, String> {
    let name = samba.global("netbiosname").map(|s| s.value.clone());
    let Some(name) = name.or_else(|| host.map(|h| h.chars().take(15).collect())) else {
        return Ok(None);
    };
    let Some(secrets) = first(root, &private(samba), "secrets.tdb")? else { return Ok(None) };
    let key = format!("SECRETS/SID/{}", name.to_uppercase());
    let is_own = |k: &[u8]| k.strip_suffix(b"\0").unwrap_or(k) == key.as_bytes();
    let records = secrets.records();
    let own = records.iter().find(|(k, _)| is_own(k)).and_then(|(_, data)| identity(data));
    let Some(own) = own else { return Ok(None) };
    let mut folders = lock_folders(Some(samba));
    folders.extend(samba.global("cachedirectory").map(|s| value::unquoted(&s.value)));
    let Some(cache) = first(root, &folders, "gencache.tdb")? else { return Ok(None) };
    let mut all: Vec<ForeignSid> = cache
        .records()
        .into_iter()
        .filter_map(|(key, data)| cached(key, data, now))
        .filter(|(_, sid)| sid.rsplit_once('-').is_some_and(|(server, _)| server != own))
        .map(|(uid, cached)| ForeignSid { uid, cached, own: own.clone() })
        .collect();
    all.sort_by(|a, b| a.uid.cmp(&b.uid));
    Ok(all.into_iter().next())
}

/// An identity in text: a revision, a count, an authority of six bytes, numbers.
fn identity(data: &[u8]) -> Option<String> {
    let count = usize::from(*data.get(1)?);
    let [a, b, c, d, e, f] = array::<6>(data, 2)?;
    let authority = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
    let mut text = format!("S-{}-{authority}", data.first()?);
    for n in 0..count.min(15) {
        text.push_str(&format!("-{}", le32(data, 8 + 4 * n)?));
    }
    Some(text)
}

/// A user's number and identity by an entry of the cache that still holds: when it ends, then
/// the text.
fn cached(key: &[u8], data: &[u8], now: i64) -> Option<(String, String)> {
    let uid = key.strip_prefix(b"IDMAP/UID2SID/")?;
    let uid = String::from_utf8_lossy(uid.strip_suffix(b"\0").unwrap_or(uid)).into_owned();
    let ends = i64::try_from(le64(data, 0)?).ok()?;
    let text = data.get(8..)?.split(|b| *b == 0).next()?;
    let text = std::str::from_utf8(text).ok()?;
    // Others are of no server: S-1-22 are users that only Unix knows.
    (ends > now && text.starts_with("S-1-5-21-")).then(|| (uid, text.to_owned()))
}
