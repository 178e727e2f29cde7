//! Arguments of every command.

use super::busy::IfBusy;
use super::complete::addresses;
use super::extract::ExtractArgs;
use super::flags::{ADDRESS, AccessArgs, LostArgs, SalvageArgs};
use super::password::PasswordArgs;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use tmbundle::verify::Subset;

/// Read and verify Time Machine backups on the server that stores them.
///
/// SOURCE is a bundle (X.sparsebundle, X.backupbundle), a raw disk image or a block
/// device. It is only ever read.
///
/// Exit codes: 0 all well; 1 findings at or above --fail-on, or files that could not
/// be restored; 2 usage; 3 the source could not be examined; 130 interrupted.
#[derive(Parser)]
#[command(name = "tmbundle", version, max_term_width = 100, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    Info(InfoArgs),
    Verify(VerifyArgs),
    #[command(alias = "backups")]
    Snapshots(SnapshotsArgs),
    Ls(LsArgs),
    Cat(CatArgs),
    #[command(visible_alias = "restore")]
    Extract(Box<ExtractArgs>),
    #[cfg(feature = "mount")]
    Mount(MountArgs),
    #[cfg(feature = "mount")]
    #[command(alias = "unmount")]
    Umount(UmountArgs),
    Locate(LocateArgs),
    Doctor(DoctorArgs),
    Watch(WatchArgs),
    Explain(ExplainArgs),
    #[command(hide = true)]
    Debug(DebugArgs),
    Completions(CompletionsArgs),
    Man(ManArgs),
    Setup(SetupArgs),
}

/// What this is: geometry, encryption, volumes, Mac, last backup
#[derive(Args)]
pub struct InfoArgs {
    /// Bundle, disk image or block device
    pub source: PathBuf,
    /// Print one JSON document (schema tmbundle/info/1)
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub password: PasswordArgs,
}

/// Say whether a backup is sound, and what is wrong with it
///
/// Checks the bundle, the partition map, the volume headers, the journal (replayed
/// in memory) and every node of the catalog, extents and attributes trees. Prints
/// nothing when all is well and the output is not a terminal.
///
/// A folder that is no bundle is taken as a share: every *.sparsebundle and
/// *.backupbundle in it, and in the folders in it, is checked, one after another.
/// Symbolic links are not followed, and folders named .*, @* or #* are left out. Of
/// several bundles each has a line, and the exit code is the worst, 3 over 1 over 0.
#[derive(Args)]
pub struct VerifyArgs {
    /// Bundles, disk images, block devices, or folders of bundles
    #[arg(required = true)]
    pub sources: Vec<PathBuf>,
    /// Only what needs no password and no walk of the trees
    #[arg(long)]
    pub quick: bool,
    /// Read the files, too: all, a share (25%), a part (3/7), a size (200G) or a time (2h)
    ///
    /// Decodes compressed files and compares Time Machine's checksums. A share, a size
    /// and a time take another part each day, so that a run a day covers everything.
    #[arg(
        long,
        value_name = "SUBSET",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "all",
        conflicts_with = "quick"
    )]
    pub read_data: Option<Subset>,
    /// Stale (exit code 1) if the last completed backup is older, such as 36h or 3d
    #[arg(long, value_name = "AGE", value_parser = tmbundle::verify::duration)]
    pub max_age: Option<std::time::Duration>,
    /// Exit with 1 from this on: info, warning or damage; unchecked counts parts that
    /// could not be checked, too
    #[arg(long, value_enum, default_value = "damage")]
    pub fail_on: FailOn,
    /// Say nothing, off a terminal, of a bundle where all is well that could be checked
    #[arg(long, conflicts_with = "verbose")]
    pub allow_unchecked: bool,
    /// Print one JSON document (schema tmbundle/verify/2)
    #[arg(long)]
    pub json: bool,
    /// Write what was found to FILE for node_exporter's textfile collector
    ///
    /// Prometheus text, written in one step when the run has ended, whatever it came to;
    /// an interrupted run leaves the old file. node_exporter reads names that end in
    /// .prom. `-` is standard output, the words then go to standard error.
    #[arg(long, value_name = "FILE")]
    pub metrics: Option<PathBuf>,
    /// Show every finding, not only the first of each kind
    #[arg(long)]
    pub all: bool,
    /// Print only findings, even on a terminal
    #[arg(short, long)]
    pub quiet: bool,
    /// Print what was checked even if all is well and the output is no terminal
    #[arg(short, long, conflicts_with = "quiet")]
    pub verbose: bool,
    #[command(flatten)]
    pub password: PasswordArgs,
    /// What to do while a Mac uses the bundle: check, skip, or wait[=2h]
    #[arg(long, value_name = "HOW", default_value = "check")]
    pub if_busy: IfBusy,
    #[command(flatten)]
    pub memory: MemoryArgs,
    #[command(flatten)]
    pub bounds: BoundsArgs,
    #[command(flatten)]
    pub access: AccessArgs,
}

