//! `doctor` as its users meet it: files, roots, bad input, JSON, metrics, exit codes.

use crate::common::schema::validate;
use crate::common::{Ran, skipped, tmbundle};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use tmbundle::report::ServerCode;

const BROKEN: &str = "[global]\nvfs objects = catia fruit streams_xattr\n[tm]\npath = /srv/tm\nread only = no\n\
    fruit:time machine = yes\nfruit:time machine max size = 500GB\n";

fn file(dir: &Path, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    path
}

fn doctor(path: &Path, more: &[&str]) -> Ran {
    let args = [&["doctor", "--config", path.to_str().unwrap()], more].concat();
    tmbundle(&args)
}

/// A system in a folder: Samba, users, a share that anna owns with a bundle in it.
fn system(dir: &Path) -> PathBuf {
    let root = dir.join("root");
    let text = BROKEN.replace("500GB", "500G").replace("[tm]", "[tm]\nvalid users = anna, bert");
    file(&root, "etc/samba/smb.conf", text);
    file(&root, "etc/passwd", "anna:x:1001:1001::/home/anna:/bin/sh\n");
    file(&root, "etc/group", "anna:x:1001:\n");
    file(&root, "etc/fstab", "UUID=1 / ext4 defaults 0 1\nUUID=2 /srv xfs defaults 0 2\n");
    file(&root, "proc/1/mountinfo", "1 0 8:1 / / rw - ext4 /dev/a rw\n");
    file(&root, "etc/avahi/services/tm.service.bak", "");
    file(&root, "srv/tm/Anna.sparsebundle/bands/0", "x");
    root
}

#[test]
fn a_fault_has_its_line_and_the_line_as_it_should_be() {
    let dir = tempfile::tempdir().unwrap();
    let conf = file(dir.path(), "smb.conf", BROKEN);
    let place = format!("{}:7:", conf.display());
    let words = [
        "FAULT",
        &place,
        "500GB",
        "SRV-SMB-LIMIT-UNREAD",
        "fruit:time machine max size = 500G\n",
        "1 fault",
    ];
    doctor(&conf, &[]).expect(1, &words);
    doctor(&conf, &["-v"]).expect(1, &["not looked at: the machine"]);
    let good = file(dir.path(), "good.conf", BROKEN.replace("500GB", "500G"));
    assert_eq!(doctor(&good, &[]).expect(0, &[]).out, "");
    doctor(&good, &["-v"]).expect(0, &["Nothing is wrong", "tm   samba · /srv/tm · up to"]);
    tmbundle(&["explain", "srv-smb-limit-unread"]).expect(0, &["no limit"]);
}

#[test]
fn the_patch_changes_the_line() {
    let dir = tempfile::tempdir().unwrap();
    let conf = file(dir.path(), "smb.conf", BROKEN);
    let ran = doctor(&conf, &["--fix"]);
    ran.expect(
        1,
        &[
            "-fruit:time machine max size = 500GB\n+fruit:time machine max size = 500G\n",
            "@@ -4,4 +4,4 @@",
        ],
    );
    assert_eq!(fs::read_to_string(&conf).unwrap(), BROKEN, "nothing is applied");
}

#[test]
fn a_system_below_a_root() {
    let dir = tempfile::tempdir().unwrap();
    let root = system(dir.path());
    let at = root.to_str().unwrap();
    let words = [
        "/etc/samba/smb.conf:4:",
        "there is no user bert",
        "SRV-SHARE-NOT-MOUNTED",
        "mount /srv",
        "SRV-MDNS-FILE",
    ];
    tmbundle(&["doctor", "--root", at]).expect(1, &words);
    tmbundle(&["doctor", "--root", at, "TM"]).expect(1, &["bert"]);
    tmbundle(&["doctor", "--root", at, "other"]).expect(2, &["there are: tm"]);
    // What a link says is what it says there.
    let conf = root.join("etc/samba/smb.conf");
    fs::rename(&conf, root.join("etc/real.conf")).unwrap();
    std::os::unix::fs::symlink("/etc/real.conf", &conf).unwrap();
    tmbundle(&["doctor", "--root", at]).expect(1, &["there is no user bert"]);
    fs::remove_file(&conf).unwrap();
    std::os::unix::fs::symlink("/../../../../etc/passwd", &conf).unwrap();
    fs::remove_file(root.join("etc/passwd")).unwrap();
    // Nothing of a server is left, whatever else is there.
    tmbundle(&["doctor", "--root", at]).expect(3, &["no configuration"]);
}

