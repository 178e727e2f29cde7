//! Files that appear whole under their name, or not at all.

use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Write `bytes` to `path`, readable by all (mode 0644), in place of what is there. Who
/// reads it meanwhile sees the old file or the new one.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // A rename is atomic within one folder; the ending keeps readers of *.prom away.
    let mut file =
        tempfile::Builder::new().prefix(".tmbundle-").suffix(".tmp").tempfile_in(folder(path))?;
    file.write_all(bytes)?;
    file.as_file().set_permissions(Permissions::from_mode(0o644))?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// The folder a file is to lie in.
pub fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}
