//! `tmbundle watch`.

use super::args::WatchArgs;
use super::output::{self, Exit};
use super::page::{self, Page, Tone, hanging};
use super::targets::{self, Note};
use super::{clock, memory, metrics, text, textfile};
use serde::Serialize;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use tmbundle::bundle::Share;
use tmbundle::io::{Access, Links};
use tmbundle::query::watch::{Bundle, Disk, Look, Mac, Served, Watch, look};
use tmbundle::report::present;
use tmbundle::server::gather::{Depth, REGISTRY, Wanted, gather};
use tmbundle::server::text::Root;
use tmbundle::server::{ShareRow, share_rows};
use tmbundle::state::Session;
use tmbundle::volume::Layout;
use tmbundle::{Error, Result, disk};
use unicode_width::UnicodeWidthStr;

/// What `--json` prints.
#[derive(Serialize)]
struct Document<'a> {
    share: String,
    #[serde(flatten)]
    watch: &'a Watch,
    notes: Vec<NoteRow<'a>>,
    errors: Vec<ErrorRow>,
}

/// Something beside the bundles.
#[derive(Serialize)]
struct NoteRow<'a> {
    path: String,
    why: &'static str,
    text: &'a str,
}

/// A bundle that could not be looked at.
#[derive(Serialize)]
struct ErrorRow {
    source: String,
    error: String,
}

/// What was seen of a share.
#[derive(Default)]
struct Seen {
    looks: Vec<Look>,
    notes: Vec<Note>,
    failed: Vec<(PathBuf, Error)>,
}

pub fn run(args: &WatchArgs) -> anyhow::Result<Exit> {
    textfile::divert(args.metrics.as_deref(), args.json.then_some(textfile::JSON_TOO))?;
    if let Some(file) = args.metrics.as_ref().filter(|file| !textfile::is_stdout(file)) {
        textfile::check(file)?;
    }
    let now = clock::now();
    let seen = see(args, now)?;
    let watch = Watch::of(&seen.looks, &served(args, now)?, now);
    let warned = watch.disks.iter().any(|disk| is_soon(disk, args, now));
    let exit = match warned {
        _ if !seen.failed.is_empty() => Exit::Failed,
        true => Exit::Findings,
        false => Exit::Ok,
    };
    if args.json {
        output::json("tmbundle/watch/1", &document(args, &watch, &seen))?;
    } else {
        let mut out = page::main();
        print(&mut out, args, &watch, now)?;
        out.flush()?;
        seen.notes.iter().filter(|note| note.told).for_each(|note| output::note(&note.text));
        for (path, error) in &seen.failed {
            output::fail_of(path, &error.to_string(), output::hint(error));
        }
    }
    if let Some(file) = &args.metrics {
        textfile::put(file, &metrics::watch(&watch, exit.code(), now))?;
    }
    Ok(exit)
}

/// The shares that servers offer, by their configuration.
fn served(args: &WatchArgs, now: i64) -> Result<Vec<Served>> {
    let files = super::doctor::names(&args.config, false)?;
    let root = Root::new(Path::new("/"));
    let wanted = Wanted { root: &root, files: &files, depth: Depth::Servers, now, max_age: None };
    let found = gather(&wanted);
    let missed = found.not_seen.iter().find(|seen| files.contains(&seen.what));
    if let Some(seen) = missed {
        let path = PathBuf::from(&seen.what);
        return Err(Error::NotASource { path, why: seen.why.clone() });
    }
    for seen in found.not_seen.iter().filter(|seen| seen.what == REGISTRY && !args.quiet) {
        output::note(&format!("shares in {} are not seen: {}", seen.what, seen.why));
    }
    let served = |row: ShareRow| {
        // Without such a folder nothing lies in it.
        let path = std::fs::canonicalize(row.path.filter(|_| row.time_machine)?).ok()?;
        Some(Served { name: row.name, server: row.server, path, limit: row.limit })
    };
    Ok(share_rows(&found.setup, &found.host).into_iter().filter_map(served).collect())
}

fn document<'a>(args: &WatchArgs, watch: &'a Watch, seen: &'a Seen) -> Document<'a> {
    let note = |note: &'a Note| NoteRow {
        path: note.path.display().to_string(),
        why: note.why.word(),
        text: &note.text,
    };
    let error = |(path, error): &(PathBuf, Error)| ErrorRow {
        source: path.display().to_string(),
        error: error.to_string(),
    };
    Document {
        share: args.share.display().to_string(),
        watch,
        notes: seen.notes.iter().map(note).collect(),
        errors: seen.failed.iter().map(error).collect(),
    }
}

