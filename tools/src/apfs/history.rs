//! Random histories: operations in any order, with snapshots between them and what each view holds.

use super::*;
use crate::decmpfs::DecmpfsType;
use crate::hfs::{Content, splitmix};

/// A source of choices.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Choices that follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Dice(splitmix(seed ^ 0x4150_4653))
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = splitmix(self.0);
        (self.0 >> 8) % n
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        if from.is_empty() {
            None
        } else {
            Some(from[self.below(from.len() as u64) as usize].clone())
        }
    }
}

/// What a history is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Chooses everything else.
    pub seed: u64,
    /// Number of operations.
    pub steps: u64,
    /// One step in so many makes a snapshot.
    pub snapshot_every: u64,
    /// The container.
    pub container: ContainerOptions,
    /// The volume.
    pub volume: VolumeOptions,
}

impl Plan {
    /// A history with all else chosen by the seed: names, encryption, layout.
    pub fn of(seed: u64, steps: u64) -> Plan {
        let mut dice = Dice::new(seed);
        let names = [Names::Normal, Names::Normal, Names::Folded, Names::Plain];
        let encryption = (dice.below(5) == 0).then(|| VolumeEncryption::with_password("password"));
        let block_size = [4096, 4096, 4096, 8192, 16_384][dice.below(5) as usize];
        Plan {
            seed,
            steps,
            snapshot_every: 12 + dice.below(30),
            container: ContainerOptions {
                block_size,
                size: (200 << 20) + dice.below(100) * 4096,
                seed,
                scatter: dice.below(3) == 0,
                ragged: dice.below(2) == 0,
                unmounted: dice.below(3) > 0,
                ..ContainerOptions::default()
            },
            volume: VolumeOptions {
                names: dice.pick(&names).unwrap_or(Names::Normal),
                encryption,
                tombstones: dice.below(3) == 0,
                prealloc_feature: dice.below(3) == 0,
                attribute_stream_records: dice.below(2) == 0,
                recent_fields: dice.below(2) == 0,
                ..VolumeOptions::default()
            },
        }
    }

    /// Plays the history.
    pub fn play(&self) -> Container {
        let mut container = Container::new(self.container.clone());
        let volume = container.add_volume(self.volume.clone());
        container.commit();
        let mut player =
            Player { container, volume, dice: Dice::new(self.seed ^ 0xD1CE), made: 0, taken: 0 };
        for step in 0..self.steps {
            player.step();
            match player.dice.below(self.snapshot_every) {
                0 => player.snapshot(step),
                1 => player.container.commit(),
                2 if player.dice.below(3) == 0 => player.forget(),
                _ => {}
            }
        }
        player.container.commit();
        player.container
    }
}

struct Player {
    container: Container,
    volume: usize,
    dice: Dice,
    made: u64,
    taken: u64,
}

/// An entry: directory, name, inode.
type Entry = (Ino, String, Ino);

