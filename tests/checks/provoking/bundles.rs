//! Changes to a copy of the bundle that comes with the repository.

use super::{Told, told, verify};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

pub fn demo() -> String {
    format!("{}/testdata/Demo.sparsebundle", env!("CARGO_MANIFEST_DIR"))
}

/// A copy that goes away with the test.
pub struct Copy {
    dir: tempfile::TempDir,
    pub path: PathBuf,
}

impl Copy {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("Demo.sparsebundle");
        fs::create_dir_all(path.join("bands")).unwrap();
        for part in ["", "bands"] {
            for entry in fs::read_dir(Path::new(&demo()).join(part)).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_file() {
                    let to = path.join(part).join(entry.file_name());
                    // Not a copy of the permissions, which may forbid writing.
                    fs::write(to, fs::read(entry.path()).unwrap()).unwrap();
                }
            }
        }
        Self { dir, path }
    }

    fn args(&self) -> Vec<String> {
        vec!["verify".into(), self.path.to_str().unwrap().into()]
    }

    /// Runs the command; where it must not be root's, a copy of the program as nobody.
    pub fn verify(&self, args: &[&str]) -> Told {
        let [user @ .., "verify", _] = args else { return verify(args) };
        if user.is_empty() {
            return verify(args);
        }
        let program = self.dir.path().join("tmbundle");
        fs::copy(env!("CARGO_BIN_EXE_tmbundle"), &program).unwrap();
        let mut command = std::process::Command::new(&program);
        command.args(["verify", "--json", args[2]]).uid(65534).gid(65534);
        told(&String::from_utf8(command.output().unwrap().stdout).unwrap())
    }

    fn band(&self, name: &str) -> PathBuf {
        self.path.join("bands").join(name)
    }

    fn edit(&self, name: &str, change: impl FnOnce(&str) -> String) {
        let path = self.path.join(name);
        let text = fs::read_to_string(&path).unwrap();
        let changed = change(&text);
        assert_ne!(text, changed, "{name} is as it was");
        fs::write(path, changed).unwrap();
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Vec<String> {
        fs::write(self.path.join(name), bytes).unwrap();
        self.args()
    }
}

const MACHINE: &str = "com.apple.TimeMachine.MachineID.plist";
const HISTORY: &str = "com.apple.TimeMachine.SnapshotHistory.plist";

type Args = Vec<String>;

pub fn info_broken(c: &Copy) -> Args {
    c.write("Info.plist", b"")
}

pub fn info_lost(c: &Copy) -> Args {
    c.write("Info.bckup", b"");
    c.write("Info.plist", b"")
}

pub fn info_differs(c: &Copy) -> Args {
    c.edit("Info.bckup", |t| t.replacen("<integer>1", "<integer>2", 2));
    c.args()
}

pub fn info_odd(c: &Copy) -> Args {
    for name in ["Info.plist", "Info.bckup"] {
        c.edit(name, |t| t.replace("diskimage-bundle-type", "other"));
    }
    c.args()
}

pub fn token_unknown(c: &Copy) -> Args {
    c.write("token", &[7; 4096])
}

pub fn token_missing(c: &Copy) -> Args {
    fs::remove_file(c.path.join("token")).unwrap();
    c.args()
}

pub fn stray(c: &Copy) -> Args {
    c.write("letter.txt", b"not Apple's")
}

pub fn plist_broken(c: &Copy) -> Args {
    c.write("com.apple.TimeMachine.Results.plist", b"<plist")
}

pub fn band_stray(c: &Copy) -> Args {
    c.write("bands/.DS_Store", b"x")
}

pub fn band_name(c: &Copy) -> Args {
    c.write("bands/00A", b"x")
}

pub fn band_out_of_range(c: &Copy) -> Args {
    c.write("bands/ffffff", b"x")
}

pub fn band_too_long(c: &Copy) -> Args {
    let mut bytes = fs::read(c.band("0")).unwrap();
    bytes.resize((1 << 20) + 1, 7);
    c.write("bands/0", &bytes)
}

/// A band in the volume's free space.
fn unused_band(c: &Copy) -> PathBuf {
    (0x200..).map(|n| c.band(&format!("{n:x}"))).find(|p| !p.exists()).unwrap()
}

pub fn band_not_file(c: &Copy) -> Args {
    symlink("/etc/passwd", unused_band(c)).unwrap();
    c.args()
}

pub fn first_band_not_file(c: &Copy) -> Args {
    fs::remove_file(c.band("0")).unwrap();
    fs::create_dir(c.band("0")).unwrap();
    // The other copy of the partition map.
    fs::remove_file(c.band("400")).unwrap();
    c.args()
}

pub fn band_denied(c: &Copy) -> Args {
    let band = unused_band(c);
    fs::write(&band, b"secret").unwrap();
    fs::set_permissions(&band, fs::Permissions::from_mode(0o0)).unwrap();
    let mut args = c.args();
    if rustix::process::geteuid().is_root() {
        fs::set_permissions(c.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        args.insert(0, "nobody".into());
    }
    args
}

/// Among the first bands, the one under a leaf of the catalog.
pub fn band_lost(c: &Copy) -> Args {
    let args = c.args();
    for name in ["8", "9", "a", "b", "c"] {
        let band = c.band(name);
        let Ok(bytes) = fs::read(&band) else { continue };
        fs::remove_file(&band).unwrap();
        let told = verify(&["verify", &args[1]]);
        if told.iter().any(|t| t.0 == tmbundle::report::Code::BandLost) {
            return args;
        }
        fs::write(&band, bytes).unwrap();
    }
    panic!("no band whose loss is seen");
}

pub fn verification_failed(c: &Copy) -> Args {
    c.edit(MACHINE, |t| t.replace("<integer>1</integer>", "<integer>2</integer>"));
    c.args()
}

pub fn blocked(c: &Copy) -> Args {
    let declined =
        "<key>RecoveryBackupDeclinedDate</key><date>2019-11-14T00:00:00Z</date><key>Verif";
    c.edit(MACHINE, |t| t.replacen("<key>Verif", declined, 1));
    c.args()
}

pub fn stale(c: &Copy) -> Args {
    let mut args = c.args();
    args.extend(["--max-age".into(), "3d".into()]);
    args
}

pub fn history(c: &Copy) -> Args {
    c.edit(HISTORY, |t| t.replace("2019-11-13-102343", "2019-11-20-000000"));
    c.args()
}
