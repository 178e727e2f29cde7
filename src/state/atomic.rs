//! Files that are there whole or not at all.

use crate::error::{Error, Result};
use std::fs::{File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Write `bytes` as the file `path` with permissions `mode`: under another name in the
/// same folder, to the disk, then renamed. Whoever looks, also after a crash, sees
/// the old contents or the new ones.
///
/// # Errors
/// [`Error::Io`]; the old contents are then still there.
pub fn write_atomically(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let folder = folder(path);
        // The ending keeps those away who read all files of another (`*.prom`).
        let mut file =
            tempfile::Builder::new().prefix(".tmbundle-").suffix(".tmp").tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().set_permissions(Permissions::from_mode(mode))?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|e| Error::io(format!("cannot write {}", path.display()), e))
}

/// The folder a file is to lie in.
pub fn folder(path: &Path) -> &Path {
    path.parent().filter(|p| *p != Path::new("")).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_else_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        write_atomically(&path, b"one", 0o600).unwrap();
        write_atomically(&path, b"two", 0o600).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(write_atomically(&dir.path().join("none/x"), b"", 0o600).is_err());
        // A folder in its place cannot be replaced; the temporary file goes away.
        std::fs::create_dir(dir.path().join("d")).unwrap();
        assert!(write_atomically(&dir.path().join("d"), b"", 0o600).is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
