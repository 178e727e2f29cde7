//! `tmbundle extract`.

mod account;
mod args;
mod select;

pub use args::ExtractArgs;

use super::flags::{SalvageArgs, exit_of};
use super::output::{self, Exit};
use super::password::Prompt;
use super::progress::Bars;
use super::text;
use account::{Row, Teller};
use serde::Serialize;
use std::path::Path;
use tmbundle::extract::{NotKept, Plan, Report, Request, Room, Summary};
use tmbundle::timemachine::Archive;

#[derive(Serialize)]
struct Document {
    source: String,
    to: Option<String>,
    #[serde(flatten)]
    counts: Counts,
    plan: PlanCounts,
    #[serde(skip_serializing_if = "Option::is_none")]
    verified: Option<VerifiedCounts>,
    /// What ended it before its end.
    ended: Option<String>,
    failed: Vec<Row>,
    not_listed: u64,
}

#[derive(Serialize, Default)]
struct Counts {
    files: u64,
    folders: u64,
    symlinks: u64,
    others: u64,
    bytes: u64,
    there: u64,
    left_out: u64,
    fallbacks: u64,
    salvaged: u64,
    doubtful: u64,
    not_restored: u64,
    remaining: u64,
    not_kept: Vec<NotKeptCount>,
    /// That an older state of the volume was read, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    older_state: Option<String>,
}

#[derive(Serialize)]
struct NotKeptCount {
    what: &'static str,
    objects: u64,
    example: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Serialize)]
struct PlanCounts {
    files: u64,
    folders: u64,
    others: u64,
    bytes: u64,
    there: u64,
    there_bytes: u64,
    damaged: u64,
    space: u64,
    inodes: u64,
    free: Option<u64>,
    free_inodes: Option<u64>,
}

#[derive(Serialize)]
struct VerifiedCounts {
    files: u64,
    bytes: u64,
    with_checksum: u64,
    checksums_differ: u64,
    differ: u64,
}

impl Counts {
    fn new(s: &Summary, archive: &Archive) -> Self {
        let not_kept = |(kind, objects, example): &(NotKept, u64, String)| NotKeptCount {
            what: kind.word(),
            objects: *objects,
            example: example.clone(),
            reason: s.why_unread(*kind).map(str::to_owned),
        };
        Self {
            files: s.files,
            folders: s.folders,
            symlinks: s.symlinks,
            others: s.others + s.symlinks,
            bytes: s.bytes,
            there: s.there,
            left_out: s.left_out,
            fallbacks: s.fallbacks,
            salvaged: s.salvaged,
            doubtful: s.doubtful,
            not_restored: s.failed,
            remaining: s.remaining,
            not_kept: s.not_kept.iter().map(not_kept).collect(),
            older_state: archive.older().next().map(str::to_owned),
        }
    }
}

impl PlanCounts {
    fn new(p: &Plan, room: Option<&Room>) -> Self {
        Self {
            files: p.files,
            folders: p.folders,
            others: p.others,
            bytes: p.bytes,
            there: p.there,
            there_bytes: p.there_bytes,
            damaged: p.damaged,
            space: p.space,
            inodes: p.objects,
            free: room.map(|r| r.bytes),
            free_inodes: room.and_then(|r| r.objects),
        }
    }
}

pub fn run(args: &ExtractArgs) -> anyhow::Result<Exit> {
    super::limits::raise_descriptors();
    let layout = args.password.open_how(&args.source, Prompt::Yes, &args.access.access())?;
    super::busy::tell(layout.disk());
    let archive = SalvageArgs { salvage: args.damage.salvage }.open(&layout)?;
    let places = select::places(args, &archive)?;
    let evidence = super::memory::evidence(&layout);
    let policy = args.damage.lost.policy();
    let readings = select::readings(&places, &evidence, policy);
    let versions = select::versions(&archive, &places, &readings, &evidence, policy);
    let options = select::options(args, &places)?;
    let request = Request { parts: select::parts(&places, &readings, &versions)?, options };
    let bars = Bars::new(false);
    let exit = match &args.target.to {
        _ if args.dry_run => return dry_run(args, &archive, &request, &bars),
        Some(to) => restore(args, &archive, &request, to, &bars),
        None => write_tar(args, &archive, &request, &bars),
    }?;
    // Of what was taken away meanwhile zeros may have been read that nobody wrote.
    let doubtful = super::busy::unsteady(layout.disk());
    Ok(if doubtful && exit == Exit::Ok { Exit::Findings } else { exit })
}

