//! The servers' own word, where they give it to anybody. Bounded in time and in size.

pub mod dsi;
pub mod mdns;

use super::host::Version;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Nothing that is asked takes longer on a machine that works.
const LONGEST: Duration = Duration::from_secs(10);
/// What a program says beyond is not read.
const MOST: u64 = 4 << 20;

/// What testparm says of a configuration.
#[derive(Debug, Clone, Default)]
pub struct TestParm {
    /// Whether Samba takes it.
    pub loads: bool,
    /// Names of options that this Samba does not know, as they are written.
    pub unknown: Vec<String>,
    /// What it says of what it does not take.
    pub says: Option<String>,
}

/// Ask testparm of this machine; `None` if there is none, or it does not answer.
pub fn testparm(path: &str) -> Option<TestParm> {
    // It is not to take the file for an option.
    let path = if path.starts_with('-') { format!("./{path}") } else { path.to_owned() };
    run("testparm", &["-s", &path]).map(|said| read_testparm(&said.err))
}

/// Read what testparm wrote to standard error.
pub fn read_testparm(text: &str) -> TestParm {
    let (before, loads) = match text.split_once("Error loading services") {
        Some((before, _)) => (before, false),
        None => (text, true),
    };
    let unknown = text.lines().filter_map(|line| {
        let (_, name) = line.split_once("Unknown parameter encountered: ")?;
        Some(name.trim().trim_matches('"').to_owned())
    });
    // What it says last is what ended it; of an option that it does not know it goes on.
    let idle = [
        "Load smb config files",
        "nknown parameter",
        "Loaded services",
        "rlimit_max",
        "deprecated",
    ];
    let last = before
        .lines()
        .map(str::trim)
        .rfind(|line| !line.is_empty() && !idle.iter().any(|begin| line.contains(begin)));
    let says = last.filter(|_| !loads).map(str::to_owned);
    TestParm { loads, unknown: unknown.collect(), says }
}

/// The version of this machine's Samba, where no list of packages tells it.
pub fn samba_version() -> Option<Version> {
    let said = run("testparm", &["--version"])?;
    version_of(said.out.trim().strip_prefix("Version ")?)
}

/// `4.17.12-Debian`, `2:4.17.12+dfsg-0` is 4.17.
pub(super) fn version_of(text: &str) -> Option<Version> {
    let bare = text.rsplit(':').next()?;
    let mut parts = bare.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// What a program wrote.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// To standard output.
    pub out: String,
    /// To standard error.
    pub err: String,
    /// Whether it ended well.
    pub success: bool,
}

/// Run a program that only reads; `None` if it is not there or does not end.
pub(super) fn run(program: &str, args: &[&str]) -> Option<Said> {
    let mut command = Command::new(program);
    command.args(args).env("LC_ALL", "C");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().ok()?;
    let (out, err) = (listen(child.stdout.take()?), listen(child.stderr.take()?));
    let begun = Instant::now();
    let ended = loop {
        if let Some(ended) = child.try_wait().ok()? {
            break ended;
        }
        if begun.elapsed() > LONGEST {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let (out, err) = (out.join().ok()?, err.join().ok()?);
    Some(Said { out, err, success: ended.success() })
}

fn listen(pipe: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let (mut text, mut pipe) = (Vec::new(), pipe);
        let _ = pipe.by_ref().take(MOST).read_to_end(&mut text);
        // Who writes more is to end all the same.
        let _ = std::io::copy(&mut pipe, &mut std::io::sink());
        String::from_utf8_lossy(&text).into_owned()
    })
}

/// Samba's registry as `net conf list` shows it, which only root may; `None` if it cannot be had.
pub fn registry(path: &str) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let said = run("net", &[&format!("--configfile={path}"), "conf", "list"])?;
    // One in which there is nothing is told by nothing.
    said.success.then_some(said.out)
}

/// Files that are open by `smbstatus`, which only root may ask, and who has each open.
pub fn smbstatus(path: &str) -> Option<Vec<(String, String)>> {
    let said = run("smbstatus", &["--json", &format!("--configfile={path}")])?;
    read_smbstatus(&said.out)
}

/// Read what `smbstatus --json` writes (Samba 4.17 and later).
pub fn read_smbstatus(text: &str) -> Option<Vec<(String, String)>> {
    let all: serde_json::Value = serde_json::from_str(text).ok()?;
    let sessions = all.get("sessions").and_then(|s| s.as_object());
    let name = |pid: &str| {
        let of = |s: &&serde_json::Value| s.pointer("/server_id/pid")?.as_str().map(|p| p == pid);
        let session = sessions?.values().find(|s| of(s) == Some(true))?;
        let word = |key: &str| session.get(key).and_then(|v| v.as_str());
        Some(format!("{} from {}", word("username")?, word("remote_machine")?))
    };
    let mut found = Vec::new();
    for (path, file) in all.get("open_files").and_then(|f| f.as_object())? {
        let opens = file.get("opens").and_then(|o| o.as_object()).into_iter().flatten();
        for (_, open) in opens {
            let pid = open.pointer("/server_id/pid").and_then(|p| p.as_str());
            found.extend(pid.and_then(name).map(|who| (path.clone(), who)));
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_testparm() {
        // As testparm 4.17 writes them.
        let text = "Load smb config files from t.conf\nUnknown parameter encountered: \"vaild users\"\n\
            Ignoring unknown parameter \"vaild users\"\nset_variable_helper(zz9): value is not boolean!\n\
            Error loading services.\n";
        let told = read_testparm(text);
        assert!(!told.loads);
        assert_eq!(told.unknown, ["vaild users"]);
        assert_eq!(told.says.as_deref(), Some("set_variable_helper(zz9): value is not boolean!"));
        assert!(read_testparm("Loaded services file OK.\n").loads);
    }

    #[test]
    fn who_does_not_answer_is_not_waited_for() {
        assert!(run("/nonexistent/program", &[]).is_none());
        let said = run("sh", &["-c", "echo a >&2; echo b; exit 3"]).unwrap();
        assert_eq!((said.err.as_str(), said.out.as_str()), ("a\n", "b\n"));
        assert!(!said.success && run("true", &[]).unwrap().success);
        // More than is read does not keep it from ending.
        let said = run("sh", &["-c", "yes | head -c 9000000"]).unwrap();
        assert_eq!(said.out.len() as u64, MOST);
    }
}
