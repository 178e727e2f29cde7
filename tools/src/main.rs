//! Writes sample volumes, disks and bundles; see `tools help`.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use anyhow::{Context, Result, bail};
use tools::samples;

const USAGE: &str = "tools list                       kinds of volumes
tools volume KIND OUT.img        a volume; its manifest goes to OUT.img.jsonl";

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["list"] => list(),
        ["volume", kind, out] => volume(kind, Path::new(out)),
        _ => bail!("usage:\n{USAGE}"),
    }
}

fn list() -> Result<()> {
    for (kind, what) in samples::KINDS {
        println!("volume {kind:<16} {what}");
    }
    Ok(())
}

fn volume(kind: &str, out: &Path) -> Result<()> {
    let builder = samples::sample(kind).with_context(|| format!("no volume kind {kind}"))?;
    builder.build().image.write_to(out)?;
    let mut manifest = out.as_os_str().to_owned();
    manifest.push(".jsonl");
    builder.manifest(&mut BufWriter::new(File::create(manifest)?))?;
    Ok(())
}
