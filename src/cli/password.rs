//! Where a password comes from: a file, a command, the environment, or a prompt.
//! Never an argument, which every user of the machine could read.

use super::{output, stop};
use clap::Args;
use clap::builder::{PathBufValueParser, TypedValueParser};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tmbundle::crypt::{Asker, Secret};
use tmbundle::disk::Disk;
use tmbundle::io::{Access, Anchor, BadMap, Given};
use tmbundle::report::present;
use tmbundle::volume::Layout;
use tmbundle::{Error, Result};
use zeroize::Zeroizing;

#[derive(Args, Clone, Default)]
pub struct PasswordArgs {
    /// Read the password of an encrypted image or volume from this file
    ///
    /// Each of its lines is tried, so that one file may hold the password of the bundle
    /// and that of an encrypted volume in it.
    ///
    /// TMBUNDLE_PASSWORD_FILE names one too.
    #[arg(long, value_name = "FILE", conflicts_with = "password_command")]
    pub password_file: Option<PathBuf>,
    /// Run this with the shell; the lines it prints are the passwords to try
    ///
    /// TMBUNDLE_SOURCE tells it the path of the backup, so that one share can have many
    /// passwords. TMBUNDLE_PASSWORD_COMMAND gives one too, and TMBUNDLE_PASSWORD the
    /// password itself.
    #[arg(long, value_name = "CMD")]
    pub password_command: Option<OsString>,
    /// A folder of password files, each called as the bundle, with its ending or without
    ///
    /// TMBUNDLE_PASSWORD_DIR names one too. A bundle that has no file there is opened as
    /// the other options say.
    #[arg(long, value_name = "DIR")]
    pub password_dir: Option<PathBuf>,
    #[command(flatten)]
    pub geometry: GeometryArgs,
}

/// What is known of a source from elsewhere: for damaged ones.
#[derive(Debug, Args, Clone, Default, Serialize, Deserialize)]
#[command(next_help_heading = "Damaged sources")]
pub struct GeometryArgs {
    /// Bytes in a band, whatever Info.plist says
    #[arg(long, value_name = "BYTES", value_parser = super::quantity::bytes)]
    pub band_size: Option<u64>,
    /// Size of the disk in a bundle, whatever Info.plist says
    #[arg(long = "size", id = "disk_size", value_name = "BYTES", value_parser = super::quantity::bytes)]
    pub size: Option<u64>,
    /// Look at this partition only, counted from 1
    #[arg(long, value_name = "N")]
    pub partition: Option<u32>,
    /// First byte of the volume; the partition map is left aside
    #[arg(long, value_name = "BYTE", value_parser = super::quantity::bytes, conflicts_with = "partition")]
    pub volume_offset: Option<u64>,
    /// The map of ddrescue, which made the image: what it could not read is unreadable
    ///
    /// Where ddrescue could not read the disk, the image has zeros. With its map, these are
    /// errors and the files that they hit are told. For a raw image or a device; of a bundle
    /// on a failing disk, mount the copy of that disk with its bad places as read errors.
    #[arg(long, value_name = "FILE", value_parser = absolute())]
    #[serde(skip)]
    pub bad_map: Option<PathBuf>,
}

/// A path that is the same for the children of this process, wherever they work.
fn absolute() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(std::path::absolute)
}

impl GeometryArgs {
    /// How a source is read, with what is known of it.
    ///
    /// # Errors
    /// If the map of ddrescue cannot be read.
    pub fn access(&self, access: &Access) -> Result<Access> {
        let given = Given {
            band_size: self.band_size,
            size: self.size,
            partition: self.partition,
            volume_offset: self.volume_offset,
        };
        let bad_map = self.bad_map.as_deref().map(BadMap::open).transpose()?.map(Arc::new);
        Ok(Access { given, bad_map, ..access.clone() })
    }
}

/// Whether to ask at the terminal when nothing else gives a password.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Prompt {
    Yes,
    No,
}

impl PasswordArgs {
    /// Open a source; its password is looked for only if it needs one.
    pub fn open(&self, source: &Path, prompt: Prompt) -> Result<Layout> {
        self.open_how(source, prompt, &Access::default())
    }

    /// The same; `access` says how its bytes are read.
    pub fn open_how(&self, source: &Path, prompt: Prompt, access: &Access) -> Result<Layout> {
        Keyring::new(self.clone(), prompt).open_how(source, access)
    }

    /// Whether a password was given that cannot even be tried.
    pub fn in_vain(&self, disk: &Disk) -> bool {
        disk.untried().is_some() && !matches!(self.given(disk.path()), Ok(None))
    }

