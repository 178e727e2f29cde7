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

/// Every file and folder of the repository's own code.
fn tree(dir: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        found.push(path.to_str().unwrap().to_owned());
        if entry.file_type().unwrap().is_dir() {
            tree(&path, found);
        }
    }
}

/// The paths that a page names in code: of files in Rust, below the repository's folders, and,
/// on the page of how it is built, rooms.
fn named(page: &str, rooms: bool) -> Vec<&str> {
    const TOPS: [&str; 7] =
        ["src/", "tests/", "tools/", "packaging/", "docs/", "fuzz/", "examples/"];
    let code = page.split('`').skip(1).step_by(2).filter(|code| !code.contains('\n'));
    let is_path = |word: &&str| {
        let plain = word.bytes().all(|b| b.is_ascii_alphanumeric() || b"_./-".contains(&b));
        let ours = word.ends_with(".rs") || TOPS.iter().any(|top| word.starts_with(top));
        plain && (ours || rooms && word.ends_with('/') && word.len() > 1)
    };
    code.flat_map(str::split_whitespace).filter(is_path).collect()
}

/// A path may be told from the repository, from `src/` or from a room on: its end must be there.
#[test]
fn every_path_of_the_code_that_the_documentation_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut there = Vec::new();
    for folder in ["src", "tests", "tools", "packaging", "docs", "fuzz", "examples"] {
        there.push(root.join(folder).to_str().unwrap().to_owned());
        tree(&root.join(folder), &mut there);
    }
    let mut pages: Vec<_> = ["README.md", "SECURITY.md", "CONTRIBUTING.md", "packaging/README.md"]
        .map(|p| root.join(p))
        .into();
    let docs = std::fs::read_dir(root.join("docs")).unwrap().map(|e| e.unwrap().path());
    pages.extend(docs.filter(|p| p.extension().is_some_and(|e| e == "md")));
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        for path in named(&text, page.ends_with("docs/architecture.md")) {
            seen += 1;
            let end = format!("/{}", path.trim_end_matches('/'));
            // That one lies in bundles.
            if path != "mapped/" && !there.iter().any(|file| file.ends_with(&end)) {
                wrong.push(format!("{}: {path}", page.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 150, "only {seen} paths were found");
}

/// Every room of the code stands on the page of how it is built.
#[test]
fn every_room_stands_on_the_page() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/architecture.md")).unwrap();
    for entry in std::fs::read_dir(root.join("src")).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            let row = format!("{name}/");
            let rows = page.lines().filter(|line| line.starts_with("| `"));
            let first = rows.filter_map(|line| line.split('|').nth(1));
            assert!(first.flat_map(|r| r.split(['`', ' '])).any(|w| w == row), "{row}");
        }
    }
}

/// The anchor that a heading gets.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    let text: String = heading.trim_start_matches('#').trim().chars().filter(kept).collect();
    text.to_lowercase().replace(' ', "-")
}
