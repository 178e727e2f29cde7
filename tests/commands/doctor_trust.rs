//! What `doctor` and `watch` make of what they do not trust: whatever lies in a share, and systems below a
//! root.

use crate::common::tmbundle;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use tmbundle::server::gather::{Depth, Wanted, gather};
use tmbundle::server::share_rows;
use tmbundle::server::text::Root;

const MACHINE: &str = "com.apple.TimeMachine.MachineID.plist";

fn file(root: &Path, name: &str, text: &str) -> PathBuf {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    path
}

/// A system with a share in which two bundles lie.
fn system() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let text = "[global]\nvfs objects = catia fruit streams_xattr\n[tm]\npath = /srv/tm\n\
        read only = no\nfruit:time machine = yes\nfruit:time machine max size = 1.5T\n";
    file(root.path(), "etc/samba/smb.conf", text);
    for name in ["Anna", "Bert"] {
        file(root.path(), &format!("srv/tm/{name}.sparsebundle/bands/0"), "x");
    }
    let id = "<plist version=\"1.0\"><dict><key>com.apple.backupd.HostUUID</key><string>A-1</string></dict></plist>";
    file(root.path(), &format!("srv/tm/Anna.sparsebundle/{MACHINE}"), id);
    root
}

fn said(root: &Path) -> String {
    tmbundle(&["doctor", "-v", "--root", root.to_str().unwrap()]).out
}

#[test]
fn no_link_in_a_bundle_is_followed() {
    let root = system();
    let bert = root.path().join("srv/tm/Bert.sparsebundle").join(MACHINE);
    symlink(format!("/srv/tm/Anna.sparsebundle/{MACHINE}"), &bert).unwrap();
    assert!(!said(root.path()).contains("SRV-BUNDLE-STARTED-ANEW"));
    // What is there itself is read.
    fs::remove_file(&bert).unwrap();
    fs::copy(root.path().join("srv/tm/Anna.sparsebundle").join(MACHINE), &bert).unwrap();
    assert!(said(root.path()).contains("SRV-BUNDLE-STARTED-ANEW"));
}

/// Whose parser goes down with each of them ends, unless they are counted first.
#[test]
fn lists_within_lists_are_counted_before_they_are_read() {
    let root = system();
    let bomb = |name: &str| {
        let (open, close) = ("<array>".repeat(15_000), "</array>".repeat(15_000));
        let text = format!("<plist version=\"1.0\"><dict><key>a</key>{open}{close}</dict></plist>");
        file(root.path(), name, &text);
    };
    bomb("srv/tm/Anna.sparsebundle/Info.plist");
    bomb(&format!("srv/tm/Bert.sparsebundle/{MACHINE}"));
    bomb("srv/tm/.com.apple.TimeMachine.quota.plist");
    let ran = tmbundle(&["doctor", "--root", root.path().to_str().unwrap()]);
    assert!(ran.code.is_some_and(|code| code < 2), "{ran:?}");
}

/// Fractions of a limit are read from Samba 4.25 on: that is asked of the system, not of its files.
#[test]
fn limits_are_read_as_the_samba_at_hand_reads_them() {
    let root = system();
    let limit = |depth| {
        let from = Root::new(root.path());
        let wanted = Wanted { root: &from, files: &[], depth, now: 0, max_age: None };
        let found = gather(&wanted);
        share_rows(&found.setup, &found.host)[0].limit
    };
    let installed = |version: &str| {
        let text = format!("Package: samba\nStatus: install ok installed\nVersion: 2:{version}\n");
        file(root.path(), "var/lib/dpkg/status", &text);
    };
    installed("4.25.1+dfsg-1");
    assert_eq!(limit(Depth::Servers), Some(3 << 39));
    assert_eq!(limit(Depth::Machine), Some(3 << 39));
    assert_eq!(limit(Depth::Files), None);
    installed("4.24.0+dfsg-1");
    assert_eq!(limit(Depth::Servers), None);
}
