//! `tmbundle mount` and `tmbundle umount`.
//!
//! In the background the program starts itself once more: the child opens and
//! mounts, says so on its standard output, and lets go of the terminal; the parent
//! ends when it has heard it, so that whoever called finds the mount there.

use super::args::{MountArgs, NameForm, ResourceForkForm, UmountArgs, XattrForm};
use super::log;
use super::output::{self, Exit, stdout};
use super::password::{Keyring, Prompt};
use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use tmbundle::Error;
use tmbundle::io::{Access, Links};
use tmbundle::mount::{
    Mounted, Names, Opened, Opener, Options, Owner, ResourceForks, Tree, Xattrs,
};
use tmbundle::report::present;
use tmbundle::timemachine::{Archive, Unopened};
use tmbundle::volume::OpenOptions;

/// Set for the child that serves in the background.
const CHILD: &str = "TMBUNDLE_MOUNT_CHILD";
/// [`Unopened::weight`] of what holds nothing.
const EMPTY: u8 = 1;
/// Begins the line by which the child says that the mount is there.
const READY: &str = "ready ";

/// Options that mount(8) and fstab pass and that change nothing here: the mount is
/// read-only, without devices and set-user-ID programs, whatever they say.
const IGNORED: &[&str] = &[
    "ro",
    "rw",
    "defaults",
    "auto",
    "noauto",
    "user",
    "nouser",
    "users",
    "owner",
    "group",
    "_netdev",
    "nofail",
    "dev",
    "nodev",
    "suid",
    "nosuid",
    "exec",
    "noexec",
    "atime",
    "noatime",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
    "diratime",
    "nodiratime",
    "lazytime",
    "nolazytime",
    "sync",
    "async",
    "dirsync",
    "mand",
    "nomand",
    "default_permissions",
];

pub fn run(args: &MountArgs) -> anyhow::Result<ExitCode> {
    let mut args = args.clone();
    for option in std::mem::take(&mut args.options) {
        apply(&mut args, &option)?;
    }
    if let Some(file) = &args.log_file {
        super::guard::refuse("log_file", file, &[&args.source])?;
    }
    if args.foreground || std::env::var_os(CHILD).is_some() {
        serve(&args).map(Into::into)
    } else {
        background()
    }
}

/// Take over one `-o` option.
fn apply(args: &mut MountArgs, option: &str) -> Result<(), Error> {
    let (key, value) = option.split_once('=').map_or((option, None), |(k, v)| (k, Some(v)));
    let wrong = || Error::Invalid(format!("-o {option}: not an option of tmbundle mount"));
    let text = || value.filter(|v| !v.is_empty()).ok_or_else(wrong);
    let number = || text()?.parse::<u32>().map_err(|_| wrong());
    match key {
        "allow_other" => args.allow_other = true,
        "disk_image" => args.disk_image = true,
        "owner_as_is" => args.owner_as_is = true,
        "show_private" => args.show_private = true,
        "follow_links" => args.follow_links = true,
        "lost_as_zeros" => args.lost.lost_as_zeros = true,
        "uid" => args.uid = Some(number()?),
        "gid" => args.gid = Some(number()?),
        "threads" => args.threads = Some(number()?),
        "if_busy" => args.if_busy = text()?.parse().map_err(Error::Invalid)?,
        "password_file" => args.password.password_file = Some(text()?.into()),
        "log_file" => args.log_file = Some(text()?.into()),
        "names" => args.names = chosen(text()?).ok_or_else(wrong)?,
        "xattrs" => args.xattrs = chosen(text()?).ok_or_else(wrong)?,
        "resource_forks" => args.resource_forks = chosen(text()?).ok_or_else(wrong)?,
        "fsname" | "subtype" | "comment" => {}
        _ if key.starts_with("x-") || IGNORED.contains(&key) => {}
        _ => return Err(wrong()),
    }
    Ok(())
}

fn chosen<T: clap::ValueEnum>(text: &str) -> Option<T> {
    T::from_str(text, false).ok()
}

