//! Shared by the integration tests: where data lies, and how it is unpacked.
#![allow(dead_code, clippy::print_stderr)]

pub mod contents;
pub mod manifest;
pub mod patched;
pub mod schema;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Say that something was left out. The test runner swallows what a test prints, and
/// this should be read.
pub fn skipped(what: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "SKIPPED {what}");
}

/// The folder of volumes that others wrote, if it is there. A test that needs it
/// says so when it is not.
pub fn shared_data(test: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    if path.join("CATALOG.md").exists() {
        return Some(path);
    }
    skipped(format_args!("{test}: ../shared/data is not here"));
    None
}

/// A folder for unpacked data that stays between runs.
pub fn cache_dir() -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("data");
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

/// Unpack a gzip file with holes where it holds zeros; once.
pub fn unpack(gz: &Path) -> PathBuf {
    let name = gz.file_stem().unwrap();
    let out = cache_dir().join(name);
    if out.exists() {
        return out;
    }
    let partial = tempfile::NamedTempFile::new_in(cache_dir()).unwrap();
    let mut to = partial.reopen().unwrap();
    let mut from = flate2::read::MultiGzDecoder::new(File::open(gz).unwrap());
    let mut buf = vec![0; 1 << 16];
    let mut len = 0u64;
    loop {
        let n = fill(&mut from, &mut buf);
        if n == 0 {
            break;
        }
        if buf[..n].iter().any(|b| *b != 0) {
            to.seek(SeekFrom::Start(len)).unwrap();
            to.write_all(&buf[..n]).unwrap();
        }
        len += n as u64;
    }
    to.set_len(len).unwrap();
    partial.persist(&out).unwrap();
    out
}

fn fill(from: &mut impl Read, buf: &mut [u8]) -> usize {
    let mut n = 0;
    while n < buf.len() {
        match from.read(&mut buf[n..]).unwrap() {
            0 => break,
            k => n += k,
        }
    }
    n
}

/// Unpack a tar.gz of one bundle; returns the bundle's folder. Once.
pub fn unpack_bundle(tar_gz: &Path) -> PathBuf {
    let name = tar_gz.file_name().unwrap().to_str().unwrap().trim_end_matches(".tar.gz");
    let dir = cache_dir().join(format!("{name}.d"));
    if !dir.exists() {
        let partial = tempfile::tempdir_in(cache_dir()).unwrap();
        let status = std::process::Command::new("tar")
            .arg("-xzf")
            .arg(tar_gz)
            .arg("-C")
            .arg(partial.path())
            .status()
            .expect("tar is needed to unpack bundles");
        assert!(status.success());
        // Another test may have been faster.
        let _ = std::fs::rename(partial.keep(), &dir);
    }
    let inner = std::fs::read_dir(&dir).unwrap().next().unwrap().unwrap();
    inner.path()
}

/// Every file in `dir` whose name ends so, sorted.
pub fn files_ending(dir: &Path, end: &str) -> Vec<PathBuf> {
    let mut found: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.file_name().unwrap().to_str().unwrap().ends_with(end))
        .collect();
    found.sort();
    found
}

/// Bytes of a gzip file.
pub fn gunzip(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    flate2::read::MultiGzDecoder::new(File::open(path).unwrap()).read_to_end(&mut bytes).unwrap();
    bytes
}

