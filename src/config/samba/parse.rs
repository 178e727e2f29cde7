//! Lines to sections.

use super::{Remark, Samba, Section, Setting, keys, value};
use crate::config::text::{At, Files, Unread, lines};
use std::sync::Arc;

/// Includes within includes, as deep as Samba goes, and files in all.
const DEEPEST: usize = 100;
const MOST_FILES: usize = 200;
/// Lines with a value, in all files.
const MOST_LINES: usize = 100_000;

/// Read a configuration and what it includes.
///
/// # Errors
/// If the file itself cannot be read.
pub fn parse(files: &dyn Files, path: &str) -> Result<Samba, Unread> {
    parse_with(files, path, None)
}

/// The same, with the registry as `net conf list` shows it.
///
/// # Errors
/// As for [`parse`].
pub fn parse_with(files: &dyn Files, path: &str, registry: Option<&str>) -> Result<Samba, Unread> {
    let mut reader = Reader {
        files,
        registry,
        seen: false,
        samba: Samba { path: path.to_owned(), ..Samba::default() },
        open: None,
        last: None,
        read: 0,
        within: Vec::new(),
    };
    reader.file(path)?;
    Ok(reader.samba)
}

/// What stands for the registry's file in findings.
const REGISTRY: &str = "net conf list";

struct Reader<'a> {
    files: &'a dyn Files,
    registry: Option<&'a str>,
    /// Whether the registry was read.
    seen: bool,
    samba: Samba,
    /// The share that lines go to; `None` is `[global]`.
    open: Option<usize>,
    /// The last option, for a line that may be its rest.
    last: Option<Setting>,
    read: usize,
    /// The files that are being read.
    within: Vec<String>,
}

