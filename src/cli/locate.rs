//! `tmbundle locate`.

use super::args::LocateArgs;
use super::output::{self, Exit};
use super::page::{self, Page, Tone, hanging};
use super::password::Prompt;
use super::progress::Bars;
use super::text;
use std::io::{self, Write};
use tmbundle::query::{Located, Object, Piece, Place, What, locate};

/// Lines and objects that are shown without `--all`.
const LINES: usize = 60;
const OBJECTS: usize = 3;

/// A number: decimal, or hexadecimal after `0x`.
pub fn number(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.replace(['_', ','], "").parse(),
    };
    parsed.map_err(|_| format!("'{text}' is not a number such as 4096 or 0x1000"))
}

/// A band's name: hexadecimal, as the file is called.
pub fn band(text: &str) -> Result<u64, String> {
    let digits = text.rsplit('/').next().unwrap_or(text);
    u64::from_str_radix(digits, 16)
        .map_err(|_| format!("'{text}' is not the name of a band such as 0 or 1f3"))
}

pub fn run(args: &LocateArgs) -> anyhow::Result<Exit> {
    let length = args.length.unwrap_or(1);
    let place = match (args.band, args.offset, args.block) {
        (Some(band), ..) => Place::Band(band),
        (_, Some(offset), _) => Place::Bytes(offset..offset.saturating_add(length)),
        (.., Some(block)) => Place::Blocks(block, length),
        // clap requires one of the three.
        _ => return Ok(Exit::Failed),
    };
    let bars = Bars::new(false);
    let layout = args.password.open(&args.source, Prompt::Yes)?;
    let found = locate(&layout, &place, &bars)?;
    bars.clear();
    if args.json {
        output::json("tmbundle/locate/1", &found)?;
    } else {
        let mut out = page::stdout();
        print(&mut out, &found, args.all)?;
        out.flush()?;
    }
    found.older_state.iter().for_each(|text| output::warn(text));
    Ok(match output::whole(layout.disk()) {
        Exit::Ok if !found.older_state.is_empty() || !found.unread.is_empty() => Exit::Findings,
        exit => exit,
    })
}

fn print(out: &mut Page<impl Write>, found: &Located, all: bool) -> io::Result<()> {
    let last = found.offset + found.length - 1;
    let s = &found.stored;
    let mut stored = vec![format!("{} stored", text::bytes(s.data))];
    for (n, what) in [
        (s.missing, "in missing bands"),
        (s.short, "past the end of bands"),
        (s.hole, "in holes"),
        (s.unreadable, "that ddrescue could not read"),
    ] {
        if n > 0 {
            stored.push(format!("{} {what}", text::bytes(n)));
        }
    }
    let (first, end) = (text::count(found.offset), text::count(last));
    let stored = stored.join(", ");
    out.put(hanging(2).plain(format!("bytes {first} to {end} of the disk: {stored}")))?;
    for text in &found.unread {
        let text = format!("{text}; what lies here may be something else than is said");
        out.put(hanging(10).tone(Tone::Warn, "warning   ").plain(text))?;
    }
    // The rest of a file's last block is of interest to few.
    let visible = |p: &&Piece| all || p.what != What::Slack || found.pieces.len() == 1;
    let pieces: Vec<&Piece> = found.pieces.iter().filter(visible).collect();
    let runs: Vec<&[&Piece]> = pieces.chunk_by(|a, b| alike(a, b)).collect();
    let lines = if all { runs.len() } else { LINES };
    for run in runs.iter().take(lines) {
        print_run(out, run, all)?;
    }
    if runs.len() > lines {
        let more = u64::try_from(runs.len() - lines).unwrap_or(0);
        out.row(format!("… and {} more lines (--all, --json)", text::count(more)))?;
    }
    if found.by_number > 0 {
        let objects = text::plural(found.by_number, "object goes", "objects go");
        out.row(format!("{objects} by number alone: there are too many paths in this range."))?;
    }
    let files = found.objects();
    if files > 0 {
        out.row(format!("{} in all.", text::plural(files, "file or folder", "files and folders")))?;
    }
    Ok(())
}

