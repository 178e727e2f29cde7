//! Completions and manual pages, made from the arguments.

use super::args::{CompletionsArgs, ManArgs};
use super::manual;
use super::output::{Exit, stdout};
use super::usage;
use clap::Command;
use clap_complete::Shell;
use clap_complete::env::{Elvish, EnvCompleter, Fish, Powershell, Zsh};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use std::io::{self, Write};
use tmbundle::Error;

/// Asks the program itself while one types: only it knows the snapshots of a backup.
const BASH: &str = include_str!("complete.bash");

/// zsh reads the file only when a line is completed first, as a function of its name: that
/// time, too, something is to be offered.
const AUTOLOADED: &[u8] =
    b"[[ $funcstack[1] != _tmbundle ]] || _clap_dynamic_completer_tmbundle \"$@\"\n";

pub fn completions(args: &CompletionsArgs) -> anyhow::Result<Exit> {
    let script = script(args.shell)?;
    let mut out = stdout();
    out.write_all(&script)?;
    out.flush()?;
    Ok(Exit::Ok)
}

/// The script that completes in a shell.
pub fn script(shell: Shell) -> io::Result<Vec<u8>> {
    let mut script = Vec::new();
    let shell: Option<&dyn EnvCompleter> = match shell {
        Shell::Zsh => Some(&Zsh),
        Shell::Fish => Some(&Fish),
        Shell::Elvish => Some(&Elvish),
        Shell::PowerShell => Some(&Powershell),
        _ => None,
    };
    match shell {
        Some(shell) => {
            let name = "tmbundle";
            shell.write_registration("COMPLETE", name, name, name, &mut script)?;
            if shell.name() == "zsh" {
                script.extend_from_slice(AUTOLOADED);
            }
        }
        None => script.extend_from_slice(BASH.as_bytes()),
    }
    Ok(script)
}

pub fn man(args: &ManArgs) -> anyhow::Result<Exit> {
    let failed = |e| Error::io(format!("cannot write manual pages to {}", args.dir.display()), e);
    std::fs::create_dir_all(&args.dir).map_err(failed)?;
    for (name, page) in pages().map_err(failed)? {
        std::fs::write(args.dir.join(name), page).map_err(failed)?;
    }
    Ok(Exit::Ok)
}

/// All manual pages, each with the name of its file.
pub fn pages() -> io::Result<Vec<(String, Vec<u8>)>> {
    // The examples have a section of their own.
    let mut command = usage::command().after_help("").disable_help_subcommand(true);
    command.build();
    let names: Vec<String> = command.get_subcommands().map(|c| c.get_name().to_owned()).collect();
    let also: Vec<String> = names.iter().map(|name| format!("tmbundle-{name}(1)")).collect();
    let mut pages = vec![("tmbundle.1".to_owned(), page(command.clone(), None, &also)?)];
    for name in names {
        let Some(sub) = command.find_subcommand(&name) else { continue };
        let sub = sub.clone().after_help("");
        let page = self::page(sub, manual::of(&name), &["tmbundle(1)".into()])?;
        pages.push((format!("tmbundle-{name}.1"), page));
    }
    Ok(pages)
}

/// One manual page.
fn page(command: Command, manual: Option<&manual::Page>, also: &[String]) -> io::Result<Vec<u8>> {
    let subcommands = command.has_subcommands();
    let man = Man::new(command).section("1").manual("tmbundle");
    let mut out = Vec::new();
    man.render_title(&mut out)?;
    man.render_name_section(&mut out)?;
    man.render_synopsis_section(&mut out)?;
    man.render_description_section(&mut out)?;
    man.render_options_section(&mut out)?;
    if subcommands {
        man.render_subcommands_section(&mut out)?;
    }
    let mut roff = Roff::new();
    let overview = manual::of("verify");
    let examples = manual.or(overview).map(manual::Page::examples).unwrap_or_default();
    roff.control("SH", ["EXAMPLES"]);
    for (what, command) in examples {
        roff.control("PP", []).text([roman(format!("{what}:"))]);
        roff.control("PP", []).control("RS", ["4"]).control("nf", []);
        roff.text([bold(*command)]).control("fi", []).control("RE", []);
    }
    for (heading, terms) in manual.map_or_else(manual::general, manual::Page::sections) {
        if terms.is_empty() {
            continue;
        }
        roff.control("SH", [heading]);
        for (term, text) in terms {
            roff.control("TP", []).text([bold(term)]).text([roman(text)]);
        }
    }
    roff.control("SH", ["SEE ALSO"]);
    roff.text([roman(also.join(", "))]);
    roff.to_writer(&mut out)?;
    Ok(out)
}
