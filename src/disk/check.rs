//! What is wrong with the file of a disk and its encryption, without a password.

use super::{Disk, Locked};
use crate::io::ReadAt;
use crate::report::{Code, Finding, Reporter, Severity, Structure, Where};

/// Report a file that ends early and a damaged encryption header.
pub fn check(disk: &Disk, reporter: &dyn Reporter) {
    for text in disk.unread() {
        let text = format!("{text}; it was not needed for what follows");
        let place = Where::of(Structure::DiskImage);
        reporter.report(Finding::new(Code::DiskUnreadable, place, text));
    }
    if let Some(text) = disk.cut() {
        let text = format!("the file ends before the disk does: {text}");
        reporter.report(Finding::new(Code::DiskCut, Where::of(Structure::DiskImage), text));
    }
    if let Some(Locked::Damaged(text)) = disk.locked()
        && disk.encryption().is_none_or(|e| e.damaged.is_none())
    {
        let place = Where::of(Structure::DiskImage);
        reporter.report(Finding::new(Code::DiskImageDamaged, place, text.clone()));
    }
    let Some(encryption) = disk.encryption() else { return };
    let token_told =
        disk.bundle().is_some_and(|b| matches!(b.token(), crate::bundle::Token::Unknown(_)));
    if let Some(text) = &encryption.damaged
        && !token_told
    {
        let text = format!("{text}; without this header nobody can read the image");
        reporter.report(Finding::new(
            Code::HeaderEncryption,
            Where::of(Structure::EncryptionHeader),
            text,
        ));
    }
    for text in &encryption.odd {
        reporter.report(Finding::new(
            Code::TokenOdd,
            Where::of(Structure::EncryptionHeader),
            text.clone(),
        ));
    }
}

/// Reads that failed and that no finding speaks of: somebody did without the bytes, or got
/// them at a second try. `said` is asked whether a text is in what is told.
pub fn check_reads(disk: &Disk, said: &dyn Fn(&str) -> bool, reporter: &dyn Reporter) {
    let (code, structure) = match disk.bundle() {
        Some(_) => (Code::BandSector, Structure::Band),
        None => (Code::DiskUnreadable, Structure::DiskImage),
    };
    for read in disk.failed_reads().into_iter().filter(|r| !said(&r.cause)) {
        let text = format!("{}; what is told may lack what was to be read there", read.text);
        let place = Where::of(structure).at(Some(read.place));
        reporter.report(Finding::new(code, place, text).severity(Severity::Warning));
    }
}

/// Report chunks whose ciphertext is all zero, as far as they were met.
pub fn check_chunks(disk: &Disk, reporter: &dyn Reporter) {
    for run in disk.unwritten_chunks() {
        let len = run.end - run.start;
        let text = format!(
            "{len} bytes of ciphertext at {} are all zero: they were never written, or are lost",
            run.start
        );
        let place = disk.decrypted.as_ref().and_then(|d| d.locate(run.start));
        let mut place = Where::of(Structure::EncryptedChunks).at(place);
        place.length = Some(len);
        reporter.report(Finding::new(Code::ChunkZero, place, text));
    }
}
