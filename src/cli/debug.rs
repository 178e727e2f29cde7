//! `tmbundle debug`.

use super::args::{DebugArgs, DebugCommand, DumpArgs};
use super::output::{Exit, stdout};
use super::password::Prompt;
use std::io::Write;

pub fn run(args: &DebugArgs) -> anyhow::Result<Exit> {
    match &args.command {
        DebugCommand::Dump(args) => dump(args),
    }
}

fn dump(args: &DumpArgs) -> anyhow::Result<Exit> {
    // What is asked for may be what keeps it from being opened: then the rest says so.
    let prompt = if args.structure == "token" { Prompt::No } else { Prompt::Yes };
    let layout = args.password.open(&args.source, prompt)?;
    let dumped = tmbundle::volume::dump(&layout, &args.structure)?;
    let mut out = stdout();
    out.write_all(dumped.text.as_bytes())?;
    out.flush()?;
    Ok(if dumped.lost { Exit::Findings } else { Exit::Ok })
}
