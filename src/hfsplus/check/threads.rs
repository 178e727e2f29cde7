//! Objects against their threads.
//!
//! A thread only says where an object is. Where it is wrong the object is still found by
//! its name, as a Mac finds it, so that is a warning; but a Mac mounts no volume whose root
//! folder it cannot find by its thread.

use super::objects::{Object, Shape, Thread};
use crate::hfsplus::format::ROOT;
use crate::report::{Code, Finding, Reporter, Severity, Structure, Where};
use std::cmp::Ordering;

fn say(reporter: &dyn Reporter, severity: Severity, cnid: u32, text: String) {
    let place = Where::of(Structure::Catalog).object(cnid);
    reporter.report(Finding::new(Code::CatalogThread, place, text).severity(severity));
}

/// How bad it is that an object is not found by its thread.
fn grade(cnid: u32) -> Severity {
    if cnid == ROOT { Severity::Damage } else { Severity::Warning }
}

fn kind(folder: bool) -> &'static str {
    if folder { "folder" } else { "file" }
}

/// Every object has its thread, every thread its object, and both agree. Both sorted by
/// CNID.
pub fn pair(objects: &[Object], threads: &[Thread], reporter: &dyn Reporter) {
    let (mut lone_objects, mut lone_threads) = (Vec::new(), Vec::new());
    let (mut i, mut j) = (0, 0);
    loop {
        let (object, thread) = (objects.get(i), threads.get(j));
        let order = match (object, thread) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            // Of two objects with one number the thread is that of the one it names.
            (Some(o), Some(t)) if o.cnid == t.cnid && o.key != t.key => {
                let other = objects.get(i + 1).filter(|n| n.cnid == t.cnid && n.key == t.key);
                if other.is_some() { Ordering::Less } else { Ordering::Equal }
            }
            (Some(o), Some(t)) => o.cnid.cmp(&t.cnid),
        };
        i += usize::from(order.is_le());
        j += usize::from(order.is_ge());
        match (order, object, thread) {
            (Ordering::Less, Some(o), _) => lone_objects.push(o),
            (Ordering::Greater, _, Some(t)) => lone_threads.push(t),
            (_, Some(o), Some(t)) => compare(o, t, reporter),
            _ => break,
        }
    }
    lone(lone_objects, lone_threads, reporter);
}

fn compare(o: &Object, t: &Thread, reporter: &dyn Reporter) {
    let say = |text: String| say(reporter, grade(o.cnid), o.cnid, text);
    if t.folder != (o.shape == Shape::Folder) {
        say(format!("object {} and its thread are of different kinds", o.cnid));
    } else if t.parent != o.parent {
        say(format!("the thread of object {} has another parent", o.cnid));
    } else if t.key != o.key {
        say(format!("the thread of object {} has another name", o.cnid));
    }
}

/// Objects without a thread, and threads without an object. One of each that name the same
/// place belong together: one of them has a wrong number.
fn lone(mut objects: Vec<&Object>, mut threads: Vec<&Thread>, reporter: &dyn Reporter) {
    objects.sort_unstable_by_key(|o| (o.parent, o.key, o.cnid));
    threads.sort_unstable_by_key(|t| (t.parent, t.key, t.cnid));
    let mut told: Vec<(u32, Severity, String)> = Vec::new();
    let mut objects = objects.into_iter().peekable();
    let without = |o: &Object| {
        let what = kind(o.shape == Shape::Folder);
        (o.cnid, grade(o.cnid), format!("{what} {} has no thread record", o.cnid))
    };
    for t in threads {
        let key = (t.parent, t.key);
        while let Some(o) = objects.next_if(|o| (o.parent, o.key) < key) {
            told.push(without(o));
        }
        let what = kind(t.folder);
        told.push(match objects.next_if(|o| (o.parent, o.key) == key) {
            Some(o) => {
                let text = format!("{what} {} has the thread record of number {}", o.cnid, t.cnid);
                (o.cnid, grade(o.cnid), text)
            }
            None => {
                let text = format!("the thread record of {what} {} has no {what}", t.cnid);
                (t.cnid, Severity::Damage, text)
            }
        });
    }
    told.extend(objects.map(without));
    told.sort_unstable();
    for (cnid, severity, text) in told {
        say(reporter, severity, cnid, text);
    }
}
