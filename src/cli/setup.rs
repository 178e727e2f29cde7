//! `tmbundle setup`: what belongs to the program beside the program, for who has only that.

use super::args::SetupArgs;
use super::output::{Exit, stdout};
use super::{docs, guard, page};
use clap_complete::Shell;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use tmbundle::state::write_atomically;
use tmbundle::{Error, Result};

/// Where the units say that the program lies.
const IN_UNITS: &str = "/usr/local/bin/tmbundle";

/// A text that comes with the program: its place below the prefix, and itself.
macro_rules! texts {
    ($($place:literal $from:literal,)*) => {
        const TEXTS: &[(&str, &str)] = &[$(($place, include_str!(concat!("../../packaging/", $from))),)*];
    };
}

texts! {
    "lib/systemd/system/tmbundle-verify@.service" "tmbundle-verify@.service",
    "lib/systemd/system/tmbundle-verify@.timer" "tmbundle-verify@.timer",
    "lib/systemd/system/tmbundle-mail@.service" "tmbundle-mail@.service",
    "share/doc/tmbundle/prometheus/tmbundle-alerts.yml" "prometheus/tmbundle-alerts.yml",
    "share/doc/tmbundle/prometheus/tmbundle-dashboard.json" "prometheus/tmbundle-dashboard.json",
}

const COMPLETIONS: &[(&str, Shell)] = &[
    ("share/bash-completion/completions/tmbundle", Shell::Bash),
    ("share/zsh/site-functions/_tmbundle", Shell::Zsh),
    ("share/fish/vendor_completions.d/tmbundle.fish", Shell::Fish),
];

/// By these names mount(8) finds a helper for `-t tmbundle` and `-t fuse.tmbundle`.
const HELPERS: &[&str] = &["mount.tmbundle", "mount.fuse.tmbundle"];

/// Something to install: where, without the root, and what.
struct Item {
    place: PathBuf,
    what: What,
}

enum What {
    Program,
    /// A link to the program.
    Link,
    Text(Vec<u8>),
}

pub fn run(args: &SetupArgs) -> anyhow::Result<Exit> {
    if !args.prefix.is_absolute() {
        let text = format!("--prefix {}: not an absolute path", args.prefix.display());
        return Err(Error::Invalid(text).into());
    }
    let items = items(args)?;
    match &args.print {
        Some(name) => print(&items, name),
        None if args.install => install(args, &items),
        None => list(args, &items),
    }
}

/// All there is for these arguments.
fn items(args: &SetupArgs) -> Result<Vec<Item>> {
    let program = args.prefix.join("bin/tmbundle");
    let place = |place: &str| args.prefix.join(place);
    let mut all = Vec::new();
    if !args.no_program {
        all.push(Item { place: program.clone(), what: What::Program });
    }
    if let Some(folder) = helpers_in(&args.prefix) {
        let helper = |name: &&str| Item { place: folder.join(name), what: What::Link };
        all.extend(HELPERS.iter().map(helper));
    }
    let failed = |e| Error::io("cannot make the manual pages".to_owned(), e);
    for (name, text) in docs::pages().map_err(failed)? {
        all.push(Item { place: place("share/man/man1").join(name), what: What::Text(text) });
    }
    for (at, shell) in COMPLETIONS {
        let script = docs::script(*shell).map_err(failed)?;
        all.push(Item { place: place(at), what: What::Text(script) });
    }
    for (at, text) in TEXTS {
        let text = text.replace(IN_UNITS, &program.to_string_lossy());
        all.push(Item { place: place(at), what: What::Text(text.into_bytes()) });
    }
    Ok(all)
}

/// Where mount(8) looks for helpers: in /sbin only, so that there are none for a prefix of a
/// user's own.
fn helpers_in(prefix: &Path) -> Option<PathBuf> {
    match prefix.to_str() {
        _ if !cfg!(feature = "mount") => None,
        Some("/usr") => Some("/usr/sbin".into()),
        Some("/usr/local") => Some("/sbin".into()),
        _ => None,
    }
}

/// Print one file, by its name or place.
fn print(items: &[Item], name: &str) -> anyhow::Result<Exit> {
    let named = |item: &&Item| item.place.ends_with(name.trim_start_matches('/'));
    let text = items.iter().find(named).and_then(|item| match &item.what {
        What::Text(text) => Some(text),
        _ => None,
    });
    let Some(text) = text else {
        let text = format!("there is no text '{name}'; `tmbundle setup` lists them");
        return Err(Error::NotFound(text).into());
    };
    let mut out = stdout();
    out.write_all(text)?;
    out.flush()?;
    Ok(Exit::Ok)
}

fn list(args: &SetupArgs, items: &[Item]) -> anyhow::Result<Exit> {
    let mut out = page::stdout();
    out.row("Nothing is installed yet. tmbundle setup --install writes:")?;
    for item in items {
        let place = below(&args.root, &item.place);
        let more = match item.what {
            What::Program => "  (this program)",
            What::Link => "  (a link to it)",
            What::Text(_) => "",
        };
        out.row(format!("  {}{more}", place.display()))?;
    }
    out.row("tmbundle setup --print NAME prints one of these files.")?;
    out.flush()?;
    Ok(Exit::Ok)
}

fn install(args: &SetupArgs, items: &[Item]) -> anyhow::Result<Exit> {
    for item in items {
        let place = below(&args.root, &item.place);
        guard::refuse("--prefix", &place, &[])?;
        put(&args.prefix, item, &place)?;
    }
    let mut out = page::stdout();
    let below = below(&args.root, &args.prefix);
    out.row(format!("Installed {} files below {}", items.len(), below.display()))?;
    if helpers_in(&args.prefix).is_none() {
        out.row("without helpers for mount(8): it takes those of root only")?;
    } else {
        out.row("Every night, for /srv/tm:")?;
        out.row(
            "  systemctl daemon-reload && systemctl enable --now tmbundle-verify@srv-tm.timer",
        )?;
    }
    out.flush()?;
    Ok(Exit::Ok)
}

fn put(prefix: &Path, item: &Item, place: &Path) -> Result<()> {
    let failed = |e| Error::io(format!("cannot write {}", place.display()), e);
    if let Some(folder) = place.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    match &item.what {
        What::Text(text) => write_atomically(place, text, 0o644),
        What::Link => {
            // Only what is a link itself is replaced.
            if std::fs::symlink_metadata(place).is_ok_and(|m| m.is_symlink()) {
                std::fs::remove_file(place).map_err(failed)?;
            }
            std::os::unix::fs::symlink(prefix.join("bin/tmbundle"), place).map_err(failed)
        }
        What::Program => {
            let own = std::env::current_exe().map_err(failed)?;
            let id = |path: &Path| std::fs::metadata(path).map(|m| (m.dev(), m.ino())).ok();
            if id(&own) == id(place) {
                return Ok(());
            }
            let bytes = std::fs::read(&own).map_err(failed)?;
            write_atomically(place, &bytes, 0o755)
        }
    }
}

/// An absolute path below a root.
fn below(root: &Path, place: &Path) -> PathBuf {
    root.join(place.strip_prefix("/").unwrap_or(place))
}
