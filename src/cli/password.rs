//! Where a password comes from: a file, a command, the environment, or a prompt.
//! Never an argument, which every user of the machine could read.

use clap::Args;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tmbundle::disk::{Disk, Secret};
use tmbundle::{Error, Result};

#[derive(Args, Clone, Default)]
pub struct PasswordArgs {
    /// Read the password of an encrypted image from this file (its first line)
    #[arg(long, value_name = "FILE", env = "TMBUNDLE_PASSWORD_FILE", hide_env_values = true)]
    pub password_file: Option<PathBuf>,
    /// Run this with the shell; the first line it prints is the password
    #[arg(long, value_name = "CMD", env = "TMBUNDLE_PASSWORD_COMMAND", hide_env_values = true)]
    pub password_command: Option<String>,
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
        if let Some(file) = &self.password_file {
            let bytes = std::fs::read(file).map_err(|e| {
                Error::io(format!("cannot read the password file {}", file.display()), e)
            })?;
            return Ok(Some(first_line(bytes)));
        }
        if let Some(command) = &self.password_command {
            return run(command).map(Some);
        }
        if let Some(password) = std::env::var_os("TMBUNDLE_PASSWORD") {
            use std::os::unix::ffi::OsStringExt;
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

fn run(command: &str) -> Result<Secret> {
    let output = Command::new("sh")
        .args(["-c", command])
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