/// Whether two neighbours are told in one line: nodes of one tree that describe nothing.
fn alike(a: &Piece, b: &Piece) -> bool {
    let tree = |p: &Piece| p.name.split_once(" node ").map(|t| (t.0.to_owned(), kind(t.1)));
    a.what == What::Structure
        && b.what == What::Structure
        && a.objects.is_empty()
        && b.objects.is_empty()
        && a.offset + a.length == b.offset
        && tree(a).is_some()
        && tree(a) == tree(b)
}

fn kind(rest: &str) -> String {
    rest.split_once('(').map_or("", |t| t.1).to_owned()
}

fn print_run(out: &mut Page<impl Write>, run: &[&Piece], all: bool) -> io::Result<()> {
    let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(()) };
    let length = last.offset + last.length - first.offset;
    let mut what = describe(first);
    if let [_, _, ..] = run {
        let name = first.name.split_once(" node ").map_or("", |t| t.0);
        let kind = kind(&first.name);
        let count = u64::try_from(run.len()).unwrap_or(0);
        what = format!("{name} nodes, {} ({kind}", text::count(count));
    }
    let at = text::count(first.offset);
    let place = format!("  {at:>19}  {:>9}  ", text::bytes(length));
    out.put(hanging(34).plain(place).plain(&what))?;
    let shown = if all { first.objects.len() } else { OBJECTS.min(first.objects.len()) };
    if is_content(first) {
        return Ok(());
    }
    for object in first.objects.iter().take(shown) {
        let line = hanging(36).plain(format!("  {:32}", "")).solid(address(object));
        out.put(line.plain(within(object)))?;
    }
    let more = u64::try_from(first.objects.len() - shown).unwrap_or(0);
    if more > 0 {
        out.row(format!("  {:32}… and {} more (--all)", "", text::count(more)))?;
    }
    Ok(())
}

fn is_content(p: &Piece) -> bool {
    p.what != What::Structure
}

fn describe(p: &Piece) -> String {
    let object = p.objects.first();
    let address = object.map(address).unwrap_or_default();
    let within = object.map(within).unwrap_or_default();
    let from = p.stream_offset.map_or_else(String::new, |o| match o {
        0 => String::new(),
        o => format!(" from byte {} on", text::count(o)),
    });
    match p.what {
        What::File => format!("{address}{from}{within}"),
        What::ResourceFork => format!("{address}, resource fork{from}{within}"),
        What::Attribute => format!("{address}, attribute {}{within}", p.name),
        What::Slack => format!("allocated to {address} past its end"),
        What::Structure if p.objects.is_empty() => p.name.clone(),
        What::Structure => {
            let n = u64::try_from(p.objects.len()).unwrap_or(0);
            format!("{}, describes {}", p.name, text::plural(n, "object", "objects"))
        }
        What::PartitionMap => p.name.clone(),
        What::Partition => {
            format!("partition {} ({})", p.partition.unwrap_or(0), p.name)
        }
        What::Unowned => "marked as in use, but nothing is known to lie here".into(),
        What::Free => "free".into(),
    }
}

fn address(object: &Object) -> String {
    match object.address.is_empty() {
        true => format!("object {}", object.id),
        false => object.address.clone(),
    }
}

fn within(object: &Object) -> String {
    match object.snapshots.len() {
        0 | 1 => String::new(),
        n => format!("  (in {n} snapshots)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_bands() {
        assert_eq!(number("0x1000"), Ok(4096));
        assert_eq!(number("1,000_000"), Ok(1_000_000));
        assert!(number("1f3").is_err());
        assert_eq!(band("bands/1f3"), Ok(0x1f3));
        assert!(band("xyz").is_err());
    }
}
