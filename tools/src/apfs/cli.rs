//! The program's `apfs` commands.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::{big, demo, samples};

/// How the commands are called.
pub const USAGE: &str = "tools apfs list                  kinds of APFS containers and damage
tools apfs volume KIND OUT.img   a container; the live view's manifest goes to OUT.img.jsonl, a
                                 snapshot's to OUT.img@NAME.jsonl, further volumes' to OUT.img.N…
tools apfs demo OUT.backupbundle the APFS bundle of testdata; manifests go beside it
tools apfs big FILES OUT.img     a volume of so many files, written in one pass
tools apfs big FILES SNAPSHOTS OUT.img
                                 the same with snapshots that each change one file in a hundred
tools apfs big FILES SNAPSHOTS together OUT.img
                                 those of one neighbourhood
tools apfs large MIB OUT.img [PASSWORD]
                                 one file of noise; with a password, encrypted";

/// Runs the command.
pub fn run(args: &[&str]) -> Result<()> {
    match args {
        ["list"] => list(),
        ["volume", kind, out] => volume(kind, Path::new(out)),
        ["demo", out] => write_demo(Path::new(out)),
        ["big", files, out] => Ok(big::flat(Path::new(out), files.parse()?)?),
        ["big", files, snapshots, out] => {
            let changes = big::Changes::Scattered;
            Ok(big::history(Path::new(out), files.parse()?, snapshots.parse()?, changes)?)
        }
        ["big", files, snapshots, "together", out] => {
            let changes = big::Changes::Together;
            Ok(big::history(Path::new(out), files.parse()?, snapshots.parse()?, changes)?)
        }
        ["large", mib, out, password @ ..] if password.len() < 2 => {
            let bytes = mib.parse::<u64>()? << 20;
            Ok(big::large(Path::new(out), bytes, password.first().copied())?)
        }
        _ => bail!("usage:\n{USAGE}"),
    }
}

fn list() -> Result<()> {
    for (kind, what) in samples::KINDS {
        println!("volume  {kind:<24} {what}");
    }
    Ok(())
}

fn volume(kind: &str, out: &Path) -> Result<()> {
    let built = samples::sample(kind).with_context(|| format!("no container kind {kind}"))?;
    built.image.write_to(out)?;
    Ok(built.write_manifests(out)?)
}

fn write_demo(out: &Path) -> Result<()> {
    let built = demo::write(out)?;
    Ok(built.write_manifests(&out.with_extension("manifest"))?)
}
