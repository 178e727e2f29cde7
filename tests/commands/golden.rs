//! What the commands print, word for word: `tests/golden/*.txt`.
//!
//! A golden text is a list of lines `$ COMMAND`, each followed by what the command printed (standard
//! output, then standard error behind `! `) and its exit code where that is not 0. The commands run in
//! a folder with copies of the demonstration bundles, the clock standing still. What differs from run to
//! run is replaced. `UPDATE_GOLDEN=1 cargo test --test commands golden` writes the texts anew: read
//! the difference before it is kept.
use crate::common::{copy, demo};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const NOW: &str = "2024-03-14T20:00:00Z";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Two whole bundles, of each kind one, and one of which a band is lost.
fn sandbox() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let demo = demo();
    fs::create_dir(dir.path().join("share")).unwrap();
    copy(&demo, &dir.path().join("share/Mac.sparsebundle"));
    copy(&demo, &dir.path().join("share/Anna.sparsebundle"));
    fs::remove_file(dir.path().join("share/Anna.sparsebundle/bands/9")).unwrap();
    copy(&demo.with_file_name("DemoAPFS.backupbundle"), &dir.path().join("share/New.backupbundle"));
    for name in ["Mac.sparsebundle", "Anna.sparsebundle", "New.backupbundle"] {
        std::os::unix::fs::symlink(format!("share/{name}"), dir.path().join(name)).unwrap();
    }
    fs::write(dir.path().join("letter.txt"), "Dear Anna,\n").unwrap();
    fs::create_dir(dir.path().join("bin")).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_tmbundle"), dir.path().join("bin/tmbundle"))
        .unwrap();
    dir
}

/// One command and all that came of it, as it stands in a golden text.
pub fn ran(command: &str, dir: &Path, now: &str) -> String {
    let mut bash = Command::new("bash");
    for (name, _) in std::env::vars() {
        if name.starts_with("TMBUNDLE_") || name.starts_with("CLICOLOR") {
            bash.env_remove(name);
        }
    }
    let path = format!("{}/bin:{}", dir.display(), std::env::var("PATH").unwrap_or_default());
    let out = bash
        .args(["-c", command])
        .current_dir(dir)
        .env("PATH", path)
        .env("HOME", dir)
        .env("XDG_STATE_HOME", dir.join("state"))
        .env("TMBUNDLE_NOW", now)
        .env("TZ", "UTC")
        .env("LC_ALL", "C.UTF-8")
        .env("COLUMNS", "100")
        .output()
        .unwrap();
    let mut text = format!("$ {command}\n");
    text += &String::from_utf8(out.stdout).unwrap();
    for line in String::from_utf8(out.stderr).unwrap().lines() {
        writeln!(text, "! {line}").unwrap();
    }
    match out.status.code() {
        Some(0) => {}
        code => writeln!(text, "exit code {}", code.unwrap()).unwrap(),
    }
    text
}

/// Replace what no two runs have alike.
pub fn redacted(text: &str, dir: &Path) -> String {
    let text = text.replace(&dir.display().to_string(), "HERE");
    let text = text.replace(env!("CARGO_PKG_VERSION"), "VERSION");
    text.lines().map(|line| without_room(&without_seconds(line)) + "\n").collect()
}

/// How much room the bands take differs from file system to file system.
fn without_room(line: &str) -> String {
    if let Some((key, _)) = line.split_once("\"bytes_on_disk\": ") {
        return format!("{key}\"bytes_on_disk\": ROOM,");
    }
    match (line.split_once("of which "), line.split_once(" on this server's disk")) {
        (Some((before, _)), Some((_, after))) => {
            format!("{before}of which ROOM on this server's disk{after}")
        }
        _ => line.to_owned(),
    }
}

/// `in 0.3 s` becomes `in SECONDS s`, and the like in JSON.
fn without_seconds(line: &str) -> String {
    if let Some((key, rest)) = line.split_once("\"seconds\": ") {
        let end = if rest.ends_with(',') { "," } else { "" };
        return format!("{key}\"seconds\": SECONDS{end}");
    }
    let mut out = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(" in ") {
        let (before, after) = rest.split_at(at + 4);
        out += before;
        let number =
            after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        let (digits, behind) = after.split_at(number);
        let seconds = !digits.is_empty() && (behind.starts_with(" s") || behind.starts_with(" ms"));
        out += if seconds { "SECONDS" } else { digits };
        rest = behind;
    }
    out + rest
}

fn commands(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix("$ ")).collect()
}

/// A process that is called as a file server, so that nothing is said of what cannot be seen
/// from within a container.
pub fn a_server(dir: &Path) -> impl Drop {
    struct Server(std::process::Child);
    impl Drop for Server {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
    let program = dir.join("bin/smbd");
    std::os::unix::fs::symlink("/bin/sleep", &program).unwrap();
    Server(Command::new(program).arg("600").spawn().unwrap())
}

fn check(name: &str) {
    if !rustix::process::geteuid().is_root() {
        crate::common::skipped(format_args!("golden text {name}: it is what root sees"));
        return;
    }
    let file: PathBuf = root().join("tests/golden").join(name).with_extension("txt");
    let golden = fs::read_to_string(&file).unwrap();
    let dir = sandbox();
    let _server = a_server(dir.path());
    let mut text = String::new();
    for command in commands(&golden) {
        text += &redacted(&ran(command, dir.path(), NOW), dir.path());
        text.push('\n');
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&file, &text).unwrap();
        return;
    }
    let differs = golden.lines().zip(text.lines()).position(|(a, b)| a != b);
    let at = differs.unwrap_or_else(|| golden.lines().count().min(text.lines().count()));
    assert!(
        golden == text,
        "{} line {}: the golden text has\n  {}\nbut the program printed\n  {}\n",
        file.display(),
        at + 1,
        golden.lines().nth(at).unwrap_or("(its end)"),
        text.lines().nth(at).unwrap_or("(nothing more)"),
    );
}

macro_rules! golden {
    ($($name:ident),+ $(,)?) => {
        $(#[test]
        fn $name() {
            check(stringify!($name));
        })+

        /// No text lies there that nobody compares.
        #[test]
        fn every_text_is_compared() {
            let known = [$(stringify!($name)),+];
            for entry in fs::read_dir(root().join("tests/golden")).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_stem().unwrap().to_str().unwrap();
                assert!(known.contains(&name), "{} is compared by no test", path.display());
            }
        }
    };
}

golden!(
    verify,
    verify_json,
    info,
    snapshots,
    ls,
    cat,
    extract,
    locate,
    explain,
    errors,
    share,
    dump,
    watch
);
