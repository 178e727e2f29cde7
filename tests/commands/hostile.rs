//! Volumes as an enemy would write them, each through the commands that root runs, under
//! limits of memory and time. `TMBUNDLE_HOSTILE=FROM..TO` chooses the seeds; `tools/soak`
//! goes on for hours.

use std::path::Path;
use std::process::{Command, Stdio};

/// Address space in KiB and CPU seconds that a command may take.
const MEMORY_KIB: u32 = 512 << 10;
const CPU_SECONDS: u32 = 10;
/// Most bytes that a command may print about a volume of a few megabytes.
const MOST_OUTPUT: usize = 50 << 20;

fn seeds() -> std::ops::Range<u64> {
    let range = std::env::var("TMBUNDLE_HOSTILE").unwrap_or_default();
    let ends: Vec<u64> = range.split("..").filter_map(|n| n.parse().ok()).collect();
    match ends[..] {
        [from, to] => from..to,
        _ => 0..120,
    }
}

/// Run under the limits; what is wrong with how it ended.
fn run(args: &[&str], dir: &Path) -> Result<Vec<u8>, String> {
    let limits = format!("ulimit -v {MEMORY_KIB}; ulimit -t {CPU_SECONDS}; exec \"$@\"");
    let out = Command::new("sh")
        .args(["-c", &limits, "sh", env!("CARGO_BIN_EXE_tmbundle")])
        .args(args)
        .env("XDG_STATE_HOME", dir.join("state"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let err = String::from_utf8_lossy(&out.stderr);
    let sound = matches!(out.status.code(), Some(0..=3));
    if !sound || err.contains("panicked") || err.contains("memory allocation") {
        let last = err.lines().last().unwrap_or_default();
        return Err(format!("{args:?} ended with {}: {last}", out.status));
    }
    // A check runs in a process of its own, whose end is only a finding.
    let ended = b"EXAMINATION-ENDED";
    if out.stdout.windows(ended.len()).any(|w| w == ended) {
        let told = String::from_utf8_lossy(&out.stdout);
        return Err(format!("{args:?}: the examination ended: {}", told.replace('\n', " ")));
    }
    if out.stdout.len() > MOST_OUTPUT {
        return Err(format!("{args:?} printed {} bytes", out.stdout.len()));
    }
    Ok(out.stdout)
}

fn play(seed: u64, dir: &Path) -> Vec<String> {
    let hostile = tools::hostile::volume(seed);
    let image = dir.join("hostile.img");
    hostile.image.write_to(&image).unwrap();
    let image = image.to_str().unwrap();
    let (to, root) = (dir.join("out"), "volume:/");
    let commands: [&[&str]; 5] = [
        &["verify", "--read-data", "--json", image],
        &["info", image],
        &["snapshots", image],
        &["ls", "-R", image, root],
        &["extract", image, root, "--to", to.to_str().unwrap()],
    ];
    let mut wrong = Vec::new();
    for args in commands {
        match run(args, dir) {
            Err(how) => wrong.push(format!("seed {seed} ({}): {how}", hostile.what.join("; "))),
            Ok(json) if args.contains(&"--json") => {
                if let Err(e) = serde_json::from_slice::<serde_json::Value>(&json) {
                    wrong.push(format!("seed {seed}: no JSON: {e}"));
                }
            }
            Ok(_) => {}
        }
    }
    let _ = std::fs::remove_dir_all(&to);
    wrong
}

#[test]
fn no_volume_harms_within_bounds() {
    let seeds = seeds();
    let middle = seeds.start + (seeds.end - seeds.start) / 2;
    let halves = [seeds.start..middle, middle..seeds.end];
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let threads = halves.map(|half| {
            scope.spawn(move || {
                let dir = tempfile::tempdir().unwrap();
                half.flat_map(|seed| play(seed, dir.path())).collect::<Vec<_>>()
            })
        });
        threads.into_iter().flat_map(|t| t.join().unwrap()).collect()
    });
    crate::common::assert_none(&wrong);
}