/// SHA-256 in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// MD5 in hexadecimal: some catalogues give nothing better.
pub fn md5(bytes: &[u8]) -> String {
    use md5::Digest;
    md5::Md5::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// Run the program; its output and exit code.
pub fn tmbundle(args: &[&str]) -> Ran {
    tmbundle_with(&[], args)
}

/// Run the program with these variables in its environment.
///
/// Its state goes into a folder of its own, unless the variables name one: tests that
/// verify the same bundle at the same time must not lock each other out.
pub fn tmbundle_with(variables: &[(&str, &str)], args: &[&str]) -> Ran {
    let state = tempfile::tempdir().unwrap();
    let out = std::process::Command::new(env!("CARGO_BIN_EXE_tmbundle"))
        .args(args)
        .env_remove("STATE_DIRECTORY")
        .env("XDG_STATE_HOME", state.path())
        .envs(variables.iter().copied())
        .env("NO_COLOR", "1")
        .env("TZ", "UTC")
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    Ran {
        code: out.status.code(),
        out: String::from_utf8_lossy(&out.stdout).into_owned(),
        err: String::from_utf8_lossy(&out.stderr).into_owned(),
    }
}

/// Where the program keeps its state in tests, instead of in the user's home: each test has
/// a place of its own, for what one knows of a bundle is not for another's copy of it.
pub fn state_home() -> PathBuf {
    static SWEPT: std::sync::Once = std::sync::Once::new();
    let all = Path::new(env!("CARGO_TARGET_TMPDIR")).join("state");
    SWEPT.call_once(|| {
        let day = std::time::Duration::from_secs(86_400);
        for entry in std::fs::read_dir(&all).into_iter().flatten().flatten() {
            let age =
                entry.metadata().and_then(|m| m.modified()).ok().and_then(|t| t.elapsed().ok());
            if age.is_some_and(|age| age > day) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    });
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("main").replace("::", ".");
    all.join(format!("{}-{test}", std::process::id()))
}

/// What a run of the program gave.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// Assert the exit code and that both outputs together contain every word.
    #[track_caller]
    pub fn expect(&self, code: i32, words: &[&str]) -> &Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        for word in words {
            assert!(self.out.contains(word) || self.err.contains(word), "no '{word}' in {self:#?}");
        }
        assert!(!self.err.contains("panicked"), "{self:#?}");
        self
    }
}

/// Text of an Info.plist.
pub fn info_plist(band_size: u64, size: u64) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<plist version=\"1.0\">\n<dict>\n\
         <key>CFBundleInfoDictionaryVersion</key><string>6.0</string>\n\
         <key>band-size</key><integer>{band_size}</integer>\n\
         <key>bundle-backingstore-version</key><integer>1</integer>\n\
         <key>diskimage-bundle-type</key><string>com.apple.diskimage.sparsebundle</string>\n\
         <key>size</key><integer>{size}</integer>\n</dict>\n</plist>\n"
    )
}

/// Make an empty bundle: plists, token, bands/.
pub fn empty_bundle(path: &Path, band_size: u64, size: u64) {
    std::fs::create_dir_all(path.join("bands")).unwrap();
    std::fs::write(path.join("token"), b"").unwrap();
    for name in ["Info.plist", "Info.bckup"] {
        std::fs::write(path.join(name), info_plist(band_size, size)).unwrap();
    }
}

/// The bundle that comes with the repository.
pub fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/Demo.sparsebundle")
}

/// Copy the bundle that comes with the repository.
pub fn copy_demo(to: &Path) {
    copy(&demo(), to);
}

/// Copy a bundle: written just now, and without holes, whichever the checkout has.
pub fn copy(from: &Path, to: &Path) {
    let copied =
        std::process::Command::new("cp").args(["-r", "--sparse=never"]).args([from, to]).status();
    assert!(copied.unwrap().success());
}

/// Contents of that many bytes: a mark again and again, to be found in bands without our
/// reader.
pub fn marked(name: &str, version: u32, len: usize) -> tools::hfs::Content {
    let mark = format!("<<{name}#{version}>>").into_bytes();
    tools::hfs::Content::Bytes(mark.into_iter().cycle().take(len).collect())
}

/// Zero the volume header of a copy of [`demo`]: sector 2 of the volume at byte 20480.
pub fn zero_volume_header(bundle: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let band = bundle.join("bands/0");
    std::fs::set_permissions(&band, std::fs::Permissions::from_mode(0o644)).unwrap();
    let mut bytes = std::fs::read(&band).unwrap();
    bytes[20480 + 1024..20480 + 1536].fill(0);
    std::fs::write(&band, bytes).unwrap();
}

/// Fail with the first of the differences, if there are any.
#[track_caller]
pub fn assert_none(wrong: &[String]) {
    let first = &wrong[..wrong.len().min(60)];
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), first.join("\n"));
}
