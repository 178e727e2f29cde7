//! Arguments of `extract`.

use crate::cli::complete::addresses;
use crate::cli::flags::{ADDRESS, AccessArgs, LostArgs};
use crate::cli::password::PasswordArgs;
use clap::Args;
use std::path::PathBuf;

/// Copy files and folders out of a backup
///
/// Nothing that exists is overwritten unasked, links are never followed out of DIR, and a
/// file appears under its name only when it is whole. The same command again goes on
/// where it was interrupted. What the destination does not take (owners, modes, long
/// names, attributes) never costs the contents: it is counted and told.
///
/// Exit codes: 0 everything was restored; 1 something was left behind, which is told;
/// 2 usage, or there is nothing of what was asked for; 3 the source could not be read at
/// all, or the reader of an archive went away before its end; 130 interrupted.
#[derive(Args)]
pub struct ExtractArgs {
    /// Bundle, disk image or block device
    pub source: PathBuf,
    #[arg(required = true, help = ADDRESS, value_name = "SNAPSHOT[:PATH]", add = addresses())]
    pub addresses: Vec<String>,
    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    pub choice: ChoiceArgs,
    #[command(flatten)]
    pub metadata: MetadataArgs,
    #[command(flatten)]
    pub damage: DamageArgs,
    /// Only say what would be restored, and what room it needs
    #[arg(long)]
    pub dry_run: bool,
    /// Begin although the destination seems too small
    #[arg(long)]
    pub force: bool,
    /// Do not wait until the destination's disk has everything
    #[arg(long)]
    pub no_sync: bool,
    /// Read everything back at the end, and compare it with the backup and with Time
    /// Machine's checksums
    #[arg(long, conflicts_with = "tar")]
    pub verify: bool,
    /// List every object in FILE, with what was set and what was not (JSON, schema
    /// tmbundle/extract-report/1)
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Print one JSON document (schema tmbundle/extract/1)
    #[arg(long, conflicts_with = "tar")]
    pub json: bool,
    #[command(flatten)]
    pub access: AccessArgs,
    #[command(flatten)]
    pub password: PasswordArgs,
}

/// Where it goes.
#[derive(Args)]
#[group(id = "target", required = true, multiple = false)]
pub struct TargetArgs {
    /// Folder to restore into; made if it is not there
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
    /// Write a tar archive (pax) to standard output
    #[arg(long)]
    pub tar: bool,
}

/// Which objects.
#[derive(Args)]
pub struct ChoiceArgs {
    /// Only what fits a shell pattern; may be given several times
    ///
    /// Without '/' it fits names at any depth ('*.jpg'), with '/' the path as it is
    /// restored ('anna/Pictures/**'). A folder that fits comes with all that is in it.
    #[arg(long, value_name = "GLOB")]
    pub include: Vec<String>,
    /// Not what fits a shell pattern; may be given several times
    #[arg(long, value_name = "GLOB")]
    pub exclude: Vec<String>,
    /// 'latest' is the newest snapshot that is not later than DATE (2019-11-10, or
    /// 2019-11-10T14:30)
    #[arg(long, value_name = "DATE", value_parser = super::select::moment_at_end)]
    pub at: Option<jiff::Timestamp>,
    /// Only files that were changed after DATE, or within an age such as 30d
    #[arg(long, value_name = "DATE", value_parser = super::select::moment_or_age)]
    pub newer_than: Option<jiff::Timestamp>,
    /// What to do where something that differs is there already
    #[arg(long, value_enum, value_name = "HOW", default_value = "identical")]
    pub on_conflict: Conflict,
    /// Compare what is there byte by byte, not by size and time
    #[arg(long)]
    pub checksum: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Conflict {
    /// Leave it and say so; what is identical is passed over
    Identical,
    /// Leave it
    Skip,
    /// Put the backup's in its place
    Overwrite,
    /// Restore beside it as 'NAME (restored)'
    Rename,
    /// Put the backup's in its place if that is newer
    Newer,
}

/// What objects get besides their contents.
#[derive(Args)]
pub struct MetadataArgs {
    /// Do not set owners (they are set by default when run by root)
    #[arg(long)]
    pub no_owners: bool,
    /// Everything belongs to USER, a name or number of this server
    #[arg(long, value_name = "USER[:GROUP]", conflicts_with = "no_owners")]
    pub owner: Option<String>,
    /// What was the Mac's user NAME's (or number's) belongs to UID here; may be given
    /// several times
    ///
    /// A name is looked up by whose folder it is in the backup's Users.
    #[arg(long, value_name = "NAME:UID", conflicts_with = "no_owners")]
    pub map_user: Vec<String>,
    /// What was the Mac's group GID's belongs to group GID here
    #[arg(long, value_name = "GID:GID", conflicts_with = "no_owners")]
    pub map_group: Vec<String>,
    /// Make devices (root only)
    #[arg(long)]
    pub devices: bool,
    /// Give programs their set-user-id and set-group-id bits
    #[arg(long)]
    pub setid: bool,
    /// Where to keep attributes, resource forks, Finder information, access control
    /// lists, flags and birth
    ///
    /// auto: as extended attributes, and what does not fit there in AppleDouble files
    /// (._NAME).
    #[arg(long, value_enum, value_name = "HOW", default_value = "auto")]
    pub mac_metadata: Mac,
    /// How extended attributes are called: user.NAME, or as Samba's fruit and
    /// streams_xattr or Netatalk read them
    #[arg(long, value_enum, value_name = "STYLE", default_value = "user")]
    pub xattrs: Xattrs,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Mac {
    Auto,
    Xattr,
    Appledouble,
    None,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Xattrs {
    User,
    Samba,
    Netatalk,
}

/// What to do about damaged files, which are left out otherwise.
#[derive(Args)]
pub struct DamageArgs {
    /// Take another snapshot's version of a damaged file, and say which
    #[arg(long, value_enum, value_name = "WHICH")]
    pub fallback: Option<FallbackTo>,
    /// Write what can be read of a damaged file as NAME.damaged, and say what is missing
    ///
    /// Of a volume whose headers or catalog are broken, what is left is looked for first,
    /// as `ls --salvage` does.
    #[arg(long)]
    pub salvage: bool,
    #[command(flatten)]
    pub lost: LostArgs,
    /// Do not compare Time Machine's checksums
    #[arg(long)]
    pub ignore_checksums: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum FallbackTo {
    Previous,
    Next,
    Nearest,
}