#[test]
fn the_bundles_of_a_share_are_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    let root = system(dir.path());
    let conf = root.join("etc/samba/smb.conf");
    let bundle = root.join("srv/tm/Anna.sparsebundle");
    let plist = "<plist version=\"1.0\"><dict>\n<key>band-size</key>\n<integer>8388608</integer>\n\
        <key>size</key>\n<integer>1000000000</integer>\n</dict></plist>\n";
    fs::write(bundle.join("Info.plist"), plist).unwrap();
    fs::write(&conf, BROKEN.replace("500GB", "11G").replace("fruit:time machine = yes\n", ""))
        .unwrap();
    fs::remove_file(root.join("etc/fstab")).unwrap();
    let at = root.to_str().unwrap();
    tmbundle(&["doctor", "--root", at])
        .expect(1, &["Anna.sparsebundle lies in the share tm", "SRV-SMB-NO-TM"]);
    // A limit that any disk has room for. A plist in one line is not counted by Samba, and told.
    fs::write(&conf, BROKEN.replace("500GB", "11G")).unwrap();
    fs::write(bundle.join("Info.plist"), plist.replace('\n', "")).unwrap();
    tmbundle(&["doctor", "--root", at]).expect(0, &["SRV-SMB-UNCOUNTED", "Info.plist"]);
    // Two bundles of one Mac.
    let id = "<plist version=\"1.0\"><dict><key>com.apple.backupd.HostUUID</key><string>A-1</string></dict></plist>";
    for name in ["Anna", "Anna 1"] {
        file(
            &root,
            &format!("srv/tm/{name}.sparsebundle/com.apple.TimeMachine.MachineID.plist"),
            id,
        );
    }
    tmbundle(&["doctor", "--root", at]).expect(0, &["SRV-BUNDLE-STARTED-ANEW", "A-1"]);
}

/// Facts that lie on the disk: age of backups, the disk itself, what Finder said of files.
#[test]
fn facts_below_a_root_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let root = system(dir.path());
    let at = root.to_str().unwrap();
    fs::remove_file(root.join("etc/fstab")).unwrap();
    let bundle = root.join("srv/tm/Anna.sparsebundle");
    for name in ["Info.plist", "com.apple.TimeMachine.SnapshotHistory.plist"] {
        fs::copy(crate::common::demo().join(name), bundle.join(name)).unwrap();
    }
    // The demonstration's last backup is of 2019-11-13.
    let aged = |age: &str| {
        let now = [("TMBUNDLE_NOW", "2019-11-20T12:00:00Z")];
        crate::common::tmbundle_with(&now, &["doctor", "--root", at, "--max-age", age])
    };
    assert!(!aged("8d").out.contains("SRV-BUNDLE-OLD"));
    aged("6d").expect(1, &["SRV-BUNDLE-OLD", "was completed 7 days ago"]);
    // The disk that this folder lies on, as the kernel would tell of it.
    let device = std::os::unix::fs::MetadataExt::dev(&fs::metadata(&bundle).unwrap());
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let place = format!("sys/dev/block/{major}:{minor}");
    file(&root, &format!("{place}/queue/rotational"), "0\n");
    assert!(!aged("8d").out.contains("SRV-DISK-SLOW"));
    file(&root, &format!("{place}/queue/rotational"), "1\n");
    aged("8d").expect(1, &["SRV-DISK-SLOW", "it turns, and bands have"]);
    // A disk behind a controller of USB 2: the kernel's folders lie in one another.
    fs::remove_dir_all(root.join("sys")).unwrap();
    let disk = "sys/devices/usb1/1-1/host0/block/sda";
    file(&root, &format!("{disk}/queue/rotational"), "0\n");
    fs::create_dir_all(root.join("sys/dev/block")).unwrap();
    std::os::unix::fs::symlink(format!("/{disk}"), root.join(&place)).unwrap();
    file(&root, "sys/devices/usb1/1-1/idVendor", "1058\n");
    file(&root, "sys/devices/usb1/1-1/speed", "5000\n");
    assert!(!aged("8d").out.contains("SRV-DISK-SLOW"));
    file(&root, "sys/devices/usb1/1-1/speed", "480\n");
    aged("8d").expect(1, &["SRV-DISK-SLOW", "USB 2"]);
    // Finder's metadata as another setting of fruit writes it.
    let set = |name: &str| {
        let set = rustix::fs::setxattr(&bundle, name, b"x", rustix::fs::XattrFlags::empty());
        set.is_ok()
    };
    if set("user.DosStream.AFP_AfpInfo:$DATA") {
        aged("8d").expect(1, &["SRV-SMB-METADATA-MIX", "`fruit:metadata = stream`"]);
    } else {
        skipped("metadata of Finder: no extended attributes here");
    }
    // Avahi is told to use the loopback alone.
    file(&root, "etc/avahi/avahi-daemon.conf", "[server]\nallow-interfaces=lo\n");
    aged("8d").expect(1, &["SRV-MDNS-INTERFACE", "avahi-daemon.conf:2:"]);
}

