//! What is wrong with the encryption of a disk, without its password.

use super::Disk;
use crate::io::ReadAt;
use crate::report::{Code, Finding, Reporter, Where};

/// Report a damaged encryption header.
pub fn check(disk: &Disk, reporter: &dyn Reporter) {
    let Some(encryption) = disk.encryption() else { return };
    let token_told =
        disk.bundle().is_some_and(|b| matches!(b.token(), crate::bundle::Token::Unknown(_)));
    if let Some(text) = &encryption.damaged
        && !token_told
    {
        let text = format!("{text}; without this header nobody can read the image");
        reporter.report(Finding::new(Code::HeaderEncryption, Where::of("encryption header"), text));
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
        let mut place = Where::of("encrypted chunks").at(place);
        place.length = Some(len);
        reporter.report(Finding::new(Code::ChunkZero, place, text));
    }
}
