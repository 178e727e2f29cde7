//! Where the state lies.

use crate::error::{Error, Result};
use std::ffi::OsString;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// What the process was told about places; the library itself does not look.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// `$STATE_DIRECTORY`, as systemd sets it for a service with `StateDirectory=`:
    /// one path or several, separated by colons.
    pub state_directory: Option<OsString>,
    /// `$XDG_STATE_HOME`.
    pub xdg_state_home: Option<OsString>,
    /// `$HOME`.
    pub home: Option<OsString>,
    /// Number of the user the process runs as; 0 is root.
    pub user: u32,
    /// [`SERVICE`], or what stands for it.
    pub service: Option<PathBuf>,
}

/// The folder that the unit of systemd has for its state. Root by hand goes on with that where
/// it is there, so that there are not two memories of one server.
pub const SERVICE: &str = "/var/lib/tmbundle";

/// The folder for state. It need not be there yet.
///
/// # Errors
/// [`Error::Invalid`] when nothing says where it could be.
pub fn find_dir(explicit: Option<&Path>, env: &Environment) -> Result<PathBuf> {
    if let Some(dir) = explicit {
        return Ok(dir.to_owned());
    }
    // A relative path in these variables is to be ignored (XDG base directories).
    let absolute = |text: &Option<OsString>| {
        text.as_ref().map(PathBuf::from).filter(|path| path.is_absolute())
    };
    let service = env.state_directory.as_ref().and_then(|list| {
        let first = std::env::split_paths(list).next()?;
        first.is_absolute().then_some(first)
    });
    if let Some(dir) = service {
        return Ok(dir);
    }
    if let Some(dir) = absolute(&env.xdg_state_home) {
        return Ok(dir.join("tmbundle"));
    }
    if let Some(dir) = env.service.as_ref().filter(|dir| env.user == 0 && dir.is_dir()) {
        return Ok(dir.clone());
    }
    // sudo may leave HOME as it was: root must not make folders there that the
    // user cannot use afterwards.
    let home = absolute(&env.home)
        .filter(|home| std::fs::metadata(home).is_ok_and(|m| m.is_dir() && m.uid() == env.user));
    match home {
        Some(home) => Ok(home.join(".local/state/tmbundle")),
        None if env.user == 0 => Ok(SERVICE.into()),
        None => Err(Error::Invalid(
            "no folder for state is known: give --state-dir DIR, or set HOME or XDG_STATE_HOME"
                .into(),
        )),
    }
}

/// An error if `path` lies in `source` (a bundle), by whatever name or link. Neither
/// the path nor its parents need be there yet.
///
/// # Errors
/// [`Error::Invalid`] if it does, [`Error::Io`] if that cannot be told.
pub fn refuse_inside(path: &Path, source: &Path) -> Result<()> {
    let failed = |e| Error::io(format!("cannot use {}", path.display()), e);
    let source = std::fs::metadata(source).map_err(failed)?;
    let start = std::path::absolute(path).map_err(failed)?;
    // The nearest folder that is there, without links, and all above it.
    let there = start.ancestors().find_map(|p| std::fs::canonicalize(p).ok());
    for folder in there.iter().flat_map(|p| p.ancestors()) {
        let meta = std::fs::metadata(folder).map_err(failed)?;
        if (meta.dev(), meta.ino()) == (source.dev(), source.ino()) {
            let text = "lies in the bundle, and nothing in a bundle is ever changed";
            return Err(Error::Invalid(format!("{} {text}", path.display())));
        }
    }
    Ok(())
}

/// Make a folder, and those above it, for its owner only.
pub(super) fn make_private(dir: &Path) -> Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|e| Error::io(format!("cannot make the folder {}", dir.display()), e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_variable_in_its_turn() {
        let home = tempfile::tempdir().unwrap();
        let own = std::fs::metadata(home.path()).unwrap().uid();
        let mut env = Environment {
            state_directory: Some("/var/lib/a:/var/lib/b".into()),
            xdg_state_home: Some("/x/state".into()),
            home: Some(home.path().into()),
            user: own,
            service: Some(home.path().join("service")),
        };
        let find = |env: &Environment| find_dir(None, env).unwrap();
        assert_eq!(find_dir(Some(Path::new("here")), &env).unwrap(), Path::new("here"));
        assert_eq!(find(&env), Path::new("/var/lib/a"));
        env.state_directory = Some("".into());
        assert_eq!(find(&env), Path::new("/x/state/tmbundle"));
        env.xdg_state_home = Some("relative".into());
        assert_eq!(find(&env), home.path().join(".local/state/tmbundle"));
        // Root goes on where the unit has begun, and nobody else does.
        std::fs::create_dir(home.path().join("service")).unwrap();
        env.user = 0;
        assert_eq!(find(&env), home.path().join("service"));
        env.xdg_state_home = Some("/x/state".into());
        assert_eq!(find(&env), Path::new("/x/state/tmbundle"), "it was said");
        env.xdg_state_home = None;
        env.user = own + 1;
        assert!(find_dir(None, &env).is_err(), "the home of somebody else");
        std::fs::remove_dir(home.path().join("service")).unwrap();
        env.user = 0;
        env.home = None;
        assert_eq!(find(&env), Path::new("/var/lib/tmbundle"));
        env.home = Some("/nonexistent".into());
        assert_eq!(find(&env), Path::new("/var/lib/tmbundle"));
        env.user = 1000;
        assert!(find_dir(None, &env).is_err());
    }

    #[test]
    fn a_path_in_the_bundle_is_refused_under_any_name() {
        let dir = tempfile::tempdir().unwrap();
        let bundle = dir.path().join("A.sparsebundle");
        std::fs::create_dir_all(bundle.join("bands")).unwrap();
        std::os::unix::fs::symlink(bundle.join("bands"), dir.path().join("link")).unwrap();
        for inside in [
            "A.sparsebundle",
            "A.sparsebundle/x/y",
            "link",
            "link/z",
            "A.sparsebundle/../A.sparsebundle/q",
        ] {
            let found = refuse_inside(&dir.path().join(inside), &bundle);
            assert!(matches!(found, Err(Error::Invalid(_))), "{inside}: {found:?}");
        }
        for outside in ["", "B", "A.sparsebundle2/x", "link2"] {
            refuse_inside(&dir.path().join(outside), &bundle).unwrap();
        }
    }
}
