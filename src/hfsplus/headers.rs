//! The two volume headers of a volume, and which of them can be used (sections 1 and 16).

use super::format::VolumeHeader;
use super::{HeaderSource, parse_header};
use crate::error::{Error, Result};
use crate::io::{ReadAt, gone, read_vec};
use crate::report::Structure;

/// One of the two.
#[derive(Debug, Clone)]
pub(super) struct HeaderCopy {
    pub name: Structure,
    /// Where it lies; `None` if the volume is too small to have one.
    pub offset: Option<u64>,
    /// The header, or what makes it unusable.
    pub header: std::result::Result<VolumeHeader, String>,
    /// Whether it is not stored any more.
    pub lost: bool,
}

/// Both.
#[derive(Debug, Clone)]
pub(super) struct Headers {
    pub primary: HeaderCopy,
    pub alternate: HeaderCopy,
}

fn read(volume: &dyn ReadAt, name: Structure, offset: Option<u64>) -> HeaderCopy {
    let unusable = |why: String, lost| HeaderCopy { name, offset, header: Err(why), lost };
    let Some(at) = offset else {
        return unusable("the volume is too small for one".into(), false);
    };
    let bytes = match read_vec(volume, at, 512) {
        Ok(bytes) => bytes,
        Err(e) => return unusable(e.to_string(), false),
    };
    if let Some(gone) = gone(volume, at, &bytes) {
        return unusable(format!("it is lost: {}", gone.why), true);
    }
    HeaderCopy { name, offset, header: parse_header(&bytes, volume.len()), lost: false }
}

impl Headers {
    /// Read both from a volume.
    pub fn read(volume: &dyn ReadAt) -> Self {
        let primary = read(volume, Structure::VolumeHeader, Some(1024));
        // The alternate lies in the last but one sector of the partition; a volume
        // that was not grown with its partition keeps it at its own end.
        let of_alternate = |offset| read(volume, Structure::AlternateVolumeHeader, offset);
        let mut alternate = of_alternate(volume.len().checked_sub(1024));
        if alternate.header.is_err()
            && let Ok(h) = &primary.header
        {
            let end = u64::from(h.total_blocks) * u64::from(h.block_size);
            let own = of_alternate(end.checked_sub(1024));
            if own.header.is_ok() {
                alternate = own;
            }
        }
        Self { primary, alternate }
    }

    /// The header that a reader uses.
    pub fn usable(&self) -> Option<&VolumeHeader> {
        self.primary.header.as_ref().or(self.alternate.header.as_ref()).ok()
    }

    /// The same, and which it is.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if neither can be used.
    pub fn chosen(&self, volume: &dyn ReadAt) -> Result<(&VolumeHeader, HeaderSource)> {
        match (&self.primary.header, &self.alternate.header) {
            (Ok(header), _) => Ok((header, HeaderSource::Primary)),
            (Err(why), Ok(header)) => Ok((header, HeaderSource::Alternate(why.clone()))),
            (Err(primary), Err(alternate)) => Err(Error::corrupt_at(
                "volume header",
                volume.locate(1024),
                format!("{primary}; the alternate header: {alternate}"),
            )),
        }
    }
}
