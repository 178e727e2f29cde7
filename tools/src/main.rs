//! Writes sample volumes, disks and bundles; see `tools help`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use tools::bundle::{self, BundleOptions};
use tools::hfs::{Content, Meta, VolumeBuilder, VolumeOptions};
use tools::{demo, samples};

const USAGE: &str = "tools list                       kinds of volumes
tools volume KIND OUT.img        a volume; its manifest goes to OUT.img.jsonl
tools demo OUT.sparsebundle      the bundle of testdata; its manifest goes to OUT.manifest.jsonl
tools big FILES OUT.img          a volume of so many files in linked folders
tools bundle-of-one-file BYTES OUT.sparsebundle
                                 a plain bundle whose volume holds big.bin, for measurements";

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["list"] => list(),
        ["volume", kind, out] => volume(kind, Path::new(out)),
        ["demo", out] => write_demo(Path::new(out)),
        ["big", files, out] => big(files.parse()?, Path::new(out)),
        ["bundle-of-one-file", bytes, out] => one_file(bytes.parse()?, Path::new(out)),
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
    let mut path = out.as_os_str().to_owned();
    path.push(".jsonl");
    manifest(&builder, Path::new(&path))
}

fn manifest(builder: &VolumeBuilder, path: &Path) -> Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    builder.manifest(&mut out)?;
    Ok(out.flush()?)
}

fn write_demo(out: &Path) -> Result<()> {
    let builder = demo::write(out)?;
    manifest(&builder, &out.with_extension("manifest.jsonl"))
}

fn big(files: u32, out: &Path) -> Result<()> {
    samples::big(files).build().image.write_to(out)?;
    Ok(())
}

fn one_file(bytes: u64, out: &Path) -> Result<()> {
    let options = VolumeOptions { size: bytes + (64 << 20), ..VolumeOptions::default() };
    let mut builder = VolumeBuilder::new(options);
    let content = Content::Pattern { seed: 1, len: bytes };
    builder.file(builder.root(), "big.bin", content, Meta::file());
    bundle::write(&builder.build().image, out, &BundleOptions::default())?;
    Ok(())
}
