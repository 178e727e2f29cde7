//! Where passwords come from, and what is tried.

use crate::common::{self, Ran, tmbundle_with};
use std::fs;
use std::path::Path;
use tools::bundle::{BundleOptions, Encryption};

fn encrypted(path: &Path, password: &str) {
    let options = BundleOptions {
        encryption: Some(Encryption::with_password(password)),
        ..BundleOptions::default()
    };
    let volume = tools::samples::sample("empty").unwrap().build();
    tools::bundle::write(&volume.image, path, &options).unwrap();
}

fn ls(path: &Path, variables: &[(&str, &str)], args: &[&str]) -> Ran {
    tmbundle_with(variables, &[&["ls"], args, &[path.to_str().unwrap(), "volume:"]].concat())
}

#[test]
fn each_line_of_a_file_is_tried() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("Anna.sparsebundle");
    encrypted(&path, "third");
    let file = dir.path().join("passwords");
    let option = ["--password-file", file.to_str().unwrap()];
    fs::write(&file, "first\nsecond\r\n\nthird\r\n").unwrap();
    ls(&path, &[], &option).expect(0, &[]);
    ls(&path, &[], &["--password-command", "printf 'a\\nthird\\n'"]).expect(0, &[]);
    // One that was given and opens nothing is never all right.
    for content in ["first\nsecond\n", ""] {
        fs::write(&file, content).unwrap();
        ls(&path, &[], &option).expect(3, &["the password does not open Anna.sparsebundle"]);
        let verify = ["verify", option[0], option[1], path.to_str().unwrap()];
        assert_ne!(common::tmbundle(&verify).code, Some(0));
    }
}

#[test]
fn arguments_win_over_the_environment() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("Anna.sparsebundle");
    encrypted(&path, "right");
    let command = ["--password-command", "echo right"];
    for variable in ["TMBUNDLE_PASSWORD", "TMBUNDLE_PASSWORD_FILE", "TMBUNDLE_PASSWORD_COMMAND"] {
        ls(&path, &[(variable, "/nowhere")], &command).expect(0, &[]);
    }
    ls(&path, &[("TMBUNDLE_PASSWORD", "right")], &["--password-command", "echo wrong"])
        .expect(3, &["does not open"]);
    ls(&path, &[("TMBUNDLE_PASSWORD", "right")], &[]).expect(0, &[]);
}

#[test]
fn one_share_may_have_many_passwords() {
    let dir = tempfile::tempdir().unwrap();
    let share = dir.path().join("share");
    let passwords = dir.path().join("passwords");
    fs::create_dir_all(&share).unwrap();
    fs::create_dir_all(&passwords).unwrap();
    for (name, password) in [("Anna", "of anna"), ("Bob", "of bob")] {
        encrypted(&share.join(format!("{name}.sparsebundle")), password);
    }
    fs::write(passwords.join("Anna.sparsebundle"), "of anna\n").unwrap();
    fs::write(passwords.join("Bob"), "of bob\n").unwrap();
    let of = |folder: &Path| {
        let dir = folder.to_str().unwrap();
        common::tmbundle(&["verify", "--password-dir", dir, "--json", share.to_str().unwrap()])
    };
    let checked = |ran: &Ran| {
        let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        json["sources"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| s["not_checked"].as_array().is_none_or(Vec::is_empty))
            .collect::<Vec<_>>()
    };
    let ran = of(&passwords);
    ran.expect(0, &[]);
    assert_eq!(checked(&ran), [true, true], "{ran:#?}");
    // The command is told whose password is wanted.
    let command = "case $TMBUNDLE_SOURCE in /*/Anna.sparsebundle) echo of anna;; /*/Bob.sparsebundle) echo of bob;; esac";
    let args = ["verify", "--password-command", command, "--json", share.to_str().unwrap()];
    let ran = common::tmbundle(&args);
    ran.expect(0, &[]);
    assert_eq!(checked(&ran), [true, true], "{ran:#?}");
    // Whoever has no file there is as without a password; a missing folder is an error.
    fs::remove_file(passwords.join("Bob")).unwrap();
    assert_eq!(checked(&of(&passwords)), [true, false]);
    of(&passwords.join("nowhere")).expect(3, &["cannot read the password folder"]);
}

#[test]
fn three_tries_at_a_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("Anna.sparsebundle");
    encrypted(&path, "right");
    let ls = |lines: &[&str]| typed("ls", &path, "Anna.sparsebundle: ", lines);
    let Some((code, text)) = ls(&["wrong", "again", "right"]) else {
        return common::skipped("three tries: script(1) does not run here");
    };
    assert_eq!((code, text.matches("Password for").count()), (Some(0), 3), "{text}");
    let (code, text) = ls(&["wrong", "again", "still wrong", "right"]).unwrap();
    assert_eq!((code, text.matches("Password for").count()), (Some(3), 3), "{text}");
    assert!(text.contains("does not open Anna.sparsebundle"), "{text}");
}

