//! Access control lists (`kauth_filesec` of XNU; the same on both formats).

use crate::io::bytes::{array, be32, usize32};
use std::fmt;

const MAGIC: u32 = 0x012C_C16D;
const NO_ACL: u32 = 0xFFFF_FFFF;
const MAX_ENTRIES: u32 = 128;

/// Rights by bit, as `chmod +a` names them: of files, and of folders where the
/// name differs.
const RIGHTS: &[(u32, &str, &str)] = &[
    (1, "read", "list"),
    (2, "write", "add_file"),
    (3, "execute", "search"),
    (4, "delete", "delete"),
    (5, "append", "add_subdirectory"),
    (6, "delete_child", "delete_child"),
    (7, "readattr", "readattr"),
    (8, "writeattr", "writeattr"),
    (9, "readextattr", "readextattr"),
    (10, "writeextattr", "writeextattr"),
    (11, "readsecurity", "readsecurity"),
    (12, "writesecurity", "writesecurity"),
    (13, "chown", "chown"),
    (20, "synchronize", "synchronize"),
    (21, "generic_all", "generic_all"),
    (22, "generic_execute", "generic_execute"),
    (23, "generic_write", "generic_write"),
    (24, "generic_read", "generic_read"),
];

const INHERITANCE: &[(u32, &str)] = &[
    (0x20, "file_inherit"),
    (0x40, "directory_inherit"),
    (0x80, "limit_inherit"),
    (0x100, "only_inherit"),
];

/// One entry of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Whom it concerns.
    pub who: [u8; 16],
    /// Kind (low nibble) and inheritance.
    pub flags: u32,
    /// Rights, bit by bit.
    pub rights: u32,
}

/// A decoded list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acl {
    /// Entries in order.
    pub entries: Vec<Entry>,
    /// List flags.
    pub flags: u32,
}

impl Acl {
    /// Decode the value of `com.apple.system.Security`. `Ok(None)`: it says there
    /// is no list.
    ///
    /// # Errors
    /// A sentence on what is wrong with it.
    pub fn parse(value: &[u8]) -> Result<Option<Self>, String> {
        let (Some(magic), Some(count), Some(flags)) =
            (be32(value, 0), be32(value, 36), be32(value, 40))
        else {
            return Err(format!("{} bytes, too short for an access control list", value.len()));
        };
        if magic != MAGIC {
            return Err(format!("magic {magic:#010x}, expected {MAGIC:#010x}"));
        }
        if count == NO_ACL {
            return Ok(None);
        }
        if count > MAX_ENTRIES || value.len() != 44 + 24 * usize32(count) {
            return Err(format!("{count} entries in {} bytes", value.len()));
        }
        let entries = value
            .get(44..)
            .unwrap_or_default()
            .chunks_exact(24)
            .filter_map(|e| {
                Some(Entry { who: array(e, 0)?, flags: be32(e, 16)?, rights: be32(e, 20)? })
            })
            .collect();
        Ok(Some(Self { entries, flags }))
    }

    /// One line an entry, in the words of `ls -le`.
    pub fn lines(&self, directory: bool) -> Vec<String> {
        self.entries
            .iter()
            .enumerate()
            .map(|(i, e)| format!("{i}: {}", e.text(directory)))
            .collect()
    }
}

impl Entry {
    fn text(&self, directory: bool) -> String {
        let kind = match self.flags & 0xF {
            1 => "allow".to_string(),
            2 => "deny".to_string(),
            3 => "audit".to_string(),
            4 => "alarm".to_string(),
            n => format!("kind{n}"),
        };
        let inherited = if self.flags & 0x10 != 0 { " inherited" } else { "" };
        let rights = RIGHTS
            .iter()
            .filter(|(bit, _, _)| self.rights & (1 << bit) != 0)
            .map(|(_, file, folder)| if directory { *folder } else { *file });
        let inherit = INHERITANCE.iter().filter(|(bit, _)| self.flags & bit != 0).map(|(_, n)| *n);
        let words: Vec<&str> = rights.chain(inherit).collect();
        format!("{}{inherited} {kind} {}", Who(self.who), words.join(","))
    }
}

/// Writes a GUID as the user or group it stands for, where it tells.
struct Who([u8; 16]);

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = be32(&self.0, 12).unwrap_or(0);
        let head = self.0.get(..12).unwrap_or_default();
        match head {
            [0xFF, 0xFF, 0xEE, 0xEE, 0xDD, 0xDD, 0xCC, 0xCC, 0xBB, 0xBB, 0xAA, 0xAA] => {
                write!(f, "user:{n}")
            }
            [0xAB, 0xCD, 0xEF, 0xAB, 0xCD, 0xEF, 0xAB, 0xCD, 0xEF, 0xAB, 0xCD, 0xEF] => match n {
                12 => f.write_str("group:everyone"),
                _ => write!(f, "group:{n}"),
            },
            _ => write!(f, "{}", uuid::Uuid::from_bytes(self.0).to_string().to_uppercase()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[([u8; 16], u32, u32)]) -> Vec<u8> {
        let mut v = MAGIC.to_be_bytes().to_vec();
        v.extend([0; 32]);
        v.extend((entries.len() as u32).to_be_bytes());
        v.extend([0; 4]);
        for (who, flags, rights) in entries {
            v.extend(who);
            v.extend(flags.to_be_bytes());
            v.extend(rights.to_be_bytes());
        }
        v
    }

    #[test]
    fn everyone_deny_delete() {
        let everyone =
            [0xAB, 0xCD, 0xEF, 0xAB, 0xCD, 0xEF, 0xAB, 0xCD, 0xEF, 0xAB, 0xCD, 0xEF, 0, 0, 0, 12];
        let value = list(&[(everyone, 2, 1 << 4 | 1 << 2)]);
        let acl = Acl::parse(&value).unwrap().unwrap();
        assert_eq!(acl.lines(true), ["0: group:everyone deny add_file,delete"]);
        assert_eq!(acl.lines(false), ["0: group:everyone deny write,delete"]);
        assert!(Acl::parse(&value[..60]).is_err());
        assert!(Acl::parse(&[0; 44]).is_err());
    }
}