/// What the examination of one source may take.
#[derive(Args)]
pub struct BoundsArgs {
    /// End the examination of a source that needs more memory [default: by its size]
    ///
    /// Address space, such as 2G. What ends so is said (EXAMINATION-ENDED, exit code 3)
    /// and the other sources are examined. By default 768 MiB and an eighth of what the
    /// source takes on the disk, but no more than the machine has.
    #[arg(long, value_name = "SIZE", value_parser = super::quantity::bytes)]
    pub max_memory: Option<u64>,
    /// End the examination of a source that takes longer, such as 30m or 4h
    ///
    /// Without it processor time is limited, by the size of the source.
    #[arg(long, value_name = "TIME", value_parser = tmbundle::verify::duration)]
    pub max_time: Option<std::time::Duration>,
}

/// What verify keeps between runs.
#[derive(Args)]
pub struct MemoryArgs {
    /// Keep a hash of each band and find what rots between runs
    ///
    /// Each run reads the bands that changed, and a part of the others
    /// (--manifest-read). The first run reads all. FILE is for a single bundle; without
    /// it the manifest lies in the state directory, under the bundle's own identity.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, conflicts_with = "quick")]
    pub manifest: Option<Option<PathBuf>>,
    /// How much to read of the bands that did not change, those unread for longest first:
    /// all, 25%, 1/7, 200G or 2h
    #[arg(long, value_name = "SUBSET", default_value = "1/7", requires = "manifest")]
    pub manifest_read: tmbundle::verify::Subset,
    /// Exit with 1 if a bundle is skipped and was last verified longer ago
    #[arg(long, value_name = "AGE", default_value = "14d", value_parser = tmbundle::verify::duration)]
    pub max_unverified: std::time::Duration,
    /// Where to keep what is known between runs [default: $STATE_DIRECTORY,
    /// $XDG_STATE_HOME/tmbundle, ~/.local/state/tmbundle or, for root where it is there,
    /// /var/lib/tmbundle]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum FailOn {
    Info,
    Warning,
    Unchecked,
    Damage,
}

