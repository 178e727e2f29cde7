//! Volumes and bundles made to do harm: a few kilobytes that claim to be terabytes, that
//! lead in circles or name one thing a million times. The program runs on them with a
//! limit of memory and of processor time, above what it needs and far below what it once
//! took.

mod archives;
mod bundles;
mod claims;
mod volumes;

use std::process::Command;

/// Address space of a run in KiB, and seconds of its processor time (in a debug build).
const MEMORY: u64 = 512 << 10;
const SECONDS: u64 = 25;

/// Run the program within bounds; it, and every process it starts, must end by itself.
///
/// With `TMBUNDLE_MEASURE=PROGRAM` that program runs instead, and what it took is shown.
#[track_caller]
fn bounded(args: &[&str]) -> (i32, String) {
    let state = tempfile::tempdir().unwrap();
    let limits = format!("ulimit -v {MEMORY}; ulimit -t {SECONDS}; exec \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &limits, "sh"]);
    let measured = std::env::var("TMBUNDLE_MEASURE");
    let took = state.path().join("took");
    match &measured {
        Ok(program) => {
            let form = "%U + %S s, %M KiB, rc %x";
            command.args(["time", "-f", form, "-o", took.to_str().unwrap(), program]);
        }
        Err(_) => {
            command.arg(env!("CARGO_BIN_EXE_tmbundle"));
        }
    }
    let out = command
        .args(args)
        .env("XDG_STATE_HOME", state.path())
        .env("NO_COLOR", "1")
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    if measured.is_ok() {
        let took = std::fs::read_to_string(took).unwrap();
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        eprint!("{test}: {} -> {} bytes: {took}", args.join(" "), out.stdout.len());
    }
    let text =
        String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    let code = out.status.code();
    // A check runs in a process of its own, whose end is only a finding.
    assert!(
        matches!(code, Some(0..=3)) && !text.contains("EXAMINATION-ENDED"),
        "{args:?}: {:?} {}",
        out.status,
        text.chars().take(2000).collect::<String>()
    );
    (code.unwrap(), text)
}
