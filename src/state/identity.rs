//! Which bundle is this? By what it carries, not by where it lies.

use crate::bundle::Bundle;
use crate::disk::image_uuid;
use crate::volume::{Found, Layout, Scan};
use serde::{Deserialize, Serialize};

/// Something by which a bundle is known, the strongest first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// `uuid` of Info.plist: the image's own (since macOS 11).
    Image(String),
    /// UUID in the encryption header. A change of the password keeps it.
    Token(String),
    /// GUID of the disk in its GUID partition table (plain images only).
    Disk(String),
    /// Unique id of the HFS+ volume (plain images only).
    Volume(String),
    /// The Mac's HostUUID (or model and network address) with the bundle's name: one
    /// Mac may have several bundles, and a Mac's successor may inherit them.
    Host(String),
    /// The path, where there is nothing else.
    Path(String),
}

impl Mark {
    /// Whether two marks are of one kind.
    fn same_kind(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

/// All marks of a bundle that could be read, the strongest first. A part of the bundle
/// that is damaged takes its mark with it; the others still tell.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Identity {
    marks: Vec<Mark>,
}

impl Identity {
    /// The identity of a bundle; `None` if the source is no bundle. What needs the
    /// password plays no part, so that it does not matter whether one was given.
    pub fn of(layout: &Layout) -> Option<Self> {
        let disk = layout.disk();
        let bundle = disk.bundle()?;
        let mut marks = Vec::new();
        marks.extend(bundle.info().uuid.as_ref().map(|u| Mark::Image(u.to_uppercase())));
        marks.extend(image_uuid(bundle.token()).map(|u| Mark::Token(upper(u))));
        if !bundle.is_encrypted() {
            marks.extend(layout.scan().map(volume_marks).unwrap_or_default());
        }
        marks.extend(host(bundle, &disk.name()));
        if marks.is_empty() {
            let real = std::fs::canonicalize(disk.path());
            let path = real.as_deref().unwrap_or(disk.path());
            marks.push(Mark::Path(path.display().to_string()));
        }
        Some(Self { marks })
    }

    /// An identity of these marks, in order of strength.
    pub fn from_marks(mut marks: Vec<Mark>) -> Self {
        marks.sort_unstable();
        Self { marks }
    }

    /// Whether both are of one bundle: the strongest kind of mark that both have
    /// decides. `None`: they have no kind in common. A path tells nothing.
    pub fn matches(&self, other: &Self) -> Option<bool> {
        let mut marks = self.marks.iter().filter(|m| !matches!(m, Mark::Path(_)));
        marks.find_map(|mark| {
            let counterpart = other.marks.iter().find(|m| m.same_kind(mark))?;
            Some(mark == counterpart)
        })
    }

    /// Add the marks of kinds that are not here from what was known before.
    #[must_use]
    pub fn with(mut self, before: &Self) -> Self {
        for mark in &before.marks {
            if !self.marks.iter().any(|m| m.same_kind(mark)) {
                self.marks.push(mark.clone());
            }
        }
        Self::from_marks(self.marks)
    }

    /// A name for files: the hash of the strongest mark.
    pub fn id(&self) -> String {
        let mut hasher = blake3::Hasher::new_derive_key("tmbundle 2026 identity of a bundle");
        for mark in self.marks.iter().take(1) {
            hasher.update(serde_json::to_string(mark).unwrap_or_default().as_bytes());
        }
        let hex = hasher.finalize().to_hex();
        hex.get(..16).unwrap_or_default().to_owned()
    }

    /// Whether the bundle is known by nothing but its path.
    pub fn is_path_only(&self) -> bool {
        self.marks.iter().all(|m| matches!(m, Mark::Path(_)))
    }
}

fn upper(uuid: uuid::Uuid) -> String {
    uuid.hyphenated().to_string().to_uppercase()
}

fn host(bundle: &Bundle, name: &str) -> Option<Mark> {
    let machine = bundle.time_machine().machine?;
    let host = machine.host_uuid.or_else(|| {
        Some(format!("{} {}", machine.model.as_deref().unwrap_or(""), machine.mac_address?))
    })?;
    Some(Mark::Host(format!("{} {name}", host.to_uppercase())))
}

/// What a plain disk says of itself.
fn volume_marks(scan: &Scan) -> Vec<Mark> {
    let guid = scan.map.disk_guid.map(|g| Mark::Disk(upper(uuid::Uuid::from_bytes_le(g))));
    let id = scan.found.iter().find_map(Found::unique_id);
    guid.into_iter().chain(id.map(|id| Mark::Volume(format!("{id:016X}")))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(list: &[(&str, &str)]) -> Identity {
        let mark = |(kind, value): &(&str, &str)| match *kind {
            "image" => Mark::Image((*value).into()),
            "disk" => Mark::Disk((*value).into()),
            "host" => Mark::Host((*value).into()),
            _ => Mark::Path((*value).into()),
        };
        Identity::from_marks(list.iter().map(mark).collect())
    }

    #[test]
    fn the_strongest_mark_that_both_have_decides() {
        let a = marks(&[("host", "H"), ("image", "1")]);
        assert_eq!(a.matches(&marks(&[("image", "1"), ("host", "other")])), Some(true));
        assert_eq!(a.matches(&marks(&[("image", "2"), ("host", "H")])), Some(false));
        assert_eq!(a.matches(&marks(&[("host", "H")])), Some(true));
        assert_eq!(a.matches(&marks(&[("disk", "D")])), None);
        assert_eq!(marks(&[("path", "/a")]).matches(&marks(&[("path", "/b")])), None);
        assert_eq!(a.id(), marks(&[("image", "1")]).id());
        assert_ne!(a.id(), marks(&[("disk", "1")]).id());
        assert_eq!(a.id().len(), 16);
    }

    #[test]
    fn a_mark_that_was_known_stays_known() {
        let now = marks(&[("host", "H")]).with(&marks(&[("disk", "D"), ("host", "old")]));
        assert_eq!(now, marks(&[("disk", "D"), ("host", "H")]));
    }
}
