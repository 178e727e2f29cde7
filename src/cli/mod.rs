//! The face of the program: arguments in, text or JSON and an exit code out.

mod access;
mod args;
mod busy;
mod cat;
mod checked;
mod clock;
mod complete;
mod cost;
mod debug;
mod docs;
mod doctor;
mod document;
mod explain;
mod extract;
mod flags;
mod guard;
mod info;
mod limits;
mod locate;
#[cfg(feature = "mount")]
mod log;
mod ls;
mod manual;
mod memory;
mod metrics;
#[cfg(feature = "mount")]
mod mount;
mod output;
mod page;
mod password;
mod progress;
mod quantity;
mod setup;
mod snapshots;
mod stop;
mod targets;
mod text;
mod textfile;
mod usage;
mod verdict;
mod verify;
mod watch;
mod worker;

use args::Command;
use output::Exit;
use std::process::ExitCode;

/// Parse the arguments and run the command.
pub fn main() -> ExitCode {
    // A child of ours: no time to lose with arguments.
    if std::env::args_os().nth(1).is_some_and(|word| word == worker::WORD) {
        return worker::run();
    }
    // The soft limit of open files is raised before anything needs one.
    tmbundle::io::descriptors();
    // A shell that completes a line asks for what may come next.
    clap_complete::CompleteEnv::with_factory(usage::command).complete();
    let cli = match usage::parse(arguments()) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    if let Err(error) = guard::check(&cli.command) {
        return output::fail(&error.into());
    }
    let result = match &cli.command {
        Command::Info(args) => info::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Snapshots(args) => snapshots::run(args),
        Command::Ls(args) => ls::run(args),
        Command::Cat(args) => cat::run(args),
        Command::Extract(args) => extract::run(args),
        #[cfg(feature = "mount")]
        Command::Mount(args) => match mount::run(args) {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
        #[cfg(feature = "mount")]
        Command::Umount(args) => mount::unmount(args),
        Command::Locate(args) => locate::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Watch(args) => watch::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Debug(args) => debug::run(args),
        Command::Completions(args) => docs::completions(args),
        Command::Man(args) => docs::man(args),
        Command::Setup(args) => setup::run(args),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(error) => match output::broken_pipe(&error) {
            true => Exit::Ok.into(),
            false => output::fail(&error),
        },
    }
}

#[cfg(feature = "mount")]
use mount::arguments;

#[cfg(not(feature = "mount"))]
fn arguments() -> Vec<std::ffi::OsString> {
    std::env::args_os().collect()
}
