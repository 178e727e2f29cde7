//! Names and forms under which programs on Linux look for a Mac's attributes.

use crate::extract::options::XattrNames;
use crate::fs::Time;

/// The kernel's limit for a value.
pub const MAX_VALUE: u64 = 65_536;

/// Samba's `streams_xattr` keeps a stream in an attribute of this name, with a zero
/// byte behind its value.
const STREAM: &str = "user.DosStream.";
const STREAM_END: &str = ":$DATA";
const NETATALK: &str = "user.org.netatalk.Metadata";
/// Length of Netatalk's metadata (`AD_DATASZ_EA`).
const NETATALK_LEN: usize = 402;
/// Seconds from 1970 to 2000, where AppleDouble's dates begin.
const EPOCH: i64 = 946_684_800;
const NO_DATE: u32 = 0x8000_0000;

/// Gives attributes their names and forms.
pub struct Named<'a> {
    pub names: XattrNames,
    pub set: &'a mut dyn FnMut(&str, &[u8]) -> bool,
}

impl Named<'_> {
    /// An attribute of exactly this name.
    pub fn plain(&mut self, name: &str, value: &[u8]) -> bool {
        (self.set)(name, value)
    }

    fn stream(&mut self, name: &str, value: &[u8]) -> bool {
        let mut value = value.to_vec();
        value.push(0);
        (self.set)(&format!("{STREAM}{name}{STREAM_END}"), &value)
    }

    /// A Mac's attribute.
    pub fn attribute(&mut self, name: &str, value: &[u8]) -> bool {
        match self.names {
            XattrNames::User | XattrNames::Netatalk => (self.set)(&format!("user.{name}"), value),
            XattrNames::Samba => self.stream(name, value),
        }
    }

    /// The resource fork.
    pub fn fork(&mut self, value: &[u8]) -> bool {
        match self.names {
            XattrNames::Samba => self.stream("AFP_Resource", value),
            _ => (self.set)("user.com.apple.ResourceFork", value),
        }
    }

    /// Finder information.
    pub fn finder_info(&mut self, info: &[u8; 32], birth: Option<Time>) -> bool {
        match self.names {
            XattrNames::User => (self.set)("user.com.apple.FinderInfo", info),
            XattrNames::Samba => self.stream("AFP_AfpInfo", &afp_info(info)),
            XattrNames::Netatalk => (self.set)(NETATALK, &netatalk(info, birth)),
        }
    }
}

/// Samba's `AfpInfo`, 60 bytes, big-endian.
fn afp_info(finder: &[u8; 32]) -> Vec<u8> {
    let mut info = Vec::with_capacity(60);
    info.extend(b"AFP\0");
    info.extend(0x0001_0000_u32.to_be_bytes());
    info.extend([0; 4]);
    info.extend(NO_DATE.to_be_bytes());
    info.extend(finder);
    info.resize(60, 0);
    info
}

/// Netatalk's metadata: an AppleDouble header with eight entries in a fixed place each
/// (`adouble.h` of Netatalk 3, `ad_header_ea`; `vfs_fruit.c` of Samba reads the same).
fn netatalk(finder: &[u8; 32], birth: Option<Time>) -> Vec<u8> {
    const FINDER: u32 = 9;
    const COMMENT: u32 = 4;
    const DATES: u32 = 8;
    const AFP_FILE: u32 = 14;
    let entries: [(u32, u32, u32); 4] =
        [(FINDER, 122, 32), (COMMENT, 154, 0), (DATES, 354, 16), (AFP_FILE, 370, 4)];
    // Netatalk's own: device, inode, synchronisation, folder number; all unknown.
    let private: [(u32, u32, u32); 4] = [
        (0x8044_4556, 374, 8),
        (0x8049_4E4F, 382, 8),
        (0x8053_594E, 390, 8),
        (0x8053_567E, 398, 4),
    ];
    let mut out = Vec::with_capacity(NETATALK_LEN);
    out.extend(0x0005_1607_u32.to_be_bytes());
    out.extend(0x0002_0000_u32.to_be_bytes());
    out.extend(b"Netatalk        ");
    out.extend(8u16.to_be_bytes());
    for (kind, at, len) in entries.into_iter().chain(private) {
        out.extend([kind, at, len].into_iter().flat_map(u32::to_be_bytes));
    }
    out.extend(finder);
    out.resize(354, 0);
    let date = |t: Option<Time>| {
        let seconds = t.and_then(|t| i32::try_from(t.seconds - EPOCH).ok());
        seconds.map_or(NO_DATE.to_be_bytes(), i32::to_be_bytes)
    };
    out.extend(date(birth));
    out.extend([NO_DATE; 3].into_iter().flat_map(u32::to_be_bytes));
    out.resize(NETATALK_LEN, 0);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn netatalks_metadata_has_its_length_and_its_place_for_finder_information() {
        let blob = netatalk(&[7; 32], Some(Time { seconds: EPOCH + 5, nanoseconds: 0 }));
        assert_eq!(blob.len(), 402);
        assert_eq!(blob[122..154], [7; 32]);
        assert_eq!(blob[354..358], [0, 0, 0, 5]);
    }
}
