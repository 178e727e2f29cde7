//! Symbolic links where there are none: files of the form ("Minshall and French") that
//! Macs on SMB, FAT and exFAT, and Linux' `mount.cifs -o mfsymlinks`, take for links.

use md5::{Digest, Md5};

/// Length of every such file.
pub const LEN: usize = 1067;
/// Longest target.
const TARGET_MAX: usize = 1024;

/// The file for a target; `None` if it is too long.
pub fn file(target: &[u8]) -> Option<Vec<u8>> {
    if target.len() > TARGET_MAX {
        return None;
    }
    let sum: String = Md5::digest(target).iter().map(|b| format!("{b:02x}")).collect();
    let mut out = format!("XSym\n{:04}\n{sum}\n", target.len()).into_bytes();
    out.extend(target);
    if out.len() < LEN {
        out.push(b'\n');
    }
    out.resize(LEN, b' ');
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_linux_cifs_writes_it() {
        let made = file(b"dir/full").unwrap();
        assert_eq!(made.len(), LEN);
        // md5 of the target by coreutils.
        assert!(made.starts_with(b"XSym\n0008\n"));
        assert_eq!(&made[43..53], b"dir/full\n ");
        assert!(file(&[b'x'; 1024]).is_some_and(|f| f.len() == LEN));
        assert!(file(&[b'x'; 1025]).is_none());
    }
}
