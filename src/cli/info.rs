//! `tmbundle info`.

use super::args::InfoArgs;
use super::output::{self, Exit};
use super::page::{self, Page, Tone, hanging};
use super::password::Prompt;
use super::text;
use std::io::{self, Write};
use tmbundle::bundle::busy;
use tmbundle::io::bytes::to_u64;
use tmbundle::query::{self, ApfsInfo, BundleInfo, HfsInfo, Info, PartitionInfo};
use tmbundle::report::Code;

pub fn run(args: &InfoArgs) -> anyhow::Result<Exit> {
    let layout = args.password.open(&args.source, Prompt::No)?;
    let info = query::info(&layout, super::clock::now())?;
    let (busy, gaps) = layout.disk().bundle().map(busy::signs_and_gaps).unwrap_or_default();
    super::busy::unknown(&gaps);
    if args.json {
        output::json("tmbundle/info/1", &info)?;
    } else {
        let mut out = page::stdout();
        print(&mut out, &output::last_part(&args.source), &info, &busy)?;
        out.flush()?;
    }
    let older = info.older().next().is_some();
    // Whoever goes by the exit code must not think that the keys are there.
    let about_keys = [Code::TokenLost, Code::HeaderEncryption, Code::TokenForeign];
    let told = info.findings.iter().any(|f| about_keys.contains(&f.code));
    let keyless = told || layout.keys().is_some();
    // As of an image that it does not open.
    let useless = info.wrong_password || args.password.in_vain(layout.disk());
    Ok(match (useless, output::whole(layout.disk())) {
        (true, _) => Exit::Failed,
        (false, Exit::Ok) if older || keyless => Exit::Findings,
        (false, exit) => exit,
    })
}

fn line(out: &mut Page<impl Write>, label: &str, value: &str) -> io::Result<()> {
    let tone = match label {
        "damage" | "problem" => Tone::Bad,
        "warning" => Tone::Warn,
        _ => Tone::Plain,
    };
    out.put(hanging(16).tone(tone, format!("  {label:14}")).plain(value))
}

