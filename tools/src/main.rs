//! Writes sample volumes, disks and bundles; see `tools help`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tools::bundle::{self, BundleOptions, Encryption};
use tools::damage::{Damage, broken};
use tools::hfs::{Content, Meta, VolumeBuilder, VolumeOptions};
use tools::{demo, samples};

const USAGE: &str = "tools list                       kinds of volumes and damage
tools volume KIND OUT.img        a volume; its manifest goes to OUT.img.jsonl
tools damage NAME KIND OUT.img   a volume of a kind with one damage, or one that is built broken
tools journal NAME OUT.img       a volume with a dirty journal; replayed, it is OUT.img.replayed
tools disk NAME KIND OUT.img     a volume of a kind in a partition map, whole or broken
tools encrypt BITS PASSWORD KIND OUT.sparsebundle
tools demo OUT.sparsebundle      the bundle of testdata; its manifest goes to OUT.manifest.jsonl
tools hostile SEED OUT.img       a volume as an enemy would write it; what was done is printed
tools big FILES OUT.img          a volume of so many files in linked folders
tools noise small|large OUT.img  a volume for bench-extract: 100,000 files, or 2 GiB in four
tools floor small|large DIR      the least that a restore of it can take
tools lzbitmap FILE OUT          its bytes as LZBITMAP, for a foreign decoder
tools bundle-of-one-file BYTES OUT.sparsebundle [128|256]
                                 a bundle whose volume holds big.bin, for measurements; encrypted
                                 with AES of so many bits and the password \"password\"";

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["apfs", ..] => tools::apfs::cli::run(&args[1..]),
        ["list"] => list(),
        ["volume", kind, out] => volume(kind, Path::new(out)),
        ["damage", name, kind, out] => write_damage(name, kind, Path::new(out)),
        ["journal", name, out] => write_journal(name, Path::new(out)),
        ["disk", name, kind, out] => write_disk(name, kind, Path::new(out)),
        ["encrypt", bits, password, kind, out] => {
            write_encrypted(bits.parse()?, password, kind, Path::new(out))
        }
        ["hostile", seed, out] => hostile(seed.parse()?, Path::new(out)),
        ["demo", out] => write_demo(Path::new(out)),
        ["noise", what, out] => {
            let volume =
                if what == "small" { tools::restore::small() } else { tools::restore::large() };
            volume.build().image.write_to(Path::new(out))?;
            Ok(())
        }
        ["floor", what, to] => Ok(tools::restore::floor(what == "small", Path::new(to))?),
        ["lzbitmap", file, out] => {
            Ok(std::fs::write(out, tools::lzbitmap::encode(&std::fs::read(file)?))?)
        }
        ["big", files, out] => big(files.parse()?, Path::new(out)),
        ["bundle-of-one-file", bytes, out] => one_file(bytes.parse()?, Path::new(out), None),
        ["bundle-of-one-file", bytes, out, bits] => {
            one_file(bytes.parse()?, Path::new(out), Some(bits.parse()?))
        }
        _ => bail!("usage:\n{USAGE}\n{}", tools::apfs::cli::USAGE),
    }
}

fn list() -> Result<()> {
    for (kind, what) in samples::KINDS {
        println!("volume  {kind:<24} {what}");
    }
    for damage in Damage::all() {
        println!("damage  {:<24} {} {:?}", damage.name, damage.what, damage.fsck);
    }
    for broken in broken() {
        println!("damage  {:<24} {} {:?}", broken.name, broken.what, broken.fsck);
    }
    for (name, _) in samples::journals() {
        println!("journal {name}");
    }
    for (name, _) in samples::disks() {
        println!("disk    {name}");
    }
    Ok(())
}

fn sample(kind: &str) -> Result<VolumeBuilder> {
    samples::sample(kind).with_context(|| format!("no volume kind {kind}"))
}

fn hostile(seed: u64, out: &Path) -> Result<()> {
    let made = tools::hostile::volume(seed);
    println!("{}", made.what.join("\n"));
    made.image.write_to(out)?;
    Ok(())
}

fn beside(out: &Path, suffix: &str) -> PathBuf {
    let mut path = out.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

fn volume(kind: &str, out: &Path) -> Result<()> {
    let builder = sample(kind)?;
    builder.build().image.write_to(out)?;
    manifest(&builder, &beside(out, ".jsonl"))
}

fn manifest(builder: &VolumeBuilder, path: &Path) -> Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    builder.manifest(&mut out)?;
    Ok(out.flush()?)
}

fn write_damage(name: &str, kind: &str, out: &Path) -> Result<()> {
    if let Some(broken) = broken().iter().find(|b| b.name == name) {
        println!("{}; fsck_hfs {:?}", broken.what, broken.fsck);
        return Ok(broken.builder().build().image.write_to(out)?);
    }
    let damage = Damage::by_name(name).with_context(|| format!("no damage {name}"))?;
    let mut volume = sample(kind)?.build();
    let done = damage.apply(&mut volume.image, &volume.layout);
    let done = done.with_context(|| format!("a volume {kind} has nothing to hit"))?;
    println!("{}; fsck_hfs {:?}", done.what, damage.fsck);
    Ok(volume.image.write_to(out)?)
}

fn write_journal(name: &str, out: &Path) -> Result<()> {
    let (_, how) = samples::journals()
        .into_iter()
        .find(|j| j.0 == name)
        .with_context(|| format!("no journal {name}"))?;
    let torn = samples::torn(&how);
    println!("{} of {} transactions are to be replayed", torn.good, how.transactions);
    torn.image.write_to(out)?;
    Ok(torn.replayed.write_to(&beside(out, ".replayed"))?)
}

fn write_disk(name: &str, kind: &str, out: &Path) -> Result<()> {
    let (_, wrap) = samples::disks()
        .into_iter()
        .find(|d| d.0 == name)
        .with_context(|| format!("no disk {name}"))?;
    let (disk, at) = wrap(&sample(kind)?.build().image);
    println!("the volume begins at byte {at}");
    Ok(disk.write_to(out)?)
}

fn write_encrypted(bits: u32, password: &str, kind: &str, out: &Path) -> Result<()> {
    let encryption = Encryption { key_bits: bits, ..Encryption::with_password(password) };
    let options = BundleOptions {
        band_size: 1 << 20,
        encryption: Some(encryption),
        ..BundleOptions::default()
    };
    Ok(bundle::write(&sample(kind)?.build().image, out, &options)?)
}

fn write_demo(out: &Path) -> Result<()> {
    let builder = demo::write(out)?;
    manifest(&builder, &out.with_extension("manifest.jsonl"))
}

fn big(files: u32, out: &Path) -> Result<()> {
    samples::big(files).build().image.write_to(out)?;
    Ok(())
}

fn one_file(bytes: u64, out: &Path, key_bits: Option<u32>) -> Result<()> {
    let options = VolumeOptions { size: bytes + (64 << 20), ..VolumeOptions::default() };
    let mut builder = VolumeBuilder::new(options);
    let content = Content::Pattern { seed: 1, len: bytes };
    builder.file(builder.root(), "big.bin", content, Meta::file());
    let encryption =
        key_bits.map(|key_bits| Encryption { key_bits, ..Encryption::with_password("password") });
    let options = BundleOptions { encryption, ..BundleOptions::default() };
    bundle::write(&builder.build().image, out, &options)?;
    Ok(())
}