    /// What the arguments, or else the environment, give for a source; `None` if nothing.
    fn given(&self, source: &Path) -> Result<Option<Vec<Secret>>> {
        let told = self.password_dir.is_some()
            || self.password_file.is_some()
            || self.password_command.is_some();
        // What was said on the command line counts before the environment.
        let of = |name: &str| std::env::var_os(name).filter(|value| !told && !value.is_empty());
        let dir = self.password_dir.clone();
        if let Some(dir) = dir.or_else(|| of("TMBUNDLE_PASSWORD_DIR").map(PathBuf::from))
            && let Some(file) = file_of(&dir, source)?
        {
            return read_file(&file).map(Some);
        }
        let file = self.password_file.clone();
        if let Some(file) = file.or_else(|| of("TMBUNDLE_PASSWORD_FILE").map(PathBuf::from)) {
            return read_file(&file).map(Some);
        }
        let command = self.password_command.clone();
        if let Some(command) = command.or_else(|| of("TMBUNDLE_PASSWORD_COMMAND")) {
            return run(&command, source).map(Some);
        }
        let password = of("TMBUNDLE_PASSWORD");
        Ok(password.map(|password| vec![Secret::new(password.into_vec())]))
    }
}

/// The file with the passwords of a source: `Anna.sparsebundle`, or `Anna`.
fn file_of(dir: &Path, source: &Path) -> Result<Option<PathBuf>> {
    let failed = |e| Error::io(format!("cannot read the password folder {}", dir.display()), e);
    std::fs::metadata(dir).map_err(failed)?;
    let real = std::fs::canonicalize(source).unwrap_or_else(|_| source.to_owned());
    let names = [real.file_name(), real.file_stem()];
    let mut files = names.into_iter().flatten().map(|name| dir.join(name));
    Ok(files.find(|file| file.is_file()))
}

/// Opens the same source again and again, as a mount does, and everything on it that is
/// locked; asks once for each.
#[derive(Clone)]
pub struct Keyring {
    args: PasswordArgs,
    prompt: Prompt,
    known: Arc<Mutex<HashMap<String, Known>>>,
}

/// What was answered, and whether somebody typed it.
#[derive(Clone, Default)]
struct Known {
    secrets: Vec<Secret>,
    typed: bool,
}

/// How often one may mistype at the terminal.
const ANSWERS: usize = 3;

impl Keyring {
    pub fn new(args: PasswordArgs, prompt: Prompt) -> Self {
        Self { args, prompt, known: Arc::default() }
    }

    #[cfg(feature = "mount")]
    pub fn open(&self, source: &Anchor) -> Result<Layout> {
        self.open_held(source, &Access::default())
    }

    fn open_how(&self, source: &Path, access: &Access) -> Result<Layout> {
        self.open_held(&Anchor::open(source, access.links)?, access)
    }

    fn open_held(&self, source: &Anchor, access: &Access) -> Result<Layout> {
        let access = &self.args.geometry.access(access)?;
        let mut layout = Layout::from(Disk::open_held(source, &|_| Ok(Vec::new()), access)?);
        self.unlock(source.path(), &mut layout)?;
        Ok(layout)
    }

    /// Ask for the password of an open source, and again where somebody mistyped it.
    fn unlock(&self, source: &Path, layout: &mut Layout) -> Result<()> {
        for _ in 1..ANSWERS {
            match layout.unlock(self.asker(source)) {
                Err(Error::WrongPassword(name)) if self.forget_typed(&name) => {
                    output::note(&format!("That does not open {name}; try again."));
                }
                other => return other,
            }
        }
        layout.unlock(self.asker(source))
    }

    fn asker(&self, source: &Path) -> Asker {
        let (keyring, source) = (self.clone(), source.to_owned());
        Arc::new(move |name, wrong| {
            let (found, typed) = keyring.answer(&source, name, wrong, keyring.prompt);
            // The same once more would not do.
            if wrong > 0 && !typed { Ok(Vec::new()) } else { found }
        })
    }

    fn ask(&self, source: &Path, name: &str, prompt: Prompt) -> Result<Vec<Secret>> {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.get(name) {
            return Ok(known.secrets.clone());
        }
        no_core_dumps();
        let known = match self.args.given(source)? {
            Some(secrets) => Known { secrets, typed: false },
            None if prompt == Prompt::No || !std::io::stdin().is_terminal() => Known::default(),
            None => Known { secrets: vec![ask(name)?], typed: true },
        };
        all.insert(name.to_owned(), known.clone());
        Ok(known.secrets)
    }

