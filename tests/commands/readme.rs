//! What README tells a newcomer to type is there and does what it says. Its examples of what is
//! printed are made by `tools/readme`.

use crate::common;
use std::path::Path;
use std::process::Command;

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The pages with commands to install or to run from cron.
fn pages() -> Vec<(String, String)> {
    let names = ["README.md", "docs/monitoring.md", "docs/recipes.md", "docs/security.md"];
    names.map(|name| (name.to_owned(), read(name))).into()
}

/// Lines in code, of a block or within a line.
fn commands(text: &str) -> impl Iterator<Item = &str> {
    let code = text.split('`').skip(1).step_by(2);
    code.chain(text.split("```").skip(1).step_by(2)).flat_map(str::lines).map(str::trim)
}

#[test]
fn the_first_paragraph_says_what_is_read_and_what_is_not() {
    let readme = read("README.md");
    let first = readme.split("\n\n").nth(1).unwrap();
    let sentences: Vec<&str> = first.split(['.', ';']).collect();
    let of = |word: &str| sentences.iter().find(|s| s.contains(word)).copied().unwrap_or_default();
    let reads = of("reads");
    assert!(reads.contains("HFS+") && reads.contains("APFS") && reads.contains("encrypted"));
    let not = of("not read");
    assert!(not.contains("FAT") && not.contains("CoreStorage"), "{first}");
    assert!(of("repairs").contains("nothing") && !of("never writes").is_empty(), "{first}");
}

#[test]
fn what_is_installed_by_cargo_is_what_was_tested() {
    let mut found = 0;
    for (page, text) in pages() {
        for line in commands(&text).filter(|l| l.contains("cargo install")) {
            assert!(line.contains("cargo install --locked "), "{page}: {line}");
            found += 1;
        }
    }
    assert!(found > 0);
    let rust = format!("Rust {} or newer", env!("CARGO_PKG_RUST_VERSION"));
    assert!(read("README.md").contains(&rust), "{rust}");
}

#[test]
fn units_are_installed_before_they_are_enabled_and_are_there() {
    let root = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tmbundle"));
    let out = command.args(["setup", "--root"]).arg(root.path()).output().unwrap();
    let installed = String::from_utf8(out.stdout).unwrap();
    let mut found = 0;
    for (page, text) in pages() {
        for line in text.lines().filter(|l| l.contains("systemctl enable")) {
            let unit = line.split_whitespace().find(|w| w.starts_with("tmbundle-")).unwrap();
            let (name, instance) = unit.split_once('@').unwrap();
            let file = format!("{name}@.{}", instance.rsplit_once('.').unwrap().1);
            assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(&file).exists());
            assert!(installed.contains(&file), "{page}: setup brings no {file}");
            let before = &text[..text.find(line).unwrap()];
            assert!(before.contains("setup --install"), "{page}: {line} comes first");
            found += 1;
        }
    }
    assert!(found >= 2);
}

/// A line of cron with its user, as in /etc/cron.d, run with no more than cron gives it.
#[test]
fn the_lines_for_cron_find_the_program_and_run() {
    let dir = tempfile::tempdir().unwrap();
    common::copy_demo(&dir.path().join("Demo.sparsebundle"));
    let (share, mut found) = (dir.path().to_str().unwrap(), 0);
    for (page, text) in pages() {
        let blocks = text.split("```").skip(1).step_by(2);
        for block in blocks.filter(|b| b.lines().any(|l| l.starts_with("PATH="))) {
            let path = block.lines().find_map(|l| l.strip_prefix("PATH=")).unwrap();
            // Where `setup` puts it, and packages.
            for place in ["/usr/local/bin", "/usr/bin"] {
                assert!(path.split(':').any(|p| p == place), "{page}: {path}");
            }
            let line = block.lines().find(|l| l.contains(" tmbundle ")).unwrap();
            let fields: Vec<&str> = line.split_whitespace().collect();
            assert_eq!(fields[5], "root", "{page}: {line}");
            let at = fields.iter().position(|f| *f == "tmbundle").unwrap();
            let args = fields[at + 1..].iter().map(|f| f.replace("/srv/tm", share));
            let args: Vec<String> = args.collect();
            let out = Command::new(env!("CARGO_BIN_EXE_tmbundle"))
                .args(&args)
                .env_clear()
                .env("XDG_STATE_HOME", dir.path().join("state"))
                .output()
                .unwrap();
            // The demo is from 2019: its age is the one thing wrong with it.
            let said = String::from_utf8(out.stdout).unwrap();
            assert_eq!(out.status.code(), Some(1), "{page}: {line}: {said}");
            assert!(said.contains("TM-STALE") && !said.contains("DAMAGE"), "{said}");
            found += 1;
        }
    }
    assert!(found >= 2);
}
