//! Objects and threads, folders and their entries, and the way to the root.

use super::objects::{Children, Collected, Object, Shape};
use super::threads;
use crate::hfsplus::format::{FLAG_HAS_FOLDER_COUNT, ROOT, ROOT_PARENT};
use crate::report::{Code, Finding, Reporter, Structure, Where};

/// Nesting beyond which fsck warns.
const DEEP: u32 = 100;

/// Join the tables. Sorts them by CNID.
pub fn check(c: &mut Collected<'_>, hfsx: bool) {
    c.objects.sort_unstable_by_key(|o| o.cnid);
    c.threads.sort_unstable_by_key(|t| t.cnid);
    let reporter = c.reporter;
    threads::pair(&c.objects, &c.threads, reporter);
    duplicates(&c.objects, reporter);
    let children = merge(&mut c.children);
    counts(&c.objects, &children, hfsx, reporter);
    ancestry(&c.objects, reporter);
}

fn say(reporter: &dyn Reporter, code: Code, cnid: u32, text: String) {
    reporter.report(Finding::new(code, Where::of(Structure::Catalog).object(cnid), text));
}

/// Two objects with one number.
fn duplicates(objects: &[Object], reporter: &dyn Reporter) {
    for (a, b) in objects.iter().zip(objects.iter().skip(1)) {
        if a.cnid == b.cnid {
            let text = format!("two objects have the CNID {}", a.cnid);
            // Whoever reads one of them by its number may get the other's contents.
            say(reporter, Code::CatalogId, a.cnid, text);
        }
    }
}

/// The runs of entries summed up for each folder, in order.
fn merge(children: &mut [Children]) -> Vec<Children> {
    children.sort_unstable_by_key(|c| c.parent);
    let sum = |run: &[Children]| Children {
        parent: run.first().map_or(0, |c| c.parent),
        entries: run.iter().map(|c| c.entries).fold(0, u32::saturating_add),
        folders: run.iter().map(|c| c.folders).fold(0, u32::saturating_add),
    };
    children.chunk_by(|a, b| a.parent == b.parent).map(sum).collect()
}

fn counts(objects: &[Object], children: &[Children], hfsx: bool, reporter: &dyn Reporter) {
    let of = |cnid: u32| {
        let at = children.binary_search_by_key(&cnid, |c| c.parent).ok()?;
        children.get(at)
    };
    for o in objects.iter().filter(|o| o.shape == Shape::Folder) {
        let (entries, folders) = of(o.cnid).map_or((0, 0), |c| (c.entries, c.folders));
        if o.valence != entries {
            let text =
                format!("folder {} says it has {} entries, it has {entries}", o.cnid, o.valence);
            say(reporter, Code::CatalogValence, o.cnid, text);
        }
        if !hfsx {
            continue;
        }
        if o.flags & FLAG_HAS_FOLDER_COUNT == 0 {
            // newfs_hfs itself leaves the root without: nothing to lose sleep over.
            let text = format!("folder {} has no count of its folders", o.cnid);
            let finding = Finding::new(
                Code::CatalogFolderCount,
                Where::of(Structure::Catalog).object(o.cnid),
                text,
            );
            reporter.report(finding);
        } else if o.folder_count != folders {
            let text = format!(
                "folder {} says it has {} folders, it has {folders}",
                o.cnid, o.folder_count
            );
            say(reporter, Code::CatalogFolderCount, o.cnid, text);
        }
    }
    for c in children.iter().filter(|c| c.parent != ROOT_PARENT) {
        let at = objects.partition_point(|o| o.cnid < c.parent);
        let folder = objects.get(at).filter(|o| o.cnid == c.parent && o.shape == Shape::Folder);
        if folder.is_none() {
            let text =
                format!("{} entries lie in folder {}, which does not exist", c.entries, c.parent);
            say(reporter, Code::CatalogOrphan, c.parent, text);
        }
    }
}

/// Every folder's parents lead to the root, and not too far.
fn ancestry(objects: &[Object], reporter: &dyn Reporter) {
    const UNKNOWN: u32 = u32::MAX;
    let folders: Vec<(u32, u32)> =
        objects.iter().filter(|o| o.shape == Shape::Folder).map(|o| (o.cnid, o.parent)).collect();
    let find = |cnid: u32| folders.binary_search_by_key(&cnid, |f| f.0).ok();
    // Depth below the root; UNKNOWN until worked out.
    let mut depths = vec![UNKNOWN; folders.len()];
    let mut deepest = 0;
    for start in 0..folders.len() {
        let mut path = Vec::new();
        let mut at = start;
        let base = loop {
            let Some(&known) = depths.get(at) else { break 0 };
            if known != UNKNOWN {
                break known;
            }
            // Mark as on the path: meeting it again means a loop.
            if let Some(depth) = depths.get_mut(at) {
                *depth = UNKNOWN - 1;
            }
            path.push(at);
            let parent = folders.get(at).map_or(0, |f| f.1);
            if parent == ROOT_PARENT || parent == 0 {
                break 0;
            }
            match find(parent) {
                Some(next) if depths.get(next) == Some(&(UNKNOWN - 1)) => {
                    let cnid = folders.get(next).map_or(0, |f| f.0);
                    say(
                        reporter,
                        Code::CatalogLoop,
                        cnid,
                        format!("folder {cnid} is its own ancestor"),
                    );
                    break 0;
                }
                Some(next) => at = next,
                // Told as an orphan elsewhere.
                None => break 0,
            }
        };
        let mut depth = base;
        for at in path.into_iter().rev() {
            depth += 1;
            if let Some(d) = depths.get_mut(at) {
                *d = depth;
            }
        }
        deepest = deepest.max(depth);
    }
    if deepest > DEEP + 1 && deepest < UNKNOWN - 1 {
        let text = format!("folders are nested {} deep", deepest - 1);
        say(reporter, Code::CatalogDepth, ROOT, text);
    }
}
