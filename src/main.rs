//! The `tmbundle` command. Everything it can do is in the library; here are
//! arguments, tables, progress bars and exit codes.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
