//! Configuration files: read within bounds, below a root that nothing leads out of.

use rustix::fd::OwnedFd;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat2};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// No configuration is larger; what is, is something else.
const LONGEST_FILE: u64 = 4 << 20;
/// No line is longer.
const LONGEST_LINE: usize = 64 << 10;

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct At {
    /// The file's path, as the server knows it.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: u32,
}

impl At {
    /// A line of a file.
    pub fn new(file: &Arc<str>, line: u32) -> Self {
        Self { file: file.clone(), line }
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// Why a file could not be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unread {
    /// It is not there.
    Missing,
    /// It is there, and this is why it was not read.
    Because(String),
}

/// Where configuration files come from.
pub trait Files {
    /// A file's bytes.
    ///
    /// # Errors
    /// Why not.
    fn bytes(&self, path: &str) -> Result<Vec<u8>, Unread>;

    /// A file's text, if it is one: lossy where it is not UTF-8.
    ///
    /// # Errors
    /// Why not: binary files and endless lines are no configuration.
    fn text(&self, path: &str) -> Result<String, Unread> {
        let bytes = self.bytes(path)?;
        if bytes.contains(&0) {
            return Err(Unread::Because("it is binary, no text".into()));
        }
        if bytes.split(|b| *b == b'\n').any(|line| line.len() > LONGEST_LINE) {
            return Err(Unread::Because("it has a line of more than 64 KiB".into()));
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The names in a folder, sorted; `None` if it cannot be listed.
    fn list(&self, path: &str) -> Option<Vec<String>>;
}

/// Files of a system whose root is a folder here.
#[derive(Debug)]
pub struct Root {
    dir: PathBuf,
}

impl Root {
    /// The system below a folder; `/` is this one.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Open a path as that system would: links lead nowhere outside.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn open(&self, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        // openat2 takes nothing beside O_PATH that would mean an open file.
        let opened = OFlags::NONBLOCK | OFlags::NOCTTY;
        let more = if flags.contains(OFlags::PATH) { OFlags::empty() } else { opened };
        let flags = flags | OFlags::CLOEXEC | more;
        let root = rustix::fs::open(
            &self.dir,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT)
    }

    /// Open a regular file to read it. Nothing else is opened: a device may do something then.
    ///
    /// # Errors
    /// Why not.
    pub fn file(&self, path: &str) -> Result<File, Unread> {
        let failed = |e| match e {
            rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR => Unread::Missing,
            e => Unread::Because(std::io::Error::from(e).to_string()),
        };
        let is_file = |fd: &OwnedFd| {
            let stat = fstat(fd).map_err(failed)?;
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => Ok(()),
                _ => Err(Unread::Because("it is no regular file".into())),
            }
        };
        is_file(&self.open(path, OFlags::PATH).map_err(failed)?)?;
        let file = self.open(path, OFlags::RDONLY).map_err(failed)?;
        // It may have been replaced in between.
        is_file(&file)?;
        Ok(File::from(file))
    }

    /// Whether this is the running system.
    pub fn is_here(&self) -> bool {
        self.dir == Path::new("/")
    }
}

impl Files for Root {
    fn bytes(&self, path: &str) -> Result<Vec<u8>, Unread> {
        let file = self.file(path)?;
        let because = |e: std::io::Error| Unread::Because(e.to_string());
        let mut bytes = Vec::new();
        file.take(LONGEST_FILE + 1).read_to_end(&mut bytes).map_err(because)?;
        if bytes.len() as u64 > LONGEST_FILE {
            return Err(Unread::Because(
                "it is larger than 4 MiB, which no configuration is".into(),
            ));
        }
        Ok(bytes)
    }

    fn list(&self, path: &str) -> Option<Vec<String>> {
        let fd = self.open(path, OFlags::RDONLY | OFlags::DIRECTORY).ok()?;
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(fd).ok()?.take(10_000) {
            let name = entry.ok()?.file_name().to_string_lossy().into_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        names.sort();
        Some(names)
    }
}

/// Files in memory, by path.
impl Files for BTreeMap<String, Vec<u8>> {
    fn bytes(&self, path: &str) -> Result<Vec<u8>, Unread> {
        self.get(path).cloned().ok_or(Unread::Missing)
    }

