//! Names that the destination takes: which are changed, and how they read again.

use super::dest::NameRules;
use std::borrow::Cow;
use std::collections::HashSet;
use unicode_normalization::UnicodeNormalization;

/// Longest name on Linux file systems, in bytes.
const NAME_MAX: usize = 255;
/// Longest on exFAT, NTFS and FAT, in UTF-16 units.
const UNITS_MAX: usize = 255;

/// Characters that Windows' file systems refuse, and what Apple's and Microsoft's
/// programs put in their place ("Services for Macintosh"): a Mac shows them as they were.
const PRIVATE: &[(char, char)] = &[
    ('"', '\u{F020}'),
    ('*', '\u{F021}'),
    (':', '\u{F022}'),
    ('<', '\u{F023}'),
    ('>', '\u{F024}'),
    ('?', '\u{F025}'),
    ('\\', '\u{F026}'),
    ('|', '\u{F027}'),
];
const PRIVATE_SPACE: char = '\u{F028}';
const PRIVATE_DOT: char = '\u{F029}';

/// The name under which an object is restored: as it is shown, but a name of more
/// than 255 bytes is cut and a hash of the whole put behind, before its extension;
/// `.` and `..`, which no folder may hold, get an underscore.
pub fn safe_name(name: &str) -> Cow<'_, str> {
    if name.is_empty() || name == "." || name == ".." {
        return format!("{name}_").into();
    }
    let odd = |c: char| c == '/' || c == '\0';
    let name = if name.contains(odd) {
        Cow::from(name.replace('/', ":").replace('\0', "\u{2400}"))
    } else {
        name.into()
    };
    if name.len() <= NAME_MAX {
        return name;
    }
    shorten(&name, &format!("~{:08x}", crc32fast::hash(name.as_bytes()))).into()
}

/// `name` with `mark` before its extension, cut to what a name may have.
fn shorten(name: &str, mark: &str) -> String {
    let dot = name.rfind('.').filter(|at| *at > 0);
    let extension = dot.map(|at| &name[at..]).filter(|e| e.len() <= 16).unwrap_or("");
    let stem = &name[..name.len() - extension.len()];
    let keep = NAME_MAX.saturating_sub(extension.len() + mark.len()).min(stem.len());
    let end = (0..=keep).rev().find(|n| stem.is_char_boundary(*n)).unwrap_or(0);
    format!("{}{mark}{extension}", &stem[..end])
}

/// A name as Windows' file systems take it.
fn windows_name(name: &str) -> Cow<'_, str> {
    let last = name.chars().next_back();
    let refused = |c: char| c.is_ascii_control() || PRIVATE.iter().any(|(plain, _)| *plain == c);
    let end = matches!(last, Some(' ' | '.'));
    let name = if end || name.contains(refused) {
        let mut out: String = name.chars().map(to_private).collect();
        if let (true, Some(c)) = (end, last) {
            out.pop();
            out.push(if c == ' ' { PRIVATE_SPACE } else { PRIVATE_DOT });
        }
        Cow::from(out)
    } else {
        name.into()
    };
    if name.encode_utf16().count() <= UNITS_MAX && name.len() <= NAME_MAX {
        return name;
    }
    shorten(&name, &format!("~{:08x}", crc32fast::hash(name.as_bytes()))).into()
}

fn to_private(c: char) -> char {
    if c.is_ascii_control() {
        return char::from_u32(0xF000 + u32::from(c)).unwrap_or(c);
    }
    PRIVATE.iter().find(|(plain, _)| *plain == c).map_or(c, |(_, private)| *private)
}

/// What a name is the same as on the destination.
fn key(name: &str, rules: NameRules) -> Cow<'_, str> {
    if !rules.folds_case && !rules.folds_forms {
        return name.into();
    }
    let name: Cow<'_, str> =
        if rules.folds_forms && !name.is_ascii() { name.nfd().collect() } else { name.into() };
    if rules.folds_case { name.to_uppercase().into() } else { name }
}