/// Look at all bundles, and note their sizes.
fn see(args: &WatchArgs, now: i64) -> Result<Seen> {
    let mut seen = Seen::default();
    let (share, links) = match Share::open(&args.share)? {
        Some(share) => (share, Links::Refuse),
        None => (Share { bundles: vec![args.share.clone()], ..Share::default() }, Links::Follow),
    };
    seen.notes = targets::beside(&share, args.quiet);
    let dir = memory::state_dir(args.state_dir.as_deref());
    if let (Err(e), Some(_)) = (&dir, &args.state_dir) {
        return Err(Error::Invalid(e.to_string()));
    }
    let mut unkept = dir.as_ref().err().map(ToString::to_string);
    for path in &share.bundles {
        let name = path.strip_prefix(&args.share).unwrap_or(path).display().to_string();
        let name = if name.is_empty() { output::last_part(path) } else { name };
        match one(path, &name, links, dir.as_deref().ok(), now) {
            Ok((look, problem)) => {
                seen.looks.push(look);
                unkept = unkept.or(problem);
            }
            Err(e @ Error::Invalid(_)) => return Err(e),
            Err(e) => seen.failed.push((path.clone(), e)),
        }
    }
    seen.failed.extend(share.failed.into_iter().map(|e| (args.share.clone(), e)));
    if let Some(why) = unkept.filter(|_| !args.quiet) {
        output::warn(&format!("sizes are not remembered for the next run: {why}"));
    }
    Ok(seen)
}

/// Look at a bundle and note its size; why that could not be kept, if so.
fn one(
    path: &Path,
    name: &str,
    links: Links,
    dir: Option<&Path>,
    now: i64,
) -> Result<(Look, Option<String>)> {
    let access = Access { links, ..Access::default() };
    let layout = disk::Disk::open_how(path, &|_| Ok(Vec::new()), &access).map(Layout::from)?;
    let Some(mut look) = look(&layout, name, now)? else {
        let why = "it is no bundle, and no folder of bundles".to_owned();
        return Err(Error::NotASource { path: path.to_owned(), why });
    };
    let Some(dir) = dir else { return Ok((look, None)) };
    let session = match Session::open(dir, &layout, now) {
        Err(e @ Error::Invalid(_)) => return Err(e),
        session => session,
    };
    let problem = match session {
        Ok(Some(mut session)) => {
            let noted = look.size(now).map_or(Ok(()), |size| session.weighed(size));
            look.remember(session.record());
            noted.err()
        }
        Ok(None) => None,
        Err(e) => Some(e),
    };
    Ok((look, problem.map(|e| e.to_string())))
}

/// Whether a disk is full within the time that was asked for.
fn is_soon(disk: &Disk, args: &WatchArgs, now: i64) -> bool {
    let limit = args.warn_full.map(|time| i64::try_from(time.as_secs()).unwrap_or(i64::MAX));
    limit.zip(disk.full_at).is_some_and(|(limit, at)| at.saturating_sub(now) <= limit)
}

fn print(out: &mut Page<impl Write>, args: &WatchArgs, watch: &Watch, now: i64) -> io::Result<()> {
    for disk in &watch.disks {
        let soon = is_soon(disk, args, now);
        if soon || !args.quiet {
            let several = watch.disks.len() > 1;
            print_disk(out, disk, several, soon, now)?;
        }
    }
    for share in watch.shares.iter().filter(|_| !args.quiet) {
        print_share(out, share)?;
    }
    match args.quiet || watch.macs.is_empty() {
        true => Ok(()),
        false => table(out, &watch.macs),
    }
}

fn print_disk(
    out: &mut Page<impl Write>,
    disk: &Disk,
    several: bool,
    soon: bool,
    now: i64,
) -> io::Result<()> {
    let mut facts = match (disk.free, disk.total) {
        (Some(free), Some(total)) => {
            format!("{} free of {}", text::bytes(free), text::bytes(total))
        }
        _ => "free space unknown".to_owned(),
    };
    if let Some(week) = disk.growth_per_week {
        facts.push_str(&format!(", {} a week", signed(week)));
    }
    let word = if several { format!("disk of {}", disk.bundles.join(", ")) } else { "disk".into() };
    let line = hanging(2).tone(Tone::Strong, word).plain(format!(": {facts}; "));
    let tone = if soon { Tone::Warn } else { Tone::Plain };
    let line = match (disk.full_at, &disk.no_day) {
        (Some(at), _) if at <= now => line.tone(Tone::Bad, "it is full"),
        (Some(at), _) => {
            let day = text::date(at);
            let day = day.split(' ').next().unwrap_or(&day);
            let days = text::span(at.saturating_sub(now));
            line.tone(tone, format!("full about {day}, in {days}"))
        }
        (None, Some(why)) => line.plain(format!("no forecast ({why})")),
        (None, None) => line.plain("no forecast"),
    };
    let line = match disk.stops.as_slice() {
        [] => line,
        stops => line.plain(format!("; then the backups stop of {}", stops.join(", "))),
    };
    out.put(match disk.unwarned.len() {
        0 => line,
        n if n == disk.stops.len() => line.tone(Tone::Warn, ", without a word"),
        _ => line.tone(Tone::Warn, format!(", without a word of {}", disk.unwarned.join(", "))),
    })
}

