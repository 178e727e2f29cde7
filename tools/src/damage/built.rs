//! Volumes that cannot be broken in place: built with the fault in them.

use crate::hfs::{Content, Meta, VolumeBuilder, VolumeOptions, utf16};

/// A fault that is built in.
#[derive(Clone, Copy, Debug)]
pub struct Broken {
    /// Stable name in kebab case.
    pub name: &'static str,
    /// What is wrong.
    pub what: &'static str,
    /// Numbers (without sign) of the fsck_hfs errors that fit best, any of them.
    pub fsck: &'static [u16],
    build: fn(&mut VolumeBuilder),
}

impl Broken {
    /// The broken volume.
    pub fn builder(&self) -> VolumeBuilder {
        let mut volume = VolumeBuilder::new(VolumeOptions::default());
        let root = volume.root();
        let dir = volume.mkdir(root, "dir", Meta::dir());
        volume.file(dir, "file", "content\n", Meta::file());
        (self.build)(&mut volume);
        volume
    }
}

/// All faults that are built in.
pub fn broken() -> &'static [Broken] {
    TABLE
}

const fn row(
    name: &'static str,
    what: &'static str,
    fsck: &'static [u16],
    build: fn(&mut VolumeBuilder),
) -> Broken {
    Broken { name, what, fsck, build }
}

const TABLE: &[Broken] = &[
    row("missing-file-thread", "a file has no thread", &[533, 572], |v| {
        let id = v.lookup("dir/file").unwrap();
        v.omit_thread(id);
    }),
    row("missing-folder-thread", "a folder has no thread", &[533], |v| {
        let id = v.lookup("dir").unwrap();
        v.omit_thread(id);
    }),
    row("missing-root-thread", "the root has no thread", &[532], |v| v.omit_thread(2)),
    row("missing-file", "a thread belongs to a file that is missing", &[505], |v| {
        let id = v.lookup("dir/file").unwrap();
        v.omit_record(id);
    }),
    row("missing-folder", "a folder is missing, what was in it is there", &[534], |v| {
        let id = v.lookup("dir").unwrap();
        v.omit_record(id);
    }),
    row("folder-loop", "two folders are in each other", &[538], |v| {
        let root = v.root();
        let a = v.mkdir(root, "a", Meta::dir());
        let b = v.mkdir(a, "b", Meta::dir());
        v.reparent(a, b);
    }),
    row("folder-in-itself", "a folder is in itself", &[538], |v| {
        let root = v.root();
        let a = v.mkdir(root, "a", Meta::dir());
        v.reparent(a, a);
    }),
    row("parent-is-file", "a file is in a file", &[534], |v| {
        let root = v.root();
        let holder = v.file(root, "holder", "no folder\n", Meta::file());
        let inner = v.file(root, "inner", "where am I\n", Meta::file());
        v.reparent(inner, holder);
    }),
    row("illegal-name", "a file is called `..`", &[571], |v| {
        let root = v.root();
        v.file_units(root, utf16(".."), "dots\n", Meta::file());
    }),
    row("composed-name", "a name is not decomposed", &[548], |v| {
        let root = v.root();
        v.file_units(root, vec![0xE9], "composed\n", Meta::file());
    }),
    row("deep-folders", "folders are nested more than a hundred deep", &[545], |v| {
        let mut at = v.root();
        for i in 0..120 {
            at = v.mkdir(at, &format!("d{i}"), Meta::dir());
        }
    }),
    row("orphan-file-inode", "a file inode has no links", &[605], |v| {
        let dir = v.file_private_directory();
        let name = format!("iNode{}", v.next_cnid());
        let id = v.file(dir, &name, "lost\n", Meta::file());
        v.set_record_flags(id, 0x20);
    }),
    row("orphan-dir-inode", "a folder inode has no links", &[606], |v| {
        let dir = v.dir_private_directory();
        let name = format!("dir_{}", v.next_cnid());
        let id = v.mkdir(dir, &name, Meta::dir());
        v.set_record_flags(id, 0x20);
        v.set_xattr(id, "com.apple.system.hfs.firstlink", b"0\0".to_vec());
    }),
    row("deleted-while-open", "a file was deleted while open", &[568], |v| {
        v.orphan("temporary\n");
    }),
    row("inode-elsewhere", "a file inode is outside its folder", &[596, 603], |v| {
        let root = v.root();
        let id = v.lookup("dir/file").unwrap();
        v.hard_link(id, root, "second name");
        v.reparent(id, root);
    }),
    row("dir-inode-elsewhere", "a folder inode is outside its folder", &[584, 604], |v| {
        let root = v.root();
        let id = v.lookup("dir").unwrap();
        v.dir_link(id, root, "second name");
        v.reparent(id, root);
    }),
    row("dir-link-cycle", "two linked folders hold links to each other", &[586, 590, 591], |v| {
        let root = v.root();
        let a = v.mkdir(root, "a", Meta::dir());
        let b = v.mkdir(root, "b", Meta::dir());
        v.dir_link(a, b, "to a");
        v.dir_link(b, a, "to b");
    }),
    row("dataless", "a file's content is not on the volume", &[], |v| {
        let root = v.root();
        let id = v.file(root, "cloud", Content::Empty, Meta::file());
        v.compress(id, crate::decmpfs::DecmpfsType::Dataless);
    }),
];

#[cfg(test)]
mod tests {
    #[test]
    fn all_can_be_built() {
        for broken in super::broken() {
            let volume = broken.builder().build();
            assert!(!volume.image.is_zero(1024, 512), "{}", broken.name);
        }
    }
}
