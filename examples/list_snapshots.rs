//! List the snapshots of a backup, oldest first, and what the newest holds.
//!
//!     cargo run --example list_snapshots -- testdata/Demo.sparsebundle

#![allow(clippy::print_stdout)]

use std::ops::ControlFlow;
use tmbundle::disk::Disk;
use tmbundle::fs::Cursor;
use tmbundle::timemachine::Archive;
use tmbundle::volume::Layout;
use tmbundle::{Error, Result};

fn main() -> Result<()> {
    let Some(path) = std::env::args_os().nth(1) else {
        return Err(Error::Invalid("say which bundle, image or device".into()));
    };
    let layout = Layout::from(Disk::open(path.as_ref())?);
    let archive = Archive::open(&layout)?;
    // Why nothing could be opened, where nothing could.
    archive.require_volume()?;
    let Some((volume, backup)) = archive.backup() else {
        println!("no Time Machine backup in it");
        return Ok(());
    };
    for (computer, snapshot) in backup.snapshots() {
        println!("{}  {}  {}", computer.name, snapshot.name, snapshot.state.name());
    }
    if let Some((_, newest)) = backup.latest() {
        println!("in {}:", newest.name);
        let (view, folder) = volume.enter(newest)?;
        view.read_dir(folder, Cursor::default(), &mut |entry| {
            println!("  {}", entry.name);
            ControlFlow::Continue(())
        })?;
    }
    Ok(())
}
