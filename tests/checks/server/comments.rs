//! What people asked and complained of below the tutorial that this project grew from: each has a
//! finding that answers it, or a page of docs.

use super::Kind;
use super::provoked::{Row, of, rows, two};
use crate::common::shared_data;
use std::collections::BTreeSet;
use std::path::Path;
use tmbundle::report::ServerCode as C;
use tmbundle::server::Told;

/// Who asked, the rules that answer, and words of docs/doctor.md that do.
type Comment = (&'static str, &'static [&'static str], &'static str);

const COMMENTS: &[Comment] = &[
    (
        "the tutorial itself",
        &["D220", "D215", "D219", "D218", "D403", "D207"],
        "Restart the server",
    ),
    ("William 2012-04", &["D200", "D215", "D220"], ""),
    ("maierch 2012-05", &["D203", "D200"], ""),
    ("(no name) 2012-06-28", &["D215", "D217", "D231"], ""),
    ("Justin 2012-05", &["D230", "D231"], ""),
    ("aquator 2012-06", &["D217"], ""),
    ("Wayne Redmon", &[], "Was a restore ever tried?"),
    ("Alex 2012-07", &["D405", "D406"], "Any Linux file system with extended attributes does"),
    ("John 2012-07", &["D501", "D215", "D231"], ""),
    ("Jack", &["D415", "D410", "D048", "D049"], "Make it by cable"),
    ("Justin Davis 2012-07", &["D202"], ""),
    ("Steveorevo 2012-08", &[], "A Mac as the server"),
    ("Graham Adams 2012-09", &["D215", "D219", "D231", "D232", "D062"], ""),
    ("Sebastian 2012-10", &["D200", "D220", "D300", "D312"], ""),
    ("MACscr", &[], "guarantee that backups are sound"),
    ("Dude2222 2012-11", &["D408", "D411", "D418"], "else it is the Mac"),
    ("Dick 2012-12", &["D300", "D303"], ""),
    ("Erik 2013-01", &["D221", "D107", "D412"], "A second Mac?"),
    ("(no name) 2013-01-19", &["D303", "D304", "D307", "D500", "D501"], ""),
    ("Andrew 2013-01", &["D500"], ""),
    ("Firestone 2013-02", &["D505"], "Restoring from the installer"),
    ("j4ckripp3r 2013-04", &["D219"], ""),
    ("Glenn 2013-06", &["D505", "D208"], "`TMShowUnsupportedNetworkVolumes`"),
    ("Ad 2013-07", &["D215", "D115"], "Never weaken the Mac"),
    ("Casey Friday 2013-10", &["D202"], ""),
    ("Bryon Lape 2013-12", &["D209", "D202", "D203", "D222"], ""),
    ("Chris 2014-01", &["D406", "D407"], "Must the server's disk be formatted"),
];

/// Configurations as they were asked about, where a comment tells them.
fn told_of() -> Vec<(&'static str, Row)> {
    let volume = |codes, text: &str| of(codes, Kind::Volumes, text);
    vec![
        ("William 2012-04", two(&[C::Na2NoTm], ",tm", "")),
        (
            "maierch 2012-05",
            volume(
                &[C::Na2Wrapped],
                "/srv/tm \"TimeMachine\" allow:anna cnidscheme:dbd\n volsizelimit:200000 options:usedots,upriv,tm\n",
            ),
        ),
        ("Justin 2012-05", of(&[C::PamModule], Kind::Pam, "auth required pam_smbpass.so\n")),
        (
            "Justin 2012-05",
            of(&[C::PamEcryptfs], Kind::Pam, "auth optional pam_ecryptfs.so unwrap\n"),
        ),
        (
            "aquator 2012-06",
            of(&[C::Na2DefaultUam], Kind::Defaults, "AFPD_UAMLIST=\"-U uams_dhx.so\"\n")
                .and(Kind::Afpd, "- -tcp -uamlist uams_dhx.so,uams_dhx2.so\n"),
        ),
        (
            "Justin Davis 2012-07",
            volume(
                &[C::Na2BlankInPath],
                "/srv/My Drive \"Anna\" volsizelimit:500000 options:usedots,upriv,tm\n",
            ),
        ),
        (
            "Justin Davis 2012-07",
            volume(
                &[C::Na2BlankInPath],
                "/srv/My\\ Drive \"Anna\" volsizelimit:500000 options:usedots,upriv,tm\n",
            ),
        ),
        (
            "Erik 2013-01",
            volume(
                &[C::Na2Twice],
                "/srv/tm \"Anna\" volsizelimit:500000 options:usedots,upriv,tm\n\
                 /srv/tm \"Anna\" volsizelimit:500000 options:usedots,upriv,tm\n",
            ),
        ),
        // It is the blanks, not the apostrophe.
        (
            "Casey Friday 2013-10",
            volume(
                &[C::Na2BlankInPath],
                "/srv/Casey's Time Machine volsizelimit:500000 options:usedots,upriv,tm\n",
            )
            .host(|h| h.folders = Some(["/srv/Casey's Time Machine".to_owned()].into())),
        ),
        (
            "Casey Friday 2013-10",
            volume(
                &[],
                "/srv/casey's \"Casey's Time Machine\" volsizelimit:500000 options:usedots,upriv,tm\n",
            ),
        ),
        (
            "Bryon Lape 2013-12",
            volume(
                &[C::Na2Allow],
                "/srv/tm \"Anna\" allow:bob, tm1 volsizelimit:500000 options:usedots,upriv,tm\n",
            ),
        ),
    ]
}

#[test]
fn each_comment_is_answered_by_a_finding_or_by_the_docs() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/doctor.md");
    let page = std::fs::read_to_string(page).unwrap();
    let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
    let rows = rows();
    let mut wrong = Vec::new();
    for (who, rules, words) in COMMENTS {
        if !page.contains(words) || rules.is_empty() && words.is_empty() {
            wrong.push(format!("{who}: docs/doctor.md does not say '{words}'"));
        }
        for rule in *rules {
            let code = C::ALL.iter().find(|c| c.rule() == *rule).unwrap();
            let row = rows.iter().find(|r| r.codes.contains(code)).unwrap();
            let told = row.examine(&row.memory());
            let one = told.iter().find(|t| t.code() == Some(*code));
            if one.is_none_or(|t| t.finding.remedy.is_empty()) {
                wrong.push(format!("{who}: {rule} is not told with an answer"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn configurations_that_were_asked_about_have_their_finding() {
    let mut wrong = Vec::new();
    for (who, row) in told_of() {
        assert!(COMMENTS.iter().any(|c| c.0 == who), "{who}");
        let told = row.examine(&row.memory());
        let codes: BTreeSet<C> = told.iter().filter_map(Told::code).collect();
        if row.codes.is_empty() && !codes.is_empty() || !row.codes.iter().all(|c| codes.contains(c))
        {
            wrong.push(format!("{who}: {codes:?}, not {:?}", row.codes));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The table of comments itself: each row is here, with each of its rules.
#[test]
fn no_comment_is_forgotten() {
    let Some(shared) = shared_data("the table of comments") else { return };
    let book = std::fs::read_to_string(shared.join("../formats/server-config.md")).unwrap();
    let table = book.split("## 12.").nth(1).unwrap().split("## 13.").next().unwrap();
    let (mut seen, mut wrong) = (0, Vec::new());
    for line in table.lines().filter(|l| l.starts_with("| ") && !l.starts_with("| Who")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [who, _, answer, ..] = cells.as_slice() else { panic!("{line}") };
        if who.starts_with("about 30 others") {
            continue;
        }
        seen += 1;
        let rules = answer.split(|c: char| !c.is_ascii_alphanumeric());
        let rules = rules.filter(|w| w.len() == 4 && w.starts_with('D') && w != &"Dick");
        let Some(comment) = COMMENTS.iter().find(|c| who.starts_with(c.0)) else {
            wrong.push(format!("{who}: not in the table"));
            continue;
        };
        for rule in rules.filter(|r| r[1..].bytes().all(|b| b.is_ascii_digit())) {
            if !comment.1.contains(&rule) {
                wrong.push(format!("{who}: {rule} is missing"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(seen, COMMENTS.len());
}