impl Reader<'_> {
    fn file(&mut self, path: &str) -> Result<(), Unread> {
        let text = self.files.text(path)?;
        self.read += 1;
        self.text(path, &text);
        Ok(())
    }

    fn text(&mut self, path: &str, text: &str) {
        self.within.push(path.to_owned());
        let file: Arc<str> = path.into();
        let mut all = lines(text);
        while let Some((n, line)) = all.next() {
            let at = At::new(&file, n);
            let first = line.trim_matches(blank);
            if first.is_empty() || first.starts_with(['#', ';']) {
                continue;
            }
            // A backslash at the end, blanks after it too, goes on.
            let (mut joined, mut tail) = (String::new(), first);
            while let Some(part) = tail.strip_suffix('\\') {
                joined.push_str(part);
                let Some((_, next)) = all.next() else {
                    tail = "";
                    break;
                };
                tail = next.trim_matches(blank);
            }
            joined.push_str(tail);
            if !self.line(at, &joined, line) {
                break;
            }
        }
        self.within.pop();
    }

    /// What the registry says, here; `alone` if nothing else counts.
    fn registry(&mut self, at: &At, alone: bool) {
        let Some(text) = self.registry else {
            self.samba.remarks.push(Remark::Registry(at.clone()));
            return;
        };
        // Said twice it says the same.
        if std::mem::replace(&mut self.seen, true) && !alone {
            return;
        }
        if alone {
            self.samba = Samba { path: self.samba.path.clone(), ..Samba::default() };
        }
        self.open = None;
        self.text(REGISTRY, text);
    }

    /// One line; `false` if Samba ends here.
    fn line(&mut self, at: At, text: &str, raw: &str) -> bool {
        if let Some(rest) = text.strip_prefix('[') {
            let Some((name, _)) = rest.split_once(']') else {
                self.samba.remarks.push(Remark::NoBracket(at, rest.to_owned()));
                return false;
            };
            self.begin(at, name);
            return true;
        }
        let Some((key, value)) = text.split_once('=') else {
            let after = self.last.clone();
            self.samba.remarks.push(Remark::NoEquals { at, text: text.to_owned(), after });
            return true;
        };
        let (key, value) = (key.trim_matches(blank), value.trim_matches(blank));
        self.set(at, key, value, raw) && self.samba.lines.len() < MOST_LINES
    }

    fn begin(&mut self, at: At, name: &str) {
        self.last = None;
        let tidy = name.trim_matches(blank);
        if same(tidy, "global") || same(tidy, "globals") {
            self.open = None;
            return;
        }
        if tidy != name {
            self.samba.remarks.push(Remark::NameBlank(at.clone(), name.to_owned()));
        }
        // Blanks at the ends count, so that `[ a ]` is another share than `[a]`.
        let known = self.samba.shares.iter().position(|s| same(&s.name, name));
        let Some(index) = known else {
            let section = Section { name: name.to_owned(), at: Some(at), ..Section::default() };
            self.open = Some(self.samba.shares.len());
            self.samba.shares.push(section);
            return;
        };
        self.open = Some(index);
        let Some(section) = self.samba.shares.get_mut(index) else { return };
        let mut lost = Vec::new();
        section.settings.retain(|key, set| {
            let keep = !key.contains(':');
            if !keep {
                lost.push(set.clone());
            }
            keep
        });
        lost.sort_by(|a, b| a.at.cmp(&b.at));
        section.lost.extend(lost.iter().cloned());
        let first = section.at.clone();
        self.samba.remarks.push(Remark::Twice { at, name: name.to_owned(), first, lost });
    }

    /// Take an option; `false` if Samba reads no further.
    fn set(&mut self, at: At, written: &str, value: &str, raw: &str) -> bool {
        let (key, inverted) = keys::canonical(written);
        let section = self.open.and_then(|i| self.samba.shares.get(i)).map(|s| s.name.clone());
        let set = Setting {
            key,
            written: written.to_owned(),
            value: value.to_owned(),
            at,
            inverted,
            line: raw.to_owned(),
            section,
        };
        self.last = Some(set.clone());
        match set.key.as_str() {
            "include" => self.include(&set),
            "copy" => self.copy(&set),
            // In the registry itself it is so already.
            "configbackend"
                if set.value.eq_ignore_ascii_case("registry")
                    && set.at.file.as_ref() != REGISTRY =>
            {
                self.registry(&set.at, true);
                return self.samba.has_registry();
            }
            "registryshares" if value::boolean(&set.value) == Some(true) => {
                let open = self.open;
                self.registry(&set.at, false);
                self.open = open;
            }
            _ => {}
        }
        let section = match self.open {
            None => Some(&mut self.samba.global),
            Some(index) => self.samba.shares.get_mut(index),
        };
        if let Some(section) = section {
            section.settings.insert(set.key.clone(), set.clone());
        }
        self.samba.lines.push(set);
        true
    }

    fn include(&mut self, set: &Setting) {
        let path = value::unquoted(&set.value);
        if path.eq_ignore_ascii_case("registry") {
            self.registry(&set.at, false);
            return;
        }
        let why = if path.contains('%') {
            // It depends on who connects.
            return;
        } else if self.within.contains(&path) {
            "it includes itself"
        } else if self.within.len() >= DEEPEST || self.read >= MOST_FILES {
            "too many files are included"
        } else {
            let open = self.open;
            match self.file(&path) {
                Ok(()) => {}
                Err(Unread::Missing) => {
                    self.samba.remarks.push(Remark::NoInclude(set.at.clone(), path));
                }
                Err(Unread::Because(why)) => {
                    self.samba.remarks.push(Remark::Unread(set.at.clone(), path, why));
                }
            }
            // What follows belongs to the section that the file ended in.
            if self.open != open {
                self.last = None;
            }
            return;
        };
        self.samba.remarks.push(Remark::Unread(set.at.clone(), path, why.to_owned()));
    }

    fn copy(&mut self, set: &Setting) {
        // Neither a share's own, nor one that is asked for in [global].
        let own = self.open.and_then(|i| self.samba.shares.get(i));
        let from = own.and_then(|own| {
            let named = self.samba.shares.iter().find(|s| same(&s.name, &set.value));
            named.filter(|s| !same(&s.name, &own.name))
        });
        let Some(settings) = from.map(|s| s.settings.clone()) else {
            // It may stand where nobody could look.
            let unseen = |r: &Remark| {
                matches!(r, Remark::NoInclude(..) | Remark::Unread(..) | Remark::Registry(_))
            };
            if !self.samba.remarks.iter().any(unseen) {
                self.samba.remarks.push(Remark::NoSource(set.at.clone(), set.value.clone()));
            }
            return;
        };
        let Some(section) = self.open.and_then(|i| self.samba.shares.get_mut(i)) else { return };
        for (key, set) in settings {
            section.settings.entry(key).or_insert(set);
        }
    }
}

/// ASCII blanks only: a no-break blank is a letter to Samba.
fn blank(c: char) -> bool {
    c.is_ascii_whitespace()
}

/// Names of shares and sections, in any case.
fn same(a: &str, b: &str) -> bool {
    a.to_lowercase() == b.to_lowercase()
}
