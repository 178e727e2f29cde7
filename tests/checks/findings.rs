//! `docs/findings.md` says what the table of codes says. To write the page anew:
//! `UPDATE_DOCS=1 cargo test --test checks findings`.

use std::fmt::Write;
use std::path::Path;
use tmbundle::report::{Code, Consequence, FsckError, Maps, Rule, ServerCode};

fn page() -> String {
    let mut text = String::from(
        "# Findings\n\n\
         What `tmbundle verify` reports. A code keeps its meaning from release to release.\n\
         `tmbundle explain CODE` prints the same. The last columns give the nearest error\n\
         numbers of Apple's `fsck_hfs`, and the nearest messages of `fsck_apfs`; those of `apfsck` stand\n\
         in [apfsck.md](apfsck.md).\n\n\
         Severity: **damage** (something is lost or structurally wrong), **warning** (not damage\n\
         yet, or damage that costs nothing), **info** (worth knowing). A finding may be graded\n\
         differently where its circumstances are milder or worse; the table has the usual grade.\n\n\
         | Code | Severity | Meaning | What to do | fsck_hfs | apfsck, fsck_apfs |\n\
         |---|---|---|---|---|---|\n",
    );
    for code in Code::OF_BACKUPS {
        let info = code.info();
        let fsck: Vec<String> = info.fsck_hfs.iter().map(u16::to_string).collect();
        let _ = writeln!(
            text,
            "| {code} | {} | {} | {} | {} | {} |",
            info.severity.as_str(),
            info.meaning,
            info.remedy,
            fsck.join(", "),
            info.apfs.join("; ")
        );
    }
    text.push_str(
        "\n## The server\n\n\
         What `tmbundle doctor` reports, with the number of the rule ([doctor.md](doctor.md)). Here\n\
         **damage** means that no backup is possible or backups are at risk, **warning** that it\n\
         works and will bite, **info** is advice.\n\n\
         | Code | Rule | Severity | Meaning | What to do |\n|---|---|---|---|---|\n",
    );
    for code in ServerCode::ALL {
        let info = code.info();
        let (name, severity) = (info.name, info.severity.as_str());
        let meaning = info.meaning.replace('|', "\\|");
        let _ = writeln!(
            text,
            "| {name} | {} | {severity} | {meaning} | {} |",
            code.rule(),
            info.remedy
        );
    }
    text.push_str(
        "\n## What a Mac would do, and what helps\n\n\
         By the beginning of the code, the first that fits.\n\n\
         | Codes | A Mac | What helps |\n|---|---|---|\n",
    );
    for Consequence { codes, mac, page } in Consequence::all() {
        let _ = writeln!(text, "| {codes}… | {mac} | [{page}]({page}) |");
    }
    text.push_str(
        "\n## The rules of APFS\n\n\
         What holds in a sound APFS container. A finding names the rule it is about by its number;\n\
         `tmbundle explain A061` prints the same. A grade in brackets is that of the rule where no\n\
         volume of Apple's was seen that has the structure: a finding is one grade milder then.\n\n\
         | Rule | Code | Severity | What holds |\n|---|---|---|---|\n",
    );
    for rule in Rule::ALL {
        let full = rule.full_severity().as_str();
        let grade = if rule.is_unseen() { format!("({full})") } else { full.into() };
        let _ = writeln!(text, "| {rule} | {} | {grade} | {} |", rule.code(), rule.holds());
    }
    text.push_str(
        "\n## The errors of Apple's fsck_hfs\n\n\
         Every error number of `fsck_hfs` and what stands for it here; `tmbundle explain 560` and\n\
         `tmbundle explain E_InvalidID` print the same.\n\n\
         | Error | Meaning | Reported as |\n|---|---|---|\n",
    );
    for error in FsckError::ALL {
        let codes = match error.maps {
            Maps::Codes(codes) => codes.iter().map(|c| c.name()).collect::<Vec<_>>().join(", "),
            Maps::Reason(reason) => format!("– {reason}"),
        };
        let _ =
            writeln!(text, "| {} {} | {} | {codes} |", error.number, error.symbol, error.meaning);
    }
    text
}

#[test]
fn the_page_and_the_codes_agree() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/findings.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, page()).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == page(),
        "docs/findings.md is out of step: UPDATE_DOCS=1 cargo test --test checks findings"
    );
}

#[test]
fn names_are_unique_and_well_formed() {
    let mut seen = std::collections::HashSet::new();
    for code in Code::all() {
        let name = code.name();
        assert!(seen.insert(name), "{name} stands twice");
        let digits = name.starts_with("SRV-");
        let fits = |b: u8| b.is_ascii_uppercase() || b == b'-' || digits && b.is_ascii_digit();
        assert!(name.bytes().all(fits), "{name}");
        assert_eq!(Code::by_name(name), Some(code));
        assert!(code.info().meaning.ends_with('.') && code.info().remedy.ends_with('.'), "{name}");
    }
}

