//! Hard links of files and folders: links, inodes, chains, counts and flags
//! (sections 8 and 9).

use super::attributes::AttributeFacts;
use super::objects::{Collected, Object, Shape};
use crate::hfsplus::format::{FLAG_CHILD_LINK, FLAG_LINK_CHAIN, ROOT};
use crate::report::{Code, Finding, Reporter, Structure, Where};

const UF_IMMUTABLE: u8 = 0x02;
const STICKY: u16 = 0o1000;

/// The private folders, as far as the volume has them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Private {
    pub files: Option<u32>,
    pub folders: Option<u32>,
}

struct Job<'a> {
    objects: &'a [Object],
    reporter: &'a dyn Reporter,
    root_created: u32,
}

impl Job<'_> {
    fn say(&self, code: Code, cnid: u32, text: String) {
        self.reporter.report(Finding::new(code, Where::of(Structure::Links).object(cnid), text));
    }

    fn get(&self, cnid: u32) -> Option<&Object> {
        let at = self.objects.binary_search_by_key(&cnid, |o| o.cnid).ok()?;
        self.objects.get(at)
    }
}

/// Check all links. The objects must be sorted by CNID.
/// `attributes`: of a tree that could be read whole.
pub fn check(c: &Collected<'_>, private: Private, attributes: Option<&AttributeFacts>) {
    let root_created = c.objects.iter().find(|o| o.cnid == ROOT).map_or(0, |o| o.created);
    let job = Job { objects: &c.objects, reporter: c.reporter, root_created };
    file_links(&job, private);
    folder_links(&job, private, attributes);
    private_folder(&job, private);
}

/// Links of one shape, sorted by the inode they name.
fn links_of(objects: &[Object], shape: Shape) -> Vec<&Object> {
    let mut links: Vec<&Object> = objects.iter().filter(|o| o.shape == shape).collect();
    links.sort_unstable_by_key(|o| (o.special, o.cnid));
    links
}

fn file_links(job: &Job<'_>, private: Private) {
    let inside = |o: &&Object| Some(o.parent) == private.files && o.shape != Shape::Folder;
    let mut inodes: Vec<&Object> = job.objects.iter().filter(inside).collect();
    inodes.sort_unstable_by_key(|o| (o.number, o.cnid));
    let links = links_of(job.objects, Shape::FileLink);
    let created = private.files.and_then(|id| job.get(id)).map_or(0, |o| o.created);
    for group in links.chunk_by(|a, b| a.special == b.special) {
        let number = group.first().map_or(0, |l| l.special);
        let at = inodes.partition_point(|o| o.number < number);
        let Some(inode) = inodes.get(at).filter(|o| o.number == number) else {
            lost(job, group, created, number);
            continue;
        };
        for link in group {
            link_flags(job, link, inode.flags & FLAG_LINK_CHAIN != 0);
            if link.created != job.root_created && link.created != created {
                let text = format!(
                    "the creation date of link {} is neither the root's nor the private folder's",
                    link.cnid
                );
                job.say(Code::LinkDate, link.cnid, text);
            }
        }
        count(job, inode, group.len(), "file");
        if inode.flags & FLAG_LINK_CHAIN != 0 {
            chain(job, inode.cnid, inode.valence, group);
        }
    }
    for inode in &inodes {
        orphan_file(job, inode, &links);
    }
    ordinary_files(job, private);
}

/// Links to an inode that does not exist. A file may carry the link's type by
/// accident: only the flag or the date make it one.
fn lost(job: &Job<'_>, group: &[&Object], created: u32, number: u32) {
    for link in group {
        let dated = link.created == job.root_created || (created != 0 && link.created == created);
        if link.flags & FLAG_LINK_CHAIN != 0 || dated {
            let text = format!("link {} leads to iNode{number}, which does not exist", link.cnid);
            job.say(Code::LinkOrphan, link.cnid, text);
        }
    }
}

fn orphan_file(job: &Job<'_>, inode: &Object, links: &[&Object]) {
    let has_link = links.binary_search_by(|l| l.special.cmp(&inode.number)).is_ok();
    if has_link {
        return;
    }
    if inode.flags & FLAG_LINK_CHAIN != 0 || inode.special > 1 {
        job.say(
            Code::InodeOrphan,
            inode.cnid,
            format!("no link leads to file inode {}", inode.cnid),
        );
    } else if inode.number != 0 {
        let text = format!("file {} was deleted while open", inode.cnid);
        job.say(Code::InodeUnlinked, inode.cnid, text);
    } else {
        let text = format!("file {} in the private folder has no inode's name", inode.cnid);
        job.say(Code::InodePlace, inode.cnid, text);
    }
}

