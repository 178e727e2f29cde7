//! The pages of the documentation lead to each other, and findings to the page that helps.

use std::path::Path;
use tmbundle::report::{Code, Consequence};

#[test]
fn every_code_says_what_a_mac_does_and_leads_to_a_page_that_is_there() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let mut used = std::collections::HashSet::new();
    for code in Code::all() {
        let told = code.consequence();
        assert!(code.name().starts_with(told.codes), "{code} has none of its own");
        assert!(told.mac.ends_with('.') && docs.join(told.page).is_file(), "{told:?}");
        used.insert(told.codes);
    }
    // None stands behind one that takes all its codes.
    for Consequence { codes, .. } in Consequence::all() {
        assert!(used.contains(codes), "{codes} fits nothing");
    }
}

/// Links between pages lead to pages and headings that are there.
#[test]
fn no_link_of_the_documentation_leads_nowhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages: Vec<_> = ["README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md"]
        .map(|p| root.join(p))
        .into();
    for folder in ["docs", "docs/runbooks"] {
        let all = std::fs::read_dir(root.join(folder)).unwrap().map(|e| e.unwrap().path());
        pages.extend(all.filter(|p| p.extension().is_some_and(|e| e == "md")));
    }
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            if link.contains("://") || link.contains(' ') {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.clone() } else { page.with_file_name(file) };
            assert!(target.exists(), "{}: {link}", page.display());
            if !heading.is_empty() {
                let text = std::fs::read_to_string(&target).unwrap();
                let headings = text.lines().filter(|l| l.starts_with('#')).map(anchor);
                assert!(headings.into_iter().any(|h| h == heading), "{}: {link}", page.display());
            }
        }
    }
}

/// The anchor that a heading gets.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    let text: String = heading.trim_start_matches('#').trim().chars().filter(kept).collect();
    text.to_lowercase().replace(' ', "-")
}