/// What Macs are told of the room in a share.
fn print_share(
    out: &mut Page<impl Write>,
    share: &tmbundle::query::watch::Share,
) -> io::Result<()> {
    let line = hanging(2).tone(Tone::Strong, format!("share {}", share.name));
    let line = match (share.limit, share.told) {
        (Some(limit), Some(told)) => line.plain(format!(
            " ({}): limit {}, of which {} are used; Macs are told that {} are free",
            share.server,
            text::bytes(limit),
            text::bytes(share.used),
            text::bytes(told),
        )),
        _ => line.plain(format!(" ({}): no limit; Macs see what the disk has", share.server)),
    };
    out.put(match share.unwarned.is_empty() {
        true => line,
        false => line.tone(Tone::Warn, ", and the disk has less"),
    })
}

/// `+1.2 GiB`, `-3 MiB`.
fn signed(bytes: i64) -> String {
    let sign = match bytes {
        ..0 => "-",
        0 => "",
        1.. => "+",
    };
    format!("{sign}{}", text::bytes(bytes.unsigned_abs()))
}

/// Columns of the table.
const HEADER: [&str; 8] =
    ["BUNDLE", "FORMAT", "LAST BACKUP", "EVERY", "VERIFIED", "SIZE", "LIMIT", "A WEEK"];

fn table(out: &mut Page<impl Write>, macs: &[Mac]) -> io::Result<()> {
    let row = |b: &Bundle| cells(b).map(|cell| present(&cell).into_owned());
    let groups: Vec<Vec<[String; 8]>> =
        macs.iter().map(|mac| mac.bundles.iter().map(row).collect()).collect();
    let header = HEADER.map(str::to_owned);
    let all = || groups.iter().flatten().chain([&header]);
    let widths: [usize; 8] = std::array::from_fn(|n| {
        all().filter_map(|r| r.get(n)).map(|c| c.width()).max().unwrap_or(0)
    });
    out.put(hanging(2).tone(Tone::Strong, aligned(&header, &widths)))?;
    for (mac, rows) in macs.iter().zip(&groups) {
        let about = [mac.model.as_deref(), mac.host_uuid.as_deref()];
        let gone = mac.gone.then_some("makes no backups any more");
        let about: Vec<&str> = about.into_iter().flatten().chain(gone).collect();
        let gap = if about.is_empty() { "" } else { "   " };
        let name = hanging(2).tone(Tone::Strong, &mac.name);
        out.put(name.plain(format!("{gap}{}", about.join(" · "))))?;
        for (bundle, cells) in mac.bundles.iter().zip(rows) {
            out.row(aligned(cells, &widths))?;
            if let Some(left) = bundle.leftover {
                out.put(hanging(6).tone(Tone::Warn, format!("    {}", left.words())))?;
            }
        }
    }
    Ok(())
}

/// A row: words to the left, numbers to the right.
fn aligned(cells: &[String; 8], widths: &[usize; 8]) -> String {
    let mut row = String::new();
    for (n, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let blanks = " ".repeat(width.saturating_sub(cell.width()));
        match n {
            5.. => row.push_str(&format!("  {blanks}{cell}")),
            _ => row.push_str(&format!("  {cell}{blanks}")),
        }
    }
    row.trim_end().to_owned()
}

fn cells(b: &Bundle) -> [String; 8] {
    let none = || "–".to_owned();
    let format = match (b.format, b.encrypted) {
        (Some(format), true) => format!("{format}, encrypted"),
        (Some(format), false) => format.to_owned(),
        (None, true) => "encrypted".to_owned(),
        (None, false) => "unknown".to_owned(),
    };
    let verified = match (&b.verdict, b.verified) {
        (Some(verdict), Some(at)) => format!("{verdict}, {}", text::ago(at)),
        _ => "never".to_owned(),
    };
    // Of what was copied something may be gone by now.
    let week = match (b.growth_per_week, b.copied_per_week) {
        (Some(week), _) => signed(week),
        (None, Some(copied)) => format!("≤ {}", text::bytes(copied)),
        (None, None) => none(),
    };
    [
        b.name.clone(),
        format,
        b.last_completed.map_or_else(none, text::ago),
        b.interval.map_or_else(none, text::span),
        verified,
        b.stored.map_or_else(none, text::bytes),
        text::bytes(b.limit),
        week,
    ]
}
