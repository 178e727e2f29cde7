//! Lines of PAM (pam.conf(5)), with what they include.

use super::text::{At, Files, lines};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A line that names a module.
#[derive(Debug, Clone)]
pub struct PamLine {
    /// Where it stands.
    pub at: At,
    /// `required`, `[success=1 …]`.
    pub control: String,
    /// The module's file.
    pub module: String,
    /// Whether a missing module is to be passed over (`-auth …`).
    pub lenient: bool,
}

impl PamLine {
    /// Whether nobody gets in if the module does not exist.
    pub fn is_needed(&self) -> bool {
        !self.lenient && matches!(self.control.as_str(), "required" | "requisite")
    }
}

/// Read a file and what it includes.
pub fn read(files: &dyn Files, path: &str) -> Vec<PamLine> {
    let mut all = Vec::new();
    let mut seen = BTreeSet::new();
    include(files, path, &mut seen, &mut all);
    all
}

fn include(files: &dyn Files, path: &str, seen: &mut BTreeSet<String>, all: &mut Vec<PamLine>) {
    if seen.len() > 64 || !seen.insert(path.to_owned()) {
        return;
    }
    let Ok(text) = files.text(path) else { return };
    let file: Arc<str> = path.into();
    for (n, line) in lines(&text) {
        let line = line.split('#').next().unwrap_or("").trim();
        if let Some(name) = line.strip_prefix("@include") {
            include(files, &format!("/etc/pam.d/{}", name.trim()), seen, all);
            continue;
        }
        let Some((kind, rest)) = line.split_once(char::is_whitespace) else { continue };
        let rest = rest.trim_start();
        let (control, rest) = match rest.strip_prefix('[').and_then(|r| r.split_once(']')) {
            Some((inner, rest)) => (format!("[{inner}]"), rest),
            None => match rest.split_once(char::is_whitespace) {
                Some((control, rest)) => (control.to_lowercase(), rest),
                None => continue,
            },
        };
        let Some(module) = rest.split_whitespace().next() else { continue };
        if matches!(control.as_str(), "include" | "substack") {
            include(files, &format!("/etc/pam.d/{module}"), seen, all);
            continue;
        }
        all.push(PamLine {
            at: At::new(&file, n),
            control,
            module: module.rsplit('/').next().unwrap_or(module).to_owned(),
            lenient: kind.starts_with('-'),
        });
    }
}
