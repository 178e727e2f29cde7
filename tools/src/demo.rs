//! The bundle in `testdata/`: four backups of "Anna's MacBook", the same bytes at every run.

use std::io;
use std::path::Path;

use crate::bundle::{self, BundleOptions, Results};
use crate::decmpfs::DecmpfsType;
use crate::hfs::{Ace, Acl, Content, Meta, VolumeBuilder, VolumeOptions};
use crate::partition::Gpt;
use crate::timemachine::{self, Backup, Dir, Machine, Written};

/// Start of the first backup, Unix seconds (2019-11-02 09:15:00 GMT).
const FIRST: i64 = 1_572_686_100;
const DAY: i64 = 86_400;

/// The Mac that is backed up.
pub fn machine() -> Machine {
    Machine {
        name: "Anna\u{2019}s MacBook".into(),
        host_uuid: "3B2A9C1E-7D44-5E0B-9F1A-0C8D5A6E4F21".into(),
        model: "MacBookPro14,1".into(),
        address: "a4:5e:60:c1:22:09".into(),
        volume: "Macintosh HD".into(),
        volume_uuid: "8E6B1F57-2C0D-3A94-B7E5-91D04C6A3F10".into(),
        utc_offset: 3600,
        checksums: true,
        acls: true,
        snapshot_dates: true,
    }
}

/// The volume and what was written on it.
pub fn volume() -> (VolumeBuilder, Vec<Written>) {
    let mut volume = VolumeBuilder::new(VolumeOptions {
        size: 1 << 30,
        created: FIRST - 3 * DAY,
        utc_offset: 3600,
        journal_size: 8 << 20,
        seed: 2019,
        ..VolumeOptions::default()
    });
    let mut source = first_source();
    let mut backups = Vec::new();
    for (i, days) in [0, 1, 4, 11].into_iter().enumerate() {
        change(&mut source, i as u64);
        let start = FIRST + days * DAY + 61 * i as i64;
        backups.push(Backup {
            number: i as u64 + 1,
            start,
            completed: Some(start + 340),
            source: source.clone(),
        });
    }
    change(&mut source, 4);
    backups.push(Backup { number: 5, start: FIRST + 12 * DAY, completed: None, source });
    let written = timemachine::write(&mut volume, &machine(), &backups);
    (volume, written)
}

/// Writes the bundle at `path` and returns the volume it holds.
pub fn write(path: &Path) -> io::Result<VolumeBuilder> {
    let (builder, written) = volume();
    let built = builder.build();
    let (disk, _) = Gpt::default().wrap(&built.image);
    let machine = machine();
    let options = BundleOptions {
        band_size: 1 << 20,
        machine_id: Some(timemachine::machine_id(&machine, Some(FIRST + 9 * DAY))),
        history: Some(timemachine::history(&written)),
        results: Some(Results {
            running: false,
            bytes_available: 1_000_000_000,
            bytes_used: written.iter().map(|w| w.copied).sum(),
        }),
        ..BundleOptions::default()
    };
    bundle::write(&disk, path, &options)?;
    Ok(builder)
}

fn file_at(age: i64) -> Meta {
    Meta::file().dated(FIRST - age * DAY)
}

pub(crate) fn first_source() -> Dir {
    let mut root = Dir::new(Meta::dir().owned(0, 0).dated(FIRST - 400 * DAY));
    system(&mut root);
    let anna = Meta::dir().owned(501, 20).dated(FIRST - 30 * DAY);
    let users = root.dir("Users");
    users.dir("anna").meta = anna;
    users.dir("Shared").meta.mode = 0o41_777;
    home(users.dir("anna"));
    root
}

fn system(root: &mut Dir) {
    let meta = file_at(400).owned(0, 0);
    for app in ["Chess", "Notes", "TextEdit"] {
        let contents = root.dir(&format!("Applications/{app}.app/Contents"));
        let info = format!("<plist version=\"1.0\"><string>{app}</string></plist>\n");
        contents.file("Info.plist", info.as_str(), meta.clone());
        contents.file("PkgInfo", "APPL????", meta.clone());
        let mut program = meta.clone();
        program.mode = 0o755;
        let seed = app.len() as u64;
        contents.dir("MacOS").file(app, Content::Pattern { seed, len: 6_000 }, program);
        for language in ["de", "en", "fr"] {
            let strings = contents.dir(&format!("Resources/{language}.lproj"));
            strings.file("Menu.strings", Content::text(seed, 700), meta.clone());
        }
    }
    let library = root.dir("Library/Fonts");
    for i in 0..12 {
        let content = Content::text(i, 300 + 40 * i as usize);
        library.file(&format!("Font {i:02}.dfont"), content, meta.clone());
    }
    compressed(root.dir("usr/share"), &meta);
    root.symlink("etc", "private/etc", Meta::with_mode(0o755).owned(0, 0));
    root.dir("private/etc").file("hosts", "127.0.0.1\tlocalhost\n", meta);
}

