//! The pages for the evening when something is wrong, run: `docs/runbooks/*.md`.
//!
//! In blocks marked `console` each line that begins with `$ ` is a command, and below it stands what
//! it prints. Each page has a server of its own that is in the page's situation; what the page calls
//! `/srv`, `/mnt` and `/dev/sdX` lies in its folder. `UPDATE_DOCS=1 cargo test --test commands
//! runbooks` writes what is printed into the pages: read the difference before it is kept.

use crate::common::{self, copy, demo};
use crate::golden::{a_server, ran, redacted};
use crate::mounting;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tools::bundle::{self, BundleOptions};
use tools::hfs::{Content, Meta, VolumeBuilder, VolumeOptions};
use tools::partition::Gpt;
use tools::timemachine;

/// The evening after the last backup of the demonstration bundle.
const NOW: &str = "2019-11-14T20:00:00Z";

fn page(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/runbooks").join(name).with_extension("md")
}

/// A server with Anna's bundle in its share.
struct Server {
    dir: tempfile::TempDir,
    disk: Option<PathBuf>,
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(disk) = &self.disk {
            let _ = Command::new("umount").arg(disk).output();
        }
    }
}

impl Server {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["bin", "srv/tm", "mnt/tm", "dev"] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        let server = Self { dir, disk: None };
        let program = server.at("bin/tmbundle");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_tmbundle"), program).unwrap();
        copy(&demo(), &server.anna());
        server
    }

    /// With a disk of its own below /srv, of so many bytes.
    fn with_disk(bytes: u64) -> Option<Self> {
        let mut server = Self::new();
        let srv = server.at("srv");
        fs::remove_dir_all(&srv).unwrap();
        fs::create_dir(&srv).unwrap();
        let size = format!("size={bytes},mode=755");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&srv).output();
        if !mounted.is_ok_and(|out| out.status.success()) {
            common::skipped("runbook disk-full: no disk of its own can be mounted here");
            return None;
        }
        server.disk = Some(srv);
        fs::create_dir(server.at("srv/tm")).unwrap();
        copy(&demo(), &server.anna());
        Some(server)
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn anna(&self) -> PathBuf {
        self.at("srv/tm/Anna.sparsebundle")
    }

    /// Run the page, and compare.
    fn runs(&self, name: &str) {
        if !rustix::process::geteuid().is_root() {
            return common::skipped(format_args!("runbook {name}: it shows what root sees"));
        }
        let _server = a_server(self.dir.path());
        let text = fs::read_to_string(page(name)).unwrap();
        let (mut out, mut inside, mut commands) = (String::new(), false, 0);
        for line in text.lines() {
            match (inside, line, line.strip_prefix("$ ")) {
                (true, _, Some(command)) => {
                    out += &self.ran(command);
                    commands += 1;
                    continue;
                }
                (true, "```", _) => inside = false,
                (true, _, None) => continue,
                (false, "```console", _) => inside = true,
                _ => {}
            }
            out += line;
            out += "\n";
        }
        assert!(commands >= 3, "{name} shows {commands} commands");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            fs::write(page(name), &out).unwrap();
            return;
        }
        for (n, (shown, printed)) in text.lines().zip(out.lines()).enumerate() {
            assert_eq!(shown, printed, "docs/runbooks/{name}.md, line {}", n + 1);
        }
        assert_eq!(text, out, "docs/runbooks/{name}.md");
    }

    /// A command as the page has it, and what came of it.
    fn ran(&self, command: &str) -> String {
        let dir = self.dir.path().display();
        let mut real = command.to_owned();
        for place in ["/srv/", "/mnt/", "/dev/sdX"] {
            real = real.replace(place, &format!("{dir}{place}"));
        }
        if command.contains("verify") && command.contains("/srv/new/") {
            // That is another machine, which remembers nothing.
            let _ = fs::remove_dir_all(self.at("state"));
        }
        let printed = redacted(&ran(&real, self.dir.path(), NOW), self.dir.path());
        printed
            .replace("HERE/", "/")
            .lines()
            .map(|line| line.strip_prefix("! ").unwrap_or(line).trim_end().to_owned() + "\n")
            .collect()
    }
}

