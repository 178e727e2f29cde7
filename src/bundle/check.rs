//! What can be wrong with a bundle without looking into its bands.

use super::{
    BandListing, Bundle, InfoSource, StrayKind, Strays, TimeMachinePlists, Token, info::Remark,
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
    check_lists(&bundle.time_machine(), reporter);
    check_listing(listing, reporter);
    super::strays_check::report(bundle, listing, &Strays::find(bundle), reporter);
}

/// Report Time Machine's lists that cannot be read.
pub fn check_lists(plists: &TimeMachinePlists, reporter: &dyn Reporter) {
    for name in &plists.denied {
        reporter.report(denied(name, Structure::PropertyList));
    }
    for (name, why) in &plists.broken {
        let place = Where::of(Structure::PropertyList).path(*name);
        reporter.report(Finding::new(Code::PlistBroken, place, format!("{name}: {why}")));
    }
}

/// That this user may not read a file says nothing about the file.
fn denied(name: &str, structure: Structure) -> Finding {
    let text = format!("{name}: this user may not read it (Permission denied)");
    Finding::new(Code::BundleDenied, Where::of(structure).path(name), text)
}

fn check_info(bundle: &Bundle, reporter: &dyn Reporter) {
    let info = bundle.info();
    for name in &info.denied {
        reporter.report(denied(name, Structure::InfoPlist));
    }
    // What may not be read is not known to be lost.
    let lost = if info.denied.is_empty() { Code::InfoLost } else { Code::BundleDenied };
    if let InfoSource::Bckup(why) = &info.source
        && !info.denied.contains(&"Info.plist")
    {
        let text = format!("Info.plist: {why}; Info.bckup was used");
        reporter.report(Finding::new(Code::InfoFallback, Where::of(Structure::InfoPlist), text));
    }
    if let InfoSource::Stray(name, why) = &info.source {
        let text = format!("{why}; '{name}' holds the geometry of a bundle and was used");
        reporter.report(Finding::new(lost, Where::of(Structure::InfoPlist).path(name), text));
    }
    if let InfoSource::Guessed(what, why) = &info.source {
        let text = format!("{why}; taken to have {what}");
        reporter.report(Finding::new(lost, Where::of(Structure::InfoPlist), text));
    }
    for remark in &info.remarks {
        let (code, text) = match remark {
            Remark::Differs(text) => (Code::InfoDiffers, text),
            Remark::Odd(text) => (Code::InfoOdd, text),
            Remark::Contradicted(text) => (Code::InfoContradicted, text),
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
        Token::Unread { denied: true, .. } => reporter.report(denied("token", Structure::Token)),
        Token::Unread { why, .. } => {
            reporter.report(Finding::new(Code::TokenUnknown, at, format!("the token: {why}")));
        }
        Token::Empty | Token::EncrCdsa(_) | Token::CdsaEncr(_) => {}
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
            // What they are is told with all other strays.
            StrayKind::Known(_) | StrayKind::Unknown => continue,
        };
        reporter.report(finding);
    }
}
