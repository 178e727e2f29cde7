//! `tmbundle info`.

use super::args::InfoArgs;
use super::output::{self, Exit, stdout};
use super::password::Prompt;
use super::text;
use std::io::{self, Write};
use tmbundle::query::{self, BundleInfo, HfsInfo, Info, PartitionInfo};

pub fn run(args: &InfoArgs) -> anyhow::Result<Exit> {
    let disk = args.password.open(&args.source, Prompt::No)?;
    let info = query::info(&disk)?;
    if args.json {
        output::json("tmbundle/info/1", &info)?;
    } else {
        let mut out = stdout();
        print(&mut out, &info, output::is_terminal())?;
        out.flush()?;
    }
    Ok(Exit::Ok)
}

fn line(out: &mut impl Write, label: &str, value: &str) -> io::Result<()> {
    writeln!(out, "  {label:14}{value}")
}

fn print(out: &mut impl Write, info: &Info, terminal: bool) -> io::Result<()> {
    let name = info.source.trim_end_matches('/').rsplit('/').next().unwrap_or(&info.source);
    writeln!(out, "{}", text::name(name, terminal))?;
    line(out, "kind", info.kind)?;
    let mut size = text::bytes(info.size);
    if let Some(on_disk) = info.bytes_on_disk {
        let about = if info.bytes_on_disk_exact { "" } else { "about " };
        size = format!("{size}, of which {about}{} on this server's disk", text::bytes(on_disk));
    }
    line(out, "size", &size)?;
    if let Some(bundle) = &info.bundle {
        print_bundle(out, bundle)?;
    }
    let cipher = info.cipher.as_deref().unwrap_or("yes");
    line(out, "encrypted", if info.encrypted { cipher } else { "no" })?;
    if let Some(bundle) = &info.bundle {
        print_mac(out, bundle)?;
    }
    if let Some(why) = &info.locked {
        line(out, "contents", why)?;
    }
    if let Some(scheme) = info.partition_scheme {
        line(out, "partitions", scheme)?;
    }
    for p in &info.partitions {
        print_partition(out, p, terminal)?;
    }
    if let Some(backup) = &info.backup {
        for c in &backup.computers {
            let newest = c.newest.as_deref().unwrap_or("none completed");
            let mut value = format!(
                "{}: {}, newest {newest}",
                text::name(&c.name, terminal),
                text::plural(c.snapshots as u64, "snapshot", "snapshots")
            );
            if let Some(date) = c.newest_completed {
                value = format!("{value} ({} ago)", text::age(date));
            }
            if c.unfinished > 0 {
                value = format!("{value}, {} unfinished", c.unfinished);
            }
            line(out, "backups", &value)?;
        }
        for problem in &backup.problems {
            line(out, "problem", problem)?;
        }
    }
    for f in &info.findings {
        line(out, f.severity.as_str(), &format!("{}  {}", f.message, f.code))?;
    }
    Ok(())
}

fn print_bundle(out: &mut impl Write, b: &BundleInfo) -> io::Result<()> {
    let bands = &b.bands;
    let value = format!(
        "{} of {} present, {} not; {} each",
        text::count(bands.present),
        text::count(bands.possible),
        text::count(bands.missing),
        text::binary(b.band_size)
    );
    line(out, "bands", &value)?;
    let version = b.version.map_or("unknown".into(), |v| v.to_string());
    let mut value = format!("version {version}, geometry from {}", b.info_from);
    if let Some(uuid) = &b.uuid {
        value = format!("{value}, uuid {uuid}");
    }
    line(out, "bundle", &value)
}

fn print_mac(out: &mut impl Write, b: &BundleInfo) -> io::Result<()> {
    if let Some(m) = &b.machine {
        let parts = [m.model.as_deref(), m.host_uuid.as_deref(), m.mac_address.as_deref()];
        let parts: Vec<&str> = parts.into_iter().flatten().collect();
        line(out, "Mac", &parts.join(", "))?;
        let state = match m.verification_state {
            None | Some(0) => "none recorded by the Mac".to_owned(),
            Some(1) => "the Mac found it good".to_owned(),
            Some(2) => "FAILED: the Mac insists on a new backup".to_owned(),
            Some(n) => format!("state {n}"),
        };
        let date = m.verification_date.map(|d| format!(" ({})", text::date(d))).unwrap_or_default();
        line(out, "verification", &format!("{state}{date}"))?;
        if m.recovery_declined {
            line(out, "", "the user declined to start a new backup: backups are blocked")?;
        }
    }
    if let Some(n) = b.history_count {
        let last = match (&b.last_backup, b.last_completed) {
            (Some(name), Some(date)) => format!(", last {name} ({} ago)", text::age(date)),
            _ => String::new(),
        };
        let count = text::plural(n as u64, "completed backup", "completed backups");
        line(out, "history", &format!("{count}{last}"))?;
    }
    Ok(())
}

fn print_partition(out: &mut impl Write, p: &PartitionInfo, terminal: bool) -> io::Result<()> {
    let mut value = format!("{} {} {} at {}", p.number, p.type_name, text::bytes(p.len), p.start);
    if !p.name.is_empty() {
        value = format!("{value} '{}'", text::name(&p.name, terminal));
    }
    line(out, "", &format!("{value}: {}", p.contents))?;
    if let Some(problem) = &p.problem {
        line(out, "", &format!("  cannot be opened: {problem}"))?;
    }
    match &p.hfs {
        Some(hfs) => print_hfs(out, hfs, terminal),
        None => Ok(()),
    }
}

fn print_hfs(out: &mut impl Write, h: &HfsInfo, terminal: bool) -> io::Result<()> {
    let case = if h.case_sensitive { "case-sensitive" } else { "case-insensitive" };
    let value = format!(
        "'{}', {case}, {} files, {} folders, {} of {} free, blocks of {}",
        text::name(&h.name, terminal),
        text::count(h.files),
        text::count(h.folders),
        text::bytes(h.free_bytes),
        text::bytes(h.total_bytes),
        h.block_size
    );
    line(out, "volume", &value)?;
    let clean = if h.cleanly_unmounted { "cleanly unmounted" } else { "not cleanly unmounted" };
    line(out, "journal", &format!("{}; volume {clean}", h.journal))?;
    if h.from_alternate_header {
        line(out, "damage", "the volume header is broken; the alternate was used")?;
    }
    Ok(())
}