/// Samba's own list of who has a password.
#[test]
fn passwords_of_samba_are_known_where_they_may_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let root = system(dir.path());
    let conf = file(
        dir.path(),
        "own.conf",
        format!(
            "[global]\nprivate dir = {0}\nstate directory = {0}\nlock directory = {0}\ncache directory = {0}\n",
            dir.path().display()
        ),
    );
    let user =
        String::from_utf8(std::process::Command::new("id").arg("-un").output().unwrap().stdout)
            .unwrap();
    let user = user.trim();
    let made = std::process::Command::new("sh")
        .args([
            "-c",
            "printf 'pw\npw\n' | pdbedit -s \"$0\" -a -u \"$1\" -t",
            conf.to_str().unwrap(),
            user,
        ])
        .output();
    let passdb = dir.path().join("passdb.tdb");
    if !made.is_ok_and(|m| m.status.success()) || !passdb.exists() {
        skipped("Samba's passwords: pdbedit is not here or makes none");
        return;
    }
    let there = root.join("var/lib/samba/private");
    fs::create_dir_all(&there).unwrap();
    fs::copy(&passdb, there.join("passdb.tdb")).unwrap();
    file(
        &root,
        "etc/passwd",
        format!("anna:x:1001:1001::/home/anna:/bin/sh\n{user}:x:0:0::/root:/bin/sh\n"),
    );
    let text = |users: &str| {
        BROKEN.replace("500GB", "500G").replace("[tm]", &format!("[tm]\nvalid users = {users}"))
    };
    let conf = root.join("etc/samba/smb.conf");
    let at = root.to_str().unwrap();
    fs::write(&conf, text("anna")).unwrap();
    tmbundle(&["doctor", "--root", at]).expect(1, &["SRV-SMB-NO-PASSWORD", "smbpasswd -a anna"]);
    fs::write(&conf, text(user)).unwrap();
    let ran = tmbundle(&["doctor", "--root", at]);
    assert!(!ran.out.contains("NO-PASSWORD"), "{}", ran.out);
    // What is no database is told, and nothing is judged by it.
    fs::write(&conf, text("anna")).unwrap();
    for bad in [&b"TDB file\n"[..], &[0xff; 4096], b""] {
        fs::write(there.join("passdb.tdb"), bad).unwrap();
        let ran = tmbundle(&["doctor", "--root", at, "-v"]);
        assert!(!ran.out.contains("NO-PASSWORD"), "{}", ran.out);
        assert!(ran.out.contains("no database of Samba"), "{}", ran.out);
    }
}