#[test]
fn every_error_of_fsck_is_mapped_and_the_lists_agree() {
    let numbers: Vec<u16> = FsckError::ALL.iter().map(|e| e.number).collect();
    assert_eq!(numbers, (500..=618).collect::<Vec<u16>>());
    for error in FsckError::ALL {
        let FsckError { number, symbol, meaning, maps } = *error;
        assert!(symbol.starts_with("E_") && meaning.ends_with('.'), "{number}");
        assert_eq!(FsckError::find(symbol).unwrap().number, number);
        assert_eq!(FsckError::find(&format!("-{number}")).unwrap().number, number);
        let listed: Vec<Code> =
            Code::all().filter(|c| c.info().fsck_hfs.contains(&number)).collect();
        match maps {
            Maps::Codes(codes) => {
                let mut codes = codes.to_vec();
                codes.sort_unstable();
                assert_eq!(codes, listed, "{number}");
            }
            Maps::Reason(reason) => {
                assert!(reason.ends_with('.') && listed.is_empty(), "{number}: {listed:?}");
            }
        }
    }
    for code in Code::all() {
        assert!(code.info().fsck_hfs.iter().all(|n| (500..=618).contains(n)), "{code}");
    }
}

/// The rules are those of the book, with its grades.
#[test]
fn the_rules_of_apfs_are_those_of_the_book() {
    let Some(data) = crate::common::shared_data("the_rules_of_apfs_are_those_of_the_book") else {
        return;
    };
    let book = std::fs::read_to_string(data.join("../formats/apfs-checks.md")).unwrap();
    let rows: Vec<(String, &str, bool)> = book
        .lines()
        .map(|line| line.split(" | ").collect::<Vec<_>>())
        .filter(|cells| cells.len() >= 6 && cells[0].starts_with("| A"))
        .map(|cells| {
            let grade = match cells[1] {
                "D" => "damage",
                "W" => "warning",
                "I" => "info",
                other => panic!("{other}"),
            };
            let tried = cells[cells.len() - 2];
            (cells[0].trim_start_matches("| ").to_string(), grade, tried == "–")
        })
        .collect();
    let here: Vec<(String, &str, bool)> = Rule::ALL
        .iter()
        .map(|r| (r.name().to_string(), r.full_severity().as_str(), r.is_unseen()))
        .collect();
    assert_eq!(rows, here);
    assert_eq!(here.len(), 282);
}

/// What apfsck reports, by the lab's map of its sites to rules: "", or why there is none.
fn sites(map: &str) -> std::collections::BTreeMap<String, String> {
    let mut found: std::collections::BTreeMap<String, String> = Default::default();
    for line in map.lines().filter(|l| !l.starts_with('#')) {
        let Some((rule, sites)) = line.trim_start_matches("- ").split_once(' ') else { continue };
        let (rule, sites) = match line.strip_prefix("- ") {
            Some(rest) => ("–", rest),
            None => (rule, sites),
        };
        let sites = sites.trim_start_matches(|c: char| c == '(' || c == ')' || c.is_ascii_digit());
        let rule = if rule == "fusion" { "Fusion drives are refused" } else { rule };
        for site in sites.trim().split("; ") {
            let site = site.replace('|', "\\|");
            let rules = found.entry(site).or_default();
            let more = if rules.is_empty() { rule.into() } else { format!(", {rule}") };
            rules.push_str(&more);
        }
    }
    found
}

/// `docs/apfsck.md` has every site of apfsck, with the rules that stand for it.
#[test]
fn every_report_of_apfsck_is_mapped() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/apfsck.md");
    let Some(data) = crate::common::shared_data("every_report_of_apfsck_is_mapped") else { return };
    let map = std::fs::read_to_string(data.join("../formats/apfsck-map.txt")).unwrap();
    let mut page = String::from(
        "# The reports of apfsck\n\n\
         What `apfsck` (apfsprogs 3721463) can report, by source file and message, and the rules of\n\
         [findings.md](findings.md) that stand for it. A dash: it tells of a feature it does not\n\
         know, or of a bug of its own, and tmbundle has no such finding.\n\n\
         | apfsck | Rules |\n|---|---|\n",
    );
    let sites = sites(&map);
    assert!(sites.len() > 700, "{}", sites.len());
    for (site, rules) in &sites {
        let _ = writeln!(page, "| {site} | {rules} |");
        for rule in rules.split(", ").filter(|r| r.starts_with('A')) {
            assert!(Rule::by_name(rule).is_some(), "{rule}");
        }
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == page,
        "docs/apfsck.md is out of step: UPDATE_DOCS=1 cargo test --test checks findings"
    );
}