fn options(args: &MountArgs) -> Options {
    let root = rustix::process::geteuid().is_root();
    // A normal user sees own files only then as own, and may not be anybody else;
    // root sees whose they were on the Mac.
    let mine = !root && !args.owner_as_is;
    let uid = mine.then(|| rustix::process::getuid().as_raw());
    let gid = mine.then(|| rustix::process::getgid().as_raw());
    Options {
        names: match args.names {
            NameForm::Nfc => Names::Nfc,
            NameForm::Nfd => Names::Nfd,
        },
        xattrs: match args.xattrs {
            XattrForm::User => Xattrs::User,
            XattrForm::Samba => Xattrs::Samba,
            XattrForm::None => Xattrs::None,
        },
        resource_forks: match args.resource_forks {
            ResourceForkForm::Xattr => ResourceForks::Xattr,
            ResourceForkForm::Appledouble => ResourceForks::AppleDouble,
        },
        owner: Owner { uid: args.uid.or(uid), gid: args.gid.or(gid) },
        allow_other: args.allow_other,
        links: if args.follow_links { Links::Follow } else { Links::Refuse },
        lost: args.lost.policy(),
        threads: args.threads.map_or(0, |n| usize::try_from(n).unwrap_or(0)),
    }
}

/// Opens the source as often as it changes.
fn opener(args: &MountArgs) -> Opener {
    let options = OpenOptions {
        private: args.show_private,
        salvage: args.salvage.salvage,
        ..OpenOptions::default()
    };
    let keyring = Keyring::new(args.password.clone(), Prompt::Yes);
    let disk_image = args.disk_image;
    Box::new(move |anchor| {
        let layout = keyring.open(anchor)?;
        let archive = Archive::open_with(&layout, &options)?;
        // Of what is only locked nothing is shown: a mount without it would look like a success.
        let locked = |f: &Unopened| f.error.is_about_password();
        if !disk_image || archive.failed.iter().any(locked) {
            archive.require_volume()?;
        }
        // A password that was given and opens nothing is no success, either.
        let wrong = |f: &&Unopened| matches!(f.error, tmbundle::Error::WrongPassword(_));
        if let Some(unopened) = archive.failed.iter().find(wrong) {
            return Err(unopened.error.again());
        }
        // A folder that looks like the backup and is not would be taken for it.
        if !options.salvage
            && let Some(older) = archive.older().next()
        {
            let text = format!("{older}; mount --salvage shows that");
            return Err(tmbundle::Error::corrupt(archive.name.clone(), text));
        }
        let evidence = super::memory::evidence(&layout);
        Ok(Opened { bytes: layout.disk().bytes()?, archive, evidence })
    })
}

fn serve(args: &MountArgs) -> anyhow::Result<Exit> {
    let log_file = args.log_file.as_deref().map(std::path::absolute).transpose()?;
    log::to_stderr();
    // A relative path means nothing once the working directory is left.
    let source = std::path::absolute(&args.source)?;
    // What cannot be opened is told when it is to be mounted.
    let links = options(args).links;
    let access = Access { links, ..Access::default() };
    if let Ok(disk) = tmbundle::disk::Disk::open_how(&source, &|_| Ok(Vec::new()), &access) {
        super::busy::settle(&disk, args.if_busy, &super::busy::Words)?;
    }
    let opener = opener(args);
    let mounted = Mounted::new(&source, opener, &args.dir, options(args))?;
    mounted.with_tree(|tree| tell(tree.archive()));
    let line = mounted.with_tree(|tree| summary(tree, mounted.dir()));
    let line = present(&line);
    if args.foreground {
        let mut out = stdout();
        writeln!(out, "{line}")?;
        out.flush()?;
        if let Some(path) = log_file {
            log::to_file(&path)?;
        }
    } else {
        leave_terminal(&line, log_file.as_deref())?;
    }
    mounted.wait()?;
    Ok(Exit::Ok)
}

/// Say what is to be known of the volumes, and which are not there.
fn tell(archive: &Archive) {
    super::flags::tell_notes(archive);
    let matter = |f: &&Unopened| f.weight() > EMPTY;
    for unopened in archive.failed.iter().filter(matter) {
        output::warn(&format!("not in the mount: {}", unopened.text()));
    }
}

/// Say that the mount is there, then let go of terminal and working directory.
fn leave_terminal(line: &str, log_file: Option<&Path>) -> anyhow::Result<()> {
    match log_file {
        Some(path) => log::to_file(path)?,
        None => log::to_syslog(),
    }
    // Fails only for the leader of a group, which a child is not.
    let _ = rustix::process::setsid();
    std::env::set_current_dir("/")?;
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    let mut out = stdout();
    writeln!(out, "{READY}{line}")?;
    out.flush()?;
    drop(out);
    rustix::stdio::dup2_stdout(&null)?;
    Ok(())
}