#[test]
fn new_backup() {
    let server = Server::new();
    // As a Mac leaves it that verified its backup, found it bad, and was answered "Later".
    for end in ["plist", "bckup"] {
        let file = server.anna().join(format!("com.apple.TimeMachine.MachineID.{end}"));
        let text = fs::read_to_string(&file).unwrap();
        let state = "<key>VerificationState</key>\n\t<integer>";
        assert!(text.contains(state), "{text}");
        let text = text.replace(&format!("{state}1"), &format!("{state}2")).replace(
            "<dict>\n",
            "<dict>\n\t<key>RecoveryBackupDeclinedDate</key>\n\t<date>2019-11-13T18:00:00Z</date>\n",
        );
        fs::write(file, text).unwrap();
    }
    server.runs("new-backup");
}

#[test]
fn mac_died() {
    if mounting::possible("runbook mac-died") {
        Server::new().runs("mac-died");
    }
}

#[test]
fn disk_full() {
    let Some(server) = Server::with_disk(5 << 20) else { return };
    the_bundle_before(&server.at("srv/tm/Anna 1.sparsebundle"));
    // Another disk.
    let other = server.at("other");
    fs::create_dir(&other).unwrap();
    std::os::unix::fs::symlink(&other, server.at("srv/other")).unwrap();
    // Full: not a byte more.
    let mut filler = fs::File::create(server.at("srv/filler")).unwrap();
    let filled = std::io::copy(&mut std::io::repeat(1), &mut filler);
    assert_eq!(filled.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    server.runs("disk-full");
}

/// The Mac began anew once, and its first bundle was left.
fn the_bundle_before(path: &Path) {
    let (day, spring) = (86_400, 1_552_000_000);
    let machine = tools::demo::machine();
    let mut source = timemachine::Dir::new(Meta::dir().owned(0, 0).dated(spring));
    let anna = source.dir("Users/anna");
    anna.file("letter.txt", Content::text(1, 700), Meta::file().owned(501, 20).dated(spring));
    let backup = |number: i64| timemachine::Backup {
        number: number.unsigned_abs(),
        start: spring + number * day,
        completed: Some(spring + number * day + 300),
        source: source.clone(),
    };
    let backups: Vec<timemachine::Backup> = (1..4).map(backup).collect();
    let options = VolumeOptions {
        size: 64 << 20,
        created: spring - day,
        utc_offset: 3600,
        ..VolumeOptions::default()
    };
    let mut volume = VolumeBuilder::new(options);
    let written = timemachine::write(&mut volume, &machine, &backups);
    let (disk, _) = Gpt::default().wrap(&volume.build().image);
    let options = BundleOptions {
        band_size: 1 << 20,
        machine_id: Some(timemachine::machine_id(&machine, Some(spring))),
        history: Some(timemachine::history(&written)),
        ..BundleOptions::default()
    };
    bundle::write(&disk, path, &options).unwrap();
}

#[test]
fn nas_crashed() {
    let server = Server::new();
    let hourly = server.at("srv/.zfs/snapshot/hourly/Anna.sparsebundle");
    fs::create_dir_all(hourly.parent().unwrap()).unwrap();
    copy(&demo(), &hourly);
    // What a file system leaves of a file whose contents never reached the disk.
    let band = fs::OpenOptions::new().write(true).open(server.anna().join("bands/9")).unwrap();
    band.set_len(0).unwrap();
    server.runs("nas-crashed");
}

#[test]
fn dying_disk() {
    if !mounting::has_tool("runbook dying-disk", "ddrescue") {
        return;
    }
    let server = Server::new();
    // The bundle's disk as a disk, of which 64 KiB in the middle of band 9 cannot be read.
    let disk = fs::File::create(server.at("dev/sdX")).unwrap();
    disk.set_len(0x4000_A000).unwrap();
    for band in fs::read_dir(server.anna().join("bands")).unwrap() {
        let path = band.unwrap().path();
        let number = path.file_name().unwrap().to_str().unwrap();
        let number = u64::from_str_radix(number, 16).unwrap();
        disk.write_all_at(&fs::read(&path).unwrap(), number << 20).unwrap();
    }
    let bad = "0x0 +\n0 0x900000 +\n0x900000 0x10000 -\n0x910000 0x3F6FA000 +\n";
    fs::write(server.at("bad"), bad).unwrap();
    // ddrescue itself plays the dying disk.
    let shim = format!(
        "#!/bin/sh\nPATH=${{PATH#*:}} exec ddrescue --test-mode={} \"$@\"\n",
        server.at("bad").display()
    );
    fs::write(server.at("bin/ddrescue"), shim).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(server.at("bin/ddrescue"), mode).unwrap();
    server.runs("dying-disk");
}

#[test]
fn move_server() {
    let server = Server::new();
    fs::create_dir(server.at("srv/new")).unwrap();
    server.runs("move-server");
    // What did not arrive as it left is found, as the page says.
    let band = server.at("srv/new/Anna.sparsebundle/bands/9");
    let times = fs::metadata(&band).unwrap().modified().unwrap();
    let file = fs::OpenOptions::new().write(true).open(&band).unwrap();
    file.write_all_at(b"x", 70_000).unwrap();
    file.set_modified(times).unwrap();
    let said = server.ran(
        "tmbundle verify --manifest=/srv/anna.bands --manifest-read all /srv/new/Anna.sparsebundle",
    );
    assert!(said.contains("BAND-ROT") || said.contains("BAND-REWRITTEN"), "{said}");
}

#[test]
fn old_hfs() {
    Server::new().runs("old-hfs");
}

/// Every page is run, is in the index, and has the four parts.
#[test]
fn every_page_is_run_and_found() {
    let index = fs::read_to_string(page("README")).unwrap();
    let tests = include_str!("runbooks.rs");
    let mut pages = 0;
    for entry in fs::read_dir(page("README").parent().unwrap()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name == "README.md" {
            continue;
        }
        assert!(index.contains(&format!("]({name})")), "{name} is not in the index");
        let run = format!("fn {}()", name.trim_end_matches(".md").replace('-', "_"));
        assert!(tests.contains(&run), "{name} is run by no test");
        let text = fs::read_to_string(page(&name)).unwrap();
        for part in ["## Situation", "## Look", "## Do", "## When to let go"] {
            assert!(text.contains(&format!("\n{part}\n")), "{name}: {part}");
        }
        pages += 1;
    }
    assert_eq!(pages, 7);
}

/// The recipes, each on folders of its names; who is told stands in a file.
#[test]
fn every_recipe_runs_and_tells_what_is_wrong() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/recipes.md");
    let text = fs::read_to_string(page).unwrap();
    let server = Server::new();
    let dir = server.dir.path().display().to_string();
    let shares = [
        "srv/tm",
        "volume1/TimeMachine",
        "mnt/tank/tm/.zfs/snapshot/auto-2019-11-14",
        "mnt/user/timemachine",
        "srv/dev-disk-by-uuid-1b2c/timemachine",
    ];
    for share in &shares[1..] {
        fs::create_dir_all(server.at(share)).unwrap();
        copy(&demo(), &server.at(share).join("Anna.sparsebundle"));
    }
    for program in ["volume1/admin/tmbundle", "mnt/tank/admin/tmbundle"] {
        fs::create_dir_all(server.at(program).parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_tmbundle"), server.at(program)).unwrap();
    }
    let tell = "#!/bin/sh\n{ echo \"$0 $*\"; [ \"${0##*/}\" != mail ] || cat; } >> \"$TOLD\"\n";
    fs::create_dir_all(server.at("usr/local/emhttp/webGui/scripts")).unwrap();
    for teller in ["bin/curl", "bin/mail", "usr/local/emhttp/webGui/scripts/notify"] {
        fs::write(server.at(teller), tell).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(server.at(teller), mode).unwrap();
    }
    let run = |script: &str, now: &str| {
        let mut script = script.to_owned();
        for place in ["/srv/", "/mnt/", "/volume1/", "/usr/local/emhttp/"] {
            script = script.replace(place, &format!("{dir}{place}"));
        }
        let told = server.at("told");
        let _ = fs::remove_file(&told);
        let line = format!("export TOLD='{}'\n{script}", told.display());
        (ran(&line, server.dir.path(), now).replace(&line, ""), fs::read_to_string(told).ok())
    };
    let scripts: Vec<&str> =
        text.split("```sh\n").skip(1).map(|b| b.split("```").next().unwrap()).collect();
    assert_eq!(scripts.len(), 7);
    for script in scripts {
        let (said, told) = run(script, NOW);
        assert!(!said.contains("exit code") && !said.contains("error"), "{script}{said}");
        let heard = told.unwrap_or_default();
        assert_eq!(
            heard.contains("hc-ping.com/YOUR-UUID/0"),
            script.contains("hc-ping"),
            "{heard}"
        );
        assert!(script.contains("hc-ping") || heard.is_empty(), "{script}{heard}");
        // Years later the backup is stale.
        let (said, told) = run(script, "2021-11-14T20:00:00Z");
        let heard = said + &told.unwrap_or_default();
        assert!(heard.contains("TM-STALE"), "{script}{heard}");
        assert!(!script.contains("hc-ping") || heard.contains("YOUR-UUID/1"), "{heard}");
    }
}
