//! A node of a volume's trees is lost, whichever: what is then told of a file is what it was, or
//! an error; never less than that, as if it were all. Expected is what the writer put in.

use std::sync::Arc;
use tmbundle::apfs::{Apfs, Container as Opened, salvage};
use tmbundle::fs::{FileSystem, Stream};
use tmbundle::hfsplus::HfsPlus;
use tmbundle::io::{Memory, Source, read_vec};
use tmbundle::report::NoProgress;
use tools::Image;
use tools::apfs::{self, Container, ContainerOptions, What};
use tools::decmpfs::DecmpfsType;
use tools::hfs::{Content, Meta, VolumeBuilder, VolumeOptions};

const FILES: u64 = 48;
const NOTE: &str = "com.example.note";

/// What a file was.
struct Wanted {
    name: String,
    content: Vec<u8>,
    note: Vec<u8>,
    fork: Vec<u8>,
}

fn how(n: u64) -> Option<DecmpfsType> {
    use DecmpfsType::{Stored9, Zlib3, Zlib4};
    [None, Some(Stored9), Some(Zlib4), None, Some(Zlib3), Some(Stored9)][(n % 6) as usize]
}

fn wanted() -> Vec<Wanted> {
    let file = |n: u64| Wanted {
        name: format!("file {n:02}"),
        content: Content::text(n, 1000 + 37 * n as usize).to_vec(),
        note: Content::text(1000 + n, 10 + 17 * n as usize).to_vec(),
        fork: if how(n).is_none() { Content::text(2000 + n, 5000).to_vec() } else { Vec::new() },
    };
    (0..FILES).map(file).collect()
}

/// What is told of the files and is not so. `whole`: lists of attributes have all of them, too.
fn lies(fs: &dyn FileSystem, wanted: &[Wanted], whole: bool) -> Vec<String> {
    let mut lies = Vec::new();
    for file in wanted {
        let Ok(Some(meta)) = fs.lookup(fs.root(), &file.name) else { continue };
        let mut lie = |what: &str, is: bool| {
            if is {
                lies.push(format!("{}: {what}", file.name));
            }
        };
        lie("size", !meta.size_unknown && meta.size != file.content.len() as u64);
        let read = |stream: &Stream| {
            let source = fs.open(meta.id, stream)?;
            read_vec(&*source, 0, source.len() as usize)
        };
        let contents = read(&Stream::Data);
        lie("contents", contents.as_ref().is_ok_and(|c| *c != file.content));
        lie("size of what is read", meta.size_unknown && contents.is_ok());
        let note = fs.xattr(meta.id, NOTE);
        lie("note", note.is_ok_and(|v| v.is_some_and(|v| v != file.note)));
        let names = fs.xattrs(meta.id).map(|all| all.into_iter().map(|x| x.name).collect());
        let named = |names: Vec<String>| {
            let fork = names.iter().any(|n| n == "com.apple.ResourceFork");
            (names.len(), names.iter().any(|n| n == NOTE), fork)
        };
        let fork = !file.fork.is_empty();
        let all = (1 + usize::from(fork), true, fork);
        lie("names", whole && names.is_ok_and(|names| named(names) != all));
        if fork {
            lie("fork", read(&Stream::Resource).is_ok_and(|f| f != file.fork));
            lie("fork's size", fs.resource_size(meta.id).is_ok_and(|n| n != 5000));
        }
    }
    lies
}

fn source(image: &Image) -> Source {
    Arc::new(Memory::new(image.to_vec()))
}

#[test]
fn hfs_plus_tells_nothing_less_than_a_file_was() {
    let wanted = wanted();
    let options = VolumeOptions { size: 16 << 20, ..VolumeOptions::default() };
    let mut volume = VolumeBuilder::new(options);
    let root = volume.root();
    for (n, file) in (0..).zip(&wanted) {
        let id = volume.file(root, &file.name, file.content.clone(), Meta::file());
        if let Some(how) = how(n) {
            volume.compress(id, how);
        } else {
            volume.set_resource_fork(id, file.fork.clone());
        }
        volume.set_xattr(id, NOTE, file.note.clone());
    }
    let built = volume.build();
    let layout = &built.layout;
    let mut tried = 0;
    for tree in [&layout.catalog, layout.attributes.as_ref().unwrap(), &layout.extents] {
        for node in 0..tree.used_nodes {
            let mut image = built.image.clone();
            image.fill(tree.node(node), tree.node_size.into(), 0);
            let opened = HfsPlus::open(source(&image));
            let salvaged = HfsPlus::salvage(source(&image), &NoProgress);
            for (way, fs) in [("open", opened), ("salvage", salvaged)] {
                let Ok(fs) = fs else { continue };
                tried += 1;
                let lies = lies(&fs, &wanted, true);
                assert!(lies.is_empty(), "{way}, node {node} at {}: {lies:?}", tree.node(node));
            }
        }
    }
    assert!(tried > 20, "{tried}");
}

#[test]
fn apfs_tells_nothing_less_than_a_file_was() {
    let wanted = wanted();
    let mut container =
        Container::new(ContainerOptions { size: 12 << 20, ..ContainerOptions::default() });
    let volume = container.add_volume(apfs::VolumeOptions::default());
    let mut v = container.volume(volume);
    let root = v.root();
    for (n, file) in (0..).zip(&wanted) {
        let id = v.file(root, &file.name, file.content.clone(), apfs::Meta::file());
        match how(n) {
            Some(how) => v.compress(id, how),
            None => v.set_xattr(id, "com.apple.ResourceFork", file.fork.clone()),
        }
        v.set_xattr(id, NOTE, file.note.clone());
    }
    container.commit();
    let built = container.finish();
    let places: Vec<_> = built
        .layout
        .find(|w| matches!(w, What::Node { volume: Some(_), live: true, .. } | What::Omap(Some(_))))
        .collect();
    let ask = |_: &str, _: u32| Ok(Vec::new());
    let mut tried = 0;
    for place in places {
        for block in place.address..place.address + place.count {
            let mut image = built.image.clone();
            image.fill(built.layout.byte(block), built.layout.block_size, 0);
            let opened = Opened::open(source(&image)).and_then(|container| {
                let oid = container.superblock().volumes[0];
                Apfs::open(Arc::new(container), oid, &ask)
            });
            let salvaged = salvage(&source(&image), &ask, &NoProgress);
            let salvaged = salvaged.and_then(|mut all| all.remove(0).1);
            for (way, volume) in [("open", opened), ("salvage", salvaged)] {
                let Ok(view) = volume.and_then(|v| v.live()) else { continue };
                tried += 1;
                let lies = lies(&view, &wanted, way == "open");
                assert!(lies.is_empty(), "{way}, block {block} ({:?}): {lies:?}", place.what);
            }
        }
    }
    assert!(tried > 20, "{tried}");
}