fn summary(tree: &Tree, dir: &Path) -> String {
    let archive = tree.archive();
    let shown = dir.display();
    let what = match archive.backup() {
        Some((_, backup)) => {
            let count = backup.snapshots().count();
            let snapshots = if count == 1 { "snapshot" } else { "snapshots" };
            match backup.latest() {
                Some(_) => format!("{count} {snapshots}; newest: {shown}/latest"),
                None => format!("{count} {snapshots}, none completed: {shown}/snapshots"),
            }
        }
        None if archive.open.is_empty() => format!("no volume that can be read; {shown}/disk.img"),
        None => match archive.open.iter().find_map(|v| v.unread.as_ref()) {
            Some(why) => format!("the backups cannot be read: {why}; volumes: {shown}/volumes"),
            None => format!("no Time Machine backup; volumes: {shown}/volumes"),
        },
    };
    format!("Mounted {} on {shown} ({what}). Unmount: tmbundle umount {shown}", archive.name)
}

/// Start the child and end when it has mounted or failed.
fn background() -> anyhow::Result<ExitCode> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(arguments().into_iter().skip(1))
        .env(CHILD, "1")
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    if let Some(pipe) = child.stdout.take() {
        BufReader::new(pipe).read_line(&mut line)?;
    }
    if let Some(said) = line.strip_prefix(READY) {
        let mut out = stdout();
        out.write_all(said.as_bytes())?;
        out.flush()?;
        return Ok(Exit::Ok.into());
    }
    // It has told why on standard error, and its code is ours.
    let code = child.wait()?.code().and_then(|c| u8::try_from(c).ok());
    Ok(code.map_or(Exit::Failed.into(), ExitCode::from))
}

pub fn unmount(args: &UmountArgs) -> anyhow::Result<Exit> {
    match tmbundle::mount::unmount(&args.dir, args.lazy) {
        Err(Error::Busy(dir)) => {
            let hint = format!(
                "leave the folder (fuser -vm {dir} shows who is in it), or tmbundle umount --lazy {dir}"
            );
            output::error(&format!("{dir} is in use"), Some(&hint));
            Ok(Exit::Failed)
        }
        other => Ok(other.map(|()| Exit::Ok)?),
    }
}

/// The program's arguments, with those of a mount helper put into our own order.
///
/// mount(8) calls `mount.fuse.tmbundle SOURCE DIR [-sfnv] [-o OPTIONS] [-t TYPE]`,
/// and fuse3's mount.fuse calls `tmbundle SOURCE DIR -o OPTIONS`.
pub fn arguments() -> Vec<OsString> {
    helper_arguments(std::env::args_os().collect())
}

fn helper_arguments(args: Vec<OsString>) -> Vec<OsString> {
    let called = args.first().map(Path::new).and_then(Path::file_name);
    let as_helper = called.is_some_and(|n| n == "mount.fuse.tmbundle" || n == "mount.tmbundle");
    let dash_o = args.get(3).is_some_and(|a| a == "-o");
    let first = args.get(1).map(OsString::as_os_str).unwrap_or_default();
    let as_program = dash_o && !first.is_empty() && !is_command(first);
    if !as_helper && !as_program {
        return args;
    }
    let mut rest = args.into_iter();
    let mut ours: Vec<OsString> = rest.next().into_iter().chain(["mount".into()]).collect();
    while let Some(arg) = rest.next() {
        match arg.to_str() {
            Some("-t" | "-N") => drop(rest.next()),
            Some("-s" | "-f" | "-n" | "-v" | "-sloppy") => {}
            _ => ours.push(arg),
        }
    }
    ours
}

fn is_command(word: &OsStr) -> bool {
    use clap::CommandFactory;
    let Some(word) = word.to_str() else { return false };
    let known = |c: &clap::Command| c.get_name() == word || c.get_all_aliases().any(|a| a == word);
    word.starts_with('-')
        || word == "help"
        || super::args::Cli::command().get_subcommands().any(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(line: &str) -> String {
        let args = line.split(' ').map(OsString::from).collect();
        helper_arguments(args).join(OsStr::new(" ")).into_string().unwrap()
    }

    #[test]
    fn mount_helpers_are_understood() {
        let ours = "/sbin/mount.fuse.tmbundle mount /x /mnt -o ro,uid=5";
        assert_eq!(
            rewritten("/sbin/mount.fuse.tmbundle /x /mnt -s -o ro,uid=5 -t fuse.tmbundle"),
            ours
        );
        assert_eq!(rewritten("tmbundle /x /mnt -o rw"), "tmbundle mount /x /mnt -o rw");
        assert_eq!(rewritten("tmbundle mount x -o rw"), "tmbundle mount x -o rw");
        assert_eq!(rewritten("tmbundle info x -o"), "tmbundle info x -o");
    }
}
