//! The header of an encrypted image as text (`formats/encrcdsa.md`). Wrapped keys are left
//! out: whoever has them may try passwords.

use super::{Container, Disk};
use crate::bundle::Token;
use crate::error::{Error, Result};
use crate::io::bytes::{be32, usize32};
use crate::report::dump::{Dump, Dumped, Field, Order, Show};
use Show::{Hex, Number, Text, Uuid};

/// Key records that are shown.
const MAX_KEYS: usize = 64;

const HEADER: &[Field] = &[
    ("signature", 8, Text),
    ("version", 4, Number),
    ("encIvSize", 4, Number),
    ("encMode", 4, Number),
    ("encAlgorithm", 4, Hex),
    ("encKeyBits", 4, Number),
    ("prngAlgorithm", 4, Hex),
    ("prngKeyBits", 4, Number),
    ("uuid", 16, Uuid),
    ("blockSize", 4, Number),
    ("dataLen", 8, Number),
    ("offToDataStart", 8, Number),
    ("nKeys", 4, Number),
];
const POINTER: &[Field] =
    &[("headerType", 4, Number), ("offset", 8, Number), ("length", 8, Number)];
const BY_PASSWORD: &[Field] = &[
    ("kdfAlgorithm", 4, Number),
    ("kdfPRNGAlgorithm", 4, Number),
    ("iterationCount", 4, Number),
    ("kdfSaltLen", 4, Number),
];
/// Offset of what follows salt and initialisation vector in such a record.
const WRAPPING: usize = 84;
const WRAPPED: &[Field] = &[
    ("blobEncKeySizeInBits", 4, Number),
    ("blobEncAlgorithm", 4, Hex),
    ("blobEncPadding", 4, Number),
    ("blobEncMode", 4, Number),
    ("encryptedKeyblobLen", 4, Number),
];

/// The header of an encrypted bundle: what its `token` says.
///
/// # Errors
/// [`Error::NotFound`] for a source that has none, [`Error::Unsupported`] for one of the
/// old version, whose trailer has no fields worth a name.
pub fn dump(disk: &Disk) -> Result<Dumped> {
    let Container::Bundle(bundle) = disk.container() else {
        return Err(Error::NotFound(format!("{} has no token: it is no bundle", disk.name())));
    };
    let bytes = match bundle.token() {
        Token::EncrCdsa(bytes) => bytes,
        Token::Missing | Token::Empty => {
            return Err(Error::NotFound(format!("the token of {} is empty", disk.name())));
        }
        Token::Unread { why, .. } => {
            let text = format!("the token cannot be read: {why}");
            return Err(Error::io(text, std::io::Error::other("nothing of it can be shown")));
        }
        Token::CdsaEncr(_) | Token::Unknown(_) => {
            return Err(Error::Unsupported("the token is of another version".into()));
        }
    };
    let mut dump = Dump::default();
    dump.line(&format!("token, encrcdsa header, {} bytes", bytes.len()));
    dump.order(Order::Big);
    dump.fields(bytes, 0, "", HEADER);
    let count = be32(bytes, 72).map_or(0, usize32).min(MAX_KEYS);
    for n in 0..count {
        let at = 76 + 20 * n;
        dump.fields(bytes, at, &format!("key[{n}]."), POINTER);
        // Of 64 bits none of the upper is set in any token that is one.
        let (kind, Some(record)) = (be32(bytes, at), be32(bytes, at + 8)) else { continue };
        if kind == Some(1) {
            let prefix = format!("key[{n}].");
            dump.fields(bytes, usize32(record), &prefix, BY_PASSWORD);
            dump.fields(bytes, usize32(record).saturating_add(WRAPPING), &prefix, WRAPPED);
        }
    }
    Ok(dump.finish())
}
