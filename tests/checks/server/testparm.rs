//! What values Samba takes is asked of the testparm that is installed, where it is of the version
//! that `keys.txt` tells of.

use crate::common::skipped;
use std::path::Path;
use std::process::Command;
use tmbundle::config::samba::keys;
use tmbundle::server::live::{TestParm, read_testparm};

const KEYS: &str = include_str!("../../../src/config/samba/keys.txt");
/// They lead elsewhere.
const LEAD: &[&str] = &["include", "copy", "config file", "config backend", "registry shares"];
/// Bits of Kerberos, which no share depends on: not told here.
const BITS: &[&str] = &["kdc default domain supported enctypes", "kdc supported enctypes"];
const WORDS: &[&str] = &["zzqq", "", "-1", "yes", "+1", "+1K", "++1"];
/// What is a matter of detail.
const DETAILS: &[(&str, &[&str])] = &[
    (
        "name resolve order",
        &["host", "HOST", "lmhosts,wins bcast;host", "\"host wins\"", "host dns", "host, ", ","],
    ),
    (
        "smb ports",
        &["445", "445,139", "0445", "445x", "+445", "0", "65535", "65536", "\"445 139\"", ","],
    ),
    (
        "rpc server dynamic port range",
        &["1024-2000", "1024 - 2000", "1023-2000", "2000-1024", "1024-65536", "1024-2000x", "a"],
    ),
    ("security", &["USER", "shrae"]),
    ("max log size", &["1K", "1KB", "big"]),
    ("create mask", &["0664", "rwx"]),
];

/// What Samba says of a file.
fn ask(dir: &Path, text: &str) -> TestParm {
    let file = dir.join("smb.conf");
    std::fs::write(&file, text).unwrap();
    let out = Command::new("testparm").arg("-s").arg(file).output().unwrap();
    read_testparm(&String::from_utf8_lossy(&out.stderr))
}

#[test]
fn values_that_samba_refuses_are_known() {
    let test = "values_that_samba_refuses_are_known";
    let version = Command::new("testparm").arg("--version").output();
    let version = version.map(|o| String::from_utf8_lossy(&o.stdout).into_owned());
    if !version.as_ref().is_ok_and(|v| v.contains(" 4.17.")) {
        return skipped(format_args!("{test}: testparm is not of 4.17: {version:?}"));
    }
    let dir = tempfile::tempdir().unwrap();
    let kept = |name: &str| !LEAD.contains(&name) && !BITS.contains(&name);
    let all = KEYS.lines().filter_map(|line| line.split_once('\t')).filter(|(name, _)| kept(name));
    let of = |name: &str| DETAILS.iter().find(|(of, _)| *of == name).map_or(&[][..], |d| d.1);
    let (mut taken, mut wrong, mut refused) = (Vec::new(), Vec::new(), 0);
    for (name, rest) in all {
        let section = if rest.starts_with('g') { "[global]" } else { "[tm]\npath = /tmp" };
        for value in WORDS.iter().chain(of(name)) {
            let text = format!("{section}\n{name} = {value}\n");
            if !keys::refuses(&keys::canonical(name).0, value) {
                taken.push(text);
            } else if !matches!(*value, "-1" | "") {
                // These are refused where any word is, and each question takes its time.
                let told = ask(dir.path(), &text);
                if !told.unknown.is_empty() {
                    break;
                }
                refused += 1;
                wrong.extend(told.loads.then(|| format!("taken by Samba: {text}")));
            }
        }
    }
    // Options of other versions are passed over there.
    // Halves are looked into only where one is not taken.
    let mut left = vec![&taken[..]];
    while let Some(some) = left.pop() {
        match some {
            _ if ask(dir.path(), &some.concat()).loads => {}
            [one] => wrong.push(format!("refused by Samba: {one}")),
            some => left.extend([&some[..some.len() / 2], &some[some.len() / 2..]]),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(refused > 200 && taken.len() > 500, "{refused} {}", taken.len());
}
