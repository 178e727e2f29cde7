//! What a finding costs, in words.

use super::page::{Page, Tone, hanging};
use super::text;
use std::io::{self, Write};
use tmbundle::report::{Affected, Cost, Finding};

/// Files that are named without `--all`.
const NAMED: usize = 3;
/// Where the words of a finding begin.
const INDENT: &str = "          ";

/// Print what a finding costs, below the finding.
pub fn print(out: &mut Page<impl Write>, f: &Finding, all: bool) -> io::Result<()> {
    let Some(cost) = &f.cost else { return Ok(()) };
    // Of folders whose own records are lost, all that is in them cannot be reached.
    let deep = f.place.structure.holds_folders();
    let hit = cost.files + cost.folders;
    if hit == 0 {
        return Ok(());
    }
    let told = format!("{INDENT}hits {}{}", things(cost, deep), snapshots(cost));
    out.put(hanging(12).plain(told))?;
    let named = if all { cost.affected.len() } else { NAMED };
    for a in cost.affected.iter().take(named) {
        let address = hanging(14).plain(format!("{INDENT}  ")).solid(&a.address);
        out.put(address.tone(Tone::Faint, remark(a, cost)))?;
    }
    let more = hit.saturating_sub(u64::try_from(named).unwrap_or(u64::MAX));
    if more > 0 {
        let hint = if all { "" } else { " (--all)" };
        out.row(format!("{INDENT}  … and {} more{hint}", text::count(more)))?;
    }
    if let Some(intact) = cost.intact_elsewhere.filter(|_| cost.files > 1) {
        let of = text::count(cost.files);
        let line = match intact {
            0 => "none of them is intact in another snapshot".to_owned(),
            n => format!("{} of {of} files are intact in another snapshot", text::count(n)),
        };
        out.put(hanging(12).plain(format!("{INDENT}{line}")))?;
    }
    Ok(())
}

fn things(cost: &Cost, deep: bool) -> String {
    let files = (cost.files > 0).then(|| text::plural(cost.files, "file", "files"));
    let folders = (cost.folders > 0).then(|| {
        let folders = text::plural(cost.folders, "folder", "folders");
        if deep { format!("{folders} with what is in them") } else { folders }
    });
    [files, folders].into_iter().flatten().collect::<Vec<_>>().join(" and ")
}

fn snapshots(cost: &Cost) -> String {
    let (Some(first), Some(last)) = (&cost.first_snapshot, &cost.last_snapshot) else {
        return String::new();
    };
    let range = if first == last { first.clone() } else { format!("{first} … {last}") };
    let of = text::plural(cost.of_snapshots, "snapshot", "snapshots");
    format!(" in {} of {of} ({range})", text::count(cost.snapshots))
}

/// What is said of one file.
fn remark(a: &Affected, cost: &Cost) -> String {
    match &a.intact {
        Some(address) => {
            let snapshot = address.split_once(":/").map_or(address.as_str(), |s| s.0);
            format!("  (intact: {snapshot})")
        }
        None if cost.intact_elsewhere.is_some() && !a.folder => "  (no intact version)".into(),
        None => String::new(),
    }
}