#[test]
fn three_tries_for_a_volume_of_apfs_too() {
    let test = "three_tries_for_a_volume_of_apfs_too";
    let Some(data) = common::shared_data(test) else { return };
    let image = common::unpack(&data.join("apfs/goapfs-encrypted.img.gz"));
    for command in ["ls", "verify -v"] {
        let run = |lines: &[&str]| typed(command, &image, "'Enc': ", lines);
        let Some((code, text)) = run(&["wrong", "again", "hunter2hunter2"]) else {
            return common::skipped(format_args!("{test}: script(1) does not run here"));
        };
        assert_eq!((code, text.matches("Password for").count()), (Some(0), 3), "{text}");
        let (code, text) = run(&["wrong", "again", "still wrong", "hunter2hunter2"]).unwrap();
        assert_eq!((code, text.matches("Password for").count()), (Some(3), 3), "{text}");
    }
}

/// Run a command at a pseudo terminal, typing a line whenever a password is asked for; the
/// exit code and what was shown.
fn typed(
    command: &str,
    source: &Path,
    prompt: &str,
    lines: &[&str],
) -> Option<(Option<i32>, String)> {
    use std::io::{Read, Write};
    let address = if command == "ls" { " volume:" } else { "" };
    let program = env!("CARGO_BIN_EXE_tmbundle");
    let command = format!("'{program}' {command} '{}'{address}", source.display());
    let mut child = std::process::Command::new("script")
        .args(["-qefc", &command, "/dev/null"])
        .env("NO_COLOR", "1")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .ok()?;
    let (mut keyboard, mut screen) = (child.stdin.take()?, child.stdout.take()?);
    let (mut shown, mut byte, mut next) = (Vec::new(), [0], lines.iter());
    while screen.read(&mut byte).is_ok_and(|n| n == 1) {
        shown.push(byte[0]);
        if shown.ends_with(prompt.as_bytes()) {
            // The prompt stands before the terminal is made silent.
            std::thread::sleep(std::time::Duration::from_millis(300));
            let _ = writeln!(keyboard, "{}", next.next().unwrap_or(&""));
        }
    }
    Some((child.wait().ok()?.code(), String::from_utf8_lossy(&shown).into_owned()))
}

/// A container with a volume that is not encrypted and one that is.
fn two_volumes(dir: &Path, asked: Option<u32>, plain: bool) -> std::path::PathBuf {
    use tools::apfs::{Container, ContainerOptions, Meta, ROOT, VolumeEncryption, VolumeOptions};
    let mut container = Container::new(ContainerOptions::default());
    let passwords = vec!["right".into(), "another".into()];
    let encryption =
        VolumeEncryption { asked, passwords, ..VolumeEncryption::with_password("right") };
    let secret = VolumeOptions {
        name: "Secret".into(),
        encryption: Some(encryption),
        ..VolumeOptions::default()
    };
    let secret = container.add_volume(secret);
    if plain {
        container.add_volume(VolumeOptions { name: "Plain".into(), ..VolumeOptions::default() });
    }
    container.commit();
    container.volume(secret).file(ROOT, "letter", "Dear Anna\n", Meta::file());
    let path = dir.join("two.img");
    container.finish().image.write_to(&path).unwrap();
    path
}

#[test]
fn a_password_that_opens_none_of_several_volumes_is_named_by_every_command() {
    let dir = tempfile::tempdir().unwrap();
    let path = two_volumes(dir.path(), None, true);
    let path = path.to_str().unwrap();
    let to = dir.path().join("out");
    for args in [
        &["ls", path][..],
        &["ls", path, "volume:/"],
        &["snapshots", path],
        &["cat", path, "volume:/letter"],
        &["extract", path, "volume:/", "--to", to.to_str().unwrap()],
        &["info", path],
        &["verify", path],
    ] {
        let ran = tmbundle_with(&[("TMBUNDLE_PASSWORD", "wrong")], args);
        assert_eq!(ran.code, Some(3), "{args:?} {ran:#?}");
        let named = args[0] == "info" || format!("{}{}", ran.out, ran.err).contains("'Secret'");
        assert!(named, "{args:?} {ran:#?}");
        // Without a password what is not locked can be had.
        if args.last() == Some(&"volume:/") && args[0] == "ls" {
            assert_ne!(tmbundle_with(&[], args).code, Some(3));
        }
    }
}

#[test]
fn a_password_that_is_not_tried_for_its_cost_is_no_success() {
    let dir = tempfile::tempdir().unwrap();
    for plain in [false, true] {
        // Of two keys, too much together.
        let path = two_volumes(dir.path(), Some(6_000_000), plain);
        let path = path.to_str().unwrap();
        for args in [&["verify", path][..], &["info", path], &["ls", path, "volume:/"]] {
            let ran = tmbundle_with(&[("TMBUNDLE_PASSWORD", "right")], args);
            assert_eq!(ran.code, Some(3), "{args:?} {ran:#?}");
            if args[0] == "info" {
                assert!(!ran.out.contains("encrypted     no\n"), "{ran:#?}");
            }
        }
        // Without one it is as any other that is not opened.
        tmbundle_with(&[], &["verify", path]).expect(0, &["'Secret'"]);
    }
}