impl Player {
    fn vol(&mut self) -> Vol<'_> {
        self.container.volume(self.volume)
    }

    fn snapshot(&mut self, step: u64) {
        self.taken += 1;
        let name = format!("snapshot {}", self.taken);
        let volume = self.volume;
        let date = DEFAULT_NS + step as i64 * 1_000_000_007;
        self.container.snapshot(volume, &name, date);
    }

    fn forget(&mut self) {
        let names = self.container.info(self.volume).snapshot_names();
        if let Some(name) = self.dice.pick(&names) {
            // A deletion begins in a transaction of its own, as the kernel's does.
            self.container.commit();
            self.container.delete_snapshot(self.volume, &name);
            self.container.commit();
        }
    }

    fn entries(&mut self) -> (Vec<Ino>, Vec<Entry>) {
        let vol = self.vol();
        let (mut dirs, mut out, mut todo) = (vec![ROOT], Vec::new(), vec![ROOT]);
        while let Some(dir) = todo.pop() {
            for (name, id) in vol.children(dir) {
                if vol.is_dir(id) {
                    dirs.push(id);
                    todo.push(id);
                }
                out.push((dir, name, id));
            }
        }
        (dirs, out)
    }

    fn name(&mut self) -> String {
        const STEMS: [&str; 8] =
            ["file", "Übung", "日記", "a:b", "e\u{301}tude", ".hidden", "Große Datei", "x"];
        self.made += 1;
        let stem = STEMS[self.dice.below(8) as usize];
        let tail = "n".repeat(self.dice.below(40) as usize);
        format!("{stem} {} {tail}", self.made)
    }

    fn content(&mut self) -> Content {
        let seed = self.dice.below(1 << 30);
        match self.dice.below(8) {
            0 => Content::Empty,
            1 => Content::Zeros(self.dice.below(60_000)),
            2 => Content::text(seed, self.dice.below(200) as usize),
            3 => Content::Pattern { seed, len: self.dice.below(150_000) + 1 },
            _ => Content::text(seed, self.dice.below(20_000) as usize),
        }
    }

    fn meta(&mut self, mode: u16) -> Meta {
        let dice = &mut self.dice;
        let ns = DEFAULT_NS - dice.below(1 << 60) as i64;
        Meta::with_mode(mode | dice.below(0o1000) as u16)
            .dated(ns)
            .owned(dice.below(600) as u32, dice.below(30) as u32)
    }

    fn step(&mut self) {
        let (dirs, entries) = self.entries();
        let dir = self.dice.pick(&dirs).unwrap_or(ROOT);
        let files: Vec<Entry> = entries
            .iter()
            .filter(|e| self.container.info(self.volume).is_file(e.2))
            .cloned()
            .collect();
        let some_file = self.dice.pick(&files);
        match (self.dice.below(20), some_file) {
            (0..=5, _) | (_, None) => self.create(dir),
            (6 | 7, Some(file)) => self.overwrite(file.2),
            (8, Some(file)) => self.resize(file.2),
            (9 | 10, Some(file)) => self.attribute(file.2),
            (11, Some(file)) => {
                let name = self.name();
                self.vol().hard_link(file.2, dir, &name);
            }
            (12 | 13, Some(file)) => {
                let (name, copied) = (self.name(), self.dice.below(2) == 0);
                self.vol().clone_file(file.2, dir, &name, copied);
            }
            (14, Some(file)) => self.compress(file.2),
            (15, Some(file)) if !self.container.info(self.volume).is_compressed(file.2) => {
                let blocks = self.dice.below(6) + 1;
                self.vol().preallocate(file.2, blocks);
            }
            (16, _) => self.rename(&entries, dir),
            _ => self.delete(&entries),
        }
    }

    fn create(&mut self, dir: Ino) {
        let name = self.name();
        match self.dice.below(12) {
            0 | 1 => {
                let meta = self.meta(0o040_000);
                self.vol().mkdir(dir, &name, meta);
            }
            2 => {
                let meta = self.meta(0o120_000);
                self.vol().symlink(dir, &name, "../somewhere/\u{e4}lse", meta);
            }
            3 => {
                let device = self.dice.below(1 << 32) as u32;
                let (mode, device) = match self.dice.below(4) {
                    0 => (0o010_000, None),
                    1 => (0o140_000, None),
                    2 => (0o020_000, Some(device)),
                    _ => (0o060_000, Some(device)),
                };
                let meta = self.meta(mode);
                self.vol().special(dir, &name, device, meta);
            }
            _ => {
                let (content, meta) = (self.content(), self.meta(0o100_000));
                let pieces = 1 + self.dice.below(5);
                let id = self.vol().file(dir, &name, "", meta);
                self.vol().write_pieces(id, 0, content, pieces);
            }
        }
    }

    fn overwrite(&mut self, id: Ino) {
        if self.container.info(self.volume).is_compressed(id) {
            return;
        }
        let size = self.vol().size(id);
        let at = self.dice.below(size + 30_000);
        let content = self.content();
        self.vol().write(id, at, content);
    }

    fn resize(&mut self, id: Ino) {
        if self.container.info(self.volume).is_compressed(id) {
            return;
        }
        let size = self.vol().size(id);
        let size = self.dice.below(size + 50_000);
        self.vol().truncate(id, size);
    }

    fn attribute(&mut self, id: Ino) {
        let name = format!("com.example.{}", self.dice.below(4));
        let content = self.content();
        match self.dice.below(4) {
            0 => self.vol().remove_xattr(id, &name),
            1 => self.vol().set_stream_xattr(id, &name, content),
            _ => self.vol().set_xattr(id, &name, content),
        }
    }

    fn compress(&mut self, id: Ino) {
        use DecmpfsType::*;
        let kinds = [Zlib3, Zlib4, Lzvn8, Lzfse12, Stored10];
        let size = self.vol().size(id);
        let busy = self.container.info(self.volume).is_compressed(id) || size > 100_000;
        let how = self.dice.pick(&kinds).unwrap_or(Zlib4);
        if !busy && (how.in_resource_fork() || size < 1_000) {
            self.vol().compress(id, how);
        }
    }

    fn rename(&mut self, entries: &[Entry], to: Ino) {
        let Some((dir, name, id)) = self.dice.pick(entries) else { return };
        if self.vol().is_dir(id) {
            return;
        }
        let fresh = self.name();
        self.vol().rename(dir, &name, to, &fresh);
    }

    fn delete(&mut self, entries: &[Entry]) {
        let Some((dir, name, id)) = self.dice.pick(entries) else { return };
        if self.vol().is_dir(id) && self.dice.below(3) > 0 {
            return;
        }
        self.vol().remove_tree(dir, &name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_references_are_right_in_every_view() {
        for seed in 0..40 {
            let plan = Plan::of(seed, 150);
            let container = plan.play();
            container.info(0).audit();
        }
    }
}