fn print(out: &mut Page<impl Write>, name: &str, info: &Info, busy: &[String]) -> io::Result<()> {
    out.put(hanging(2).tone(Tone::Strong, name))?;
    line(out, "kind", info.kind)?;
    if !busy.is_empty() {
        line(out, "in use", &busy.join("; "))?;
    }
    let mut size = text::bytes(info.size);
    if let Some(on_disk) = info.bytes_on_disk {
        let about = if info.bytes_on_disk_exact { "" } else { "about " };
        size = format!("{size}, of which {about}{} on this server's disk", text::bytes(on_disk));
    }
    line(out, "size", &size)?;
    if let Some(bundle) = &info.bundle {
        print_bundle(out, bundle)?;
    }
    let encrypted = match (info.encrypted, &info.cipher) {
        (true, cipher) => cipher.as_deref().unwrap_or("yes"),
        // The token, which tells, cannot be read.
        (false, _) if info.bundle.is_some() && info.locked.is_some() => "unknown",
        (false, _) if info.encrypted_volumes => "not the image, but volumes in it",
        (false, _) => "no",
    };
    line(out, "encrypted", encrypted)?;
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
        print_partition(out, p)?;
    }
    if let Some(backup) = &info.backup {
        for c in &backup.computers {
            let newest = c.newest.as_deref().unwrap_or("none completed");
            let mut value = format!(
                "{}: {}, newest {newest}",
                c.name,
                text::plural(c.snapshots as u64, "snapshot", "snapshots")
            );
            if let Some(date) = c.newest_completed {
                value = format!("{value} ({})", text::ago(date));
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

fn print_bundle(out: &mut Page<impl Write>, b: &BundleInfo) -> io::Result<()> {
    let bands = &b.bands;
    let value = format!(
        "{} of {} present, {} not; {} each",
        text::count(bands.present),
        text::count(bands.possible),
        text::count(bands.missing),
        text::bytes(b.band_size)
    );
    line(out, "bands", &value)?;
    let version = b.version.map_or("unknown".into(), |v| v.to_string());
    let mut value = format!("version {version}, geometry from {}", b.info_from);
    if let Some(uuid) = &b.uuid {
        value = format!("{value}, uuid {uuid}");
    }
    line(out, "bundle", &value)
}

fn print_mac(out: &mut Page<impl Write>, b: &BundleInfo) -> io::Result<()> {
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
        let date = m.verification_date.map(|d| match text::age(d).as_str() {
            "in the future" => format!(" ({}, which is in the future)", text::date(d)),
            _ => format!(" ({})", text::date(d)),
        });
        let date = date.unwrap_or_default();
        line(out, "verification", &format!("{state}{date}"))?;
        if m.recovery_declined {
            line(out, "", "the user declined to start a new backup: backups are blocked")?;
        }
    }
    if let Some(n) = b.history_count {
        let last = match (&b.last_backup, b.last_completed) {
            (Some(name), Some(date)) => format!(", last {name} ({})", text::ago(date)),
            _ => String::new(),
        };
        let count = text::plural(n as u64, "completed backup", "completed backups");
        line(out, "history", &format!("{count}{last}"))?;
    }
    Ok(())
}

fn print_partition(out: &mut Page<impl Write>, p: &PartitionInfo) -> io::Result<()> {
    let mut value = format!("{} {} {} at {}", p.number, p.type_name, text::bytes(p.len), p.start);
    if !p.name.is_empty() {
        value = format!("{value} '{}'", p.name);
    }
    line(out, "", &format!("{value}: {}", p.contents))?;
    if let Some(problem) = &p.problem {
        line(out, "", &format!("  cannot be opened: {problem}"))?;
    }
    for volume in &p.apfs {
        print_apfs(out, volume)?;
    }
    match &p.hfs {
        Some(hfs) => print_hfs(out, hfs),
        None => Ok(()),
    }
}

fn print_apfs(out: &mut Page<impl Write>, v: &ApfsInfo) -> io::Result<()> {
    let case = if v.case_sensitive { "case-sensitive" } else { "case-insensitive" };
    let role = v.role.map(|r| format!(", role {r}")).unwrap_or_default();
    let encrypted = if v.encrypted { ", encrypted" } else { "" };
    let sealed = if v.sealed { ", sealed" } else { "" };
    let total = text::bytes(v.total_bytes);
    let free = match v.free_bytes {
        Some(free) => format!("{} of {total} free", text::bytes(free)),
        None => format!("{total}, of which it is not known how much is free"),
    };
    let value = format!(
        "'{}'{role}, {case}{encrypted}{sealed}, {}, {}, {}, {free}, blocks of {}",
        v.name,
        text::plural(v.files, "file", "files"),
        text::plural(v.folders, "folder", "folders"),
        text::plural(to_u64(v.snapshots), "snapshot", "snapshots"),
        v.block_size
    );
    line(out, "volume", &value)?;
    match &v.older_state {
        Some(text) => line(out, "damage", text),
        None => Ok(()),
    }
}

fn print_hfs(out: &mut Page<impl Write>, h: &HfsInfo) -> io::Result<()> {
    let case = if h.case_sensitive { "case-sensitive" } else { "case-insensitive" };
    let value = format!(
        "'{}', {case}, {}, {}, {} of {} free, blocks of {}",
        h.name,
        text::plural(h.files, "file", "files"),
        text::plural(h.folders, "folder", "folders"),
        text::bytes(h.free_bytes),
        text::bytes(h.total_bytes),
        h.block_size
    );
    line(out, "volume", &value)?;
    let clean = if h.cleanly_unmounted { "cleanly unmounted" } else { "not cleanly unmounted" };
    line(out, "journal", &format!("{}; volume {clean}", h.journal))?;
    if h.from_alternate_header {
        line(out, "damage", "the volume header cannot be used; the alternate was used")?;
    }
    Ok(())
}
