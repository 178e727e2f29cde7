//! Names that Linux takes.

use std::borrow::Cow;

/// Longest name on Linux file systems, in bytes.
const NAME_MAX: usize = 255;

/// The name under which an object is restored: as it is shown, but a name of more
/// than 255 bytes is cut and a hash of the whole put behind, before its extension;
/// `.` and `..`, which no folder may hold, get an underscore.
pub fn safe_name(name: &str) -> Cow<'_, str> {
    if name.is_empty() || name == "." || name == ".." {
        return format!("{name}_").into();
    }
    let name = if name.contains('/') { Cow::from(name.replace('/', ":")) } else { name.into() };
    if name.len() <= NAME_MAX {
        return name;
    }
    let hash = crc32fast::hash(name.as_bytes());
    let extension = name.rfind('.').map(|at| &name[at..]).filter(|e| e.len() <= 16).unwrap_or("");
    let keep = NAME_MAX - extension.len() - 9;
    let end = (0..=keep).rev().find(|n| name.is_char_boundary(*n)).unwrap_or(0);
    format!("{}~{hash:08x}{extension}", &name[..end]).into()
}

#[cfg(test)]
mod tests {
    use super::safe_name;

    #[test]
    fn short_names_stay_and_long_ones_stay_apart() {
        assert_eq!(safe_name("plain.txt"), "plain.txt");
        assert_eq!(safe_name(".."), ".._");
        assert_eq!(safe_name("a/b"), "a:b");
        let long = |c: &str| format!("{}{c}.jpeg", "é".repeat(200));
        let (a, b) = (safe_name(&long("1")).into_owned(), safe_name(&long("2")).into_owned());
        assert!(a.len() <= 255 && a.ends_with(".jpeg") && a != b);
    }
}
