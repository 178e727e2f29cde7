//! What a mount answers of attributes that are larger than the kernel can take.

use crate::mounting::{Mount, possible, servers};
use std::path::Path;
use tools::hfs::{Content, Meta, VolumeBuilder, VolumeOptions};

/// Most memory that the server of a mount has had, in KiB.
fn peak(mount: &Mount) -> u64 {
    let [server] = servers(mount.path())[..] else { panic!("one server") };
    let status = std::fs::read_to_string(format!("/proc/{server}/status")).unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

fn image(dir: &Path, len: u64) -> std::path::PathBuf {
    let mut builder =
        VolumeBuilder::new(VolumeOptions { size: 800 << 20, ..VolumeOptions::default() });
    let root = builder.root();
    for n in 0..8 {
        let file = builder.file(root, &format!("file {n}"), "x\n", Meta::file());
        for name in ["com.apple.system.Security", "big"] {
            builder.set_xattr_fork(file, name, Content::Zeros(len), 1);
        }
    }
    let path = dir.join("attributes.img");
    builder.build().image.write_to(&path).unwrap();
    path
}

#[test]
fn attributes_too_large_for_the_kernel_are_refused_by_their_size() {
    if !possible("attributes_too_large_for_the_kernel_are_refused_by_their_size") {
        return;
    }
    let own = tempfile::tempdir().unwrap();
    let mount = Mount::new(&image(own.path(), 40 << 20), &["--threads", "4"]);
    let volume = mount.volume();
    let before = peak(&mount);
    std::thread::scope(|scope| {
        for n in 0..8 {
            let file = volume.join(format!("file {n}"));
            scope.spawn(move || {
                for name in ["user.com.apple.system.Security", "user.tmbundle.acl", "user.big"] {
                    for room in [0, 65_536] {
                        let mut value = vec![0; room];
                        let asked = rustix::fs::getxattr(&file, name, &mut value[..]);
                        assert_eq!(asked, Err(rustix::io::Errno::TOOBIG), "{name} in {room}");
                    }
                }
            });
        }
    });
    let grown = peak(&mount) - before;
    assert!(grown < 32 << 10, "{grown} KiB more for attributes that are not given");
}