    /// The passwords for an image or volume that somebody else opens, who found those
    /// before wrong so often; and whether there may be others.
    pub fn answer(
        &self,
        source: &Path,
        name: &str,
        wrong: u32,
        prompt: Prompt,
    ) -> (Result<Vec<Secret>>, bool) {
        if usize::try_from(wrong).is_ok_and(|n| n >= ANSWERS) {
            self.give_up(name);
        } else if wrong > 0 && self.forget_typed(name) {
            output::note(&format!("That does not open {name}; try again."));
        }
        let found = self.ask(source, name, prompt);
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let typed = known.get(name).is_some_and(|known| known.typed);
        (found, typed)
    }

    /// Do not ask again for what was mistyped too often.
    fn give_up(&self, name: &str) {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(name.to_owned()).and_modify(|known| known.typed = false);
    }

    /// Forget what somebody typed for `name`; whether anybody did.
    fn forget_typed(&self, name: &str) -> bool {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let typed = all.get(name).is_some_and(|known| known.typed);
        if typed {
            all.remove(name);
        }
        typed
    }
}

/// The passwords in a file: one a line, each of which may be tried.
fn read_file(path: &Path) -> Result<Vec<Secret>> {
    let failed = |e| Error::io(format!("cannot read the password file {}", path.display()), e);
    std::fs::read(path).map(lines).map_err(failed)
}

/// The passwords in a text: one a line. An empty text is the empty password.
fn lines(text: Vec<u8>) -> Vec<Secret> {
    let bytes = Zeroizing::new(text);
    let lines = bytes.split(|b| *b == b'\n').take(MAX_LINES).enumerate();
    let wanted = lines.filter(|(n, line)| *n == 0 || !line.is_empty());
    wanted.map(|(_, line)| first_line(line.to_vec())).collect()
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

/// Most lines of a password file that are tried: each may cost a second.
const MAX_LINES: usize = 64;

/// Longest output of a password command that is read.
const MAX_OUTPUT: u64 = 1 << 20;

/// Ask at the terminal.
fn ask(name: &str) -> Result<Secret> {
    let failed = |e| Error::io("cannot ask for the password", e);
    // Whoever is interrupted here must not leave a terminal that shows nothing.
    let terminal = File::open("/dev/tty").ok();
    let settings = terminal.as_ref().and_then(|t| rustix::termios::tcgetattr(t).ok());
    let text = format!("Password for {}: ", present(name));
    let answer = std::thread::spawn(|| rpassword::prompt_password(text));
    if let Err(e) = until(|| answer.is_finished()) {
        if let (Some(terminal), Some(settings)) = (&terminal, &settings) {
            let _ = rustix::termios::tcsetattr(
                terminal,
                rustix::termios::OptionalActions::Now,
                settings,
            );
        }
        output::note("");
        return Err(e);
    }
    let gone = || Err(std::io::Error::other("nobody answers"));
    let text = answer.join().unwrap_or_else(|_| gone()).map_err(failed)?;
    Ok(Secret::new(text.into_bytes()))
}

/// Wait for something, unless the user asks to stop first.
fn until(done: impl Fn() -> bool) -> Result<()> {
    while !done() {
        if stop::asked() {
            return Err(Error::Interrupted);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn run(command: &OsStr, source: &Path) -> Result<Vec<Secret>> {
    let failed = |e| Error::io("cannot run the password command", e);
    let mut child = Command::new("sh")
        .arg("-c")
        .arg(command)
        .env("TMBUNDLE_SOURCE", std::path::absolute(source).unwrap_or_else(|_| source.into()))
        .stdin(Stdio::inherit())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(failed)?;
    let stdout = child.stdout.take();
    let reader = std::thread::spawn(move || {
        let mut output = Vec::new();
        match stdout {
            Some(stdout) => stdout.take(MAX_OUTPUT).read_to_end(&mut output).map(|_| output),
            None => Ok(output),
        }
    });
    if let Err(e) = until(|| reader.is_finished()) {
        let _ = child.kill();
        return Err(e);
    }
    let gone = || Err(std::io::Error::other("its output was lost"));
    let output = reader.join().unwrap_or_else(|_| gone()).map_err(failed)?;
    let status = child.wait().map_err(failed)?;
    if !status.success() {
        return Err(Error::Invalid(format!("the password command failed ({status})")));
    }
    Ok(lines(output))
}

/// Ask the system not to write our memory to disk when we crash.
pub fn no_core_dumps() {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}