fn write_tar(
    args: &ExtractArgs,
    archive: &Archive,
    request: &Request<'_>,
    bars: &Bars,
) -> anyhow::Result<Exit> {
    if output::is_terminal() {
        let text = "an archive does not go to a terminal: redirect standard output";
        return Err(tmbundle::Error::Invalid(text.into()).into());
    }
    let source = args.source.display().to_string();
    let teller = Teller::new(args.report.as_deref(), &source)?;
    let archived = request.archive(output::stdout(), bars, &teller).map_err(anyhow::Error::from);
    bars.clear();
    let report = match archived {
        Err(e) if output::broken_pipe(&e) => {
            // What was cut is no archive, whatever the reader thinks of it.
            output::error("the archive is not whole: its reader went away before its end", None);
            return Ok(Exit::Failed);
        }
        archived => archived?,
    };
    // What was left out is told before it is told that the report could not be written.
    let written = teller.finish(args.report.as_deref(), &Counts::new(&report.summary, archive));
    let (failed, more) = teller.take();
    account::print(&failed, more);
    print_notes(&report, &teller);
    let s = &report.summary;
    let mut line = format!("Archived {} and {}", s.restored(), text::bytes(s.bytes));
    line.push_str(&left(s, "devices need --devices; archives hold no sockets"));
    output::note(&line);
    written?;
    Ok(if s.is_incomplete() { Exit::Findings } else { exit_of(archive) })
}

fn dry_run(
    args: &ExtractArgs,
    archive: &Archive,
    request: &Request<'_>,
    bars: &Bars,
) -> anyhow::Result<Exit> {
    let (plan, room) = request.plan(args.target.to.as_deref(), bars)?;
    bars.clear();
    if args.json {
        let document = Document {
            source: args.source.display().to_string(),
            to: args.target.to.as_ref().map(|t| t.display().to_string()),
            counts: Counts::new(&Summary::default(), archive),
            plan: PlanCounts::new(&plan, room.as_ref()),
            verified: None,
            ended: None,
            failed: Vec::new(),
            not_listed: 0,
        };
        output::json("tmbundle/extract/1", &document)?;
    } else {
        print_plan(&plan, room.as_ref());
    }
    let fits = room.is_none_or(|room| plan.require(&room).is_ok());
    let whole = fits && plan.unreachable() == 0 && plan.damaged == 0;
    Ok(if whole { exit_of(archive) } else { Exit::Findings })
}

fn print_plan(plan: &Plan, room: Option<&Room>) {
    output::note(&format!(
        "Would restore {}, {} and {}: {}",
        text::plural(plan.files - plan.there, "file", "files"),
        text::plural(plan.folders - plan.folders_there, "folder", "folders"),
        text::plural(plan.others - plan.others_there, "other", "others"),
        text::bytes(plan.bytes),
    ));
    if plan.there > 0 {
        output::note(&format!(
            "  {} there already: {}",
            text::plural(plan.there, "file is", "files are"),
            text::bytes(plan.there_bytes)
        ));
    }
    if let Some(room) = room {
        let inodes = room.objects.map_or(String::new(), |n| format!(", {} inodes", text::count(n)));
        output::note(&format!(
            "  needs {} and {}; free: {}{inodes}",
            text::bytes(plan.space),
            text::plural(plan.objects, "inode", "inodes"),
            text::bytes(room.bytes),
        ));
        if let Err(e) = plan.require(room) {
            output::note(&format!("  {e}"));
        }
    }
    if plan.unreachable() > 0 {
        let n = text::plural(plan.unreachable(), "object", "objects");
        output::note(&format!("  {n} cannot be reached: damage"));
    }
    if plan.damaged > 0 {
        let n = text::plural(plan.damaged, "file has", "files have");
        output::note(&format!(
            "  {n} lost bytes and would be left out (--fallback takes another version, --salvage \
             what can be read)"
        ));
    }
}