/// Say whether this server is set up so that Macs can back up to it, and what is wrong
///
/// Reads the configuration of Samba, Netatalk and Avahi as these servers do, and looks at
/// disks, users, bundles and ports, as far as it may. Nothing is ever changed. Each
/// finding has file and line, what a Mac does because of it, and the corrected line.
/// Exit code 1: something was found at or above --fail-on; 3: no configuration was found.
#[derive(Args)]
pub struct DoctorArgs {
    /// Only these shares, by name or path
    pub shares: Vec<String>,
    /// Read these files instead of the system's (smb.conf, afp.conf, AppleVolumes.default,
    /// afpd.conf, *.service); nothing else of the machine is looked at without --root
    #[arg(long, value_name = "FILE", num_args = 1)]
    pub config: Vec<PathBuf>,
    /// Look at the system whose root is mounted at DIR; no path or link leads out of it
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Print corrections as a patch (diff -u), for `patch -p0`; nothing is applied
    #[arg(long, conflicts_with = "json")]
    pub fix: bool,
    /// Print one JSON document (schema tmbundle/doctor/1)
    #[arg(long)]
    pub json: bool,
    /// Write counts to FILE for node_exporter's textfile collector; `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub metrics: Option<PathBuf>,
    /// Warn of Macs whose last backup is older than this: `36h`, `30d`
    #[arg(long, value_name = "AGE", value_parser = tmbundle::verify::duration)]
    pub max_age: Option<std::time::Duration>,
    /// Exit with 1 from this on: info (advice), warning or damage (a fault); unchecked
    /// counts what could not be looked at, too
    #[arg(long, value_enum, default_value = "damage")]
    pub fail_on: FailOn,
    /// Print only findings
    #[arg(short, long)]
    pub quiet: bool,
    /// Print what was looked at even if nothing is wrong and the output is no terminal
    #[arg(short, long, conflicts_with = "quiet")]
    pub verbose: bool,
}

/// Show whose backups lie in a share, how they grow, and the day its disk is full
///
/// One table: each Mac with its bundles, also those that were left over; format, last
/// backup and typical interval, what the last verification came to, size, limit, and
/// growth a week. Goes by what needs no password. Each run, and each run of verify,
/// remembers the sizes; the day is told once enough of them are known.
/// Exit code 1: a disk is full within --warn-full; 3: a bundle could not be looked at.
#[derive(Args)]
pub struct WatchArgs {
    /// Folder of bundles
    pub share: PathBuf,
    /// Read the shares' limits from these files instead of the system's (smb.conf, afp.conf,
    /// AppleVolumes.default)
    #[arg(long, value_name = "FILE", num_args = 1)]
    pub config: Vec<PathBuf>,
    /// Exit with 1 if a disk will be full within this time, such as 30d
    #[arg(long, value_name = "TIME", value_parser = tmbundle::verify::duration)]
    pub warn_full: Option<std::time::Duration>,
    /// Print one JSON document (schema tmbundle/watch/1)
    #[arg(long)]
    pub json: bool,
    /// Write sizes and days to FILE for node_exporter's textfile collector; `-` is standard
    /// output
    #[arg(long, value_name = "FILE")]
    pub metrics: Option<PathBuf>,
    /// Print only disks that will be full within --warn-full, and errors
    #[arg(short, long)]
    pub quiet: bool,
    /// Where sizes are remembered, as for verify
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}

/// List what Time Machine kept, newest last
#[derive(Args)]
pub struct SnapshotsArgs {
    /// Bundle, disk image or block device
    pub source: PathBuf,
    /// Print one JSON document (schema tmbundle/snapshots/1)
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub salvage: SalvageArgs,
    #[command(flatten)]
    pub password: PasswordArgs,
}

/// List files in a snapshot or volume
#[derive(Args)]
#[command(disable_help_flag = true)]
pub struct LsArgs {
    /// Bundle, disk image or block device
    pub source: PathBuf,
    /// SNAPSHOT[:PATH], such as latest:/Users [default: latest]
    ///
    /// A snapshot is 'latest', a stamp or the beginning of one, with ~N behind it the N-th
    /// before it; or volume:PATH, volume=NAME:PATH for the volume as it is.
    #[arg(value_name = "SNAPSHOT[:PATH]", add = addresses())]
    pub address: Option<String>,
    /// One line an object with mode, links, owner, group, size and date
    #[arg(short, long)]
    pub long: bool,
    /// With -l: sizes such as 1.2 MiB
    #[arg(short = 'h', long)]
    pub human_readable: bool,
    /// As in `ls -la`; names that begin with a dot are always shown
    #[arg(short = 'a', long)]
    pub all: bool,
    /// Print help
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
    /// Folders with everything below them
    #[arg(short = 'R', long)]
    pub recursive: bool,
    /// The folder itself, not what is in it
    #[arg(short, long)]
    pub directory: bool,
    /// Print one JSON document (schema tmbundle/ls/1)
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub salvage: SalvageArgs,
    #[command(flatten)]
    pub password: PasswordArgs,
}

