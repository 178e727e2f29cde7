//! Each source is examined by a process of its own: one that dies, of whatever, is a
//! finding of its own, and the others are examined.

use crate::common;
use crate::common::{Ran, copy_demo, tmbundle_with};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// A share of three bundles, of which the second dies.
fn share(dir: &Path) {
    for name in ["A.sparsebundle", "M.sparsebundle", "Z.sparsebundle"] {
        copy_demo(&dir.join(name));
    }
    common::zero_volume_header(&dir.join("Z.sparsebundle"));
}

fn run(how: &str, dir: &Path, args: &[&str]) -> Ran {
    let death = format!("M.sparsebundle={how}");
    let args = [&["verify", dir.to_str().unwrap()], args].concat();
    tmbundle_with(&[("TMBUNDLE_TEST_DEATH", &death)], &args)
}

#[test]
#[cfg(debug_assertions)]
fn whatever_one_examination_dies_of_the_others_go_on() {
    let dir = tempfile::tempdir().unwrap();
    share(dir.path());
    let metrics = dir.path().join("tm.prom");
    for (how, args, words) in [
        ("abort", &[][..], "it crashed by signal 6"),
        ("kill", &[], "it was killed, perhaps because the system ran out of memory"),
        ("panic", &[], "it ended with exit code 101"),
        ("exit", &[], "it ended with exit code 7"),
        ("memory", &["--max-memory", "300M"], "it needed more memory than it may have"),
        ("hang", &["--max-time", "1s"], "it took longer than --max-time allows"),
    ] {
        let args = [args, &["--metrics", metrics.to_str().unwrap()]].concat();
        let started = Instant::now();
        let ran = run(how, dir.path(), &args);
        assert!(started.elapsed() < Duration::from_secs(30), "{how}: {:?}", started.elapsed());
        ran.expect(3, &[words, "EXAMINATION-ENDED", "HFS-HEADER", "Z.sparsebundle"]);
        ran.expect(3, &["3 sources: 1 damaged, 1 could not be examined, 1 ok"]);
        assert_eq!(ran.err, "", "{how}");
        let text = fs::read_to_string(&metrics).unwrap();
        for (name, up) in [("A", 1), ("M", 0), ("Z", 1)] {
            let path = dir.path().join(format!("{name}.sparsebundle"));
            let sample = format!(
                "tmbundle_up{{bundle=\"{name}.sparsebundle\",path=\"{}\"}} {up}\n",
                path.display()
            );
            assert!(text.contains(&sample), "{how}: {sample}{text}");
        }
        assert!(text.contains("tmbundle_run_exit_code 3\n"));
        fs::remove_file(&metrics).unwrap();
    }
}

#[test]
#[cfg(debug_assertions)]
fn a_death_is_told_in_json_and_of_a_single_source() {
    let dir = tempfile::tempdir().unwrap();
    share(dir.path());
    let ran = run("abort", &dir.path().join("M.sparsebundle"), &["--json"]);
    assert_eq!(ran.code, Some(3));
    let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(json["sources"][0]["findings"][0]["code"], "EXAMINATION-ENDED");
    assert_eq!(json["sources"][0]["verdict"], "unchecked");
}

/// What processor time is spent in vain ends, too. It takes as long as the smallest
/// limit, so it is not run with the others.
#[test]
#[ignore = "takes 30 s of processor time"]
#[cfg(debug_assertions)]
fn processor_time_ends() {
    let dir = tempfile::tempdir().unwrap();
    share(dir.path());
    run("cpu", dir.path(), &[]).expect(3, &["it used more processor time than it may"]);
}

/// A property list nested so deep that reading it would end the program.
#[test]
fn hostile_lists_silence_nobody() {
    let dir = tempfile::tempdir().unwrap();
    share(dir.path());
    let list = dir.path().join("M.sparsebundle/com.apple.TimeMachine.MachineID.plist");
    fs::write(&list, nested(149_000)).unwrap();
    let metrics = dir.path().join("tm.prom");
    for more in [&[][..], &["--quick"]] {
        let args = [&["--metrics", metrics.to_str().unwrap()], more].concat();
        let ran = run("", dir.path(), &args);
        assert!(matches!(ran.code, Some(1 | 3 | 0)), "{ran:?}");
        let text = fs::read_to_string(&metrics).unwrap();
        assert!(text.contains("Z.sparsebundle"), "{text}");
        if more.is_empty() {
            ran.expect(ran.code.unwrap(), &["Z.sparsebundle", "HFS-HEADER"]);
        }
    }
}

/// A binary property list of arrays in arrays, so many deep.
fn nested(levels: u32) -> Vec<u8> {
    let mut bytes = b"bplist00".to_vec();
    let mut offsets = Vec::new();
    for level in 0..levels {
        offsets.push(bytes.len() as u32);
        if level + 1 == levels {
            bytes.push(0x08);
        } else {
            bytes.push(0xA1);
            bytes.extend(&(level + 1).to_be_bytes()[1..]);
        }
    }
    let table = bytes.len() as u64;
    offsets.iter().for_each(|o| bytes.extend(&o.to_be_bytes()[1..]));
    bytes.extend([0, 0, 0, 0, 0, 0, 3, 3]);
    bytes.extend(u64::from(levels).to_be_bytes());
    bytes.extend(0u64.to_be_bytes());
    bytes.extend(table.to_be_bytes());
    bytes
}
