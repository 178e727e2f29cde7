//! Arguments that cannot be understood, and the right spelling of them.

use super::args::Cli;
use super::manual;
use clap::error::ErrorKind;
use clap::{Command, CommandFactory, FromArgMatches};
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use tmbundle::report::present;
use tmbundle::verify::{Subset, duration};

/// The command with its examples.
pub fn command() -> Command {
    let mut command = Cli::command().after_help(manual::overview());
    let names: Vec<String> = command.get_subcommands().map(|c| c.get_name().to_owned()).collect();
    for name in names {
        if let Some(page) = manual::of(&name) {
            command = command.mut_subcommand(name, |c| c.after_help(page.help()));
        }
    }
    with_offset(command)
}

/// `--volume-offset` goes by `--offset`, too, but in `locate`, where that is the place that
/// is asked about.
fn with_offset(mut command: Command) -> Command {
    let has = |c: &&Command| c.get_arguments().any(|a| a.get_id() == "volume_offset");
    let names: Vec<String> = command
        .get_subcommands()
        .filter(|c| has(c) && c.get_name() != "locate")
        .map(|c| c.get_name().to_owned())
        .collect();
    for name in names {
        command = command
            .mut_subcommand(name, |c| c.mut_arg("volume_offset", |a| a.visible_alias("offset")));
    }
    command
}

/// Read the arguments. Help, the version and usage errors are printed here, with clap's
/// text, which quotes arguments: these are escaped before it does.
pub fn parse(args: Vec<OsString>) -> Result<Cli, ExitCode> {
    let args = joined(args);
    let error = match understood(&args) {
        Ok(cli) => return Ok(cli),
        Err(error) => error,
    };
    let harmless = |arg: &OsString| OsString::from(present(&arg.to_string_lossy()).into_owned());
    let harmless: Vec<OsString> = args.iter().map(harmless).collect();
    let shown = understood(&harmless).err().unwrap_or(error);
    let _ = shown.print();
    Err(ExitCode::from(if shown.use_stderr() { 2 } else { 0 }))
}

fn understood(args: &[OsString]) -> Result<Cli, clap::Error> {
    let mut command = command();
    if let Some(text) = manifest_file(args) {
        return Err(command.error(ErrorKind::InvalidValue, text));
    }
    let mut matches = command.try_get_matches_from_mut(args)?;
    Cli::from_arg_matches_mut(&mut matches).map_err(|e| e.format(&mut command))
}

/// Put back a `=` that was forgotten: `--read-data 25%`, `--if-busy wait 2h`. What is there
/// under that name is a source all the same.
fn joined(args: Vec<OsString>) -> Vec<OsString> {
    if args.get(1).is_none_or(|command| command != "verify" && command != "mount") {
        return args;
    }
    let mut out: Vec<OsString> = Vec::with_capacity(args.len());
    for arg in args {
        let text = arg.to_str().filter(|_| !Path::new(&arg).exists()).unwrap_or_default();
        let last = out.last().and_then(|last| last.to_str()).unwrap_or_default();
        let before = out.len().checked_sub(2).and_then(|at| out.get(at));
        let waits =
            before.is_some_and(|b| b == "--if-busy") && last == "wait" || last == "--if-busy=wait";
        let belongs = last == "--read-data" && (text.parse::<Subset>().is_ok() || is_amount(text))
            || waits && (duration(text).is_ok() || is_amount(text));
        match out.last_mut() {
            Some(last) if belongs => {
                last.push("=");
                last.push(&arg);
            }
            _ => out.push(arg),
        }
    }
    out
}

/// Whether a word was meant as an amount, right or wrong: `0%`, `1/0`, `2x`. It is no source
/// either, and who reads it as an amount says what is wrong with it.
fn is_amount(text: &str) -> bool {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let part = |rest: &str| rest.bytes().all(|b| b.is_ascii_digit());
    text.starts_with(|c: char| c.is_ascii_digit())
        && (unit.len() == 1 || unit.strip_prefix('/').is_some_and(part))
}

/// What stands behind `--manifest` and cannot be a source was meant as its file.
fn manifest_file(args: &[OsString]) -> Option<String> {
    let at = args.iter().position(|arg| arg == "--manifest")?;
    let next = args.get(at + 1).filter(|next| !next.to_string_lossy().starts_with('-'))?;
    let told = args.get(1).is_some_and(|command| command == "verify");
    let shown = next.to_string_lossy();
    (told && !is_source(next))
        .then(|| format!("--manifest takes its file with '=': did you mean --manifest={shown}?"))
}

/// Whether something could be a backup: it is there and is no manifest, or is called so.
fn is_source(path: &OsStr) -> bool {
    let name = path.to_string_lossy().to_lowercase();
    let path = Path::new(path);
    if [".sparsebundle", ".backupbundle", ".dmg", ".img", ".sparseimage"]
        .iter()
        .any(|ending| name.trim_end_matches('/').ends_with(ending))
    {
        return true;
    }
    path.exists() && !is_manifest(path)
}

/// By how it begins (`docs/manifest.md`).
fn is_manifest(path: &Path) -> bool {
    const BEGINS: &[u8] = b"tmbundle/bands/";
    let mut head = Vec::new();
    let read = std::fs::symlink_metadata(path).is_ok_and(|m| m.is_file())
        && std::fs::File::open(path)
            .is_ok_and(|file| file.take(BEGINS.len() as u64).read_to_end(&mut head).is_ok());
    read && head == BEGINS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelt(line: &str) -> String {
        let args = line.split(' ').map(OsString::from).collect();
        joined(args).join(OsStr::new(" ")).into_string().unwrap()
    }

    #[test]
    fn a_forgotten_equals_sign_is_put_back() {
        assert_eq!(spelt("t verify --read-data 25% X"), "t verify --read-data=25% X");
        assert_eq!(spelt("t verify X --read-data 3/7"), "t verify X --read-data=3/7");
        assert_eq!(spelt("t verify --read-data 0% X"), "t verify --read-data=0% X");
        assert_eq!(spelt("t verify --read-data 1/0 X"), "t verify --read-data=1/0 X");
        assert_eq!(spelt("t verify --if-busy wait 2x X"), "t verify --if-busy wait=2x X");
        assert_eq!(spelt("t verify --if-busy wait 2h X"), "t verify --if-busy wait=2h X");
        assert_eq!(spelt("t verify --if-busy=wait 2h X"), "t verify --if-busy=wait=2h X");
        // What is no amount, or is there, is a source.
        for line in ["t verify --read-data X", "t verify --read-data src", "t ls --read-data 25%"] {
            assert_eq!(spelt(line), line);
        }
    }

    #[test]
    fn every_command_is_complete() {
        command().debug_assert();
    }
}
