//! A room imports only rooms further down the list (docs/architecture.md).

use std::path::{Path, PathBuf};

/// From the top of the house to the bottom. Rooms of one entry do not know each
/// other.
const ROOMS: &[&[&str]] = &[
    &["verify", "mount", "extract", "query", "server"],
    &["losses"],
    &["timemachine", "state"],
    &["volume"],
    &["hfsplus", "apfs"],
    &["disk"],
    &["bundle", "partition"],
    &["decmpfs", "fs", "crypt"],
    &["config"],
    &["io", "report"],
    &["error"],
];

fn level(room: &str) -> Option<usize> {
    ROOMS.iter().position(|rooms| rooms.contains(&room))
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The rooms named after `crate::` in a source text.
fn imports(text: &str) -> Vec<String> {
    names_behind("crate::", text)
}

fn names_behind(root: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for part in text.split(root).skip(1) {
        if let Some(group) = part.strip_prefix('{') {
            let group = group.split('}').next().unwrap_or_default();
            found.extend(
                group.split(',').map(|g| g.trim().split("::").next().unwrap_or("").to_string()),
            );
        } else {
            let end = part.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(part.len());
            found.push(part[..end].to_string());
        }
    }
    found
}

#[test]
fn rooms_import_downward_only() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let mut checked = 0;
    let mut wrong = Vec::new();
    for file in files {
        let relative = file.strip_prefix(&src).unwrap();
        let first = relative.components().next().unwrap().as_os_str().to_str().unwrap();
        let room = first.trim_end_matches(".rs");
        let Some(own) = level(room) else { continue };
        for import in imports(&std::fs::read_to_string(&file).unwrap()) {
            let Some(other) = level(&import) else { continue };
            checked += 1;
            if import != room && other <= own {
                // io and report are the ground floor and share the error type only.
                wrong.push(format!("{} imports {import}", relative.display()));
            }
        }
    }
    assert!(checked > 100, "only {checked} imports were seen: the scan is broken");
    assert!(wrong.is_empty(), "upward or sideways imports:\n{}", wrong.join("\n"));
}

#[test]
fn only_the_room_of_volumes_knows_a_format() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let mut wrong = Vec::new();
    for file in files {
        let relative = file.strip_prefix(&src).unwrap();
        let room = relative.components().next().unwrap().as_os_str().to_str().unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        let named = imports(&text).into_iter().chain(names_behind("tmbundle::", &text));
        for format in named.filter(|i| ["hfsplus", "apfs"].contains(&i.as_str())) {
            if room != "volume" && room != format {
                wrong.push(format!("{} knows {format}", relative.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "only volume/ opens and checks formats:\n{}", wrong.join("\n"));
}

#[test]
fn the_library_neither_prints_nor_reads_the_environment() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    for file in files.iter().filter(|f| !f.starts_with(src.join("cli")) && !f.ends_with("main.rs"))
    {
        let text = std::fs::read_to_string(file).unwrap();
        for word in ["println!", "eprintln!", "env::var", "use clap", "indicatif"] {
            assert!(!text.contains(word), "{} uses {word}", file.display());
        }
    }
}

#[test]
fn the_scan_sees_what_it_must_see() {
    assert_eq!(
        imports("use crate::io::Source;\nuse crate::{fs, report::Code};"),
        ["io", "fs", "report"]
    );
    assert!(level("verify") < level("io"));
}

/// Functions that are longer than they should be; none may join them.
const LONG: &[(&str, &str)] = &[
    ("src/cli/worker/boss.rs", "listen"),
    ("src/losses/rule.rs", "judge"),
    ("src/verify/bands.rs", "check"),
    ("src/verify/manifest/run.rs", "new"),
    ("src/verify/mod.rs", "verify"),
    ("src/verify/volumes.rs", "volumes"),
];

/// Name and number of lines of each function, as rustfmt lays them out.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let begin = line.trim_start();
        let indent = &line[..line.len() - begin.len()];
        let words: Vec<&str> = begin.split(' ').collect();
        let Some(at) = words.iter().position(|w| *w == "fn") else { continue };
        let before = |w: &&str| w.starts_with("pub") || ["const", "in"].contains(w);
        if !words[..at].iter().all(before) || line.ends_with(';') {
            continue;
        }
        let end = format!("{indent}}}");
        let Some(len) = lines[start..].iter().position(|l| *l == end) else { continue };
        let name = words[at + 1].split(['(', '<']).next().unwrap();
        found.push((name.to_owned(), len + 1));
    }
    found
}

#[test]
fn no_function_has_more_than_60_lines() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files);
    sources(&root.join("tools/src"), &mut files);
    let (mut seen, mut wrong) = (0, Vec::new());
    for file in files {
        let name = file.strip_prefix(root).unwrap().to_str().unwrap();
        for (function, lines) in functions(&std::fs::read_to_string(&file).unwrap()) {
            seen += 1;
            if lines > 60 && !LONG.contains(&(name, function.as_str())) {
                wrong.push(format!("{name}: {function} has {lines} lines"));
            }
        }
    }
    assert!(seen > 2000, "only {seen} functions were seen: the scan is broken");
    assert!(wrong.is_empty(), "split:\n{}", wrong.join("\n"));
}

#[test]
fn the_scan_counts_lines() {
    let text = "impl A {\n    pub(super) fn a<T>(\n        t: T,\n    ) {\n        b();\n    }\n}\nfn c();\n";
    assert_eq!(functions(text), [("a".to_owned(), 5)]);
}