#[test]
fn bad_input_is_told_and_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &[u8]| file(dir.path(), name, text);
    let binary = write("binary.conf", b"[global]\n\0\x01\x02");
    doctor(&binary, &[]).expect(3, &["binary"]);
    doctor(&write("long.conf", &vec![b'a'; 10 << 20]), &[]).expect(3, &["4 MiB"]);
    doctor(&write("line.conf", &vec![b'a'; 1 << 20]), &[]).expect(3, &["64 KiB"]);
    doctor(Path::new("/nonexistent/smb.conf"), &[]).expect(3, &["there is no such file"]);
    doctor(dir.path(), &[]).expect(3, &["no regular file"]);
    doctor(Path::new("/dev/zero"), &[]).expect(3, &["no regular file"]);
    // Includes in a circle, and a cascade of them.
    let (a, b) = (dir.path().join("a.conf"), dir.path().join("b.conf"));
    fs::write(&a, format!("[global]\ninclude = {}\n", b.display())).unwrap();
    fs::write(&b, format!("include = {0}\ninclude = {0}\n", a.display())).unwrap();
    doctor(&a, &[]).expect(0, &["it includes itself"]);
    for n in 0..40 {
        let next = dir.path().join(format!("c{}.conf", n + 1));
        write(
            &format!("c{n}.conf"),
            format!("include = {0}\ninclude = {0}\n", next.display()).as_bytes(),
        );
    }
    doctor(&dir.path().join("c0.conf"), &[]).expect(0, &["too many files"]);
    // Variables that lead elsewhere, names that are none, bytes that are no UTF-8.
    let hostile = "[\x1b[31mred\u{202e}]\npath = /srv/%U/../../etc\nfruit:time machine = \x1b]0;x\x07\n[..]\npath = %m%%%\n\
        [%n]\nvfs objects = \"\"\"\nvalid users = @ + & \"\nveto files = /***************************a/?/\n";
    let mut bytes = hostile.as_bytes().to_vec();
    bytes.extend(b"comment = \xff\xfe\n");
    let ran = doctor(&write("hostile.conf", &bytes), &["-v"]);
    ran.expect(1, &["SRV-SMB-TM-NOT-BOOLEAN"]);
    assert!(!ran.out.contains(['\x1b', '\x07', '\u{202e}']), "{}", ran.out);
    // Nothing that can be written into a file makes it panic.
    for name in ["afp.conf", "AppleVolumes.default", "afpd.conf", "x.service"] {
        for text in [
            &bytes[..],
            b"",
            b"[",
            b"\\",
            b"\"",
            b"<",
            b"&#x110000;",
            b"/ \":::\" options:",
            b"- -uamlist",
            b"= =\n[=]\n===",
        ] {
            let ran = doctor(&write(name, text), &["-v", "--fail-on", "info"]);
            assert!(matches!(ran.code, Some(0 | 1)), "{name} {text:?}: {} {}", ran.out, ran.err);
        }
    }
}

