//! The servers' own word, where they give it to anybody. Bounded in time and in size.

pub mod dsi;
pub mod mdns;

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
    run("testparm", &["-s", &path]).map(|text| read_testparm(&text))
}

/// Read what testparm wrote to standard error.
pub fn read_testparm(text: &str) -> TestParm {
    let mut told =
        TestParm { loads: !text.contains("Error loading services"), ..TestParm::default() };
    for line in text.lines() {
        if let Some((_, name)) = line.split_once("Unknown parameter encountered: ") {
            told.unknown.push(name.trim().trim_matches('"').to_owned());
        } else if !told.loads
            && told.says.is_none()
            && (line.contains("not boolean")
                || line.contains("invalid value")
                || line.contains("Badly formed")
                || line.contains("params.c"))
        {
            told.says = Some(line.trim().to_owned());
        }
    }
    told
}

/// Run a program that only reads; what it wrote to standard error.
fn run(program: &str, args: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    command.args(args).env("LC_ALL", "C");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().ok()?;
    let pipe = child.stderr.take()?;
    let reader = std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = pipe.take(MOST).read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    });
    let begun = Instant::now();
    while child.try_wait().ok()?.is_none() {
        if begun.elapsed() > LONGEST {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    reader.join().ok()
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
        assert_eq!(run("/nonexistent/program", &[]), None);
        assert_eq!(run("sh", &["-c", "echo a >&2; exit 3"]).as_deref(), Some("a\n"));
    }
}