/// Files outside the private folder have one link and no chain.
fn ordinary_files(job: &Job<'_>, private: Private) {
    let damaged = |o: &&Object| o.damaged_link && Some(o.parent) != private.files;
    for o in job.objects.iter().filter(damaged) {
        let text = format!("file {} is a hard link whose mark is damaged", o.cnid);
        job.say(Code::LinkOrphan, o.cnid, text);
    }
    let plain = |o: &&Object| o.shape == Shape::File && Some(o.parent) != private.files;
    for o in job.objects.iter().filter(plain) {
        if o.flags & FLAG_LINK_CHAIN != 0 {
            job.say(
                Code::LinkFlags,
                o.cnid,
                format!("file {} is marked as part of a link chain", o.cnid),
            );
        }
        let device = matches!(o.mode & 0o170_000, 0o020_000 | 0o060_000);
        if o.special > 1 && !device && o.mode != 0 {
            let text = format!("file {} says it has {} links, but is no inode", o.cnid, o.special);
            job.say(Code::LinkCount, o.cnid, text);
        }
    }
}

fn link_flags(job: &Job<'_>, link: &Object, inode_chained: bool) {
    if (link.flags & FLAG_LINK_CHAIN != 0) != inode_chained {
        let text = format!("link {} and its inode disagree on being in a chain", link.cnid);
        job.say(Code::LinkFlags, link.cnid, text);
    }
}

fn count(job: &Job<'_>, inode: &Object, links: usize, what: &str) {
    if usize::try_from(inode.special) != Ok(links) {
        let text = format!(
            "{what} inode {} says it has {} links, it has {links}",
            inode.cnid, inode.special
        );
        job.say(Code::LinkCount, inode.cnid, text);
    }
}

/// Follow a chain from its first link: each link names the one before and after.
fn chain(job: &Job<'_>, inode: u32, first: u32, group: &[&Object]) {
    let member = |cnid: u32| {
        let at = group.binary_search_by_key(&cnid, |l| l.cnid).ok()?;
        group.get(at)
    };
    let Some(mut link) = member(first) else {
        let text = format!(
            "the first link of inode {inode} is said to be {first}, which is not one of its links"
        );
        job.say(Code::LinkChain, inode, text);
        return;
    };
    let mut previous = 0;
    for n in 1..=group.len() {
        if link.previous != previous {
            let text = format!(
                "link {} follows {previous} in its chain, but says {}",
                link.cnid, link.previous
            );
            job.say(Code::LinkChain, link.cnid, text);
        }
        if link.next == 0 {
            if n != group.len() {
                let text =
                    format!("the chain of inode {inode} ends after {n} of {} links", group.len());
                job.say(Code::LinkChain, inode, text);
            }
            return;
        }
        previous = link.cnid;
        match member(link.next) {
            Some(next) if n < group.len() => link = next,
            _ => {
                let text =
                    format!("link {} is followed by {}, which is wrong", link.cnid, link.next);
                job.say(Code::LinkChain, link.cnid, text);
                return;
            }
        }
    }
}

fn folder_links(job: &Job<'_>, private: Private, attributes: Option<&AttributeFacts>) {
    let inside = |o: &&Object| Some(o.parent) == private.folders && o.shape == Shape::Folder;
    let mut inodes: Vec<&Object> = job.objects.iter().filter(inside).collect();
    inodes.sort_unstable_by_key(|o| (o.number, o.cnid));
    let links = links_of(job.objects, Shape::DirLink);
    for group in links.chunk_by(|a, b| a.special == b.special) {
        let number = group.first().map_or(0, |l| l.special);
        let at = inodes.partition_point(|o| o.number < number);
        for link in group {
            if link.owner_flags & UF_IMMUTABLE == 0 {
                let text = format!("directory link {} is not immutable", link.cnid);
                job.say(Code::LinkFlags, link.cnid, text);
            }
            ancestors(job, link, private);
        }
        let Some(inode) = inodes.get(at).filter(|o| o.number == number) else {
            for link in group {
                let text = format!(
                    "directory link {} leads to dir_{number}, which does not exist",
                    link.cnid
                );
                job.say(Code::LinkOrphan, link.cnid, text);
            }
            continue;
        };
        count(job, inode, group.len(), "directory");
        let Some(attributes) = attributes else { continue };
        match attributes.first_link(inode.cnid) {
            Some(first) => chain(job, inode.cnid, first, group),
            None if attributes.broken => {}
            None => {
                let text = format!("directory inode {} does not name its first link", inode.cnid);
                job.say(Code::LinkChain, inode.cnid, text);
            }
        }
    }
    for inode in &inodes {
        folder_inode(job, inode, &links);
    }
    let astray = |o: &&Object| {
        let chained = o.shape == Shape::Folder && o.flags & FLAG_LINK_CHAIN != 0;
        chained && Some(o.parent) != private.folders
    };
    for o in job.objects.iter().filter(astray) {
        let text =
            format!("folder {} is marked as a linked one, but is not where they are", o.cnid);
        job.say(Code::InodePlace, o.cnid, text);
    }
    cycles(job, private, &links);
}

