//! Access control lists as stored in `com.apple.system.Security` (kauth_filesec, big-endian).

use crate::bytes::Put;

/// One access control entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Ace {
    /// Who it concerns.
    pub guid: [u8; 16],
    /// Kind (1 permit, 2 deny) and inheritance bits.
    pub flags: u32,
    /// Rights bits.
    pub rights: u32,
}

/// An access control list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Acl {
    /// List flags (bit 16 defer inheritance, bit 17 no inheritance).
    pub flags: u32,
    /// The entries in order.
    pub entries: Vec<Ace>,
}

const EVERYONE: [u8; 16] =
    [0xAB, 0xCD, 0xEF, 0xAB, 0xCD, 0xEF, 0xAB, 0xCD, 0xEF, 0xAB, 0xCD, 0xEF, 0, 0, 0, 0x0C];

impl Ace {
    /// An entry for everyone.
    pub fn everyone(flags: u32, rights: u32) -> Self {
        Ace { guid: EVERYONE, flags, rights }
    }

    /// An entry for a user.
    pub fn user(uid: u32, flags: u32, rights: u32) -> Self {
        let mut guid =
            [0xFF, 0xFF, 0xEE, 0xEE, 0xDD, 0xDD, 0xCC, 0xCC, 0xBB, 0xBB, 0xAA, 0xAA, 0, 0, 0, 0];
        guid[12..].copy_from_slice(&uid.to_be_bytes());
        Ace { guid, flags, rights }
    }

    /// An entry for a group.
    pub fn group(gid: u32, flags: u32, rights: u32) -> Self {
        let mut guid = EVERYONE;
        guid[12..].copy_from_slice(&gid.to_be_bytes());
        Ace { guid, flags, rights }
    }
}

impl Acl {
    /// What Time Machine puts on everything it backs up: everyone may not write, delete, append,
    /// change attributes or take ownership.
    pub fn time_machine() -> Self {
        let rights = [2, 4, 5, 8, 10, 13].iter().fold(0, |r, bit| r | 1 << bit);
        Acl { flags: 0, entries: vec![Ace::everyone(2, rights)] }
    }

    /// The attribute's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.be32(0x012C_C16D);
        out.zeros(32);
        out.be32(self.entries.len() as u32);
        out.be32(self.flags);
        for entry in &self.entries {
            out.extend_from_slice(&entry.guid);
            out.be32(entry.flags);
            out.be32(entry.rights);
        }
        out
    }
}
