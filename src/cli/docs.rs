//! Completions and manual pages, made from the arguments.

use super::args::{Cli, CompletionsArgs, ManArgs};
use super::output::{Exit, stdout};
use clap::CommandFactory;
use std::io::Write;
use tmbundle::Error;

pub fn completions(args: &CompletionsArgs) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "tmbundle", &mut script);
    let mut out = stdout();
    out.write_all(&script)?;
    out.flush()?;
    Ok(Exit::Ok)
}

pub fn man(args: &ManArgs) -> anyhow::Result<Exit> {
    let failed = |e| Error::io(format!("cannot write manual pages to {}", args.dir.display()), e);
    std::fs::create_dir_all(&args.dir).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), &args.dir).map_err(failed)?;
    Ok(Exit::Ok)
}