    fn list(&self, path: &str) -> Option<Vec<String>> {
        let within = format!("{}/", path.trim_end_matches('/'));
        let names = self.keys().filter_map(|key| key.strip_prefix(&within));
        let names: Vec<String> =
            names.filter(|name| !name.contains('/')).map(str::to_owned).collect();
        (!names.is_empty()).then_some(names)
    }
}

/// The lines of a text with their numbers; a byte order mark at its beginning is none of it.
pub fn lines(text: &str) -> impl Iterator<Item = (u32, &str)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    (1u32..).zip(lines)
}

/// Whether a character is one that word processors put for a plain one, or that cannot be seen.
pub fn is_typographic(c: char) -> bool {
    matches!(c,
        '\u{201c}'..='\u{201f}' | '\u{2018}'..='\u{201b}' | '\u{00ab}' | '\u{00bb}'
        | '\u{2010}'..='\u{2015}' | '\u{2212}'
        | '\u{00a0}' | '\u{2000}'..='\u{200d}' | '\u{202f}' | '\u{2060}' | '\u{3000}' | '\u{feff}')
}

/// The same in ASCII.
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{201c}'..='\u{201f}' | '\u{00ab}' | '\u{00bb}' => out.push('"'),
            '\u{2018}'..='\u{201b}' => out.push('\''),
            '\u{2010}'..='\u{2015}' | '\u{2212}' => out.push('-'),
            '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}' => {}
            c if is_typographic(c) => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// How many letters must change to make one word of the other, up to `most`.
pub fn distance(a: &str, b: &str, most: usize) -> Option<usize> {
    let (a, b): (Vec<char>, Vec<char>) =
        (a.chars().take(64).collect(), b.chars().take(64).collect());
    if a.len().abs_diff(b.len()) > most {
        return None;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut before = i;
        let mut next = vec![i + 1];
        for (y, above) in b.iter().zip(row.iter().skip(1)) {
            let left = next.last().copied().unwrap_or(0);
            next.push((before + usize::from(x != y)).min(left + 1).min(above + 1));
            before = *above;
        }
        row = next;
    }
    row.last().copied().filter(|n| *n <= most)
}

/// The nearest of some words, if one is near.
pub fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let most = if word.chars().count() < 6 { 1 } else { 3 };
    known.filter_map(|k| Some((distance(word, k, most)?, k))).min().map(|(_, k)| k)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found() {
        assert_eq!(distance("stream_xattr", "streams_xattr", 3), Some(1));
        assert_eq!(distance("abc", "xyz", 2), None);
        assert_eq!(nearest("friut", ["fruit", "catia"].into_iter()), None, "two letters of five");
        assert_eq!(nearest("fruits", ["fruit", "catia"].into_iter()), Some("fruit"));
    }

    #[test]
    fn nothing_leads_out_of_the_root_and_bounds_hold() {
        let dir = tempfile::tempdir().unwrap();
        let etc = dir.path().join("etc");
        std::fs::create_dir(&etc).unwrap();
        std::os::unix::fs::symlink("/../../../etc/passwd", etc.join("link")).unwrap();
        std::fs::write(etc.join("passwd"), "mine").unwrap();
        std::fs::write(etc.join("long"), vec![b'x'; 10 << 20]).unwrap();
        std::fs::write(etc.join("line"), vec![b'x'; 1 << 20]).unwrap();
        std::fs::write(etc.join("binary"), b"a\0b").unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            etc.join("pipe"),
            rustix::fs::FileType::Fifo,
            Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        let root = Root::new(dir.path());
        assert_eq!(root.text("/etc/link").unwrap(), "mine", "a link stays below the root");
        assert_eq!(root.text("../../../etc/passwd").unwrap(), "mine");
        assert!(root.open("/etc", OFlags::PATH | OFlags::DIRECTORY).is_ok());
        assert_eq!(root.text("/etc/nothing"), Err(Unread::Missing));
        for (name, why) in
            [("long", "4 MiB"), ("line", "64 KiB"), ("binary", "binary"), ("pipe", "regular")]
        {
            let Err(Unread::Because(text)) = root.text(&format!("/etc/{name}")) else {
                panic!("{name}")
            };
            assert!(text.contains(why), "{text}");
        }
    }
}
