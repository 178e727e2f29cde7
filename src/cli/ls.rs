//! `tmbundle ls`.

use super::args::LsArgs;
use super::flags::exit_of;
use super::output::{self, Exit};
use super::page::{self, Page};
use super::password::Prompt;
use super::text;
use serde::Serialize;
use std::io::Write;
use std::ops::ControlFlow;
use tmbundle::Error;
use tmbundle::fs::{self, DirEntry, FileSystem, Kind, Metadata, Step, Stream, by_name, walk};
use tmbundle::timemachine::{Archive, LastLink, Place, VOLUME};

pub fn run(args: &LsArgs) -> anyhow::Result<Exit> {
    let layout = args.password.open(&args.source, Prompt::Yes)?;
    let archive = args.salvage.open(&layout)?;
    let address = address(args, &archive)?;
    let place = place(args, &archive, &address)?;
    let mut lister =
        Lister { fs: &*place.fs, args, out: page::stdout(), rows: Vec::new(), errors: Vec::new() };
    lister.list(&place)?;
    let older = archive.older().map(str::to_owned).collect::<Vec<_>>();
    lister.out.flush()?;
    let Lister { rows, errors, .. } = lister;
    let failed = !errors.is_empty() || exit_of(&archive) != Exit::Ok;
    if args.json {
        let source = args.source.display().to_string();
        let errors = older.into_iter().chain(errors).collect();
        output::json(
            "tmbundle/ls/1",
            &Document { source, address: &address, entries: rows, errors },
        )?;
    } else {
        for e in errors {
            output::error(&e, None);
        }
    }
    Ok(if failed { Exit::Findings } else { Exit::Ok })
}

/// What is to be listed; without an address the newest snapshot, or the volume where there
/// are no snapshots.
fn address(args: &LsArgs, archive: &Archive) -> anyhow::Result<String> {
    archive.require_volume()?;
    Ok(match &args.address {
        Some(address) => address.clone(),
        None if archive.backup().is_some() => "latest".to_owned(),
        None => {
            // What is listed is not what the backup may be in.
            match archive.no_backup() {
                Error::NotFound(_) => {}
                why => output::warn(&why.to_string()),
            }
            format!("{VOLUME}:")
        }
    })
}

/// A link that leads to a folder stands for it, unless the link's own line was asked for:
/// as with `ls`.
fn place<'a>(args: &LsArgs, archive: &'a Archive, address: &str) -> anyhow::Result<Place<'a>> {
    let place = archive.find(address)?;
    if place.node.kind != Kind::Symlink || args.long || args.directory {
        return Ok(place);
    }
    let followed = archive.find_to(address, LastLink::Follow).ok();
    Ok(followed.filter(Place::is_folder).unwrap_or(place))
}

#[derive(Serialize)]
struct Document<'a> {
    source: String,
    address: &'a str,
    entries: Vec<Row>,
    errors: Vec<String>,
}

#[derive(Serialize)]
struct Row {
    path: String,
    #[serde(flatten)]
    object: Option<Object>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dangling: Option<String>,
}

#[derive(Serialize)]
struct Object {
    id: u64,
    mode: String,
    nlink: u32,
    uid: u32,
    gid: u32,
    /// Not known where what tells it cannot be read.
    size: Option<u64>,
    /// Seconds since 1970.
    mtime: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    btime: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<Device>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    compressed: bool,
    #[serde(skip_serializing_if = "is_zero")]
    resource_size: u64,
}

#[derive(Serialize)]
struct Device {
    major: u32,
    minor: u32,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

struct Lister<'a, W: Write> {
    fs: &'a dyn FileSystem,
    args: &'a LsArgs,
    out: Page<W>,
    rows: Vec<Row>,
    errors: Vec<String>,
}