/// Gives the names of one folder's objects, none twice.
#[derive(Default)]
pub struct Namer {
    taken: HashSet<String>,
    /// Names that belong to AppleDouble files of others.
    sidecars: HashSet<String>,
}

impl Namer {
    /// For a folder with these names; `sidecars`: objects get files `._NAME`.
    pub fn new<'a>(names: impl Iterator<Item = &'a str>, sidecars: bool, rules: NameRules) -> Self {
        let mut namer = Self::default();
        if sidecars {
            namer.sidecars = names.map(|n| key(&format!("._{n}"), rules).into_owned()).collect();
        }
        namer
    }

    /// The name for an object: its own unless the destination does not take it, or has
    /// it already.
    pub fn name(&mut self, name: &str, rules: NameRules) -> String {
        let safe = safe_name(name);
        let fit = if rules.windows { windows_name(&safe) } else { safe };
        let mut out = fit.clone().into_owned();
        let mut n = 1;
        loop {
            let key = key(&out, rules).into_owned();
            if !self.sidecars.contains(&key) && !self.taken.contains(&key) {
                self.taken.insert(key);
                return out;
            }
            n += 1;
            out = shorten(&fit, &format!("~{n}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: NameRules = NameRules { folds_case: false, folds_forms: false, windows: false };

    #[test]
    fn short_names_stay_and_long_ones_stay_apart() {
        assert_eq!(safe_name("plain.txt"), "plain.txt");
        assert_eq!(safe_name(".."), ".._");
        assert_eq!(safe_name("a/b"), "a:b");
        let long = |c: &str| format!("{}{c}.jpeg", "é".repeat(200));
        let (a, b) = (safe_name(&long("1")).into_owned(), safe_name(&long("2")).into_owned());
        assert!(a.len() <= 255 && a.ends_with(".jpeg") && a != b);
    }

    #[test]
    fn names_that_fall_together_are_kept_apart() {
        let folds = NameRules { folds_case: true, folds_forms: true, windows: true };
        let mut namer = Namer::default();
        let mut name = |n: &str| namer.name(n, folds);
        assert_eq!(name("File.txt"), "File.txt");
        assert_eq!(name("FILE.txt"), "FILE~2.txt");
        assert_eq!(name("file.TXT"), "file~3.TXT");
        assert_eq!(name("é"), "é");
        assert_eq!(name("e\u{301}"), "e\u{301}~2");
        assert_eq!(name(".profile"), ".profile");
        assert_eq!(name(".PROFILE"), ".PROFILE~2");
        let mut namer = Namer::default();
        assert_eq!(namer.name("a", PLAIN), "a");
        assert_eq!(namer.name("A", PLAIN), "A");
        // Two that only look alike in what can be shown of them.
        assert_eq!(namer.name("x\u{FFFD}", PLAIN), "x\u{FFFD}");
        assert_eq!(namer.name("x\u{FFFD}", PLAIN), "x\u{FFFD}~2");
    }

    #[test]
    fn what_windows_refuses_goes_where_a_mac_puts_it() {
        let windows = NameRules { windows: true, ..PLAIN };
        let mut namer = Namer::default();
        assert_eq!(namer.name("12:30?.txt", windows), "12\u{F022}30\u{F025}.txt");
        assert_eq!(namer.name("dot.", windows), "dot\u{F029}");
        assert_eq!(namer.name("Icon\r", windows), "Icon\u{F00D}");
        assert_eq!(namer.name("plain", windows), "plain");
    }

    #[test]
    fn an_apple_double_file_of_another_is_not_overwritten() {
        let names = ["a", "._a", "._b"];
        let mut namer = Namer::new(names.into_iter(), true, PLAIN);
        let got: Vec<String> = names.iter().map(|n| namer.name(n, PLAIN)).collect();
        assert_eq!(got, ["a", "._a~2", "._b"]);
    }
}
