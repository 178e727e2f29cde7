//! Each code of `doctor` has a configuration, or facts, that provoke it, and then nothing else
//! is reported; and its exact remedy, applied, makes it go.

mod announced;
mod machine;
mod netatalk;
mod row;
mod samba;

use super::Kind;
use row::{GOOD, TWO, afp, bundle, path, service, share};
pub(super) use row::{Row, of, two};
use std::collections::{BTreeMap, BTreeSet};
use tmbundle::report::ServerCode as C;
use tmbundle::server::host::PathFacts;
use tmbundle::server::{Fix, Told, patch};

pub(super) fn rows() -> Vec<Row> {
    let all = [samba::rows(), netatalk::rows(), announced::rows(), machine::rows()];
    all.into_iter().flatten().collect()
}

#[test]
fn what_is_right_is_not_spoken_of() {
    let rows = [
        of(&[], Kind::Samba, GOOD),
        of(&[], Kind::Volumes, TWO),
        afp(&[], "tm", "tm"),
        service(&[], "tm", "tm"),
        // Of a machine of which everything is known and well.
        share(&[], "valid users = anna @tmusers").people().host(|h| {
            h.samba = Some((4, 22));
            h.responder = Some(true);
            h.listening = Some(BTreeMap::from([(445, false)]));
            let owner = Some((0o700, 1001, 1001));
            let (size, free) = (Some(4 << 40), Some(3 << 40));
            let bundles = Some(vec![bundle("A.sparsebundle")]);
            h.paths.insert(
                "/srv/tm".into(),
                PathFacts {
                    owner,
                    size,
                    free,
                    bundles,
                    folder: Some(true),
                    ..PathFacts::default()
                },
            );
        }),
    ];
    for row in rows {
        let told = row.examine(&row.memory());
        assert!(told.is_empty(), "{:?}: {told:#?}", row.files);
    }
}

#[test]
fn each_code_is_provoked_and_nothing_beside_it() {
    let mut seen = BTreeSet::new();
    let mut wrong = Vec::new();
    for row in rows() {
        let told = row.examine(&row.memory());
        let codes: BTreeSet<C> = told.iter().filter_map(Told::code).collect();
        let wanted: BTreeSet<C> = row.codes.iter().copied().collect();
        if codes != wanted {
            wrong.push(format!("{:?}\n  gives {codes:?}, not {wanted:?}", row.files));
        }
        seen.extend(wanted);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let unprovoked: Vec<_> = C::ALL.iter().filter(|c| !seen.contains(c)).collect();
    assert!(unprovoked.is_empty(), "nothing provokes {unprovoked:?}");
}

/// A file with one remedy applied.
fn applied(files: &BTreeMap<String, Vec<u8>>, fix: &Fix) -> BTreeMap<String, Vec<u8>> {
    let mut files = files.clone();
    let (Fix::Replace { file, line, .. }
    | Fix::Remove { file, line }
    | Fix::Insert { file, line, .. }) = fix
    else {
        return files;
    };
    let text = String::from_utf8(files[file].clone()).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let n = *line as usize - 1;
    match fix {
        Fix::Replace { text, .. } => lines[n] = text.clone(),
        Fix::Remove { .. } => drop(lines.remove(n)),
        Fix::Insert { text, .. } => lines.insert(n + 1, text.clone()),
        Fix::Command { .. } => {}
    }
    files.insert(file.clone(), (lines.join("\n") + "\n").into_bytes());
    files
}

#[test]
fn an_exact_remedy_makes_the_finding_go() {
    let (mut wrong, mut tried) = (Vec::new(), 0);
    for row in rows() {
        let files = row.memory();
        for one in row.examine(&files) {
            let Some(fix) = one.fix.as_ref().filter(|f| !matches!(f, Fix::Command { .. })) else {
                continue;
            };
            tried += 1;
            let after = row.examine(&applied(&files, fix));
            let codes: Vec<&str> = after.iter().map(|t| t.rule).collect();
            if codes.contains(&one.rule) || codes.contains(&"D001") {
                wrong.push(format!("{:?}\n  {fix:?} leaves {codes:?}", row.files));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(tried > 60, "{tried}");
}

/// What testparm says in 4.17, and the line of which it says so.
#[test]
fn what_testparm_complains_of_has_its_line() {
    let file = "newer option = zz, 9\nnewer yes or no = ja\nnewer list = a, b\n";
    for (says, line) in [
        ("WARNING: Ignoring invalid value 'zz, 9' for parameter 'newer option'", Some(8)),
        ("set_variable_helper(ja): value is not boolean!", Some(9)),
        ("handle_x: WARNING: Ignoring invalid list value 'b' for parameter 'newer list'", Some(10)),
        ("WARNING: Ignoring invalid value 'other' for parameter 'newer option'", None),
        ("something else", None),
    ] {
        let text = format!("Load smb config files from x\n{says}\nError loading services.\nMore\n");
        let row = share(&[C::ConfFatal], file)
            .host(|h| h.testparm = Some(tmbundle::server::live::read_testparm(&text)));
        let told = row.examine(&row.memory());
        let told = told.iter().find(|t| t.code() == Some(C::ConfFatal)).unwrap();
        assert_eq!(told.finding.place.line, line, "{says}");
        assert!(told.finding.message.ends_with(says), "{}", told.finding.message);
    }
}

#[test]
fn the_patch_is_one_that_patch_takes() {
    let text = GOOD.replace("1T", "1TB").replace("read only = no\n", "").replace(
        "[global]\n",
        "[global]\n# 1\n# 2\n# 3\n# 4\n# 5\n# 6\n# 7\n# 8\n# 9\noplocks = no\n",
    ) + "fruit:model = Xserve";
    let row = of(&[], Kind::Samba, text);
    let files = row.memory();
    let told = row.examine(&files);
    assert!(told.len() >= 4, "{told:?}");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("smb.conf");
    std::fs::write(&file, &files[path(Kind::Samba)]).unwrap();
    std::fs::write(dir.path().join("p"), patch::patch(&files, &told)).unwrap();
    let ran = std::process::Command::new("patch")
        .args(["-s", "smb.conf", "p"])
        .current_dir(dir.path())
        .output();
    let Ok(ran) = ran else {
        crate::common::skipped("the patch of doctor: there is no patch(1)");
        return;
    };
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout));
    let after = BTreeMap::from([(path(Kind::Samba).to_owned(), std::fs::read(&file).unwrap())]);
    let left = row.examine(&after);
    assert!(left.is_empty(), "{left:#?}");
}
