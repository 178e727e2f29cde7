//! `tmbundle setup`: what it lists is what it writes, and all of it is of use.

use crate::common;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn setup(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tmbundle")).arg("setup").args(args).output().unwrap()
}

fn said(out: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    text(&out.stdout) + &text(&out.stderr)
}

/// Every file and link below a folder, without the folder.
fn below(dir: &Path, at: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(at).unwrap() {
        let path = entry.unwrap().path();
        match fs::symlink_metadata(&path).unwrap().is_dir() {
            true => below(dir, &path, found),
            false => found.push(format!("/{}", path.strip_prefix(dir).unwrap().display())),
        }
    }
}

#[test]
fn what_is_listed_is_installed_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().to_str().unwrap();
    let listed = setup(&["--root", root]);
    assert!(listed.status.success() && fs::read_dir(root).unwrap().count() == 0, "{listed:?}");
    let mut listed: Vec<String> = said(&listed)
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .map(|line| line.split("  (").next().unwrap().replacen(root, "", 1))
        .collect();
    listed.sort();
    // Twice: what is there already is replaced.
    for _ in 0..2 {
        let out = setup(&["--install", "--root", root]);
        assert!(out.status.success() && said(&out).contains("Installed"), "{out:?}");
    }
    let mut found = Vec::new();
    below(dir.path(), dir.path(), &mut found);
    found.sort();
    assert_eq!(found, listed);
    for place in ["usr/local/share/man/man1/tmbundle-setup.1", "usr/local/bin/tmbundle"] {
        assert!(dir.path().join(place).is_file(), "{place}");
    }
    for name in ["mount.tmbundle", "mount.fuse.tmbundle"] {
        let link = fs::read_link(dir.path().join("sbin").join(name)).unwrap();
        assert_eq!(link, Path::new("/usr/local/bin/tmbundle"));
    }
    // The copy is a program that runs.
    let copy = Command::new(dir.path().join("usr/local/bin/tmbundle")).arg("--version").output();
    assert!(said(&copy.unwrap()).starts_with("tmbundle "));
}

#[test]
fn units_name_the_program_where_it_is_installed() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().to_str().unwrap();
    let out = setup(&["--install", "--no-program", "--prefix", "/usr", "--root", root]);
    assert!(out.status.success(), "{out:?}");
    let unit = dir.path().join("usr/lib/systemd/system/tmbundle-verify@.service");
    let unit = fs::read_to_string(unit).unwrap();
    assert!(unit.contains("\nExecStart=/usr/bin/tmbundle verify"), "{unit}");
    assert!(!unit.contains("/usr/local"), "{unit}");
    assert!(!dir.path().join("usr/bin").exists(), "--no-program");
    let helper = fs::read_link(dir.path().join("usr/sbin/mount.tmbundle")).unwrap();
    assert_eq!(helper, Path::new("/usr/bin/tmbundle"));
}

#[test]
fn a_users_own_prefix_has_no_mount_helpers_and_must_be_absolute() {
    let dir = tempfile::tempdir().unwrap();
    let prefix = dir.path().to_str().unwrap();
    let out = setup(&["--install", "--prefix", prefix]);
    assert!(said(&out).contains("without helpers"), "{out:?}");
    let mut found = Vec::new();
    below(dir.path(), dir.path(), &mut found);
    assert!(found.iter().any(|f| f == "/bin/tmbundle"), "{found:?}");
    assert!(!found.iter().any(|f| f.contains("mount.tmbundle")), "{found:?}");
    assert_eq!(setup(&["--prefix", "here"]).status.code(), Some(2));
}

#[test]
fn one_file_is_printed_as_it_would_be_installed() {
    let out = setup(&["--print", "tmbundle-verify@.timer"]);
    assert_eq!(said(&out), include_str!("../../packaging/tmbundle-verify@.timer"));
    let out = setup(&["--print", "completions/tmbundle"]);
    assert!(said(&out).contains("complete -F _tmbundle tmbundle"), "{out:?}");
    assert_eq!(setup(&["--print", "nothing"]).status.code(), Some(2));
    // The program is no text.
    assert_eq!(setup(&["--print", "bin/tmbundle"]).status.code(), Some(2));
}

#[test]
fn a_file_of_another_in_the_helpers_place_stays() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("sbin")).unwrap();
    let other = dir.path().join("sbin/mount.tmbundle");
    fs::write(&other, "another's").unwrap();
    let out = setup(&["--install", "--root", dir.path().to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(3), "{out:?}");
    assert_eq!(fs::read_to_string(other).unwrap(), "another's");
}

/// Completion as the shells load it by themselves: from the folders of the prefix.
#[test]
fn shells_load_the_completions_that_were_installed() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().to_str().unwrap();
    assert!(setup(&["--install", "--root", root]).status.success());
    let share = format!("{root}/usr/local/share");
    let path = format!("{root}/usr/local/bin:{}", std::env::var("PATH").unwrap());
    let zsh = format!(
        "fpath=({share}/zsh/site-functions $fpath); autoload -Uz compinit; compinit -D -u; \
         _describe() {{ echo ${{(P@)3}} }}; words=(tmbundle ver); CURRENT=2; $_comps[tmbundle]"
    );
    let fish = format!(
        "source {share}/fish/vendor_completions.d/tmbundle.fish; complete -C 'tmbundle ver'"
    );
    let bash = format!(
        "source {share}/bash-completion/completions/tmbundle; COMP_WORDS=(tmbundle ver); \
         COMP_CWORD=1; _tmbundle; echo ${{COMPREPLY[@]}}"
    );
    for (shell, script, offers) in
        [("bash", bash, "verify"), ("zsh", zsh, "verify"), ("fish", fish, "verify")]
    {
        let mut command = Command::new(shell);
        let command = command.args(["-c", &script]).env("PATH", &path).env("HOME", root);
        match command.output() {
            Err(e) => common::skipped(format_args!("completion in {shell}: {e}")),
            Ok(out) => assert!(said(&out).contains(offers), "{shell}: {out:?}"),
        }
    }
}
