//! Configuration that Samba has in its registry: told as such, and looked at where it can be had.

use super::lines;
use std::collections::BTreeMap;
use tmbundle::config::samba::{parse, parse_with};
use tmbundle::server::{Host, Setup, examine};

const PATH: &str = "/etc/samba/smb.conf";
/// As `net conf list` writes it.
const LISTED: &str = "[global]\n\tvfs objects = catia fruit streams_xattr\n\n[tm]\n\tpath = /srv/tm\n\
    \tread only = no\n\tfruit:time machine = yes\n\tfruit:time machine max size = 500GB\n";

fn rules(file: &str, registry: Option<&str>) -> Vec<(String, Option<u32>)> {
    let files = BTreeMap::from([(PATH.to_owned(), file.as_bytes().to_vec())]);
    let samba = parse_with(&files, PATH, registry).unwrap();
    let setup = Setup { samba: Some(samba), ..Setup::default() };
    lines(&examine(&setup, &Host::default()))
}

#[test]
fn what_cannot_be_looked_at_is_told_and_nothing_is_missed_in_it() {
    for file in [
        "[global]\ninclude = registry\n",
        "[global]\nconfig backend = registry\n",
        "[global]\nregistry shares = yes\n",
    ] {
        assert_eq!(rules(file, None), [("D004".to_owned(), Some(2))], "{file}");
    }
    assert_eq!(
        rules("[global]\nregistry shares = no\n[a]\npath = /a\n", None),
        [("D020".into(), None)]
    );
}

#[test]
fn what_can_be_had_is_judged() {
    let unread = ("D034".to_owned(), Some(8));
    for file in [
        "[global]\ninclude = registry\n",
        "[global]\nconfig backend = registry\n",
        "[global]\nregistry shares = yes\n",
    ] {
        assert_eq!(rules(file, Some(LISTED)), *std::slice::from_ref(&unread), "{file}");
    }
    // With the backend nothing else in the file counts, neither before nor behind.
    let file = "[old]\npath = relative\nfruit:time machine = yes\n[global]\n\
        config backend = registry\n[later\n";
    assert_eq!(rules(file, Some(LISTED)), *std::slice::from_ref(&unread));
    // There may be nothing in it.
    let file = "[global]\ninclude = registry\n[a]\npath = /a\n";
    assert_eq!(rules(file, Some("")), [("D020".to_owned(), None)]);
    // Said twice, or in itself, it says no more.
    for file in [
        "[global]\ninclude = registry\nregistry shares = yes\n",
        "[global]\nregistry shares = yes\ninclude = registry\n",
        "[global]\nregistry shares = yes\nconfig backend = registry\n",
    ] {
        assert_eq!(rules(file, Some(LISTED)), *std::slice::from_ref(&unread), "{file}");
        assert_eq!(rules(file, None).len(), 2, "{file}");
    }
    let own = "[global]\n\tconfig backend = registry\n\tregistry shares = yes\n";
    let listed = LISTED.replace("[global]\n", own);
    let below = ("D034".to_owned(), Some(10));
    assert_eq!(rules("[global]\nconfig backend = registry\n", Some(&listed)), [below]);
    // Beside it the file's own shares do.
    let file = "[global]\ninclude = registry\n[mine]\npath = /m\nfruit:time machine = ja\n";
    assert!(rules(file, Some(LISTED)).contains(&("D021".into(), Some(5))));
    let files = BTreeMap::from([(PATH.to_owned(), file.as_bytes().to_vec())]);
    let samba = parse_with(&files, PATH, Some(LISTED)).unwrap();
    assert!(!samba.has_registry() && samba.shares.len() == 2);
    assert!(parse(&files, PATH).unwrap().has_registry());
}
