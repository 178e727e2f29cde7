//! Arguments as people type them; what the shell and the manual say of them.

use crate::common::{self, tmbundle};
use std::fs;
use std::process::Command;

fn demo() -> String {
    common::demo().to_str().unwrap().to_owned()
}

#[test]
fn a_forgotten_equals_sign_is_understood_or_answered() {
    let verify = |args: &[&str]| tmbundle(&[&["verify", "-v"], args, &[demo().as_str()]].concat());
    verify(&["--read-data", "25%"]).expect(0, &["contents"]);
    verify(&["--read-data", "3/7"]).expect(0, &["contents"]);
    verify(&["--read-data"]).expect(0, &["contents"]);
    verify(&["--if-busy", "wait", "2h"]).expect(0, &["No damage"]);
    verify(&["--manifest", "/tmp/no-such-file"])
        .expect(2, &["did you mean --manifest=/tmp/no-such-file?"]);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bands");
    let file = file.to_str().unwrap();
    verify(&[&format!("--manifest={file}")]).expect(0, &[]);
    verify(&["--manifest", file]).expect(2, &[&format!("did you mean --manifest={file}?")]);
    verify(&["--manifest"]).expect(0, &[]);
}

#[test]
fn metrics_on_standard_output() {
    let dir = tempfile::tempdir().unwrap();
    let ran = tmbundle(&["verify", "-v", "--metrics", "-", &demo()]);
    ran.expect(0, &[]);
    assert!(ran.out.starts_with("# HELP tmbundle_build_info"), "{ran:#?}");
    assert!(ran.out.lines().all(|line| line.starts_with('#') || line.starts_with("tmbundle_")));
    assert!(ran.err.contains("No damage."), "{ran:#?}");
    assert!(fs::read_dir(dir.path()).unwrap().next().is_none() && !fs::exists("-").unwrap());
    tmbundle(&["verify", "--json", "--metrics", "-", &demo()])
        .expect(2, &["give --metrics a file"]);
}

#[test]
fn a_listing_as_one_is_used_to_ask_for_it() {
    let ls = |flags: &str| tmbundle(&["ls", flags, &demo(), "latest:/Macintosh HD/usr/share"]);
    ls("-lh").expect(0, &[" 1.8 KiB ", "type 7 manual.txt"]);
    ls("-la").expect(0, &[" 1900 ", "type 7 manual.txt"]);
    tmbundle(&["ls", "--help"]).expect(0, &["Examples:", "latest~1"]);
}

#[test]
fn a_dot_is_named_after_its_folder() {
    for args in [&["verify", "-v", "."][..], &["info", "."], &["info", "./"]] {
        let state = tempfile::tempdir().unwrap();
        let out = Command::new(env!("CARGO_BIN_EXE_tmbundle"))
            .args(args)
            .env("XDG_STATE_HOME", state.path())
            .current_dir(common::demo())
            .output()
            .unwrap();
        let text = String::from_utf8(out.stdout).unwrap();
        assert!(text.starts_with("Demo.sparsebundle"), "{args:?}: {text}");
    }
}

#[test]
#[cfg(feature = "mount")]
fn nothing_to_unmount_needs_no_folder() {
    let ran = tmbundle(&["umount", "/no/such/folder"]);
    ran.expect(2, &["nothing is mounted on /no/such/folder"]);
    assert!(!ran.err.contains("mkdir"), "{ran:#?}");
}

/// What bash offers for these words.
fn offered(words: &[&str]) -> Vec<String> {
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_tmbundle"));
    let script = "source <(tmbundle completions bash); COMP_WORDS=(\"$@\"); \
                  COMP_CWORD=$(($# - 1)); _tmbundle; printf '%s\\n' \"${COMPREPLY[@]}\"";
    let path =
        format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let out = Command::new("bash")
        .args(["-c", script, "bash"])
        .args(words)
        .env("PATH", path)
        .current_dir(common::demo().parent().unwrap())
        .output()
        .unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn bash_completes_paths_snapshots_and_what_is_in_them() {
    let bundle = "Demo.sparsebundle";
    assert_eq!(offered(&["tmbundle", "ver"]), ["verify"]);
    assert!(offered(&["tmbundle", "verify", "De"]).contains(&"Demo.sparsebundle/".to_owned()));
    assert!(offered(&["tmbundle", "verify", "--max"]).contains(&"--max-age".to_owned()));
    assert_eq!(offered(&["tmbundle", "ls", bundle, "2019-11-06"]), ["2019-11-06-102242:/"]);
    assert_eq!(offered(&["tmbundle", "ls", bundle, "lat"]), ["latest:/"]);
    // bash takes the ':' for a word of its own.
    assert_eq!(offered(&["tmbundle", "ls", bundle, "latest", ":", "/Mac"]), ["/Macintosh\\ HD/"]);
    let within = offered(&["tmbundle", "cat", bundle, "latest", ":", "/Macintosh\\ HD/etc/h"]);
    assert_eq!(within, ["/Macintosh\\ HD/etc/hosts"]);
}

#[test]
fn every_page_of_the_manual_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    tmbundle(&["man", dir.path().to_str().unwrap()]).expect(0, &[]);
    let mut pages = 0;
    for entry in fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        for section in ["NAME", "SYNOPSIS", "OPTIONS", "EXAMPLES", "\"EXIT STATUS\"", "ENVIRONMENT"]
        {
            assert!(text.contains(&format!(".SH {section}\n")), "{path:?} has no {section}");
        }
        let name = path.file_stem().unwrap().to_str().unwrap();
        if ["tmbundle", "tmbundle-verify", "tmbundle-mount", "tmbundle-ls"].contains(&name) {
            assert!(text.contains(".SH FILES\n"), "{path:?} has no FILES");
        }
        pages += 1;
    }
    let help = tmbundle(&["--help"]).out;
    let listed = help.split("Commands:").nth(1).unwrap().split("Options:").next().unwrap();
    let commands: Vec<&str> = listed
        .lines()
        .filter(|l| l.starts_with("  ") && !l.starts_with("   "))
        .filter_map(|l| l.split_whitespace().next())
        .filter(|c| *c != "help")
        .collect();
    // The program's own, and that of `debug`, which is for engineers and not listed.
    assert_eq!(pages, commands.len() + 2, "{commands:?}");
    for command in commands {
        tmbundle(&[command, "--help"]).expect(0, &["Example", "tmbundle "]);
    }
}

#[test]
fn info_and_extract_say_that_a_mac_is_using_it() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("Mac.sparsebundle");
    common::copy_demo(&bundle);
    let (path, to) = (bundle.to_str().unwrap(), dir.path().join("to"));
    let at_rest = tmbundle(&["info", path]);
    assert!(!at_rest.out.contains("in use"), "{at_rest:#?}");
    let token = fs::File::options().read(true).write(true).open(bundle.join("token")).unwrap();
    rustix::fs::fcntl_lock(&token, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    tmbundle(&["info", path]).expect(0, &["in use", "lock"]);
    let address = "latest:/Macintosh HD/private";
    tmbundle(&["extract", path, address, "--to", to.to_str().unwrap()])
        .expect(0, &["warning: a Mac is using Mac.sparsebundle"]);
}
