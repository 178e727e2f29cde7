//! Samba's databases of two moments: a Mac-like client has five files of a bundle open; its
//! connection was cut two seconds ago.

use crate::common::{gunzip, shared_data};
use std::collections::BTreeSet;
use tmbundle::bundle::samba::held;
use tmbundle::config::tdb::Tdb;
use tmbundle::server::live::read_smbstatus;

/// `Info.plist`, `Info.bckup`, `token`, `lock`, `bands/0` by the page of the data.
const FILES: [u64; 5] = [2_080_897, 2_080_899, 2_080_900, 2_080_913, 2_080_927];
const SHARE: u64 = 2_080_771;
const DEVICE: u64 = 0xfe00;

#[test]
fn what_samba_holds_open_and_keeps_for_a_mac_that_is_gone() {
    let Some(shared) = shared_data("locking.tdb of a real Samba") else { return };
    let host = shared.join("server/host");
    let inodes = |name: &str| -> BTreeSet<(u64, u64)> {
        let tdb = Tdb::of(gunzip(&host.join(name))).unwrap();
        held(&tdb).into_iter().collect()
    };
    let files = FILES.map(|inode| (DEVICE, inode));
    assert_eq!(inodes("locking.gone.tdb.gz"), files.into());
    assert_eq!(inodes("locking.open.tdb.gz"), files.into_iter().chain([(DEVICE, SHARE)]).collect());
}

#[test]
fn who_has_what_open_by_samba_itself() {
    let Some(shared) = shared_data("smbstatus of a real Samba") else { return };
    let read = |name: &str| {
        let text = std::fs::read_to_string(shared.join("server/host").join(name)).unwrap();
        read_smbstatus(&text).unwrap()
    };
    let open = read("smbstatus.open.json");
    let plist = "/srv/tm/anna/Anna.sparsebundle/Info.plist";
    assert!(open.contains(&(plist.into(), "anna from 127.0.0.1".into())), "{open:?}");
    assert!(open.iter().filter(|(path, _)| path.contains(".sparsebundle/")).count() >= 5);
    // Of a connection that was cut it knows nothing.
    assert!(read("smbstatus.gone.json").is_empty());
    assert_eq!(read_smbstatus("smbstatus only works as root!"), None);
}
