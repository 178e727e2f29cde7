//! What to do, where the usual advice does not fit what the backup is kept in.

use super::{Code, Finding};

/// What the system says where this user may not read.
pub const DENIED: &str = "Permission denied (os error 13)";

/// What is said of a file that stands beside a band that is lost.
pub const STANDS_IN: &str = "may hold what is missing";

/// What is said of a password for keys that are wrapped, or bands that are encrypted, in a way
/// that is not known.
pub const UNTRIED: &str = "the password that was given cannot be tried";

/// What is said of a file that has keys in it, where the token has none or another's.
const HAS_KEYS: &str = "an encryption header";

/// What a backup is kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeptIn {
    /// A bundle: bands, property lists, a token.
    Bundle,
    /// One file, or a device: there is nothing to look at beside it.
    One,
}

impl Code {
    /// One sentence on what to do about a finding in such a backup.
    pub fn remedy(self, kept: KeptIn) -> &'static str {
        match kept {
            KeptIn::Bundle => self.info().remedy,
            KeptIn::One => self.without_bundle().unwrap_or(self.info().remedy),
        }
    }

    /// Where the usual advice speaks of bands, tokens or the bundle.
    fn without_bundle(self) -> Option<&'static str> {
        Some(match self {
            Self::HeaderEncryption => {
                "Restore the file from another copy: its encryption header holds the only keys."
            }
            Self::TokenOdd => {
                "Keep a copy of the file; let the Mac change the image's password to the same one to write the header anew."
            }
            Self::BandLost | Self::BandMapped => {
                "Look for these bytes in another copy; ask the disk or file system that holds this one what happened to them."
            }
            Self::DiskUnreadable => {
                "Look at the health of the disk that holds it, and copy what can still be read now."
            }
            Self::VolumeUnknown => {
                "If the partition was ever in use, its beginning is lost or overwritten: look for it in another copy."
            }
            Self::VolumeNone => {
                "It was never formatted, or its beginning is lost: look for it in another copy."
            }
            Self::HeaderLost => {
                "Look for another copy; see whether a part of this one is zero, or missing at its end."
            }
            Self::BtreeUnreadable | Self::BitmapUnreadable => {
                "Look at the health of the disk that holds it, and copy what can still be read now."
            }
            Self::FileUnreadable => {
                "Look for the file in another snapshot; if the disk reports errors, copy the image now."
            }
            Self::PartitionEntry => "Do not let anything write to this image.",
            Self::DiskCut => "Copy it again from where it came; what lies past the end is lost.",
            Self::ApfsCheckpoint => {
                "What is shown may be old, and parts of it overwritten since. Look for another copy first; copy \
                 out what you need, and let a Mac check the original only then."
            }
            Self::ApfsUnreadable => {
                "What it leads to cannot be read; look for these bytes in another copy."
            }
            Self::ApfsContainer => {
                "A Mac may refuse the volume, or read it by wrong numbers; look for these bytes in another copy."
            }
            Self::ApfsObject => {
                "Ask the disk or file system what happened to these bytes; restore them from elsewhere."
            }
            Self::ApfsVolume => {
                "A Mac may refuse to mount the volume; look for these bytes in another copy."
            }
            Self::ApfsKeybag => {
                "Keep another copy, if there is one; if the volume still opens, copy out what you need now."
            }
            Self::TmAgeUnknown => "Give the password, or verify without --quick.",
            _ => return None,
        })
    }
}

/// Instead of any advice to repair what only seems broken, or would stay so.
const BANDS_FIRST: &str = "Look for the missing bands first, in another copy of the bundle or in the file that is \
     named; a repair without them makes their loss final.";

/// Where another file may be the band that something is wrong in.
const VERSION_FIRST: &str = "Try the file that is named first, under the band's name in a copy of the bundle; keep \
     both until it is known which is the good one, and let nothing repair the volume before.";

/// Where another file has keys.
const KEYS_FIRST: &str = "Make a copy of the bundle, give the file that is named the name 'token' there, and try the \
     password; keep that file whatever comes of it, for it may hold the only keys.";

