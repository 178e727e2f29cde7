//! A real smbd finds the fork, Finder information and attributes of what was restored.

use super::{START, Sample, has};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tools::hfs::Meta;

const SHARES: &str = "
[samba]
path = DIR/samba
guest ok = yes
vfs objects = catia fruit streams_xattr
fruit:metadata = stream
fruit:resource = stream
fruit:encoding = native
[netatalk]
path = DIR/netatalk
guest ok = yes
vfs objects = catia fruit streams_xattr
fruit:metadata = netatalk
fruit:resource = file
fruit:encoding = native
streams_xattr:prefix = user.
streams_xattr:store_stream_type = no
";

struct Smbd {
    child: Child,
    port: u16,
}

impl Drop for Smbd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(dir: &Path) -> Smbd {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let at = dir.to_str().unwrap();
    let private = format!("{at}/private");
    fs::create_dir(&private).unwrap();
    let mut text = String::from("[global]\nserver role = standalone server\n");
    for key in ["private dir", "lock directory", "state directory", "cache directory"] {
        text.push_str(&format!("{key} = {private}\n"));
    }
    text.push_str(&format!("pid directory = {private}\nncalrpc dir = {private}\n"));
    text.push_str(&format!("smb ports = {port}\nlog file = {private}/log\n"));
    text.push_str("interfaces = 127.0.0.1\nbind interfaces only = yes\nload printers = no\n");
    text.push_str("map to guest = bad user\nguest account = root\n");
    text.push_str(&SHARES.replace("DIR", at));
    let conf = dir.join("smb.conf");
    fs::write(&conf, text).unwrap();
    let child = Command::new("smbd")
        .args(["--foreground", "--no-process-group", "-s"])
        .arg(&conf)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Smbd { child, port }
}

impl Smbd {
    /// The bytes of a file or of a stream of it; `None` if the server has none.
    fn get(&self, share: &str, what: &str, dir: &Path) -> Option<Vec<u8>> {
        let to = dir.join("got");
        let _ = fs::remove_file(&to);
        let port = self.port.to_string();
        let command = format!("get {what} {}", to.to_str().unwrap());
        let status = Command::new("smbclient")
            .args(["-N", "-p", &port, &format!("//127.0.0.1/{share}"), "-c", &command])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        status.success().then(|| fs::read(&to).ok()).flatten()
    }
}

#[test]
fn smbd_shows_a_mac_what_was_restored() {
    let test = "smbd_shows_a_mac_what_was_restored";
    if !has("smbd", test) || !has("smbclient", test) {
        return;
    }
    if !rustix::process::geteuid().is_root() {
        return crate::common::skipped(format_args!("{test}: not root"));
    }
    let sample = Sample::new(|v| {
        let root = v.root();
        let meta = Meta::file().dated(START).finder(b"TEXT", b"ttxt", 0);
        let file = v.file(root, "full", "contents", meta);
        v.set_resource_fork(file, "the fork");
        v.set_xattr(file, "com.example.note", "hello");
    });
    let dir = sample.dir.path();
    for style in ["samba", "netatalk"] {
        let to = dir.join(style);
        sample.restore_to(&to, &["--xattrs", style, "--no-owners"]).expect(0, &[]);
    }
    let smbd = start(dir);
    let patience = Instant::now() + Duration::from_secs(20);
    while smbd.get("samba", "full", dir).is_none() {
        if Instant::now() > patience {
            let log = fs::read_to_string(dir.join("private/log")).unwrap_or_default();
            let module = log.contains("Error loading module");
            let why = if module { "lacks modules (samba-vfs-modules)" } else { "does not work" };
            return crate::common::skipped(format_args!("{test}: smbd {why} here"));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    for share in ["samba", "netatalk"] {
        let get = |stream: &str| smbd.get(share, &format!("full:{stream}"), dir);
        assert_eq!(get("AFP_Resource").as_deref(), Some(&b"the fork"[..]), "{share}");
        let info = get("AFP_AfpInfo").unwrap_or_default();
        assert_eq!(info.get(..4), Some(&b"AFP\0"[..]), "{share}");
        assert_eq!(info.get(16..24), Some(&b"TEXTttxt"[..]), "{share}");
    }
    let note = smbd.get("samba", "full:com.example.note", dir);
    assert_eq!(note.as_deref(), Some(&b"hello"[..]));
}
