//! Arguments that cannot be understood, and the right spelling of them.

use super::args::Cli;
use clap::Parser;
use std::ffi::OsString;
use std::process::ExitCode;
use tmbundle::report::present;

/// Read the arguments. Help, the version and usage errors are printed here, with clap's
/// text, which quotes arguments: these are escaped before it does.
pub fn parse(args: Vec<OsString>) -> Result<Cli, ExitCode> {
    let error = match Cli::try_parse_from(&args) {
        Ok(cli) => return Ok(cli),
        Err(error) => error,
    };
    let harmless = |arg: &OsString| present(&arg.to_string_lossy()).into_owned();
    let shown = Cli::try_parse_from(args.iter().map(harmless)).err().unwrap_or(error);
    let _ = shown.print();
    Err(ExitCode::from(if shown.use_stderr() { 2 } else { 0 }))
}
