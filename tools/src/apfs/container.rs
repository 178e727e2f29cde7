//! A container: volumes, object map, checkpoints.

use std::io::{self, Write};
use std::path::Path;

use super::checkpoint::{self, Rings, Superblock};
use super::core::Core;
use super::device::Device;
use super::keys;
use super::layout::{Layout, What};
use super::omap::{MANAGED, Omap};
use super::ops::Vol;
use super::options::{ContainerOptions, VolumeOptions};
use super::pool::Pool;
use super::space::Space;
use super::spaceman::{Spaceman, main_node_limit, tiers};
use super::volume::Volume;
use crate::image::Image;

/// A container in the making.
#[derive(Debug)]
pub struct Container {
    pub(crate) core: Core,
    pub(crate) volumes: Vec<Volume>,
    options: ContainerOptions,
    pool: Pool,
    spaceman: Spaceman,
    rings: Rings,
    omap: Omap,
    reaper: u64,
    reap_list: Option<u64>,
    uuid: [u8; 16],
    keybag: u64,
}

/// A finished container.
#[derive(Clone, Debug)]
pub struct Built {
    /// Its bytes.
    pub image: Image,
    /// Where everything lies.
    pub layout: Layout,
    /// Expectations of each volume's views.
    pub volumes: Vec<VolumeManifest>,
}

/// What a reader must show of a volume.
#[derive(Clone, Debug)]
pub struct VolumeManifest {
    /// The volume's name.
    pub name: String,
    /// JSON lines of the live view.
    pub live: Vec<String>,
    /// Transaction, name and JSON lines of each snapshot, oldest first.
    pub snapshots: Vec<(u64, String, Vec<String>)>,
}

impl Container {
    /// A new container in memory.
    pub fn new(options: ContainerOptions) -> Self {
        let device = Device::memory(options.block_size, options.size);
        Container::on(device, options)
    }

    /// A new container in a sparse file.
    pub fn create(path: &Path, options: ContainerOptions) -> io::Result<Self> {
        let device = Device::file(options.block_size, options.size, path)?;
        Ok(Container::on(device, options))
    }

    fn on(device: Device, options: ContainerOptions) -> Self {
        let bs = options.block_size;
        assert!(bs.is_power_of_two() && (4096..=65_536).contains(&bs), "block size");
        let blocks = options.blocks();
        let scatter = options.scatter.then_some(options.seed);
        let mut space = Space::new(blocks, bs, None);
        let mut rings = Rings::new(options.desc_blocks, options.ring_blocks());
        let (chunks, cibs, cabs) = tiers(blocks, bs);
        let mut pool = Pool::new(3 * (chunks + cibs + cabs), bs);
        let spaceman = Spaceman::new(&space, bs, options.versioned);
        rings.desc_base = 1;
        pool.ring_base = rings.data_base + rings.data_blocks;
        pool.base = pool.ring_base + pool.ring_blocks();
        space.mark(0, pool.base + pool.blocks);
        space.start_at(pool.base + pool.blocks, scatter);
        let mut core = Core::new(device, space, bs, options.ragged, options.seed << 32);
        let (uuid, reaper) = (core.uuid(), 0);
        let omap = Omap::new(bs, MANAGED);
        let mut container = Container {
            core,
            volumes: Vec::new(),
            options,
            pool,
            spaceman,
            rings,
            omap,
            reaper,
            reap_list: None,
            uuid,
            keybag: 0,
        };
        container.spaceman.oid = container.core.oid();
        container.reaper = container.core.oid();
        container.spaceman.queue_oids = [container.core.oid(), container.core.oid()];
        container
    }

    /// Adds a volume and returns its number.
    pub fn add_volume(&mut self, options: VolumeOptions) -> usize {
        let index = self.volumes.len() as u32;
        self.volumes.push(Volume::new(&mut self.core, index, options));
        self.volumes.len() - 1
    }

