//! `tmbundle extract`.

use super::args::ExtractArgs;
use super::output::{self, Exit};
use super::password::Prompt;
use super::progress::Bars;
use super::text;
use serde::Serialize;
use tmbundle::extract::{Options, Summary, extract};
use tmbundle::timemachine::Archive;

#[derive(Serialize, Default)]
struct Document {
    source: String,
    to: String,
    files: u64,
    folders: u64,
    others: u64,
    bytes: u64,
    failed: Vec<Failure>,
}

#[derive(Serialize)]
struct Failure {
    path: String,
    reason: String,
}

pub fn run(args: &ExtractArgs) -> anyhow::Result<Exit> {
    let layout = args.password.open(&args.source, Prompt::Yes)?;
    let archive = Archive::open(&layout)?;
    // Every address must be right before anything is written.
    let places = args.addresses.iter().map(|a| archive.find(a)).collect::<Result<Vec<_>, _>>()?;
    let options = Options { owners: rustix::process::geteuid().is_root() && !args.no_owners };
    let bars = Bars::new(false);
    let mut document = Document {
        source: args.source.display().to_string(),
        to: args.to.display().to_string(),
        ..Document::default()
    };
    let mut failures = Vec::new();
    for place in &places {
        let name = place.path.rsplit('/').next().filter(|n| !n.is_empty());
        let fs = &*place.fs;
        let summary = extract(fs, &place.node, name, &args.to, options, &bars, &mut |path, e| {
            failures.push(Failure { path: path.to_owned(), reason: e.to_string() });
        })?;
        document.add(&summary);
    }
    bars.clear();
    document.failed = failures;
    finish(args, &document)
}

impl Document {
    fn add(&mut self, s: &Summary) {
        self.files += s.files;
        self.folders += s.folders;
        self.others += s.others;
        self.bytes += s.bytes;
    }
}

fn finish(args: &ExtractArgs, document: &Document) -> anyhow::Result<Exit> {
    for f in document.failed.iter().take(if args.json { 0 } else { usize::MAX }) {
        output::note(&format!("not restored: {}: {}", tmbundle::fs::present(&f.path), f.reason));
    }
    if args.json {
        output::json("tmbundle/extract/1", document)?;
    } else {
        let mut line = format!(
            "Restored {}, {} and {} to {}",
            text::plural(document.files, "file", "files"),
            text::plural(document.folders, "folder", "folders"),
            text::bytes(document.bytes),
            document.to
        );
        if !document.failed.is_empty() {
            let n = u64::try_from(document.failed.len()).unwrap_or(u64::MAX);
            line.push_str(&format!("; {} could not be", text::plural(n, "object", "objects")));
        }
        output::note(&line);
    }
    Ok(if document.failed.is_empty() { Exit::Ok } else { Exit::Findings })
}