/// The same where the end of the disk is missing.
const END_FIRST: &str =
    "Copy it again from where it came; what lies past the end cannot be mended here.";

/// What a finding says whose structure lies in a band that is gone (`io::gone`).
const IN_LOST_BAND: &str = "is lost: band ";

/// What an error says that comes of that.
const SHORTER: &str = "the copy is shorter than the volume";

impl Code {
    /// Whether it is found only by reading the contents of files.
    pub fn is_of_data(self) -> bool {
        self.name().starts_with("FILE-") || matches!(self, Self::SymlinkBad | Self::BandSector)
    }

    /// Whether it says that a band that was there is gone, or a part of it.
    pub(crate) fn is_missing_band(self) -> bool {
        matches!(self, Self::BandLost | Self::BandMapped | Self::BandGone)
    }
}

impl Finding {
    /// Give the advice that fits what the backup is kept in to all that was found in one, and
    /// who reads it.
    pub fn fit_all(findings: &mut [Self], kept: KeptIn) {
        let lacks = findings.iter().any(|f| f.code.is_missing_band());
        let cut = findings.iter().any(|f| f.code == Code::DiskCut);
        for f in findings {
            f.fit(kept);
            let mends = f.remedy.contains("repair") || f.remedy.contains("let a Mac check");
            let past_end = mends || f.message.contains(SHORTER) || f.remedy.contains("Info.bckup");
            if cut && f.code != Code::DiskCut && past_end {
                f.remedy = END_FIRST;
                continue;
            }
            let of_contents = f.code.name().starts_with("FILE-");
            if kept == KeptIn::Bundle && mends && (lacks || f.message.contains(IN_LOST_BAND)) {
                f.remedy = BANDS_FIRST;
            } else if (mends || of_contents) && f.message.contains(STANDS_IN) {
                f.remedy = VERSION_FIRST;
            }
        }
    }

    /// Give the advice that fits what the backup is kept in, and who reads it.
    fn fit(&mut self, kept: KeptIn) {
        let own = [Code::ManifestUnwritten, Code::ManifestRestarted, Code::PasswordUnread];
        if self.message.contains(DENIED) && !own.contains(&self.code) {
            self.remedy = Code::BundleDenied.info().remedy;
            return;
        }
        if self.code == Code::BandLost && self.message.contains(STANDS_IN) {
            self.remedy = "Make a copy of the bundle, give the file that is named the band's name \
                           there, and verify that; keep the file whatever comes of it.";
            return;
        }
        if self.message.starts_with(UNTRIED) {
            self.remedy = "See whether a newer tmbundle knows this way; a Mac opens it meanwhile.";
            return;
        }
        let about_keys = [Code::TokenLost, Code::TokenForeign];
        if about_keys.contains(&self.code) && self.message.contains(HAS_KEYS) {
            self.remedy = KEYS_FIRST;
            return;
        }
        if self.remedy == self.code.info().remedy {
            self.remedy = self.code.remedy(kept);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_advice_speaks_of_what_a_single_file_does_not_have() {
        let mut wrong = Vec::new();
        for code in Code::OF_BACKUPS.iter().filter(|code| {
            // These are found in bundles only.
            let name = code.name();
            let only = [
                "BUNDLE-",
                "BAND-",
                "TOKEN-MISSING",
                "TOKEN-LOST",
                "TOKEN-STRAY",
                "TOKEN-FOREIGN",
                "TM-",
                "MANIFEST",
            ];
            !only.iter().any(|begin| name.starts_with(begin))
                || matches!(code, Code::BandLost | Code::BandMapped | Code::TmAgeUnknown)
        }) {
            let remedy = code.remedy(KeptIn::One).to_lowercase().replace("tmbundle", "");
            if ["bundle", "band", "token", "info.bckup", "info.plist"]
                .iter()
                .any(|word| remedy.contains(word))
            {
                wrong.push(format!("{code}: {remedy}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