/// Write a file's contents to standard output
#[derive(Args)]
pub struct CatArgs {
    /// Bundle, disk image or block device
    pub source: PathBuf,
    #[arg(help = ADDRESS, value_name = "SNAPSHOT:PATH", add = addresses())]
    pub address: String,
    /// The resource fork instead of the data
    #[arg(long)]
    pub resource_fork: bool,
    #[command(flatten)]
    pub lost: LostArgs,
    #[command(flatten)]
    pub salvage: SalvageArgs,
    #[command(flatten)]
    pub password: PasswordArgs,
    #[command(flatten)]
    pub access: AccessArgs,
}

/// Say what lies at a place: which structures, which files, in which snapshots
///
/// For those who know that a band, a byte or a block is damaged and want to know what
/// it costs. The place need not be readable.
#[derive(Args)]
#[command(group = clap::ArgGroup::new("place").required(true))]
pub struct LocateArgs {
    /// Bundle, disk image or block device
    pub source: PathBuf,
    /// A band, by the name of its file
    #[arg(long, value_name = "NAME", group = "place", value_parser = super::locate::band)]
    pub band: Option<u64>,
    /// A byte of the disk; decimal, or hexadecimal after 0x
    #[arg(long, value_name = "N", group = "place", value_parser = super::locate::number)]
    pub offset: Option<u64>,
    /// An allocation block of the volume that holds the backups
    #[arg(long, value_name = "N", group = "place", value_parser = super::locate::number)]
    pub block: Option<u64>,
    /// How many bytes (with --offset) or blocks (with --block), instead of one
    #[arg(long, value_name = "N", conflicts_with = "band", value_parser = super::locate::number)]
    pub length: Option<u64>,
    /// Show every line and every file
    #[arg(long)]
    pub all: bool,
    /// Print one JSON document (schema tmbundle/locate/1)
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub password: PasswordArgs,
}

/// Say what a finding's code means and what to do
#[derive(Args)]
pub struct ExplainArgs {
    /// A code as verify prints it, or an error number or symbol of Apple's fsck_hfs (560,
    /// E_InvalidID); all codes if none is given
    pub code: Option<String>,
}

/// Print a completion script for a shell
///
/// It completes commands, options, paths, and the snapshots and files of the backup that
/// stands before them.
#[derive(Args)]
pub struct CompletionsArgs {
    pub shell: clap_complete::Shell,
}

/// Write the manual pages into a folder
#[derive(Args)]
pub struct ManArgs {
    pub dir: PathBuf,
}

/// Install manual pages, completions, units and the mount helper, or print them
///
/// For who has only the program. Without --install it lists what there is, and writes nothing.
#[derive(Args)]
pub struct SetupArgs {
    /// Write all of it, and the program itself
    #[arg(long)]
    pub install: bool,
    /// Print one of the files, by its name
    #[arg(long, value_name = "NAME", conflicts_with = "install")]
    pub print: Option<String>,
    /// Where to install; units and completions are found below /usr/local and /usr
    #[arg(long, value_name = "DIR", default_value = "/usr/local")]
    pub prefix: PathBuf,
    /// Write into the system whose root is at DIR, as for a package or a chroot
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// All but the program
    #[arg(long)]
    pub no_program: bool,
}