fn compressed(share: &mut Dir, meta: &Meta) {
    use DecmpfsType::*;
    for how in [Plain1, Zlib3, Zlib4, Lzvn7, Lzvn8, Stored9, Lzfse11, Lzfse12] {
        let len = if how.in_resource_fork() { 70_000 } else { 1_900 };
        let name = format!("type {} manual.txt", how.number());
        let content = Content::text(how.number().into(), len);
        share.file(&name, content, meta.clone()).compressed = Some(how);
    }
}

fn home(anna: &mut Dir) {
    let documents = anna.dir("Documents");
    documents.file("Letter to the bank.txt", Content::text(50, 2_345), file_at(30));
    documents.file("R\u{e9}sum\u{e9} \u{2013} final.txt", Content::text(51, 1_200), file_at(29));
    documents.file("a/b testing.txt", "The slash is part of the name.\n", file_at(28));
    documents.file("\u{65e5}\u{8a18}.txt", Content::text(52, 640), file_at(27));
    let sheet = documents.file("Budget.numbers", Content::text(53, 3_000), file_at(26));
    sheet.xattrs.push(("com.apple.metadata:kMDItemWhereFroms".into(), b"bplist00".to_vec()));
    let old = documents.file("Old drawing", Content::text(54, 500), file_at(4_000));
    old.meta = old.meta.clone().finder(b"PICT", b"ttxt", 0x0400);
    old.resource = Content::text(55, 2_200);
    for year in 2016..2019 {
        let taxes = documents.dir(&format!("Taxes/{year}"));
        for month in 1..=12 {
            let name = format!("{year}-{month:02}.txt");
            let seed = (year * 100 + month) as u64;
            taxes.file(&name, Content::text(seed, 400 + month * 10), file_at(100));
        }
    }
    for trip in ["Lisbon", "Oslo", "Z\u{fc}rich"] {
        let album = anna.dir(&format!("Pictures/{trip}"));
        for i in 0..8 {
            let content = Content::Pattern { seed: i + trip.len() as u64, len: 2_500 };
            album.file(&format!("IMG_{i:04}.jpg"), content, file_at(200));
        }
    }
    let preferences = anna.dir("Library/Preferences");
    for i in 0..15 {
        let name = format!("com.example.app{i}.plist");
        preferences.file(&name, Content::text(i + 300, 250), file_at(60));
    }
    let acl = Acl { flags: 0, entries: vec![Ace::user(501, 1, 0x1FFE), Ace::group(20, 1, 2)] };
    let listed = anna.dir("Public").file("shared.txt", "for everyone\n", file_at(20));
    listed.xattrs.push(("com.example.acl-copy".into(), acl.to_bytes()));
    anna.symlink("Desktop", "Documents", Meta::with_mode(0o755).dated(FIRST - 30 * DAY));
}

/// What Anna did before backup `number` (counted from 0).
pub(crate) fn change(root: &mut Dir, number: u64) {
    let day = FIRST + number as i64 * DAY - 3_600;
    let meta = Meta::file().dated(day);
    let diary = Content::text(900, 500 + 350 * number as usize);
    let anna = root.dir("Users/anna");
    anna.dir("Documents").file("Diary.txt", diary, meta.clone());
    match number {
        1 => {
            let taxes = anna.dir("Documents/Taxes/2018");
            taxes.file("2018-12 corrected.txt", Content::text(60, 800), meta);
        }
        2 => {
            anna.dir("Pictures").items.remove("Oslo");
            let album = anna.dir("Pictures/Rome");
            album.file("IMG_0001.jpg", Content::Pattern { seed: 70, len: 3_000 }, meta);
        }
        3 => {
            anna.dir("Documents").items.remove("Letter to the bank.txt");
            anna.dir("Library/Preferences").file("com.example.app3.plist", "changed\n", meta);
        }
        4 => {
            anna.dir("Pictures/Rome").file("IMG_0002.jpg", "half copied", meta);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::{Path, PathBuf};

    fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut out = BTreeMap::new();
        let mut todo = vec![dir.to_path_buf()];
        while let Some(at) = todo.pop() {
            for entry in fs::read_dir(at).unwrap().map(Result::unwrap) {
                if entry.file_type().unwrap().is_dir() {
                    todo.push(entry.path());
                } else {
                    let name = entry.path().strip_prefix(dir).unwrap().to_path_buf();
                    out.insert(name, fs::read(entry.path()).unwrap());
                }
            }
        }
        out
    }

    #[test]
    fn testdata_is_what_the_demo_writes() {
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata");
        let temp = std::env::temp_dir().join(format!("tools-demo-{}", std::process::id()));
        let builder = super::write(&temp).unwrap();
        let written = files(&temp);
        fs::remove_dir_all(&temp).unwrap();
        assert!(written == files(&kept.join("Demo.sparsebundle")), "run `tools demo` anew");
        let mut manifest = Vec::new();
        builder.manifest(&mut manifest).unwrap();
        assert!(manifest == fs::read(kept.join("Demo.manifest.jsonl")).unwrap(), "manifest");
    }
}
