//! Where a password comes from: a file, a command, the environment, or a prompt.
//! Never an argument, which every user of the machine could read.

use clap::Args;
use std::ffi::{OsStr, OsString};
use std::io::IsTerminal;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tmbundle::disk::{Disk, Secret};
use tmbundle::{Error, Result};

#[derive(Args, Clone, Default)]
pub struct PasswordArgs {
    /// Read the password of an encrypted image from this file (its first line)
    ///
    /// TMBUNDLE_PASSWORD_FILE names one too.
    #[arg(long, value_name = "FILE", conflicts_with = "password_command")]
    pub password_file: Option<PathBuf>,
    /// Run this with the shell; the first line it prints is the password
    ///
    /// TMBUNDLE_PASSWORD_COMMAND gives one too, and TMBUNDLE_PASSWORD the password itself.
    #[arg(long, value_name = "CMD")]
    pub password_command: Option<OsString>,
}

/// Whether to ask at the terminal when nothing else gives a password.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Prompt {
    Yes,
    No,
}

impl PasswordArgs {
    /// Open a source; its password is looked for only if it needs one.
    pub fn open(&self, source: &Path, prompt: Prompt) -> Result<Disk> {
        Disk::open_with(source, &|name| {
            no_core_dumps();
            self.find(name, prompt)
        })
    }

    fn find(&self, name: &str, prompt: Prompt) -> Result<Option<Secret>> {
        // What was said on the command line counts before the environment.
        if let Some(file) = &self.password_file {
            return read_file(file).map(Some);
        }
        if let Some(command) = &self.password_command {
            return run(command).map(Some);
        }
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        if let Some(file) = set("TMBUNDLE_PASSWORD_FILE") {
            return read_file(Path::new(&file)).map(Some);
        }
        if let Some(command) = set("TMBUNDLE_PASSWORD_COMMAND") {
            return run(&command).map(Some);
        }
        if let Some(password) = set("TMBUNDLE_PASSWORD") {
            return Ok(Some(Secret::new(password.into_vec())));
        }
        if prompt == Prompt::No || !std::io::stdin().is_terminal() {
            return Ok(None);
        }
        let text = rpassword::prompt_password(format!("Password for {name}: "))
            .map_err(|e| Error::io("cannot ask for the password", e))?;
        Ok(Some(Secret::new(text.into_bytes())))
    }
}

/// Opens the same source again and again, as a mount does, and asks only once.
#[cfg(feature = "mount")]
pub struct Keyring {
    args: PasswordArgs,
    known: std::sync::Mutex<Option<Secret>>,
}

#[cfg(feature = "mount")]
impl Keyring {
    pub fn new(args: PasswordArgs) -> Self {
        Self { args, known: std::sync::Mutex::new(None) }
    }

    pub fn open(&self, source: &Path) -> Result<Disk> {
        Disk::open_with(source, &|name| {
            let mut known = self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if known.is_none() {
                no_core_dumps();
                *known = self.args.find(name, Prompt::Yes)?;
            }
            Ok(known.clone())
        })
    }
}

fn read_file(path: &Path) -> Result<Secret> {
    let failed = |e| Error::io(format!("cannot read the password file {}", path.display()), e);
    std::fs::read(path).map(first_line).map_err(failed)
}

fn first_line(mut bytes: Vec<u8>) -> Secret {
    if let Some(end) = bytes.iter().position(|b| *b == b'\n') {
        bytes[end..].fill(0);
        bytes.truncate(end);
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    Secret::new(bytes)
}

fn run(command: &OsStr) -> Result<Secret> {
    let output = Command::new("sh")
        .arg("-c")
        .arg(command)
        .stdin(Stdio::inherit())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| Error::io("cannot run the password command", e))?;
    if !output.status.success() {
        return Err(Error::Invalid(format!("the password command failed ({})", output.status)));
    }
    Ok(first_line(output.stdout))
}

/// Ask the system not to write our memory to disk when we crash.
fn no_core_dumps() {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}