/// A linked folder may hold links; following them must not lead back to it.
fn cycles(job: &Job<'_>, private: Private, links: &[&Object]) {
    let Some(private) = private.folders else { return };
    // The linked folder in whose tree a link lies, and the one it leads to.
    let mut edges: Vec<(u32, u32)> =
        links.iter().filter_map(|l| Some((holder(job, l, private)?, l.special))).collect();
    edges.sort_unstable();
    edges.dedup();
    let from = |n: u32| {
        let at = edges.partition_point(|e| e.0 < n);
        edges.get(at..).unwrap_or_default().iter().take_while(move |e| e.0 == n).map(|e| e.1)
    };
    let mut done = std::collections::BTreeSet::new();
    for (start, _) in &edges {
        let mut path = vec![(*start, from(*start).collect::<Vec<_>>())];
        while let Some((node, rest)) = path.last_mut() {
            let node = *node;
            let Some(next) = rest.pop() else {
                done.insert(node);
                path.pop();
                continue;
            };
            if path.iter().any(|(n, _)| *n == next) {
                let text = format!("linked folder {next} contains a link to itself");
                job.say(Code::CatalogLoop, next, text);
            } else if !done.contains(&next) {
                path.push((next, from(next).collect()));
            }
        }
    }
}

/// The directory inode in whose tree an object lies.
fn holder(job: &Job<'_>, object: &Object, private: u32) -> Option<u32> {
    let mut at = object.parent;
    for _ in 0..1000 {
        let folder = job.get(at)?;
        if folder.parent == private {
            return Some(folder.cnid);
        }
        at = folder.parent;
    }
    None
}

fn folder_inode(job: &Job<'_>, inode: &Object, links: &[&Object]) {
    if inode.number != inode.cnid {
        let text = format!("directory inode {} is not named dir_{}", inode.cnid, inode.cnid);
        job.say(Code::InodePlace, inode.cnid, text);
    }
    if inode.flags & FLAG_LINK_CHAIN == 0 {
        let text = format!("directory inode {} is not marked as part of a chain", inode.cnid);
        job.say(Code::LinkFlags, inode.cnid, text);
    }
    if links.binary_search_by(|l| l.special.cmp(&inode.number)).is_err() {
        let text = format!("no link leads to directory inode {}", inode.cnid);
        job.say(Code::InodeOrphan, inode.cnid, text);
    }
}

/// Every folder above a directory link is marked, but for the root and the
/// private folder (section 9).
fn ancestors(job: &Job<'_>, link: &Object, private: Private) {
    let mut at = link.parent;
    for _ in 0..1000 {
        if at == ROOT || Some(at) == private.folders {
            return;
        }
        let Some(folder) = job.get(at) else { return };
        if folder.flags & FLAG_CHILD_LINK == 0 {
            let text = format!("folder {at} is not marked as holding directory links");
            job.say(Code::LinkFlags, at, text);
        }
        at = folder.parent;
    }
}

fn private_folder(job: &Job<'_>, private: Private) {
    let any = job.objects.iter().any(|o| o.shape == Shape::DirLink);
    let Some(id) = private.folders else {
        if any {
            let text = "there are directory links but no private folder for them".into();
            job.say(Code::PrivateFolder, ROOT, text);
        }
        return;
    };
    let Some(folder) = job.get(id) else { return };
    if any && (folder.owner_flags & UF_IMMUTABLE == 0 || folder.mode & STICKY == 0) {
        let text = format!(
            "the private folder {id} has mode {:06o} and flags {:#04x}, expected sticky and immutable",
            folder.mode, folder.owner_flags
        );
        job.say(Code::PrivateFolder, id, text);
    }
}