impl<W: Write> Lister<'_, W> {
    fn list(&mut self, place: &Place<'_>) -> anyhow::Result<()> {
        let node = &place.node;
        if node.kind != Kind::Directory || self.args.directory {
            let name = place.path.rsplit('/').next().filter(|n| !n.is_empty()).unwrap_or(".");
            return self.show(name, Ok(node));
        }
        if self.args.recursive {
            return self.list_tree(node);
        }
        let mut shown = Ok(());
        let read = by_name(self.fs, node.id, &mut |e| {
            shown = self.show(&e.name, e.node.as_ref().map_err(|d| d.reason.as_str()));
            if shown.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        if let Err(e) = read {
            self.errors.push(e.to_string());
        }
        shown
    }

    /// One path a line, which pipes well; folders before what is in them.
    fn list_tree(&mut self, node: &Metadata) -> anyhow::Result<()> {
        let mut failed = Vec::new();
        let mut shown: anyhow::Result<()> = Ok(());
        let fs = self.fs;
        let walked = walk(
            fs,
            node,
            &mut |e| {
                let entry: &DirEntry = e.entry;
                shown = self.show(e.path, entry.node.as_ref().map_err(|d| d.reason.as_str()));
                if shown.is_ok() { Ok(Step::Into) } else { Err(tmbundle::Error::Interrupted) }
            },
            &mut |path, e| {
                failed.push(format!("{path}: {e}"));
                Ok(())
            },
        );
        self.errors.extend(failed);
        shown?;
        Ok(walked?)
    }

    fn show(&mut self, path: &str, node: Result<&Metadata, &str>) -> anyhow::Result<()> {
        if self.args.json {
            let row = self.row(path, node);
            self.rows.push(row);
            return Ok(());
        }
        let before = match node {
            _ if !self.args.long => String::new(),
            Ok(meta) => {
                let size = self.size(path, meta);
                long_line(meta, size, self.args.human_readable)
            }
            Err(_) => "?????????? ".into(),
        };
        let after = match node {
            Err(reason) => {
                self.errors.push(format!("{path}: cannot be reached: {reason}"));
                String::new()
            }
            Ok(meta) if self.args.long && meta.kind == Kind::Symlink => {
                format!(" -> {}", self.target(meta))
            }
            Ok(meta) if !self.args.long && meta.kind == Kind::Directory => "/".into(),
            Ok(_) => String::new(),
        };
        self.out.row(format!("{before}{path}{after}"))?;
        Ok(())
    }

    fn target(&mut self, meta: &Metadata) -> String {
        match fs::link_target(self.fs, meta.id) {
            Ok(target) => String::from_utf8_lossy(&target).into_owned(),
            Err(e) => {
                self.errors.push(e.to_string());
                "?".into()
            }
        }
    }

    /// The size of an object; `None`, and told, where it is not known.
    fn size(&mut self, path: &str, meta: &Metadata) -> Option<u64> {
        if !meta.size_unknown {
            return Some(meta.size);
        }
        let why = self.fs.open(meta.id, &Stream::Data).err();
        let why = why.map_or_else(String::new, |e| format!(": {e}"));
        self.errors.push(format!("{path}: its size is not known{why}"));
        None
    }

    /// The size of the resource fork; that it cannot be told is told once, with the file's own.
    fn resource_size(&mut self, path: &str, meta: &Metadata) -> u64 {
        if meta.kind != Kind::File || !meta.has_xattrs || meta.size_unknown {
            return 0;
        }
        self.fs.resource_size(meta.id).unwrap_or_else(|e| {
            self.errors.push(format!("{path}: whether it has a resource fork is not known: {e}"));
            0
        })
    }

    fn row(&mut self, path: &str, node: Result<&Metadata, &str>) -> Row {
        let object = node.ok().map(|m| Object {
            id: m.id.0,
            mode: format!("{:06o}", m.mode),
            nlink: m.links,
            uid: m.uid,
            gid: m.gid,
            size: self.size(path, m),
            mtime: m.times.modified.map(|t| t.seconds),
            btime: m.times.created.map(|t| t.seconds),
            target: (m.kind == Kind::Symlink).then(|| self.target(m)),
            device: m.device.map(|fs::Device { major, minor }| Device { major, minor }),
            compressed: m.compressed,
            resource_size: self.resource_size(path, m),
        });
        let dangling = node.err().map(str::to_owned);
        if let Some(reason) = &dangling {
            self.errors.push(format!("{path}: cannot be reached: {reason}"));
        }
        Row { path: path.to_owned(), object, dangling }
    }
}

/// Everything of a long line before the name.
fn long_line(m: &Metadata, size: Option<u64>, human: bool) -> String {
    let size = match (m.kind, m.device, size) {
        (_, Some(device), _) => format!("{},{:>5}", device.major, device.minor),
        (Kind::Directory, ..) => m.entries.to_string(),
        (.., None) => "?".into(),
        (.., Some(size)) if human => text::bytes(size),
        (.., Some(size)) => size.to_string(),
    };
    let date = m.times.modified.map_or_else(|| "-".into(), |t| text::date(t.seconds));
    format!(
        "{} {:>3} {:>5} {:>5} {:>12} {:16} ",
        mode_letters(m),
        m.links,
        m.uid,
        m.gid,
        size,
        date
    )
}

/// `-rw-r--r--`, with set-id and sticky bits.
fn mode_letters(m: &Metadata) -> String {
    let bit = |mask: u16, c: char| if m.mode & mask != 0 { c } else { '-' };
    let special = |mask: u16, execute: u16, letter: char, plain: char| match (
        m.mode & mask != 0,
        m.mode & execute != 0,
    ) {
        (true, true) => letter,
        (true, false) => letter.to_ascii_uppercase(),
        (false, true) => plain,
        (false, false) => '-',
    };
    [
        m.kind.letter(),
        bit(0o400, 'r'),
        bit(0o200, 'w'),
        special(0o4000, 0o100, 's', 'x'),
        bit(0o040, 'r'),
        bit(0o020, 'w'),
        special(0o2000, 0o010, 's', 'x'),
        bit(0o004, 'r'),
        bit(0o002, 'w'),
        special(0o1000, 0o001, 't', 'x'),
    ]
    .iter()
    .collect()
}
