//! What is said of files that do not belong in a bundle, and may be the part that is lost.

use super::{Alternate, BandListing, Bundle, Strays, Token};
use crate::report::words::plural;
use crate::report::{Code, Finding, Reporter, Severity, Structure, Where};
use std::collections::BTreeMap;

/// Names that no band or header ever had: who finds one of them may take it away.
const KNOWN: &str = "left by";

/// Report all strays.
pub(super) fn report(
    bundle: &Bundle,
    listing: &BandListing,
    strays: &Strays,
    reporter: &dyn Reporter,
) {
    tokens(bundle, strays, reporter);
    for (path, info) in &strays.infos {
        let text = format!(
            "'{path}' holds the geometry of a bundle: bands of {} bytes, {} in all",
            info.band_size, info.size
        );
        let place = Where::of(Structure::Bundle).path(path);
        reporter.report(Finding::new(Code::BundleStray, place, text));
    }
    bands(listing, strays, reporter);
    for (path, known) in &strays.others {
        let (code, place) = match path.strip_prefix("bands/") {
            Some(name) => (Code::BandStray, Where::of(Structure::Bands).path(name)),
            None => (Code::BundleStray, Where::of(Structure::Bundle).path(path)),
        };
        let what = known.map_or_else(|| "unknown".to_owned(), |w| format!("{KNOWN}: {w}"));
        let text = format!("'{path}' does not belong in a bundle ({what})");
        reporter.report(Finding::new(code, place, text));
    }
}

fn tokens(bundle: &Bundle, strays: &Strays, reporter: &dyn Reporter) {
    let lost = matches!(
        bundle.token(),
        Token::Missing | Token::Empty | Token::Unknown(_) | Token::Unread { denied: false, .. }
    );
    let names: Vec<String> = strays.tokens.iter().map(|t| format!("'{t}'")).collect();
    if lost && !names.is_empty() {
        let state = match bundle.token() {
            Token::Missing => "missing",
            Token::Empty => "empty",
            Token::Unread { .. } => "unreadable",
            _ => "no encryption header",
        };
        let text = format!(
            "the token is {state}, but {} holds an encryption header: perhaps the only keys of \
             this bundle",
            names.join(", ")
        );
        reporter.report(Finding::new(Code::TokenLost, Where::of(Structure::Token), text));
        return;
    }
    for path in &strays.tokens {
        let text = format!("'{path}' holds an encryption header, as the token does");
        let place = Where::of(Structure::Bundle).path(path);
        reporter.report(Finding::new(Code::TokenStray, place, text));
    }
}

/// Other versions of bands: one by one among the bands, together in another folder.
fn bands(listing: &BandListing, strays: &Strays, reporter: &dyn Reporter) {
    let mut folders: BTreeMap<String, (Vec<u64>, Vec<u64>)> = BTreeMap::new();
    for (index, alternates) in &strays.bands {
        let there = listing.contains(*index);
        for alternate in alternates {
            match folder_of(alternate) {
                Some(folder) => {
                    let (twice, missing) = folders.entry(folder).or_default();
                    (if there { twice } else { missing }).push(*index);
                }
                None => one(*index, there, alternate, reporter),
            }
        }
    }
    for (folder, (twice, missing)) in folders {
        let of = |n: &[u64]| plural(crate::io::bytes::to_u64(n.len()), "band", "bands");
        let first = |n: &[u64]| n.first().map_or_else(String::new, |i| format!(" (first {i:x})"));
        let place = || Where::of(Structure::Bundle).path(&folder);
        if !twice.is_empty() {
            let text =
                format!("'{folder}' holds another version of {}{}", of(&twice), first(&twice));
            reporter.report(Finding::new(Code::BandVersions, place(), text));
        }
        if !missing.is_empty() {
            let (n, at) = (of(&missing), first(&missing));
            let text = format!("'{folder}' may hold {n} that are missing in bands/{at}");
            reporter.report(Finding::new(Code::BandName, place(), text));
        }
    }
}

/// The folder an alternate lies in, if that is not `bands/` itself.
fn folder_of(alternate: &Alternate) -> Option<String> {
    let (folder, _) = alternate.path.rsplit_once('/')?;
    (folder != "bands").then(|| folder.to_owned())
}

fn one(index: u64, there: bool, alternate: &Alternate, reporter: &dyn Reporter) {
    let name = alternate.path.strip_prefix("bands/").unwrap_or(&alternate.path);
    // A band's name in another form is told by the listing.
    if super::listing::loose_index(name.as_bytes()).is_some() {
        return;
    }
    let (path, len) = (&alternate.path, alternate.len);
    let place = Where::of(Structure::Bands).path(name);
    let finding = if there {
        let text = format!("'{path}' ({len} bytes) is another version of band {index:x}");
        Finding::new(Code::BandVersions, place, text)
    } else {
        let text = format!("'{path}' ({len} bytes) may be band {index:x}, which is missing");
        Finding::new(Code::BandName, place, text).severity(Severity::Warning)
    };
    reporter.report(finding);
}
