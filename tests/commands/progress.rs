//! Progress as a terminal shows it, through a pseudo terminal that script(1) makes.

use crate::common;

use std::process::{Command, Stdio};

/// What a terminal would have been sent, with its control sequences.
fn on_a_terminal(arguments: &str) -> Option<String> {
    ended(0, 100, &[("NO_COLOR", "1")], arguments)
}

/// The same of a run that ends with `code` on a terminal of so many columns.
fn ended(code: i32, columns: u32, variables: &[(&str, &str)], arguments: &str) -> Option<String> {
    let command = format!("stty cols {columns}; {} {arguments}", env!("CARGO_BIN_EXE_tmbundle"));
    let out = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .env("TERM", "xterm")
        .env("XDG_STATE_HOME", common::state_home())
        .env_remove("NO_COLOR")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output();
    match out {
        Ok(out) if out.status.code() == Some(code) => Some(String::from_utf8(out.stdout).unwrap()),
        other => {
            common::skipped(format_args!("script(1) does not run here: {other:?}"));
            None
        }
    }
}

#[test]
fn two_lines_with_phase_items_bytes_rate_and_time_left() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["A", "B"] {
        common::copy_demo(&dir.path().join(format!("{name}.sparsebundle")));
    }
    // Slow enough to be worth a progress bar.
    let share = dir.path().display();
    let Some(text) = on_a_terminal(&format!("verify --limit-rate 300K '{share}'")) else { return };
    assert!(text.contains("bundle 2 of 2 · B.sparsebundle · checking the catalog tree"), "{text}");
    let drawn =
        text.split('\r').find(|d| ["█", "iB · ", "iB/s · ", " left"].iter().all(|w| d.contains(w)));
    assert!(drawn.is_some(), "{text}");
    // The bars are gone at the end; each bundle has its line, and all have a sum.
    for line in ["A.sparsebundle  ok", "B.sparsebundle  ok"] {
        assert!(text.contains(line), "{text}");
    }
    assert!(text.contains("2 sources: 2 ok"), "{text}");
}

#[test]
fn the_manifest_and_the_contents_have_bars_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("A.sparsebundle");
    common::copy_demo(&bundle);
    let state = dir.path().join("state");
    let arguments = format!(
        "verify --manifest --read-data --limit-rate 300K --state-dir '{}' '{}'",
        state.display(),
        bundle.display()
    );
    let Some(text) = on_a_terminal(&arguments) else { return };
    for phase in ["reading the files' contents", "hashing the bands"] {
        let bar = text.split('\r').any(|d| d.contains(phase) && d.contains("/s · "));
        assert!(bar, "{phase}: {text}");
    }
}

/// Without its colours.
fn plain(text: &str) -> String {
    let mut parts = text.split('\x1b');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| all + part.split_once('m').map_or(part, |(_, rest)| rest))
}

#[test]
fn colour_is_for_terminals_and_words_wrap_between_them() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("A.sparsebundle");
    common::copy_demo(&bundle);
    std::fs::remove_file(bundle.join("bands/9")).unwrap();
    let arguments = format!("verify --all '{}'", bundle.display());
    let Some(coloured) = ended(1, 60, &[], &arguments) else { return };
    let page = coloured.rsplit_once('\x1b').map_or("", |_| coloured.as_str());
    assert!(page.contains("\x1b[31m") && page.contains("\x1b[32m"), "{coloured}");
    let Some(monochrome) = ended(1, 60, &[("NO_COLOR", "1")], &arguments) else { return };
    assert!(!monochrome.contains("\x1b[3") && !monochrome.contains("\x1b[1m"), "{monochrome}");
    // Nothing is wider but a word that is, and no word is cut.
    let wide = common::tmbundle(&["verify", "--all", bundle.to_str().unwrap()]).out;
    let words: std::collections::HashSet<&str> = wide.split_whitespace().collect();
    let text = plain(&coloured);
    let lines = text.lines().skip_while(|l| !l.starts_with("  bundle")).map(str::trim_end);
    let mut wrapped = 0;
    for line in lines {
        let path = line.contains(":/");
        assert!(path || line.chars().count() <= 60, "{line}");
        for word in line.split_whitespace() {
            let time = word.ends_with('s') || word.parse::<f64>().is_ok();
            assert!(time || words.contains(word), "'{word}' of '{line}'");
        }
        wrapped += 1;
    }
    assert!(wrapped > wide.lines().count(), "{text}");
}

/// Who waits sees for what.
#[test]
fn a_wait_for_a_mac_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("A.sparsebundle");
    common::copy_demo(&bundle);
    let held = super::verdicts::in_use(&bundle);
    let arguments = format!("verify --if-busy wait=2s '{}'", bundle.display());
    let Some(text) = on_a_terminal(&arguments) else { return };
    drop(held);
    let bar = text.split('\r').find(|d| d.contains("waiting for a Mac to finish: token is locked"));
    assert!(bar.is_some_and(|bar| bar.contains("/2")), "{text}");
    // Off a terminal, as from cron, not a word more.
    let held = super::verdicts::in_use(&bundle);
    let ran = common::tmbundle(&["verify", "--if-busy", "wait=1s", bundle.to_str().unwrap()]);
    drop(held);
    assert!(!ran.out.contains("waiting") && !ran.err.contains("waiting"), "{ran:#?}");
}
