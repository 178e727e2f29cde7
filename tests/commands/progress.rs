//! Progress as a terminal shows it, through a pseudo terminal that script(1) makes.

use crate::common;

use std::process::{Command, Stdio};

/// What a terminal would have been sent, with its control sequences.
fn on_a_terminal(arguments: &str) -> Option<String> {
    let command = format!("stty cols 100; {} {arguments}", env!("CARGO_BIN_EXE_tmbundle"));
    let out = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .env("TERM", "xterm")
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .output();
    match out {
        Ok(out) if out.status.code() == Some(0) => Some(String::from_utf8(out.stdout).unwrap()),
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