fn restore(
    args: &ExtractArgs,
    archive: &Archive,
    request: &Request<'_>,
    to: &Path,
    bars: &Bars,
) -> anyhow::Result<Exit> {
    let source = args.source.display().to_string();
    let teller = Teller::new(args.report.as_deref(), &source)?;
    let report = request.restore(to, bars, &teller)?;
    bars.clear();
    let counts = Counts::new(&report.summary, archive);
    let written = teller.finish(args.report.as_deref(), &counts);
    let (failed, not_listed) = teller.take();
    if !args.json {
        account::print(&failed, not_listed);
        print_notes(&report, &teller);
        print_end(&report, to);
    }
    let incomplete = report.summary.is_incomplete() || report.ended.is_some();
    if args.json {
        let verified = report.verified.map(|v| VerifiedCounts {
            files: v.files,
            bytes: v.bytes,
            with_checksum: v.with_checksum,
            checksums_differ: v.checksums_differ,
            differ: v.differ,
        });
        let document = Document {
            source,
            to: Some(to.display().to_string()),
            counts,
            plan: PlanCounts::new(&report.plan, None),
            verified,
            ended: report.ended,
            failed,
            not_listed,
        };
        output::json("tmbundle/extract/1", &document)?;
    }
    written?;
    Ok(if incomplete { Exit::Findings } else { exit_of(archive) })
}

/// What was not kept, once each kind.
fn print_notes(report: &Report, teller: &Teller) {
    let mut listed = false;
    for (kind, n, example) in &report.summary.not_kept {
        let example = tmbundle::report::present(example);
        let why = report.summary.why_unread(*kind);
        let why =
            why.map_or_else(String::new, |why| format!(" ({})", tmbundle::report::present(why)));
        output::note(&format!("note: {}{why}; first: {example}", kind.sentence(*n)));
        if matches!(kind, NotKept::Name | NotKept::Beside) && !std::mem::replace(&mut listed, true)
        {
            let renamed = teller.renamed();
            for (path, name) in renamed.iter().take(20) {
                let (path, name) =
                    (tmbundle::report::present(path), tmbundle::report::present(name));
                output::note(&format!("  {path} is {name}"));
            }
        }
    }
    if report.checksums_doubted {
        output::note(
            "note: next to none of Time Machine's checksums agreed: their rule is not understood for \
             this backup; files that disagree were restored and are named as doubtful",
        );
    }
}

/// What was not restored, as the end of a sentence.
fn left(s: &Summary, why: &str) -> String {
    let mut line = String::new();
    let not_wanted = s.left_out.saturating_sub(s.kept_there);
    if not_wanted > 0 {
        let n = text::plural(not_wanted, "object was", "objects were");
        line.push_str(&format!("; {n} left out as asked ({why})"));
    }
    if s.kept_there > 0 {
        let n = text::plural(s.kept_there, "object was", "objects were");
        line.push_str(&format!("; {n} left out since something else is there (--on-conflict)"));
    }
    if s.failed > 0 {
        line.push_str(&format!("; {} could not be", text::plural(s.failed, "object", "objects")));
    }
    line
}

fn print_end(report: &Report, to: &Path) {
    if let (false, Some(ended)) = (report.began, &report.ended) {
        output::note(&format!("error: {ended}"));
        return;
    }
    let s = &report.summary;
    let mut line = format!("Restored {} and {}", s.restored(), text::bytes(s.bytes));
    line.push_str(&format!(" to {}", to.display()));
    if s.there > 0 {
        line.push_str(&format!("; {} there already", text::plural(s.there, "was", "were")));
    }
    line.push_str(&left(s, "devices need --devices"));
    output::note(&line);
    if let Some(v) = &report.verified {
        output::note(&format!(
            "Read back {} ({}): {} differ; {} agree with Time Machine's checksums, {} do not",
            text::plural(v.files, "file", "files"),
            text::bytes(v.bytes),
            text::count(v.differ),
            text::count(v.with_checksum),
            text::count(v.checksums_differ)
        ));
    }
    if let Some(ended) = &report.ended {
        output::note(&format!(
            "error: {ended}; {} of {} objects are left: the same command goes on when there is \
             room",
            text::count(s.remaining),
            text::count(report.plan.total())
        ));
    }
}