    /// A volume, to be changed.
    pub fn volume(&mut self, number: usize) -> Vol<'_> {
        Vol { core: &mut self.core, volume: &mut self.volumes[number] }
    }

    /// What is known of a volume.
    pub fn info(&self, number: usize) -> &Volume {
        &self.volumes[number]
    }

    /// Transaction of the next checkpoint.
    pub fn xid(&self) -> u64 {
        self.core.xid
    }

    /// Ends the transaction: everything changed is written, with a checkpoint.
    pub fn commit(&mut self) {
        self.end(None);
    }

    /// Ends the transaction and makes it a snapshot of a volume; `created` is in nanoseconds.
    pub fn snapshot(&mut self, volume: usize, name: &str, created: i64) {
        self.end(Some((volume, name, created)));
    }

    /// Deletes a snapshot in this transaction.
    pub fn delete_snapshot(&mut self, volume: usize, name: &str) {
        self.volumes[volume].delete_snapshot(&mut self.core, name);
        if self.reap_list.is_none() {
            self.reap_list = Some(self.core.oid());
        }
    }

    fn end(&mut self, snapshot: Option<(usize, &str, i64)>) {
        let core = &mut self.core;
        self.keybag = keys::write(core, &mut self.volumes, self.keybag, &self.uuid);
        let mut mapped = 0;
        for (i, volume) in self.volumes.iter_mut().enumerate() {
            let snapshot = snapshot.filter(|s| s.0 == i).map(|s| (s.1, s.2));
            let Some(old) = volume.commit(core, snapshot) else { continue };
            let old = (old.address != 0).then_some(old);
            self.omap.map(core, volume.oid, volume.superblock_address(), old);
            mapped += 1;
        }
        if mapped > 0 || self.omap.address == 0 {
            self.omap.write(core);
        }
        self.write_checkpoint();
        self.core.xid += 1;
        let xid = self.core.xid;
        self.core.space.release(xid.saturating_sub(self.options.desc_blocks / 2));
    }

    fn write_checkpoint(&mut self) {
        let (core, pool) = (&mut self.core, &mut self.pool);
        self.spaceman.write(&mut core.space, pool, &mut core.device, core.xid);
        for _ in 0..self.spaceman.oids_wanted(&core.space, pool) {
            let oid = core.oid();
            self.spaceman.spare_oids.push(oid);
        }
        let mut objects = self.spaceman.ephemerals(&core.space, pool, core.xid);
        let reaper = checkpoint::reaper(core, self.reaper, self.reap_list);
        objects.splice(1..1, reaper);
        let sb = self.superblock();
        let block = self.rings.write(&mut self.core, &objects, &sb);
        if self.options.unmounted || self.core.xid == 1 {
            self.core.device.write(0, &block);
        }
    }

    fn superblock(&self) -> Superblock {
        let blocks = self.options.blocks();
        let large = blocks * self.options.block_size > 128 << 20;
        let min = if large { 8 } else { main_node_limit(blocks) };
        let encrypted = self.keybag != 0;
        Superblock {
            uuid: self.uuid,
            oids: [self.spaceman.oid, self.omap.address, self.reaper],
            volumes: self.volumes.iter().map(|v| v.oid).collect(),
            flags: if encrypted { 4 } else { 0 },
            keylocker: if encrypted { (self.keybag, 1) } else { (0, 0) },
            ephemeral_info: min << 32 | 4 << 16 | 1,
            newest_mounted: self.options.newest_mounted,
        }
    }

    /// Where everything lies now.
    pub fn layout(&self) -> Layout {
        let mut layout = Layout {
            block_size: self.core.block_size,
            blocks: self.options.blocks(),
            ..Layout::default()
        };
        layout.add(0, 1, What::BlockZero);
        self.rings.describe(&mut layout);
        self.spaceman.describe(&self.core.space, &self.pool, &mut layout);
        self.omap.describe(None, &mut layout);
        if self.keybag != 0 {
            layout.add(self.keybag, 1, What::ContainerKeybag);
        }
        for volume in &self.volumes {
            volume.describe(&mut layout);
            if volume.keybag != 0 {
                layout.add(volume.keybag, 1, What::VolumeKeybag(volume.index));
            }
        }
        layout
    }

    /// The manifests of all volumes and their views.
    pub fn manifests(&self) -> Vec<VolumeManifest> {
        self.volumes
            .iter()
            .map(|v| VolumeManifest {
                name: v.options.name.clone(),
                live: v.manifest_lines(),
                snapshots: v
                    .snapshots
                    .iter()
                    .map(|s| {
                        (s.xid, s.name.clone(), v.views.get(&s.xid).cloned().unwrap_or_default())
                    })
                    .collect(),
            })
            .collect()
    }

    /// Ends the last transaction and hands out image, layout and manifests.
    pub fn finish(mut self) -> Built {
        self.commit();
        self.into_built()
    }

    /// The same without a further transaction: changes since the last one are lost.
    pub fn into_built(self) -> Built {
        let (layout, volumes) = (self.layout(), self.manifests());
        Built { image: self.core.device.into_image(), layout, volumes }
    }
}

impl Built {
    /// Writes manifests beside `out`: `out.jsonl` for the first volume's live view,
    /// `out@SNAPSHOT.jsonl` for its snapshots; further volumes carry `.NUMBER` before.
    pub fn write_manifests(&self, out: &Path) -> io::Result<()> {
        for (number, volume) in self.volumes.iter().enumerate() {
            let stem = match number {
                0 => out.display().to_string(),
                n => format!("{}.{n}", out.display()),
            };
            write_lines(Path::new(&format!("{stem}.jsonl")), &volume.live)?;
            for (_, name, lines) in &volume.snapshots {
                let name = name.replace('/', ":");
                write_lines(Path::new(&format!("{stem}@{name}.jsonl")), lines)?;
            }
        }
        Ok(())
    }
}

fn write_lines(path: &Path, lines: &[String]) -> io::Result<()> {
    let mut out = io::BufWriter::new(std::fs::File::create(path)?);
    for line in lines {
        writeln!(out, "{line}")?;
    }
    out.flush()
}
