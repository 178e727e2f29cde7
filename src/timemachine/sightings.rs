//! In which snapshots an object appears, and where another version of it is: by the folders
//! it stands in where snapshots are folders, by the views it is in where they are views.

use super::{Appearance, Appearances, OpenVolume, Set, Top, VOLUME};
use crate::fs::{FileSystem, Kind, Metadata, NodeId, ViewId, Views, resolve};
use std::collections::HashMap;
use std::sync::Arc;

/// Snapshots, the nearest first, in which another version of a file is looked for.
const MAX_TRIES: usize = 32;
/// Snapshots that are looked into for other versions of all files together.
const MAX_LOOKS: u32 = 200_000;

/// Where a snapshot is.
struct Place {
    computer: usize,
    view: ViewId,
    top: Top,
}

/// A folder: the view it is in, and its number there.
type Folder = (ViewId, Arc<dyn FileSystem>, NodeId);

/// Finds where objects of any view of a volume appear. Remembers what it found.
pub struct Sightings<'a> {
    volume: &'a OpenVolume,
    live: Appearances,
    places: Vec<Place>,
    views: HashMap<ViewId, Option<Appearances>>,
    /// Sets by snapshots that are views and by the place in memory of the live view's set.
    sets: HashMap<(Vec<usize>, usize), Set>,
    /// The folder of the last file for which another version was looked for, in each
    /// snapshot that was looked into.
    folder: (String, HashMap<usize, Option<Folder>>),
    looks: u32,
}

impl<'a> Sightings<'a> {
    /// On a volume.
    pub fn new(volume: &'a OpenVolume) -> Self {
        let computers = volume.backup.iter().flat_map(|b| b.computers.iter().enumerate());
        let places = computers
            .flat_map(|(computer, c)| {
                let place =
                    move |s: &super::Snapshot| Place { computer, view: s.view, top: s.top.clone() };
                c.snapshots.iter().map(place)
            })
            .collect();
        let live = Appearances::new(volume.live.clone(), volume.backup.as_ref());
        let (views, sets) = (HashMap::new(), HashMap::new());
        let folder = (String::new(), HashMap::new());
        Self { volume, live, places, views, sets, folder, looks: 0 }
    }

    /// How many snapshots there are.
    pub fn snapshot_count(&self) -> usize {
        self.live.snapshot_count()
    }

    /// The name of a snapshot, as an address begins.
    pub fn snapshot_name(&self, index: usize) -> &str {
        self.live.snapshot_name(index)
    }

    /// The names of a set's snapshots, shared by all who ask for the same set.
    pub fn snapshot_names(&mut self, set: &Set) -> Arc<[String]> {
        self.live.snapshot_names(set)
    }

    /// What is recorded of an object, in the first of the views it is in.
    pub fn metadata(&mut self, node: NodeId, views: &Views) -> Option<Metadata> {
        let fs = self.view(views.iter().next()?)?.fs().clone();
        fs.metadata(node).ok()
    }

    /// Where an object appears that is in these views.
    pub fn of(&mut self, node: NodeId, views: &Views) -> Appearance {
        let live = views.contains(ViewId::LIVE);
        let in_view = |p: &Place| p.view != ViewId::LIVE && views.contains(p.view);
        if live && !self.places.iter().any(in_view) {
            return self.live.of(node);
        }
        let snapshots = self.set_of(node, views);
        let newest = self.newest(node, &snapshots);
        let address = match &newest {
            Some((i, path)) => format!("{}:{path}", self.snapshot_name(*i)),
            None => self.raw_address(node, views.iter().next().unwrap_or(ViewId::LIVE)),
        };
        Appearance { snapshots, address, newest }
    }

    fn set_of(&mut self, node: NodeId, views: &Views) -> Set {
        let live = views.contains(ViewId::LIVE).then(|| self.live.set_of(node));
        let live = live.filter(|set| !set.is_empty());
        let seen = self.inside(node, views);
        let key = (seen, live.as_ref().map_or(0, |set| set.as_ptr().addr()));
        if let Some(known) = self.sets.get(&key) {
            return known.clone();
        }
        let mut all = key.0.clone();
        all.extend(live.iter().flat_map(|set| set.iter().copied()));
        all.sort_unstable();
        all.dedup();
        self.sets.entry(key).or_insert(all.into()).clone()
    }

    /// The snapshots among some views in whose folder an object is. What is beside it, as
    /// an interrupted backup, is in their views all the same.
    fn inside(&mut self, node: NodeId, views: &Views) -> Vec<usize> {
        let places = self.places.iter().enumerate();
        let seen = places.filter(|(_, p)| p.view != ViewId::LIVE && views.contains(p.view));
        let mut seen: Vec<usize> = seen.map(|(i, _)| i).collect();
        let (Some(first), Some(last)) = (seen.first().copied(), seen.last().copied()) else {
            return seen;
        };
        // What is in both, or beside both, is so in all between; else each view is asked.
        match (self.is_beside(node, first), self.is_beside(node, last)) {
            (false, false) => {}
            (true, true) => seen.clear(),
            _ => seen.retain(|i| !self.is_beside(node, *i)),
        }
        seen
    }

    /// Whether an object has a path in a snapshot's view that does not lead through the
    /// snapshot's folder.
    fn is_beside(&mut self, node: NodeId, snapshot: usize) -> bool {
        let Some(Place { view, top: Top::Named(top), .. }) = self.places.get(snapshot) else {
            return false;
        };
        let (view, top) = (*view, top.clone());
        let path = self.view(view).and_then(|v| v.path_in_view(node));
        path.is_some_and(|path| {
            let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
            first != top && !first.starts_with("(object ")
        })
    }