#[test]
fn json_is_as_its_schema_says_and_metrics_count() {
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schema/doctor-1.json");
    let text = fs::read_to_string(&schema).unwrap();
    let schema_json: Value = serde_json::from_str(&text).unwrap();
    let names: Vec<Value> = ServerCode::ALL.iter().map(|c| c.info().name.into()).collect();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let mut new = schema_json.clone();
        new["$defs"]["code"]["enum"] = Value::Array(names);
        fs::write(&schema, serde_json::to_string_pretty(&new).unwrap() + "\n").unwrap();
        return;
    }
    assert_eq!(
        schema_json["$defs"]["code"]["enum"],
        Value::Array(names),
        "UPDATE_DOCS=1 cargo test --test commands doctor"
    );
    let dir = tempfile::tempdir().unwrap();
    let root = system(dir.path());
    let metrics = dir.path().join("doctor.prom");
    let at = root.to_str().unwrap();
    let ran = tmbundle(&["doctor", "--json", "--root", at, "--metrics", metrics.to_str().unwrap()]);
    ran.expect(1, &[]);
    let json: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(validate(&schema_json, &json), [""; 0], "{json:#}");
    let damage = json["counts"]["damage"].as_u64().unwrap();
    assert_eq!(json["shares"][0]["limit"], 500u64 << 30);
    let found = json["findings"].as_array().unwrap();
    assert!(found.iter().any(|f| f["rule"] == "D054" && f["where"]["line"] == 4), "{json:#}");
    let page = fs::read_to_string(&metrics).unwrap();
    assert!(
        page.contains(&format!("tmbundle_doctor_findings{{severity=\"damage\"}} {damage}\n")),
        "{page}"
    );
    assert!(
        page.contains("tmbundle_doctor_findings_by_code{code=\"SRV-SMB-VALID-USERS\"} 1\n"),
        "{page}"
    );
    let broken = file(dir.path(), "smb.conf", BROKEN);
    let json: Value = serde_json::from_str(&doctor(&broken, &["--json"]).out).unwrap();
    assert_eq!(validate(&schema_json, &json), [""; 0], "{json:#}");
    assert_eq!(json["findings"][0]["fix"]["text"], "fruit:time machine max size = 500G");
    doctor(&broken, &["--metrics", "-", "--json"]).expect(2, &["--metrics"]);
    assert!(doctor(&broken, &["--metrics", "-"]).out.starts_with("# HELP tmbundle_doctor"));
}

#[test]
fn what_is_suggested_satisfies_testparm() {
    let testparm = |path: &Path| {
        let ran = std::process::Command::new("testparm").arg("-s").arg(path).output().ok()?;
        Some((ran.status.success(), String::from_utf8_lossy(&ran.stderr).into_owned()))
    };
    let dir = tempfile::tempdir().unwrap();
    let good = file(dir.path(), "good.conf", BROKEN.replace("500GB", "500G"));
    if testparm(&good).is_none() {
        skipped("doctor against testparm: it is not installed");
        return;
    }
    for (from, to) in [
        ("read only = no", "read only = nein"),
        ("read only = no", "read only = no # for Macs"),
        ("[tm]", "[tm"),
        ("read only = no", "vaild users = anna"),
        ("[tm]", "server min protocol = SMB2 ; or 3\n[tm]"),
        ("time machine = yes", "time machine = yes # offered"),
        ("500GB", "1T ; one"),
        ("read only = no", "read\u{a0}only = no"),
        ("vfs objects = catia fruit streams_xattr", "vfs objects = \"catia fruit streams_xattr\""),
        ("path = /srv/tm", "path = '/srv/tm'"),
    ] {
        let text = BROKEN
            .replace("500GB\n", if from == "500GB" { "500GB\n" } else { "500G\n" })
            .replacen(from, to, 1);
        let conf = file(dir.path(), "smb.conf", &text);
        let fatal = !testparm(&conf).unwrap().0;
        let json: Value = serde_json::from_str(&doctor(&conf, &["--json"]).out).unwrap();
        let codes: Vec<&str> = json["findings"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|f| f["code"].as_str())
            .collect();
        assert!(!codes.is_empty(), "{to}: nothing is found");
        assert_eq!(codes.contains(&"SRV-CONF-FATAL"), fatal, "{to}: {codes:?}");
        let patch = doctor(&conf, &["--fix"]).out;
        fs::write(dir.path().join("p"), patch).unwrap();
        let patched = std::process::Command::new("patch")
            .args(["-s", "-p0", "smb.conf", "p"])
            .current_dir(dir.path())
            .output();
        let Ok(patched) = patched else {
            skipped("doctor's patch against testparm: there is no patch(1)");
            return;
        };
        assert!(patched.status.success(), "{to}: {}", String::from_utf8_lossy(&patched.stdout));
        let (well, says) = testparm(&conf).unwrap();
        assert!(well && !says.contains("Unknown parameter"), "{to}: {says}");
        doctor(&conf, &["--fail-on", "warning"]).expect(0, &[]);
    }
}