/// Browse a backup as folders, with ordinary tools
///
/// DIR shows `latest` (the newest completed snapshot), `snapshots/`, `volumes/` and
/// `disk.img` (the whole disk). Everything is read-only. The mount is served in the
/// background until `tmbundle umount DIR`.
#[cfg(feature = "mount")]
#[derive(Args, Clone)]
pub struct MountArgs {
    /// Bundle, disk image or block device
    pub source: PathBuf,
    /// An empty folder to mount on
    pub dir: PathBuf,
    /// Stay in the foreground; Ctrl-C unmounts
    #[arg(short, long)]
    pub foreground: bool,
    /// Mount also where no volume can be read: then there is disk.img alone
    #[arg(long)]
    pub disk_image: bool,
    /// Let other users in, within the permissions that the Mac recorded
    #[arg(long)]
    pub allow_other: bool,
    /// This user owns everything
    #[arg(long, value_name = "ID")]
    pub uid: Option<u32>,
    /// This group owns everything
    #[arg(long, value_name = "ID")]
    pub gid: Option<u32>,
    /// Show the Mac's owners (root does so anyway; other users see everything as theirs)
    #[arg(long)]
    pub owner_as_is: bool,
    /// Form of names: composed, or decomposed as a Mac stores them
    #[arg(long, value_enum, default_value = "nfc", value_name = "FORM")]
    pub names: NameForm,
    /// Extended attributes: user.NAME; as Samba's fruit and streams_xattr read them; none
    #[arg(long, value_enum, default_value = "user", value_name = "STYLE")]
    pub xattrs: XattrForm,
    /// Resource forks: as an attribute (64 KiB at most); also as AppleDouble files ._NAME
    #[arg(long, value_enum, default_value = "xattr", value_name = "STYLE")]
    pub resource_forks: ResourceForkForm,
    /// Show HFS+'s private folders and journal files in volumes/
    #[arg(long)]
    pub show_private: bool,
    #[command(flatten)]
    pub lost: LostArgs,
    /// Take SOURCE even if it is a symbolic link, or lies behind another user's
    ///
    /// Whoever may write beside the source could point such a link anywhere, and what it leads
    /// to would be read as whoever mounts it.
    #[arg(long)]
    pub follow_links: bool,
    /// Threads that answer the kernel
    #[arg(long, value_name = "N")]
    pub threads: Option<u32>,
    /// Append the log to FILE (in the background, else to the system's log)
    #[arg(long, value_name = "FILE")]
    pub log_file: Option<PathBuf>,
    /// Options as mount(8) and fstab give them: allow_other,uid=ID,gid=ID,names=nfd,…
    #[arg(short = 'o', value_name = "OPTIONS", value_delimiter = ',')]
    pub options: Vec<String>,
    #[command(flatten)]
    pub salvage: SalvageArgs,
    #[command(flatten)]
    pub password: PasswordArgs,
    /// What to do while a Mac uses the bundle: check, skip, or wait[=2h]
    #[arg(long, value_name = "HOW", default_value = "check")]
    pub if_busy: IfBusy,
}

#[cfg(feature = "mount")]
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum NameForm {
    Nfc,
    Nfd,
}

#[cfg(feature = "mount")]
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum XattrForm {
    User,
    Samba,
    None,
}

#[cfg(feature = "mount")]
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ResourceForkForm {
    Xattr,
    Appledouble,
}

/// Look at the structures of a source, for developers
#[derive(Args)]
pub struct DebugArgs {
    #[command(subcommand)]
    pub command: DebugCommand,
}

#[derive(Subcommand)]
pub enum DebugCommand {
    Dump(DumpArgs),
}

/// Print a structure field by field, with the names of its specification
///
/// STRUCTURE is token; mbr, gpt or gpt-backup; of an HFS+ volume header, alternate-header,
/// journal, and catalog, extents or attributes with /NODE or /NODE/RECORD behind it; of an
/// APFS container container, checkpoint, omap, volume/N, volume-omap/N or object/BLOCK.
#[derive(Args)]
pub struct DumpArgs {
    /// What to print, such as catalog/7
    pub structure: String,
    /// Bundle, disk image or block device
    pub source: PathBuf,
    #[command(flatten)]
    pub password: PasswordArgs,
}

/// Unmount a backup
#[cfg(feature = "mount")]
#[derive(Args)]
pub struct UmountArgs {
    /// The folder it is mounted on
    pub dir: PathBuf,
    /// Even while it is in use: those who use it may finish for a few seconds
    #[arg(short, long)]
    pub lazy: bool,
}