    /// The newest snapshot of a set in which an object has a path, if possible a completed
    /// one.
    fn newest(&mut self, node: NodeId, set: &Set) -> Option<(usize, String)> {
        let (whole, all) = (|i: &&usize| self.live.is_whole(**i), set.iter().rev());
        // Few are enough: an object has a path in all views that share it, or in none.
        let tried = all.clone().filter(whole).take(2).chain(all.take(2));
        let tried: Vec<usize> = tried.copied().collect();
        tried.into_iter().find_map(|i| Some((i, self.path_in(node, i)?)))
    }

    /// The path of an object in a snapshot.
    fn path_in(&mut self, node: NodeId, snapshot: usize) -> Option<String> {
        let place = self.places.get(snapshot)?;
        let (view, top) = (place.view, place.top.clone());
        let Top::Named(top) = top else {
            return Some(self.live.path(node, Some(snapshot)));
        };
        let path = self.view(view)?.path_in_view(node)?;
        let inside = path.strip_prefix('/')?.strip_prefix(top.as_str())?;
        (inside.is_empty() || inside.starts_with('/')).then(|| inside.to_owned())
    }

    /// The address of an object in a view, by the view's own name.
    fn raw_address(&mut self, node: NodeId, view: ViewId) -> String {
        let path = self.view(view).and_then(|v| v.path_in_view(node));
        let path = path.unwrap_or_else(|| format!("/(object {}, whose name is lost)", node.0));
        let views = self.volume.volume.views().unwrap_or_default();
        let name = views.into_iter().find(|v| v.id == view).and_then(|v| v.name);
        match name {
            Some(name) => format!("{VOLUME}@{name}:{path}"),
            None => format!("{VOLUME}:{path}"),
        }
    }

    /// A view, which is opened once.
    fn view(&mut self, view: ViewId) -> Option<&mut Appearances> {
        if view == ViewId::LIVE {
            return Some(&mut self.live);
        }
        let open = || Some(Appearances::new(self.volume.view(view).ok()?, None));
        self.views.entry(view).or_insert_with(open).as_mut()
    }

    /// Whether so much was looked into that [`Sightings::other_version`] looks no more.
    pub fn is_tired(&self) -> bool {
        self.looks >= MAX_LOOKS
    }

    /// The address of another version of a file: the file of the same path in the
    /// nearest other snapshot that is another object or in another state, and not among
    /// `damaged`. Only the nearest are looked into.
    pub fn other_version(
        &mut self,
        node: NodeId,
        of: &Appearance,
        damaged: &dyn Fn(ViewId, NodeId) -> bool,
    ) -> Option<String> {
        let (newest, path) = of.newest.as_ref()?;
        // An unfinished snapshot has its volumes below a folder named after a UUID.
        let path = match path.trim_start_matches('/').split_once('/') {
            Some((first, rest)) if uuid::Uuid::try_parse(first).is_ok() => format!("/{rest}"),
            _ => path.clone(),
        };
        let (folder, name) = path.rsplit_once('/')?;
        let nearest: Vec<usize> = self.nearest(*newest, &of.snapshots).take(MAX_TRIES).collect();
        for i in nearest {
            if self.is_tired() {
                return None;
            }
            self.looks += 1;
            let Some((view, fs, folder)) = self.folder_in(i, folder) else { continue };
            let Ok(Some(found)) = fs.lookup(folder, name) else { continue };
            // In another view the same object is in another state: else that view would be
            // among those that see this one.
            let other = view != ViewId::LIVE || found.id != node;
            if other && found.kind != Kind::Directory && !damaged(view, found.id) {
                return Some(format!("{}:{path}", self.snapshot_name(i)));
            }
        }
        None
    }

    /// The snapshots of the same computer around one, the nearest first, without `those`.
    fn nearest<'s>(&'s self, newest: usize, those: &'s Set) -> impl Iterator<Item = usize> + 's {
        let computer = self.places.get(newest).map(|s| s.computer);
        let farthest = self.places.len();
        let around =
            (1..farthest).flat_map(move |d| [newest.checked_sub(d), newest.checked_add(d)]);
        around
            .flatten()
            .filter(move |i| self.places.get(*i).is_some_and(|s| Some(s.computer) == computer))
            .filter(|i| those.binary_search(i).is_err())
    }

    /// The folder of that path in a snapshot.
    fn folder_in(&mut self, snapshot: usize, path: &str) -> Option<Folder> {
        if self.folder.0 != path {
            self.folder = (path.to_owned(), HashMap::new());
        }
        if let Some(known) = self.folder.1.get(&snapshot) {
            return known.clone();
        }
        let found = self.find_folder(snapshot, path);
        self.folder.1.insert(snapshot, found.clone());
        found
    }

    fn find_folder(&mut self, snapshot: usize, path: &str) -> Option<Folder> {
        let place = self.places.get(snapshot)?;
        let (view, top) = (place.view, place.top.clone());
        let fs = self.view(view)?.fs().clone();
        let start = match top {
            Top::Folder(node) => node,
            Top::Named(name) => fs.lookup(fs.root(), &name).ok()??.id,
        };
        let found = resolve(&*fs, start, path).ok()?.id;
        Some((view, fs, found))
    }
}
