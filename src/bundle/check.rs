//! What can be wrong with a bundle without looking into its bands.

use super::{
    BandListing, Bundle, InfoSource, StrayKind, Token, info::Remark, listing::known_stray,
};
use crate::report::{Code, Finding, Reporter, Severity, Structure, Where};

/// Names that macOS writes into a bundle.
const OWN: &[&str] = &[
    "Info.plist",
    "Info.bckup",
    "token",
    "bands",
    "mapped",
    "lock",
    "com.apple.TimeMachine.MachineID.plist",
    "com.apple.TimeMachine.MachineID.bckup",
    "com.apple.TimeMachine.SnapshotHistory.plist",
    "com.apple.TimeMachine.Results.plist",
    "HC.progress.txt",
];

/// Whether macOS gives this name to a part of a bundle.
pub(super) fn is_own(name: &str) -> bool {
    OWN.contains(&name)
}

/// Check everything about the bundle that its directories and property lists
/// tell: no band is opened.
pub fn check(bundle: &Bundle, listing: &BandListing, reporter: &dyn Reporter) {
    check_info(bundle, reporter);
    check_token(bundle, reporter);
    for (name, why) in bundle.time_machine().broken {
        let text = format!("{name}: {why}");
        reporter.report(Finding::new(
            Code::PlistBroken,
            Where::of(Structure::PropertyList).path(name),
            text,
        ));
    }
    check_top(bundle, reporter);
    check_listing(listing, reporter);
}

fn check_info(bundle: &Bundle, reporter: &dyn Reporter) {
    let info = bundle.info();
    if let InfoSource::Bckup(why) = &info.source {
        let text = format!("Info.plist: {why}; Info.bckup was used");
        reporter.report(Finding::new(Code::InfoFallback, Where::of(Structure::InfoPlist), text));
    }
    for remark in &info.remarks {
        let (code, text) = match remark {
            Remark::Differs(text) => (Code::InfoDiffers, text),
            Remark::Odd(text) => (Code::InfoOdd, text),
        };
        reporter.report(Finding::new(code, Where::of(Structure::InfoPlist), text));
    }
}

fn check_token(bundle: &Bundle, reporter: &dyn Reporter) {
    let at = Where::of(Structure::Token);
    match bundle.token() {
        Token::Missing => {
            reporter.report(Finding::new(Code::TokenMissing, at, "the token file is missing"));
        }
        Token::Unknown(len) => {
            let text = format!("{len} bytes that are not an encryption header");
            reporter.report(Finding::new(Code::TokenUnknown, at, text));
        }
        Token::Empty | Token::EncrCdsa(_) | Token::CdsaEncr(_) => {}
    }
}

/// Report what does not belong at the top of the bundle.
pub fn check_top(bundle: &Bundle, reporter: &dyn Reporter) {
    let Ok(dir) = super::list_dir(bundle.dir()) else { return };
    let mut strays: Vec<String> = dir
        .filter_map(Result::ok)
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .filter(|n| n != "." && n != ".." && !OWN.contains(&n.as_str()))
        .collect();
    strays.sort();
    for name in strays {
        let what = known_stray(&name).unwrap_or("unknown");
        let text = format!("'{name}' does not belong in a bundle ({what})");
        reporter.report(Finding::new(
            Code::BundleStray,
            Where::of(Structure::Bundle).path(name),
            text,
        ));
    }
}

fn check_listing(listing: &BandListing, reporter: &dyn Reporter) {
    for (index, what) in &listing.not_files {
        let place = Where::of(Structure::Band).band(format!("{index:x}"));
        let text = format!("band {index:x} is {what}, not a file");
        reporter.report(Finding::new(Code::BandNotFile, place, text));
    }
    for stray in &listing.strays {
        let place = Where::of(Structure::Bands).path(stray.name.clone());
        let name = &stray.name;
        let finding = match stray.kind {
            StrayKind::Misnamed(index) if listing.contains(index) => Finding::new(
                Code::BandName,
                place,
                format!("bands/{name} also claims to be band {index:x}, which exists"),
            )
            .severity(Severity::Damage),
            StrayKind::Misnamed(index) => Finding::new(
                Code::BandName,
                place,
                format!("bands/{name} may be band {index:x}, which is missing, under a wrong name"),
            )
            .severity(Severity::Damage),
            StrayKind::OutOfRange(index) => Finding::new(
                Code::BandOutOfRange,
                place.band(format!("{index:x}")),
                format!("band {name} lies past the end of the image"),
            ),
            StrayKind::Known(what) => {
                Finding::new(Code::BandStray, place, format!("bands/{name} is not a band ({what})"))
            }
            StrayKind::Unknown => {
                Finding::new(Code::BandStray, place, format!("bands/{name} is not a band"))
            }
        };
        reporter.report(finding);
    }
}
